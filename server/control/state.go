package control

import (
	"errors"
	"io"
	"net/http"
	"strconv"

	"ssmlocal/fixtures"
	"ssmlocal/server/backend"
	"ssmlocal/server/seed"
)

// The control plane's calls about the whole state.

// document is an answer that is not JSON.
type document struct {
	contentType string
	text        []byte
}

// ServeHTTP sends it.
func (d document) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", d.contentType)
	_, _ = w.Write(d.text)
}

// seedSchema returns the schema of seeds.
func (c *Control) seedSchema() (http.Handler, error) {
	return document{"application/schema+json", fixtures.SeedSchema()}, nil
}

func (c *Control) exportState(r *http.Request) (http.Handler, error) {
	uin, err := uinOf(r)
	if err != nil {
		return nil, err
	}
	out := c.backend.NewSpool()
	if err := c.backend.Export(r.Context(), out, uin); err != nil {
		return nil, errors.Join(err, out.Close())
	}
	return exported{out}, nil
}

// exported sends an export. It was completely written before, so a slow reader
// makes nobody wait.
type exported struct{ *backend.Spool }

// ServeHTTP sends it.
func (e exported) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	defer e.Close()
	from, err := e.Open()
	if err != nil {
		Write(w, nil, err)
		return
	}
	w.Header().Set("Content-Type", "application/yaml")
	w.Header().Set("Content-Length", strconv.FormatInt(e.Size(), 10))
	_, _ = io.Copy(w, from)
}

// Counts says how much a state contains.
type Counts = seed.Counts

// readCA returns the certificate to trust.
func (c *Control) readCA(*http.Request) (http.Handler, error) {
	text, err := c.config.CA()
	return document{"application/x-pem-file", text}, err
}

// importState puts a seed in place of the state. With dryRun=true it answers
// what would change, and with merge=true it adds the seed to the state.
func (c *Control) importState(r *http.Request) (any, error) {
	uin, err := uinOf(r)
	if err != nil {
		return nil, err
	}
	dryRun, err := flagOf(r, "dryRun")
	merge, err2 := flagOf(r, "merge")
	if err := errors.Join(err, err2); err != nil {
		return nil, err
	}
	body := c.backend.NewSpool()
	defer body.Close()
	if _, err := io.Copy(body, r.Body); err != nil {
		return nil, refuse(http.StatusBadRequest, "the body can't be read to its end or kept (%v); nothing was changed", err)
	}
	if body.Size() == 0 {
		return nil, refuse(http.StatusBadRequest, "there is no body; send a seed (curl -T FILE), or {} for a state with nothing in it")
	}
	from := seed.Bytes("body", body.Open)
	switch {
	case dryRun:
		return c.backend.Preview(r.Context(), from, uin, merge)
	case merge:
		return c.backend.Merge(r.Context(), from, uin)
	}
	return c.backend.Import(r.Context(), from, uin)
}

func (c *Control) resetState(r *http.Request) (Counts, error) {
	uin, err := uinOf(r)
	if err != nil {
		return Counts{}, err
	}
	if to := r.URL.Query().Get("to"); to != "" {
		return c.backend.LoadSnapshot(r.Context(), to, uin)
	}
	return c.backend.Reset(r.Context(), uin)
}

// backup streams a copy of the data file.
type backup struct{ c *Control }

// ServeHTTP sends it. The copy is made first, so that a slow reader makes
// nobody wait.
func (b backup) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f, remove, err := b.c.backend.Backup(r.Context())
	if err != nil {
		Write(w, nil, err)
		return
	}
	defer remove()
	defer f.Close()
	if info, err := f.Stat(); err == nil {
		w.Header().Set("Content-Length", strconv.FormatInt(info.Size(), 10))
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Disposition", `attachment; filename="`+backend.FileName+`"`)
	_, _ = f.WriteTo(w)
}

func (c *Control) backupFile(*http.Request) (http.Handler, error) { return backup{c}, nil }
