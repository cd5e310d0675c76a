package server

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
)

// listen opens the addresses, all or none.
func listen(addresses []string, log *slog.Logger) ([]net.Listener, error) {
	if len(addresses) == 0 {
		addresses = []string{DefaultListen}
	}
	var all []net.Listener
	for _, address := range addresses {
		l, err := net.Listen("tcp", address)
		if err != nil {
			closeAll(all)
			return nil, cannotListen(address, err)
		}
		all = append(all, listener{l, log})
	}
	return all, nil
}

// cannotListen says why an address can't be listened on: because of how it is written, or because of what is there.
func cannotListen(address string, err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err // without the words that name the address again
	}
	var written *net.AddrError
	var unknown *net.DNSError
	if errors.As(err, &written) || errors.As(err, &unknown) {
		return ConfigError{fmt.Errorf("cannot listen on %s: %w; --listen takes HOST:PORT, such as %s", address, err, DefaultListen)}
	}
	return fmt.Errorf("cannot listen on %s: %w; stop what uses the address or choose another with --listen", address, err)
}

func closeAll(listeners []net.Listener) {
	for _, l := range listeners {
		_ = l.Close()
	}
}

// listener makes connections understand a Host header with a scheme, such as "Host: http://127.0.0.1:9023", which is
// what tccli and the Python SDK send for an endpoint that is written with one. net/http would answer it with 400.
type listener struct {
	net.Listener
	log *slog.Logger
}

func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, log: l.log}, nil
}

// conn looks at the head of its first request. If the Host there has a scheme, the scheme is cut off and the
// connection ends with that request, so that the next one comes on a connection of its own. A client that doesn't do
// so in its first request doesn't do so at all, and is not looked at again.
type conn struct {
	net.Conn
	log  *slog.Logger
	seen bool
	head bytes.Reader // what was read to look at it
}

// largestHead is how much of a request is looked at, far more than any client's headers need.
const largestHead = 16 << 10

// tlsHandshake is the first byte of a client that speaks TLS.
const tlsHandshake = 0x16

func (c *conn) Read(p []byte) (int, error) {
	if !c.seen {
		c.seen = true
		return c.readFirst(p)
	}
	if c.head.Len() > 0 {
		return c.head.Read(p)
	}
	return c.Conn.Read(p)
}

func (c *conn) readFirst(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	switch {
	case n == 0 || err != nil:
		return n, err
	case p[0] == tlsHandshake:
		c.log.Warn("a client speaks TLS and this port is plain HTTP: set the SDK's protocol to http; ssmlocal env prints how",
			"from", c.RemoteAddr().String())
		return 0, io.EOF
	case !unfinished(p[:n]) && !hasSchemeHost(p[:n]):
		return n, nil
	}
	return c.readHead(p, n)
}

// readHead reads on until the head is whole, and puts it right. p has its first n bytes.
func (c *conn) readHead(p []byte, n int) (int, error) {
	head := bytes.Clone(p[:n])
	chunk := make([]byte, 4<<10)
	for unfinished(head) {
		n, err := c.Conn.Read(chunk)
		head = append(head, chunk[:n]...)
		if err != nil {
			break // told again by the next read, once the head is used up
		}
	}
	c.head.Reset(withoutScheme(head))
	return c.head.Read(p)
}

// unfinished tells whether b is the beginning of a request whose head has not come whole. What can't become one is
// left to net/http as it is.
func unfinished(b []byte) bool {
	if len(b) >= largestHead || b[0] < 'A' || b[0] > 'Z' {
		return false
	}
	line, _, ended := bytes.Cut(b, lineEnd)
	return !ended && !bytes.ContainsRune(b, '\n') || ended && bytes.Contains(line, httpVersion) && !bytes.Contains(b, headEnd)
}

var (
	headEnd     = []byte("\r\n\r\n")
	lineEnd     = []byte("\r\n")
	hostName    = []byte("\r\nhost:")
	httpVersion = []byte(" HTTP/1.")
	closing     = []byte("\r\nConnection: close")
	connections = []byte("\r\nconnection:")
)

func hasSchemeHost(b []byte) bool {
	_, _, ok := schemeOfHost(b)
	return ok
}

// schemeOfHost finds the scheme in the Host header: b[from:to] is "http://" or "https://".
func schemeOfHost(b []byte) (from, to int, ok bool) {
	from = header(b, hostName)
	if from < 0 {
		return 0, 0, false
	}
	for from < len(b) && b[from] == ' ' {
		from++
	}
	for _, scheme := range []string{"http://", "https://"} {
		if bytes.HasPrefix(b[from:], []byte(scheme)) {
			return from, from + len(scheme), true
		}
	}
	return 0, 0, false
}

// header returns where the value of a header starts, -1 if the head doesn't have it. name is its lower-case name with
// the line end before it and the colon after it.
func header(b, name []byte) int {
	end := bytes.Index(b, headEnd)
	if end < 0 {
		return -1
	}
	for at := 0; ; {
		i := bytes.Index(b[at:end], lineEnd)
		if i < 0 {
			return -1
		}
		at += i
		if len(b)-at >= len(name) && bytes.EqualFold(b[at:at+len(name)], name) {
			return at + len(name)
		}
		at += len(lineEnd)
	}
}

// withoutScheme cuts the scheme, and a slash at the end, out of the Host header of a head and asks for the connection's
// end.
func withoutScheme(head []byte) []byte {
	from, to, ok := schemeOfHost(head)
	if !ok {
		return head
	}
	rest := head[to:]
	if end := bytes.Index(rest, lineEnd); end > 0 && rest[end-1] == '/' {
		rest = append(bytes.Clone(rest[:end-1]), rest[end:]...)
	}
	fixed := append(bytes.Clone(head[:from]), rest...)
	if at := header(fixed, connections); at >= 0 {
		end := at + bytes.Index(fixed[at:], lineEnd)
		fixed = append(bytes.Clone(fixed[:at-len(connections)]), fixed[end:]...)
	}
	end := bytes.Index(fixed, headEnd)
	return append(append(bytes.Clone(fixed[:end]), closing...), fixed[end:]...)
}
