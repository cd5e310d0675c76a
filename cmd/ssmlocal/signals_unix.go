//go:build unix

package main

import (
	"os"
	"syscall"
)

// passedOn are the signals that ssmlocal run leaves to its command.
func passedOn() []os.Signal {
	return []os.Signal{
		os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT,
		syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH,
	}
}
