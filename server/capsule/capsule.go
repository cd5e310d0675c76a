// Package capsule keeps what it takes to replay a run: the state at its
// beginning, where the clocks and the random numbers stood, and every request
// since with its answer. A capsule holds every value that the state and the
// requests have, unless it is redacted.
package capsule

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"ssmlocal/server/clock"
)

// Format is the number of the form in which capsules are written.
const Format = 1

// Notice is the first thing that a reader of the file sees.
const (
	Notice         = "This file holds secrets: the values in the state, in the requests and in the answers, and the keys that signed them. Save it with --redact to hand it on."
	RedactedNotice = "The values and keys in this file were replaced, each by the same text wherever it occurs."
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
	// Stopped is why later requests are missing, "" if none is.
	Stopped string `json:"stopped,omitempty"`
}

// Settings are the flags of the emulator that its answers depend on.
type Settings struct {
	Auth        string         `json:"auth"`
	Unlimited   bool           `json:"unlimited,omitzero"`
	Rates       map[string]int `json:"rates,omitempty"`
	SecretLimit uint64         `json:"secretLimit,omitzero"`
	TaskPace    string         `json:"taskPace,omitzero"`
	Credentials []string       `json:"credentials,omitempty"` // ID:KEY:UIN
	RandomSeed  uint64         `json:"randomSeed"`
}

// Start is where a run began: at the start of the emulator, or when its state
// was last replaced.
type Start struct {
	Wall   time.Time `json:"wall"`
	Clock  []int64   `json:"clock"`  // 1 if it is frozen, where it stands, how far it is ahead, in nanoseconds
	Random []byte    `json:"random"` // the state of the random numbers
	State  string    `json:"state"`  // a seed
}

// A Request is one call of the API, or a call of the control plane that changes
// something, with its answer.
type Request struct {
	At      time.Time   `json:"at"` // wall time
	Control bool        `json:"control,omitzero"`
	Method  string      `json:"method"`
	URL     string      `json:"url"` // path and query
	Host    string      `json:"host"`
	Headers http.Header `json:"headers"`
	Body    Text        `json:"body,omitzero"`
	Status  int         `json:"status"` // 0 if there was no answer
	Answer  Text        `json:"answer,omitzero"`
	// Clock is where the virtual clock was after a control call, as in Start.
	Clock []int64 `json:"clock,omitempty"`
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

// Parse reads a capsule.
func Parse(r io.Reader) (*Capsule, error) {
	c := new(Capsule)
	if err := json.NewDecoder(r).Decode(c); err != nil {
		return nil, fmt.Errorf("this is not a capsule: %w", err)
	}
	if c.Format != Format {
		return nil, fmt.Errorf("this is not a capsule, or one of another form: %d instead of %d", c.Format, Format)
	}
	if len(c.Start.Clock) != 3 {
		return nil, errors.New("this is not a capsule: it lacks the clock")
	}
	for i, q := range c.Requests {
		if read := q.Method == http.MethodGet || q.Method == http.MethodHead; read && strings.HasPrefix(q.URL, "/_ssmlocal") {
			return nil, fmt.Errorf("request %d is %s %s, which is never recorded, and may have no end", i+1, q.Method, q.URL)
		}
	}
	return c, nil
}

// maxBytes bounds what a recorder keeps of requests and answers.
const maxBytes = 64 << 20

// A Recorder records requests. It is safe for concurrent use.
type Recorder struct {
	max      int
	version  string
	settings Settings
	clock    *clock.Clock

	mu  sync.Mutex
	run *run
}

// run is what is recorded since a start.
type run struct {
	start    Start
	requests []*Request
	size     int
	stopped  string
}

// NewRecorder returns a recorder of at most max requests.
func NewRecorder(max int, version string, s Settings, c *clock.Clock) *Recorder {
	return &Recorder{max: max, version: version, settings: s, clock: c}
}

// Begin forgets what was recorded, and records from here on.
func (r *Recorder) Begin(wall time.Time, c clock.State, random []byte, state string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.run = &run{start: Start{Wall: wall, Clock: moment(c), Random: random, State: state}}
}

// moment writes where a clock is.
func moment(s clock.State) []int64 {
	frozen := int64(0)
	if s.Frozen {
		frozen = 1
	}
	return []int64{frozen, s.At, s.Offset}
}

// Clock reads where a clock is.
func Clock(m []int64) clock.State {
	if len(m) != 3 {
		return clock.State{}
	}
	return clock.State{Frozen: m[0] == 1, At: m[1], Offset: m[2]}
}

// Begun reports whether anything is recorded.
func (r *Recorder) Begun() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.run != nil
}

// End records no more, until Begin.
func (r *Recorder) End(why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.run != nil && r.run.stopped == "" {
		r.run.stopped = why
	}
}

// Capsule returns what was recorded.
func (r *Recorder) Capsule() *Capsule {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := &Capsule{Notice: Notice, Format: Format, Version: r.version, Settings: r.settings}
	c.Settings.Credentials = slices.Clone(r.settings.Credentials) // the caller may redact them
	if r.run == nil {
		return c
	}
	c.Start, c.Stopped = r.run.start, r.run.stopped
	for _, q := range r.run.requests {
		c.Requests = append(c.Requests, *q)
	}
	return c
}

// add makes room for a request in the order in which they come; nil if it is
// not recorded.
func (r *Recorder) add(q *Request) *run {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.run == nil || r.run.stopped != "":
		return nil
	case len(r.run.requests) >= r.max:
		r.run.stopped = fmt.Sprintf("--capsule keeps %d requests", r.max)
		return nil
	}
	q.At = r.clock.Wall().UTC()
	r.run.requests = append(r.run.requests, q)
	return r.run
}

// done adds the answer.
func (r *Recorder) done(of *run, q *Request, body []byte, w *tee) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if of.size += len(body) + w.answer.Len(); of.size > maxBytes {
		of.stopped = fmt.Sprintf("a capsule has at most %d bytes of requests and answers", maxBytes)
		if at := slices.Index(of.requests, q); at >= 0 { // else one before it was too much already
			of.requests = slices.Delete(of.requests, at, len(of.requests))
		}
		return
	}
	q.Body, q.Status, q.Answer = Text(body), w.status, Text(w.answer.Bytes())
	if q.Control {
		q.Clock = moment(r.clock.State())
	}
}

// Calls records each call of the API. A nil Recorder records nothing.
func (r *Recorder) Calls(next http.Handler) http.Handler {
	return r.wrap(next, func(*http.Request, *Request) bool { return true })
}

// Metadata records what asks for the instance metadata, which draws keys.
func (r *Recorder) Metadata(next http.Handler) http.Handler {
	return r.wrap(next, func(_ *http.Request, kept *Request) bool {
		kept.Control, kept.Host = true, "metadata.tencentyun.com" // it may have come to an address of its own
		return true
	})
}

// apart are the control calls that neither change what a call of the API can
// see, nor belong to the run: those of the state begin a new one, and a replay
// touches no real database.
var apart = []string{"/state", "/reset", "/snapshots", "/errors/run", "/tours", "/call/code", "/journal", "/leaks", "/replay", "/instances"}

// Changes records what changes something by the control plane.
func (r *Recorder) Changes(next http.Handler) http.Handler {
	return r.wrap(next, func(q *http.Request, kept *Request) bool {
		kept.Control = true
		path := strings.TrimPrefix(q.URL.Path, "/_ssmlocal")
		return q.Method != http.MethodGet && q.Method != http.MethodHead &&
			!slices.ContainsFunc(apart, func(other string) bool {
				return path == other || strings.HasPrefix(path, other+"/")
			})
	})
}

// wrap records the requests that a handler serves and that belong into a
// capsule.
func (r *Recorder) wrap(next http.Handler, belongs func(*http.Request, *Request) bool) http.Handler {
	if r == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		kept := &Request{Method: q.Method, URL: q.URL.RequestURI(), Host: q.Host, Headers: q.Header.Clone()}
		if !belongs(q, kept) {
			next.ServeHTTP(w, q)
			return
		}
		of := r.add(kept)
		if of == nil {
			next.ServeHTTP(w, q)
			return
		}
		var body bytes.Buffer
		q.Body = both{io.TeeReader(q.Body, &body), q.Body}
		t := &tee{ResponseWriter: w}
		defer func() { r.done(of, kept, body.Bytes(), t) }()
		next.ServeHTTP(t, q.WithContext(clock.Arrived(q.Context(), kept.At)))
	})
}

// both reads from one and closes the other.
type both struct {
	io.Reader
	io.Closer
}

// tee keeps an answer that it passes on.
type tee struct {
	http.ResponseWriter
	status int
	answer bytes.Buffer
}

// WriteHeader passes the status on.
func (t *tee) WriteHeader(status int) {
	if t.status == 0 {
		t.status = status
	}
	t.ResponseWriter.WriteHeader(status)
}

// Write passes bytes on.
func (t *tee) Write(p []byte) (int, error) {
	if t.status == 0 {
		t.status = http.StatusOK
	}
	t.answer.Write(p)
	return t.ResponseWriter.Write(p)
}

// Unwrap lets a http.ResponseController find what is below.
func (t *tee) Unwrap() http.ResponseWriter { return t.ResponseWriter }
