// Package binding looks after the real databases behind instances. Tasks change
// accounts in them (changes.go); what nobody wants is dropped, and what a
// restart has lost is put back (watch.go); status.go and repair.go compare the
// accounts with the secrets.
//
// The promise: nothing waits for a database while it holds a lock or a
// transaction, an account that was not made here is not changed, and a change
// that a crash interrupts is made again.
package binding

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"ssmlocal/server/action"
	"ssmlocal/server/apierr"
	"ssmlocal/server/clock"
	"ssmlocal/server/instance"
	"ssmlocal/server/ssm"
	"ssmlocal/store"
)

// Check refuses a binding whose id or URL can't be right.
func Check(b ssm.Binding) error {
	if !ssm.IsID(b.InstanceID) {
		return fmt.Errorf("the instance's id must have 1 to %d bytes, and no control characters", ssm.MaxID)
	}
	if _, err := instance.Parse(b.URL); err != nil {
		return fmt.Errorf("the URL: %w", err)
	}
	return nil
}

// CheckOfState is Check for a binding of the state. It can't name a program to
// run. If it was sent, and is not in a file of this machine's user (local), it
// can't name a file either, unless such a file has named it or it is bound.
func (x *Instances) CheckOfState(b ssm.Binding, local bool) error {
	if err := Check(b); err != nil {
		return err
	}
	a, _ := instance.Parse(b.URL) // checked
	switch file := a.PasswordFile(); {
	case a.IsProgram():
		return errors.New("exec:// is accepted by --instance only: otherwise whoever reaches the control plane could run any program")
	case file == "":
	case local:
		x.files.Store(file, true)
	case !x.knowsFile(file):
		return errors.New("passwordFile is accepted by --instance and --seed only, or if they have named that file: otherwise whoever reaches the control plane could have any file sent to a server")
	}
	return nil
}

// knowsFile reports whether this machine's user has named a file for a password.
func (x *Instances) knowsFile(file string) bool {
	if _, named := x.files.Load(file); named {
		return true
	}
	return slices.ContainsFunc(x.places(), func(p place) bool {
		a, err := instance.Parse(x.url(p.uin, p.id))
		return err == nil && a.PasswordFile() == file
	})
}

// A Service is the emulated service whose secrets have accounts in databases.
type Service interface {
	// Enter begins to read or to change the state, which is not replaced until
	// Leave.
	Enter()
	Leave()
	// Without lets the state be replaced while a call waits for a database. The
	// error says that it was.
	Without(c *action.Call, wait func()) error
	// While returns a context that ends with another one, or with the service.
	While(ctx context.Context) (_ context.Context, cancel func())

	Store() *store.DB
	Due() *action.Due
	Generations() *action.Generations
	// Account and Accounts return the data of accounts, with their bindings.
	Account(uin uint64) ssm.AccountData
	Accounts() map[uint64]ssm.AccountData

	// Edited counts a change of the state. Happened tells of the end of a
	// change, and when something is due because of it: the zero time for never.
	Edited()
	Happened(event action.Event, due time.Time)
	// Failed logs an error of the store; what has failed is tried again.
	Failed(err error)
}

// A Config says which databases there are besides those of the state.
type Config struct {
	Bindings map[uint64][]ssm.Binding // by account
	Patience time.Duration            // for a database that is away; 0 is 20 s
	Clock    *clock.Clock
	Log      *slog.Logger
}

// Instances are the databases that are bound, with the connections to them. It
// is safe for concurrent use.
type Instances struct {
	service  Service
	bound    map[uint64][]ssm.Binding // by the configuration
	patience time.Duration
	clock    *clock.Clock
	log      *slog.Logger
	changes

	mu   sync.Mutex
	open map[string]*instance.Instance // by URL
	// outcomes has, by account and instance, what was done there last.
	outcomes map[place]outcome
	files    sync.Map // with passwords, that seeds of this machine's user have named
}

// New returns the databases of a service. It connects to none of them.
func New(s Service, c Config) *Instances {
	return &Instances{
		service: s, bound: c.Bindings, patience: cmp.Or(c.Patience, patience), clock: c.Clock, log: c.Log, changes: newChanges(),
		open: map[string]*instance.Instance{}, outcomes: map[place]outcome{},
	}
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

// bindings returns those of an account: the state's, then the configuration's
// for other instances.
func (x *Instances) bindings(uin uint64) []ssm.Binding {
	all := slices.Clone(x.service.Account(uin).Instances)
	for _, c := range x.bound[uin] {
		if !slices.ContainsFunc(all, func(b ssm.Binding) bool { return b.InstanceID == c.InstanceID }) {
			all = append(all, c)
		}
	}
	return all
}

// IsConfigured reports whether the configuration binds an instance.
func (x *Instances) IsConfigured(uin uint64, id string) bool {
	return slices.ContainsFunc(x.bound[uin], func(b ssm.Binding) bool { return b.InstanceID == id })
}

func (x *Instances) url(uin uint64, id string) string {
	if len(x.bound) == 0 && len(x.service.Account(uin).Instances) == 0 {
		return ""
	}
	for _, b := range x.bindings(uin) {
		if b.InstanceID == id {
			return b.URL
		}
	}
	return ""
}

// Any reports whether any instance is bound.
func (x *Instances) Any() bool { return len(x.places()) > 0 }

// places returns every instance that is bound.
func (x *Instances) places() (all []place) {
	uins := map[uint64]bool{}
	for uin := range x.bound {
		uins[uin] = true
	}
	for uin := range x.service.Accounts() {
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
func (x *Instances) Engine(uin uint64, id string) string {
	url := x.url(uin, id)
	if url == "" {
		return ""
	}
	a, _ := instance.Parse(url) // checked
	return a.Engine()
}

// CheckPrivileges refuses privileges that this kind of database can't have.
func (x *Instances) CheckPrivileges(uin uint64, id string, units []ssm.PrivilegeUnit) error {
	return instance.CheckPrivileges(x.Engine(uin, id), units)
}

// ErrUnbound is why nothing can be done on an instance.
var ErrUnbound = errors.New("no database is bound to the instance any more")

// get returns the database behind an instance.
func (x *Instances) get(p place) (*instance.Instance, error) {
	url := x.url(p.uin, p.id)
	if url == "" {
		return nil, ErrUnbound
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
func (x *Instances) prune() {
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

// Close closes all connections, without waiting for a database.
func (x *Instances) Close() {
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
func (x *Instances) Make(c *action.Call, a action.NewAccount, claim func(at string) error) error {
	p := place{c.Owner.Uin, a.InstanceID}
	var err error
	replaced := x.service.Without(c, func() {
		ctx, cancel := x.service.While(c.Context)
		defer cancel()
		x.isMaking(p, a.Login.UserName)
		account := instance.Account{Name: a.Login.UserName, Password: a.Login.Password, Privileges: a.Privileges}
		err = x.makeNew(ctx, p, []instance.Account{account}, claim)
	})
	if replaced != nil {
		return replaced
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
func (x *Instances) makeNew(ctx context.Context, p place, accounts []instance.Account, claim func(at string) error) error {
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
func (x *Instances) make(ctx context.Context, in *instance.Instance, accounts []instance.Account) error {
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
func (x *Instances) login(ctx context.Context, in *instance.Instance, a instance.Account) error {
	err := in.Login(ctx, a)
	if errors.Is(err, instance.ErrNotChecked) {
		x.log.Debug("a new login can't be tried", "account", a.Name, "reason", err)
		return nil
	}
	return err
}

// failed notes a failure, and says so in the log.
func (x *Instances) failed(p place, f Failure) {
	f.At = x.clock.Wall().UTC()
	x.log.Warn("a change of a database has failed; GET /_ssmlocal/instances has the reason", "what", f.What, "uin", p.uin,
		"instanceId", p.id, "region", f.Region, "secretName", f.SecretName, "flowId", f.FlowID, "reason", f.Reason)
	x.note(p, func(o *outcome) { o.failure = &f })
}

func (x *Instances) note(p place, change func(*outcome)) {
	x.mu.Lock()
	defer x.mu.Unlock()
	o := x.outcomes[p]
	change(&o)
	x.outcomes[p] = o
}

// Forget forgets what was done for an account, or with 0 for all: its state was
// replaced.
func (x *Instances) Forget(uin uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for p := range x.outcomes {
		if uin == 0 || p.uin == uin {
			delete(x.outcomes, p)
		}
	}
	x.abandon(uin)
	x.Look()
	go x.prune()
}

// Reopen forgets the connections to a database, so that the next ones read its
// files anew.
func (x *Instances) Reopen(url string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if in := x.open[url]; in != nil {
		delete(x.open, url)
		go in.Close()
	}
}

// Rebound is called when the bindings of an account have changed.
func (x *Instances) Rebound(uin uint64) {
	x.prune()
	x.startAnew(uin)
	x.Look()
}

// startAnew forgets how the databases of an account were: they may be others
// now.
func (x *Instances) startAnew(uin uint64) {
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
