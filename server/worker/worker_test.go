package worker

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var start = time.Unix(1_800_000_000, 0)

// plan is work to come: the times at which something is due.
type plan struct {
	mu   sync.Mutex
	due  []time.Time
	done []time.Time
	err  error
}

func (p *plan) work(now time.Time) (happened []time.Time, next time.Time, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return nil, time.Time{}, p.err
	}
	for len(p.due) > 0 && !p.due[0].After(now) {
		happened, p.due = append(happened, p.due[0]), p.due[1:]
	}
	p.done = append(p.done, happened...)
	if len(p.due) == 0 {
		return happened, time.Time{}, nil
	}
	return happened, p.due[0], nil
}

func (p *plan) add(at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.due = append(p.due, at)
}

func TestCatchUp(t *testing.T) {
	p := &plan{due: []time.Time{start, start.Add(time.Hour)}}
	w := New(func() time.Time { return start }, p.work)
	for _, step := range []struct {
		at   time.Duration
		done int
	}{{0, 1}, {time.Hour - 1, 1}, {time.Hour, 2}, {time.Hour, 2}} {
		if err := w.CatchUp(start.Add(step.at)); err != nil {
			t.Fatal(err)
		}
		if len(p.done) != step.done {
			t.Errorf("after %v %d are done, want %d", step.at, len(p.done), step.done)
		}
	}
}

func TestNotice(t *testing.T) {
	p := &plan{}
	w := New(func() time.Time { return start }, p.work)
	if err := w.CatchUp(start); err != nil {
		t.Fatal(err)
	}
	p.add(start.Add(time.Minute))
	w.Notice(start.Add(time.Minute))
	w.Notice(start.Add(time.Hour)) // later than what is known: changes nothing
	if err := w.CatchUp(start.Add(time.Minute)); err != nil || len(p.done) != 1 {
		t.Errorf("%d are done, %v", len(p.done), err)
	}
}

// TestMove moves the time from several goroutines: everything happens once, in order, and is told to one of them.
func TestMove(t *testing.T) {
	p := &plan{due: []time.Time{start}}
	for i := range 100 {
		p.due = append(p.due, start.Add(time.Duration(1+i)*time.Minute))
	}
	var mu sync.Mutex
	now := start
	read := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	w := New(read, p.work)
	var told []time.Time
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			happened, err := w.Move(func() (time.Time, error) {
				mu.Lock()
				defer mu.Unlock()
				now = now.Add(10 * time.Minute)
				return now, nil
			})
			if err != nil || len(happened) != 10 {
				t.Errorf("a move of ten minutes made %d things happen, %v", len(happened), err)
			}
			mu.Lock()
			defer mu.Unlock()
			told = append(told, happened...)
		})
	}
	wg.Wait()
	if len(told) != 100 || !slices.IsSortedFunc(p.done, time.Time.Compare) || len(p.done) != 101 {
		t.Errorf("%d told, %d done", len(told), len(p.done))
	}
	refused := errors.New("back")
	if _, err := w.Move(func() (time.Time, error) { return start, refused }); !errors.Is(err, refused) {
		t.Errorf("moved with %v", err)
	}
}

func TestFailureIsToldAndTriedAgain(t *testing.T) {
	broken := errors.New("broken")
	p := &plan{due: []time.Time{start}, err: broken}
	w := New(func() time.Time { return start }, p.work)
	for range 2 {
		if err := w.CatchUp(start); !errors.Is(err, broken) {
			t.Errorf("caught up with %v", err)
		}
	}
	p.err = nil
	if err := w.CatchUp(start); err != nil || len(p.done) != 1 {
		t.Errorf("%d are done, %v", len(p.done), err)
	}
}

// TestNobodyIsServedEarly lets many callers meet while work is under way: each returns only when it is done.
func TestNobodyIsServedEarly(t *testing.T) {
	var done atomic.Bool
	begun, finish := make(chan struct{}), make(chan struct{})
	w := New(func() time.Time { return start }, func(time.Time) ([]string, time.Time, error) {
		close(begun)
		<-finish
		done.Store(true)
		return nil, time.Time{}, nil
	})
	var wg sync.WaitGroup
	wg.Go(func() { _ = w.CatchUp(start) })
	<-begun
	for range 8 {
		wg.Go(func() {
			if _ = w.CatchUp(start); !done.Load() {
				t.Error("a caller was served before the work was done")
			}
		})
	}
	close(finish)
	wg.Wait()
}

// TestRun lets the worker work by itself.
func TestRun(t *testing.T) {
	worked := make(chan time.Time, 10)
	p := &plan{due: []time.Time{start}}
	w := New(func() time.Time { return start }, func(now time.Time) ([]time.Time, time.Time, error) {
		happened, next, err := p.work(now)
		worked <- now
		return happened, next, err
	})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); w.Run(ctx, func(err error) { t.Error(err) }) }()
	<-worked
	p.add(start)
	w.Notice(start) // due at once: Run must wake for it
	<-worked
	stop()
	<-ended
	if len(p.done) != 2 {
		t.Errorf("%d are done", len(p.done))
	}
}

// TestTimeStandsStillForRun lets Run ask for the time only while nobody can set it: a time from before Renew would make happen what
// is not due.
func TestTimeStandsStillForRun(t *testing.T) {
	var w *Worker[time.Time]
	asked := make(chan bool, 10)
	now := func() time.Time {
		free := w.mu.TryLock()
		if free {
			w.mu.Unlock()
		}
		asked <- free
		return start
	}
	w = New(now, new(plan).work)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.Run(ctx, func(err error) { t.Error(err) })
	}()
	for range 2 {
		if <-asked {
			t.Error("the time can change between asking for it and using it")
		}
		if err := w.Renew(func() error { return nil }); err != nil {
			t.Error(err)
		}
	}
	cancel()
	<-ended
}
