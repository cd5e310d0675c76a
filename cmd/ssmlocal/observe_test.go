package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

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
