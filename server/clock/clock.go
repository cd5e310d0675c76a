// Package clock is where the emulator reads the time: no other package does. There are two clocks. Signatures are
// judged by the wall clock; what happens to data goes by a virtual clock, which starts on wall time and can be moved
// ahead.
package clock

import (
	"sync/atomic"
	"time"
)

// A Clock has both times. The zero Clock is ready and its virtual time is wall time.
type Clock struct {
	offset atomic.Int64 // virtual minus wall, in nanoseconds
}

// Wall is the time that signatures and rates go by.
func (c *Clock) Wall() time.Time { return time.Now() }

// Now is the time that data goes by.
func (c *Clock) Now() time.Time { return c.At(c.Wall()) }

// At is the virtual time at a moment of the wall clock.
func (c *Clock) At(wall time.Time) time.Time { return wall.Add(time.Duration(c.offset.Load())) }

// Advance moves the virtual time ahead.
func (c *Clock) Advance(by time.Duration) { c.offset.Add(int64(by)) }
