package server

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
)

// stalled is a writer that waits until it is let go.
type stalled struct {
	mu    sync.Mutex
	text  bytes.Buffer
	letGo chan struct{}
}

func (w *stalled) Write(p []byte) (int, error) {
	<-w.letGo
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(p)
}

// TestLogWriterWaitsForNobody writes more lines than there is room for to a
// reader that stalls: no write waits, lost lines are counted and later
// reported, and no line is cut.
func TestLogWriterWaitsForNobody(t *testing.T) {
	t.Parallel()
	out := &stalled{letGo: make(chan struct{})}
	w := NewLogWriter(out)
	said := make(chan uint64, 1)
	w.Dropped = func(lines uint64) { said <- lines }
	for i := range 3 * waitingLines {
		if n, err := fmt.Fprintf(w, "line %d\n", i); n == 0 || err != nil {
			t.Fatal(err)
		}
	}
	if lost := w.Lost(); lost < waitingLines {
		t.Errorf("%d lines are lost", lost)
	}
	close(out.letGo)
	if lines := <-said; lines < waitingLines { // once there is room again
		t.Errorf("%d lines are said to be dropped", lines)
	}
	_, _ = w.Write([]byte(strings.Repeat("x", 3*longestLine) + "\n"))
	w.Close()
	out.mu.Lock()
	defer out.mu.Unlock()
	for line := range strings.Lines(out.text.String()) {
		if len(line) > longestLine+10 || !strings.HasPrefix(line, "line ") && !strings.HasPrefix(line, "xxx") {
			t.Errorf("%.100q", line)
		}
	}
}

// TestLogWriterOutlivesItsReader writes to a writer that returns an error.
func TestLogWriterOutlivesItsReader(t *testing.T) {
	t.Parallel()
	w := NewLogWriter(gone{})
	for range 10 {
		if _, err := w.Write([]byte("line\n")); err != nil {
			t.Error(err)
		}
	}
	w.Close()
	if w.Lost() != 10 {
		t.Errorf("%d of 10 lines are lost", w.Lost())
	}
}

type gone struct{}

func (gone) Write([]byte) (int, error) { return 0, fmt.Errorf("broken pipe") }
