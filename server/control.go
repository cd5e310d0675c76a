package server

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// The control plane: what users do to the emulator itself, under /_ssmlocal/. Answers are JSON; an error is
// {"error":"what was wrong; what to do"} with a status of 400 and above.

// A control is one call of the control plane.
type control struct {
	method, path string
	about        string // what it does, with the body that it takes
	do           func(*Server, *http.Request) (any, error)
}

// controls is all of them.
var controls = []control{
	{"GET", "/clock", "what the virtual clock does", read((*Server).clockNow)},
	{"PUT", "/clock", "move it ahead, stop it, let it go on: `{\"now\":\"2030-01-02T15:04:05Z\",\"mode\":\"frozen\"}`, mode `running` or `frozen`, either or both", with((*Server).setClock)},
	{"POST", "/clock/advance", "move it ahead and tell what became due on the way: `{\"by\":\"72h\"}`, also `30d`, or `{\"to\":\"2030-01-02T15:04:05Z\"}`", with((*Server).advanceClock)},
	{"GET", "/tasks", "how tasks go", read((*Server).taskSettings)},
	{"PUT", "/tasks", "change how they go: `{\"pace\":\"3polls\",\"failNext\":1}`, pace `now`, a duration of virtual time or a number of polls, either or both", with((*Server).setTasks)},
	{"GET", "/accounts", "what is known of accounts besides their secrets", read((*Server).allAccounts)},
	{"PUT", "/accounts", "replace what is known of one: `{\"uin\":100000000001,\"service\":\"arrears\",\"postpaid\":true,\"secretLimit\":50,\"kmsKeys\":{\"ID\":\"disabled\"},\"users\":{\"100000000101\":{\"otherKeys\":1}},\"isolated\":[\"cdb-1\"]}`; service `normal`, `none`, `arrears` or `released`, keys `disabled` or `foreign`", with((*Server).setAccount)},
	{"POST", "/accesskeysecrets", "make an API-key secret, which no public action does: `{\"uin\":100000000001,\"region\":\"ap-guangzhou\",\"secretName\":\"key\",\"targetUin\":100000000101}`", with((*Server).newAccessKeySecret)},
}

// ControlTable prints the calls of the control plane as a table in Markdown.
func ControlTable() string {
	var b strings.Builder
	b.WriteString("| Call | |\n|---|---|\n| `GET /_ssmlocal/health` | 200 while the server serves; also HEAD, and on every address |\n")
	for _, c := range controls {
		fmt.Fprintf(&b, "| `%s /_ssmlocal%s` | %s |\n", c.method, c.path, c.about)
	}
	return b.String()
}

// read is a call without a body.
func read[R any](do func(*Server) (R, error)) func(*Server, *http.Request) (any, error) {
	return func(s *Server, _ *http.Request) (any, error) { return do(s) }
}

// largestControl is how much a control call may send, in bytes.
const largestControl = 1 << 20

// with is a call with a JSON body. A field that the call doesn't know is refused.
func with[Q, R any](do func(*Server, *Q) (R, error)) func(*Server, *http.Request) (any, error) {
	return func(s *Server, r *http.Request) (any, error) {
		body, err := io.ReadAll(io.LimitReader(r.Body, largestControl+1))
		if err != nil || len(body) > largestControl {
			return nil, refuse(http.StatusRequestEntityTooLarge, "the body can't be read, or is larger than %d bytes", largestControl)
		}
		q := new(Q)
		if err := json.Unmarshal(body, q, json.RejectUnknownMembers(true)); err != nil {
			return nil, badBody(err)
		}
		return do(s, q)
	}
}

// badBody says where a body is wrong. The library's own words differ from run to run.
func badBody(err error) error {
	var field *json.SemanticError
	switch {
	case errors.Is(err, json.ErrUnknownName) && errors.As(err, &field):
		return refuse(http.StatusBadRequest, "there is no field %s; see the README's table of the control plane", field.JSONPointer)
	case errors.As(err, &field):
		return refuse(http.StatusBadRequest, "the field %s has a value of the wrong type or form; see the README's table of the control plane", field.JSONPointer)
	}
	return refuse(http.StatusBadRequest, "the body is not valid JSON; send an object such as {}")
}

// refusal is an error of the control plane with its HTTP status.
type refusal struct {
	status  int
	message string
}

func (r refusal) Error() string { return r.message }

func refuse(status int, format string, args ...any) error {
	return refusal{status, fmt.Sprintf(format, args...)}
}

// controlRoutes adds the control plane to a router.
func (s *Server) controlRoutes(r chi.Router) {
	for _, c := range controls {
		r.MethodFunc(c.method, "/_ssmlocal"+c.path, func(w http.ResponseWriter, r *http.Request) {
			if err := fromHere(r); err != nil {
				writeControl(w, nil, err)
				return
			}
			// An advance over years takes its time, and its answer has to come all the same.
			_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
			reply, err := c.do(s, r)
			writeControl(w, reply, err)
		})
	}
	nothing := func(w http.ResponseWriter, r *http.Request) {
		writeControl(w, nil, refuse(http.StatusNotFound, "there is no %s %s; see the README's table of the control plane", r.Method, r.URL.Path))
	}
	r.HandleFunc("/_ssmlocal", nothing)
	r.HandleFunc("/_ssmlocal/*", nothing)
}

// fromHere refuses what a browser sends from another site: the emulator listens where any page can reach it.
func fromHere(r *http.Request) error {
	site := r.Header.Get("Sec-Fetch-Site")
	origin, err := url.Parse(r.Header.Get("Origin"))
	if site != "" && site != "same-origin" && site != "none" || err != nil || origin.String() != "" && origin.Host != r.Host {
		return refuse(http.StatusForbidden, "a page of another site (%s) may not control this emulator; call from a program or from a page of its own",
			cmp.Or(r.Header.Get("Origin"), site))
	}
	return nil
}

func writeControl(w http.ResponseWriter, reply any, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if err != nil {
		r := refusal{http.StatusInternalServerError, err.Error()}
		errors.As(err, &r)
		w.WriteHeader(r.status)
		reply = struct {
			Error string `json:"error"`
		}{r.message}
	}
	_ = json.MarshalWrite(w, reply, json.Deterministic(true), jsontext.Multiline(true))
	_, _ = io.WriteString(w, "\n")
}
