package gateway

import (
	"context"

	"ssmlocal/server/account"
	"ssmlocal/server/action"
	"ssmlocal/server/apierr"
	"ssmlocal/server/ssm"
)

// nameSecret notes which secret a call is about, if the call may name it by
// something other than its name. If there is no such secret, the action reports
// it.
func (g *Gateway) nameSecret(ctx context.Context, rec *record, caller *account.Caller) {
	if rec.secretName == "" {
		rec.secretName, _ = g.backend.FindSecret(g.backend.Call(ctx, caller, rec.region, rec.does), rec.does, rec.request)
	}
}

// authorize refuses a call that the caller's policies don't allow.
func (g *Gateway) authorize(call *action.Call, caller *account.Caller, rec *record) error {
	if len(caller.Policies)+len(caller.Also) == 0 {
		return nil
	}
	a, request := rec.does, rec.request
	name, err := g.backend.FindSecret(call, a, request)
	if err != nil {
		return err
	}
	resources := a.Tagged(call, request)
	if len(resources) == 0 {
		resources = []string{resourceOf(rec, name)}
	}
	for _, resource := range resources {
		if !caller.May(a.Operation(), resource) {
			return unauthorized(apierr.Unauthorized, rec, resource)
		}
	}
	call.Denied = func(resource string) bool { return caller.Denied(a.Operation(), resource) }
	return nil
}

func unauthorized(k *apierr.Kind, rec *record, resource string) error {
	return k.With(rec.requestID, rec.does.Operation(), resource)
}

// resourceOf is what a call is about, as CAM names it (598/57154, 598/70019): a
// secret; any secret for CreateSecret; the role that is assumed; * for what CAM
// knows only as an operation.
func resourceOf(rec *record, secretName string) string {
	other, owner := rec.does.Resource(rec.request), ssm.NewOwner(rec.uin, rec.region)
	switch {
	case other != "":
		return other
	case rec.does.Name == "CreateSecret":
		return owner.AnyResource()
	case secretName == "":
		return "*"
	}
	return owner.Resource(secretName)
}
