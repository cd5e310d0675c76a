package tc3

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"ssmlocal/server/apierr"
)

// The vendor's published examples (cloud.tencent.com/document/api/213/30654 and
// 30656).
const (
	exampleID  = "AKIDz8krbsJ5yKBZQpn74WFkmLPx3EXAMPLE"
	exampleKey = "Gu5t9xGARNpq86cd98joQYCN3EXAMPLE"
	exampleCT  = "application/json; charset=utf-8"
)

var exampleBody = `{"Limit": 1, "Filters": [{"Values": ["\u672a\u547d\u540d"], "Name": "instance-name"}]}`

func exampleMessage() *message {
	return &message{
		method: "POST", uri: "/", signedHeaders: "content-type;host",
		host: "cvm.tencentcloudapi.com", contentType: exampleCT, payload: hexSum([]byte(exampleBody)),
		timestamp: "1551113065", date: "2019-02-25", service: "cvm",
		others: http.Header{"X-Tc-Action": {"DescribeInstances"}},
	}
}

func TestVectorsV3(t *testing.T) {
	if sum := hexSum([]byte(exampleBody)); !strings.HasPrefix(sum, "35e9c5b0") || !strings.HasSuffix(sum, "f064") {
		t.Errorf("the body's hash is %s", sum)
	}
	for _, c := range []struct{ headers, canonical, signature string }{
		{"content-type;host", "5ffe6a04c0664d6b969fab9a13bdab201d63ee709638e2749d62a09ca18d7031",
			"72e494ea809ad7a8c8f7a4507b9bddcbaa8e581f516e8da2f66e2c5a96525168"},
		{"content-type;host;x-tc-action", "7019a55be8395899b900fb5564e4200d984910f34794a27cb3fb7d10ff6a1e84",
			"644be983de9a8a3f00db8eadaba61467c3b429e2215758ba897b738ca469fd26"},
	} {
		m := exampleMessage()
		m.signedHeaders = c.headers
		if got := hexSum(m.canonical(nil)); got != c.canonical {
			t.Errorf("%s: the canonical request's hash is %s, want %s", c.headers, got, c.canonical)
		}
		got := m.signature(newSigningKey(exampleKey, m.date, m.service))
		if string(got[:]) != c.signature {
			t.Errorf("%s: the signature is %s, want %s", c.headers, got, c.signature)
		}
	}
}

const exampleV1 = "Action=DescribeInstances&InstanceIds.0=ins-09dx96dg&Limit=20&Nonce=11886&Offset=0&Region=ap-guangzhou" +
	"&SecretId=" + exampleID + "&Timestamp=1465185768&Version=2017-03-12"

func TestVectorV1(t *testing.T) {
	pairs, err := parsePairs(exampleV1)
	if err != nil {
		t.Fatal(err)
	}
	m := newMessageV1(&Request{Method: "GET", Host: "cvm.tencentcloudapi.com", pairs: pairs})
	if got := m.signature(exampleKey); got != "EliP9YW3pW28FpsEdkXt/+WcGeI=" {
		t.Errorf("the signature is %s", got)
	}
}

// request reads an HTTP request as the server would.
func request(t *testing.T, r *http.Request) *Request {
	t.Helper()
	q, err := Read(r, new(bytes.Buffer), false)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// signedRequest returns a signed call, before change is made to it and after
// meant is undone: meant says how the client differs from the usual one when it
// signs.
func signedRequest(t *testing.T, body string, meant, change func(*http.Request)) *Request {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1:9023/", nil)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-TC-Action", "GetSecretValue")
	r.Header.Set("X-TC-Version", "2019-09-23")
	sent := r.Clone(t.Context())
	if meant != nil {
		meant(r)
	}
	Sign(r, []byte(body), "AKIDx", "key", "ssm", time.Now())
	sent.Header.Set("Authorization", r.Header.Get("Authorization"))
	sent.Header.Set("X-TC-Timestamp", r.Header.Get("X-TC-Timestamp"))
	sent.Body = http.NoBody
	if body != "" {
		sent.Body = readCloser(body)
	}
	if change != nil {
		change(sent)
	}
	return request(t, sent)
}

func readCloser(s string) *struct {
	*strings.Reader
	noClose
} {
	return &struct {
		*strings.Reader
		noClose
	}{Reader: strings.NewReader(s)}
}

type noClose struct{}

func (noClose) Close() error { return nil }

func verify(t *testing.T, q *Request, key string) error {
	t.Helper()
	c, err := q.Claim()
	if err != nil {
		t.Fatal(err)
	}
	var v Verifier
	first := v.Verify(q, c, key)
	if again := v.Verify(q, c, key); !errors.Is(again, first) && again != first {
		t.Errorf("verified twice: %v, then %v", first, again)
	}
	return first
}

// TestClientsDiffer checks that each way in which an official SDK signs for a
// custom endpoint is accepted.
func TestClientsDiffer(t *testing.T) {
	host := func(h string) func(*http.Request) { return func(r *http.Request) { r.Host = h } }
	for _, c := range []struct {
		name   string
		meant  func(*http.Request)
		change func(*http.Request)
	}{
		{"usual", nil, nil},
		{"host without port (Node)", host("127.0.0.1"), nil},
		{"the vendor's host (ApigwEndpoint)", host("ssm.tencentcloudapi.com"), nil},
		{"a scheme in the host (Python)", host("http://127.0.0.1:9023"), nil},
		{"another path (Node)", nil, func(r *http.Request) { r.URL.Path = "/ssm" }},
		{"upper-case host", host("LOCALHOST:9023"), host("LOCALHOST:9023")},
		{"content type with charset (Java)", withContentType("application/json; charset=utf-8"), withContentType("application/json; charset=utf-8")},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := signedRequest(t, `{"SecretName":"a"}`, c.meant, c.change)
			if err := verify(t, q, "key"); err != nil {
				t.Error(err)
			}
			if err := verify(t, q, "other"); !errors.Is(err, apierr.SignatureFailure.With()) {
				t.Errorf("another key: %v", err)
			}
		})
	}
}

func withContentType(v string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Content-Type", v) }
}

func TestUnsignedPayload(t *testing.T) {
	m := exampleMessage()
	m.payload = hexSum([]byte(unsigned))
	s := m.signature(newSigningKey(exampleKey, m.date, m.service))
	r := httptest.NewRequest(http.MethodPost, "http://cvm.tencentcloudapi.com/", strings.NewReader("anything"))
	for name, value := range map[string]string{
		"X-TC-Content-SHA256": unsigned, "Content-Type": exampleCT, "X-TC-Timestamp": m.timestamp,
		"X-TC-Action": "DescribeInstances", "X-TC-Version": "2017-03-12",
		"Authorization": Algorithm + " Credential=" + exampleID + "/2019-02-25/cvm/tc3_request,SignedHeaders=content-type;host,Signature=" + string(s[:]),
	} {
		r.Header.Set(name, value)
	}
	if err := verify(t, request(t, r), exampleKey); err != nil {
		t.Error(err)
	}
	r.Header.Set("X-TC-Content-SHA256", strings.Repeat("0", 64))
	r.Body = readCloser("anything")
	if err := verify(t, request(t, r), exampleKey); !errors.Is(err, apierr.ContentHash.With("")) {
		t.Errorf("a wrong content hash: %v", err)
	}
}

// TestEveryPartIsSigned changes one part of a signed request at a time: each
// must break the signature.
func TestEveryPartIsSigned(t *testing.T) {
	for name, change := range map[string]func(*http.Request){
		"body":         func(r *http.Request) { r.Body = readCloser(`{"SecretName":"b"}`) },
		"content type": withContentType("text/plain"),
		"host":         func(r *http.Request) { r.Host = "elsewhere:9023" },
		"timestamp":    func(r *http.Request) { r.Header.Set("X-TC-Timestamp", "1551113065") },
		"signature": func(r *http.Request) {
			a := r.Header.Get("Authorization")
			r.Header.Set("Authorization", a[:len(a)-1]+string('0'+('1'-a[len(a)-1])&1))
		},
		"date": func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "/20", "/19", 1))
		},
		"service": func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "/ssm/", "/kms/", 1))
		},
		"method": func(r *http.Request) { r.Method, r.Body = http.MethodGet, http.NoBody },
	} {
		t.Run(name, func(t *testing.T) {
			q := signedRequest(t, `{"SecretName":"a"}`, nil, change)
			if err := verify(t, q, "key"); !errors.Is(err, apierr.SignatureFailure.With()) {
				t.Errorf("verified with %v", err)
			}
		})
	}
}

func TestParseAuthorization(t *testing.T) {
	sig := strings.Repeat("0a", 32)
	valid := Algorithm + " Credential=AKID/2026-01-01/ssm/tc3_request, SignedHeaders=content-type;host, Signature=" + sig
	for _, c := range []struct{ name, header, detail string }{
		{"valid", valid, ""},
		{"no spaces", strings.ReplaceAll(valid, ", ", ","), ""},
		{"service with a port", strings.Replace(valid, "/ssm/", "/localhost:9000/", 1), ""},
		{"slashes in the id", strings.Replace(valid, "AKID/", "AK/ID/", 1), ""},
		{"more signed headers", strings.Replace(valid, ";host", ";host;x-tc-action", 1), ""},
		{"skip", "SKIP", "`Algorithm`"},
		{"AWS", "AWS4-HMAC-SHA256 Credential=x", "`Algorithm`"},
		{"nothing behind", Algorithm, "`Credential`"},
		{"no scope", strings.Replace(valid, "/2026-01-01/ssm/tc3_request", "", 1), "`Credential`"},
		{"another end", strings.Replace(valid, "tc3_request", "aws4_request", 1), "`Credential`"},
		{"no id", strings.Replace(valid, "AKID", "", 1), "`SecretId` in Credential"},
		{"bad date", strings.Replace(valid, "2026-01-01", "20260101", 1), "`Date` in Credential"},
		{"no service", strings.Replace(valid, "/ssm/", "//", 1), "`Service` in Credential"},
		{"host not signed", strings.Replace(valid, ";host", "", 1), "`SignedHeaders`"},
		{"short signature", valid[:len(valid)-1], "`Signature`"},
	} {
		claim, err := parseAuthorization(c.header)
		if c.detail == "" {
			if err != nil || claim.signature != sig || !strings.HasPrefix(claim.SecretID, "AK") {
				t.Errorf("%s: %+v, %v", c.name, claim, err)
			}
			continue
		}
		if want := apierr.InvalidAuthorization.With(c.detail); err == nil || err.Error() != want.Error() {
			t.Errorf("%s: %v, want %v", c.name, err, want)
		}
	}
}

func TestFreshness(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for age, fresh := range map[time.Duration]bool{
		0: true, 300 * time.Second: true, 301 * time.Second: false, -300 * time.Second: true, -301 * time.Second: false,
	} {
		q := &Request{Timestamp: now.Add(-age).Unix()}
		if err := q.CheckFresh(now); (err == nil) != fresh {
			t.Errorf("%v old: %v", age, err)
		}
	}
}

// v1 returns a request in parameter style, signed by hand with the given
// differences.
func v1(t *testing.T, method string, values url.Values, sign func(*messageV1), change func(url.Values)) *Request {
	t.Helper()
	all := url.Values{
		"Action": {"GetSecretValue"}, "Version": {"2019-09-23"}, "Nonce": {"9223372036854775807"}, "SecretId": {"AKIDx"},
		"Timestamp": {"1800000000"}, "Region": {"ap-guangzhou"}, "Signature": {"x"},
	}
	for k, v := range values {
		all[k] = v
	}
	read := func() *Request {
		r := httptest.NewRequest(method, "http://127.0.0.1:9023/?"+all.Encode(), nil)
		if method == http.MethodPost {
			r = httptest.NewRequest(method, "http://127.0.0.1:9023/", strings.NewReader(all.Encode()))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		return request(t, r)
	}
	m := newMessageV1(read())
	if sign != nil {
		sign(m)
	}
	all.Set("Signature", m.signature("key"))
	if change != nil {
		change(all)
	}
	return read()
}

func TestVerifyV1(t *testing.T) {
	for _, c := range []struct {
		name   string
		values url.Values
		sign   func(*messageV1)
		change func(url.Values)
		fails  bool
	}{
		{name: "HmacSHA1"},
		{name: "HmacSHA256", values: url.Values{"SignatureMethod": {"HmacSHA256"}}},
		{name: "values that need escapes", values: url.Values{"SecretString": {"a b&c=d+e%20中"}}},
		{name: "host without port", sign: func(m *messageV1) { m.host = "127.0.0.1" }},
		{name: "a key with _", values: url.Values{"A_B": {"x"}}, sign: (*messageV1).dotted},
		{name: "a line end behind the signature (Ruby)", change: func(v url.Values) { v.Set("Signature", v.Get("Signature")+"\n") }},
		{name: "another value", change: func(v url.Values) { v.Set("Region", "ap-beijing") }, fails: true},
		{name: "another algorithm", change: func(v url.Values) { v.Set("SignatureMethod", "HmacSHA256") }, fails: true},
		{name: "a parameter more", change: func(v url.Values) { v.Set("Limit", "1") }, fails: true},
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			t.Run(c.name+" "+method, func(t *testing.T) {
				err := verify(t, v1(t, method, c.values, c.sign, c.change), "key")
				if (err != nil) != c.fails {
					t.Errorf("verified with %v", err)
				}
			})
		}
	}
}

// TestExplain makes each mistake that clients make and checks that it is named.
func TestExplain(t *testing.T) {
	const body = `{"SecretName": "a", "VersionId": "1"}`
	host := func(h string) func(*http.Request) { return func(r *http.Request) { r.Host = h } }
	sent := func(b string) func(*http.Request) { return func(r *http.Request) { r.Body = readCloser(b) } }
	signedBy := func(key string) func(*http.Request) {
		return func(r *http.Request) { Sign(r, []byte(body), "AKIDx", key, "ssm", time.Now()) }
	}
	region := func(r *http.Request) { r.Header.Set("X-TC-Region", "ap-guangzhou") }
	for _, c := range []struct {
		part          string
		meant, change func(*http.Request)
	}{
		{"the host", host("localhost:9023"), nil},
		{"the host", host("ssm.ap-guangzhou.tencentcloudapi.com"), region},
		{"the content type", withContentType("application/json; charset=utf-8"), nil},
		{"the body", nil, sent(`{"SecretName":"a","VersionId":"1"}`)},
		{"the body", nil, sent(body + "\n")},
		{"the date", nil, func(r *http.Request) { signOnAnotherDay(r, body) }},
		{"the key: the signature was made with the SecretKey of AKIDother", nil, signedBy("otherkey")},
		{"the key: the signature was made with the SecretKey with a line end", nil, signedBy("key\n")},
		{"the key: the signature was made with its SecretId", nil, signedBy("AKIDx")},
		{"the key: the signature was made with no SecretKey", nil, signedBy("")},
		{"the key: the signature was made with the SecretKey with a line end", nil, signedBy("key\r\n")},
		{"the key: the signature was made with the SecretKey with a space after it", nil, signedBy("key ")},
		{"the key: the signature was made with the SecretKey with a blank before", nil, signedBy(" key")},
		{"the key: the signature was made with the SecretKey with quotes", nil, signedBy(`"key"`)},
		{"the key: the signature was made with the SecretKey with quotes", nil, signedBy("'key'")},
		{"the signature itself: it is written in upper-case", nil, func(r *http.Request) {
			head, signature, _ := strings.Cut(r.Header.Get("Authorization"), "Signature=")
			r.Header.Set("Authorization", head+"Signature="+strings.ToUpper(signature))
		}},
		{"the canonical request: its hashes", nil, signedAs(body, func(m *message) { m.payload = strings.ToUpper(m.payload) })},
		{"the canonical request: its hashes", nil, signedAs(body, func(m *message) { m.upper = true })},
		{"the canonical request: the blank line", nil, signedAs(body, func(m *message) { m.tight = true })},
		{"the timestamp", nil, signedAs(body, func(m *message) { m.timestamp = plus(m.timestamp, 1) })},
		{"the timestamp", nil, signedAs(body, func(m *message) { m.timestamp = plus(m.timestamp, -1) })},
		{"the query: it is signed", nil, func(r *http.Request) {
			r.URL.RawQuery = "a=b"
			signedAs(body, func(m *message) { m.query = "a=b" })(r)
		}},
		{`the key: the signing key was derived without "TC3"`, nil, signedWith(body, func(d string) *signingKey { return signingKeyOf([]byte("key"), d, "ssm") })},
		{"the service: the signing key", nil, signedWith(body, func(d string) *signingKey { return newSigningKey("key", d, "cvm") })},
		{"the key or the body", nil, signedBy("unheard of")},
	} {
		t.Run(c.part, func(t *testing.T) {
			q := signedRequest(t, body, c.meant, c.change)
			claim, err := q.Claim()
			if err != nil {
				t.Fatal(err)
			}
			got := Explain(q, claim, "key", map[string]string{"AKIDother": "otherkey"})
			if !strings.HasPrefix(got, c.part) {
				t.Errorf("explained as %q", got)
			}
			if strings.Contains(got, "VersionId") || strings.Contains(got, "otherkey") {
				t.Errorf("the explanation gives something away: %q", got)
			}
		})
	}
}

// signedAs signs a request as a client does that gets something wrong.
func signedAs(body string, wrong func(*message)) func(*http.Request) {
	return signedSomehow(body, wrong, func(d string) *signingKey { return newSigningKey("key", d, "ssm") })
}

// signedWith signs a request with another signing key.
func signedWith(body string, key func(date string) *signingKey) func(*http.Request) {
	return signedSomehow(body, func(*message) {}, key)
}

func signedSomehow(body string, wrong func(*message), key func(date string) *signingKey) func(*http.Request) {
	return func(r *http.Request) {
		now := time.Now().Unix()
		m := message{
			method: "POST", uri: "/", signedHeaders: usualHeaders, host: r.Host, contentType: r.Header.Get("Content-Type"),
			payload: hexSum([]byte(body)), timestamp: strconv.FormatInt(now, 10), date: day(now), service: "ssm",
		}
		r.Header.Set("X-TC-Timestamp", m.timestamp)
		wrong(&m)
		s := m.signature(key(m.date))
		r.Header.Set("Authorization", Algorithm+" Credential=AKIDx/"+m.date+"/ssm/tc3_request, SignedHeaders="+usualHeaders+
			", Signature="+string(s[:]))
	}
}

func plus(seconds string, by int64) string {
	n, _ := strconv.ParseInt(seconds, 10, 64)
	return strconv.FormatInt(n+by, 10)
}

// signOnAnotherDay signs as a client does that takes the date from a clock in
// another time zone.
func signOnAnotherDay(r *http.Request, body string) {
	tomorrow := time.Now().AddDate(0, 0, 1).UTC().Format(time.DateOnly)
	m := message{
		method: "POST", uri: "/", signedHeaders: usualHeaders, host: r.Host, contentType: r.Header.Get("Content-Type"),
		payload: hexSum([]byte(body)), timestamp: r.Header.Get("X-TC-Timestamp"), date: tomorrow, service: "ssm",
	}
	s := m.signature(newSigningKey("key", tomorrow, "ssm"))
	r.Header.Set("Authorization", Algorithm+" Credential=AKIDx/"+tomorrow+"/ssm/tc3_request, SignedHeaders="+usualHeaders+
		", Signature="+string(s[:]))
}

func TestExplainV1(t *testing.T) {
	for _, c := range []struct {
		part   string
		sign   func(*messageV1)
		change func(url.Values)
	}{
		{"the host", func(m *messageV1) { m.host = "ssm.intl.tencentcloudapi.com" }, nil},
		{"the method", func(m *messageV1) { m.method = "POST" }, nil},
		{"the lists: they were signed as the word Array", func(m *messageV1) { m.pairs = arraysAsWords(m.pairs) }, nil},
		{"the algorithm", nil, func(v url.Values) { v.Set("SignatureMethod", "HmacSHA1") }},
		{"the signature itself", nil, func(v url.Values) { v.Set("Signature", strings.ReplaceAll(v.Get("Signature"), "+", " ")) }},
	} {
		t.Run(c.part, func(t *testing.T) {
			values := url.Values{"SignatureMethod": {"HmacSHA1"}}
			sign := c.sign
			if c.part == "the algorithm" {
				sign = func(m *messageV1) { m.algorithm = algorithms["HmacSHA256"] }
			}
			if strings.HasPrefix(c.part, "the lists") {
				values.Set("Tags[0][TagKey]", "a")
				values.Set("Tags[0][TagValue]", "b")
			}
			if c.part == "the signature itself" {
				values = withPlus(t)
			}
			q := v1(t, http.MethodGet, values, sign, c.change)
			claim, _ := q.Claim()
			if got := Explain(q, claim, "key", nil); !strings.HasPrefix(got, c.part) {
				t.Errorf("explained as %q", got)
			}
		})
	}
}

// withPlus finds values whose signature has a + in it.
func withPlus(t *testing.T) url.Values {
	t.Helper()
	for nonce := range 1000 {
		values := url.Values{"SignatureMethod": {"HmacSHA1"}, "Limit": {strings.Repeat("1", 1+nonce)}}
		q := v1(t, http.MethodGet, values, nil, nil)
		if strings.Contains(q.param("Signature"), "+") {
			return values
		}
	}
	t.Fatal("no signature with a + in a thousand")
	return nil
}
