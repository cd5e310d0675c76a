package action

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"

	"ssmlocal/server/ssm"
	"ssmlocal/store"
)

// Whole accounts: reading them, completing them, and writing them in place of
// the present ones. Exports, imports and seeds do this.

// A Reader is what Read calls, account by account in the order of their
// numbers: first Account, then Secret for each of its secrets by region and
// name.
type Reader interface {
	Account(*ssm.AccountSnapshot) error
	Secret(uin uint64, s *ssm.SecretSnapshot) error
}

// ErrNoKeyPair is Read's error where the pair of an SSH key secret has not been
// made yet: MakeKeyPairs makes it.
var ErrNoKeyPair = errors.New("the key pair of a secret has not been made yet")

// Read reads everything of one account, or with 0 of every account that has a
// secret, data or a task.
func Read(tx *store.Tx, g *Generations, uin uint64, r Reader) error {
	for _, o := range owners(tx, g, uin) {
		prefix := AccountKey(o.Uin, o.Generation)
		a := &ssm.AccountSnapshot{Uin: o.Uin, Tasks: map[int64]*ssm.Task{}}
		data, err := accounts.Get(tx, prefix)
		if data != nil {
			a.Data = *data
		}
		err = errors.Join(err, tasks.Scan(tx, prefix, func(key []byte, t *ssm.Task) error {
			a.Tasks[flowIDOf(key)] = t
			return nil
		}))
		if err != nil {
			return err
		}
		if err := r.Account(a); err != nil {
			return err
		}
		err = secrets.Scan(tx, prefix, func(key []byte, s *ssm.Secret) error {
			snapshot, err := readSecret(tx, key, s)
			if err != nil {
				return err
			}
			return r.Secret(o.Uin, snapshot)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// readSecret reads everything of the secret under a key.
func readSecret(tx *store.Tx, key []byte, s *ssm.Secret) (*ssm.SecretSnapshot, error) {
	o, _ := splitSecretKey(key)
	h := &ssm.SecretSnapshot{Region: o.Region, Secret: *s, Versions: map[string]*ssm.Version{}}
	prefix := append(bytes.Clone(key), 0)
	err := versions.Scan(tx, prefix, func(key []byte, v *ssm.Version) error {
		h.Versions[string(key[len(prefix):])] = v
		return nil
	})
	if err != nil {
		return nil, err
	}
	if s.Type == ssm.SSHKeyPair {
		if h.KeyPair, err = keyPairs.Get(tx, key); err != nil {
			return nil, err
		}
		if h.KeyPair == nil {
			return nil, ErrNoKeyPair
		}
	}
	if s.Type != ssm.AccessKey {
		return h, nil
	}
	for _, held := range accessKeys.All(tx, string(key)) { // by age
		k, err := accessKeys.Get(tx, held)
		if err != nil {
			return nil, err
		}
		id, _ := SplitIDKey(held)
		h.Keys = append(h.Keys, ssm.HeldKey{SecretID: id, AccessKeyPair: *k})
	}
	return h, nil
}

// Fill gives a secret everything that it needs and that nobody has chosen: ids,
// names of accounts, passwords, keys. SSH key pairs are made when they are
// first read.
func Fill(uin uint64, h *ssm.SecretSnapshot, random io.Reader, now time.Time) {
	s := &h.Secret
	c := &Tx{Owner: ssm.NewOwner(uin, h.Region), Now: now, Random: random}
	created := time.Unix(0, s.CreatedAt)
	value := ""
	switch s.Type {
	case ssm.Product:
		value = c.fillAccounts(h, created)
		if s.Creation == ssm.CreationDone {
			s.Rotation.Schedule(now)
		}
	case ssm.Redis:
		s.ResourceID, _ = ssm.RedisInstance(s.AdditionalConfig) // checked
		value = accountValue(c.newUserName("redis"), c.newPassword())
	case ssm.AccessKey:
		if len(h.Keys) == 0 {
			h.Keys = []ssm.HeldKey{c.newKey(s)}
		}
		last := h.Keys[len(h.Keys)-1]
		value = keyValue(last.SecretID, last.SecretKey)
	case ssm.SSHKeyPair:
		c.fillKeyPair(h)
		return
	}
	if s.ResourceID == "" {
		s.ResourceID = c.Owner.ResourceID(created, c.random(lowercase, 3))
	}
	if value != "" && s.Creation == ssm.CreationDone && h.Versions[ssm.CurrentVersion] == nil {
		h.Versions[ssm.CurrentVersion] = &ssm.Version{CreatedAt: created.UnixNano(), String: value}
	}
}

// fillAccounts names the accounts of a product secret that has none: the
// current one after the value, if that was chosen. It returns a value for the
// current account.
func (t *Tx) fillAccounts(h *ssm.SecretSnapshot, created time.Time) string {
	s := &h.Secret
	if len(s.Accounts) == 0 {
		s.Accounts = t.newAccounts(cmp.Or(h.UserNamePrefix, "app"))
		var chosen struct{ UserName string }
		if v := h.Versions[ssm.CurrentVersion]; v != nil && json.Unmarshal([]byte(v.String), &chosen) == nil && chosen.UserName != "" {
			s.Accounts[0].Name = chosen.UserName
		}
	}
	if s.Creation != ssm.CreationDone {
		return ""
	}
	current := s.Current()
	if current == nil {
		current = s.Swap("", created)
	}
	return accountValue(current.Name, t.newPassword())
}

// fillKeyPair names a pair. The pair itself is made when it is first read.
func (t *Tx) fillKeyPair(h *ssm.SecretSnapshot) {
	if h.KeyPair != nil {
		h.Secret.ResourceID = h.KeyPair.ID
	}
	h.Secret.ResourceID = cmp.Or(h.Secret.ResourceID, t.newKeyID())
	h.Secret.ResourceName = cmp.Or(h.Secret.ResourceName, t.newKeyName())
}

// tooFar is when the task of a secret that is Creating ends, if nobody chose
// it.
const tooFar = 365 * 24 * time.Hour

// A Stage is a state that is being written beside the present one. Nobody reads
// it before its generation is the present one; one that is given up is removed
// by Collect.
type Stage struct {
	Generation uint32

	db         *store.DB
	now        time.Time
	secrets    *store.Load[ssm.Secret]
	versions   *store.Load[ssm.Version]
	keyPairs   *store.Load[ssm.KeyPair]
	accessKeys *store.Load[ssm.AccessKeyPair]
	accounts   *store.Load[ssm.AccountData]
	tasks      *store.Load[ssm.Task]
	flowIDs    *store.Load[uint64]

	creating []unfinished      // secrets that are Creating and name no task
	begun    map[uint64]uint64 // the counters of flowIDs
}

type unfinished struct {
	uin uint64
	s   *ssm.SecretSnapshot
}

// NewStage begins a state as of a moment of virtual time.
func NewStage(db *store.DB, now time.Time) (*Stage, error) {
	n, err := drawGeneration(db)
	return &Stage{
		Generation: n, db: db, now: now,
		secrets: secrets.Load(db), versions: versions.Load(db), keyPairs: keyPairs.Load(db), accessKeys: accessKeys.Load(db),
		accounts: accounts.Load(db), tasks: tasks.Load(db), flowIDs: flowIDs.Load(db),
		begun: map[uint64]uint64{},
	}, err
}

func (st *Stage) owner(uin uint64, region string) ssm.Owner {
	return ssm.NewOwner(uin, region).In(st.Generation)
}

// Account writes everything of an account except its secrets.
func (st *Stage) Account(ctx context.Context, a *ssm.AccountSnapshot) error {
	o := st.owner(a.Uin, "")
	if !a.Data.IsZero() {
		if err := st.accounts.Put(ctx, AccountKey(o.Uin, o.Generation), &a.Data); err != nil {
			return err
		}
	}
	for id, t := range a.Tasks {
		if err := st.task(ctx, o, id, t); err != nil {
			return err
		}
	}
	return nil
}

func (st *Stage) task(ctx context.Context, o ssm.Owner, flowID int64, t *ssm.Task) error {
	st.begun[o.Uin] = max(st.begun[o.Uin], uint64(max(0, flowID-firstFlowID+1)))
	return st.tasks.Put(ctx, taskKey(o, flowID), t)
}

// Secret writes a secret that is complete.
func (st *Stage) Secret(ctx context.Context, uin uint64, h *ssm.SecretSnapshot) error {
	s, o := &h.Secret, st.owner(uin, h.Region)
	if s.Creation == ssm.CreationRunning && s.FlowID == 0 {
		st.creating = append(st.creating, unfinished{uin, h}) // once all FlowIDs that are taken are known
		return nil
	}
	for id, v := range h.Versions {
		if err := st.versions.Put(ctx, versionKey(o, s.Name, id), v); err != nil {
			return err
		}
	}
	key := secretKey(o, s.Name)
	if h.KeyPair != nil {
		if err := st.keyPairs.Put(ctx, key, h.KeyPair); err != nil {
			return err
		}
	}
	for i, k := range h.Keys {
		k.Number = uint64(i + 1)
		if err := st.accessKeys.Put(ctx, IDKey(k.SecretID, st.Generation), &k.AccessKeyPair); err != nil {
			return err
		}
	}
	return st.secrets.Put(ctx, key, s)
}

// Finish writes the rest.
func (st *Stage) Finish(ctx context.Context) error {
	for _, c := range st.creating {
		s := &c.s.Secret
		begun := st.begun[c.uin] + 1
		s.FlowID = firstFlowID + int64(begun) - 1
		err := st.task(ctx, st.owner(c.uin, ""), s.FlowID, &ssm.Task{
			Kind: ssm.CreateTask, Uin: c.uin, Region: c.s.Region, SecretName: s.Name,
			BeganAt: s.CreatedAt, DueAt: st.now.Add(tooFar).UnixNano(),
		})
		if err == nil {
			err = st.Secret(ctx, c.uin, c.s)
		}
		if err != nil {
			return err
		}
	}
	for uin, begun := range st.begun {
		if err := st.flowIDs.Put(ctx, AccountKey(uin, st.Generation), &begun); err != nil {
			return err
		}
	}
	for _, finish := range []func(context.Context) error{
		st.versions.Finish, st.keyPairs.Finish, st.accessKeys.Finish, st.accounts.Finish, st.tasks.Finish, st.flowIDs.Finish, st.secrets.Finish,
	} {
		if err := finish(ctx); err != nil {
			return err
		}
	}
	return nil
}

// putKey stores an access key as the newest of its secret.
func (t *Tx) putKey(k *ssm.HeldKey) error {
	k.Number = 1
	if held := accessKeys.All(t.tx, string(secretKey(t.Owner, k.SecretName))); len(held) > 0 {
		newest, err := accessKeys.Get(t.tx, held[len(held)-1])
		if err != nil {
			return err
		}
		k.Number = newest.Number + 1
	}
	return accessKeys.Put(t.tx, IDKey(k.SecretID, t.Owner.Generation), &k.AccessKeyPair)
}

// Holds reports whether the store has anything that a client or the control
// plane has put there.
func Holds(tx *store.Tx, g *Generations) bool { return len(owners(tx, g, 0)) > 0 }
