package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/term"

	"ssmlocal/server"
	"ssmlocal/server/account"
	"ssmlocal/server/near"
)

// runCommand runs a command, such as a test suite, beside an emulator of its
// own.
type runCommand struct {
	Listen       string   `default:"127.0.0.1:0" placeholder:"HOST:PORT" help:"Address to listen on; a free port by default."`
	HTTPS        bool     `name:"https" help:"Let the command's programs use HTTPS: a CA that all of them trust, besides those that they trust already."`
	ThroughProxy bool     `help:"For programs without an endpoint option: a proxy takes the vendor's host names to the emulator, and the run fails if a call went anywhere else."`
	Report       bool     `help:"Print at the end what was called, and what was noticed."`
	ReportJUnit  string   `name:"report-junit" placeholder:"FILE" help:"Write what was noticed as JUnit XML."`
	FailOn       []string `placeholder:"WHAT" help:"Fail the run for leaks, unused-faults, throttled or signatures; repeatable, or separated by commas. --through-proxy implies leaks."`
	serveFlags
	Command []string `arg:"" optional:"" passthrough:"partial" help:"The command with its arguments, after --."`
}

// Exit codes of a command that could not be started, as shells and env have
// them.
const (
	notExecutableCode = 126
	notFoundCode      = 127
)

// reportedCalls is how many calls a report looks through for wrong signatures;
// its counts are of all calls.
const reportedCalls = 20_000

// exitCode is an error that is an exit code; the command has said the rest.
type exitCode int

// Error is never printed.
func (e exitCode) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// Run starts the emulator, runs the command and ends with its exit code.
func (c *runCommand) Run(t terminal) error {
	if len(c.Command) > 0 && c.Command[0] == "--" {
		c.Command = c.Command[1:]
	}
	if len(c.Command) == 0 {
		return usageError{errors.New("there is no command to run; write it after --: ssmlocal run -- pytest")}
	}
	if c.Control != "" {
		return usageError{errors.New("--control can't be set here: the command finds the control plane at SSMLOCAL_URL")}
	}
	for _, what := range c.FailOn {
		if !slices.Contains(checkNames(), what) {
			return usageError{fmt.Errorf("--fail-on is %q%s; it can be %s", what, near.Hint(what, checkNames()), strings.Join(checkNames(), ", "))}
		}
	}
	if err := c.openReport(); err != nil {
		return err
	}
	// From here on signals are the command's.
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, passedOn()...)
	defer signal.Stop(signals)
	t.passing.Store(true)
	defer t.passing.Store(false)

	s, stop, err := c.start(t)
	if err != nil {
		return err
	}
	e := environment{address: s.Addrs()[0], proxy: s.ProxyAddr(), credential: c.firstCredential(), https: c.HTTPS || c.ThroughProxy}
	defer e.remove()
	code, err := c.runCommand(t, &e, signals)
	if err != nil {
		return errors.Join(err, stop())
	}
	found, err := c.look(&e)
	if err == nil {
		err = c.writeReport(t, found, code)
	}
	if err := errors.Join(err, stop()); err != nil {
		if code != 0 { // which says more than the report
			fmt.Fprintf(t.err, "ssmlocal: %v\n", err)
			return exitCode(code)
		}
		return err
	}
	if failed := found.failing(c.failOn()); code == 0 && len(failed) > 0 {
		return fmt.Errorf("the command succeeded, but the run fails: %s", strings.Join(failed, "; "))
	}
	if code != 0 {
		return exitCode(code)
	}
	return nil
}

// failOn is what fails the run.
func (c *runCommand) failOn() []string {
	if c.ThroughProxy {
		return append([]string{leaksCheck}, c.FailOn...)
	}
	return c.FailOn
}

func (c *runCommand) firstCredential() account.Credential {
	for _, text := range splitCredentials(c.Credential) {
		credential, _ := account.ParseCredential(text) // it was parsed before
		return credential
	}
	return account.Default
}

// start starts the emulator. It is seeded and serves when start returns.
func (c *runCommand) start(t terminal) (s *server.Server, stop func() error, err error) {
	config, err := c.config()
	if err != nil {
		return nil, nil, err
	}
	lines := server.NewLogWriter(t.err)
	config.Listen, config.Log, config.LostLines = []string{c.Listen}, c.logger(lines, slog.LevelWarn), lines.Lost
	if c.Report || c.ReportJUnit != "" || len(c.FailOn) > 0 {
		config.Journal = max(config.Journal, reportedCalls)
	}
	if c.ThroughProxy {
		config.Proxy = cmp.Or(config.Proxy, "127.0.0.1:0")
	}
	s, err = server.New(config)
	if err != nil {
		lines.Close()
		if mistake := (server.ConfigError{}); errors.As(err, &mistake) {
			return nil, nil, usageError{err}
		}
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx) }()
	return s, func() error {
		cancel()
		err := <-ended
		lines.Close()
		return err
	}, nil
}

// runCommand runs the command to its end, and passes signals on. The code is
// that of the command, or what shells make of a signal that ended it.
func (c *runCommand) runCommand(t terminal, e *environment, signals <-chan os.Signal) (int, error) {
	env, err := e.variables(os.Environ())
	if err != nil {
		return 0, err
	}
	if e.proxyDropped != "" {
		fmt.Fprintf(t.err, "ssmlocal: %s is not set for the command: some SDKs send even calls to 127.0.0.1 there, whatever no_proxy says\n", e.proxyDropped)
	}
	cmd := exec.Command(c.Command[0], c.Command[1:]...)
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = env, os.Stdin, t.out, t.err
	if err := cmd.Start(); err != nil {
		code := notExecutableCode
		if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
			code = notFoundCode
		}
		fmt.Fprintf(t.err, "ssmlocal: cannot run %s: %v\n", c.Command[0], errors.Unwrap(err))
		return code, nil
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for {
		select {
		case s := <-signals:
			if (s == os.Interrupt || s == syscall.SIGQUIT) && fromTerminal() {
				continue // the terminal has sent it to the command, too
			}
			_ = cmd.Process.Signal(s)
		case err := <-done:
			var ended *exec.ExitError
			if err != nil && !errors.As(err, &ended) {
				return 0, err
			}
			if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
				return 128 + int(status.Signal()), nil
			}
			return cmd.ProcessState.ExitCode(), nil
		}
	}
}

// fromTerminal reports whether a person's Ctrl-C reaches the command by itself.
func fromTerminal() bool {
	return term.IsTerminal(int(os.Stdin.Fd()))
}
