package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"

	"ssmlocal/fixtures"
	"ssmlocal/server/control"
)

// oneAccount limits a command to one account.
type oneAccount struct {
	Uin *uint64 `placeholder:"N" help:"Only this account."`
}

func (o oneAccount) query() url.Values {
	if o.Uin == nil {
		return nil
	}
	return url.Values{"uin": {strconv.FormatUint(*o.Uin, 10)}}
}

type exportCommand struct {
	target
	oneAccount
	File string `arg:"" optional:"" placeholder:"FILE" help:"Where to write the seed, with mode 0600; - or nothing is standard output."`
}

// Run writes the state. It holds every value, so only its owner may read a file
// with it.
func (c *exportCommand) Run(ctx context.Context, t terminal) error {
	text, err := c.stream(ctx, http.MethodGet, "state", c.query(), nil)
	if err != nil {
		return err
	}
	defer text.Close()
	if c.File == "" || c.File == "-" {
		_, err := io.Copy(t.out, text)
		return err
	}
	if err := writeOwn(c.File, text); err != nil {
		return fmt.Errorf("cannot write the seed: %w", err)
	}
	return nil
}

// writeOwn writes a file that only its owner may read. An existing file gets
// that mode before anything is written.
func writeOwn(name string, text io.Reader) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
		if err := errors.Join(f.Chmod(0o600), f.Truncate(0)); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	_, err = io.Copy(f, text)
	return errors.Join(err, f.Close())
}

type importCommand struct {
	target
	oneAccount
	File string `arg:"" placeholder:"FILE" help:"The seed to apply: a file, a built-in seed, or - for standard input."`
}

// Run applies a seed in place of the state.
func (c *importCommand) Run(ctx context.Context, t terminal) error {
	var text io.Reader
	if c.File == "-" {
		text = os.Stdin
	} else if built, ok := fixtures.Seed(c.File); ok {
		text = bytes.NewReader(built)
	} else {
		f, err := os.Open(c.File)
		if err != nil {
			return fmt.Errorf("cannot read the seed: %w", err)
		}
		defer f.Close()
		text = f
	}
	err := c.replace(ctx, t, http.MethodPut, "state", c.query(), text)
	if err != nil {
		if place, ok := strings.CutPrefix(err.Error(), "body"); ok { // where in the file
			return errors.New(c.File + place)
		}
	}
	return err
}

type resetCommand struct {
	target
	oneAccount
}

// Run returns to the seeds.
func (c *resetCommand) Run(ctx context.Context, t terminal) error {
	return c.replace(ctx, t, http.MethodPost, "reset", c.query(), nil)
}

// replace makes a call that replaces the state, and prints what the new state
// has.
func (t *target) replace(ctx context.Context, to terminal, method, path string, query url.Values, text io.Reader) error {
	answer, err := t.stream(ctx, method, path, query, text)
	if err != nil {
		return err
	}
	defer answer.Close()
	var n control.Counts
	if err := json.NewDecoder(answer).Decode(&n); err != nil {
		return err
	}
	_, err = fmt.Fprintf(to.out, "accounts %d, secrets %d, credentials %d, faults %d\n", n.Accounts, n.Secrets, n.Credentials, n.Faults)
	return err
}
