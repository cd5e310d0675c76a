package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"ssmlocal/fixtures"
	"ssmlocal/server"
	"ssmlocal/server/demo"
	"ssmlocal/server/near"
)

type tourCommand struct {
	format
	Name     string `arg:"" predictor:"tour" optional:"" help:"Name of the tour; without one, all are listed."`
	Language string `placeholder:"en|zh" help:"Language of the texts; that of the environment (LANG) if absent."`
	Wire     bool   `help:"Print what went over the wire, too."`
}

// languageOfTours is that of the environment.
func languageOfTours() string {
	for _, name := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
		if value := os.Getenv(name); value != "" {
			if strings.HasPrefix(value, "zh") {
				return "zh"
			}
			return "en"
		}
	}
	return "en"
}

// Run plays a tour on a throwaway emulator. It needs no server, and fails if a
// step comes out otherwise than it must.
func (c *tourCommand) Run(ctx context.Context, t terminal) error {
	all, err := fixtures.Tours()
	if err != nil {
		return err
	}
	language := cmp.Or(c.Language, languageOfTours())
	if language != "en" && language != "zh" {
		return usageError{fmt.Errorf("--language is %q; it must be en or zh", language)}
	}
	in := func(text fixtures.Text) string {
		if language == "zh" {
			return text.ZH
		}
		return text.EN
	}
	if c.Name == "" && c.Output == "json" {
		return printAsJSON(t.out, all)
	}
	if c.Name == "" {
		w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
		for _, tour := range all {
			fmt.Fprintf(w, "%s\t%s\n", tour.Name, in(tour.About))
		}
		return w.Flush()
	}
	var names []string
	for _, tour := range all {
		if tour.Name == c.Name {
			return c.play(ctx, t, tour, in)
		}
		names = append(names, tour.Name)
	}
	return usageError{fmt.Errorf("there is no tour %q%s; there are %s", c.Name, near.Hint(c.Name, names), strings.Join(names, ", "))}
}

func (c *tourCommand) play(ctx context.Context, t terminal, tour fixtures.Tour, in func(fixtures.Text) string) error {
	played, err := demo.Tour(ctx, server.Throwaway, tour)
	if err != nil {
		return err
	}
	if c.Output == "json" {
		if err := printAsJSON(t.out, played); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(t.out, "%s\n%s\n", in(tour.Title), in(tour.About))
		for i, step := range played.Steps {
			fmt.Fprintf(t.out, "\n%d. %s\n", i+1, in(*step.Text))
			printStep(t.out, &step, c.Wire)
		}
	}
	if !played.OK {
		return fmt.Errorf("the tour %s did not come out as it must", tour.Name)
	}
	return nil
}

// run gets a code live, and prints each step.
func (c *errorsCommand) run(ctx context.Context, t terminal, r fixtures.Recipe) error {
	x, err := demo.Recipe(ctx, server.Throwaway, r)
	if err != nil {
		return err
	}
	if c.Output == "json" {
		if err := printAsJSON(t.out, x); err != nil {
			return err
		}
	} else {
		printTranscript(t.out, &x, c.Wire)
	}
	if !x.OK {
		return fmt.Errorf("%s came instead of %s", x.Reached, x.Code)
	}
	return nil
}

func printTranscript(w io.Writer, x *demo.Transcript, wire bool) {
	fmt.Fprintf(w, "%s from %s\n", x.Code, x.Action)
	if x.Why != "" {
		fmt.Fprintln(w, x.Why)
	}
	fmt.Fprintf(w, "\n  $ %s\n", x.Start)
	for _, step := range x.Steps {
		printStep(w, &step, wire)
	}
}

// printStep prints a step as a terminal would show it.
func printStep(w io.Writer, s *demo.Step, wire bool) {
	fmt.Fprintf(w, "  $ %s\n", s.Command)
	switch {
	case s.Control != nil:
		fmt.Fprintln(w, oneLine(s.Control.Answer))
	case s.Repeat > 1:
		for _, code := range sortedKeys(s.Codes) {
			fmt.Fprintf(w, "%d times %s\n", s.Codes[code], code)
		}
	case s.Call.Code == demo.OK:
		fmt.Fprintln(w, oneLine(string(s.Call.Reply)))
	case s.Call.Code != "":
		fmt.Fprintf(w, "%s: %s\n", s.Call.Code, s.Call.Message)
	default:
		fmt.Fprintf(w, "%s %s\n", s.Call.Wire.Response.Line, s.Call.Wire.Broken)
	}
	if wire && s.Call != nil {
		printWire(w, &s.Call.Wire)
	}
	if s.Wrong != "" {
		fmt.Fprintf(w, "WRONG: %s\n", s.Wrong)
	}
}

// oneLine writes JSON without line ends, and cuts what is long.
func oneLine(text string) string {
	var b bytes.Buffer
	if json.Compact(&b, []byte(text)) == nil {
		text = b.String()
	}
	const most = 600
	if text = strings.TrimSpace(text); len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}

func sortedKeys(m map[string]int) []string { return slices.Sorted(maps.Keys(m)) }
