package clock

import (
	"context"
	"time"
)

type arrivalKey struct{}

// Arrived returns a context that says at which wall time a request came: a
// replay takes the same one again, to the nanosecond.
func Arrived(ctx context.Context, wall time.Time) context.Context {
	return context.WithValue(ctx, arrivalKey{}, wall)
}

// Arrival is the wall time at which a request came, of a context that says so,
// else now.
func (c *Clock) Arrival(ctx context.Context) time.Time {
	if at, is := ctx.Value(arrivalKey{}).(time.Time); is {
		return at
	}
	return c.Wall()
}
