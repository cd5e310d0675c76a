package server

import (
	"net/http"

	"github.com/go-chi/chi/v5"
)

// routes is every URL of the API's addresses. The API answers on any path and any method, as its errors have to come out
// in its own envelope; what is not the API lives under /_ssmlocal/, or, the instance metadata, under a host name of its own.
func (s *Server) routes(control bool) http.Handler {
	r := chi.NewRouter()
	healthRoutes(r)
	if control {
		s.controlRoutes(r)
	} else {
		r.HandleFunc("/_ssmlocal/*", http.NotFound)
	}
	r.HandleFunc("/", s.call)
	r.NotFound(s.call)
	r.MethodNotAllowed(s.call)
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.ProtoMajor == 2 {
			growStack(len(q.URL.Path))
		}
		switch {
		case isMetadata(q):
			s.serveMetadata(w, q)
		case q.Method == http.MethodConnect: // any answer with 200 would pass for a tunnel
			http.Error(w, "this is ssmlocal's API and no proxy: --proxy HOST:PORT opens one", http.StatusMethodNotAllowed)
		default:
			r.ServeHTTP(w, q)
		}
	})
}

// growStack makes room for a call on a goroutine's stack in one step. HTTP/2 has a goroutine for each request, whose stack would be
// doubled and copied in the depths of the call again and again: 9 of 82 µs CPU a call. HTTP/1.1 has one for each connection.
//
//go:noinline
func growStack(n int) byte {
	var frame [12 << 10]byte
	return frame[n%len(frame)]
}

// controlOnly is every URL of the control plane's own address.
func (s *Server) controlOnly() http.Handler {
	r := chi.NewRouter()
	healthRoutes(r)
	s.controlRoutes(r)
	return r
}

func healthRoutes(r chi.Router) {
	for path, status := range map[string]string{"/_ssmlocal/health": "ok", "/_ssmlocal/ready": "ready"} {
		r.Get(path, tellStatus(status))
		r.Head(path, tellStatus(status))
	}
}

// tellStatus answers 200. Whoever gets an answer knows both that the server lives and that it is ready: it opens its data
// file and seeds it before it serves.
func tellStatus(status string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"status":"` + status + `"}` + "\n"))
	}
}
