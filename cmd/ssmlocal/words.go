package main

import (
	"cmp"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/alecthomas/kong"
	kongcompletion "github.com/jotaen/kong-completion"
	"github.com/posener/complete"

	"ssmlocal/fixtures"
	"ssmlocal/server/action"
	"ssmlocal/server/caller"
	"ssmlocal/server/near"
	"ssmlocal/server/ssm"
)

// The words of the command line: variables, suggestions, completions.

// scopeVariables leaves variables of the environment to what serves an
// emulator, and to where an emulator is. Set for one command, any other
// variable would change another one unnoticed.
func scopeVariables(k *kong.Kong) error {
	serves := map[string]bool{}
	for _, n := range k.Model.Children {
		if n.Name == "serve" {
			for _, f := range n.Flags {
				serves[f.Name] = true
			}
		}
	}
	var visit func(n *kong.Node)
	visit = func(n *kong.Node) {
		for _, f := range n.Flags {
			keeps := n.Name == "serve" || n.Name == "run" && serves[f.Name] && f.Name != "listen" ||
				f.Name == "url" || n.Name == "env" && f.Name == "credential"
			if ours := len(f.Envs) > 0 && strings.HasPrefix(f.Envs[0], "SSMLOCAL_"); ours && !keeps {
				f.Envs, f.Tag.Envs = nil, nil
			}
		}
		for _, child := range n.Children {
			visit(child)
		}
	}
	visit(k.Model.Node)
	return nil
}

// The parser's words for a value that begins with a minus, which it takes for a
// short flag.
var (
	minusFlag  = regexp.MustCompile(`^unknown flag (-\d).*`)
	minusValue = regexp.MustCompile(`^(--\S+): expected \S+ value but got "(-\d\S*)" \(short flag\).*`)
)

// mistyped says what is wrong with a command line.
func mistyped(err error, args []string) string {
	text := err.Error()
	if begin := minusFlag.FindStringSubmatch(text); begin != nil {
		if at := slices.IndexFunc(args, func(a string) bool { return strings.HasPrefix(a, begin[1]) }); at >= 0 {
			text = args[at] + " is negative, and nothing here can be"
		}
	}
	return minusValue.ReplaceAllString(text, "$1 is $2, and can't be negative")
}

// longestLine is how much of a line of an error is shown, in bytes.
const longestLine = 1000

// printable is a text from elsewhere as a terminal can show it: in lines of a
// bounded length, without control characters.
func printable(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		line = strings.Map(func(r rune) rune {
			if r != '\t' && !unicode.IsPrint(r) {
				return '?'
			}
			return r
		}, line)
		if len(line) > longestLine {
			line = strings.ToValidUTF8(line[:longestLine], "") + "…"
		}
		lines[i] = line
	}
	return strings.Join(lines, "\n")
}

// meantCommand suggests a command for an argument that the parser did not
// expect.
func meantCommand(app *kong.Application, err error) string {
	_, word, is := strings.Cut(err.Error(), "unexpected argument ")
	if !is || strings.Contains(word, "did you mean") {
		return ""
	}
	var names []string
	for _, n := range app.Leaves(true) {
		path := strings.TrimPrefix(n.FullPath(), app.Name+" ")
		first, last, _ := strings.Cut(path, " ")
		names = append(names, first, cmp.Or(last, first))
	}
	if meant := near.Word(word, names); meant != "" {
		return fmt.Sprintf(", did you mean %q?", meant)
	}
	return ""
}

// completions answers a shell that asks how a command line goes on, and ends
// the process then.
func completions(parser *kong.Kong) {
	if os.Getenv("COMP_LINE") == "" {
		return
	}
	codes := []string{}
	if all, err := fixtures.Recipes(); err == nil {
		for _, r := range all {
			codes = append(codes, r.Code)
		}
	}
	slices.Sort(codes)
	tours := []string{}
	if all, err := fixtures.Tours(); err == nil {
		for _, tour := range all {
			tours = append(tours, tour.Name)
		}
	}
	seeds := complete.PredictOr(complete.PredictSet(fixtures.Seeds()...), complete.PredictFiles("*.y*ml"), complete.PredictDirs("*"))
	kongcompletion.Register(parser,
		kongcompletion.WithPredictor("action", complete.PredictSet(action.Names()...)),
		kongcompletion.WithPredictor("code", complete.PredictSet(slices.Compact(codes)...)),
		kongcompletion.WithPredictor("seed", seeds),
		kongcompletion.WithPredictor("tour", complete.PredictSet(tours...)),
		kongcompletion.WithPredictor("region", complete.PredictSet(ssm.Regions()...)),
		kongcompletion.WithPredictor("client", complete.PredictSet(caller.Languages()...)),
		kongcompletion.WithPredictor("file", complete.PredictFiles("*")),
	)
}
