package instancetest

import (
	"os"
	"os/exec"
	"os/user"
)

// The databases of the tests are Unix programs: on Windows the tests skip them.

func runAs(*exec.Cmd, *user.User) {}

func pause(*os.Process, bool) {}
