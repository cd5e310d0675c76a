package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"ssmlocal/fixtures"
	"ssmlocal/server/control"
	"ssmlocal/server/seed"
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
	File string `arg:"" predictor:"file" optional:"" placeholder:"FILE" help:"Where to write the seed, with mode 0600; - or nothing is standard output."`
}

// Run writes the state. It holds every value, so only its owner may read a file
// with it.
func (c *exportCommand) Run(ctx context.Context, t terminal) error {
	defer c.progress(ctx, t)()
	text, err := c.stream(ctx, http.MethodGet, "state", c.query(), nil)
	if err != nil {
		return err
	}
	defer text.Close()
	if c.Output == "json" {
		text = seed.AsJSON(text)
	}
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

// save writes an answer to a file of the user's own, or to standard output, and
// with --output json prints how long it is.
func (t *target) save(to terminal, name string, text io.Reader) error {
	if name == "-" {
		_, err := io.Copy(to.out, text)
		return err
	}
	counted := &counter{Reader: text}
	if err := writeOwn(name, counted); err != nil {
		return err
	}
	if t.Output == "json" {
		return printAsJSON(to.out, map[string]any{"file": name, "bytes": counted.n})
	}
	return nil
}

// counter counts what is read.
type counter struct {
	io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += int64(n)
	return n, err
}

// inlineAtMost is up to which size a seed may name values that are elsewhere,
// in bytes. Larger ones are exports, which have all values in them.
const inlineAtMost = 4 << 20

type importCommand struct {
	target
	oneAccount
	File   string `arg:"" predictor:"seed" placeholder:"FILE" help:"The seed to apply: a file, a built-in seed, or - for standard input."`
	DryRun bool   `help:"Change nothing, and print what would change: each secret, with the fields, without values."`
	Merge  bool   `help:"Add the seed to the state: what both have is then as the seed says, everything else stays."`
}

// Run applies a seed in place of the state, or adds it.
func (c *importCommand) Run(ctx context.Context, t terminal) error {
	var text io.Reader
	if c.File == "-" {
		var err error
		if text, err = readSeed(os.Stdin); err != nil {
			return err
		}
	} else if built, ok := fixtures.Seed(c.File); ok {
		text = bytes.NewReader(built)
	} else {
		f, err := c.open()
		if err != nil {
			return err
		}
		defer f.Close()
		text = f
	}
	query := c.query()
	if query == nil {
		query = url.Values{}
	}
	if c.Merge {
		query.Set("merge", "true")
	}
	q := request{method: http.MethodPut, path: "state", query: query, stream: text, long: true}
	var err error
	if c.DryRun {
		query.Set("dryRun", "true")
		err = show(ctx, &c.target, t, q, printChanges)
	} else {
		err = show(ctx, &c.target, t, q, printCounts)
	}
	if err != nil {
		if text := err.Error(); strings.HasPrefix(text, "body:") { // where in the file, a line for each mistake
			return errors.New(strings.ReplaceAll("\n"+text, "\nbody:", "\n"+c.File+":")[1:])
		}
	}
	return err
}

// readSeed reads a seed from standard input, with the values in it that it takes
// from elsewhere.
func readSeed(in io.Reader) (io.Reader, error) {
	begin, err := io.ReadAll(io.LimitReader(in, inlineAtMost+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read standard input: %w", err)
	}
	if len(begin) > inlineAtMost {
		return io.MultiReader(bytes.NewReader(begin), in), nil
	}
	whole, err := seed.Inline("-", begin)
	return bytes.NewReader(whole), err
}

// importPatience is how long a file that is a pipe may bring nothing.
const importPatience = time.Minute

// open opens the file, with the values in it that it takes from elsewhere.
func (c *importCommand) open() (io.ReadCloser, error) {
	info, err := os.Stat(c.File)
	if err == nil && info.Mode().IsRegular() && info.Size() > inlineAtMost {
		f, err := os.Open(c.File)
		if err != nil {
			return nil, fmt.Errorf("cannot read the seed: %w", err)
		}
		return f, nil
	}
	var whole []byte
	if err == nil {
		whole, err = seed.ReadStream(c.File, importPatience)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the seed: %w", err)
	}
	if len(whole) <= inlineAtMost {
		whole, err = seed.Inline(c.File, whole)
	}
	return io.NopCloser(bytes.NewReader(whole)), err
}

type resetCommand struct {
	target
	oneAccount
	To string `placeholder:"NAME" help:"Return to a snapshot instead of the seeds."`
}

// Run returns to the seeds, or to a snapshot.
func (c *resetCommand) Run(ctx context.Context, t terminal) error {
	query := c.query()
	if c.To != "" {
		if query == nil {
			query = url.Values{}
		}
		query.Set("to", c.To)
	}
	return show(ctx, &c.target, t, request{method: http.MethodPost, path: "reset", query: query, long: true}, printCounts)
}

// printCounts prints what a new state has.
func printCounts(w io.Writer, n control.Counts) error {
	_, err := fmt.Fprintf(w, "accounts %d, secrets %d, credentials %d, faults %d\n", n.Accounts, n.Secrets, n.Credentials, n.Faults)
	return err
}
