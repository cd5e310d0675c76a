package action

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"ssmlocal/server/ssm"
	"ssmlocal/store"
)

// Whole accounts: read out, made complete, put in place of what is there. Exports, imports and seeds go this way.

// Estates returns all there is to one account, or with 0 to every account that has anything, by Uin; secrets are ordered
// by region and name.
func Estates(tx *store.Tx, uin uint64) ([]*ssm.Estate, error) {
	r := estateReader{estates: map[uint64]*ssm.Estate{}, holdings: map[string]*ssm.Holding{}}
	var prefix []byte
	if uin != 0 {
		prefix = number(uin)
	}
	err := errors.Join(
		accounts.Scan(tx, prefix, func(key []byte, a *ssm.AccountData) error {
			r.of(binary.BigEndian.Uint64(key)).Data = *a
			return nil
		}),
		secrets.Scan(tx, prefix, r.secret),
		versions.Scan(tx, prefix, r.version),
		keyPairs.Scan(tx, prefix, func(key []byte, k *ssm.KeyPair) error {
			return r.to(key, func(h *ssm.Holding) { h.KeyPair = k })
		}),
		accessKeys.Scan(tx, nil, func(id []byte, k *ssm.AccessKeyPair) error {
			if uin != 0 && k.Uin != uin {
				return nil
			}
			key := secretKey(ssm.NewOwner(k.Uin, k.Region), k.SecretName)
			return r.to(key, func(h *ssm.Holding) { h.Keys = append(h.Keys, ssm.HeldKey{SecretID: string(id), AccessKeyPair: *k}) })
		}),
		tasks.Scan(tx, nil, func(key []byte, t *ssm.Task) error {
			if uin == 0 || t.Uin == uin {
				r.of(t.Uin).Tasks[int64(binary.BigEndian.Uint64(key))] = t
			}
			return nil
		}),
	)
	var all []*ssm.Estate
	for _, uin := range slices.Sorted(maps.Keys(r.estates)) {
		all = append(all, r.estates[uin])
		for _, h := range r.estates[uin].Secrets {
			slices.SortFunc(h.Keys, func(a, b ssm.HeldKey) int { return cmp.Compare(a.Number, b.Number) })
		}
	}
	return all, err
}

// estateReader puts together what the tables have.
type estateReader struct {
	estates  map[uint64]*ssm.Estate
	holdings map[string]*ssm.Holding // by the secret's key
}

func (r *estateReader) of(uin uint64) *ssm.Estate {
	if r.estates[uin] == nil {
		r.estates[uin] = &ssm.Estate{Uin: uin, Tasks: map[int64]*ssm.Task{}}
	}
	return r.estates[uin]
}

func (r *estateReader) secret(key []byte, s *ssm.Secret) error {
	region, _, _ := bytes.Cut(key[8:], []byte{0})
	h := &ssm.Holding{Region: string(region), Secret: *s, Versions: map[string]*ssm.Version{}}
	r.holdings[string(key)] = h
	e := r.of(binary.BigEndian.Uint64(key))
	e.Secrets = append(e.Secrets, h)
	return nil
}

func (r *estateReader) version(key []byte, v *ssm.Version) error {
	at := bytes.LastIndexByte(key, 0)
	return r.to(key[:at], func(h *ssm.Holding) { h.Versions[string(key[at+1:])] = v })
}

// to lets something be added to the secret under a key.
func (r *estateReader) to(key []byte, add func(*ssm.Holding)) error {
	h := r.holdings[string(key)]
	if h == nil {
		return fmt.Errorf("%q belongs to no secret", key)
	}
	add(h)
	return nil
}

// Fill gives a secret what it must have and what nobody has chosen: ids, names of accounts, passwords, keys. SSH key pairs are
// made when they are first asked for.
func Fill(uin uint64, h *ssm.Holding, random io.Reader, now time.Time) {
	s := &h.Secret
	c := &Call{Owner: ssm.NewOwner(uin, h.Region), Now: now, Random: random}
	created := time.Unix(0, s.CreatedAt)
	value := ""
	switch s.Type {
	case ssm.Product:
		value = c.fillAccounts(h, created)
		if s.Birth == ssm.Made {
			s.Rotation.Schedule(now)
		}
	case ssm.Redis:
		s.ResourceID, _ = ssm.RedisInstance(s.AdditionalConfig) // checked
		value = accountValue(c.newUserName("redis"), c.random(dsnSafe, 24))
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
	if value != "" && s.Birth == ssm.Made && h.Versions[ssm.CurrentVersion] == nil {
		h.Versions[ssm.CurrentVersion] = &ssm.Version{CreatedAt: created.UnixNano(), String: value}
	}
}

// fillAccounts names the accounts of a product secret that has none: the current one after the value, if that was chosen.
// It returns a value for the current account.
func (c *Call) fillAccounts(h *ssm.Holding, created time.Time) string {
	s := &h.Secret
	if len(s.Accounts) == 0 {
		s.Accounts = c.newAccounts(cmp.Or(h.UserNamePrefix, "app"))
		var chosen struct{ UserName string }
		if v := h.Versions[ssm.CurrentVersion]; v != nil && json.Unmarshal([]byte(v.String), &chosen) == nil && chosen.UserName != "" {
			s.Accounts[0].Name = chosen.UserName
		}
	}
	if s.Birth != ssm.Made {
		return ""
	}
	current := s.Current()
	if current == nil {
		current = s.Swap("", created)
	}
	return accountValue(current.Name, c.random(dsnSafe, 24))
}

// fillKeyPair names a pair. The pair itself is made when it is first asked for.
func (c *Call) fillKeyPair(h *ssm.Holding) {
	if h.KeyPair != nil {
		h.Secret.ResourceID = h.KeyPair.ID
	}
	h.Secret.ResourceID = cmp.Or(h.Secret.ResourceID, c.newKeyID())
	h.Secret.ResourceName = cmp.Or(h.Secret.ResourceName, c.newKeyName())
}

// tooFar is when the task of a secret that is Creating ends, if nobody chose it.
const tooFar = 365 * 24 * time.Hour

// Replace puts these accounts, which are complete, in place of all that is there, or with a Uin in place of that account.
// It must run in store.DB.Replace.
func Replace(tx *store.Tx, uin uint64, estates []*ssm.Estate, now time.Time) error {
	if err := drop(tx, uin); err != nil {
		return err
	}
	last := tasks.Drawn(tx)
	for _, e := range estates {
		for id := range e.Tasks {
			last = max(last, uint64(max(0, id-firstFlowID+1)))
		}
	}
	if err := tasks.SetDrawn(tx, last); err != nil {
		return err
	}
	for _, e := range estates {
		if err := putEstate(tx, e, now); err != nil {
			return err
		}
	}
	return nil
}

// drop removes all there is, or with a Uin all there is to that account.
func drop(tx *store.Tx, uin uint64) error {
	if uin == 0 {
		return errors.Join(secrets.Clear(tx), versions.Clear(tx), keyPairs.Clear(tx), accessKeys.Clear(tx), accounts.Clear(tx), tasks.Clear(tx))
	}
	old, err := Estates(tx, uin)
	for _, e := range old {
		for _, h := range e.Secrets {
			err = errors.Join(err, remove(tx, secretKey(ssm.NewOwner(uin, h.Region), h.Secret.Name)))
		}
		for id := range e.Tasks {
			err = errors.Join(err, tasks.Delete(tx, taskKey(id)))
		}
	}
	return errors.Join(err, accounts.Delete(tx, number(uin)))
}

func putEstate(tx *store.Tx, e *ssm.Estate, now time.Time) error {
	if !e.Data.IsZero() {
		if err := accounts.Put(tx, number(e.Uin), &e.Data); err != nil {
			return err
		}
	}
	for id, t := range e.Tasks {
		if old, err := tasks.Get(tx, taskKey(id)); old != nil || err != nil {
			return errors.Join(err, fmt.Errorf("flowId %d is that of a task of another account; choose another", id))
		}
		if err := tasks.Put(tx, taskKey(id), t); err != nil {
			return err
		}
	}
	for _, h := range e.Secrets {
		if err := putHolding(&Call{Owner: ssm.NewOwner(e.Uin, h.Region), Now: now, tx: tx}, h); err != nil {
			return err
		}
	}
	return nil
}

func putHolding(c *Call, h *ssm.Holding) error {
	s := &h.Secret
	if s.Birth == ssm.Making && s.FlowID == 0 {
		var err error
		if s.FlowID, err = c.newFlowID(); err != nil {
			return err
		}
		t := &ssm.Task{
			Kind: ssm.CreateTask, Uin: c.Owner.Uin, Region: c.Owner.Region, SecretName: s.Name,
			BeganAt: s.CreatedAt, DueAt: c.Now.Add(tooFar).UnixNano(),
		}
		if err := tasks.Put(c.tx, taskKey(s.FlowID), t); err != nil {
			return err
		}
	}
	for id, v := range h.Versions {
		if err := c.putVersion(s.Name, id, v); err != nil {
			return err
		}
	}
	if h.KeyPair != nil {
		if err := keyPairs.Put(c.tx, secretKey(c.Owner, s.Name), h.KeyPair); err != nil {
			return err
		}
	}
	for _, k := range h.Keys {
		if err := c.putKey(&k); err != nil {
			return err
		}
	}
	return c.put(s)
}

// putKey stores an access key as the newest.
func (c *Call) putKey(k *ssm.HeldKey) (err error) {
	if old, err := accessKeys.Get(c.tx, []byte(k.SecretID)); old != nil || err != nil {
		return errors.Join(err, fmt.Errorf("the SecretId %s is that of another secret's key; choose another", k.SecretID))
	}
	if k.Number, err = accessKeys.Next(c.tx); err != nil {
		return err
	}
	return accessKeys.Put(c.tx, []byte(k.SecretID), &k.AccessKeyPair)
}

// Holds tells whether the store has anything that a client or the control plane has put there.
func Holds(tx *store.Tx) bool {
	return !secrets.Empty(tx) || !accounts.Empty(tx) || !tasks.Empty(tx)
}
