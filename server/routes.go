package server

import (
	"net/http"

	"github.com/go-chi/chi/v5"
)

// routes is every URL there is. The API answers on any path and any method, as its errors have to come out in its own
// envelope; what is not the API lives under /_ssmlocal/.
func (s *Server) routes() http.Handler {
	r := chi.NewRouter()
	r.Get("/_ssmlocal/health", health)
	r.Head("/_ssmlocal/health", health)
	r.HandleFunc("/_ssmlocal/*", http.NotFound)

	r.HandleFunc("/", s.call)
	r.NotFound(s.call)
	r.MethodNotAllowed(s.call)
	return r
}

// health answers 200 as soon as the server serves: it opens its data file before that.
func health(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(`{"status":"ok"}` + "\n"))
}
