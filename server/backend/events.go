package backend

import (
	"log/slog"
	"sync"

	"ssmlocal/server/action"
)

// Events: what has become of secrets, by hand or by time.

// An Event is something that has happened, with a number that grows.
type Event struct {
	ID uint64 `json:"id"`
	action.Event
}

// events keeps the last ones.
type events struct {
	mu   sync.Mutex
	all  []Event // oldest first
	last uint64
	more chan struct{} // closed when there is another one
}

// mostEvents is how many events are kept.
const mostEvents = 1000

// publish keeps events, and says so in the log.
func (b *Backend) publish(happened []action.Event) {
	if len(happened) == 0 {
		return
	}
	b.events.add(happened)
	for _, e := range happened {
		attrs := []any{"secretName", e.SecretName, "region", e.Region, "uin", e.Uin, "at", e.At}
		if e.FlowID != 0 {
			attrs = append(attrs, "flowId", e.FlowID)
		}
		if e.Reason != "" {
			attrs = append(attrs, slog.String("reason", e.Reason))
		}
		b.log.Info(e.What, attrs...)
	}
}

func (e *events) add(happened []action.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, h := range happened {
		e.last++
		e.all = append(e.all, Event{e.last, h})
	}
	if n := len(e.all) - mostEvents; n > 0 {
		e.all = append([]Event(nil), e.all[n:]...)
	}
	if e.more != nil {
		close(e.more)
		e.more = nil
	}
}

// Events returns the events that are kept with a higher number, oldest first,
// the number of the last one, and what is closed when there is another one.
func (b *Backend) Events(after uint64) (found []Event, last uint64, more <-chan struct{}) {
	e := &b.events
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.more == nil {
		e.more = make(chan struct{})
	}
	if after > e.last { // it is of an emulator that ran before: all are new to the caller
		after = 0
	}
	for i := range e.all {
		if e.all[i].ID > after {
			return append([]Event(nil), e.all[i:]...), e.last, e.more
		}
	}
	return []Event{}, e.last, e.more
}
