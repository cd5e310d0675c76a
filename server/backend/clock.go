package backend

import (
	"context"
	"errors"
	"slices"
	"time"

	"ssmlocal/server/action"
	"ssmlocal/server/clock"
	"ssmlocal/store"
)

// The virtual clock: how it is kept, and how it is moved.

// clocks keeps the virtual clock's state from start to start, under one key:
// data that was made at a later time must not be met at an earlier one.
var (
	clocks   = &store.Table[clock.State]{Name: "clock"}
	clockKey = []byte("virtual")
)

// keepClock writes the clock's state.
func (b *Backend) keepClock() error {
	state := b.Clock.State()
	return b.db.Update(func(tx *store.Tx) error { return clocks.Put(tx, clockKey, &state) })
}

// restoreClock restores the clock as the last start left it, if there was one.
func (b *Backend) restoreClock() error {
	return b.db.View(func(tx *store.Tx) error {
		state, err := clocks.Get(tx, clockKey)
		if state != nil {
			b.Clock.Restore(*state)
		}
		shift, err2 := shifts.Get(tx, shiftKey)
		if shift != nil {
			b.shift.Store(*shift)
		}
		return errors.Join(err, err2)
	})
}

// Frozen reports whether the virtual clock is frozen. A clock that is only
// paused during a move is not.
func (b *Backend) Frozen() bool { return b.scheduler.State().Frozen }

// Happenings are the things that happened during a move of the clock, in order
// of time.
type Happenings struct {
	Happened []action.Event `json:"happened"`
	// Omitted is how many more there were after those in Happened.
	Omitted int `json:"omitted,omitzero"`
}

// mostListed bounds how many things a move of the clock lists.
const mostListed = 100_000

func (h *Happenings) add(events []action.Event) {
	room := min(len(events), mostListed-len(h.Happened))
	h.Happened = append(h.Happened, events[:room]...)
	h.Omitted += len(events) - room
}

// Advance moves the virtual clock ahead. It returns when everything that
// becomes due on the way is done, with the new time and what happened. If ctx
// ends before that, the clock stays at the time that it has reached. A duration
// below 0 is a Refusal.
func (b *Backend) Advance(ctx context.Context, by time.Duration) (now time.Time, h Happenings, err error) {
	h, err = b.moveClock(ctx, func() (state clock.State, to time.Time, err error) {
		state, now, err = b.Clock.Ahead(by)
		return state, now, err
	})
	return now, h, err
}

// AdvanceTo is Advance to a moment, which must not be past.
func (b *Backend) AdvanceTo(ctx context.Context, to time.Time) (Happenings, error) {
	return b.moveClock(ctx, func() (clock.State, time.Time, error) {
		state, err := b.Clock.AheadTo(to)
		return state, to, err
	})
}

// SetClock moves the clock ahead to a moment, unless that is nil, and stops it
// there or lets it go on, unless frozen is nil.
func (b *Backend) SetClock(ctx context.Context, now *time.Time, frozen *bool) (Happenings, error) {
	return b.moveClock(ctx, func() (state clock.State, to time.Time, err error) {
		state, to = b.Clock.State(), b.Clock.Now()
		if now != nil {
			if to = *now; to.IsZero() {
				return state, to, errors.New("now is missing, or the year 1; give a time such as 2030-01-02T15:04:05Z")
			}
			if state, err = b.Clock.AheadTo(to); err != nil {
				return state, to, err
			}
		}
		switch {
		case frozen == nil:
		case *frozen:
			state = clock.State{Frozen: true, At: to.UnixNano()}
		case now != nil || state.Frozen:
			state = clock.State{Offset: int64(to.Sub(b.Clock.Wall()))}
		}
		return state, to, nil
	})
}

// moveClock moves the clock step by step and does what becomes due. The clock's
// state is stored together with what is done: if the process ends on the way,
// the next one finds a clock that is not earlier than the data.
func (b *Backend) moveClock(ctx context.Context, plan func() (clock.State, time.Time, error)) (h Happenings, err error) {
	ctx, cancel := b.While(ctx)
	defer cancel()
	work := b.works.begin("a move of the clock", b.log)
	defer work.end()
	var refused error
	var began time.Time
	h.Happened = []action.Event{}
	err = b.scheduler.Move(ctx, func() (state clock.State, to time.Time, err error) {
		began = b.Clock.Now()
		state, to, refused = plan()
		b.edited()
		return state, to, refused
	}, func(happened []action.Event, reached time.Time) {
		// What a database has done that was due before is not the move's.
		happened = slices.DeleteFunc(happened, func(e action.Event) bool { return e.At.Before(began) })
		h.add(happened)
		work.add(len(happened))
		work.at.Store(&reached)
	})
	if refused != nil {
		return h, Refusal{Conflict, refused.Error()}
	}
	if err != nil {
		if kept := b.keepClock(); kept != nil {
			err = errors.Join(err, kept)
		}
		if errors.Is(err, context.Canceled) {
			b.log.Warn("a move of the clock was stopped on its way: its caller disconnected, or the server is stopping",
				"clock", b.Clock.Now().UTC().Format(time.RFC3339), "happened", len(h.Happened)+h.Omitted)
		}
	}
	return h, err
}
