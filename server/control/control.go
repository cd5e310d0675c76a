// Package control is the control plane: what people do to the emulator itself,
// under /_ssmlocal/. Its calls are a table of typed functions over the backend
// and the gateway (table.go). Answers are JSON; an error is {"error":"what was
// wrong; what to do"} with a status of 400 and above.
//
// The promise: a call that is not understood is refused and changes nothing,
// and no call from a page of another site is accepted.
package control

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"ssmlocal/server/backend"
	"ssmlocal/server/demo"
	"ssmlocal/server/gateway"
)

// A Config is what the control plane needs besides the backend and the gateway.
type Config struct {
	// CA returns the certificate to trust, in PEM.
	CA func() ([]byte, error)
	// IsOurs reports whether the user has named a host as this emulator's.
	IsOurs func(name string) bool
	// Version is which build answers.
	Version string
	// Throwaway starts an emulator for what is shown live; nil for none.
	Throwaway demo.Start
	// Recording records and replays runs.
	Recording Recording
}

// A Control is the control plane.
type Control struct {
	// Leaks counts what the proxy has refused.
	Leaks Leaks

	backend *backend.Backend
	gateway *gateway.Gateway
	config  Config
	demos   chan struct{} // holds a token for each throwaway emulator that runs
	replays chan struct{} // holds a token for each capsule that is replayed
}

// New returns the control plane of a backend and the gateway before it.
func New(b *backend.Backend, g *gateway.Gateway, c Config) *Control {
	return &Control{backend: b, gateway: g, config: c, demos: make(chan struct{}, mostDemos), replays: make(chan struct{}, mostReplays)}
}

// Mount adds the control plane to a router.
func (c *Control) Mount(r chi.Router) {
	for _, x := range table {
		served := c.serving(x)
		r.MethodFunc(x.method, "/_ssmlocal"+x.path, func(w http.ResponseWriter, r *http.Request) {
			if err := c.FromHere(r); err != nil {
				Write(w, nil, err)
				return
			}
			// An advance over years takes a while, and its answer must still be
			// sent.
			connection := http.NewResponseController(w)
			_ = connection.SetWriteDeadline(time.Time{})
			r.Body = steadyBody{r.Body, connection, c.backend.Clock}
			w = steadyWriter{w, connection, c.backend.Clock}
			ctx, cancel := c.backend.While(r.Context())
			defer cancel()
			served.ServeHTTP(w, r.WithContext(ctx))
		})
	}
	nothing := func(w http.ResponseWriter, r *http.Request) {
		if methods := methodsOf(r.URL.Path); len(methods) > 0 {
			w.Header().Set("Allow", strings.Join(methods, ", "))
			Write(w, nil, refuse(http.StatusMethodNotAllowed, "%s takes %s and no %s", r.URL.Path, strings.Join(methods, ", "), r.Method))
			return
		}
		Write(w, nil, refuse(http.StatusNotFound, "there is no %s; server/control/README.md lists all calls", r.URL.Path))
	}
	r.HandleFunc("/_ssmlocal", nothing)
	r.HandleFunc("/_ssmlocal/*", nothing)
}

// serving is the handler of one call.
func (c *Control) serving(x row) http.Handler {
	served := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reply, err := x.answer(c, r)
		if h, ok := reply.(http.Handler); ok && err == nil {
			w.Header().Set("Cache-Control", "no-store")
			h.ServeHTTP(w, r)
			return
		}
		Write(w, reply, err)
	})
	return c.config.Recording.Recorder.Control(recorded[x.method+" "+x.path].how, served)
}

// methodsOf are the methods that a path takes.
func methodsOf(at string) (methods []string) {
	for _, x := range table {
		if x.is(at) {
			methods = append(methods, x.method)
		}
	}
	return methods
}

// is reports whether a path is that of the call.
func (x *row) is(at string) bool {
	is, _ := path.Match(strings.ReplaceAll(x.path, "{id}", "*"), strings.TrimPrefix(at, "/_ssmlocal"))
	return is
}

// answer does the call, unless it has a parameter that it doesn't take, or one
// without a value, such as ?uin=$UNSET: a filter is applied or refused, never
// ignored.
func (x *row) answer(c *Control, r *http.Request) (any, error) {
	given, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "the parameters after the ? can't be read; write them as name=value with & between them, and special characters as %%XX")
	}
	for name, values := range given {
		if !slices.Contains(x.query, name) {
			return nil, refuse(http.StatusBadRequest, "%s %s has no parameter %s; it takes: %s", x.method, x.path, name, cmp.Or(strings.Join(x.query, ", "), "none"))
		}
		if len(values) != 1 || values[0] == "" {
			return nil, refuse(http.StatusBadRequest, "%s is given without a value, or more than once; give one value, or leave it out", name)
		}
	}
	return x.do(c, r)
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

// statuses are those of the backend's refusals.
var statuses = map[backend.Kind]int{
	backend.Invalid: http.StatusBadRequest, backend.Conflict: http.StatusConflict, backend.Busy: http.StatusServiceUnavailable,
	backend.NotFound: http.StatusNotFound,
}

// Write answers as the control plane does: with a reply in JSON, or with an
// error.
func Write(w http.ResponseWriter, reply any, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if err != nil {
		r := refusal{http.StatusInternalServerError, err.Error()}
		if no := (backend.Refusal{}); errors.As(err, &no) {
			r = refusal{statuses[no.Kind], no.Message}
		}
		errors.As(err, &r)
		w.WriteHeader(r.status)
		reply = struct {
			Error string `json:"error"`
		}{r.message}
	}
	_ = json.MarshalWrite(w, reply, json.Deterministic(true), jsontext.Multiline(true))
	_, _ = io.WriteString(w, "\n")
}
