package seed

import (
	"fmt"
	"strings"
	"time"

	"ssmlocal/server/clock"
)

// Moments, as files write them, and the clock.

// time reads a moment; "" is the default.
func (b *builder) time(path, text string, otherwise time.Time) time.Time {
	if text == "" {
		return otherwise
	}
	b.relative = b.relative || strings.HasPrefix(text, "now")
	t, err := parseTime(text, b.state.Now)
	b.check(path, err)
	return t
}

// parseTime reads now, now-30d, now+72h or 2030-01-02T15:04:05Z.
func parseTime(text string, now time.Time) (time.Time, error) {
	bad := fmt.Errorf("it must be a time such as 2030-01-02T15:04:05Z, now, now-30d or now+72h")
	t := now
	if rest, relative := strings.CutPrefix(text, "now"); !relative {
		var err error
		if t, err = time.Parse(time.RFC3339Nano, text); err != nil {
			return now, bad
		}
	} else if rest != "" {
		by, err := clock.ParseDuration(rest[1:])
		switch {
		case err != nil:
			return now, bad
		case rest[0] == '+':
			t = now.Add(by)
		case rest[0] == '-':
			t = now.Add(-by)
		default:
			return now, bad
		}
	}
	if t.Before(earliest) || t.After(latest) {
		return now, fmt.Errorf("it must lie between %s and %s", earliest.Format(time.DateOnly), latest.Format(time.DateOnly))
	}
	return t, nil
}

// The bounds of all times. A time that the clock has not reached yet may be
// some years after its end, as the pace of tasks is a year at most.
var (
	earliest = time.Date(1970, time.January, 2, 0, 0, 0, 0, time.UTC)
	latest   = clock.End.AddDate(5, 0, 0)
)

// past reads a moment that can't be in the future.
func (b *builder) past(path, text string, otherwise time.Time) time.Time {
	t := b.time(path, text, otherwise)
	why := ""
	if !b.timed && b.rules.Uin == 0 {
		why = ": a state without a clock is at wall time"
	}
	b.want(b.clockWrong || !t.After(b.state.Now), path, "it can't lie ahead of the clock, which is at %s%s", b.state.Now.UTC().Format(time.RFC3339), why)
	return t
}

func (b *builder) clock(c *Clock) {
	if c == nil {
		return
	}
	b.want(b.rules.Uin == 0, "clock", "the clock is everybody's: it can't be set for one account")
	b.once("clock", "the clock", "")
	b.timed = true
	b.agree(c.Now == "" || c.Offset == "", "clock", on{"now", "offset"}, "give one of now and offset")
	now := b.rules.Wall
	if c.Now != "" {
		t, err := parseTime(c.Now, b.rules.Wall)
		b.check("clock.now", err)
		now = t
	}
	if c.Offset != "" {
		by, err := time.ParseDuration(c.Offset)
		if err != nil {
			by, err = clock.ParseDuration(c.Offset)
		}
		b.want(err == nil, "clock.offset", "it must be a duration such as 72h")
		now = now.Add(by)
	}
	end := clock.End
	if c.Offset != "" && !c.Frozen {
		end = end.AddDate(1, 0, 0) // an export of a clock that stands still at its end has the offset
	}
	b.agree(!now.Before(earliest) && !now.After(end), "clock", on{"now", "offset", "clock"}, "it must be set between %s and %s", earliest.Format(time.DateOnly), clock.End.Format(time.DateOnly))
	b.state.Clock = clock.State{Offset: int64(now.Sub(b.rules.Wall))}
	if c.Frozen {
		b.state.Clock = clock.State{Frozen: true, At: now.UnixNano()}
	}
}
