package capsule

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// valueNames are the fields with values, in seeds, requests and answers.
var valueNames = []string{
	"secretString", "secretBinary", "secretKey", "privateKey", "token", "url", "tmpSecretKey", "webIdentityToken", "tokenCode", "externalId", "password", "signature",
}

func isValue(name string) bool {
	return slices.ContainsFunc(valueNames, func(v string) bool { return strings.EqualFold(v, name) })
}

// A redactor replaces values, each by the same text wherever it occurs. The key
// is thrown away, so that nobody can try values.
type redactor struct{ key []byte }

// Redact replaces the values and the keys in a capsule, each by the same text
// wherever it occurs, of the same length and of the same kinds of characters.
func (c *Capsule) Redact() error {
	x := &redactor{make([]byte, 32)}
	_, _ = rand.Read(x.key) // never fails
	c.Notice, c.Redacted = RedactedNotice, true
	for i, text := range c.Settings.Credentials {
		part := strings.SplitN(text, ":", 3)
		if len(part) > 1 {
			part[1] = x.text(part[1])
		}
		c.Settings.Credentials[i] = strings.Join(part, ":")
	}
	var err error
	if c.Start.State, err = x.yaml(c.Start.State); err != nil {
		return err
	}
	c.Start.Random, c.Settings.RandomSeed = nil, 0 // passwords are drawn from them
	for i := range c.Requests {
		q := &c.Requests[i]
		q.Body, q.Answer = x.body(q.Body), x.body(q.Answer)
		if q.Control { // its answer may show a whole request as a text, and is not compared
			q.Answer = nil
		}
		q.Headers = q.Headers.Clone()
		if before, signature, is := strings.Cut(q.Headers.Get("Authorization"), "Signature="); is { // keys could be tried against it
			q.Headers.Set("Authorization", before+"Signature="+x.text(signature))
		}
		if token := q.Headers.Get("X-Tc-Token"); token != "" {
			q.Headers.Set("X-Tc-Token", x.text(token))
		}
		if at, query, is := strings.Cut(q.URL, "?"); is {
			q.URL = at + "?" + x.form(query)
		}
	}
	return nil
}

// text replaces letters by letters, digits by digits, and everything else but
// what base64 and keys in PEM are made of. The value of a product secret or of
// an API key keeps its form, and its UserName or SecretId, which are no
// secrets.
func (x *redactor) text(value string) string {
	var account map[string]string
	if strings.HasPrefix(value, "{") && json.Unmarshal([]byte(value), &account) == nil && (account["UserName"] != "" || account["SecretId"] != "") {
		for name, v := range account {
			if name != "UserName" && name != "SecretId" {
				account[name] = x.text(v)
			}
		}
		text, _ := json.Marshal(account)
		return string(text)
	}
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

// yaml replaces the values of a seed.
func (x *redactor) yaml(text string) (string, error) { return rewrite(text, x.node) }

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

func (x *redactor) node(n *yaml.Node) {
	without(n, "privateKey", "publicKey", "instances") // a pair is drawn where there is none
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		if key, value := n.Content[i], n.Content[i+1]; value.Kind == yaml.ScalarNode && isValue(key.Value) {
			value.SetString(x.text(value.Value))
		}
	}
	for _, child := range n.Content {
		x.node(child)
	}
}

// body replaces the values of a request or an answer, JSON or a form. What is
// neither is replaced as a whole.
func (x *redactor) body(text Text) Text {
	if len(text) == 0 {
		return text
	}
	var value any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&value); err == nil {
		written, _ := json.Marshal(Replace(value, x.text))
		return written
	}
	if _, err := url.ParseQuery(string(text)); err == nil && bytes.ContainsRune(text, '=') {
		return Text(x.form(string(text)))
	}
	return Text(x.text(string(text)))
}

func (x *redactor) form(text string) string {
	parts := strings.Split(text, "&")
	for i, part := range parts {
		name, value, _ := strings.Cut(part, "=")
		plain, err := url.QueryUnescape(value)
		if err == nil && isValue(name) {
			parts[i] = name + "=" + url.QueryEscape(x.text(plain))
		}
	}
	return strings.Join(parts, "&")
}

// Replace replaces the values in what was read from JSON.
func Replace(value any, by func(string) string) any {
	switch v := value.(type) {
	case map[string]any:
		for name, child := range v {
			if text, is := child.(string); is && isValue(name) && text != "" {
				v[name] = by(text)
			} else {
				v[name] = Replace(child, by)
			}
		}
	case []any:
		for i, child := range v {
			v[i] = Replace(child, by)
		}
	}
	return value
}
