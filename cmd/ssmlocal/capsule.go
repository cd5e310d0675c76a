package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"

	"ssmlocal/server"
	"ssmlocal/server/capsule"
)

// capsuleCommands are about runs that are recorded.
type capsuleCommands struct {
	Save capsuleSave `cmd:"" help:"Write the state at the last start or reset and every request since into a file, to replay it."`
}

type capsuleSave struct {
	target
	File   string `arg:"" predictor:"file" placeholder:"FILE" help:"Where to write it, with mode 0600; - is standard output."`
	Redact bool   `help:"Replace values and keys, each by the same text wherever it occurs."`
}

// Run writes the capsule of an emulator that was started with --capsule.
func (c *capsuleSave) Run(ctx context.Context, t terminal) error {
	query := url.Values{}
	if c.Redact {
		query.Set("redact", "true")
	}
	text, err := c.stream(ctx, http.MethodGet, "capsule", query, nil)
	if err != nil {
		return err
	}
	defer text.Close()
	if err := c.save(t, c.File, text); err != nil {
		return fmt.Errorf("cannot write the capsule: %w", err)
	}
	if !c.Redact && c.File != "-" {
		fmt.Fprintf(t.err, "ssmlocal: %s holds secret values and keys; --redact replaces them\n", c.File)
	}
	return nil
}

type replayCommand struct {
	target
	File string `arg:"" predictor:"file" placeholder:"FILE" help:"The capsule; - is standard input."`
}

// Run replays a capsule in this process, or with --url in that emulator, whose
// state is not touched. It fails if an answer differs.
func (c *replayCommand) Run(ctx context.Context, t terminal) error {
	done, err := c.replay(ctx)
	if err != nil {
		return err
	}
	if c.Output == "json" {
		if err := printAsJSON(t.out, done); err != nil {
			return err
		}
	} else {
		printReplayed(t.out, done)
	}
	if done.Differs != nil {
		return fmt.Errorf("the answer to request %d is another one", done.Differs.Number)
	}
	return nil
}

func (c *replayCommand) replay(ctx context.Context) (done server.Replayed, err error) {
	f := os.Stdin
	if c.File != "-" {
		if f, err = os.Open(c.File); err != nil {
			return done, fmt.Errorf("cannot read the capsule: %w", err)
		}
		defer f.Close()
	}
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return done, fmt.Errorf("cannot read the capsule: %s is a directory", c.File)
	}
	if c.URL != "" {
		answer, err := c.stream(ctx, http.MethodPost, "replay", nil, f)
		if err != nil {
			return done, err
		}
		defer answer.Close()
		return done, json.NewDecoder(answer).Decode(&done)
	}
	kept, err := capsule.Parse(f)
	if err != nil {
		return done, fmt.Errorf("%s: %w", c.File, err)
	}
	return server.Replay(ctx, kept)
}

// printReplayed prints the result of a replay. The capsule may be somebody
// else's.
func printReplayed(w io.Writer, r server.Replayed) {
	if d := r.Differs; d != nil {
		fmt.Fprintf(w, "request %d, %s of %s\n", d.Number, printable(d.What), d.At.Format("2006-01-02T15:04:05.000Z"))
		fmt.Fprintf(w, "  recorded  …%s\n  now       …%s\n", printable(d.Before), printable(d.Now))
		if r.Databases {
			fmt.Fprintln(w, "the run had real databases bound, and a replay has none: answers that depend on them differ")
		}
		return
	}
	switch r.Unanswered {
	case 0:
		fmt.Fprintf(w, "requests: %d, and every answer is the same\n", r.Requests)
	case r.Requests:
		fmt.Fprintf(w, "requests: %d, none with a recorded answer, so nothing was compared\n", r.Requests)
	default:
		const same = "requests: %d, and every answer is the same, of %d that were recorded\n"
		fmt.Fprintf(w, same, r.Requests, r.Requests-r.Unanswered)
	}
	if r.Stopped != "" {
		fmt.Fprintf(w, "later requests are not in the capsule: %s\n", printable(r.Stopped))
	}
}
