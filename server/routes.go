package server

import (
	"net/http"

	"github.com/go-chi/chi/v5"
)

// routes is every URL of the API's addresses. The API answers on any path and any method, as its errors have to come out
// in its own envelope; what is not the API lives under /_ssmlocal/.
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
	return r
}

// controlOnly is every URL of the control plane's own address.
func (s *Server) controlOnly() http.Handler {
	r := chi.NewRouter()
	healthRoutes(r)
	s.controlRoutes(r)
	return r
}

func healthRoutes(r chi.Router) {
	r.Get("/_ssmlocal/health", health)
	r.Head("/_ssmlocal/health", health)
}

// health answers 200 as soon as the server serves: it opens its data file before that.
func health(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(`{"status":"ok"}` + "\n"))
}
