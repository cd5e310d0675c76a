package server

import (
	"log/slog"
	"time"

	"ssmlocal/server/account"
	"ssmlocal/server/clock"
	"ssmlocal/server/ssm"
)

// DefaultListen is the address that an emulator listens on if it is given none.
const DefaultListen = "127.0.0.1:9023"

// A Config says how an emulator behaves. Its zero value works: signatures are
// verified, the documented rates hold, and the state is temporary.
type Config struct {
	// Listen has addresses as host:port; port 0 takes a free port. Without any,
	// DefaultListen is used.
	Listen []string
	// Data is the directory of the data file; without one the state is
	// temporary.
	Data string
	// Auth says how callers must prove who they are; "" is account.Verify.
	Auth account.Mode
	// Credentials are the known key pairs; none is account.Default.
	Credentials []account.Credential
	// Seeds are what the state begins with, and what a reset returns to: names
	// of built-in seeds, files, directories of .yaml files. They are applied to
	// an empty state only.
	Seeds []string
	// Capsule is how many requests since the start or the last replacement of
	// the state are kept, so that they can be replayed; 0 for none.
	Capsule int
	// WatchSeeds adds seed files that change while the server runs to the
	// state.
	WatchSeeds bool
	// RandomSeed makes all random values except SSH keys repeat from start to
	// start; nil means new ones each time.
	RandomSeed *uint64
	// Unlimited lifts the documented request rates.
	Unlimited bool
	// Rates sets the calls per second of single actions, by name, with or
	// without a documented rate. It also applies if Unlimited is set.
	Rates map[string]int
	// SecretLimit is how many secrets a region of an account may hold; 0 is the
	// documented 1,000.
	SecretLimit uint64
	// Instances are real databases behind instances, by account: their accounts
	// are made and changed with the secrets. Those of the state are used before
	// them.
	Instances map[uint64][]ssm.Binding
	// InstancePatience is how long a database may be away before what changes
	// it fails; 0 is 20 s.
	InstancePatience time.Duration
	// Clock, if not nil, is a clock that the caller moves too.
	Clock *clock.Clock
	// TaskPace says when tasks end; the zero Pace is at once.
	TaskPace ssm.Pace
	// Control is where the control plane is: "" is the API's own addresses,
	// "off" is nowhere, anything else is a separate address.
	Control string
	// ConsoleOff leaves out the page for browsers.
	ConsoleOff bool
	// Proxy is the address of a forward proxy through which programs reach the
	// emulator under the vendor's host names, and nothing else; "" for none.
	Proxy string
	// Metadata is a separate address for the instance metadata. "" means that
	// only requests for metadata.tencentyun.com get it, "off" switches it off:
	// it gives keys to anyone who asks.
	Metadata string
	// TLSCert and TLSKey are files in PEM to serve TLS with; without them the
	// emulator has a CA of its own, kept in Data.
	TLSCert, TLSKey string
	// TLSHosts are host names and addresses of this machine that certificates
	// are valid for, besides localhost and the vendor's.
	TLSHosts []string
	// Journal is how many calls the journal keeps; 0 is 1,000, less than 0 is
	// none.
	Journal int
	// Version is the build that the control plane reports.
	Version string
	// LostLines returns how many lines of the log could not be written, for the
	// metrics; nil for none. LogWriter.Lost is one.
	LostLines func() uint64
	// Log gets one line for each call at debug level, and at higher levels what
	// needs attention; nil is slog.Default(). Its handler must not wait for a
	// reader, since calls wait for it: see LogWriter.
	Log *slog.Logger
}

// A ConfigError is a mistake in a Config itself, not a problem of the machine.
type ConfigError struct{ error }

// Unwrap returns what is wrong with it.
func (e ConfigError) Unwrap() error { return e.error }
