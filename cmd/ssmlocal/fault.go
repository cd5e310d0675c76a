package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"ssmlocal/fixtures"
	"ssmlocal/server/fault"
)

// faultCommands make calls fail.
type faultCommands struct {
	List  faultList  `cmd:"" default:"withargs" help:"Print the rules, with the calls that each has hit and the hits that it has left (the default)."`
	Add   faultAdd   `cmd:"" help:"Add a rule."`
	Clear faultClear `cmd:"" help:"Remove all rules, or one."`
}

// matchFlags say which calls a rule is for.
type matchFlags struct {
	SecretName string `placeholder:"NAME" help:"Only calls for this secret; * and ? stand for any characters."`
	SecretID   string `placeholder:"ID" help:"Only calls with this SecretId."`
	Uin        uint64 `placeholder:"N" help:"Only calls of this account."`
	Region     string `predictor:"region" placeholder:"REGION" help:"Only calls for this region."`
}

func (m *matchFlags) rule(action string) fault.Rule {
	return fault.Rule{Action: action, SecretName: m.SecretName, SecretID: m.SecretID, Uin: m.Uin, Region: m.Region}
}

type faultAdd struct {
	target
	ID     string `placeholder:"NAME" help:"Name of the rule; a number by default."`
	Action string `predictor:"action" placeholder:"ACTION" help:"Only calls of this action."`
	matchFlags
	Times       fault.Count  `placeholder:"N" help:"Hit N calls, then no more."`
	After       int          `placeholder:"M" help:"Let M calls pass first."`
	Every       fault.Count  `placeholder:"K" help:"Hit every K-th call."`
	Probability fault.Chance `placeholder:"P" help:"Hit with a probability, up to 1; the same calls for the same --random-seed of the server."`

	Error    string `predictor:"code" placeholder:"CODE" help:"Answer this error code."`
	Message  string `placeholder:"TEXT" help:"With this text instead of the code's own."`
	Throttle bool   `help:"Answer RequestLimitExceeded with the action's own rate."`
	Delay    string `placeholder:"SPAN" help:"Delay the call: 3s, or a range such as 500ms-2s."`
	Status   int    `placeholder:"STATUS" help:"Answer this HTTP status with a page that is not the API's."`
	Drop     bool   `help:"Reset the connection; nothing is done."`
	Truncate bool   `help:"Do the call and send half of the answer."`
	Script   string `placeholder:"STEPS" help:"An effect for each hit, separated by commas: a code, pass, throttle, drop, truncate, a status, a delay; + joins two of them (\"InternalError,3s+pass,502,pass\")."`
	Strict   bool   `default:"true" negatable:"" help:"Refuse codes that are not documented for the action."`
}

// Run adds the rule.
func (c *faultAdd) Run(ctx context.Context, t terminal) error {
	r := c.rule(c.Action)
	r.ID, r.Times, r.After, r.Every, r.Probability = c.ID, c.Times, c.After, c.Every, c.Probability
	r.Throttle, r.Status, r.Drop, r.Truncate = c.Throttle, c.Status, c.Drop, c.Truncate
	if c.Error != "" {
		r.Error = &fault.Error{Code: c.Error, Message: c.Message}
	} else if c.Message != "" {
		return usageError{fmt.Errorf("--message goes with --error")}
	}
	if c.Delay != "" {
		if err := r.Delay.UnmarshalText([]byte(c.Delay)); err != nil {
			return usageError{fmt.Errorf("--delay: %w", err)}
		}
	}
	if c.Script != "" {
		for step := range strings.SplitSeq(c.Script, ",") {
			e, err := parseStep(step)
			if err != nil {
				return usageError{fmt.Errorf("--script: %w", err)}
			}
			r.Script = append(r.Script, e)
		}
	}
	return addFault(ctx, &c.target, t, r, c.Strict)
}

// parseStep reads what one hit of a script does.
func parseStep(step string) (e fault.Effect, err error) {
	for part := range strings.SplitSeq(step, "+") {
		part = strings.TrimSpace(part)
		before := e
		status, notNumber := strconv.Atoi(part)
		switch {
		case part == "pass":
		case part == "throttle":
			e.Throttle = true
		case part == "drop":
			e.Drop = true
		case part == "truncate":
			e.Truncate = true
		case notNumber == nil:
			e.Status = status
		case part != "" && part[0] >= '0' && part[0] <= '9':
			if err := e.Delay.UnmarshalText([]byte(part)); err != nil {
				return e, err
			}
		case part != "" && part[0] >= 'A' && part[0] <= 'Z':
			e.Error = &fault.Error{Code: part}
		default:
			return e, fmt.Errorf("the step %q is not a code, pass, throttle, drop, truncate, status or delay", part)
		}
		if before.Delay != e.Delay && before.Delay != (fault.Span{}) {
			return e, fmt.Errorf("the step %q has two delays", step)
		}
	}
	return e, nil
}

func addFault(ctx context.Context, at *target, t terminal, r fault.Rule, strict bool) error {
	if !strict {
		r.Strict = &strict
	}
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	q := request{method: http.MethodPost, path: "faults", body: json.RawMessage(text)}
	return show(ctx, at, t, q, func(w io.Writer, added fault.Report) error {
		_, err := fmt.Fprintf(w, "fault %s: %s\n", added.ID, strings.ReplaceAll(describeFault(added), "\t", "  "))
		return err
	})
}

// describeFault says what a rule does and has done.
func describeFault(r fault.Report) string {
	var for_ []string
	for _, p := range []struct{ name, value string }{
		{"", r.Action}, {"secretName ", r.SecretName}, {"secretId ", r.SecretID}, {"region ", r.Region},
	} {
		if p.value != "" {
			for_ = append(for_, p.name+p.value)
		}
	}
	if r.Uin != 0 {
		for_ = append(for_, fmt.Sprintf("uin %d", r.Uin))
	}
	if len(for_) == 0 {
		for_ = []string{"every action"}
	}
	effect := r.Effect.String()
	if len(r.Script) > 0 {
		var steps []string
		for _, e := range r.Script {
			steps = append(steps, e.String())
		}
		effect = strings.Join(steps, " then ")
	}
	left := "no end"
	if r.Left != nil {
		left = fmt.Sprintf("%d left", *r.Left)
	}
	return fmt.Sprintf("%s\t%s\t%d of %d calls hit, %s", strings.Join(for_, ", "), effect, r.Hits, r.Seen, left)
}

type faultList struct{ target }

// Run prints the rules.
func (c *faultList) Run(ctx context.Context, t terminal) error {
	return show(ctx, &c.target, t, request{method: http.MethodGet, path: "faults"}, func(w io.Writer, all []fault.Report) error {
		var rows [][]string
		for _, r := range all {
			rows = append(rows, []string{r.ID, describeFault(r)})
		}
		return table(w, "no faults", rows)
	})
}

type faultClear struct {
	target
	ID  string `arg:"" optional:"" placeholder:"ID" help:"Only this rule."`
	Uin uint64 `placeholder:"N" help:"Only rules for this account alone."`
}

// Run removes rules.
func (c *faultClear) Run(ctx context.Context, t terminal) error {
	path, query := "faults", url.Values{}
	if c.ID != "" {
		path += "/" + url.PathEscape(c.ID)
	}
	if c.Uin != 0 {
		query.Set("uin", strconv.FormatUint(c.Uin, 10))
	}
	return show(ctx, &c.target, t, request{method: http.MethodDelete, path: path, query: query}, printRemoved)
}

type provokeCommand struct {
	target
	Code   string `arg:"" predictor:"code" placeholder:"CODE" help:"Such as ResourcesSoldOut."`
	Action string `arg:"" predictor:"action" optional:"" placeholder:"ACTION" help:"Such as RotateProductSecret; any action if left out."`
	matchFlags
	Message string      `placeholder:"TEXT" help:"With this text instead of the code's own."`
	Times   fault.Count `default:"1" placeholder:"N" help:"How many calls get it (${default})."`
	Strict  bool        `default:"true" negatable:"" help:"Refuse codes that are not documented for the action."`
}

func isAction(name string) bool {
	api, err := fixtures.Facts()
	_, is := api.Actions[name]
	return err == nil && is
}

func isCode(name string) bool {
	found, err := fixtures.Find("", name)
	return err == nil && name != "" && len(found) > 0
}

// Run adds a rule that answers the code, and prints how to get it without one.
func (c *provokeCommand) Run(ctx context.Context, t terminal) error {
	if !isAction(c.Action) && (isAction(c.Code) || isCode(c.Action) && !isCode(c.Code)) { // the other way round
		c.Code, c.Action = c.Action, c.Code
	}
	r := c.rule(c.Action)
	r.Times, r.Error = c.Times, &fault.Error{Code: c.Code, Message: c.Message}
	if err := addFault(ctx, &c.target, t, r, c.Strict); err != nil {
		return err
	}
	found, err := fixtures.Find(c.Action, c.Code)
	if err == nil && c.Output == "text" && len(found) == 1 && found[0].Call != nil {
		_, err = fmt.Fprintf(t.out, "without a fault: %s See ssmlocal errors %s\n", found[0].Why, strings.TrimSpace(c.Action+" "+c.Code))
	}
	return err
}
