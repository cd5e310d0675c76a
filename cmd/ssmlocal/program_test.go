package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"ssmlocal/server/account"
	"ssmlocal/server/backend"
	"ssmlocal/server/control"
	"ssmlocal/server/servertest"
	"ssmlocal/server/ssm"
)

// program is the real program, running as its own process.
type program struct {
	*testing.T
	cmd   *exec.Cmd
	url   string
	lines *bufio.Reader // of standard output, after the first
}

func startProgram(t *testing.T, args ...string) *program {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), "SSMLOCAL_TEST_MAIN=1", "SSMLOCAL_LOG_LEVEL=error")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	line, err := lines.ReadString('\n')
	_, url, ok := strings.Cut(strings.TrimSpace(line), "listens on ")
	if err != nil || !ok {
		t.Fatalf("the first line is %q, %v", line, err)
	}
	return &program{t, cmd, url, lines}
}

// call returns the code of a refusal, "" for success, or an error if there was
// no answer.
func (p *program) call(action string, params map[string]any) (reply map[string]any, code string, err error) {
	body, _ := json.Marshal(params)
	answer, err := http.DefaultClient.Do(servertest.NewRequest(p.url, "ap-guangzhou", account.Default, action, body))
	if err != nil {
		return nil, "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, "", err
	}
	var envelope struct{ Response map[string]any }
	if err := json.Unmarshal(text, &envelope); err != nil {
		return nil, "", err
	}
	if failure, ok := envelope.Response["Error"].(map[string]any); ok {
		return nil, failure["Code"].(string), nil
	}
	return envelope.Response, "", nil
}

// TestCrash writes under load, kills the program with SIGKILL and starts it
// again, several times on one file: every write that was acknowledged is there,
// and the file is whole.
func TestCrash(t *testing.T) {
	data := t.TempDir()
	acknowledged := &writes{values: map[string]string{}}
	for round := range 5 {
		p := startProgram(t, "--listen", "127.0.0.1:0", "--data", data, "--limits", "off", "--secret-limit", "100000")
		acknowledged.check(p)
		p.writeUntilKilled(round, acknowledged)
		checkFile(t, data)
	}
	if n := len(acknowledged.values); n < 5*100 {
		t.Errorf("only %d writes were acknowledged", n)
	}
}

// writes is what was acknowledged: the last value of each secret. If a write
// was under way when the program was killed, its value may be there instead.
type writes struct {
	mu      sync.Mutex
	values  map[string]string
	unsure  map[string]string
	counter atomic.Int64
}

// writeUntilKilled lets eight writers create and update secrets, and kills the
// program after a few hundred answers.
func (p *program) writeUntilKilled(round int, w *writes) {
	p.Helper()
	w.unsure = map[string]string{}
	enough := int64(200 + 50*round)
	w.counter.Store(0)
	var wg sync.WaitGroup
	for writer := range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				name, value := fmt.Sprintf("s-%d-%d-%d", round, writer, i/2), fmt.Sprintf("value %d of round %d", i, round)
				act := []string{"CreateSecret", "UpdateSecret"}[i%2]
				_, code, err := p.call(act, map[string]any{"SecretName": name, "VersionId": "v", "SecretString": value})
				w.mu.Lock()
				if err != nil {
					w.unsure[name] = value
				} else if code == "" {
					w.values[name] = value
				} else {
					p.Errorf("%s %s: %s", act, name, code)
				}
				w.mu.Unlock()
				if err != nil {
					return
				}
				if w.counter.Add(1) == enough {
					_ = p.cmd.Process.Signal(syscall.SIGKILL)
				}
			}
		})
	}
	wg.Wait()
	_ = p.cmd.Wait()
}

// check reads every acknowledged value back.
func (w *writes) check(p *program) {
	p.Helper()
	for name, want := range w.values {
		reply, code, err := p.call("GetSecretValue", map[string]any{"SecretName": name, "VersionId": "v"})
		if err != nil || code != "" {
			p.Fatalf("%s was acknowledged and reads %q, %v", name, code, err)
		}
		if got := reply["SecretString"]; got != want && got != w.unsure[name] {
			p.Errorf("%s is %v, acknowledged was %q", name, got, want)
		}
		w.values[name] = reply["SecretString"].(string)
	}
}

func checkFile(t *testing.T, data string) {
	t.Helper()
	b, err := backend.New(backend.Config{Data: data})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Open(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(b.Check(), b.Close()); err != nil {
		t.Fatalf("the file is broken: %.2000s", err.Error())
	}
}

// TestCrashInAnAdvance kills the program while years of rotations are under way
// and starts it again: its clock is not earlier than its data, and the rest is
// done, once.
func TestCrashInAnAdvance(t *testing.T) {
	data := t.TempDir()
	p := startProgram(t, "--listen", "127.0.0.1:0", "--data", data, "--limits", "off")
	var before control.ClockReply
	p.clock(&before)
	const count = 200
	for i := range count {
		params := map[string]any{
			"SecretName": fmt.Sprintf("db-%d", i), "UserNamePrefix": "app", "ProductName": "Mysql", "InstanceID": "cdb-1",
			"Domains": []string{"%"}, "EnableRotation": true, "RotationBeginTime": "2030-01-01 00:00:00",
			"PrivilegesList": []any{map[string]any{"PrivilegeName": "GlobalPrivileges", "Privileges": []string{"SELECT"}}},
		}
		if _, code, err := p.call("CreateProductSecret", params); code != "" || err != nil {
			t.Fatal(code, err)
		}
	}
	advancing := make(chan struct{})
	go func() {
		defer close(advancing)
		answer, err := http.Post(p.url+"/_ssmlocal/clock/advance", "application/json", strings.NewReader(`{"by":"20000d"}`))
		if err == nil {
			_ = answer.Body.Close()
		}
	}()
	// The clock is moved first: when it is ahead, the work has begun, and some
	// hundred calls later it is under way.
	for range 300 {
		var now control.ClockReply
		for range 1_000_000 {
			if p.clock(&now); now.Now.Sub(before.Now) > 1000*24*time.Hour {
				break
			}
		}
	}
	_ = p.cmd.Process.Signal(syscall.SIGKILL)
	_ = p.cmd.Wait()
	<-advancing
	checkFile(t, data)

	p = startProgram(t, "--listen", "127.0.0.1:0", "--data", data, "--limits", "off")
	var now control.ClockReply
	p.clock(&now)
	at := now.Now.In(ssm.Zone).Format(time.DateTime)
	t.Logf("killed with the clock at %s", at)
	for i := range count {
		detail, code, err := p.call("DescribeRotationDetail", map[string]any{"SecretName": fmt.Sprintf("db-%d", i)})
		if code != "" || err != nil {
			t.Fatal(code, err)
		}
		latest, next := detail["LatestRotateTime"].(string), detail["NextRotateBeginTime"].(string)
		if latest > at || next <= at {
			t.Fatalf("the clock is at %s, secret %d rotated at %s and will at %s", at, i, latest, next)
		}
	}
	_ = p.cmd.Process.Signal(os.Interrupt)
	_ = p.cmd.Wait()
}

// clock reads the virtual clock.
func (p *program) clock(into *control.ClockReply) {
	p.Helper()
	answer, err := http.Get(p.url + "/_ssmlocal/clock")
	if err != nil {
		p.Fatal(err)
	}
	defer answer.Body.Close()
	if err := json.NewDecoder(answer.Body).Decode(into); err != nil {
		p.Fatal(err)
	}
}

// TestSignals ends the program as a shell and as Docker do: it exits with 0,
// and the next start can use the file.
func TestSignals(t *testing.T) {
	data := t.TempDir()
	for i, signal := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		p := startProgram(t, "--listen", "127.0.0.1:0", "--data", data)
		name := fmt.Sprintf("s-%d", i)
		if _, code, err := p.call("CreateSecret", map[string]any{"SecretName": name, "SecretString": "x"}); code != "" || err != nil {
			t.Fatal(code, err)
		}
		if err := p.cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		if err := p.cmd.Wait(); err != nil {
			t.Errorf("after %v: %v", signal, err)
		}
		checkFile(t, data)
	}
}

// TestClockCommands moves the clock of a running program and of one that is
// started again on the same data.
func TestClockCommands(t *testing.T) {
	data := t.TempDir()
	p := startProgram(t, "--listen", "127.0.0.1:0", "--data", data)
	for _, call := range []struct {
		action string
		params map[string]any
	}{
		{"CreateSecret", map[string]any{"SecretName": "a", "SecretString": "x"}}, {"DisableSecret", map[string]any{"SecretName": "a"}},
		{"DeleteSecret", map[string]any{"SecretName": "a", "RecoveryWindowInDays": 3}},
	} {
		if _, code, err := p.call(call.action, call.params); code != "" || err != nil {
			t.Fatal(call.action, code, err)
		}
	}
	for _, c := range []struct{ args, want string }{
		{"clock --url " + p.url, "running, 0s ahead\n"},
		{"clock advance 72h --url " + p.url, "Z deletion of a (100000000001, ap-guangzhou)\n"},
		{"clock freeze --url " + p.url, "frozen, 3 days ahead"},
		{"clock set 2100-01-02T03:04:05Z --url " + p.url, "2100-01-02T03:04:05Z frozen, "},
		{"clock advance 1d --url " + p.url, "2100-01-03T03:04:05Z now\n"},
	} {
		out, errs, code := ssmlocal(t, strings.Fields(c.args)...)
		if code != 0 || errs != "" || !strings.Contains(out, c.want) {
			t.Errorf("%s: exit %d, %q, %q; want %q", c.args, code, out, errs, c.want)
		}
	}
	if _, errs, code := ssmlocal(t, "clock", "set", "2000-01-01T00:00:00Z", "--url", p.url); code != 1 || !strings.Contains(errs, "can't go back") {
		t.Errorf("back in time: exit %d, %q", code, errs)
	}
	_ = p.cmd.Process.Signal(os.Interrupt)
	_ = p.cmd.Wait()

	p = startProgram(t, "--listen", "127.0.0.1:0", "--data", data)
	if out, _, _ := ssmlocal(t, "clock", "--url", p.url); !strings.HasPrefix(out, "2100-01-03T03:04:05Z frozen") {
		t.Errorf("after a restart the clock is %q", out)
	}
	if out, _, code := ssmlocal(t, "clock", "run", "--url", p.url); code != 0 || !strings.Contains(out, "running, ") {
		t.Errorf("run: exit %d, %q", code, out)
	}
	_ = p.cmd.Process.Signal(os.Interrupt)
	_ = p.cmd.Wait()
}

// TestOfficialClients runs the tests of the official clients against the
// program. Each needs its language and the client itself, which .ci/run
// installs; what is not there is skipped, unless SSMLOCAL_REQUIRE names it.
func TestOfficialClients(t *testing.T) {
	for _, c := range []struct {
		name, installed, how string // a file that is there once the client is, and how it gets there
		command              []string
		passed               *regexp.Regexp // what the output of a whole run has
	}{
		{
			"go", "main.go", "", []string{"go", "run", "."}, regexp.MustCompile(`ok: 12 runs`),
		},
		{
			"gotyped", "main.go", "", []string{"go", "run", "."}, regexp.MustCompile(`ok: 12 runs`),
		},
		{
			"node", "node_modules", "run npm ci", []string{"node", "--test", "ssm.test.mjs"},
			regexp.MustCompile(`(?m)# pass [1-9]\d*\s(.*\n)*?# fail 0`),
		},
		{
			"python", ".venv/bin/python", "make a venv and install requirements.txt", []string{".venv/bin/python", "-m", "unittest", "ssm_test"},
			regexp.MustCompile(`Ran [1-9]\d* tests in .*\s+OK`),
		},
		{
			"java", "target/test-classes", "run mvn test-compile", []string{"mvn", "-B", "test"},
			regexp.MustCompile(`(?m)Tests run: [1-9]\d*, Failures: 0, Errors: 0, Skipped: 0$`),
		},
		{
			"tccli", ".venv/bin/python", "make a venv and install requirements.txt", []string{".venv/bin/python", "-m", "unittest", "tccli_test"},
			regexp.MustCompile(`Ran [1-9]\d* tests in .*\s+OK`),
		},
		{ // without mariadbd all of them are skipped, and nothing is recorded
			"rotation", ".venv/bin/python", "make a venv and install requirements.txt", []string{".venv/bin/python", "-m", "unittest", "rotation_test"},
			regexp.MustCompile(`Ran [1-9]\d* tests in .*\s+OK.*`),
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if strings.HasPrefix(c.name, "go") && !strings.Contains(os.Getenv("SSMLOCAL_REQUIRE"), c.name) {
				t.Skip("modules of their own, which would be downloaded; SSMLOCAL_REQUIRE=" + c.name + " runs it")
			}
			folder := filepath.Join("../../fixtures/clients", c.name)
			if _, err := os.Stat(filepath.Join(folder, c.installed)); err != nil {
				missing := "the client is not installed: " + c.how + " in fixtures/clients/" + c.name
				if strings.Contains(os.Getenv("SSMLOCAL_REQUIRE"), c.name) {
					t.Fatal(missing)
				}
				t.Skip(missing)
			}
			p := startProgram(t, "--listen", "127.0.0.1:0", "--limits", "off", "--proxy", "127.0.0.1:0", "--seed", "../../fixtures/clients/seed.yaml")
			defer func() { _ = p.cmd.Process.Signal(os.Interrupt); _ = p.cmd.Wait() }()
			line, _ := p.lines.ReadString('\n')
			_, proxy, ok := strings.Cut(strings.TrimSpace(line), "is a proxy on ")
			if !ok {
				t.Fatalf("the second line is %q", line)
			}
			dir := t.TempDir()
			ca, trust, record := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "trust.p12"), filepath.Join(dir, c.name+".json")
			if _, errs, code := ssmlocal(t, "ca", "--url", p.url, "--out", ca, "--truststore", trust); code != 0 {
				t.Fatal(errs)
			}
			cmd := exec.CommandContext(t.Context(), c.command[0], c.command[1:]...)
			cmd.Dir = folder
			cmd.Env = append(os.Environ(), "SSMLOCAL_URL="+p.url, "SSMLOCAL_PROXY="+proxy, "SSMLOCAL_CA="+ca, "SSMLOCAL_TRUSTSTORE="+trust, "SSMLOCAL_RECORD="+record)
			out, err := cmd.CombinedOutput()
			if summary := c.passed.Find(out); err != nil || summary == nil {
				t.Errorf("%v\n%s", err, out)
			} else {
				t.Logf("%s", summary)
				keepRecord(t, c.name, record)
			}
		})
	}
}

// TestSSLCertFile makes a Go program trust the certificate with the printed
// step alone. The program is this test itself, in its own process.
func TestSSLCertFile(t *testing.T) {
	if address := os.Getenv("SSMLOCAL_TEST_FETCH"); address != "" {
		answer, err := http.Get(address)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		return
	}
	p := startProgram(t, "--listen", "127.0.0.1:0")
	defer func() { _ = p.cmd.Process.Signal(os.Interrupt); _ = p.cmd.Wait() }()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if _, errs, code := ssmlocal(t, "ca", "--url", p.url, "--out", ca); code != 0 {
		t.Fatal(errs)
	}
	fetch := func(file string) error {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestSSLCertFile$")
		cmd.Env = append(os.Environ(), "SSMLOCAL_TEST_FETCH="+strings.Replace(p.url, "http://127.0.0.1", "https://localhost", 1)+"/_ssmlocal/health", "SSL_CERT_FILE="+file)
		out, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}
	if err := fetch(ca); err != nil {
		t.Error(err)
	}
	if err := fetch("/nowhere"); err == nil || !strings.Contains(err.Error(), "unknown authority") {
		t.Errorf("without the step: %v", err)
	}
}

// TestWaitForALateServer waits for a server that starts a moment later.
func TestWaitForALateServer(t *testing.T) {
	address := closedPort(t)
	waited := make(chan string)
	go func() {
		var out, errs bytes.Buffer
		code := run(t.Context(), []string{"wait", "--url", "http://" + address, "--timeout", "20s"}, terminal{&out, &errs, new(atomic.Bool), new(atomic.Bool)})
		waited <- fmt.Sprint(code, " ", out.String(), errs.String())
	}()
	p := startProgram(t, "--listen", address)
	defer func() { _ = p.cmd.Process.Signal(os.Interrupt); _ = p.cmd.Wait() }()
	if got := <-waited; got != "0 ready\n" {
		t.Error(got)
	}
}

// TestCurl makes curl trust the certificate with the printed step alone.
func TestCurl(t *testing.T) {
	curl, err := exec.LookPath("curl")
	if err != nil {
		if strings.Contains(os.Getenv("SSMLOCAL_REQUIRE"), "curl") {
			t.Fatal("curl is missing")
		}
		t.Skip("curl is missing")
	}
	p := startProgram(t, "--listen", "127.0.0.1:0")
	defer func() { _ = p.cmd.Process.Signal(os.Interrupt); _ = p.cmd.Wait() }()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if _, errs, code := ssmlocal(t, "ca", "--url", p.url, "--out", ca); code != 0 {
		t.Fatal(errs)
	}
	address := strings.Replace(p.url, "http://127.0.0.1", "https://localhost", 1) + "/_ssmlocal/health"
	if out, err := exec.CommandContext(t.Context(), curl, "-sS", "--noproxy", "*", "--cacert", ca, address).CombinedOutput(); err != nil || !strings.Contains(string(out), `"ok"`) {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err := exec.CommandContext(t.Context(), curl, "-sS", "--noproxy", "*", address).CombinedOutput(); err == nil {
		t.Errorf("curl takes the certificate without being told to: %s", out)
	}
}
