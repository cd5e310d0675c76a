package main

import (
	"fmt"
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
