package backend

import (
	"cmp"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"ssmlocal/server/account"
	"ssmlocal/server/action"
	"ssmlocal/server/apierr"
	"ssmlocal/server/decode"
	"ssmlocal/server/ssm"
	"ssmlocal/store"
)

// Temporary keys: made for STS and for the instance metadata. They are kept in
// the data file, so that a program goes on with them after a restart, but are
// no part of a state that is exported.

// issued has them by SecretId, and lists them by their end. They outlive the state in
// which they were made: a program goes on with its keys, which have as much of their life
// left after a replacement as before it. ExpiresAt is therefore kept without what
// replacements have moved the clock by, Backend.shift.
var issued = &store.Table[account.Credential]{Name: "issued", Index: func(_ []byte, c *account.Credential) []store.Entry {
	return []store.Entry{{List: toExpire, Order: uint64(c.ExpiresAt)}}
}}

const toExpire = "expire"

// findRole returns the role that keys are wanted for. An account for which the state has
// no roles has every role, for its own callers; any of its roles may do everything.
func findRole(tx *store.Tx, g *action.Generations, caller uint64, who action.Identity) (account.Role, error) {
	all, unreadable := rolesOf(tx, g, who.Uin)
	for _, r := range all {
		if r.Name == who.Role || action.RoleID(r.Uin, r.Name) == who.Role {
			return r, nil
		}
	}
	if unreadable != nil { // it may be this one
		return account.Role{}, unreadable
	}
	if len(all) > 0 || caller != who.Uin {
		return account.Role{}, apierr.RoleNotFound.With(who.Role, who.Uin)
	}
	return account.Role{Uin: who.Uin, Name: who.Role}, nil
}

// issuerFor returns what makes keys for a caller.
func (b *Backend) issuerFor(caller *account.Caller) action.Issuer {
	return func(tx *store.Tx, g action.Grant, now time.Time) (action.Keys, error) {
		c := account.Credential{Uin: g.Uin, User: g.User, Name: g.Name, Policies: caller.Policies, From: caller.SecretID}
		if g.Role != "" {
			role, err := findRole(tx, b.generations.Load(), caller.Uin, g.Identity)
			if err != nil {
				return action.Keys{}, err
			}
			c.Role, c.Policies, c.From = role.Name, role.Policies, ""
		}
		if len(g.Policy) > longestPolicy {
			return action.Keys{}, apierr.BadPolicy.With(fmt.Sprintf("it is longer than %d bytes", longestPolicy))
		}
		if g.Policy != "" {
			policy, err := readPolicy(action.PlainPolicy(g.Policy))
			if err != nil {
				return action.Keys{}, apierr.BadPolicy.With(err.Error())
			}
			c.Also = []account.Policy{policy}
		}
		return issue(tx, b.random, c, now, now.Add(g.For), b.shift.Load())
	}
}

// longestPolicy bounds the policy of a session, which is kept with its keys, in bytes.
const longestPolicy = 32 << 10

// readPolicy reads a policy in JSON.
func readPolicy(text string) (p account.Policy, err error) {
	if !jsontext.Value(text).IsValid() {
		return p, errors.New("it is not JSON with the fields version and statement, of which each has effect, action and resource")
	}
	if err := decode.JSON([]byte(text), &p); err != nil {
		return p, err
	}
	return p, p.Check(action.Operations(), ssm.Regions())
}

// expiredKept is how many keys there may be before those that have expired are
// forgotten: until then a call with them learns that they have expired, and
// not taken for one of an unknown caller.
const expiredKept = 10_000

// issue makes keys out of a random source, and forgets some that have expired. shift is
// Backend.shift.
func issue(tx *store.Tx, from *random, c account.Credential, now, ends time.Time, shift int64) (action.Keys, error) {
	for range 2 {
		at, id, _ := issued.First(tx, toExpire)
		if issued.Count(tx, toExpire) < expiredKept || int64(at)+shift > now.UnixNano() {
			break
		}
		if err := issued.Delete(tx, id); err != nil {
			return action.Keys{}, err
		}
	}
	for taken := true; taken; { // a random source that repeats may draw what a data file has already
		c.SecretID = "AKID" + from.text(60)
		taken = issued.Has(tx, []byte(c.SecretID))
	}
	c.SecretKey, c.Token = from.text(44), from.text(160)
	c.ExpiresAt = ends.UnixNano() - shift
	keys := action.Keys{SecretID: c.SecretID, SecretKey: c.SecretKey, Token: c.Token}
	return keys, issued.Put(tx, []byte(c.SecretID), &c)
}

// findIssued returns the temporary keys with a SecretId, nil if there are none. Those of a
// role may do what the role may now, those of a federated user what the keys that asked
// for them may; they have expired if there are no such any more.
func (b *Backend) findIssued(secretID string) (c *account.Credential, err error) {
	err = b.db.View(func(tx *store.Tx) error {
		if c, err = issued.Get(tx, []byte(secretID)); c == nil || err != nil {
			return err
		}
		c.ExpiresAt += b.shift.Load()
		g, there := b.generations.Load(), true
		if c.Role != "" {
			role, gone := findRole(tx, g, c.Uin, action.Identity{Uin: c.Uin, Role: c.Role})
			there, c.Policies = gone == nil, role.Policies
		} else {
			from, known := b.Directory.Known(c.From)
			c.Policies = from.Policies
			if there = known || b.Directory.Anybody(); !there {
				k, err := action.FindAccessKey(tx, g, c.From)
				if err != nil {
					return err
				}
				there = k != nil
			}
		}
		c.Orphan = !there
		return nil
	})
	return c, err
}

// generatedCredential finds a credential that the emulator has made: temporary keys, or an
// access key that a secret holds.
func (b *Backend) generatedCredential(secretID string) (*account.Credential, error) {
	if c, err := b.findIssued(secretID); c != nil || err != nil {
		return c, err
	}
	k, err := b.findAccessKey(secretID)
	if k == nil {
		return nil, err
	}
	c := &account.Credential{SecretID: secretID, SecretKey: k.SecretKey, Uin: k.Uin}
	if k.TargetUin != k.Uin {
		c.User = k.TargetUin
	}
	return c, nil
}

func (b *Backend) findAccessKey(secretID string) (k *ssm.AccessKeyPair, err error) {
	err = b.db.View(func(tx *store.Tx) error {
		k, err = action.FindAccessKey(tx, b.generations.Load(), secretID)
		return err
	})
	return k, err
}

// The keys of roles that are bound to the instance, for the instance metadata.

// boundKeys remembers them: Java's SDK asks for id, key and token one by one, so that they must
// not change from call to call.
type boundKeys struct {
	random *random // its own: the keys outlive a reset, after which all else is drawn again

	mu  sync.Mutex
	ids map[string]string // SecretIds by role
}

const (
	// BoundRole is the role of the instance where the state has no roles.
	BoundRole = "ssmlocal"

	boundLife = 2 * time.Hour
	// boundSpare is how long before its end a key is replaced at most: no SDK asks earlier
	// than ten minutes before.
	boundSpare = 15 * time.Minute
	// leastSpare is what keys have left at least, with some time for the way: with 30 seconds
	// or less Node's SDK (cvm_role_credential.js) asks again, at once and without end.
	leastSpare = 35 * time.Second
)

// BoundRoles returns the roles of the instance: those of the state that are bound; where the
// state has no roles at all, one of the first account that is known.
func (b *Backend) BoundRoles() (bound []account.Role) {
	b.stateLock.RLock()
	defer b.stateLock.RUnlock()
	var all []account.Role
	err := b.db.View(func(tx *store.Tx) (err error) {
		all, err = rolesOf(tx, b.generations.Load(), 0)
		return err
	})
	b.warnUnreadable(err)
	for _, r := range all {
		if r.Bound {
			bound = append(bound, r)
		}
	}
	if len(all) == 0 && err == nil {
		bound = []account.Role{{Uin: b.Directory.FirstUin(), Name: BoundRole, Bound: true}}
	}
	return bound
}

// lastsFor reports whether keys that live for so long are good for a while yet.
// Keys of a longer life are those of a role whose life has been changed.
func lastsFor(c *account.Credential, now time.Time, life time.Duration) bool {
	spare := min(boundSpare, max(leastSpare, life/8))
	return c.ExpiresAt <= now.Add(life).UnixNano() && !c.Expired(now.Add(spare))
}

// BoundKeys returns the keys of a role of the instance: the same until they come near their
// end. They end at a wall time, as the SDKs see it: what is left of their virtual life is
// counted from now.
func (b *Backend) BoundKeys(r account.Role) (keys action.Keys, ends time.Time, err error) {
	b.stateLock.RLock()
	defer b.stateLock.RUnlock()
	b.bound.mu.Lock()
	defer b.bound.mu.Unlock()
	wall := b.Clock.Wall()
	now := b.Clock.At(wall)
	key := fmt.Sprint(r.Uin, " ", r.Name)
	c, err := b.findIssued(b.bound.ids[key])
	if err != nil {
		return keys, ends, err
	}
	life := cmp.Or(time.Duration(r.Seconds)*time.Second, boundLife)
	if c != nil && lastsFor(c, now, life) {
		keys = action.Keys{SecretID: c.SecretID, SecretKey: c.SecretKey, Token: c.Token}
		return keys, wall.Add(time.Unix(0, c.ExpiresAt).Sub(now)), nil
	}
	c = &account.Credential{Uin: r.Uin, Role: r.Name, Name: "ins-ssmlocal", Policies: r.Policies}
	err = b.db.Update(func(tx *store.Tx) (err error) {
		keys, err = issue(tx, b.bound.random, *c, now, now.Add(life), b.shift.Load())
		return err
	})
	if err == nil {
		b.bound.ids[key] = keys.SecretID
	}
	return keys, wall.Add(life), err
}
