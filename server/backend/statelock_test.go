package backend

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestReplaceIsAlone makes many calls and replacements at once: no call runs
// during a replacement.
func TestReplaceIsAlone(t *testing.T) {
	t.Parallel()
	l := newStateLock()
	var calls atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 500 {
				l.RLock()
				calls.Add(1)
				calls.Add(-1)
				l.RUnlock()
			}
		})
	}
	for range 100 {
		err := l.replace(t.Context(), 0, func() error {
			if n := calls.Load(); n != 0 {
				t.Errorf("%d calls during a replacement", n)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	all.Wait()
}

// TestReplaceGivesUp waits for a call that doesn't end, until its caller is
// gone: calls go on afterwards, and the next replacement works.
func TestReplaceGivesUp(t *testing.T) {
	t.Parallel()
	l := newStateLock()
	l.RLock()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.replace(ctx, 0, func() error { t.Error("replaced during a call"); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("replaced with %v", err)
	}
	l.RLock() // is not held up
	if l.calls != 2 {
		t.Errorf("%d calls", l.calls)
	}
	l.RUnlock()
	l.RUnlock()
	if err := l.replace(t.Context(), 0, func() error { return nil }); err != nil {
		t.Error(err)
	}
}

// TestSleepIsCut lets calls of two accounts sleep: the replacement of one
// account's state wakes only that account's call, and a stop wakes the other.
func TestSleepIsCut(t *testing.T) {
	t.Parallel()
	l := newStateLock()
	stopping := make(chan struct{})
	var asleep, ended sync.WaitGroup
	asleep.Add(2)
	cuts := [3]string{}
	for _, uin := range []uint64{1, 2} {
		ended.Go(func() {
			l.RLock()
			defer l.RUnlock()
			asleep.Done()
			cuts[uin] = l.sleep(t.Context(), time.Hour, uin, stopping)
		})
	}
	asleep.Wait()
	if err := l.replace(t.Context(), 1, func() error { return nil }); err != nil { // once both have given the lock back
		t.Fatal(err)
	}
	close(stopping)
	ended.Wait()
	if cuts[1] != Replaced || cuts[2] != "the server stops" {
		t.Errorf("%q", cuts)
	}
	l.RLock()
	defer l.RUnlock()
	if cut := l.sleep(t.Context(), time.Nanosecond, 1, make(chan struct{})); cut != "" {
		t.Errorf("a sleep that ends by itself: %q", cut)
	}
}
