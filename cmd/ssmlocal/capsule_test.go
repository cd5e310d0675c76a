package main

import (
	"os"
	"strings"
	"testing"

	"ssmlocal/server"
	"ssmlocal/server/servertest"
)

// TestReplayWithoutAnEmulator replays a file in the command's own process, and
// finds the answer that was changed in it.
func TestReplayWithoutAnEmulator(t *testing.T) {
	s := servertest.New(t, server.Config{Capsule: 10})
	if err := s.Call("CreateSecret", map[string]string{"SecretName": "one", "SecretString": "value-of-one"}, nil); err != nil {
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
	if out, errs, code := ssmlocal(t, "replay", "run.json"); code != 0 || out != "requests: 1, and every answer is the same\n" {
		t.Errorf("%d, %s%s", code, out, errs)
	}
	text, err := os.ReadFile("run.json")
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(text), `\"SecretName\":\"one\",\"VersionId\"`, `\"SecretName\":\"two\",\"VersionId\"`, 1)
	if err := os.WriteFile("run.json", []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	out, errs, code := ssmlocal(t, "replay", "run.json")
	if code != 1 || !strings.Contains(out, "request 1, CreateSecret") || !strings.Contains(out, "recorded") || !strings.Contains(errs, "request 1") {
		t.Errorf("%d, %s%s", code, out, errs)
	}
	for _, where := range [][]string{nil, {"--url", s.URL}} {
		out, errs, code := ssmlocal(t, append([]string{"replay", "run.json", "--output", "json"}, where...)...)
		if code != 1 || !strings.Contains(out, `"number": 1`) || !strings.Contains(errs, "request 1") {
			t.Errorf("%v: %d, %s%s", where, code, out, errs)
		}
	}
}
