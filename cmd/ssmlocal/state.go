package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"

	"ssmlocal/fixtures"
	"ssmlocal/server"
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
	File string `arg:"" optional:"" placeholder:"FILE" help:"Where to write the seed, with mode 0600; standard output by default."`
}

// Run writes the state. It holds every value, so a file of it is for its owner alone.
func (c *exportCommand) Run(ctx context.Context, t terminal) error {
	text, err := c.send(ctx, http.MethodGet, "state", c.query(), nil)
	if err != nil {
		return err
	}
	if c.File == "" {
		_, err := t.out.Write(text)
		return err
	}
	err = os.WriteFile(c.File, text, 0o600)
	if err == nil {
		err = os.Chmod(c.File, 0o600) // the file may have been there
	}
	if err != nil {
		return fmt.Errorf("cannot write the seed: %w", err)
	}
	return nil
}

type importCommand struct {
	target
	oneAccount
	File string `arg:"" placeholder:"FILE" help:"The seed to apply: a file, a built-in seed, or - for standard input."`
}

// Run applies a seed in place of the state.
func (c *importCommand) Run(ctx context.Context, t terminal) error {
	var text []byte
	var err error
	if c.File == "-" {
		text, err = io.ReadAll(os.Stdin)
	} else if built, ok := fixtures.Seed(c.File); ok {
		text = built
	} else {
		text, err = os.ReadFile(c.File)
	}
	if err != nil {
		return fmt.Errorf("cannot read the seed: %w", err)
	}
	err = c.replace(ctx, t, http.MethodPut, "state", c.query(), text)
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

// replace calls what replaces the state, and prints what there is then.
func (t *target) replace(ctx context.Context, to terminal, method, path string, query url.Values, text []byte) error {
	var n server.Counts
	if err := t.into(ctx, method, path, query, text, &n); err != nil {
		return err
	}
	_, err := fmt.Fprintf(to.out, "accounts %d, secrets %d, credentials %d, faults %d\n", n.Accounts, n.Secrets, n.Credentials, n.Faults)
	return err
}
