package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"ssmlocal/fixtures"
	"ssmlocal/server"
	"ssmlocal/server/action"
	"ssmlocal/server/control"
	"ssmlocal/server/servertest"
	"ssmlocal/server/ssm"
)

// TestREADME compares the generated parts of the documents with what the
// program says; -update writes them.
func TestREADME(t *testing.T) {
	help, _, _ := ssmlocal(t, "serve", "--help")
	_, flags, _ := strings.Cut(help, "Flags:\n")
	all, _, _ := ssmlocal(t, "--help")
	_, commands, _ := strings.Cut(all, "and exit.\n\n")
	for _, c := range []struct{ file, name, part string }{
		{"cmd/ssmlocal/README.md", "commands", "```\n" + commands + "```\n"},
		{"cmd/ssmlocal/README.md", "flags", "```\n" + flags + "```\n"},
		{"server/README.md", "actions", actionTable(t)},
		{"server/README.md", "lifecycle", ssm.Lifecycle()},
		{"server/control/README.md", "control", control.Table()},
		{"README.md", "gotest", source(t, "../../server/servertest/readme_test.go")},
	} {
		generated(t, c.file, c.name, c.part)
	}
}

// generated compares a part of a document, between two marks, with what it must
// be.
func generated(t *testing.T, file, name, part string) {
	t.Helper()
	path := filepath.Join("../..", file)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), "<!-- "+name+" -->\n")
	_, after, ok2 := strings.Cut(rest, "<!-- /"+name+" -->\n")
	if !ok || !ok2 {
		t.Fatalf("%s has no part %s", file, name)
	}
	want := before + "<!-- " + name + " -->\n" + part + "<!-- /" + name + " -->\n" + after
	if want == string(text) {
		return
	}
	if !*update {
		t.Fatalf("the part %s of %s differs from the program: run go test ./cmd/ssmlocal -update and look at the difference", name, file)
	}
	if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestShownSeeds imports the seeds that the documents show, and moves the clock
// for the one whose events they show.
func TestShownSeeds(t *testing.T) {
	seeds := documentsSeeds(t, "fixtures/README.md", "server/README.md")
	p := servertest.New(t, server.Config{}).URL
	clocks := 0
	shown, err := os.ReadFile("../../server/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, seed := range seeds {
		file := filepath.Join(t.TempDir(), "seed.yaml")
		if err := os.WriteFile(file, []byte(seed), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, errs, code := ssmlocal(t, "import", "--url", p, file); code != 0 {
			t.Errorf("%s\n%s", seed, errs)
		}
		if strings.Contains(seed, "clock:") {
			clocks++
			out, _, _ := ssmlocal(t, "clock", "advance", "30d", "--url", p)
			if !strings.Contains(string(shown), "$ ssmlocal clock advance 30d\n"+out+"```") {
				t.Errorf("server/README.md says something else than\n%s", out)
			}
		}
	}
	if len(seeds) < 2 || clocks != 1 {
		t.Errorf("%d seeds are shown, %d with a clock", len(seeds), clocks)
	}
}

// documentsSeeds returns the blocks of YAML in documents.
func documentsSeeds(t *testing.T, files ...string) (seeds []string) {
	t.Helper()
	for _, file := range files {
		text, err := os.ReadFile(filepath.Join("../..", file))
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range strings.Split(string(text), "```yaml\n")[1:] {
			seed, _, _ := strings.Cut(block, "```")
			seeds = append(seeds, seed)
		}
	}
	return seeds
}

// TestLinks follows the links between the documents: the files and the headings
// are there.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	notInAnchor := regexp.MustCompile(`[^\pL\pN _-]`)
	anchors := func(file string) (all []string) {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil
		}
		for line := range strings.Lines(string(text)) {
			if title, is := strings.CutPrefix(strings.TrimLeft(line, "#"), " "); is && strings.HasPrefix(line, "#") {
				all = append(all, strings.ReplaceAll(notInAnchor.ReplaceAllString(strings.ToLower(strings.TrimSpace(title)), ""), " ", "-"))
			}
		}
		return all
	}
	documents, links := []string{"README.md"}, 0
	for _, pattern := range []string{"*/README*.md", "*/*/README*.md", "fixtures/*.md"} {
		found, err := filepath.Glob(filepath.Join("../..", pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range found {
			documents = append(documents, strings.TrimPrefix(filepath.ToSlash(file), "../../"))
		}
	}
	for _, document := range documents {
		text, err := os.ReadFile(filepath.Join("../..", document))
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range link.FindAllStringSubmatch(string(text), -1) {
			path, anchor, _ := strings.Cut(found[1], "#")
			if strings.Contains(path, "://") {
				continue
			}
			links++
			target := filepath.Join("../..", filepath.Dir(document), path)
			if path == "" {
				target = filepath.Join("../..", document)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: %s is not there", document, found[1])
			} else if anchor != "" && !slices.Contains(anchors(target), anchor) {
				t.Errorf("%s: %s has no such heading", document, found[1])
			}
		}
	}
	if links < 40 {
		t.Errorf("only %d links in %v", links, documents)
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

// actionTable is the table of actions in Markdown, with how many of the
// documented ones it has.
func actionTable(t *testing.T) string {
	t.Helper()
	api, err := fixtures.Facts()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("| Action | calls per second |\n|---|--:|\n")
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
