package backend

import (
	"bytes"
	"context"
	"errors"

	"ssmlocal/server/action"
	"ssmlocal/server/capsule"
	"ssmlocal/server/clock"
	"ssmlocal/server/seed"
	"ssmlocal/store"
)

// Where a recorded run begins: with the state of the start, and with each that
// replaces it.

// RestoreRandom returns the random numbers to where a capsule began.
func (b *Backend) RestoreRandom(state []byte) error { return b.random.restore(state) }

func (b *Backend) startOf(state []byte, c clock.State) capsule.Start {
	return capsule.Start{
		Wall: b.Clock.Wall().UTC(), Clock: capsule.Moment(c), Random: b.random.save(), State: string(state),
	}
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
		b.recorder.Begin(b.startOf(text, b.Clock.State()))
	}
	return err
}

// recordReplacement writes the state that will take the place of the present one.
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
		b.recorder.Begin(b.startOf(r.written, r.state.Clock))
	}
}
