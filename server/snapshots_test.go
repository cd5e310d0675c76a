package server_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"ssmlocal/server"
	"ssmlocal/server/seed"
	"ssmlocal/server/servertest"
)

const twoSecrets = `clock: {now: 2030-01-01T00:00:00Z, frozen: true}
accounts:
  - uin: 100000000001
    kmsKeys: {key-1: disabled}
    secrets:
      - {secretName: one, secretString: first, description: the first, tags: {env: dev}}
      - {secretName: two, secretString: second}
faults: [{id: slow, action: GetSecretValue, delay: 1ms}]
`

// things writes changes in short, such as "+three -two ~one(description)".
func things(c seed.Changes) string {
	var all []string
	for _, t := range c.Added {
		all = append(all, "+"+t.Kind+" "+t.Name)
	}
	for _, t := range c.Removed {
		all = append(all, "-"+t.Kind+" "+t.Name)
	}
	for _, t := range c.Changed {
		all = append(all, fmt.Sprintf("~%s %s(%s)", t.Kind, t.Name, strings.Join(t.Fields, ",")))
	}
	slices.Sort(all)
	return strings.Join(all, "; ")
}

func TestDryRunSaysWhatAnImportChanges(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{})
	s.Import(twoSecrets)
	before := callControl(t, s, http.MethodGet, "/state", "")
	for _, c := range []struct{ name, seed, query, want string }{
		{"the same", twoSecrets, "", ""},
		{"an export", before, "", ""},
		{"a value", strings.Replace(twoSecrets, "first,", "other,", 1), "", "~secret one(versions)"},
		{"a description and tags left out", strings.Replace(twoSecrets, ", description: the first, tags: {env: dev}", "", 1), "", "~secret one(description,tags)"},
		{"one comes, one goes", strings.Replace(twoSecrets, "secretName: two", "secretName: three", 1), "", "+secret three; -secret two"},
		{"status", strings.Replace(twoSecrets, "secretName: two", "status: Disabled, secretName: two", 1), "", "~secret two(status)"},
		{"account, fault and clock", strings.NewReplacer("disabled", "foreign", "1ms", "2ms", "2030", "2031").Replace(twoSecrets), "", "~account (kmsKeys); ~clock (now); ~fault slow(rule)"},
		{"nothing", "{}", "", "-account ; -clock ; -fault slow; -secret one; -secret two"},
		{"a merge", "accounts: [{uin: 100000000001, secrets: [{secretName: three, secretString: x}, {secretName: two, secretString: new}]}]", "&merge=true", "+secret three; ~secret two(versions)"},
		{"another region is another secret", "accounts: [{uin: 100000000001, secrets: [{secretName: one, region: ap-beijing, secretString: x}]}]", "&merge=true", "+secret one"},
	} {
		var changes seed.Changes
		controlInto(t, s, http.MethodPut, "/state?dryRun=true"+c.query, c.seed, &changes)
		if got := things(changes); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
		if strings.Contains(fmt.Sprintf("%+v", changes), "first ") {
			t.Errorf("%s shows a value", c.name)
		}
	}
	if after := callControl(t, s, http.MethodGet, "/state", ""); after != before {
		t.Errorf("a dry run has changed the state:\n%s", after)
	}
	if answer := refusedControl(t, s, http.MethodPut, "/state?dryRun=perhaps", "{}"); !strings.Contains(answer, "true or false") {
		t.Errorf("dryRun=perhaps: %s", answer)
	}
	if answer := refusedControl(t, s, http.MethodPut, "/state?dryRun=true", "accounts: [{uin: 1, secrets: [{}]}]"); !strings.Contains(answer, "secretName") {
		t.Errorf("a wrong seed: %s", answer)
	}
}

func TestMergeKeepsTheRest(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{})
	s.Import(twoSecrets)
	if err := s.Call("PutSecretValue", map[string]string{"SecretName": "one", "VersionId": "v2", "SecretString": "later"}, nil); err != nil {
		t.Fatal(err)
	}
	callControl(t, s, http.MethodPut, "/state?merge=true", `accounts:
  - uin: 100000000001
    kmsKeys: {key-2: foreign}
    credentials: [{secretId: AKIDmerged, secretKey: k}]
    secrets: [{secretName: two, secretString: new}, {secretName: three, createTime: now-1d, secretString: third}]
  - uin: 100000000002
    credentials: [{secretId: AKIDother, secretKey: k}]
    secrets: [{secretName: one, secretString: other's}]
faults: [{id: slow, action: ListSecrets, delay: 1ms}]`)
	for at, want := range map[string]string{"one v2": "later", "one SSM_Current": "first", "two SSM_Current": "new", "three SSM_Current": "third"} {
		name, version, _ := strings.Cut(at, " ")
		if value, err := s.Value(name, version); value != want {
			t.Errorf("%s is %q (%v), want %q", at, value, err, want)
		}
	}
	state := callControl(t, s, http.MethodGet, "/state", "")
	for _, want := range []string{"key-1: disabled", "key-2: foreign", "AKIDmerged", "uin: 100000000002", "2029-12-31T00:00:00Z", "action: ListSecrets", "frozen: true"} {
		if !strings.Contains(state, want) {
			t.Errorf("the state lacks %q:\n%s", want, state)
		}
	}
	// Once more is the same: what is there already is replaced by itself.
	callControl(t, s, http.MethodPut, "/state?merge=true", state)
	if again := callControl(t, s, http.MethodGet, "/state", ""); again != state {
		t.Errorf("merged with itself it is\n%s\nand was\n%s", again, state)
	}
}

func TestSnapshots(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{"", t.TempDir()} {
		s := servertest.New(t, server.Config{Data: dir})
		s.Import(twoSecrets)
		before := callControl(t, s, http.MethodGet, "/state", "")
		callControl(t, s, http.MethodPut, "/snapshots/first", "")
		if err := s.Call("CreateSecret", map[string]string{"SecretName": "three", "SecretString": "x"}, nil); err != nil {
			t.Fatal(err)
		}
		s.Advance(24 * time.Hour)
		callControl(t, s, http.MethodPut, "/snapshots/second", "")
		var list []struct {
			Name  string
			Bytes int
		}
		controlInto(t, s, http.MethodGet, "/snapshots", "", &list)
		if len(list) != 2 || list[0].Name != "first" || list[0].Bytes != len(before) {
			t.Errorf("the list is %+v", list)
		}
		if text := callControl(t, s, http.MethodGet, "/snapshots/first", ""); text != before {
			t.Errorf("the snapshot is\n%s", text)
		}
		var changes seed.Changes
		controlInto(t, s, http.MethodGet, "/snapshots/first/diff", "", &changes)
		if got := things(changes); got != "+secret three; ~clock (now)" {
			t.Errorf("since first: %q", got)
		}
		controlInto(t, s, http.MethodGet, "/snapshots/second/diff?with=first", "", &changes)
		if got := things(changes); got != "-secret three; ~clock (now)" {
			t.Errorf("from second to first: %q", got)
		}
		callControl(t, s, http.MethodPost, "/snapshots/first/load", "")
		if after := callControl(t, s, http.MethodGet, "/state", ""); after != before {
			t.Errorf("loaded it is\n%s", after)
		}
		callControl(t, s, http.MethodPost, "/reset?to=second", "")
		if value, err := s.Value("three", "SSM_Current"); value != "x" {
			t.Errorf("after the reset three is %q, %v", value, err)
		}
		callControl(t, s, http.MethodDelete, "/snapshots/second", "")
		for _, c := range [][2]string{
			{http.MethodGet, "/snapshots/second"},
			{http.MethodPost, "/snapshots/second/load"},
			{http.MethodPost, "/reset?to=second"},
			{http.MethodGet, "/snapshots/first/diff?with=second"},
			{http.MethodDelete, "/snapshots/second"},
			{http.MethodPut, "/snapshots/..%2fescape"},
			{http.MethodPut, "/snapshots/.hidden"},
			{http.MethodPut, "/snapshots/" + strings.Repeat("n", 65)},
		} {
			refusedControl(t, s, c[0], c[1], "")
		}
		if dir == "" {
			continue
		}
		info, err := os.Stat(filepath.Join(dir, "snapshots", "first.yaml"))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the file: %v, %v", info, err)
		}
		if left, _ := filepath.Glob(filepath.Join(dir, "snapshots", "new-*")); len(left) > 0 {
			t.Errorf("left over: %v", left)
		}
	}
}

// callControl makes a call of the control plane that must succeed, and returns
// the answer.
func callControl(t *testing.T, s *servertest.Server, method, path, body string) string {
	t.Helper()
	status, text := rawControl(t, s, method, path, body)
	if status != http.StatusOK {
		t.Fatalf("%s %s: %d %s", method, path, status, text)
	}
	return text
}

// refusedControl makes one that must be refused.
func refusedControl(t *testing.T, s *servertest.Server, method, path, body string) string {
	t.Helper()
	status, text := rawControl(t, s, method, path, body)
	if status < 400 || status >= 500 {
		t.Errorf("%s %s is not refused: %d %s", method, path, status, text)
	}
	return text
}

func controlInto(t *testing.T, s *servertest.Server, method, path, body string, reply any) {
	t.Helper()
	reflect.ValueOf(reply).Elem().SetZero()
	if err := json.Unmarshal([]byte(callControl(t, s, method, path, body)), reply); err != nil {
		t.Fatal(err)
	}
}

func rawControl(t *testing.T, s *servertest.Server, method, path, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.URL+"/_ssmlocal"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	answer, text := send(t, r)
	return answer.StatusCode, text
}

// TestMergeOfASecretAmongOthers names one secret and one fault rule in the midst
// of others, whose values are written in other ways.
func TestMergeOfASecretAmongOthers(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"demo", "every-status", "rotation"} {
		s := servertest.New(t, server.Config{Seeds: []string{name}})
		callControl(t, s, http.MethodPut, "/state?merge=true", `accounts:
  - secrets: [{secretName: a-first, secretString: x}]
faults:
  - {id: a-named, action: ListSecrets, delay: 1ms}
  - {id: b-named, secretName: x, delay: 1ms}
  - {id: c-named, region: ap-beijing, delay: 1ms}`)
		before := callControl(t, s, http.MethodGet, "/state", "")
		merged := `accounts: [{secrets: [{secretName: a-first, secretString: y}]}]
faults: [{id: a-named, action: GetRegions, delay: 1ms}]`
		var changes seed.Changes
		controlInto(t, s, http.MethodPut, "/state?merge=true&dryRun=true", merged, &changes)
		const want = "~fault a-named(rule); ~secret a-first(versions)"
		if got := things(changes); got != want {
			t.Errorf("%s: the preview is %q, want %q", name, got, want)
		}
		callControl(t, s, http.MethodPut, "/state?merge=true", merged)
		controlInto(t, s, http.MethodPut, "/state?dryRun=true", before, &changes)
		if got := things(changes); !strings.HasPrefix(got, "~fault a-named(rule); ~secret a-first(") || strings.Count(got, ";") != 1 {
			t.Errorf("%s: back to the state before it would be %q", name, got)
		}
		if value, err := s.Value("a-first", "SSM_Current"); value != "y" {
			t.Errorf("%s: a-first is %q, %v", name, value, err)
		}
	}
}
