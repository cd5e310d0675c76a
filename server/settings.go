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
	mu       sync.Mutex
	pace     ssm.Pace
	failNext int // how many of the next tasks fail
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

// accounts is what is known of accounts, as the store has it.
type accounts struct {
	mu   sync.RWMutex
	data map[uint64]ssm.AccountData
}

func (a *accounts) load(db *store.DB) (err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.data, err = action.AllAccounts(db)
	return err
}

// of returns the data of an account, the zero data for one that has none.
func (a *accounts) of(uin uint64) ssm.AccountData {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.data[uin]
}

// put writes the data of an account.
func (a *accounts) put(db *store.DB, uin uint64, data ssm.AccountData) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := action.PutAccount(db, uin, data); err != nil {
		return err
	}
	a.data[uin] = data
	return nil
}

// accessKey finds a credential that a secret holds.
func (s *Server) accessKey(secretID string) (*account.Credential, error) {
	k, err := action.FindAccessKey(s.db, secretID)
	if k == nil {
		return nil, err
	}
	return &account.Credential{SecretID: secretID, SecretKey: k.SecretKey, Uin: k.Uin}, nil
}
