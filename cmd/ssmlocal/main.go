// Command ssmlocal is a local emulator of Tencent Cloud Secrets Manager (SSM,
// API version 2019-09-23).
//
// Exit codes: 0 for success, 1 for a failure while running, 2 for a wrong
// command line, 130 for an interrupted command.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	kongcompletion "github.com/jotaen/kong-completion"

	"ssmlocal/fixtures"
)

// commands is the whole command line.
type commands struct {
	Version kong.VersionFlag `help:"Print the version and exit."`

	Serve serveCommand `cmd:"" default:"withargs" group:"emulator" help:"Run the emulator (the default command)."`
	Run   runCommand   `cmd:"" group:"emulator" help:"Run a command, such as a test suite, beside an emulator of its own."`

	Call    callCommand    `cmd:"" group:"calls" help:"Make a call that the emulator at --url signs itself, or print it as a program."`
	Errors  errorsCommand  `cmd:"" group:"calls" help:"Print how to get each documented error code, or get it live."`
	Tour    tourCommand    `cmd:"" group:"calls" help:"Play a tour in this terminal: a story in calls and their answers."`
	Provoke provokeCommand `cmd:"" group:"calls" help:"Make the next call of an action answer an error code."`
	Fault   faultCommands  `cmd:"" group:"calls" help:"Make calls of the emulator at --url fail."`
	Facts   factsCommand   `cmd:"" group:"calls" help:"Print the actions with their parameters and documented rates."`

	Journal journalCommands `cmd:"" group:"look" help:"Look at the calls that were made."`
	Events  eventsCommand   `cmd:"" group:"look" help:"Print what has become of secrets: rotations, creations, deletions, failures."`
	Due     dueCommand      `cmd:"" group:"look" help:"Print what becomes due."`
	Limits  limitsCommands  `cmd:"" group:"look" help:"Look at request rates, and change them."`
	Leaks   leaksCommands   `cmd:"" group:"look" help:"Look at requests to other hosts."`
	Aside   asideCommand    `cmd:"" group:"look" help:"Print what is due and could not be done."`
	Work    workCommand     `cmd:"" group:"look" help:"Print long work that is under way."`
	Metrics metricsCommand  `cmd:"" group:"look" help:"Print the metrics, for Prometheus."`
	Health  healthCommand   `cmd:"" group:"look" help:"Exit with 0 if the emulator at --url lives, else with 1."`
	Wait    waitCommand     `cmd:"" group:"look" help:"Wait until the emulator at --url is seeded and serves."`

	Clock     clockCommands    `cmd:"" group:"state" help:"Read and move the virtual clock of the emulator at --url."`
	Export    exportCommand    `cmd:"" group:"state" help:"Print the state of the emulator at --url as a seed."`
	Import    importCommand    `cmd:"" group:"state" help:"Put a seed in place of the state of the emulator at --url, or add it."`
	Reset     resetCommand     `cmd:"" group:"state" help:"Return the emulator at --url to its seeds."`
	Snapshot  snapshotCommands `cmd:"" group:"state" help:"Keep states under a name, compare them, and return to them."`
	Capsule   capsuleCommands  `cmd:"" group:"state" help:"Save a recorded run."`
	Replay    replayCommand    `cmd:"" group:"state" help:"Replay a recorded run, and print the first answer that differs."`
	Backup    backupCommand    `cmd:"" group:"state" help:"Write a copy of the data file."`
	Tasks     tasksCommands    `cmd:"" group:"state" help:"Look at the pace of tasks, and change it."`
	Accounts  accountsCommands `cmd:"" group:"state" help:"Look at accounts besides their secrets, and change them."`
	AccessKey accessKeyCommand `cmd:"" name:"accesskey" group:"state" help:"Make an API-key secret, which no public action does."`
	Instance  instanceCommands `cmd:"" group:"state" help:"Look after the real databases behind instances of the emulator at --url."`

	CA         caCommand                 `cmd:"" name:"ca" group:"programs" help:"Print the certificate that programs trust for TLS with the emulator at --url."`
	Env        envCommand                `cmd:"" group:"programs" help:"Print what SDKs, tccli and Terraform need to find the emulator at --url."`
	Schema     schemaCommand             `cmd:"" group:"programs" help:"Print the JSON schema of seeds, for editors."`
	Completion kongcompletion.Completion `cmd:"" group:"programs" help:"Print a completion script for a shell."`
	VersionOf  versionCommand            `cmd:"" name:"version" group:"programs" help:"Print the version."`
}

// groups are the headings of the commands.
var groups = []kong.Group{
	{Key: "emulator", Title: "An emulator"}, {Key: "calls", Title: "Calls and errors"}, {Key: "look", Title: "Look at it"},
	{Key: "state", Title: "Its state"}, {Key: "programs", Title: "For programs and shells"},
}

// terminal is where a command writes.
type terminal struct {
	out, err io.Writer
	serving  *atomic.Bool // set once the emulator serves
	passing  *atomic.Bool // set while signals are passed on to a command
}

// How long a command may take to end after the first signal. The emulator ends
// within five seconds, whatever it does; other commands have nothing to finish.
const (
	serverEnds  = 4800 * time.Millisecond
	commandEnds = time.Second
)

// interruptedCode is the exit code of a command that was interrupted, as shells
// have it.
const interruptedCode = 130

func main() {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	t := terminal{os.Stdout, os.Stderr, new(atomic.Bool), new(atomic.Bool)}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan int, 1)
	go func() { ended <- run(ctx, os.Args[1:], t) }()
	for passed := true; passed; {
		select {
		case code := <-ended:
			os.Exit(code)
		case <-signals:
			passed = t.passing.Load() // the command ends, or doesn't
		}
	}
	stop()
	wait := commandEnds
	if t.serving.Load() {
		wait = serverEnds
	}
	select {
	case code := <-ended:
		os.Exit(code)
	case <-signals: // a second one: at once
	case <-time.After(wait):
	}
	// Whatever still runs waits for input or a disk that doesn't come, so the
	// process ends without it, and doesn't wait for the message either.
	go fmt.Fprintln(os.Stderr, "ssmlocal: interrupted")
	time.Sleep(50 * time.Millisecond)
	os.Exit(interruptedCode)
}

// run runs one command line and returns the exit code.
func run(ctx context.Context, args []string, t terminal) (code int) {
	exited := false
	parser, err := kong.New(&commands{},
		kong.Name("ssmlocal"),
		kong.Description("A local emulator of Tencent Cloud Secrets Manager (SSM, 2019-09-23). Without a command, it runs the emulator; ssmlocal serve --help lists the flags for that and their environment variables."),
		kong.DefaultEnvars("SSMLOCAL"),
		kong.PostBuild(scopeVariables),
		kong.ExplicitGroups(groups),
		kong.Vars{"seeds": strings.Join(fixtures.Seeds(), ", "), "version": thisBuild().String()},
		kong.Writers(t.out, t.err),
		kong.Exit(func(c int) { exited, code = true, c }),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(t),
	)
	if err != nil {
		panic(err) // the command line's own definition is wrong
	}
	if at := emptyArgument(args); at >= 0 {
		which := strconv.Quote(args[at])
		if args[at] == "" {
			which = "after " + strconv.Quote(strings.Join(args[:at], " "))
		}
		fmt.Fprintf(t.err, "ssmlocal: the argument %s has no value; leave it out, or give one\n", which)
		return 2
	}
	completions(parser)
	if len(args) > 0 && args[0] == "help" {
		args = append(args[1:len(args):len(args)], "--help")
	}
	command, err := parser.Parse(args)
	switch {
	case exited: // --help, --version
		return code
	case err != nil:
		wrong := mistyped(err, args) + meantCommand(parser.Model, err)
		fmt.Fprintf(t.err, "ssmlocal: %s; see ssmlocal --help and ssmlocal serve --help\n", printable(wrong))
		return 2
	}
	for _, name := range unknownVariables(parser.Model) {
		fmt.Fprintf(t.err, "ssmlocal: there is no variable %s; it is ignored; see ssmlocal serve --help\n", name)
	}
	if err := command.Run(); err != nil {
		var code exitCode
		if errors.As(err, &code) {
			return int(code)
		}
		if errors.Is(err, context.Canceled) {
			fmt.Fprintln(t.err, "ssmlocal: interrupted")
			return interruptedCode
		}
		fmt.Fprintf(t.err, "ssmlocal: %s%s\n", printable(err.Error()), whoMayRead(err))
		var usage usageError
		if errors.As(err, &usage) {
			return 2
		}
		return 1
	}
	return 0
}

// whoMayRead says what to do about a file that may not be read, "" about
// another error. In a container the user is another one than the file's owner.
func whoMayRead(err error) string {
	if !errors.Is(err, fs.ErrPermission) || os.Getuid() < 0 {
		return ""
	}
	const advice = "; this process runs as the user with id %d, which must be allowed to: chmod or chown it"
	return fmt.Sprintf(advice, os.Getuid())
}

// emptyArgument returns the index of an argument that is empty, or is a flag
// with nothing after its =; -1 for none. An unset variable of a shell must not
// mean "any".
func emptyArgument(args []string) int {
	return slices.IndexFunc(args, func(arg string) bool {
		return arg == "" || strings.HasPrefix(arg, "--") && strings.HasSuffix(arg, "=")
	})
}

// unknownVariables returns the variables of the environment that look like ours
// and are not.
func unknownVariables(app *kong.Application) (names []string) {
	known := map[string]bool{ // of the tests and examples, and what ssmlocal run gives to programs
		"SSMLOCAL_REQUIRE": true, "SSMLOCAL_ENDPOINT": true, "SSMLOCAL_CA": true, "SSMLOCAL_BIN": true,
	}
	_ = kong.Visit(app, func(n kong.Visitable, next kong.Next) error {
		if f, ok := n.(*kong.Flag); ok {
			for _, name := range f.Envs {
				known[name] = true
			}
		}
		return next(nil)
	})
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		if strings.HasPrefix(name, "SSMLOCAL_") && !known[name] {
			names = append(names, name)
		}
	}
	return names
}

// usageError is a mistake in the command line that only the command itself
// could find.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }
