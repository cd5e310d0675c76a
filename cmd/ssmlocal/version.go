package main

import (
	"fmt"
	"runtime/debug"
)

// version is set by the linker in releases.
var version string

type versionCommand struct{}

// Run prints the version of the build.
func (versionCommand) Run(t terminal) error {
	_, err := fmt.Fprintln(t.out, "ssmlocal", buildVersion())
	return err
}

func buildVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
