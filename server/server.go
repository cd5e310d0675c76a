// Package server puts the emulator together: the ports (listen), the API
// (gateway), the control plane (control) and the emulated service (backend). It
// has two small handlers of its own, the forward proxy and the instance
// metadata, and the table of who answers which URL (routes.go).
package server

import (
	"cmp"
	"context"
	"errors"
	stdlog "log"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ssmlocal/server/apierr"
	"ssmlocal/server/backend"
	"ssmlocal/server/capsule"
	"ssmlocal/server/control"
	"ssmlocal/server/gateway"
	"ssmlocal/server/listen"
	"ssmlocal/server/tc3"
)

// A Server is an emulator, listening since New and serving while Serve runs.
type Server struct {
	// Backend is what is emulated, without HTTP; Gateway has the calls of the
	// API.
	Backend *backend.Backend
	Gateway *gateway.Gateway

	control         *control.Control
	listeners       []*listen.Port
	own             map[string]*listen.Port // of what has an address of its own: the control plane, the proxy, the metadata
	tunnels         listen.Queue            // connections out of the proxy's tunnels
	metadataOff     bool
	consoleOff      bool
	recording       *capsule.Recorder      // nil for none
	metadataAnswers *prometheus.CounterVec // by HTTP status
	log             *slog.Logger
	servers         []serving
	ca              *listen.CA
	sniffer         *listen.Sniffer
}

// New checks the configuration, listens, and opens the data file, in this
// order. If one step fails, the next ones are not begun.
func New(c Config) (*Server, error) {
	s := assemble(c)
	if err := s.configure(c); err != nil {
		return nil, configError(err)
	}
	if err := s.listenAll(c); err != nil {
		return nil, configError(err)
	}
	if err := s.open(c.Data); err != nil {
		s.closeListeners()
		return nil, configError(err)
	}
	s.register(c)
	s.serveAll(c.Control == "")
	return s, nil
}

// assemble puts together what needs no check.
func assemble(c Config) *Server {
	return &Server{
		log: cmp.Or(c.Log, slog.Default()), metadataOff: c.Metadata == "off", consoleOff: c.ConsoleOff,
		own: map[string]*listen.Port{}, tunnels: listen.NewQueue(),
	}
}

// configure checks the configuration.
func (s *Server) configure(c Config) (err error) {
	s.recording = s.recorder(&c)
	behind := backend.Config{
		Data: c.Data, Auth: c.Auth, Credentials: c.Credentials, Seeds: c.Seeds, WatchSeeds: c.WatchSeeds, RandomSeed: c.RandomSeed,
		SecretLimit: c.SecretLimit, Clock: c.Clock, Instances: c.Instances, InstancePatience: c.InstancePatience, TaskPace: c.TaskPace, Log: s.log,
	}
	if s.recording != nil {
		behind.Recorder = runs{s.recording, func() map[string]int { return s.Gateway.AllRates() }}
	}
	s.Backend, err = backend.New(behind)
	if err != nil {
		return err
	}
	s.Gateway, err = gateway.New(s.Backend, gateway.Config{
		Unlimited: c.Unlimited, Rates: c.Rates, Journal: c.Journal, Log: s.log,
	})
	if err != nil {
		return err
	}
	s.ca, err = listen.NewCA(listen.CAConfig{
		Domains: tc3.VendorDomains, Hosts: c.TLSHosts, CertFile: c.TLSCert, KeyFile: c.TLSKey,
	}, s.Backend.Clock, s.log)
	s.control = control.New(s.Backend, s.Gateway, control.Config{
		CA: s.ca.PEM, IsOurs: s.ca.IsUsers, Version: c.Version, Throwaway: Throwaway, Recording: s.recordingOf(),
	})
	s.sniffer = listen.NewSniffer(s.ca, s.Backend.Clock, s.log, s.tooLong)
	return err
}

// configError turns a mistake in what a package was given into a ConfigError.
func configError(err error) error {
	var listening listen.ConfigError
	var behind backend.ConfigError
	var before gateway.ConfigError
	if errors.As(err, &listening) || errors.As(err, &behind) || errors.As(err, &before) {
		return ConfigError{err}
	}
	return err
}

// register adds the metrics that are neither the gateway's nor the backend's.
func (s *Server) register(c Config) {
	lost := c.LostLines
	if lost == nil {
		lost = func() uint64 { return 0 }
	}
	s.metadataAnswers = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "ssmlocal_metadata_requests_total", Help: "Requests for the instance metadata, by HTTP status.",
	}, []string{"status"})
	s.Gateway.Register(s.metadataAnswers, prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "ssmlocal_log_lines_dropped_total", Help: "Lines of the log that could not be written.",
	}, func() float64 { return float64(lost()) }))
}

// listenAll opens every address, or none.
func (s *Server) listenAll(c Config) (err error) {
	if len(c.Listen) == 0 {
		c.Listen = []string{DefaultListen}
	}
	if s.listeners, err = listen.Open(s.sniffer, "--listen", c.Listen...); err != nil {
		return err
	}
	for what, address := range map[string]string{controlPlane: c.Control, theProxy: c.Proxy, theMetadata: c.Metadata} {
		if address == "" || address == "off" && what != theProxy {
			continue
		}
		ports, err := listen.Open(s.sniffer, what, address)
		if err != nil {
			s.closeListeners()
			return err
		}
		s.own[what] = ports[0]
	}
	return nil
}

// serveAll gives every address its handler.
func (s *Server) serveAll(withControl bool) {
	api := s.routes(withControl)
	listeners := []net.Listener{s.tunnels}
	for _, p := range s.listeners {
		listeners = append(listeners, p)
	}
	s.serve(s.newHTTP(api), listeners...)
	others := map[string]http.Handler{controlPlane: s.controlOnly(), theMetadata: s.metadataOnly()}
	others[theProxy] = s.proxy(api, others)
	for what, handler := range others {
		if l := s.own[what]; l != nil {
			s.serve(s.newHTTP(handler), l)
		}
	}
}

// What can have an address of its own, by the flag that gives it.
const (
	controlPlane = "--control"
	theProxy     = "--proxy"
	theMetadata  = "--metadata"
)

// serving is a HTTP server with the listeners that it serves.
type serving struct {
	*http.Server
	listeners []net.Listener
}

func (s *Server) serve(h *http.Server, listeners ...net.Listener) {
	s.servers = append(s.servers, serving{h, listeners})
}

// open opens the data file, and keeps the CA beside it.
func (s *Server) open(data string) error {
	if err := s.Backend.Open(); err != nil {
		return err
	}
	if data == "" {
		return nil
	}
	if err := s.ca.Keep(data); err != nil {
		return errors.Join(err, s.Backend.Close())
	}
	return nil
}

// maxHeader bounds a request's line and headers, in bytes: twice what any
// client sends. A query that is a little too long is refused with the API's own
// error.
const maxHeader = 64<<10 + tc3.MaxQuery

// tooLong is the answer to a request whose line is too long to be read.
func (s *Server) tooLong() []byte {
	s.log.Debug("a request line of more than 64 KB was refused")
	return tc3.Refusal(s.Backend.UUID(context.Background()), apierr.RequestTooLarge.With())
}

func (s *Server) newHTTP(handler http.Handler) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 30 * time.Second,
		ReadTimeout:       2 * time.Minute,
		WriteTimeout:      2 * time.Minute,
		IdleTimeout:       5 * time.Minute,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          stdlog.New(s.sniffer, "", 0),
		ConnState:         s.sniffer.Follow,
	}
}

// Addrs returns the addresses that the server listens on, as host:port.
func (s *Server) Addrs() []string {
	var addresses []string
	for _, l := range s.listeners {
		addresses = append(addresses, l.Address())
	}
	return addresses
}

// ControlAddr, ProxyAddr and MetadataAddr return the addresses of these as
// host:port, "" for what has none of its own.
func (s *Server) ControlAddr() string  { return s.ownAddr(controlPlane) }
func (s *Server) ProxyAddr() string    { return s.ownAddr(theProxy) }
func (s *Server) MetadataAddr() string { return s.ownAddr(theMetadata) }

func (s *Server) ownAddr(what string) string {
	if s.own[what] == nil {
		return ""
	}
	return s.own[what].Address()
}

// How long stopping may take, less than five seconds in all: requests in
// flight, then what is done in the background, then the store's own second.
const (
	patience   = 3 * time.Second
	background = 500 * time.Millisecond
)

// Serve serves until ctx ends, lets the requests in flight finish, and closes
// the data file. It returns within five seconds of ctx's end, whatever is under
// way. Work that then still waits for the disk ends with the process.
func (s *Server) Serve(ctx context.Context) error {
	working, stopWorking := context.WithCancel(context.Background())
	var worked sync.WaitGroup
	worked.Go(func() { s.Backend.Run(working) })
	failed := make(chan error, 16+len(s.listeners))
	for _, h := range s.servers {
		for _, l := range h.listeners {
			go func() { failed <- h.Serve(l) }()
		}
	}

	var err error
	select {
	case <-ctx.Done():
		s.shutdown()
	case err = <-failed:
		s.Backend.Stop()
	}
	for _, h := range s.servers {
		_ = h.Close()
	}
	s.sniffer.Close()
	stopWorking()
	ended := make(chan struct{})
	go func() { worked.Wait(); close(ended) }()
	late := time.NewTimer(background)
	defer late.Stop()
	select {
	case <-ended:
	case <-late.C:
		s.log.Warn("work in the background does not end; is the disk slow, or full?")
	}
	return errors.Join(err, s.Close())
}

// shutdown lets requests in flight finish, within reason.
func (s *Server) shutdown() {
	s.Backend.Stop()
	s.sniffer.Close()
	waiting, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var all sync.WaitGroup
	var cut atomic.Bool
	for _, h := range s.servers {
		all.Go(func() {
			if errors.Is(h.Shutdown(waiting), context.DeadlineExceeded) {
				cut.Store(true)
			}
		})
	}
	if all.Wait(); cut.Load() {
		s.log.Warn("requests that did not end were cut off", "after", patience)
	}
}

// Close closes the listeners and the data file of a server that doesn't serve.
func (s *Server) Close() error {
	s.closeListeners()
	return s.Backend.Close()
}

func (s *Server) closeListeners() {
	s.sniffer.Close()
	for _, p := range slices.Concat(slices.Collect(maps.Values(s.own)), s.listeners) {
		_ = p.Close()
	}
	_ = s.tunnels.Close()
}
