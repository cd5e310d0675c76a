package main

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/agext/levenshtein"
	"github.com/alecthomas/kong"
	kongcompletion "github.com/jotaen/kong-completion"
	"github.com/posener/complete"

	"ssmlocal/fixtures"
	"ssmlocal/server/action"
	"ssmlocal/server/caller"
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

// nearest returns the word that may have been meant, "" if none is near.
func nearest(word string, known []string) (near string) {
	best := 0.6 // of 1 for the same word; what is less alike only confuses
	for _, k := range known {
		like := levenshtein.Similarity(strings.ToLower(word), strings.ToLower(k), nil)
		if like > best || like == best && near == "" {
			near, best = k, like
		}
	}
	return near
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
	if near := nearest(word, names); near != "" {
		return fmt.Sprintf(", did you mean %q?", near)
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
