package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"ssmlocal/server/action"
	"ssmlocal/server/backend"
	"ssmlocal/server/control"
)

// Commands that look at a running emulator: what was called, what has happened,
// what will.

// journalCommands are about the calls that were made.
type journalCommands struct {
	List  journalList  `cmd:"" default:"withargs" help:"Print the last calls, oldest first (the default)."`
	Count journalCount `cmd:"" help:"Print how many calls match."`
	Clear journalClear `cmd:"" help:"Forget them."`
}

// callFilter chooses calls.
type callFilter struct {
	Action     string `predictor:"action" placeholder:"ACTION" help:"Only calls of this action."`
	Code       string `predictor:"code" placeholder:"CODE" help:"Only calls with this code; OK for success."`
	SecretName string `placeholder:"NAME" help:"Only calls for this secret; * and ? stand for any characters."`
	SecretID   string `placeholder:"ID" help:"Only calls with this SecretId."`
	Uin        uint64 `placeholder:"N" help:"Only calls of this account."`
	Region     string `placeholder:"REGION" help:"Only calls to this region."`
	Since      string `placeholder:"TIME|DURATION" help:"Only calls since a time such as 2030-01-02T15:04:05Z, or of the last 5m."`
}

func (f *callFilter) query() url.Values {
	q := url.Values{}
	for name, value := range map[string]string{
		"action": f.Action, "code": f.Code, "secretName": f.SecretName, "secretId": f.SecretID,
		"region": f.Region, "since": f.Since,
	} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if f.Uin != 0 {
		q.Set("uin", strconv.FormatUint(f.Uin, 10))
	}
	return q
}

type journalList struct {
	target
	callFilter
	Limit  int  `default:"50" placeholder:"N" help:"At most the last N (${default})."`
	Follow bool `short:"f" help:"Go on with each call as it comes, until interrupted."`
}

// entry is what is printed of a call.
type entry struct {
	Time                                              time.Time
	Action, SecretName, Code, Duration, Client, Fault string
	Mismatch                                          string
	Uin                                               uint64
}

func (e *entry) row(w io.Writer) []string {
	marks := ""
	if e.Fault != "" {
		marks = painted(w, yellow, "fault "+e.Fault)
	}
	if e.Mismatch != "" {
		marks = "signature: " + e.Mismatch
	}
	return []string{
		e.Time.UTC().Format("15:04:05.000"), cmp.Or(e.Action, "-"), cmp.Or(e.SecretName, "-"), paintedCode(w, e.Code),
		cmp.Or(strings.TrimPrefix(number(e.Uin), "0"), "-"), e.Duration, cmp.Or(e.Client, "-"), marks,
	}
}

// Run prints calls.
func (c *journalList) Run(ctx context.Context, t terminal) error {
	query := c.query()
	query.Set("limit", strconv.Itoa(c.Limit))
	if c.Follow {
		return follow(ctx, &c.target, t, "journal/stream", query, func(w io.Writer, e entry) {
			fmt.Fprintln(w, strings.TrimRight(strings.Join(e.row(w), "  "), " "))
		})
	}
	q := request{method: http.MethodGet, path: "journal", query: query}
	return show(ctx, &c.target, t, q, func(w io.Writer, all []entry) error {
		var rows [][]string
		for _, e := range all {
			rows = append(rows, e.row(w))
		}
		return table(w, "no such call", rows)
	})
}

type journalCount struct {
	target
	callFilter
}

// Run prints how many calls there are.
func (c *journalCount) Run(ctx context.Context, t terminal) error {
	type counted struct{ Count, Dropped int }
	return show(ctx, &c.target, t, request{method: http.MethodGet, path: "journal/count", query: c.query()}, func(w io.Writer, n counted) error {
		if n.Dropped > 0 {
			_, err := fmt.Fprintf(w, "%d, and perhaps more: %d older calls are not kept any more\n", n.Count, n.Dropped)
			return err
		}
		_, err := fmt.Fprintln(w, n.Count)
		return err
	})
}

type journalClear struct {
	target
	oneAccount
}

// Run forgets calls.
func (c *journalClear) Run(ctx context.Context, t terminal) error {
	return show(ctx, &c.target, t, request{method: http.MethodDelete, path: "journal", query: c.query()}, printRemoved)
}

func printRemoved(w io.Writer, n control.Removed) error {
	_, err := fmt.Fprintf(w, "removed %d\n", n.Removed)
	return err
}

type eventsCommand struct {
	target
	After  uint64 `placeholder:"ID" help:"Only events after the one with this id."`
	Follow bool   `short:"f" help:"Go on with each event as it comes, until interrupted."`
}

func describeEvent(e backend.Event) string {
	return fmt.Sprintf("%d  %s", e.ID, describe(e.Event))
}

// Run prints what has become of secrets.
func (c *eventsCommand) Run(ctx context.Context, t terminal) error {
	query := url.Values{"after": {strconv.FormatUint(c.After, 10)}}
	if c.Follow {
		return follow(ctx, &c.target, t, "events/stream", query, func(w io.Writer, e backend.Event) {
			fmt.Fprintln(w, describeEvent(e))
		})
	}
	q := request{method: http.MethodGet, path: "events", query: query}
	return show(ctx, &c.target, t, q, func(w io.Writer, all []backend.Event) error {
		for _, e := range all {
			fmt.Fprintln(w, describeEvent(e))
		}
		if len(all) == 0 {
			fmt.Fprintln(w, "nothing has happened")
		}
		return nil
	})
}

type dueCommand struct {
	target
	Limit int `default:"100" placeholder:"N" help:"At most N (${default})."`
}

// Run prints what becomes due.
func (c *dueCommand) Run(ctx context.Context, t terminal) error {
	query := url.Values{"limit": {strconv.Itoa(c.Limit)}}
	return show(ctx, &c.target, t, request{method: http.MethodGet, path: "clock/due", query: query}, func(w io.Writer, due control.DueReply) error {
		var rows [][]string
		for _, d := range due.Due {
			rows = append(rows, []string{second(d.At), "in " + days(d.At.Sub(due.Now)), d.What, d.SecretName, d.Region, number(d.Uin)})
		}
		if err := table(w, "nothing becomes due", rows); err != nil {
			return err
		}
		if more := int64(due.Total) - int64(len(due.Due)); more > 0 {
			fmt.Fprintf(w, "and %d more\n", more)
		}
		return nil
	})
}

// days writes a duration as people say it: with days, and without what doesn't
// matter beside them.
func days(d time.Duration) string {
	sign := ""
	if d < 0 {
		sign, d = "-", -d
	}
	const day = 24 * time.Hour
	if d >= day {
		d = d.Round(time.Minute)
	}
	n, rest := d/day, d%day
	switch {
	case n == 0:
		return sign + rest.Round(time.Second).String()
	case n == 1:
		return sign + "1 day" + hours(rest)
	}
	return fmt.Sprintf("%s%d days%s", sign, n, hours(rest))
}

func hours(d time.Duration) string {
	if d = d.Round(time.Minute); d < time.Minute {
		return ""
	}
	return " " + strings.TrimSuffix(d.String(), "0s")
}

// describe says what has happened.
func describe(e action.Event) string {
	text := fmt.Sprintf("%s %s of %s (%d, %s)", e.At.Format(time.RFC3339), e.What, e.SecretName, e.Uin, e.Region)
	if e.Reason != "" {
		text += ": " + e.Reason
	}
	return text
}

// limitsCommands are about request rates.
type limitsCommands struct {
	Show limitsShow `cmd:"" default:"withargs" help:"Print each budget of calls with its limit and its highest use in a second (the default)."`
	Set  limitsSet  `cmd:"" help:"Change rates while the emulator runs."`
}

type limitsShow struct {
	target
	oneAccount
}

// Run prints the budgets that were used.
func (c *limitsShow) Run(ctx context.Context, t terminal) error {
	return show(ctx, &c.target, t, request{method: http.MethodGet, path: "limits", query: c.query()}, func(w io.Writer, all []control.Budget) error {
		var rows [][]string
		for _, b := range all {
			limit := "no limit"
			if b.Limit > 0 {
				limit = fmt.Sprintf("%d a second", b.Limit)
			}
			refused := ""
			if b.Refused > 0 {
				refused = painted(w, red, fmt.Sprintf("%d refused", b.Refused))
			}
			rows = append(rows, []string{b.Action, b.Region, number(b.Uin), fmt.Sprintf("at most %d in a second", b.Highest), limit, refused})
		}
		return table(w, "no budget was used yet", rows)
	})
}

type limitsSet struct {
	target
	What string `arg:"" placeholder:"ACTION=N|off|documented|start" help:"An action with its calls per second, 0 for no limit; or all of them: off, documented, or start for those of the command line."`
}

// Run changes rates.
func (c *limitsSet) Run(ctx context.Context, t terminal) error {
	body := map[string]any{"all": c.What}
	if name, text, is := strings.Cut(c.What, "="); is {
		n, err := strconv.Atoi(text)
		if err != nil {
			return usageError{fmt.Errorf("%q has no number of calls per second after its =; write %s=5", c.What, name)}
		}
		body = map[string]any{"action": name, "perSecond": n}
	}
	return show(ctx, &c.target, t, request{method: http.MethodPut, path: "limits", body: body}, func(w io.Writer, _ any) error {
		_, err := fmt.Fprintf(w, "set %s\n", c.What)
		return err
	})
}

// leaksCommands are about requests to other hosts.
type leaksCommands struct {
	List  leaksList  `cmd:"" default:"withargs" help:"Print the other hosts that programs tried to reach through the proxy (the default)."`
	Clear leaksClear `cmd:"" help:"Forget them."`
}

type leaksList struct{ target }

// Run prints the leaks.
func (c *leaksList) Run(ctx context.Context, t terminal) error {
	return show(ctx, &c.target, t, request{method: http.MethodGet, path: "leaks"}, func(w io.Writer, all control.LeaksReply) error {
		var rows [][]string
		for _, l := range all.Refused {
			rows = append(rows, []string{l.Host, fmt.Sprintf("%d ×", l.Count), second(l.First), second(l.Last)})
		}
		return table(w, "no leaks", rows)
	})
}

type leaksClear struct{ target }

// Run forgets the leaks.
func (c *leaksClear) Run(ctx context.Context, t terminal) error {
	return show(ctx, &c.target, t, request{method: http.MethodDelete, path: "leaks"}, printRemoved)
}

// Run prints what is due and could not be done.
func (c *asideCommand) Run(ctx context.Context, t terminal) error {
	return show(ctx, &c.target, t, request{method: http.MethodGet, path: "setaside"}, func(w io.Writer, all []action.Aside) error {
		var rows [][]string
		for _, a := range all {
			rows = append(rows, []string{second(a.DueAt), a.What, a.SecretName, a.Region, number(a.Uin), fmt.Sprintf("%d tries", a.Attempts), a.Reason})
		}
		return table(w, "nothing is set aside", rows)
	})
}

type metricsCommand struct{ target }

// A metric is one number, for --output json.
type metric struct {
	Name   string            `json:"name"`
	Labels map[string]string `json:"labels,omitempty"`
	Value  float64           `json:"value"`
}

// metricsIn reads what Prometheus reads. Of a histogram or a summary it has the
// count and the sum.
func metricsIn(text io.Reader) (all []metric, err error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(text)
	for _, name := range slices.Sorted(maps.Keys(families)) {
		for _, m := range families[name].GetMetric() {
			of := map[string]string{}
			for _, l := range m.GetLabel() {
				of[l.GetName()] = l.GetValue()
			}
			if m.GetHistogram() == nil && m.GetSummary() == nil { // it is one of three, and the others are 0
				value := m.GetCounter().GetValue() + m.GetGauge().GetValue() + m.GetUntyped().GetValue()
				all = append(all, metric{name, of, value})
				continue
			}
			count := m.GetHistogram().GetSampleCount() + m.GetSummary().GetSampleCount()
			sum := m.GetHistogram().GetSampleSum() + m.GetSummary().GetSampleSum()
			all = append(all, metric{name + "_count", of, float64(count)}, metric{name + "_sum", of, sum})
		}
	}
	return all, err
}

// Run prints the metrics, for Prometheus.
func (c *metricsCommand) Run(ctx context.Context, t terminal) error {
	text, err := c.stream(ctx, http.MethodGet, "metrics", nil, nil)
	if err != nil {
		return err
	}
	defer text.Close()
	if c.Output == "json" {
		all, err := metricsIn(text)
		if err != nil {
			return err
		}
		return printAsJSON(t.out, all)
	}
	_, err = io.Copy(t.out, text)
	return err
}
