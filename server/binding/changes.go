package binding

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"ssmlocal/server/action"
	"ssmlocal/server/instance"
	"ssmlocal/server/ssm"
	"ssmlocal/store"
)

// What tasks change in real databases: read from the store, done outside of
// every transaction and lock, logged in with, and promoted in one transaction.
// A crash at any point leaves the task ready, and the next start does all of it
// again; each step may be done twice.

// changes are those that are under way.
type changes struct {
	wake chan struct{}

	working sync.Mutex
	begun   map[string]*begun // changes, by ID
	secrets map[string]bool   // secrets with a change under way; each has one at a time
	freed   chan struct{}     // closed when one of them is free
	count   map[place]int     // of changes that are under way
	waiting map[string]*retry // changes that are tried again, by ID
	down    map[place]*outage
	// making has when accounts were made for which there is no secret yet.
	making map[accountKey]time.Time
}

// begun is a change that is under way.
type begun struct {
	uin    uint64
	cancel context.CancelFunc
}

// retry is a change whose database was away.
type retry struct {
	uin       uint64
	since, at time.Time // wall time of the first attempt and the next
	attempts  int
}

// outage is a database that is away.
type outage struct {
	since, last time.Time // wall time of the first and the last attempt
	slow        bool      // the last one took long: the database does not even refuse
	reason      string
}

func newChanges() changes {
	return changes{
		wake: make(chan struct{}, 1), begun: map[string]*begun{}, secrets: map[string]bool{}, freed: make(chan struct{}),
		count: map[place]int{}, waiting: map[string]*retry{}, down: map[place]*outage{}, making: map[accountKey]time.Time{},
	}
}

const (
	// perPlace is how many changes of one database are under way at once.
	perPlace = 16
	// patience is how long a database may be away before what changes
	// it fails (S).
	patience = 20 * time.Second
	// stale is how old the last attempt may be for a change to fail without one
	// of its own, if that took longer than slow.
	stale = 5 * time.Second
	slow  = time.Second

	firstAttempt = 250 * time.Millisecond // after the one that failed; then twice as long each time
	lastAttempt  = 4 * time.Second
)

// Look makes Run look for changes that are ready.
func (c *changes) Look() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Run makes changes until ctx ends.
func (x *Instances) Run(ctx context.Context) {
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() { x.watch(ctx) })
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-x.wake:
		case <-timer.C:
		}
		next, err := x.begin(ctx, &all)
		if err != nil {
			x.service.Failed(err)
		}
		timer.Reset(next)
	}
}

// begin begins the changes that are ready, and returns when to look again.
func (x *Instances) begin(ctx context.Context, all *sync.WaitGroup) (next time.Duration, err error) {
	defer action.Catch(&err)
	now := x.clock.Wall()
	next = time.Minute
	skip := func(id string) bool {
		x.working.Lock()
		defer x.working.Unlock()
		r := x.waiting[id]
		if r != nil && r.at.After(now) {
			next = min(next, r.at.Sub(now))
			return true
		}
		return x.begun[id] != nil
	}
	// First of any instance, for those that are not bound any more; then of
	// each.
	for _, p := range append([]place{{}}, x.places()...) {
		ready, err := x.service.Due().Changes(p.uin, p.id, perPlace, skip)
		if err != nil {
			return time.Second, err
		}
		for _, ch := range ready {
			if own, taken := x.take(ctx, &ch); taken {
				all.Go(func() { x.perform(own, ch) })
			}
		}
	}
	return next, nil
}

// take takes a change for one goroutine, unless its secret or its database is
// busy. The context ends when the state of its account is replaced.
func (x *Instances) take(ctx context.Context, ch *action.Change) (own context.Context, taken bool) {
	p := place{ch.Owner.Uin, ch.InstanceID}
	x.working.Lock()
	defer x.working.Unlock()
	if x.begun[ch.ID()] != nil || x.secrets[ch.Secret()] || x.count[p] >= perPlace {
		return nil, false
	}
	own, cancel := context.WithCancel(ctx)
	x.begun[ch.ID()], x.secrets[ch.Secret()] = &begun{ch.Owner.Uin, cancel}, true
	x.count[p]++
	return own, true
}

// abandon ends the changes of an account, or with 0 all: their state was
// replaced. A statement that was already sent to a database may still take
// effect.
func (x *Instances) abandon(uin uint64) {
	x.working.Lock()
	defer x.working.Unlock()
	for _, b := range x.begun {
		if uin == 0 || b.uin == uin {
			b.cancel()
		}
	}
	for id, r := range x.waiting {
		if uin == 0 || r.uin == uin {
			delete(x.waiting, id)
		}
	}
	for p := range x.down {
		if uin == 0 || p.uin == uin {
			delete(x.down, p)
		}
	}
}

// free gives a change back.
func (x *Instances) free(ch *action.Change) {
	p := place{ch.Owner.Uin, ch.InstanceID}
	x.working.Lock()
	defer x.working.Unlock()
	x.begun[ch.ID()].cancel()
	delete(x.begun, ch.ID())
	if x.count[p]--; x.count[p] == 0 {
		delete(x.count, p)
	}
	x.freeSecret(ch.Secret())
}

// freeSecret frees a secret. The lock must be held.
func (x *Instances) freeSecret(id string) {
	delete(x.secrets, id)
	close(x.freed)
	x.freed = make(chan struct{})
	x.Look()
}

// acquire keeps changes away from a secret until free is called.
func (x *Instances) acquire(ctx context.Context, secret string) (free func(), err error) {
	for {
		x.working.Lock()
		if !x.secrets[secret] {
			x.secrets[secret] = true
			x.working.Unlock()
			return func() {
				x.working.Lock()
				defer x.working.Unlock()
				x.freeSecret(secret)
			}, nil
		}
		freed := x.freed
		x.working.Unlock()
		select {
		case <-freed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// running is how many changes of an instance are under way.
func (x *Instances) running(p place) int {
	x.working.Lock()
	defer x.working.Unlock()
	return x.count[p]
}

// accountKey names an account of an instance.
type accountKey struct {
	place
	name string
}

// perform makes one change, and ends its task unless it is to be tried again.
func (x *Instances) perform(ctx context.Context, ch action.Change) {
	defer x.free(&ch)
	p := place{ch.Owner.Uin, ch.InstanceID}
	began := x.clock.Wall()
	err := x.attempt(ctx, p, &ch)
	if ctx.Err() != nil {
		return // the next start goes on, or the state is no more
	}
	var untried notTried
	switch {
	case errors.As(err, &untried): // that says nothing about the database
	case !instance.IsAway(err):
		x.isBack(p)
	case x.again(p, &ch, err, began):
		return
	}
	if err := x.end(ctx, p, &ch, err); err != nil { // the store's own: what the database has is not lost
		x.service.Failed(err)
		x.working.Lock()
		x.waiting[ch.ID()] = &retry{uin: p.uin, since: began, at: x.clock.Wall().Add(time.Second)}
		x.working.Unlock()
	}
}

// A notTried is why a change failed without an attempt.
type notTried string

func (e notTried) Error() string { return string(e) }

// attempt makes a change once.
func (x *Instances) attempt(ctx context.Context, p place, ch *action.Change) (err error) {
	defer action.Catch(&err)
	if ch.Void != "" {
		return notTried(ch.Void)
	}
	if err := x.isDown(p); err != nil {
		return err
	}
	if ch.Kind == ssm.CreateTask {
		return x.create(ctx, p, ch)
	}
	in, err := x.get(p)
	if err != nil {
		return err
	}
	if ch.Kind == ssm.DeleteTask {
		for _, name := range ch.Accounts {
			made, err := x.isMade(p, name)
			if err == nil && made != nil && !in.Address.IsServer(made.At) {
				err = fmt.Errorf("the account %s was made in another database, %s, and stays there", name, made.At)
			}
			if err == nil {
				err = in.Drop(ctx, name)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	a := accountOf(ch, 0)
	if err := x.setPassword(ctx, in, p, ch, a); err != nil {
		return err
	}
	return x.login(ctx, in, a)
}

// setPassword gives an account of a secret its next password. One that is not
// there, or lacks something, is made; one that nobody here has made is not
// touched.
func (x *Instances) setPassword(ctx context.Context, in *instance.Instance, p place, ch *action.Change, a instance.Account) error {
	made, err := x.isMade(p, a.Name)
	if err != nil {
		return err
	}
	if made != nil && !in.Address.IsServer(made.At) { // the instance was bound to another database then
		made = nil
	}
	if made != nil && !made.Unfinished {
		err := in.SetPassword(ctx, a)
		if !errors.Is(err, instance.ErrNoAccount) {
			return err
		}
	} else if made == nil {
		mine, err := x.isMine(ctx, in, ch, a.Name)
		if err != nil {
			return err
		}
		if mine {
			return in.SetPassword(ctx, a)
		}
	}
	if err := x.service.Due().Claim(*ch, in.Address.String()); err != nil {
		return err
	}
	err = in.Create(ctx, a)
	if err != nil && !instance.IsAway(err) { // nothing half-made stays
		if dropped := in.Drop(ctx, a.Name); dropped == nil {
			err = errors.Join(err, x.putMade(p, a.Name, nil))
		}
	}
	return err
}

// isMine reports whether an account of a secret that is not known to be made
// here is in the database and the secret's: its password can log in. An account
// that is not the secret's is an error.
func (x *Instances) isMine(ctx context.Context, in *instance.Instance, ch *action.Change, name string) (bool, error) {
	there, err := in.Accounts(ctx)
	if err != nil || !slices.Contains(there, name) {
		return false, err
	}
	var s *action.InstanceSecret
	err = x.service.Store().View(func(tx *store.Tx) (err error) {
		s, err = action.ReadOnInstance(tx, ch.SecretID())
		return err
	})
	if err != nil {
		return false, err
	}
	if s != nil {
		for _, l := range s.Logins {
			a := instance.Account{Name: l.UserName, Password: l.Password, Hosts: ch.Domains}
			if l.UserName == name && l.Password != "" && in.Login(ctx, a) == nil {
				return true, nil
			}
		}
	}
	return false, fmt.Errorf("the database has an account %s that this emulator has not made; ssmlocal instance repair %s takes it over", name, ch.InstanceID)
}

func (x *Instances) isMade(p place, name string) (m *action.MadeAccount, err error) {
	err = x.service.Store().View(func(tx *store.Tx) (err error) { m, err = action.IsMade(tx, p.uin, p.id, name); return err })
	return m, err
}

func (x *Instances) putMade(p place, name string, m *action.MadeAccount) error {
	return x.service.Store().Update(func(tx *store.Tx) error { return action.PutMade(tx, p.uin, p.id, name, m) })
}

// accountOf is one of the accounts of a change with what it shall have.
func accountOf(ch *action.Change, i int) instance.Account {
	a := instance.Account{Name: ch.Accounts[i], Hosts: ch.Domains, Privileges: ch.Privileges}
	if a.Name == ch.Pending.UserName {
		a.Password = ch.Pending.Password
	}
	return a
}

// create makes the two accounts of a secret, under names that the database does
// not have.
func (x *Instances) create(ctx context.Context, p place, ch *action.Change) error {
	claimed, err := x.service.Due().Claimed(*ch)
	if err != nil {
		return err
	}
	accounts := func() []instance.Account { return []instance.Account{accountOf(ch, 0), accountOf(ch, 1)} }
	if claimed { // what there is of them is our own
		in, err := x.get(p)
		if err != nil {
			return err
		}
		return x.make(ctx, in, accounts())
	}
	for range mostNames {
		claimed := false
		err = x.makeNew(ctx, p, accounts(), func(at string) error { claimed = true; return x.service.Due().Claim(*ch, at) })
		if !errors.Is(err, action.ErrNameTaken) {
			return err
		}
		if *ch, err = x.service.Due().Rename(*ch, claimed); err != nil {
			return err
		}
		if ch.Void != "" {
			return errors.New(ch.Void)
		}
	}
	return action.ErrNameTaken
}

// mostNames is how many names are tried until the database has none of them.
const mostNames = 10

// end records a change as done, or as failed with an error. The error that it
// returns is one of the store.
func (x *Instances) end(ctx context.Context, p place, ch *action.Change, failure error) (err error) {
	defer action.Catch(&err)
	reason, clean := "", false
	if failure != nil {
		reason = failure.Error()
		clean = ch.Kind == ssm.CreateTask && x.cleanUp(ctx, p, ch)
		// Before the task ends: whoever sees it failed finds the reason.
		if x.service.Generations().Live(ch.Owner.Uin, ch.Owner.Generation) {
			x.failed(p, Failure{
				What: ch.Kind.String(), Region: ch.Owner.Region, SecretName: ch.SecretName, FlowID: ch.FlowID, Reason: reason,
			})
		}
	}
	x.service.Enter()
	event, due, err := x.service.Due().Finish(*ch, x.clock.Now(), reason, clean)
	x.service.Edited()
	x.service.Leave()
	if err != nil {
		return err
	}
	x.working.Lock()
	delete(x.waiting, ch.ID())
	x.working.Unlock()
	x.service.Happened(event, due)
	return nil
}

// cleanUp drops what a failed creation has made, and reports whether nothing is
// left of it. What is left is dropped later.
func (x *Instances) cleanUp(ctx context.Context, p place, ch *action.Change) bool {
	claimed, err := x.service.Due().Claimed(*ch)
	if err != nil || !claimed {
		return err == nil
	}
	in, err := x.get(p)
	for _, name := range ch.Accounts {
		if err == nil {
			err = in.Drop(ctx, name)
		}
	}
	return err == nil
}

// again notes that a database is away, and reports whether the change is to be
// tried again.
func (x *Instances) again(p place, ch *action.Change, err error, began time.Time) bool {
	now := x.clock.Wall()
	x.working.Lock()
	defer x.working.Unlock()
	o := x.down[p]
	if o == nil || now.Sub(o.last) > 3*lastAttempt { // it has been back since
		o = &outage{since: now}
		x.down[p] = o
	}
	o.last, o.reason, o.slow = now, err.Error(), now.Sub(began) > slow
	r := x.waiting[ch.ID()]
	if r == nil {
		r = &retry{uin: p.uin, since: now}
		x.waiting[ch.ID()] = r
	}
	if now.Sub(r.since) >= x.patience || now.Sub(o.since) >= x.patience {
		return false
	}
	r.at = now.Add(min(firstAttempt<<min(r.attempts, 10), lastAttempt))
	r.attempts++
	return true
}

// isDown returns an error if a change may fail without an attempt: the database
// has been away for longer than the patience, and a moment ago an attempt
// waited for its answer in vain.
func (x *Instances) isDown(p place) error {
	now := x.clock.Wall()
	x.working.Lock()
	defer x.working.Unlock()
	if o := x.down[p]; o != nil && o.slow && now.Sub(o.since) >= x.patience && now.Sub(o.last) < stale {
		return notTried(o.reason)
	}
	return nil
}

func (x *Instances) isBack(p place) {
	x.working.Lock()
	defer x.working.Unlock()
	delete(x.down, p)
}
