package binding

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"ssmlocal/server/action"
	"ssmlocal/server/instance"
	"ssmlocal/server/ssm"
	"ssmlocal/store"
)

// A Status is what is known of an instance that is bound.
type Status struct {
	Uin        uint64 `json:"uin"`
	InstanceID string `json:"instanceId"`
	URL        string `json:"url"` // without the password
	Engine     string `json:"engine"`
	Version    string `json:"version,omitempty"`
	Reachable  bool   `json:"reachable"`
	Reason     string `json:"reason,omitempty"` // why it is not
	// Accounts are those of the secrets, and those that were made for secrets
	// which are no more.
	Accounts     []Account  `json:"accounts"`
	LastRotation *time.Time `json:"lastRotation,omitempty"` // virtual time
	LastFailure  *Failure   `json:"lastFailure,omitempty"`
	// Running has the tasks that change it now, or wait to.
	Running int `json:"running"`
}

// An Account is an account in a database.
type Account struct {
	AccountName string `json:"accountName"`
	Region      string `json:"region,omitempty"`
	SecretName  string `json:"secretName,omitempty"`
	Current     bool   `json:"current,omitempty"` // it is the secret's SSM_Current
	// State is ok; missing if the database does not have it; "wrong password"
	// if the value of the secret can't log in; "not made here" if the secret
	// names it and the emulator has not made it, so that it does not change it
	// before a repair; "being made"; "left over" if the emulator has made it
	// for a secret that is no more, or that has other accounts now; unknown if
	// nobody here knows it; "not checked".
	State string `json:"state"`
}

// The states of accounts.
const (
	accountOK      = "ok"
	accountMissing = "missing"
	accountWrong   = "wrong password"
	accountLeft    = "left over"
	accountUnknown = "unknown"
	accountOthers  = "not made here"
	accountBorn    = "being made"
	accountUntried = "not checked"
)

// outOfStep are the states that a repair is for.
func outOfStep(state string) bool {
	return state == accountMissing || state == accountWrong || state == accountOthers
}

// statusTime bounds how long a status asks a database.
const statusTime = 5 * time.Second

// Statuses returns the instances of an account that are bound, or with 0 of
// all, as they are now.
func (x *Instances) Statuses(ctx context.Context, uin uint64) ([]Status, error) {
	places := slices.DeleteFunc(x.places(), func(p place) bool { return uin != 0 && p.uin != uin })
	all := make([]Status, len(places))
	errs := make([]error, len(places))
	ctx, cancel := context.WithTimeout(ctx, statusTime)
	defer cancel()
	var wait sync.WaitGroup
	for i, p := range places {
		wait.Go(func() { all[i], errs[i] = x.status(ctx, p) })
	}
	wait.Wait()
	return all, errors.Join(errs...)
}

// known is what the store knows of an instance.
type known struct {
	secrets []action.InstanceSecret
	made    map[string]action.MadeAccount
	named   map[string]action.NamedAccount
}

func (x *Instances) known(p place) (k known, err error) {
	x.service.Enter()
	defer x.service.Leave()
	err = x.service.Store().View(func(tx *store.Tx) (err error) {
		if k.secrets, err = action.OnInstance(tx, x.service.Generations(), p.uin, p.id); err != nil {
			return err
		}
		if k.made, err = action.Made(tx, p.uin, p.id); err != nil {
			return err
		}
		k.named, err = action.NamedOnInstance(tx, x.service.Generations(), p.uin, p.id)
		return err
	})
	return k, err
}

// status connects to a database and compares its accounts with the secrets.
func (x *Instances) status(ctx context.Context, p place) (s Status, err error) {
	a, _ := instance.Parse(x.url(p.uin, p.id)) // checked
	s = Status{Uin: p.uin, InstanceID: p.id, URL: a.String(), Engine: a.Engine(), Running: x.running(p)}
	x.mu.Lock()
	o := x.outcomes[p]
	x.mu.Unlock()
	s.LastFailure = o.failure
	k, err := x.known(p)
	if err != nil {
		return s, err
	}
	var last int64
	for _, secret := range k.secrets {
		last = max(last, secret.Secret.Rotation.LastAt)
	}
	if last != 0 {
		at := time.Unix(0, last).UTC()
		s.LastRotation = &at
	}
	in, err := x.get(p)
	if err == nil {
		s.Version, err = in.Version(ctx)
	}
	var there []string
	if err == nil {
		there, err = in.Accounts(ctx)
	}
	if err != nil {
		s.Reason = err.Error()
	}
	if s.Reachable = err == nil; s.Reachable {
		x.isBack(p)
	}
	s.Accounts = x.accounts(ctx, in, k, there, s.Reachable)
	return s, nil
}

// accounts compares what the store knows with what the database has.
func (x *Instances) accounts(ctx context.Context, in *instance.Instance, k known, there []string, reachable bool) []Account {
	all := []Account{}
	seen := map[string]bool{}
	var wait sync.WaitGroup
	var try []func()
	for i := range k.secrets {
		s := &k.secrets[i]
		for _, l := range s.Logins {
			seen[l.UserName] = true
			a := Account{
				AccountName: l.UserName, Region: s.Owner.Region, SecretName: s.Secret.Name, Current: s.Current(l), State: accountOK,
			}
			_, made := k.made[l.UserName]
			switch at := len(all); {
			case !reachable, !in.Lists() && !a.Current:
				a.State = accountUntried
			case in.Lists() && !slices.Contains(there, l.UserName):
				a.State = accountMissing
			case !made && !a.Current:
				a.State = accountOthers
			case a.Current:
				try = append(try, func() { all[at].State = x.tryLogin(ctx, in, s, l) })
			}
			all = append(all, a)
		}
	}
	work := make(chan func())
	for range 8 {
		wait.Go(func() {
			for do := range work {
				do()
			}
		})
	}
	for _, do := range try {
		work <- do
	}
	close(work)
	wait.Wait()
	for _, name := range there {
		if seen[name] {
			continue
		}
		a := Account{AccountName: name, State: accountUnknown}
		m, made := k.made[name]
		n, named := k.named[name]
		switch {
		case named:
			a.Region, a.SecretName, a.State = n.Region, n.SecretName, accountBorn
		case made:
			a.Region, a.SecretName, a.State = m.Region, m.SecretName, accountLeft
		}
		all = append(all, a)
	}
	return all
}

// tryLogin says whether the value of a secret can log in.
func (x *Instances) tryLogin(ctx context.Context, in *instance.Instance, s *action.InstanceSecret, l ssm.Login) string {
	err := in.Login(ctx, instance.Account{Name: l.UserName, Password: l.Password, Hosts: s.Secret.Domains})
	switch {
	case err == nil:
		return accountOK
	case errors.Is(err, instance.ErrNotChecked), instance.IsAway(err), ctx.Err() != nil:
		return accountUntried
	}
	return accountWrong
}
