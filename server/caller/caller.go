// Package caller makes calls that sign themselves: it builds the request that
// an official SDK would send, signs it as they do, and gives it to the API's
// handler. It returns the answer together with everything that went over the
// wire.
package caller

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"ssmlocal/server/tc3"
)

// The ways to sign.
const (
	V3       = tc3.Algorithm
	V1SHA1   = "HmacSHA1"
	V1SHA256 = "HmacSHA256"
)

// Signatures returns the ways to sign, the usual one first.
func Signatures() []string { return []string{V3, V1SHA1, V1SHA256} }

// A Call is one call of an action.
type Call struct {
	Host    string // that the client calls, such as 127.0.0.1:9023
	Service string // such as ssm; part of a v3 signature
	Version string // such as 2019-09-23
	Action  string
	Region  string // "" sends none
	// Language is that of messages, zh-CN or en-US; "" sends none.
	Language string
	// Signature is one of Signatures; "" is V3.
	Signature string

	SecretID, SecretKey, Token string
	Client                     string // what the journal shows as the client
	// Parameters is a JSON object, or what shall be sent in its place.
	Parameters []byte

	// What a call can have wrong, for recipes: another method than POST, how
	// long ago it was signed, headers that are added after the signature, or
	// removed if they are "".
	Method  string
	Late    time.Duration
	Headers map[string]string
}

// A Wire is everything that a call sent and got back.
type Wire struct {
	Request  Message `json:"request"`
	Response Message `json:"response"`
	// CanonicalRequest and StringToSign are what the signature was made of; a
	// v1 signature has no canonical request.
	CanonicalRequest string    `json:"canonicalRequest,omitempty"`
	StringToSign     string    `json:"stringToSign"`
	SentAt           time.Time `json:"sentAt"`
	Took             string    `json:"took"` // such as 1.2ms
	// Broken is what took the answer away, "" for nothing.
	Broken string `json:"broken,omitempty"`
}

// A Message is one direction of a call.
type Message struct {
	Line    string   `json:"line"`    // the request line, or the status line
	Headers []Header `json:"headers"` // sorted by name
	Body    string   `json:"body"`
}

// A Header is a line of a message's head.
type Header struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Send sends the call to an API, and returns what happened. The time is that of
// the signature. The error says what is wrong with the call itself: nothing was
// sent then.
func (c *Call) Send(ctx context.Context, api http.Handler, now func() time.Time) (Wire, error) {
	w := Wire{SentAt: now().UTC()}
	r, body, signed, err := c.request(ctx, w.SentAt)
	if err != nil {
		return w, err
	}
	w.CanonicalRequest, w.StringToSign = signed.CanonicalRequest, signed.StringToSign
	w.Request = Message{Line: r.Method + " " + r.URL.RequestURI() + " HTTP/1.1", Headers: headers(r.Header, r.Host), Body: string(body)}
	answer := NewRecorder()
	reset := serve(api, answer, r)
	w.Took = now().Sub(w.SentAt).String()
	w.Response = Message{
		Line: fmt.Sprintf("HTTP/1.1 %d %s", answer.Status, http.StatusText(answer.Status)), Headers: headers(answer.Header(), ""),
		Body: answer.Body.String(),
	}
	switch length, err := strconv.Atoi(answer.Header().Get("Content-Length")); {
	case reset:
		w.Response, w.Broken = Message{}, "the connection was reset; there was no answer"
	case err == nil && length > answer.Body.Len():
		w.Broken = fmt.Sprintf("the answer broke off after %d of %d bytes", answer.Body.Len(), length)
	}
	return w, nil
}

// A Recorder is a http.ResponseWriter that keeps the answer.
type Recorder struct {
	Status int
	Body   bytes.Buffer

	header http.Header
}

// NewRecorder returns a recorder of one answer.
func NewRecorder() *Recorder { return &Recorder{header: http.Header{}, Status: http.StatusOK} }

// Header returns the head, which can be changed until the answer is written.
func (r *Recorder) Header() http.Header { return r.header }

// WriteHeader keeps the status.
func (r *Recorder) WriteHeader(status int) { r.Status = status }

// Write keeps a part of the body.
func (r *Recorder) Write(b []byte) (int, error) { return r.Body.Write(b) }

// Send gives the answer to a client.
func (r *Recorder) Send(w http.ResponseWriter) {
	maps.Copy(w.Header(), r.header)
	w.WriteHeader(r.Status)
	_, _ = w.Write(r.Body.Bytes()) // whoever does not take it does not want it
}

// serve has the API answer a request, and reports whether it has reset the
// connection instead.
func serve(api http.Handler, w http.ResponseWriter, r *http.Request) (reset bool) {
	defer func() {
		if p := recover(); p != nil {
			if p != http.ErrAbortHandler { // a sentinel, as in net/http
				panic(p)
			}
			reset = true
		}
	}()
	api.ServeHTTP(w, r)
	return false
}

// request builds and signs the request.
func (c *Call) request(ctx context.Context, now time.Time) (r *http.Request, body []byte, signed tc3.Signed, err error) {
	method := c.Method
	if method == "" {
		method = http.MethodPost
	}
	at := now.Add(-c.Late)
	body, kind := c.Parameters, "application/json"
	var form url.Values
	if c.Signature != "" && c.Signature != V3 {
		if form, err = c.form(at); err != nil {
			return nil, nil, signed, err
		}
		signed = tc3.SignV1(method, c.Host, form, c.SecretKey)
		body, kind = []byte(form.Encode()), "application/x-www-form-urlencoded"
	}
	if r, err = http.NewRequestWithContext(ctx, method, "/", bytes.NewReader(body)); err != nil {
		return nil, nil, signed, err
	}
	r.Host = c.Host
	r.RemoteAddr = "127.0.0.1:0"
	r.Header.Set("Content-Type", kind)
	if form == nil {
		for name, value := range map[string]string{
			"X-TC-Action": c.Action, "X-TC-Version": c.Version, "X-TC-Region": c.Region, "X-TC-Language": c.Language,
			"X-TC-Token": c.Token, "X-TC-RequestClient": c.Client,
		} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		signed = tc3.Sign(r, body, c.SecretID, c.SecretKey, c.Service, at)
	}
	for name, value := range c.Headers {
		if r.Header.Set(name, value); value == "" {
			r.Header.Del(name)
		}
	}
	return r, body, signed, nil
}

// form has the call's parameters as signature v1 sends them.
func (c *Call) form(at time.Time) (url.Values, error) {
	form := url.Values{}
	d := json.NewDecoder(bytes.NewReader(c.Parameters))
	d.UseNumber()
	var parameters any
	if err := d.Decode(&parameters); err != nil {
		return nil, fmt.Errorf("the parameters are not a JSON object: %w", err)
	}
	object, ok := parameters.(map[string]any)
	if !ok {
		return nil, errors.New("the parameters are not a JSON object")
	}
	for name, value := range object {
		flatten(form, name, value)
	}
	for name, value := range map[string]string{
		"Action": c.Action, "Version": c.Version, "Region": c.Region, "Language": c.Language, "Token": c.Token,
		"RequestClient": c.Client, "SecretId": c.SecretID, "SignatureMethod": c.Signature,
		"Timestamp": strconv.FormatInt(at.Unix(), 10), "Nonce": strconv.FormatInt(1+at.UnixNano()%1_000_000, 10),
	} {
		if value != "" {
			form.Set(name, value)
		}
	}
	return form, nil
}

// flatten writes a value as pairs: Tags.0.TagKey for an object in a list.
func flatten(form url.Values, name string, value any) {
	switch v := value.(type) {
	case map[string]any:
		for key, of := range v {
			flatten(form, name+"."+key, of)
		}
	case []any:
		for i, of := range v {
			flatten(form, name+"."+strconv.Itoa(i), of)
		}
	case nil:
	default:
		form.Set(name, fmt.Sprint(v))
	}
}

// headers lists a head by name.
func headers(h http.Header, host string) (all []Header) {
	if host != "" {
		all = append(all, Header{"Host", host})
	}
	for name, values := range h {
		name = strings.NewReplacer("X-Tc-", "X-TC-", "Requestclient", "RequestClient", "Traceid", "TraceId").Replace(name)
		for _, value := range values {
			all = append(all, Header{name, value})
		}
	}
	slices.SortFunc(all, func(a, b Header) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// An Answer is what an API's envelope says.
type Answer struct {
	// Reply is the object Response.
	Reply json.RawMessage
	// Code and Message are an error's; Code is "" for success.
	Code, Message string
	RequestID     string
}

// Answer reads the envelope. The error says why the response is none.
func (w *Wire) Answer() (Answer, error) {
	if w.Broken != "" {
		return Answer{}, errors.New(w.Broken)
	}
	var envelope struct{ Response json.RawMessage }
	if err := json.Unmarshal([]byte(w.Response.Body), &envelope); err != nil || envelope.Response == nil {
		return Answer{}, fmt.Errorf("the answer is none of the API: %s", w.Response.Line)
	}
	var r struct {
		Error     struct{ Code, Message string }
		RequestID string `json:"RequestId"`
	}
	err := json.Unmarshal(envelope.Response, &r)
	return Answer{envelope.Response, r.Error.Code, r.Error.Message, r.RequestID}, err
}
