package action

import (
	"ssmlocal/server/ssm"
	"ssmlocal/store"
)

// accounts has the data of accounts besides their secrets, by Uin.
var accounts = &store.Table[ssm.AccountData]{Name: "accounts"}

// AllAccounts returns the data of every account that has any, by Uin. What
// can't be read is left out; the error says so.
func AllAccounts(db *store.DB, g *Generations) (map[uint64]ssm.AccountData, error) {
	all := map[uint64]ssm.AccountData{}
	err := db.View(func(tx *store.Tx) error {
		return accounts.Readable(tx, nil, func(key []byte, data *ssm.AccountData) {
			if uin, generation, _ := splitKey(key); g.Live(uin, generation) {
				all[uin] = *data
			}
		})
	})
	return all, err
}

// putAccount writes the data of the call's account.
func (c *Call) putAccount() error {
	return accounts.Put(c.tx, AccountKey(c.Owner.Uin, c.Owner.Generation), &c.Account)
}

// PutAccount writes the data of one account.
func PutAccount(db *store.DB, o ssm.Owner, data ssm.AccountData) error {
	return db.Update(func(tx *store.Tx) error { return accounts.Put(tx, AccountKey(o.Uin, o.Generation), &data) })
}
