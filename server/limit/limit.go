// Package limit enforces request rates: one budget for each account, region and action, as the gateway documents it.
package limit

import (
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

// A Limiter holds the budgets. A budget of N gives N calls at once and N a second after that.
type Limiter struct {
	mu      sync.Mutex
	budgets map[Key]*budget
}

// New returns a limiter whose budgets are all unused.
func New() *Limiter { return &Limiter{budgets: map[Key]*budget{}} }

type budget struct {
	rate   *rate.Limiter
	mu     sync.Mutex
	second int64 // the second that calls counts
	calls  int
}

// most bounds how many budgets are kept before those that lie unused are dropped: a full budget and a new one are the
// same.
const most = 10000

// Check takes one call at the time now out of a budget of perSecond calls, or refuses it. A refused call counts for
// the message's number, as it does at the gateway (seen: "equals to `41`" at a limit of 40).
func (l *Limiter) Check(k Key, perSecond int, now time.Time) error {
	b := l.budget(k, perSecond, now)
	calls := b.count(now)
	if b.rate.AllowN(now, 1) {
		return nil
	}
	return apierr.RequestLimitExceeded.With(max(calls, perSecond+1), perSecond)
}

func (l *Limiter) budget(k Key, perSecond int, now time.Time) *budget {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.budgets[k]
	if b == nil {
		if len(l.budgets) >= most {
			l.dropUnusedLocked(now)
		}
		b = &budget{rate: rate.NewLimiter(rate.Limit(perSecond), perSecond)}
		l.budgets[k] = b
	}
	return b
}

func (l *Limiter) dropUnusedLocked(now time.Time) {
	for k, b := range l.budgets {
		if b.rate.TokensAt(now) >= float64(b.rate.Burst()) {
			delete(l.budgets, k)
		}
	}
}

// count counts the calls of the current second.
func (b *budget) count(now time.Time) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s := now.Unix(); s != b.second {
		b.second, b.calls = s, 0
	}
	b.calls++
	return b.calls
}
