package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"ssmlocal/server"
	"ssmlocal/server/account"
	"ssmlocal/server/ssm"
)

type serveCommand struct {
	Listen      []string       `default:"127.0.0.1:9023" placeholder:"HOST:PORT" help:"Address to listen on (${default}); repeatable. Port 0 takes a free one, which the first line of output tells."`
	Data        string         `placeholder:"DIR" help:"Directory of the data file. Without it the state is temporary."`
	Auth        string         `default:"verify" enum:"verify,any,off" help:"How far callers prove who they are. verify: signatures of known keys only; any: unknown SecretIds too, each with an account of its own; off: no signature needed."`
	Credential  []string       `placeholder:"ID:KEY[:UIN]" help:"Key pair that may call, and its account; repeatable. Default: AKIDssmlocal:ssmlocal:100000000001."`
	Limits      string         `default:"documented" enum:"documented,off" help:"Request rates: as documented, or none."`
	Limit       map[string]int `mapsep:"," placeholder:"ACTION=N" help:"Calls a second that one action may have, also with --limits off; repeatable."`
	SecretLimit uint64         `default:"1000" placeholder:"N" help:"Secrets that a region of an account may hold; ${default} as documented."`
	TaskPace    string         `default:"now" placeholder:"PACE" help:"When tasks (such as a rotation) end: now, after a time of the virtual clock such as 6s, or with a poll such as 3polls (${default})."`
	Control     string         `placeholder:"HOST:PORT|off" help:"Where the control plane under /_ssmlocal/ is; by default on every address of --listen."`
	Log         string         `default:"text" enum:"text,json" help:"Form of the log: ${enum}."`
	LogLevel    string         `default:"info" enum:"debug,info,warn,error" help:"Least level of the log: ${enum}. A line a call is at debug."`
}

// Run serves until the process is told to stop.
func (c *serveCommand) Run(ctx context.Context, t terminal) error {
	log := c.logger(t)
	config := server.Config{
		Listen: c.Listen, Data: c.Data, Auth: account.Mode(c.Auth), Unlimited: c.Limits == "off", Rates: c.Limit,
		SecretLimit: c.SecretLimit, Control: c.Control, Log: log,
	}
	for _, text := range c.Credential {
		credential, err := account.ParseCredential(text)
		if err != nil {
			return usageError{fmt.Errorf("--credential: %w", err)}
		}
		config.Credentials = append(config.Credentials, credential)
	}
	if c.SecretLimit == 0 {
		return usageError{errors.New("--secret-limit is 0, it must be at least 1")}
	}
	pace, err := ssm.ParsePace(c.TaskPace)
	if err != nil {
		return usageError{fmt.Errorf("--task-pace: %w", err)}
	}
	config.TaskPace = pace
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
	if address := s.ControlAddr(); address != "" {
		fmt.Fprintf(t.out, "ssmlocal is controlled on http://%s\n", address)
	}
	if c.Data == "" {
		log.Info("the state is temporary and ends with this process; use --data DIR to keep it")
	} else {
		log.Info("the state is kept", "data", c.Data)
	}
	return s.Serve(ctx)
}

func (c *serveCommand) logger(t terminal) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.LogLevel)) // the flag's enum has only levels
	options := &slog.HandlerOptions{Level: level}
	if c.Log == "json" {
		return slog.New(slog.NewJSONHandler(t.err, options))
	}
	return slog.New(slog.NewTextHandler(t.err, options))
}
