package server

import (
	"errors"
	"fmt"
	"slices"

	"ssmlocal/server/account"
	"ssmlocal/server/action"
	"ssmlocal/server/seed"
	"ssmlocal/store"
)

// The whole state: seeded, exported, imported, reset.

// credentials has those of the state, by SecretId; those of the configuration are not state.
var credentials = &store.Table[account.Credential]{Name: "credentials"}

// storedCredentials returns the credentials of the state, of every account but one.
func storedCredentials(tx *store.Tx, but uint64) (all []account.Credential, err error) {
	err = credentials.Scan(tx, nil, func(_ []byte, c *account.Credential) error {
		if c.Uin != but {
			all = append(all, *c)
		}
		return nil
	})
	return all, err
}

// loadSeeds reads the files that a state begins with, and holds them to the model.
func (s *Server) loadSeeds(names []string) error {
	for _, name := range names {
		sources, err := seed.Load(name)
		if err != nil {
			return ConfigError{fmt.Errorf("--seed: %w", err)}
		}
		s.seeds = append(s.seeds, sources...)
	}
	if len(s.seeds) == 0 {
		return nil
	}
	if _, err := s.build(s.seeds, 0); err != nil {
		return ConfigError{fmt.Errorf("--seed: %w", err)}
	}
	return nil
}

// sow puts the seeds into an empty state. One that is not empty gets their faults only, which no file keeps.
func (s *Server) sow() error {
	if len(s.seeds) == 0 {
		return nil
	}
	kept := false
	err := s.db.View(func(tx *store.Tx) error {
		kept = action.Holds(tx) || !credentials.Empty(tx) || !roles.Empty(tx) || !clocks.Empty(tx)
		return nil
	})
	switch {
	case err != nil:
		return err
	case kept:
		s.log.Info("the data file has been used already, so the seeds are not applied, save for their faults; ssmlocal reset returns to the seeds")
		return s.armSeeds()
	}
	if _, err := s.replace(s.seeds, 0, true); err != nil {
		return ConfigError{fmt.Errorf("--seed: %w", err)}
	}
	s.log.Info("the state was empty and is seeded")
	return nil
}

// armSeeds makes the faults of the seeds.
func (s *Server) armSeeds() error {
	state, err := s.build(s.seeds, 0)
	if err != nil {
		return ConfigError{fmt.Errorf("--seed: %w", err)}
	}
	return s.faults.Replace(0, state.Faults)
}

func (s *Server) build(sources []*seed.Source, uin uint64) (*seed.State, error) {
	known, err := s.knownToFaults()
	if err != nil {
		return nil, err
	}
	taken := seed.Taken{SecretIDs: s.directory.OwnIDs()}
	if uin != 0 {
		taken.Faults = s.faults.IDs(uin)
		if err := s.db.View(func(tx *store.Tx) error { return takenByOthers(tx, uin, &taken) }); err != nil {
			return nil, err
		}
	}
	return seed.Build(sources, seed.Rules{
		Wall: s.clock.Wall(), Clock: s.clock.State(), Uin: uin, SecretLimit: s.secretLimit, Faults: known, Operations: operations(), Taken: taken,
	})
}

// takenByOthers notes what other accounts have that must stand once.
func takenByOthers(tx *store.Tx, uin uint64, taken *seed.Taken) error {
	others, err := action.Estates(tx, 0)
	for _, e := range others {
		if e.Uin == uin {
			continue
		}
		for id := range e.Tasks {
			taken.FlowIDs = append(taken.FlowIDs, id)
		}
		for _, h := range e.Secrets {
			for _, k := range h.Keys {
				taken.SecretIDs = append(taken.SecretIDs, k.SecretID)
			}
		}
	}
	stored, err2 := storedCredentials(tx, uin)
	for _, c := range stored {
		taken.SecretIDs = append(taken.SecretIDs, c.SecretID)
	}
	return errors.Join(err, err2)
}

// replace puts what files say in place of the whole state, or of one account's, and returns what that is. Calls see all of it or
// nothing: they wait meanwhile, and so does the clock. If anything is wrong with the files, everything stays as it is. A reset of the whole lets
// a random source that repeats begin anew.
func (s *Server) replace(sources []*seed.Source, uin uint64, reset bool) (state *seed.State, err error) {
	s.gate.Lock()
	defer s.gate.Unlock()
	err = s.worker.Renew(func() (err error) {
		if state, err = s.build(sources, uin); err != nil {
			return err
		}
		if reset {
			s.random.restart(0)
		}
		for _, e := range state.Estates {
			for _, h := range e.Secrets {
				action.Fill(e.Uin, h, s.random, state.Now)
			}
		}
		return s.put(state, uin)
	})
	return state, err
}

// put writes a state, and lets go of what belonged to the one before it.
func (s *Server) put(state *seed.State, uin uint64) error {
	var known map[string]account.Credential
	wall := s.clock.Wall()
	err := s.db.Replace(func(tx *store.Tx) (err error) {
		if known, err = s.replaceCredentials(tx, uin, state.Credentials); err != nil {
			return err
		}
		if err := errors.Join(replaceRoles(tx, uin, state.Roles), action.Replace(tx, uin, state.Estates, state.Now)); err != nil {
			return err
		}
		return errors.Join(s.keepIssued(tx, uin, known, s.clock.At(wall), state.Clock.Time(wall)), clocks.Put(tx, clockKey, &state.Clock))
	})
	if err != nil {
		return err
	}
	s.generations[uin]++
	close(s.replaced)
	s.replaced = make(chan struct{})
	s.directory.Use(known)
	s.clock.Restore(state.Clock)
	s.limiter.Forget(uin)
	s.journal.Forget(uin)
	if uin == 0 {
		s.tasks.restart()
	}
	return errors.Join(s.accounts.load(s.db), s.faults.Replace(uin, state.Faults))
}

// replaceCredentials writes the credentials and returns who is known then.
func (s *Server) replaceCredentials(tx *store.Tx, uin uint64, own []account.Credential) (map[string]account.Credential, error) {
	var all []account.Credential
	if uin != 0 {
		var err error
		if all, err = storedCredentials(tx, uin); err != nil {
			return nil, err
		}
	}
	all = append(all, own...)
	known, err := s.directory.With(all)
	if err != nil {
		return nil, err
	}
	if err := credentials.Clear(tx); err != nil {
		return nil, err
	}
	for _, c := range all {
		if err := credentials.Put(tx, []byte(c.SecretID), &c); err != nil {
			return nil, err
		}
	}
	return known, nil
}

// replaceRoles writes the roles.
func replaceRoles(tx *store.Tx, uin uint64, own []account.Role) error {
	old, err := rolesOf(tx, uin)
	for _, r := range old {
		err = errors.Join(err, roles.Delete(tx, roleKey(r.Uin, r.Name)))
	}
	for _, r := range own {
		err = errors.Join(err, roles.Put(tx, roleKey(r.Uin, r.Name), &r))
	}
	return err
}

// loadCredentials makes the credentials of the state known, at the start.
func (s *Server) loadCredentials() error {
	var stored []account.Credential
	err := s.db.View(func(tx *store.Tx) (err error) { stored, err = storedCredentials(tx, 0); return err })
	if err != nil {
		return err
	}
	known, err := s.directory.With(stored)
	if err != nil {
		return ConfigError{fmt.Errorf("--credential: %w; the other one is in the data file", err)}
	}
	s.directory.Use(known)
	return nil
}

// state reads the whole state, or that of one account.
func (s *Server) state(uin uint64) (*seed.State, error) {
	if err := action.MakeKeyPairs(s.db, uin); err != nil { // while nobody waits: each takes 50 ms
		return nil, err
	}
	s.gate.RLock()
	defer s.gate.RUnlock()
	if err := s.worker.CatchUp(s.clock.Now()); err != nil {
		return nil, err
	}
	if err := action.MakeKeyPairs(s.db, uin); err != nil { // those of a state that came meanwhile: an export is complete
		return nil, err
	}
	state := &seed.State{Faults: s.faults.Rest(uin)}
	err := s.db.View(func(tx *store.Tx) (err error) {
		if uin == 0 {
			state.Clock = s.clock.State()
		}
		if state.Estates, err = action.Estates(tx, uin); err != nil {
			return err
		}
		if state.Roles, err = rolesOf(tx, uin); err != nil {
			return err
		}
		state.Credentials, err = storedCredentials(tx, 0)
		return err
	})
	if uin != 0 {
		state.Credentials = slices.DeleteFunc(state.Credentials, func(c account.Credential) bool { return c.Uin != uin })
	}
	return state, err
}
