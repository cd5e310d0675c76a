package backend

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"ssmlocal/server/action"
	"ssmlocal/server/apierr"
	"ssmlocal/server/instance"
	"ssmlocal/server/ssm"
	"ssmlocal/server/turn"
	"ssmlocal/store"
)

// Instances that are bound to real databases: their bindings, their status, and
// the repair of their accounts. What tasks change in them is in changes.go.

// CheckBinding refuses a binding whose id or URL can't be right.
func CheckBinding(b ssm.Binding) error {
	if !ssm.IsID(b.InstanceID) {
		return fmt.Errorf("the instance's id must have 1 to %d bytes, and no control characters", ssm.MaxID)
	}
	if _, err := instance.Parse(b.URL); err != nil {
		return fmt.Errorf("the URL: %w", err)
	}
	return nil
}

// instances are the databases that are bound, with the connections to them.
type instances struct {
	b          *Backend
	configured map[uint64][]ssm.Binding
	patience   time.Duration // for a database that is away
	changes

	mu   sync.Mutex
	open map[string]*instance.Instance // by URL
	// outcomes has, by account and instance, what was done there last.
	outcomes map[place]outcome
}

// place is an instance of an account.
type place struct {
	uin uint64
	id  string
}

// outcome is what the last changes of an instance have come to.
type outcome struct {
	failure  *Failure
	reported bool // whether the log has said how it is
}

// A Failure is a change that came to nothing.
type Failure struct {
	At         time.Time `json:"at"` // wall time
	What       string    `json:"what"`
	Region     string    `json:"region"`
	SecretName string    `json:"secretName"`
	FlowID     int64     `json:"flowId,omitzero"`
	Reason     string    `json:"reason"`
}

func newInstances(b *Backend, configured map[uint64][]ssm.Binding, patience time.Duration) *instances {
	return &instances{
		b: b, configured: configured, patience: patience, changes: newChanges(),
		open: map[string]*instance.Instance{}, outcomes: map[place]outcome{},
	}
}

// bindings returns those of an account: the state's, then the configuration's
// for other instances.
func (x *instances) bindings(uin uint64) []ssm.Binding {
	all := slices.Clone(x.b.accounts.of(uin).Instances)
	for _, c := range x.configured[uin] {
		if !slices.ContainsFunc(all, func(b ssm.Binding) bool { return b.InstanceID == c.InstanceID }) {
			all = append(all, c)
		}
	}
	return all
}

// isConfigured reports whether the configuration binds an instance.
func (x *instances) isConfigured(uin uint64, id string) bool {
	return slices.ContainsFunc(x.configured[uin], func(b ssm.Binding) bool { return b.InstanceID == id })
}

func (x *instances) url(uin uint64, id string) string {
	if len(x.configured) == 0 && len(x.b.accounts.of(uin).Instances) == 0 {
		return ""
	}
	for _, b := range x.bindings(uin) {
		if b.InstanceID == id {
			return b.URL
		}
	}
	return ""
}

// places returns every instance that is bound.
func (x *instances) places() (all []place) {
	uins := map[uint64]bool{}
	for uin := range x.configured {
		uins[uin] = true
	}
	for uin := range x.b.accounts.all() {
		uins[uin] = true
	}
	for uin := range uins {
		for _, b := range x.bindings(uin) {
			all = append(all, place{uin, b.InstanceID})
		}
	}
	slices.SortFunc(all, func(a, b place) int { return cmp.Or(cmp.Compare(a.uin, b.uin), strings.Compare(a.id, b.id)) })
	return all
}

// Engine is which kind of database is bound to an instance; "" for none.
func (x *instances) Engine(uin uint64, id string) string {
	url := x.url(uin, id)
	if url == "" {
		return ""
	}
	a, _ := instance.Parse(url) // checked
	return a.Engine()
}

// CheckPrivileges refuses privileges that this kind of database can't have.
func (x *instances) CheckPrivileges(uin uint64, id string, units []ssm.PrivilegeUnit) error {
	return instance.CheckPrivileges(x.Engine(uin, id), units)
}

// errUnbound is why nothing can be done on an instance.
var errUnbound = errors.New("no database is bound to the instance any more")

// get returns the database behind an instance.
func (x *instances) get(p place) (*instance.Instance, error) {
	url := x.url(p.uin, p.id)
	if url == "" {
		return nil, errUnbound
	}
	x.mu.Lock()
	in := x.open[url]
	x.mu.Unlock()
	if in != nil {
		return in, nil
	}
	a, err := instance.Parse(url)
	if err != nil {
		return nil, err
	}
	if in, err = instance.Open(a); err != nil { // without the lock: it reads files
		return nil, err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if other := x.open[url]; other != nil {
		go in.Close()
		return other, nil
	}
	x.open[url] = in
	return in, nil
}

// prune closes the connections that no binding needs any more.
func (x *instances) prune() {
	wanted := map[string]bool{}
	for _, p := range x.places() {
		wanted[x.url(p.uin, p.id)] = true
	}
	x.mu.Lock()
	var gone []*instance.Instance
	for url, in := range x.open {
		if !wanted[url] {
			gone = append(gone, in)
			delete(x.open, url)
		}
	}
	x.mu.Unlock()
	go func() { // it may wait for a database
		for _, in := range gone {
			in.Close()
		}
	}()
}

// close closes all connections, without waiting for a database.
func (x *instances) close() {
	x.mu.Lock()
	open := x.open
	x.open = map[string]*instance.Instance{}
	x.mu.Unlock()
	for _, in := range open {
		go in.Close()
	}
}

// Make makes an account for a call that waits. It gives the state lock back
// meanwhile.
func (x *instances) Make(c *action.Call, a action.NewAccount, claim func(at string) error) error {
	p := place{c.Owner.Uin, a.InstanceID}
	var err error
	replaced := x.b.stateLock.without(turn.Of(c.Context), c.Owner.Uin, func() {
		ctx, cancel := x.b.While(c.Context)
		defer cancel()
		x.isMaking(p, a.Login.UserName)
		account := instance.Account{Name: a.Login.UserName, Password: a.Login.Password, Privileges: a.Privileges}
		err = x.makeNew(ctx, p, []instance.Account{account}, claim)
	})
	if replaced {
		return errors.New(Replaced)
	}
	if err == nil || errors.Is(err, action.ErrNameTaken) {
		return err
	}
	x.failed(p, Failure{What: ssm.CreateTask.String(), Region: c.Owner.Region, SecretName: a.SecretName, Reason: err.Error()})
	return apierr.InternalError.With() // of CreateSecret's documented codes; the log has the reason
}

// makeNew makes accounts that the database does not have, the first of which
// can log in. claim is called with the database's address before the first
// change.
func (x *instances) makeNew(ctx context.Context, p place, accounts []instance.Account, claim func(at string) error) error {
	in, err := x.get(p)
	if err != nil {
		return err
	}
	there, err := in.Accounts(ctx)
	if err != nil {
		return err
	}
	for i := range accounts {
		if slices.Contains(there, accounts[i].Name) {
			return action.ErrNameTaken
		}
		accounts[i].New = true
	}
	if err := claim(in.Address.String()); err != nil {
		return err
	}
	err = x.make(ctx, in, accounts)
	if errors.Is(err, instance.ErrTaken) { // since a moment ago
		return action.ErrNameTaken
	}
	return err
}

// make makes accounts that are the emulator's own, and logs in as the first.
func (x *instances) make(ctx context.Context, in *instance.Instance, accounts []instance.Account) error {
	for i, a := range accounts {
		err := in.Create(ctx, a)
		if errors.Is(err, instance.ErrTaken) {
			for _, made := range accounts[:i] {
				err = errors.Join(err, in.Drop(ctx, made.Name))
			}
		}
		if err != nil {
			return err
		}
	}
	return x.login(ctx, in, accounts[0])
}

// login tries a new login, where the database lets the emulator in.
func (x *instances) login(ctx context.Context, in *instance.Instance, a instance.Account) error {
	err := in.Login(ctx, a)
	if errors.Is(err, instance.ErrNotChecked) {
		x.b.log.Debug("a new login can't be tried", "account", a.Name, "reason", err)
		return nil
	}
	return err
}

// failed notes a failure, and says so in the log.
func (x *instances) failed(p place, f Failure) {
	f.At = x.b.Clock.Wall().UTC()
	x.b.log.Warn("a change of a database has failed; GET /_ssmlocal/instances has the reason", "what", f.What, "uin", p.uin,
		"instanceId", p.id, "region", f.Region, "secretName", f.SecretName, "flowId", f.FlowID, "reason", f.Reason)
	x.note(p, func(o *outcome) { o.failure = &f })
}

func (x *instances) note(p place, change func(*outcome)) {
	x.mu.Lock()
	defer x.mu.Unlock()
	o := x.outcomes[p]
	change(&o)
	x.outcomes[p] = o
}

// forget forgets what was done for an account, or with 0 for all: its state was
// replaced.
func (x *instances) forget(uin uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for p := range x.outcomes {
		if uin == 0 || p.uin == uin {
			delete(x.outcomes, p)
		}
	}
	x.abandon(uin)
	x.look()
	go x.prune()
}

// An InstanceStatus is what is known of an instance that is bound.
type InstanceStatus struct {
	Uin        uint64 `json:"uin"`
	InstanceID string `json:"instanceId"`
	URL        string `json:"url"` // without the password
	Engine     string `json:"engine"`
	Version    string `json:"version,omitempty"`
	Reachable  bool   `json:"reachable"`
	Reason     string `json:"reason,omitempty"` // why it is not
	// Accounts are those of the secrets, and those that were made for secrets
	// which are no more.
	Accounts     []InstanceAccount `json:"accounts"`
	LastRotation *time.Time        `json:"lastRotation,omitempty"` // virtual time
	LastFailure  *Failure          `json:"lastFailure,omitempty"`
	// Running has the tasks that change it now, or wait to.
	Running int `json:"running"`
}

// An InstanceAccount is an account in a database.
type InstanceAccount struct {
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

// Instances returns the instances of an account that are bound, or with 0 of
// all, as they are now.
func (b *Backend) Instances(ctx context.Context, uin uint64) ([]InstanceStatus, error) {
	x := b.instances
	places := slices.DeleteFunc(x.places(), func(p place) bool { return uin != 0 && p.uin != uin })
	all := make([]InstanceStatus, len(places))
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

func (x *instances) known(p place) (k known, err error) {
	x.b.stateLock.RLock()
	defer x.b.stateLock.RUnlock()
	err = x.b.db.View(func(tx *store.Tx) (err error) {
		if k.secrets, err = action.OnInstance(tx, x.b.generations.Load(), p.uin, p.id); err != nil {
			return err
		}
		if k.made, err = action.Made(tx, p.uin, p.id); err != nil {
			return err
		}
		k.named, err = action.NamedOnInstance(tx, x.b.generations.Load(), p.uin, p.id)
		return err
	})
	return k, err
}

// status connects to a database and compares its accounts with the secrets.
func (x *instances) status(ctx context.Context, p place) (s InstanceStatus, err error) {
	a, _ := instance.Parse(x.url(p.uin, p.id)) // checked
	s = InstanceStatus{Uin: p.uin, InstanceID: p.id, URL: a.String(), Engine: a.Engine(), Running: x.running(p)}
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
func (x *instances) accounts(ctx context.Context, in *instance.Instance, k known, there []string, reachable bool) []InstanceAccount {
	all := []InstanceAccount{}
	seen := map[string]bool{}
	var wait sync.WaitGroup
	var try []func()
	for i := range k.secrets {
		s := &k.secrets[i]
		for _, l := range s.Logins {
			seen[l.UserName] = true
			a := InstanceAccount{
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
		a := InstanceAccount{AccountName: name, State: accountUnknown}
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
func (x *instances) tryLogin(ctx context.Context, in *instance.Instance, s *action.InstanceSecret, l ssm.Login) string {
	err := in.Login(ctx, instance.Account{Name: l.UserName, Password: l.Password, Hosts: s.Secret.Domains})
	switch {
	case err == nil:
		return accountOK
	case errors.Is(err, instance.ErrNotChecked), instance.IsAway(err), ctx.Err() != nil:
		return accountUntried
	}
	return accountWrong
}

// CheckStateBinding is CheckBinding for a binding of the state, which anybody
// may have sent: it can't name a program to run.
func CheckStateBinding(b ssm.Binding) error {
	if err := CheckBinding(b); err != nil {
		return err
	}
	if a, _ := instance.Parse(b.URL); a.IsProgram() {
		return errors.New("exec:// is accepted by --instance only: otherwise whoever reaches the control plane could run any program")
	}
	return nil
}

// Bind binds an instance of an account to a database, in place of the one
// before.
func (b *Backend) Bind(uin uint64, binding ssm.Binding) error {
	if err := CheckStateBinding(binding); err != nil {
		return Refusal{Invalid, err.Error()}
	}
	b.instances.reopen(binding.URL)
	return b.changeBindings(uin, func(all []ssm.Binding) ([]ssm.Binding, error) {
		all = slices.DeleteFunc(all, func(o ssm.Binding) bool { return o.InstanceID == binding.InstanceID })
		return append(all, binding), nil
	})
}

// Unbind ends a binding of the state. One of the configuration stays.
func (b *Backend) Unbind(uin uint64, id string) error {
	return b.changeBindings(uin, func(all []ssm.Binding) ([]ssm.Binding, error) {
		rest := slices.DeleteFunc(slices.Clone(all), func(o ssm.Binding) bool { return o.InstanceID == id })
		if len(rest) == len(all) {
			return nil, Refusal{NotFound, fmt.Sprintf("the account %d has no binding of the instance %s (one of --instance ends with the process)", uin, id)}
		}
		return rest, nil
	})
}

func (b *Backend) changeBindings(uin uint64, change func([]ssm.Binding) ([]ssm.Binding, error)) error {
	b.stateLock.RLock()
	defer b.stateLock.RUnlock()
	defer b.edited()
	err := b.accounts.change(uin, func() (ssm.AccountData, error) {
		data := b.accounts.of(uin)
		all, err := change(slices.Clone(data.Instances))
		if err != nil {
			return data, err
		}
		data.Instances = all
		if err := data.Check(); err != nil {
			return data, Refusal{Invalid, err.Error()}
		}
		return data, action.PutAccount(b.db, b.generations.Load().Owner(uin, ""), data)
	})
	b.instances.prune()
	b.instances.startAnew(uin)
	b.instances.look()
	return err
}

// reopen forgets the connections to a database, so that the next ones read its
// files anew.
func (x *instances) reopen(url string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if in := x.open[url]; in != nil {
		delete(x.open, url)
		go in.Close()
	}
}

// startAnew forgets how the databases of an account were: they may be others
// now.
func (x *instances) startAnew(uin uint64) {
	x.mu.Lock()
	for p, o := range x.outcomes {
		if p.uin == uin {
			o.reported = false
			x.outcomes[p] = o
		}
	}
	x.mu.Unlock()
	x.working.Lock()
	defer x.working.Unlock()
	for p := range x.down {
		if p.uin == uin {
			delete(x.down, p)
		}
	}
}

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
// database, with the passwords that the secrets hold. With drop it drops those,
// too, that were made for secrets which are no more. An instance that is not
// bound, or can't be reached, is a Refusal.
func (b *Backend) Repair(ctx context.Context, uin uint64, id string, drop bool) (r Repaired, err error) {
	x, p := b.instances, place{uin, id}
	r = Repaired{Made: []string{}, Changed: []string{}, Dropped: []string{}, Failed: []FailedAccount{}}
	if x.url(uin, id) == "" {
		return r, Refusal{NotFound, fmt.Sprintf("the account %d has no database bound to the instance %s; GET /_ssmlocal/instances lists what is", uin, id)}
	}
	work := b.works.begin("repair of "+id, b.log)
	defer work.end()
	in, err := x.get(p)
	var there []string
	if err == nil {
		there, err = in.Accounts(ctx)
	}
	if err != nil {
		return r, Refusal{Conflict, fmt.Sprintf("the database of %s can't be used: %v", id, err)}
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
		work.add(1)
	}
	if drop {
		x.dropLeftOver(ctx, in, p, k, there, &r)
	}
	return r, nil
}

// repairSecret puts the accounts of one secret right. No change of the secret
// goes on meanwhile.
func (x *instances) repairSecret(ctx context.Context, in *instance.Instance, p place, s *action.InstanceSecret, there []string, r *Repaired) {
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
		if err == nil {
			err = x.putMade(p, l.UserName, m)
		}
		if err == nil {
			err = in.Create(ctx, a)
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
func (x *instances) reread(s *action.InstanceSecret) (again *action.InstanceSecret, err error) {
	err = x.b.db.View(func(tx *store.Tx) (err error) {
		if x.b.generations.Load().Live(s.Owner.Uin, s.Owner.Generation) {
			again, err = action.ReadOnInstance(tx, s.ID())
		}
		return err
	})
	return again, err
}

func (x *instances) dropLeftOver(ctx context.Context, in *instance.Instance, p place, k known, there []string, r *Repaired) {
	now := x.b.Clock.Wall()
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
func (x *instances) drop(ctx context.Context, in *instance.Instance, p place, name string) error {
	if err := in.Drop(ctx, name); err != nil {
		return err
	}
	return x.putMade(p, name, nil)
}
