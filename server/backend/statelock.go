package backend

import (
	"context"
	"errors"
	"sync"
	"time"

	"ssmlocal/server/turn"
)

// A stateLock protects the state like a sync.RWMutex. Any number of calls hold
// it at once while they read and change the state; a replacement of the state
// holds it alone. A replacement takes no time: the new state has been written
// by then, and only memory is changed. It waits for the calls that hold the
// lock, callsEnd at most; calls that come meanwhile wait, too.
type stateLock struct {
	mu       sync.Mutex
	calls    int           // that hold the lock
	idle     chan struct{} // closed when calls comes to 0, for replace; nil if nobody waits for that
	replaced chan struct{} // closed when a replacement that waits or runs is over; nil without one

	// generations count the replacements of each account, under 0 those of
	// everything.
	generations map[uint64]uint64
	changed     chan struct{} // closed with each replacement, for calls that sleep
}

func newStateLock() *stateLock {
	return &stateLock{generations: map[uint64]uint64{}, changed: make(chan struct{})}
}

// RLock waits until no replacement is under way, a few seconds at most.
func (l *stateLock) RLock() {
	l.mu.Lock()
	for l.replaced != nil {
		over := l.replaced
		l.mu.Unlock()
		<-over
		l.mu.Lock()
	}
	l.calls++
	l.mu.Unlock()
}

// RUnlock gives the lock back.
func (l *stateLock) RUnlock() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.calls--; l.calls == 0 && l.idle != nil {
		close(l.idle)
		l.idle = nil
	}
}

// errBusy is why a state was not replaced.
var errBusy = errors.New("the state was not replaced, because running calls do not end; is the disk slow, or full?")

// callsEnd is how long replace waits for the calls that are under way.
const callsEnd = 5 * time.Second

// replace runs do once no call holds the lock; calls that come meanwhile wait.
// uin is the account whose state do replaces, 0 for all; if do fails, nothing
// was replaced. Only one replace may run at a time.
func (l *stateLock) replace(ctx context.Context, uin uint64, do func() error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.replaced = make(chan struct{})
	defer func() {
		close(l.replaced)
		l.replaced = nil
	}()
	if l.calls > 0 {
		idle := make(chan struct{})
		l.idle = idle
		l.mu.Unlock()
		late := time.NewTimer(callsEnd)
		defer late.Stop()
		var err error
		select {
		case <-idle:
		case <-ctx.Done():
			err = ctx.Err()
		case <-late.C:
			err = errBusy
		}
		l.mu.Lock()
		l.idle = nil
		if err != nil {
			return err
		}
	}
	if err := do(); err != nil {
		return err
	}
	l.generations[uin]++
	close(l.changed)
	l.changed = make(chan struct{})
	return nil
}

// Replaced is why a delayed call was given up: the state that it began with was
// replaced.
const Replaced = "the state was replaced"

// generation returns a number that changes when the state of an account is
// replaced, and a channel that is closed when any state is.
func (l *stateLock) generation(uin uint64) (number uint64, changed chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.generations[0] + l.generations[uin], l.changed
}

// without releases a call's lock, and its turn, while do runs, which may wait
// for others. It reports whether the state of the account was replaced
// meanwhile.
func (l *stateLock) without(t *turn.Turn, uin uint64, do func()) (replaced bool) {
	before, _ := l.generation(uin)
	func() {
		l.RUnlock()
		t.Give()
		defer func() {
			t.Take()
			l.RLock()
			t.Begin()
		}()
		do()
	}()
	now, _ := l.generation(uin)
	return now != before
}

// sleep delays a call of an account, without the lock and without its turn. If
// the call must be given up, it returns why, else "".
func (l *stateLock) sleep(ctx context.Context, d time.Duration, uin uint64, stopping <-chan struct{}) (cut string) {
	if d == 0 {
		return ""
	}
	t := turn.Of(ctx)
	timer := time.NewTimer(d)
	defer timer.Stop()
	before, changed := l.generation(uin)
	l.RUnlock()
	t.Give()
	for over := !t.Waits(); !over; {
		over = true
		select {
		case <-timer.C:
		case <-ctx.Done():
			cut = "the client gave up"
		case <-stopping:
			cut = "the server stops"
		case <-changed:
			var now uint64
			now, changed = l.generation(uin)
			over = now != before
		}
	}
	t.Take()
	l.RLock()
	if now, _ := l.generation(uin); now != before {
		cut = Replaced
	}
	return t.Resume(cut)
}
