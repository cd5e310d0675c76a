package server

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

// listen opens the addresses that a flag gives, all or none.
func (s *Server) listen(flag string, addresses ...string) ([]net.Listener, error) {
	var all []net.Listener
	for _, address := range addresses {
		l, err := net.Listen("tcp", address)
		if err != nil {
			closeAll(all)
			return nil, cannotListen(flag, address, err)
		}
		all = append(all, &port{Listener: l, given: address, greeter: s.greeter, inlet: newInlet()})
	}
	return all, nil
}

// cannotListen says why an address can't be listened on: because of how it is written, or because of what is there.
func cannotListen(flag, address string, err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err // without the words that name the address again
	}
	var written *net.AddrError
	var unknown *net.DNSError
	if errors.As(err, &written) || errors.As(err, &unknown) {
		return ConfigError{fmt.Errorf("cannot listen on %s: %w; %s takes HOST:PORT, such as %s", address, err, flag, DefaultListen)}
	}
	return fmt.Errorf("cannot listen on %s: %w; stop what uses the address or choose another with %s", address, err, flag)
}

func closeAll(listeners []net.Listener) {
	for _, l := range listeners {
		_ = l.Close()
	}
}

// A port is an address that takes plain HTTP and TLS alike: the first byte of a connection tells. Each connection is
// looked at on a goroutine of its own, so that a slow or silent one holds up nobody.
type port struct {
	net.Listener
	given   string
	greeter *greeter
	start   sync.Once
	inlet
}

// inlet is where connections that were looked at wait for the server.
type inlet struct {
	ready  chan net.Conn
	closed chan struct{}
	once   *sync.Once
}

func newInlet() inlet {
	return inlet{ready: make(chan net.Conn), closed: make(chan struct{}), once: new(sync.Once)}
}

// Accept returns the next connection that was looked at.
func (i inlet) Accept() (net.Conn, error) {
	select {
	case c := <-i.ready:
		return c, nil
	case <-i.closed:
		return nil, net.ErrClosed
	}
}

// Close ends the wait for connections.
func (i inlet) Close() error {
	i.once.Do(func() { close(i.closed) })
	return nil
}

// Addr is that of nothing: connections come in by hand.
func (i inlet) Addr() net.Addr { return &net.TCPAddr{} }

// take looks at a connection and lets it in.
func (i inlet) take(c net.Conn, g *greeter) {
	ready, err := g.greet(c)
	if err != nil {
		_ = c.Close()
		return
	}
	select {
	case i.ready <- ready:
	case <-i.closed:
		_ = c.Close()
	}
}

// Addr is the port's address.
func (p *port) Addr() net.Addr { return p.Listener.Addr() }

// number is that of the port, in digits.
func (p *port) number() string {
	_, number, _ := net.SplitHostPort(p.Addr().String())
	return number
}

// address is the port's address as it was given, with the number of the port that was
// taken: Go calls 0.0.0.0 [::].
func (p *port) address() string {
	host, _, _ := net.SplitHostPort(p.given)
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		return net.JoinHostPort(host, p.number())
	}
	return p.Addr().String()
}

// Accept returns the next connection that was looked at.
func (p *port) Accept() (net.Conn, error) {
	p.start.Do(func() { go p.run() })
	return p.inlet.Accept()
}

// Close closes the address.
func (p *port) Close() error {
	_ = p.inlet.Close()
	return p.Listener.Close()
}

func (p *port) run() {
	defer p.inlet.Close()
	refused := 0
	var logged time.Time
	for {
		c, err := p.Listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			go p.take(c, p.greeter)
			continue
		}
		// Too many open files, say: others may end.
		if refused++; p.greeter.clock.Wall().Sub(logged) >= seldom {
			p.greeter.log.Error("cannot take a connection", "error", err, "times", refused)
			logged, refused = p.greeter.clock.Wall(), 0
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// seldom is how often the log says that connections can't be taken.
const seldom = 30 * time.Second

// A greeter looks at the beginning of connections: it speaks TLS with those that want it, and puts right a Host header with
// a scheme, such as "Host: http://127.0.0.1:9023", which is what tccli and the Python SDK send for an endpoint that is
// written with one. net/http would answer it with 400.
type greeter struct {
	tls   *tls.Config
	clock *clock.Clock
	log   *slog.Logger
	// tooLong is the API's answer to a request whose line is too long.
	tooLong func() []byte

	mu      sync.Mutex
	waiting map[net.Conn]struct{} // connections that are looked at
	closed  bool
}

// firstWords is how long a connection may take until its first request's head is there, and TLS is agreed on.
const firstWords = 30 * time.Second

// tlsHandshake is the first byte of a client that speaks TLS.
const tlsHandshake = 0x16

func (g *greeter) greet(c net.Conn) (ready net.Conn, err error) {
	if !g.hold(c) {
		return nil, net.ErrClosed
	}
	defer g.release(c)
	_ = c.SetDeadline(g.clock.Wall().Add(firstWords))
	first, err := readSome(c)
	if err != nil {
		return nil, err
	}
	if first[0] != tlsHandshake {
		return g.plain(c, first)
	}
	t := tls.Server(&spoken{c, first}, g.tls)
	if err := t.Handshake(); err != nil {
		g.tell(t, err)
		return nil, err
	}
	if t.ConnectionState().NegotiatedProtocol == "h2" {
		return t, c.SetDeadline(time.Time{})
	}
	if first, err = readSome(t); err != nil {
		g.tell(t, err)
		return nil, err
	}
	return g.plain(t, first)
}

// tell says why a connection came to nothing, with what helps, for those mistakes that one can do something about.
func (g *greeter) tell(t *tls.Conn, err error) {
	var own certificateError
	if errors.As(err, &own) {
		g.log.Error("there is no certificate for a client", "name", t.ConnectionState().ServerName, "error", own)
		return
	}
	text := fmt.Sprintf("TLS with %s for the name %q: %v", t.RemoteAddr(), t.ConnectionState().ServerName, err)
	_, _ = g.Write([]byte(text))
}

// Write takes what net/http says of connections, too: with TLS 1.3 a client's refusal comes after the handshake.
func (g *greeter) Write(text []byte) (int, error) {
	for _, refusal := range []string{"unknown certificate authority", "certificate unknown", "unknown certificate", "bad certificate"} {
		if bytes.Contains(text, []byte(refusal)) {
			g.log.Warn("a client does not accept the certificate: ssmlocal ca --install-hint says how it trusts this emulator; a host name of one's own takes --tls-host",
				"connection", clip(string(bytes.TrimSpace(text))))
			return len(text), nil
		}
	}
	line := clipTo(string(bytes.TrimSpace(text)), maxFailure)
	if bytes.Contains(text, []byte("panic serving")) {
		g.log.Error("internal error outside of a call", "error", line)
	} else {
		g.log.Debug("a connection failed", "connection", line)
	}
	return len(text), nil
}

// maxFailure bounds what is logged of a failed connection, in bytes: a panic's stack.
const maxFailure = 8 << 10

// hold notes a connection, so that close can end it; false if it is too late.
func (g *greeter) hold(c net.Conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.waiting == nil {
		g.waiting = map[net.Conn]struct{}{}
	}
	if !g.closed {
		g.waiting[c] = struct{}{}
	}
	return !g.closed
}

func (g *greeter) release(c net.Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.waiting, c)
}

// follow goes on looking at connections that have agreed on HTTP/2 until they say something: net/http takes those that are
// silent for busy.
func (g *greeter) follow(c net.Conn, state http.ConnState) {
	if _, silent := c.(*tls.Conn); !silent {
		return
	}
	if state != http.StateNew {
		g.release(c)
	} else if !g.hold(c) {
		_ = socket(c).Close()
	}
}

// close ends the connections that are still looked at.
func (g *greeter) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	for c := range g.waiting {
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
		err = nil // told again by the next read
	}
	return b[:n], err
}

// plain is a connection whose first bytes are those of HTTP/1.1, or of nothing known, which net/http answers. One that doesn't
// come to the end of its first head in time is given up.
func (g *greeter) plain(c net.Conn, first []byte) (net.Conn, error) {
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
		g.refuseLine(c)
		return nil, errLongLine
	}
	return &spoken{c, withoutScheme(first)}, c.SetDeadline(time.Time{})
}

var errLongLine = errors.New("the request line is too long")

// refuseLine answers a request whose line is longer than any query may be, and lets the
// client finish: one that is still sending would miss the answer.
func (g *greeter) refuseLine(c net.Conn) {
	body := g.tooLong()
	_ = c.SetDeadline(g.clock.Wall().Add(5 * time.Second))
	_, err := fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(body), body)
	if err == nil {
		_, _ = io.CopyN(io.Discard, c, 16<<20)
	}
}

// spoken is a connection of which the beginning was read already.
type spoken struct {
	net.Conn
	head []byte
}

// Read returns the beginning first.
func (c *spoken) Read(p []byte) (int, error) {
	if len(c.head) > 0 {
		n := copy(p, c.head)
		c.head = c.head[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}

// reset ends a connection without a goodbye, that of TLS included: the client sees a reset.
func reset(c net.Conn) {
	below := socket(c)
	if l, ok := below.(interface{ SetLinger(sec int) error }); ok {
		_ = l.SetLinger(0)
	}
	_ = below.Close()
}

// socket is the connection below those that were laid on it here.
func socket(c net.Conn) net.Conn {
	for {
		switch on := c.(type) {
		case *spoken:
			c = on.Conn
		case *tls.Conn:
			c = on.NetConn()
		default:
			return c
		}
	}
}
