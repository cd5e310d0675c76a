package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"ssmlocal/server/account"
	"ssmlocal/server/action"
	"ssmlocal/server/clock"
	"ssmlocal/server/fault"
	"ssmlocal/server/seed"
	"ssmlocal/server/ssm"
	"ssmlocal/store"
)

// The whole state: seeded, exported, imported, reset.

// credentials has those of the state, under their IDKey; those of the configuration are
// not state. roles has the roles, under their account's key and their name.
var (
	credentials = &store.Table[account.Credential]{Name: "credentials"}
	roles       = &store.Table[account.Role]{Name: "roles"}
)

// shifts keeps, under one key, by how much replacements have moved the virtual clock in
// all: temporary keys that were issued before have as much of their life left afterwards.
// The sum may overflow, which does no harm: only differences of it count.
var (
	shifts   = &store.Table[int64]{Name: "shifts"}
	shiftKey = []byte("shift")
)

// storedCredentials returns the credentials of the state, of every account but one. Those that
// can't be read are left out, and told with the error.
func storedCredentials(tx *store.Tx, g *action.Generations, but uint64) (all []account.Credential, err error) {
	err = credentials.Readable(tx, nil, func(key []byte, c *account.Credential) {
		if _, generation := action.SplitIDKey(key); c.Uin != but && g.Live(c.Uin, generation) {
			all = append(all, *c)
		}
	})
	return all, err
}

// loadSeeds finds the files that a state begins with, and holds them to the model.
func (s *Server) loadSeeds(names []string) error {
	s.seedNames = names
	sources, err := s.seeds()
	if err != nil {
		return ConfigError{fmt.Errorf("--seed: %w", err)}
	}
	if len(sources) == 0 {
		return nil
	}
	state, err := s.build(s.lifetime, sources, 0, func(time.Time, uint64, *ssm.SecretSnapshot) error { return nil })
	if err != nil {
		return ConfigError{fmt.Errorf("--seed: %w", err)}
	}
	s.seededFaults = state.Faults
	return nil
}

// seeds finds the files that a state begins with, as they are now.
func (s *Server) seeds() (sources []*seed.Source, err error) {
	for _, name := range s.seedNames {
		some, err := seed.Load(name)
		if err != nil {
			return nil, err
		}
		sources = append(sources, some...)
	}
	return sources, nil
}

// applySeeds puts the seeds into an empty state. One that is not empty gets their faults
// only, which no file keeps.
func (s *Server) applySeeds() error {
	if len(s.seedNames) == 0 {
		return nil
	}
	kept := false
	err := s.db.View(func(tx *store.Tx) error {
		g := s.generations.Load()
		stored, err := storedCredentials(tx, g, 0)
		roles, err2 := rolesOf(tx, g, 0)
		unreadable := errors.Join(err, err2) != nil
		kept = unreadable || action.Holds(tx, g) || len(stored)+len(roles) > 0 || !clocks.Empty(tx)
		return nil
	})
	switch {
	case err != nil:
		return err
	case kept:
		s.log.Info("the data file has been used already, so the seeds are not applied, save for their faults; ssmlocal reset returns to the seeds")
		faults, err := fault.Prepare(s.random, s.seededFaults)
		s.faults.Replace(0, faults)
		return err
	}
	if _, err := s.reset(s.lifetime, 0); err != nil {
		return ConfigError{fmt.Errorf("--seed: %w", err)}
	}
	s.log.Info("the state was empty and is seeded")
	return nil
}

// build makes a state of files. Whatever takes long is done here, while calls go on.
func (s *Server) build(ctx context.Context, sources []*seed.Source, uin uint64, handOn func(time.Time, uint64, *ssm.SecretSnapshot) error) (*seed.State, error) {
	known, err := s.knownToFaults()
	if err != nil {
		return nil, err
	}
	return seed.Build(ctx, sources, seed.Rules{
		Wall: s.clock.Wall(), Clock: s.clock.State(), Uin: uin, SecretLimit: s.secretLimit, Faults: known, Operations: operations(),
		IDTaken:    func(id string) (bool, error) { return s.idTaken(uin, id) },
		FaultTaken: func(id string) (bool, error) { return uin != 0 && s.faults.Has(id, uin), nil },
	}, handOn)
}

// idTaken reports whether a SecretId belongs to somebody whose state is not replaced: the
// configuration, or, when that of one account is, another one.
func (s *Server) idTaken(uin uint64, secretID string) (taken bool, err error) {
	if s.directory.Owns(secretID) || uin == 0 {
		return s.directory.Owns(secretID), nil
	}
	err = s.db.View(func(tx *store.Tx) error {
		g := s.generations.Load()
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

// unreadSeed is why there can be no reset: a seed of the start is not there any more.
type unreadSeed struct{ error }

// reset returns to the seeds, all of the state or with a Uin that of one account. A source
// of random numbers that repeats begins anew with the whole.
func (s *Server) reset(ctx context.Context, uin uint64) (seed.Counts, error) {
	sources, err := s.seeds()
	if err != nil {
		return seed.Counts{}, unreadSeed{err}
	}
	random := s.random
	if uin == 0 {
		random = s.random.atStart(0)
	} else {
		sources = seed.Of(uin, sources)
	}
	return s.replace(ctx, "reset", sources, uin, random)
}

// replace puts what files say in place of the whole state, or with a Uin of that of one
// account. The new state is written beside the present one while calls go on, and calls
// see all of one or all of the other. If anything goes wrong, if ctx ends for one,
// everything stays as it is.
func (s *Server) replace(ctx context.Context, what string, sources []*seed.Source, uin uint64, random *random) (seed.Counts, error) {
	free, err := s.scheduler.Exclusive(ctx)
	if err != nil {
		return seed.Counts{}, err
	}
	defer free()
	if err := s.takeBack(); err != nil {
		return seed.Counts{}, err
	}
	work := s.works.begin(what, s.log)
	defer work.end()
	r := &replacement{s: s, uin: uin, random: random}
	if r.stage, err = action.NewStage(s.db, s.clock.Now()); err != nil {
		return seed.Counts{}, err
	}
	s.staged.Store(r.stage.Generation)
	defer func() {
		if s.given.Load() == nil {
			s.staged.Store(0)
		}
		s.collector.wake() // for what was before, or what came to nothing
	}()
	r.state, err = s.build(ctx, sources, uin, func(now time.Time, uin uint64, h *ssm.SecretSnapshot) error {
		action.Fill(uin, h, random, now)
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

// A replacement is a state that is to take the place of the present one.
type replacement struct {
	s      *Server
	uin    uint64 // 0 for the whole
	random *random
	state  *seed.State
	stage  *action.Stage

	known       map[string]account.Credential
	generations *action.Generations
	accounts    map[uint64]ssm.AccountData // of the new state
	shift       int64                      // of the clock
	faults      fault.Prepared
}

// prepare writes what belongs to the state besides its secrets, and works out what will
// be in memory.
func (r *replacement) prepare(ctx context.Context) error {
	s, generation := r.s, r.stage.Generation
	present := s.generations.Load()
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
	keys, named := credentials.Load(s.db), roles.Load(s.db)
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
	all := r.state.Credentials
	if r.uin != 0 {
		var others []account.Credential
		err := s.db.View(func(tx *store.Tx) (err error) { others, err = storedCredentials(tx, present, r.uin); return err })
		s.warnUnreadable(err)
		all = append(others, all...)
	}
	var err error
	if r.known, err = s.directory.With(all); err != nil {
		return err
	}
	r.faults, err = fault.Prepare(r.random, r.state.Faults)
	return err
}

// take makes the state the present one: for the next start, then in memory.
func (r *replacement) take(ctx context.Context) error {
	s := r.s
	wall := s.clock.Wall()
	if r.uin == 0 {
		r.shift = s.shift.Load() + int64(r.state.Clock.Time(wall).Sub(s.clock.At(wall)))
	} else {
		r.shift, r.state.Clock = s.shift.Load(), s.clock.State()
	}
	if err := s.db.Update(func(tx *store.Tx) error { return r.keep(tx, r.generations, r.state.Clock, r.shift) }); err != nil {
		return err
	}
	err := s.scheduler.Reset(ctx, func() error { return s.stateLock.replace(ctx, r.uin, r.swap) })
	if err != nil {
		s.given.Store(r)
		err = errors.Join(err, s.takeBack())
	}
	return err
}

// takeBack lets the next start find what is present now, after a replacement that was written
// for it and then not taken. The caller holds the scheduler's Exclusive.
func (s *Server) takeBack() error {
	r := s.given.Load()
	if r == nil {
		return nil
	}
	err := s.db.Update(func(tx *store.Tx) error {
		return r.keep(tx, s.generations.Load(), s.clock.State(), s.shift.Load())
	})
	if err != nil {
		return fmt.Errorf("the state that was not taken is the one of the next start for now, which is tried to mend: %w", err)
	}
	s.given.Store(nil)
	return nil
}

// keep writes what says which state is the present one.
func (r *replacement) keep(tx *store.Tx, g *action.Generations, c clock.State, shift int64) error {
	return errors.Join(g.Write(tx, r.uin), clocks.Put(tx, clockKey, &c), shifts.Put(tx, shiftKey, &shift))
}

// swap puts the state in place of the present one in memory, while no call is served and
// nothing that is due is done.
func (r *replacement) swap() {
	s := r.s
	s.generations.Store(r.generations)
	s.shift.Store(r.shift)
	s.accounts.use(r.uin, r.accounts)
	s.directory.Use(r.known)
	if r.uin == 0 {
		s.clock.Restore(r.state.Clock)
	}
	s.limiter.Forget(r.uin)
	s.journal.Forget(r.uin)
	s.due.Forget(r.uin)
	if r.uin == 0 {
		s.tasks.restart()
	}
	if r.random != s.random {
		s.random.become(r.random)
	}
	s.faults.Replace(r.uin, r.faults)
}

// rolesOf returns the roles of an account, or with 0 all, by account and name. Those that
// can't be read are left out, and told with the error.
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

// warnUnreadable tells of records that can't be read and are left out.
func (s *Server) warnUnreadable(err error) {
	if err != nil {
		s.log.Error("a record can't be read and is left out; a backup may have it", "error", err)
	}
}

// loadCredentials makes the credentials of the state known, at the start.
func (s *Server) loadCredentials() error {
	var stored []account.Credential
	err := s.db.View(func(tx *store.Tx) (err error) {
		stored, err = storedCredentials(tx, s.generations.Load(), 0)
		return err
	})
	s.warnUnreadable(err)
	known, err := s.directory.With(stored)
	if err != nil {
		return ConfigError{fmt.Errorf("--credential: %w; the other one is in the data file", err)}
	}
	s.directory.Use(known)
	return nil
}

// export writes the whole state, or that of one account, as of one moment.
func (s *Server) export(ctx context.Context, out *spool, uin uint64) error {
	work := s.works.begin("export", s.log)
	defer work.end()
	for try := 0; ; try++ {
		if try == 2 { // others replace the state all the time
			free, err := s.scheduler.Exclusive(ctx)
			if err != nil {
				return err
			}
			defer free()
		}
		// Each pair takes 50 ms, and nobody waits for them. A state that comes meanwhile
		// may have others: an export is complete.
		err := action.MakeKeyPairs(ctx, s.db, s.generations.Load(), uin)
		if err == nil {
			err = s.exportOnce(ctx, out, uin, work)
		}
		if !errors.Is(err, action.ErrNoKeyPair) {
			return err
		}
		if err := out.Reset(); err != nil {
			return err
		}
	}
}

func (s *Server) exportOnce(ctx context.Context, out *spool, uin uint64, work *work) error {
	s.scheduler.CatchUp(ctx, s.clock.Now())
	free, err := s.scheduler.Still(ctx)
	if err != nil {
		return err
	}
	s.stateLock.RLock()
	unlock := sync.OnceFunc(func() { s.stateLock.RUnlock(); free() })
	defer unlock()
	g, virtual, faults := s.generations.Load(), s.scheduler.State(), s.faults.Rest(uin)
	if uin != 0 {
		virtual = clock.State{}
	}
	return s.db.View(func(tx *store.Tx) error {
		unlock() // from here on the transaction has what is exported
		stored, err := storedCredentials(tx, g, 0)
		if uin != 0 {
			stored = slices.DeleteFunc(stored, func(c account.Credential) bool { return c.Uin != uin })
			s.warnUnreadable(err) // it may be another account's
			err = nil
		}
		roles, err2 := rolesOf(tx, g, uin)
		if err := errors.Join(err, err2); err != nil {
			return err
		}
		w := &counting{seed.NewWriter(out, virtual, stored, roles, faults), ctx, work}
		if err := action.Read(tx, g, uin, w); err != nil {
			return err
		}
		return w.Close()
	})
}

// counting counts the secrets that are exported, and ends with ctx.
type counting struct {
	*seed.Writer
	ctx  context.Context
	work *work
}

// Secret writes a secret.
func (c *counting) Secret(uin uint64, h *ssm.SecretSnapshot) error {
	c.work.add(1)
	if err := c.ctx.Err(); err != nil {
		return err
	}
	return c.Writer.Secret(uin, h)
}
