package backend

import (
	"cmp"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"ssmlocal/server/clock"
)

// Work that takes long: what is under way, and how far it is.

// Work is an import, a reset, an export, a backup or a move of the clock that
// is under way.
type Work struct {
	What  string    `json:"what"`
	Since time.Time `json:"since"`           // wall time
	Done  int64     `json:"done"`            // secrets so far, or things that became due
	Clock string    `json:"clock,omitempty"` // where a move of the clock is
}

// works has the work that is under way.
type works struct {
	clock *clock.Clock

	mu  sync.Mutex
	all map[*work]struct{}
}

type work struct {
	of    *works
	what  string
	since time.Time
	done  atomic.Int64
	at    atomic.Pointer[time.Time] // virtual time
	ended chan struct{}
}

// everyNow is how often long work reports to the log.
const everyNow = 5 * time.Second

func (w *works) begin(what string, log *slog.Logger) *work {
	x := &work{of: w, what: what, since: w.clock.Wall(), ended: make(chan struct{})}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all == nil {
		w.all = map[*work]struct{}{}
	}
	w.all[x] = struct{}{}
	go x.report(log)
	return x
}

// report writes a line from time to time.
func (x *work) report(log *slog.Logger) {
	ticker := time.NewTicker(everyNow)
	defer ticker.Stop()
	for {
		select {
		case <-x.ended:
			return
		case <-ticker.C:
			attrs := []any{"done", x.done.Load(), "for", x.of.clock.Wall().Sub(x.since).Round(time.Second)}
			if at := x.at.Load(); at != nil {
				attrs = append(attrs, "clock", at.UTC().Format(time.RFC3339))
			}
			log.Info(x.what+" is under way", attrs...)
		}
	}
}

func (x *work) add(n int) { x.done.Add(int64(n)) }

func (x *work) end() {
	close(x.ended)
	x.of.mu.Lock()
	defer x.of.mu.Unlock()
	delete(x.of.all, x)
}

// list returns what is under way, the oldest first.
func (w *works) list() []Work {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := []Work{}
	for x := range w.all {
		o := Work{What: x.what, Since: x.since.UTC(), Done: x.done.Load()}
		if at := x.at.Load(); at != nil {
			o.Clock = at.UTC().Format(time.RFC3339)
		}
		out = append(out, o)
	}
	slices.SortFunc(out, func(a, b Work) int { return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.What, b.What)) })
	return out
}

// Works returns the work that is under way, the oldest first.
func (b *Backend) Works() []Work { return b.works.list() }
