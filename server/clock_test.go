package server_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"ssmlocal/server"
	"ssmlocal/server/servertest"
)

// TestAccountsWhileTimeMoves changes accounts while rotations read them:
// neither waits for the other.
func TestAccountsWhileTimeMoves(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{SecretLimit: 400})
	var b strings.Builder
	b.WriteString("accounts:\n  - uin: 100000000001\n    secrets:\n")
	for i := range 300 {
		fmt.Fprintf(&b, "      - {secretName: s%d, secretType: 1, productName: Mysql, resourceId: c, enableRotation: true}\n", i)
	}
	s.Import(b.String())
	var changes sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		changes.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					if status, body := ask(t, s, "PUT", "/accounts", `{"uin":100000000001,"secretLimit":500}`); status != http.StatusOK {
						t.Error(body)
						return
					}
				}
			}
		})
	}
	if events := s.Advance(91 * 24 * time.Hour); len(events) != 900 {
		t.Errorf("%d rotations", len(events))
	}
	close(stop)
	changes.Wait()
}

// TestClockBesideReplacements moves and freezes the clock while other accounts
// are reset: no move is lost.
func TestClockBesideReplacements(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{})
	stop := make(chan struct{})
	var resets sync.WaitGroup
	resets.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				if status, body := ask(t, s, "POST", "/reset?uin=5", ""); status != http.StatusOK {
					t.Error(body)
					return
				}
			}
		}
	})
	begin := s.Clock.Now()
	for range 100 {
		s.Advance(time.Hour)
		for _, mode := range []string{"frozen", "running"} {
			if status, body := ask(t, s, "PUT", "/clock", `{"mode":"`+mode+`"}`); status != http.StatusOK || !strings.Contains(body, mode) {
				t.Error(body)
			}
			if got := getControl(t, s, "/clock"); !strings.Contains(got, mode) {
				t.Errorf("%s is lost: %s", mode, got)
			}
		}
	}
	close(stop)
	resets.Wait()
	if moved := s.Clock.Now().Sub(begin); moved < 100*time.Hour {
		t.Errorf("of 100h, %s are left", moved)
	}
}

// TestEdgesOfTime exports a state at the end of time, or at its beginning, and
// imports it again.
func TestEdgesOfTime(t *testing.T) {
	t.Parallel()
	for _, clock := range []string{"2199-12-31T00:00:00Z", "1970-01-02T00:00:00Z"} {
		s := servertest.New(t, server.Config{})
		s.Import(fmt.Sprintf(`
clock: {now: "%s", frozen: true}
accounts:
  - uin: 100000000001
    secrets:
      - {secretName: pending, status: PendingDelete, secretString: x}
      - {secretName: creating, secretType: 1, status: Creating, productName: Mysql, resourceId: c}`, clock))
		exported := getState(t, s, "")
		if status, body := putState(t, s, "", exported); status != http.StatusOK {
			t.Errorf("%s: %s", clock, body)
		}
		if again := getState(t, s, ""); again != exported || !strings.Contains(again, clock) {
			t.Errorf("%s: %s", clock, difference(again, exported))
		}
	}
}

// TestClockIsSetExactly freezes the clock at a moment: it stands there to the
// nanosecond. A move that is refused leaves it as it was.
func TestClockIsSetExactly(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{})
	if status, body := ask(t, s, "PUT", "/clock", `{"now":"2000-01-01T00:00:00Z","mode":"frozen"}`); status != http.StatusConflict {
		t.Errorf("%d %s", status, body)
	}
	if got := getControl(t, s, "/clock"); !strings.Contains(got, `"running"`) || !strings.Contains(got, `"offset": "0s"`) {
		t.Errorf("after a move that was refused: %s", got)
	}
	status, body := ask(t, s, "PUT", "/clock", `{"now":"2130-01-02T15:04:05.000000001Z","mode":"frozen"}`)
	if status != http.StatusOK || !strings.Contains(body, `"2130-01-02T15:04:05.000000001Z"`) || strings.Contains(body, "happened") {
		t.Errorf("%d %s", status, body)
	}
}
