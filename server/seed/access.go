package seed

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"ssmlocal/server/account"
	"ssmlocal/server/ssm"
)

// Who may call, and what: credentials, roles, their policies.

func (b *builder) credential(path string, c Credential, e *ssm.AccountSnapshot) {
	out := account.Credential{
		SecretID: c.SecretID, SecretKey: c.SecretKey, Uin: e.Uin, User: c.User, Token: c.Token, Policies: c.Policies,
	}
	b.want(c.SecretID != "" && !strings.ContainsAny(c.SecretID, " \t\n,/="), path+".secretId", "it must be there, without spaces, commas or slashes")
	b.want(ssm.IsID(c.SecretID), path+".secretId", "it can have %d bytes at most, and no control characters", ssm.MaxID)
	b.want(c.SecretKey != "", path+".secretKey", "it must be there")
	if c.ExpireTime != "" {
		out.ExpiresAt = b.time(path+".expireTime", c.ExpireTime, time.Time{}).UnixNano()
	}
	b.policies(path, c.Policies)
	if slices.ContainsFunc(b.state.Credentials, func(old account.Credential) bool { return reflect.DeepEqual(old, out) }) {
		return // for example, every built-in seed has the default pair
	}
	b.free(path+".secretId", "the SecretId", c.SecretID, b.rules.IDTaken)
	if at := b.at(path + ".user"); c.User != 0 {
		b.afterwards(func() { // another document may have the user
			_, is := e.Data.Users[c.User]
			b.agreeWith("users", is, at, "%d is none of the account's users; add it to users", c.User)
		})
	}
	b.state.Credentials = append(b.state.Credentials, out)
}

func (b *builder) policies(path string, policies []account.Policy) {
	for i := range policies {
		if err := policies[i].Check(b.rules.Operations, ssm.Regions()); err != nil {
			field, why, _ := strings.Cut(err.Error(), ": ")
			b.check(fmt.Sprintf("%s.policies[%d].%s", path, i, field), errors.New(why))
		}
	}
}

var roleName = regexp.MustCompile(`^[\w+=,.@-]+$`)

// How long keys of a role can live, in seconds: at least what Node's SDK needs
// (see the metadata), at most what 1312/48197 allows.
const (
	shortestKeys = 60
	longestKeys  = 43200
)

func (b *builder) role(path string, r Role, e *ssm.AccountSnapshot) {
	b.want(roleName.MatchString(r.RoleName) && len(r.RoleName) <= 128, path+".roleName", "it must have 1 to 128 letters, digits and + = , . @ _ -")
	b.once(path+".roleName", "the role "+r.RoleName, fmt.Sprint(e.Uin))
	b.policies(path, r.Policies)
	b.agree(r.DurationSeconds == 0 || r.Bound, path+".durationSeconds", on{"bound", "durationSeconds"}, "it is for the keys of a role that is bound to the instance; add bound: true")
	b.want(r.DurationSeconds == 0 || r.DurationSeconds >= shortestKeys && r.DurationSeconds <= longestKeys, path+".durationSeconds", "it must be %d to %d", shortestKeys, longestKeys)
	b.state.Roles = append(b.state.Roles, account.Role{Uin: e.Uin, Name: r.RoleName, Policies: r.Policies, Bound: r.Bound, Seconds: r.DurationSeconds})
}
