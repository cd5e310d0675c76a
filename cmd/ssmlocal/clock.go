package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
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
func clockCall(ctx context.Context, c *target, t terminal, method string, body any) error {
	q := request{method: method, path: "clock", body: body, long: method == http.MethodPut}
	return show(ctx, c, t, q, func(w io.Writer, r control.SetClockReply) error {
		printEvents(w, r.Happened)
		offset := r.Offset
		if d, err := time.ParseDuration(offset); err == nil {
			offset = days(d)
		}
		_, err := fmt.Fprintf(w, "%s %s, %s ahead\n", r.Now.Format(time.RFC3339), r.Mode, offset)
		return err
	})
}

// printEvents prints what happened, one line for each event.
func printEvents(w io.Writer, happened []action.Event) {
	for _, e := range happened {
		fmt.Fprintln(w, describe(e))
	}
}

type clockShow struct{ target }

// Run prints the clock.
func (c *clockShow) Run(ctx context.Context, t terminal) error {
	return clockCall(ctx, &c.target, t, http.MethodGet, nil)
}

type clockFreeze struct{ target }

// Run stops the clock.
func (c *clockFreeze) Run(ctx context.Context, t terminal) error {
	return clockCall(ctx, &c.target, t, http.MethodPut, map[string]string{"mode": "frozen"})
}

type clockRun struct{ target }

// Run lets the clock go on.
func (c *clockRun) Run(ctx context.Context, t terminal) error {
	return clockCall(ctx, &c.target, t, http.MethodPut, map[string]string{"mode": "running"})
}

type clockSet struct {
	target
	Time string `arg:"" placeholder:"TIME" help:"Such as 2030-01-02, 2030-01-02 15:04 or 2030-01-02T15:04:05+08:00; in UTC unless it says otherwise."`
}

// parseMoment reads a time as people write it.
func parseMoment(text string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly, "2006-01-02 15:04", "2006-01-02T15:04", time.DateTime, "2006-01-02T15:04:05"} {
		if at, err := time.Parse(layout, text); err == nil {
			return at, nil
		}
	}
	const forms = "2030-01-02, 2030-01-02 15:04 or 2030-01-02T15:04:05Z"
	return time.Time{}, usageError{fmt.Errorf("%q is not a time; write %s", text, forms)}
}

// Run moves the clock to a time.
func (c *clockSet) Run(ctx context.Context, t terminal) error {
	at, err := parseMoment(c.Time)
	if err != nil {
		return err
	}
	return clockCall(ctx, &c.target, t, http.MethodPut, map[string]time.Time{"now": at})
}

type clockAdvance struct {
	target
	By string `arg:"" placeholder:"DURATION" help:"Such as 30d, 2w, 1y, 72h or 1h30m, or next for what becomes due next."`
}

// Run moves the clock and prints what happened.
func (c *clockAdvance) Run(ctx context.Context, t terminal) error {
	body := map[string]any{"by": c.By}
	if c.By == "next" {
		var due control.DueReply
		if err := c.into(ctx, http.MethodGet, "clock/due", url.Values{"limit": {"1"}}, nil, &due); err != nil {
			return err
		}
		if len(due.Due) == 0 {
			return errors.New("nothing becomes due")
		}
		body = map[string]any{"to": due.Due[0].At}
	}
	q := request{method: http.MethodPost, path: "clock/advance", body: body, long: true}
	return show(ctx, &c.target, t, q, func(w io.Writer, a control.AdvanceReply) error {
		printEvents(w, a.Happened)
		if a.Omitted > 0 {
			fmt.Fprintf(w, "and %d more\n", a.Omitted)
		}
		_, err := fmt.Fprintf(w, "%s now\n", a.Now.Format(time.RFC3339))
		return err
	})
}
