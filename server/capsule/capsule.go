// Package capsule keeps what it takes to replay a run: the state at its
// beginning, where the clocks stood, the key that random numbers follow from,
// and every request since with its answer, in the order in which they were
// served. A capsule holds every value that the state and the requests have,
// unless it is redacted.
package capsule

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"ssmlocal/server/account"
	"ssmlocal/server/clock"
	"ssmlocal/server/decode"
)

// Format is the number of the form in which capsules are written.
const Format = 3

// Notice is the first thing that a reader of the file sees.
const (
	Notice         = "This file holds secrets: the values in the state, in the requests and in the answers, and the keys that signed them. Save it with --redact before you hand it on."
	RedactedNotice = "The values and keys in this file were replaced, each by the same text wherever it occurs. Names keep their text but for the values in them, and words of the API are as they were: look through it before you hand it on."
)

// A Capsule is a recorded run.
type Capsule struct {
	Notice   string    `json:"notice"`
	Format   int       `json:"capsule"`
	Version  string    `json:"version"` // of the build that recorded it
	Redacted bool      `json:"redacted,omitzero"`
	Settings Settings  `json:"settings"`
	Start    Start     `json:"start"`
	Requests []Request `json:"requests"`
	Steps    []Step    `json:"steps,omitempty"`
	// Databases is set if real databases were bound when the capsule was saved.
	// A replay has none, so answers that depend on them differ.
	Databases bool `json:"databases,omitzero"`
	// Stopped is why later requests are missing, "" if none is.
	Stopped string `json:"stopped,omitempty"`
}

// Settings are the flags of the emulator that its answers depend on.
type Settings struct {
	Auth        account.Mode         `json:"auth"`
	Unlimited   bool                 `json:"unlimited,omitzero"`
	Rates       map[string]int       `json:"rates,omitempty"`
	SecretLimit uint64               `json:"secretLimit,omitzero"`
	TaskPace    string               `json:"taskPace,omitzero"`
	Credentials []account.Credential `json:"credentials,omitempty"`
}

// Start is where a run began: at the start of the emulator, or when its state
// was last replaced.
type Start struct {
	Wall  time.Time `json:"wall"`
	Clock Moment    `json:"clock"`
	// Random is the key that what is drawn follows from, of KeyLength bytes. A
	// redacted capsule has none.
	Random []byte         `json:"random,omitempty"`
	Rates  map[string]int `json:"rates"` // calls per second, by action; an action that isn't there has no limit
	State  string         `json:"state"` // a seed
	// Keys are temporary keys that were issued before and still work. Bound are
	// the SecretIds of those that the instance metadata gives out, by role.
	Keys  []account.Credential `json:"keys,omitempty"`
	Bound map[string]string    `json:"bound,omitempty"`
}

// KeyLength is how many bytes the key has that random numbers follow from.
const KeyLength = 32

// A Moment is where the virtual clock stood: 1 if it was frozen, at which unix
// time, and how far it was ahead of wall time, both in nanoseconds.
type Moment []int64

// MomentOf is where a clock is.
func MomentOf(s clock.State) Moment {
	frozen := int64(0)
	if s.Frozen {
		frozen = 1
	}
	return Moment{frozen, s.At, s.Offset}
}

// State is the clock's state.
func (m Moment) State() clock.State {
	if m.check() != nil {
		return clock.State{}
	}
	return clock.State{Frozen: m[0] == 1, At: m[1], Offset: m[2]}
}

func (m Moment) check() error {
	if len(m) != 3 || m[0] != 0 && m[0] != 1 {
		return errors.New("a clock is three numbers: 1 if it is frozen, else 0, its time, and how far it is ahead")
	}
	if end := clock.End.UnixNano(); max(m[1], m[2]) > end || min(m[1], m[2]) < -end {
		return fmt.Errorf("a clock ends with the year %d", clock.End.Year()-1)
	}
	return nil
}

// Where a request goes.
const (
	ToAPI      = "api"
	ToControl  = "control"  // a call of the control plane that changes something
	ToMetadata = "metadata" // a request for the instance metadata, which draws keys
	// ToClock is a move of the clock. It is not sent again: each turn has its
	// clock, and each step its place.
	ToClock = "clock"
)

// A Request is one request with its answer.
type Request struct {
	Turn
	To      string  `json:"to"`
	Method  string  `json:"method"`
	URL     Text    `json:"url"` // path and query
	Host    string  `json:"host"`
	Headers Headers `json:"headers"`
	Body    Text    `json:"body,omitzero"`
	// Incomplete is set if the client sent no more of the body.
	Incomplete bool `json:"incomplete,omitzero"`
	Status     int  `json:"status"` // 0 if there was no answer
	Answer     Text `json:"answer,omitzero"`
	// SignatureRight says whether the signature was right, if it was looked at.
	SignatureRight *bool `json:"signatureRight,omitempty"`
	// Chances are what was drawn for fault rules with a probability: true if the
	// rule hit the request.
	Chances []bool `json:"chances,omitempty"`
	// Resumed are the turns at which the request went on after it had waited.
	Resumed []Turn `json:"resumed,omitempty"`
}

// A Turn is when a request was served: one request at a time has its turn.
type Turn struct {
	Number uint64    `json:"turn"` // from 1, in the order of the turns
	At     time.Time `json:"at"`   // wall time
	Clock  Moment    `json:"clock"`
	// Cut is why the request was given up while it waited for this turn.
	Cut string `json:"cut,omitempty"`
}

// A Step is a part of what became due: so many items were tried, in their
// order, of those due until a time of the virtual clock.
type Step struct {
	Number uint64    `json:"turn"` // among those of the requests
	At     time.Time `json:"at"`   // wall time
	Until  time.Time `json:"until"`
	Items  int       `json:"items"`
}

// Headers are those of a request, by name.
type Headers map[string][]Text

func headersOf(all http.Header) Headers {
	out := Headers{}
	for name, values := range all {
		for _, value := range values {
			out[name] = append(out[name], Text(value))
		}
	}
	return out
}

// HTTP returns the headers for a request.
func (h Headers) HTTP() http.Header {
	out := http.Header{}
	for name, values := range h {
		for _, value := range values {
			out[name] = append(out[name], string(value))
		}
	}
	return out
}

// Get returns the first value of a header, "" for none.
func (h Headers) Get(name string) string { return h.HTTP().Get(name) }

// requestSize is about what a request takes without its texts.
const requestSize = 256

// size is about what a request takes in bytes, without its answer.
func (q *Request) size() int {
	n := requestSize + len(q.Method) + len(q.URL) + len(q.Host) + len(q.Body)
	for name, values := range q.Headers {
		for _, value := range values {
			n += len(name) + len(value)
		}
	}
	return n
}

// Text is bytes that are written as a text if they are one, else in base64.
type Text []byte

// MarshalJSON writes it.
func (t Text) MarshalJSON() ([]byte, error) {
	if utf8.Valid(t) {
		return json.Marshal(string(t))
	}
	return json.Marshal(struct {
		Base64 []byte `json:"base64"`
	}{t})
}

// UnmarshalJSON reads it.
func (t *Text) UnmarshalJSON(text []byte) error {
	var plain string
	if json.Unmarshal(text, &plain) == nil {
		*t = Text(plain)
		return nil
	}
	var coded struct {
		Base64 []byte `json:"base64"`
	}
	err := json.Unmarshal(text, &coded)
	*t = coded.Base64
	return err
}

// Parse reads a capsule. The error says what is wrong with it.
func Parse(r io.Reader) (*Capsule, error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	var form struct {
		Format int `json:"capsule"`
	}
	if json.Unmarshal(text, &form) == nil && form.Format != Format {
		return nil, fmt.Errorf("this is not a capsule, or one of another form: %d instead of %d", form.Format, Format)
	}
	if err := checkSize(text); err != nil {
		return nil, err
	}
	c := new(Capsule)
	if err := decode.JSON(text, c); err != nil {
		return nil, fmt.Errorf("this is not a capsule: %w", err)
	}
	return c, c.check()
}

// How much a capsule may have: more than a recorder keeps. Each object takes
// some hundred bytes in memory, whatever is written in it.
const (
	mostObjects = 1_000_000
	mostTokens  = 16_000_000
)

// checkSize refuses a capsule that would take much more memory than its text.
func checkSize(text []byte) error {
	objects, tokens := 0, 0
	for in := jsontext.NewDecoder(bytes.NewReader(text), jsontext.AllowDuplicateNames(true)); ; tokens++ {
		token, err := in.ReadToken()
		if err != nil {
			return nil // who reads it tells what is wrong
		}
		if token.Kind() == '{' {
			objects++
		}
		if objects > mostObjects || tokens > mostTokens {
			return fmt.Errorf("this is not a capsule: it has more than %d objects or %d parts", mostObjects, mostTokens)
		}
	}
}

// check says what a capsule lacks that every recorded one has.
func (c *Capsule) check() error {
	switch c.Settings.Auth {
	case account.Verify, account.Any, account.Off:
	default:
		return fmt.Errorf("settings.auth is %q; it is %s, %s or %s", c.Settings.Auth, account.Verify, account.Any, account.Off)
	}
	if n := len(c.Start.Random); n != KeyLength && !c.Redacted {
		return fmt.Errorf("start.random has %d bytes instead of %d", n, KeyLength)
	}
	if err := errors.Join(checkTime(c.Start.Wall), c.Start.Clock.check()); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	err := cmp.Or(checkKeys("settings.credentials", c.Settings.Credentials), checkKeys("start.keys", c.Start.Keys))
	if err != nil {
		return err
	}
	for i := range c.Requests {
		if err := c.Requests[i].check(); err != nil {
			return fmt.Errorf("request %d: %w", i+1, err)
		}
	}
	for i, s := range c.Steps {
		if err := errors.Join(checkTime(s.At), checkTime(s.Until)); err != nil {
			return fmt.Errorf("step %d: %w", i+1, err)
		}
		if s.Number < 1 || s.Items < 1 {
			return fmt.Errorf("step %d has turn %d and %d items; both count from 1", i+1, s.Number, s.Items)
		}
	}
	return nil
}

func checkKeys(where string, all []account.Credential) error {
	for i, k := range all {
		if k.SecretID == "" || k.SecretKey == "" {
			return fmt.Errorf("%s[%d] has no secretId or no secretKey", where, i)
		}
	}
	return nil
}

func (q *Request) check() error {
	turn := Turn{At: q.At}
	for _, next := range append([]Turn{q.Turn}, q.Resumed...) {
		if err := errors.Join(checkTime(next.At), next.Clock.check()); err != nil {
			return err
		}
		if next.Number <= turn.Number {
			return fmt.Errorf("its turn is %d after %d; turns count from 1", next.Number, turn.Number)
		}
		turn = next
	}
	switch q.To {
	case ToAPI, ToControl, ToMetadata, ToClock:
	default:
		return fmt.Errorf("it goes to %q; it goes to %s, %s, %s or %s", q.To, ToAPI, ToControl, ToMetadata, ToClock)
	}
	if at, err := url.ParseRequestURI(string(q.URL)); err != nil || at.Host != "" {
		return fmt.Errorf("its URL is %q, which is no path with a query", q.URL)
	}
	if _, err := http.NewRequest(q.Method, "/", nil); err != nil || q.Method == "" {
		return fmt.Errorf("its method is %q", q.Method)
	}
	if q.Status != 0 && (q.Status < 100 || q.Status > 999) {
		return fmt.Errorf("its status is %d", q.Status)
	}
	return nil
}

// checkTime refuses a time that a clock can't have: nanoseconds have room until
// 2262.
func checkTime(t time.Time) error {
	if t.Year() < 1970 || !t.Before(clock.End) {
		return fmt.Errorf("the time is %s; it is from 1970 to %d", t.UTC().Format(time.RFC3339), clock.End.Year()-1)
	}
	return nil
}
