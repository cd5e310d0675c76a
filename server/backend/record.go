package backend

import (
	"bytes"
	"context"
	"errors"
	"time"

	"ssmlocal/server/action"
	"ssmlocal/server/clock"
	"ssmlocal/server/seed"
	"ssmlocal/store"
)

// Where a recorded run begins: with the state of the start, and with each that
// replaces it.

// A Recorder records runs, each from a state on.
type Recorder interface {
	// Begin forgets what was recorded, and records from a wall time, a virtual
	// clock, a place in the random numbers, and a state, which is a seed.
	Begin(wall time.Time, c clock.State, random []byte, state string)
	// Begun reports whether anything is recorded.
	Begun() bool
	// End records no more, and keeps why, until Begin.
	End(why string)
}

// RestoreRandom returns the random numbers to where a capsule began.
func (b *Backend) RestoreRandom(state []byte) error { return b.random.restore(state) }

// beginRun begins a run with a state that has just taken its place.
func (b *Backend) beginRun(state []byte, c clock.State) {
	b.recorder.Begin(b.Clock.Wall().UTC(), c, b.random.save(), string(state))
}

// recordStart begins a run with the state that the start has found.
func (b *Backend) recordStart(ctx context.Context) error {
	if b.recorder == nil || b.recorder.Begun() {
		return nil
	}
	g := b.generations.Load()
	if err := action.MakeKeyPairs(ctx, b.db, g, 0); err != nil {
		return err
	}
	text, err := b.written(func(tx *store.Tx) (*seed.State, error) {
		stored, err := storedCredentials(tx, g, 0)
		roles, err2 := rolesOf(tx, g, 0)
		return &seed.State{Clock: b.Clock.State(), Credentials: stored, Roles: roles, Faults: b.Faults.Rest(0)}, errors.Join(err, err2)
	}, g)
	if err == nil {
		b.beginRun(text, b.Clock.State())
	}
	return err
}

// recordReplacement writes the state that will take the place of the present
// one.
func (r *replacement) recordReplacement(ctx context.Context) (err error) {
	b := r.b
	if b.recorder == nil || r.uin != 0 {
		return nil
	}
	if err := action.MakeKeyPairs(ctx, b.db, r.generations, 0); err != nil {
		return err
	}
	r.written, err = b.written(func(*store.Tx) (*seed.State, error) { return r.state, nil }, r.generations)
	return err
}

// written is a state as a seed.
func (b *Backend) written(of func(*store.Tx) (*seed.State, error), g *action.Generations) ([]byte, error) {
	var out bytes.Buffer
	err := b.db.View(func(tx *store.Tx) error {
		s, err := of(tx)
		if err != nil {
			return err
		}
		w := seed.NewWriter(&out, s.Clock, s.Credentials, s.Roles, s.Faults)
		if err := action.Read(tx, g, 0, w); err != nil {
			return err
		}
		return w.Close()
	})
	return out.Bytes(), err
}

// record begins a run with the state that has just taken its place, or ends it.
func (r *replacement) record() {
	switch b := r.b; {
	case b.recorder == nil:
	case r.uin != 0:
		b.recorder.End("the state of one account was replaced")
	default:
		b.beginRun(r.written, r.state.Clock)
	}
}
