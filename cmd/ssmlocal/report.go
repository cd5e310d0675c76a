package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"ssmlocal/server/control"
	"ssmlocal/server/fault"
)

// The checks of a run, by the names that --fail-on takes.
const (
	leaksCheck      = "leaks"
	faultsCheck     = "unused-faults"
	throttledCheck  = "throttled"
	signaturesCheck = "signatures"
)

func checkNames() []string {
	return []string{leaksCheck, faultsCheck, throttledCheck, signaturesCheck}
}

// findings are what was noticed during a run.
type findings struct {
	calls   []calls
	budgets []string            // nearly used up
	wrong   map[string][]string // what each check found, in lines
}

// calls are how often an action was answered with a code.
type calls struct {
	action, code string
	n            uint64
}

// failing returns what the checks that fail a run have found, one line each.
func (f *findings) failing(checks []string) (all []string) {
	for _, name := range checkNames() {
		if slices.Contains(checks, name) && len(f.wrong[name]) > 0 {
			all = append(all, name+": "+strings.Join(f.wrong[name], ", "))
		}
	}
	return all
}

// nearlyUsed is the share of a budget from which a report names it.
const nearlyUsed = 0.8

// look asks the emulator what was noticed.
func (c *runCommand) look(e *environment) (*findings, error) {
	f := &findings{wrong: map[string][]string{}}
	t, ctx := target{URL: e.url()}, context.Background()
	metrics, err := t.send(ctx, http.MethodGet, "metrics", nil, nil)
	if err != nil {
		return f, err
	}
	all, err := metricsIn(bytes.NewReader(metrics))
	if err != nil {
		return f, err
	}
	for _, m := range all {
		if m.Name == "ssmlocal_calls_total" && m.Value > 0 {
			f.calls = append(f.calls, calls{cmp.Or(m.Labels["action"], "no action"), m.Labels["code"], uint64(m.Value)})
		}
	}
	slices.SortFunc(f.calls, func(a, b calls) int { return cmp.Or(cmp.Compare(a.action, b.action), cmp.Compare(a.code, b.code)) })

	var limits []control.Budget
	var rules []fault.Report
	var leaks control.LeaksReply
	var entries []struct{ Mismatch string }
	for path, reply := range map[string]any{"limits": &limits, "faults": &rules, "leaks": &leaks, "journal": &entries} {
		if err := t.into(ctx, http.MethodGet, path, nil, nil, reply); err != nil {
			return f, err
		}
	}
	for _, l := range limits {
		text := fmt.Sprintf("%s: %d of %d a second, %s of account %d", l.Action, l.Highest, l.Limit, l.Region, l.Uin)
		if l.Limit > 0 && float64(l.Highest) >= nearlyUsed*float64(l.Limit) {
			f.budgets = append(f.budgets, text)
		}
		if l.Refused > 0 {
			f.wrong[throttledCheck] = append(f.wrong[throttledCheck], fmt.Sprintf("%s: %d refused, more than %d a second", l.Action, l.Refused, l.Limit))
		}
	}
	for _, r := range rules {
		if r.Hits == 0 {
			f.wrong[faultsCheck] = append(f.wrong[faultsCheck], fmt.Sprintf("rule %s never hit: %s", r.ID, cmp.Or(r.Action, "any action")))
		}
	}
	for _, l := range leaks.Refused {
		f.wrong[leaksCheck] = append(f.wrong[leaksCheck], fmt.Sprintf("%d × %s", l.Count, l.Host))
	}
	parts := map[string]int{}
	for _, entry := range entries {
		if entry.Mismatch != "" {
			parts[entry.Mismatch]++
		}
	}
	for _, part := range slices.Sorted(maps.Keys(parts)) {
		f.wrong[signaturesCheck] = append(f.wrong[signaturesCheck], fmt.Sprintf("%d × %s", parts[part], part))
	}
	return f, nil
}

// openReport finds out before the command runs whether its report can be
// written.
func (c *runCommand) openReport() error {
	if c.ReportJUnit == "" {
		return nil
	}
	f, err := os.OpenFile(c.ReportJUnit, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return usageError{fmt.Errorf("--report-junit: cannot write the report: %w", err)}
	}
	return f.Close()
}

// writeReport prints the report, and writes it as JUnit XML.
func (c *runCommand) writeReport(t terminal, f *findings, code int) error {
	if c.Report {
		f.print(t.err, c.Command[0], code)
	}
	if c.ReportJUnit == "" {
		return nil
	}
	var b bytes.Buffer
	b.WriteString(xml.Header)
	e := xml.NewEncoder(&b)
	e.Indent("", "  ")
	if err := e.Encode(f.junit(c.failOn())); err != nil {
		return err
	}
	if err := os.WriteFile(c.ReportJUnit, append(b.Bytes(), '\n'), 0o600); err != nil {
		return fmt.Errorf("cannot write the report: %w", err)
	}
	return nil
}

var titles = map[string]string{
	leaksCheck: "leaks: calls to other hosts", faultsCheck: "fault rules that were never hit",
	throttledCheck: "calls beyond their rate", signaturesCheck: "wrong signatures, and which part differed",
}

func (f *findings) print(w io.Writer, command string, code int) {
	fmt.Fprintf(w, "\nssmlocal: %s ended with %d\n", command, code)
	list := func(title string, lines []string) {
		if len(lines) > 0 {
			fmt.Fprintf(w, "%s\n  %s\n", title, strings.Join(lines, "\n  "))
		}
	}
	if len(f.calls) == 0 {
		fmt.Fprintln(w, "no call came: does the program read SSMLOCAL_ENDPOINT, or an option of yours?")
	} else {
		fmt.Fprintln(w, "calls")
		table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for _, c := range f.calls {
			fmt.Fprintf(table, "  %s\t%d\t%s\n", c.action, c.n, c.code)
		}
		_ = table.Flush()
	}
	list("budgets nearly used up", f.budgets)
	clean := []string{}
	for _, name := range checkNames() {
		if list(titles[name], f.wrong[name]); len(f.wrong[name]) == 0 {
			clean = append(clean, name)
		}
	}
	if len(clean) > 0 {
		fmt.Fprintf(w, "nothing to say about %s\n", strings.Join(clean, ", "))
	}
}

// What JUnit XML has of a test suite.
type (
	junitSuite struct {
		XMLName  xml.Name    `xml:"testsuite"`
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Cases    []junitCase `xml:"testcase"`
		Out      string      `xml:"system-out,omitempty"`
	}
	junitCase struct {
		Class   string        `xml:"classname,attr"`
		Name    string        `xml:"name,attr"`
		Failure *junitFailure `xml:"failure"`
		Out     string        `xml:"system-out,omitempty"`
	}
	junitFailure struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// junit is the report with a test case for each check. Those that fail the run
// are failures; what the others found is their output.
func (f *findings) junit(failOn []string) junitSuite {
	suite := junitSuite{Name: "ssmlocal", Tests: len(checkNames())}
	for _, name := range checkNames() {
		one := junitCase{Class: "ssmlocal", Name: name}
		switch text := strings.Join(f.wrong[name], "\n"); {
		case text == "":
		case slices.Contains(failOn, name):
			suite.Failures++
			one.Failure = &junitFailure{titles[name], text}
		default:
			one.Out = titles[name] + "\n" + text
		}
		suite.Cases = append(suite.Cases, one)
	}
	var lines []string
	for _, c := range f.calls {
		lines = append(lines, fmt.Sprintf("%s %s %d", c.action, c.code, c.n))
	}
	suite.Out = strings.Join(append(lines, f.budgets...), "\n")
	return suite
}
