package server

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"ssmlocal/server/account"
	"ssmlocal/server/action"
	"ssmlocal/server/apierr"
	"ssmlocal/server/limit"
	"ssmlocal/server/ssm"
	"ssmlocal/server/tc3"
)

// A record is all that can be said about one call. It never holds a parameter's value but the secret's name.
type record struct {
	at         time.Time // wall time
	took       time.Duration
	requestID  string
	action     string
	region     string
	uin        uint64
	secretID   string
	secretName string
	client     string // RequestClient
	code       string // "" for success
	mismatch   string // which part of a signature was wrong
	hint       string // what a caller who gets no further than its key can do
	err        error  // what is behind an InternalError
}

var bodies = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// largestKept is the capacity up to which a body's memory is kept for the next call.
const largestKept = 64 << 10

// call answers one API request, whatever becomes of it.
func (s *Server) call(w http.ResponseWriter, r *http.Request) {
	body := bodies.Get().(*bytes.Buffer)
	body.Reset()
	rec := &record{at: s.clock.Wall(), requestID: s.random.uuid()}

	q, reply, err := s.answer(r, body, rec)
	failure := s.failure(rec, err)
	if err := tc3.Write(w, q, rec.requestID, reply, failure); err != nil {
		failure = s.failure(rec, fmt.Errorf("cannot encode the answer: %w", err))
		_ = tc3.Write(w, q, rec.requestID, nil, failure)
	}

	rec.took = s.clock.Wall().Sub(rec.at)
	s.tell(rec)
	if body.Cap() <= largestKept {
		bodies.Put(body)
	}
}

// answer is the straight line: read, find, verify, limit, decode, check, do. The order of its lines is the order in
// which mistakes are told.
func (s *Server) answer(r *http.Request, body *bytes.Buffer, rec *record) (q *tc3.Request, reply any, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
			if q == nil {
				q = new(tc3.Request) // an answer needs its language
			}
		}
	}()
	q, err = tc3.Read(r, body, s.directory.Unsigned())
	rec.action, rec.region, rec.client = q.Action, q.Region, q.Client
	if err != nil {
		if !q.Signed() && !s.directory.Unsigned() {
			rec.hint = "the request has no signature: use an SDK, or start with --auth off"
		}
		return q, nil, err
	}
	a, err := s.find(q, rec)
	if err != nil {
		return q, nil, err
	}
	caller, err := s.verify(q, rec)
	if err != nil {
		return q, nil, err
	}
	region, err := checkRegion(q)
	if err != nil {
		return q, nil, err
	}
	rec.uin, rec.region = caller.Uin, region
	if err := s.limit(caller, region, a, rec.at); err != nil {
		return q, nil, err
	}
	request := a.NewRequest()
	err = tc3.Decode(q, request)
	if name := a.SecretName(request); ssm.CheckName(name) == nil {
		rec.secretName = name // else it may be anything, a value in the wrong place too
	}
	if err != nil {
		return q, nil, err
	}
	c := s.newCall(caller, region, rec.at)
	if err := s.worker.CatchUp(c.Now); err != nil {
		return q, nil, err
	}
	reply, err = a.Run(s.db, c, request)
	if err == nil && !c.Due.IsZero() {
		s.worker.Notice(c.Due)
	}
	return q, reply, err
}

// newCall is what an action gets to know.
func (s *Server) newCall(caller account.Caller, region string, wall time.Time) *action.Call {
	data := s.accounts.of(caller.Uin)
	return &action.Call{
		Owner: ssm.Owner{Uin: caller.Uin, AppID: caller.AppID(), Region: region}, Now: s.clock.At(wall),
		Random: s.random, SecretLimit: cmp.Or(data.SecretLimit, s.secretLimit), Tasks: &s.tasks, Account: data,
	}
}

// verify finds out who calls.
func (s *Server) verify(q *tc3.Request, rec *record) (account.Caller, error) {
	claim, err := q.Claim()
	rec.secretID = claim.SecretID
	if s.directory.Unsigned() {
		if err != nil || claim.SecretID == "" {
			return s.directory.Anonymous(), nil
		}
		return s.directory.Find(claim.SecretID)
	}
	if err != nil {
		return account.Caller{}, err
	}
	if err := q.CheckFresh(rec.at); err != nil {
		return account.Caller{}, err
	}
	caller, err := s.directory.Find(claim.SecretID)
	switch {
	case err != nil:
		rec.hint = "the SecretId is not known: call with " + s.directory.KnownIDs() + ", or start with --credential or --auth any"
		return caller, err
	case !caller.Known:
		return caller, nil
	case caller.Token != q.Token:
		return caller, apierr.TokenFailure.With()
	}
	err = s.verifier.Verify(q, claim, caller.SecretKey)
	if err != nil {
		rec.mismatch = tc3.Explain(q, claim, caller.SecretKey, s.directory.OtherKeys(claim.SecretID))
	}
	return caller, err
}

// checkRegion returns the region that a call is for.
func checkRegion(q *tc3.Request) (string, error) {
	if !q.RegionGiven {
		return ssm.DefaultRegion, nil
	}
	exists, offers := ssm.FindRegion(q.Region)
	switch {
	case !exists:
		return "", apierr.CommonValue.With(q.Name("Region"))
	case !offers:
		return "", apierr.UnsupportedRegion.With()
	}
	return q.Region, nil
}

func (s *Server) limit(caller account.Caller, region string, a *action.Action, now time.Time) error {
	perSecond := s.rates[a.Name]
	if perSecond == 0 {
		return nil
	}
	return s.limiter.Check(limit.Key{Uin: caller.Uin, Region: region, Action: a.Name}, perSecond, now)
}

// failure makes an API error of any error. What isn't one becomes InternalError, and its cause goes to the log.
func (s *Server) failure(rec *record, err error) *apierr.Error {
	if err == nil {
		return nil
	}
	var failure *apierr.Error
	if !errors.As(err, &failure) {
		rec.err = err
		failure = apierr.InternalError.With()
	}
	rec.code = failure.Kind.Code
	return failure
}

// tell writes the log line of a call.
func (s *Server) tell(rec *record) {
	level, message := slog.LevelDebug, "call"
	switch {
	case rec.err != nil:
		level, message = slog.LevelError, "internal error"
	case rec.mismatch != "":
		level, message = slog.LevelWarn, "the signature is wrong"
	case rec.hint != "":
		level, message = slog.LevelWarn, rec.hint
	}
	if !s.log.Enabled(context.Background(), level) {
		return
	}
	var attrs []slog.Attr
	for _, a := range []slog.Attr{
		slog.String("mismatch", rec.mismatch), slog.String("action", rec.action), slog.String("code", rec.code),
		slog.String("secretName", rec.secretName), slog.String("region", rec.region), slog.String("secretId", rec.secretID),
		slog.String("client", rec.client),
	} {
		if a.Value.String() != "" {
			attrs = append(attrs, a)
		}
	}
	if rec.uin != 0 {
		attrs = append(attrs, slog.Uint64("uin", rec.uin))
	}
	attrs = append(attrs, slog.Duration("took", rec.took), slog.String("requestId", rec.requestID))
	if rec.err != nil {
		attrs = append(attrs, slog.Any("error", rec.err))
	}
	s.log.LogAttrs(context.Background(), level, message, attrs...)
}
