package server_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"ssmlocal/server"
	"ssmlocal/server/fault"
	"ssmlocal/server/journal"
	"ssmlocal/server/servertest"
)

// addFault adds a rule.
func addFault(t *testing.T, s *servertest.Server, rule string) {
	t.Helper()
	if status, body := ask(t, s, http.MethodPost, "/faults", rule); status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
}

// call sends one signed call and returns everything that came back.
func sendCall(t *testing.T, s *servertest.Server, action, body string) (*http.Response, string, error) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // no retry on a used connection
	answer, err := client.Do(servertest.NewRequest(s.URL, "ap-guangzhou", s.Credential, action, []byte(body)))
	if err != nil {
		return nil, "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return answer, string(text), err
}

// TestBrokenAnswers checks what a client gets when the answer itself fails, and
// whether the call was done.
func TestBrokenAnswers(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{})
	create := func(name string) string { return `{"SecretName":"` + name + `","SecretString":"x"}` }

	addFault(t, s, `{"drop":true,"times":1}`)
	if _, _, err := sendCall(t, s, "CreateSecret", create("drop")); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a dropped call ends in %v", err)
	}
	if _, err := s.Value("drop", "SSM_Current"); err == nil {
		t.Error("a dropped call was done")
	}

	addFault(t, s, `{"status":502,"times":1}`)
	answer, text, err := sendCall(t, s, "CreateSecret", create("status"))
	if err != nil || answer.StatusCode != http.StatusBadGateway || answer.Header.Get("Content-Type") != "text/html" || !strings.Contains(text, "502 Bad Gateway") {
		t.Errorf("a broken gateway answers %v %s, %v", answer, text, err)
	}
	if _, err := s.Value("status", "SSM_Current"); err == nil {
		t.Error("a call behind a broken gateway was done")
	}

	addFault(t, s, `{"truncate":true,"times":1}`)
	answer, text, err = sendCall(t, s, "CreateSecret", create("half"))
	if !errors.Is(err, io.ErrUnexpectedEOF) || len(text) == 0 || int64(len(text)) >= answer.ContentLength || !strings.HasPrefix(text, `{"Response":{`) {
		t.Errorf("half an answer is %q, %v", text, err)
	}
	if value, err := s.Value("half", "SSM_Current"); value != "x" {
		t.Errorf("a call whose answer was cut was not done: %v", err)
	}
	if _, text, err := sendCall(t, s, "CreateSecret", create("whole")); err != nil || !strings.Contains(text, "whole") {
		t.Errorf("after all faults: %s, %v", text, err)
	}
}

// TestFaultsAreLogged provokes errors for callers of both languages; the log
// warns of each.
func TestFaultsAreLogged(t *testing.T) {
	t.Parallel()
	var log safeBuffer
	s := servertest.New(t, server.Config{Log: slog.New(slog.NewTextHandler(&log, nil))})
	for rule, want := range map[string]map[string]string{
		`{"times":2,"error":{"code":"InternalError"}}`:    {"en-US": "An internal error has occurred.", "zh-CN": "内部服务错误，请稍后重试。"},
		`{"times":2,"throttle":true}`:                     {"en-US": "exceeds the frequency limit `100`", "zh-CN": "超过了每秒频率上限 `100`"},
		`{"times":2,"error":{"code":"ResourcesSoldOut"}}`: {"en-US": "The resource is sold out.", "zh-CN": "资源售罄。"},
	} {
		addFault(t, s, strings.Replace(rule, "{", `{"action":"GetRegions","strict":false,`, 1))
		for language, text := range want {
			r := servertest.NewRequest(s.URL, "ap-guangzhou", s.Credential, "GetRegions", []byte("{}"))
			r.Header.Set("X-TC-Language", language)
			if _, body := send(t, r); !strings.Contains(body, text) {
				t.Errorf("%s in %s: %s", rule, language, body)
			}
		}
	}
	if got := strings.Count(log.String(), `level=WARN msg="a fault rule hit this call" fault=`); got != 6 {
		t.Errorf("the log warns of %d of 6 faults:\n%s", got, log.String())
	}
}

// TestDelayedCallHasItsOwnTime delays a call: its time is when it goes on.
func TestDelayedCallHasItsOwnTime(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{})
	addFault(t, s, `{"action":"CreateSecret","delay":"50ms"}`)
	begin := time.Now()
	if err := s.Call("CreateSecret", map[string]string{"SecretName": "late", "SecretString": "x"}, nil); err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(getState(t, s, ""), "createTime: \"")
	text, _, _ = strings.Cut(text, `"`)
	if made, err := time.Parse(time.RFC3339Nano, text); err != nil || made.Sub(begin) < 50*time.Millisecond {
		t.Errorf("a secret that was made %s after the call began, %v", made.Sub(begin), err)
	}
}

// TestStopEndsDelays stops a server while a call is delayed for minutes: the
// server doesn't wait for it.
func TestStopEndsDelays(t *testing.T) {
	t.Parallel()
	var log safeBuffer
	s := servertest.New(t, server.Config{Log: slog.New(slog.NewTextHandler(&log, nil))})
	addFault(t, s, `{"action":"GetRegions","delay":"5m"}`)
	ended := make(chan error)
	go func() {
		_, _, err := sendCall(t, s, "GetRegions", "{}")
		ended <- err
	}()
	for !strings.Contains(getControl(t, s, "/faults"), `"hits": 1`) {
	}
	s.Stop()
	if err := <-ended; err == nil || strings.Contains(log.String(), "cut off") || !strings.Contains(log.String(), "meanwhile the server stops") {
		t.Errorf("%v, and the log says %s", err, log.String())
	}
}

// TestDelayEndsWithClient delays a call for longer than its client waits; the
// server is free at once.
func TestDelayEndsWithClient(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{})
	addFault(t, s, `{"delay":"10m","times":1}`)
	client := http.Client{Timeout: 20 * time.Millisecond, Transport: &http.Transport{DisableKeepAlives: true}}
	if _, err := client.Do(servertest.NewRequest(s.URL, "ap-guangzhou", s.Credential, "GetRegions", []byte("{}"))); err == nil {
		t.Error("a call that is held up answers")
	}
	if err := s.Call("GetRegions", nil, nil); err != nil {
		t.Error(err)
	}
	// The test's end stops the server, which waits for calls in flight.
}

// TestDelayedCallMeetsAReset replaces the state while a call is delayed: the
// call is not done in the new state. A call whose client gives up is not done
// either. A call of an account whose state stays is done.
func TestDelayedCallMeetsAReset(t *testing.T) {
	t.Parallel()
	var log safeBuffer
	s := servertest.New(t, server.Config{Log: slog.New(slog.NewTextHandler(&log, nil))})
	delay := func(d time.Duration) {
		s.Fault(fault.Rule{Action: "CreateSecret", Times: 1, Effect: fault.Effect{Delay: fault.Span{Min: d, Max: d}}})
	}
	hit := func() {
		for getControl(t, s, "/faults") != "" && !strings.Contains(getControl(t, s, "/faults"), `"hits": 1`) {
		}
	}
	delay(5 * time.Minute) // of which nothing is waited for
	done := make(chan error)
	go func() {
		_, _, err := sendCall(t, s, "CreateSecret", `{"SecretName":"late","SecretString":"x"}`)
		done <- err
	}()
	hit()
	s.Reset()
	if err := <-done; err == nil {
		t.Error("a call from before the reset was answered")
	}
	if e := s.Calls(journal.Filter{}); len(e) != 0 || !strings.Contains(log.String(), "meanwhile the state was replaced") {
		t.Errorf("the new state's journal has %+v, the log %s", e, log.String())
	}
	delay(300 * time.Millisecond)
	go func() {
		done <- s.Call("CreateSecret", map[string]string{"SecretName": "of-another", "SecretString": "x"}, nil)
	}()
	hit()
	if status, body := ask(t, s, "POST", "/reset?uin=5", ""); status != http.StatusOK {
		t.Error(body)
	}
	if err := <-done; err != nil {
		t.Errorf("another account's reset: %v", err)
	}
	s.Reset()
	delay(5 * time.Minute)
	ctx, cancel := context.WithCancel(t.Context())
	r := servertest.NewRequest(s.URL, "ap-guangzhou", s.Credential, "CreateSecret", []byte(`{"SecretName":"given-up","SecretString":"x"}`))
	go func() {
		if answer, err := http.DefaultClient.Do(r.WithContext(ctx)); err == nil {
			answer.Body.Close()
		}
		done <- nil
	}()
	hit()
	cancel()
	<-done
	for count(t, s, "?code=NoAnswer") == 0 { // until the server has noticed
	}
	if e := s.Calls(journal.Filter{Code: journal.NoAnswer}); !strings.HasSuffix(e[0].Fault, "meanwhile the client gave up") {
		t.Errorf("the journal has %+v", e)
	}
	for _, name := range []string{"late", "given-up"} {
		if _, err := s.Value(name, "SSM_Current"); err == nil {
			t.Errorf("%s was made", name)
		}
	}
}

// TestNumbersOfFaults imports an account's own export after another has been
// given the number of its rule.
func TestNumbersOfFaults(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{})
	addFault(t, s, `{"uin":1,"drop":true}`)
	exported := getState(t, s, "?uin=1")
	ask(t, s, "DELETE", "/faults?uin=1", "")
	addFault(t, s, `{"uin":2,"drop":true}`)
	if status, body := putState(t, s, "?uin=1", exported); status != http.StatusOK || strings.Contains(exported, "id:") {
		t.Errorf("%d %s\n%s", status, body, exported)
	}
}
