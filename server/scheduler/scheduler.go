// Package scheduler does what becomes due, and moves the virtual clock. What is
// due is done step by step, each a few milliseconds long, and everybody else
// goes on between two steps. A call waits for what is due before it is served,
// but never long: neither a failure nor a slow disk holds it up.
package scheduler

import (
	"context"
	"fmt"
	"math"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"ssmlocal/server/clock"
)

// A Scheduler knows when something is due next, and then does it. What happens
// is of type E.
type Scheduler[E any] struct {
	// Alone, if it is not nil, keeps calls out until free is called: while a run
	// is recorded, each step has its place between two calls.
	Alone func() (free func())

	clock *clock.Clock
	step  Step[E]

	moving chan struct{} // holds a token while the clock is moved or the state is replaced
	turn   chan struct{} // holds a token while a step is made

	next  atomic.Int64 // unix nanoseconds of what is due next, never if nothing is
	retry atomic.Int64 // wall time before which no step is made, after one that failed
	wake  chan struct{}

	mu      sync.Mutex
	noticed int64         // the earliest time given to Schedule during the present step
	stepped chan struct{} // closed after each step
	move    *move[E]      // the one that is under way
}

// A Step does the first things that are due until a time, in order, for some
// milliseconds at most. If keep is not nil, it stores, together with what it
// does, the clock's state that keep returns for the time of the last thing that
// was done.
type Step[E any] func(until time.Time, keep func(reached time.Time) clock.State) (Stepped[E], error)

// Stepped is what a step has done.
type Stepped[E any] struct {
	Happened []E
	Next     time.Time // when more is due, the zero time for never
	// Wait is closed when something is done that nobody here does and that is
	// due at Next: a move of the clock goes no further before that. nil for
	// nothing.
	Wait <-chan struct{}
}

const never = math.MaxInt64

// New returns a scheduler. What became due while there was none is due at once.
func New[E any](c *clock.Clock, step Step[E]) *Scheduler[E] {
	return &Scheduler[E]{
		clock: c, step: step, moving: make(chan struct{}, 1), turn: make(chan struct{}, 1),
		wake: make(chan struct{}, 1), stepped: make(chan struct{}),
	}
}

// Schedule says that something new is due at a time.
func (s *Scheduler[E]) Schedule(due time.Time) {
	at := nanoseconds(due)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noticed = min(s.noticed, at)
	if at < s.next.Load() {
		s.next.Store(at)
		s.look()
	}
}

// nanoseconds converts a time to the form of next. A time after the year 2261,
// for which there is no room, becomes never.
func nanoseconds(t time.Time) int64 {
	if t.IsZero() || t.Year() > 2261 {
		return never
	}
	return t.UnixNano()
}

// Moving reports whether Move is under way.
func (s *Scheduler[E]) Moving() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.move != nil
}

// look makes Run look at the time again.
func (s *Scheduler[E]) look() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// patience is how long a call waits for what is due.
const patience = 100 * time.Millisecond

// CatchUp waits until Run has done everything that is due at now, for a tenth
// of a second at most. With nothing due it costs one comparison.
func (s *Scheduler[E]) CatchUp(ctx context.Context, now time.Time) {
	if !s.Behind(now) {
		return
	}
	s.look()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		s.mu.Lock()
		stepped := s.stepped
		s.mu.Unlock()
		if !s.Behind(now) {
			return
		}
		select {
		case <-stepped:
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// CatchUpAlone is CatchUp for a caller who has kept others out as Alone does,
// and makes the steps itself. since is when the caller began to wait. It returns
// the wall time at which nothing was due any more, or at which its patience
// ended.
func (s *Scheduler[E]) CatchUpAlone(ctx context.Context, since time.Time) time.Time {
	wall := s.clock.Wall()
	for last := since.Add(patience); s.Behind(s.clock.At(wall)) && wall.Before(last); wall = s.clock.Wall() {
		ctx, cancel := context.WithTimeout(ctx, last.Sub(wall))
		err := acquire(ctx, s.turn)
		cancel()
		if err != nil {
			return s.clock.Wall()
		}
		_, err = s.stepLocked(s.clock.Now(), nil)
		release(s.turn)
		if err != nil { // Run meets it again, reports it, and tries again later
			return s.clock.Wall()
		}
	}
	return wall
}

// Behind reports whether something is due at now that can be expected to be
// done soon.
func (s *Scheduler[E]) Behind(now time.Time) bool {
	return now.UnixNano() >= s.next.Load() && s.clock.Wall().UnixNano() >= s.retry.Load()
}

// acquire takes a token, unless ctx ends first.
func acquire(ctx context.Context, token chan struct{}) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case token <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func release(token chan struct{}) { <-token }

// take takes the turn to make a step, and keeps calls out if Alone does. It
// returns ctx's error if that ends before.
func (s *Scheduler[E]) take(ctx context.Context) (free func(), err error) {
	let := func() {}
	if s.Alone != nil {
		let = s.Alone() // first: who is alone may take the turn, to catch up
	}
	if err := acquire(ctx, s.turn); err != nil {
		let()
		return nil, err
	}
	return func() { release(s.turn); let() }, nil
}

// stepLocked makes one step. The turn must be held.
func (s *Scheduler[E]) stepLocked(until time.Time, keep func(time.Time) clock.State) (done Stepped[E], err error) {
	s.mu.Lock()
	s.noticed = never
	s.mu.Unlock()
	func() {
		defer func() { // on Run's goroutine a panic would end the process
			if p := recover(); p != nil {
				err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
			}
		}()
		done, err = s.step(until, keep)
	}()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.next.Store(min(nanoseconds(done.Next), s.noticed))
	}
	close(s.stepped)
	s.stepped = make(chan struct{})
	return done, err
}

// Exclusive keeps Move and others who call Exclusive out until free is called.
// It returns ctx's error if that ends before it is their turn.
func (s *Scheduler[E]) Exclusive(ctx context.Context) (free func(), err error) {
	if err := acquire(ctx, s.moving); err != nil {
		return nil, err
	}
	return func() { release(s.moving) }, nil
}

// Reset runs do, which changes the state, while no step is made, and looks
// again at what is due. The caller holds Exclusive.
func (s *Scheduler[E]) Reset(ctx context.Context, do func() error) error {
	freeTurn, err := s.take(ctx)
	if err != nil {
		return err
	}
	defer freeTurn()
	if err := do(); err != nil {
		return err
	}
	s.retry.Store(0)
	s.next.Store(0)
	s.look()
	return nil
}

// Move moves the clock to what plan returns: a state, and its time now. It goes
// from due time to due time, does everything at its own time, and returns when
// everything that is due by then is done. Calls are served between two steps;
// they see a clock that has reached what is due next, and everything before
// that is done. each is called after every step with what happened and how far
// the clock is. If ctx ends, the clock stays where it is.
//
// What was due before is done first and belongs to no move. Moves come one
// after the other.
func (s *Scheduler[E]) Move(ctx context.Context, plan func() (clock.State, time.Time, error), each func(happened []E, reached time.Time)) error {
	free, err := s.Exclusive(ctx)
	if err != nil {
		return err
	}
	defer free()
	if err := s.finish(ctx); err != nil {
		return err
	}
	m := move[E]{s: s, frozen: s.clock.State().Frozen, each: each}
	defer m.end()
	s.mu.Lock()
	s.move = &m
	s.mu.Unlock()
	planned := false
	for !m.done {
		freeTurn, err := s.take(ctx)
		if err != nil {
			return err
		}
		if !planned { // with the turn held: nobody makes a step while the time is moved
			m.target, m.to, err = plan()
			planned = true
		}
		if err == nil {
			err = m.stepLocked()
		}
		freeTurn()
		if err != nil {
			return err
		}
		if err := m.waitFor(ctx); err != nil {
			return err
		}
	}
	s.look()
	return nil
}

// move is a move of the clock on its way.
type move[E any] struct {
	s      *Scheduler[E]
	frozen bool // before the move
	target clock.State
	to     time.Time
	each   func([]E, time.Time)
	done   bool
	// reached is the time of the last thing that was done; there may be more to
	// do at that time. The clock stands before it then, so that calls see
	// nothing undone.
	reached time.Time
	wait    <-chan struct{} // of the last step
}

// waitFor waits for what the last step has left to others. Nothing is held
// meanwhile.
func (m *move[E]) waitFor(ctx context.Context) error {
	if m.wait == nil {
		return nil
	}
	select {
	case <-m.wait:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// stepLocked makes one step. The turn must be held.
func (m *move[E]) stepLocked() error {
	s := m.s
	var last time.Time
	done, err := s.stepLocked(m.to, func(reached time.Time) clock.State {
		if last = reached; !last.Before(m.to) {
			return m.target
		}
		if now := s.clock.Now(); last.Before(now) {
			last = now
		}
		return m.at(last)
	})
	if err != nil {
		return err
	}
	m.wait = done.Wait
	s.mu.Lock()
	m.reached = last
	s.mu.Unlock()
	next := s.next.Load()
	if next > m.to.UnixNano() {
		s.clock.Restore(m.target)
		m.done = true
		m.each(done.Happened, m.to)
		return nil
	}
	// It stands still until the next step: a clock that ran would come to what
	// is due.
	reached := time.Unix(0, next-1)
	if reached.After(s.clock.Now()) {
		s.clock.Restore(clock.State{Frozen: true, At: reached.UnixNano()})
	}
	m.each(done.Happened, s.clock.Now())
	return nil
}

// at is the clock's state at a time, going or standing as before the move.
func (m *move[E]) at(t time.Time) clock.State {
	if m.frozen {
		return clock.State{Frozen: true, At: t.UnixNano()}
	}
	return clock.State{Offset: int64(t.Sub(m.s.clock.Wall()))}
}

// end ends a move that got a part of the way: the clock goes on from the last
// thing that was done.
func (m *move[E]) end() {
	s := m.s
	if s.Alone != nil {
		defer s.Alone()()
	}
	s.mu.Lock()
	s.move = nil
	s.mu.Unlock()
	if m.done || !s.clock.State().Frozen {
		return
	}
	if m.reached.After(s.clock.Now()) {
		s.clock.Restore(clock.State{Frozen: true, At: m.reached.UnixNano()})
		s.look()
	}
	if !m.frozen {
		s.clock.Run()
	}
}

// State is the clock's state as it is, or would be if the move ended now that
// is under way.
func (s *Scheduler[E]) State() clock.State {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, state := s.move, s.clock.State()
	if m == nil || !state.Frozen {
		return state
	}
	at := time.Unix(0, state.At)
	if m.reached.After(at) {
		at = m.reached
	}
	return m.at(at)
}

// Still keeps steps and Reset out until free is called. It returns ctx's error
// if that ends before it is its turn.
func (s *Scheduler[E]) Still(ctx context.Context) (free func(), err error) {
	if err := acquire(ctx, s.turn); err != nil {
		return nil, err
	}
	return func() { release(s.turn) }, nil
}

// finish does the work that is due now, before a move begins. It makes at least
// one step, so that events from before the move are not counted as its own.
func (s *Scheduler[E]) finish(ctx context.Context) error {
	for first := true; first || s.clock.Now().UnixNano() >= s.next.Load(); first = false {
		freeTurn, err := s.take(ctx)
		if err != nil {
			return err
		}
		_, err = s.stepLocked(s.clock.Now(), nil)
		freeTurn()
		if err != nil {
			return err
		}
	}
	return nil
}

const (
	// longest is how long Run sleeps at most: timers and a clock that was set
	// drift apart, and what was set aside is to be tried again.
	longest = time.Minute

	firstRetry = time.Second
	lastRetry  = time.Minute
)

// Run does work when it becomes due, until ctx ends. If a step fails, failed is
// called with the error and the step is tried again: after a second, then after
// twice as long each time, up to a minute.
func (s *Scheduler[E]) Run(ctx context.Context, failed func(error)) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	failures := 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
			if s.clock.Wall().UnixNano() < s.retry.Load() {
				continue // the timer is set to then
			}
		case <-timer.C:
		}
		err := s.runStep(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			failed(err)
			wait := min(firstRetry<<min(failures, 10), lastRetry)
			failures++
			s.retry.Store(s.clock.Wall().Add(wait).UnixNano())
			timer.Reset(wait)
			continue
		}
		failures = 0
		s.retry.Store(0)
		timer.Reset(min(max(0, time.Duration(s.next.Load()-s.clock.Now().UnixNano())), longest))
	}
}

// runStep makes one step. It asks for the time only once it has the turn: the
// time before a Reset may have been a later one.
func (s *Scheduler[E]) runStep(ctx context.Context) error {
	freeTurn, err := s.take(ctx)
	if err != nil {
		return err
	}
	defer freeTurn()
	_, err = s.stepLocked(s.clock.Now(), nil)
	return err
}
