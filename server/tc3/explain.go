package tc3

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Explain says which part of a request does not match its signature. It changes
// one part at a time to what the client may have meant, signs the request
// again, and names the part whose change makes the signature right. The text is
// for the log, not for the caller, and holds neither a key nor a parameter's
// value. others are the secret keys of the other credentials, by SecretId. It
// gives up after some milliseconds.
func Explain(q *Request, c Claim, secretKey string, others map[string]string) string {
	e := explainer{q: q, c: c, key: secretKey, others: others, left: effort}
	part := ""
	if q.headers {
		part = e.v3()
	} else {
		part = e.v1()
	}
	switch {
	case part != "":
		return part
	case e.left < 0:
		return "the key or the body, or something else: the request is too large, or there are too many keys, to try everything"
	}
	return "the key or the body: the SecretKey is another one, or the body was changed after it was signed"
}

// An explainer looks for what a client may have meant.
type explainer struct {
	q      *Request
	c      Claim
	key    string
	others map[string]string
	left   int // of effort
}

const (
	// effort is how much an explanation may cost, in bytes that are hashed: a
	// few milliseconds.
	effort = 4 << 20
	// keyCost is what it costs to derive a signing key, and to write a message.
	keyCost = 4 << 10
	// largestVaried is the size up to which other forms of a body are tried.
	largestVaried = 32 << 10
)

// afford subtracts the cost of a try from the effort that is left, and reports
// whether there was enough.
func (e *explainer) afford(cost int) bool {
	e.left -= cost
	return e.left >= 0
}

// A doubt is one part of a message with other ways in which the client may have
// meant it.
type doubt[M any] struct {
	part  string
	meant []func(*M)
}

// vary makes one change of a message for each value.
func vary[M any](set func(*M, string), values ...string) []func(*M) {
	var changes []func(*M)
	for _, v := range values {
		changes = append(changes, func(m *M) { set(m, v) })
	}
	return changes
}

func (e *explainer) v3() string {
	m, err := e.q.message(e.c)
	if err != nil {
		return "X-TC-Content-SHA256, which is not the hash of the body"
	}
	for _, d := range e.doubtsV3() {
		for _, change := range d.meant {
			meant := *m
			change(&meant)
			if e.signedV3(meant, newSigningKey(e.key, meant.date, meant.service)) {
				return d.part
			}
		}
	}
	if lower := strings.ToLower(e.c.signature); lower != e.c.signature {
		claimed := e.c.signature
		e.c.signature = lower
		if e.signedV3(*m, newSigningKey(e.key, m.date, m.service)) {
			return "the signature itself: it is written in upper-case hex and must be in lower-case"
		}
		e.c.signature = claimed
	}
	if e.signedV3(*m, signingKeyOf([]byte(e.key), m.date, m.service)) {
		return `the key: the signing key was derived without "TC3" before the SecretKey`
	}
	label, _, _ := strings.Cut(WithoutPort(e.q.Host), ".")
	for _, service := range []string{"ssm", "sts", "tag", "kms", "cvm", "cam", "tc3", label, e.q.Region, ""} {
		if service != m.service && e.signedV3(*m, newSigningKey(e.key, m.date, service)) {
			return "the service: the signing key was made with another one than that in Credential, which is " + m.service
		}
	}
	return e.wrongKey(func(key string) bool { return e.signedV3(*m, newSigningKey(key, m.date, m.service)) })
}

// signedV3 reports whether a message has the claimed signature, with one host
// or another.
func (e *explainer) signedV3(m message, k *signingKey) bool {
	if !e.afford(keyCost) {
		return false
	}
	for _, host := range hosts(m.host, e.c.service) {
		m.host = host
		if !e.afford(len(m.uri) + len(m.query) + len(host) + 512) {
			return false
		}
		if m.signed(k, e.c.signature) {
			return true
		}
	}
	return false
}

func (e *explainer) doubtsV3() []doubt[message] {
	type m = message
	q, c := e.q, e.c
	seconds := strconv.FormatInt(q.Timestamp, 10)
	later := func(by int64) string { return strconv.FormatInt(q.Timestamp+by, 10) }
	return []doubt[message]{
		{"the date: Credential has " + c.date + ", X-TC-Timestamp is on " + day(q.Timestamp) + " in UTC",
			vary(func(m *m, v string) { m.date = v }, c.date, day(q.Timestamp))},
		{"the timestamp: the signature was made with another one than that in X-TC-Timestamp, as when a program reads the time twice",
			vary(func(m *m, v string) { m.timestamp = v }, seconds+"000", strings.TrimSuffix(seconds, "000"),
				later(1), later(-1), later(2), later(-2), later(8*3600), later(-8*3600))},
		{"the query: it is signed, which that of a POST is not", vary(func(m *m, v string) { m.query = v }, q.Query, bodyAsQuery(q.Body))},
		{"the canonical request: the blank line between the headers and their names is missing",
			[]func(*m){func(m *m) { m.tight = true }}},
		{"the canonical request: its hashes are written in upper-case hex and must be in lower-case", []func(*m){
			func(m *m) { m.payload = strings.ToUpper(m.payload) }, func(m *m) { m.upper = true },
			func(m *m) { m.payload, m.upper = strings.ToUpper(m.payload), true }}},
		{"the body: the signature is of a body in another form",
			vary(func(m *m, v string) { m.payload = hexSum([]byte(v)) }, otherBodies(q.Body)...)},
		{"the host: the signature was made with another one than that in Host, which is " + q.Host,
			vary(func(m *m, v string) { m.host = v }, otherHosts(q, c.service)...)},
		{"the content type: the signature was made with another one than that in Content-Type",
			vary(func(m *m, v string) { m.contentType = v }, "application/json", "application/json; charset=utf-8",
				"application/x-www-form-urlencoded", "application/octet-stream", "multipart/form-data", "")},
		{"the query: the signature is of the query in another order or with other escapes",
			vary(func(m *m, v string) { m.query = v }, otherQueries(q)...)},
		{"the method: the signature was made for another one than " + q.Method,
			vary(func(m *m, v string) { m.method = v }, "GET", "POST", strings.ToLower(q.Method))},
		{"the service: the signature was made with another one than that in Credential, which is " + c.service,
			vary(func(m *m, v string) { m.service = v }, "ssm", "sts", "tag")},
	}
}

// bodyAsQuery returns the parameters of a JSON body in the form that a client
// signs if it treats them as a query.
func bodyAsQuery(body []byte) string {
	var parameters map[string]json.RawMessage
	if len(body) > largestVaried || json.Unmarshal(body, &parameters) != nil {
		return ""
	}
	values := url.Values{}
	for name, value := range parameters {
		values.Set(name, strings.Trim(string(value), `"`))
	}
	return values.Encode()
}

// otherBodies returns forms in which a client may have signed a body that it
// then sent differently.
func otherBodies(body []byte) []string {
	bodies := []string{"", "{}", "null", unsigned}
	if len(body) > largestVaried {
		return bodies
	}
	bodies = append(bodies, strings.TrimSpace(string(body)), string(body)+"\n")
	var v any
	if json.Unmarshal(body, &v) == nil {
		compact, _ := json.Marshal(v)
		indented, _ := json.MarshalIndent(v, "", "  ")
		spaced := strings.NewReplacer(`":`, `": `, `,"`, `, "`).Replace(string(compact))
		bodies = append(bodies, string(compact), string(indented), spaced)
	}
	return bodies
}

func otherHosts(q *Request, service string) []string {
	bare := WithoutPort(q.Host)
	port := q.Host[len(bare):]
	return []string{
		"ssm.tencentcloudapi.com", service + "." + q.Region + ".tencentcloudapi.com", "ssm.intl.tencentcloudapi.com",
		service + ".internal.tencentcloudapi.com", q.Header.Get("X-Forwarded-Host"), "localhost" + port, "127.0.0.1" + port,
		bare + ":80", bare + ":443", bare + ":9023", "",
	}
}

func otherQueries(q *Request) []string {
	if len(q.Query) > largestVaried {
		return []string{""}
	}
	values, _ := url.ParseQuery(q.Query)
	sorted := values.Encode()
	decoded, _ := url.QueryUnescape(q.Query)
	return []string{sorted, strings.ReplaceAll(sorted, "+", "%20"), decoded, ""}
}

// wrongKey tries other keys: none, a mangled one, the id itself, another
// credential's.
func (e *explainer) wrongKey(signed func(key string) bool) string {
	for _, k := range []struct{ what, key string }{
		{"no SecretKey at all", ""}, {"the SecretKey with a line end", e.key + "\n"}, {"the SecretKey with a line end", e.key + "\r\n"},
		{"the SecretKey with a line end", e.key + "\r"}, {"the SecretKey with a space after it", e.key + " "},
		{"the SecretKey with a blank before it", " " + e.key}, {"the SecretKey with blanks around it", " " + e.key + " "},
		{"the SecretKey with a tab after it", e.key + "\t"}, {"the SecretKey with quotes around it", `"` + e.key + `"`},
		{"the SecretKey with quotes around it", `'` + e.key + `'`}, {"the SecretKey without the blanks around it", strings.TrimSpace(e.key)},
		{"its SecretId as the key", e.c.SecretID},
	} {
		if k.key != e.key && signed(k.key) {
			return "the key: the signature was made with " + k.what
		}
	}
	for other, k := range e.others {
		if e.left < 0 {
			return ""
		}
		if signed(k) {
			return "the key: the signature was made with the SecretKey of " + other
		}
	}
	return ""
}

func (e *explainer) v1() string {
	fresh := newMessageV1(e.q)
	if fresh.size() > largestVaried {
		e.left = -1
		return ""
	}
	for _, d := range e.doubtsV1() {
		for _, change := range d.meant {
			meant := *fresh
			meant.pairs = slices.Clone(fresh.pairs)
			change(&meant)
			for _, host := range hosts(meant.host, "ssm") {
				meant.host = host
				if e.signedV1(&meant, e.key) {
					return d.part
				}
			}
		}
	}
	return e.wrongKey(func(key string) bool { return e.signedV1(fresh, key) })
}

// signedV1 reports whether a message has the claimed signature, also one that
// was not escaped.
func (e *explainer) signedV1(m *messageV1, key string) bool {
	if !e.afford(m.size() + 512) {
		return false
	}
	return m.signed(key, e.c.signature) || strings.Contains(e.c.signature, " ") && m.signed(key, strings.ReplaceAll(e.c.signature, " ", "+"))
}

func (e *explainer) doubtsV1() []doubt[messageV1] {
	type m = messageV1
	q := e.q
	return []doubt[messageV1]{
		{"the signature itself: it was not URL-encoded, so + came as a space", []func(*m){func(*m) {}}},
		{"the host: the signature was made with another one than that in Host, which is " + q.Host,
			vary(func(m *m, v string) { m.host = v }, otherHosts(q, "ssm")...)},
		{"the method: the signature was made for another one than " + q.Method,
			vary(func(m *m, v string) { m.method = v }, "GET", "POST")},
		{"the lists: they were signed as the word Array, as PHP's SDK does with v1; use TC3-HMAC-SHA256 there",
			[]func(*m){func(m *m) { m.pairs = arraysAsWords(m.pairs) }}},
		{"the values: they were URL-encoded before they were signed", []func(*m){func(m *m) {
			for i := range m.pairs {
				m.pairs[i].value = url.QueryEscape(m.pairs[i].value)
			}
		}}},
		{"the algorithm: it is not the one in SignatureMethod", []func(*m){
			func(m *m) { m.algorithm = sha1.New }, func(m *m) { m.algorithm = sha256.New }}},
	}
}

// arraysAsWords are the pairs as PHP's SDK signs them: Tags=Array for
// Tags.0.TagKey or Tags[0][TagKey].
func arraysAsWords(pairs []pair) (out []pair) {
	for _, p := range pairs {
		if at := strings.IndexAny(p.key, ".["); at > 0 {
			p = pair{p.key[:at], "Array"}
		}
		if len(out) == 0 || out[len(out)-1].key != p.key {
			out = append(out, p)
		}
	}
	return out
}
