package gateway

import (
	"bytes"
	"context"
	"net/http"
	"sync"
	"time"

	"ssmlocal/server/action"
	"ssmlocal/server/apierr"
	"ssmlocal/server/limit"
	"ssmlocal/server/ssm"
	"ssmlocal/server/tc3"
	"ssmlocal/server/turn"
)

// ServeHTTP answers one API request, whatever happens.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body := bodies.Get().(*bytes.Buffer)
	body.Reset()
	rec := &record{at: g.backend.Clock.Wall()}
	faults := g.backend.Faults.Any()
	if faults { // one may hold the call up for longer than an answer may take
		_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
	}
	q, err := g.read(r, body, rec)
	reply, failure := g.answer(r.Context(), q, rec, err)
	if faults {
		_ = http.NewResponseController(w).SetWriteDeadline(g.backend.Clock.Wall().Add(answerTime))
	}
	g.write(w, q, rec, reply, failure)
	if body.Cap() <= largestKept {
		bodies.Put(body)
	}
}

// serve is the straight line: find, authenticate, region, limit, decode,
// inject, authorize, do. The order of its lines is the order in which mistakes
// are reported.
func (g *Gateway) serve(ctx context.Context, q *tc3.Request, rec *record) (reply any, err error) {
	defer action.Catch(&err)
	a, err := g.find(q, rec)
	if err != nil {
		return nil, err
	}
	caller, err := g.authenticate(ctx, q, rec, a)
	if err != nil {
		return nil, err
	}
	region, err := checkRegion(q)
	if err != nil {
		return nil, err
	}
	rec.uin, rec.region = caller.Uin, region
	budget := limit.Key{Uin: caller.Uin, Region: region, Action: a.Name}
	if err := g.limiter.Check(budget, g.Rate(a.Name), rec.at); err != nil {
		return nil, err
	}
	request := a.NewRequest()
	mistake := tc3.Decode(q, request) // reported after the faults, which hit such calls, too
	rec.asks(a, request, len(q.Body)+len(q.Query))
	if a.Finds() && mistake == nil {
		g.nameSecret(ctx, rec, &caller)
	}
	if err := g.inject(ctx, rec); err != nil {
		return nil, err
	}
	if mistake != nil {
		return nil, mistake
	}
	call := g.backend.Call(ctx, &caller, region, a) // as of now: a fault may have held it up
	if err := g.authorize(call, &caller, rec); err != nil {
		return nil, err
	}
	reply, err = g.backend.Do(ctx, call, a, request)
	rec.checked = call.Checked
	return reply, err
}

var bodies = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// answerTime is how long a client may take to read an answer after a fault that
// held the call up.
const answerTime = 2 * time.Minute

// largestKept is the capacity up to which a body's memory is kept for the next
// call.
const largestKept = 64 << 10

// read reads the request. It is not nil, whatever went wrong: an answer needs
// its language.
func (g *Gateway) read(r *http.Request, body *bytes.Buffer, rec *record) (q *tc3.Request, err error) {
	defer func() {
		if q == nil {
			q = new(tc3.Request)
		}
	}()
	defer action.Catch(&err)
	q, err = tc3.Read(r, body, g.backend.Directory.Unsigned())
	if err != nil && !q.Signed() && !g.backend.Directory.Unsigned() {
		rec.hint = "the request has no signature: use an SDK, or start with --auth off"
	}
	return q, err
}

// answer serves a call that was read, and records it. The state is not replaced
// meanwhile, because the call belongs in the journal of the state that it saw.
// The whole request has arrived by then, so a slow sender makes nobody wait,
// also while a run is recorded, when one call is answered at a time.
func (g *Gateway) answer(
	ctx context.Context, q *tc3.Request, rec *record, err error,
) (reply any, failure *apierr.Error) {
	t := turn.Of(ctx)
	t.Take()
	defer t.Give()
	g.backend.Enter()
	defer g.backend.Leave()
	t.Begin()
	rec.at, rec.requestID = t.Time(rec.at), g.backend.UUID(ctx)
	if err == nil {
		reply, err = g.serve(ctx, q, rec)
	}
	failure = rec.fail(err)
	rec.sent(q)
	g.finish(rec)
	return reply, failure
}

// write sends the answer, if no fault takes it away.
func (g *Gateway) write(w http.ResponseWriter, q *tc3.Request, rec *record, reply any, failure *apierr.Error) {
	if rec.unanswered {
		withoutAnswer(w, rec.fault)
		return
	}
	if rec.fault != nil && rec.fault.Truncate {
		w = truncatingWriter{w}
	}
	if err := tc3.Write(w, q, rec.requestID, reply, failure); err != nil {
		g.log.Error("an answer can't be encoded", "action", rec.action, "error", err, "requestId", rec.requestID)
		_ = tc3.Write(w, q, rec.requestID, nil, apierr.InternalError.With())
	}
}

// checkRegion returns the region that a call is for.
func checkRegion(q *tc3.Request) (string, error) {
	if !q.RegionGiven {
		return ssm.DefaultRegion, nil
	}
	region, offers := ssm.FindRegion(q.Region)
	switch {
	case region == "":
		return "", apierr.CommonValue.With(q.Name("Region"))
	case !offers:
		return "", apierr.UnsupportedRegion.With()
	}
	return region, nil
}
