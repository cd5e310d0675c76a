package control

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"ssmlocal/server/backend"
)

// The control plane's calls about events.

// afterOf is the number after which events are wanted: that of the query, or of
// the header with which a browser goes on.
func afterOf(r *http.Request) (after uint64, given bool, err error) {
	text, where := r.URL.Query().Get("after"), "after"
	if text == "" {
		text, where = r.Header.Get("Last-Event-ID"), "Last-Event-ID"
	}
	if text == "" {
		return 0, false, nil
	}
	after, err = strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, false, refuse(http.StatusBadRequest, "%s is %q; it must be the id of an event", where, text)
	}
	return after, true, nil
}

func (c *Control) listEvents(r *http.Request) ([]backend.Event, error) {
	after, _, err := afterOf(r)
	if err != nil {
		return nil, err
	}
	found, _, _ := c.backend.Events(after)
	return found, nil
}

// eventStream sends events until the client leaves or the server stops.
type eventStream struct {
	c     *Control
	after uint64
}

// streamEvents sends the events after a number, or without one those from now
// on.
func (c *Control) streamEvents(r *http.Request) (http.Handler, error) {
	after, given, err := afterOf(r)
	if !given {
		_, after, _ = c.backend.Events(0)
	}
	return eventStream{c, after}, err
}

// ServeHTTP sends an event for each; its id is the number, its data the event
// in JSON.
func (x eventStream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	_, err := fmt.Fprint(w, ": events follow\n\n")
	ticker := time.NewTicker(pulse)
	defer ticker.Stop()
	for err == nil {
		found, _, more := x.c.backend.Events(x.after)
		for _, e := range found {
			var data []byte
			if data, err = json.Marshal(e); err == nil {
				_, err = fmt.Fprintf(w, "id: %d\ndata: %s\n\n", e.ID, data)
			}
			x.after = e.ID
		}
		if out.Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-x.c.backend.Stopping():
			return
		case <-ticker.C:
			_, err = fmt.Fprint(w, ":\n\n")
		case <-more:
		}
	}
}
