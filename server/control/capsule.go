package control

import (
	"context"
	"encoding/json"
	"net/http"

	"ssmlocal/server/capsule"
)

// The control plane's calls about capsules: runs that are recorded and replayed.

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

func (c *Control) replay(r *http.Request) (any, error) {
	kept, err := capsule.Parse(r.Body)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "%v", err)
	}
	if c.config.Recording.Replay == nil {
		return nil, refuse(http.StatusConflict, "this emulator can't replay: it is thrown away itself")
	}
	return c.config.Recording.Replay(r.Context(), kept)
}
