package server

import (
	"context"
	"log/slog"

	jsonv2 "github.com/go-json-experiment/json"

	"ssmlocal/server/action"
	"ssmlocal/server/backend"
	"ssmlocal/server/journal"
)

// What is told of calls: the log, the journal, the metrics, all from one record.

// finish tells of a call that is done, except for its answer's way to the client.
func (s *Server) finish(rec *record) {
	rec.took = s.backend.Clock.Wall().Sub(rec.at)
	s.tell(rec)
	s.metrics.count(rec)
	if rec.cut != backend.Replaced { // it belongs to a state whose journal is gone
		s.journal.Add(rec)
	}
}

// outcome is the code of the call, also where it has none.
func (r *record) outcome() string {
	switch {
	case r.code != "":
		return r.code
	case r.unanswered:
		return journal.NoAnswer
	}
	return journal.OK
}

// Entry is what the journal tells of the call.
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

// longestKept is how long the parameters of a call can be, in bytes, for the journal to keep them.
const longestKept = 16 << 10

// keepParameters keeps the parameters of a call that is done, without the values of secrets. Those that are not in order
// are not kept: they may have a value in the wrong place.
func (r *record) keepParameters(a *action.Action, request any, checked bool, size int) {
	if !checked && a.Check(request) != nil {
		return
	}
	if size-action.Redact(a, request) <= longestKept {
		r.request = request
	}
}

// parameters writes the parameters of an action when somebody asks for them, which is seldom.
type parameters struct{ request any }

// MarshalJSON leaves out what was not given.
func (p parameters) MarshalJSON() ([]byte, error) {
	return jsonv2.Marshal(p.request, jsonv2.OmitZeroStructFields(true))
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
	case rec.fault != nil:
		level, message = slog.LevelWarn, "a fault hit"
	}
	if !s.log.Enabled(context.Background(), level) {
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
	s.log.LogAttrs(context.Background(), level, message, attrs...)
}
