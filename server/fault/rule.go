// Package fault provokes failures: rules say which calls fail, when, and how. A
// Set of rules picks what happens to a call; the server makes it happen. Rules
// count the calls that they match and those that they hit, so that a test can
// prove that what it provoked has happened.
package fault

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"ssmlocal/server/near"
)

// A Rule is one failure to provoke.
type Rule struct {
	// ID names the rule; "" lets the Set choose one.
	ID string `json:"id,omitzero" yaml:"id,omitempty"`

	// Which calls: all that agree with every one of these that is set.
	Action     string `json:"action,omitzero" yaml:"action,omitempty"`
	SecretName string `json:"secretName,omitzero" yaml:"secretName,omitempty"` // with * and ? as in file names
	SecretID   string `json:"secretId,omitzero" yaml:"secretId,omitempty"`     // of the caller's key
	Uin        uint64 `json:"uin,omitzero" yaml:"uin,omitempty"`
	Region     string `json:"region,omitzero" yaml:"region,omitempty"`

	// Of these calls, After pass first. Then every Every-th is hit (without it,
	// all), with a Probability (without it, always), until Times of them were
	// hit (without it, there is no end).
	Times       Count  `json:"times,omitzero" yaml:"times,omitempty"`
	After       int    `json:"after,omitzero" yaml:"after,omitempty"`
	Every       Count  `json:"every,omitzero" yaml:"every,omitempty"`
	Probability Chance `json:"probability,omitzero" yaml:"probability,omitempty"`

	Effect `yaml:",inline"`
	// Script has an effect for each hit instead of one for all; the empty
	// effect lets a call pass. After its last one the rule is spent.
	Script []Effect `json:"script,omitzero" yaml:"script,omitempty"`

	// Strict, if it is false, lets codes through that are not documented for
	// the action; nil is true.
	Strict *bool `json:"strict,omitzero" yaml:"strict,omitempty"`
}

// A Count is a number of calls, from 1 on; 0 in Go means that none is given. A
// 0 in a seed or a flag is a mistake: it would look like no hit.
type Count int

// A Chance is a probability, more than 0 and at most 1; 0 in Go means that none
// is given. A 0 in a seed or a flag is a mistake.
type Chance float64

// A FormError says what a Count, a Chance or a Span looks like. It quotes
// nothing of what was written.
type FormError string

// Error is the whole of it.
func (e FormError) Error() string { return string(e) }

const (
	errCount  = FormError("it must be a number of calls from 1 on, or be left out")
	errChance = FormError("it must be more than 0 and at most 1, or be left out")
)

// UnmarshalText reads a number, in seeds and flags.
func (c *Count) UnmarshalText(text []byte) error {
	n, err := strconv.Atoi(string(text))
	if err != nil || n < 1 {
		return errCount
	}
	*c = Count(n)
	return nil
}

// UnmarshalJSON reads a number.
func (c *Count) UnmarshalJSON(text []byte) error { return c.UnmarshalText(text) }

// UnmarshalText reads a number, in seeds and flags.
func (c *Chance) UnmarshalText(text []byte) error {
	p, err := strconv.ParseFloat(string(text), 64)
	if err != nil || !(p > 0 && p <= 1) {
		return errChance
	}
	*c = Chance(p)
	return nil
}

// UnmarshalJSON reads a number.
func (c *Chance) UnmarshalJSON(text []byte) error { return c.UnmarshalText(text) }

// An Effect is what happens to a call. Delay and Truncate go together with
// others; Error, Throttle, Status and Drop exclude each other.
type Effect struct {
	Error *Error `json:"error,omitzero" yaml:"error,omitempty"`
	// Throttle answers RequestLimitExceeded with the action's own rate.
	Throttle bool `json:"throttle,omitzero" yaml:"throttle,omitempty"`
	// Delay makes the call wait before anything is done.
	Delay Span `json:"delay,omitzero" yaml:"delay,omitempty"`
	// Status answers with an HTTP status and a page that is not the API's, as a
	// broken gateway does.
	Status int `json:"status,omitzero" yaml:"status,omitempty"`
	// Drop resets the connection before anything is done.
	Drop bool `json:"drop,omitzero" yaml:"drop,omitempty"`
	// Truncate does what the call asks for and sends half of the answer.
	Truncate bool `json:"truncate,omitzero" yaml:"truncate,omitempty"`
}

// An Error is an API error to answer with. Without a Message it has the code's
// own, in the caller's language.
type Error struct {
	Code    string `json:"code" yaml:"code"`
	Message string `json:"message,omitzero" yaml:"message,omitempty"`
}

// A Span is a length of time, or a range from which one is drawn: "3s",
// "500ms-2s".
type Span struct{ Min, Max time.Duration }

// LongestDelay is the longest time that a call can be delayed.
const LongestDelay = 10 * time.Minute

// MarshalText writes a span as UnmarshalText reads it.
func (s Span) MarshalText() ([]byte, error) {
	if s.Min == s.Max {
		return []byte(s.Min.String()), nil
	}
	return []byte(s.Min.String() + "-" + s.Max.String()), nil
}

// UnmarshalText reads a duration, or two with a - between them.
func (s *Span) UnmarshalText(text []byte) error {
	low, high, ranged := strings.Cut(string(text), "-")
	if !ranged {
		high = low
	}
	least, err1 := time.ParseDuration(low)
	most, err2 := time.ParseDuration(high)
	if err1 != nil || err2 != nil || least <= 0 || most < least || most > LongestDelay {
		return FormError("a delay is a time such as 3s, or a range such as 500ms-2s, up to " + LongestDelay.String())
	}
	*s = Span{least, most}
	return nil
}

// String says what the effect does.
func (e Effect) String() string {
	var parts []string
	if e.Delay != (Span{}) {
		text, _ := e.Delay.MarshalText()
		parts = append(parts, "delay "+string(text))
	}
	switch {
	case e.Error != nil:
		parts = append(parts, e.Error.Code)
	case e.Throttle:
		parts = append(parts, "throttle")
	case e.Status != 0:
		parts = append(parts, fmt.Sprintf("status %d", e.Status))
	case e.Drop:
		parts = append(parts, "drop")
	}
	if e.Truncate {
		parts = append(parts, "truncate")
	}
	if len(parts) == 0 {
		return "pass"
	}
	return strings.Join(parts, ", ")
}

// Known is what a rule may name.
type Known struct {
	Actions []string
	// Codes returns the codes that an action can answer, or, for "", all there
	// are.
	Codes func(action string) []string
	// Has reports whether a code has a text of its own.
	Has func(code string) bool
	// Regions are those that calls can be for.
	Regions []string
}

// Lengths are checked separately from the form: a pattern with a length bound
// takes long to compile, at each start.
var ruleID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// Check refuses a rule that names something unknown or that is impossible. One
// that is not strict may also answer a code that is not documented for its
// action, or, with a message, one that is not documented at all.
func (r *Rule) Check(k Known) error {
	if all := r.Mistakes(k); len(all) > 0 {
		return all[0]
	}
	return nil
}

// Mistakes are all that Check can refuse, of the effects the first one.
func (r *Rule) Mistakes(k Known) (all []error) {
	wrong := func(format string, args ...any) { all = append(all, fmt.Errorf(format, args...)) }
	if r.ID != "" && (!ruleID.MatchString(r.ID) || len(r.ID) > 64) {
		wrong("id: it is %q, it must have letters, digits and - _ . only, at most 64, the first one a letter or a digit", r.ID)
	}
	if r.Action != "" && !slices.Contains(k.Actions, r.Action) {
		wrong("action: there is no action %q%s; the actions are %s", r.Action, near.Hint(r.Action, k.Actions), strings.Join(k.Actions, ", "))
	}
	if r.Region != "" && !slices.Contains(k.Regions, r.Region) {
		wrong("region: there is no region %q%s; the regions are %s", r.Region, near.Hint(r.Region, k.Regions), strings.Join(k.Regions, ", "))
	}
	if _, err := path.Match(r.SecretName, ""); err != nil {
		wrong("secretName: %q is no pattern; it takes *, ? and [a-z], as file names do", r.SecretName)
	}
	if r.Times < 0 || r.After < 0 || r.Every < 0 {
		wrong("times, after and every count calls, they can't be less than 0")
	}
	if !(r.Probability >= 0 && r.Probability <= 1) {
		wrong("probability: %w", errChance)
	}
	if err := r.checkEffects(k); err != nil {
		all = append(all, err)
	}
	return all
}

func (r *Rule) checkEffects(k Known) error {
	strict := r.Strict == nil || *r.Strict
	if len(r.Script) == 0 {
		if r.Effect == (Effect{}) {
			return fmt.Errorf("nothing would happen: give one of error, throttle, delay, status, drop, truncate or script")
		}
		return r.Effect.check(r.Action, k, strict)
	}
	if r.Effect != (Effect{}) || r.Times != 0 {
		return fmt.Errorf("script: it gives the effects and their number, so leave out any other effect and times")
	}
	for i, e := range r.Script {
		if err := e.check(r.Action, k, strict); err != nil {
			return fmt.Errorf("script[%d].%w", i, err)
		}
	}
	return nil
}

func (e Effect) check(action string, k Known, strict bool) error {
	ends := 0
	for _, is := range []bool{e.Error != nil, e.Throttle, e.Status != 0, e.Drop} {
		if is {
			ends++
		}
	}
	switch {
	case ends > 1:
		return fmt.Errorf("error: give only one of error, throttle, status and drop")
	case e.Truncate && (e.Drop || e.Status != 0):
		return fmt.Errorf("truncate: it cuts an answer of the API in half; with drop or status there is no such answer")
	case e.Status != 0 && (e.Status < 200 || e.Status > 599):
		return fmt.Errorf("status: it is %d; it must be an HTTP status from 200 to 599", e.Status)
	case e.Error != nil:
		return e.Error.check(action, k, strict)
	}
	return nil
}

func (e *Error) check(action string, k Known, strict bool) error {
	codes := k.Codes(action)
	if slices.Contains(codes, e.Code) {
		return nil
	}
	where := "the API"
	if action != "" {
		where = action
	}
	switch {
	case strict:
		return fmt.Errorf("error.code: %q%s is not documented for %s; allow it with strict false (--no-strict), or take one of %s",
			e.Code, near.Hint(e.Code, codes), where, strings.Join(codes, ", "))
	case !validCode(e.Code):
		return fmt.Errorf("error.code: %q is not a code; codes are words and dots, such as FailedOperation.AccessKmsError", e.Code)
	case !k.Has(e.Code) && e.Message == "":
		return fmt.Errorf("error.code: %q%s is not a code of the API: give a message with it, or take one of %s", e.Code, near.Hint(e.Code, k.Codes("")), strings.Join(k.Codes(""), ", "))
	}
	return nil
}

func validCode(code string) bool {
	ok := func(c rune) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_'
	}
	return code != "" && len(code) <= 128 && !strings.ContainsFunc(code, func(c rune) bool { return !ok(c) })
}
