package control

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"ssmlocal/server/clock"
)

// connection notes until when the next write may take.
type connection struct {
	http.ResponseWriter
	until time.Time
}

func (c *connection) SetWriteDeadline(t time.Time) error { c.until = t; return nil }

// TestAnswersEndWithClientsThatTakeNothing writes an answer in parts: each has
// its own time to be taken.
func TestAnswersEndWithClientsThatTakeNothing(t *testing.T) {
	c := &connection{ResponseWriter: httptest.NewRecorder()}
	now := new(clock.Clock)
	w := steadyWriter{c, http.NewResponseController(c), now}
	for range 2 {
		c.until = time.Time{}
		before := now.Wall()
		if _, err := w.Write([]byte("part")); err != nil {
			t.Fatal(err)
		}
		if c.until.Before(before.Add(standstill)) || c.until.After(now.Wall().Add(standstill)) {
			t.Errorf("a part that is written at %v may take until %v", before, c.until)
		}
	}
	if err := http.NewResponseController(w).SetWriteDeadline(time.Time{}); err != nil || !c.until.IsZero() {
		t.Errorf("the connection is not reached through it: %v", err)
	}
}
