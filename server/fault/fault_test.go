package fault

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// source is what every rule draws from.
func source() *rand.ChaCha8 { return rand.NewChaCha8([32]byte{1}) }

// picks makes n calls and writes what happened to each: the rule's id, or a
// dot.
func picks(s *Set, n int, c Call) string {
	var b strings.Builder
	for range n {
		if p := s.Pick(c); p != nil {
			b.WriteString(p.RuleID)
		} else {
			b.WriteString(".")
		}
	}
	return b.String()
}

var internal = Effect{Error: &Error{Code: "InternalError"}}

func TestWhen(t *testing.T) {
	for name, c := range map[string]struct {
		rule Rule
		want string
	}{
		"always":              {Rule{}, "1111111111"},
		"twice":               {Rule{Times: 2}, "11........"},
		"after three":         {Rule{After: 3}, "...1111111"},
		"every third":         {Rule{Every: 3}, "..1..1..1."},
		"all together":        {Rule{After: 1, Every: 2, Times: 3}, "..1.1.1..."},
		"for another action":  {Rule{Action: "ListSecrets"}, ".........."},
		"for the action":      {Rule{Action: "GetSecretValue", Times: 1}, "1........."},
		"for a name":          {Rule{SecretName: "db-*", Times: 1}, "1........."},
		"for another name":    {Rule{SecretName: "db"}, ".........."},
		"for any name":        {Rule{SecretName: "*", Times: 1}, "1........."},
		"for another account": {Rule{Uin: 2}, ".........."},
		"for another key":     {Rule{SecretID: "AKIDb", Uin: 1}, ".........."},
		"for another region":  {Rule{Region: "ap-beijing"}, ".........."},
		"for all of it":       {Rule{Action: "GetSecretValue", SecretName: "db-?", Uin: 1, SecretID: "AKIDa", Region: "ap-guangzhou"}, "1111111111"},
	} {
		s := New()
		c.rule.Effect = internal
		if _, err := s.Add(source(), c.rule); err != nil {
			t.Fatal(err)
		}
		call := Call{Action: "GetSecretValue", SecretName: "db-1", SecretID: "AKIDa", Uin: 1, Region: "ap-guangzhou"}
		if got := picks(s, 10, call); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
		if any := !strings.HasSuffix(c.want, ".") || c.rule.Times == 0; s.Any() != any {
			t.Errorf("%s: Any is %v afterwards", name, s.Any())
		}
	}
}

// TestNoSecret checks that a pattern for names matches no call without a
// secret.
func TestNoSecret(t *testing.T) {
	s := New()
	_, _ = s.Add(source(), Rule{SecretName: "*", Effect: internal})
	if s.Pick(Call{Action: "GetRegions"}) != nil || s.Pick(Call{SecretName: "a"}) == nil {
		t.Error("* is not any name")
	}
}

// TestScript consumes effects one by one, and shows how far it has come.
func TestScript(t *testing.T) {
	s := New()
	_, _ = s.Add(source(), Rule{ID: "x", Script: []Effect{internal, {Throttle: true}, {}, {Drop: true}}})
	var got []string
	for range 5 {
		if p := s.Pick(Call{}); p != nil {
			got = append(got, p.String())
		}
		r := s.List()[0]
		got = append(got, fmt.Sprintf("%d/%d", r.Hits, *r.Left))
	}
	if want := "InternalError 1/3 throttle 2/2 pass 3/1 drop 4/0 4/0"; strings.Join(got, " ") != want {
		t.Errorf("%v, want %s", got, want)
	}
	if s.Any() {
		t.Error("a spent rule costs something")
	}
}

// TestOrder checks that the oldest rule that is due decides; the rules after it
// don't see the call.
func TestOrder(t *testing.T) {
	s := New()
	_, _ = s.Add(source(), Rule{Effect: internal, Every: 2})
	_, _ = s.Add(source(), Rule{Effect: internal})
	if got := picks(s, 6, Call{}); got != "212121" {
		t.Error(got)
	}
	if r := s.List()[1]; r.Seen != 3 || r.Hits != 3 || r.Left != nil {
		t.Errorf("%+v", r)
	}
}

// TestSeed draws the same with the same seed, something with a probability
// between none and all, and other numbers for another rule.
func TestSeed(t *testing.T) {
	run := func() string {
		s, random := New(), source()
		_, _ = s.Add(random, Rule{ID: "a", Effect: internal, Probability: 0.5, Action: "A"})
		_, _ = s.Add(random, Rule{ID: "b", Effect: internal, Probability: 0.5, Action: "B"})
		return picks(s, 40, Call{Action: "A"}) + " " + picks(s, 40, Call{Action: "B"})
	}
	first := run()
	if again := run(); again != first {
		t.Errorf("%s\nthen %s", first, again)
	}
	a, b, _ := strings.Cut(first, " ")
	if strings.Count(a, ".") == 0 || strings.Count(a, ".") == 40 || strings.ReplaceAll(a, "a", "b") == b {
		t.Errorf("%s and %s", a, b)
	}
}

func TestDelay(t *testing.T) {
	s := New()
	var d Span
	if err := d.UnmarshalText([]byte("10ms-20ms")); err != nil {
		t.Fatal(err)
	}
	_, _ = s.Add(source(), Rule{Effect: Effect{Delay: d}})
	seen := map[time.Duration]bool{}
	for range 20 {
		w := s.Pick(Call{}).Wait
		seen[w] = true
		if w < 10*time.Millisecond || w > 20*time.Millisecond {
			t.Error(w)
		}
	}
	if len(seen) < 2 {
		t.Error("a range has one value")
	}
	if text, _ := d.MarshalText(); string(text) != "10ms-20ms" {
		t.Errorf("%s", text)
	}
	for _, bad := range []string{"", "3", "-1s", "2s-1s", "11m", "x-y", "0s"} {
		if d.UnmarshalText([]byte(bad)) == nil {
			t.Errorf("%q is a delay", bad)
		}
	}
}

// TestIDs chooses ids, refuses one that is taken, removes by id and by account,
// and keeps what is spent in bounds.
func TestIDs(t *testing.T) {
	s := New()
	for _, id := range []string{"1", "", "mine", ""} { // numbers that are chosen are skipped
		if _, err := s.Add(source(), Rule{ID: id, Effect: internal, Uin: 7}); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []string{"mine", "1", "3"} {
		if _, err := s.Add(source(), Rule{ID: id, Effect: internal}); err == nil {
			t.Errorf("the id %s is taken twice", id)
		}
	}
	var ids []string
	for _, r := range s.List() {
		ids = append(ids, r.ID)
	}
	if want := []string{"1", "2", "mine", "3"}; !slices.Equal(ids, want) {
		t.Errorf("%v, want %v", ids, want)
	}
	if !s.Remove("mine") || s.Remove("mine") {
		t.Error("mine was not there, or is still")
	}
	_, _ = s.Add(source(), Rule{Effect: internal})
	if n := s.Clear(7); n != 3 || len(s.List()) != 1 {
		t.Errorf("%d removed, %d left", n, len(s.List()))
	}
	s.Clear(0)
	for range 300 {
		_, _ = s.Add(source(), Rule{Effect: internal, Times: 1})
		s.Pick(Call{})
	}
	if n := len(s.List()); n != keptSpent || s.Any() {
		t.Errorf("%d spent rules are kept", n)
	}
}

// TestRest looks at what an export has of rules that have already hit.
func TestRest(t *testing.T) {
	s := New()
	_, _ = s.Add(source(), Rule{ID: "a", Effect: internal, Times: 3, After: 1, Action: "A"})
	_, _ = s.Add(source(), Rule{ID: "b", Script: []Effect{{}, internal}, Action: "B"})
	picks(s, 2, Call{Action: "A"})
	picks(s, 1, Call{Action: "B"})
	rest := s.Rest(0)
	if len(rest) != 2 || rest[0].Times != 2 || rest[0].After != 0 || len(rest[1].Script) != 1 {
		t.Errorf("%+v", rest)
	}
}

// TestWritten writes a 0 as text and in JSON: it is refused, as it would look
// like none.
func TestWritten(t *testing.T) {
	for text, want := range map[string]string{"0": "none", "-1": "none", "1": "both", "0.5": "chance", "3": "count", "x": "none", "": "none", "NaN": "none"} {
		var n Count
		var p Chance
		got := map[[2]bool]string{{true, true}: "both", {true, false}: "count", {false, true}: "chance", {false, false}: "none"}[[2]bool{
			n.UnmarshalText([]byte(text)) == nil, p.UnmarshalText([]byte(text)) == nil,
		}]
		if got != want {
			t.Errorf("%q is %s, want %s", text, got, want)
		}
	}
	if err := json.Unmarshal([]byte(`{"times":2,"every":3,"probability":0.5}`), new(Rule)); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{`{"times":0}`, `{"every":0}`, `{"probability":0}`, `{"times":"2"}`} {
		if json.Unmarshal([]byte(bad), new(Rule)) == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}

func TestCheck(t *testing.T) {
	known := Known{
		Actions: []string{"GetSecretValue", "ListSecrets"}, Regions: []string{"ap-guangzhou"},
		Codes: func(action string) []string {
			if action == "ListSecrets" {
				return []string{"InternalError"}
			}
			return []string{"InternalError", "ResourceNotFound"}
		},
		Has: func(code string) bool { return code == "InternalError" || code == "ResourceNotFound" },
	}
	with := func(code, message string) Effect { return Effect{Error: &Error{code, message}} }
	for _, c := range []struct {
		rule   Rule
		strict bool
		want   string // in the refusal, "" for none
	}{
		{Rule{Effect: internal}, true, ""},
		{Rule{Effect: internal, Action: "ListSecrets", SecretName: "a*", Region: "ap-guangzhou"}, true, ""},
		{Rule{Effect: with("ResourceNotFound", ""), Action: "ListSecrets"}, true, "ResourceNotFound"},
		{Rule{Effect: with("ResourceNotFound", ""), Action: "ListSecrets"}, false, ""},
		{Rule{Effect: with("Foo.Bar", "")}, true, "take one of InternalError, ResourceNotFound"},
		{Rule{Effect: with("Foo.Bar", "")}, false, "give a message with it, or take one of InternalError"},
		{Rule{Effect: with("Foo.Bar", "no")}, false, ""},
		{Rule{Effect: with("Foo Bar", "no")}, false, "is not a code"},
		{Rule{Effect: internal, Action: "GetSecret"}, true, "GetSecretValue, ListSecrets"},
		{Rule{Effect: internal, Region: "mars"}, true, "ap-guangzhou"},
		{Rule{Effect: internal, SecretName: "[a"}, true, "pattern"},
		{Rule{Effect: internal, Times: -1}, true, "times"},
		{Rule{Effect: internal, Probability: 1.5}, true, "at most 1"},
		{Rule{}, true, "nothing would happen"},
		{Rule{Effect: Effect{Throttle: true, Drop: true}}, true, "give only one"},
		{Rule{Effect: Effect{Truncate: true, Drop: true}}, true, "in half"},
		{Rule{Effect: Effect{Status: 99}}, true, "200 to 599"},
		{Rule{Effect: Effect{Status: 502, Delay: Span{1, 2}}}, true, ""},
		{Rule{Effect: internal, Script: []Effect{{}}}, true, "leave out any other effect"},
		{Rule{Script: []Effect{{}, with("Foo", "")}}, true, "script[1].error.code"},
		{Rule{Script: []Effect{{}, internal}}, true, ""},
	} {
		if !c.strict {
			c.rule.Strict = &c.strict
		}
		err := c.rule.Check(known)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%+v, strict %v: %v, want %q", c.rule, c.strict, err, c.want)
		}
	}
}

// TestReplaceKeepsChosenIDs checks that a rule without an id gets no number
// that another rule in the same list has chosen.
func TestReplaceKeepsChosenIDs(t *testing.T) {
	s := New()
	p, err := Prepare(strings.NewReader(strings.Repeat("x", 100)), []Rule{{Effect: internal}, {ID: "1", Effect: internal}, {Effect: internal}, {ID: "3", Effect: internal}})
	if err != nil {
		t.Fatal(err)
	}
	s.Replace(0, p)
	var ids []string
	for _, r := range s.List() {
		ids = append(ids, r.ID)
	}
	if want := []string{"2", "1", "4", "3"}; !slices.Equal(ids, want) {
		t.Errorf("%v, want %v", ids, want)
	}
}
