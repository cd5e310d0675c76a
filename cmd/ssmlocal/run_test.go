package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// self begins a script in which S is the program itself.
const self = `S() { SSMLOCAL_TEST_MAIN=1 "$PROGRAM" "$@"; }
`

// runShell runs a script by ssmlocal run.
func runShell(t *testing.T, env []string, script string, flags ...string) (out, errs string, code int) {
	t.Helper()
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("there is no sh")
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], slices.Concat([]string{"run"}, flags, []string{"--", "sh", "-c", self + script})...)
	cmd.Env = append(append(os.Environ(), "SSMLOCAL_TEST_MAIN=1", "PROGRAM="+os.Args[0], "TMPDIR="+t.TempDir()), env...)
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	err := cmd.Run()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(lastValue(cmd.Env, "TMPDIR")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	return o.String(), e.String(), cmd.ProcessState.ExitCode()
}

func lastValue(env []string, name string) string {
	value, _ := lookup(env, name)
	return value
}

func TestRunGivesTheCommandAnEmulator(t *testing.T) {
	t.Parallel()
	out, errs, code := runShell(t, []string{"TENCENTCLOUD_TOKEN=real", "TENCENTCLOUD_SECRET_ID=real", "no_proxy=corp", "SSMLOCAL_LISTEN=127.0.0.1:1"}, `
		env
		echo "$(S call GetSecretValue SecretName=app-config VersionId=SSM_Current)"
		exit 7`, "--seed", "demo")
	if code != 7 {
		t.Fatalf("exit code %d\n%s%s", code, out, errs)
	}
	for _, want := range []string{
		"\nSSMLOCAL_URL=http://127.0.0.1:", "\nSSMLOCAL_ENDPOINT=127.0.0.1:", "\nTENCENTCLOUD_SECRET_ID=AKIDssmlocal\n",
		"\nTENCENTCLOUD_SECRET_KEY=ssmlocal\n", "\nTENCENTCLOUD_REGION=ap-guangzhou\n", "\nTENCENTCLOUD_PROTOCOL=HTTP\n",
		"\nTENCENTCLOUD_DOMAIN=localhost:", "\nno_proxy=127.0.0.1,localhost,::1,corp\n", "greeting",
	} {
		if !strings.Contains("\n"+out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	out, errs, _ = runShell(t, []string{"http_proxy=http://corp", "https_proxy=http://corp"}, "env")
	if strings.Contains(out, "http_proxy=") || !strings.Contains(out, "https_proxy=http://corp") || !strings.Contains(errs, "http_proxy is not set for the command") {
		t.Errorf("a proxy: %s\n%s", out, errs)
	}
	out, errs, _ = runShell(t, []string{"TENCENTCLOUD_TOKEN=real"}, "env")
	if strings.Contains(out, "real") || errs != "" {
		t.Errorf("%s\n%s", out, errs)
	}
}

func TestRunEndsAsTheCommandDoes(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]int{"true": 0, "exit 3": 3, "kill -TERM $$": 143, "kill -KILL $$": 137} {
		if out, errs, code := runShell(t, nil, script); code != want || out+errs != "" {
			t.Errorf("%s: %d, want %d: %s%s", script, code, want, out, errs)
		}
	}
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"run", "--", "no-such-command"}, 127, "no-such-command"},
		{[]string{"run", "--", t.TempDir()}, 126, "cannot run"},
		{[]string{"run"}, 2, "no command to run"},
		{[]string{"run", "--"}, 2, "no command to run"},
		{[]string{"run", "--fail-on", "leak", "--", "true"}, 2, "unused-faults"},
		{[]string{"run", "--seed", "none", "--", "true"}, 2, "there is no seed none"},
		{[]string{"run", "--control", "off", "--", "true"}, 2, "--control"},
		{[]string{"run", "--no-such-flag", "--", "true"}, 2, "no-such-flag"},
		{[]string{"run", "--report-junit", "none/report.xml", "--", "no-such-command"}, 2, "cannot write the report"},
	} {
		if _, errs, code := ssmlocal(t, c.args...); code != c.code || !strings.Contains(errs, c.says) {
			t.Errorf("%v: %d %s", c.args, code, errs)
		}
	}
}

// TestRunPassesSignalsOn ends a command that takes its time for it.
func TestRunPassesSignalsOn(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("there is no sh")
	}
	for _, signal := range passedOn() {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			passesOn(t, signal)
		})
	}
}

func passesOn(t *testing.T, signal os.Signal) {
	cmd := exec.CommandContext(t.Context(), os.Args[0], "run", "--", "sh", "-c", fmt.Sprintf(self+`
		trap 'echo got it; S health; exit 9' %d
		echo ready; while :; do sleep 0.05; done`, signal))
	cmd.Env = append(os.Environ(), "SSMLOCAL_TEST_MAIN=1", "PROGRAM="+os.Args[0])
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, 100)
	if n, _ := out.Read(buffer); string(buffer[:n]) != "ready\n" {
		t.Fatalf("it said %q", buffer[:n])
	}
	if err := cmd.Process.Signal(signal); err != nil {
		t.Skip("no such signal here:", err)
	}
	var rest bytes.Buffer
	_, _ = rest.ReadFrom(out)
	err = cmd.Wait()
	if rest.String() != "got it\nalive\n" || cmd.ProcessState.ExitCode() != 9 {
		t.Errorf("%q, %v", rest.String(), err)
	}
}

func TestRunReports(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "report.xml")
	script := `
		S fault add --id never --action GetRegions --error InternalError
		S call GetSecretValue SecretName=app-config VersionId=SSM_Current
		both="$SSMLOCAL_URL/_ssmlocal/call" # of one process, so that they come within a second
		curl -s -o "$OUT" -d '{"action":"ListSecrets"}' -H 'Content-Type: application/json' "$both" -o "$OUT" "$both"
		curl -s -o "$OUT" -H 'Host: ssm.tencentcloudapi.com' -H 'Content-Type: application/json' -H 'X-TC-Action: ListSecrets' \
			-H 'X-TC-Version: 2019-09-23' -H "X-TC-Timestamp: $(date +%s)" -H "Authorization: TC3-HMAC-SHA256 Credential=AKIDssmlocal/$(date -u +%Y-%m-%d)/ssm/tc3_request, SignedHeaders=content-type;host, Signature=$(printf %064d 0)" \
			-d '{}' "$SSMLOCAL_URL/"
		true`
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("there is no curl")
	}
	env := []string{"OUT=" + filepath.Join(t.TempDir(), "out")}
	_, errs, code := runShell(t, env, script, "--seed", "demo", "--report", "--report-junit", file, "--limit", "ListSecrets=1", "--log-level", "error")
	for _, want := range []string{"GetSecretValue  1  OK", "ListSecrets     1  RequestLimitExceeded", "ListSecrets: 2 of 1 a second", "never hit: GetRegions", "1 refused, more than 1 a second", "1 × "} {
		if !strings.Contains(errs, want) {
			t.Errorf("no %q in the report, exit code %d:\n%s", want, code, errs)
		}
	}
	if code != 0 {
		t.Errorf("nothing was to fail, and the exit code is %d", code)
	}
	missing := filepath.Join(t.TempDir(), "missing")
	if err := os.Mkdir(missing, 0o700); err != nil {
		t.Fatal(err)
	}
	_, errs, code = runShell(t, []string{"MISSING=" + missing}, `rm -r "$MISSING"; exit 7`, "--report-junit", filepath.Join(missing, "report.xml"))
	if code != 7 || !strings.Contains(errs, "cannot write the report") {
		t.Errorf("a report that can't be written: %d %s", code, errs)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var suite junitSuite
	if err := xml.Unmarshal(text, &suite); err != nil || suite.Tests != 4 || suite.Failures != 0 || len(suite.Cases) != 4 || !strings.Contains(suite.Cases[1].Out, "never") {
		t.Errorf("%v\n%s", err, text)
	}
	for what, says := range map[string]string{"unused-faults": "rule never", "throttled": "ListSecrets", "signatures": "1 ×"} {
		_, errs, code := runShell(t, env, script, "--seed", "demo", "--report-junit", file, "--fail-on", "leaks,"+what, "--limit", "ListSecrets=1", "--log-level", "error")
		if code != 1 || !strings.Contains(errs, says) {
			t.Errorf("--fail-on %s: %d\n%s", what, code, errs)
		}
		text, _ := os.ReadFile(file)
		if err := xml.Unmarshal(text, &suite); err != nil || suite.Failures != 1 {
			t.Errorf("--fail-on %s: %v\n%s", what, err, text)
		}
	}
	if _, errs, code := runShell(t, nil, "exit 5", "--fail-on", "leaks,unused-faults,throttled,signatures"); code != 5 || errs != "" {
		t.Errorf("a command that fails: %d %s", code, errs)
	}
}

// TestRunHTTPS lets curl and Python, with what the vendor's SDK trusts, call
// the emulator by HTTPS, without an option of theirs.
func TestRunHTTPS(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]string{
		"curl":    `curl -fsS "https://$SSMLOCAL_ENDPOINT/_ssmlocal/health"`,
		"python3": `python3 -c 'import os, ssl, urllib.request as u; print(u.urlopen("https://" + os.environ["SSMLOCAL_ENDPOINT"] + "/_ssmlocal/health").read())'`,
		"node":    `node -e 'fetch("https://" + process.env.SSMLOCAL_ENDPOINT + "/_ssmlocal/health").then((r) => r.text()).then(console.log)'`,
		"certifi": `"$PYTHON" -c 'import os, certifi, requests; print(requests.get("https://" + os.environ["SSMLOCAL_ENDPOINT"] + "/_ssmlocal/health", verify=certifi.where()).text)'`,
	} {
		program, python := name, "../../fixtures/clients/python/.venv/bin/python"
		if name == "certifi" {
			program = python
		}
		if _, err := exec.LookPath(program); err != nil {
			t.Logf("%s is not tested: %v", name, err)
			continue
		}
		absolute, _ := filepath.Abs(python)
		out, errs, code := runShell(t, []string{"PYTHON=" + absolute}, script, "--https")
		if code != 0 || !strings.Contains(out, "ok") {
			t.Errorf("%s: %d %s%s", name, code, out, errs)
		}
	}
	out, _, _ := runShell(t, []string{"PYTHONPATH=/own", "JAVA_TOOL_OPTIONS=-Down=1"}, "env", "--https")
	for _, want := range []string{":/own\n", "JAVA_TOOL_OPTIONS=-Down=1 -Djavax.net.ssl.trustStore=", "TENCENTCLOUD_PROTOCOL=HTTPS\n", "SSMLOCAL_URL=http://"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

// TestRunThroughProxy runs a program that calls the vendor's names, and one
// that also calls somebody else.
func TestRunThroughProxy(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("there is no curl")
	}
	vendor := `curl -fsS https://ssm.tencentcloudapi.com/ | grep -q MissingParameter || exit 4; env`
	out, errs, code := runShell(t, []string{"TENCENTCLOUD_DOMAIN=corp"}, vendor, "--through-proxy", "--log-level", "error")
	if code != 0 || strings.Contains(out, "TENCENTCLOUD_DOMAIN") || !strings.Contains(out, "https_proxy=http://127.0.0.1:") || !strings.Contains(out, "-Dhttps.proxyPort=") {
		t.Errorf("%d %s%s", code, out, errs)
	}
	_, errs, code = runShell(t, nil, vendor+"; curl -s https://example.invalid; true", "--through-proxy", "--log-level", "error")
	if code != 1 || !strings.Contains(errs, "leaks: 1 × example.invalid:443") {
		t.Errorf("a leak: %d %s", code, errs)
	}
}

// TestRunStopsTheEmulator calls it after the command's end.
func TestRunStopsTheEmulator(t *testing.T) {
	t.Parallel()
	out, _, _ := runShell(t, nil, `echo "$SSMLOCAL_URL"`)
	client := http.Client{Timeout: time.Second, Transport: &http.Transport{}}
	if answer, err := client.Get(strings.TrimSpace(out) + "/_ssmlocal/health"); err == nil {
		answer.Body.Close()
		t.Error("it still serves")
	}
}
