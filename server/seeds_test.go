package server_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ssmlocal/server"
	"ssmlocal/server/servertest"
)

// TestSeedsWithValuesElsewhere starts from a seed that can be committed.
func TestSeedsWithValuesElsewhere(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("SEED_VALUE", "from the environment")
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	write("value.txt", "from a file\n")
	write("binary", "\xff\xfe of a key")
	file := write("seed.yaml", `accounts:
  - secrets:
      - {secretName: env, secretStringFrom: {env: SEED_VALUE}}
      - {secretName: file, versions: [{versionId: v1, secretStringFrom: {file: value.txt}}]}
`)
	s := servertest.New(t, server.Config{Seeds: []string{file}})
	for at, want := range map[string]string{"env SSM_Current": "from the environment", "file v1": "from a file"} {
		name, version, _ := strings.Cut(at, " ")
		if value, err := s.Value(name, version); value != want {
			t.Errorf("%s is %q, %v", at, value, err)
		}
	}
	for text, want := range map[string]string{
		"secretStringFrom: {env: NOT_SET_AT_ALL}":            "NOT_SET_AT_ALL is not set",
		"secretStringFrom: {file: none.txt}":                 "no such file",
		"secretStringFrom: {}":                               "one of env and file",
		"secretStringFrom: {env: SEED_VALUE, file: x}":       "one of env and file",
		"secretString: x, secretStringFrom: {file: x}":       "not both",
		"secretStringFrom: {file: /dev/null}":                "is no file",
		"secretStringFrom: {file: binary}":                   "not text in UTF-8",
		"secretStringFrom: {file: .}":                        "is no file",
		"secretType: 2, secretStringFrom: {env: SEED_VALUE}": "secretString",
	} {
		file := write("wrong.yaml", "accounts: [{secrets: [{secretName: a, "+text+"}]}]")
		if _, err := server.New(server.Config{Listen: []string{"127.0.0.1:0"}, Seeds: []string{file}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	// A seed that is sent can't read this machine.
	answer := refusedControl(t, s, http.MethodPut, "/state", "accounts: [{secrets: [{secretName: a, secretStringFrom: {file: /etc/hostname}}]}]")
	if !strings.Contains(answer, "not for a seed that is sent") {
		t.Error(answer)
	}
}

// TestWatchedSeeds edits a seed file while the emulator runs.
func TestWatchedSeeds(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "seed.yaml")
	write := func(text string) {
		if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	write("clock: {now: 2030-01-01T00:00:00Z, frozen: true}\naccounts: [{secrets: [{secretName: a, secretString: one}]}]")
	s := servertest.New(t, server.Config{Seeds: []string{file}, WatchSeeds: true})
	if err := s.Call("CreateSecret", map[string]string{"SecretName": "own", "SecretString": "kept"}, nil); err != nil {
		t.Fatal(err)
	}
	s.Advance(time.Hour)
	becomes := func(name, want string) {
		t.Helper()
		for range 200 {
			if value, _ := s.Value(name, "SSM_Current"); value == want {
				return
			}
			<-time.After(50 * time.Millisecond)
		}
		t.Errorf("%s does not become %q", name, want)
	}
	write("clock: {now: 2030-01-01T00:00:00Z, frozen: true}\naccounts: [{secrets: [{secretName: a, secretString: two}, {secretName: b, secretString: new}]}]")
	becomes("a", "two")
	becomes("b", "new")
	becomes("own", "kept")
	if now := s.Clock.Now().UTC().Format(time.RFC3339); now != "2030-01-01T01:00:00Z" {
		t.Errorf("the clock is %s", now)
	}
	write("accounts: [{secrets: [{secretName: a, status: Lost}]}]") // a mistake changes nothing
	write("accounts: [{secrets: [{secretName: a, secretString: three}]}]")
	becomes("a", "three")
	becomes("b", "new")
}

// TestSeedsFromAPipe seeds from a pipe, which can be read once, and returns to
// that seed with a reset.
func TestSeedsFromAPipe(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := io.WriteString(w, "accounts: [{secrets: [{secretName: piped, secretString: x}]}]"); err != nil {
		t.Fatal(err)
	}
	w.Close()
	name := fmt.Sprintf("/dev/fd/%d", r.Fd())
	if _, err := os.Stat(name); err != nil {
		t.Skip("this system has no names for open files")
	}
	s := servertest.New(t, server.Config{Seeds: []string{name}})
	callControl(t, s, http.MethodPost, "/reset", "")
	if value, err := s.Value("piped", "SSM_Current"); value != "x" {
		t.Errorf("piped is %q, %v", value, err)
	}
}
