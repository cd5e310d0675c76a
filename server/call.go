package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"ssmlocal/server/account"
	"ssmlocal/server/action"
	"ssmlocal/server/apierr"
	"ssmlocal/server/fault"
	"ssmlocal/server/limit"
	"ssmlocal/server/ssm"
	"ssmlocal/server/tc3"
)

// A record is all that can be said about one call. It never holds a secret's value.
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
	fault      *fault.Plan
	cut        string // why a call that a fault held up came to nothing
	request    any    // the action's parameters, without values
	unanswered bool   // a fault took the answer away, and nothing was done
}

var bodies = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// largestKept is the capacity up to which a body's memory is kept for the next call.
const largestKept = 64 << 10

// call answers one API request, whatever becomes of it.
func (s *Server) call(w http.ResponseWriter, r *http.Request) {
	body := bodies.Get().(*bytes.Buffer)
	body.Reset()
	rec := &record{at: s.backend.Clock.Wall(), requestID: s.backend.UUID()}
	if s.backend.Faults.Any() { // one may hold the call up for longer than an answer may take
		_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
	}

	q, reply, failure := s.answer(r, body, rec)
	if rec.unanswered {
		withoutAnswer(w, rec.fault)
	} else {
		if rec.fault != nil && rec.fault.Truncate {
			w = half{w}
		}
		if err := tc3.Write(w, q, rec.requestID, reply, failure); err != nil {
			s.log.Error("an answer can't be encoded", "action", rec.action, "error", err, "requestId", rec.requestID)
			_ = tc3.Write(w, q, rec.requestID, nil, apierr.InternalError.With())
		}
	}
	if body.Cap() <= largestKept {
		bodies.Put(body)
	}
}

// answer is the straight line: read, find, verify, limit, decode, fault, access, check, do. The order of its lines is the order in
// which mistakes are told.
func (s *Server) answer(r *http.Request, body *bytes.Buffer, rec *record) (q *tc3.Request, reply any, failure *apierr.Error) {
	q, err := s.read(r, body, rec)
	s.backend.Enter() // after the request has come whole: a slow sender holds nobody up
	defer s.backend.Leave()
	if err == nil {
		reply, err = s.do(r.Context(), q, rec)
	}
	failure = s.failure(rec, err)
	s.finish(rec) // before the state may be replaced: the call does not belong into the next one's journal
	return q, reply, failure
}

// read is the first of the line. The request is not nil, whatever went wrong: an answer needs its language.
func (s *Server) read(r *http.Request, body *bytes.Buffer, rec *record) (q *tc3.Request, err error) {
	defer func() {
		if q == nil {
			q = new(tc3.Request)
		}
	}()
	defer catch(&err)
	q, err = tc3.Read(r, body, s.backend.Directory.Unsigned())
	rec.action, rec.region, rec.client = clip(q.Action), clip(q.Region), clip(q.Client)
	if err != nil && !q.Signed() && !s.backend.Directory.Unsigned() {
		rec.hint = "the request has no signature: use an SDK, or start with --auth off"
	}
	return q, err
}

// do is the rest of it.
func (s *Server) do(ctx context.Context, q *tc3.Request, rec *record) (reply any, err error) {
	defer catch(&err)
	c, err := s.admit(q, rec)
	if err != nil {
		return nil, err
	}
	return s.perform(ctx, q, rec, c)
}

// catch makes an error of a panic.
func catch(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
	}
}

// admitted is a call that has come past the gateway.
type admitted struct {
	action *action.Action
	caller account.Caller
	region string
}

// admit is the gateway's half of the line: find, verify, limit.
func (s *Server) admit(q *tc3.Request, rec *record) (c admitted, err error) {
	if c.action, err = s.find(q, rec); err != nil {
		return c, err
	}
	if c.caller, err = s.verify(q, rec, c.action); err != nil {
		return c, err
	}
	if c.region, err = checkRegion(q); err != nil {
		return c, err
	}
	rec.uin, rec.region = c.caller.Uin, c.region
	return c, s.limit(c, rec.at)
}

// perform is the service's half: decode, fault, access, check, do.
func (s *Server) perform(ctx context.Context, q *tc3.Request, rec *record, c admitted) (reply any, err error) {
	request := c.action.NewRequest()
	mistake := tc3.Decode(q, request)
	call := s.backend.Call(&c.caller, c.region) // not its arrival: meanwhile the state may have been replaced, or the clock moved
	rec.secretName = loggable(c.action.SecretName(request))
	if c.action.Finds() && rec.secretName == "" && mistake == nil {
		rec.secretName, _ = s.backend.FindSecret(call, c.action, request) // told by the action
	}
	checked := false
	defer func() { rec.keepParameters(c.action, request, checked, len(q.Body)+len(q.Query)) }()
	if s.backend.Faults.Any() {
		if err := s.provoke(ctx, rec, c.action, request); err != nil {
			return nil, err
		}
		if rec.fault != nil { // it may have been held up
			call = s.backend.Call(&c.caller, c.region)
		}
	}
	if mistake != nil {
		return nil, mistake
	}
	if err := s.access(c, call, rec, request); err != nil {
		return nil, err
	}
	reply, err = s.backend.Do(ctx, call, c.action, request)
	if err != nil && errors.Is(err, apierr.NotEncrypted.With("")) {
		rec.hint = "a value that is encrypted for the caller is wanted: what the real service answers then is not documented, so it is refused"
	}
	if err != nil && errors.Is(err, apierr.RoleNotFound.With("", 0)) {
		rec.hint = "a role is wanted that is not known: seed its account with it, or make its account the caller's (--credential ID:KEY:UIN)"
	}
	checked = call.Checked
	return reply, err
}

// maxKept is how much is kept of what a client may send at any length, in bytes.
const maxKept = 256

// clip is the one way for something that a client has sent into what is kept: the
// journal, the log, the metrics. The result has a bound and memory of its own.
func clip(s string) string { return clipTo(s, maxKept) }

func clipTo(s string, most int) string {
	if len(s) <= most {
		return strings.Clone(s)
	}
	return strings.ToValidUTF8(strings.Clone(s[:most]), "") + "…"
}

// loggable is a secret's name as it can be told of: also one that is wrong, unless it may be anything, such as a value in
// the wrong place.
func loggable(name string) string {
	if ssm.CheckName(strings.ReplaceAll(name, "/", "-")) != nil {
		return ""
	}
	return strings.Clone(name)
}

// verify finds out who calls.
func (s *Server) verify(q *tc3.Request, rec *record, a *action.Action) (account.Caller, error) {
	if a.Unsigned && q.Header.Get("Authorization") == "SKIP" {
		return account.Caller{}, s.checkFresh(q, rec)
	}
	claim, err := q.Claim()
	rec.secretID = clip(claim.SecretID)
	if s.backend.Directory.Unsigned() {
		if err != nil || claim.SecretID == "" {
			return s.backend.Directory.Anonymous(), nil
		}
		return s.backend.Directory.Find(claim.SecretID)
	}
	if err == nil {
		err = s.checkScope(q)
	}
	if err != nil {
		return account.Caller{}, err
	}
	if err := s.checkFresh(q, rec); err != nil {
		return account.Caller{}, err
	}
	caller, err := s.backend.Directory.Find(claim.SecretID)
	switch {
	case err != nil:
		rec.hint = "the SecretId is not known: call with " + clip(s.backend.Directory.KnownIDs()) + ", or start with --credential or --auth any"
		return caller, err
	case !caller.Known:
		return caller, nil
	}
	rec.uin = caller.Uin
	if hint := tokenHint(&caller, q.Token, s.backend.Clock.At(rec.at)); hint != "" {
		rec.hint = hint
		return caller, apierr.TokenFailure.With()
	}
	err = s.verifier.Verify(q, claim, caller.SecretKey)
	if err != nil {
		rec.mismatch = clipTo(tc3.Explain(q, claim, caller.SecretKey, s.backend.Directory.OtherKeys(claim.SecretID, mostOthers)), 2*maxKept)
	}
	return caller, err
}

// checkFresh refuses a call that was signed too long ago, or in the future, by wall time.
func (s *Server) checkFresh(q *tc3.Request, rec *record) error {
	err := q.CheckFresh(rec.at)
	if err != nil {
		signed := time.Unix(q.Timestamp, 0).UTC()
		rec.hint = fmt.Sprintf("the timestamp of the signature, %s, is more than %s from this machine's clock, %s: set the caller's clock right (the virtual clock, %s, doesn't matter here)",
			signed.Format(time.RFC3339), tc3.MaxSkew, rec.at.UTC().Format(time.RFC3339), s.backend.Clock.At(rec.at).UTC().Format(time.RFC3339))
	}
	return err
}

// tokenHint says what is wrong with the token of a call, "" for nothing.
func tokenHint(c *account.Caller, token string, now time.Time) string {
	switch {
	case c.Token == token && c.Orphan:
		return "the temporary keys have ended with the role, or with the key that asked for them: get others"
	case c.Token == token && c.Expired(now):
		return "the temporary keys expired at " + time.Unix(0, c.ExpiresAt).UTC().Format(time.RFC3339) + " by the virtual clock: get others"
	case c.Token == token:
		return ""
	case token == "":
		return "the keys are temporary and the call has no token: set X-TC-Token"
	case c.Token == "":
		return "the keys are permanent and the call has a token: send none"
	}
	return "the token is not that of the keys"
}

// mostOthers is how many other credentials are held against a wrong signature.
const mostOthers = 1000

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
	return strings.Clone(q.Region), nil // the limiter keeps it
}

func (s *Server) limit(c admitted, now time.Time) error {
	name := c.action.Name
	return s.limiter.Check(limit.Key{Uin: c.caller.Uin, Region: c.region, Action: name}, s.rates[name], now)
}

// failure makes an API error of any error. What isn't one becomes InternalError, and its cause goes to the log.
func (s *Server) failure(rec *record, err error) *apierr.Error {
	if rec.unanswered = err == errNoAnswer; err == nil || rec.unanswered {
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
