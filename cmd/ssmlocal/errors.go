package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"

	"ssmlocal/fixtures"
	"ssmlocal/server/account"
)

type errorsCommand struct {
	Action string `arg:"" optional:"" placeholder:"ACTION" help:"Only this action's."`
	Code   string `arg:"" optional:"" placeholder:"CODE" help:"Only this code, with all that its recipe needs."`
}

// Run prints the error atlas. It needs no server.
func (c *errorsCommand) Run(t terminal) error {
	name, code := c.Action, c.Code
	found, err := fixtures.Find(name, code)
	if len(found) == 0 && code == "" { // ssmlocal errors CODE
		name, code = "", name
		found, err = fixtures.Find(name, code)
	}
	if err != nil {
		return err
	}
	if len(found) == 0 {
		near, err := fixtures.Near(c.Action, c.Code)
		if err != nil {
			return err
		}
		return usageError{fmt.Errorf("there is no recipe for %s; %s", strings.TrimSpace(name+" "+code), cmp.Or(near, "ssmlocal errors prints all of them"))}
	}
	if len(found) == 1 && code != "" {
		return c.print(t, found[0])
	}
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	for _, r := range found {
		fmt.Fprintf(w, "%s\t%s\t%s\n", cmp.Or(r.Action, "any action"), r.Code, cmp.Or(r.Why, "by a fault: ssmlocal provoke "+strings.TrimSpace(r.Code+" "+r.Action)))
	}
	return w.Flush()
}

// print prints one recipe with all that it needs.
func (c *errorsCommand) print(t terminal, r fixtures.Recipe) error {
	fmt.Fprintf(t.out, "%s from %s\n\n", r.Code, cmp.Or(r.Action, "any action"))
	if r.Call != nil {
		atlas, err := fixtures.Errors()
		if err != nil {
			return err
		}
		parameters, err := json.Marshal(r.Parameters)
		if err != nil {
			return err
		}
		start := "ssmlocal --seed " + strings.Join(atlas.Seeds, " --seed ")
		if r.Call.Limit > 0 {
			start += fmt.Sprintf(" --limit %s=%d", r.Called(), r.Call.Limit)
		}
		fmt.Fprintf(t.out, "%s\n\n  %s\n  as %s with the SecretKey %s: %s %s\n  (%s)\n\n",
			r.Why, start, cmp.Or(r.Call.As, account.Default.SecretID), cmp.Or(r.Call.SecretKey, account.Default.SecretKey), r.Called(), parameters, r.Does())
	}
	_, err := fmt.Fprintf(t.out, "On demand, from a running server:\n\n  ssmlocal provoke %s\n", strings.TrimSpace(r.Code+" "+r.Action))
	return err
}
