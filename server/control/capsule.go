package control

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"ssmlocal/server/capsule"
)

// The control plane's calls about capsules: runs that are recorded and
// replayed.

// Recording is what records and replays runs; nil functions can't.
type Recording struct {
	Capsule func() *capsule.Capsule
	Replay  func(context.Context, *capsule.Capsule) (any, error)
}

func (c *Control) saveCapsule(r *http.Request) (http.Handler, error) {
	redact, err := flagOf(r, "redact")
	if err != nil {
		return nil, err
	}
	if c.config.Recording.Capsule == nil {
		return nil, refuse(http.StatusConflict, "no run is recorded; start with --capsule N to keep N requests")
	}
	kept := c.config.Recording.Capsule()
	if redact {
		if err := kept.Redact(); err != nil {
			return nil, err
		}
	}
	text, err := json.MarshalIndent(kept, "", " ")
	return document{"application/json", append(text, '\n')}, err
}

// largestCapsule is how much a capsule may have, in bytes: what a recorder
// keeps, written as text, and a large state.
const largestCapsule = 512 << 20

func (c *Control) replay(r *http.Request) (any, error) {
	end, err := c.beginDemo(r.Context()) // a capsule is large, and so is its emulator
	if err != nil {
		return nil, err
	}
	defer end()
	body := http.MaxBytesReader(nil, r.Body, largestCapsule)
	defer body.Close()
	kept, err := capsule.Parse(body)
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return nil, refuse(http.StatusRequestEntityTooLarge, "the capsule is larger than %d bytes", largestCapsule)
	}
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "%v", err)
	}
	if c.config.Recording.Replay == nil {
		return nil, refuse(http.StatusConflict, "a throwaway emulator can't replay")
	}
	return c.config.Recording.Replay(r.Context(), kept)
}
