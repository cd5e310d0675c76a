package server

import (
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/go-chi/chi/v5"
	"github.com/go-json-experiment/json"

	"ssmlocal/server/console"
	"ssmlocal/server/control"
)

// routes handles every URL of the API's addresses. The API answers any path and
// any method, because its errors must come in its own envelope. Everything else
// is under /_ssmlocal/, except the instance metadata, which has its own host
// name.
func (s *Server) routes(withControl bool) http.Handler {
	r := chi.NewRouter()
	s.healthRoutes(r)
	if withControl {
		s.control.Mount(r)
		s.mountConsole(r)
	} else {
		r.HandleFunc("/_ssmlocal/*", noControl)
	}
	calls := s.recording.Calls(s.Gateway)
	r.NotFound(calls.ServeHTTP)
	r.MethodNotAllowed(calls.ServeHTTP)
	metadata := s.recording.Metadata(http.HandlerFunc(s.serveMetadata))
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.ProtoMajor == 2 {
			growStack(len(q.URL.Path))
		}
		if withControl && !s.consoleOff {
			q = console.Opened(q)
		}
		if err := s.control.NotFromPage(q); err != nil {
			control.Write(w, nil, err)
			return
		}
		switch {
		case isMetadata(q) && s.metadataOff:
			http.Error(w, "the instance metadata is switched off (--metadata off)", http.StatusNotFound)
		case isMetadata(q):
			metadata.ServeHTTP(w, q)
		case q.Method == http.MethodConnect: // any answer with 200 would pass for a tunnel
			http.Error(w, "this is ssmlocal's API, not a proxy: --proxy HOST:PORT opens one", http.StatusMethodNotAllowed)
		case withControl && !s.consoleOff && console.IsNavigation(q):
			http.Redirect(w, q, console.Path, http.StatusFound)
		case !withControl && console.IsNavigation(q):
			noControl(w, q)
		case strings.HasPrefix(q.URL.Path, "/_ssmlocal"):
			r.ServeHTTP(w, q)
		default:
			calls.ServeHTTP(w, q)
		}
	})
}

// noControl answers whoever looks for the control plane or the console where
// they are not.
func noControl(w http.ResponseWriter, _ *http.Request) {
	http.Error(w, "this is ssmlocal's API alone: the control plane and the console are off here, or at an address of their own (--control)", http.StatusNotFound)
}

// growStack makes room for a call on a goroutine's stack in one step. HTTP/2
// has a goroutine for each request, whose stack would otherwise be doubled and
// copied several times during the call: that costs 9 of 82 µs CPU time for each
// call. HTTP/1.1 has one for each connection.
//
//go:noinline
func growStack(n int) byte {
	var frame [12 << 10]byte
	return frame[n%len(frame)]
}

// controlOnly handles every URL of the control plane's own address.
func (s *Server) controlOnly() http.Handler {
	r := chi.NewRouter()
	s.healthRoutes(r)
	s.control.Mount(r)
	s.mountConsole(r)
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if s.consoleOff {
			r.ServeHTTP(w, q)
			return
		}
		if q = console.Opened(q); console.IsNavigation(q) {
			http.Redirect(w, q, console.Path, http.StatusFound)
			return
		}
		r.ServeHTTP(w, q)
	})
}

// mountConsole adds the page for browsers, unless it is switched off.
func (s *Server) mountConsole(r chi.Router) {
	if !s.consoleOff {
		console.Mount(r, s.control.FromHere)
	}
}

func (s *Server) healthRoutes(r chi.Router) {
	for path, handler := range map[string]http.HandlerFunc{"/_ssmlocal/health": health, "/_ssmlocal/ready": s.ready} {
		r.Get(path, handler)
		r.Head(path, handler)
	}
}

// health answers 200: any answer shows that the server lives.
func health(w http.ResponseWriter, _ *http.Request) { writeStatus(w, http.StatusOK, "ok", "") }

// ready answers 200 if calls can be served: the data file is opened and seeded
// before that. It says so if something due is set aside, and answers 503 if
// nothing can be written.
func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	if err := s.Backend.Usable(); err != nil {
		writeStatus(w, http.StatusServiceUnavailable, "not ready", err.Error())
		return
	}
	detail := ""
	if n := len(s.Backend.Aside()); n > 0 {
		detail = fmt.Sprintf("%d due things are set aside because they can't be done: GET /_ssmlocal/setaside lists them", n)
	}
	writeStatus(w, http.StatusOK, "ready", detail)
}

// writeStatus answers with a status and a detail. For a status that is not 200
// the detail goes into the field error, which clients of the control plane
// show.
func writeStatus(w http.ResponseWriter, status int, text, detail string) {
	reply := struct {
		Status string `json:"status"`
		Error  string `json:"error,omitempty"`
		Detail string `json:"detail,omitempty"`
	}{Status: text, Detail: detail}
	if status != http.StatusOK {
		reply.Error, reply.Detail = detail, ""
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.MarshalWrite(w, &reply)
	_, _ = io.WriteString(w, "\n")
}
