// Package gateway serves the API: one call from the request to the answer, in
// one straight line (call.go). It finds out which action is meant and who
// calls, holds callers to the documented rates, lets faults hit, asks policies,
// and has the backend do the rest. Every call goes into the log, the journal
// and the metrics, all from one record, which never has a secret's value.
//
// The promise: every request gets an answer in the API's form, with the
// documented code of the first thing that is wrong with it, and makes no other
// caller wait.
package gateway

import (
	"cmp"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"ssmlocal/server/action"
	"ssmlocal/server/backend"
	"ssmlocal/server/journal"
	"ssmlocal/server/limit"
	"ssmlocal/server/near"
	"ssmlocal/server/tc3"
)

// A Config says how a gateway behaves. Its zero value works: the documented
// rates hold.
type Config struct {
	// Unlimited lifts the documented request rates.
	Unlimited bool
	// Rates sets the calls per second of single actions, by name, with or
	// without a documented rate. It also applies if Unlimited is set.
	Rates map[string]int
	// Journal is how many calls the journal keeps; 0 is 1,000, less than 0 is
	// none.
	Journal int
	// Log gets a line for each call at debug level, and at higher levels what
	// needs attention.
	Log *slog.Logger
}

// A ConfigError is a mistake in a Config itself.
type ConfigError struct{ error }

// Unwrap returns what is wrong with it.
func (e ConfigError) Unwrap() error { return e.error }

const defaultJournal = 1000

// A Gateway serves the API over a backend.
type Gateway struct {
	// Journal has the last calls.
	Journal *journal.Journal

	backend  *backend.Backend
	services map[string]*service
	rates    atomic.Pointer[map[string]int] // calls per second, by action; an action that isn't there has no limit
	start    map[string]int                 // as configured
	changing sync.Mutex                     // held while rates are changed
	limiter  *limit.Limiter
	verifier tc3.Verifier
	metrics  *metrics
	log      *slog.Logger
}

// New returns a gateway. A mistake in the configuration is a ConfigError.
func New(b *backend.Backend, c Config) (*Gateway, error) {
	rates, err := rates(c)
	if err != nil {
		return nil, err
	}
	g := &Gateway{
		Journal: journal.New(max(0, cmp.Or(c.Journal, defaultJournal))),
		backend: b, services: newServices(), start: rates, limiter: limit.New(), metrics: newMetrics(b), log: c.Log,
	}
	g.rates.Store(&rates)
	b.OnReplace(func(uin uint64) {
		g.limiter.Forget(uin)
		g.Journal.Forget(uin)
	})
	return g, nil
}

// Rate returns the calls per second that an action may have here, 0 for no
// limit.
func (g *Gateway) Rate(name string) int { return (*g.rates.Load())[name] }

// AllRates returns the calls per second of every action that has a limit here.
func (g *Gateway) AllRates() map[string]int { return maps.Clone(*g.rates.Load()) }

// UseRates puts others in place of all of them. All budgets begin anew.
func (g *Gateway) UseRates(all map[string]int) {
	g.changing.Lock()
	defer g.changing.Unlock()
	own := map[string]int{}
	for name, perSecond := range all {
		if perSecond > 0 {
			own[name] = perSecond
		}
	}
	g.rates.Store(&own)
	g.limiter.Drop("")
}

// SetRate changes the calls per second that an action may have; 0 is no limit.
// Its budgets begin anew. The caller has checked that there is such an action.
func (g *Gateway) SetRate(name string, perSecond int) {
	g.changing.Lock()
	defer g.changing.Unlock()
	rates := maps.Clone(*g.rates.Load())
	if rates[name] = perSecond; perSecond == 0 {
		delete(rates, name)
	}
	g.rates.Store(&rates)
	g.limiter.Drop(name)
}

// SetRates changes the rates of all actions: to none, to those that are
// documented, or to those of the start. All budgets begin anew.
func (g *Gateway) SetRates(which Rates) {
	all := map[string]int{}
	switch which {
	case StartRates:
		all = g.start
	case DocumentedRates:
		all, _ = rates(Config{}) // there is no mistake in no configuration
	}
	g.UseRates(all)
}

// Rates names the rates of all actions.
type Rates int

// The rates that there are.
const (
	NoRates Rates = iota
	DocumentedRates
	StartRates
)

// Uses returns how much of each rate was used.
func (g *Gateway) Uses() []limit.Use { return g.limiter.Uses() }

// rates returns the calls per second that each limited action of any service
// may have.
func rates(c Config) (map[string]int, error) {
	rates := map[string]int{}
	var names []string
	for _, set := range action.Sets() {
		for _, a := range set.Actions {
			names = append(names, a.Name)
			if !c.Unlimited {
				rates[a.Name] = a.Rate
			}
		}
	}
	for name, perSecond := range c.Rates {
		switch {
		case !slices.Contains(names, name):
			return nil, ConfigError{fmt.Errorf("there is no action %s%s to limit; the actions are %s", name, near.Hint(name, names), strings.Join(names, ", "))}
		case perSecond < 1:
			return nil, ConfigError{fmt.Errorf("the limit of %s is %d; it must be at least 1 a second; to lift all limits use --limits off", name, perSecond)}
		}
		rates[name] = perSecond
	}
	return rates, nil
}
