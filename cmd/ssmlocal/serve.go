package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"regexp"
	"runtime/debug"
	"strings"
	"syscall"

	"ssmlocal/server"
	"ssmlocal/server/account"
	"ssmlocal/server/seed"
	"ssmlocal/server/ssm"
)

type serveCommand struct {
	Listen []string `default:"127.0.0.1:9023" placeholder:"HOST:PORT" help:"Address to listen on (${default}); repeatable. Port 0 takes a free port; the first line of output shows it."`
	serveFlags
}

// serveFlags say how an emulator serves, wherever it listens.
type serveFlags struct {
	Data        string         `placeholder:"DIR" help:"Directory of the data file. Without it the state is temporary."`
	Auth        string         `default:"verify" enum:"verify,any,off" help:"How callers prove who they are. verify: signatures of known keys only; any: unknown SecretIds too, each with an account of its own; off: no signature needed."`
	Credential  []string       `sep:"none" placeholder:"ID:KEY[:UIN]" help:"Key pair that may call, and its account; repeatable. In the variable, separate several by line ends, or by commas if their IDs begin with AKID. Default: AKIDssmlocal:ssmlocal:100000000001."`
	Seed        []string       `predictor:"seed" placeholder:"FILE|DIR|NAME" help:"What an empty state begins with, and what a reset returns to: a file, a directory of .yaml files, or a built-in seed (${seeds}); repeatable."`
	SeedDir     string         `predictor:"file" placeholder:"DIR" help:"Directory whose .yaml files come before those of --seed. It may be empty or missing: the image reads /seeds, where you can mount yours."`
	Watch       bool           `help:"Apply seed files again when they change: what they name is then as they say, everything else stays."`
	RandomSeed  *uint64        `placeholder:"N" help:"Make ids, passwords, key names and RequestIds repeat from run to run. SSH keys don't: the standard library takes no seed for them."`
	Limits      string         `default:"documented" enum:"documented,off" help:"Request rates: as documented, or none."`
	Limit       map[string]int `mapsep:"," placeholder:"ACTION=N" help:"Calls per second for one action, also with --limits off; repeatable."`
	SecretLimit uint64         `default:"1000" placeholder:"N" help:"How many secrets an account may have in a region; ${default} as documented."`
	TaskPace    string         `default:"now" placeholder:"PACE" help:"When tasks (such as a rotation) end: now, after a time of the virtual clock such as 6s, or with a poll such as 3polls (${default})."`
	Instance    []string       `sep:"none" placeholder:"[UIN/]ID=URL" help:"Real database behind an instance, whose accounts are made and changed with the secrets: mysql://, postgres:// or redis://, with a user who may make accounts; repeatable, in the variable on a line each. Of the first credential's account unless UIN is given."`
	Journal     int            `default:"1000" placeholder:"N" help:"How many calls the journal keeps (${default}); 0 for none."`
	Capsule     int            `placeholder:"N" help:"Keep up to N requests since the start or the last reset with their answers, for ssmlocal capsule save. They hold values."`
	Control     string         `placeholder:"HOST:PORT|off" help:"Where the control plane under /_ssmlocal/ is served; by default on every address of --listen."`
	Console     string         `default:"on" enum:"on,off" help:"The page for browsers at /_ssmlocal/, where the control plane is: on or off."`
	Proxy       string         `placeholder:"HOST:PORT" help:"Address of a forward proxy for programs whose host is compiled in: calls for the vendor's host names go to this emulator, all others are refused and counted."`
	Metadata    string         `placeholder:"HOST:PORT|off" help:"Separate address for the instance metadata; every address of --listen also serves it, for metadata.tencentyun.com. It gives keys to anyone who asks; off switches it off."`
	TLSCert     string         `placeholder:"FILE" help:"Certificate to serve TLS with, in PEM. By default the emulator makes a CA, and keeps it in --data."`
	TLSKey      string         `placeholder:"FILE" help:"Its key."`
	TLSHost     []string       `placeholder:"NAME" help:"Host name or address of this machine that certificates are valid for, besides localhost and the vendor's; repeatable."`
	Log         string         `default:"text" enum:"text,json" help:"Format of the log: ${enum}."`
	LogLevel    string         `default:"" enum:",debug,info,warn,error" placeholder:"LEVEL" help:"Lowest level that is logged: debug, info, warn or error; info by default, warn for ssmlocal run. debug also logs each call."`
}

// Run serves until ctx ends.
func (c *serveCommand) Run(ctx context.Context, t terminal) error {
	signal.Ignore(syscall.SIGPIPE) // the emulator goes on if the reader of its output is gone
	lines := server.NewLogWriter(t.err)
	defer lines.Close()
	log := c.logger(lines, slog.LevelInfo)
	lines.Dropped = func(n uint64) { log.Warn("lines of the log were dropped: nobody read them in time", "lines", n) }
	config, err := c.config()
	if err != nil {
		return err
	}
	config.Listen, config.Log, config.LostLines = c.Listen, log, lines.Lost
	collectSeldom()
	s, err := server.New(config)
	if mistake := (server.ConfigError{}); errors.As(err, &mistake) {
		return usageError{err}
	}
	if err != nil {
		return err
	}
	for _, address := range s.Addrs() {
		fmt.Fprintf(t.out, "ssmlocal listens on http://%s\n", address)
	}
	for _, own := range []struct{ what, address string }{
		{"ssmlocal is controlled on http://%s\n", s.ControlAddr()}, {"ssmlocal is a proxy on http://%s\n", s.ProxyAddr()},
		{"ssmlocal serves the instance metadata on http://%s\n", s.MetadataAddr()},
	} {
		if own.address != "" {
			fmt.Fprintf(t.out, own.what, own.address)
		}
	}
	if c.Data == "" {
		log.Info("the state is temporary and ends with this process; use --data DIR to keep it")
	} else {
		log.Info("the state is kept", "data", c.Data)
	}
	if c.Watch && len(config.Seeds) == 0 {
		log.Warn("--watch has nothing to watch; give --seed FILE or DIR")
	}
	t.serving.Store(true)
	return s.Serve(ctx)
}

// config is the configuration without where it listens and logs.
func (c *serveFlags) config() (server.Config, error) {
	config := server.Config{
		Data: c.Data, Auth: account.Mode(c.Auth), Unlimited: c.Limits == "off", Rates: c.Limit,
		SecretLimit: c.SecretLimit, Control: c.Control, Seeds: c.Seed, WatchSeeds: c.Watch, Capsule: c.Capsule, RandomSeed: c.RandomSeed,
		Journal: c.Journal, Version: thisBuild().Version, ConsoleOff: c.Console == "off", Proxy: c.Proxy, Metadata: c.Metadata,
		TLSCert: c.TLSCert, TLSKey: c.TLSKey, TLSHosts: c.TLSHost,
	}
	switch {
	case c.Journal == 0:
		config.Journal = -1
	case c.Journal < 0:
		return config, usageError{errors.New("--journal is less than 0; 0 keeps no calls")}
	case c.Capsule < 0:
		return config, usageError{errors.New("--capsule is less than 0; 0 keeps no requests")}
	case c.SecretLimit == 0:
		return config, usageError{errors.New("--secret-limit is 0; it must be at least 1")}
	}
	if c.SeedDir != "" {
		empty, err := seed.IsEmpty(c.SeedDir)
		if err != nil {
			return config, usageError{fmt.Errorf("--seed-dir: %w", err)}
		}
		if !empty {
			config.Seeds = append([]string{c.SeedDir}, config.Seeds...)
		}
	}
	for _, text := range splitCredentials(c.Credential) {
		credential, err := account.ParseCredential(text)
		if err != nil {
			return config, usageError{fmt.Errorf("--credential: %w", err)}
		}
		config.Credentials = append(config.Credentials, credential)
	}
	var err error
	if config.Instances, err = parseInstances(c.Instance, firstUin(config.Credentials)); err != nil {
		return config, err
	}
	if config.TaskPace, err = ssm.ParsePace(c.TaskPace); err != nil {
		return config, usageError{fmt.Errorf("--task-pace: %w", err)}
	}
	return config, nil
}

// another matches where the next credential in a variable begins: on another
// line, or after a comma if it begins as the vendor's SecretIds do. Any other
// comma is part of a key.
var another = regexp.MustCompile(`[\r\n]+|,(AKID)`)

// splitCredentials cuts texts into one credential each.
func splitCredentials(texts []string) (all []string) {
	for _, text := range texts {
		for one := range strings.SplitSeq(another.ReplaceAllString(text, "\n$1"), "\n") {
			if one != "" {
				all = append(all, one)
			}
		}
	}
	return all
}

// collectSeldom lets garbage grow to four times what is kept, a few megabytes,
// before it is collected. Under load that saves a fifth of a call's CPU time
// and costs some 12 MB. The state is not in that memory, however large it is.
// If GOGC is set, it applies instead.
func collectSeldom() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
}

func (c *serveFlags) logger(lines io.Writer, level slog.Level) *slog.Logger {
	if c.LogLevel != "" {
		_ = level.UnmarshalText([]byte(c.LogLevel)) // the flag's enum has only levels
	}
	options := &slog.HandlerOptions{Level: level}
	if c.Log == "json" {
		return slog.New(slog.NewJSONHandler(lines, options))
	}
	return slog.New(slog.NewTextHandler(lines, options))
}
