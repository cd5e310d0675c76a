// Package listen takes connections: plain HTTP and TLS on one port, with
// certificates of a CA of its own. Each connection is looked at on its own
// goroutine until the head of its first request has arrived, so that a slow or
// silent one makes nobody wait.
package listen

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"ssmlocal/server/clock"
)

// Open opens the addresses that a flag gives, all or none. An address that is
// wrong in itself is a ConfigError.
func Open(s *Sniffer, flag string, addresses ...string) (ports []*Port, err error) {
	for _, address := range addresses {
		l, err := net.Listen("tcp", address)
		if err != nil {
			for _, p := range ports {
				_ = p.Close()
			}
			return nil, cannotListen(flag, address, err)
		}
		ports = append(ports, &Port{Listener: l, given: address, sniffer: s, Queue: NewQueue()})
	}
	return ports, nil
}

// A ConfigError is a mistake in what the user has written, not a problem of the
// machine.
type ConfigError struct{ error }

// Unwrap returns what is wrong with it.
func (e ConfigError) Unwrap() error { return e.error }

// cannotListen says why an address can't be listened on: because of how it is
// written, or because of the machine.
func cannotListen(flag, address string, err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err // without the words that name the address again
	}
	var written *net.AddrError
	var unknown *net.DNSError
	if errors.As(err, &written) || errors.As(err, &unknown) {
		return ConfigError{fmt.Errorf("cannot listen on %s: %w; %s takes HOST:PORT, such as 127.0.0.1:9023", address, err, flag)}
	}
	return fmt.Errorf("cannot listen on %s: %w; stop what uses the address or choose another with %s", address, err, flag)
}

// A Port is an address that takes plain HTTP and TLS alike: the first byte of a
// connection says which.
type Port struct {
	net.Listener
	given   string
	sniffer *Sniffer
	start   sync.Once
	Queue
}

// A Queue is where connections that were looked at wait for the server.
type Queue struct {
	ready  chan net.Conn
	closed chan struct{}
	once   *sync.Once
}

// NewQueue returns an empty queue.
func NewQueue() Queue {
	return Queue{ready: make(chan net.Conn), closed: make(chan struct{}), once: new(sync.Once)}
}

// Accept returns the next connection that was looked at.
func (q Queue) Accept() (net.Conn, error) {
	select {
	case c := <-q.ready:
		return c, nil
	case <-q.closed:
		return nil, net.ErrClosed
	}
}

// Close ends the wait for connections.
func (q Queue) Close() error {
	q.once.Do(func() { close(q.closed) })
	return nil
}

// Addr returns an empty address: a queue has none.
func (q Queue) Addr() net.Addr { return &net.TCPAddr{} }

// Take looks at a connection and lets it in.
func (q Queue) Take(c net.Conn, s *Sniffer) {
	ready, err := s.sniff(c)
	if err != nil {
		_ = c.Close()
		return
	}
	select {
	case q.ready <- ready:
	case <-q.closed:
		_ = c.Close()
	}
}

// Addr is the port's address.
func (p *Port) Addr() net.Addr { return p.Listener.Addr() }

// Number returns the port's number, in digits.
func (p *Port) Number() string {
	_, number, _ := net.SplitHostPort(p.Addr().String())
	return number
}

// Address is the port's address as it was given, with the number of the port
// that was taken: Go calls 0.0.0.0 [::].
func (p *Port) Address() string {
	host, _, _ := net.SplitHostPort(p.given)
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		return net.JoinHostPort(host, p.Number())
	}
	return p.Addr().String()
}

// Accept returns the next connection that was looked at.
func (p *Port) Accept() (net.Conn, error) {
	p.start.Do(func() { go p.run() })
	return p.Queue.Accept()
}

// Close closes the address.
func (p *Port) Close() error {
	_ = p.Queue.Close()
	return p.Listener.Close()
}

func (p *Port) run() {
	defer p.Queue.Close()
	refused := 0
	var logged time.Time
	for {
		c, err := p.Listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			go p.Take(c, p.sniffer)
			continue
		}
		// For example too many open files: other connections may end.
		if refused++; p.sniffer.clock.Wall().Sub(logged) >= seldom {
			p.sniffer.log.Error("cannot take a connection", "error", err, "times", refused)
			logged, refused = p.sniffer.clock.Wall(), 0
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// seldom is how often the log says that connections can't be taken.
const seldom = 30 * time.Second

// A Sniffer looks at the beginning of connections: it speaks TLS with those
// that want it, and corrects a Host header with a scheme, such as "Host:
// http://127.0.0.1:9023". tccli and the Python SDK send that for an endpoint
// with a scheme, and net/http would answer it with 400.
type Sniffer struct {
	tls   *tls.Config
	clock *clock.Clock
	log   *slog.Logger
	// tooLong is the API's answer to a request whose line is too long.
	tooLong func() []byte

	mu      sync.Mutex
	waiting map[net.Conn]struct{} // connections that are looked at
	closed  bool
}

// NewSniffer returns a sniffer. tooLong returns the body of the answer to a
// request whose line is longer than any may be.
func NewSniffer(ca *CA, c *clock.Clock, log *slog.Logger, tooLong func() []byte) *Sniffer {
	return &Sniffer{tls: ca.config(), clock: c, log: log, tooLong: tooLong}
}

// Peeked returns a connection whose beginning was already read.
func Peeked(c net.Conn, head []byte) net.Conn { return &prefixConn{c, head} }

// firstWords is how long a connection may take until TLS is agreed on and the
// head of its first request has arrived.
const firstWords = 30 * time.Second

// tlsHandshake is the first byte of a client that speaks TLS.
const tlsHandshake = 0x16

func (s *Sniffer) sniff(c net.Conn) (ready net.Conn, err error) {
	if !s.hold(c) {
		return nil, net.ErrClosed
	}
	defer s.release(c)
	_ = c.SetDeadline(s.clock.Wall().Add(firstWords))
	first, err := readSome(c)
	if err != nil {
		return nil, err
	}
	if first[0] != tlsHandshake {
		return s.plain(c, first)
	}
	t := tls.Server(&prefixConn{c, first}, s.tls)
	if err := t.Handshake(); err != nil {
		s.explain(t, err)
		return nil, err
	}
	if t.ConnectionState().NegotiatedProtocol == "h2" {
		return t, c.SetDeadline(time.Time{})
	}
	if first, err = readSome(t); err != nil {
		s.explain(t, err)
		return nil, err
	}
	return s.plain(t, first)
}

// explain logs why a connection failed, and what helps, for mistakes that the
// user can correct.
func (s *Sniffer) explain(t *tls.Conn, err error) {
	var own certificateError
	if errors.As(err, &own) {
		s.log.Error("there is no certificate for a client", "name", t.ConnectionState().ServerName, "error", own)
		return
	}
	text := fmt.Sprintf("TLS with %s for the name %q: %v", t.RemoteAddr(), t.ConnectionState().ServerName, err)
	_, _ = s.Write([]byte(text))
}

// Write also takes what net/http logs about connections: with TLS 1.3 a
// client's refusal comes after the handshake.
func (s *Sniffer) Write(text []byte) (int, error) {
	line := string(bytes.ToValidUTF8(bytes.TrimSpace(text[:min(len(text), maxFailure)]), nil))
	for _, refusal := range []string{"unknown certificate authority", "certificate unknown", "unknown certificate", "bad certificate"} {
		if bytes.Contains(text, []byte(refusal)) {
			s.log.Warn("a client does not accept the certificate: ssmlocal ca --install-hint says how to make it trust this emulator; for a host name of your own use --tls-host",
				"connection", line)
			return len(text), nil
		}
	}
	if bytes.Contains(text, []byte("panic serving")) {
		s.log.Error("internal error outside of a call", "error", line)
	} else {
		s.log.Debug("a connection failed", "connection", line)
	}
	return len(text), nil
}

// maxFailure bounds what is logged of a failed connection, in bytes: a panic's
// stack.
const maxFailure = 8 << 10

// hold notes a connection, so that Close can end it; false if it is too late.
func (s *Sniffer) hold(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting == nil {
		s.waiting = map[net.Conn]struct{}{}
	}
	if !s.closed {
		s.waiting[c] = struct{}{}
	}
	return !s.closed
}

func (s *Sniffer) release(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.waiting, c)
}

// Follow goes on looking at connections that have agreed on HTTP/2 until they
// send something: net/http considers silent ones busy.
func (s *Sniffer) Follow(c net.Conn, state http.ConnState) {
	if _, silent := c.(*tls.Conn); !silent {
		return
	}
	if state != http.StateNew {
		s.release(c)
	} else if !s.hold(c) {
		_ = socket(c).Close()
	}
}

// Close ends the connections that are still looked at.
func (s *Sniffer) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for c := range s.waiting {
		_ = socket(c).Close()
	}
}

// readSome returns the first bytes that a connection sends, at least one.
func readSome(c net.Conn) ([]byte, error) {
	b := make([]byte, 4<<10)
	n, err := c.Read(b)
	if n == 0 && err == nil {
		err = io.ErrNoProgress
	}
	if n > 0 {
		err = nil // the next read returns it again
	}
	return b[:n], err
}

// plain is a connection whose first bytes are those of HTTP/1.1, or of an
// unknown protocol, which net/http answers. A connection that doesn't send its
// whole first head in time is given up.
func (s *Sniffer) plain(c net.Conn, first []byte) (net.Conn, error) {
	for unfinished(first) {
		more, err := readSome(c)
		first = append(first, more...)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, err
		}
		if err != nil {
			break
		}
	}
	if len(first) >= largestHead && bytes.IndexByte(first, '\n') < 0 {
		s.refuseLine(c)
		return nil, errLongLine
	}
	return &prefixConn{c, withoutScheme(first)}, c.SetDeadline(time.Time{})
}

var errLongLine = errors.New("the request line is too long")

// refuseLine answers a request whose line is longer than any query may be, and
// lets the client finish: one that is still sending would miss the answer.
func (s *Sniffer) refuseLine(c net.Conn) {
	body := s.tooLong()
	_ = c.SetDeadline(s.clock.Wall().Add(5 * time.Second))
	_, err := fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(body), body)
	if err == nil {
		_, _ = io.CopyN(io.Discard, c, 16<<20)
	}
}

// prefixConn is a connection whose beginning was already read.
type prefixConn struct {
	net.Conn
	head []byte
}

// Read returns the beginning first.
func (c *prefixConn) Read(p []byte) (int, error) {
	if len(c.head) > 0 {
		n := copy(p, c.head)
		c.head = c.head[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}

// Reset ends a connection without closing it properly, TLS included: the client
// sees a reset.
func Reset(c net.Conn) {
	below := socket(c)
	if l, ok := below.(interface{ SetLinger(sec int) error }); ok {
		_ = l.SetLinger(0)
	}
	_ = below.Close()
}

// socket returns the connection below those that this package has put on top of
// it.
func socket(c net.Conn) net.Conn {
	for {
		switch on := c.(type) {
		case *prefixConn:
			c = on.Conn
		case *tls.Conn:
			c = on.NetConn()
		default:
			return c
		}
	}
}
