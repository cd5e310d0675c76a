package backend

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"ssmlocal/server/account"
	"ssmlocal/server/action"
	"ssmlocal/server/apierr"
	"ssmlocal/server/decode"
	"ssmlocal/server/ssm"
	"ssmlocal/server/turn"
	"ssmlocal/store"
)

// Temporary keys: made for STS and for the instance metadata. They are kept in
// the data file, so that a program can use them after a restart, but they are
// not part of an exported state.

// issued has the temporary keys by SecretId, and lists them by expiry. They
// stay valid when the state is replaced, for as long as they had left before,
// so that a program can go on with its keys. ExpiresAt is therefore stored
// without Backend.shift, the time by which replacements have moved the clock.
var issued = &store.Table[account.Credential]{Name: "issued", Index: func(_ []byte, c *account.Credential) []store.Entry {
	return []store.Entry{{List: toExpire, Order: uint64(c.ExpiresAt)}}
}}

const toExpire = "expire"

// findRole returns the role for which keys are requested. If the state has no
// roles for an account, the account's own callers can get any role, and each of
// these roles may do everything.
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

// issuerFor returns what makes keys for a caller, drawn from a random source.
func (b *Backend) issuerFor(caller *account.Caller, random io.Reader) action.Issuer {
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
		return issue(tx, random, c, now, now.Add(g.For), b.shift.Load())
	}
}

// longestPolicy bounds the policy of a session, which is kept with its keys, in
// bytes.
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

// expiredKept is how many keys there may be before expired ones are removed.
// Until then, a call with expired keys gets the error that they have expired,
// not that its SecretId is unknown.
const expiredKept = 10_000

// issue makes keys from a random source, and removes some that have expired.
// shift is Backend.shift.
func issue(tx *store.Tx, from io.Reader, c account.Credential, now, ends time.Time, shift int64) (action.Keys, error) {
	for range 2 {
		at, id, _ := issued.First(tx, toExpire)
		if issued.Count(tx, toExpire) < expiredKept || int64(at)+shift > now.UnixNano() {
			break
		}
		if err := issued.Delete(tx, id); err != nil {
			return action.Keys{}, err
		}
	}
	for taken := true; taken; { // a random source that repeats may draw a key that the data file has
		c.SecretID = "AKID" + textFrom(from, 60)
		taken = issued.Has(tx, []byte(c.SecretID))
	}
	c.SecretKey, c.Token = textFrom(from, 44), textFrom(from, 160)
	c.ExpiresAt = ends.UnixNano() - shift
	keys := action.Keys{SecretID: c.SecretID, SecretKey: c.SecretKey, Token: c.Token}
	return keys, issued.Put(tx, []byte(c.SecretID), &c)
}

// findIssued returns the temporary keys with a SecretId, nil if there are none.
// Keys of a role may do what the role may do now. Keys of a federated user may
// do what the keys that asked for them may do. If the role or those keys no
// longer exist, the keys have expired.
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

// generatedCredential finds a credential that the emulator has made: temporary
// keys, or an access key that a secret holds.
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

// boundKeys remembers them: Java's SDK asks for id, key and token one by one,
// so they must not change from call to call.
type boundKeys struct {
	random *random // its own: the keys outlive a reset, after which all else is drawn again

	mu  sync.Mutex
	ids map[string]string // SecretIds by role
}

const (
	// BoundRole is the role of the instance where the state has no roles.
	BoundRole = "ssmlocal"

	boundLife = 2 * time.Hour
	// boundSpare is the longest time before its end at which a key is replaced:
	// no SDK asks for a new one earlier than ten minutes before.
	boundSpare = 15 * time.Minute
	// leastSpare is the shortest time that keys have left when a program gets
	// them, with some time for the network. With 30 seconds or less, Node's SDK
	// (cvm_role_credential.js) asks again at once, and never stops.
	leastSpare = 35 * time.Second
)

// BoundRoles returns the roles of the instance: those of the state that are
// bound; where the state has no roles at all, one of the first account that is
// known.
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

// lastsFor reports whether keys can be used for a while longer; life is how
// long the role's keys live. Keys that have more than that left were made
// before the role's setting changed, so they don't count.
func lastsFor(c *account.Credential, now time.Time, life time.Duration) bool {
	spare := min(boundSpare, max(leastSpare, life/8))
	return c.ExpiresAt <= now.Add(life).UnixNano() && !c.Expired(now.Add(spare))
}

// BoundKeys returns the keys of a role of the instance: the same ones until
// they are near their end. ends is in wall time, which the SDKs compare it
// with: the rest of their virtual life is added to now.
func (b *Backend) BoundKeys(ctx context.Context, r account.Role) (keys action.Keys, ends time.Time, err error) {
	b.stateLock.RLock()
	defer b.stateLock.RUnlock()
	b.bound.mu.Lock()
	defer b.bound.mu.Unlock()
	wall := turn.Of(ctx).Time(b.Clock.Wall())
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
	var from io.Reader = b.bound.random
	if turn.Of(ctx) != nil {
		from = b.drawsFrom(ctx)
	}
	err = b.db.Update(func(tx *store.Tx) (err error) {
		keys, err = issue(tx, from, *c, now, now.Add(life), b.shift.Load())
		return err
	})
	if err == nil {
		b.bound.ids[key] = keys.SecretID
	}
	return keys, wall.Add(life), err
}
