package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestConsole drives the console with a real browser: Debian's chromium, and
// playwright-core from npm, which .ci/run installs. What is not there is
// skipped, unless SSMLOCAL_REQUIRE names "browser". SSMLOCAL_PICTURES=DIR keeps
// a picture of every page; -update takes those of the README anew.
func TestConsole(t *testing.T) {
	folder := "../../fixtures/console"
	browser, missing := exec.LookPath("chromium")
	if missing == nil {
		_, missing = os.Stat(filepath.Join(folder, "node_modules"))
	}
	if missing != nil {
		if strings.Contains(os.Getenv("SSMLOCAL_REQUIRE"), "browser") {
			t.Fatal(missing)
		}
		t.Skipf("install chromium, and run npm ci in fixtures/console: %v", missing)
	}
	p := startProgram(t, "--listen", "127.0.0.1:0")
	defer func() { _ = p.cmd.Process.Signal(os.Interrupt); _ = p.cmd.Wait() }()
	cmd := exec.CommandContext(t.Context(), "node", "--test", "console.test.mjs")
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), "SSMLOCAL_URL="+p.url, "SSMLOCAL_CHROMIUM="+browser)
	if *update {
		cmd.Env = append(cmd.Env, "SSMLOCAL_README_PICTURES=.")
	}
	out, err := cmd.CombinedOutput()
	if err != nil || !regexp.MustCompile(`(?m)^# pass [1-9]\d*\s(.*\n)*?# fail 0`).Match(out) {
		t.Errorf("%v\n%s", err, out)
	}
	for _, line := range regexp.MustCompile(`(?m)^# (first paint|pass) .*`).FindAllString(string(out), -1) {
		t.Log(line)
	}
}
