package server

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/go-chi/chi/v5"

	"ssmlocal/server/caller"
	"ssmlocal/server/capsule"
	"ssmlocal/server/control"
	"ssmlocal/server/redact"
	"ssmlocal/server/turn"
)

// A player sends a capsule's requests turn by turn, and compares the answers.
type player struct {
	ctx     context.Context
	cancel  context.CancelFunc
	capsule *capsule.Capsule
	to      map[string]http.Handler
	places  []*played
	drawn   drawn
}

// newPlayer returns a player for an emulator that begins as the capsule does.
func newPlayer(ctx context.Context, s *Server, c *capsule.Capsule) *player {
	routes := chi.NewRouter()
	s.control.Mount(routes)
	p := &player{
		capsule: c, places: make([]*played, len(c.Requests)),
		to: map[string]http.Handler{
			capsule.ToAPI: s.Gateway, capsule.ToControl: changesOnly(routes), capsule.ToMetadata: around(http.HandlerFunc(s.serveMetadata)),
		},
	}
	// Without what the routing of the request for the replay has in it.
	p.ctx, p.cancel = context.WithCancel(context.Background())
	context.AfterFunc(ctx, p.cancel)
	return p
}

// changesOnly refuses the calls of the control plane that no capsule has: some
// of them never end.
func changesOnly(routes http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		switch control.Recorded(q.Method, cmp.Or(q.URL.RawPath, q.URL.Path)) { // as the router matches it
		case capsule.Never:
			http.Error(w, "a capsule can't have this call", http.StatusNotImplemented)
		case capsule.Around:
			around(routes).ServeHTTP(w, q)
		default:
			routes.ServeHTTP(w, q)
		}
	})
}

// around begins a request's turn before it is served.
func around(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		turn.Of(q.Context()).Begin()
		next.ServeHTTP(w, q)
	})
}

// end gives up the requests that still wait for a turn.
func (p *player) end() {
	p.cancel()
	for _, x := range p.places {
		if x != nil {
			<-x.done
		}
	}
}

// played is a request that is sent again.
type played struct {
	ctx     context.Context
	at      capsule.Turn
	chances []bool        // that are left
	resumed chan struct{} // the request may go on
	waits   chan struct{} // the request waits for its next turn
	begun   bool
	done    chan struct{} // closed with the answer
	status  int
	answer  []byte
}

// Take lets the first turn begin at once, because requests are sent one by one,
// and waits for the others.
func (x *played) Take(*turn.Turn) {
	if !x.begun {
		return
	}
	select {
	case x.waits <- struct{}{}:
		select {
		case <-x.resumed:
		case <-x.ctx.Done():
		}
	case <-x.ctx.Done():
	}
}

// Begin sets the turn as it was recorded.
func (x *played) Begin(t *turn.Turn, cut string) string {
	if !x.begun {
		x.begun, t.Number = true, x.at.Number
	}
	t.At = x.at.At
	return cmp.Or(x.at.Cut, cut)
}

// Give has nothing to do: the player waits for the request.
func (x *played) Give(*turn.Turn) {}

// Verified has nothing to do: the answers are compared.
func (x *played) Verified(bool) {}

// Chance is as it was recorded.
func (x *played) Chance(drawn bool) bool {
	if len(x.chances) > 0 {
		drawn, x.chances = x.chances[0], x.chances[1:]
	}
	return drawn
}

// Waits says that nothing is really waited for.
func (x *played) Waits() bool { return false }

// A playedTurn is one turn of a request.
type playedTurn struct {
	at      capsule.Turn
	request int // index
	first   bool
	step    *capsule.Step // nil for the turn of a request
}

// turns are all turns, in their order.
func (p *player) turns() (all []playedTurn) {
	for i := range p.capsule.Requests {
		q := &p.capsule.Requests[i]
		all = append(all, playedTurn{at: q.Turn, request: i, first: true})
		for _, t := range q.Resumed {
			all = append(all, playedTurn{at: t, request: i})
		}
	}
	for i := range p.capsule.Steps {
		s := &p.capsule.Steps[i]
		all = append(all, playedTurn{at: capsule.Turn{Number: s.Number, At: s.At}, step: s})
	}
	slices.SortStableFunc(all, func(a, b playedTurn) int { return cmp.Compare(a.at.Number, b.at.Number) })
	return all
}

// play plays one turn. It reports whether the request ended with it.
func (p *player) play(t playedTurn) (done bool) {
	x := p.places[t.request]
	q := &p.capsule.Requests[t.request]
	switch {
	case t.first:
		x = &played{
			ctx: p.ctx, at: t.at, chances: q.Chances,
			resumed: make(chan struct{}), waits: make(chan struct{}), done: make(chan struct{}),
		}
		p.places[t.request] = x
		if q.To == capsule.ToClock {
			close(x.done)
			break
		}
		go p.send(x, q)
	case x == nil || x.over(): // it did not wait this time: no database is bound
		return false
	default:
		x.at = t.at
		select {
		case x.resumed <- struct{}{}:
		case <-x.done: // it was given up
		}
	}
	select {
	case <-x.waits:
		return false
	case <-x.done:
		return true
	}
}

func (x *played) over() bool {
	select {
	case <-x.done:
		return true
	default:
		return false
	}
}

// send sends a request again.
func (p *player) send(x *played, q *capsule.Request) {
	defer close(x.done)
	w := caller.NewRecorder()
	defer func() {
		switch failed := recover(); failed {
		case nil, http.ErrAbortHandler: // the latter is a fault that breaks the connection off
			x.status, x.answer = w.Status, w.Body.Bytes()
		default: // a difference, not the end of whoever replays
			x.status, x.answer = http.StatusInternalServerError, fmt.Appendf(nil, "the emulator panicked: %v", failed)
		}
	}()
	ctx, t := turn.With(p.ctx, x)
	target, body, headers := string(q.URL), []byte(q.Body), q.Headers.HTTP()
	if p.capsule.Redacted {
		t.Signature = q.SignatureRight
		target, body, headers = p.drawn.in(target, body, headers)
	}
	r, err := http.NewRequestWithContext(ctx, q.Method, "/", bytes.NewReader(body))
	if err == nil {
		r.URL, err = url.ParseRequestURI(target)
	}
	if err != nil { // the capsule was checked
		x.status, x.answer = 0, []byte(err.Error())
		return
	}
	if q.Incomplete {
		r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), brokenOff{}))
	}
	r.Host, r.RequestURI, r.RemoteAddr = q.Host, target, "127.0.0.1:0"
	r.Header = headers
	if q.To == capsule.ToControl && q.Status != http.StatusForbidden { // by a name that was the emulator's own
		r.Host = r.RemoteAddr
		r.Header.Del("Origin")
	}
	p.to[q.To].ServeHTTP(w, r)
}

// brokenOff is the rest of a body whose client sent no more.
type brokenOff struct{}

func (brokenOff) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// shown is how many bytes of an answer a difference has.
const shown = 300

// compare returns how an answer differs, nil if it does not. Of the control
// plane only the status is compared: its answers have durations in them.
func (p *player) compare(i int) *Difference {
	q, x := &p.capsule.Requests[i], p.places[i]
	before, now := []byte(q.Answer), x.answer
	switch {
	case q.Status == 0, q.To == capsule.ToClock:
		return nil
	case !x.over():
		now = []byte("no answer: it waits for something")
	case q.To == capsule.ToControl:
		if p.capsule.Redacted {
			p.drawn.learn(before, now)
		}
		if x.status == q.Status {
			return nil
		}
	default:
		if p.capsule.Redacted {
			p.drawn.learn(before, now)
		}
		before, now = comparable(before, p.capsule.Redacted), comparable(now, p.capsule.Redacted)
		if bytes.Equal(before, now) && x.status == q.Status {
			return nil
		}
	}
	if x.status != q.Status {
		before, now = fmt.Appendf(nil, "%d %s", q.Status, before), fmt.Appendf(nil, "%d %s", x.status, now)
	}
	at := 0
	for at < min(len(before), len(now)) && before[at] == now[at] {
		at++
	}
	at = max(0, at-40)
	what := q.Method + " " + strings.SplitN(string(q.URL), "?", 2)[0]
	if action := q.Headers.Get("X-Tc-Action"); action != "" {
		what = action
	}
	return &Difference{Number: i + 1, At: q.At, What: what, Before: cut(before[at:]), Now: cut(now[at:])}
}

func cut(text []byte) string { return strings.ToValidUTF8(string(text[:min(len(text), shown)]), "") }

// comparable is an answer without what can't be the same: SSH keys, and the
// values, the messages and what is drawn of a redacted capsule.
func comparable(answer []byte, redacted bool) []byte {
	if !redacted && !bytes.Contains(answer, []byte(`"PrivateKey"`)) {
		return answer
	}
	var value any
	switch {
	case json.Unmarshal(answer, &value) == nil:
	case redacted: // a fault has broken it, and which half is left depends on the values
		return nil
	default:
		return sshKeys.ReplaceAll(answer, []byte(`"$1":"***`))
	}
	text, err := json.Marshal(strip(value, redacted))
	if err != nil {
		return answer
	}
	return text
}

// sshKeys are those in an answer of which half is missing.
var sshKeys = regexp.MustCompile(`"(PublicKey|PrivateKey)":"[^"]*`)

// strip replaces what can't be the same. Of a redacted capsule, the names in a
// list may have another order.
func strip(value any, redacted bool) any {
	switch v := value.(type) {
	case map[string]any:
		for name, child := range v {
			if name == "PublicKey" || name == "PrivateKey" || redacted && isDrawn(name) {
				v[name] = "***"
			} else {
				v[name] = strip(child, redacted)
			}
		}
	case []any:
		for i, child := range v {
			v[i] = strip(child, redacted)
		}
		if redacted {
			slices.SortFunc(v, func(a, b any) int { return bytes.Compare(marshalled(a), marshalled(b)) })
		}
	}
	return value
}

func marshalled(value any) []byte {
	text, _ := json.Marshal(value) // it was read
	return text
}

// isDrawn reports whether a field of an answer has a value, something that is
// drawn, or a text that may quote one.
func isDrawn(name string) bool {
	switch name {
	case "RequestId", "FlowID", "ResourceID", "ResourceName", "TmpSecretId", "AccountName", "UserName", "Message", "OrderId":
		return true
	}
	return redact.IsValue(name) || strings.HasPrefix(name, "SSHKey")
}

// drawn is what the replay of a redacted capsule has drawn, by what was
// recorded in its place: later requests have it, such as temporary keys.
type drawn struct{ pairs []string }

// leastDrawn is the shortest text in bytes that is looked for in requests.
const leastDrawn = 6

// learn compares an answer with the recorded one.
func (d *drawn) learn(before, now []byte) {
	var a, b any
	if json.Unmarshal(before, &a) == nil && json.Unmarshal(now, &b) == nil {
		d.walk("", a, b)
	}
}

func (d *drawn) walk(name string, before, now any) {
	switch was := before.(type) {
	case map[string]any:
		is, _ := now.(map[string]any)
		for name, child := range was {
			d.walk(name, child, is[name])
		}
	case []any:
		is, _ := now.([]any)
		for i, child := range was {
			d.walk(name, child, sameItem(child, i, is))
		}
	case string:
		is, text := now.(string)
		var a, b map[string]any
		if strings.HasPrefix(was, "{") && json.Unmarshal([]byte(was), &a) == nil && json.Unmarshal([]byte(is), &b) == nil {
			for inner, child := range a { // a value that the service has made
				d.walk(inner, child, b[inner])
			}
			return
		}
		if text && isDrawn(name) && name != "RequestId" && name != "Message" {
			d.note(was, is)
		}
	case float64:
		if is, number := now.(float64); number && isDrawn(name) {
			d.note(fmt.Sprintf("%.0f", was), fmt.Sprintf("%.0f", is))
		}
	}
}

// sameItem finds an item of a list again, which may have another place there: by
// the name of its secret, if it has one.
func sameItem(item any, i int, list []any) any {
	name := func(of any) any {
		fields, _ := of.(map[string]any)
		return fields["SecretName"]
	}
	if named := name(item); named != nil {
		i = slices.IndexFunc(list, func(of any) bool { return name(of) == named })
	}
	if i < 0 || i >= len(list) {
		return nil
	}
	return list[i]
}

func (d *drawn) note(was, is string) {
	if was != is && len(was) >= leastDrawn {
		d.pairs = append([]string{was, is}, d.pairs...) // the last one first
	}
}

// in puts what was drawn this time into a request.
func (d *drawn) in(target string, body []byte, headers http.Header) (string, []byte, http.Header) {
	if len(d.pairs) == 0 {
		return target, body, headers
	}
	put := strings.NewReplacer(d.pairs...)
	for _, values := range headers {
		for i := range values {
			values[i] = put.Replace(values[i])
		}
	}
	return put.Replace(target), []byte(put.Replace(string(body))), headers
}
