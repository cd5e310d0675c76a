package scheduler

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"ssmlocal/server/clock"
)

var start = time.Unix(1_800_000_000, 0)

// plan is work to come: the times at which something is due. A step does one of
// them.
type plan struct {
	mu   sync.Mutex
	due  []time.Time
	done []time.Time
	kept []clock.State
	err  error
}

func (p *plan) step(until time.Time, keep func(time.Time) clock.State) (done Stepped[time.Time], err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return done, p.err
	}
	slices.SortFunc(p.due, time.Time.Compare)
	if len(p.due) > 0 && !p.due[0].After(until) {
		done.Happened, p.due = p.due[:1:1], p.due[1:]
	}
	p.done = append(p.done, done.Happened...)
	reached := until
	if len(p.due) > 0 {
		if done.Next = p.due[0]; !done.Next.After(until) && len(done.Happened) > 0 {
			reached = done.Happened[0]
		}
	}
	if keep != nil {
		p.kept = append(p.kept, keep(reached))
	}
	return done, nil
}

func (p *plan) add(at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.due = append(p.due, at)
}

func (p *plan) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.done)
}

// frozen returns a scheduler whose clock is frozen at a moment, and runs it.
func frozen(t *testing.T, p *plan) (*Scheduler[time.Time], *clock.Clock) {
	t.Helper()
	c := new(clock.Clock)
	c.Restore(clock.State{Frozen: true, At: start.UnixNano()})
	s := New(c, p.step)
	ctx, stop := context.WithCancel(t.Context())
	var ended sync.WaitGroup
	ended.Go(func() {
		s.Run(ctx, func(err error) {
			if p.err == nil {
				t.Error(err)
			}
		})
	})
	t.Cleanup(func() { stop(); ended.Wait() })
	return s, c
}

func TestCallWaitsForWhatIsDue(t *testing.T) {
	p := &plan{due: []time.Time{start, start, start.Add(time.Hour)}}
	s, _ := frozen(t, p)
	s.CatchUp(t.Context(), start)
	if p.count() != 2 {
		t.Errorf("%d are done when the call goes on, want 2", p.count())
	}
}

func TestScheduleWakesRun(t *testing.T) {
	p := &plan{}
	s, _ := frozen(t, p)
	s.CatchUp(t.Context(), start)
	p.add(start)
	s.Schedule(start)
	s.Schedule(start.Add(time.Hour)) // later than what is known: changes nothing
	s.CatchUp(t.Context(), start)
	if p.count() != 1 {
		t.Errorf("%d are done, want 1", p.count())
	}
}

// TestScheduleDuringStepIsNotLost schedules something during a step that has
// already looked for what is due.
func TestScheduleDuringStepIsNotLost(t *testing.T) {
	var s *Scheduler[time.Time]
	steps := 0
	s = New(new(clock.Clock), func(time.Time, func(time.Time) clock.State) (Stepped[time.Time], error) {
		if steps++; steps == 1 {
			s.Schedule(start)
		}
		return Stepped[time.Time]{}, nil
	})
	if err := s.runStep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if next := s.next.Load(); next != start.UnixNano() {
		t.Errorf("next is %d, want %d", next, start.UnixNano())
	}
}

// TestMoveGoesStepByStep moves the clock over a hundred things: each step
// stores a clock that has reached what is due next, calls are served between
// the steps, and everything is reported in order.
func TestMoveGoesStepByStep(t *testing.T) {
	p := &plan{}
	for i := range 100 {
		p.due = append(p.due, start.Add(time.Duration(1+i)*time.Minute))
	}
	s, c := frozen(t, p)
	var told []time.Time
	err := s.Move(t.Context(), func() (clock.State, time.Time, error) { return c.Ahead(50*time.Minute + time.Second) },
		func(happened []time.Time, reached time.Time) {
			told = append(told, happened...)
			if !c.Now().Equal(reached) {
				t.Errorf("the clock is %v, and %v is reported", c.Now(), reached)
			}
			p.mu.Lock()
			defer p.mu.Unlock()
			if len(p.due) > 0 && !c.Now().Before(p.due[0]) {
				t.Errorf("at %v a call could see that %v is not done", c.Now(), p.due[0])
			}
		})
	if err != nil || len(told) != 50 || !slices.IsSortedFunc(told, time.Time.Compare) {
		t.Errorf("%d of 50 happened, %v", len(told), err)
	}
	if want := start.Add(50*time.Minute + time.Second); !c.Now().Equal(want) {
		t.Errorf("the clock is %v, want %v", c.Now(), want)
	}
	p.mu.Lock() // Run goes on making steps
	defer p.mu.Unlock()
	for i, state := range p.kept[1:] {
		if state.At < p.kept[i].At || i < len(p.done)-1 && state.At < p.done[i].UnixNano() {
			t.Errorf("kept clock %d is %v, after %v was done", i, time.Unix(0, state.At), p.done[i])
		}
	}
}

func TestMovesComeOneAfterTheOther(t *testing.T) {
	p := &plan{}
	for i := range 100 {
		p.due = append(p.due, start.Add(time.Duration(1+i)*time.Minute))
	}
	s, c := frozen(t, p)
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			n := 0
			err := s.Move(t.Context(), func() (clock.State, time.Time, error) { return c.Ahead(10 * time.Minute) },
				func(happened []time.Time, _ time.Time) { n += len(happened) })
			if err != nil || n != 10 {
				t.Errorf("a move of ten minutes made %d things happen, %v", n, err)
			}
		})
	}
	all.Wait()
	if p.count() != 100 {
		t.Errorf("%d are done", p.count())
	}
}

func TestMoveThatIsRefusedChangesNothing(t *testing.T) {
	s, c := frozen(t, &plan{})
	refused := errors.New("back")
	err := s.Move(t.Context(), func() (clock.State, time.Time, error) { return clock.State{}, start, refused }, nil)
	if !errors.Is(err, refused) || !c.Now().Equal(start) {
		t.Errorf("%v, and the clock is %v", err, c.Now())
	}
}

func TestMoveEndsWithItsCaller(t *testing.T) {
	p := &plan{}
	for i := range 100 {
		p.due = append(p.due, start.Add(time.Duration(1+i)*time.Minute))
	}
	s, c := frozen(t, p)
	ctx, cancel := context.WithCancel(t.Context())
	err := s.Move(ctx, func() (clock.State, time.Time, error) { return c.Ahead(time.Hour * 24) },
		func([]time.Time, time.Time) {
			if p.count() == 10 {
				cancel()
			}
		})
	if !errors.Is(err, context.Canceled) || p.count() > 11 {
		t.Errorf("%v after %d", err, p.count())
	}
	if want := start.Add(11*time.Minute - 1); !c.Now().Equal(want) {
		t.Errorf("the clock is %v, want %v, just before what is due next", c.Now(), want)
	}
}

// TestMoveEndsWithinAMoment gives a move up when only a part of what is due at
// one moment is done: calls saw the time before that moment, and afterwards the
// clock is not earlier than what is done.
func TestMoveEndsWithinAMoment(t *testing.T) {
	moment := start.Add(time.Hour)
	p := &plan{due: []time.Time{moment, moment, moment}}
	c := new(clock.Clock)
	c.Restore(clock.State{Frozen: true, At: start.UnixNano()})
	s := New(c, p.step)
	ctx, cancel := context.WithCancel(t.Context())
	err := s.Move(ctx, func() (clock.State, time.Time, error) { return c.Ahead(time.Hour * 24) },
		func([]time.Time, time.Time) {
			cancel()
			if !c.Now().Equal(moment.Add(-1)) {
				t.Errorf("on the way the clock is %v", c.Now())
			}
			if at := time.Unix(0, s.State().At); !at.Equal(moment) {
				t.Errorf("an export on the way has the clock %v", at)
			}
		})
	if !errors.Is(err, context.Canceled) || p.count() != 1 {
		t.Errorf("%v after %d", err, p.count())
	}
	if !c.Now().Equal(moment) {
		t.Errorf("the clock is %v, want %v", c.Now(), moment)
	}
	if kept := p.kept[len(p.kept)-1]; kept.At != moment.UnixNano() {
		t.Errorf("the clock that is kept is %v", time.Unix(0, kept.At))
	}
}

// TestFailureHoldsNobodyUp lets every step fail: it is reported, tried again
// later, and a call goes on at once meanwhile.
func TestFailureHoldsNobodyUp(t *testing.T) {
	p := &plan{due: []time.Time{start}, err: errors.New("broken")}
	c := new(clock.Clock)
	s := New(c, p.step)
	ctx, stop := context.WithCancel(t.Context())
	failed := make(chan error, 10)
	ended := make(chan struct{})
	go func() { defer close(ended); s.Run(ctx, func(err error) { failed <- err }) }()
	if err := <-failed; !errors.Is(err, p.err) {
		t.Errorf("reported %v", err)
	}
	for s.retry.Load() == 0 {
		s.CatchUp(ctx, start)
	}
	if s.Behind(start) {
		t.Error("a call would wait for what fails")
	}
	stop()
	<-ended
}

// TestPanicIsAnError lets a step panic.
func TestPanicIsAnError(t *testing.T) {
	s := New(new(clock.Clock), func(time.Time, func(time.Time) clock.State) (Stepped[time.Time], error) { panic("boom") })
	if err := s.runStep(t.Context()); err == nil {
		t.Error("a panic is no error")
	}
}

// TestResetKeepsStepsOut delays a step: a Reset waits for it, and its caller
// can give up.
func TestResetKeepsStepsOut(t *testing.T) {
	begun, finish := make(chan struct{}), make(chan struct{})
	s := New(new(clock.Clock), func(time.Time, func(time.Time) clock.State) (Stepped[time.Time], error) {
		close(begun)
		<-finish
		return Stepped[time.Time]{}, nil
	})
	stepped := make(chan error)
	go func() { stepped <- s.runStep(t.Context()) }()
	<-begun
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Reset(gone, func() error { t.Error("ran during a step"); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("Reset: %v", err)
	}
	close(finish)
	if err := errors.Join(<-stepped, s.Reset(t.Context(), func() error { return nil })); err != nil || s.next.Load() != 0 {
		t.Errorf("%v, next is %d", err, s.next.Load())
	}
}
