package backend

import (
	"slices"
	"sync"

	"ssmlocal/fixtures"
	"ssmlocal/server/action"
	"ssmlocal/server/apierr"
	"ssmlocal/server/fault"
	"ssmlocal/server/ssm"
)

// documented returns the documented facts, which are read on the first call.
var documented = sync.OnceValues(fixtures.Facts)

// Documented returns the documented facts of the API.
func (b *Backend) Documented() (fixtures.API, error) { return documented() }

// AddFault adds a rule for calls that must fail. A rule that names something
// unknown is a Refusal.
func (b *Backend) AddFault(r fault.Rule) (fault.Report, error) {
	known, err := knownToFaults()
	if err != nil {
		return fault.Report{}, err
	}
	if err := r.Check(known); err != nil {
		return fault.Report{}, Refusal{Invalid, err.Error()}
	}
	b.stateLock.RLock()
	defer b.stateLock.RUnlock()
	report, err := b.Faults.Add(b.random, r)
	b.edited()
	if err != nil {
		return fault.Report{}, Refusal{Conflict, err.Error()}
	}
	return report, nil
}

// ClearFaults removes the rules that concern an account, or with 0 all, and
// returns how many there were.
func (b *Backend) ClearFaults(uin uint64) int {
	b.stateLock.RLock()
	defer b.stateLock.RUnlock()
	defer b.edited()
	return b.Faults.Clear(uin)
}

// RemoveFault removes a rule, and reports whether there was one with that id.
func (b *Backend) RemoveFault(id string) bool {
	b.stateLock.RLock()
	defer b.stateLock.RUnlock()
	defer b.edited()
	return b.Faults.Remove(id)
}

// knownToFaults is what rules may name.
func knownToFaults() (fault.Known, error) {
	api, err := documented()
	k := fault.Known{Regions: ssm.Regions(), Actions: action.Names()}
	k.Codes = func(name string) []string {
		documented, ok := api.Actions[name]
		if !ok {
			return apierr.Codes()
		}
		codes := append(slices.Clone(documented.Errors), api.Common...)
		slices.Sort(codes)
		return slices.Compact(codes)
	}
	k.Has = func(code string) bool { return slices.Contains(apierr.Codes(), code) }
	return k, err
}
