package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"ssmlocal/fixtures"
	"ssmlocal/server/action"
	"ssmlocal/server/apierr"
	"ssmlocal/server/fault"
	"ssmlocal/server/listen"
)

// Provoked failures: what a rule's effect does to a call.

// errNoAnswer ends a call whose answer a fault takes away.
var errNoAnswer = errors.New("a fault takes the answer away")

// provoke lets a fault hit a call, if there is one for it. The error is what the call ends with.
func (s *Server) provoke(ctx context.Context, rec *record, a *action.Action, request any) error {
	plan := s.backend.Faults.Pick(fault.Call{
		Action: a.Name, SecretName: rec.secretName, SecretID: rec.secretID, Region: rec.region, Uin: rec.uin,
	})
	if plan == nil || plan.Effect == (fault.Effect{}) {
		return nil
	}
	rec.fault = plan
	if rec.cut = s.backend.Sleep(ctx, plan.Wait, rec.uin); rec.cut != "" {
		return errNoAnswer
	}
	switch {
	case plan.Status != 0 || plan.Drop:
		return errNoAnswer
	case plan.Throttle || plan.Error != nil && plan.Error.Code == apierr.RequestLimitExceeded.Code && plan.Error.Message == "":
		return apierr.RequestLimitExceeded.With(a.Rate+1, a.Rate)
	case plan.Error != nil:
		return s.provoked(plan.Error, rec, a, request)
	}
	return nil
}

// provoked is the error that a rule asks for, as the gateway would send it.
func (s *Server) provoked(e *fault.Error, rec *record, a *action.Action, request any) error {
	if e.Message != "" {
		return apierr.Custom(e.Code, e.Message)
	}
	for _, k := range []*apierr.Kind{apierr.Unauthorized, apierr.GatewayUnauthorized} {
		if e.Code == k.Code {
			return unauthorized(k, rec, a, resourceOf(rec, a, request, rec.secretName))
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

// half sends the first half of the one write of an answer, whose Content-Length tells the whole.
type half struct{ http.ResponseWriter }

func (h half) Write(b []byte) (int, error) {
	n, err := h.ResponseWriter.Write(b[:len(b)/2])
	if err == nil {
		err = io.ErrShortWrite
	}
	return n, err
}

// The control plane's calls.

func (s *Server) listFaults() ([]fault.Report, error) { return s.backend.Faults.List(), nil }

func (s *Server) addFault(r *http.Request, q *fault.Rule) (fault.Report, error) {
	strict := r.URL.Query().Get("strict")
	if strict != "" && strict != "true" && strict != "false" {
		return fault.Report{}, refuse(http.StatusBadRequest, "strict is %q, it must be true or false", strict)
	}
	if strict != "" {
		is := strict == "true"
		q.Strict = &is
	}
	return s.AddFault(*q)
}

// AddFault adds a rule. One that names what is not there is refused.
func (s *Server) AddFault(r fault.Rule) (fault.Report, error) { return s.backend.AddFault(r) }

// Removed tells how many of something were removed.
type Removed struct {
	Removed int `json:"removed"`
}

func (s *Server) removeFaults(r *http.Request) (Removed, error) {
	uin, err := uinOf(r)
	if err != nil {
		return Removed{}, err
	}
	return Removed{s.backend.Faults.Clear(uin)}, nil
}

func (s *Server) removeFault(r *http.Request) (Removed, error) {
	id := r.PathValue("id")
	if !s.backend.Faults.Remove(id) {
		var ids []string
		for _, f := range s.backend.Faults.List() {
			ids = append(ids, f.ID)
		}
		return Removed{}, refuse(http.StatusNotFound, "there is no fault %q; there are: %s", id, cmp.Or(strings.Join(ids, ", "), "none"))
	}
	return Removed{1}, nil
}

// listErrors returns the recipes of the error atlas, those of an action or of a code if one is asked for.
func (s *Server) listErrors(r *http.Request) ([]fixtures.Recipe, error) {
	name, code := r.URL.Query().Get("action"), r.URL.Query().Get("code")
	found, err := fixtures.Find(name, code)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, refuse(http.StatusNotFound, "there is no recipe for the action %q and the code %q; GET /_ssmlocal/errors has all of them", name, code)
	}
	return found, nil
}
