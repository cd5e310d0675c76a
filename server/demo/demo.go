// Package demo shows things live: the recipes of the error atlas, and tours. It
// plays them on a throwaway emulator, so that no other state is touched, and
// returns each step with what was sent and what came back.
package demo

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"ssmlocal/fixtures"
	"ssmlocal/server/caller"
)

// An Emulator is one that nobody else uses, in memory and without an address.
type Emulator struct {
	API     http.Handler
	Control http.Handler // the control plane, with its paths under /_ssmlocal
	Wall    func() time.Time
	Close   func()
}

// Start starts an emulator with built-in seeds and rates; no rates are the
// documented ones.
type Start func(seeds []string, rates map[string]int) (*Emulator, error)

// A Step is something that was done.
type Step struct {
	// Text says what is done and why, in English and Chinese; only tours have
	// it.
	Text *fixtures.Text `json:"text,omitempty"`
	// Command is the same for a terminal.
	Command string         `json:"command"`
	Call    *CallStep      `json:"call,omitempty"`
	Control *ControlStep   `json:"control,omitempty"`
	Repeat  int            `json:"repeat,omitzero"` // how often the call was made
	Codes   map[string]int `json:"codes,omitempty"` // what came back then, and how often
	// Wrong is what came instead of what must; "" for nothing.
	Wrong string `json:"wrong,omitempty"`
}

// A CallStep is a call of the API.
type CallStep struct {
	Action  string          `json:"action"`
	As      string          `json:"as"`
	Code    string          `json:"code"` // OK for success, none if there was no answer
	Message string          `json:"message,omitempty"`
	Reply   json.RawMessage `json:"reply,omitempty"`
	Wire    caller.Wire     `json:"wire"`
}

// A ControlStep is a call of the control plane.
type ControlStep struct {
	Method string `json:"method"`
	Path   string `json:"path"`
	Body   string `json:"body,omitempty"`
	Status int    `json:"status"`
	Answer string `json:"answer"`
}

// A Transcript is a recipe that was run.
type Transcript struct {
	Action  string   `json:"action"`
	Code    string   `json:"code"` // that was to be reached
	Kind    string   `json:"kind"` // natural or fault
	Why     string   `json:"why,omitempty"`
	Seeds   []string `json:"seeds"`
	Start   string   `json:"start"` // the command that starts such an emulator
	Steps   []Step   `json:"steps"`
	Reached string   `json:"reached"` // the last code that came
	OK      bool     `json:"ok"`
	Took    string   `json:"took"`
}

// OK is the code of a call that succeeds.
const OK = "OK"

// host is what calls name: there is no address.
const host = "127.0.0.1:9023"

// Recipe runs a recipe of the error atlas.
func Recipe(ctx context.Context, start Start, r fixtures.Recipe) (t Transcript, err error) {
	atlas, err := fixtures.Errors()
	if err != nil {
		return t, err
	}
	t = Transcript{Action: r.Called(), Code: r.Code, Kind: r.Kind, Why: r.Why, Seeds: atlas.Seeds, Steps: []Step{}}
	t.Start = "ssmlocal --seed " + strings.Join(atlas.Seeds, " --seed ")
	var rates map[string]int
	call, times := &fixtures.Call{}, 1
	if r.Call != nil {
		call = r.Call
	}
	if call.Limit > 0 { // a budget of one is refilled after a second
		rates, times = map[string]int{r.Called(): call.Limit}, 5*call.Limit
		t.Start += fmt.Sprintf(" --limit %s=%d", r.Called(), call.Limit)
	}
	e, err := start(atlas.Seeds, rates)
	if err != nil {
		return t, err
	}
	defer e.Close()
	p := player{ctx: ctx, Emulator: e}
	began := e.Wall()
	parameters := r.Parameters
	if r.Fault != nil {
		rule, err := json.Marshal(r.Fault)
		if err != nil {
			return t, err
		}
		t.Steps = append(t.Steps, p.control(fixtures.Control{Method: http.MethodPost, Path: "/faults", Body: rule}))
		t.Steps[0].Command = "ssmlocal provoke " + strings.TrimSpace(r.Code+" "+r.Action)
		parameters = atlas.Samples[r.Called()]
	}
	for range times {
		step, err := p.call(fixtures.TourCall{Action: r.Called(), Parameters: parameters, Call: *call})
		if err != nil {
			return t, err
		}
		t.Steps = append(t.Steps, step)
		if t.Reached = step.Call.Code; t.Reached == r.Code {
			break
		}
	}
	t.OK, t.Took = t.Reached == r.Code, e.Wall().Sub(began).String()
	return t, ctx.Err()
}

// player makes the calls of an emulator.
type player struct {
	*Emulator
	ctx context.Context
}

// call makes a call of the API.
func (p *player) call(c fixtures.TourCall) (Step, error) {
	parameters, err := json.Marshal(c.Parameters)
	if err != nil {
		return Step{}, err
	}
	if c.Parameters == nil {
		parameters = []byte("{}")
	}
	if c.Body != "" {
		parameters = []byte(c.Body)
	}
	if c.Size > 0 {
		parameters = bytes.Repeat([]byte(" "), c.Size)
	}
	call := caller.Call{
		Host: cmp.Or(c.Host, host), Service: cmp.Or(c.Service, "ssm"), Version: cmp.Or(c.Version, "2019-09-23"), Action: c.Action,
		Region: "ap-guangzhou", Parameters: parameters, SecretID: cmp.Or(c.As, firstID), SecretKey: cmp.Or(c.SecretKey, "ssmlocal"),
		Token: c.Token, Method: c.Method, Headers: c.Headers, Signature: c.Signature, Client: "demonstration",
	}
	if c.Late != "" {
		if call.Late, err = time.ParseDuration(c.Late); err != nil {
			return Step{}, err
		}
	}
	step := Step{Command: command(&call), Call: &CallStep{Action: c.Action, As: call.SecretID}}
	step.Call.Wire, err = call.Send(p.ctx, p.API, p.Wall)
	if err != nil {
		return step, err
	}
	if len(step.Call.Wire.Request.Body) > mostShown {
		step.Call.Wire.Request.Body = step.Call.Wire.Request.Body[:mostShown] + "…"
	}
	answer, err := step.Call.Wire.Answer()
	if err != nil {
		return step, nil // a fault may take the answer away: the wire says so
	}
	step.Call.Code, step.Call.Message, step.Call.Reply = cmp.Or(answer.Code, OK), answer.Message, answer.Reply
	return step, nil
}

// mostShown is how much of a body a transcript has.
const mostShown = 4096

// command is a call as a command line; what is wrong with it on purpose, a
// command can't do.
func command(c *caller.Call) string {
	text := "ssmlocal call " + c.Action
	if parameters := string(c.Parameters); parameters != "{}" && len(parameters) < 1000 {
		text += " " + caller.Word(parameters)
	}
	if c.SecretID != firstID {
		text += " --as " + caller.Word(c.SecretID)
	}
	if c.Signature != "" {
		text += " --signature " + c.Signature
	}
	return text
}

// Command returns a recipe's call as a command line, and reports whether a
// command can make it: not one with a wrong signature or another head.
func Command(action string, parameters []byte, c fixtures.Call) (line string, ok bool) {
	ok = c.SecretKey == "" && c.Token == "" && c.Method == "" && c.Host == "" && len(c.Headers) == 0 && c.Body == "" && c.Size == 0 && c.Late == ""
	return command(&caller.Call{Action: action, Parameters: parameters, SecretID: cmp.Or(c.As, firstID)}), ok
}

// firstID is the SecretId that calls if a recipe names none.
const firstID = "AKIDssmlocal"

// control makes a call of the control plane.
func (p *player) control(c fixtures.Control) Step {
	step := &ControlStep{Method: c.Method, Path: c.Path, Body: string(c.Body)}
	r, err := http.NewRequestWithContext(p.ctx, c.Method, "http://"+host+"/_ssmlocal"+c.Path, strings.NewReader(step.Body))
	if err != nil {
		step.Answer = err.Error()
		return Step{Control: step}
	}
	r.RequestURI = r.URL.RequestURI()
	answer := caller.NewRecorder()
	p.Control.ServeHTTP(answer, r)
	step.Status, step.Answer = answer.Status, answer.Body.String()
	text := "curl " + caller.Word("http://"+host+"/_ssmlocal"+c.Path)
	if c.Method != http.MethodGet {
		text = "curl -X " + c.Method + strings.TrimPrefix(text, "curl")
	}
	if step.Body != "" {
		text += " -d " + caller.Word(step.Body)
	}
	return Step{Command: cmp.Or(c.Command, text), Control: step}
}
