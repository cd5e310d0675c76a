package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"ssmlocal/server"
	"ssmlocal/server/servertest"
)

// TestLongOutputs looks for a few words in what is too long, or too different
// from run to run, for a session.
func TestLongOutputs(t *testing.T) {
	s := servertest.New(t, server.Config{})
	for command, want := range map[string]string{
		"metrics": "ssmlocal_calls_total", "facts": "CreateSecret", "schema": "secretStringFrom", "facts --output json": `"lifecycle"`,
		"completion -c bash": "complete -o default", "--version": "ssmlocal ", "help clock set": "2030-01-02", "version": "ssmlocal ",
	} {
		args := strings.Fields(command)
		if args[0] == "metrics" || args[0] == "facts" {
			args = append(args, "--url", s.URL)
		}
		if out, errs, code := ssmlocal(t, args...); code != 0 || !strings.Contains(out, want) {
			t.Errorf("%s: %d %.200s%s", command, code, out, errs)
		}
	}
	state, _, _ := ssmlocal(t, "export", "--url", s.URL)
	if _, errs, code := ssmlocal(t, "snapshot", "save", "x", "--url", s.URL); code != 0 {
		t.Error(errs)
	}
	if out, _, _ := ssmlocal(t, "snapshot", "show", "x", "--url", s.URL); out != state {
		t.Errorf("the snapshot is\n%s", out)
	}
	out, _, _ := ssmlocal(t, "schema")
	if !json.Valid([]byte(out)) {
		t.Error("the schema is no JSON")
	}
}

// TestOutputJSON wants JSON of every command, with few exceptions.
func TestOutputJSON(t *testing.T) {
	s := servertest.New(t, server.Config{Seeds: []string{"demo"}, Capsule: 10})
	t.Chdir(t.TempDir())
	arguments := map[string]string{
		"call": "GetSecretValue SecretName=app-config VersionId=SSM_Current", "errors": "GetSecretValue ResourceNotFound --run", "tour": "life",
		"provoke": "InternalError GetRegions", "fault add": "--drop", "limits set": "ListSecrets=5", "clock advance": "1d", "clock set": "2090-01-01",
		"import": "demo", "capsule save": "run.json", "replay": "run.json", "backup": "copy.db", "tasks set": "--pace 3polls", "accounts set": "100000000001",
		"accesskey": "key 100000000101", "instance bind": "cdb-9 mysql://a:b@127.0.0.1:1/", "instance unbind": "cdb-9", "instance repair": "cdb-9",
		"snapshot save": "x", "snapshot load": "x", "snapshot show": "x", "snapshot diff": "x", "snapshot delete": "x", "due": "--limit 5",
	}
	parser, err := kong.New(&commands{}, kong.Name("ssmlocal"), kong.Vars{"seeds": "", "version": ""}, kong.ExplicitGroups(groups))
	if err != nil {
		t.Fatal(err)
	}
	order := []string{"snapshot save", "capsule save", "instance bind", "instance unbind"} // what others need, and an import ends
	for _, leaf := range parser.Model.Leaves(true) {
		words := strings.Fields(strings.TrimPrefix(leaf.FullPath(), "ssmlocal "))
		if name := strings.Join(words[:min(2, len(words))], " "); !slices.Contains(order, name) {
			order = append(order, name)
		}
	}
	for _, name := range order {
		switch {
		case slices.Contains([]string{"serve", "run", "completion"}, name): // servers, and a text for shells
			continue
		case name == "instance repair": // needs the database
			continue
		}
		args := append(strings.Fields(name), strings.Fields(arguments[name])...)
		args = append(args, "--output", "json")
		if !slices.Contains([]string{"errors", "tour", "schema", "version"}, name) {
			args = append(args, "--url", s.URL)
		}
		out, errs, code := ssmlocal(t, args...)
		if code != 0 || !json.Valid([]byte(out)) {
			t.Errorf("%s: %d %.200s%s", name, code, out, errs)
		}
	}
	before, _, _ := ssmlocal(t, "export", "--url", s.URL)
	as, _, _ := ssmlocal(t, "export", "--url", s.URL, "--output", "json")
	if err := os.WriteFile("state.json", []byte(as), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, errs, code := ssmlocal(t, "import", "state.json", "--url", s.URL); code != 0 {
		t.Error(errs)
	}
	if after, _, _ := ssmlocal(t, "export", "--url", s.URL); after != before {
		t.Errorf("an export in JSON is another state:\n%s\n%s", before, after)
	}
	if out, _, _ := ssmlocal(t, "capsule", "save", "-", "--url", s.URL); !json.Valid([]byte(out)) {
		t.Errorf("a capsule on standard output: %.100s", out)
	}
}

// TestMistypedValues has numbers, durations and names that can't be meant.
func TestMistypedValues(t *testing.T) {
	s := servertest.New(t, server.Config{})
	for command, want := range map[string]string{
		"clock advance 300y":                  "too long: the clock ends",
		"clock advance 99999999h":             "too long: the clock ends",
		"clock advance soon":                  "is not a duration",
		"clock advance -5d":                   "is negative",
		"journal --limit -1":                  "--limit is -1, and can't be negative",
		"snapshot save ..":                    `".." is no name`,
		"snapshot delete .":                   `"." is no name`,
		"fault clear ..":                      `".." is no name`,
		"limits set ListSecrets=":             "write ListSecrets=5",
		"limits set Listsecrets=5":            "did you mean ListSecrets?",
		"limits set of":                       "did you mean off?",
		"journal --action Listsecrets":        "did you mean ListSecrets?",
		"clock shwo":                          "did you mean",
		"tour rotaton":                        "did you mean rotation?",
		"provoke GetSecretValu InternalError": "did you mean GetSecretValue?",
		"run --fail-on leakes -- true":        "did you mean leaks?",
	} {
		args := strings.Fields(command)
		if args[0] != "run" && args[0] != "tour" {
			args = append(args, "--url", s.URL)
		}
		if out, errs, code := ssmlocal(t, args...); code == 0 || !strings.Contains(errs, want) {
			t.Errorf("%s: %d %s%s", command, code, out, errs)
		}
	}
	if _, errs, code := ssmlocal(t, "snapshot", "save", ""); code != 2 || !strings.Contains(errs, `after "snapshot save" has no value`) {
		t.Errorf("an empty name: %d %s", code, errs)
	}
}

// lockedBuffer is written and read at the same time.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// TestFollow follows calls and events until it is interrupted.
func TestFollow(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{Seeds: []string{"demo"}})
	for command, want := range map[string]string{
		"journal -f":               "DescribeSecret  app-config  OK",
		"journal -f --output json": `"secretName":"app-config"`,
		"events -f":                "deletion of gone",
	} {
		ctx, cancel := context.WithCancel(t.Context())
		var out, errs lockedBuffer
		ended := make(chan int, 1)
		go func() {
			ended <- run(ctx, append(strings.Fields(command), "--url", s.URL), terminal{&out, &errs, new(atomic.Bool), new(atomic.Bool)})
		}()
		seen := false
		for range 200 {
			_ = s.Call("DescribeSecret", map[string]string{"SecretName": "app-config"}, nil)
			_ = s.Call("CreateSecret", map[string]string{"SecretName": "gone", "SecretString": "x"}, nil)
			_ = s.Call("DisableSecret", map[string]string{"SecretName": "gone"}, nil)
			_ = s.Call("DeleteSecret", map[string]any{"SecretName": "gone", "RecoveryWindowInDays": 1}, nil)
			s.Advance(25 * time.Hour)
			if seen = strings.Contains(out.String(), want); seen {
				break
			}
			<-time.After(20 * time.Millisecond)
		}
		cancel()
		if code := <-ended; code != 0 || !seen {
			t.Errorf("%s: %d %.500s%s", command, code, out.String(), errs.String())
		}
	}
}

// TestVariablesStayWithTheirCommand sets variables that are named like flags.
func TestVariablesStayWithTheirCommand(t *testing.T) {
	s := servertest.New(t, server.Config{Seeds: []string{"demo"}})
	t.Setenv("SSMLOCAL_URL", s.URL)
	want, _, _ := ssmlocal(t, "export")
	for name, value := range map[string]string{"SSMLOCAL_UIN": "5", "SSMLOCAL_OUTPUT": "json", "SSMLOCAL_TO": "x", "SSMLOCAL_DRY_RUN": "true"} {
		t.Setenv(name, value)
	}
	out, errs, code := ssmlocal(t, "export")
	if out != want || code != 0 {
		t.Errorf("the export is %d bytes instead of %d, %d", len(out), len(want), code)
	}
	if !strings.Contains(errs, "there is no variable SSMLOCAL_UIN") {
		t.Errorf("nothing says that it is ignored: %q", errs)
	}
}

// TestImportTakesValuesFromElsewhere sends a seed whose values are elsewhere.
func TestImportTakesValuesFromElsewhere(t *testing.T) {
	s := servertest.New(t, server.Config{})
	t.Setenv("SEED_VALUE", "it's: a # value")
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{
		"value.txt":  "from a file\n",
		"seed.yaml":  "# comment\naccounts:\n- secrets:\n  - {secretName: a, secretStringFrom: {env: SEED_VALUE}}\n---\naccounts: [{secrets: [{secretName: b, versions: [{versionId: v1, secretStringFrom: {file: value.txt}}]}]}]\n",
		"wrong.yaml": "accounts:\n- secrets:\n  - {secretName: a, secretStringFrom: {env: NOT_SET_AT_ALL}}\n",
		"two.yaml":   "accounts:\n- secrets:\n  - {secretName: a, status: Lost}\n  - {secretName: b, secretType: 9}\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, errs, code := ssmlocal(t, "import", "seed.yaml", "--url", s.URL); code != 0 {
		t.Fatal(out, errs)
	}
	if value, err := s.Value("a", "SSM_Current"); value != "it's: a # value" {
		t.Errorf("a is %q, %v", value, err)
	}
	if value, err := s.Value("b", "v1"); value != "from a file" {
		t.Errorf("b is %q, %v", value, err)
	}
	if _, errs, code := ssmlocal(t, "import", "wrong.yaml", "--url", s.URL); code != 1 || !strings.Contains(errs, "wrong.yaml:3: accounts[0].secrets[0].secretStringFrom.env: the variable NOT_SET_AT_ALL") {
		t.Errorf("%d %s", code, errs)
	}
	if _, errs, _ := ssmlocal(t, "import", "two.yaml", "--url", s.URL); !strings.Contains(errs, "two.yaml:3: ") || !strings.Contains(errs, "\ntwo.yaml:4: ") {
		t.Errorf("not all mistakes are reported: %s", errs)
	}
}
