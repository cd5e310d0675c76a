package backend

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ssmlocal/server/account"
	"ssmlocal/server/action"
	"ssmlocal/server/clock"
	"ssmlocal/server/fault"
	"ssmlocal/server/seed"
	"ssmlocal/server/ssm"
	"ssmlocal/store"
)

// Replacing the state: an import, and what a reset, a merge and a snapshot that
// is loaded share with it.

// credentials has the credentials of the state, under their IDKey; those of the
// configuration are not part of the state. roles has the roles, under their
// account's key and their name.
var (
	credentials = &store.Table[account.Credential]{Name: "credentials"}
	roles       = &store.Table[account.Role]{Name: "roles"}
)

// shifts keeps, under one key, by how much replacements have moved the virtual
// clock in total, so that temporary keys have as much of their life left after
// a replacement as before. The sum may overflow. That does no harm, because
// only differences of it count.
var (
	shifts   = &store.Table[int64]{Name: "shifts"}
	shiftKey = []byte("shift")
)

// storedCredentials returns the credentials of the state, of every account but
// one. Those that can't be read are left out; the error says so.
func storedCredentials(tx *store.Tx, g *action.Generations, but uint64) (all []account.Credential, err error) {
	err = credentials.Readable(tx, nil, func(key []byte, c *account.Credential) {
		if _, generation := action.SplitIDKey(key); c.Uin != but && g.Live(c.Uin, generation) {
			all = append(all, *c)
		}
	})
	return all, err
}

// Import puts a seed in place of the whole state, or with a Uin of that
// account. A mistake in it is a Refusal. Then, or if ctx ends, nothing is
// changed.
func (b *Backend) Import(ctx context.Context, source *seed.Source, uin uint64) (seed.Counts, error) {
	return b.replace(ctx, "import", []*seed.Source{source}, uin, b.random)
}

// build makes a state from files. Everything that takes long is done here,
// while calls go on.
func (b *Backend) build(
	ctx context.Context, sources []*seed.Source, uin uint64,
	handOn func(now time.Time, uin uint64, h *ssm.SecretSnapshot) error,
) (*seed.State, error) {
	rules, err := b.rules(uin)
	if err != nil {
		return nil, err
	}
	return seed.Build(ctx, sources, rules, handOn)
}

// idTaken reports whether a SecretId belongs to a state that is not replaced:
// to the configuration or, if only one account is replaced, to another account.
func (b *Backend) idTaken(uin uint64, secretID string) (taken bool, err error) {
	if b.Directory.Owns(secretID) || uin == 0 {
		return b.Directory.Owns(secretID), nil
	}
	err = b.db.View(func(tx *store.Tx) error {
		g := b.generations.Load()
		k, err := action.FindAccessKey(tx, g, secretID)
		if taken = k != nil && k.Uin != uin; taken || err != nil {
			return err
		}
		c, err := action.FindID(tx, g, credentials, secretID, func(c *account.Credential) uint64 { return c.Uin })
		taken = c != nil && c.Uin != uin
		return err
	})
	return taken, err
}

// replace replaces the whole state, or with a Uin the state of one account, by
// what the files say. The new state is written beside the present one while
// calls go on. A call sees all of one or all of the other. If anything goes
// wrong, or if ctx ends, everything stays as it is.
func (b *Backend) replace(
	ctx context.Context, what string, sources []*seed.Source, uin uint64, random *random,
) (seed.Counts, error) {
	return b.replaceIf(ctx, what, sources, uin, random, func() error { return nil })
}

// replaceIf is replace, unless allowed returns an error. It is called at the
// end, while no call is served and no due work is done.
func (b *Backend) replaceIf(
	ctx context.Context, what string, sources []*seed.Source, uin uint64, random *random, allowed func() error,
) (seed.Counts, error) {
	ctx, cancel := b.While(ctx)
	defer cancel()
	counts, err := b.replaceNow(ctx, what, sources, &replacement{b: b, uin: uin, random: random, allowed: allowed})
	return counts, refusedState(err)
}

func (b *Backend) replaceNow(
	ctx context.Context, what string, sources []*seed.Source, r *replacement,
) (seed.Counts, error) {
	free, err := b.scheduler.Exclusive(ctx)
	if err != nil {
		return seed.Counts{}, err
	}
	defer free()
	if err := b.takeBack(); err != nil {
		return seed.Counts{}, err
	}
	work := b.works.begin(what, b.log)
	defer work.end()
	if r.stage, err = action.NewStage(b.db, b.Clock.Now()); err != nil {
		return seed.Counts{}, err
	}
	b.staged.Store(r.stage.Generation)
	defer func() {
		if b.given.Load() == nil {
			b.staged.Store(0)
		}
		b.collector.wake() // for the previous state, or for the new one if it was given up
	}()
	r.state, err = b.build(ctx, sources, r.uin, func(now time.Time, uin uint64, h *ssm.SecretSnapshot) error {
		action.Fill(uin, h, r.random, now)
		work.add(1)
		return r.stage.Secret(ctx, uin, h)
	})
	if err != nil {
		return seed.Counts{}, err
	}
	if err := r.prepare(ctx); err != nil {
		return seed.Counts{}, err
	}
	return r.state.Counts, r.take(ctx)
}

// A replacement is a state that will take the place of the present one.
type replacement struct {
	b       *Backend
	uin     uint64 // 0 for the whole
	random  *random
	allowed func() error
	state   *seed.State
	stage   *action.Stage

	known       map[string]account.Credential
	generations *action.Generations
	accounts    map[uint64]ssm.AccountData // of the new state
	shift       int64                      // of the clock
	faults      fault.Prepared
	written     []byte // the state as a seed, if it is recorded
}

// prepare writes what belongs to the state besides its secrets, and works out
// what will be in memory.
func (r *replacement) prepare(ctx context.Context) error {
	b, generation := r.b, r.stage.Generation
	present := b.generations.Load()
	r.generations = present.With(r.uin, generation)
	r.accounts = map[uint64]ssm.AccountData{}
	for _, a := range r.state.Accounts {
		if err := r.stage.Account(ctx, a); err != nil {
			return err
		}
		if !a.Data.IsZero() {
			r.accounts[a.Uin] = a.Data
		}
	}
	keys, named := credentials.Load(b.db), roles.Load(b.db)
	for _, c := range r.state.Credentials {
		if err := keys.Put(ctx, action.IDKey(c.SecretID, generation), &c); err != nil {
			return err
		}
	}
	for _, role := range r.state.Roles {
		if err := named.Put(ctx, append(action.AccountKey(role.Uin, generation), role.Name...), &role); err != nil {
			return err
		}
	}
	for _, finish := range []func(context.Context) error{keys.Finish, named.Finish, r.stage.Finish} {
		if err := finish(ctx); err != nil {
			return err
		}
	}
	if err := r.recordReplacement(ctx); err != nil {
		return err
	}
	all := r.state.Credentials
	if r.uin != 0 {
		var others []account.Credential
		err := b.db.View(func(tx *store.Tx) (err error) { others, err = storedCredentials(tx, present, r.uin); return err })
		b.warnUnreadable(err)
		all = append(others, all...)
	}
	var err error
	if r.known, err = b.Directory.With(all); err != nil {
		return err
	}
	r.faults, err = fault.Prepare(r.random, r.state.Faults)
	return err
}

// take makes the state the present one: for the next start, then in memory.
func (r *replacement) take(ctx context.Context) error {
	b := r.b
	wall := b.Clock.Wall()
	if r.uin == 0 {
		r.shift = b.shift.Load() + int64(r.state.Clock.Time(wall).Sub(b.Clock.At(wall)))
	} else {
		r.shift, r.state.Clock = b.shift.Load(), b.Clock.State()
	}
	err := b.db.Update(func(tx *store.Tx) error { return r.keep(tx, r.generations, r.state.Clock, r.shift) })
	if err != nil {
		return err
	}
	err = b.scheduler.Reset(ctx, func() error { return b.stateLock.replace(ctx, r.uin, r.swap) })
	if err != nil {
		b.given.Store(r)
		err = errors.Join(err, b.takeBack())
	}
	return err
}

// takeBack makes the next start find the present state, after a replacement was
// written for the next start but not taken. The caller holds the scheduler's
// Exclusive.
func (b *Backend) takeBack() error {
	r := b.given.Load()
	if r == nil {
		return nil
	}
	err := b.db.Update(func(tx *store.Tx) error {
		return r.keep(tx, b.generations.Load(), b.Clock.State(), b.shift.Load())
	})
	if err != nil {
		return fmt.Errorf("the next start would find the state that was not taken; the repair is tried again until it succeeds: %w", err)
	}
	b.given.Store(nil)
	return nil
}

// keep writes which state is the present one.
func (r *replacement) keep(tx *store.Tx, g *action.Generations, c clock.State, shift int64) error {
	return errors.Join(g.Write(tx, r.uin), clocks.Put(tx, clockKey, &c), shifts.Put(tx, shiftKey, &shift))
}

// swap puts the state in place of the present one in memory, while no call is
// served and no due work is done.
func (r *replacement) swap() error {
	if err := r.allowed(); err != nil {
		return err
	}
	b := r.b
	b.generations.Store(r.generations)
	b.shift.Store(r.shift)
	b.accounts.use(r.uin, r.accounts)
	b.Directory.Use(r.known)
	if r.uin == 0 {
		b.Clock.Restore(r.state.Clock)
	}
	for _, forget := range b.onReplace {
		forget(r.uin)
	}
	b.due.Forget(r.uin)
	b.instances.Forget(r.uin)
	if r.uin == 0 {
		b.Tasks.restart()
	}
	if r.random != b.random {
		b.random.become(r.random)
	}
	b.Faults.Replace(r.uin, r.faults)
	r.record()
	b.edited()
	return nil
}

// rolesOf returns the roles of an account, or with 0 all, by account and name.
// Those that can't be read are left out; the error says so.
func rolesOf(tx *store.Tx, g *action.Generations, uin uint64) (all []account.Role, unreadable error) {
	var prefix []byte
	if uin != 0 {
		prefix = action.AccountKey(uin, g.Of(uin))
	}
	unreadable = roles.Readable(tx, prefix, func(key []byte, r *account.Role) {
		if g.Live(r.Uin, action.GenerationOf(key)) {
			all = append(all, *r)
		}
	})
	return all, unreadable
}

// warnUnreadable logs that records can't be read and are left out.
func (b *Backend) warnUnreadable(err error) {
	if err != nil {
		b.log.Error("a record can't be read and is left out; a backup may have it", "error", err)
	}
}

// loadCredentials makes the credentials of the state known, at the start.
func (b *Backend) loadCredentials() error {
	var stored []account.Credential
	err := b.db.View(func(tx *store.Tx) (err error) {
		stored, err = storedCredentials(tx, b.generations.Load(), 0)
		return err
	})
	b.warnUnreadable(err)
	known, err := b.Directory.With(stored)
	if err != nil {
		return ConfigError{fmt.Errorf("--credential: %w; the other one is in the data file", err)}
	}
	b.Directory.Use(known)
	return nil
}
