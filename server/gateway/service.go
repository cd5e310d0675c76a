package gateway

import (
	"strings"

	"ssmlocal/server/action"
	"ssmlocal/server/apierr"
	"ssmlocal/server/journal"
	"ssmlocal/server/tc3"
)

// service is the actions of one service, by name.
type service struct {
	name, version string
	actions       map[string]*action.Action
}

func newServices() map[string]*service {
	services := map[string]*service{}
	for _, set := range action.Sets() {
		s := &service{set.Service, set.Version, map[string]*action.Action{}}
		for _, a := range set.Actions {
			s.actions[a.Name] = a
		}
		services[set.Service] = s
	}
	return services
}

// find returns the action that a request names, of the service that it means.
func (g *Gateway) find(q *tc3.Request, rec *record) (*action.Action, error) {
	name := g.serviceOf(q)
	of, ok := g.services[name]
	if !ok {
		rec.hint = "a call for the service " + journal.Clip(name) + " came here: only ssm, tag and sts are emulated, so point that client elsewhere"
		return nil, apierr.NoSuchProduct.With()
	}
	if q.Version != of.version {
		rec.hint = "the version is not that of the service " + of.name + ": is the call for another service?"
		return nil, apierr.NoSuchVersion.With(q.Version, of.name)
	}
	a, ok := of.actions[q.Action]
	if !ok {
		return nil, apierr.InvalidAction.With(q.Action, of.name, of.version)
	}
	return a, nil
}

// serviceOf works out which service a request is for: by the host's first
// label, else by the service of its credential scope, else by its action and
// version. SDKs that derive the service from a custom endpoint sign for 127 or
// localhost, which says nothing.
func (g *Gateway) serviceOf(q *tc3.Request) string {
	label, rest := firstLabel(q.Host)
	if g.isService(label) && rest != "" || strings.HasSuffix(rest, "tencentcloudapi.com") {
		return label
	}
	if scope := q.Scope(); g.isService(scope) {
		return scope
	}
	if q.Version == action.TagVersion {
		if strings.HasPrefix(q.Action, "AssumeRole") || g.services["sts"].actions[q.Action] != nil {
			return "sts"
		}
		return "tag"
	}
	return action.Service
}

// firstLabel cuts a host name after its first label.
func firstLabel(host string) (label, rest string) {
	host = strings.TrimPrefix(strings.TrimPrefix(host, "http://"), "https://")
	label, rest, _ = strings.Cut(tc3.HostName(host), ".")
	return label, rest
}

// checkScope refuses a signature for one of the services here at the host of
// another, as the gateway does (sdk-go#89). SDKs that derive the service from a
// custom endpoint sign for a name that is no service.
func (g *Gateway) checkScope(q *tc3.Request) error {
	label, rest := firstLabel(q.Host)
	scope := q.Scope()
	if rest != "" && g.services[label] != nil && g.services[scope] != nil && scope != label {
		return apierr.InvalidAuthorization.With("`Service` in Credential")
	}
	return nil
}

func (g *Gateway) isService(name string) bool { return g.services[name] != nil || otherServices[name] }

// otherServices are products of the cloud whose calls a program may send here
// by mistake, with the names by which the vendor's SDKs know them.
var otherServices = map[string]bool{
	"apigateway": true, "as": true, "billing": true, "cam": true, "cbs": true, "cdb": true, "cdn": true, "cfs": true, "ckafka": true,
	"clb": true, "cloudaudit": true, "cls": true, "cos": true, "cvm": true, "cynosdb": true, "dbbrain": true, "dcdb": true,
	"dnspod": true, "domain": true, "eb": true, "emr": true, "es": true, "kms": true, "lighthouse": true, "mariadb": true,
	"mongodb": true, "monitor": true, "organization": true, "postgres": true, "redis": true, "scf": true, "ses": true,
	"sms": true, "sqlserver": true, "ssl": true, "tat": true, "tcr": true, "tdmq": true, "teo": true, "tke": true,
	"vod": true, "vpc": true, "waf": true,
}
