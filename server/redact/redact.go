// Package redact takes values and keys out of a capsule, so that it can be handed
// on.
//
// It goes over a capsule twice: first it collects all values, then it replaces
// them. What a field holds decides how: see kinds.go. What is not known, and
// what anything can be written into, is replaced as a whole.
package redact

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"go.yaml.in/yaml/v4"

	"ssmlocal/server/account"
	"ssmlocal/server/capsule"
	"ssmlocal/server/seed"
	"ssmlocal/server/ssm"
	"ssmlocal/server/tc3"
)

// Capsule replaces the values and the keys in a capsule, each by the same text
// wherever it occurs, of the same length and of the same kinds of characters.
// changes are what the recorded calls of the control plane read.
func Capsule(c *capsule.Capsule, changes []reflect.Type) error {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	x := newRedactor(key)
	x.changes = changesOf(changes)
	x.account(strconv.FormatUint(account.DefaultUin, 10))
	if _, err := x.state(c.Start.State); err != nil {
		return err
	}
	_, _ = x.keys(c.Settings.Credentials), x.keys(c.Start.Keys)
	for i := range c.Requests {
		q := c.Requests[i] // a copy: nothing is replaced yet
		x.request(&q, c.Settings.Auth)
	}
	x.collected()

	c.Notice, c.Redacted = capsule.RedactedNotice, true
	c.Start.Random = nil // passwords follow from it
	state, err := x.state(c.Start.State)
	if err != nil {
		return err
	}
	c.Start.State = state
	c.Settings.Credentials, c.Start.Keys = x.keys(c.Settings.Credentials), x.keys(c.Start.Keys)
	bound := map[string]string{}
	for role, id := range c.Start.Bound {
		bound[x.name(role)] = id
	}
	c.Start.Bound = bound
	for i := range c.Requests {
		x.request(&c.Requests[i], c.Settings.Auth)
	}
	return nil
}

// keys replaces what is secret in keys.
func (x *redactor) keys(all []account.Credential) []account.Credential {
	all = slices.Clone(all)
	for i := range all {
		k := &all[i]
		x.keep(k.SecretID)
		x.account(strconv.FormatUint(k.Uin, 10))
		x.account(strconv.FormatUint(k.User, 10))
		if k.SecretKey != account.Default.SecretKey { // which everybody knows
			k.SecretKey = x.value(k.SecretKey)
		}
		k.Token, k.Role, k.Name = x.value(k.Token), x.name(k.Role), x.name(k.Name)
		k.Policies = x.policies(k.Policies)
		k.Also = x.policies(k.Also)
	}
	return all
}

// policies replaces the values in the resources of policies.
func (x *redactor) policies(all []account.Policy) []account.Policy {
	all = slices.Clone(all)
	for i := range all {
		all[i].Statement = slices.Clone(all[i].Statement)
		for j := range all[i].Statement {
			s := &all[i].Statement[j]
			s.Resource = slices.Clone(s.Resource)
			for n := range s.Resource {
				s.Resource[n] = x.name(s.Resource[n])
			}
		}
	}
	return all
}

// request replaces what a request and its answer hold.
func (x *redactor) request(q *capsule.Request, mode account.Mode) {
	from := aRequest
	if q.To == capsule.ToControl || q.To == capsule.ToClock {
		from = aChange
	}
	x.from = from
	headers, form := false, false
	x.known = x.changes
	if q.To == capsule.ToAPI {
		headers, form = tc3.Style(q.Headers.HTTP(), mode == account.Off)
		x.known = parametersIn(q, headers)
	}
	q.Body = x.body(q.Body, form, from)
	q.Headers = x.headers(q.Headers)
	q.Host = x.host(q.Host)
	switch {
	case from == aChange: // it may show a whole request as a text
		q.Answer = x.reply(q.Answer)
	case json.Valid(q.Answer):
		q.Answer = x.body(q.Answer, false, anAnswer)
	case q.To == capsule.ToMetadata: // a name, or a list of them
		q.Answer = capsule.Text(x.name(string(q.Answer)))
	default: // a fault has broken it
		q.Answer = capsule.Text(x.prose(string(q.Answer)))
	}
	at, query, is := strings.Cut(string(q.URL), "?")
	by := x.name
	if q.Status != http.StatusOK || q.To == capsule.ToAPI { // it leads nowhere, or says nothing
		by = x.prose
	}
	if q.URL = capsule.Text(path(at, by)); is {
		q.URL = capsule.Text(string(q.URL) + "?" + x.form(query, from))
	}
	if x.begin != nil && !slices.Contains(methods, q.Method) {
		q.Method = x.mask(q.Method, true)
	}
}

// reply is what an answer of the control plane has of a call's answer, which
// may have keys in it that later requests use. No more of it is needed: it is
// not compared.
func (x *redactor) reply(answer capsule.Text) capsule.Text {
	var has struct {
		Reply json.RawMessage `json:"reply,omitempty"`
	}
	if json.Unmarshal(answer, &has) != nil || has.Reply == nil {
		return nil
	}
	has.Reply = json.RawMessage(x.body(capsule.Text(has.Reply), false, anAnswer))
	out, _ := json.Marshal(has) // it was read
	return out
}

// methods are those that are no words of a client's own.
var methods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"}

// fixedPath are the paths that requests are sent to, up to what a client chooses.
var fixedPath = regexp.MustCompile(`^(/_ssmlocal/[a-z]+/?|/latest/|meta-data/|cam/|security-credentials/)*`)

// path replaces what a client has chosen in the path of a URL, part by part.
func path(at string, by func(string) string) string {
	begin := fixedPath.FindString(at)
	parts := strings.Split(at[len(begin):], "/")
	for i, part := range parts {
		before, err := url.PathUnescape(part)
		if err != nil {
			before = unescaped(part)
		}
		if after := by(before); after != before {
			parts[i] = url.PathEscape(after)
		}
	}
	return begin + strings.Join(parts, "/")
}

// credentialOf is an Authorization header of the form that the SDKs send.
var credentialOf = regexp.MustCompile(`^(TC3-HMAC-SHA256 Credential=)([^/,\s]*)(/\d{4}-\d\d-\d\d/)([a-z]*)` +
	`(/tc3_request, *SignedHeaders=.*[Ss]ignature=)([^,\s]*)$`)

// headers replaces what is secret in the headers that answers depend on, and
// leaves out all others.
func (x *redactor) headers(all capsule.Headers) capsule.Headers {
	out := capsule.Headers{}
	for name, values := range all {
		for _, each := range values {
			text := string(each)
			switch name {
			case "X-Tc-Action", "X-Tc-Version", "X-Tc-Region", "X-Tc-Timestamp", "X-Tc-Language":
				text = x.word(text)
			case "X-Tc-Token":
				text = x.value(text)
			case "X-Tc-Requestclient", "X-Tc-Traceid", "Sec-Fetch-Site", "Sec-Fetch-Mode":
				text = x.name(text)
			case "Origin":
				if scheme, host, is := strings.Cut(text, "://"); is {
					text = x.name(scheme) + "://" + x.host(host)
				} else { // such as null
					text = x.name(text)
				}
			case "Content-Type":
				text = x.header(text, "application", "json", "x-www-form-urlencoded", "multipart", "form-data",
					"text", "plain", "charset", "utf-8")
			case "Authorization":
				text = x.authorization(text)
			default:
				continue
			}
			out[name] = append(out[name], capsule.Text(text))
		}
	}
	return out
}

// host keeps the address of a machine and the vendor's names, and replaces the
// values in other hosts.
func (x *redactor) host(text string) string {
	if name := tc3.HostName(text); tc3.IsAddress(name) || name == "localhost" || tc3.IsVendorHost(name) {
		return text
	}
	return x.name(text)
}

// authorization replaces a signature, against which keys could be tried, and
// whatever is not as the SDKs send it.
func (x *redactor) authorization(text string) string {
	known := []string{"TC3-HMAC-SHA256", "Credential", "SignedHeaders", "Signature", "tc3_request", "bearer", "basic",
		"host", "content-type", "x-tc-action", "x-tc-version", "x-tc-region", "x-tc-timestamp", "x-tc-language", "x-tc-token"}
	parts := credentialOf.FindStringSubmatch(text)
	if parts == nil {
		return x.header(text, known...)
	}
	return parts[1] + x.name(parts[2]) + parts[3] + x.name(parts[4]) + x.header(parts[5], known...) + x.value(parts[6])
}

// body replaces the values in a request or an answer, JSON or a form. What is
// neither is replaced as a whole.
func (x *redactor) body(text capsule.Text, form bool, from source) capsule.Text {
	if len(text) == 0 {
		return text
	}
	if form {
		return capsule.Text(x.form(string(text), from))
	}
	of := kindUnknown // a request is an object, and nothing else
	if from == anAnswer || bytes.HasPrefix(bytes.TrimLeft(text, " \t\r\n"), []byte("{")) {
		of = kindPlain
	}
	if out, err := x.json(text, of, from); err == nil {
		return out
	}
	return capsule.Text(x.prose(string(text)))
}

// json replaces the values in a JSON text, and leaves all else as it is
// written.
func (x *redactor) json(text []byte, of kind, from source) ([]byte, error) {
	w := walk{
		redactor: x, text: text,
		in: jsontext.NewDecoder(bytes.NewReader(text), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)),
	}
	for {
		err := w.any(of, from)
		if errors.Is(err, io.EOF) {
			w.out.Write(text[w.copied:])
			return w.out.Bytes(), nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// walk goes through a JSON text.
type walk struct {
	*redactor
	in     *jsontext.Decoder
	text   []byte
	out    bytes.Buffer
	copied int64 // how much of text is in out, or was replaced
}

// any goes through the next value of a kind.
func (w *walk) any(of kind, from source) error {
	switch open := w.in.PeekKind(); open {
	case '{', '[':
		if _, err := w.in.ReadToken(); err != nil {
			return err
		}
		for {
			switch w.in.PeekKind() {
			case '}', ']':
				_, err := w.in.ReadToken()
				return err
			}
			child, source := of, from
			if open == '{' {
				var err error
				if child, source, err = w.field(of, from); err != nil {
					return err
				}
			}
			if err := w.any(child, source); err != nil {
				return noEOF(err)
			}
		}
	}
	raw, err := w.in.ReadValue()
	if err == nil {
		w.put(raw, w.scalar(raw, of))
	}
	return err
}

// noEOF is an error in the middle of a text.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// field reads the name of a field in an object of a kind, and returns the kind
// of the field.
func (w *walk) field(of kind, from source) (kind, source, error) {
	raw, err := w.in.ReadValue()
	if err != nil {
		return of, from, noEOF(err)
	}
	before, _ := jsontext.AppendUnquote(nil, raw)
	after, child, from := w.fieldOf(string(before), of, from)
	if after != string(before) {
		w.put(raw, quoted(after))
	}
	return child, from, nil
}

// fieldOf returns what takes the place of a field's name in an object of a
// kind, and the kind of the field.
func (x *redactor) fieldOf(field string, of kind, from source) (string, kind, source) {
	switch of {
	case kindValue, kindProse, kindUnknown:
		return x.prose(field), of, from
	case kindTags:
		return x.prose(field), kindProse, from
	case kindNames:
		return x.name(field), kindWord, from
	case kindConfig:
		return x.name(field), kindConfig, from
	case kindCall:
		from = aRequest
	}
	known := x.known
	if from == aRequest && x.from == aChange { // a call that the control plane makes
		known = parameters()
	}
	child := from.kindOf(field, known)
	if child == kindUnknown {
		field = x.prose(field)
	}
	return field, child, from
}

// put writes what takes the place of what was read last.
func (w *walk) put(raw jsontext.Value, replaced []byte) {
	end := w.in.InputOffset()
	w.out.Write(w.text[w.copied : end-int64(len(raw))])
	w.out.Write(replaced)
	w.copied = end
}

func quoted(text string) []byte {
	out, _ := json.Marshal(text) // never fails
	return out
}

// scalar replaces one text or number.
func (x *redactor) scalar(raw jsontext.Value, of kind) []byte {
	switch raw.Kind() {
	case '"':
		before, err := jsontext.AppendUnquote(nil, raw)
		if err != nil {
			before = bytes.ToValidUTF8(raw[1:len(raw)-1], nil)
		}
		if after := x.as(string(before), of); after != string(before) {
			return quoted(after)
		}
	case '0':
		if of == kindWord {
			return raw
		}
		if after := x.as(string(raw), of); after != string(raw) {
			return number(after)
		}
	}
	return raw
}

// as replaces a text of a kind.
func (x *redactor) as(text string, of kind) string {
	switch of {
	case kindPlain:
		return text
	case kindWord:
		return x.word(text)
	case kindValue:
		return x.value(text)
	case kindMessage:
		if x.begin != nil {
			return "***"
		}
		return text
	case kindName, kindNames:
		return x.name(text)
	case kindConfig:
		return x.config(text)
	}
	return x.prose(text)
}

// config replaces the values in JSON that stands in a text, which may be
// URL-encoded, and other texts as names.
func (x *redactor) config(text string) string {
	plain := unescaped(text)
	if x.begin == nil || !isObject(plain) {
		return x.name(text)
	}
	out, err := x.json([]byte(plain), kindConfig, aRequest)
	switch {
	case err != nil:
		return x.prose(text)
	case string(out) == plain:
		return text
	case plain == text:
		return string(out)
	}
	return url.QueryEscape(string(out))
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
func (x *redactor) form(text string, from source) string {
	parts := strings.Split(text, "&")
	for i, part := range parts {
		label, value, pair := strings.Cut(part, "=")
		if !pair {
			parts[i] = replaced(part, x.prose)
			continue
		}
		field := ""
		for _, step := range strings.Split(unescaped(label), ".") { // such as Tags.0.TagKey
			if _, err := strconv.Atoi(step); err != nil || field == "" {
				field = step
			}
		}
		of := from.kindOf(field, x.known)
		if of == kindUnknown {
			label = replaced(label, x.prose)
		}
		parts[i] = label + "=" + replaced(value, func(text string) string { return x.as(text, of) })
	}
	return strings.Join(parts, "&")
}

// replaced replaces a part of a query. What stays the same stays as it is
// written, and what is wrongly escaped stays wrong.
func replaced(part string, by func(string) string) string {
	before := unescaped(part)
	after := by(before)
	if after == before {
		return part
	}
	if _, err := url.QueryUnescape(part); err != nil {
		return url.QueryEscape(after) + "%"
	}
	return url.QueryEscape(after)
}

// queryEscape is one character of a query that is escaped.
var queryEscape = regexp.MustCompile(`%[0-9a-fA-F]{2}`)

// unescaped reads a part of a query, also one with wrong escapes in it.
func unescaped(text string) string {
	return queryEscape.ReplaceAllStringFunc(strings.ReplaceAll(text, "+", " "), func(e string) string {
		n, _ := strconv.ParseUint(e[1:], 16, 8) // matched
		return string([]byte{byte(n)})
	})
}

// state replaces the values in a seed.
func (x *redactor) state(text string) (string, error) {
	return rewrite(text, func(n *yaml.Node) {
		for account := range items(n, "accounts") {
			remove(account, "instances") // no replay binds any
		}
		for secret := range items(n, "accounts", "secrets") {
			remove(secret, "privateKey", "publicKey") // a pair is drawn where there is none
		}
		x.node(n, kindPlain, false)
	})
}

// items are the items of the lists to which the names of fields lead.
func items(n *yaml.Node, path ...string) iter.Seq[*yaml.Node] {
	return func(yield func(*yaml.Node) bool) { visit(n, path, yield) }
}

func visit(n *yaml.Node, path []string, yield func(*yaml.Node) bool) bool {
	switch {
	case n.Kind == yaml.DocumentNode && len(n.Content) == 1:
		return visit(n.Content[0], path, yield)
	case len(path) == 0:
		return yield(n)
	}
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value != path[0] {
			continue
		}
		for _, item := range n.Content[i+1].Content {
			if !visit(item, path[1:], yield) {
				return false
			}
		}
	}
	return true
}

// remove removes fields.
func remove(n *yaml.Node, names ...string) {
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); {
		if slices.Contains(names, n.Content[i].Value) {
			n.Content = slices.Delete(n.Content, i, i+2)
			continue
		}
		i += 2
	}
}

// rewrite changes each document of a seed.
func rewrite(text string, change func(*yaml.Node)) (string, error) {
	if seed.TooLarge([]byte(text)) {
		return "", errors.New("there is too much in the state of the capsule")
	}
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

// node replaces the values in a node of a seed, of a kind. made is set within a
// secret whose value the service has made.
func (x *redactor) node(n *yaml.Node, of kind, made bool) {
	switch n.Kind {
	case yaml.MappingNode:
		made = made || isMade(n)
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, child := n.Content[i], n.Content[i+1]
			after, kind, _ := x.fieldOf(key.Value, of, aState)
			if after != key.Value {
				key.SetString(after)
			}
			if of == kindPlain && (key.Value == "uin" || key.Value == "user") {
				x.account(child.Value)
			}
			switch {
			case of == kindPlain && key.Value == "secretId" && isKey(n):
				x.keep(child.Value)
			case made && kind == kindValue && strings.HasPrefix(child.Value, "{"):
				child.SetString(x.login(child.Value))
			case of == kindPlain && key.Value == "secretKey" && child.Value == account.Default.SecretKey: // which everybody knows
			default:
				x.node(child, kind, made)
			}
		}
	case yaml.ScalarNode:
		if of == kindPlain { // a seed has nothing else there
			return
		}
		if after := x.as(n.Value, of); after != n.Value {
			n.SetString(after)
		}
	default:
		for _, child := range n.Content {
			x.node(child, of, made)
		}
	}
}

// isKey reports whether a node is a key pair.
func isKey(n *yaml.Node) bool {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == "secretKey" {
			return true
		}
	}
	return false
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

// login replaces what is secret in the value of a database account or of an
// API key. Of the name only what is a value elsewhere: it stands in other
// fields, too.
func (x *redactor) login(text string) string {
	var parts map[string]string
	if json.Unmarshal([]byte(text), &parts) != nil {
		return x.value(text)
	}
	for name, part := range parts {
		switch name {
		case "UserName":
			parts[name] = x.name(part)
		case "SecretId":
			x.keep(part)
		default:
			parts[name] = x.value(part)
		}
	}
	out, _ := json.Marshal(parts) // never fails
	return string(out)
}
