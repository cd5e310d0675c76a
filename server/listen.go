package server

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
)

// listen opens the addresses, all or none.
func listen(addresses []string) ([]net.Listener, error) {
	if len(addresses) == 0 {
		addresses = []string{DefaultListen}
	}
	var all []net.Listener
	for _, address := range addresses {
		l, err := net.Listen("tcp", address)
		if err != nil {
			closeAll(all)
			return nil, fmt.Errorf("cannot listen on %s: %w; stop what uses the address or choose another with --listen", address, cause(err))
		}
		all = append(all, listener{l})
	}
	return all, nil
}

// cause is what is behind a network error, without the words that name the address again.
func cause(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

func closeAll(listeners []net.Listener) {
	for _, l := range listeners {
		_ = l.Close()
	}
}

// listener makes connections understand a Host header with a scheme, such as "Host: http://127.0.0.1:9023", which is
// what tccli and the Python SDK send for an endpoint that is written with one. net/http would answer it with 400.
type listener struct{ net.Listener }

func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c}, nil
}

// conn looks at the head of its first request. If the Host there has a scheme, the scheme is cut off and the
// connection ends with that request, so that the next one comes on a connection of its own. A client that doesn't do
// so in its first request doesn't do so at all, and is not looked at again.
type conn struct {
	net.Conn
	seen bool
	head bytes.Reader // what was read to look at it
}

// largestHead is how much of a request is looked at, far more than any client's headers need.
const largestHead = 16 << 10

func (c *conn) Read(p []byte) (int, error) {
	if !c.seen {
		c.seen = true
		n, err := c.Conn.Read(p)
		if n == 0 || err != nil {
			return n, err
		}
		if whole(p[:n]) && !hasSchemeHost(p[:n]) {
			return n, nil
		}
		return c.readHead(p, n)
	}
	if c.head.Len() > 0 {
		return c.head.Read(p)
	}
	return c.Conn.Read(p)
}

// readHead reads on until the head is whole, and puts it right. p has its first n bytes.
func (c *conn) readHead(p []byte, n int) (int, error) {
	head := bytes.Clone(p[:n])
	chunk := make([]byte, 4<<10)
	for !whole(head) && len(head) < largestHead {
		n, err := c.Conn.Read(chunk)
		head = append(head, chunk[:n]...)
		if err != nil {
			break // told again by the next read, once the head is used up
		}
	}
	c.head.Reset(withoutScheme(head))
	n, err := c.head.Read(p)
	if err == io.EOF {
		err = nil
	}
	return n, err
}

var (
	headEnd     = []byte("\r\n\r\n")
	lineEnd     = []byte("\r\n")
	hostName    = []byte("\r\nhost:")
	closing     = []byte("\r\nConnection: close")
	connections = []byte("\r\nconnection:")
)

// whole tells whether a head has its end.
func whole(b []byte) bool { return bytes.Contains(b, headEnd) }

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

// withoutScheme cuts the scheme out of the Host header of a head and asks for the connection's end.
func withoutScheme(head []byte) []byte {
	from, to, ok := schemeOfHost(head)
	if !ok {
		return head
	}
	fixed := append(bytes.Clone(head[:from]), head[to:]...)
	if at := header(fixed, connections); at >= 0 {
		end := at + bytes.Index(fixed[at:], lineEnd)
		fixed = append(bytes.Clone(fixed[:at-len(connections)]), fixed[end:]...)
	}
	end := bytes.Index(fixed, headEnd)
	return append(append(bytes.Clone(fixed[:end]), closing...), fixed[end:]...)
}
