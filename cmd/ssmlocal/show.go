package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/term"

	"ssmlocal/server/backend"
	"ssmlocal/server/control"
)

// How commands ask the control plane, and print its answers.

// A request is one call of the control plane.
type request struct {
	method, path string
	query        url.Values
	body         any       // sent as JSON; nil for none
	stream       io.Reader // sent as it is, instead
	long         bool      // it may take long: its progress is shown
}

// show makes a call, and prints its answer: as it is with --output json, else
// as text.
func show[R any](ctx context.Context, c *target, t terminal, q request, text func(w io.Writer, reply R) error) error {
	body := q.stream
	if q.body != nil {
		encoded, err := json.Marshal(q.body)
		if err != nil {
			return err
		}
		body = bytes.NewReader(encoded)
	}
	if q.long {
		defer c.progress(ctx, t)()
	}
	stream, err := c.stream(ctx, q.method, q.path, q.query, body)
	if err != nil {
		return err
	}
	defer stream.Close()
	answer, err := io.ReadAll(stream)
	if err != nil {
		return err
	}
	if c.Output == "json" {
		_, err := fmt.Fprintln(t.out, strings.TrimSuffix(string(answer), "\n"))
		return err
	}
	var reply R
	if err := json.Unmarshal(answer, &reply); err != nil {
		return err
	}
	return text(t.out, reply)
}

// table prints rows in columns; none says so if there are no rows.
func table(w io.Writer, none string, rows [][]string) error {
	if len(rows) == 0 {
		_, err := fmt.Fprintln(w, none)
		return err
	}
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(out, strings.TrimRight(strings.Join(row, "\t"), "\t"))
	}
	return out.Flush()
}

// follow prints what a stream of server-sent events brings, until ctx or the
// emulator ends: each as one line of JSON with --output json, else as text.
func follow[R any](ctx context.Context, c *target, t terminal, path string, query url.Values, text func(w io.Writer, event R)) error {
	stream, err := c.stream(ctx, http.MethodGet, path, query, nil)
	if err != nil {
		if ctx.Err() != nil {
			return nil // a person has seen enough
		}
		return err
	}
	defer stream.Close()
	lines := bufio.NewReader(stream)
	for {
		line, err := lines.ReadString('\n')
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("the emulator does not send any more: %w", err)
		}
		data, is := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "data: ")
		if !is {
			continue
		}
		if c.Output == "json" {
			fmt.Fprintln(t.out, data)
			continue
		}
		var event R
		if err := json.Unmarshal([]byte(data), &event); err != nil {
			return err
		}
		text(t.out, event)
	}
}

// How often progress is shown, and from when on: most calls take milliseconds.
const (
	progressFirst    = 500 * time.Millisecond
	progressTerminal = 250 * time.Millisecond
	progressLines    = 5 * time.Second
)

// progress shows how far the emulator is with what takes long, on standard
// error: in place on a terminal, else as a line every few seconds. The function
// that it returns ends that.
func (c *target) progress(ctx context.Context, t terminal) (end func()) {
	every, first := progressLines, progressLines
	onTerminal := isTerminal(t.err)
	if onTerminal {
		every, first = progressTerminal, progressFirst
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		shown := 0
		for timer := time.NewTimer(first); ; timer.Reset(every) {
			select {
			case <-ctx.Done():
				if shown > 0 {
					fmt.Fprintf(t.err, "\r%*s\r", shown, "")
				}
				return
			case <-timer.C:
			}
			var all []backend.Work
			if c.into(ctx, http.MethodGet, "work", nil, nil, &all) != nil || len(all) == 0 {
				continue
			}
			line := describeWork(all[0])
			if !onTerminal {
				fmt.Fprintln(t.err, line)
				continue
			}
			fmt.Fprintf(t.err, "\r%-*s", shown, line)
			shown = max(shown, len(line))
		}
	}()
	return func() { cancel(); <-ended }
}

func describeWork(w backend.Work) string {
	text := fmt.Sprintf("%s: %d done", w.What, w.Done)
	if w.Clock != "" {
		text += ", the clock is at " + w.Clock
	}
	return text
}

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Colours, as numbers of the terminal's own.
const (
	red    = 31
	green  = 32
	yellow = 33
)

// painted gives a text a colour on a terminal, unless NO_COLOR is set.
func painted(w io.Writer, colour int, text string) string {
	if text == "" || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" || !isTerminal(w) {
		return text
	}
	return fmt.Sprintf("\x1b[%dm%s\x1b[0m", colour, text)
}

// paintedCode is an error code in red, and success as it is.
func paintedCode(w io.Writer, text string) string {
	if text == "OK" {
		return text
	}
	return painted(w, red, text)
}

// second writes a time for a table.
func second(at time.Time) string { return at.UTC().Format("2006-01-02T15:04:05Z") }

func number[N int | int64 | uint64](n N) string { return strconv.FormatInt(int64(n), 10) }

// Lists without parameters.
type (
	workCommand  struct{ target }
	asideCommand struct{ target }
	factsCommand struct{ target }
)

// Run prints the long work that is under way.
func (c *workCommand) Run(ctx context.Context, t terminal) error {
	return show(ctx, &c.target, t, request{method: http.MethodGet, path: "work"}, func(w io.Writer, all []backend.Work) error {
		var rows [][]string
		for _, x := range all {
			rows = append(rows, []string{second(x.Since), describeWork(x)})
		}
		return table(w, "nothing is under way", rows)
	})
}

// Run prints the actions, with their rates.
func (c *factsCommand) Run(ctx context.Context, t terminal) error {
	return show(ctx, &c.target, t, request{method: http.MethodGet, path: "facts"}, func(w io.Writer, facts control.Facts) error {
		var rows [][]string
		for _, a := range facts.Actions {
			var names []string
			for _, p := range a.Parameters {
				name := p.Name
				if !p.Required {
					name = "[" + name + "]"
				}
				names = append(names, name)
			}
			rows = append(rows, []string{a.Service, a.Action, number(a.Rate) + "/s", strings.Join(names, " ")})
		}
		return table(w, "", rows)
	})
}
