package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"

	"ssmlocal/fixtures"
	"ssmlocal/server/demo"
)

type errorsCommand struct {
	format
	Action string `arg:"" predictor:"action" optional:"" placeholder:"ACTION" help:"Only this action's."`
	Code   string `arg:"" predictor:"code" optional:"" placeholder:"CODE" help:"Only this code, with all that its recipe needs."`
	Run_   bool   `name:"run" help:"Get the code live: run the recipe on a throwaway emulator and print each step. It fails if another code comes."`
	Wire   bool   `help:"With --run: print what went over the wire, too."`
}

// Run prints the error atlas, or runs a recipe of it. It needs no server.
func (c *errorsCommand) Run(ctx context.Context, t terminal) error {
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
	switch {
	case len(found) == 1 && code != "" && c.Run_:
		return c.run(ctx, t, found[0])
	case c.Run_:
		return usageError{fmt.Errorf("--run takes one recipe: give an action and a code of it")}
	case c.Output == "json":
		return printAsJSON(t.out, found)
	case len(found) == 1 && code != "":
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
		fmt.Fprintf(t.out, "%s (%s)\n\n  %s\n", r.Why, r.Does(), start)
		if line, ok := demo.Command(r.Called(), parameters, *r.Call); ok {
			fmt.Fprintf(t.out, "  %s\n\n", line)
		} else {
			fmt.Fprintf(t.out, "  ssmlocal errors %s %s --run   # a client makes no such call by itself\n\n", r.Called(), r.Code)
		}
	}
	_, err := fmt.Fprintf(t.out, "On demand, from a running server:\n\n  ssmlocal provoke %s\n", strings.TrimSpace(r.Code+" "+r.Action))
	return err
}
