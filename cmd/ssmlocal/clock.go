package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"ssmlocal/server/action"
	"ssmlocal/server/control"
)

// clockCommands read and move the virtual clock of a running emulator.
type clockCommands struct {
	Show    clockShow    `cmd:"" default:"withargs" help:"Print the clock (the default)."`
	Advance clockAdvance `cmd:"" help:"Move the clock ahead and print what became due on the way."`
	Set     clockSet     `cmd:"" help:"Move the clock ahead to a time."`
	Freeze  clockFreeze  `cmd:"" help:"Stop the clock."`
	Run     clockRun     `cmd:"" help:"Let the clock go on from where it is."`
}

// clockCall calls the clock and prints it.
func (t *target) clockCall(ctx context.Context, out terminal, method string, body any) error {
	reply, err := t.call(ctx, method, "clock", body)
	if err != nil {
		return err
	}
	var c control.SetClockReply
	if err := json.Unmarshal(reply, &c); err != nil {
		return err
	}
	printEvents(out, c.Happened)
	_, err = fmt.Fprintf(out.out, "%s %s, %s ahead\n", c.Now.Format(time.RFC3339), c.Mode, c.Offset)
	return err
}

// printEvents prints what happened, one line for each event.
func printEvents(t terminal, happened []action.Event) {
	for _, e := range happened {
		fmt.Fprintf(t.out, "%s %s of %s (%d, %s)", e.At.Format(time.RFC3339), e.What, e.SecretName, e.Uin, e.Region)
		if e.Reason != "" {
			fmt.Fprintf(t.out, ": %s", e.Reason)
		}
		fmt.Fprintln(t.out)
	}
}

type clockShow struct{ target }

// Run prints the clock.
func (c *clockShow) Run(ctx context.Context, t terminal) error {
	return c.clockCall(ctx, t, http.MethodGet, nil)
}

type clockFreeze struct{ target }

// Run stops the clock.
func (c *clockFreeze) Run(ctx context.Context, t terminal) error {
	return c.clockCall(ctx, t, http.MethodPut, map[string]string{"mode": "frozen"})
}

type clockRun struct{ target }

// Run lets the clock go on.
func (c *clockRun) Run(ctx context.Context, t terminal) error {
	return c.clockCall(ctx, t, http.MethodPut, map[string]string{"mode": "running"})
}

type clockSet struct {
	target
	Time time.Time `arg:"" placeholder:"TIME" help:"Such as 2030-01-02T15:04:05Z."`
}

// Run moves the clock to a time.
func (c *clockSet) Run(ctx context.Context, t terminal) error {
	return c.clockCall(ctx, t, http.MethodPut, map[string]time.Time{"now": c.Time})
}

type clockAdvance struct {
	target
	By string `arg:"" placeholder:"DURATION" help:"Such as 30d, 72h or 1h30m."`
}

// Run moves the clock and prints what happened.
func (c *clockAdvance) Run(ctx context.Context, t terminal) error {
	reply, err := c.call(ctx, http.MethodPost, "clock/advance", map[string]string{"by": c.By})
	if err != nil {
		return err
	}
	var a control.AdvanceReply
	if err := json.Unmarshal(reply, &a); err != nil {
		return err
	}
	printEvents(t, a.Happened)
	_, err = fmt.Fprintf(t.out, "%s now\n", a.Now.Format(time.RFC3339))
	return err
}
