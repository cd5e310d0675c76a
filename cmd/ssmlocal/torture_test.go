//go:build linux

package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"ssmlocal/server/account"
	"ssmlocal/server/servertest"
	"ssmlocal/server/tc3"
)

// The tests here take the real program to its limits: killed and stopped in the
// middle of everything, on a full disk, with nobody reading its log, with
// thousands of things due. They take a minute, so they run only if
// SSMLOCAL_TORTURE is set, as it is in CI.

func torture(t *testing.T) {
	t.Helper()
	if os.Getenv("SSMLOCAL_TORTURE") == "" {
		t.Skip("set SSMLOCAL_TORTURE=1 to run it")
	}
	t.Parallel()
}

// process is the program; a test reads its output.
type process struct {
	*testing.T
	cmd *exec.Cmd
	url string
}

// launch starts the program with a standard error of the test's choice, and
// waits until it is ready.
func launch(t *testing.T, stderr *os.File, args ...string) *process {
	t.Helper()
	p := begin(t, stderr, args...)
	p.ready()
	return p
}

// begin starts the program.
func begin(t *testing.T, stderr *os.File, args ...string) *process {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), "SSMLOCAL_TEST_MAIN=1", "SSMLOCAL_TORTURE=")
	cmd.Stderr = stderr
	file := filepath.Join(t.TempDir(), "out")
	out, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout = out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{T: t, cmd: cmd}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = out.Close() })
	for range 600 {
		text, _ := os.ReadFile(file)
		if _, after, found := strings.Cut(string(text), "listens on "); found && strings.Contains(after, "\n") {
			p.url, _, _ = strings.Cut(after, "\n")
			return p
		}
		time.Sleep(20 * time.Millisecond)
	}
	return p // a server that is still being seeded, say
}

func (p *process) ready() {
	p.Helper()
	for range 600 {
		if answer, err := http.Get(p.url + "/_ssmlocal/ready"); err == nil {
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	p.Fatal("the program doesn't get ready")
}

// client gives up early: a call that hangs is what these tests look for.
var client = &http.Client{Timeout: 20 * time.Second}

// control calls the control plane, and returns the status, 0 for no answer.
func (p *process) control(method, path, body string) (int, string) {
	r, err := http.NewRequest(method, p.url+"/_ssmlocal"+path, strings.NewReader(body))
	if err != nil {
		return 0, err.Error()
	}
	answer, err := client.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body)
	return answer.StatusCode, string(text)
}

// call calls an action, and returns the answer's text.
func (p *process) call(action, params string) string {
	answer, err := client.Do(servertest.NewRequest(p.url, "ap-guangzhou", account.Default, action, []byte(params)))
	if err != nil {
		return err.Error()
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body)
	return string(text)
}

// ends sends a signal and fails the test unless the program is gone in time.
func (p *process) ends(what string, signal os.Signal, limit time.Duration) {
	p.Helper()
	begun := time.Now()
	_ = p.cmd.Process.Signal(signal)
	gone := make(chan error, 1)
	go func() { gone <- p.cmd.Wait() }()
	select {
	case <-gone:
		p.Logf("%s: ended after %s", what, time.Since(begun).Round(time.Millisecond))
	case <-time.After(limit):
		p.Errorf("%s: the program does not end within %s", what, limit)
	}
}

// secrets is a seed with many secrets, whose fields follow their names.
func secrets(n int, fields string) string {
	var b strings.Builder
	b.WriteString("accounts:\n  - uin: 100000000001\n    credentials: [{secretId: AKIDssmlocal, secretKey: ssmlocal}]\n    secretLimit: 1000000\n    secrets:\n")
	for i := range n {
		fmt.Fprintf(&b, "      - {secretName: s%d, %s}\n", i, fields)
	}
	return b.String()
}

const rotating = "secretType: 1, productName: Mysql, resourceId: c, enableRotation: true"

// TestTortureStops ends the program while it does long work, or waits for
// something that doesn't come.
func TestTortureStops(t *testing.T) {
	torture(t)
	quiet := []string{"--listen", "127.0.0.1:0", "--log-level", "error", "--limits", "off"}
	for name, busy := range map[string]func(*process){
		"moving the clock over years": func(p *process) {
			if status, text := p.control("PUT", "/state", secrets(2000, rotating)); status != http.StatusOK {
				p.Fatal(text)
			}
			go p.control("POST", "/clock/advance", `{"by":"36500d"}`)
			p.until("/work", "a move of the clock")
		},
		"importing": func(p *process) {
			go p.control("PUT", "/state", secrets(60_000, "secretString: x"))
			p.until("/work", "import")
		},
		"a stream": func(p *process) {
			go p.control("GET", "/journal/stream", "")
			p.until("/health", "ok")
		},
		"a body that doesn't come": func(p *process) {
			r, _ := io.Pipe()
			q, err := http.NewRequest(http.MethodPut, p.url+"/_ssmlocal/state", r)
			if err != nil {
				p.Fatal(err)
			}
			go client.Do(q)
			p.until("/health", "ok")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := launch(t, nil, append(quiet, "--data", t.TempDir())...)
			p.T = t
			busy(p)
			p.ends(name, syscall.SIGTERM, 5*time.Second)
		})
	}
	t.Run("a second signal", func(t *testing.T) {
		t.Parallel()
		p := launch(t, nil, quiet...)
		p.control("PUT", "/state", secrets(2000, rotating))
		go p.control("POST", "/clock/advance", `{"by":"36500d"}`)
		p.until("/work", "a move of the clock")
		_ = p.cmd.Process.Signal(syscall.SIGINT)
		p.ends("a second signal", syscall.SIGINT, time.Second)
	})
	t.Run("a seed that doesn't come", func(t *testing.T) {
		t.Parallel()
		fifo := filepath.Join(t.TempDir(), "seed.yaml")
		if err := syscall.Mkfifo(fifo, 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(os.Args[0], append(quiet, "--seed", fifo)...)
		cmd.Env = append(os.Environ(), "SSMLOCAL_TEST_MAIN=1")
		var errs bytes.Buffer
		cmd.Stderr = &errs
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(500 * time.Millisecond) // until it waits
		p := &process{T: t, cmd: cmd}
		p.ends("a seed that doesn't come", syscall.SIGTERM, 5*time.Second)
		if !strings.Contains(errs.String(), "interrupted") {
			t.Errorf("it says %q", errs.String())
		}
	})
}

// until waits until a call of the control plane answers something.
func (p *process) until(path, text string) {
	p.Helper()
	for range 500 {
		if _, body := p.control("GET", path, ""); strings.Contains(body, text) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	p.Fatalf("%s does not say %q", path, text)
}

// TestTortureUnreadLog fills the pipe of the log, which nobody reads, and then
// closes it: calls, a reset and the program's end work as if there were a
// reader.
func TestTortureUnreadLog(t *testing.T) {
	torture(t)
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := launch(t, write, "--listen", "127.0.0.1:0", "--log-level", "debug", "--limits", "off")
	write.Close()
	for i := range 3000 {
		if text := p.call("GetRegions", "{}"); !strings.Contains(text, "ap-guangzhou") {
			t.Fatalf("call %d: %s", i, text)
		}
	}
	if status, text := p.control("POST", "/reset", ""); status != http.StatusOK {
		t.Error(text)
	}
	if _, text := p.control("GET", "/metrics", ""); strings.Contains(text, "ssmlocal_log_lines_dropped_total 0\n") {
		t.Error("the lines that were dropped are not counted")
	}
	read.Close()
	for range 50 {
		if text := p.call("GetRegions", "{}"); !strings.Contains(text, "ap-guangzhou") {
			t.Fatalf("without a reader: %s", text)
		}
	}
	p.ends("an unread log", syscall.SIGTERM, 5*time.Second)
}

// TestTortureKills kills the program in the middle of imports, resets and moves
// of the clock: it starts again, with all of one state or all of another.
func TestTortureKills(t *testing.T) {
	torture(t)
	data := t.TempDir()
	args := []string{"--listen", "127.0.0.1:0", "--log-level", "error", "--limits", "off", "--data", data}
	total := func(p *process) string {
		_, after, _ := strings.Cut(p.call("ListSecrets", `{"Limit":1}`), `"TotalCount":`)
		count, _, _ := strings.Cut(after, ",")
		return count
	}
	states := map[string]string{"700": secrets(700, "secretString: x, tags: {a: b}"), "900": secrets(900, "secretString: y, tags: {c: d}")}
	p := launch(t, nil, args...)
	begun := time.Now()
	if status, text := p.control("PUT", "/state", states["700"]); status != http.StatusOK {
		t.Fatal(text)
	}
	takes := time.Since(begun)
	seen := map[string]int{}
	for round := 0; round < 20 || len(seen) < 2 && round < 80; round++ {
		next := []string{"900", "700"}[round%2]
		gone := make(chan struct{})
		go func() { defer close(gone); p.control("PUT", "/state", states[next]) }()
		time.Sleep(time.Duration(round) * takes / 10) // from its beginning to well after its end
		p.ends("a kill", syscall.SIGKILL, time.Second)
		<-gone
		p = launch(t, nil, args...)
		n := total(p)
		if states[n] == "" {
			t.Fatalf("after kill %d there are %s secrets", round, n)
		}
		seen[n]++
	}
	if len(seen) != 2 {
		t.Errorf("the kills came all before the swap, or all after it: %v", seen)
	}
	p.ends("the end", syscall.SIGTERM, 5*time.Second)
	checkFile(t, data)
}

// TestTortureDues lets ten thousand things become due while calls are made in
// another account, and lists that are too long come in.
func TestTortureDues(t *testing.T) {
	torture(t)
	p := launch(t, nil, "--listen", "127.0.0.1:0", "--log-level", "error", "--limits", "off", "--data", t.TempDir())
	seed := secrets(5000, "secretString: x, status: PendingDelete, deleteTime: now+72h, tags: {a: b}") +
		strings.ReplaceAll(strings.SplitN(secrets(5000, rotating), "secrets:\n", 2)[1], "secretName: s", "secretName: r") +
		"  - uin: 7\n    credentials: [{secretId: AKIDother, secretKey: k}]\n    secrets: [{secretName: mine, secretString: x}]\n"
	if status, text := p.control("PUT", "/state", seed); status != http.StatusOK {
		t.Fatal(text)
	}
	done := make(chan string, 1)
	go func() {
		_, text := p.control("POST", "/clock/advance", `{"by":"31d"}`)
		done <- text
	}()
	tooLong := `{"ResourceList":["` + strings.Repeat(`x","`, 20_000) + `"],"TagKeys":["a"]}`
	other := account.Credential{SecretID: "AKIDother", SecretKey: "k"}
	for calls := 0; ; calls++ {
		select {
		case text := <-done:
			if n := strings.Count(text, `"what"`); n != 10_000 {
				t.Errorf("%d things happened", n)
			}
			if calls < 5 {
				t.Errorf("%d calls came through", calls)
			}
			p.ends("the end", syscall.SIGTERM, 5*time.Second)
			return
		default:
		}
		q := servertest.NewRequest(p.url, "ap-guangzhou", other, "GetSecretValue", []byte(`{"SecretName":"mine","VersionId":"SSM_Current"}`))
		answer, err := client.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		if !strings.Contains(string(text), `"SecretString":"x"`) {
			t.Fatalf("%s", text)
		}
		long := servertest.NewRequest(p.url, "ap-guangzhou", account.Default, "UnTagResources", []byte(tooLong))
		long.Header.Set("X-TC-Version", "2018-08-13")
		tc3.Sign(long, []byte(tooLong), account.Default.SecretID, account.Default.SecretKey, "tag", time.Now())
		if answer, err = client.Do(long); err != nil {
			t.Fatal(err)
		}
		text, _ = io.ReadAll(answer.Body)
		answer.Body.Close()
		if !strings.Contains(string(text), "InvalidParameterValue") {
			t.Fatalf("%.300s", text)
		}
	}
}

// TestTortureFullDisk starts, writes, exports and copies with less and less
// room on the disk: that gives errors, but never a panic or a file that a later
// start refuses.
func TestTortureFullDisk(t *testing.T) {
	torture(t)
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		t.Skip("it mounts a file system")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=3m"); err != nil {
		t.Skipf("cannot mount a file system: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	filler := filepath.Join(dir, "filler")
	fill := func(leave int64) {
		var s syscall.Statfs_t
		_ = os.Remove(filler)
		if err := syscall.Statfs(dir, &s); err != nil {
			t.Fatal(err)
		}
		if n := int64(s.Bavail)*int64(s.Bsize) - leave; n > 0 {
			if err := os.WriteFile(filler, make([]byte, n), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	data := filepath.Join(dir, "data")
	args := []string{"--listen", "127.0.0.1:0", "--log-level", "error", "--limits", "off", "--data", data}
	for _, leave := range []int64{0, 4 << 10, 8 << 10, 12 << 10, 16 << 10, 24 << 10, 40 << 10} {
		fill(leave)
		cmd := exec.Command(os.Args[0], args...)
		cmd.Env = append(os.Environ(), "SSMLOCAL_TEST_MAIN=1")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(300 * time.Millisecond)
		(&process{T: t, cmd: cmd}).ends(fmt.Sprint("a start with ", leave), syscall.SIGTERM, 5*time.Second)
	}
	_ = os.Remove(filler)
	p := launch(t, nil, args...)
	fill(300 << 10)
	refused := 0
	for i := range 40 {
		text := p.call("CreateSecret", fmt.Sprintf(`{"SecretName":"n%d","SecretString":"%s"}`, i, strings.Repeat("x", 30_000)))
		if strings.Contains(text, "InternalError") {
			refused++
		} else if !strings.Contains(text, `"SecretName"`) {
			t.Errorf("write %d: %.200s", i, text)
		}
	}
	if refused == 0 {
		t.Error("the disk was never full")
	}
	for _, path := range []string{"/backup", "/state"} {
		if status, text := p.control("GET", path, ""); status != http.StatusOK && !strings.Contains(text, `"error"`) {
			t.Errorf("%s: %d %.200s", path, status, text)
		}
	}
	if status, text := p.control("PUT", "/state", secrets(5000, "secretString: x")); status == http.StatusOK || !strings.Contains(text, `"error"`) {
		t.Errorf("an import without room: %d %.200s", status, text)
	}
	if text := p.call("GetSecretValue", `{"SecretName":"n0","VersionId":"SSM_Current"}`); !strings.Contains(text, "xxxx") {
		t.Errorf("a read: %.200s", text)
	}
	left, _ := filepath.Glob(filepath.Join(data, "*"))
	if len(left) != 3 { // the data file, the CA, its key
		t.Errorf("left behind: %v", left)
	}
	_ = os.Remove(filler)
	if text := p.call("CreateSecret", `{"SecretName":"room","SecretString":"x"}`); !strings.Contains(text, `"SecretName"`) {
		t.Errorf("with room again: %.200s", text)
	}
	p.ends("the end", syscall.SIGTERM, 5*time.Second)
	checkFile(t, data)
}

// TestTortureDescriptors lets connections use up all file descriptors: the log
// says so once, and the program goes on when they are closed.
func TestTortureDescriptors(t *testing.T) {
	torture(t)
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := "ulimit -n 64; exec " + os.Args[0] + " --listen 127.0.0.1:0 --log-level error"
	sh := exec.Command("sh", "-c", cmd)
	sh.Env = append(os.Environ(), "SSMLOCAL_TEST_MAIN=1")
	sh.Stderr = log
	out, err := sh.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := sh.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 200)
	n, _ := out.Read(line)
	_, url, _ := strings.Cut(strings.TrimSpace(string(line[:n])), "listens on ")
	p := &process{T: t, cmd: sh, url: url}
	p.ready()
	var connections []io.Closer
	for range 80 {
		c, err := net.DialTimeout("tcp", strings.TrimPrefix(url, "http://"), time.Second)
		if err == nil {
			connections = append(connections, c)
		}
	}
	time.Sleep(2 * time.Second)
	for _, c := range connections {
		_ = c.Close()
	}
	p.ready()
	text, _ := os.ReadFile(log.Name())
	if lines := strings.Count(string(text), "cannot take a connection"); lines != 1 {
		t.Errorf("%d lines say so", lines)
	}
	p.ends("the end", syscall.SIGTERM, 5*time.Second)
}
