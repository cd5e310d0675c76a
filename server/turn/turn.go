// Package turn has the place of a request in a run that is recorded. Such
// requests are served one at a time, so that a replay can serve them in the
// same order. The context of a request carries its turn; without a recording
// there is none, and every method of a nil *Turn does nothing.
package turn

import (
	"context"
	"io"
	"time"
)

// A Turn is the place of one request. Only the request's goroutine uses it.
type Turn struct {
	// Number counts the turns of a run from 1; 0 is a request that is not
	// recorded.
	Number uint64
	// At is the wall time at which the turn began.
	At time.Time
	// Random is what the request draws from; nil until something is drawn.
	Random io.Reader
	// Signature says whether a signature counts as right, for a replay that
	// can't verify any; nil verifies it.
	Signature *bool

	order Order
}

// An Order lets one request go on at a time. A request may have several turns:
// it gives its turn back while it waits for something.
type Order interface {
	// Take waits until no other request has its turn.
	Take(t *Turn)
	// Begin says that the turn counts from here on: it sets Number, if that is
	// 0, and At. cut is why the request was given up while it waited, "" for no
	// reason; Begin returns the reason that counts.
	Begin(t *Turn, cut string) string
	// Give lets the next request go on.
	Give(t *Turn)
	// Waits reports whether a request really waits for a fault's delay.
	Waits() bool
	// Verified notes whether the signature was right.
	Verified(right bool)
	// Chance gets what was drawn about a fault rule with a probability, true
	// if it hits, and returns what counts.
	Chance(drawn bool) bool
}

type key struct{}

// With returns a context for a request that waits for its turn.
func With(ctx context.Context, o Order) (context.Context, *Turn) {
	t := &Turn{order: o}
	return context.WithValue(ctx, key{}, t), t
}

// Of returns the turn of a request, nil for one without.
func Of(ctx context.Context) *Turn {
	t, _ := ctx.Value(key{}).(*Turn)
	return t
}

// Take waits until it is the request's turn. Nothing that another request may
// wait for may be held meanwhile.
func (t *Turn) Take() {
	if t != nil {
		t.order.Take(t)
	}
}

// Begin says that what the request does from here on belongs to its turn.
func (t *Turn) Begin() { t.Resume("") }

// Resume is Begin after a wait, with the reason why the request was given up
// meanwhile, "" for none. It returns the reason that counts.
func (t *Turn) Resume(cut string) string {
	if t == nil {
		return cut
	}
	return t.order.Begin(t, cut)
}

// Give lets others go on.
func (t *Turn) Give() {
	if t != nil {
		t.order.Give(t)
	}
}

// Waits reports whether the request really waits for a fault's delay: in a
// replay it does not.
func (t *Turn) Waits() bool { return t == nil || t.order.Waits() }

// Chance gets whether a fault rule with a probability hits by what was drawn,
// and returns whether it does: in a replay, it hits when it did before.
func (t *Turn) Chance(drawn bool) bool {
	if t == nil {
		return drawn
	}
	return t.order.Chance(drawn)
}

// Judged says whether a signature counts as right, nil if it is to be verified.
func (t *Turn) Judged() *bool {
	if t == nil {
		return nil
	}
	return t.Signature
}

// Verified says whether the signature was right.
func (t *Turn) Verified(right bool) {
	if t != nil {
		t.order.Verified(right)
	}
}

// Time is when the turn began, or another time without a turn.
func (t *Turn) Time(otherwise time.Time) time.Time {
	if t == nil || t.At.IsZero() {
		return otherwise
	}
	return t.At
}
