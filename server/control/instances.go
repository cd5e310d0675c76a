package control

import (
	"cmp"
	"net/http"
	"net/url"

	"github.com/go-chi/chi/v5"

	"ssmlocal/server/account"
	"ssmlocal/server/binding"
	"ssmlocal/server/seed"
	"ssmlocal/server/ssm"
)

// The control plane's calls about instances that are bound to real databases.

// listInstances asks every database how it is.
func (c *Control) listInstances(r *http.Request) ([]binding.Status, error) {
	uin, err := uinOf(r)
	if err != nil {
		return nil, err
	}
	return c.backend.Instances(r.Context(), uin)
}

type bindingRequest struct {
	Uin        uint64 `json:"uin"`
	InstanceID string `json:"instanceId"`
	URL        string `json:"url"`
}

// bindInstance binds an instance, and says how its database is.
func (c *Control) bindInstance(r *http.Request, q *bindingRequest) (binding.Status, error) {
	q.Uin = cmp.Or(q.Uin, account.DefaultUin)
	if q.Uin > seed.LargestUin {
		return binding.Status{}, refuse(http.StatusBadRequest, "uin can be %d at most", uint64(seed.LargestUin))
	}
	if err := c.backend.Bind(q.Uin, ssm.Binding{InstanceID: q.InstanceID, URL: q.URL}); err != nil {
		return binding.Status{}, err
	}
	all, err := c.backend.Instances(r.Context(), q.Uin)
	for _, s := range all {
		if s.InstanceID == q.InstanceID {
			return s, err
		}
	}
	return binding.Status{}, err // it was unbound since
}

// Unbound says which binding has ended.
type Unbound struct {
	Uin        uint64 `json:"uin"`
	InstanceID string `json:"instanceId"`
}

func (c *Control) unbindInstance(r *http.Request) (Unbound, error) {
	u, err := instanceOf(r)
	if err != nil {
		return u, err
	}
	return u, c.backend.Unbind(u.Uin, u.InstanceID)
}

// instanceOf is the instance that a path names, of the account that the query
// names.
func instanceOf(r *http.Request) (Unbound, error) {
	uin, err := uinOf(r)
	id := chi.URLParam(r, "id")
	if unescaped, failed := url.PathUnescape(id); failed == nil && r.URL.RawPath != "" {
		id = unescaped
	}
	return Unbound{cmp.Or(uin, account.DefaultUin), id}, err
}

// repairInstance puts the accounts of an instance right.
func (c *Control) repairInstance(r *http.Request) (binding.Repaired, error) {
	u, err := instanceOf(r)
	if err != nil {
		return binding.Repaired{}, err
	}
	drop := r.URL.Query().Get("drop")
	if drop != "" && drop != "leftover" {
		return binding.Repaired{}, refuse(http.StatusBadRequest, "drop is %q; its only value is leftover", drop)
	}
	return c.backend.Repair(r.Context(), u.Uin, u.InstanceID, drop != "")
}
