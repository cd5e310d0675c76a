package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"ssmlocal/server"
	"ssmlocal/server/servertest"
)

// TestReplayWithoutAnEmulator replays a file in the command's own process, and
// finds the answer that was changed in it.
func TestReplayWithoutAnEmulator(t *testing.T) {
	s := servertest.New(t, server.Config{Capsule: 10})
	one := map[string]string{"SecretName": "one", "SecretString": "value-of-one"}
	if err := s.Call("CreateSecret", one, nil); err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	if _, errs, code := ssmlocal(t, "capsule", "save", "run.json", "--url", s.URL); code != 0 {
		t.Fatal(errs)
	}
	info, err := os.Stat("run.json")
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	const same = "requests: 1, and every answer is the same\n"
	if out, errs, code := ssmlocal(t, "replay", "run.json"); code != 0 || out != same {
		t.Errorf("%d, %s%s", code, out, errs)
	}
	text, err := os.ReadFile("run.json")
	if err != nil {
		t.Fatal(err)
	}
	const answer = `\"SecretName\":\"%s\",\"VersionId\"`
	changed := strings.Replace(string(text), fmt.Sprintf(answer, "one"), fmt.Sprintf(answer, "two"), 1)
	if err := os.WriteFile("run.json", []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	out, errs, code := ssmlocal(t, "replay", "run.json")
	says := strings.Contains(out, "request 1, CreateSecret") && strings.Contains(out, "recorded")
	if code != 1 || !says || !strings.Contains(errs, "request 1") {
		t.Errorf("%d, %s%s", code, out, errs)
	}
	for _, where := range [][]string{nil, {"--url", s.URL}} {
		out, errs, code := ssmlocal(t, append([]string{"replay", "run.json", "--output", "json"}, where...)...)
		if code != 1 || !strings.Contains(out, `"number": 1`) || !strings.Contains(errs, "request 1") {
			t.Errorf("%v: %d, %s%s", where, code, out, errs)
		}
	}
}

// TestStandardInput reads a seed with a value from the environment, and a
// capsule, from standard input.
func TestStandardInput(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{Capsule: 10})
	program := func(input string, args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
		cmd.Env = append(os.Environ(), "SSMLOCAL_TEST_MAIN=1", "SEED_VALUE=from-the-environment")
		cmd.Stdin = strings.NewReader(input)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := program(`accounts: [{secrets: [{secretName: a, secretStringFrom: {env: SEED_VALUE}}]}]`, "import", "-", "--url", s.URL); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if value, err := s.Value("a", "SSM_Current"); value != "from-the-environment" {
		t.Errorf("%q, %v", value, err)
	}
	saved, err := program("", "capsule", "save", "-", "--url", s.URL)
	if err != nil {
		t.Fatalf("%v: %s", err, saved)
	}
	if out, err := program(saved, "replay", "-"); err != nil || !strings.Contains(out, "every answer is the same") {
		t.Errorf("%v: %s", err, out)
	}
	stopped := strings.Replace(saved, `"notice"`, `"stopped": "\u001b[2Jcleared", "notice"`, 1)
	if out, err := program(stopped, "replay", "-", "--url", s.URL); err != nil || !strings.Contains(out, "?[2Jcleared") {
		t.Errorf("%v: %q", err, out)
	}
	if out, err := program("", "replay", t.TempDir()); err == nil || !strings.Contains(out, "is a directory") {
		t.Errorf("%v: %s", err, out)
	}
	if out, _ := program("", "serve", "--"+strings.Repeat("x", 5000)); len(out) > 2*longestLine {
		t.Errorf("%d bytes about a long flag", len(out))
	}
}
