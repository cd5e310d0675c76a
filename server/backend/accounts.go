package backend

import (
	"context"
	"fmt"
	"maps"
	"sync"

	"ssmlocal/server/account"
	"ssmlocal/server/action"
	"ssmlocal/server/ssm"
	"ssmlocal/store"
)

// Accounts: what they have bought, their KMS keys, their users.

// accounts has the data of accounts, as the store has it.
type accounts struct {
	// writing lets only one change of the store and of data happen at a time.
	// It is held during the wait for the store. mu is never held then, because
	// whoever has the store reads data.
	writing sync.Mutex
	mu      sync.RWMutex
	data    map[uint64]ssm.AccountData
}

func (a *accounts) load(db *store.DB, g *action.Generations) error {
	data, unreadable := action.AllAccounts(db, g)
	a.use(0, data)
	return unreadable
}

// use replaces the data of an account, or with 0 of all accounts.
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

// change runs write, which writes the data of an account, and keeps in memory
// what it has written. The caller holds the state lock.
func (a *accounts) change(uin uint64, write func() (ssm.AccountData, error)) error {
	a.writing.Lock()
	defer a.writing.Unlock()
	data, err := write()
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.data[uin] = data
	return nil
}

// Accounts returns the data of accounts besides their secrets, by Uin.
func (b *Backend) Accounts() map[uint64]ssm.AccountData { return b.accounts.all() }

// SetAccount replaces the data of an account besides its secrets and its
// instances. The caller has checked the data. A user who has a key can't be
// left out: that is a Refusal.
func (b *Backend) SetAccount(uin uint64, data ssm.AccountData) error {
	b.stateLock.RLock()
	defer b.stateLock.RUnlock()
	defer b.edited()
	return b.accounts.change(uin, func() (ssm.AccountData, error) {
		before := b.accounts.of(uin)
		for _, c := range b.Directory.All() {
			_, was := before.Users[c.User]
			if _, is := data.Users[c.User]; c.Uin == uin && was && !is {
				const why = "users: %d has the key %s; a user with a key can't be left out"
				return data, Refusal{Conflict, fmt.Sprintf(why, c.User, c.SecretID)}
			}
		}
		data.Instances = before.Instances
		return data, action.PutAccount(b.db, b.generations.Load().Owner(uin, ""), data)
	})
}

// NewAccessKeySecret makes a secret of the type API key, which no public action
// does. A wrong parameter is the API's error.
func (b *Backend) NewAccessKeySecret(ctx context.Context, uin uint64, region, secretName string, targetUin uint64) error {
	b.stateLock.RLock()
	defer b.stateLock.RUnlock()
	c := b.Call(ctx, &account.Caller{Credential: account.Credential{Uin: uin}}, region, nil)
	b.catchUp(ctx, c.Now)
	defer b.edited()
	return action.NewAccessKeySecret(b.db, c, secretName, targetUin)
}
