package backend

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"time"

	"ssmlocal/server/account"
	"ssmlocal/server/action"
	"ssmlocal/server/clock"
	"ssmlocal/server/seed"
	"ssmlocal/store"
)

// Where a recorded run begins: with the state of the start, and with each that
// replaces it.

// A Recorder records runs, each from a state on.
type Recorder interface {
	// Begin forgets what was recorded, and records from here on.
	Begin(Run)
	// Begun reports whether anything is recorded.
	Begun() bool
	// End records no more, and keeps why, until Begin.
	End(why string)
	// Alone waits until no request has its turn, and lets none begin until free
	// is called.
	Alone() (free func())
	// CatchUpBy says how to do what is due before a turn begins, for a request
	// that has waited since a time. The function returns the wall time at which
	// the turn begins.
	CatchUpBy(do func(since time.Time) time.Time)
	// Stepped notes that as many due items were tried, of those due until a
	// time. The caller is alone.
	Stepped(until time.Time, items int)
}

// A Run is where a run begins.
type Run struct {
	Wall  time.Time
	Clock clock.State
	Key   []byte // what is drawn follows from it
	State string // a seed
	// Keys are the temporary keys that were issued before, with the times at
	// which they expire by this clock. Bound are the SecretIds of those that the
	// instance metadata gives out, by role.
	Keys  []account.Credential
	Bound map[string]string
}

// beginRun begins a run with a state that has just taken its place.
func (b *Backend) beginRun(state []byte, c clock.State) error {
	run := Run{Wall: b.Clock.Wall().UTC(), Clock: c, Key: make([]byte, runKey), State: string(state)}
	_, _ = b.random.Read(run.Key) // never fails
	err := b.db.View(func(tx *store.Tx) error {
		return issued.Readable(tx, nil, func(_ []byte, k *account.Credential) {
			k.ExpiresAt += b.shift.Load()
			run.Keys = append(run.Keys, *k)
		})
	})
	b.bound.mu.Lock()
	run.Bound = maps.Clone(b.bound.ids)
	b.bound.mu.Unlock()
	b.drawn.follow(run.Key)
	b.recorder.Begin(run)
	return err
}

// Replay makes a backend that is open, and that nobody else uses, begin as a
// run did, without any bound instance. A run without a key draws anew. Without Run, nothing is done when it
// is due but by Repeat.
func (b *Backend) Replay(ctx context.Context, run Run) error {
	if _, err := b.Import(ctx, seed.Text("the capsule's state", []byte(run.State)).Unbound(), 0); err != nil {
		return err
	}
	b.Clock.Restore(run.Clock)
	b.drawn.follow(run.Key)
	b.bound.mu.Lock()
	maps.Copy(b.bound.ids, run.Bound)
	b.bound.mu.Unlock()
	return b.db.Update(func(tx *store.Tx) (err error) {
		for _, k := range run.Keys {
			k.ExpiresAt -= b.shift.Load()
			err = errors.Join(err, issued.Put(tx, []byte(k.SecretID), &k))
		}
		return err
	})
}

// Repeat tries as many due items as a step of the run has, of those due until a
// time.
func (b *Backend) Repeat(until time.Time, items int) error { return b.due.Repeat(until, items) }

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
		err = b.beginRun(text, b.Clock.State())
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
		if err := b.beginRun(r.written, r.state.Clock); err != nil {
			b.recorder.End("it could not be begun: " + err.Error())
		}
	}
}
