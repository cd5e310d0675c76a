package server

import (
	"context"
	"errors"
	"time"

	"ssmlocal/server/account"
	"ssmlocal/server/action"
)

// A collector removes what belongs to states that are no more, in the background.
type collector struct {
	wanted chan struct{}
}

func newCollector() collector { return collector{make(chan struct{}, 1)} }

// wake says that there may be something to remove.
func (c *collector) wake() {
	select {
	case c.wanted <- struct{}{}:
	default:
	}
}

// collect removes until ctx ends.
func (s *Server) collect(ctx context.Context) {
	s.collector.wake() // for what the process before has left
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.collector.wanted:
		}
		if !s.takeBackAtLast(ctx) {
			return
		}
		err := s.collectOnce(ctx)
		if err != nil && ctx.Err() == nil {
			s.log.Error("what belongs to an earlier state can't be removed; it takes room in the data file, and nobody sees it", "error", err)
		}
	}
}

// takeBackAtLast tries takeBack until it succeeds: before that, nothing may be removed. It
// returns false if ctx ends before.
func (s *Server) takeBackAtLast(ctx context.Context) bool {
	for s.given.Load() != nil {
		free, err := s.scheduler.Exclusive(ctx)
		if err != nil {
			return false
		}
		if err = s.takeBack(); err == nil {
			s.staged.Store(0)
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

// collectOnce removes what there is now.
func (s *Server) collectOnce(ctx context.Context) (err error) {
	defer catch(&err)
	keep := func(uin uint64, generation uint32) bool {
		// In this order: what was being written may be the present state by now.
		return generation == s.staged.Load() || s.generations.Load().Live(uin, generation)
	}
	return errors.Join(
		action.Collect(ctx, s.db, keep), action.CollectAccounts(ctx, s.db, keep, roles),
		action.CollectIDs(ctx, s.db, keep, credentials, func(c *account.Credential) uint64 { return c.Uin }),
	)
}
