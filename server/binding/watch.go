package binding

import (
	"context"
	"errors"
	"slices"
	"time"

	"ssmlocal/server/action"
	"ssmlocal/server/instance"
	"ssmlocal/server/ssm"
	"ssmlocal/store"
)

const (
	// sweepEvery is how often databases are looked at for accounts that nobody
	// wants, and those that forget accounts for what they have lost.
	sweepEvery = 5 * time.Second
	// grace is how long an account may be there before its secret.
	grace = time.Minute
)

// watch looks after the databases until ctx ends: at the start it says what is
// not as it should be, then it drops what nobody wants and puts back what a
// restart has lost.
func (x *Instances) watch(ctx context.Context) {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for first := true; ; first = false {
		x.report(ctx, first)
		for _, p := range x.places() {
			if err := x.sweep(ctx, p); err != nil && ctx.Err() == nil {
				x.log.Debug("a database can't be checked for lost or unused accounts; trying again", "instanceId", p.id, "reason", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// report says of each database, once it can be reached, whether it lacks
// accounts. At the start it also says which can't be reached.
func (x *Instances) report(ctx context.Context, first bool) {
	for _, p := range x.places() {
		x.mu.Lock()
		reported := x.outcomes[p].reported
		x.mu.Unlock()
		if reported {
			continue
		}
		s, err := x.status(ctx, p)
		if err != nil {
			x.service.Failed(err)
		}
		lacking := []string{}
		for _, a := range s.Accounts {
			if outOfStep(a.State) && !x.isForgetful(p) { // what Redis has forgotten is put back at once
				lacking = append(lacking, a.AccountName+" ("+a.State+")")
			}
		}
		switch {
		case ctx.Err() != nil || !s.Reachable && !first:
			continue
		case !s.Reachable:
			x.log.Warn("the database of an instance can't be used now", "instanceId", p.id, "uin", p.uin, "url", s.URL, "reason", s.Reason)
			continue
		case len(lacking) > 0:
			x.log.Warn("the database of an instance is out of step with the secrets: ssmlocal instance repair ID puts it right",
				"instanceId", p.id, "uin", p.uin, "accounts", lacking[:min(10, len(lacking))], "count", len(lacking))
		default:
			x.log.Info("an instance is bound to a database", "instanceId", p.id, "uin", p.uin, "url", s.URL, "version", s.Version)
		}
		x.note(p, func(o *outcome) { o.reported = true })
	}
}

func (x *Instances) isForgetful(p place) bool { return x.Engine(p.uin, p.id) == instance.Redis }

// sweep looks after one database.
func (x *Instances) sweep(ctx context.Context, p place) (err error) {
	defer action.Catch(&err)
	marked, err := x.marked(p)
	if err != nil {
		return err
	}
	in, err := x.get(p)
	if err != nil || len(marked) == 0 && !in.Forgets() {
		return err
	}
	for _, name := range marked {
		if err := x.dropUnnamed(ctx, in, p, name); err != nil {
			return err
		}
	}
	if !in.Forgets() {
		return nil
	}
	return x.putBack(ctx, in, p)
}

// marked returns the accounts of an instance that are to be dropped, unless a
// secret is being made with them.
func (x *Instances) marked(p place) (names []string, err error) {
	now := x.clock.Wall()
	err = x.service.Store().View(func(tx *store.Tx) error {
		made, err := action.Made(tx, p.uin, p.id)
		for name, m := range made {
			if m.Drop && now.Sub(x.madeAt(p, name)) > grace {
				names = append(names, name)
			}
		}
		return err
	})
	return names, err
}

// dropUnnamed drops an account that was made here, unless a secret names it.
func (x *Instances) dropUnnamed(ctx context.Context, in *instance.Instance, p place, name string) error {
	named, err := x.named(p)
	if _, is := named[name]; is || err != nil {
		return err
	}
	made, err := x.isMade(p, name)
	if err != nil || made != nil && !in.Address.IsServer(made.At) { // one of that name here is somebody else's
		return err
	}
	return x.drop(ctx, in, p, name)
}

// named returns the accounts that the secrets on an instance name now.
func (x *Instances) named(p place) (all map[string]action.NamedAccount, err error) {
	err = x.service.Store().View(func(tx *store.Tx) (err error) {
		all, err = action.NamedOnInstance(tx, x.service.Generations(), p.uin, p.id)
		return err
	})
	return all, err
}

// madeAt is when an account was made for which there was no secret yet.
func (x *Instances) madeAt(p place, name string) time.Time {
	x.working.Lock()
	defer x.working.Unlock()
	return x.making[accountKey{p, name}]
}

// isMaking notes that an account is about to be made for which there is no
// secret yet.
func (x *Instances) isMaking(p place, name string) {
	now := x.clock.Wall()
	x.working.Lock()
	defer x.working.Unlock()
	for key, at := range x.making {
		if now.Sub(at) > grace {
			delete(x.making, key)
		}
	}
	x.making[accountKey{p, name}] = now
}

// putBack makes the accounts again that a database has lost, with the passwords
// of the secrets.
func (x *Instances) putBack(ctx context.Context, in *instance.Instance, p place) error {
	k, err := x.known(p)
	if err != nil || len(k.secrets) == 0 {
		return err
	}
	there, err := in.Accounts(ctx)
	if err != nil {
		return err
	}
	r := Repaired{}
	for i := range k.secrets {
		lost := func(l ssm.Login) bool {
			// Made in this database, and not in one that was bound before.
			made, is := k.made[l.UserName]
			return is && in.Address.IsServer(made.At) && !slices.Contains(there, l.UserName)
		}
		if slices.ContainsFunc(k.secrets[i].Logins, lost) {
			x.repairSecret(ctx, in, p, &k.secrets[i], there, &r)
		}
	}
	if len(r.Made) > 0 {
		x.log.Warn("a database had lost accounts; they are restored", "instanceId", p.id, "uin", p.uin, "accounts", r.Made)
	}
	for _, f := range r.Failed {
		err = errors.Join(err, errors.New(f.AccountName+": "+f.Reason))
	}
	return err
}
