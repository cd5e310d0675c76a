// Package servertest runs an emulator inside a Go test, or with Start inside
// any program, such as TestMain or the suite of another test framework.
package servertest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"ssmlocal/server"
	"ssmlocal/server/account"
	"ssmlocal/server/action"
	"ssmlocal/server/clock"
	"ssmlocal/server/fault"
	"ssmlocal/server/journal"
	"ssmlocal/server/seed"
	"ssmlocal/server/tc3"
)

// A Server is a running emulator with a state of its own. It ends with the
// test, or if Start made it, with Close. Where a method of a test's Server
// fails the test, that of another one panics.
type Server struct {
	// URL is where it is, such as http://127.0.0.1:40123, and Host the same
	// without the scheme, as SDKs want it.
	URL, Host string
	// Clock is its clock. Advance moves it and returns what happened.
	Clock *Clock
	// Credential is the key pair that Call signs with.
	Credential account.Credential

	t        reporter
	emulator *server.Server
	stop     func() error
}

// reporter is what a Server needs of a test.
type reporter interface {
	Helper()
	Error(...any)
	Fatal(...any)
}

// panics reports for a Server that belongs to no test.
type panics struct{}

func (panics) Helper()           {}
func (panics) Error(what ...any) { panic(fmt.Sprint(what...)) }
func (panics) Fatal(what ...any) { panic(fmt.Sprint(what...)) }

// New starts an emulator on a free port. Listen and Clock of the configuration
// are its own. If Log is nil, what needs attention goes to the test's output,
// so that a failing test shows, for example, why a signature is wrong.
func New(t testing.TB, c server.Config) *Server {
	t.Helper()
	log := &testLog{t: t}
	if c.Log == nil {
		c.Log = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	s, err := start(t, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Stop()
		log.end()
	})
	return s
}

// Start starts an emulator as New does, for a program that is no test, or for
// all tests of a package (TestMain). The caller closes it. If Log is nil, what
// needs attention goes to slog's default logger.
func Start(c server.Config) (*Server, error) { return start(panics{}, c) }

// start starts an emulator that reports to t.
func start(t reporter, c server.Config) (*Server, error) {
	s := &Server{t: t, Credential: account.Default}
	s.Clock = &Clock{new(clock.Clock), s}
	c.Listen, c.Clock = []string{"127.0.0.1:0"}, s.Clock.Clock
	if len(c.Credentials) > 0 {
		s.Credential = c.Credentials[0]
	}
	emulator, err := server.New(c)
	if err != nil {
		return nil, err
	}
	s.emulator, s.Host = emulator, emulator.Addrs()[0]
	s.URL = "http://" + s.Host
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- emulator.Serve(ctx) }()
	s.stop = func() error {
		damage := emulator.Backend.Check()
		cancel()
		return errors.Join(damage, <-ended)
	}
	return s, nil
}

// testLog writes log lines to a test's output until that ends.
type testLog struct {
	mu    sync.Mutex
	t     testing.TB
	ended bool
}

// Write writes one line.
func (l *testLog) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.ended {
		l.t.Log("ssmlocal: " + strings.TrimSuffix(string(line), "\n"))
	}
	return len(line), nil
}

func (l *testLog) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
}

// Stop checks the whole store and ends the emulator. The test's end does it
// too.
func (s *Server) Stop() {
	s.t.Helper()
	if err := s.Close(); err != nil {
		s.t.Error(err)
	}
}

// Close is Stop, and returns what it found. A second one does nothing.
func (s *Server) Close() error {
	if s.stop == nil {
		return nil
	}
	stop := s.stop
	s.stop = nil
	// A connection that was opened and never used would hold the server up.
	http.DefaultClient.CloseIdleConnections()
	return stop()
}

// Check walks the whole store and returns what is wrong with it.
func (s *Server) Check() error { return s.emulator.Backend.Check() }

// Advance moves the emulator's virtual clock ahead, and returns what became due
// on the way and has happened, in order: rotations, deletions, ends of tasks.
func (s *Server) Advance(by time.Duration) []action.Event {
	s.t.Helper()
	_, moved, err := s.emulator.Backend.Advance(context.Background(), by)
	if err != nil {
		s.t.Fatal(err)
	}
	return moved.Happened
}

// Fault makes calls fail: see fault.Rule.
func (s *Server) Fault(r fault.Rule) {
	s.t.Helper()
	if _, err := s.emulator.Backend.AddFault(r); err != nil {
		s.t.Fatal(err)
	}
}

// Import puts a seed, in YAML, in place of the state.
func (s *Server) Import(text string) {
	s.t.Helper()
	if _, err := s.emulator.Backend.Import(context.Background(), seed.Text("body", []byte(text)), 0); err != nil {
		s.t.Fatal(err)
	}
}

// Reset returns to the seeds of the configuration; without any, to nothing.
// Faults, the journal and the clock are reset too.
func (s *Server) Reset() {
	s.t.Helper()
	if _, err := s.emulator.Backend.Reset(context.Background(), 0); err != nil {
		s.t.Fatal(err)
	}
}

// Calls returns the calls so far that a filter lets through, oldest first.
func (s *Server) Calls(f journal.Filter) []journal.Entry {
	found, _ := s.emulator.Gateway.Journal.Find(f, 0)
	return found
}

// ControlURL is where the control plane is.
func (s *Server) ControlURL() string { return "http://" + cmp.Or(s.emulator.ControlAddr(), s.Host) }

// ProxyURL is where the forward proxy is, if the configuration has one.
func (s *Server) ProxyURL() string { return "http://" + s.emulator.ProxyAddr() }

// MetadataURL is where the instance metadata is, if the configuration gives it
// an address of its own.
func (s *Server) MetadataURL() string { return "http://" + s.emulator.MetadataAddr() }

// Value reads a version's value, SecretString or SecretBinary, from the store,
// in the region ap-guangzhou, for the account of the server's credential. It
// makes no call, so faults, rates and statuses don't matter.
func (s *Server) Value(secretName, versionID string) (string, error) {
	s.t.Helper()
	v, err := s.emulator.Backend.ReadValue(s.Credential.Uin, "ap-guangzhou", secretName, versionID)
	if err == nil && v == nil {
		err = fmt.Errorf("there is no version %s of a secret %s", versionID, secretName)
	}
	if err != nil {
		return "", err
	}
	return v.String + v.Binary, nil
}

// A Clock is the emulator's clock.
type Clock struct {
	*clock.Clock
	server *Server
}

// Advance is Server.Advance.
func (c *Clock) Advance(by time.Duration) []action.Event { return c.server.Advance(by) }

// An Error is an API error as a client sees it.
type Error struct{ Code, Message string }

// Error returns code and message.
func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Call calls an action in the region ap-guangzhou, signed with the server's
// credential, and reads the answer into reply, a pointer or nil. params is
// marshaled to JSON; nil means none. An API error comes back as *Error.
func (s *Server) Call(action string, params, reply any) error {
	s.t.Helper()
	return s.CallIn("ap-guangzhou", s.Credential, action, params, reply)
}

// CallIn calls an action in a region with a credential.
func (s *Server) CallIn(region string, c account.Credential, action string, params, reply any) error {
	s.t.Helper()
	return s.CallService("ssm", "2019-09-23", region, c, action, params, reply)
}

// CallService calls an action of another service that the emulator has, such as
// tag in its version 2018-08-13.
func (s *Server) CallService(service, version, region string, c account.Credential, action string, params, reply any) error {
	s.t.Helper()
	body := []byte("{}")
	if params != nil {
		var err error
		if body, err = json.Marshal(params); err != nil {
			s.t.Fatal(err)
		}
	}
	r := NewRequest(s.URL, region, c, action, body)
	if service != "ssm" {
		r.Header.Set("X-TC-Version", version)
		tc3.Sign(r, body, c.SecretID, c.SecretKey, service, time.Now())
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return parse(text, reply)
}

// NewRequest returns a signed request for an action.
func NewRequest(url, region string, c account.Credential, action string, body []byte) *http.Request {
	r, err := http.NewRequest(http.MethodPost, url+"/", bytes.NewReader(body))
	if err != nil {
		panic(err) // the URL is a test's own
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-TC-Action", action)
	r.Header.Set("X-TC-Version", "2019-09-23")
	if region != "" {
		r.Header.Set("X-TC-Region", region)
	}
	if c.Token != "" {
		r.Header.Set("X-TC-Token", c.Token)
	}
	tc3.Sign(r, body, c.SecretID, c.SecretKey, "ssm", time.Now())
	return r
}

func parse(text []byte, reply any) error {
	var envelope struct{ Response json.RawMessage }
	if err := json.Unmarshal(text, &envelope); err != nil {
		return fmt.Errorf("not an answer of the API: %q: %w", text, err)
	}
	var failure struct {
		Error     *Error
		RequestId string
	}
	if err := json.Unmarshal(envelope.Response, &failure); err != nil {
		return fmt.Errorf("not an answer of the API: %q: %w", text, err)
	}
	if len(strings.Split(failure.RequestId, "-")) != 5 {
		return fmt.Errorf("an answer without a RequestId: %q", text)
	}
	if failure.Error != nil {
		return failure.Error
	}
	if reply == nil {
		return nil
	}
	return json.Unmarshal(envelope.Response, reply)
}
