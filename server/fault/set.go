package fault

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A Set is the rules of a server. If several rules match a call, the oldest one
// that is due decides. It is safe for concurrent use.
type Set struct {
	live  atomic.Int32 // rules that are not spent
	mu    sync.Mutex
	rules []*rule
	spent []*rule         // the last of them, for List
	ids   map[string]bool // of rules
	drawn int             // how many ids were chosen
}

type rule struct {
	Rule
	seen, hits int
	numbered   bool // its id was chosen here
	pattern    bool // SecretName is a pattern, not just a name
	random     *rand.Rand
}

// keptSpent is how many spent rules List still shows.
const keptSpent = 100

// New returns an empty set.
func New() *Set { return &Set{ids: map[string]bool{}} }

// A Call is what a rule's conditions are compared with.
type Call struct {
	Action, SecretName, SecretID, Region string
	Uin                                  uint64
	// Chance, if it is not nil, is told whether a rule with a probability hits
	// by what was drawn, and returns whether it does.
	Chance func(drawn bool) bool
}

// A Plan is what happens to one call.
type Plan struct {
	RuleID string
	Effect
	Wait time.Duration // as drawn from Delay
}

// A Report is a rule with what it has matched and hit.
type Report struct {
	Rule
	Seen int  `json:"seen"`          // calls that it matched
	Hits int  `json:"hits"`          // calls that it hit
	Left *int `json:"left,omitzero"` // hits until it is spent; absent for a rule without end
}

// Any reports whether a call could be hit. It is the only cost for a server
// without faults.
func (s *Set) Any() bool { return s.live.Load() > 0 }

// Add adds a rule that was checked, which gets a seed from random. An id that is
// taken is an error.
func (s *Set) Add(random io.Reader, r Rule) (Report, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	added, err := prepare(random, r)
	if err == nil {
		err = s.addLocked(added, nil)
	}
	if err != nil {
		return Report{}, err
	}
	return added.report(), nil
}

// prepare makes a rule from a Rule that was checked. Each rule draws from its
// own random source.
func prepare(random io.Reader, r Rule) (*rule, error) {
	var seed [16]byte
	if _, err := io.ReadFull(random, seed[:]); err != nil {
		return nil, err
	}
	return &rule{
		Rule: r, numbered: r.ID == "", pattern: strings.ContainsAny(r.SecretName, `*?[\`),
		random: rand.New(rand.NewPCG(binary.LittleEndian.Uint64(seed[:]), binary.LittleEndian.Uint64(seed[8:]))),
	}, nil
}

// addLocked adds a rule. One without an id gets a number that is free and not
// reserved.
func (s *Set) addLocked(r *rule, reserved map[string]bool) error {
	if s.ids[r.ID] {
		return fmt.Errorf("id: there is a rule %q already; choose another id, or none", r.ID)
	}
	for r.ID == "" || s.ids[r.ID] || r.numbered && reserved[r.ID] {
		s.drawn++
		r.ID = strconv.Itoa(s.drawn)
	}
	s.rules = append(s.rules, r)
	s.ids[r.ID] = true
	if len(s.spent) > 0 {
		s.spent = slices.DeleteFunc(s.spent, func(x *rule) bool { return x.ID == r.ID })
	}
	s.live.Store(int32(len(s.rules)))
	return nil
}

// Prepared are rules that are ready to be put in place of others.
type Prepared struct {
	rules    []*rule
	reserved map[string]bool // the ids that they were given
}

// Prepare gets rules ready that were checked. What they draw comes from random.
func Prepare(random io.Reader, rules []Rule) (p Prepared, err error) {
	p.reserved = make(map[string]bool, len(rules))
	for _, r := range rules {
		made, err := prepare(random, r)
		if err != nil {
			return p, err
		}
		p.rules = append(p.rules, made)
		p.reserved[r.ID] = true
	}
	return p, nil
}

// Replace removes what Clear does, and adds rules that were prepared, all at
// once. If an id is taken by another rule, the rule gets a free one.
func (s *Set) Replace(uin uint64, p Prepared) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropLocked(func(r *rule) bool { return uin == 0 || r.Uin == uin })
	for _, r := range p.rules {
		if s.ids[r.ID] {
			r.ID, r.numbered = "", true
		}
		_ = s.addLocked(r, p.reserved) // no id is taken now
	}
}

// Has reports whether a rule that can still hit has an id, not counting rules
// that are for one given account alone.
func (s *Set) Has(id string, butFor uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ids[id] && slices.ContainsFunc(s.rules, func(r *rule) bool { return r.ID == id && r.Uin != butFor })
}

// Pick returns what happens to a call, nil if nothing does.
func (s *Set) Pick(c Call) *Plan {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, r := range s.rules {
		if !r.matches(c) || !r.turn(c) {
			continue
		}
		plan := &Plan{RuleID: r.ID, Effect: r.effect()}
		if d := plan.Delay; d != (Span{}) {
			plan.Wait = d.Min + time.Duration(r.random.Int64N(int64(d.Max-d.Min)+1))
		}
		r.hits++
		if r.left() == 0 {
			s.rules = slices.Delete(s.rules, i, i+1)
			delete(s.ids, r.ID)
			s.spent = append(s.spent[max(0, len(s.spent)+1-keptSpent):], r)
			s.live.Store(int32(len(s.rules)))
		}
		return plan
	}
	return nil
}

func (r *rule) matches(c Call) bool {
	if r.Action != "" && r.Action != c.Action || r.SecretID != "" && r.SecretID != c.SecretID ||
		r.Uin != 0 && r.Uin != c.Uin || r.Region != "" && r.Region != c.Region {
		return false
	}
	if r.SecretName == "" || r.SecretName == c.SecretName {
		return r.SecretName == "" || c.SecretName != ""
	}
	if !r.pattern || c.SecretName == "" {
		return false
	}
	named, _ := path.Match(r.SecretName, c.SecretName) // checked
	return named
}

// turn counts a call that matches and reports whether it is to be hit.
func (r *rule) turn(c Call) bool {
	r.seen++
	n := r.seen - r.After
	if n <= 0 || n%max(1, int(r.Every)) != 0 {
		return false
	}
	if r.Probability == 0 || r.Probability == 1 {
		return true
	}
	hits := r.random.Float64() < float64(r.Probability)
	if c.Chance != nil {
		hits = c.Chance(hits)
	}
	return hits
}

// effect is that of the next hit.
func (r *rule) effect() Effect {
	if len(r.Script) > 0 {
		return r.Script[r.hits]
	}
	return r.Effect
}

// left is how many hits are left, -1 for no end.
func (r *rule) left() int {
	switch {
	case len(r.Script) > 0:
		return len(r.Script) - r.hits
	case r.Times > 0:
		return int(r.Times) - r.hits
	}
	return -1
}

func (r *rule) report() Report {
	out := Report{Rule: r.Rule, Seen: r.seen, Hits: r.hits}
	if n := r.left(); n >= 0 {
		out.Left = &n
	}
	return out
}

// List returns every rule: those that can still hit in their order, then the
// last ones that are spent.
func (s *Set) List() []Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []Report{}
	for _, r := range append(slices.Clone(s.rules), s.spent...) {
		out = append(out, r.report())
	}
	return out
}

// Remove removes the rule with an id, and reports whether there was one.
func (s *Set) Remove(id string) bool {
	return s.drop(func(r *rule) bool { return r.ID == id }) > 0
}

// Clear removes all rules, or, with a Uin, those that are for that account
// alone. It returns how many there were.
func (s *Set) Clear(uin uint64) int {
	return s.drop(func(r *rule) bool { return uin == 0 || r.Uin == uin })
}

func (s *Set) drop(which func(*rule) bool) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dropLocked(which)
}

func (s *Set) dropLocked(which func(*rule) bool) int {
	before := len(s.rules) + len(s.spent)
	s.rules, s.spent = slices.DeleteFunc(s.rules, which), slices.DeleteFunc(s.spent, which)
	s.ids = make(map[string]bool, len(s.rules))
	for _, r := range s.rules {
		s.ids[r.ID] = true
	}
	s.live.Store(int32(len(s.rules)))
	if len(s.rules)+len(s.spent) == 0 {
		s.drawn = 0
	}
	return before - len(s.rules) - len(s.spent)
}

// Rest returns rules with the hits that the rules which can still hit have
// left; with a Uin, only of rules for that account alone. Ids that were chosen
// here are left out: another set, or another account, may have them.
func (s *Set) Rest(uin uint64) (rest []Rule) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.rules {
		if uin != 0 && r.Uin != uin {
			continue
		}
		left := r.Rule
		if r.numbered {
			left.ID = ""
		}
		left.After = max(0, r.After-r.seen)
		if len(r.Script) > 0 {
			left.Script = r.Script[r.hits:]
		} else if r.Times > 0 {
			left.Times -= Count(r.hits)
		}
		rest = append(rest, left)
	}
	return rest
}
