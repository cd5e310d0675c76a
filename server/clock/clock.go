// Package clock is where the emulator reads the time: no other package does.
// There are two clocks. Signatures are judged by the wall clock; data follows a
// virtual clock, which starts at wall time and can be frozen and moved ahead,
// never back.
package clock

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A Clock has both times. The zero Clock is ready: its virtual time runs and is
// wall time.
type Clock struct {
	wall  func() time.Time // nil for the machine's
	mu    sync.RWMutex
	state State
}

// New returns a clock with another wall time than the machine's, for a replay.
func New(wall func() time.Time) *Clock { return &Clock{wall: wall} }

// A State is everything about a virtual clock, to be kept and restored.
type State struct {
	Frozen bool  `cbor:"1,keyasint,omitempty"`
	At     int64 `cbor:"2,keyasint,omitempty"` // where a frozen clock stands, in unix nanoseconds
	Offset int64 `cbor:"3,keyasint,omitempty"` // a running clock's time minus wall time, in nanoseconds
}

// Wall returns wall time, which signatures and rates use.
func (c *Clock) Wall() time.Time {
	if c.wall != nil {
		return c.wall()
	}
	return time.Now()
}

// Now returns virtual time, which data uses.
func (c *Clock) Now() time.Time { return c.At(c.Wall()) }

// At is the virtual time at a moment of the wall clock.
func (c *Clock) At(wall time.Time) time.Time {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.state.Time(wall)
}

// Time is the virtual time at a moment of the wall clock, of a clock in this
// state.
func (s State) Time(wall time.Time) time.Time {
	if s.Frozen {
		return time.Unix(0, s.At)
	}
	if t := wall.Add(time.Duration(s.Offset)); t.Before(End) {
		return t
	}
	return End
}

// State returns the clock's state.
func (c *Clock) State() State {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.state
}

// Restore gives the clock a state that State returned, of this process or of
// one before.
func (c *Clock) Restore(s State) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state = s
}

// Freeze stops the virtual time.
func (c *Clock) Freeze() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state = State{Frozen: true, At: c.state.Time(c.Wall()).UnixNano()}
}

// Run lets the virtual time go on from where it is.
func (c *Clock) Run() {
	c.mu.Lock()
	defer c.mu.Unlock()
	wall := c.Wall()
	c.state = State{Offset: int64(c.state.Time(wall).Sub(wall))}
}

// End is the end of virtual time, where a clock that runs stands still: moments
// are counted in nanoseconds, which have room until 2262.
var End = time.Date(2200, time.January, 1, 0, 0, 0, 0, time.UTC)

// Ahead returns the state and the time of a clock that is moved ahead by a
// duration. A time after End is refused.
func (c *Clock) Ahead(by time.Duration) (State, time.Time, error) {
	wall := c.Wall()
	state := c.State()
	if by < 0 {
		return state, time.Time{}, fmt.Errorf("the clock can't go back by %s; start anew for an earlier time", -by)
	}
	if by > End.Sub(state.Time(wall)) {
		return state, time.Time{}, fmt.Errorf("the clock ends with the year %d", End.Year()-1)
	}
	state = state.ahead(by)
	return state, state.Time(wall), nil
}

// AheadTo returns the state of a clock that is moved ahead to a moment. A time
// in the past or after End is refused.
func (c *Clock) AheadTo(to time.Time) (State, error) {
	wall := c.Wall()
	state := c.State()
	now := state.Time(wall)
	if to.Before(now) {
		return state, fmt.Errorf("the clock can't go back: it is %s, and %s is before that; start anew for an earlier time",
			now.UTC().Format(time.RFC3339), to.UTC().Format(time.RFC3339))
	}
	if to.After(End) {
		return state, fmt.Errorf("the clock ends with the year %d", End.Year()-1)
	}
	return state.ahead(to.Sub(now)), nil
}

func (s State) ahead(by time.Duration) State {
	if s.Frozen {
		s.At += int64(by)
	} else {
		s.Offset += int64(by)
	}
	return s
}

// Advance moves the virtual time ahead by a duration and returns it. It does no
// due work, so it is for a clock without any. A time after End is refused.
func (c *Clock) Advance(by time.Duration) (time.Time, error) {
	state, now, err := c.Ahead(by)
	if err == nil {
		c.Restore(state)
	}
	return now, err
}

// ParseDuration reads a duration as Go writes it, such as 1h30m, or as a number
// of days, weeks or years of 365 days, such as 30d, 2w or 1y, also together:
// 1d12h. It must be more than zero.
func ParseDuration(text string) (time.Duration, error) {
	var total time.Duration
	rest := text
	for _, unit := range []struct {
		name string
		d    time.Duration
	}{{"y", 365 * 24 * time.Hour}, {"w", 7 * 24 * time.Hour}, {"d", 24 * time.Hour}} {
		number, after, found := strings.Cut(rest, unit.name)
		if !found {
			continue
		}
		n, err := strconv.ParseUint(number, 10, 63)
		switch {
		case errors.Is(err, strconv.ErrRange) || err == nil && time.Duration(n) > (math.MaxInt64-total)/unit.d:
			return 0, longDuration(text)
		case err != nil:
			return 0, badDuration(text)
		}
		total, rest = total+time.Duration(n)*unit.d, after
	}
	if rest != "" {
		d, err := time.ParseDuration(rest)
		switch {
		case err == nil && d > math.MaxInt64-total, err != nil && hours.MatchString(rest):
			return 0, longDuration(text)
		case err != nil:
			return 0, badDuration(text)
		}
		total += d
	}
	if total <= 0 {
		return 0, badDuration(text)
	}
	return total, nil
}

// hours matches a duration of more hours than there is room for.
var hours = regexp.MustCompile(`^\d+(\.\d+)?h`)

func longDuration(text string) error {
	return fmt.Errorf("%q is too long: the clock ends with the year %d", text, End.Year()-1)
}

func badDuration(text string) error {
	return fmt.Errorf("%q is not a duration; write 30d, 2w, 1y, 72h or 1h30m, more than zero", text)
}
