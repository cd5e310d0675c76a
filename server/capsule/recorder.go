package capsule

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"ssmlocal/server/caller"
	"ssmlocal/server/clock"
	"ssmlocal/server/tc3"
	"ssmlocal/server/turn"
)

// Recording: requests get their turns one after another, and are kept.

// maxBytes bounds what a recorder keeps of requests and answers.
const maxBytes = 64 << 20

// A Recorder records requests. They have their turns also while no more is kept,
// because a new run may begin before one of them is served. It is safe for
// concurrent use. A nil Recorder records nothing.
type Recorder struct {
	max      int
	version  string
	settings Settings
	clock    *clock.Clock
	alone    chan struct{} // holds a token while a request has its turn, due work is done, or the state is replaced
	catchUp  func(since time.Time) time.Time

	mu  sync.Mutex
	run *run
}

// run is what is recorded since a start.
type run struct {
	start    Start
	requests []*Request
	steps    []Step
	turns    uint64
	size     int
	stopped  string
}

// NewRecorder returns a recorder of at most max requests.
func NewRecorder(max int, version string, s Settings, c *clock.Clock) *Recorder {
	return &Recorder{
		max: max, version: version, settings: s, clock: c, alone: make(chan struct{}, 1),
		catchUp: func(time.Time) time.Time { return c.Wall() },
	}
}

// CatchUpBy sets what does everything that is due, before a turn begins, for a
// request that has waited since a time. It returns the time at which the turn
// begins. CatchUpBy is called before anything is recorded.
func (r *Recorder) CatchUpBy(do func(since time.Time) time.Time) { r.catchUp = do }

// Begin forgets what was recorded, and records from here on.
func (r *Recorder) Begin(s Start) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.run = &run{start: s}
}

// Alone waits until no request has its turn, and lets none begin until free is
// called.
func (r *Recorder) Alone() (free func()) {
	r.alone <- struct{}{}
	return func() { <-r.alone }
}

// Stepped notes that as many due items were tried, of those due until a time.
// The caller is alone, or has its turn.
func (r *Recorder) Stepped(until time.Time, items int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.run == nil || r.run.stopped != "" || !r.run.hasRoomFor(stepSize) {
		return
	}
	r.run.turns++
	r.run.steps = append(r.run.steps, Step{
		Number: r.run.turns, At: r.clock.Wall().UTC(), Until: until.UTC(), Items: items,
	})
}

// stepSize is about what a step takes in bytes.
const stepSize = 128

// hasRoomFor counts bytes, and stops the run if they are too many.
func (r *run) hasRoomFor(bytes int) bool {
	if r.size+bytes > maxBytes {
		r.stopped = cmp.Or(r.stopped, fmt.Sprintf("a capsule has at most %d bytes of requests and answers", maxBytes))
		return false
	}
	r.size += bytes
	return true
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
	c := &Capsule{Notice: Notice, Format: Format, Version: r.version, Settings: r.settings, Requests: []Request{}}
	c.Settings.Credentials = slices.Clone(r.settings.Credentials) // the caller may redact them
	if r.run == nil {
		return c
	}
	c.Start, c.Stopped = r.run.start, r.run.stopped
	c.Start.Keys = slices.Clone(c.Start.Keys)
	for _, q := range r.run.requests {
		c.Requests = append(c.Requests, *q)
	}
	c.Steps = slices.Clone(r.run.steps)
	return c
}

// A place is that of one request in a run.
type place struct {
	recorder *Recorder
	kept     *Request
	body     read
	of       *run // nil before it has begun, or if it is not recorded
	begun    bool
	since    time.Time // it waits for its turn, or has it
	cut      bool      // it went on after the recording had stopped, and its answer is not kept
}

// Take waits until no other request has its turn.
func (p *place) Take(*turn.Turn) {
	p.since = p.recorder.clock.Wall()
	p.recorder.alone <- struct{}{}
}

// Give lets the next one go on.
func (p *place) Give(*turn.Turn) { <-p.recorder.alone }

// Waits says that delays are real.
func (p *place) Waits() bool { return true }

// Chance notes what was drawn.
func (p *place) Chance(drawn bool) bool {
	p.recorder.mu.Lock()
	defer p.recorder.mu.Unlock()
	p.kept.Chances = append(p.kept.Chances, drawn)
	return drawn
}

// Verified notes whether the signature was right.
func (p *place) Verified(right bool) {
	p.recorder.mu.Lock()
	defer p.recorder.mu.Unlock()
	p.kept.SignatureRight = &right
}

// Begin does what is due, notes the turn, and with the first one keeps the
// request, if there is room.
func (p *place) Begin(t *turn.Turn, cut string) string {
	r := p.recorder
	t.At = r.catchUp(p.since).UTC()
	r.mu.Lock()
	defer r.mu.Unlock()
	now := Turn{At: t.At, Clock: MomentOf(r.clock.State()), Cut: cut}
	switch {
	case !p.begun:
		p.begun = true
		p.addLocked(now)
		t.Number = p.kept.Number
	case p.of == nil || p.of != r.run || p.of.stopped != "":
		p.cut = true
	default:
		p.of.turns++
		now.Number = p.of.turns
		p.kept.Resumed = append(p.kept.Resumed, now)
	}
	return cut
}

// addLocked keeps a request, if there is room.
func (p *place) addLocked(now Turn) {
	run := p.recorder.run
	switch {
	case run == nil || run.stopped != "":
		return
	case len(run.requests) >= p.recorder.max:
		run.stopped = fmt.Sprintf("--capsule keeps %d requests", p.recorder.max)
		return
	}
	p.kept.Body, p.kept.Incomplete = p.body.text.Bytes(), p.body.broken
	if !run.hasRoomFor(p.kept.size()) {
		return
	}
	run.turns++
	now.Number = run.turns
	p.of, p.kept.Turn = run, now
	run.requests = append(run.requests, p.kept)
}

// done adds the answer, if there is room.
func (p *place) done(status int, answer []byte) {
	p.recorder.mu.Lock()
	defer p.recorder.mu.Unlock()
	if p.of != nil && !p.cut && p.of.hasRoomFor(len(answer)) {
		p.kept.Status, p.kept.Answer = status, answer
	}
}

// placeOf is the place of a request that is not kept yet.
func (r *Recorder) placeOf(q *http.Request, to string) *place {
	target := q.URL.RequestURI()
	if q.URL.Opaque != "" { // it has no scheme there
		target = q.RequestURI
	}
	return &place{recorder: r, body: read{ReadCloser: q.Body}, kept: &Request{
		To: to, Method: q.Method, URL: Text(target), Host: q.Host, Headers: headersOf(q.Header),
	}}
}

// Calls records what a handler serves that takes its turn itself, once it has
// read the request, and gives it back before it writes the answer: each call of
// the API.
func (r *Recorder) Calls(next http.Handler) http.Handler { return r.within(next, ToAPI) }

func (r *Recorder) within(next http.Handler, to string) http.Handler {
	if r == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		p := r.placeOf(q, to)
		t := &tee{ResponseWriter: w}
		ctx, _ := turn.With(q.Context(), p)
		q = q.WithContext(ctx)
		q.Body = &p.body
		defer func() { p.done(t.status, t.answer.Bytes()) }()
		next.ServeHTTP(t, q)
	})
}

// How a call of the control plane has its turn.
type How int

// The ways.
const (
	// Never is for what changes nothing that a call of the API can see, and for
	// what replaces the state, with which a new run begins.
	Never How = iota
	// Around is for what is done at once: the call has its turn while it is
	// served.
	Around
	// Inside is for what takes its turn itself, once it has read the request, as
	// a call of the API does.
	Inside
	// After is for a move of the clock, which calls may see on its way. Each has
	// the clock that it saw, and what became due has its own place, so the move
	// is only noted, when it has ended.
	After
)

// Control records what a handler of the control plane serves.
func (r *Recorder) Control(how How, next http.Handler) http.Handler {
	switch how {
	case Around:
		return r.around(next, ToControl)
	case Inside:
		return r.within(next, ToControl)
	case After:
		return r.after(next)
	}
	return next
}

// Metadata records what asks for the instance metadata.
func (r *Recorder) Metadata(next http.Handler) http.Handler { return r.around(next, ToMetadata) }

func (r *Recorder) around(next http.Handler, to string) http.Handler {
	if r == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		p := r.placeOf(q, to)
		p.readAll(q)
		ctx, t := turn.With(q.Context(), p)
		answer := caller.NewRecorder()
		func() { // with the whole request here, and the answer not yet on its way: nobody waits for this client
			t.Take()
			defer t.Give()
			t.Begin()
			next.ServeHTTP(answer, q.WithContext(ctx))
		}()
		p.done(answer.Status, answer.Body.Bytes())
		answer.Send(w)
	})
}

func (r *Recorder) after(next http.Handler) http.Handler {
	if r == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		p := r.placeOf(q, ToClock)
		p.readAll(q)
		answer := caller.NewRecorder()
		next.ServeHTTP(answer, q)
		_, t := turn.With(q.Context(), p)
		t.Take()
		t.Begin()
		t.Give()
		p.done(answer.Status, answer.Body.Bytes())
		answer.Send(w)
	})
}

// most is more than any call of the control plane reads of a body that is kept.
const most = 1<<20 + 1

// readAll reads a request's body, which its handler reads again.
func (p *place) readAll(q *http.Request) {
	var rest io.Reader = q.Body
	if _, err := io.Copy(io.Discard, io.LimitReader(&p.body, most)); err != nil {
		rest = failing{err}
	}
	q.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(p.body.text.Bytes()), rest), q.Body}
}

// failing is the rest of a body that ended with an error, which the handler
// meets, too.
type failing struct{ error }

// Read returns the error.
func (f failing) Read([]byte) (int, error) { return 0, f.error }

// mostKept is how much of a body is kept, in bytes: more than the API reads
// before it refuses a request.
const mostKept = tc3.MaxBodyV3 + 1<<10

// read keeps what is read of a body.
type read struct {
	io.ReadCloser
	text   bytes.Buffer
	broken bool // it has ended with an error
}

// Read reads on.
func (b *read) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.text.Write(p[:min(n, mostKept-b.text.Len())])
	b.broken = b.broken || err != nil && err != io.EOF
	return n, err
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
