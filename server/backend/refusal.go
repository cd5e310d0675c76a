package backend

import (
	"context"
	"errors"

	"ssmlocal/server/seed"
)

// A Refusal says why a request was not carried out, in words for the person who
// made it. Nothing was changed.
type Refusal struct {
	Kind    Kind
	Message string
}

// Error returns the message.
func (r Refusal) Error() string { return r.Message }

// A Kind says why something was refused.
type Kind int

// The kinds.
const (
	Invalid  Kind = iota + 1 // what was asked for is wrong in itself
	Conflict                 // it doesn't go with what there is
	Busy                     // it can't be done now
	NotFound                 // what it is about is not there
)

// refusedState turns a mistake in a new state into a Refusal.
func refusedState(err error) error {
	var wrong *seed.PositionError
	switch {
	case errors.As(err, &wrong):
		return Refusal{Invalid, err.Error() + "; nothing was changed"}
	case errors.Is(err, errBusy), errors.Is(err, context.Canceled):
		return Refusal{Busy, err.Error() + "; nothing was changed"}
	}
	return err
}
