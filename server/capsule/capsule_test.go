package capsule

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"ssmlocal/server/clock"
	"ssmlocal/server/turn"
)

// TestRecorderIsBounded has three calls under way whose answers are too large
// together: that of the first is kept, and none of the callers notices.
func TestRecorderIsBounded(t *testing.T) {
	t.Parallel()
	r := NewRecorder(10, "test", Settings{}, new(clock.Clock))
	r.Begin(Start{})
	large := make([]byte, maxBytes/2+1)
	entered := make(chan chan struct{})
	handler := r.Calls(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		place := turn.Of(q.Context())
		place.Take()
		place.Begin()
		place.Give()
		leave := make(chan struct{})
		entered <- leave
		<-leave
		_, _ = w.Write(large)
	}))
	ended := make(chan any)
	var leave []chan struct{}
	for range 3 {
		go func() {
			defer func() { ended <- recover() }()
			handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/", strings.NewReader("{}")))
		}()
		leave = append(leave, <-entered)
	}
	for _, l := range leave {
		close(l)
		if panicked := <-ended; panicked != nil {
			t.Fatalf("a call panicked: %v", panicked)
		}
	}
	c := r.Capsule()
	answers := 0
	for _, q := range c.Requests {
		answers += len(q.Answer)
	}
	if len(c.Requests) != 3 || c.Requests[0].Status != http.StatusOK || answers != len(large) || !strings.Contains(c.Stopped, "bytes") {
		t.Errorf("%d requests, %d bytes of answers, %q", len(c.Requests), answers, c.Stopped)
	}
}
