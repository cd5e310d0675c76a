package server_test

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ssmlocal/server"
	"ssmlocal/server/action"
	"ssmlocal/server/servertest"
	"ssmlocal/server/ssm"
)

// product returns the parameters of a product secret that rotates from a time
// on, "" for not at all.
func product(name, begin string, days int) object {
	p := object{
		"SecretName": name, "UserNamePrefix": "app", "ProductName": "Mysql", "InstanceID": "cdb-1", "Domains": []string{"%"},
		"PrivilegesList": []object{{"PrivilegeName": "GlobalPrivileges", "Privileges": []string{"SELECT"}}},
	}
	if begin != "" {
		p["EnableRotation"], p["RotationBeginTime"], p["RotationFrequency"] = true, begin, days
	}
	return p
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func value(t *testing.T, s *servertest.Server, name, version string) string {
	t.Helper()
	v, err := s.Value(name, version)
	must(t, err)
	return v
}

// inZone writes a time as the API does.
func inZone(at time.Time) string { return ssm.FormatTime(at.UnixNano()) }

// TestScheduledRotation lets rotations by policy happen, each at its own
// minute, and reads old and new values.
func TestScheduledRotation(t *testing.T) {
	s := servertest.New(t, server.Config{})
	begin := s.Clock.Now().Add(10 * 24 * time.Hour).Truncate(time.Second)
	must(t, s.Call("CreateProductSecret", product("db", inZone(begin), 30), nil))
	first := value(t, s, "db", "SSM_Current")

	if events := s.Advance(9 * 24 * time.Hour); len(events) != 0 {
		t.Errorf("before its time: %v", events)
	}
	for k := range 3 {
		days := 30
		if k == 0 {
			days = 2
		}
		events := s.Advance(time.Duration(days) * 24 * time.Hour)
		due := begin.Add(time.Duration(k) * 30 * 24 * time.Hour)
		if len(events) != 1 || events[0].What != "rotation" || !events[0].At.Equal(due) || events[0].SecretName != "db" {
			t.Fatalf("rotation %d: %v, want one at %v", k, events, due)
		}
		id := due.In(ssm.Zone).Format("SSM_Rotate_20060102150405")
		if archived := value(t, s, "db", id); k == 0 && archived != first {
			t.Errorf("%s is %s, the first value was %s", id, archived, first)
		}
		var detail struct{ LatestRotateTime, NextRotateBeginTime string }
		must(t, s.Call("DescribeRotationDetail", object{"SecretName": "db"}, &detail))
		if next := inZone(due.Add(30 * 24 * time.Hour)); detail.LatestRotateTime != inZone(due) || detail.NextRotateBeginTime != next {
			t.Errorf("after rotation %d: %+v, want %s and %s", k, detail, inZone(due), next)
		}
	}
}

// TestAccountsAlternate rotates by hand again and again: the two accounts take
// turns with new passwords, every archived value stays as it was, and the
// history never grows past ten.
func TestAccountsAlternate(t *testing.T) {
	s := servertest.New(t, server.Config{Unlimited: true})
	must(t, s.Call("CreateProductSecret", product("db", "", 0), nil))
	type pair struct{ UserName, Password string }
	read := func(version string) (p pair) {
		must(t, json.Unmarshal([]byte(value(t, s, "db", version)), &p))
		return p
	}
	values := []pair{read("SSM_Current")}
	for i := range 13 {
		must(t, s.Call("RotateProductSecret", object{"SecretName": "db"}, nil))
		values = append(values, read("SSM_Current"))
		var history struct {
			VersionIDs      []string
			TotalCount      int
			AccountInfoList []struct{ AccountName, Version string }
		}
		must(t, s.Call("DescribeRotationHistory", object{"SecretName": "db"}, &history))
		if want := min(i+1, 10); history.TotalCount != want || len(history.VersionIDs) != want {
			t.Fatalf("after %d rotations the history has %d of %d", i+1, len(history.VersionIDs), history.TotalCount)
		}
		for k, id := range history.VersionIDs {
			if got, want := read(id), values[i-k]; got != want {
				t.Errorf("%s is %v, was %v", id, got, want)
			}
		}
		infos := history.AccountInfoList
		if len(infos) != 2 || infos[0].Version != "SSM_Current" || infos[0].AccountName != values[i+1].UserName ||
			infos[1].Version != history.VersionIDs[0] || infos[1].AccountName != values[i].UserName {
			t.Errorf("the accounts are %v", infos)
		}
	}
	passwords := map[string]bool{}
	for i, v := range values {
		if passwords[v.Password] || len(v.Password) < 16 || i > 1 && v.UserName != values[i-2].UserName || i > 0 && v.UserName == values[i-1].UserName {
			t.Errorf("value %d is %v after %v", i, v, values[max(i-1, 0)])
		}
		passwords[v.Password] = true
	}
}

// TestDisabledSecretsSkipTheirTurn lets a turn pass while the secret is
// disabled: the rotation is not done later.
func TestDisabledSecretsSkipTheirTurn(t *testing.T) {
	s := servertest.New(t, server.Config{})
	begin := s.Clock.Now().Add(time.Hour)
	must(t, s.Call("CreateProductSecret", product("db", inZone(begin), 30), nil))
	must(t, s.Call("DisableSecret", object{"SecretName": "db"}, nil))
	if events := s.Advance(24 * time.Hour); len(events) != 1 || events[0].What != "rotation skipped" {
		t.Errorf("while disabled: %v", events)
	}
	must(t, s.Call("EnableSecret", object{"SecretName": "db"}, nil))
	if events := s.Advance(28 * 24 * time.Hour); len(events) != 0 {
		t.Errorf("before the next turn: %v", events)
	}
	if events := s.Advance(2 * 24 * time.Hour); len(events) != 1 {
		t.Errorf("at the next turn: %v", events)
	}
}

// TestEventsAcrossARestart cuts a year in two with a restart, with time passing
// while the server is down: everything happens once and in order, as it does
// without the cut.
func TestEventsAcrossARestart(t *testing.T) {
	config := server.Config{Data: t.TempDir(), Unlimited: true}
	s := servertest.New(t, config)
	for i := range 7 {
		begin := s.Clock.Now().Add(time.Duration(1+i*5) * 24 * time.Hour)
		must(t, s.Call("CreateProductSecret", product(fmt.Sprintf("db-%d", i), inZone(begin), 30+i), nil))
	}
	events := s.Advance(100 * 24 * time.Hour)
	state := s.Clock.State()
	s.Stop()
	s = servertest.New(t, config)
	if s.Clock.State() != state {
		t.Errorf("the clock came back as %+v, was %+v", s.Clock.State(), state)
	}
	events = append(events, s.Advance(265*24*time.Hour)...)
	if !slices.IsSortedFunc(events, func(a, b action.Event) int { return a.At.Compare(b.At) }) {
		t.Error("the events are not in order")
	}
	seen := map[string]int{}
	for _, e := range events {
		seen[e.SecretName]++
	}
	for i := range 7 {
		name := fmt.Sprintf("db-%d", i)
		if want := 1 + (365-1-i*5)/(30+i); seen[name] < want-1 || seen[name] > want {
			t.Errorf("%s rotated %d times in a year, want about %d", name, seen[name], want)
		}
	}
}

// TestParallelMoves moves one clock from many tests at once: every event is
// returned to one of them.
func TestParallelMoves(t *testing.T) {
	s := servertest.New(t, server.Config{Unlimited: true})
	for i := range 20 {
		must(t, s.Call("CreateProductSecret", product(fmt.Sprintf("db-%d", i), inZone(s.Clock.Now().Add(time.Duration(i)*time.Hour)), 30), nil))
	}
	var mu sync.Mutex
	told := 0
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			events := s.Advance(36 * 24 * time.Hour)
			mu.Lock()
			defer mu.Unlock()
			told += len(events)
		})
	}
	wg.Wait()
	// 360 days: each rotates at its begin and eleven or twelve times after it.
	// What was due before a move belongs to none of them.
	if told < 20*11 || told > 20*13 {
		t.Errorf("%d events were told", told)
	}
}

// TestSSHKeygen lets OpenSSH itself read a key, where it is installed.
func TestSSHKeygen(t *testing.T) {
	keygen, err := exec.LookPath("ssh-keygen")
	if err != nil {
		t.Skip("ssh-keygen is not installed")
	}
	s := servertest.New(t, server.Config{})
	must(t, s.Call("CreateSSHKeyPairSecret", object{"SecretName": "k", "ProjectId": 0}, nil))
	var pair struct{ PublicKey, PrivateKey string }
	must(t, s.Call("GetSSHKeyPairValue", object{"SecretName": "k"}, &pair))
	cmd := exec.Command(keygen, "-y", "-f", "/dev/stdin")
	cmd.Stdin = strings.NewReader(pair.PrivateKey + "\n")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.HasPrefix(pair.PublicKey, strings.TrimSpace(string(out))) {
		t.Errorf("ssh-keygen says %s, %v; the public key is %s", out, err, pair.PublicKey)
	}
}
