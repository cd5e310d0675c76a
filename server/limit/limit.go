// Package limit enforces request rates: one budget for each account, region and
// action, as the gateway documents it.
package limit

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"ssmlocal/server/apierr"
)

// A Key names a budget.
type Key struct {
	Uin            uint64
	Region, Action string
}

// A Limiter holds the budgets. A budget of N gives N calls at once and N a
// second after that.
type Limiter struct {
	mu      sync.RWMutex
	budgets map[Key]*budget
}

// New returns a limiter whose budgets are all unused.
func New() *Limiter { return &Limiter{budgets: map[Key]*budget{}} }

type budget struct {
	rate *rate.Limiter // nil for no limit

	mu     sync.Mutex
	second int64 // the second that calls counts
	calls  int
	use    Use
}

// A Use is how much of a budget was used.
type Use struct {
	Key
	Highest int   // most calls in a second
	Second  int64 // when that was, in unix seconds
	Refused int
}

// most bounds how many budgets are kept before unused ones are dropped: a full
// budget and a new one are the same.
const most = 10000

// Check takes one call at the time now out of a budget of perSecond calls, or
// refuses it. A refused call counts for the message's number, as it does at the
// gateway (seen: "equals to `41`" at a limit of 40). A budget of 0 has no
// limit: its calls are only counted.
func (l *Limiter) Check(k Key, perSecond int, now time.Time) error {
	b := l.budget(k, perSecond, now)
	ok := b.rate == nil || b.rate.AllowN(now, 1)
	calls := b.count(now, !ok)
	if ok {
		return nil
	}
	return apierr.RequestLimitExceeded.With(max(calls, perSecond+1), perSecond)
}

func (l *Limiter) budget(k Key, perSecond int, now time.Time) *budget {
	l.mu.RLock()
	b := l.budgets[k]
	l.mu.RUnlock()
	if b != nil {
		return b
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if b = l.budgets[k]; b == nil {
		if len(l.budgets) >= most {
			l.dropUnusedLocked(now)
		}
		b = &budget{use: Use{Key: k}}
		if perSecond > 0 {
			b.rate = rate.NewLimiter(rate.Limit(perSecond), perSecond)
		}
		l.budgets[k] = b
	}
	return b
}

// Forget makes the budgets of an account unused, or with 0 all.
func (l *Limiter) Forget(uin uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.budgets, func(k Key, _ *budget) bool { return uin == 0 || k.Uin == uin })
}

// Drop forgets the budgets of an action, or with "" all: its rate has changed.
func (l *Limiter) Drop(action string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.budgets, func(k Key, _ *budget) bool { return action == "" || k.Action == action })
}

func (l *Limiter) dropUnusedLocked(now time.Time) {
	for k, b := range l.budgets {
		if b.rate == nil || b.rate.TokensAt(now) >= float64(b.rate.Burst()) {
			delete(l.budgets, k)
		}
	}
}

// count counts the calls of the current second.
func (b *budget) count(now time.Time, refused bool) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s := now.Unix(); s != b.second {
		b.second, b.calls = s, 0
	}
	b.calls++
	if b.calls > b.use.Highest {
		b.use.Highest, b.use.Second = b.calls, b.second
	}
	if refused {
		b.use.Refused++
	}
	return b.calls
}

// Uses returns how much of each budget was used, by account, region and action.
func (l *Limiter) Uses() (uses []Use) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, b := range l.budgets {
		b.mu.Lock()
		uses = append(uses, b.use)
		b.mu.Unlock()
	}
	slices.SortFunc(uses, func(a, b Use) int {
		return cmp.Or(cmp.Compare(a.Uin, b.Uin), strings.Compare(a.Region, b.Region), strings.Compare(a.Action, b.Action))
	})
	return uses
}
