package control

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"reflect"

	"ssmlocal/server/capsule"
	"ssmlocal/server/fault"
	"ssmlocal/server/redact"
)

// The control plane's calls about capsules: runs that are recorded and
// replayed.

// Recording is what records and replays runs; what is nil can't.
type Recording struct {
	Recorder *capsule.Recorder
	Replay   func(context.Context, *capsule.Capsule) (any, error)
}

// recorded are the calls that a capsule has, with what each reads: those that
// change what a call of the API can see. Those that replace the state are not
// among them, because a new run begins with each; nor those about real
// databases, which no replay touches.
var recorded = map[string]struct {
	how     capsule.How
	request any // nil for none
}{
	"POST /call":             {capsule.Inside, CallRequest{}},
	"POST /accesskeysecrets": {capsule.Around, accessKeySecretRequest{}},
	"PUT /clock":             {capsule.After, setClockRequest{}},
	"POST /clock/advance":    {capsule.After, advanceRequest{}},
	"PUT /limits":            {capsule.Around, setLimitsRequest{}},
	"PUT /tasks":             {capsule.Around, setTasksRequest{}},
	"PUT /accounts":          {capsule.Around, AccountReply{}},
	"POST /faults":           {capsule.Around, fault.Rule{}},
	"DELETE /faults":         {capsule.Around, nil},
	"DELETE /faults/{id}":    {capsule.Around, nil},
}

// requests are what the recorded calls read.
func requests() (all []reflect.Type) {
	for _, call := range recorded {
		if call.request != nil {
			all = append(all, reflect.TypeOf(call.request))
		}
	}
	return all
}

// Recorded says how a capsule has a call, if it has it.
func Recorded(method, at string) capsule.How {
	for _, x := range table {
		if x.method == method && x.is(at) {
			return recorded[x.method+" "+x.path].how
		}
	}
	return capsule.Never
}

func (c *Control) saveCapsule(r *http.Request) (http.Handler, error) {
	redacted, err := flagOf(r, "redact")
	if err != nil {
		return nil, err
	}
	if c.config.Recording.Recorder == nil {
		return nil, refuse(http.StatusConflict, "no run is recorded; start with --capsule N to keep N requests")
	}
	kept := c.config.Recording.Recorder.Capsule()
	kept.Databases = c.backend.HasDatabases()
	if redacted {
		if err := redact.Capsule(kept, requests()); err != nil {
			return nil, err
		}
	}
	text, err := json.MarshalIndent(kept, "", " ")
	return document{"application/json", append(text, '\n')}, err
}

// largestCapsule is how much a capsule may have, in bytes: what a recorder
// keeps, written as text, and a large state.
const largestCapsule = 256 << 20

// mostReplays is how many capsules are replayed at once.
const mostReplays = 2

func (c *Control) replay(r *http.Request) (any, error) {
	if c.config.Recording.Replay == nil {
		return nil, refuse(http.StatusConflict, "a throwaway emulator can't replay")
	}
	body := c.backend.NewSpool() // a slow sender makes nobody wait
	defer body.Close()
	_, err := io.Copy(body, http.MaxBytesReader(nil, r.Body, largestCapsule))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return nil, refuse(http.StatusRequestEntityTooLarge, "the capsule is larger than %d bytes", largestCapsule)
	}
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "the body can't be read to its end or kept: %v", err)
	}
	waiting, cancel := context.WithTimeout(r.Context(), demoTime)
	defer cancel()
	select { // a capsule is large, and so is its emulator
	case c.replays <- struct{}{}:
		defer func() { <-c.replays }()
	case <-waiting.Done():
		return nil, refuse(http.StatusServiceUnavailable, "%d capsules are being replayed; try again later", mostReplays)
	}
	from, err := body.Open()
	if err != nil {
		return nil, err
	}
	defer from.Close()
	kept, err := capsule.Parse(from)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "%v", err)
	}
	return c.config.Recording.Replay(r.Context(), kept)
}
