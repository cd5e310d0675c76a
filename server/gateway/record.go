package gateway

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	jsonv2 "github.com/go-json-experiment/json"

	"ssmlocal/server/action"
	"ssmlocal/server/apierr"
	"ssmlocal/server/backend"
	"ssmlocal/server/fault"
	"ssmlocal/server/journal"
	"ssmlocal/server/ssm"
	"ssmlocal/server/tc3"
)

// What is reported of calls: the log, the journal, the metrics, all from one
// record.

// A record is all that can be said about one call. It never holds a secret's
// value.
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
	hint       string // what a caller that fails can do about it
	err        error  // what is behind an InternalError
	fault      *fault.Plan
	cut        string // why a call that a fault delayed was given up
	unanswered bool   // a fault took the answer away, and nothing was done

	does    *action.Action // what is called
	request any            // its parameters; without values once the call is over, or nil
	size    int            // of the parameters as they came, in bytes
	checked bool           // whether the action has found them in order
}

// asks notes what is called.
func (r *record) asks(a *action.Action, request any, size int) {
	r.does, r.request, r.size = a, request, size
	r.secretName = loggable(a.SecretName(request))
}

// sent notes what else the client has sent. A name that is known here is kept
// as our own string, not the client's.
func (r *record) sent(q *tc3.Request) {
	if r.does != nil {
		r.action = r.does.Name
	} else {
		r.action = journal.Clip(q.Action)
	}
	if r.region == "" {
		r.region = journal.Clip(q.Region)
	}
	r.client = journal.Clip(q.Client)
}

// fail turns any error into an API error. An error that isn't one becomes
// InternalError, and its cause goes to the log.
func (r *record) fail(err error) *apierr.Error {
	if r.unanswered = err == errNoAnswer; err == nil || r.unanswered {
		return nil
	}
	var failure *apierr.Error
	if !errors.As(err, &failure) {
		r.err = err
		failure = apierr.InternalError.With()
	}
	r.code = failure.Kind.Code
	switch failure.Kind {
	case apierr.NotEncrypted:
		r.hint = "the call asks for a value that is encrypted for the caller: what the real service answers is not documented, so the call is refused"
	case apierr.RoleNotFound:
		r.hint = "the role is not known: add it to its account in a seed, or give the caller that account (--credential ID:KEY:UIN)"
	}
	return failure
}

// finish records a call that is done, before its answer is sent to the client.
func (g *Gateway) finish(rec *record) {
	rec.took = g.backend.Clock.Wall().Sub(rec.at)
	rec.keepParameters()
	g.logCall(rec)
	g.metrics.count(rec)
	if rec.cut != backend.Replaced { // it belongs to a state whose journal is gone
		g.Journal.Add(rec)
	}
}

// loggable returns a secret's name as it can be logged. That may be a wrong
// name, but not one that may be anything, such as a value in the wrong place.
func loggable(name string) string {
	if ssm.CheckName(strings.ReplaceAll(name, "/", "-")) != nil {
		return ""
	}
	return strings.Clone(name)
}

// outcome returns a code for every call, also for one without a code.
func (r *record) outcome() string {
	switch {
	case r.code != "":
		return r.code
	case r.unanswered:
		return journal.NoAnswer
	}
	return journal.OK
}

// Entry returns the journal's entry of the call.
func (r *record) Entry() journal.Entry {
	e := journal.Entry{
		Time: r.at.UTC(), Action: r.action, Region: r.region, Uin: r.uin, SecretID: r.secretID, SecretName: r.secretName,
		RequestID: r.requestID, Code: r.outcome(), Duration: journal.Duration(r.took), Client: r.client, Mismatch: r.mismatch,
	}
	if r.fault != nil {
		e.Fault = r.fault.RuleID + ": " + r.effect()
	}
	if r.request != nil {
		e.Parameters = parameters{r.request}
	}
	return e
}

// effect is what the fault that hit the call did to it.
func (r *record) effect() string {
	if r.cut != "" {
		return r.fault.String() + ", meanwhile " + r.cut
	}
	return r.fault.String()
}

// longestKept is the length in bytes up to which the journal keeps the
// parameters of a call.
const longestKept = 16 << 10

// keepParameters keeps the parameters of a call that is done, without the
// values of secrets. Invalid parameters are not kept: they may have a value in
// the wrong place.
func (r *record) keepParameters() {
	if r.request == nil {
		return
	}
	var failed error
	defer func() {
		if failed != nil { // the check has panicked before, too: it is the call's own error
			r.request = nil
		}
	}()
	defer action.Catch(&failed)
	if !r.checked && r.does.Check(r.request) != nil || r.size-action.Redact(r.does, r.request) > longestKept {
		r.request = nil
	}
}

// parameters writes the parameters of an action when somebody asks for them,
// which is seldom.
type parameters struct{ request any }

// MarshalJSON leaves out what was not given.
func (p parameters) MarshalJSON() ([]byte, error) {
	return jsonv2.Marshal(p.request, jsonv2.OmitZeroStructFields(true))
}

// logCall writes the log line of a call.
func (g *Gateway) logCall(rec *record) {
	level, message := slog.LevelDebug, "call"
	switch {
	case rec.err != nil:
		level, message = slog.LevelError, "internal error"
	case rec.mismatch != "":
		level, message = slog.LevelWarn, "the signature is wrong"
	case rec.hint != "":
		level, message = slog.LevelWarn, rec.hint
	case rec.fault != nil:
		level, message = slog.LevelWarn, "a fault rule hit this call"
	}
	if !g.log.Enabled(context.Background(), level) {
		return
	}
	var attrs []slog.Attr
	if rec.fault != nil {
		attrs = append(attrs, slog.String("fault", rec.fault.RuleID), slog.String("effect", rec.effect()))
	}
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
	g.log.LogAttrs(context.Background(), level, message, attrs...)
}
