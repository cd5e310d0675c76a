package seed

import (
	"cmp"
	"fmt"
	"slices"

	"ssmlocal/server/account"
	"ssmlocal/server/clock"
	"ssmlocal/server/fault"
	"ssmlocal/server/ssm"
)

// Without returns the source without what another state has: its secrets,
// credentials, roles, users, instances and faults, and the clock if it sets
// one. Both together are a state again, in which the other one decides.
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
	part.edit = func(d *Document) {
		f := &d.File
		if state.Clock != (clock.State{}) {
			f.Clock = nil
		}
		d.without = map[string]bool{}
		for i, r := range f.Faults {
			d.without[fmt.Sprintf("faults[%d]", i)] = r.ID != "" && slices.ContainsFunc(state.Faults, func(o fault.Rule) bool { return o.ID == r.ID })
		}
		for i := range f.Accounts {
			a, path := &f.Accounts[i], fmt.Sprintf("accounts[%d]", i)
			for i, c := range a.Credentials {
				d.without[fmt.Sprintf("%s.credentials[%d]", path, i)] = keys[c.SecretID]
			}
			if in := accounts[a.Uin]; in != nil {
				d.leaveOut(path, a, in, other, state.Roles)
			}
		}
	}
	return &part
}

// leaveOut leaves out of an account what a state has of it. Items with a position
// keep it: what is in the text is still found there.
func (d *Document) leaveOut(path string, a *Account, in *ssm.AccountSnapshot, other Sheet, roles []account.Role) {
	has := func(region, name string) bool {
		_, is := other[Thing{"secret", a.Uin, cmp.Or(region, ssm.DefaultRegion), name}]
		return is
	}
	for i, s := range a.Secrets {
		d.without[fmt.Sprintf("%s.secrets[%d]", path, i)] = has(s.Region, s.SecretName)
	}
	for i, t := range a.Tasks {
		d.without[fmt.Sprintf("%s.tasks[%d]", path, i)] = in.Tasks[t.FlowID] != nil || has(t.Region, t.SecretName)
	}
	for i, r := range a.Roles {
		d.without[fmt.Sprintf("%s.roles[%d]", path, i)] = slices.ContainsFunc(roles, func(o account.Role) bool {
			return o.Uin == a.Uin && o.Name == r.RoleName
		})
	}
	a.Users = slices.DeleteFunc(a.Users, func(u User) bool { _, is := in.Data.Users[u.Uin]; return is })
	a.Instances = slices.DeleteFunc(a.Instances, func(i Instance) bool {
		return slices.ContainsFunc(in.Data.Instances, func(o ssm.Binding) bool { return o.InstanceID == i.InstanceID })
	})
	a.Isolated = slices.DeleteFunc(a.Isolated, func(id string) bool { return slices.Contains(in.Data.Isolated, id) })
}

// WithoutClock returns the source without its clock.
func (s *Source) WithoutClock() *Source {
	part := *s
	part.edit = func(d *Document) {
		if s.edit != nil {
			s.edit(d)
		}
		d.File.Clock = nil
	}
	return &part
}
