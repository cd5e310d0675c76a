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

// Explain says which part of a request its failed signature disagrees with: it signs the request as it might have been
// meant, one part changed at a time, and names the part whose change makes the signature right. The text is for the
// log, not for the caller, and holds neither a key nor a parameter's value. others are the secret keys of the other
// credentials, by SecretId.
func Explain(q *Request, c Claim, secretKey string, others map[string]string) string {
	var part string
	if q.headers {
		part = explainV3(q, c, secretKey, others)
	} else {
		part = explainV1(q, c, secretKey, others)
	}
	if part != "" {
		return part
	}
	return "the key or the body: the SecretKey is another one, or the body was changed after it was signed"
}

// A doubt is one part of a message with other ways in which the client may have meant it.
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

func explainV3(q *Request, c Claim, secretKey string, others map[string]string) string {
	m, err := q.message(c)
	if err != nil {
		return "X-TC-Content-SHA256, which is not the hash of the body"
	}
	for _, d := range doubtsV3(q, c) {
		for _, change := range d.meant {
			meant := *m
			change(&meant)
			for _, host := range hosts(meant.host, c.service) {
				meant.host = host
				if meant.signed(newSigningKey(secretKey, c.date, meant.service), c.signature) {
					return d.part
				}
			}
		}
	}
	return wrongKey(c.SecretID, secretKey, others, func(key string) bool {
		return slices.ContainsFunc(hosts(q.Host, c.service), func(host string) bool {
			m.host = host
			return m.signed(newSigningKey(key, c.date, c.service), c.signature)
		})
	})
}

func doubtsV3(q *Request, c Claim) []doubt[message] {
	type m = message
	seconds := strconv.FormatInt(q.Timestamp, 10)
	return []doubt[message]{
		{"the date: Credential has " + c.date + ", X-TC-Timestamp is on " + day(q.Timestamp) + " in UTC",
			vary(func(m *m, v string) { m.date = v }, c.date, day(q.Timestamp))},
		{"the timestamp: the signature is of another one than X-TC-Timestamp has",
			vary(func(m *m, v string) { m.timestamp = v }, seconds+"000", strings.TrimSuffix(seconds, "000"),
				strconv.FormatInt(q.Timestamp+8*3600, 10), strconv.FormatInt(q.Timestamp-8*3600, 10))},
		{"the body: the signature is of a body in another form",
			vary(func(m *m, v string) { m.payload = hexSum([]byte(v)) }, otherBodies(q.Body)...)},
		{"the host: the signature is of another one than Host has, which is " + q.Host,
			vary(func(m *m, v string) { m.host = v }, otherHosts(q, c.service)...)},
		{"the content type: the signature is of another one than Content-Type has",
			vary(func(m *m, v string) { m.contentType = v }, "application/json", "application/json; charset=utf-8",
				"application/x-www-form-urlencoded", "application/octet-stream", "multipart/form-data", "")},
		{"the query: the signature is of the query in another order or with other escapes",
			vary(func(m *m, v string) { m.query = v }, otherQueries(q)...)},
		{"the method: the signature is of another one than " + q.Method,
			vary(func(m *m, v string) { m.method = v }, "GET", "POST", strings.ToLower(q.Method))},
		{"the service: the signing key is of another one than Credential has, which is " + c.service,
			vary(func(m *m, v string) { m.service = v }, "ssm", "sts", "tag")},
	}
}

// otherBodies are forms in which a client may have signed a body that then went out differently.
func otherBodies(body []byte) []string {
	bodies := []string{"", "{}", "null", unsigned, strings.TrimSpace(string(body)), string(body) + "\n"}
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
	values, _ := url.ParseQuery(q.Query)
	sorted := values.Encode()
	decoded, _ := url.QueryUnescape(q.Query)
	return []string{sorted, strings.ReplaceAll(sorted, "+", "%20"), decoded, ""}
}

// wrongKey tries other keys: none, a mangled one, the id itself, another credential's.
func wrongKey(id, key string, others map[string]string, signed func(key string) bool) string {
	for what, k := range map[string]string{
		"no SecretKey at all": "", "the SecretKey with a line end": key + "\n", "the SecretKey with a space": key + " ",
		"its SecretId as the key": id,
	} {
		if signed(k) {
			return "the key: the signature was made with " + what
		}
	}
	for other, k := range others {
		if signed(k) {
			return "the key: the signature was made with the SecretKey of " + other
		}
	}
	return ""
}

func explainV1(q *Request, c Claim, secretKey string, others map[string]string) string {
	fresh := newMessageV1(q)
	for _, d := range doubtsV1(q) {
		for _, change := range d.meant {
			meant := *fresh
			meant.pairs = slices.Clone(fresh.pairs)
			change(&meant)
			for _, host := range hosts(meant.host, "ssm") {
				meant.host = host
				if meant.signed(secretKey, c.signature) || meant.signed(secretKey, strings.ReplaceAll(c.signature, " ", "+")) {
					return d.part
				}
			}
		}
	}
	return wrongKey(c.SecretID, secretKey, others, func(key string) bool { return fresh.signed(key, c.signature) })
}

func doubtsV1(q *Request) []doubt[messageV1] {
	type m = messageV1
	return []doubt[messageV1]{
		{"the signature itself: it was not URL-encoded, so + came as a space", []func(*m){func(*m) {}}},
		{"the host: the signature is of another one than Host has, which is " + q.Host,
			vary(func(m *m, v string) { m.host = v }, otherHosts(q, "ssm")...)},
		{"the method: the signature is of another one than " + q.Method,
			vary(func(m *m, v string) { m.method = v }, "GET", "POST")},
		{"the values: they were URL-encoded before they were signed", []func(*m){func(m *m) {
			for i := range m.pairs {
				m.pairs[i].value = url.QueryEscape(m.pairs[i].value)
			}
		}}},
		{"the algorithm: it is another one than SignatureMethod has", []func(*m){
			func(m *m) { m.algorithm = sha1.New }, func(m *m) { m.algorithm = sha256.New }}},
	}
}
