package server

import (
	"errors"
	"net/http"
	"strconv"

	"ssmlocal/server/seed"
	"ssmlocal/store"
)

// The control plane's calls about the whole state.

// document is an answer that is no JSON.
type document struct {
	contentType string
	text        []byte
}

// ServeHTTP sends it.
func (d document) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", d.contentType)
	_, _ = w.Write(d.text)
}

func (s *Server) exportState(r *http.Request) (http.Handler, error) {
	uin, err := uinOf(r)
	if err != nil {
		return nil, err
	}
	state, err := s.state(uin)
	if err != nil {
		return nil, err
	}
	text, err := seed.Write(state)
	return document{"application/yaml", text}, err
}

// largestState is how much a state may be, in bytes.
const largestState = 64 << 20

// Counts tells how much a state has.
type Counts struct {
	Accounts    int `json:"accounts"`
	Secrets     int `json:"secrets"`
	Credentials int `json:"credentials"`
	Faults      int `json:"faults"`
}

func (s *Server) importState(r *http.Request) (Counts, error) {
	uin, err := uinOf(r)
	if err != nil {
		return Counts{}, err
	}
	body, err := readBody(r, largestState)
	if err != nil {
		return Counts{}, err
	}
	if len(body) == 0 {
		return Counts{}, refuse(http.StatusBadRequest, "there is no body; send a seed (curl -T FILE), or {} for a state with nothing in it")
	}
	return s.Import(body, uin)
}

// Import puts a seed in place of the whole state, or with a Uin of that account.
func (s *Server) Import(text []byte, uin uint64) (Counts, error) {
	source, err := seed.Parse("body", text)
	if err != nil {
		return Counts{}, refuse(http.StatusBadRequest, "%v; nothing was changed", err)
	}
	return s.replaceAndCount([]*seed.Source{source}, uin, false)
}

func (s *Server) resetState(r *http.Request) (Counts, error) {
	uin, err := uinOf(r)
	if err != nil {
		return Counts{}, err
	}
	return s.Reset(uin)
}

// Reset returns to the seeds of the configuration, the whole state, or with a Uin that account.
func (s *Server) Reset(uin uint64) (Counts, error) {
	sources := s.seeds
	if uin != 0 {
		sources = seed.Of(uin, sources)
	}
	return s.replaceAndCount(sources, uin, uin == 0)
}

func (s *Server) replaceAndCount(sources []*seed.Source, uin uint64, reset bool) (Counts, error) {
	state, err := s.replace(sources, uin, reset)
	var mistake *seed.Mistake
	if errors.As(err, &mistake) {
		return Counts{}, refuse(http.StatusBadRequest, "%v; nothing was changed", err)
	}
	if err != nil {
		return Counts{}, err
	}
	c := Counts{Credentials: len(state.Credentials), Faults: len(state.Faults)}
	accounts := map[uint64]bool{}
	for _, e := range state.Estates {
		c.Secrets += len(e.Secrets)
		accounts[e.Uin] = true
	}
	for _, k := range state.Credentials {
		accounts[k.Uin] = true
	}
	for _, r := range state.Roles {
		accounts[r.Uin] = true
	}
	c.Accounts = len(accounts)
	return c, nil
}

// backup streams a copy of the data file.
type backup struct{ db *store.DB }

// ServeHTTP sends it. The copy is made first, so that a slow reader holds nobody up.
func (b backup) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f, remove, err := b.db.Copy()
	if err != nil {
		writeControl(w, nil, err)
		return
	}
	defer remove()
	defer f.Close()
	if info, err := f.Stat(); err == nil {
		w.Header().Set("Content-Length", strconv.FormatInt(info.Size(), 10))
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Disposition", `attachment; filename="`+store.FileName+`"`)
	_, _ = f.WriteTo(w)
}

func (s *Server) backupFile(*http.Request) (http.Handler, error) { return backup{s.db}, nil }
