package action

import (
	"errors"
	"slices"
	"time"

	"ssmlocal/server/apierr"
	"ssmlocal/server/ssm"
	"ssmlocal/store"
)

// Changes of real databases. A task of a secret whose instance is bound does
// not end in the transaction that makes it due: it becomes ready, with its new
// login in its record. Whoever changes the database reads it as a Change, works
// outside of every transaction, and calls Finish, which makes the new login the
// secret's value. After a crash at any point it is still ready.

// Instances are the real databases behind instances.
type Instances interface {
	// Engine is which kind of database is bound to an instance of an account;
	// "" for none.
	Engine(uin uint64, instanceID string) string
	// CheckPrivileges refuses privileges that this kind of database can't have.
	CheckPrivileges(uin uint64, instanceID string, units []ssm.PrivilegeUnit) error
	// Make makes an account while the call waits, and calls claim with the
	// database's address before it does. The error is ErrNameTaken if there is
	// such an account, else what the API answers.
	Make(c *Call, a NewAccount, claim func(at string) error) error
}

// A NewAccount is one that Make makes.
type NewAccount struct {
	InstanceID string
	SecretName string
	Login      ssm.Login
	Privileges []ssm.PrivilegeUnit
}

// ErrNameTaken is Make's error where the database has an account of that name.
var ErrNameTaken = errors.New("the database has an account of that name")

// A MadeAccount is an account that the emulator has made in a real database, or
// is about to make. It is no part of the state: it stays when that is replaced.
type MadeAccount struct {
	Region     string `cbor:"1,keyasint"`
	SecretName string `cbor:"2,keyasint"`
	// Drop is set while the account is not a secret's yet, and once nobody
	// wants it any more.
	Drop bool `cbor:"3,keyasint,omitempty"`
	// At is the database, without a password: an instance may be bound to
	// another one later.
	At string `cbor:"4,keyasint,omitempty"`
	// Unfinished is set until the account has all its privileges.
	Unfinished bool `cbor:"5,keyasint,omitempty"`
}

var madeAccounts = &store.Table[MadeAccount]{Name: "dbaccounts"}

// madeKey is the account, the instance, a zero byte and the name. Neither
// contains one.
func madeKey(uin uint64, instanceID, name string) []byte {
	return append(append(append(AccountKey(uin, 0), instanceID...), 0), name...)
}

// engineOf is the kind of real database behind an instance of the owner, "" for
// none.
func (c *Call) engineOf(instanceID string) string {
	if c.Instances == nil {
		return ""
	}
	return c.Instances.Engine(c.Owner.Uin, instanceID)
}

// live reports whether a secret's accounts are in a real database.
func (c *Call) live(s *ssm.Secret) bool {
	return (s.Type == ssm.Product || s.Type == ssm.Redis) && c.engineOf(s.ResourceID) != ""
}

// newStrictPassword draws a password for a real database: it has all four kinds
// of characters, which policies of databases ask for.
func (t *Tx) newStrictPassword() string { return t.random(dsnSafe, 20) + "_aA1" }

// ready writes a task whose change of the database may begin now, and its
// secret, nil if that is gone.
func (c *Call) ready(flowID int64, t *ssm.Task, s *ssm.Secret) error {
	t.Ready, t.DueAt, t.Polls = true, c.Now.UnixNano(), 0
	if s != nil {
		t.Instance = s.ResourceID
		if t.Kind != ssm.DeleteTask {
			t.Pending = ssm.Login{UserName: s.Next().Name, Password: c.newStrictPassword()}
		}
		if err := c.put(s); err != nil {
			return err
		}
	}
	c.Changes = true
	return tasks.Put(c.tx, taskKey(c.Owner, flowID), t)
}

// loginsOf returns the accounts of a secret with their passwords, as far as it
// has them: the current one's, and of the one before it the archived one's.
func (t *Tx) loginsOf(s *ssm.Secret) (logins []ssm.Login, err error) {
	if s.Type == ssm.Redis {
		v, err := t.version(s.Name, ssm.CurrentVersion)
		if v == nil {
			return nil, err
		}
		if login, ok := ssm.ParseLogin(v.String); ok {
			logins = append(logins, login)
		}
		return logins, nil
	}
	for _, a := range s.Accounts {
		login := ssm.Login{UserName: a.Name}
		if a.Version != "" {
			v, err := t.version(s.Name, a.Version)
			if err != nil {
				return nil, err
			}
			if v != nil {
				if l, ok := ssm.ParseLogin(v.String); ok && l.UserName == a.Name {
					login = l
				}
			}
		}
		logins = append(logins, login)
	}
	return logins, nil
}

// dropAccounts begins to drop the accounts of a secret that is deleted now, as
// far as they were made here.
func (c *Call) dropAccounts(flowID int64, t *ssm.Task, s *ssm.Secret) error {
	logins, err := c.loginsOf(s)
	if err != nil {
		return err
	}
	t.Instance = s.ResourceID
	for _, l := range logins {
		key := madeKey(c.Owner.Uin, s.ResourceID, l.UserName)
		m, err := madeAccounts.Get(c.tx, key)
		if err != nil {
			return err
		}
		if m == nil || t.Fails {
			continue
		}
		t.Drop = append(t.Drop, l.UserName)
		m.Drop = true
		if err := madeAccounts.Put(c.tx, key, m); err != nil {
			return err
		}
	}
	return c.start(flowID, t, nil)
}

// release forgets that the accounts of a secret were made here: the secret is
// deleted and they stay.
func (t *Tx) release(s *ssm.Secret) error {
	if madeAccounts.Empty(t.tx) {
		return nil
	}
	logins, err := t.loginsOf(s)
	for _, l := range logins {
		err = errors.Join(err, madeAccounts.Delete(t.tx, madeKey(t.Owner.Uin, s.ResourceID, l.UserName)))
	}
	return err
}

// A Change is what a task has to do in a real database.
type Change struct {
	Owner      ssm.Owner
	FlowID     int64
	Kind       ssm.TaskKind
	SecretName string
	InstanceID string
	At         time.Time // virtual time at which it became ready
	// Accounts are those that a creation makes, first the one that is used,
	// that a rotation changes, or that a deletion drops. Pending is what will
	// be the value.
	Accounts   []string
	Pending    ssm.Login
	Domains    []string
	Privileges []ssm.PrivilegeUnit
	// Void is why the change is not wanted any more, "" if it is.
	Void string
}

// ID names the change, as no other is named.
func (ch *Change) ID() string { return string(taskKey(ch.Owner, ch.FlowID)) }

// Secret names the secret, also across replacements of the state: two changes
// of one secret follow each other.
func (ch *Change) Secret() string { return string(secretKey(ch.Owner.In(0), ch.SecretName)) }

// SecretID is the ID of the change's secret.
func (ch *Change) SecretID() string { return string(secretKey(ch.Owner, ch.SecretName)) }

// Changes returns the first changes that are ready, in the order in which they
// became so: those of an instance of an account, or with "" of all. skip
// reports whether one is left out.
func (d *Due) Changes(uin uint64, instanceID string, most int, skip func(id string) bool) (all []Change, err error) {
	list := toChange
	if instanceID != "" {
		list = changesOf(uin, instanceID)
	}
	err = d.DB.View(func(tx *store.Tx) error {
		g := d.Generations()
		out := func(key []byte) bool {
			uin, generation, _ := splitKey(key)
			return !g.Live(uin, generation) || skip(string(key))
		}
		for _, e := range tasks.Until(tx, list, 1<<64-1, most, out) {
			ch, err := readChange(tx, e.Key)
			if err != nil {
				return err
			}
			all = append(all, ch)
		}
		return nil
	})
	return all, err
}

func readChange(tx *store.Tx, key []byte) (Change, error) {
	t, err := tasks.Get(tx, key)
	if t == nil {
		return Change{}, err
	}
	_, generation, _ := splitKey(key)
	ch := Change{
		Owner: ssm.NewOwner(t.Uin, t.Region).In(generation), FlowID: flowIDOf(key), Kind: t.Kind, SecretName: t.SecretName,
		InstanceID: t.Instance, At: time.Unix(0, t.DueAt), Pending: t.Pending, Accounts: t.Drop,
	}
	if t.Kind == ssm.DeleteTask {
		return ch, nil
	}
	s, err := secrets.Get(tx, secretKey(ch.Owner, t.SecretName))
	switch {
	case err != nil:
		return ch, err
	case s == nil || s.FlowID != ch.FlowID || len(s.Accounts) != 2:
		ch.Void = "the secret is gone, or was made anew"
		return ch, nil
	}
	ch.Domains, ch.Privileges = s.Domains, s.Privileges
	next := s.Next()
	ch.Accounts = []string{next.Name}
	if t.Kind == ssm.CreateTask {
		ch.Accounts = []string{s.Accounts[0].Name, s.Accounts[1].Name}
	}
	if next.Name != t.Pending.UserName {
		ch.Void = "the accounts of the secret have changed"
	}
	return ch, nil
}

// Claim notes that accounts of a change are about to be made: what is found of
// that name in the database at an address later is the emulator's own. Until
// the change is finished they belong to nobody.
func (d *Due) Claim(ch Change, at string) error {
	return d.DB.Update(func(tx *store.Tx) error {
		for _, name := range ch.Accounts {
			m := &MadeAccount{
				Region: ch.Owner.Region, SecretName: ch.SecretName, Drop: ch.Kind == ssm.CreateTask, At: at, Unfinished: true,
			}
			if err := madeAccounts.Put(tx, madeKey(ch.Owner.Uin, ch.InstanceID, name), m); err != nil {
				return err
			}
		}
		return nil
	})
}

// Claimed reports whether the accounts of a change have been claimed.
func (d *Due) Claimed(ch Change) (is bool, err error) {
	err = d.DB.View(func(tx *store.Tx) error {
		is = !slices.ContainsFunc(ch.Accounts, func(name string) bool {
			return !madeAccounts.Has(tx, madeKey(ch.Owner.Uin, ch.InstanceID, name))
		})
		return nil
	})
	return is, err
}

// Rename draws other names for the accounts of a creation: the database has one
// of those. With release the claim of the old ones is taken back: they are
// somebody else's.
func (d *Due) Rename(ch Change, release bool) (renamed Change, err error) {
	err = d.DB.Update(func(tx *store.Tx) error {
		now, err := readChange(tx, []byte(ch.ID()))
		if err != nil || now.Void != "" {
			renamed = now
			return err
		}
		c := d.callAt(tx, ch)
		s, err := secrets.Get(tx, secretKey(ch.Owner, ch.SecretName))
		if err != nil {
			return err
		}
		t, err := tasks.Get(tx, taskKey(ch.Owner, ch.FlowID))
		if t == nil || s == nil {
			renamed = Change{Owner: ch.Owner, FlowID: ch.FlowID, Kind: ch.Kind, Void: "the secret is gone"}
			return err
		}
		for _, name := range ch.Accounts {
			if !release {
				break
			}
			err = errors.Join(err, madeAccounts.Delete(tx, madeKey(ch.Owner.Uin, ch.InstanceID, name)))
		}
		if err != nil {
			return err
		}
		prefix := s.Accounts[0].Name[:len(s.Accounts[0].Name)-len(ssm.AccountMark)-3]
		s.Accounts = c.newAccounts(prefix)
		t.Pending.UserName = s.Next().Name
		err = errors.Join(c.put(s), tasks.Put(tx, taskKey(ch.Owner, ch.FlowID), t))
		if err == nil {
			renamed, err = readChange(tx, []byte(ch.ID()))
		}
		return err
	})
	return renamed, err
}

func (d *Due) callAt(tx *store.Tx, ch Change) *Call {
	return &Call{
		Tx:    Tx{Owner: ch.Owner, Now: ch.At, Random: d.Random, tx: tx},
		Tasks: d.Tasks, Generations: d.Generations(), Instances: d.Instances, accountOf: d.Account,
	}
}

// errEnded is Finish's error where the task has ended already, or its state is
// no more.
var errEnded = errors.New("the task has ended already")

// Finish ends a task whose change is done, or has failed for a reason, at a moment of virtual
// time. It returns what has happened, nothing if the task is no more, and when something is due
// because of it. clean reports whether a failed change
// has left nothing in the database. What is not wanted any more ends as failed.
func (d *Due) Finish(ch Change, at time.Time, reason string, clean bool) (event Event, due time.Time, err error) {
	d.finishing.RLock()
	defer d.finishing.RUnlock()
	err = d.DB.Update(func(tx *store.Tx) error {
		c := d.callAt(tx, ch)
		if at.After(c.Now) {
			c.Now = at
		}
		key := taskKey(ch.Owner, ch.FlowID)
		t, err := tasks.Get(tx, key)
		switch {
		case err != nil:
			return err
		case t == nil || !t.Ready || !c.Generations.Live(ch.Owner.Uin, ch.Owner.Generation):
			return errEnded
		}
		t.Fails, t.Reason = reason != "", reason
		s, err := secrets.Get(tx, secretKey(ch.Owner, ch.SecretName))
		if err != nil {
			return err
		}
		if t.Kind == ssm.DeleteTask {
			s = nil
		}
		if err := errors.Join(c.end(ch.FlowID, t, s), c.settleMade(ch, reason == "", clean)); err != nil {
			return err
		}
		event = c.taskEvent(ch.FlowID, t)
		due = c.Due
		return nil
	})
	if err == nil {
		d.finish(&event)
	} else if errors.Is(err, errEnded) {
		d.finish(nil)
		event, err = Event{}, nil
	}
	return event, due, err
}

// settleMade notes what a finished change has made of accounts.
func (c *Call) settleMade(ch Change, done, clean bool) (err error) {
	for _, name := range ch.Accounts {
		key := madeKey(ch.Owner.Uin, ch.InstanceID, name)
		switch {
		case ch.Kind == ssm.DeleteTask && done, ch.Kind == ssm.CreateTask && !done && clean:
			err = errors.Join(err, madeAccounts.Delete(c.tx, key))
		case done:
			m, failed := madeAccounts.Get(c.tx, key)
			if err = errors.Join(err, failed); m != nil && (m.Drop || m.Unfinished) {
				m.Drop, m.Unfinished = false, false
				err = errors.Join(err, madeAccounts.Put(c.tx, key, m))
			}
		}
	}
	return err
}

// finish hands the event of a finished change to the next step of a move, if
// there is one, and wakes who waits for that.
func (d *Due) finish(e *Event) {
	moving := d.Moving()
	d.mu.Lock()
	defer d.mu.Unlock()
	if e != nil && moving {
		d.finished = append(d.finished, *e)
	}
	if d.changed != nil {
		close(d.changed)
		d.changed = nil
	}
}

// another returns what is closed when another change is finished.
func (d *Due) another() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.changed == nil {
		d.changed = make(chan struct{})
	}
	return d.changed
}

// takeFinished returns the events since the last time, among them those of all
// changes that a transaction before it has seen finished.
func (d *Due) takeFinished() (events []Event) {
	d.finishing.Lock()
	defer d.finishing.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	events, d.finished = d.finished, nil
	return events
}

// firstChange is when the first change became ready that is not done yet; the
// zero time for none.
func firstChange(tx *store.Tx, g *Generations) time.Time {
	for _, e := range tasks.Until(tx, toChange, 1<<64-1, 1, func(key []byte) bool {
		uin, generation, _ := splitKey(key)
		return !g.Live(uin, generation)
	}) {
		return time.Unix(0, int64(e.Order))
	}
	return time.Time{}
}

// An InstanceSecret is a secret whose accounts are on an instance.
type InstanceSecret struct {
	Owner      ssm.Owner
	Secret     ssm.Secret
	Logins     []ssm.Login // an empty password is not known, or rests
	Privileges []ssm.PrivilegeUnit
}

// ID names the secret in its state.
func (s *InstanceSecret) ID() string { return string(secretKey(s.Owner, s.Secret.Name)) }

// Lock names the secret as Change.Secret does.
func (s *InstanceSecret) Lock() string { return string(secretKey(s.Owner.In(0), s.Secret.Name)) }

// Current reports whether a login is the secret's value.
func (s *InstanceSecret) Current(l ssm.Login) bool {
	current := s.Secret.Current()
	return s.Secret.Type == ssm.Redis || current != nil && current.Name == l.UserName
}

// OnInstance returns the secrets of an account whose accounts are on an
// instance, in every region, but for those that are being made or could not be.
func OnInstance(tx *store.Tx, g *Generations, uin uint64, instanceID string) (all []InstanceSecret, err error) {
	for _, region := range ssm.Regions() {
		for _, kind := range []ssm.Type{ssm.Product, ssm.Redis} {
			for _, key := range secrets.All(tx, string(scope(g.Owner(uin, region)))+byResource(kind, instanceID)) {
				s, err := ReadOnInstance(tx, string(key))
				if err != nil {
					return nil, err
				}
				if s != nil {
					all = append(all, *s)
				}
			}
		}
	}
	return all, nil
}

// ReadOnInstance returns a secret by its ID, nil if it is gone or has no
// accounts yet.
func ReadOnInstance(tx *store.Tx, id string) (*InstanceSecret, error) {
	s, err := secrets.Get(tx, []byte(id))
	if s == nil || err != nil || s.Creation != ssm.CreationDone {
		return nil, err
	}
	t := Tx{tx: tx}
	t.Owner, _ = splitSecretKey([]byte(id))
	found := &InstanceSecret{Owner: t.Owner, Secret: *s, Privileges: s.Privileges}
	if s.Type == ssm.Redis {
		found.Privileges = redisPrivileges(s.AdditionalConfig)
	}
	found.Logins, err = t.loginsOf(s)
	return found, err
}

// redisPrivileges are those that the AdditionalConfig of a Redis secret names.
func redisPrivileges(config string) []ssm.PrivilegeUnit {
	return []ssm.PrivilegeUnit{{PrivilegeName: "GlobalPrivileges", Privileges: []string{ssm.RedisPrivilege(config)}}}
}

// Made returns the accounts that the emulator has made on an instance of an
// account, by name.
func Made(tx *store.Tx, uin uint64, instanceID string) (map[string]MadeAccount, error) {
	all := map[string]MadeAccount{}
	prefix := madeKey(uin, instanceID, "")
	err := madeAccounts.Scan(tx, prefix, func(key []byte, m *MadeAccount) error {
		all[string(key[len(prefix):])] = *m
		return nil
	})
	return all, err
}

// IsMade returns what is known of an account that was made, nil for nothing.
func IsMade(tx *store.Tx, uin uint64, instanceID, name string) (*MadeAccount, error) {
	return madeAccounts.Get(tx, madeKey(uin, instanceID, name))
}

// PutMade notes that an account was made, or with nil that it is gone.
func PutMade(tx *store.Tx, uin uint64, instanceID, name string, m *MadeAccount) error {
	key := madeKey(uin, instanceID, name)
	if m == nil {
		return madeAccounts.Delete(tx, key)
	}
	return madeAccounts.Put(tx, key, m)
}

// A NamedAccount is an account that a secret names.
type NamedAccount struct {
	Region, SecretName string
	BeingMade          bool
}

// NamedOnInstance returns the accounts that the secrets on an instance of an
// account name, in every region, also those that are being made; not those of
// secrets that could not be made.
func NamedOnInstance(tx *store.Tx, g *Generations, uin uint64, instanceID string) (map[string]NamedAccount, error) {
	all := map[string]NamedAccount{}
	for _, region := range ssm.Regions() {
		t := Tx{Owner: g.Owner(uin, region), tx: tx}
		for _, kind := range []ssm.Type{ssm.Product, ssm.Redis} {
			for _, key := range secrets.All(tx, string(scope(t.Owner))+byResource(kind, instanceID)) {
				s, err := secrets.Get(tx, key)
				if err != nil {
					return nil, err
				}
				if s.Creation == ssm.CreationFailed {
					continue
				}
				logins, err := t.loginsOf(s)
				if err != nil {
					return nil, err
				}
				for _, l := range logins {
					all[l.UserName] = NamedAccount{region, s.Name, s.Creation == ssm.CreationRunning}
				}
			}
		}
	}
	return all, nil
}

// makeRedisAccount makes the account of a Redis secret whose instance is bound,
// before the secret itself: until that is there, the account belongs to nobody.
func (c *Call) makeRedisAccount(db *store.DB, name, config, kmsKeyID string, softwareKey bool) error {
	id, _ := ssm.RedisInstance(config) // checked
	if c.engineOf(id) == "" {
		return nil
	}
	// What the transaction would refuse is refused before anything is made.
	err := db.View(func(tx *store.Tx) error {
		c.tx = tx
		return c.admit(&ssm.Secret{Name: name, Type: ssm.Redis, ResourceID: id, KmsKeyID: kmsKeyID, SoftwareKey: softwareKey})
	})
	if err != nil {
		return err
	}
	privileges := redisPrivileges(config)
	if err := c.Instances.CheckPrivileges(c.Owner.Uin, id, privileges); err != nil {
		return apierr.NotOfEngine.With(id, err)
	}
	for range mostNames {
		login := ssm.Login{UserName: c.newUserName("redis"), Password: c.newStrictPassword()}
		err = c.Instances.Make(c, NewAccount{id, name, login, privileges}, func(at string) error {
			return db.Update(func(tx *store.Tx) error {
				m := &MadeAccount{Region: c.Owner.Region, SecretName: name, Drop: true, At: at, Unfinished: true}
				return PutMade(tx, c.Owner.Uin, id, login.UserName, m)
			})
		})
		if !errors.Is(err, ErrNameTaken) {
			c.login = login
			break
		}
	}
	return err
}

// mostNames is how many names of accounts are tried until one is free.
const mostNames = 10
