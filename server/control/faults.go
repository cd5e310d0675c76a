package control

import (
	"cmp"
	"net/http"
	"strings"

	"ssmlocal/fixtures"
	"ssmlocal/server/fault"
)

// The control plane's calls about faults and the error atlas.

func (c *Control) listFaults() ([]fault.Report, error) { return c.backend.Faults.List(), nil }

func (c *Control) addFault(r *http.Request, q *fault.Rule) (fault.Report, error) {
	strict := r.URL.Query().Get("strict")
	if strict != "" && strict != "true" && strict != "false" {
		return fault.Report{}, refuse(http.StatusBadRequest, "strict is %q; it must be true or false", strict)
	}
	if strict != "" {
		is := strict == "true"
		q.Strict = &is
	}
	return c.backend.AddFault(*q)
}

// Removed says how many things were removed.
type Removed struct {
	Removed int `json:"removed"`
}

func (c *Control) removeFaults(r *http.Request) (Removed, error) {
	uin, err := uinOf(r)
	if err != nil {
		return Removed{}, err
	}
	return Removed{c.backend.ClearFaults(uin)}, nil
}

func (c *Control) removeFault(r *http.Request) (Removed, error) {
	id := r.PathValue("id")
	if !c.backend.RemoveFault(id) {
		var ids []string
		for _, f := range c.backend.Faults.List() {
			ids = append(ids, f.ID)
		}
		return Removed{}, refuse(http.StatusNotFound, "there is no fault %q; there are: %s", id, cmp.Or(strings.Join(ids, ", "), "none"))
	}
	return Removed{1}, nil
}

// listErrors returns the recipes of the error atlas, those of an action or of a
// code if one is asked for.
func (c *Control) listErrors(r *http.Request) ([]fixtures.Recipe, error) {
	name, code := r.URL.Query().Get("action"), r.URL.Query().Get("code")
	found, err := fixtures.Find(name, code)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, refuse(http.StatusNotFound, "there is no recipe for the action %q and the code %q; GET /_ssmlocal/errors has all of them", name, code)
	}
	return found, nil
}
