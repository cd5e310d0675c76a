package action

import (
	"fmt"

	"ssmlocal/server/apierr"
	"ssmlocal/server/ssm"
	"ssmlocal/store"
)

// API-key secrets: an access key of a sub-account, which can sign calls to this
// emulator. No public action makes one (CreateAccessKeySecret is the console's
// own), so NewAccessKeySecret does it for the control plane.

// accessKeys holds the keys that secrets hold or held last, under their IDKey,
// and lists those of each secret and of each user by age.
var accessKeys = &store.Table[ssm.AccessKeyPair]{Name: "accesskeys", Index: func(key []byte, k *ssm.AccessKeyPair) []store.Entry {
	_, generation := SplitIDKey(key)
	o := ssm.NewOwner(k.Uin, k.Region).In(generation)
	return []store.Entry{
		{List: string(secretKey(o, k.SecretName)), Order: k.Number},
		{List: keysOf(o, k.TargetUin), Order: k.Number},
	}
}}

// keysOf is the list of a user's keys.
func keysOf(o ssm.Owner, target uint64) string {
	name := fmt.Sprintf("user %d %d", o.Uin, target)
	if o.Generation != 0 {
		name += fmt.Sprint(" ", o.Generation)
	}
	return name
}

// newAccessKey makes a key of the secret's target user and returns it as a
// value. The one before stays valid until the next is made.
func (t *Tx) newAccessKey(s *ssm.Secret) (value string, err error) {
	list := string(secretKey(t.Owner, s.Name))
	for accessKeys.Count(t.tx, list) >= ssm.MaxAccessKeys {
		_, oldest, _ := accessKeys.First(t.tx, list)
		if err := accessKeys.Delete(t.tx, oldest); err != nil {
			return "", err
		}
	}
	k := t.newKey(s)
	for { // a random source that repeats may draw a key that the data file has
		old, err := accessKeys.Get(t.tx, IDKey(k.SecretID, t.Owner.Generation))
		if err != nil {
			return "", err
		}
		if old == nil {
			return keyValue(k.SecretID, k.SecretKey), t.putKey(&k)
		}
		k = t.newKey(s)
	}
}

// newKey draws a key of the secret's target user.
func (t *Tx) newKey(s *ssm.Secret) ssm.HeldKey {
	return ssm.HeldKey{SecretID: "AKID" + t.random(alphanumeric, 32), AccessKeyPair: ssm.AccessKeyPair{
		SecretKey: t.random(alphanumeric, 32), Uin: t.Owner.Uin, TargetUin: s.TargetUin, Region: t.Owner.Region, SecretName: s.Name,
	}}
}

// keyValue is a key as the value of a secret.
func keyValue(secretID, secretKey string) string {
	return fmt.Sprintf(`{"SecretId":%q,"SecretKey":%q}`, secretID, secretKey)
}

// dropAccessKeys removes the keys of a secret that is deleted.
func dropAccessKeys(tx *store.Tx, secret []byte) error {
	for {
		_, id, found := accessKeys.First(tx, string(secret))
		if !found {
			return nil
		}
		if err := accessKeys.Delete(tx, id); err != nil {
			return err
		}
	}
}

// FindAccessKey returns the key with a SecretId, nil if no secret holds it.
func FindAccessKey(tx *store.Tx, g *Generations, secretID string) (*ssm.AccessKeyPair, error) {
	return FindID(tx, g, accessKeys, secretID, func(k *ssm.AccessKeyPair) uint64 { return k.Uin })
}

// NewAccessKeySecret makes a secret of the type API key for a user. Whether the
// user is one of the account is asked when the secret is rotated, as at the
// real service.
func NewAccessKeySecret(db *store.DB, c *Call, name string, target uint64) error {
	if err := ssm.CheckName(name); err != nil {
		return err
	}
	if target == 0 {
		return apierr.InvalidParameterValue.With("TargetUin")
	}
	if err := c.Account.CheckPurchase(); err != nil {
		return err
	}
	return db.Update(func(tx *store.Tx) error {
		c.tx = tx
		if err := c.Account.CheckKeys(target, int(accessKeys.Count(tx, keysOf(c.Owner, target)))+1); err != nil {
			return err
		}
		s := &ssm.Secret{Name: name, Type: ssm.AccessKey, TargetUin: target}
		if err := c.create(s); err != nil {
			return err
		}
		value, err := c.newAccessKey(s)
		if err != nil {
			return err
		}
		return c.putVersion(name, ssm.CurrentVersion, &ssm.Version{CreatedAt: c.Now.UnixNano(), String: value})
	})
}

// rotateAtOnce rotates a secret whose rotation is no task.
func (c *Call) rotateAtOnce(s *ssm.Secret) error {
	if err := c.Account.CheckUser(c.Owner.Uin, s.TargetUin); err != nil {
		return err
	}
	// The key that the secret holds now stays beside the new one; the one
	// before it goes.
	others := accessKeys.Count(c.tx, keysOf(c.Owner, s.TargetUin)) - accessKeys.Count(c.tx, string(secretKey(c.Owner, s.Name)))
	if err := c.Account.CheckKeys(s.TargetUin, int(others)+2); err != nil {
		return err
	}
	if err := c.rotate(s, c.Now, ssm.Login{}); err != nil {
		return err
	}
	c.Events = append(c.Events, c.event("rotation", s.Name))
	return c.put(s)
}
