// Package tc3 is the wire protocol of Tencent Cloud API 3.0, which all products
// of the cloud share: it reads a request in any of its encodings, verifies its
// signature (TC3-HMAC-SHA256, and v1 with HmacSHA1 or HmacSHA256), decodes its
// parameters into a typed struct and writes the answer's envelope. It knows
// nothing about any product.
//
// A request comes in one of two styles. In header style (signature v3) the
// common parameters are X-TC-* headers and the action's parameters are a JSON
// body, a form or the query. In parameter style (signature v1) all of them are
// pairs of one form or query. An Authorization header decides which (seen at
// the real gateway: without it, a JSON body is read as a form).
package tc3

import (
	"bytes"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"ssmlocal/server/apierr"
)

// The documented sizes of a request, in bytes
// (cloud.tencent.com/document/api/1140/40514).
const (
	MaxQuery  = 32 << 10 // the query of a GET
	MaxBodyV1 = 1 << 20  // the body of a POST in parameter style
	MaxBodyV3 = 10 << 20 // the body of a POST in header style
)

// The headers of a call, as net/http spells them: a look-up under another
// spelling would cost a conversion each.
const (
	headerAction        = "X-Tc-Action"
	headerVersion       = "X-Tc-Version"
	headerRegion        = "X-Tc-Region"
	headerTimestamp     = "X-Tc-Timestamp"
	headerLanguage      = "X-Tc-Language"
	headerToken         = "X-Tc-Token"
	headerClient        = "X-Tc-Requestclient"
	headerTraceID       = "X-Tc-Traceid"
	headerContentSHA256 = "X-Tc-Content-Sha256"
)

// A Request is a call as it came in, with its common parameters read.
type Request struct {
	Method, Host, Path, Query string // Path and Query as sent, not decoded
	Header                    http.Header
	Body                      []byte

	Action, Version string
	Region          string
	RegionGiven     bool        // an empty Region is a wrong one, an absent one isn't
	Lang            apierr.Lang // the language of error messages
	Token           string      // of temporary keys
	Client          string      // RequestClient: which SDK calls
	TraceID         string      // X-TC-TraceId, echoed in the answer
	Timestamp       int64       // unix seconds, as signed

	claim   *claimed // what Claim found, once it was asked
	headers bool     // header style
	pairs   []pair   // parameter style: all of them
	form    bool     // the action's parameters are in pairs, else in Body as JSON
}

// Read reads a request; body is the memory that its body is read into. It
// checks, in the gateway's order: the method, the size, the syntax of query and
// form, the presence of the common parameters and their types. With unsigned,
// those that only a signature needs may be absent. The Request is never nil,
// because the answer to a wrong request also needs its language.
func Read(r *http.Request, body *bytes.Buffer, unsigned bool) (*Request, error) {
	q := &Request{
		Method: r.Method, Host: r.Host, Path: r.URL.EscapedPath(), Query: r.URL.RawQuery, Header: r.Header,
		Lang:    language(r.Header.Get(headerLanguage)),
		TraceID: r.Header.Get(headerTraceID),
	}
	q.headers = headerStyle(r.Header, unsigned)
	if q.Method != http.MethodGet && q.Method != http.MethodPost {
		return q, apierr.UnsupportedProtocol.With()
	}
	if err := q.readBody(r.Body, r.ContentLength, body); err != nil {
		return q, err
	}
	if q.headers {
		return q, q.readHeaders(unsigned)
	}
	return q, q.readPairs(unsigned)
}

// headerStyle reports whether a request is in header style.
func headerStyle(h http.Header, unsigned bool) bool {
	return h.Get("Authorization") != "" || unsigned && h.Get(headerAction) != ""
}

// Style reports whether a request is in header style, and whether the body of a
// POST is a form, and not JSON.
func Style(h http.Header, unsigned bool) (headers, form bool) {
	headers = headerStyle(h, unsigned)
	return headers, !headers || strings.EqualFold(mediaType(h.Get("Content-Type")), formType)
}

// formType is the content type of forms.
const formType = "application/x-www-form-urlencoded"

func language(s string) apierr.Lang {
	if s == string(apierr.Chinese) {
		return apierr.Chinese
	}
	return apierr.English
}

// readBody reads what the request carries, and no more of it than its style may
// carry.
func (q *Request) readBody(r io.Reader, length int64, into *bytes.Buffer) error {
	limit, tooLarge := int64(MaxBodyV3), apierr.RequestTooLarge
	if !q.headers {
		limit, tooLarge = MaxBodyV1, apierr.V1RequestTooLarge
	}
	if q.Method == http.MethodGet && len(q.Query) > MaxQuery {
		return tooLarge.With()
	}
	if length > 0 { // at once, and not by doubling
		into.Grow(int(min(length, limit)) + bytes.MinRead)
	}
	n, err := into.ReadFrom(io.LimitReader(r, limit+1))
	q.Body = into.Bytes()
	switch {
	case n > limit:
		// A client that is still sending would miss the answer: let it finish,
		// within reason.
		_, _ = io.CopyN(io.Discard, r, 8*limit)
		return tooLarge.With()
	case err != nil && q.headers:
		return apierr.BadJSON.With()
	case err != nil:
		return apierr.PairWithoutEquals.With()
	}
	return nil
}

// readHeaders reads the common parameters of a request in header style.
func (q *Request) readHeaders(unsigned bool) error {
	h := q.Header
	q.Action, q.Version, q.Token = h.Get(headerAction), h.Get(headerVersion), h.Get(headerToken)
	q.Region, q.Client = h.Get(headerRegion), h.Get(headerClient)
	q.RegionGiven = len(h[headerRegion]) > 0
	switch media := mediaType(h.Get("Content-Type")); {
	case q.Method == http.MethodGet || strings.EqualFold(media, formType):
		q.form = true
	case strings.EqualFold(media, "multipart/form-data"):
		return apierr.InvalidRequest.With() // only products that take files support it
	}
	timestamp := h.Get(headerTimestamp)
	for _, p := range []struct{ name, value string }{
		{"X-TC-Action", q.Action}, {"X-TC-Timestamp", timestamp}, {"X-TC-Version", q.Version},
	} {
		if p.value == "" && !(unsigned && p.name == "X-TC-Timestamp") {
			return apierr.MissingHeader.With(p.name)
		}
	}
	return q.readTypes("X-TC-", timestamp, h.Get(headerLanguage), len(h[headerLanguage]) > 0)
}

// mediaType is a content type without its parameters, such as the charset that
// Java's SDK adds.
func mediaType(contentType string) string {
	media, _, _ := strings.Cut(contentType, ";")
	return strings.TrimSpace(media)
}

// payload returns the text with the pairs of a request: the query of a GET, the
// body of a POST.
func (q *Request) payload() string {
	if q.Method == http.MethodGet {
		return q.Query
	}
	return string(q.Body)
}

// common has the names of the common parameters in parameter style.
var common = []string{
	"Action", "Language", "Nonce", "Region", "RequestClient", "SecretId", "Signature", "SignatureMethod", "Timestamp",
	"Token", "Version",
}

// Common returns the names of the common parameters in parameter style.
func Common() []string { return slices.Clone(common) }

// readPairs reads the common parameters of a request in parameter style.
func (q *Request) readPairs(unsigned bool) error {
	q.form = true
	text := q.payload()
	if text == "" && q.Method == http.MethodPost {
		return apierr.PairWithoutEquals.With()
	}
	var err error
	if q.pairs, err = parsePairs(text); err != nil {
		return err
	}
	if q.has("Language") {
		q.Lang = language(q.param("Language"))
	}
	q.Action, q.Version, q.Token = q.param("Action"), q.param("Version"), q.param("Token")
	q.Region, q.Client = q.param("Region"), q.param("RequestClient")
	q.RegionGiven = q.has("Region")
	required := []string{"Timestamp", "Nonce", "Action", "Version", "SecretId", "Signature"}
	if unsigned {
		required = []string{"Action", "Version"}
	}
	for _, name := range required {
		if q.param(name) == "" {
			return apierr.MissingParameter.With(name)
		}
	}
	if n := q.param("Nonce"); n != "" && !isInteger(n) {
		return apierr.CommonType.With("Nonce")
	}
	if m := q.param("SignatureMethod"); algorithms[m] == nil {
		return apierr.CommonValue.With("SignatureMethod")
	}
	return q.readTypes("", q.param("Timestamp"), q.param("Language"), q.has("Language"))
}

// readTypes checks the common parameters that are not plain text.
func (q *Request) readTypes(prefix, timestamp, lang string, langGiven bool) error {
	if timestamp != "" {
		n, err := strconv.ParseInt(timestamp, 10, 64)
		if err != nil {
			return apierr.CommonType.With(prefix + "Timestamp")
		}
		q.Timestamp = n
	}
	if langGiven && lang != string(apierr.English) && lang != string(apierr.Chinese) {
		return apierr.CommonValue.With(prefix + "Language")
	}
	return nil
}

// Signed reports whether the request carries a signature, right or wrong, also
// where it was too large to be read.
func (q *Request) Signed() bool {
	return q.Header.Get("Authorization") != "" || strings.Contains(q.Query, "Signature=") || bytes.Contains(q.Body, []byte("Signature="))
}

// Name returns a common parameter's name as this request's style spells it in
// errors.
func (q *Request) Name(parameter string) string {
	if q.headers {
		return "X-TC-" + parameter
	}
	return parameter
}

func (q *Request) has(name string) bool {
	return slices.ContainsFunc(q.pairs, func(p pair) bool { return p.key == name })
}

func (q *Request) param(name string) string {
	for _, p := range q.pairs {
		if p.key == name {
			return p.value
		}
	}
	return ""
}

func isInteger(s string) bool {
	_, err := strconv.ParseUint(s, 10, 64)
	return err == nil
}
