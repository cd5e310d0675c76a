package server

import (
	"errors"
	"maps"
	"sync"

	"ssmlocal/server/account"
	"ssmlocal/server/action"
	"ssmlocal/server/clock"
	"ssmlocal/server/ssm"
	"ssmlocal/store"
)

// taskSettings say how tasks go; they can be changed while the server runs.
type taskSettings struct {
	first ssm.Pace // as configured

	mu       sync.Mutex
	pace     ssm.Pace
	failNext int // how many of the next tasks fail
}

// restart makes the settings what they were at the start.
func (t *taskSettings) restart() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pace, t.failNext = t.first, 0
}

// Pace is the pace of a task that begins now.
func (t *taskSettings) Pace() ssm.Pace {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.pace
}

// Fail tells whether a task that begins now fails, and counts it.
func (t *taskSettings) Fail() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.failNext == 0 {
		return false
	}
	t.failNext--
	return true
}

// clocks keeps the virtual clock's state from start to start, under one key: data that was made at a later time must not
// be met at an earlier one.
var (
	clocks   = &store.Table[clock.State]{Name: "clock"}
	clockKey = []byte("virtual")
)

// keepClock writes the clock's state.
func (s *Server) keepClock() error {
	state := s.clock.State()
	return s.db.Update(func(tx *store.Tx) error { return clocks.Put(tx, clockKey, &state) })
}

// restoreClock reads what the last start has left of the clock, if there was one.
func (s *Server) restoreClock() error {
	return s.db.View(func(tx *store.Tx) error {
		state, err := clocks.Get(tx, clockKey)
		if state != nil {
			s.clock.Restore(*state)
		}
		shift, err2 := shifts.Get(tx, shiftKey)
		if shift != nil {
			s.shift.Store(*shift)
		}
		return errors.Join(err, err2)
	})
}

// starts counts, under one key, the starts with a source of random numbers that repeats.
var (
	starts   = &store.Table[uint64]{Name: "starts"}
	startKey = []byte("starts")
)

// countStart makes a random source that repeats go on otherwise than at the start before,
// where a data file has been used.
func (s *Server) countStart() error {
	if !s.random.fixed {
		return nil
	}
	return s.db.Update(func(tx *store.Tx) error {
		if clocks.Empty(tx) && !action.Holds(tx, s.generations.Load()) {
			return nil
		}
		n := clocks.Drawn(tx) // a file of format 1 counted so
		before, err := starts.Get(tx, startKey)
		if before != nil {
			n = *before
		}
		n++
		s.random.become(s.random.atStart(n))
		return errors.Join(err, starts.Put(tx, startKey, &n))
	})
}

// accounts is what is known of accounts, as the store has it.
type accounts struct {
	// writing orders those who change the store and data. It is held while they wait for
	// the store; mu never is, as those who have the store read data.
	writing sync.Mutex
	mu      sync.RWMutex
	data    map[uint64]ssm.AccountData
}

func (a *accounts) load(db *store.DB, g *action.Generations) error {
	data, unreadable := action.AllAccounts(db, g)
	a.use(0, data)
	return unreadable
}

// use puts other data in place of that of an account, or with 0 of all.
func (a *accounts) use(uin uint64, data map[uint64]ssm.AccountData) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if uin == 0 {
		a.data = data
		return
	}
	delete(a.data, uin)
	if own, has := data[uin]; has {
		a.data[uin] = own
	}
}

// all returns a copy of the data of all accounts that have any.
func (a *accounts) all() map[uint64]ssm.AccountData {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return maps.Clone(a.data)
}

// of returns the data of an account, the zero data for one that has none.
func (a *accounts) of(uin uint64) ssm.AccountData {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.data[uin]
}

// put writes the data of an account. The caller holds the state lock.
func (a *accounts) put(db *store.DB, o ssm.Owner, data ssm.AccountData) error {
	a.writing.Lock()
	defer a.writing.Unlock()
	if err := action.PutAccount(db, o, data); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.data[o.Uin] = data
	return nil
}

// generatedCredential finds a credential that the emulator has made: temporary keys, or an
// access key that a secret holds.
func (s *Server) generatedCredential(secretID string) (*account.Credential, error) {
	if c, err := s.findIssued(secretID); c != nil || err != nil {
		return c, err
	}
	k, err := s.findAccessKey(secretID)
	if k == nil {
		return nil, err
	}
	c := &account.Credential{SecretID: secretID, SecretKey: k.SecretKey, Uin: k.Uin}
	if k.TargetUin != k.Uin {
		c.User = k.TargetUin
	}
	return c, nil
}

func (s *Server) findAccessKey(secretID string) (k *ssm.AccessKeyPair, err error) {
	err = s.db.View(func(tx *store.Tx) error {
		k, err = action.FindAccessKey(tx, s.generations.Load(), secretID)
		return err
	})
	return k, err
}
