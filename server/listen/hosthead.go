package listen

import (
	"bytes"
	"strings"
)

// A Host header with a scheme: found in the head of a request, and corrected.

// largestHead is how much of a request is looked at, far more than any client's
// headers need. A client whose first request has no scheme in its Host never
// sends one, so its later requests are not checked.
const largestHead = 64 << 10

// unfinished reports whether b may be the beginning of a request whose head is
// not complete yet. Anything else is left to net/http as it is.
func unfinished(b []byte) bool {
	if len(b) == 0 || len(b) >= largestHead || b[0] < 'A' || b[0] > 'z' { // a method is of letters
		return false
	}
	line, _, ended := bytes.Cut(b, lineEnd)
	return !ended && !bytes.ContainsRune(b, '\n') || ended && bytes.Contains(line, httpVersion) && !bytes.Contains(b, headEnd)
}

var (
	headEnd     = []byte("\r\n\r\n")
	lineEnd     = []byte("\r\n")
	hostHeader  = []byte("\r\nhost:")
	httpVersion = []byte(" HTTP/1.")
	closing     = []byte("\r\nConnection: close")
	connections = []byte("\r\nconnection:")
)

// schemeOfHost finds the scheme in the Host header: b[from:to] is "http://" or "https://".
func schemeOfHost(b []byte) (from, to int, ok bool) {
	from = header(b, hostHeader)
	if from < 0 {
		return 0, 0, false
	}
	for from < len(b) && (b[from] == ' ' || b[from] == '\t') {
		from++
	}
	for _, scheme := range []string{"http://", "https://"} {
		if to = from + len(scheme); to <= len(b) && strings.EqualFold(string(b[from:to]), scheme) {
			return from, to, true
		}
	}
	return 0, 0, false
}

// header returns where the value of a header starts, -1 if the head doesn't
// have it. name is its lower-case name with the line end before it and the
// colon after it.
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

// withoutScheme cuts the scheme, and a slash at the end, out of the Host header
// of a head and asks for the connection's end.
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
