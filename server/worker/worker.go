// Package worker makes happen what time makes due. It does so when the time comes, and at the latest before the next
// call is served: nobody sees a secret whose end has passed.
package worker

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// A Worker knows when something is due next and has it done.
type Worker struct {
	now  func() time.Time
	work func(now time.Time) (next time.Time, err error)

	next atomic.Int64 // unix nanoseconds of what is due next, never if nothing is
	mu   sync.Mutex   // held to write next, and while work runs
	wake chan struct{}
}

const never = math.MaxInt64

// New returns a worker that does what work does: all that is due at a time, in order, then tells when more is due, the
// zero time for never. What became due while no worker was there is due at once.
func New(now func() time.Time, work func(time.Time) (time.Time, error)) *Worker {
	return &Worker{now: now, work: work, wake: make(chan struct{}, 1)}
}

// Notice tells the worker of something new that is due at a time.
func (w *Worker) Notice(due time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if due.UnixNano() >= w.next.Load() {
		return
	}
	w.next.Store(due.UnixNano())
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// CatchUp returns once everything due at now is done. With nothing due it costs one comparison.
func (w *Worker) CatchUp(now time.Time) error {
	if now.UnixNano() < w.next.Load() {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if now.UnixNano() < w.next.Load() {
		return nil // another caller did it
	}
	next, err := w.work(now)
	switch {
	case err != nil:
		return err
	case next.IsZero():
		w.next.Store(never)
	default:
		w.next.Store(next.UnixNano())
	}
	return nil
}

// longest is how long Run sleeps at most: timers and a clock that was set drift apart.
const longest = time.Minute

// Run does what is due when its time comes, until ctx ends. failed is told what went wrong; it is tried again later.
func (w *Worker) Run(ctx context.Context, failed func(error)) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
		case <-timer.C:
		}
		now := w.now()
		if err := w.CatchUp(now); err != nil {
			failed(err)
			timer.Reset(longest)
			continue
		}
		timer.Reset(min(time.Duration(w.next.Load()-now.UnixNano()), longest))
	}
}
