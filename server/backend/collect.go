package backend

import (
	"context"
	"errors"
	"time"

	"ssmlocal/server/account"
	"ssmlocal/server/action"
)

// A collector removes the records of replaced states, in the background.
type collector struct {
	wanted chan struct{}
}

func newCollector() collector { return collector{make(chan struct{}, 1)} }

// wake makes the collector look for something to remove.
func (c *collector) wake() {
	select {
	case c.wanted <- struct{}{}:
	default:
	}
}

// collect removes until ctx ends.
func (b *Backend) collect(ctx context.Context) {
	b.collector.wake() // for what the process before has left
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.collector.wanted:
		}
		if !b.takeBackAtLast(ctx) {
			return
		}
		err := b.collectOnce(ctx)
		if err != nil && ctx.Err() == nil {
			b.log.Error("records of an earlier state can't be removed; they only take room in the data file", "error", err)
		}
	}
}

// takeBackAtLast tries takeBack until it succeeds: before that, nothing may be
// removed. It returns false if ctx ends before.
func (b *Backend) takeBackAtLast(ctx context.Context) bool {
	for b.given.Load() != nil {
		free, err := b.scheduler.Exclusive(ctx)
		if err != nil {
			return false
		}
		if err = b.takeBack(); err == nil {
			b.staged.Store(0)
		}
		free()
		if err != nil && !wait(ctx, 200*time.Millisecond) {
			return false
		}
	}
	return true
}

// wait waits, and returns false if ctx ends before.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// collectOnce removes everything that can be removed now.
func (b *Backend) collectOnce(ctx context.Context) (err error) {
	defer action.Catch(&err)
	keep := func(uin uint64, generation uint32) bool {
		// In this order: a state that was being written may be present by now.
		return generation == b.staged.Load() || b.generations.Load().Live(uin, generation)
	}
	return errors.Join(
		action.Collect(ctx, b.db, keep), action.CollectAccounts(ctx, b.db, keep, roles),
		action.CollectIDs(ctx, b.db, keep, credentials, func(c *account.Credential) uint64 { return c.Uin }),
	)
}
