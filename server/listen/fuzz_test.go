package listen

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"

	"ssmlocal/server/clock"
)

// FuzzWithoutScheme looks at the rewriting of the Host header: it changes
// nothing but that, and ends the connection.
func FuzzWithoutScheme(f *testing.F) {
	f.Add("GET / HTTP/1.1\r\nHost: http://a:1\r\nConnection: keep-alive\r\n\r\nbody")
	f.Add("GET / HTTP/1.1\r\nX: 1\r\nhost:https://a\r\n\r\n")
	f.Add("GET / HTTP/1.1\r\nhost:\tHTTP://\r\n\r\n")
	f.Fuzz(func(t *testing.T, head string) {
		got := string(withoutScheme([]byte(head)))
		from, to, ok := schemeOfHost([]byte(head))
		if !ok {
			if got != head {
				t.Fatalf("%q became %q", head, got)
			}
			return
		}
		if rest := head[:from] + head[to:]; len(got) > len(rest)+len(closing) || !strings.Contains(got, string(closing)+"\r\n\r\n") {
			t.Fatalf("%q became %q", head, got)
		}
	})
}

// FuzzSniff lets a connection begin with anything: bytes that are not TLS come
// out as they went in, except for the scheme in a Host header.
func FuzzSniff(f *testing.F) {
	for _, text := range []string{
		"", "\x16", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "GET / HTTP/1.1\r\nHost: https://x/\r\nConnection: keep-alive\r\n\r\nmore",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\x00", "POST", strings.Repeat("A", 20000), "SSH-2.0-x\r\n",
	} {
		f.Add([]byte(text))
	}
	wall := new(clock.Clock)
	a, err := NewCA(CAConfig{}, wall, slog.New(slog.DiscardHandler))
	if err != nil {
		f.Fatal(err)
	}
	g := NewSniffer(a, wall, slog.New(slog.DiscardHandler), func() []byte { return nil })
	f.Fuzz(func(t *testing.T, text []byte) {
		client, conn := net.Pipe()
		go func() {
			_, _ = client.Write(text)
			_ = client.Close()
		}()
		ready, err := g.sniff(conn)
		if err != nil {
			_ = conn.Close()
			return
		}
		got, _ := io.ReadAll(ready)
		_ = ready.Close()
		if want := withoutScheme(text); len(text) < largestHead && !bytes.Equal(got, text) && !bytes.Equal(got, want) {
			t.Errorf("%q came out as %q", text, got)
		}
	})
}
