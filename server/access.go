package server

import (
	"ssmlocal/server/action"
	"ssmlocal/server/apierr"
	"ssmlocal/server/ssm"
)

// access refuses a call that the caller's policies don't allow.
func (s *Server) access(c admitted, call *action.Call, rec *record, request any) error {
	if len(c.caller.Policies)+len(c.caller.Also) == 0 {
		return nil
	}
	name, err := s.backend.FindSecret(call, c.action, request)
	if err != nil {
		return err
	}
	resources := c.action.Tagged(call, request)
	if len(resources) == 0 {
		resources = []string{resourceOf(rec, c.action, request, name)}
	}
	for _, resource := range resources {
		if !c.caller.May(c.action.Operation(), resource) {
			return unauthorized(apierr.Unauthorized, rec, c.action, resource)
		}
	}
	call.Denied = func(resource string) bool { return c.caller.Denied(c.action.Operation(), resource) }
	return nil
}

func unauthorized(k *apierr.Kind, rec *record, a *action.Action, resource string) error {
	return k.With(rec.requestID, a.Operation(), resource)
}

// resourceOf is what a call is about, as CAM names it (598/57154, 598/70019): a secret; any secret for the one that makes
// a custom one; the role that is assumed; * for what CAM knows as an operation only.
func resourceOf(rec *record, a *action.Action, request any, secretName string) string {
	other, owner := a.Resource(request), ssm.NewOwner(rec.uin, rec.region)
	switch {
	case other != "":
		return other
	case a.Name == "CreateSecret":
		return owner.AnyResource()
	case secretName == "":
		return "*"
	}
	return owner.Resource(secretName)
}
