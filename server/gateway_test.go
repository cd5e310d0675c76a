package server_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"ssmlocal/server"
	"ssmlocal/server/account"
	"ssmlocal/server/servertest"
	"ssmlocal/server/tc3"
)

// through returns a client that sends everything through a proxy.
func through(proxy string, base *http.Client) *http.Client {
	u, _ := url.Parse(proxy)
	t := base.Transport.(*http.Transport).Clone()
	t.DialContext, t.Proxy = new(net.Dialer).DialContext, http.ProxyURL(u)
	return &http.Client{Transport: t}
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

// safeBuffer is a buffer that a server may write to while a test reads.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// exchange writes text to the server in chunks and returns what it answers.
func exchange(t *testing.T, host, text string, chunk int) string {
	t.Helper()
	c, err := net.Dial("tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for len(text) > 0 {
		n := min(chunk, len(text))
		if _, err := c.Write([]byte(text[:n])); err != nil {
			t.Fatal(err)
		}
		text = text[n:]
	}
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.Status + " " + string(b)
}

// head is the head of a request, without the line that ends it.
func head(r *http.Request, target, host string) string {
	text := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\nContent-Length: 2\r\n", r.Method, target, host)
	for name := range r.Header {
		text += name + ": " + r.Header.Get(name) + "\r\n"
	}
	return text
}

// signFor signs a request again for another service; its body stays the same.
func signFor(r *http.Request, s *servertest.Server, service string) {
	tc3.Sign(r, []byte("{}"), s.Credential.SecretID, s.Credential.SecretKey, service, time.Now())
}

// resign makes changes and signs again, so that they are part of what is
// signed.
func resign(s *servertest.Server, body string, change func(*http.Request)) *http.Request {
	r := request(s, change)
	r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
	tc3.Sign(r, []byte(body), s.Credential.SecretID, s.Credential.SecretKey, "ssm", time.Now())
	return r
}

// request returns a signed GetRegions with changes made to it after it was
// signed.
func request(s *servertest.Server, change func(*http.Request)) *http.Request {
	r := servertest.NewRequest(s.URL, "ap-guangzhou", s.Credential, "GetRegions", []byte("{}"))
	if change != nil {
		change(r)
	}
	return r
}

// refusal returns the error of an answer, "" for success. In either case it
// must be an answer of the API.
func refusal(t *testing.T, r *http.Request) string {
	t.Helper()
	answer, body := send(t, r)
	if answer.StatusCode != 200 || answer.Header.Get("Content-Type") != "application/json" {
		t.Errorf("status %s, content type %q", answer.Status, answer.Header.Get("Content-Type"))
	}
	var envelope struct {
		Response struct {
			Error     *servertest.Error
			RequestId string
		}
	}
	if err := json.Unmarshal([]byte(body), &envelope); err != nil || len(envelope.Response.RequestId) != 36 {
		t.Fatalf("no answer of the API: %q, %v", body, err)
	}
	if envelope.Response.Error == nil {
		return ""
	}
	return envelope.Response.Error.Error()
}

// send sends a request and returns the status and the body.
func send(t *testing.T, r *http.Request) (*http.Response, string) {
	t.Helper()
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(b)
}

// TestOrderOfChecks makes two mistakes at a time: the one that the gateway
// finds first is reported.
func TestOrderOfChecks(t *testing.T) {
	s := servertest.New(t, server.Config{Rates: map[string]int{"GetServiceStatus": 1}})
	set := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	both := func(a, b func(*http.Request)) func(*http.Request) {
		return func(r *http.Request) { a(r); b(r) }
	}
	method := func(r *http.Request) { r.Method = http.MethodDelete }
	noAction := func(r *http.Request) { r.Header.Del("X-TC-Action") }
	foreign := set("Authorization", "AWS4-HMAC-SHA256 Credential=x")
	version, action := set("X-TC-Version", "2020-01-01"), set("X-TC-Action", "Nope")
	old := set("X-TC-Timestamp", "1551113065")
	unknown := func(r *http.Request) {
		r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "AKIDssmlocal", "AKIDnobody", 1))
	}
	region := set("X-TC-Region", "nowhere")
	forged := set("Content-Type", "text/plain")
	for _, c := range []struct {
		name string
		r    *http.Request
		want string
	}{
		{"method before common parameters", request(s, both(method, noAction)), "UnsupportedProtocol"},
		{"common parameters before the scheme", request(s, both(noAction, foreign)), "MissingParameter: The request header is missing a required common parameter `X-TC-Action`."},
		{"types before the version", request(s, both(set("X-TC-Timestamp", "x"), version)), "InvalidParameter: Parameter `X-TC-Timestamp` type error."},
		{"version before action", request(s, both(version, action)), "NoSuchVersion: The specified api version=`2020-01-01` does not exist in service=`ssm`."},
		{"action before authorization", request(s, both(action, foreign)), "InvalidAction: The request action=`Nope` is invalid or not found in service=`ssm` and version=`2019-09-23`."},
		{"authorization before freshness", request(s, both(foreign, old)), "AuthFailure.InvalidAuthorization: The request `Authorization` header does not conform to tencentcloud standards: `Algorithm` not valid."},
		{"freshness before the id", request(s, both(old, unknown)), "AuthFailure.SignatureExpire: The signature is expired, please request again."},
		{"the id before the signature", request(s, both(unknown, forged)), "AuthFailure.SecretIdNotFound: The SecretId is not found, please ensure that your SecretId is correct."},
		{"the token before the signature", request(s, both(set("X-TC-Token", "x"), forged)), "AuthFailure.TokenFailure"},
		{"the signature before the region", request(s, both(forged, region)), "AuthFailure.SignatureFailure: The provided credentials could not be validated. Please check your signature is correct."},
		{"the region before the body", resign(s, "{", region), "InvalidParameterValue: A value specified in `X-TC-Region` is not valid, is unsupported, or cannot be used."},
		{"an empty region", request(s, set("X-TC-Region", "")), "InvalidParameterValue: A value specified in `X-TC-Region` is not valid, is unsupported, or cannot be used."},
		{"no region", request(s, func(r *http.Request) { r.Header.Del("X-TC-Region") }), ""},
		{"the first call of the second", resign(s, "{}", set("X-TC-Action", "GetServiceStatus")), ""},
		{"the rate before the body", resign(s, "{", set("X-TC-Action", "GetServiceStatus")), "RequestLimitExceeded: Your current request times equals to `2` in a second, which exceeds the frequency limit `1` for a second. Please reduce the frequency of calls."},
		{"the body", resign(s, "{", nil), "InvalidParameter: The request content not valid json format for specified content-type=application/json."},
	} {
		if got := refusal(t, c.r); !strings.HasPrefix(got, c.want) || (got == "") != (c.want == "") {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

// TestLanguages asks for Chinese in each style.
func TestLanguages(t *testing.T) {
	s := servertest.New(t, server.Config{})
	v3 := request(s, func(r *http.Request) {
		r.Header.Set("X-TC-Language", "zh-CN")
		r.Header.Set("X-TC-Action", "Nope")
	})
	v1, _ := http.NewRequest(http.MethodGet, s.URL+"/?Language=zh-CN&Timestamp=1", nil)
	for want, r := range map[string]*http.Request{
		"InvalidAction: 请求的接口 action=`Nope` 无效，或在 service=`ssm` 和 version=`2019-09-23` 中不存在。": v3,
		"MissingParameter: 请求缺少必传参数 `Nonce`。":                                                 v1,
	} {
		if got := refusal(t, r); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// TestModes calls with known and unknown keys, right and wrong ones, in each
// mode.
func TestModes(t *testing.T) {
	known := account.Default
	forged := account.Credential{SecretID: known.SecretID, SecretKey: "wrong"}
	stranger := account.Credential{SecretID: "AKIDstranger", SecretKey: "x"}
	for _, c := range []struct {
		mode                    account.Mode
		known, forged, stranger string
	}{
		{account.Verify, "", "AuthFailure.SignatureFailure", "AuthFailure.SecretIdNotFound"},
		{account.Any, "", "AuthFailure.SignatureFailure", ""},
		{account.Off, "", "", ""},
	} {
		s := servertest.New(t, server.Config{Auth: c.mode})
		for who, want := range map[*account.Credential]string{&known: c.known, &forged: c.forged, &stranger: c.stranger} {
			var failure *servertest.Error
			err := s.CallIn("ap-guangzhou", *who, "GetRegions", nil, nil)
			if errors.As(err, &failure) && failure.Code != want || err == nil && want != "" {
				t.Errorf("%s, %s: %v, want %q", c.mode, who.SecretID, err, want)
			}
		}
	}
}

// TestAnyChecksForm lets a stranger in only with a signature that is well
// formed and fresh.
func TestAnyChecksForm(t *testing.T) {
	s := servertest.New(t, server.Config{Auth: account.Any})
	s.Credential = account.Credential{SecretID: "AKIDstranger", SecretKey: "x"}
	for want, change := range map[string]func(*http.Request){
		"AuthFailure.SignatureExpire":      func(r *http.Request) { r.Header.Set("X-TC-Timestamp", "1551113065") },
		"AuthFailure.InvalidAuthorization": func(r *http.Request) { r.Header.Set("Authorization", "SKIP") },
	} {
		if got := refusal(t, request(s, change)); !strings.HasPrefix(got, want) {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// TestOffNeedsNothing calls without any signature, as from a shell.
func TestOffNeedsNothing(t *testing.T) {
	var log safeBuffer
	s := servertest.New(t, server.Config{Auth: account.Off, Log: slog.New(slog.NewTextHandler(&log, nil))})
	create := strings.NewReader("Action=CreateSecret&Version=2019-09-23&SecretName=a&SecretString=x")
	form, _ := http.NewRequest(http.MethodPost, s.URL, create)
	get, _ := http.NewRequest(http.MethodGet, s.URL+"/?Action=GetSecretValue&Version=2019-09-23&SecretName=a&VersionId=SSM_Current", nil)
	body, _ := http.NewRequest(http.MethodPost, s.URL, strings.NewReader(`{"SecretName":"a"}`))
	body.Header.Set("X-TC-Action", "DescribeSecret")
	body.Header.Set("X-TC-Version", "2019-09-23")
	for _, r := range []*http.Request{form, get, body} {
		if got := refusal(t, r); got != "" {
			t.Error(got)
		}
	}
	if err := s.Call("DescribeSecret", map[string]string{"SecretName": "a"}, nil); err != nil {
		t.Errorf("the default account is not the default key's: %v", err)
	}
	missing, _ := http.NewRequest(http.MethodGet, s.URL+"/?Version=2019-09-23", nil)
	if got := refusal(t, missing); got != "MissingParameter: The request is missing a required parameter `Action`." {
		t.Error(got)
	}
	if strings.Contains(log.String(), "no signature") {
		t.Errorf("the log asks for a signature that nobody needs:\n%s", log.String())
	}
}

// TestWhatClientsSend sends, byte by byte, requests that net/http alone would
// refuse or read differently.
func TestWhatClientsSend(t *testing.T) {
	s := servertest.New(t, server.Config{})
	signedFor := func(host string) *http.Request {
		return resign(s, "{}", func(r *http.Request) { r.Host = host })
	}
	for name, text := range map[string]string{
		"absolute form through a proxy setting": head(signedFor("ssm.tencentcloudapi.com"), "http://ssm.tencentcloudapi.com/", "ssm.tencentcloudapi.com"),
		"a scheme in the Host header":           head(signedFor("http://"+s.Host), "/", "http://"+s.Host) + "Connection: keep-alive\r\n",
		"a scheme in capitals, behind a tab":    strings.Replace(head(signedFor("http://"+s.Host), "/", "http://"+s.Host), "Host: http", "Host:\tHTTP", 1),
		"a scheme behind a long head":           "POST / HTTP/1.1\r\nX: " + strings.Repeat("x", 60_000) + strings.TrimPrefix(head(signedFor("http://"+s.Host), "/", "http://"+s.Host), "POST / HTTP/1.1"),
		"a scheme and a slash":                  head(signedFor("http://"+s.Host+"/"), "/", "http://"+s.Host+"/"),
		"PHP's port in the host":                head(signedFor("ssm.localhost:9023"), "/", "ssm.localhost:9023"),
		"a scheme in capitals of header":        strings.Replace(head(signedFor("https://"+s.Host), "/", "https://"+s.Host), "Host:", "HOST:", 1),
	} {
		t.Run(name, func(t *testing.T) {
			for _, chunk := range []int{1, 7, 1 << 20} {
				if got := exchange(t, s.Host, text+"\r\n{}", chunk); !strings.Contains(got, `"Regions":["ap-guangzhou"`) {
					t.Errorf("in chunks of %d: %s", chunk, got)
				}
			}
		})
	}
}

// TestNoParameters sends a call without parameters as each SDK writes that:
// most send an object, Ruby's null, C++'s nothing.
func TestNoParameters(t *testing.T) {
	s := servertest.New(t, server.Config{})
	for _, body := range []string{"{}", "null", ""} {
		if got := refusal(t, resign(s, body, nil)); got != "" {
			t.Errorf("the body %q: %s", body, got)
		}
	}
}

// TestWhatIsNoHTTP sends the first bytes of clients of other protocols: none of
// them waits for an answer that can't come.
func TestWhatIsNoHTTP(t *testing.T) {
	s := servertest.New(t, server.Config{})
	for name, c := range map[string]struct{ text, want string }{
		"the beginning of TLS":       {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", ""},
		"no TLS after all":           {"\x16hello, is this HTTP?\r\n\r\n", ""},
		"a word":                     {"hello\r\n", "HTTP/1.1 400 "},
		"a head with bare line ends": {"GET /_ssmlocal/health HTTP/1.0\n\n", "HTTP/1.0 200 "},
		"garbage":                    {"\x00\xff\x80GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 "},
		"another protocol":           {"SSH-2.0-OpenSSH_9\r\n", "HTTP/1.1 400 "},
		"nothing":                    {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", s.Host)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := conn.Write([]byte(c.text)); err != nil {
				t.Fatal(err)
			}
			if c.want == "" {
				_ = conn.(*net.TCPConn).CloseWrite()
			}
			got, _ := io.ReadAll(conn) // ends when the server closes
			if !strings.HasPrefix(string(got), c.want) || c.want == "" && strings.Contains(string(got), "HTTP") {
				t.Errorf("answered %q", got)
			}
		})
	}
}

// TestHints looks at what the log says about calls whose key is refused.
func TestHints(t *testing.T) {
	var log safeBuffer
	s := servertest.New(t, server.Config{Log: slog.New(slog.NewTextHandler(&log, nil))})
	unsigned, _ := http.NewRequest(http.MethodGet, s.URL+"/?Action=GetRegions&Version=2019-09-23", nil)
	refusal(t, unsigned)
	_ = s.CallIn("ap-guangzhou", account.Credential{SecretID: "AKIDnobody", SecretKey: "x"}, "GetRegions", nil, nil)
	for _, want := range []string{"the request has no signature: use an SDK, or start with --auth off", "the SecretId is not known: call with AKIDssmlocal"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log has no %q:\n%s", want, log.String())
		}
	}
}

// TestSizes sends requests of the largest allowed size, and of one byte more.
func TestSizes(t *testing.T) {
	s := servertest.New(t, server.Config{})
	pad := func(n int) string { return "{}" + strings.Repeat(" ", n-2) }
	for _, c := range []struct {
		name string
		r    *http.Request
		want string
	}{
		{"v3 body", resign(s, pad(tc3.MaxBodyV3), nil), ""},
		{"larger v3 body", resign(s, pad(tc3.MaxBodyV3+1), nil), "RequestSizeLimitExceeded"},
		{"large v3 query", resign(s, "", func(r *http.Request) {
			r.Method, r.URL.RawQuery = http.MethodGet, "a="+strings.Repeat("x", tc3.MaxQuery)
		}), "RequestSizeLimitExceeded"},
		{"query of 50 KB", resign(s, "", func(r *http.Request) {
			r.Method, r.URL.RawQuery = http.MethodGet, "a="+strings.Repeat("x", 50<<10)
			r.Close = true
		}), "RequestSizeLimitExceeded"},
		{"huge query, on a connection of its own", resign(s, "", func(r *http.Request) {
			r.Method, r.URL.RawQuery = http.MethodGet, "a="+strings.Repeat("x", 2<<20)
		}), "RequestSizeLimitExceeded"},
	} {
		if got := refusal(t, c.r); !strings.HasPrefix(got, c.want) || (got == "") != (c.want == "") {
			t.Errorf("%s: %s", c.name, got)
		}
	}
}

// TestOutsideTheAPI looks at URLs that are not the API's, and at the echo of
// the trace id.
func TestOutsideTheAPI(t *testing.T) {
	s := servertest.New(t, server.Config{})
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		r, _ := http.NewRequest(method, s.URL+"/_ssmlocal/health", nil)
		if answer, _ := send(t, r); answer.StatusCode != 200 {
			t.Errorf("%s health: %s", method, answer.Status)
		}
	}
	r, _ := http.NewRequest(http.MethodGet, s.URL+"/_ssmlocal/nothing", nil)
	if answer, _ := send(t, r); answer.StatusCode != 404 {
		t.Errorf("nothing: %s", answer.Status)
	}
	answer, _ := send(t, request(s, func(r *http.Request) { r.Header.Set("X-TC-TraceId", "trace") }))
	if answer.Header.Get("X-TC-TraceId") != "trace" {
		t.Error("the trace id is not echoed")
	}
	elsewhere := request(s, func(r *http.Request) { r.URL.Path = "/some/where" })
	if got := refusal(t, elsewhere); got != "" {
		t.Errorf("another path: %s", got)
	}
}

// TestBudgetsPerAccountAndRegion uses up one budget: the others are untouched.
func TestBudgetsPerAccountAndRegion(t *testing.T) {
	s := servertest.New(t, server.Config{Auth: account.Any, Rates: map[string]int{"ListSecrets": 1}})
	other := account.Credential{SecretID: "AKIDother", SecretKey: "x"}
	refused := 0
	for range 20 {
		var failure *servertest.Error
		if err := s.Call("ListSecrets", nil, nil); errors.As(err, &failure) && failure.Code == "RequestLimitExceeded" {
			refused++
		}
	}
	if refused == 0 {
		t.Error("20 calls in a row passed a limit of 1 a second")
	}
	for _, err := range []error{
		s.CallIn("ap-beijing", s.Credential, "ListSecrets", nil, nil), s.CallIn("ap-guangzhou", other, "ListSecrets", nil, nil),
		s.Call("DescribeSupportedProducts", nil, nil),
	} {
		if err != nil {
			t.Errorf("another budget: %v", err)
		}
	}
}

// TestOtherServices sends calls that are meant for other products.
func TestOtherServices(t *testing.T) {
	s := servertest.New(t, server.Config{})
	at := func(host, service, version, action string) string {
		r := resign(s, "{}", func(r *http.Request) {
			r.Host = host
			r.Header.Set("X-TC-Action", action)
			r.Header.Set("X-TC-Version", version)
		})
		signFor(r, s, service)
		return refusal(t, r)
	}
	port := s.Host[strings.LastIndex(s.Host, ":"):]
	for _, c := range []struct{ host, service, version, action, want string }{
		{"ssm.localhost" + port, "ssm", "2019-09-23", "GetRegions", ""},
		{"tag.localhost" + port, "tag", "2018-08-13", "GetResources", ""},
		{"tag.tencentcloudapi.com", "tag", "2018-08-13", "GetResources", ""},
		{"localhost" + port, "localhost" + port, "2018-08-13", "GetResources", ""},
		{"localhost" + port, "tag", "2018-08-13", "GetResources", ""},
		{"kms.localhost" + port, "kms", "2019-01-18", "ListKeys", "NoSuchProduct"},
		{"newproduct.tencentcloudapi.com", "newproduct", "2019-01-18", "X", "NoSuchProduct"},
		{"localhost" + port, "sts", "2018-08-13", "AssumeRole", "MissingParameter: The request is missing a required parameter `RoleArn`."},
		{"localhost" + port, "localhost" + port, "2018-08-13", "AssumeRole", "MissingParameter: The request is missing a required parameter `RoleArn`."},
		{"tag.localhost" + port, "tag", "2019-09-23", "GetSecretValue", "NoSuchVersion: The specified api version=`2019-09-23` does not exist in service=`tag`."},
		{"tag.localhost" + port, "tag", "2018-08-13", "Nope", "InvalidAction: The request action=`Nope` is invalid or not found in service=`tag` and version=`2018-08-13`."},
	} {
		if got := at(c.host, c.service, c.version, c.action); !strings.HasPrefix(got, c.want) || (got == "") != (c.want == "") {
			t.Errorf("%s, signed for %s, %s: %s, want %s", c.host, c.service, c.action, got, c.want)
		}
	}
}
