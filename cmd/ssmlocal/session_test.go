package main

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path"
	"sync"

	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"ssmlocal/server/control"

	"github.com/alecthomas/kong"

	"ssmlocal/server"
	"ssmlocal/server/servertest"
)

// TestSessions replays the files of testdata/sessions against a server each,
// which begins with the seed that the first line names. "$ ssmlocal …" is a
// command line, with single quotes as a shell has them; what it prints follows,
// and "exit N" if it fails. "> Action {…}" is a call; its answer, or its code,
// follows.
func TestSessions(t *testing.T) {
	files, err := filepath.Glob("testdata/sessions/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no sessions: %v", err)
	}
	for _, file := range files {
		file, err := filepath.Abs(file)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := replaySession(t, string(want))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != string(want) {
				t.Errorf("the session is now\n%s", got)
			}
		})
	}
}

func replaySession(t *testing.T, text string) string {
	t.Helper()
	first, _, _ := strings.Cut(text, "\n")
	seed := strings.TrimPrefix(first, "# seed ")
	s := servertest.New(t, server.Config{Seeds: []string{seed}, Capsule: 100})
	front := recordCalls(t, s.URL)
	t.Setenv("SSMLOCAL_URL", front)
	t.Chdir(t.TempDir())
	var out strings.Builder
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(line, "# "):
			if out.Len() > 0 {
				out.WriteString("\n")
			}
			out.WriteString(line + "\n")
		case strings.HasPrefix(line, "$ ssmlocal "):
			printed, errs, code := ssmlocal(t, words(strings.TrimPrefix(line, "$ ssmlocal "))...)
			out.WriteString(line + "\n" + hide(printed+errs, front))
			if code != 0 {
				fmt.Fprintf(&out, "exit %d\n", code)
			}
		case strings.HasPrefix(line, "> "):
			name, params, _ := strings.Cut(line[2:], " ")
			var reply json.RawMessage
			err := s.Call(name, json.RawMessage(params), &reply)
			var failure *servertest.Error
			if errors.As(err, &failure) {
				reply = json.RawMessage(strings.ReplaceAll(failure.Error(), "\n", `\n`))
			} else if err != nil {
				t.Fatal(err)
			}
			out.WriteString(line + "\n" + hide(string(reply), front) + "\n")
		}
	}
	return out.String()
}

var changing = regexp.MustCompile(`(?s)the actions are [A-Z][A-Za-z]+(?:, [A-Z][A-Za-z]+){10,}|MII.*?\n---|\S+ running|,?"RequestId":"[^"]*"|\d+h\d+m[0-9.]+s|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|customize_\d+_...|Time":\d{10}|\d+ bytes|\d+ days[ 0-9hm]*ahead`)

// recent is a time in the years in which tests run; the seeds with a clock of
// their own are in 2030.
var recent = regexp.MustCompile(`202\d-\d\d-\d\dT[0-9:.]+Z`)

// hide replaces what differs from run to run.
func hide(text, url string) string {
	return strings.ReplaceAll(recent.ReplaceAllString(changing.ReplaceAllString(text, "…"), "TIME"), url, "URL")
}

// words splits a command line at spaces, except between single quotes.
func words(line string) (out []string) {
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			out = append(out, part)
		} else {
			out = append(out, strings.Fields(part)...)
		}
	}
	return out
}

// TestEveryCommandHasASession fails for a command without a session. Serving,
// health, env and version have tests of their own.
func TestEveryCommandHasASession(t *testing.T) {
	files, _ := filepath.Glob("testdata/sessions/*.txt")
	var all strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	parser, err := kong.New(&commands{}, kong.Vars{"seeds": ""})
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := map[string]bool{"serve": true, "run": true, "env": true, "version": true, "completion": true, "metrics": true, "schema": true, "snapshot show": true}
	for _, leaf := range parser.Model.Leaves(true) {
		if name := leaf.FullPath()[len(parser.Model.Name)+1:]; !elsewhere[name] && !strings.Contains(all.String(), "$ ssmlocal "+name) {
			t.Errorf("no session has the command %s", name)
		}
	}
}

// called are the control calls of the sessions' commands, as METHOD /path.
var called sync.Map

// recordCalls returns the address of a proxy before an emulator, which records
// the control calls that commands make.
func recordCalls(t *testing.T, emulator string) string {
	t.Helper()
	to, err := url.Parse(emulator)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(to)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		called.Store(r.Method+" "+strings.TrimPrefix(r.URL.Path, "/_ssmlocal"), true)
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	return front.URL
}

// TestEveryControlHasACommand compares the control plane with the calls that
// the sessions' commands have made.
func TestEveryControlHasACommand(t *testing.T) {
	TestSessions(t)
	local := map[string]bool{ // the commands do the same without a server, or have tests of their own
		"GET /errors": true, "POST /errors/run": true, "GET /tours": true, "POST /tours/{id}/run": true, "GET /seed.schema.json": true,
		"GET /version": true, "GET /actions": true, "GET /metrics": true, "GET /facts": true, "GET /snapshots/{id}": true, "GET /journal/stream": true, "GET /events/stream": true,
	}
	all := map[string]bool{}
	called.Range(func(k, _ any) bool { all[k.(string)] = true; return true })
	for _, c := range control.Calls() {
		method, pattern, _ := strings.Cut(c, " ")
		found := local[c]
		for call := range all {
			m, p, _ := strings.Cut(call, " ")
			if is, _ := path.Match(strings.ReplaceAll(pattern, "{id}", "*"), p); is && m == method {
				found = true
			}
		}
		if !found {
			t.Errorf("no command of a session makes the call %s", c)
		}
	}
}
