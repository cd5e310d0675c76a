package backend

import (
	"time"

	"ssmlocal/server/action"
	"ssmlocal/server/clock"
	"ssmlocal/server/scheduler"
	"ssmlocal/store"
)

// What time makes due.

// stepDue is the scheduler's step. If keep is given, the clock's state is
// stored together with what is done.
func (b *Backend) stepDue(until time.Time, keep func(time.Time) clock.State) (scheduler.Stepped[action.Event], error) {
	done, err := b.due.Step(until, keep != nil, func(tx *store.Tx, reached time.Time) error {
		if keep == nil {
			return nil
		}
		state := keep(reached)
		return clocks.Put(tx, clockKey, &state)
	})
	if b.recorder != nil && done.Tried > 0 {
		b.recorder.Stepped(until, done.Tried)
	}
	b.edited() // also by what is no event, such as a task that begins
	if done.Changes {
		b.instances.Look()
	}
	b.publish(done.New)
	return scheduler.Stepped[action.Event]{Happened: done.Happened, Next: done.Next, Wait: done.Wait}, err
}

// dueFailed is called when nothing could be done at all.
func (b *Backend) dueFailed(err error) {
	b.log.Error("due work can't be done now; trying again, and calls go on", "error", err)
}

// reportAside is called with each thing that is set aside.
func (b *Backend) reportAside(a action.Aside) {
	b.log.Error("something due can't be done and is set aside: GET /_ssmlocal/setaside lists it", "what", a.What, "uin", a.Uin,
		"region", a.Region, "secretName", a.SecretName, "flowId", a.FlowID, "dueAt", a.DueAt, "retryAt", a.RetryAt, "error", a.Err)
}

// Upcoming returns the first things that become due, and how many there are in
// all.
func (b *Backend) Upcoming(most int) (all []action.Upcoming, total uint64, err error) {
	err = b.db.View(func(tx *store.Tx) (err error) {
		all, total, err = action.Upcomings(tx, b.generations.Load(), most)
		return err
	})
	return all, total, err
}

// Aside returns the due work that could not be done.
func (b *Backend) Aside() []action.Aside { return b.due.Aside() }
