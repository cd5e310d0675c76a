package control

import (
	"io"
	"net/http"
	"strconv"

	"github.com/go-chi/chi/v5"

	"ssmlocal/server/backend"
	"ssmlocal/server/seed"
)

// The control plane's calls about snapshots: states that are kept under a name.

func (c *Control) listSnapshots() ([]backend.Snapshot, error) { return c.backend.Snapshots() }

func (c *Control) saveSnapshot(r *http.Request) (backend.Snapshot, error) {
	uin, err := uinOf(r)
	if err != nil {
		return backend.Snapshot{}, err
	}
	return c.backend.SaveSnapshot(r.Context(), chi.URLParam(r, "id"), uin)
}

func (c *Control) showSnapshot(r *http.Request) (http.Handler, error) {
	from, err := c.backend.OpenSnapshot(chi.URLParam(r, "id"))
	return kept{from}, err
}

// kept sends a snapshot.
type kept struct{ io.ReadCloser }

// ServeHTTP sends it.
func (k kept) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	defer k.Close()
	w.Header().Set("Content-Type", "application/yaml")
	_, _ = io.Copy(w, k)
}

func (c *Control) loadSnapshot(r *http.Request) (Counts, error) {
	uin, err := uinOf(r)
	if err != nil {
		return Counts{}, err
	}
	return c.backend.LoadSnapshot(r.Context(), chi.URLParam(r, "id"), uin)
}

func (c *Control) diffSnapshot(r *http.Request) (seed.Changes, error) {
	return c.backend.DiffSnapshot(r.Context(), chi.URLParam(r, "id"), r.URL.Query().Get("with"))
}

// Deleted says what was deleted.
type Deleted struct {
	Name string `json:"name"`
}

func (c *Control) deleteSnapshot(r *http.Request) (Deleted, error) {
	name := chi.URLParam(r, "id")
	return Deleted{name}, c.backend.DeleteSnapshot(name)
}

// flagOf reads a parameter that is true or false; false if it is not there.
func flagOf(r *http.Request, name string) (bool, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return false, nil
	}
	is, err := strconv.ParseBool(text)
	if err != nil {
		return false, refuse(http.StatusBadRequest, "%s is %q; it must be true or false", name, text)
	}
	return is, nil
}
