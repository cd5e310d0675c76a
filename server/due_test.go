package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"ssmlocal/server"
	"ssmlocal/server/account"
	"ssmlocal/server/action"
	"ssmlocal/server/servertest"
	"ssmlocal/server/ssm"
	"ssmlocal/store"
)

// TestHundredsDueAtOnce lets many deletions become due at one moment. The
// secrets have their own tags and come from a seed and from the API. All
// deletions happen, and the store is whole (the server's end checks it).
func TestHundredsDueAtOnce(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{Unlimited: true, SecretLimit: 2000})
	var seed strings.Builder
	seed.WriteString("accounts:\n  - uin: 100000000001\n    credentials: [{secretId: AKIDssmlocal, secretKey: ssmlocal}]\n    secrets:\n")
	for i := range 999 {
		fmt.Fprintf(&seed, "      - {secretName: s%d, secretString: x, status: PendingDelete, deleteTime: now+72h, tags: {a%d: b, c: d%d}}\n", i, i, i)
	}
	s.Import(seed.String())
	for i := range 20 {
		name := fmt.Sprint("api", i)
		tags := []map[string]string{}
		for j := range 10 {
			tags = append(tags, map[string]string{"TagKey": fmt.Sprint("k", i, "-", j), "TagValue": name})
		}
		for _, err := range []error{
			s.Call("CreateSecret", map[string]any{"SecretName": name, "SecretString": "x", "Tags": tags}, nil),
			s.Call("DisableSecret", map[string]string{"SecretName": name}, nil),
			s.Call("DeleteSecret", map[string]any{"SecretName": name, "RecoveryWindowInDays": 3}, nil),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	if events := s.Advance(4 * 24 * time.Hour); len(events) != 1019 {
		t.Errorf("%d of 1019 deletions happened", len(events))
	}
	var list struct{ TotalCount int }
	if err := s.Call("ListSecrets", nil, &list); err != nil || list.TotalCount != 0 {
		t.Errorf("%d are left, %v", list.TotalCount, err)
	}
}

// TestReplacementsOfManyTaggedSecrets resets and imports one account with
// hundreds of them, while others are deleted in parallel.
func TestReplacementsOfManyTaggedSecrets(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{Unlimited: true, SecretLimit: 2000})
	many := func(uin uint64, from, n int) string {
		var b strings.Builder
		fmt.Fprintf(&b, "accounts:\n  - uin: %d\n    credentials: [{secretId: AKID%[1]d, secretKey: k}]\n    secrets:\n", uin)
		for i := range n {
			fmt.Fprintf(&b, "      - {secretName: s%d, secretString: x, status: Disabled, tags: {t%[1]d: v, all: v%d}}\n", from+i, i%7)
		}
		return b.String()
	}
	if status, body := putState(t, s, "?uin=5", many(5, 0, 64)); status != http.StatusOK {
		t.Fatal(body)
	}
	var deletions sync.WaitGroup
	for i := range 64 {
		deletions.Go(func() {
			if err := s.CallIn("ap-guangzhou", account.Credential{SecretID: "AKID5", SecretKey: "k"}, "DeleteSecret", map[string]string{"SecretName": fmt.Sprint("s", i)}, nil); err != nil {
				t.Error(err)
			}
		})
	}
	for round := range 5 {
		for _, call := range []struct{ method, path, body string }{
			{"PUT", "/state?uin=9", many(9, round*100, 300)}, {"PUT", "/state?uin=9", many(9, round*50, 400)}, {"POST", "/reset?uin=9", ""},
		} {
			if status, body := ask(t, s, call.method, call.path, call.body); status != http.StatusOK {
				t.Errorf("%s %s: %d %s", call.method, call.path, status, body)
			}
		}
	}
	deletions.Wait()
	if text := getState(t, s, "?uin=5"); strings.Contains(text, "secretName") {
		t.Errorf("not all are deleted:\n%.300s", text)
	}
}

// TestDueBesideEverything moves the clock, tags, imports and resets in turn at
// random, with the whole store checked after each.
func TestDueBesideEverything(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	s := servertest.New(t, server.Config{Unlimited: true, SecretLimit: 5000, Auth: account.Any})
	for range 12 {
		switch r.IntN(4) {
		case 0, 1:
			var b strings.Builder
			uin := 1 + r.IntN(3)
			fmt.Fprintf(&b, "accounts:\n  - uin: %d\n    secrets:\n", uin)
			for i := range 1 + r.IntN(600) {
				switch r.IntN(3) {
				case 0:
					fmt.Fprintf(&b, "      - {secretName: s%d, secretString: x, status: PendingDelete, deleteTime: now+%dh, tags: {a: b%d}}\n", i, 1+r.IntN(700), i)
				case 1:
					fmt.Fprintf(&b, "      - {secretName: s%d, secretType: 1, productName: Mysql, resourceId: c%d, enableRotation: true}\n", i, i)
				default:
					fmt.Fprintf(&b, "      - {secretName: s%d, secretString: x, tags: {c%d: d}}\n", i, i)
				}
			}
			if status, body := putState(t, s, fmt.Sprint("?uin=", uin), b.String()); status != http.StatusOK {
				t.Error(body)
			}
		case 2:
			s.Advance(time.Duration(1+r.IntN(2000)) * time.Hour)
		case 3:
			if status, body := ask(t, s, "POST", fmt.Sprint("/reset?uin=", 1+r.IntN(3)), ""); status != http.StatusOK {
				t.Error(body)
			}
		}
		if err := s.Check(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestBrokenRecordIsSetAside makes one record unreadable whose deletion becomes
// due, and one whose rotation does: everything else happens, calls go on, and
// the control plane, ready, the metrics and the log report it.
func TestBrokenRecordIsSetAside(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := servertest.New(t, server.Config{Data: dir})
	s.Import(`
accounts:
  - uin: 100000000001
    credentials: [{secretId: AKIDssmlocal, secretKey: ssmlocal}]
    secrets:
      - {secretName: before, secretString: x, status: PendingDelete, deleteTime: now+24h}
      - {secretName: broken, secretString: x, status: PendingDelete, deleteTime: now+48h}
      - {secretName: after, secretString: x, status: PendingDelete, deleteTime: now+72h}
      - {secretName: turns, secretType: 1, productName: Mysql, resourceId: c, enableRotation: true}
      - {secretName: stuck, secretType: 1, productName: Mysql, resourceId: c, enableRotation: true}
      - {secretName: fine, secretString: x}`)
	s.Stop()
	breakRecords(t, dir, "broken", "stuck")

	var log safeBuffer
	emulator, err := server.New(server.Config{Listen: []string{"127.0.0.1:0"}, Data: dir, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- emulator.Serve(ctx) }()
	_, reply, err := emulator.Backend.Advance(t.Context(), 40*24*time.Hour)
	if err != nil || len(reply.Happened) != 3 {
		t.Errorf("%v happened, %v", reply.Happened, err)
	}
	url := "http://" + emulator.Addrs()[0]
	get := func(path string) string {
		r, err := http.NewRequest(http.MethodGet, url+"/_ssmlocal"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, text := send(t, r)
		return text
	}
	var aside []action.Aside
	if err := json.Unmarshal([]byte(get("/setaside")), &aside); err != nil || len(aside) != 2 {
		t.Fatalf("%+v, %v", aside, err)
	}
	for _, a := range aside {
		if a.SecretName != "broken" && a.SecretName != "stuck" || a.Uin != account.DefaultUin || a.Reason == "" || a.Attempts != 1 {
			t.Errorf("%+v", a)
		}
	}
	if text := get("/ready"); !strings.Contains(text, `"ready"`) || !strings.Contains(text, "2 due things are set aside") {
		t.Error(text)
	}
	if text := get("/metrics"); !strings.Contains(text, "ssmlocal_set_aside 2\n") {
		t.Error("the metrics don't tell")
	}
	if !strings.Contains(log.String(), "set aside") || !strings.Contains(log.String(), "secretName=broken") {
		t.Error(log.String())
	}
	q := servertest.NewRequest(url, "ap-guangzhou", account.Default, "DescribeSecret", []byte(`{"SecretName":"fine"}`))
	if got := refusal(t, q); got != "" {
		t.Errorf("a call of another secret: %s", got)
	}
	r, err := http.NewRequest(http.MethodPut, url+"/_ssmlocal/state?uin=100000000001", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	if reply, body := send(t, r); reply.StatusCode != http.StatusOK {
		t.Error(body)
	}
	if text := get("/setaside"); strings.TrimSpace(text) != "[]" {
		t.Errorf("the secrets are gone, and still set aside: %s", text)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestExportDuringAMove exports again and again while the clock is moved over
// rotations at the same moment: each export is of one moment, so that it can be
// imported.
func TestExportDuringAMove(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{Unlimited: true, SecretLimit: 2000})
	var seed strings.Builder
	seed.WriteString("accounts:\n  - uin: 5\n    secrets:\n")
	for i := range 600 {
		fmt.Fprintf(&seed, "      - {secretName: s%d, secretType: 1, productName: Mysql, resourceId: c, enableRotation: true}\n", i)
	}
	s.Import(seed.String())
	moved := make(chan struct{})
	go func() { defer close(moved); s.Advance(600 * 24 * time.Hour) }()
	var exports []string
	for under := true; under; {
		select {
		case <-moved:
			under = false
		default:
			exports = append(exports, getState(t, s, ""))
		}
	}
	other := servertest.New(t, server.Config{Unlimited: true, SecretLimit: 2000})
	for _, text := range exports {
		if strings.Contains(text[:min(len(text), 200)], "frozen") {
			t.Errorf("the clock of an export stands still:\n%.200s", text)
		}
		if status, body := putState(t, other, "", text); status != http.StatusOK {
			t.Fatalf("%s\n%.200s", body, text)
		}
	}
}

// breakRecords writes something that is not a record in place of secrets.
func breakRecords(t *testing.T, dir string, names ...string) {
	t.Helper()
	raw := &store.Table[string]{Name: "secrets"}
	db, err := store.OpenDir(dir, raw)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.Update(func(tx *store.Tx) error {
		for _, key := range raw.Keys(tx, nil) {
			for _, name := range names {
				if strings.HasSuffix(string(key), "\x00"+name) {
					text := "no record"
					if err := raw.Put(tx, key, &text); err != nil {
						return err
					}
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestAdvanceLetsCallsThrough moves the clock over a year of many rotations
// while calls are made: none of them waits for its end, and none sees something
// due that is not done.
func TestAdvanceLetsCallsThrough(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{Unlimited: true})
	var b strings.Builder
	b.WriteString("accounts:\n  - uin: 100000000001\n    credentials: [{secretId: AKIDssmlocal, secretKey: ssmlocal}]\n    secrets:\n")
	for i := range 300 {
		fmt.Fprintf(&b, "      - {secretName: p%d, secretType: 1, productName: Mysql, resourceId: c, enableRotation: true}\n", i)
	}
	s.Import(b.String())
	for range 50 { // a busy machine may let none through in one of them
		if callsDuringAYear(t, s) >= 3 {
			return
		}
	}
	t.Error("calls wait for the end of a move")
}

// callsDuringAYear moves the clock by a year over 300 rotating secrets, and
// returns how many calls were served meanwhile.
func callsDuringAYear(t *testing.T, s *servertest.Server) (calls int) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		if events := s.Advance(365 * 24 * time.Hour); len(events) < 300*12 {
			t.Errorf("%d of %d rotations", len(events), 300*12)
		}
	}()
	for {
		before := s.Clock.Now()
		var reply struct{ NextRotateBeginTime string }
		if err := s.Call("DescribeRotationDetail", map[string]string{"SecretName": fmt.Sprint("p", calls%300)}, &reply); err != nil {
			t.Error(err)
		}
		next, err := ssm.ParseTime("", reply.NextRotateBeginTime)
		if err != nil || next.Before(before) {
			t.Errorf("after %s the next rotation is %s: one was not done", before, reply.NextRotateBeginTime)
		}
		select {
		case <-done:
			return calls
		default:
			calls++
		}
	}
}

// TestDeletionAcrossARestart schedules a deletion, stops the server and moves
// time on: another server on the same data finds what is due.
func TestDeletionAcrossARestart(t *testing.T) {
	config := server.Config{Data: t.TempDir()}
	first := servertest.New(t, config)
	name := map[string]any{"SecretName": "a"}
	for _, call := range []struct {
		action string
		params any
	}{
		{"CreateSecret", map[string]any{"SecretName": "a", "SecretString": "x"}}, {"DisableSecret", name},
		{"DeleteSecret", map[string]any{"SecretName": "a", "RecoveryWindowInDays": 1}},
	} {
		if err := first.Call(call.action, call.params, nil); err != nil {
			t.Fatal(err)
		}
	}
	first.Stop()
	second := servertest.New(t, config)
	if err := second.Call("DescribeSecret", name, nil); err != nil {
		t.Errorf("before its time: %v", err)
	}
	second.Clock.Advance(25 * time.Hour)
	var failure *servertest.Error
	if err := second.Call("DescribeSecret", name, nil); !errors.As(err, &failure) || failure.Code != "ResourceNotFound" {
		t.Errorf("after its time: %v", err)
	}
}
