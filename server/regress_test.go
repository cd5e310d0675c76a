package server_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ssmlocal/server"
	"ssmlocal/server/account"
	"ssmlocal/server/fault"
	"ssmlocal/server/journal"
	"ssmlocal/server/servertest"
)

// What once went wrong between parts that each are right.

// TestLongLists refuses what a record could not hold, and reads what is long but allowed.
func TestLongLists(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{})
	many := strings.Repeat("a, ", 140000)
	for method, c := range map[string]struct{ path, body string }{
		"PUT state":    {"/state", "accounts: [{uin: 1, isolated: [" + many + "]}]"},
		"PUT accounts": {"/accounts", `{"uin":1,"isolated":[` + strings.Repeat(`"a",`, 140000) + `"a"]}`},
	} {
		if status, body := ask(t, s, "PUT", c.path, c.body); status != http.StatusBadRequest || !strings.Contains(body, "the limit is 10000") {
			t.Errorf("%s: %d %.200s", method, status, body)
		}
	}
	if status, body := ask(t, s, "PUT", "/state", "accounts: [{uin: 1, isolated: ["+strings.Repeat("a, ", 9999)+"]}]"); status != http.StatusOK {
		t.Errorf("%d %s", status, body)
	}
	if got := getState(t, s, ""); strings.Count(got, "- a\n") != 9999 {
		t.Error("a long list does not come back")
	}
}

// TestAccountsWhileTimeMoves changes accounts while rotations ask for them: nobody waits for the other.
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

// TestClashesWithOthers imports one account with what another has already: refused with the place, and nothing is changed.
func TestClashesWithOthers(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{Credentials: []account.Credential{account.Default}})
	s.Import(`
accounts:
  - uin: 1
    credentials: [{secretId: AKIDone, secretKey: k}]
    tasks: [{flowId: 7, kind: rotation, secretName: a, status: done}]
    secrets: [{secretName: key, secretType: 3, targetUin: 1, accessKeys: [{secretId: AKIDheld, secretKey: k}]}]
  - uin: 2
    secrets: [{secretName: mine, secretString: x}]
faults: [{id: x, drop: true, action: CreateSecret}]`)
	before := getState(t, s, "")
	for text, want := range map[string]string{
		"accounts: [{uin: 2, credentials: [{secretId: AKIDone, secretKey: x}]}]":                                                                                               "credentials[0].secretId: the SecretId AKIDone is taken",
		"accounts: [{uin: 2, credentials: [{secretId: AKIDheld, secretKey: x}]}]":                                                                                              "credentials[0].secretId: the SecretId AKIDheld is taken",
		"accounts: [{uin: 2, credentials: [{secretId: AKIDssmlocal, secretKey: x}]}]":                                                                                          "by the configuration",
		"accounts: [{uin: 2, secrets: [{secretName: k, secretType: 3, targetUin: 2, accessKeys: [{secretId: AKIDheld, secretKey: x}]}]}]":                                      "accessKeys[0].secretId: the SecretId AKIDheld is taken",
		"faults: [{id: x, uin: 2, drop: true}]":                                                                                                                                "faults[0].id: the fault x is taken",
		"accounts: [{uin: 2, credentials: [{secretId: a, secretKey: x}], secrets: [{secretName: k, secretType: 3, targetUin: 2, accessKeys: [{secretId: a, secretKey: x}]}]}]": "the SecretId a is given twice",
	} {
		status, body := putState(t, s, "?uin=2", text)
		if status != http.StatusBadRequest || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s, want %s", text, status, body, want)
		}
	}
	if after := getState(t, s, ""); after != before {
		t.Error(difference(after, before))
	}
}

// TestOthersKeepTheirKeys gives one account keys; the default account's key goes on.
func TestOthersKeepTheirKeys(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{})
	if status, body := putState(t, s, "?uin=5", "accounts: [{uin: 5, credentials: [{secretId: AKIDfive, secretKey: k}]}]"); status != http.StatusOK {
		t.Fatal(body)
	}
	for _, who := range []account.Credential{account.Default, {SecretID: "AKIDfive", SecretKey: "k"}} {
		if err := s.CallIn("ap-guangzhou", who, "GetRegions", nil, nil); err != nil {
			t.Errorf("%s: %v", who.SecretID, err)
		}
	}
	s.Import("accounts: [{uin: 100000000001, credentials: [{secretId: AKIDnew, secretKey: k}]}]")
	if err := s.CallIn("ap-guangzhou", account.Default, "GetRegions", nil, nil); err == nil {
		t.Error("the default pair is known beside another of its account")
	}
}

// TestFlowIDsAreNotReused draws FlowIDs around those that a seed has taken.
func TestFlowIDsAreNotReused(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{})
	s.Import("accounts: [{uin: 100000000001, tasks: [{flowId: 3, kind: rotation, secretName: old, status: failed}, {flowId: 43415, kind: rotation, secretName: old, status: failed}]}]")
	seen := map[int64]bool{3: true, 43415: true}
	for i := range 4 {
		var reply struct{ FlowID int64 }
		err := s.Call("CreateProductSecret", map[string]any{
			"SecretName": fmt.Sprint("p", i), "UserNamePrefix": "app", "ProductName": "Mysql", "InstanceID": "c", "Domains": []string{"%"},
			"PrivilegesList": []map[string]any{{"PrivilegeName": "GlobalPrivileges", "Privileges": []string{"SELECT"}}},
		}, &reply)
		if err != nil || seen[reply.FlowID] {
			t.Errorf("the task is %d, %v", reply.FlowID, err)
		}
		seen[reply.FlowID] = true
	}
}

// TestDelayedCallMeetsAReset replaces the state under a call that is held up: it is not done in the new state. One whose client
// gives up is not done either; one of an account whose state stays is.
func TestDelayedCallMeetsAReset(t *testing.T) {
	t.Parallel()
	var log safeBuffer
	s := servertest.New(t, server.Config{Log: slog.New(slog.NewTextHandler(&log, nil))})
	delay := func(d time.Duration) {
		s.Fault(fault.Rule{Action: "CreateSecret", Times: 1, Effect: fault.Effect{Delay: fault.Span{Min: d, Max: d}}})
	}
	hit := func() {
		for getControl(t, s, "/faults") != "" && !strings.Contains(getControl(t, s, "/faults"), `"hits": 1`) {
		}
	}
	delay(5 * time.Minute) // of which nothing is waited for
	done := make(chan error)
	go func() {
		_, _, err := sendCall(t, s, "CreateSecret", `{"SecretName":"late","SecretString":"x"}`)
		done <- err
	}()
	hit()
	s.Reset()
	if err := <-done; err == nil {
		t.Error("a call from before the reset was answered")
	}
	if e := s.Calls(journal.Filter{}); len(e) != 0 || !strings.Contains(log.String(), "meanwhile the state was replaced") {
		t.Errorf("the new state's journal has %+v, the log %s", e, log.String())
	}
	delay(300 * time.Millisecond)
	go func() {
		done <- s.Call("CreateSecret", map[string]string{"SecretName": "of-another", "SecretString": "x"}, nil)
	}()
	hit()
	if status, body := ask(t, s, "POST", "/reset?uin=5", ""); status != http.StatusOK {
		t.Error(body)
	}
	if err := <-done; err != nil {
		t.Errorf("another account's reset: %v", err)
	}
	s.Reset()
	delay(5 * time.Minute)
	ctx, cancel := context.WithCancel(t.Context())
	r := servertest.NewRequest(s.URL, "ap-guangzhou", s.Credential, "CreateSecret", []byte(`{"SecretName":"given-up","SecretString":"x"}`))
	go func() {
		if answer, err := http.DefaultClient.Do(r.WithContext(ctx)); err == nil {
			answer.Body.Close()
		}
		done <- nil
	}()
	hit()
	cancel()
	<-done
	for count(t, s, "?code=NoAnswer") == 0 { // until the server has noticed
	}
	if e := s.Calls(journal.Filter{Code: journal.NoAnswer}); !strings.HasSuffix(e[0].Fault, "meanwhile the client gave up") {
		t.Errorf("the journal has %+v", e)
	}
	for _, name := range []string{"late", "given-up"} {
		if _, err := s.Value(name, "SSM_Current"); err == nil {
			t.Errorf("%s was made", name)
		}
	}
}

// TestRandomSeedDrawsNothingTwice goes on after imports, refused ones and restarts without an id that is there already.
func TestRandomSeedDrawsNothingTwice(t *testing.T) {
	t.Parallel()
	seed, dir := uint64(7), t.TempDir()
	config := server.Config{RandomSeed: &seed, Data: dir}
	s := servertest.New(t, config)
	made := 0
	make1 := func() {
		made++
		if status, body := ask(t, s, "POST", "/accesskeysecrets", fmt.Sprintf(`{"secretName":"k%d","targetUin":%d}`, made, uint64(100000000100)+uint64(made))); status != http.StatusOK {
			t.Errorf("key %d: %s", made, body)
		}
		if err := s.Call("CreateSSHKeyPairSecret", map[string]any{"SecretName": fmt.Sprint("ssh", made), "ProjectId": 0}, nil); err != nil {
			t.Error(err)
		}
	}
	make1()
	putState(t, s, "", getState(t, s, ""))
	make1()
	putState(t, s, "", "not: a state")
	make1()
	s.Stop()
	s = servertest.New(t, config)
	make1()
	exported := getState(t, s, "")
	if status, body := putState(t, s, "", exported); status != http.StatusOK {
		t.Errorf("what was drawn can't be imported: %s", body)
	}
	ids := map[string]bool{}
	for line := range strings.Lines(exported) {
		if id, ok := strings.CutPrefix(strings.TrimSpace(line), "sshKeyId: "); ok {
			ids[id] = true
		}
	}
	if len(ids) != 4 {
		t.Errorf("%d ids of 4 SSH keys", len(ids))
	}
}

// TestEveryStartDrawsAnew starts on one data file with one random seed: no start repeats another, and two files' starts go alike.
func TestEveryStartDrawsAnew(t *testing.T) {
	t.Parallel()
	seed := uint64(42)
	starts := func() (ids []string) {
		dir := t.TempDir()
		for range 4 {
			s := servertest.New(t, server.Config{Data: dir, RandomSeed: &seed})
			_ = s.Call("CreateSecret", map[string]string{"SecretName": "a", "SecretString": "x"}, nil)
			ids = append(ids, s.Calls(journal.Filter{})[0].RequestID)
			s.Stop()
		}
		return ids
	}
	first := starts()
	if len(slices.Compact(slices.Sorted(slices.Values(first)))) != 4 {
		t.Errorf("two starts draw alike: %v", first)
	}
	if again := starts(); !slices.Equal(again, first) {
		t.Errorf("%v, then %v", first, again)
	}
}

// TestClockBesideReplacements moves and freezes the clock while other accounts are reset: no move is lost.
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

// TestOneSecretIDForTwo imports two accounts at once that claim one SecretId: one of them gets it.
func TestOneSecretIDForTwo(t *testing.T) {
	t.Parallel()
	for range 10 {
		s := servertest.New(t, server.Config{})
		var statuses [2]int
		var both sync.WaitGroup
		for i := range statuses {
			both.Go(func() {
				statuses[i], _ = putState(t, s, fmt.Sprintf("?uin=%d", 5+i), fmt.Sprintf("accounts: [{uin: %d, credentials: [{secretId: AKIDsame, secretKey: x}]}]", 5+i))
			})
		}
		both.Wait()
		if slices.Sort(statuses[:]); statuses != [2]int{http.StatusOK, http.StatusBadRequest} {
			t.Errorf("%v", statuses)
		}
	}
}

// TestEmptiedFileIsNotSeeded deletes what a seed made, and moves the clock of a file that holds nothing: neither start is a first.
func TestEmptiedFileIsNotSeeded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "seed.yaml")
	if err := os.WriteFile(file, []byte("accounts: [{uin: 100000000001, secrets: [{secretName: a, status: Disabled}]}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	config := server.Config{Data: filepath.Join(dir, "1"), Seeds: []string{file}}
	s := servertest.New(t, config)
	if err := s.Call("DeleteSecret", map[string]string{"SecretName": "a"}, nil); err != nil {
		t.Fatal(err)
	}
	s.Stop()
	s = servertest.New(t, config)
	if s.Call("DescribeSecret", map[string]string{"SecretName": "a"}, nil) == nil {
		t.Error("a deleted secret is back")
	}
	s.Stop()
	config.Data = filepath.Join(dir, "2")
	s = servertest.New(t, server.Config{Data: config.Data})
	s.Advance(24 * time.Hour)
	s.Stop()
	s = servertest.New(t, config)
	if s.Call("DescribeSecret", map[string]string{"SecretName": "a"}, nil) == nil || !strings.Contains(getState(t, s, ""), `offset: "24h`) {
		t.Error("a file whose clock was moved is seeded")
	}
}

// TestEdgesOfTime exports what lies at the end of time, or at its beginning, and imports it again.
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

// TestExportOfABusyServer imports what was exported while secrets were made and changed at once: no value is older than its secret.
func TestExportOfABusyServer(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{Unlimited: true})
	var both sync.WaitGroup
	for _, action := range []string{"CreateSecret", "PutSecretValue"} {
		both.Go(func() {
			for i := range 200 {
				params := map[string]string{"SecretName": fmt.Sprint("r", i), "VersionId": action[:3], "SecretString": "x"}
				err := s.Call(action, params, nil)
				for action == "PutSecretValue" && err != nil { // until it is made
					err = s.Call(action, params, nil)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	both.Wait()
	if status, body := putState(t, s, "", getState(t, s, "")); status != http.StatusOK {
		t.Errorf("%d %s", status, body)
	}
}

// TestExportHoldsNobodyUp exports a state with keys still to be made beside a reset of another account: calls go on meanwhile.
func TestExportHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{Unlimited: true})
	var b strings.Builder
	b.WriteString("accounts:\n  - uin: 100000000001\n    secrets:\n")
	for i := range 20 {
		fmt.Fprintf(&b, "      - {secretName: s%d, secretType: 2}\n", i)
	}
	s.Import(b.String())
	exported := make(chan string)
	go func() { exported <- getState(t, s, "") }()
	calls := 0
	for {
		select {
		case text := <-exported:
			if calls < 20 || strings.Count(text, "privateKey") != 20 {
				t.Errorf("%d rounds during an export with %d keys", calls, strings.Count(text, "privateKey"))
			}
			return
		default:
		}
		if status, body := ask(t, s, "POST", "/reset?uin=7", ""); status != http.StatusOK || s.Call("GetRegions", nil, nil) != nil {
			t.Fatal(body)
		}
		calls++
	}
}

// TestLateBody sends a call whose body comes after what it is about was made: it happens when it is done, not when it began.
func TestLateBody(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{})
	body := `{"SecretName":"late","VersionId":"v2","SecretString":"x"}`
	conn, err := net.Dial("tcp", s.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r := servertest.NewRequest(s.URL, "ap-guangzhou", s.Credential, "PutSecretValue", []byte(body))
	var whole strings.Builder
	if err := r.Write(&whole); err != nil {
		t.Fatal(err)
	}
	head, _, _ := strings.Cut(whole.String(), body)
	_, _ = io.WriteString(conn, head)
	if err := s.Call("CreateSecret", map[string]string{"SecretName": "late", "VersionId": "v1", "SecretString": "x"}, nil); err != nil {
		t.Fatal(err)
	}
	s.Advance(time.Hour)
	_, _ = io.WriteString(conn, body)
	if answer, _ := bufio.NewReader(conn).ReadString('}'); !strings.Contains(answer, `"VersionId":"v2"`) {
		t.Fatal(answer)
	}
	var reply struct{ Versions []struct{ CreateTime int64 } }
	if err := s.Call("ListSecretVersionIds", map[string]string{"SecretName": "late"}, &reply); err != nil || len(reply.Versions) != 2 || reply.Versions[0].CreateTime-reply.Versions[1].CreateTime < 3600 {
		t.Errorf("%+v %v", reply, err)
	}
}

// TestNumbersOfFaults imports an account's own export after another has been given the number of its rule.
func TestNumbersOfFaults(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{})
	addFault(t, s, `{"uin":1,"drop":true}`)
	exported := getState(t, s, "?uin=1")
	ask(t, s, "DELETE", "/faults?uin=1", "")
	addFault(t, s, `{"uin":2,"drop":true}`)
	if status, body := putState(t, s, "?uin=1", exported); status != http.StatusOK || strings.Contains(exported, "id:") {
		t.Errorf("%d %s\n%s", status, body, exported)
	}
}

// TestExportsAreComplete exports while SSH secrets without pairs are imported again and again: each export has the pairs.
func TestExportsAreComplete(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{})
	again := func() {
		s.Import("accounts: [{uin: 100000000001, secrets: [{secretName: a, secretType: 2}]}]")
	}
	again()
	stop := make(chan struct{})
	var imports sync.WaitGroup
	imports.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				again()
			}
		}
	})
	for range 5 {
		if text := getState(t, s, ""); !strings.Contains(text, "privateKey") {
			t.Errorf("no key in\n%s", text)
		}
	}
	close(stop)
	imports.Wait()
}

// TestSpentNamesAreFree adds a rule again under the name of one that is spent.
func TestSpentNamesAreFree(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{})
	for range 3 {
		addFault(t, s, `{"id":"flaky","action":"GetRegions","times":1,"error":{"code":"InternalError"}}`)
		if s.Call("GetRegions", nil, nil) == nil || s.Call("GetRegions", nil, nil) != nil {
			t.Error("the rule did not hit once")
		}
	}
	if status, body := ask(t, s, "POST", "/faults", `{"id":"..","drop":true}`); status != http.StatusBadRequest {
		t.Error(body)
	}
}

// TestLongHeadersAreCut keeps no more of what a client sends at any length than what tells it apart.
func TestLongHeadersAreCut(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{})
	q := servertest.NewRequest(s.URL, "ap-guangzhou", s.Credential, "GetRegions", []byte("{}"))
	q.Header.Set("X-TC-RequestClient", strings.Repeat("x", 20<<10))
	q.Header.Set("X-TC-Action", strings.Repeat("y", 20<<10))
	send(t, q)
	if e := readJournal(t, s, "")[0]; len(e.Client) > 300 || len(e.Action) > 300 {
		t.Errorf("%d and %d bytes are kept", len(e.Client), len(e.Action))
	}
}

// TestJournalKeepsNoBodies sends long forms that nobody signed: the journal keeps what it tells of them, not the forms.
func TestJournalKeepsNoBodies(t *testing.T) {
	s := servertest.New(t, server.Config{}) // not in parallel: the heap is everybody's
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	body := "Action=GetRegions&Version=2019-09-23&Pad=" + strings.Repeat("x", 900<<10)
	before := heap()
	for range 30 {
		r, err := http.NewRequest(http.MethodPost, s.URL, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		send(t, r)
	}
	if kept := int64(heap() - before); kept > 8<<20 {
		t.Errorf("%d MB are kept of 30 calls", kept>>20)
	}
	if n := count(t, s, "?action=GetRegions"); n != 30 {
		t.Errorf("the journal has %d calls", n)
	}
}

// TestSSHKeysByID finds the secret that a call names by its key: rules match it, and the journal tells it. A step of a script
// that lets a call pass is no fault.
func TestSSHKeysByID(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{})
	s.Import("accounts: [{uin: 100000000001, secrets: [{secretName: deploy, secretType: 2, sshKeyId: skey-aaaaaaaa}]}]")
	addFault(t, s, `{"secretName":"deploy","script":[{},{"error":{"code":"InternalError"}}]}`)
	byID := map[string]string{"SSHKeyId": "skey-aaaaaaaa"}
	if s.Call("GetSSHKeyPairValue", byID, nil) != nil || s.Call("GetSSHKeyPairValue", byID, nil) == nil {
		t.Error("the rule does not match the secret of the key")
	}
	if n := count(t, s, "?secretName=deploy"); n != 2 {
		t.Errorf("%d calls for the secret", n)
	}
	answer, err := http.Get(s.URL + "/_ssmlocal/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if text, _ := io.ReadAll(answer.Body); !strings.Contains(string(text), `ssmlocal_faults_total{action="GetSSHKeyPairValue"} 1`) {
		t.Error("a step that lets a call pass counts as a fault")
	}
	var all []map[string]any
	if err := json.Unmarshal([]byte(getControl(t, s, "/journal")), &all); err != nil || all[0]["fault"] != nil {
		t.Errorf("%v %v", all[0], err)
	}
}

// TestKeysOfSeeds reads an SSH key that a seed leaves to be made: the same for all who ask at once, in an export, and after a restart.
func TestKeysOfSeeds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := servertest.New(t, server.Config{Data: dir, Seeds: []string{"demo"}})
	type pair struct{ SSHKeyID, PublicKey, PrivateKey string }
	read := func(params string) (p pair) {
		if err := s.Call("GetSSHKeyPairValue", json.RawMessage(params), &p); err != nil {
			t.Error(err)
		}
		return p
	}
	name := regexp.MustCompile(`secretName: (\S+)\n\s+secretType: 2`).FindStringSubmatch(getState(t, s, ""))
	if name == nil {
		t.Fatal("the seed has no SSH key")
	}
	s.Reset() // the export has made the key; now it is not
	pairs := make([]pair, 4)
	var readers sync.WaitGroup
	for i := range pairs {
		readers.Go(func() { pairs[i] = read(`{"SecretName":"` + name[1] + `"}`) })
	}
	readers.Wait()
	for _, p := range pairs {
		if p != pairs[0] || !strings.HasPrefix(p.PrivateKey, "-----BEGIN RSA PRIVATE KEY-----") || !strings.HasSuffix(p.PublicKey, " "+p.SSHKeyID) {
			t.Errorf("%s and %s", p.PublicKey, pairs[0].PublicKey)
		}
	}
	if !strings.Contains(getState(t, s, ""), pairs[0].PublicKey) {
		t.Error("the export has another key")
	}
	s.Stop()
	s = servertest.New(t, server.Config{Data: dir})
	if p := read(`{"SSHKeyId":"` + pairs[0].SSHKeyID + `"}`); p != pairs[0] {
		t.Errorf("after a restart the key is %s, was %s", p.PublicKey, pairs[0].PublicKey)
	}
}
