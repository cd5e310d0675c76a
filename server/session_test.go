package server_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"ssmlocal/server"
	"ssmlocal/server/account"
	"ssmlocal/server/clock"
	"ssmlocal/server/control"
	"ssmlocal/server/servertest"
)

var update = flag.Bool("update", false, "write the sessions' answers anew")

// TestSessions replays the files of testdata/sessions. A line that starts with
// "> " is a call, an action and its parameters in JSON; the line after it is
// what must come back. "> PUT /tasks {…}" is a call of the control plane, ">
// tag …" and "> sts …" are calls of these services, "> advance 72h" moves the
// clock, "> region X" and "> account ID" say where the following calls go.
// Times, ids and KMS keys are replaced by their kind.
func TestSessions(t *testing.T) {
	files, err := filepath.Glob("testdata/sessions/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no sessions: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := newSession(t).replay(string(want))
			if *update {
				err = os.WriteFile(file, []byte(got), 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
			if !*update && got != string(want) {
				t.Error(difference(got, string(want)))
			}
		})
	}
}

// TestEveryControlHasASession fails for a call of the control plane without a
// session. Calls that stream or don't answer JSON have their own tests, in
// observe_test.go, state_test.go, capsule_test.go and tls_test.go.
func TestEveryControlHasASession(t *testing.T) {
	files, _ := filepath.Glob("testdata/sessions/*.txt")
	var all strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	for _, file := range []string{"observe_test.go", "state_test.go"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, quoted := range regexp.MustCompile(`(get|read)[A-Za-z]+\(t, s, "(/[a-z]+)`).FindAllSubmatch(text, -1) {
			fmt.Fprintf(&all, "> GET %s\n", quoted[2])
		}
	}
	elsewhere := []string{"GET /backup", "GET /capsule", "POST /replay", "GET /journal", "GET /journal/count", "GET /journal/stream", "DELETE /journal", "GET /ca.pem",
		"POST /call", "POST /call/code", "POST /errors/run", "GET /tours", "GET /facts", "GET /events", "GET /events/stream", "POST /tours/{id}/run"}
	for _, row := range regexp.MustCompile("`([A-Z]+) /_ssmlocal([^?`]+)").FindAllStringSubmatch(control.Table(), -1) {
		call := row[1] + " " + row[2]
		if !strings.Contains(all.String(), "> "+strings.Split(call, "{id}")[0]) && !slices.Contains(elsewhere, call) && row[2] != "/health" && row[2] != "/ready" {
			t.Errorf("no session has the call %s", call)
		}
	}
}

// session is the state of a replay.
type session struct {
	t      *testing.T
	server *servertest.Server
	region string
	caller account.Credential
}

func newSession(t *testing.T) *session {
	s := servertest.New(t, server.Config{Unlimited: true, Auth: account.Any, SecretLimit: 5})
	return &session{t: t, server: s, region: "ap-guangzhou", caller: s.Credential}
}

// replay runs every call of a session and returns the session with the answers
// that came.
func (s *session) replay(text string) string {
	var out strings.Builder
	skip := false
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		call, isCall := strings.CutPrefix(line, "> ")
		if !isCall {
			if !skip || line == "" || line[0] == '#' {
				out.WriteString(line + "\n")
			}
			skip = false
			continue
		}
		out.WriteString(line + "\n")
		if answer := s.do(call); answer != "" {
			out.WriteString(answer + "\n")
			skip = true
		}
	}
	return out.String()
}

func (s *session) do(call string) string {
	s.t.Helper()
	verb, rest, _ := strings.Cut(call, " ")
	switch verb {
	case "GET", "PUT", "POST", "DELETE":
		return s.control(verb, rest)
	case "advance":
		by, err := clock.ParseDuration(rest)
		if err != nil {
			s.t.Fatal(err)
		}
		s.server.Clock.Advance(by)
		return ""
	case "region":
		s.region = rest
		return ""
	case "account":
		s.caller = account.Credential{SecretID: rest, SecretKey: "any"}
		if rest == s.server.Credential.SecretID {
			s.caller = s.server.Credential
		}
		return ""
	}
	if verb == "tag" || verb == "sts" {
		action, params, _ := strings.Cut(rest, " ")
		return s.call(verb, "2018-08-13", action, params)
	}
	return s.call("ssm", "2019-09-23", verb, rest)
}

// control calls the control plane and returns the status, if it is an error's,
// and the body on one line.
func (s *session) control(method, rest string) string {
	s.t.Helper()
	path, body, _ := strings.Cut(rest, " ")
	r, err := http.NewRequest(method, s.server.URL+"/_ssmlocal"+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	answer, text := send(s.t, r)
	text = regexp.MustCompile(`\s*\n\s*`).ReplaceAllString(strings.TrimSpace(text), " ")
	if answer.StatusCode != http.StatusOK {
		text = answer.Status + " " + text
	}
	return allActions.ReplaceAllString(maskTimes(text), "the actions are ALL")
}

func maskTimes(text string) string {
	text = regexp.MustCompile(`"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[^"]*"`).ReplaceAllString(text, `"TIME"`)
	return regexp.MustCompile(`"offset": "[^"]*"`).ReplaceAllString(text, `"offset": "OFFSET"`)
}

func (s *session) call(service, version, action, params string) string {
	s.t.Helper()
	if params == "" {
		params = "{}"
	}
	var reply json.RawMessage
	err := s.server.CallService(service, version, s.region, s.caller, action, json.RawMessage(expand(params)), &reply)
	var failure *servertest.Error
	switch {
	case errors.As(err, &failure):
		return maskIDs(strings.ReplaceAll(failure.Error(), "\n", `\n`))
	case err != nil:
		s.t.Fatalf("%s %s: %v", action, params, err)
	}
	return mask(string(reply))
}

// expand replaces {1000 x} by a thousand x.
func expand(params string) string {
	return regexp.MustCompile(`\{(\d+) (.+?)\}`).ReplaceAllStringFunc(params, func(s string) string {
		var n int
		var what string
		if _, err := fmt.Sscanf(s, "{%d %s", &n, &what); err != nil {
			panic(err)
		}
		return strings.Repeat(strings.TrimSuffix(what, "}"), n)
	})
}

func maskIDs(text string) string {
	text = regexp.MustCompile(`request id:[0-9a-f-]{36}`).ReplaceAllString(text, "request id:UUID")
	return allActions.ReplaceAllString(text, "the actions are ALL")
}

// allActions is the list of all actions in a message, which grows.
var allActions = regexp.MustCompile(`the actions are [A-Z][A-Za-z]+(, [A-Z][A-Za-z]+){10,}`)

// mask replaces what differs from run to run.
func mask(reply string) string {
	for pattern, with := range map[string]string{
		`,?"RequestId":"[^"]*"`:                           ``,
		`"OrderId":"20\d{6}\d{15}"`:                       `"OrderId":"ORDER"`,
		`"(Create|Delete)Time":[1-9]\d{9}`:                `"${1}Time":TIME`,
		`"ExpireTime":"\d{4}-12-31 23:59:59"`:             `"ExpireTime":"NEXT YEAR"`,
		`_customize_\d{19}_[a-z0-9]{3}"`:                  `_customize_TIME_XXX"`,
		`"[0-9a-f]{8}(-[0-9a-f]{4}){3}-.{12}"`:            `"UUID"`,
		`_SSM_[A-Za-z0-9]{3}(\\?")`:                       `_SSM_XXX$1`,
		`"(RotatedTime|LatestRotateTime)":"\d{4}-[^"]*"`:  `"$1":"TIME"`,
		`SSM_Rotate_\d{14}`:                               `SSM_Rotate_TIME`,
		`skey-[a-z0-9]{8}`:                                `skey-XXX`,
		`ssh-rsa [A-Za-z0-9+/=]+`:                         `ssh-rsa XXX`,
		`-----BEGIN RSA PRIVATE KEY-----\\n[^"]*-----END`: `-----BEGIN RSA PRIVATE KEY-----\nXXX-----END`,
		`"Token":"[A-Za-z0-9]{160}"`:                      `"Token":"XXX"`,
		`"TmpSecretKey":"[A-Za-z0-9]{44}"`:                `"TmpSecretKey":"XXX"`,
		`"ExpiredTime":\d{10}`:                            `"ExpiredTime":TIME`,
		`"Expiration":"\d{4}-[^"]*Z"`:                     `"Expiration":"TIME"`,
		`AKID[A-Za-z0-9]{32,}`:                            `AKIDXXX`,
		`Password\\":\\"[A-Za-z0-9_-]{24}\\"`:             `Password\":\"PASSWORD\"`,
	} {
		reply = regexp.MustCompile(pattern).ReplaceAllString(reply, with)
	}
	return reply
}

func difference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	var out strings.Builder
	for i := range max(len(g), len(w)) {
		var a, b string
		if i < len(g) {
			a = g[i]
		}
		if i < len(w) {
			b = w[i]
		}
		if a != b {
			fmt.Fprintf(&out, "line %d\n got %s\nwant %s\n", i+1, a, b)
		}
	}
	return out.String()
}
