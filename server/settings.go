package server

import (
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

// restoreClock reads the clock's state of the last start, if there was one.
func (s *Server) restoreClock() error {
	return s.db.View(func(tx *store.Tx) error {
		state, err := clocks.Get(tx, clockKey)
		if state != nil {
			s.clock.Restore(*state)
		}
		return err
	})
}

// countStart makes a random source that repeats go on otherwise than at the start before, where a data file has been used.
func (s *Server) countStart() error {
	if !s.random.fixed {
		return nil
	}
	used := false
	if err := s.db.View(func(tx *store.Tx) error { used = !clocks.Empty(tx) || action.Holds(tx); return nil }); err != nil || !used {
		return err
	}
	return s.db.Replace(func(tx *store.Tx) error { // Update keeps no number of a writer who writes nothing else
		n, err := clocks.Next(tx)
		s.random.restart(n)
		return err
	})
}

// accounts is what is known of accounts, as the store has it.
type accounts struct {
	// writing orders those who change the store and data. It is held while they wait for the store; mu never is, as those
	// who have the store read data.
	writing sync.Mutex
	mu      sync.RWMutex
	data    map[uint64]ssm.AccountData
}

func (a *accounts) load(db *store.DB) error {
	a.writing.Lock()
	defer a.writing.Unlock()
	data, err := action.AllAccounts(db)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.data = data
	return nil
}

// of returns the data of an account, the zero data for one that has none.
func (a *accounts) of(uin uint64) ssm.AccountData {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.data[uin]
}

// put writes the data of an account.
func (a *accounts) put(db *store.DB, uin uint64, data ssm.AccountData) error {
	a.writing.Lock()
	defer a.writing.Unlock()
	if err := action.PutAccount(db, uin, data); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.data[uin] = data
	return nil
}

// handedOut finds a credential that the emulator has made: temporary keys, or an access key that a secret holds.
func (s *Server) handedOut(secretID string) (*account.Credential, error) {
	if c, err := s.findIssued(secretID); c != nil || err != nil {
		return c, err
	}
	k, err := action.FindAccessKey(s.db, secretID)
	if k == nil {
		return nil, err
	}
	c := &account.Credential{SecretID: secretID, SecretKey: k.SecretKey, Uin: k.Uin}
	if k.TargetUin != k.Uin {
		c.User = k.TargetUin
	}
	return c, nil
}
