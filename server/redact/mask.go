package redact

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"ssmlocal/server/ssm"
)

// What takes the place of a text.

// leastFound is how long a value must be, in bytes, to be replaced where it
// stands within a name. Shorter ones would be found in ordinary words.
const leastFound = 5

// longestName is more than any name may have, in bytes. A longer one is taken
// for prose.
const longestName = 4096

// A redactor replaces texts, each by the same one wherever it occurs. The key is
// thrown away, so that nobody can try values.
type redactor struct {
	key    []byte
	values map[string]bool // found so far
	kept   map[string]bool // what is no secret, though it stands in a value
	// changes are the fields that requests to the control plane can have; from
	// and known are of the present request.
	changes map[string]bool
	from    source
	known   map[string]bool
	forms   map[string]bool   // values and what is made of them
	begin   map[string][]int  // their lengths, longest first, by their first bytes; nil while they are collected
	inNames map[string]bool   // what names have that is not replaced there
	given   map[masked]string // what has taken the place of a text
	taken   map[string]bool   // what has taken the place of one
}

func newRedactor(key []byte) *redactor {
	return &redactor{
		key: key, values: map[string]bool{}, kept: map[string]bool{}, inNames: map[string]bool{},
		given: map[masked]string{}, taken: map[string]bool{},
	}
}

// keep notes what is not replaced.
func (x *redactor) keep(text string) { x.kept[text] = true }

// neverInNames notes what names have that the service makes, such as the number
// of an account. It is not replaced there.
func (x *redactor) neverInNames(text string) { x.inNames[text] = true }

// account notes what the service makes of the number of an account.
func (x *redactor) account(text string) {
	uin, err := strconv.ParseUint(text, 10, 64)
	if err != nil || x.inNames[text] {
		return
	}
	x.neverInNames(text)
	for _, region := range ssm.Regions() {
		x.neverInNames(ssm.NewOwner(uin, region).DefaultKmsKeyID())
	}
}

// found notes a value, and what it is made of if it is JSON or base64.
func (x *redactor) found(value string) {
	if value == "" {
		return
	}
	x.values[value] = true
	if trimmed := strings.TrimSpace(value); trimmed != "" {
		x.values[trimmed] = true
	}
	if plain, err := base64.StdEncoding.DecodeString(value); err == nil && len(plain) >= leastFound {
		x.values[string(plain)] = true
	}
	var inner any
	if isObject(value) && readNumbers(value, &inner) == nil {
		x.foundIn(inner)
	}
}

// isObject reports whether a text may be a JSON object or list.
func isObject(text string) bool {
	text = strings.TrimLeft(text, " \t\r\n")
	return text != "" && (text[0] == '{' || text[0] == '[')
}

// readNumbers reads JSON with its numbers as they are written.
func readNumbers(text string, into *any) error {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	return d.Decode(into)
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
	case json.Number:
		x.found(v.String())
	}
}

// collected ends the first pass: values are replaced from now on.
func (x *redactor) collected() {
	x.forms, x.begin = map[string]bool{}, map[string][]int{}
	for value := range x.values {
		if len(value) < leastFound {
			continue
		}
		for _, text := range []string{
			value, base64.RawStdEncoding.EncodeToString([]byte(value)), base64.RawURLEncoding.EncodeToString([]byte(value)),
		} {
			if len(text) < leastFound || x.kept[text] || words()[text] || x.inNames[text] {
				continue
			}
			x.forms[text] = true
			lengths := x.begin[text[:leastFound]]
			if at, is := slices.BinarySearchFunc(lengths, len(text), func(a, b int) int { return b - a }); !is {
				x.begin[text[:leastFound]] = slices.Insert(lengths, at, len(text))
			}
		}
	}
}

// value replaces a value, or notes it in the first pass. JSON stays JSON.
func (x *redactor) value(text string) string {
	switch {
	case x.begin == nil:
		x.found(text)
		return text
	case x.kept[text]:
		return text
	case isObject(text):
		if out, err := x.json([]byte(text), kindValue, aRequest); err == nil {
			return string(out)
		}
	}
	return x.mask(text, false)
}

// name replaces the values that stand in an identifier.
func (x *redactor) name(text string) string {
	if x.begin == nil || x.kept[text] || words()[text] {
		return text
	}
	if plain := unescaped(text); plain != text && x.within(plain) != plain { // it is escaped once more
		return x.prose(text)
	}
	if len(text) > longestName || !identifier.MatchString(text) {
		return x.prose(text)
	}
	return x.within(text)
}

// within replaces the values that stand in a text as they are.
func (x *redactor) within(text string) string {
	if x.begin == nil {
		return text
	}
	var out strings.Builder
	copied, from, to := 0, -1, 0 // values may overlap: what they cover together is replaced
	flush := func() {
		if from >= 0 {
			out.WriteString(text[copied:from])
			out.WriteString(x.mask(text[from:to], true))
			copied = to
		}
	}
	for i := range text {
		switch n := x.valueAt(text[i:]); {
		case n == 0:
		case from < 0 || i >= to:
			flush()
			from, to = i, i+n
		default:
			to = max(to, i+n)
		}
	}
	flush()
	return out.String() + text[copied:]
}

// valueAt is how long the value is that a text begins with, 0 for none.
func (x *redactor) valueAt(text string) int {
	if len(text) < leastFound {
		return 0
	}
	for _, n := range x.begin[text[:leastFound]] {
		if n <= len(text) && x.forms[text[:n]] {
			return n
		}
	}
	return 0
}

// word keeps a text that says nothing of its own, and replaces the values in
// others.
func (x *redactor) word(text string) string {
	if isPlain(text) {
		return text
	}
	return x.name(text)
}

// prose replaces all of a text but punctuation, unless it is a word of the API.
func (x *redactor) prose(text string) string {
	if x.begin == nil || words()[text] && !x.values[text] {
		return text
	}
	return x.mask(text, !x.values[text])
}

// headerToken is a part of a header.
var headerToken = regexp.MustCompile(`[A-Za-z0-9_.-]+`)

// header replaces the tokens of a header, but for those that some headers have
// and for SecretIds.
func (x *redactor) header(text string, known ...string) string {
	if x.begin == nil {
		return text
	}
	out := headerToken.ReplaceAllStringFunc(text, func(t string) string {
		isKnown := slices.ContainsFunc(known, func(k string) bool { return strings.EqualFold(k, t) })
		if isKnown || x.kept[t] || isPlain(t) && !x.values[t] {
			return t
		}
		return x.mask(t, false)
	})
	return strings.Map(func(r rune) rune { // tokens have none
		if r >= utf8.RuneSelf {
			return '?'
		}
		return r
	}, out)
}

// masked is a text that was replaced.
type masked struct {
	text        string
	punctuation bool
}

// mask replaces letters by letters, digits by digits and other characters by
// such as have as many bytes. Of punctuation it keeps what base64 and keys in
// PEM are made of, or all. As far as there is room, two texts get different
// ones.
func (x *redactor) mask(text string, punctuation bool) string {
	as := masked{text, punctuation}
	out, again := x.given[as]
	if again {
		return out
	}
	for try := range uint16(1000) {
		out = x.drawn(text, try, punctuation)
		if !x.taken[out] && !words()[out] && (out != text || try > 50) {
			break
		}
	}
	x.given[as], x.taken[out] = out, true
	return out
}

func (x *redactor) drawn(text string, try uint16, punctuation bool) string {
	mac := hmac.New(sha256.New, x.key)
	mac.Write(binary.BigEndian.AppendUint16(nil, try))
	mac.Write([]byte(text))
	sum, used := mac.Sum(nil), 0
	next := func(n int) rune {
		if used+2 > len(sum) {
			more := sha256.Sum256(sum)
			sum, used = more[:], 0
		}
		used += 2
		return rune(int(binary.BigEndian.Uint16(sum[used-2:])) % n)
	}
	var out strings.Builder
	for i, r := range text {
		switch {
		case r >= 'a' && r <= 'z':
			r = 'a' + next(26)
		case r >= 'A' && r <= 'Z':
			r = 'A' + next(26)
		case r >= '0' && r <= '9':
			r = '0' + next(10)
		case r == utf8.RuneError && !strings.HasPrefix(text[i:], string(utf8.RuneError)):
			out.WriteByte(0xff)
			continue
		case r >= 0x10000:
			r = 0x20000 + next(0xa000)
		case r >= 0x800:
			r = '一' + next(0x5000)
		case r >= utf8.RuneSelf:
			r = 'à' + next(23)
		case !punctuation && r > ' ' && !strings.ContainsRune("+/=-_", r):
			r = rune(".:,;~"[next(5)])
		}
		out.WriteRune(r)
	}
	return out.String()
}
