package ssm

import (
	"time"

	"ssmlocal/server/apierr"
)

// Limits and defaults of a rotation policy, in days (1140/58266; the documented
// default of 1 is outside the documented range, so that a policy without a
// frequency gets the least that is allowed).
const (
	MinFrequency = 30
	MaxFrequency = 365
)

// MaxHistory is how many replaced values a rotated secret keeps (1140/58263).
const MaxHistory = 10

// A Rotation is a secret's rotation policy and how far it has come.
type Rotation struct {
	Enabled   bool   `cbor:"1,keyasint,omitempty"`
	Frequency int64  `cbor:"2,keyasint,omitempty"` // days
	Begin     string `cbor:"3,keyasint,omitempty"` // as the user wrote it: YYYY-MM-DD hh:mm:ss, UTC+8
	NextAt    int64  `cbor:"4,keyasint,omitempty"` // unix seconds of the next rotation by policy, 0 for none
	LastAt    int64  `cbor:"5,keyasint,omitempty"` // unix nanoseconds of the last one's end, 0 before the first
}

// ParseTime reads a time as the API writes it: YYYY-MM-DD hh:mm:ss in UTC+8.
func ParseTime(parameter, text string) (time.Time, error) {
	t, err := time.ParseInLocation(time.DateTime, text, Zone)
	if err != nil || t.Format(time.DateTime) != text { // the parser also takes 3:04:05 and 03:04:05.5
		return t, apierr.BadTime.With(parameter)
	}
	return t, nil
}

// FormatTime writes a moment of the model as the API writes times, "" for none.
func FormatTime(nanoseconds int64) string {
	if nanoseconds == 0 {
		return ""
	}
	return time.Unix(0, nanoseconds).In(Zone).Format(time.DateTime)
}

// Next writes the time of the next rotation by policy, "" for none.
func (r *Rotation) Next() string {
	if r.NextAt == 0 {
		return ""
	}
	return time.Unix(r.NextAt, 0).In(Zone).Format(time.DateTime)
}

// CheckFrequency checks that a rotation frequency in days is in its range.
func CheckFrequency(parameter string, days int64) error {
	if days < MinFrequency || days > MaxFrequency {
		return apierr.BadChoice.With(parameter, "30-365")
	}
	return nil
}

// Schedule works out the next rotation by policy: the first of begin, begin +
// frequency, begin + 2 frequencies and so on that lies after now (two official
// examples, 2024). A begin may be in the past, or in the year 9999. A policy
// that is off has none.
func (r *Rotation) Schedule(now time.Time) {
	r.NextAt = 0
	begin, err := ParseTime("RotationBeginTime", r.Begin)
	if !r.Enabled || err != nil || r.Frequency < 1 {
		return
	}
	const day = 24 * 60 * 60
	r.NextAt = begin.Unix()
	if behind := now.Unix() - r.NextAt; behind >= 0 {
		period := r.Frequency * day
		r.NextAt += (behind/period + 1) * period
	}
}

// historyLayout is the id of a replaced value: the second in which its rotation
// began, in UTC+8.
const historyLayout = "SSM_Rotate_20060102150405"

// HistoryID is the VersionId under which the value that a rotation replaces is
// kept: it says when the rotation began. If rotations follow each other within
// a second, it is one second after newest, the newest id so far, "" for none.
func HistoryID(began time.Time, newest string) string {
	id := began.In(Zone).Format(historyLayout)
	if id > newest {
		return id
	}
	last, err := time.ParseInLocation(historyLayout, newest, Zone)
	if err != nil {
		return id // not an id of ours
	}
	return last.Add(time.Second).Format(historyLayout)
}
