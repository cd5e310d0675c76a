package limit

import (
	"errors"
	"testing"
	"time"

	"ssmlocal/server/apierr"
)

var start = time.Unix(1_800_000_000, 0)

// take makes n calls at a time and returns how many were let through and the
// last error.
func take(l *Limiter, k Key, perSecond, n int, at time.Time) (passed int, last error) {
	for range n {
		if err := l.Check(k, perSecond, at); err != nil {
			last = err
			continue
		}
		passed++
	}
	return passed, last
}

func TestCheck(t *testing.T) {
	l, k := New(), Key{1, "ap-guangzhou", "RotateProductSecret"}
	passed, err := take(l, k, 20, 23, start)
	if passed != 20 {
		t.Errorf("%d of 23 calls at once passed a limit of 20", passed)
	}
	// Refused calls count, so the message of the 23rd call says 23.
	if want := apierr.RequestLimitExceeded.With(23, 20); err.Error() != want.Error() {
		t.Errorf("refused with %v, want %v", err, want)
	}
	if passed, _ := take(l, k, 20, 20, start.Add(500*time.Millisecond)); passed != 10 {
		t.Errorf("%d calls passed half a second later, want 10", passed)
	}
	if passed, _ := take(l, k, 20, 30, start.Add(2*time.Second)); passed != 20 {
		t.Errorf("%d calls passed when the budget was full again, want 20", passed)
	}
	_, err = take(l, k, 20, 1, start.Add(3*time.Second-time.Nanosecond))
	if err != nil {
		t.Error(err)
	}
}

// TestMessageExceeds refuses a call that is the first in its second: the
// message must still make sense.
func TestMessageExceeds(t *testing.T) {
	l, k := New(), Key{1, "ap-guangzhou", "GetSecretValue"}
	_, _ = take(l, k, 5, 5, start.Add(999*time.Millisecond))
	_, err := take(l, k, 5, 1, start.Add(time.Second))
	if want := apierr.RequestLimitExceeded.With(6, 5); err == nil || err.Error() != want.Error() {
		t.Errorf("refused with %v, want %v", err, want)
	}
}

func TestBudgetsAreSeparate(t *testing.T) {
	l := New()
	for _, k := range []Key{{1, "a", "x"}, {2, "a", "x"}, {1, "b", "x"}, {1, "a", "y"}} {
		if passed, _ := take(l, k, 3, 5, start); passed != 3 {
			t.Errorf("%v: %d calls passed a budget of its own of 3", k, passed)
		}
	}
}

// TestUnusedBudgetsGo fills the limiter with budgets: those in use are kept,
// the others go.
func TestUnusedBudgetsGo(t *testing.T) {
	l := New()
	busy := Key{1, "", "busy"}
	for i := range most {
		_, _ = take(l, Key{uint64(i), "", "idle"}, 1, 1, start)
	}
	later := start.Add(time.Minute)
	_, _ = take(l, busy, 1, 1, later)
	if n := len(l.budgets); n > 2 {
		t.Errorf("%d budgets are kept", n)
	}
	for i := range most {
		_, _ = take(l, Key{uint64(i), "", "more"}, 1, 1, later)
	}
	if err := l.Check(busy, 1, later); !errors.Is(err, apierr.RequestLimitExceeded.With(0, 0)) {
		t.Errorf("the used budget was dropped: %v", err)
	}
}
