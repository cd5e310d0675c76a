package server

import (
	"bufio"
	"cmp"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"ssmlocal/server/journal"
	"ssmlocal/server/listen"
	"ssmlocal/server/tc3"
)

// The forward proxy, for programs whose host is compiled in: this emulator
// answers their requests for the vendor's host names, and nothing is sent
// anywhere else.

// proxy takes absolute-form requests and CONNECT for the vendor's host names
// and for the emulator's own addresses; others has the handlers of those that
// are not the API's. For plain HTTP, PHP's streams send a proxy only a path:
// that counts as a request for the vendor's names.
func (s *Server) proxy(api http.Handler, others map[string]http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect && r.URL.Host == "" && !tc3.IsVendorHost(tc3.HostName(r.Host)) {
			http.Error(w, "this is ssmlocal's forward proxy: set it as http_proxy or https_proxy; the emulator itself is at "+s.Addrs()[0], http.StatusBadRequest)
			return
		}
		scheme := r.URL.Scheme // a CONNECT has none
		if r.Method != http.MethodConnect && r.URL.Host == "" {
			scheme = "http"
		}
		to := withPort(journal.Clip(cmp.Or(r.URL.Host, r.Host)), scheme)
		in, what, found := s.destination(to, r)
		switch {
		case !found:
			s.control.Leaks.Note(to, s.Backend.Clock.Wall())
			s.log.Warn("the proxy refused a request for another host", "host", to, "method", r.Method)
			http.Error(w, "ssmlocal refuses "+to+": its proxy serves host names of Tencent Cloud only; if the program is meant to reach that host, add it to no_proxy", http.StatusForbidden)
		case r.Method == http.MethodConnect:
			s.connect(w, in)
		case others[what] != nil:
			others[what].ServeHTTP(w, r)
		default:
			api.ServeHTTP(w, r)
		}
	})
}

// connect turns a tunnel into a connection to the emulator.
func (s *Server) connect(w http.ResponseWriter, in listen.Queue) {
	c, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, "CONNECT takes HTTP/1.1", http.StatusHTTPVersionNotSupported)
		return
	}
	_ = c.SetDeadline(time.Time{})
	if _, err := fmt.Fprint(c, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		_ = c.Close()
		return
	}
	go in.Take(listen.Peeked(c, early(buffered)), s.sniffer)
}

// early returns what a client sent after its CONNECT without waiting for the
// answer.
func early(b *bufio.ReadWriter) []byte {
	head, _ := b.Reader.Peek(b.Reader.Buffered())
	return slices.Clone(head)
}

// destination returns the queue for connections to a host:port, and what serves
// that queue, "" for the API. There is one for the vendor's names and those of
// --tls-host, which this emulator serves, and for the emulator's own
// addresses.
func (s *Server) destination(to string, r *http.Request) (in listen.Queue, what string, found bool) {
	name, number, _ := net.SplitHostPort(to)
	if tc3.IsMetadataHost(name) && s.metadataOff {
		return in, "", false
	}
	if tc3.IsVendorHost(name) || s.ca.IsUsers(name) {
		return s.tunnels, "", true
	}
	if !isThisMachine(name, r) {
		return in, "", false
	}
	for what, l := range s.own {
		if l.Number() == number && what != theProxy {
			return l.Queue, what, true
		}
	}
	for _, l := range s.listeners {
		if l.Number() == number {
			return l.Queue, "", true
		}
	}
	return in, "", false
}

// isThisMachine reports whether a name, or an address, is that of the machine
// that a request has come to.
func isThisMachine(name string, r *http.Request) bool {
	ip := net.ParseIP(strings.Trim(name, "[]"))
	if ip == nil {
		return name == "localhost" || strings.HasSuffix(name, ".localhost")
	}
	local, _ := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return ip.IsLoopback() || local != nil && ip.Equal(local.IP)
}

// withPort returns a host with a port. A host without one gets the scheme's
// default port; in a CONNECT it should have one.
func withPort(host, scheme string) string {
	name, number, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	if number == "" {
		number = "80"
		if scheme == "https" || scheme == "" {
			number = "443"
		}
	}
	return net.JoinHostPort(strings.ToLower(strings.TrimSuffix(strings.Trim(name, "[]"), ".")), number)
}
