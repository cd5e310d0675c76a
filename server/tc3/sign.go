package tc3

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Algorithm is the name of signature v3 in the Authorization header.
const Algorithm = "TC3-HMAC-SHA256"

const (
	scopeEnd     = "tc3_request"
	usualHeaders = "content-type;host" // what every official SDK signs
	unsigned     = "UNSIGNED-PAYLOAD"  // X-TC-Content-SHA256 of a payload that is not part of the signature
)

// message is everything that a v3 signature covers.
type message struct {
	method, uri, query       string
	signedHeaders            string // names as the client listed them, joined by ;
	host, contentType        string
	others                   http.Header // the values of any further signed header
	raw                      bool        // header values as sent, not lower-cased
	payload                  string      // hex SHA-256
	timestamp, date, service string

	// How some clients get it wrong, for Explain.
	tight bool // no blank line after the headers
	upper bool // the canonical request's hash in upper-case hex
}

// canonical appends the canonical request.
func (m *message) canonical(b []byte) []byte {
	b = append(b, m.method...)
	b = append(append(b, '\n'), m.uri...)
	b = append(append(b, '\n'), m.query...)
	b = append(b, '\n')
	for name := range strings.SplitSeq(m.signedHeaders, ";") {
		b = append(append(b, name...), ':')
		b = append(append(b, m.header(name)...), '\n')
	}
	if !m.tight {
		b = append(b, '\n')
	}
	b = append(b, m.signedHeaders...)
	return append(append(b, '\n'), m.payload...)
}

func (m *message) header(name string) string {
	var v string
	switch name {
	case "host":
		v = m.host
	case "content-type":
		v = m.contentType
	default:
		v = m.others.Get(name)
	}
	if v = strings.TrimSpace(v); m.raw {
		return v
	}
	return strings.ToLower(v)
}

// signature is the lower-case hex signature of the message under a signing key.
func (m *message) signature(k *signingKey) (out [sha256.Size * 2]byte) {
	w := k.writers.Get().(*macWriter)
	sum := sha256.Sum256(m.canonical(w.memory[:0]))
	b := append(w.memory[:0], Algorithm...)
	b = append(append(b, '\n'), m.timestamp...)
	b = append(append(b, '\n'), m.date...)
	b = append(append(b, '/'), m.service...)
	b = append(b, "/"+scopeEnd+"\n"...)
	b = hex.AppendEncode(b, sum[:])
	if m.upper {
		copy(b[len(b)-2*sha256.Size:], bytes.ToUpper(b[len(b)-2*sha256.Size:]))
	}
	w.hash.Reset()
	w.hash.Write(b)
	hex.Encode(out[:], w.hash.Sum(w.memory[:0]))
	k.writers.Put(w)
	return out
}

// signingKey is the key of one secret, date and service. Its hashes keep the
// key's state, which saves deriving it for every call.
type signingKey struct{ writers sync.Pool }

// macWriter computes MACs, one at a time.
type macWriter struct {
	hash   hash.Hash
	memory [512]byte
}

func newSigningKey(secretKey, date, service string) *signingKey {
	return signingKeyOf([]byte("TC3"+secretKey), date, service)
}

func signingKeyOf(key []byte, date, service string) *signingKey {
	for _, part := range []string{date, service, scopeEnd} {
		key = sum(sha256.New, key, part)
	}
	return &signingKey{sync.Pool{New: func() any { return &macWriter{hash: hmac.New(sha256.New, key)} }}}
}

func sum(h func() hash.Hash, key []byte, message string) []byte {
	m := hmac.New(h, key)
	m.Write([]byte(message))
	return m.Sum(nil)
}

func hexSum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

func day(timestamp int64) string { return time.Unix(timestamp, 0).UTC().Format(time.DateOnly) }

// algorithms has what SignatureMethod can name in a v1 signature; absent means
// HmacSHA1.
var algorithms = map[string]func() hash.Hash{"": sha1.New, "HmacSHA1": sha1.New, "HmacSHA256": sha256.New}

// messageV1 is everything that a v1 signature covers.
type messageV1 struct {
	method, host, path string
	pairs              []pair // sorted, without Signature
	algorithm          func() hash.Hash
}

func newMessageV1(q *Request) *messageV1 {
	pairs := slices.DeleteFunc(slices.Clone(q.pairs), func(p pair) bool { return p.key == "Signature" })
	m := &messageV1{q.Method, q.Host, "/", pairs, algorithms[q.param("SignatureMethod")]}
	m.sort()
	return m
}

// size is how long the message is, in bytes.
func (m *messageV1) size() (n int) {
	for _, p := range m.pairs {
		n += len(p.key) + len(p.value) + 2
	}
	return n + len(m.host) + len(m.path)
}

func (m *messageV1) sort() {
	slices.SortFunc(m.pairs, func(a, b pair) int { return strings.Compare(a.key, b.key) })
}

// signature is the base64 signature of the message under a secret key.
func (m *messageV1) signature(secretKey string) string {
	return base64.StdEncoding.EncodeToString(sum(m.algorithm, []byte(secretKey), m.text()))
}

// text is what is signed.
func (m *messageV1) text() string {
	var b strings.Builder
	b.WriteString(m.method + m.host + m.path + "?")
	for i, p := range m.pairs {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(p.key + "=" + p.value)
	}
	return b.String()
}

// Signed is what a signature was made of.
type Signed struct {
	CanonicalRequest string // of signature v3
	StringToSign     string
}

// Sign puts a v3 signature of the request and its body on r, with the timestamp
// t, as the official SDKs do, and returns what it was made of.
func Sign(r *http.Request, body []byte, secretID, secretKey, service string, t time.Time) Signed {
	m := message{
		method: r.Method, uri: "/", query: r.URL.RawQuery,
		signedHeaders: usualHeaders, host: r.Host, contentType: r.Header.Get("Content-Type"),
		payload: hexSum(body), timestamp: strconv.FormatInt(t.Unix(), 10), date: day(t.Unix()), service: service,
	}
	if m.host == "" {
		m.host = r.URL.Host
	}
	s := m.signature(newSigningKey(secretKey, m.date, service))
	r.Header.Set("X-TC-Timestamp", m.timestamp)
	r.Header.Set("Authorization", Algorithm+" Credential="+secretID+"/"+m.date+"/"+service+"/"+scopeEnd+
		", SignedHeaders="+m.signedHeaders+", Signature="+string(s[:]))
	canonical := m.canonical(nil)
	return Signed{string(canonical), strings.Join([]string{
		Algorithm, m.timestamp, m.date + "/" + service + "/" + scopeEnd, hexSum(canonical),
	}, "\n")}
}

// SignV1 puts a v1 signature on the parameters of a request with this method
// and host, as the official SDKs do, and returns what it was made of. The
// parameter SignatureMethod must be HmacSHA1 or HmacSHA256.
func SignV1(method, host string, parameters url.Values, secretKey string) Signed {
	m := &messageV1{method: method, host: host, path: "/", algorithm: algorithms[parameters.Get("SignatureMethod")]}
	for name := range parameters {
		m.pairs = append(m.pairs, pair{name, parameters.Get(name)})
	}
	m.sort()
	parameters.Set("Signature", m.signature(secretKey))
	return Signed{StringToSign: m.text()}
}
