package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"ssmlocal/server"
	"ssmlocal/store"
)

var update = flag.Bool("update", false, "write generated parts anew")

// TestMain lets this test binary stand in for the program: with the variable
// set it is ssmlocal.
func TestMain(m *testing.M) {
	if os.Getenv("SSMLOCAL_TEST_MAIN") == "1" {
		os.Unsetenv("SSMLOCAL_TEST_MAIN")
		main()
	}
	os.Exit(m.Run())
}

// ssmlocal runs one command line and returns what it prints and its exit code.
func ssmlocal(t *testing.T, args ...string) (out, errs string, code int) {
	t.Helper()
	var o, e bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if len(args) == 0 || args[0] == "serve" || args[0][0] == '-' {
		cancel() // a server that starts stops at once
	}
	code = run(ctx, args, terminal{&o, &e, new(atomic.Bool), new(atomic.Bool)})
	return o.String(), e.String(), code
}

// badSeed writes a seed with a mistake in its third line.
func badSeed(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(file, []byte("accounts:\n  - uin: 5\n    secrets: [{secretName: a, status: Gone}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestMistakes makes mistakes on the command line: each ends in one clear line,
// with the right exit code, and nothing is written.
func TestMistakes(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	data := filepath.Join(t.TempDir(), "data")
	for _, c := range []struct {
		args []string
		code int
		want []string
	}{
		{[]string{"serve", "--nope"}, 2, []string{"unknown flag --nope", "--help"}},
		{[]string{"nope"}, 2, []string{"nope", "--help"}},
		{[]string{"--auth", "maybe"}, 2, []string{"--auth", "verify", "any", "off"}},
		{[]string{"--limits", "some"}, 2, []string{"--limits", "documented"}},
		{[]string{"--log-level", "loud"}, 2, []string{"--log-level", "debug"}},
		{[]string{"--limit", "GetSecretValue"}, 2, []string{"--limit"}},
		{[]string{"--limit", "GetSecretValue=x"}, 2, []string{"--limit", "x"}},
		{[]string{"--listen", "127.0.0.1:0", "--limit", "GetSecret=5"}, 2, []string{"no action GetSecret", "GetSecretValue"}},
		{[]string{"--task-pace", "soon"}, 2, []string{"--task-pace", "soon", "3polls"}},
		{[]string{"--listen", "127.0.0.1:0", "--control", taken.Addr().String()}, 1, []string{"--control", taken.Addr().String(), "in use"}},
		{[]string{"--credential", "AKIDa"}, 2, []string{"--credential", "ID:KEY"}},
		{[]string{"--credential", "AKIDa:hushhush:0"}, 2, []string{"--credential", "Uin", "100000000001"}},
		{[]string{"--credential", "hush,hush:x"}, 2, []string{"--credential", "first colon"}},
		{[]string{"--control", ""}, 2, []string{"--control", "no value"}},
		{[]string{"--seed="}, 2, []string{"--seed=", "no value"}},
		{[]string{"--listen", taken.Addr().String()}, 1, []string{taken.Addr().String(), "in use", "--listen"}},
		{[]string{"--listen", "127.0.0.1"}, 2, []string{"127.0.0.1", "port", "--listen takes HOST:PORT"}},
		{[]string{"--listen", "127.0.0.1:0", "--secret-limit", "0"}, 2, []string{"--secret-limit", "at least 1"}},
		{[]string{"--listen", "127.0.0.1:0", "--credential", "a:b", "--credential", "a:c"}, 2, []string{"SecretId a", "twice"}},
		{[]string{"--listen", "127.0.0.1:0", "--seed", "nowhere"}, 2, []string{"--seed", "nowhere", "demo, errors, every-status"}},
		{[]string{"--listen", "127.0.0.1:0", "--seed", badSeed(t)}, 2, []string{"--seed", "bad.yaml:3: accounts[0].secrets[0].status", "Enabled"}},
		{[]string{"--listen", "127.0.0.1:0", "--journal", "-1"}, 2, []string{"--journal"}},
		{[]string{"--random-seed", "x"}, 2, []string{"--random-seed"}},
		{[]string{"wait", "--url", "http://" + closedPort(t), "--timeout", "100ms"}, 1, []string{"not ready after 100ms", "connection refused", "ssmlocal serve"}},
		{[]string{"wait", "--url", "nonsense"}, 2, []string{"--url"}},
		{[]string{"errors", "GetSecretValue", "Nonsense"}, 2, []string{"no recipe for GetSecretValue Nonsense"}},
		{[]string{"errors", "TokenFailure"}, 2, []string{"did you mean AuthFailure.TokenFailure?"}},
		{[]string{"errors", "getsecretvalue"}, 2, []string{"did you mean GetSecretValue?"}},
		{[]string{"import", "/nowhere/x.yaml"}, 1, []string{"cannot read the seed", "/nowhere/x.yaml"}},
		{[]string{"fault", "add", "--delay", "soon"}, 2, []string{"--delay", "500ms-2s"}},
		{[]string{"fault", "add", "--message", "x"}, 2, []string{"--message goes with --error"}},
		{[]string{"fault", "add", "--script", "pass,later"}, 2, []string{"--script", "later"}},
		{[]string{"health", "--url", "nonsense"}, 2, []string{"--url", "nonsense", "http://127.0.0.1:9023"}},
		{[]string{"health", "--url", "http://" + closedPort(t)}, 1, []string{"no emulator answers", "ssmlocal serve"}},
		{[]string{"env", "--credential", "x"}, 2, []string{"ID:KEY"}},
	} {
		args := c.args
		if c.args[0] == "serve" || c.args[0][0] == '-' {
			args = append(args[:len(args):len(args)], "--data", data)
		}
		out, errs, code := ssmlocal(t, args...)
		if code != c.code || out != "" || strings.Count(errs, "\n") != 1 {
			t.Errorf("%v: exit %d, want %d; output %q, errors %q", args, code, c.code, out, errs)
		}
		for _, part := range c.want {
			if !strings.Contains(errs, part) {
				t.Errorf("%v: %q is not in %q", args, part, errs)
			}
		}
		if strings.Contains(errs, "hushhush") {
			t.Errorf("%v: the key is in %q", args, errs)
		}
	}
	if _, err := os.Stat(data); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a mistake left the data directory behind: %v", err)
	}
}

// closedPort returns an address that nothing listens on.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// TestDataFileMistakes starts on data files that can't be used.
func TestDataFileMistakes(t *testing.T) {
	damaged, locked := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(damaged, store.FileName), []byte("no data file"), 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := store.OpenDir(locked)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for dir, want := range map[string][]string{
		damaged: {"damaged", damaged, "backup"},
		locked:  {"another process", locked, "--data"},
	} {
		out, errs, code := ssmlocal(t, "--listen", "127.0.0.1:0", "--data", dir)
		if code != 1 || out != "" || strings.Count(errs, "\n") != 1 {
			t.Errorf("exit %d, output %q, errors %q", code, out, errs)
		}
		for _, part := range want {
			if !strings.Contains(errs, part) {
				t.Errorf("%q is not in %q", part, errs)
			}
		}
	}
}

// TestStartAndStop starts and stops a server and looks at what it says.
func TestStartAndStop(t *testing.T) {
	data := filepath.Join(t.TempDir(), "new", "data")
	for _, c := range []struct {
		args []string
		logs string
	}{
		{[]string{"--listen", "127.0.0.1:0"}, `msg="the state is temporary and ends with this process; use --data DIR to keep it"`},
		{[]string{"serve", "--listen", "127.0.0.1:0", "--limit", "GetRegions=1", "--limit", "ListSecrets=2"}, "temporary"},
		{[]string{"serve", "--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0", "--data", data, "--log", "json"}, `"msg":"the state is kept","data":"` + data + `"`},
	} {
		out, errs, code := ssmlocal(t, c.args...)
		if code != 0 || !strings.Contains(errs, c.logs) {
			t.Errorf("exit %d, log %q", code, errs)
		}
		for line := range strings.Lines(out) {
			if !strings.HasPrefix(line, "ssmlocal listens on http://127.0.0.1:") || strings.HasSuffix(line, ":0\n") {
				t.Errorf("output %q", out)
			}
		}
		if n := strings.Count(out, "\n"); n != strings.Count(strings.Join(c.args, " "), "--listen") {
			t.Errorf("%d lines: %q", n, out)
		}
	}
	if info, err := os.Stat(data); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the data directory: %v, %v", info, err)
	}
}

// TestEnvironment sets flags by their variables.
func TestEnvironment(t *testing.T) {
	t.Setenv("SSMLOCAL_LISTEN", "127.0.0.1:0,127.0.0.1:0")
	t.Setenv("SSMLOCAL_CREDENTIAL", "AKIDa:hushhush,AKIDb:hushhush:7")
	t.Setenv("SSMLOCAL_LIMIT", "GetSecretValue=5,RotateProductSecret=1")
	t.Setenv("SSMLOCAL_LIMITS", "off")
	t.Setenv("SSMLOCAL_LOG", "json")
	out, errs, code := ssmlocal(t)
	if code != 0 || strings.Count(out, "\n") != 2 || !strings.HasPrefix(errs, `{"time"`) {
		t.Errorf("exit %d, output %q, log %q", code, out, errs)
	}
	t.Setenv("SSMLOCAL_AUHT", "off")
	if _, errs, code := ssmlocal(t); code != 0 || !strings.Contains(errs, "there is no variable SSMLOCAL_AUHT") {
		t.Errorf("a misspelled variable: exit %d, %q", code, errs)
	}
	t.Setenv("SSMLOCAL_AUTH", "maybe")
	if _, errs, code := ssmlocal(t); code != 2 || !strings.Contains(errs, "SSMLOCAL_AUTH") && !strings.Contains(errs, "--auth") {
		t.Errorf("exit %d, %q", code, errs)
	}
}

func TestCredentialsOfAVariable(t *testing.T) {
	for text, want := range map[string][]string{
		"AKIDa:x,AKIDb:y:7": {"AKIDa:x", "AKIDb:y:7"}, "AKIDa:x,y:z": {"AKIDa:x,y:z"}, "a:x\nb:y,z\r\n": {"a:x", "b:y,z"}, "a:x": {"a:x"},
	} {
		if got := splitCredentials([]string{text}); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestHealth(t *testing.T) {
	alive := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.URL.Path != "/_ssmlocal/health" {
			http.NotFound(w, r)
		}
	}))
	defer alive.Close()
	if out, errs, code := ssmlocal(t, "health", "--url", alive.URL); code != 0 || out != "alive\n" || errs != "" {
		t.Errorf("exit %d, %q, %q", code, out, errs)
	}
	t.Setenv("SSMLOCAL_LISTEN", strings.Replace(strings.TrimPrefix(alive.URL, "http://"), "127.0.0.1", "0.0.0.0", 1))
	if _, errs, code := ssmlocal(t, "health"); code != 0 {
		t.Errorf("by SSMLOCAL_LISTEN: exit %d, %q", code, errs)
	}
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	if _, errs, code := ssmlocal(t, "health", "--url", other.URL); code != 1 || !strings.Contains(errs, "404") {
		t.Errorf("exit %d, %q", code, errs)
	}
}

// TestPrinted compares what the commands print with files: help, and the
// settings of the clients.
func TestPrinted(t *testing.T) {
	for _, args := range [][]string{
		{"--help"}, {"serve", "--help"}, {"health", "--help"}, {"env", "--help"}, {"clock", "--help"}, {"clock", "advance", "--help"}, {"env"},
		{"wait", "--help"}, {"fault", "--help"}, {"fault", "list", "--help"}, {"fault", "add", "--help"}, {"fault", "clear", "--help"}, {"provoke", "--help"},
		{"errors", "--help"}, {"export", "--help"}, {"import", "--help"}, {"reset", "--help"}, {"version", "--help"}, {"ca", "--help"},
		{"ca", "--install-hint", "--out", "/ca.pem", "--truststore", "/trust.p12", "--url", "http://10.1.2.3:80"},
		{"clock", "show", "--help"}, {"clock", "set", "--help"}, {"clock", "freeze", "--help"}, {"clock", "run", "--help"},
		{"env", "--url", "http://10.1.2.3:80", "--credential", "AKIDa:it's a $key"},
	} {
		name := strings.NewReplacer(" ", "-", "--", "", "http://", "", ":", "-", "/", "", "'", "", "$", "").Replace(strings.Join(args, " "))
		t.Run(name, func(t *testing.T) {
			out, errs, code := ssmlocal(t, args...)
			if code != 0 || errs != "" {
				t.Errorf("exit %d, %q", code, errs)
			}
			golden := filepath.Join("testdata", name+".txt")
			if *update {
				if err := os.WriteFile(golden, []byte(out), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if out != string(want) {
				t.Errorf("printed\n%s\nwant\n%s", out, want)
			}
		})
	}
	if out, _, code := ssmlocal(t, "version"); code != 0 || !strings.HasPrefix(out, "ssmlocal ") {
		t.Errorf("version: exit %d, %q", code, out)
	}
}

// TestWhoMayRead names the user in what a person sees of a file that may not be
// read, however deep it lies.
func TestWhoMayRead(t *testing.T) {
	denied := usageError{server.ConfigError{}}
	if hint := whoMayRead(denied); hint != "" {
		t.Errorf("another error has the hint %q", hint)
	}
	_, err := server.New(server.Config{Listen: []string{"127.0.0.1:0"}, Seeds: []string{t.TempDir() + "/none"}})
	if hint := whoMayRead(usageError{err}); hint != "" {
		t.Errorf("a missing seed has the hint %q", hint)
	}
	deep := usageError{fmt.Errorf("cannot read: %w", fs.ErrPermission)}
	if hint := whoMayRead(deep); !strings.Contains(hint, fmt.Sprintf("id %d", os.Getuid())) {
		t.Errorf("the hint is %q", hint)
	}
	if os.Getuid() == 0 || runtime.GOOS == "windows" {
		return // root may read everything
	}
	file := filepath.Join(t.TempDir(), "seed.yaml")
	if err := os.WriteFile(file, []byte("accounts: []\n"), 0); err != nil {
		t.Fatal(err)
	}
	if _, errs, code := ssmlocal(t, "--listen", "127.0.0.1:0", "--seed", file); code != 2 || !strings.Contains(errs, "the user with id") {
		t.Errorf("%d, %s", code, errs)
	}
}

// TestSeedDirectory begins with the seeds of a directory that may be empty.
func TestSeedDirectory(t *testing.T) {
	dir := t.TempDir()
	of := func(directory string) []string {
		flags := serveFlags{SeedDir: directory, Seed: []string{"demo"}, Auth: "verify", Limits: "documented", SecretLimit: 1, TaskPace: "now", Log: "text"}
		config, err := flags.config()
		if err != nil {
			t.Fatal(err)
		}
		return config.Seeds
	}
	for _, empty := range []string{dir, filepath.Join(dir, "none"), ""} {
		if seeds := of(empty); len(seeds) != 1 {
			t.Errorf("%q: %q", empty, seeds)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "a.yaml"), []byte("accounts: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if seeds := of(dir); len(seeds) != 2 || seeds[0] != dir || seeds[1] != "demo" {
		t.Errorf("%q", seeds)
	}
}
