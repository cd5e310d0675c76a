package clock

import (
	"strings"
	"testing"
	"time"
)

func TestFrozenAndMoved(t *testing.T) {
	var c Clock
	c.Freeze()
	at := c.Now()
	if got := c.At(c.Wall().Add(time.Hour)); !got.Equal(at) {
		t.Errorf("a frozen clock went from %v to %v", at, got)
	}
	if got, err := c.Advance(time.Hour); err != nil || !got.Equal(at.Add(time.Hour)) || !c.Now().Equal(got) {
		t.Errorf("an hour after %v is %v, %v", at, got, err)
	}
	if _, err := c.Advance(200 * 365 * 24 * time.Hour); err == nil {
		t.Error("moved beyond the end")
	}
	if _, err := c.AheadTo(End.Add(1)); err == nil {
		t.Error("moved to a moment beyond the end")
	}
	if _, err := c.AheadTo(at); err == nil || !strings.Contains(err.Error(), "can't go back") {
		t.Errorf("back in time: %v", err)
	}
	if _, err := c.Advance(-time.Hour); err == nil || !strings.Contains(err.Error(), "can't go back") {
		t.Errorf("back in time: %v", err)
	}
	state, err := c.AheadTo(at.Add(2 * time.Hour))
	if err != nil || !c.Now().Equal(at.Add(time.Hour)) {
		t.Errorf("asked what would be, the clock moved to %v, %v", c.Now(), err)
	}
	c.Restore(state)
	if !c.Now().Equal(at.Add(2 * time.Hour)) {
		t.Errorf("to %v: %v", at.Add(2*time.Hour), c.Now())
	}
	var other Clock
	other.Restore(c.State())
	if !other.Now().Equal(c.Now()) {
		t.Error("a restored clock stands elsewhere")
	}
	c.Run()
	wall := c.Wall()
	if ahead := c.At(wall).Sub(wall); ahead < 2*time.Hour-time.Minute || ahead > 2*time.Hour {
		t.Errorf("the running clock is %v ahead", ahead)
	}
	if d := c.At(wall.Add(time.Hour)).Sub(c.At(wall)); d != time.Hour {
		t.Errorf("an hour of wall time is %v", d)
	}
}

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"30d": 720 * time.Hour, "72h": 72 * time.Hour, "1h30m": 90 * time.Minute, "1d12h": 36 * time.Hour, "2w1d": 15 * 24 * time.Hour,
	} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "0d", "-1h", "d", "1.5d", "30", "30 days"} {
		if got, err := ParseDuration(text); err == nil || !strings.Contains(err.Error(), "30d") {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"300y", "99999999999999999999y", "99999999d", "30501w", "15250w2562047h", "99999999h"} {
		if got, err := ParseDuration(text); err == nil || !strings.Contains(err.Error(), "too long") {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}
