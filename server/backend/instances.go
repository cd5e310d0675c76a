package backend

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"ssmlocal/server/action"
	"ssmlocal/server/binding"
	"ssmlocal/server/ssm"
	"ssmlocal/server/turn"
	"ssmlocal/store"
)

// Instances that are bound to real databases: which ones are, and what package
// binding needs of the backend.

// owner is the backend as package binding sees it.
type owner struct{ *Backend }

// Store is the data file.
func (o owner) Store() *store.DB { return o.db }

// Due does what is due.
func (o owner) Due() *action.Due { return o.due }

// Generations are the present ones.
func (o owner) Generations() *action.Generations { return o.generations.Load() }

// Account returns the data of an account.
func (o owner) Account(uin uint64) ssm.AccountData { return o.accounts.of(uin) }

// Edited counts a change of the state.
func (o owner) Edited() { o.edited() }

// Failed logs an error of the store.
func (o owner) Failed(err error) { o.dueFailed(err) }

// Without lets the state be replaced while a call waits.
func (o owner) Without(c *action.Call, wait func()) error {
	if o.stateLock.without(turn.Of(c.Context), c.Owner.Uin, wait) {
		return errors.New(Replaced)
	}
	return nil
}

// Happened tells of the end of a change.
func (o owner) Happened(event action.Event, due time.Time) {
	if event.What != "" {
		o.publish([]action.Event{event})
	}
	if !due.IsZero() {
		o.scheduler.Schedule(due)
	}
}

// HasDatabases reports whether any instance is bound to a real database.
func (b *Backend) HasDatabases() bool { return b.instances.Any() }

// Instances returns the instances of an account that are bound, or with 0 of
// all, as they are now.
func (b *Backend) Instances(ctx context.Context, uin uint64) ([]binding.Status, error) {
	return b.instances.Statuses(ctx, uin)
}

// Bind binds an instance of an account to a database, in place of the one
// before.
func (b *Backend) Bind(uin uint64, to ssm.Binding) error {
	if err := b.instances.CheckOfState(to, false); err != nil {
		return Refusal{Invalid, err.Error()}
	}
	b.instances.Reopen(to.URL)
	return b.changeBindings(uin, func(all []ssm.Binding) ([]ssm.Binding, error) {
		all = slices.DeleteFunc(all, func(o ssm.Binding) bool { return o.InstanceID == to.InstanceID })
		return append(all, to), nil
	})
}

// Unbind ends a binding of the state. One of the configuration stays.
func (b *Backend) Unbind(uin uint64, id string) error {
	return b.changeBindings(uin, func(all []ssm.Binding) ([]ssm.Binding, error) {
		rest := slices.DeleteFunc(slices.Clone(all), func(o ssm.Binding) bool { return o.InstanceID == id })
		if len(rest) == len(all) {
			return nil, Refusal{NotFound, fmt.Sprintf("the account %d has no binding of the instance %s (one of --instance ends with the process)", uin, id)}
		}
		return rest, nil
	})
}

func (b *Backend) changeBindings(uin uint64, change func([]ssm.Binding) ([]ssm.Binding, error)) error {
	b.stateLock.RLock()
	defer b.stateLock.RUnlock()
	defer b.edited()
	err := b.accounts.change(uin, func() (ssm.AccountData, error) {
		data := b.accounts.of(uin)
		all, err := change(slices.Clone(data.Instances))
		if err != nil {
			return data, err
		}
		data.Instances = all
		if err := data.Check(); err != nil {
			return data, Refusal{Invalid, err.Error()}
		}
		return data, action.PutAccount(b.db, b.generations.Load().Owner(uin, ""), data)
	})
	b.instances.Rebound(uin)
	return err
}

// Repair puts the accounts of all secrets on an instance back into its
// database, with the passwords that the secrets hold. With drop it drops those,
// too, that were made for secrets which are no more. An instance that is not
// bound, or can't be reached, is a Refusal.
func (b *Backend) Repair(ctx context.Context, uin uint64, id string, drop bool) (binding.Repaired, error) {
	work := b.works.begin("repair of "+id, b.log)
	defer work.end()
	r, err := b.instances.Repair(ctx, uin, id, drop, func() { work.add(1) })
	var unusable *binding.UnusableError
	switch {
	case errors.Is(err, binding.ErrUnbound):
		err = Refusal{NotFound, fmt.Sprintf("the account %d has no database bound to the instance %s; GET /_ssmlocal/instances lists what is", uin, id)}
	case errors.As(err, &unusable):
		err = Refusal{Conflict, fmt.Sprintf("the database of %s can't be used: %v", id, err)}
	}
	return r, err
}
