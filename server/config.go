package server

import (
	"log/slog"

	"ssmlocal/server/account"
	"ssmlocal/server/clock"
	"ssmlocal/server/ssm"
)

// DefaultListen is the address of an emulator that is told none.
const DefaultListen = "127.0.0.1:9023"

// A Config says how an emulator behaves. Its zero value works: signatures are
// verified, the documented rates hold, and the state is temporary.
type Config struct {
	// Listen has addresses as host:port; port 0 takes a free one. None is DefaultListen.
	Listen []string
	// Data is the directory of the data file; without one the state is temporary.
	Data string
	// Auth is how far callers must prove who they are; "" is account.Verify.
	Auth account.Mode
	// Credentials are the known key pairs; none is account.Default.
	Credentials []account.Credential
	// Seeds are what the state begins with, and what a reset returns to: names
	// of built-in seeds, files, directories of .yaml files. They are applied to
	// an empty state only.
	Seeds []string
	// RandomSeed makes everything that is drawn, save for SSH keys, repeat from
	// start to start; nil draws anew.
	RandomSeed *uint64
	// Unlimited lifts the documented request rates.
	Unlimited bool
	// Rates sets the calls a second of single actions, by name, documented or
	// not, also if Unlimited.
	Rates map[string]int
	// SecretLimit is how many secrets a region of an account may hold; 0 is the
	// documented 1,000.
	SecretLimit uint64
	// Clock, if not nil, is a clock that the caller moves too.
	Clock *clock.Clock
	// TaskPace says when tasks end; the zero Pace is at once.
	TaskPace ssm.Pace
	// Control is where the control plane is: "" on the API's own addresses,
	// "off" nowhere, else an address of its own.
	Control string
	// Proxy is the address of a forward proxy through which programs reach the
	// emulator under the vendor's host names, and nothing else; "" for none.
	Proxy string
	// Metadata is an address of its own for the instance metadata; "" leaves it to requests
	// for metadata.tencentyun.com, "off" switches it off: it hands keys to whoever asks.
	Metadata string
	// TLSCert and TLSKey are files in PEM to serve TLS with; without them the
	// emulator has a CA of its own, kept in Data.
	TLSCert, TLSKey string
	// TLSHosts are host names and addresses of this machine that certificates
	// shall hold for, besides localhost and the vendor's.
	TLSHosts []string
	// Journal is how many calls the journal keeps; 0 is 1,000, and less than 0 none.
	Journal int
	// Version is what the control plane tells of the build.
	Version string
	// LostLines returns how many lines of the log could not be written, for the metrics; nil
	// for none. LogWriter.Lost is one.
	LostLines func() uint64
	// Log gets one line a call at debug level, and what needs attention above
	// that; nil is slog.Default().
	Log *slog.Logger
}

// A ConfigError is a mistake in a Config itself, whatever there is on the machine.
type ConfigError struct{ error }
