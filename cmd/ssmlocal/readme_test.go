package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ssmlocal/fixtures"
	"ssmlocal/server"
	"ssmlocal/server/action"
	"ssmlocal/server/control"
	"ssmlocal/server/servertest"
	"ssmlocal/server/ssm"
)

// TestREADME compares the generated parts of the README with what the program says; -update writes them.
func TestREADME(t *testing.T) {
	const file = "../../README.md"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	help, _, _ := ssmlocal(t, "serve", "--help")
	_, flags, _ := strings.Cut(help, "Flags:\n")
	want := string(text)
	for name, part := range map[string]string{
		"flags":     "```\n" + flags + "```\n",
		"actions":   actionTable(t),
		"lifecycle": ssm.Lifecycle(),
		"control":   control.Table(),
		"gotest":    source(t, "../../server/servertest/readme_test.go"),
	} {
		before, rest, ok := strings.Cut(want, "<!-- "+name+" -->\n")
		_, after, ok2 := strings.Cut(rest, "<!-- /"+name+" -->\n")
		if !ok || !ok2 {
			t.Fatalf("the README has no part %s", name)
		}
		want = before + "<!-- " + name + " -->\n" + part + "<!-- /" + name + " -->\n" + after
	}
	if want == string(text) {
		return
	}
	if !*update {
		t.Fatal("the README differs from the program: run go test ./cmd/ssmlocal -update and look at the difference")
	}
	if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestREADMESeeds imports the seeds that the README shows, and moves the clock over the one of which it says what happens.
func TestREADMESeeds(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	seeds := strings.Split(string(text), "```yaml\n")[1:]
	if len(seeds) == 0 {
		t.Fatal("the README shows no seed")
	}
	p := servertest.New(t, server.Config{}).URL
	for _, seed := range seeds {
		seed, _, _ = strings.Cut(seed, "```")
		file := filepath.Join(t.TempDir(), "seed.yaml")
		if err := os.WriteFile(file, []byte(seed), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, errs, code := ssmlocal(t, "import", "--url", p, file); code != 0 {
			t.Errorf("%s\n%s", seed, errs)
		}
		if strings.Contains(seed, "clock:") {
			out, _, _ := ssmlocal(t, "clock", "advance", "30d", "--url", p)
			if !strings.Contains(string(text), "$ ssmlocal clock advance 30d\n"+out+"```") {
				t.Errorf("the README tells something else than\n%s", out)
			}
		}
	}
}

// source is a Go file as Markdown, without its package.
func source(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, code, _ := strings.Cut(string(text), "\n\n")
	return "```go\n" + code + "```\n"
}

// actionTable is the table of actions in Markdown, with how many of the documented ones it has.
func actionTable(t *testing.T) string {
	t.Helper()
	api, err := fixtures.Facts()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("| Action | calls a second |\n|---|--:|\n")
	for _, set := range action.Sets() {
		for _, a := range set.Actions {
			name := a.Name
			if set.Service != action.Service {
				name += " (" + set.Service + " " + set.Version + ")"
			}
			fmt.Fprintf(&b, "| %s | %d |\n", name, a.Rate)
		}
	}
	fmt.Fprintf(&b, "\n%d of %d actions of Secrets Manager work.\n", len(action.All()), len(api.Actions))
	return b.String()
}
