package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
)

// The linker sets these in releases and images. A build in a checkout has them
// from Git.
var version, commit, date string

// A build says where a program comes from.
type build struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Date     string `json:"date,omitempty"` // of the commit
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

type versionCommand struct{ format }

// Run prints the version of the build, its commit and that one's date.
func (c versionCommand) Run(t terminal) error {
	b := thisBuild()
	if c.Output == "json" {
		return printAsJSON(t.out, b)
	}
	fmt.Fprintln(t.out, b)
	return nil
}

// String is a line for people.
func (b build) String() string {
	commit := ""
	if b.Commit != "" {
		commit = fmt.Sprintf("commit %.12s of %s, ", b.Commit, cmp.Or(b.Date, "an unknown date"))
	}
	if b.Modified {
		commit += "with changes, "
	}
	return fmt.Sprintf("ssmlocal %s (%s%s, %s)", b.Version, commit, b.Go, b.Platform)
}

func thisBuild() build {
	b := build{version, commit, date, false, runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		b.Version = cmp.Or(b.Version, info.Main.Version)
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				b.Commit = cmp.Or(b.Commit, s.Value)
			case "vcs.time":
				b.Date = cmp.Or(b.Date, s.Value)
			case "vcs.modified":
				b.Modified = s.Value == "true"
			}
		}
	}
	b.Version = cmp.Or(b.Version, "(devel)")
	return b
}
