package action

import (
	"io"
	"time"

	"ssmlocal/server/apierr"
	"ssmlocal/server/ssm"
	"ssmlocal/store"
)

// A Tx is a transaction over the secrets of one owner, at one moment. What it
// reads is one consistent state.
type Tx struct {
	Owner  ssm.Owner
	Now    time.Time // virtual time, one for the whole transaction
	Random io.Reader // safe for concurrent use
	// Due is the earliest time at which something that was written is due; zero
	// for never.
	Due time.Time

	tx *store.Tx
}

// find returns the secret that an action is about. The error says that there is
// none, or why its type or status forbids the action; in the latter case the
// secret is returned too.
func (t *Tx) find(v *ssm.Operation, name string) (*ssm.Secret, error) {
	s, err := secrets.Get(t.tx, secretKey(t.Owner, name))
	switch {
	case err != nil:
		return nil, err
	case s == nil:
		return nil, apierr.SecretNotFound.With(name)
	}
	return s, v.Refuse(s)
}

// findVersion returns the version that an action is about, with its secret,
// which exists and allows the action.
func (t *Tx) findVersion(v *ssm.Operation, name, id string) (*ssm.Secret, *ssm.Version, error) {
	s, err := t.find(v, name)
	if err != nil {
		return nil, nil, err
	}
	version, err := t.version(name, id)
	if version == nil && err == nil {
		err = apierr.VersionNotFound.With(id, name)
	}
	return s, version, err
}

// version returns a version of a secret, nil if there is none.
func (t *Tx) version(name, id string) (*ssm.Version, error) {
	return versions.Get(t.tx, versionKey(t.Owner, name, id))
}

// put writes a secret, and notes its next due time.
func (t *Tx) put(s *ssm.Secret) error {
	if s.DeleteAt != 0 {
		t.due(time.Unix(0, s.DeleteAt))
	}
	if s.Rotation.NextAt != 0 {
		t.due(time.Unix(s.Rotation.NextAt, 0))
	}
	return secrets.Put(t.tx, secretKey(t.Owner, s.Name), s)
}

func (t *Tx) putVersion(name, id string, v *ssm.Version) error {
	return versions.Put(t.tx, versionKey(t.Owner, name, id), v)
}

// change finds a secret, changes it and writes it back.
func (t *Tx) change(v *ssm.Operation, name string, change func(*ssm.Secret)) (*ssm.Secret, error) {
	s, err := t.find(v, name)
	if err != nil {
		return nil, err
	}
	change(s)
	return s, t.put(s)
}

// held counts the owner's secrets of every type and status.
func (t *Tx) held() (n uint64) {
	for _, kind := range ssm.Types() {
		n += secrets.Count(t.tx, string(scope(t.Owner))+byType(kind, nil, nil))
	}
	return n
}

// due notes that something is due at a time.
func (t *Tx) due(at time.Time) {
	if t.Due.IsZero() || at.Before(t.Due) {
		t.Due = at
	}
}

// after returns the call's time in nanoseconds, but never a time before the
// secret was made: a secret that is made and changed at the same time may be a
// little younger than the call that changes it.
func (t *Tx) after(s *ssm.Secret) int64 { return max(t.Now.UnixNano(), s.CreatedAt) }

// random returns n characters of an alphabet.
func (t *Tx) random(alphabet string, n int) string {
	b := make([]byte, n)
	if _, err := io.ReadFull(t.Random, b); err != nil {
		panic(err) // a source of random bytes has no end
	}
	for i := range b {
		b[i] = alphabet[int(b[i])%len(alphabet)]
	}
	return string(b)
}
