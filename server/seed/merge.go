package seed

import (
	"cmp"
	"slices"

	"ssmlocal/server/account"
	"ssmlocal/server/clock"
	"ssmlocal/server/fault"
	"ssmlocal/server/ssm"
)

// Without returns the source without what another state has: its secrets,
// credentials, roles, users, instances and faults, and the clock if it sets
// one. Both together are a state again, in which the other one decides. The
// positions in its documents are those of what is left.
func (s *Source) Without(other Sheet, state *State) *Source {
	accounts := map[uint64]*ssm.AccountSnapshot{}
	for _, a := range state.Accounts {
		accounts[a.Uin] = a
	}
	keys := map[string]bool{}
	for _, c := range state.Credentials {
		keys[c.SecretID] = true
	}
	part := *s
	part.edit = func(f *File) {
		if state.Clock != (clock.State{}) {
			f.Clock = nil
		}
		f.Faults = slices.DeleteFunc(f.Faults, func(r fault.Rule) bool {
			return r.ID != "" && slices.ContainsFunc(state.Faults, func(o fault.Rule) bool { return o.ID == r.ID })
		})
		for i := range f.Accounts {
			a := &f.Accounts[i]
			a.Credentials = slices.DeleteFunc(a.Credentials, func(c Credential) bool { return keys[c.SecretID] })
			if in := accounts[a.Uin]; in != nil {
				a.without(in, other, state.Roles)
			}
		}
	}
	return &part
}

// without takes out of an account what a state has of it.
func (a *Account) without(in *ssm.AccountSnapshot, other Sheet, roles []account.Role) {
	has := func(region, name string) bool {
		_, is := other[Thing{"secret", a.Uin, cmp.Or(region, ssm.DefaultRegion), name}]
		return is
	}
	a.Secrets = slices.DeleteFunc(a.Secrets, func(s Secret) bool { return has(s.Region, s.SecretName) })
	a.Tasks = slices.DeleteFunc(a.Tasks, func(t Task) bool { return in.Tasks[t.FlowID] != nil || has(t.Region, t.SecretName) })
	a.Roles = slices.DeleteFunc(a.Roles, func(r Role) bool {
		return slices.ContainsFunc(roles, func(o account.Role) bool { return o.Uin == a.Uin && o.Name == r.RoleName })
	})
	a.Users = slices.DeleteFunc(a.Users, func(u User) bool { _, is := in.Data.Users[u.Uin]; return is })
	a.Instances = slices.DeleteFunc(a.Instances, func(i Instance) bool {
		return slices.ContainsFunc(in.Data.Instances, func(o ssm.Binding) bool { return o.InstanceID == i.InstanceID })
	})
	a.Isolated = slices.DeleteFunc(a.Isolated, func(id string) bool { return slices.Contains(in.Data.Isolated, id) })
}

// WithoutClock returns the source without its clock.
func (s *Source) WithoutClock() *Source {
	part := *s
	part.edit = func(f *File) {
		if s.edit != nil {
			s.edit(f)
		}
		f.Clock = nil
	}
	return &part
}
