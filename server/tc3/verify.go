package tc3

import (
	"crypto/subtle"
	"slices"
	"strings"
	"sync"
	"time"

	"ssmlocal/server/apierr"
)

// MaxSkew is how far a signature's timestamp may be from the server's time,
// either way.
const MaxSkew = 300 * time.Second

// A Claim is what a request says about its signature. It is well formed but not
// verified yet.
type Claim struct {
	SecretID  string
	date      string // of the credential scope; "" in a v1 signature
	service   string
	headers   string // SignedHeaders
	signature string
}

type claimed struct {
	Claim
	err error
}

// Claim reads the Authorization header, or SecretId and Signature in parameter
// style.
func (q *Request) Claim() (Claim, error) {
	if q.claim == nil {
		c, err := q.readClaim()
		q.claim = &claimed{c, err}
	}
	return q.claim.Claim, q.claim.err
}

func (q *Request) readClaim() (Claim, error) {
	if !q.headers {
		// Ruby's base64 ends in a line end. A space is a + that was not
		// escaped: Explain reports that.
		return Claim{SecretID: q.param("SecretId"), signature: strings.Trim(q.param("Signature"), "\r\n")}, nil
	}
	return parseAuthorization(q.Header.Get("Authorization"))
}

func parseAuthorization(header string) (c Claim, err error) {
	invalid := func(detail string) (Claim, error) { return c, apierr.InvalidAuthorization.With(detail) }
	algorithm, rest, _ := strings.Cut(header, " ")
	if algorithm != Algorithm {
		return invalid("`Algorithm`")
	}
	var credential string
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "Credential":
			credential = value
		case "SignedHeaders":
			c.headers = value
		case "Signature":
			c.signature = value
		}
	}
	// SecretId/date/service/tc3_request; SDKs derive the service from the
	// endpoint, so it can be localhost:9023.
	parts := strings.Split(credential, "/")
	n := len(parts)
	if n < 4 || parts[n-1] != scopeEnd {
		return invalid("`Credential`")
	}
	c.SecretID, c.date, c.service = strings.Join(parts[:n-3], "/"), parts[n-3], parts[n-2]
	if c.SecretID == "" {
		return invalid("`SecretId` in Credential")
	}
	if _, err := time.Parse(time.DateOnly, c.date); err != nil {
		return invalid("`Date` in Credential")
	}
	if c.service == "" {
		return invalid("`Service` in Credential")
	}
	if c.headers != usualHeaders {
		names := strings.Split(c.headers, ";")
		if !slices.Contains(names, "content-type") || !slices.Contains(names, "host") {
			return invalid("`SignedHeaders`")
		}
	}
	if len(c.signature) != 64 {
		return invalid("`Signature`")
	}
	return c, nil
}

// Scope returns the service for which a request is signed, "" if it says none.
func (q *Request) Scope() string {
	claim, _ := q.Claim()
	return claim.service
}

// CheckFresh refuses a signature whose timestamp is too far from now.
func (q *Request) CheckFresh(now time.Time) error {
	if age := now.Unix() - q.Timestamp; age > int64(MaxSkew/time.Second) || age < -int64(MaxSkew/time.Second) {
		return apierr.SignatureExpire.With()
	}
	return nil
}

// A Verifier verifies signatures and keeps the signing keys that proved right.
// The zero Verifier is ready.
type Verifier struct {
	mu   sync.RWMutex
	keys map[keyScope]*signingKey
}

type keyScope struct{ secretKey, date, service string }

// The bounds of the kept keys: dates pass, and clients choose the service's
// name.
const (
	maxKeys        = 1024
	longestService = 128
)

func (v *Verifier) key(s keyScope) *signingKey {
	v.mu.RLock()
	k := v.keys[s]
	v.mu.RUnlock()
	if k == nil {
		k = newSigningKey(s.secretKey, s.date, s.service)
	}
	return k
}

func (v *Verifier) keep(s keyScope, k *signingKey) {
	if len(s.service) > longestService {
		return
	}
	v.mu.RLock()
	kept := v.keys[s] != nil
	v.mu.RUnlock()
	if kept {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.keys == nil || len(v.keys) >= maxKeys {
		v.keys = map[keyScope]*signingKey{}
	}
	// What is kept must not hold on to the request's memory.
	v.keys[keyScope{strings.Clone(s.secretKey), strings.Clone(s.date), strings.Clone(s.service)}] = k
}

// Verify checks the signature that c claims against a secret key. The real
// gateway accepts only one way to sign the host, but clients of a custom
// endpoint differ: they sign it with or without its port, as the vendor's name,
// or with a scheme before it. Each way is tried, the usual one first.
func (v *Verifier) Verify(q *Request, c Claim, secretKey string) error {
	if !q.headers {
		return verifyV1(q, c, secretKey)
	}
	m, err := q.message(c)
	if err != nil {
		return err
	}
	if c.date != day(q.Timestamp) {
		return apierr.SignatureFailure.With()
	}
	scope := keyScope{secretKey, c.date, c.service}
	key := v.key(scope)
	if m.signed(key, c.signature) {
		v.keep(scope, key)
		return nil
	}
	for _, uri := range q.uris() {
		for _, host := range hosts(q.Host, c.service) {
			for _, raw := range []bool{false, true} {
				m.uri, m.host, m.raw = uri, host, raw
				if m.signed(key, c.signature) {
					v.keep(scope, key)
					return nil
				}
			}
		}
	}
	return apierr.SignatureFailure.With()
}

func (m *message) signed(k *signingKey, signature string) bool {
	want := m.signature(k)
	return subtle.ConstantTimeCompare(want[:], []byte(signature)) == 1
}

// message is what the signature of a request in header style covers, read the
// usual way.
func (q *Request) message(c Claim) (*message, error) {
	m := &message{
		method: q.Method, uri: "/", signedHeaders: c.headers, host: q.Host, contentType: q.Header.Get("Content-Type"),
		others: q.Header, timestamp: q.Header.Get(headerTimestamp), date: c.date, service: c.service,
	}
	if q.Method == "GET" {
		m.query = q.Query // as sent: clients differ in order and escapes
	}
	switch given := q.Header.Get(headerContentSHA256); given {
	case unsigned:
		m.payload = hexSum([]byte(unsigned))
	default:
		m.payload = hexSum(q.Body)
		if given != "" && !strings.EqualFold(given, m.payload) {
			return nil, apierr.ContentHash.With("X-TC-Content-SHA256")
		}
	}
	return m, nil
}

// uris are the paths that a client may have signed: SDKs sign / whatever the
// path is, except Node's.
func (q *Request) uris() []string {
	if q.Path == "/" || q.Path == "" {
		return []string{"/"}
	}
	return []string{"/", q.Path}
}

// hosts are the hosts that a client may have signed.
func hosts(host, service string) []string {
	return []string{
		host, WithoutPort(host), service + ".tencentcloudapi.com",
		"http://" + host, "https://" + host, "http://" + host + "/", "https://" + host + "/",
	}
}

func verifyV1(q *Request, c Claim, secretKey string) error {
	m := newMessageV1(q)
	ways := hosts(q.Host, "ssm")
	if m.size() > largeMessage {
		ways = ways[:2]
	}
	for range 2 {
		for _, path := range q.uris() {
			for _, host := range ways {
				m.path, m.host = path, host
				if m.signed(secretKey, c.signature) {
					return nil
				}
			}
		}
		m.dotted() // Python's and Java's SDKs sign keys with . where they have _
	}
	return apierr.SignatureFailure.With()
}

// largeMessage is the size in bytes from which only the usual ways to sign a
// message are tried: each try hashes the whole message, and anybody may call.
const largeMessage = 64 << 10

func (m *messageV1) signed(secretKey, signature string) bool {
	return subtle.ConstantTimeCompare([]byte(m.signature(secretKey)), []byte(signature)) == 1
}

func (m *messageV1) dotted() {
	for i := range m.pairs {
		m.pairs[i].key = strings.ReplaceAll(m.pairs[i].key, "_", ".")
	}
	m.sort()
}
