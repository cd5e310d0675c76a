// Package server is the emulator between a socket and a transaction: Config says how it behaves, New puts the parts
// together, Serve serves. A request's whole way is in call.go; every URL is in routes.go.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"ssmlocal/server/account"
	"ssmlocal/server/action"
	"ssmlocal/server/clock"
	"ssmlocal/server/limit"
	"ssmlocal/server/ssm"
	"ssmlocal/server/tc3"
	"ssmlocal/server/worker"
	"ssmlocal/store"
)

// DefaultListen is the address of an emulator that is told none.
const DefaultListen = "127.0.0.1:9023"

// A Config says how an emulator behaves. Its zero value works: signatures are verified, the documented rates hold,
// and the state is temporary.
type Config struct {
	// Listen has addresses as host:port; port 0 takes a free one. None is DefaultListen.
	Listen []string
	// Data is the directory of the data file; without one the state is temporary.
	Data string
	// Auth is how far callers must prove who they are; "" is account.Verify.
	Auth account.Mode
	// Credentials are the known key pairs; none is account.Default.
	Credentials []account.Credential
	// Unlimited lifts the documented request rates.
	Unlimited bool
	// Rates sets the calls a second of single actions, by name, documented or not, also if Unlimited.
	Rates map[string]int
	// SecretLimit is how many secrets a region of an account may hold; 0 is the documented 1,000.
	SecretLimit uint64
	// Clock, if not nil, is a clock that the caller moves too.
	Clock *clock.Clock
	// TaskPace says when tasks end; the zero Pace is at once.
	TaskPace ssm.Pace
	// Control is where the control plane is: "" on the API's own addresses, "off" nowhere, else an address of its own.
	Control string
	// Log gets one line a call at debug level, and what needs attention above that; nil is slog.Default().
	Log *slog.Logger
}

// A ConfigError is a mistake in a Config itself, whatever there is on the machine.
type ConfigError struct{ error }

// A Server is an emulator, listening since New and serving while Serve runs.
type Server struct {
	listeners   []net.Listener
	control     net.Listener // nil unless the control plane has an address of its own
	db          *store.DB
	directory   *account.Directory
	services    map[string]*service
	rates       map[string]int // calls a second, by action; an action that isn't there has no limit
	secretLimit uint64
	limiter     *limit.Limiter
	verifier    tc3.Verifier
	clock       *clock.Clock
	worker      *worker.Worker[action.Event]
	tasks       taskSettings
	accounts    accounts
	random      *random
	log         *slog.Logger
	servers     []*http.Server
}

// New checks the configuration, listens, and opens the data file, in this order: if one fails, nothing of the next is
// touched.
func New(c Config) (*Server, error) {
	s := &Server{
		services: newServices(), limiter: limit.New(), secretLimit: c.SecretLimit,
		clock: c.Clock, random: newRandom(), log: c.Log,
	}
	if s.clock == nil {
		s.clock = new(clock.Clock)
	}
	if s.log == nil {
		s.log = slog.Default()
	}
	if s.secretLimit == 0 {
		s.secretLimit = ssm.MaxSecrets
	}
	var err error
	if s.rates, err = rates(c); err != nil {
		return nil, err
	}
	if s.directory, err = account.NewDirectory(c.Auth, c.Credentials); err != nil {
		return nil, ConfigError{err}
	}
	if s.listeners, err = listen(c.Listen, s.log); err != nil {
		return nil, err
	}
	if c.Control != "" && c.Control != "off" {
		own, err := listen([]string{c.Control}, s.log)
		if err != nil {
			closeAll(s.listeners)
			return nil, fmt.Errorf("the control plane: %w", err)
		}
		s.control = own[0]
	}
	if err := s.open(c.Data); err != nil {
		s.closeListeners()
		return nil, err
	}
	s.tasks.pace = c.TaskPace
	settler := action.Settler{DB: s.db, Random: s.random, Tasks: &s.tasks, Account: s.accounts.of}
	s.worker = worker.New(s.clock.Now, settler.Settle)
	s.servers = []*http.Server{s.newHTTP(s.routes(c.Control == ""))}
	if s.control != nil {
		s.servers = append(s.servers, s.newHTTP(s.controlOnly()))
	}
	return s, nil
}

// open opens the data file and sets the clock as the last start left it.
func (s *Server) open(data string) (err error) {
	tables := append(action.Tables(), clocks)
	if data == "" {
		s.db, err = store.OpenTemp(tables...)
	} else {
		s.db, err = store.OpenDir(data, tables...)
	}
	if err != nil {
		return err
	}
	s.directory.More = s.accessKey
	if err := errors.Join(s.restoreClock(), s.accounts.load(s.db)); err != nil {
		return errors.Join(err, s.db.Close())
	}
	return nil
}

func (s *Server) newHTTP(handler http.Handler) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 30 * time.Second,
		ReadTimeout:       2 * time.Minute,
		WriteTimeout:      2 * time.Minute,
		IdleTimeout:       5 * time.Minute,
		MaxHeaderBytes:    tc3.MaxBodyV3, // a query can be as long as a body, and is refused in the API's own words
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
}

// rates returns the calls a second that each limited action may have, of whatever service.
func rates(c Config) (map[string]int, error) {
	rates := map[string]int{}
	var names []string
	for _, set := range action.Sets() {
		for _, a := range set.Actions {
			names = append(names, a.Name)
			if !c.Unlimited {
				rates[a.Name] = a.Rate
			}
		}
	}
	for name, perSecond := range c.Rates {
		switch {
		case !slices.Contains(names, name):
			return nil, ConfigError{fmt.Errorf("there is no action %s to limit; the actions are %s", name, strings.Join(names, ", "))}
		case perSecond < 1:
			return nil, ConfigError{fmt.Errorf("the limit of %s is %d, it must be at least 1 a second; to lift all limits use --limits off", name, perSecond)}
		}
		rates[name] = perSecond
	}
	return rates, nil
}

// Addrs returns the addresses that the server listens on, as host:port.
func (s *Server) Addrs() []string {
	var addresses []string
	for _, l := range s.listeners {
		addresses = append(addresses, l.Addr().String())
	}
	return addresses
}

// ControlAddr returns the address of the control plane as host:port, "" if it has none of its own.
func (s *Server) ControlAddr() string {
	if s.control == nil {
		return ""
	}
	return s.control.Addr().String()
}

// patience is how long requests in flight may take to end once the server is told to stop: less than Docker waits.
const patience = 4 * time.Second

// Serve serves until ctx ends, lets the requests in flight finish, and closes the data file.
func (s *Server) Serve(ctx context.Context) error {
	working, stopWorking := context.WithCancel(context.Background())
	worked := make(chan struct{})
	go func() {
		defer close(worked)
		s.worker.Run(working, func(err error) { s.log.Error("due work failed", "error", err) })
	}()
	failed := make(chan error, len(s.listeners)+1)
	for _, l := range s.listeners {
		go func() { failed <- s.servers[0].Serve(l) }()
	}
	if s.control != nil {
		go func() { failed <- s.servers[1].Serve(s.control) }()
	}

	var err error
	select {
	case <-ctx.Done():
		s.shutdown()
	case err = <-failed:
	}
	for _, h := range s.servers {
		_ = h.Close()
	}
	stopWorking()
	<-worked
	return errors.Join(err, s.Close())
}

// shutdown lets requests in flight finish, within reason.
func (s *Server) shutdown() {
	stopping, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, h := range s.servers {
		if errors.Is(h.Shutdown(stopping), context.DeadlineExceeded) {
			s.log.Warn("requests that did not end were cut off", "after", patience)
		}
	}
}

// ReadValue reads a version of a secret from the store, past signatures, rates and statuses; nil if there is none.
func (s *Server) ReadValue(uin uint64, region, secretName, versionID string) (*ssm.Version, error) {
	return action.ReadValue(s.db, ssm.Owner{Uin: uin, Region: region}, secretName, versionID)
}

// Check walks the whole store and returns what is wrong with it. It costs as much as reading everything.
func (s *Server) Check() error { return s.db.Check() }

// Close closes the listeners and the data file of a server that doesn't serve.
func (s *Server) Close() error {
	s.closeListeners()
	return s.db.Close()
}

func (s *Server) closeListeners() {
	closeAll(s.listeners)
	if s.control != nil {
		_ = s.control.Close()
	}
}
