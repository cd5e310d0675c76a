package instance

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"

	"ssmlocal/server/ssm"
)

// Hooks, for databases that the emulator doesn't drive: a program or a service
// that is called with a HookCall in JSON before a value is published.
// server/README.md has the contract.

// HookVersion is the version of the contract.
const HookVersion = 1

// A HookCall is what a hook is called with.
type HookCall struct {
	Version int `json:"version"`
	// Action is create (make the account, or change it to what is said), rotate
	// (give it the password), verify (log in with it, and out again) or drop
	// (remove it). Each may come more than once for the same account.
	Action string `json:"action"`
	Name   string `json:"name"`
	// Password is absent for an account that rests, with which nobody may log
	// in, and for drop.
	Password   string              `json:"password,omitempty"`
	Hosts      []string            `json:"hosts,omitempty"`
	Privileges []HookPrivilegeUnit `json:"privileges,omitempty"`
}

// A HookPrivilegeUnit is the privileges of an account at one level, as
// CreateProductSecret has it.
type HookPrivilegeUnit struct {
	PrivilegeName string   `json:"privilegeName"`
	Privileges    []string `json:"privileges"`
	Database      string   `json:"database,omitempty"`
	TableName     string   `json:"tableName,omitempty"`
	ColumnName    string   `json:"columnName,omitempty"`
	SchemaName    string   `json:"schemaName,omitempty"`
	SequenceName  string   `json:"sequenceName,omitempty"`
	ProcedureName string   `json:"procedureName,omitempty"`
	TypeName      string   `json:"typeName,omitempty"`
	FunctionName  string   `json:"functionName,omitempty"`
	ViewName      string   `json:"viewName,omitempty"`
	MatviewName   string   `json:"matviewName,omitempty"`
}

func hookPrivileges(units []ssm.PrivilegeUnit) (out []HookPrivilegeUnit) {
	for _, u := range units {
		out = append(out, HookPrivilegeUnit{
			u.PrivilegeName, u.Privileges, u.Database, u.Table, u.Column, u.Schema, u.Sequence, u.Procedure, u.Type,
			u.Function, u.View, u.Matview,
		})
	}
	return out
}

// hookEngine calls a hook.
type hookEngine struct {
	address Address
	client  *http.Client
}

func openHook(a Address, encryption *tls.Config) *hookEngine {
	// Without the environment's proxy, which is for the outside.
	transport := &http.Transport{TLSClientConfig: encryption, MaxIdleConnsPerHost: mostAtOnce}
	return &hookEngine{a, &http.Client{Transport: transport}}
}

func (h *hookEngine) close() { h.client.CloseIdleConnections() }

// errLater is a hook's answer that it can't do this now; the call is repeated.
var errLater = errors.New("the hook can't do it now")

func (h *hookEngine) away(err error) bool { return errors.Is(err, errLater) }

// tryLater is the exit code of a program that can't do it now (sysexits.h,
// EX_TEMPFAIL).
const tryLater = 75

// mostSaid is how much is read of what a hook says, in bytes.
const mostSaid = 2048

func (h *hookEngine) call(ctx context.Context, c HookCall) error {
	c.Version = HookVersion
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	if h.address.IsProgram() {
		return h.run(ctx, text)
	}
	return h.post(ctx, text)
}

// run runs the program, which reads the call from its standard input. What it
// writes to its standard error is the reason of a failure.
func (h *hookEngine) run(ctx context.Context, call []byte) error {
	program := exec.CommandContext(ctx, h.address.hook)
	said := &limited{most: mostSaid}
	program.Stdin, program.Stderr = bytes.NewReader(call), said
	program.WaitDelay = Patience / 5 // a child of its own may hold its output open
	err := program.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &exit) && exit.ExitCode() == tryLater:
		return fmt.Errorf("%w: %s", errLater, said.first())
	case errors.As(err, &exit):
		return fmt.Errorf("%s: %w: %s", h.address.hook, err, said.first())
	}
	return err
}

// post calls the service. With a status of 503 or 429 it is tried again; what
// it answers is the reason of a failure.
func (h *hookEngine) post(ctx context.Context, call []byte) error {
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, h.address.hook, bytes.NewReader(call))
	if err != nil {
		return err
	}
	q.Header.Set("Content-Type", "application/json")
	answer, err := h.client.Do(q)
	if err != nil {
		var failed *url.Error
		if errors.As(err, &failed) { // its text has the URL, which may have a password
			err = failed.Err
		}
		return err
	}
	defer answer.Body.Close()
	said := &limited{most: mostSaid}
	_, _ = io.Copy(said, io.LimitReader(answer.Body, mostSaid))
	switch {
	case answer.StatusCode/100 == 2:
		return nil
	case answer.StatusCode == http.StatusServiceUnavailable || answer.StatusCode == http.StatusTooManyRequests:
		return fmt.Errorf("%w: %s: %s", errLater, answer.Status, said.first())
	}
	return fmt.Errorf("the hook answers %s: %s", answer.Status, said.first())
}

// limited keeps the first bytes of what is written to it.
type limited struct {
	text bytes.Buffer
	most int
}

// Write keeps what there is room for.
func (l *limited) Write(b []byte) (int, error) {
	l.text.Write(b[:min(len(b), l.most-l.text.Len())])
	return len(b), nil
}

// first is the first line.
func (l *limited) first() string {
	line, _, _ := strings.Cut(strings.TrimSpace(l.text.String()), "\n")
	return strings.ToValidUTF8(line, "")
}

// version reports whether the hook is there: the program can be run, or the
// service's port is open.
func (h *hookEngine) version(ctx context.Context) (string, error) {
	if h.address.IsProgram() {
		info, err := os.Stat(h.address.hook)
		if err == nil && (info.IsDir() || info.Mode()&0o111 == 0) {
			err = fmt.Errorf("%s can't be run", h.address.hook)
		}
		return "", err
	}
	u, err := url.Parse(h.address.hook)
	if err != nil {
		return "", err
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err == nil {
		err = c.Close()
	}
	return "", err
}

// accounts returns none: a hook is not asked which there are.
func (h *hookEngine) accounts(context.Context) ([]string, error) { return nil, nil }

func (h *hookEngine) create(ctx context.Context, a Account) error {
	return h.call(ctx, HookCall{Action: "create", Name: a.Name, Password: a.Password, Hosts: a.Hosts, Privileges: hookPrivileges(a.Privileges)})
}

func (h *hookEngine) setPassword(ctx context.Context, a Account) error {
	return h.call(ctx, HookCall{Action: "rotate", Name: a.Name, Password: a.Password, Hosts: a.Hosts, Privileges: hookPrivileges(a.Privileges)})
}

func (h *hookEngine) login(ctx context.Context, a Account) error {
	return h.call(ctx, HookCall{Action: "verify", Name: a.Name, Password: a.Password})
}

func (h *hookEngine) drop(ctx context.Context, name string) error {
	return h.call(ctx, HookCall{Action: "drop", Name: name})
}
