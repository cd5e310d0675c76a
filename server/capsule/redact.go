package capsule

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"go.yaml.in/yaml/v4"

	"ssmlocal/server/account"
	"ssmlocal/server/ssm"
)

// Redaction. It goes over a capsule twice: first it collects all values, then
// it replaces them, also where they stand in other texts.

// valueNames are the fields with values, in seeds, requests and answers.
var valueNames = []string{
	"secretString", "secretBinary", "secretKey", "privateKey", "token", "url", "tmpSecretKey", "webIdentityToken", "samlAssertion", "tokenCode", "externalId", "password", "signature",
}

// IsValue reports whether a field has a value that is secret.
func IsValue(name string) bool {
	return slices.ContainsFunc(valueNames, func(v string) bool { return strings.EqualFold(v, name) })
}

// leastFound is how long a value must be, in bytes, to be replaced where it
// stands within another text. Shorter ones would be found in ordinary words;
// they are replaced in the fields that hold values, and where they are the
// whole of another text.
const leastFound = 5

// A redactor replaces values, each by the same text wherever it occurs. The key
// is thrown away, so that nobody can try values.
type redactor struct {
	key    []byte
	values map[string]bool // found so far
	kept   map[string]bool // what is no secret, though it stands in a value: see account
	// inTexts replaces values in other texts; nil while they are collected.
	inTexts *strings.Replacer
}

func newRedactor(key []byte) *redactor {
	x := &redactor{key: key, values: map[string]bool{}, kept: map[string]bool{}}
	for _, word := range words() {
		x.keep(word)
	}
	return x
}

// words are those of the API, which stand in answers whatever the values are.
func words() []string {
	all := slices.Concat(ssm.Products(), ssm.Regions(), []string{ssm.CurrentVersion})
	for _, s := range ssm.Statuses() {
		all = append(all, s.String())
	}
	for _, t := range ssm.Types() {
		all = append(all, t.ProductName())
	}
	return all
}

// Redact replaces the values and the keys in a capsule, each by the same text
// wherever it occurs, of the same length and of the same kinds of characters.
func (c *Capsule) Redact() error {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	x := newRedactor(key)
	if err := x.state(&c.Start.State, false); err != nil {
		return err
	}
	for _, keys := range [][]account.Credential{c.Settings.Credentials, c.Start.Keys} {
		for _, k := range keys {
			x.keep(k.SecretID)
			if k.SecretKey != account.Default.SecretKey { // which everybody knows
				x.found(k.SecretKey)
			}
			x.found(k.Token)
		}
	}
	for i := range c.Requests {
		q := c.Requests[i] // a copy: nothing is replaced yet
		x.request(&q)
	}
	x.collected()

	c.Notice, c.Redacted = RedactedNotice, true
	c.Start.Random = nil // passwords follow from it
	if err := x.state(&c.Start.State, true); err != nil {
		return err
	}
	for _, keys := range [][]account.Credential{c.Settings.Credentials, c.Start.Keys} {
		for i := range keys {
			keys[i].SecretKey, keys[i].Token = x.text(keys[i].SecretKey), x.text(keys[i].Token)
		}
	}
	for i := range c.Requests {
		x.request(&c.Requests[i])
	}
	return nil
}

// found notes a value, and what it is made of if it is JSON or base64.
func (x *redactor) found(value string) {
	if value == "" || x.kept[value] {
		return
	}
	x.values[value] = true
	if plain, err := base64.StdEncoding.DecodeString(value); err == nil && len(plain) >= leastFound && utf8.Valid(plain) {
		x.values[string(plain)] = true
	}
	var inner any
	if strings.ContainsAny(value[:1], "{[") && json.Unmarshal([]byte(value), &inner) == nil {
		x.foundIn(inner)
	}
}

func (x *redactor) foundIn(value any) {
	switch v := value.(type) {
	case map[string]any:
		for _, child := range v {
			x.foundIn(child)
		}
	case []any:
		for _, child := range v {
			x.foundIn(child)
		}
	case string:
		x.found(v)
	}
}

// collected ends the first pass: values are replaced from now on, the longest
// ones first.
func (x *redactor) collected() {
	all := slices.SortedFunc(maps.Keys(x.values), func(a, b string) int {
		return len(b) - len(a) // a value may be a part of another one
	})
	var pairs []string
	for text := range x.kept {
		if len(text) >= leastFound { // a value may be a part of it
			pairs = append(pairs, text, text)
		}
	}
	for _, value := range all {
		if len(value) < leastFound || x.kept[value] {
			continue
		}
		pairs = append(pairs, value, x.text(value))
		if quoted := inJSON(value); quoted != value {
			pairs = append(pairs, quoted, inJSON(x.text(value)))
		}
	}
	x.inTexts = strings.NewReplacer(pairs...)
}

// inJSON is a text as it stands in a JSON text that is itself a text.
func inJSON(text string) string {
	quoted, _ := json.Marshal(text) // never fails
	return string(quoted[1 : len(quoted)-1])
}

// value replaces a value, or notes it in the first pass.
func (x *redactor) value(text string) string {
	if x.inTexts == nil {
		x.found(text)
		return text
	}
	return x.text(text)
}

// other replaces the values in a text that is none itself.
func (x *redactor) other(text string) string {
	switch {
	case x.inTexts == nil || x.kept[text]:
		return text
	case x.values[text]:
		return x.text(text)
	}
	return x.inTexts.Replace(text)
}

// text replaces letters by letters, digits by digits, and everything else but
// what base64 and keys in PEM are made of.
func (x *redactor) text(value string) string {
	mac := hmac.New(sha256.New, x.key)
	mac.Write([]byte(value))
	sum := mac.Sum(nil)
	out := []byte(value)
	for i, b := range out {
		if i%32 == 31 {
			next := sha256.Sum256(sum)
			sum = next[:]
		}
		n := int(binary.BigEndian.Uint16([]byte{sum[i%32], sum[(i+7)%32]}))
		switch {
		case b >= 'a' && b <= 'z':
			out[i] = 'a' + byte(n%26)
		case b >= 'A' && b <= 'Z':
			out[i] = 'A' + byte(n%26)
		case b >= '0' && b <= '9':
			out[i] = '0' + byte(n%10)
		case b >= utf8.RuneSelf:
			out[i] = 'a' + byte(n%26)
		case !strings.ContainsRune("+/=-_ \n", rune(b)):
			out[i] = '.'
		}
	}
	return string(out)
}

// request replaces what a request and its answer hold.
func (x *redactor) request(q *Request) {
	q.Headers = x.headers(q.Headers)
	form := q.To == ToAPI && (q.Headers.Get("Authorization") == "" ||
		strings.HasPrefix(strings.ToLower(q.Headers.Get("Content-Type")), "application/x-www-form-urlencoded"))
	q.Body = x.body(q.Body, form)
	if q.To == ToMetadata && !bytes.HasPrefix(q.Answer, []byte("{")) { // a name, or a list of them
		q.Answer = Text(x.other(string(q.Answer)))
	} else {
		q.Answer = x.body(q.Answer, false)
	}
	if q.To == ToControl && x.inTexts != nil { // its answer may show a whole request as a text, and is not compared
		q.Answer = nil
	}
	at, query, is := strings.Cut(q.URL, "?")
	if after := x.other(unescaped(at)); q.To == ToAPI && after != unescaped(at) {
		at = (&url.URL{Path: after}).EscapedPath()
	}
	if q.URL = at; is {
		q.URL += "?" + x.form(query)
	}
}

// plainHeaders are those that clients send with nothing secret in them.
var plainHeaders = []string{
	"Accept", "Accept-Encoding", "Accept-Language", "Connection", "Content-Length", "Content-Type", "Host", "Origin", "Sec-Fetch-Mode",
	"Sec-Fetch-Site", "User-Agent", "X-Tc-Action", "X-Tc-Language", "X-Tc-Region", "X-Tc-Requestclient", "X-Tc-Timestamp", "X-Tc-Traceid", "X-Tc-Version",
}

// signature is that of an Authorization header: keys could be tried against it.
var signature = regexp.MustCompile(`(?i)(signature=)([^,\s]*)`)

// credentialOf is the part of an Authorization header that says who signed.
var credentialOf = regexp.MustCompile(`(?i)^TC3-HMAC-SHA256 .*credential=`)

func (x *redactor) headers(all http.Header) http.Header {
	out := http.Header{}
	for name, values := range all {
		for _, value := range values {
			switch {
			case slices.Contains(plainHeaders, name):
				value = x.other(value)
			case name == "Authorization" && (value == "SKIP" || credentialOf.MatchString(value)):
				value = signature.ReplaceAllStringFunc(x.other(value), func(part string) string {
					before, text, _ := strings.Cut(part, "=")
					return before + "=" + x.value(text)
				})
			case name == "Authorization":
				scheme, rest, _ := strings.Cut(value, " ")
				value = scheme + " " + x.value(rest)
				if rest == "" {
					value = x.value(scheme)
				}
			default:
				value = x.value(value)
			}
			out[name] = append(out[name], value)
		}
	}
	if all == nil {
		return nil
	}
	return out
}

// body replaces the values in a request or an answer, JSON or a form. What is
// neither is replaced as a whole.
func (x *redactor) body(text Text, form bool) Text {
	if len(text) == 0 {
		return text
	}
	if form {
		return Text(x.form(string(text)))
	}
	if out, err := x.json(text); err == nil {
		return out
	}
	return Text(x.value(string(text)))
}

// json replaces the values in a JSON text, and leaves all else as it is
// written.
func (x *redactor) json(text []byte) ([]byte, error) {
	var out bytes.Buffer
	d := jsontext.NewDecoder(bytes.NewReader(text), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	copied, within := int64(0), 0 // within is the depth of the field whose parts are all values, 0 for none
	value := false                // what comes next is the value of such a field
	quotes := false               // what comes next is a message, which may quote any part of a request
	for {
		switch d.PeekKind() {
		case '{', '[':
			if _, err := d.ReadToken(); err != nil {
				return nil, err
			}
			if value && within == 0 {
				within = d.StackDepth()
			}
			value = within > 0
			continue
		case '}', ']':
			if _, err := d.ReadToken(); err != nil {
				return nil, err
			}
			if d.StackDepth() < within {
				within = 0
			}
			value = within > 0
			continue
		}
		raw, err := d.ReadValue()
		if errors.Is(err, io.EOF) {
			out.Write(text[copied:])
			return out.Bytes(), nil
		}
		if err != nil {
			return nil, err
		}
		kind, n := d.StackIndex(d.StackDepth())
		end := d.InputOffset()
		out.Write(text[copied : end-int64(len(raw))])
		copied = end
		if kind == '{' && n%2 == 1 { // the name of a field
			name, _ := jsontext.AppendUnquote(nil, raw)
			if within > 0 {
				out.Write(x.scalar(raw, true))
				continue
			}
			value, quotes = IsValue(string(name)), string(name) == "Message"
			out.Write(raw)
			continue
		}
		if quotes && raw.Kind() == '"' && x.inTexts != nil {
			raw = jsontext.Value(`"***"`)
		}
		out.Write(x.scalar(raw, value))
		value, quotes = within > 0, false
	}
}

// scalar replaces one text or number.
func (x *redactor) scalar(raw jsontext.Value, value bool) []byte {
	switch raw.Kind() {
	case '"':
		before, err := jsontext.AppendUnquote(nil, raw)
		if err != nil {
			before = bytes.ToValidUTF8(raw[1:len(raw)-1], nil)
		}
		after := x.other(string(before))
		if value {
			after = x.value(string(before))
		}
		if after == string(before) {
			return raw
		}
		quoted, _ := json.Marshal(after) // never fails
		return quoted
	case '0':
		if value {
			return number(x.value(string(raw)))
		}
		if x.values[string(raw)] && len(raw) >= leastFound {
			return number(x.other(string(raw)))
		}
	}
	return raw
}

// number makes a number of a replaced one.
func number(text string) []byte {
	digits := strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, text)
	if digits = strings.TrimLeft(digits, "0"); digits == "" {
		digits = "1"
	}
	return []byte(digits)
}

// form replaces the values in a query or a form.
func (x *redactor) form(text string) string {
	parts := strings.Split(text, "&")
	for i, part := range parts {
		name, value, pair := strings.Cut(part, "=")
		if !pair || !fieldName.MatchString(unescaped(name)) { // no form, and perhaps a value
			parts[i] = url.QueryEscape(x.value(unescaped(part)))
			continue
		}
		label := unescaped(name)
		label = label[strings.LastIndexByte(label, '.')+1:]
		before := unescaped(value)
		after := x.other(before)
		if IsValue(label) {
			after = x.value(before)
		}
		if after != before {
			value = url.QueryEscape(after)
		}
		parts[i] = name + "=" + value
	}
	return strings.Join(parts, "&")
}

// fieldName is what the name of a parameter can be, such as Tags.0.TagKey.
var fieldName = regexp.MustCompile(`^[A-Za-z0-9_.]{1,64}$`)

// escape is one character of a query that is escaped.
var escape = regexp.MustCompile(`%[0-9a-fA-F]{2}`)

// unescaped reads a part of a query, also one with wrong escapes in it.
func unescaped(text string) string {
	return escape.ReplaceAllStringFunc(strings.ReplaceAll(text, "+", " "), func(e string) string {
		n, _ := strconv.ParseUint(e[1:], 16, 8) // matched
		return string([]byte{byte(n)})
	})
}

// state replaces the values in a seed, unless they are only collected.
func (x *redactor) state(text *string, replace bool) error {
	out, err := rewrite(*text, x.node)
	if err == nil && replace {
		*text = out
	}
	return err
}

// Unbind removes the real databases from the state: a replay must not touch
// them.
func (c *Capsule) Unbind() (err error) {
	c.Start.State, err = rewrite(c.Start.State, func(n *yaml.Node) { without(n, "instances") })
	return err
}

// without removes fields from a node and from what is in it.
func without(n *yaml.Node, names ...string) {
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); {
		if slices.Contains(names, n.Content[i].Value) {
			n.Content = slices.Delete(n.Content, i, i+2)
			continue
		}
		i += 2
	}
	for _, child := range n.Content {
		without(child, names...)
	}
}

// rewrite changes each document of a seed.
func rewrite(text string, change func(*yaml.Node)) (string, error) {
	var out bytes.Buffer
	in := yaml.NewDecoder(strings.NewReader(text))
	for {
		var n yaml.Node
		err := in.Decode(&n)
		if errors.Is(err, io.EOF) {
			return out.String(), nil
		}
		if err != nil {
			return "", fmt.Errorf("the state of the capsule can't be read: %w", err)
		}
		change(&n)
		written, err := yaml.Dump(&n, yaml.WithLineWidth(-1))
		if err != nil {
			return "", err
		}
		if out.Len() > 0 {
			out.WriteString("---\n")
		}
		out.Write(written)
	}
}

// node replaces the values in a node of a seed.
func (x *redactor) node(n *yaml.Node) {
	without(n, "privateKey", "publicKey", "instances") // a pair is drawn where there is none
	x.nodes(n, false)
}

func (x *redactor) nodes(n *yaml.Node, made bool) {
	switch n.Kind {
	case yaml.MappingNode:
		made = made || isMade(n)
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, value := n.Content[i], n.Content[i+1]
			switch {
			case value.Kind != yaml.ScalarNode:
				x.nodes(value, made)
			case key.Value == "secretId":
				x.keep(value.Value)
			case made && strings.HasPrefix(value.Value, "{") && IsValue(key.Value):
				value.SetString(x.account(value.Value))
			case IsValue(key.Value):
				value.SetString(x.value(value.Value))
			case value.Tag == "!!str":
				if after := x.other(value.Value); after != value.Value {
					value.SetString(after)
				}
			}
		}
	default:
		for _, child := range n.Content {
			if child.Kind == yaml.ScalarNode && child.Tag == "!!str" {
				if after := x.other(child.Value); after != child.Value {
					child.SetString(after)
				}
			}
			x.nodes(child, made)
		}
	}
}

// isMade reports whether a node is a secret whose value the service has made.
func isMade(n *yaml.Node) bool {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if kind, err := strconv.Atoi(n.Content[i+1].Value); n.Content[i].Value == "secretType" && err == nil {
			return ssm.Type(kind) != ssm.Custom
		}
	}
	return false
}

// account replaces what is secret in the value of a database account or of an
// API key. Its name is not, and a seed must have the right one.
func (x *redactor) account(value string) string {
	var parts map[string]string
	if json.Unmarshal([]byte(value), &parts) != nil {
		return x.value(value)
	}
	for name, part := range parts {
		if name == "UserName" || name == "SecretId" {
			x.keep(part)
		} else {
			parts[name] = x.value(part)
		}
	}
	text, _ := json.Marshal(parts) // never fails
	if x.inTexts == nil {
		x.values[value] = true
	}
	return string(text)
}

// keep notes what is not replaced.
func (x *redactor) keep(text string) { x.kept[text] = true }
