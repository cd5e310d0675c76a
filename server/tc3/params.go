package tc3

import (
	"bytes"
	"errors"
	"io"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"ssmlocal/server/apierr"
)

// A node is a parameter's value before its type is known. Its methods report
// whether it can be read as a type. The two encodings, JSON and pairs, differ
// only in these methods.
type node interface {
	// absent reports whether the value counts as not given: a JSON null, and,
	// for all but a text, an empty value in pairs, which is what Node's SDK
	// makes of undefined.
	absent(isText bool) bool
	text() (string, bool)
	integer() (string, bool)
	boolean() (value, ok bool)
	// list returns the items of a list, and one more than most at most.
	list(path string, most int) ([]node, error)
	fields() ([]field, bool)
}

type field struct {
	name string
	node node
}

// longestText is how many bytes are read of a text. That is more than any
// parameter may have, so a text that is cut there is still refused as too long.
const longestText = 256 << 10

// jsonNode is a JSON value, not yet taken apart. What it holds is valid JSON.
type jsonNode jsontext.Value

var errNotObject = errors.New("not one JSON object")

// duplicateName returns the name that an object has twice, if that is what is
// wrong with it.
func duplicateName(err error) (string, bool) {
	var e *jsontext.SyntacticError
	if errors.Is(err, jsontext.ErrDuplicateName) && errors.As(err, &e) {
		return strings.ReplaceAll(strings.TrimPrefix(string(e.JSONPointer), "/"), "/", "."), true
	}
	return "", false
}

// parseJSON reads a body: an object, or null or nothing for no parameters.
func parseJSON(body []byte) ([]field, error) {
	body = bytes.Trim(body, " \t\r\n") // JSON knows no other blanks
	if len(body) == 0 || string(body) == "null" {
		return nil, nil
	}
	fields, err := jsonFields(body)
	if err == nil {
		return fields, nil
	}
	if name, ok := duplicateName(err); ok {
		return nil, apierr.RepeatedParameter.With(name)
	}
	return nil, apierr.BadJSON.With()
}

var decoders = sync.Pool{New: func() any { return new(jsontext.Decoder) }}

// jsonFields takes one object apart and checks all that is in it. The nodes
// share the object's memory.
func jsonFields(object []byte) ([]field, error) {
	d := decoders.Get().(*jsontext.Decoder)
	defer decoders.Put(d)
	d.Reset(bytes.NewBuffer(object))
	if t, err := d.ReadToken(); err != nil || t.Kind() != '{' {
		return nil, errNotObject
	}
	fields := make([]field, 0, 4)
	for d.PeekKind() != '}' {
		name, err := d.ReadToken()
		if err != nil {
			return nil, err
		}
		f := field{name: name.String()}
		value, err := d.ReadValue()
		if err != nil {
			return nil, err
		}
		f.node = jsonNode(part(object, d, value))
		fields = append(fields, f)
	}
	if _, err := d.ReadToken(); err != nil {
		return nil, err
	}
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, errNotObject
	}
	return fields, nil
}

// part is where in the text the decoder has just read a value; the value itself
// may be the decoder's own memory.
func part(text []byte, d *jsontext.Decoder, value jsontext.Value) []byte {
	end := d.InputOffset()
	return text[end-int64(len(value)) : end]
}

func (n jsonNode) kind() jsontext.Kind { return jsontext.Value(n).Kind() }

func (n jsonNode) absent(bool) bool { return n.kind() == 'n' }

func (n jsonNode) text() (string, bool) {
	if n.kind() != '"' {
		return "", false
	}
	if len(n) > longestText { // it is refused for its length, whatever it is
		n = append(bytes.ToValidUTF8(n[:longestText], nil), '"')
		n = bytes.ReplaceAll(n, []byte("\\"), []byte("/"))
	}
	s, err := jsontext.AppendUnquote(nil, n)
	return string(s), err == nil
}

func (n jsonNode) integer() (string, bool) { return string(n), n.kind() == '0' }

func (n jsonNode) boolean() (value, ok bool) {
	k := n.kind()
	return k == 't', k == 't' || k == 'f'
}

func (n jsonNode) list(_ string, most int) ([]node, error) {
	if n.kind() != '[' {
		return nil, nil
	}
	d := decoders.Get().(*jsontext.Decoder)
	defer decoders.Put(d)
	d.Reset(bytes.NewBuffer(n))
	if _, err := d.ReadToken(); err != nil {
		return nil, apierr.BadJSON.With()
	}
	items := []node{}
	for d.PeekKind() != ']' && len(items) <= most {
		value, err := d.ReadValue()
		if err != nil {
			return nil, apierr.BadJSON.With()
		}
		items = append(items, jsonNode(part(n, d, value)))
	}
	return items, nil
}

func (n jsonNode) fields() ([]field, bool) {
	fields, err := jsonFields(n)
	return fields, err == nil
}

// pair is one key and value of a query or a form, decoded.
type pair struct{ key, value string }

// The bounds of a query or a form, far beyond what any action takes: reading
// one costs a few milliseconds at most, also where the call is then refused.
const (
	mostPairs = 10_000
	mostDepth = 10 // parts of a key
)

// parsePairs reads a query or a form body.
func parsePairs(text string) ([]pair, error) {
	var pairs []pair
	seen := map[string]bool{}
	for part := range strings.SplitSeq(text, "&") {
		if part == "" {
			continue
		}
		if len(pairs) == mostPairs {
			return nil, apierr.TooManyPairs.With(mostPairs)
		}
		rawKey, rawValue, ok := strings.Cut(part, "=")
		if !ok {
			return nil, apierr.PairWithoutEquals.With()
		}
		key, err := url.QueryUnescape(rawKey)
		if err != nil || !utf8.ValidString(key) {
			return nil, apierr.PairWithoutEquals.With()
		}
		value, err := url.QueryUnescape(rawValue)
		switch {
		case key == "":
			return nil, apierr.EmptyKey.With()
		case err != nil || !utf8.ValidString(value):
			return nil, apierr.BadFormat.With(key)
		case seen[key]:
			return nil, apierr.RepeatedParameter.With(key)
		case strings.Count(key, ".") >= mostDepth:
			return nil, apierr.TooManyPairs.With(mostPairs)
		}
		seen[key] = true
		pairs = append(pairs, pair{key, strings.Clone(value)}) // of its own: what is kept of a call must not keep the whole text
	}
	return pairs, nil
}

// pairNode is a value in pairs: a text, or the nodes under the next part of the
// key, as in Tags.0.TagKey.
type pairNode struct {
	value string
	leaf  bool
	names []string
	nodes map[string]*pairNode
}

// parseTree makes a tree of the keys' dotted paths.
func parseTree(pairs []pair) []field {
	root := &pairNode{}
	for _, p := range pairs {
		n := root
		for name := range strings.SplitSeq(p.key, ".") {
			n = n.under(name)
		}
		n.leaf, n.value = true, p.value
	}
	fields, _ := root.fields()
	return fields
}

func (n *pairNode) under(name string) *pairNode {
	next := n.nodes[name]
	if next == nil {
		next = &pairNode{}
		if n.nodes == nil {
			n.nodes = map[string]*pairNode{}
		}
		n.nodes[name] = next
		n.names = append(n.names, name)
	}
	return next
}

func (n *pairNode) absent(isText bool) bool {
	return !isText && n.leaf && n.value == "" && n.nodes == nil
}

func (n *pairNode) text() (string, bool) { return n.value, n.leaf && n.nodes == nil }

func (n *pairNode) integer() (string, bool) { return n.text() }

// boolean reads what the SDKs send: Python's str(True), everyone else's true,
// and 1.
func (n *pairNode) boolean() (value, ok bool) {
	switch s, leaf := n.text(); {
	case !leaf:
		return false, false
	case s == "true" || s == "True" || s == "1":
		return true, true
	case s == "false" || s == "False" || s == "0":
		return false, true
	}
	return false, false
}

func (n *pairNode) list(path string, most int) ([]node, error) {
	if n.leaf {
		return nil, nil
	}
	items := make([]node, min(len(n.names), most+1))
	for i := range items {
		item, ok := n.nodes[strconv.Itoa(i)]
		if !ok {
			return nil, apierr.BadArray.With(path)
		}
		items[i] = item
	}
	return items, nil
}

func (n *pairNode) fields() ([]field, bool) {
	if n.leaf {
		return nil, false
	}
	fields := make([]field, len(n.names))
	for i, name := range n.names {
		fields[i] = field{name, n.nodes[name]}
	}
	return fields, true
}
