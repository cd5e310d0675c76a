package demo

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"ssmlocal/fixtures"
)

// A Played is a tour that was played.
type Played struct {
	Tour  string        `json:"tour"`
	Title fixtures.Text `json:"title"`
	Start string        `json:"start"` // the command that starts such an emulator
	Steps []Step        `json:"steps"`
	OK    bool          `json:"ok"` // whether every step came out as it must
	Took  string        `json:"took"`
}

// Tour plays a tour. It goes on after a step that comes out wrong.
func Tour(ctx context.Context, start Start, t fixtures.Tour) (p Played, err error) {
	p = Played{Tour: t.Name, Title: t.Title, Start: "ssmlocal", Steps: []Step{}, OK: true}
	for _, name := range t.Seeds {
		p.Start += " --seed " + name
	}
	e, err := start(t.Seeds, nil)
	if err != nil {
		return p, err
	}
	defer e.Close()
	plays := player{ctx: ctx, Emulator: e}
	began := e.Wall()
	for _, s := range t.Steps {
		step, err := plays.step(s)
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return p, err
		}
		p.Steps = append(p.Steps, step)
		p.OK = p.OK && step.Wrong == ""
	}
	p.Took = e.Wall().Sub(began).String()
	return p, nil
}

// step makes one step, and compares what came.
func (p *player) step(s fixtures.TourStep) (step Step, err error) {
	if s.Control != nil {
		step = p.control(*s.Control)
		if step.Control.Status != http.StatusOK {
			step.Wrong = fmt.Sprintf("the status is %d", step.Control.Status)
		}
		step.Wrong = cmp.Or(step.Wrong, lacks(step.Control.Answer, s.Want.Has))
		step.Text = &s.Text
		return step, nil
	}
	codes := map[string]int{}
	for range max(1, s.Repeat) {
		if step, err = p.call(*s.Call); err != nil {
			return step, err
		}
		codes[step.Call.Code]++
	}
	if s.Repeat > 1 {
		step.Repeat, step.Codes = s.Repeat, codes
	}
	want := s.Want.Codes
	if len(want) == 0 {
		want = []string{cmp.Or(s.Want.Code, OK)}
	}
	if want[0] == noAnswer {
		want = []string{""}
	}
	for code := range codes {
		if !slices.Contains(want, code) {
			step.Wrong = fmt.Sprintf("the code is %s; it must be %s", cmp.Or(code, noAnswer), strings.Join(want, " or "))
		}
	}
	if len(codes) < len(want) {
		step.Wrong = fmt.Sprintf("only %v came, of %s", codes, strings.Join(want, ", "))
	}
	step.Wrong = cmp.Or(step.Wrong, lacks(step.Call.Wire.Response.Body, s.Want.Has))
	step.Text = &s.Text
	return step, nil
}

// noAnswer is what a tour wants of a call that gets no answer of the API.
const noAnswer = "none"

// lacks says which text an answer does not have.
func lacks(answer string, texts []string) string {
	for _, text := range texts {
		if !strings.Contains(answer, text) {
			return fmt.Sprintf("the answer does not have %q", text)
		}
	}
	return ""
}
