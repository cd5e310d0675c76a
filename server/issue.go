package server

import (
	"encoding/binary"
	"errors"
	"reflect"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"ssmlocal/server/account"
	"ssmlocal/server/action"
	"ssmlocal/server/apierr"
	"ssmlocal/store"
)

// Temporary keys: made for STS and for the instance metadata. They are kept in the data file, so that a program goes on with
// them after a restart, but are no part of a state that is exported.

// issued has them by SecretId, and lists them by their end.
var issued = &store.Table[account.Credential]{Name: "issued", Places: func(_ []byte, c *account.Credential) []store.Place {
	return []store.Place{{List: toExpire, Order: uint64(c.ExpiresAt)}}
}}

const toExpire = "expire"

// roles has the roles of the state, by account and name.
var roles = &store.Table[account.Role]{Name: "roles"}

func roleKey(uin uint64, name string) []byte {
	return append(binary.BigEndian.AppendUint64(nil, uin), name...)
}

// rolesOf returns the roles of an account, or with 0 all, by account and name.
func rolesOf(tx *store.Tx, uin uint64) (all []account.Role, err error) {
	prefix := roleKey(uin, "")
	if uin == 0 {
		prefix = nil
	}
	err = roles.Scan(tx, prefix, func(_ []byte, r *account.Role) error {
		all = append(all, *r)
		return nil
	})
	return all, err
}

// findRole returns the role that keys are wanted for. An account for which the state has no roles has every role, for
// its own callers and for those who have no account yet; any of its roles may do everything.
func findRole(tx *store.Tx, caller uint64, who action.Identity) (account.Role, error) {
	all, err := rolesOf(tx, who.Uin)
	if err != nil {
		return account.Role{}, err
	}
	for _, r := range all {
		if r.Name == who.Role || action.RoleID(r.Uin, r.Name) == who.Role {
			return r, nil
		}
	}
	if len(all) > 0 || caller != 0 && caller != who.Uin {
		return account.Role{}, apierr.RoleNotFound.With(who.Role)
	}
	return account.Role{Uin: who.Uin, Name: who.Role}, nil
}

// issuerFor returns what makes keys for a caller.
func (s *Server) issuerFor(caller account.Caller) action.Issuer {
	return func(tx *store.Tx, g action.Grant, now time.Time) (action.Keys, error) {
		c := account.Credential{Uin: g.Uin, User: g.User, Name: g.Name, Policies: caller.Policies, From: caller.SecretID}
		if g.Role != "" {
			role, err := findRole(tx, caller.Uin, g.Identity)
			if err != nil {
				return action.Keys{}, err
			}
			c.Role, c.Policies, c.From = role.Name, role.Policies, ""
		}
		if g.Policy != "" {
			policy, err := readPolicy(action.PlainPolicy(g.Policy))
			if err != nil {
				return action.Keys{}, apierr.BadPolicy.With(err.Error())
			}
			c.Also = []account.Policy{policy}
		}
		return issue(tx, s.random, c, now, now.Add(g.For))
	}
}

// readPolicy reads a policy in JSON.
func readPolicy(text string) (p account.Policy, err error) {
	if !jsontext.Value(text).IsValid() {
		return p, errors.New("it is not JSON with the fields version and statement, of which each has effect, action and resource")
	}
	if err := json.Unmarshal([]byte(text), &p, json.RejectUnknownMembers(true)); err != nil {
		return p, badBody(err, reflect.TypeFor[account.Policy]())
	}
	return p, p.Check(operations())
}

// expiredKept is how many keys there may be before those that have expired are forgotten: until then a call with them is told
// that they have expired, and not taken for one of an unknown caller.
const expiredKept = 10_000

// issue makes keys out of a random source, and forgets some that have expired.
func issue(tx *store.Tx, from *random, c account.Credential, now, ends time.Time) (action.Keys, error) {
	for range 2 {
		at, id, _ := issued.First(tx, toExpire)
		if issued.Count(tx, toExpire) < expiredKept || at > uint64(now.UnixNano()) {
			break
		}
		if err := issued.Delete(tx, id); err != nil {
			return action.Keys{}, err
		}
	}
	for taken := true; taken; { // a random source that repeats may draw what a data file has already
		c.SecretID = "AKID" + from.text(60)
		old, err := issued.Get(tx, []byte(c.SecretID))
		if err != nil {
			return action.Keys{}, err
		}
		taken = old != nil
	}
	c.SecretKey, c.Token = from.text(44), from.text(160)
	c.ExpiresAt = ends.UnixNano()
	return action.Keys{SecretID: c.SecretID, SecretKey: c.SecretKey, Token: c.Token}, issued.Put(tx, []byte(c.SecretID), &c)
}

// findIssued returns the temporary keys with a SecretId, nil if there are none.
func (s *Server) findIssued(secretID string) (c *account.Credential, err error) {
	err = s.db.View(func(tx *store.Tx) error { c, err = issued.Get(tx, []byte(secretID)); return err })
	return c, err
}

// keepIssued takes the temporary keys of an account, or with 0 all, over into another state: a program that has some goes on with
// them, with as much of their life left at the time after as they had at the time before. Those of a role may do what the role may
// in the new state, those of a federated user what the keys that asked for them may; they end if that has these no more.
func (s *Server) keepIssued(tx *store.Tx, uin uint64, known map[string]account.Credential, before, after time.Time) error {
	var all []account.Credential
	err := issued.Scan(tx, nil, func(_ []byte, c *account.Credential) error {
		if uin == 0 || c.Uin == uin {
			all = append(all, *c)
		}
		return nil
	})
	for _, c := range all {
		if err != nil {
			return err
		}
		c.ExpiresAt += int64(after.Sub(before))
		from, there := known[c.From]
		c.Policies = from.Policies
		if !there {
			there, err = action.HoldsAccessKey(tx, c.From)
		}
		there = there || s.directory.Anybody()
		if c.Role != "" {
			role, gone := findRole(tx, c.Uin, action.Identity{Uin: c.Uin, Role: c.Role})
			there, c.Policies = gone == nil, role.Policies
		}
		if !there {
			c.ExpiresAt = min(c.ExpiresAt, after.UnixNano())
		}
		err = errors.Join(err, issued.Put(tx, []byte(c.SecretID), &c))
	}
	return err
}
