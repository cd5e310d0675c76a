package binding

import (
	"context"
	"slices"

	"ssmlocal/server/action"
	"ssmlocal/server/instance"
	"ssmlocal/store"
)

// Repaired is what a repair has done.
type Repaired struct {
	Made    []string        `json:"made"`    // accounts that were missing
	Changed []string        `json:"changed"` // accounts whose password was not the secret's
	Dropped []string        `json:"dropped"` // accounts that were left over
	Failed  []FailedAccount `json:"failed"`
}

// A FailedAccount is an account that could not be put right.
type FailedAccount struct {
	AccountName string `json:"accountName"`
	Reason      string `json:"reason"`
}

// Repair puts the accounts of all secrets on an instance back into its
// database, with the passwords that the secrets hold, and calls done after each
// secret. With drop it drops those, too, that were made for secrets which are no
// more. The error is ErrUnbound, an *UnusableError, ctx's or the store's.
func (x *Instances) Repair(ctx context.Context, uin uint64, id string, drop bool, done func()) (r Repaired, err error) {
	p := place{uin, id}
	r = Repaired{Made: []string{}, Changed: []string{}, Dropped: []string{}, Failed: []FailedAccount{}}
	if x.url(uin, id) == "" {
		return r, ErrUnbound
	}
	in, err := x.get(p)
	var there []string
	if err == nil {
		there, err = in.Accounts(ctx)
	}
	if err != nil {
		return r, &UnusableError{err}
	}
	k, err := x.known(p)
	if err != nil {
		return r, err
	}
	for i := range k.secrets {
		if err := ctx.Err(); err != nil {
			return r, err
		}
		x.repairSecret(ctx, in, p, &k.secrets[i], there, &r)
		done()
	}
	if drop {
		x.dropLeftOver(ctx, in, p, k, there, &r)
	}
	return r, nil
}

// An UnusableError is why a database can't be used now.
type UnusableError struct{ error }

// Unwrap returns what its driver says.
func (e *UnusableError) Unwrap() error { return e.error }

// repairSecret puts the accounts of one secret right. No change of the secret
// goes on meanwhile.
func (x *Instances) repairSecret(ctx context.Context, in *instance.Instance, p place, s *action.InstanceSecret, there []string, r *Repaired) {
	free, err := x.acquire(ctx, s.Lock())
	if err != nil {
		r.Failed = append(r.Failed, FailedAccount{s.Secret.Name, err.Error()})
		return
	}
	defer free()
	name := s.Secret.Name
	if s, err = x.reread(s); err != nil { // it may have been rotated since
		r.Failed = append(r.Failed, FailedAccount{name, err.Error()})
		return
	}
	if s == nil { // it was deleted since
		return
	}
	for _, l := range s.Logins {
		a := instance.Account{Name: l.UserName, Password: l.Password, Hosts: s.Secret.Domains, Privileges: s.Privileges}
		missing := in.Lists() && !slices.Contains(there, l.UserName)
		before := accountOK
		if !missing && l.Password != "" {
			before = x.tryLogin(ctx, in, s, l)
		}
		// It is given everything again, also if it is there: it may lack
		// privileges.
		m := &action.MadeAccount{Region: s.Owner.Region, SecretName: s.Secret.Name, At: in.Address.String(), Unfinished: true}
		err := instance.Touchable(l.UserName)
		if err == nil && (missing || !in.Lists()) { // one that is there stays what it is if this fails
			err = x.putMade(p, l.UserName, m)
		}
		if err == nil {
			err = in.Create(ctx, a)
		}
		if err == nil && l.Password != "" { // it may be locked, say
			err = x.login(ctx, in, a)
		}
		if err == nil {
			m.Unfinished = false
			err = x.putMade(p, l.UserName, m)
		}
		switch {
		case err != nil:
			r.Failed = append(r.Failed, FailedAccount{l.UserName, err.Error()})
		case missing:
			r.Made = append(r.Made, l.UserName)
		case before == accountWrong:
			r.Changed = append(r.Changed, l.UserName)
		}
	}
}

// reread reads a secret of an instance once more, nil if it is gone.
func (x *Instances) reread(s *action.InstanceSecret) (again *action.InstanceSecret, err error) {
	err = x.service.Store().View(func(tx *store.Tx) (err error) {
		if x.service.Generations().Live(s.Owner.Uin, s.Owner.Generation) {
			again, err = action.ReadOnInstance(tx, s.ID())
		}
		return err
	})
	return again, err
}

func (x *Instances) dropLeftOver(ctx context.Context, in *instance.Instance, p place, k known, there []string, r *Repaired) {
	now := x.clock.Wall()
	for name, m := range k.made {
		// What is marked is dropped by itself, unless a secret is being made
		// with it.
		if _, named := k.named[name]; named || m.Drop || now.Sub(x.madeAt(p, name)) < grace {
			continue
		}
		if err := x.dropUnnamed(ctx, in, p, name); err != nil {
			r.Failed = append(r.Failed, FailedAccount{name, err.Error()})
		} else if slices.Contains(there, name) {
			r.Dropped = append(r.Dropped, name)
		}
	}
	slices.Sort(r.Dropped)
}

// drop drops an account that was made here, and forgets it.
func (x *Instances) drop(ctx context.Context, in *instance.Instance, p place, name string) error {
	if err := in.Drop(ctx, name); err != nil {
		return err
	}
	return x.putMade(p, name, nil)
}
