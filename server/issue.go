package server

import (
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"ssmlocal/server/account"
	"ssmlocal/server/action"
	"ssmlocal/server/apierr"
	"ssmlocal/server/ssm"
	"ssmlocal/store"
)

// Temporary keys: made for STS and for the instance metadata. They are kept in the data file, so that a program goes on with
// them after a restart, but are no part of a state that is exported.

// issued has them by SecretId, and lists them by their end. They outlive the state in
// which they were made: a program goes on with its keys, which have as much of their life
// left after a replacement as before it. ExpiresAt is therefore kept without what
// replacements have moved the clock by, Server.shift.
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
func (s *Server) issuerFor(caller account.Caller) action.Issuer {
	return func(tx *store.Tx, g action.Grant, now time.Time) (action.Keys, error) {
		c := account.Credential{Uin: g.Uin, User: g.User, Name: g.Name, Policies: caller.Policies, From: caller.SecretID}
		if g.Role != "" {
			role, err := findRole(tx, s.generations.Load(), caller.Uin, g.Identity)
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
		return issue(tx, s.random, c, now, now.Add(g.For), s.shift.Load())
	}
}

// longestPolicy bounds the policy of a session, which is kept with its keys, in bytes.
const longestPolicy = 32 << 10

// readPolicy reads a policy in JSON.
func readPolicy(text string) (p account.Policy, err error) {
	if !jsontext.Value(text).IsValid() {
		return p, errors.New("it is not JSON with the fields version and statement, of which each has effect, action and resource")
	}
	if err := json.Unmarshal([]byte(text), &p, json.RejectUnknownMembers(true)); err != nil {
		return p, badBody(err, reflect.TypeFor[account.Policy]())
	}
	return p, p.Check(operations(), ssm.Regions())
}

// expiredKept is how many keys there may be before those that have expired are forgotten: until then a call with them is told
// that they have expired, and not taken for one of an unknown caller.
const expiredKept = 10_000

// issue makes keys out of a random source, and forgets some that have expired. shift is
// Server.shift.
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
	return action.Keys{SecretID: c.SecretID, SecretKey: c.SecretKey, Token: c.Token}, issued.Put(tx, []byte(c.SecretID), &c)
}

// findIssued returns the temporary keys with a SecretId, nil if there are none. Those of a
// role may do what the role may now, those of a federated user what the keys that asked
// for them may; they have expired if there are no such any more.
func (s *Server) findIssued(secretID string) (c *account.Credential, err error) {
	err = s.db.View(func(tx *store.Tx) error {
		if c, err = issued.Get(tx, []byte(secretID)); c == nil || err != nil {
			return err
		}
		c.ExpiresAt += s.shift.Load()
		g, there := s.generations.Load(), true
		if c.Role != "" {
			role, gone := findRole(tx, g, c.Uin, action.Identity{Uin: c.Uin, Role: c.Role})
			there, c.Policies = gone == nil, role.Policies
		} else {
			from, known := s.directory.Known(c.From)
			c.Policies = from.Policies
			if there = known || s.directory.Anybody(); !there {
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
