// Package worker makes happen what time makes due. It does so when the time comes, and at the latest before the next
// call is served: nobody sees a secret whose end has passed.
package worker

import (
	"context"
	"fmt"
	"math"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// A Worker knows when something is due next and has it done. What it made happen is of type E.
type Worker[E any] struct {
	now  func() time.Time
	work Work[E]

	next atomic.Int64 // unix nanoseconds of what is due next, never if nothing is
	mu   sync.Mutex   // held to write next, and while work runs
	wake chan struct{}
}

// Work does all that is due at a time, in order. It returns what happened, and when more is due, the zero time for never.
type Work[E any] func(now time.Time) (happened []E, next time.Time, err error)

const never = math.MaxInt64

// New returns a worker. What became due while no worker was there is due at once.
func New[E any](now func() time.Time, work Work[E]) *Worker[E] {
	return &Worker[E]{now: now, work: work, wake: make(chan struct{}, 1)}
}

// Notice tells the worker of something new that is due at a time.
func (w *Worker[E]) Notice(due time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if at := nanoseconds(due); at < w.next.Load() {
		w.next.Store(at)
		w.stir()
	}
}

// nanoseconds is a time as next has it: what the count has no room for, after the year 2261, never comes.
func nanoseconds(t time.Time) int64 {
	if t.IsZero() || t.Year() > 2261 {
		return never
	}
	return t.UnixNano()
}

// stir lets Run look at the time anew.
func (w *Worker[E]) stir() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// CatchUp returns once everything due at now is done. With nothing due it costs one comparison.
func (w *Worker[E]) CatchUp(now time.Time) error {
	if now.UnixNano() < w.next.Load() {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	_, err := w.catchUpLocked(now)
	return err
}

func (w *Worker[E]) catchUpLocked(now time.Time) (happened []E, err error) {
	if now.UnixNano() < w.next.Load() {
		return nil, nil
	}
	defer func() { // on Run's goroutine a panic would end the process
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	happened, next, err := w.work(now)
	if err == nil {
		w.next.Store(nanoseconds(next))
	}
	return happened, err
}

// Move moves the time, which move does, and returns once everything due by then is done, with what happened because of
// the move. What was due before it is done first and belongs to no move. Moves come one after the other.
func (w *Worker[E]) Move(move func() (time.Time, error)) (happened []E, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, err := w.catchUpLocked(w.now()); err != nil {
		return nil, err
	}
	now, err := move()
	if err != nil {
		return nil, err
	}
	w.stir()
	return w.catchUpLocked(now)
}

// Renew runs do, which changes what there is, while nothing else is done, and looks anew at what is due.
func (w *Worker[E]) Renew(do func() error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	err := do()
	w.next.Store(0)
	w.stir()
	return err
}

// longest is how long Run sleeps at most: timers and a clock that was set drift apart.
const longest = time.Minute

// Run does what is due when its time comes, until ctx ends. failed is told what went wrong; it is tried again later.
func (w *Worker[E]) Run(ctx context.Context, failed func(error)) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
		case <-timer.C:
		}
		if wait, err := w.doDue(); err != nil {
			failed(err)
			timer.Reset(longest)
		} else {
			timer.Reset(min(wait, longest))
		}
	}
}

// doDue does what is due now, and returns how long until more is. It asks for the time only when nothing else is done: the time
// before Renew may have been a later one.
func (w *Worker[E]) doDue() (wait time.Duration, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.now()
	_, err = w.catchUpLocked(now)
	return time.Duration(w.next.Load() - now.UnixNano()), err
}
