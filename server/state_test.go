package server_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ssmlocal/fixtures"
	"ssmlocal/server"
	"ssmlocal/server/account"
	"ssmlocal/server/servertest"
	"ssmlocal/server/ssm"
	"ssmlocal/store"
)

// get and put are the control plane's state.
func getState(t *testing.T, s *servertest.Server, query string) string {
	t.Helper()
	answer, err := http.Get(s.URL + "/_ssmlocal/state" + query)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s %s %v", answer.Status, text, err)
	}
	return string(text)
}

// ask calls the control plane.
func ask(t *testing.T, s *servertest.Server, method, path, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequest(method, s.URL+"/_ssmlocal"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	answer, text := send(t, r)
	return answer.StatusCode, text
}

func putState(t *testing.T, s *servertest.Server, query, text string) (int, string) {
	t.Helper()
	return ask(t, s, http.MethodPut, "/state"+query, text)
}

// TestRoundTrip exports what each built-in seed made, imports it elsewhere and
// exports that: the same text.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for _, name := range fixtures.Seeds() {
		s := servertest.New(t, server.Config{Seeds: []string{name}})
		first := getState(t, s, "")
		other := servertest.New(t, server.Config{})
		if status, body := putState(t, other, "", first); status != http.StatusOK {
			t.Errorf("%s: %d %s\n%s", name, status, body, first)
			continue
		}
		if second := getState(t, other, ""); second != first {
			t.Errorf("%s: %s", name, difference(second, first))
		}
	}
}

// TestResetUnderLoad replaces the state again and again while clients read it,
// with two key pairs that take turns: a client that gets in with one of them
// sees the whole of a state to which that key pair belongs.
func TestResetUnderLoad(t *testing.T) {
	t.Parallel()
	text := func(n int) string {
		var b strings.Builder
		fmt.Fprintf(&b, "accounts:\n  - uin: 100000000001\n    credentials: [{secretId: AKIDssmlocal, secretKey: key%d}]\n    secrets:\n", n%2)
		for i := range 30 {
			fmt.Fprintf(&b, "      - {secretName: s%d, description: '%d', secretString: x}\n", i, n)
		}
		return b.String()
	}
	seed := filepath.Join(t.TempDir(), "seed.yaml")
	if err := os.WriteFile(seed, []byte(text(0)), 0o600); err != nil {
		t.Fatal(err)
	}
	s := servertest.New(t, server.Config{Unlimited: true, Seeds: []string{seed}})
	stop := make(chan struct{})
	var readers sync.WaitGroup
	var let, refused atomic.Int64
	for turn := range 3 {
		readers.Go(func() {
			for key := turn % 2; ; key = 1 - key {
				select {
				case <-stop:
					return
				default:
				}
				var reply struct {
					TotalCount      int
					SecretMetadatas []struct{ Description string }
				}
				who := account.Credential{SecretID: "AKIDssmlocal", SecretKey: fmt.Sprint("key", key)}
				if s.CallIn("ap-guangzhou", who, "ListSecrets", map[string]any{"Limit": 100}, &reply) != nil {
					refused.Add(1)
					continue
				}
				let.Add(1)
				if reply.TotalCount != 30 || len(reply.SecretMetadatas) != 30 {
					t.Errorf("%d of 30 secrets", len(reply.SecretMetadatas))
					return
				}
				for _, m := range reply.SecretMetadatas {
					if n, _ := strconv.Atoi(m.Description); n%2 != key || m != reply.SecretMetadatas[0] {
						t.Errorf("key%d sees half a state, or another's: %+v", key, reply)
						return
					}
				}
			}
		})
	}
	for n := range 100 {
		for _, replace := range []func() (int, string){
			func() (int, string) { return putState(t, s, "", text(2*n+1)) },
			func() (int, string) { return ask(t, s, http.MethodPost, "/reset", "") },
		} {
			if status, body := replace(); status != http.StatusOK {
				t.Errorf("%d %s", status, body)
			}
		}
	}
	close(stop)
	readers.Wait()
	if let.Load() == 0 || refused.Load() == 0 {
		t.Errorf("%d looked, %d were refused", let.Load(), refused.Load())
	}
}

// TestResetForgets checks that a reset forgets calls, budgets and the settings
// of tasks. A reset of one account leaves the others' calls and budgets, and
// the settings of tasks.
func TestResetForgets(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{Auth: account.Any})
	set := func() {
		if err := s.Call("GetRegions", nil, nil); err != nil {
			t.Error(err)
		}
		if status, body := ask(t, s, http.MethodPut, "/tasks", `{"pace":"3polls","failNext":2}`); status != http.StatusOK {
			t.Error(body)
		}
	}
	set()
	for _, c := range []struct {
		reset                 string
		calls, budgets, tasks string
	}{
		{"?uin=5", `"count": 1`, `"action": "GetRegions"`, `"pace": "3polls"`},
		{fmt.Sprint("?uin=", account.DefaultUin), `"count": 0`, `[]`, `"pace": "3polls"`},
		{"", `"count": 0`, `[]`, `"pace": "now"`},
	} {
		if status, body := ask(t, s, http.MethodPost, "/reset"+c.reset, ""); status != http.StatusOK {
			t.Error(body)
		}
		for path, want := range map[string]string{"/journal/count": c.calls, "/limits": c.budgets, "/tasks": c.tasks} {
			if got := getControl(t, s, path); !strings.Contains(got, want) {
				t.Errorf("after reset%s, %s is %s, want %s", c.reset, path, got, want)
			}
		}
		if c.reset != "?uin=5" {
			set()
		}
	}
}

// TestOneAccount resets, exports and imports one account; the other doesn't
// notice.
func TestOneAccount(t *testing.T) {
	t.Parallel()
	const other = 200000000002
	s := servertest.New(t, server.Config{Seeds: []string{"demo"}, Credentials: []account.Credential{{SecretID: "AKIDother", SecretKey: "k", Uin: other}}})
	mine := account.Default
	for _, who := range []account.Credential{s.Credential, mine} {
		if err := s.CallIn("ap-guangzhou", who, "CreateSecret", map[string]string{"SecretName": "new", "SecretString": "x"}, nil); err != nil {
			t.Fatal(err)
		}
	}
	addFault(t, s, `{"uin":200000000002,"action":"GetRegions","error":{"code":"InternalError"}}`)
	exported := getState(t, s, "?uin=200000000002")
	if strings.Contains(exported, "app-config") || !strings.Contains(exported, "secretName: new") || !strings.Contains(exported, "InternalError") {
		t.Errorf("one account's export:\n%s", exported)
	}
	reset := func(query string) string {
		r, _ := http.NewRequest(http.MethodPost, s.URL+"/_ssmlocal/reset"+query, nil)
		answer, body := send(t, r)
		if answer.StatusCode != http.StatusOK {
			t.Fatal(body)
		}
		return body
	}
	exists := func(who account.Credential, name string) bool {
		return s.CallIn("ap-guangzhou", who, "DescribeSecret", map[string]string{"SecretName": name}, nil) == nil
	}
	reset("?uin=100000000001")
	if exists(mine, "new") || !exists(mine, "app-config") || !exists(s.Credential, "new") {
		t.Error("the reset of one account did not return it to its seed, or touched the other")
	}
	if err := s.CallIn("ap-guangzhou", s.Credential, "GetRegions", nil, nil); err == nil {
		t.Error("the reset of one account removed the fault of another")
	}
	reset("?uin=200000000002")
	if exists(s.Credential, "new") || !exists(mine, "app-config") || s.CallIn("ap-guangzhou", s.Credential, "GetRegions", nil, nil) != nil {
		t.Error("the reset of an account without seeds left something")
	}
	if status, body := putState(t, s, "?uin=200000000002", exported); status != http.StatusOK || !exists(s.Credential, "new") {
		t.Errorf("%d %s", status, body)
	}
	if again := getState(t, s, "?uin=200000000002"); again != exported {
		t.Error(difference(again, exported))
	}
	if status, _ := putState(t, s, "?uin=100000000001", exported); status != http.StatusBadRequest || !exists(mine, "app-config") {
		t.Errorf("another account's state was imported: %d", status)
	}
	reset("")
	if exists(s.Credential, "new") || !exists(mine, "app-config") {
		t.Error("a reset did not return to the seeds")
	}
}

// TestRefusedStateChangesNothing imports states with a mistake at their very
// end.
func TestRefusedStateChangesNothing(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{Seeds: []string{"every-status"}})
	before := getState(t, s, "")
	for _, text := range []string{
		"accounts: [{uin: 1, secrets: [{secretName: a}, {secretName: a}]}]",
		"accounts: [{uin: 1, secrets: [{secretName: a}]}]\nfaults: [{}]",
		"accounts: [{uin: 1, credentials: [{secretId: a, secretKey: b}]}, {uin: 2, credentials: [{secretId: a, secretKey: b}]}]",
		"not: a state",
		"[",
	} {
		status, body := putState(t, s, "", text)
		if status != http.StatusBadRequest || !strings.Contains(body, "body") {
			t.Errorf("%s: %d %s", text, status, body)
		}
	}
	if after := getState(t, s, ""); after != before {
		t.Error(difference(after, before))
	}
	if status, _ := putState(t, s, "", ""); status != http.StatusBadRequest || getState(t, s, "") != before {
		t.Error("no body at all is a state")
	}
	if status, _ := putState(t, s, "", "# nothing\n"); status != http.StatusOK || getState(t, s, "") != "{}\n" {
		t.Error("an empty document is not the empty state")
	}
}

// TestSeedsAndDataFile starts with seeds on a new file, on the same file once
// more, and returns to the seeds.
func TestSeedsAndDataFile(t *testing.T) {
	t.Parallel()
	dir, seeds := t.TempDir(), t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(seeds, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("1-accounts.yaml", "accounts: [{uin: 5, credentials: [{secretId: AKIDfive, secretKey: five}]}]")
	write("2-secrets.yml", "accounts: [{uin: 5, secrets: [{secretName: a, secretString: seeded}]}]\nfaults: [{action: GetRegions, drop: true, times: 1}]")
	five := account.Credential{SecretID: "AKIDfive", SecretKey: "five"}
	var log safeBuffer
	config := server.Config{Data: dir, Seeds: []string{seeds}, Log: slog.New(slog.NewTextHandler(&log, nil))}
	value := func(s *servertest.Server) string {
		var reply struct{ SecretString string }
		if err := s.CallIn("ap-guangzhou", five, "GetSecretValue", map[string]string{"SecretName": "a", "VersionId": "SSM_Current"}, &reply); err != nil {
			return err.Error()
		}
		return reply.SecretString
	}
	const seeded, kept = "the state was empty: the seeds are applied", "the seeds are not applied"
	s := servertest.New(t, config)
	if got := value(s); got != "seeded" || !strings.Contains(log.String(), seeded) || strings.Contains(log.String(), kept) {
		t.Errorf("%s, and the log says %s", got, log.String())
	}
	if err := s.CallIn("ap-guangzhou", five, "UpdateSecret", map[string]string{"SecretName": "a", "VersionId": "SSM_Current", "SecretString": "changed"}, nil); err != nil {
		t.Error(err)
	}
	s.Stop()
	s = servertest.New(t, config)
	if got := value(s); got != "changed" {
		t.Errorf("the seeds were applied to a file with a state, or its keys were lost: %s", got)
	}
	if strings.Count(log.String(), seeded) != 1 || !strings.Contains(log.String(), kept) {
		t.Errorf("after the second start the log says %s", log.String())
	}
	if !strings.Contains(getState(t, s, ""), "drop: true") {
		t.Error("the faults of the seeds are not armed at the second start")
	}
	r, _ := http.NewRequest(http.MethodPost, s.URL+"/_ssmlocal/reset", nil)
	if _, body := send(t, r); !strings.Contains(body, `"secrets": 1`) || value(s) != "seeded" {
		t.Errorf("the reset answers %s, and the value is %s", body, value(s))
	}
}

// TestBadSeeds refuses to start with the line and the field, and leaves a data
// file without a state.
func TestBadSeeds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "bad.yaml")
	if err := os.WriteFile(file, []byte("accounts:\n  - uin: 5\n    secrets:\n      - secretName: ok\n      - secretName: not/ok\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for seeds, want := range map[string]string{
		file:                          file + ":5: accounts[0].secrets[1].secretName",
		"nowhere":                     "the built-in ones are",
		t.TempDir():                   "no .yaml file",
		filepath.Join(file, "inside"): "cannot read the seed",
	} {
		_, err := server.New(server.Config{Listen: []string{"127.0.0.1:0"}, Data: filepath.Join(dir, "data"), Seeds: []string{seeds}})
		if mistake := (server.ConfigError{}); err == nil || !errors.As(err, &mistake) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", seeds, err)
		}
	}
	s := servertest.New(t, server.Config{Data: filepath.Join(dir, "data")})
	if got := getState(t, s, ""); got != "{}\n" {
		t.Errorf("a refused seed left\n%s", got)
	}
}

// TestBackup downloads the file while writes go on, and starts from it.
func TestBackup(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{Seeds: []string{"demo"}, Unlimited: true})
	stop, writer := make(chan struct{}), sync.WaitGroup{}
	writer.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				_ = s.Call("CreateSecret", map[string]string{"SecretName": fmt.Sprint("w", i), "SecretString": "x"}, nil)
			}
		}
	})
	answer, err := http.Get(s.URL + "/_ssmlocal/backup")
	if err != nil {
		t.Fatal(err)
	}
	file, err := io.ReadAll(answer.Body)
	answer.Body.Close()
	close(stop)
	writer.Wait()
	if err != nil || int64(len(file)) != answer.ContentLength {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, store.FileName), file, 0o600); err != nil {
		t.Fatal(err)
	}
	restored := servertest.New(t, server.Config{Data: dir}) // its whole store is checked at the test's end
	if value, err := restored.Value("app-config", "SSM_Current"); err != nil || !strings.Contains(value, "hello") {
		t.Errorf("%s %v", value, err)
	}
}

// TestRandomSeed records one session on two servers with the same seed and a
// clock that stands still: byte for byte the same answers, except for the SSH
// key. After a reset they come again.
func TestRandomSeed(t *testing.T) {
	t.Parallel()
	seed := filepath.Join(t.TempDir(), "seed.yaml")
	err := os.WriteFile(seed, []byte(`
clock: {now: 2030-01-01T00:00:00Z, frozen: true}
accounts:
  - uin: 100000000001
    credentials: [{secretId: AKIDssmlocal, secretKey: ssmlocal}]
    users: [{uin: 100000000101}, {uin: 100000000102}]
    secrets:
      - {secretName: db, secretType: 1, productName: Mysql, resourceId: cdb-1}
      - {secretName: key, secretType: 3, targetUin: 100000000101}
`), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	record := func(s *servertest.Server) string {
		var b strings.Builder
		addFault(t, s, `{"action":"GetRegions","probability":0.5,"error":{"code":"InternalError"}}`)
		for _, c := range []struct{ action, params string }{
			{"CreateSecret", `{"SecretName":"a","SecretString":"x"}`},
			{"DescribeSecret", `{"SecretName":"a"}`},
			{"CreateProductSecret", `{"SecretName":"p","UserNamePrefix":"app","ProductName":"Mysql","InstanceID":"cdb-1","Domains":["%"],"PrivilegesList":[{"PrivilegeName":"GlobalPrivileges","Privileges":["SELECT"]}]}`},
			{"RotateProductSecret", `{"SecretName":"p"}`}, {"RotateProductSecret", `{"SecretName":"db"}`}, {"RotateProductSecret", `{"SecretName":"key"}`},
			{"GetSecretValue", `{"SecretName":"p","VersionId":"SSM_Current"}`}, {"GetSecretValue", `{"SecretName":"key","VersionId":"SSM_Current"}`},
			{"DescribeRotationHistory", `{"SecretName":"db"}`},
			{"CreateSSHKeyPairSecret", `{"SecretName":"ssh","ProjectId":0}`},
			{"GetSecretValue", `{"SecretName":"nobody","VersionId":"v1"}`}, {"GetSecret", `{}`},
			{"GetRegions", `{}`}, {"GetRegions", `{}`}, {"GetRegions", `{}`}, {"GetRegions", `{}`}, {"GetRegions", `{}`}, {"GetRegions", `{}`},
		} {
			_, text, err := sendCall(t, s, c.action, c.params)
			if err != nil {
				t.Fatal(err)
			}
			b.WriteString(text + "\n")
		}
		s.Advance(40 * 24 * time.Hour)
		_, text, _ := sendCall(t, s, "ListSecrets", `{"SecretType":1}`)
		return b.String() + text
	}
	number := uint64(42)
	config := server.Config{Seeds: []string{seed}, RandomSeed: &number, Unlimited: true}
	s := servertest.New(t, config)
	first := record(s)
	if second := record(servertest.New(t, config)); second != first {
		t.Errorf("with one seed:\n%s", difference(second, first))
	}
	r, _ := http.NewRequest(http.MethodPost, s.URL+"/_ssmlocal/reset", nil)
	if answer, body := send(t, r); answer.StatusCode != http.StatusOK {
		t.Fatal(body)
	}
	if again := record(s); again != first {
		t.Errorf("after a reset:\n%s", difference(again, first))
	}
	number++
	if other := record(servertest.New(t, config)); other == first {
		t.Error("another seed makes no difference")
	}
	for _, part := range []string{"InternalError", `"Regions"`, "SSM_Rotate_20300101080000", "skey-"} {
		if !strings.Contains(first, part) {
			t.Errorf("the session has no %s:\n%s", part, first)
		}
	}
}

// TestChangedAccountsLoad sets what accounts may have below what they have. The
// state can still be loaded, and nothing more is made.
func TestChangedAccountsLoad(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{Capsule: 100, SecretLimit: 3})
	s.Import(`accounts: [{users: [{uin: 5}, {uin: 6}], credentials: [{secretId: AKIDssmlocal, secretKey: ssmlocal}, {secretId: AKIDuser, secretKey: x, user: 5}],
  secrets: [{secretName: a, secretString: x}, {secretName: b, secretString: x}, {secretName: c, secretType: 3, targetUin: 6}, {secretName: more, secretString: x}]}]`)
	for change, refused := range map[string]bool{
		`"secretLimit":1,"users":{"5":{},"6":{}}`: false,
		`"users":{"5":{},"6":{"otherKeys":2}}`:    false,
		`"users":{"5":{}}`:                        false,
		`"users":{"6":{}}`:                        true,
	} {
		status, answer := ask(t, s, http.MethodPut, "/accounts", `{"uin":100000000001,`+change+`}`)
		if refused != (status == http.StatusConflict && strings.Contains(answer, "AKIDuser")) || status >= 500 {
			t.Errorf("%s: %d %s", change, status, answer)
		}
		if status, answer := putState(t, s, "?dryRun=true", getState(t, s, "")); status != http.StatusOK {
			t.Errorf("after %s: %s", change, answer)
		}
		callControl(t, s, http.MethodPut, "/snapshots/x", "")
		callControl(t, s, http.MethodPost, "/snapshots/x/load", "")
		if err := s.Call("CreateSecret", map[string]string{"SecretName": "d", "SecretString": "x"}, nil); err == nil || !strings.Contains(err.Error(), "LimitExceeded") {
			t.Errorf("after %s one more secret: %v", change, err)
		}
		replays(t, s, 1)
	}
}

// TestAccountsSetDuringAnImport sets the data of one account again and again
// while another one is imported: nothing that was acknowledged is lost.
func TestAccountsSetDuringAnImport(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{Unlimited: true, SecretLimit: 10000})
	var seed strings.Builder
	seed.WriteString("accounts:\n  - uin: 5\n    secrets:\n")
	for i := range 3000 {
		fmt.Fprintf(&seed, "      - {secretName: s%d, secretString: x}\n", i)
	}
	imported := make(chan struct{})
	go func() {
		defer close(imported)
		if status, body := putState(t, s, "?uin=5", seed.String()); status != http.StatusOK {
			t.Error(body)
		}
	}()
	for n, under := 1, true; under; n++ {
		select {
		case <-imported:
			under = false
		default:
		}
		if status, body := ask(t, s, "PUT", "/accounts", fmt.Sprintf(`{"uin":7,"secretLimit":%d}`, n)); status != http.StatusOK {
			t.Fatal(body)
		}
		if _, all := ask(t, s, "GET", "/accounts", ""); !strings.Contains(all, fmt.Sprintf(`"secretLimit": %d`, n)) {
			t.Fatalf("%d was acknowledged, and there is %s", n, all)
		}
	}
}

// TestRotationsOfImportedAccessKeys rotates an API-key secret of a seed: the
// key before the present one stays, the one before that is removed, and the
// export can be imported.
func TestRotationsOfImportedAccessKeys(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{Unlimited: true})
	s.Import(`
accounts:
  - uin: 100000000001
    credentials: [{secretId: AKIDssmlocal, secretKey: ssmlocal}]
    users: [{uin: 100000000101}, {uin: 100000000102}]
    secrets:
      - {secretName: a, secretType: 3, targetUin: 100000000101}
      - {secretName: b, secretType: 3, targetUin: 100000000102}`)
	present := func() account.Credential {
		var reply struct{ SecretString string }
		if err := s.Call("GetSecretValue", map[string]string{"SecretName": "b", "VersionId": ssm.CurrentVersion}, &reply); err != nil {
			t.Fatal(err)
		}
		var key struct{ SecretId, SecretKey string }
		if err := json.Unmarshal([]byte(reply.SecretString), &key); err != nil {
			t.Fatal(err)
		}
		return account.Credential{SecretID: key.SecretId, SecretKey: key.SecretKey}
	}
	works := func(key account.Credential) bool {
		return s.CallIn(ssm.DefaultRegion, key, "GetRegions", nil, nil) == nil
	}
	held := []account.Credential{present()}
	for range 4 {
		if err := s.Call("RotateProductSecret", map[string]string{"SecretName": "b"}, nil); err != nil {
			t.Fatal(err)
		}
		held = append(held, present())
		for age, key := range slices.Backward(held) {
			if want := age >= len(held)-2; works(key) != want {
				t.Errorf("after %d rotations key %d works: %t", len(held)-1, age, !want)
			}
		}
		if status, body := putState(t, s, "", getState(t, s, "")); status != http.StatusOK {
			t.Fatal(body)
		}
	}
}

// TestOrderOfTheService enables the service by many calls at once, with two
// tokens: one order is made, and a retry gets it again, also after a restart,
// and after an export and an import.
func TestOrderOfTheService(t *testing.T) {
	t.Parallel()
	const none = "accounts: [{uin: 100000000001, service: none, credentials: [{secretId: AKIDssmlocal, secretKey: ssmlocal}]}]"
	dir := t.TempDir()
	s := servertest.New(t, server.Config{Unlimited: true, Data: dir})
	s.Import(none)
	order := func(s *servertest.Server, token string) (id string) {
		var reply struct{ OrderId string }
		err := s.Call("CreateService", map[string]string{"PayMode": "PostPay", "ClientToken": token}, &reply)
		var refused *servertest.Error
		if err != nil && (!errors.As(err, &refused) || refused.Code != "ResourceInUse.ServiceAlreadyEnabled") {
			t.Error(err)
		}
		return reply.OrderId
	}
	ids := make([]string, 16)
	var calls sync.WaitGroup
	for i := range ids {
		calls.Go(func() { ids[i] = order(s, fmt.Sprint("token-", i%2)) })
	}
	calls.Wait()
	made, token := ids[0], "token-0"
	if made == "" {
		made, token = ids[1], "token-1"
	}
	for i, id := range ids {
		want := ""
		if fmt.Sprint("token-", i%2) == token {
			want = made
		}
		if id != want || made == "" {
			t.Errorf("call %d got the order %q, want %q", i, id, want)
		}
	}
	exported := getState(t, s, "")
	s.Stop()
	again := servertest.New(t, server.Config{Unlimited: true, Data: dir})
	other := servertest.New(t, server.Config{Unlimited: true})
	if status, body := putState(t, other, "", exported); status != http.StatusOK {
		t.Fatal(body)
	}
	for _, s := range []*servertest.Server{again, other} {
		if id := order(s, token); id != made {
			t.Errorf("a retry gets %q, want %q", id, made)
		}
	}
}

// TestEmptiedFileIsNotSeeded deletes what a seed made, and moves the clock of a
// file that holds nothing: neither file is seeded at the next start.
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

// TestExportOfABusyServer imports what was exported while secrets were made and
// changed at once: no value is older than its secret.
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

// TestExportHoldsNobodyUp exports a state whose keys are not made yet, during a
// reset of another account: calls go on meanwhile.
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

// TestExportsAreComplete exports while SSH secrets without pairs are imported
// again and again: each export has the pairs.
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

// TestMergeKeepsWhatCallsWrite merges again and again while a client creates
// secrets, and looks for each that was answered with success.
func TestMergeKeepsWhatCallsWrite(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{Unlimited: true})
	created := make(chan []string, 1)
	go func() {
		var names []string
		defer func() { created <- names }()
		for i := range 150 {
			name := fmt.Sprint("s", i)
			if s.Call("CreateSecret", map[string]string{"SecretName": name, "SecretString": "x"}, nil) == nil {
				names = append(names, name)
			}
		}
	}()
	merge := func() bool {
		const seed = "accounts: [{secrets: [{secretName: merged, secretString: x}]}]"
		r, _ := http.NewRequest(http.MethodPut, s.ControlURL()+"/_ssmlocal/state?merge=true", strings.NewReader(seed))
		answer, body := send(t, r)
		if answer.StatusCode != http.StatusOK && answer.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("%s: %s", answer.Status, body)
		}
		return answer.StatusCode == http.StatusOK
	}
	for range 10 {
		merge() // it may be refused: calls change the state each time
	}
	for _, name := range <-created {
		if value, err := s.Value(name, "SSM_Current"); value != "x" {
			t.Errorf("%s is %q, %v", name, value, err)
		}
	}
	if !merge() {
		t.Error("a merge is refused while nobody writes")
	}
}
