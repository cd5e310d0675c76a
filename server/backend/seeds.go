package backend

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"ssmlocal/server/action"
	"ssmlocal/server/fault"
	"ssmlocal/server/seed"
	"ssmlocal/server/ssm"
	"ssmlocal/store"
)

// What a state begins with, and what a reset returns to.

// seeds are what a state begins with, and returns to.
type seeds struct {
	names []string
	watch bool
	// read has what can't be read a second time, such as a pipe, by name.
	read map[string][]*seed.Source
	// faults are the rules of the seeds, for a state that keeps all the rest.
	faults []fault.Rule
}

// checkSeeds finds the files of the seeds, and checks them against the model.
func (b *Backend) checkSeeds(names []string) error {
	b.seeds.names = names
	if err := b.seeds.readStreams(); err != nil {
		return ConfigError{fmt.Errorf("--seed: %w", err)}
	}
	sources, err := b.seeds.load()
	if err != nil {
		return ConfigError{fmt.Errorf("--seed: %w", err)}
	}
	if len(sources) == 0 {
		return nil
	}
	state, err := b.build(b.lifetime, sources, 0, func(time.Time, uint64, *ssm.SecretSnapshot) error { return nil })
	if err != nil {
		return ConfigError{fmt.Errorf("--seed: %w", err)}
	}
	b.seeds.faults = state.Faults
	return nil
}

// readStreams reads what can't be read a second time.
func (s *seeds) readStreams() (err error) {
	s.read = map[string][]*seed.Source{}
	for _, name := range s.names {
		if info, statErr := os.Stat(name); statErr != nil || !seed.IsStream(info.Mode()) {
			continue // load says what is wrong with it
		}
		if s.read[name], err = seed.Load(name); err != nil {
			return err
		}
	}
	return nil
}

// load finds the files of the seeds, as they are now.
func (s *seeds) load() (sources []*seed.Source, err error) {
	for _, name := range s.names {
		some, is := s.read[name]
		if !is {
			if some, err = seed.Load(name); err != nil {
				return nil, err
			}
		}
		sources = append(sources, some...)
	}
	return sources, nil
}

// applySeeds puts the seeds into an empty state. A state that is not empty gets
// only their faults, which the data file doesn't keep.
func (b *Backend) applySeeds() error {
	if len(b.seeds.names) == 0 {
		return nil
	}
	kept := false
	err := b.db.View(func(tx *store.Tx) error {
		g := b.generations.Load()
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
		b.log.Info("the data file has been used already, so the seeds are not applied, except for their faults; ssmlocal reset returns to the seeds")
		faults, err := fault.Prepare(b.random, b.seeds.faults)
		b.Faults.Replace(0, faults)
		return err
	}
	if _, err := b.Reset(b.lifetime, 0); err != nil {
		return ConfigError{fmt.Errorf("--seed: %w", err)}
	}
	b.log.Info("the state was empty: the seeds are applied")
	return nil
}

// Reset returns to the seeds, all of the state or with a Uin that of one
// account. With the whole state, a source of random numbers that repeats starts
// again from its beginning.
func (b *Backend) Reset(ctx context.Context, uin uint64) (seed.Counts, error) {
	sources, err := b.seeds.load()
	if err != nil {
		return seed.Counts{}, Refusal{Conflict, err.Error() + "; nothing was changed"}
	}
	random := b.random
	if uin == 0 {
		random = b.random.atStart(0)
	} else {
		sources = seed.Of(uin, sources)
	}
	return b.replace(ctx, "reset", sources, uin, random)
}
