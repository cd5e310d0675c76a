package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"ssmlocal/server/apierr"
	"ssmlocal/server/fault"
	"ssmlocal/server/listen"
	"ssmlocal/server/turn"
)

// Provoked failures: what a rule's effect does to a call.

// errNoAnswer ends a call whose answer a fault takes away.
var errNoAnswer = errors.New("a fault takes the answer away")

// inject lets a fault hit a call, if there is one for it. The error is what the
// call ends with.
func (g *Gateway) inject(ctx context.Context, rec *record) error {
	if !g.backend.Faults.Any() {
		return nil
	}
	plan := g.backend.Faults.Pick(fault.Call{
		Action: rec.does.Name, SecretName: rec.secretName, SecretID: rec.secretID, Region: rec.region, Uin: rec.uin, Chance: turn.Of(ctx).Chance,
	})
	if plan == nil || plan.Effect == (fault.Effect{}) {
		return nil
	}
	rec.fault = plan
	if rec.cut = g.backend.Sleep(ctx, plan.Wait, rec.uin); rec.cut != "" {
		return errNoAnswer
	}
	switch {
	case plan.Status != 0 || plan.Drop:
		return errNoAnswer
	case plan.Throttle || isThrottling(plan.Error):
		return apierr.RequestLimitExceeded.With(rec.does.Rate+1, rec.does.Rate)
	case plan.Error != nil:
		return provoked(plan.Error, rec)
	}
	return nil
}

// isThrottling reports whether a rule asks for what Throttle means, by its
// code.
func isThrottling(e *fault.Error) bool {
	return e != nil && e.Code == apierr.RequestLimitExceeded.Code && e.Message == ""
}

// provoked is the error that a rule asks for, as the gateway would send it.
func provoked(e *fault.Error, rec *record) error {
	if e.Message != "" {
		return apierr.Custom(e.Code, e.Message)
	}
	for _, k := range []*apierr.Kind{apierr.Unauthorized, apierr.GatewayUnauthorized} {
		if e.Code == k.Code {
			return unauthorized(k, rec, resourceOf(rec, rec.secretName))
		}
	}
	failure, ok := apierr.Provoked(e.Code)
	if !ok {
		return fmt.Errorf("the fault %s has the unknown code %s", rec.fault.RuleID, e.Code)
	}
	return failure
}

// withoutAnswer does to a connection what a fault with Drop or Status asks for.
func withoutAnswer(w http.ResponseWriter, plan *fault.Plan) {
	if plan.Status != 0 {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(plan.Status)
		_, _ = fmt.Fprintf(w, "<html>\r\n<head><title>%d %s</title></head>\r\n<body>\r\n<center><h1>%[1]d %[2]s</h1></center>\r\n</body>\r\n</html>\r\n",
			plan.Status, http.StatusText(plan.Status))
		return
	}
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // HTTP/2: the stream is reset
	}
	listen.Reset(c)
}

// truncatingWriter sends only the first half of an answer. The answer comes in
// one write, and its Content-Length is that of the whole.
type truncatingWriter struct{ http.ResponseWriter }

func (h truncatingWriter) Write(b []byte) (int, error) {
	n, err := h.ResponseWriter.Write(b[:len(b)/2])
	if err == nil {
		err = io.ErrShortWrite
	}
	return n, err
}
