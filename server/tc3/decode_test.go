package tc3

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"ssmlocal/server/apierr"
)

// sample has every type that a parameter can have.
type sample struct {
	Name  string `tc3:"required"`
	On    bool
	Count uint64
	Shift int64
	Maybe *uint64
	Words []string
	Tags  []sampleTag
	sampleEmbedded
}

type sampleTag struct {
	Key    string `tc3:"required"`
	Values []string
}

type sampleEmbedded struct{ Extra bool }

func (s sample) String() string {
	maybe := "-"
	if s.Maybe != nil {
		maybe = fmt.Sprint(*s.Maybe)
	}
	return fmt.Sprintf("%q %t %d %d %s %q %q %t", s.Name, s.On, s.Count, s.Shift, maybe, s.Words, s.Tags, s.Extra)
}

// outcome decodes one request into a sample and returns the result, a value or
// an error, as text.
func outcome(r *http.Request) string {
	q, err := Read(r, new(bytes.Buffer), true)
	if err != nil {
		return err.Error()
	}
	var s sample
	if err := Decode(q, &s); err != nil {
		return err.Error()
	}
	return s.String()
}

func post(contentType, body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("X-TC-Action", "Sample")
	r.Header.Set("X-TC-Version", "1")
	return r
}

func TestDecodeJSON(t *testing.T) {
	for _, c := range []struct{ body, want string }{
		{`{"Name":"a"}`, `"a" false 0 0 - [] [] false`},
		{"{\"Name\":\"a\",\"Count\":18446744073709551615,\"Shift\":-9223372036854775808,\"Maybe\":0,\"On\":true,\"Extra\":true}\n",
			`"a" true 18446744073709551615 -9223372036854775808 0 [] [] true`},
		{`{"Name":"\u4e2d\n\"","Words":["x",""],"Tags":[{"Key":"k","Values":["v"]},{"Key":""}]}`,
			`"中\n\"" false 0 0 - ["x" ""] [{"k" ["v"]} {"" []}] false`},
		{`{"Name":"a","Words":[],"Tags":null,"Maybe":null}`, `"a" false 0 0 - [] [] false`},

		{``, "MissingParameter: The request is missing a required parameter `Name`."},
		{`{}`, "MissingParameter: The request is missing a required parameter `Name`."},
		{`null`, "MissingParameter: The request is missing a required parameter `Name`."},
		{`{"Name":null}`, "MissingParameter: The request is missing a required parameter `Name`."},
		{`{"Name":"a","Tags":[{"Key":"k"},{}]}`, "MissingParameter: The request is missing a required parameter `Tags.1.Key`."},

		{`{"Name":1}`, "InvalidParameter: The value type of parameter `Name` is not valid."},
		{`{"Name":"a","On":"true"}`, "InvalidParameter: The value type of parameter `On` is not valid."},
		{`{"Name":"a","Count":"1"}`, "InvalidParameter: The value type of parameter `Count` is not valid."},
		{`{"Name":"a","Count":-1}`, "InvalidParameter: The value type of parameter `Count` is not valid."},
		{`{"Name":"a","Count":1.5}`, "InvalidParameter: The value type of parameter `Count` is not valid."},
		{`{"Name":"a","Count":18446744073709551616}`, "InvalidParameter: The value type of parameter `Count` is not valid."},
		{`{"Name":"a","Words":"x"}`, "InvalidParameter: The value type of parameter `Words` is not valid."},
		{`{"Name":"a","Words":["x",2]}`, "InvalidParameter: The value type of parameter `Words.1` is not valid."},
		{`{"Name":"a","Tags":{"Key":"k"}}`, "InvalidParameter: The value type of parameter `Tags` is not valid."},
		{`{"Name":"a","Tags":[null]}`, "InvalidParameter: The value type of parameter `Tags.0` is not valid."},
		{`{"Name":"a","Tags":[{"Key":[]}]}`, "InvalidParameter: The value type of parameter `Tags.0.Key` is not valid."},

		{`{"Name":"a","name":"b"}`, "UnknownParameter: The parameter `name` is not recognized."},
		{`{"Nope":1,"Name":2}`, "UnknownParameter: The parameter `Nope` is not recognized."},
		{`{"Tags":[{"Key":"k","Nope":{}}]}`, "UnknownParameter: The parameter `Tags.0.Nope` is not recognized."},
		{`{"sampleEmbedded":{}}`, "UnknownParameter: The parameter `sampleEmbedded` is not recognized."},

		{`{"Name":"a","Name":"b"}`, "InvalidParameter: Parameter `Name` input repeated."},
		{`{"Name":"a","Tags":[{"Key":"k","Key":"l"}]}`, "InvalidParameter: Parameter `Tags.0.Key` input repeated."},

		{`{"Name":"a"`, badJSON}, {`{"Name":"a"}}`, badJSON}, {`{"Name":"a"} {}`, badJSON}, {`[]`, badJSON},
		{`"a"`, badJSON}, {`1`, badJSON}, {`{'Name':'a'}`, badJSON}, {`{"Name":"a",}`, badJSON}, {`nul`, badJSON},
		{`{"Name":"` + "\xff" + `"}`, badJSON}, {"\xef\xbb\xbf{}", badJSON}, {`{"Name":"a","Count":01}`, badJSON},
		{`{"Nope":[` + strings.Repeat("[", 20000), badJSON}, {`Name=a`, badJSON},
	} {
		if got := outcome(post("application/json", c.body)); got != c.want {
			t.Errorf("%.80s:\n got %s\nwant %s", c.body, got, c.want)
		}
	}
}

const badJSON = "InvalidParameter: The request content not valid json format for specified content-type=application/json."

func TestDecodePairs(t *testing.T) {
	for _, c := range []struct{ pairs, want string }{
		{"Name=a", `"a" false 0 0 - [] [] false`},
		{"Name=a&On=True&Extra=1&Count=7&Shift=-3&Maybe=0", `"a" true 7 -3 0 [] [] true`},
		{"On=False&Name=%E4%B8%AD+%26%20x&Extra=0", `"中 & x" false 0 0 - [] [] false`},
		{"Name=a&Words.1=y&Words.0=x", `"a" false 0 0 - ["x" "y"] [] false`},
		{"Name=a&Tags.0.Key=k&Tags.0.Values.0=v&Tags.1.Key=l", `"a" false 0 0 - [] [{"k" ["v"]} {"l" []}] false`},
		{"Name=a&On=&Count=&Maybe=&Words=&Tags=", `"a" false 0 0 - [] [] false`},
		{"Name=", `"" false 0 0 - [] [] false`},
		{"&Name=a&", `"a" false 0 0 - [] [] false`},

		{"Count=1", "MissingParameter: The request is missing a required parameter `Name`."},
		{"Name=a&Tags.0.Values.0=v", "MissingParameter: The request is missing a required parameter `Tags.0.Key`."},
		{"Name=a&On=yes", "InvalidParameter: The value type of parameter `On` is not valid."},
		{"Name=a&Count=x", "InvalidParameter: The value type of parameter `Count` is not valid."},
		{"Name.0=a", "InvalidParameter: The value type of parameter `Name` is not valid."},
		{"Name=a&Words=x", "InvalidParameter: The value type of parameter `Words` is not valid."},
		{"Name=a&Tags.0=x", "InvalidParameter: The value type of parameter `Tags.0` is not valid."},
		{"Name=a&Nope=1", "UnknownParameter: The parameter `Nope` is not recognized."},
		{"Name=a&Tags.0.Key=k&Tags.0.Nope.0=1", "UnknownParameter: The parameter `Tags.0.Nope` is not recognized."},
		{"Name=a&Words.1=x", "InvalidParameter: Parameter `Words` invalid array format, array index must be continuous and starts with 0."},
		{"Name=a&Words.0=x&Words.2=y", "InvalidParameter: Parameter `Words` invalid array format, array index must be continuous and starts with 0."},
		{"Name=a&Name=b", "InvalidParameter: Parameter `Name` input repeated."},
		{"Name", "InvalidParameter: Url key and value should be splited by `=`."},
		{"=a", "InvalidParameter: The request has a parameter key which is empty string."},
		{"Name=%zz", "InvalidParameter: Parameter `Name` format invalid."},
		{"Name=%ff", "InvalidParameter: Parameter `Name` format invalid."},
	} {
		if got := outcome(post("application/x-www-form-urlencoded", c.pairs)); got != c.want {
			t.Errorf("form %s:\n got %s\nwant %s", c.pairs, got, c.want)
		}
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.URL.RawQuery = c.pairs
		r.Header = post("", "").Header
		if got := outcome(r); got != c.want {
			t.Errorf("query %s:\n got %s\nwant %s", c.pairs, got, c.want)
		}
		r = httptest.NewRequest(http.MethodGet, "/", nil)
		r.URL.RawQuery = "Action=Sample&Version=1&Nonce=1&" + c.pairs
		if got := outcome(r); got != c.want {
			t.Errorf("v1 %s:\n got %s\nwant %s", c.pairs, got, c.want)
		}
	}
}

// TestRead makes the mistakes that are reported before the action is looked at,
// in both languages.
func TestRead(t *testing.T) {
	headers := func(change func(http.Header)) *http.Request {
		r := post("application/json", "{}")
		r.Header.Set("Authorization", "SKIP")
		r.Header.Set("X-TC-Timestamp", "1")
		change(r.Header)
		return r
	}
	without := func(name string) *http.Request { return headers(func(h http.Header) { h.Del(name) }) }
	with := func(name, value string) *http.Request { return headers(func(h http.Header) { h.Set(name, value) }) }
	query := func(q string) *http.Request { return httptest.NewRequest(http.MethodGet, "/?"+q, nil) }
	const v1 = "Timestamp=1&Nonce=2&Action=A&Version=V&SecretId=I&Signature=S"
	large := strings.Repeat("x", MaxBodyV1)
	for _, c := range []struct {
		name     string
		r        *http.Request
		code     string
		en, zh   string
		languish bool // the message is not in the language asked for: it could not be read yet
	}{
		{name: "all", r: with("X-TC-Region", "")},
		{name: "PUT", r: httptest.NewRequest(http.MethodPut, "/", nil), code: "UnsupportedProtocol",
			en: "HTTP(S) request protocol error; only GET and POST requests are supported.", zh: "http(s)请求协议错误，只支持GET和POST请求。"},
		{name: "no action", r: without("X-TC-Action"), code: "MissingParameter",
			en: "The request header is missing a required common parameter `X-TC-Action`.", zh: "请求头部缺少必传的公共参数 `X-TC-Action`。"},
		{name: "no timestamp", r: without("X-TC-Timestamp"), code: "MissingParameter",
			en: "The request header is missing a required common parameter `X-TC-Timestamp`."},
		{name: "no version", r: without("X-TC-Version"), code: "MissingParameter",
			en: "The request header is missing a required common parameter `X-TC-Version`."},
		{name: "a timestamp of letters", r: with("X-TC-Timestamp", "now"), code: "InvalidParameter",
			en: "Parameter `X-TC-Timestamp` type error."},
		{name: "a language that isn't one", r: with("X-TC-Language", "de-DE"), code: "InvalidParameterValue",
			en: "A value specified in `X-TC-Language` is not valid, is unsupported, or cannot be used.", languish: true},
		{name: "multipart", r: with("Content-Type", "multipart/form-data; boundary=x"), code: "InvalidRequest",
			en: "The multipart format of the request body is incorrect."},
		{name: "a large v3 query", r: httptest.NewRequest(http.MethodGet, "/?"+strings.Repeat("x", MaxQuery+1), nil), code: "AuthFailure.SignatureFailure",
			en: "The provided credentials could not be validated because of exceeding request size limit, please use new signature method `TC3-HMAC-SHA256`."},

		{name: "bare GET", r: query(""), code: "MissingParameter", en: "The request is missing a required parameter `Timestamp`.", zh: "请求缺少必传参数 `Timestamp`。"},
		{name: "only an action", r: query("Action=DescribeInstances"), code: "MissingParameter", en: "The request is missing a required parameter `Timestamp`."},
		{name: "no Nonce", r: query("Timestamp=1"), code: "MissingParameter", en: "The request is missing a required parameter `Nonce`."},
		{name: "no SecretId", r: query(strings.Replace(v1, "SecretId=I&", "", 1)), code: "MissingParameter", en: "The request is missing a required parameter `SecretId`."},
		{name: "all of v1", r: query(v1)},
		{name: "a Nonce of letters", r: query(strings.Replace(v1, "Nonce=2", "Nonce=b", 1)), code: "InvalidParameter",
			en: "Parameter `Nonce` type error.", zh: "参数 `Nonce` 类型错误。"},
		{name: "another method", r: query(v1 + "&SignatureMethod=MD5"), code: "InvalidParameterValue",
			en: "A value specified in `SignatureMethod` is not valid, is unsupported, or cannot be used."},
		{name: "JSON without Authorization", r: httptest.NewRequest(http.MethodPost, "/", strings.NewReader(`{"a":1}`)), code: "InvalidParameter",
			en: "Url key and value should be splited by `=`.", zh: "参数错误，请求URL中参数key和value必须以 `=` 分隔。"},
		{name: "an empty form", r: httptest.NewRequest(http.MethodPost, "/", nil), code: "InvalidParameter", en: "Url key and value should be splited by `=`."},
		{name: "a large form", r: httptest.NewRequest(http.MethodPost, "/", strings.NewReader("a="+large)), code: "AuthFailure.SignatureFailure",
			zh: "由于请求包大小超过限制，请求签名验证失败，请使用新的签名方法 `TC3-HMAC-SHA256`。"},
		{name: "large JSON", r: func() *http.Request {
			r := with("X-TC-Action", "A")
			r.Body = readCloser(strings.Repeat(large, 10) + "x")
			return r
		}(), code: "RequestSizeLimitExceeded"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.r.Header.Get("X-TC-Language") == "" {
				c.r.Header.Set("X-TC-Language", "zh-CN")
				if c.r.URL.RawQuery != "" {
					c.r.Header.Del("X-TC-Language")
					c.r.URL.RawQuery += "&Language=zh-CN"
				}
			}
			q, err := Read(c.r, new(bytes.Buffer), false)
			if c.code == "" {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			e, ok := err.(*apierr.Error)
			if !ok || e.Kind.Code != c.code || c.en != "" && e.Message(apierr.English) != c.en || c.zh != "" && e.Message(apierr.Chinese) != c.zh {
				t.Errorf("refused with %v", err)
			}
			if want := !c.languish && len(c.r.URL.RawQuery) < MaxQuery; (q.Lang == apierr.Chinese) != want {
				t.Errorf("the language is %s", q.Lang)
			}
		})
	}
}

// TestEnvelope checks answers byte by byte.
func TestEnvelope(t *testing.T) {
	type reply struct {
		Name  string
		Count uint64
		Items []string
		Maybe *int64 `json:",omitempty"`
	}
	for _, c := range []struct {
		lang  apierr.Lang
		reply any
		err   *apierr.Error
		want  string
	}{
		{"", struct{}{}, nil, `{"Response":{"RequestId":"id"}}`},
		{"", &reply{Name: "<中> \" & \n"}, nil, `{"Response":{"Name":"<中> \" & \n","Count":0,"Items":[],"RequestId":"id"}}`},
		{"", nil, apierr.UnknownParameter.With("a\xffb"), `{"Response":{"Error":{"Code":"UnknownParameter","Message":"The parameter ` + "`a\ufffdb`" + ` is not recognized."},"RequestId":"id"}}`},
		{apierr.Chinese, nil, apierr.InternalError.With(), `{"Response":{"Error":{"Code":"InternalError","Message":"内部服务错误，请稍后重试。"},"RequestId":"id"}}`},
	} {
		w := httptest.NewRecorder()
		if err := Write(w, &Request{Lang: c.lang, TraceID: "t"}, "id", c.reply, c.err); err != nil {
			t.Error(err)
		}
		if got := w.Body.String(); got != c.want || w.Code != 200 {
			t.Errorf("%d\n got %s\nwant %s", w.Code, got, c.want)
		}
		if h := w.Header(); h.Get("Content-Type") != "application/json" || h.Get("X-TC-TraceId") != "t" {
			t.Errorf("headers %v", h)
		}
	}
}

func FuzzAuthorization(f *testing.F) {
	f.Add(Algorithm + " Credential=AKID/2026-01-01/ssm/tc3_request, SignedHeaders=content-type;host, Signature=" + strings.Repeat("0", 64))
	f.Add("SKIP")
	f.Fuzz(func(t *testing.T, header string) {
		c, err := parseAuthorization(header)
		if err != nil {
			if _, ok := err.(*apierr.Error); !ok {
				t.Errorf("no API error: %v", err)
			}
			return
		}
		if c.SecretID == "" || c.service == "" || len(c.date) != 10 || len(c.signature) != 64 {
			t.Errorf("accepted %+v", c)
		}
	})
}

func FuzzJSON(f *testing.F) {
	f.Add(`{"Name":"a","Tags":[{"Key":"k","Values":["v"]}],"Maybe":1}`)
	f.Add(`{"Name":null,"Words":[1]}`)
	f.Fuzz(func(t *testing.T, body string) { fuzzDecode(t, post("application/json", body)) })
}

func FuzzForm(f *testing.F) {
	f.Add("Name=a&Tags.0.Key=k&Tags.0.Values.0=v")
	f.Add("Name=%zz&Words.0=1")
	f.Fuzz(func(t *testing.T, body string) { fuzzDecode(t, post("application/x-www-form-urlencoded", body)) })
}

func FuzzQuery(f *testing.F) {
	f.Add("Action=A&Version=1&Nonce=1&Timestamp=1&SecretId=I&Signature=S&Name=a")
	f.Fuzz(func(t *testing.T, query string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.URL = &url.URL{Path: "/", RawQuery: query}
		fuzzDecode(t, r)
		q, err := Read(r, new(bytes.Buffer), false)
		if err != nil {
			return
		}
		c, err := q.Claim()
		if err != nil {
			t.Fatal(err)
		}
		var v Verifier
		if err := v.Verify(q, c, "key"); err != nil {
			Explain(q, c, "key", map[string]string{"o": "other"})
		}
	})
}

// fuzzDecode decodes a request; whatever it is, the outcome is a value or an
// API error.
func fuzzDecode(t *testing.T, r *http.Request) {
	q, err := Read(r, new(bytes.Buffer), true)
	if err == nil {
		var s sample
		err = Decode(q, &s)
	}
	if err == nil {
		return
	}
	e, ok := err.(*apierr.Error)
	if !ok {
		t.Fatalf("no API error: %v", err)
	}
	if err := Write(httptest.NewRecorder(), q, "id", nil, e); err != nil {
		t.Fatal(err)
	}
}

func BenchmarkVerify(b *testing.B) {
	r := post("application/json", `{"SecretName":"prod-payments-secret-00000001","VersionId":"v1"}`)
	r.Host = "127.0.0.1:9023"
	body := []byte(`{"SecretName":"prod-payments-secret-00000001","VersionId":"v1"}`)
	Sign(r, body, "AKIDx", "key", "ssm", time.Unix(1800000000, 0))
	q, err := Read(r, new(bytes.Buffer), false)
	if err != nil {
		b.Fatal(err)
	}
	var v Verifier
	b.ReportAllocs()
	for b.Loop() {
		c, _ := q.Claim()
		if err := v.Verify(q, c, "key"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	q, err := Read(post("application/json", `{"Name":"prod-payments-secret-00000001","Count":20}`), new(bytes.Buffer), true)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		var s sample
		if err := Decode(q, &s); err != nil {
			b.Fatal(err)
		}
	}
}
