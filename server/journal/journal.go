// Package journal remembers the last calls, so that a test can assert what was
// called, and passes each on as it comes. It never holds a secret's value:
// whoever adds an entry has taken the values out.
package journal

import (
	"path"
	"slices"
	"strings"
	"sync"
	"time"
)

// OK is the code of a call that succeeded, NoAnswer that of one whose answer a
// fault took away.
const (
	OK       = "OK"
	NoAnswer = "NoAnswer"
)

// An Entry is one call.
type Entry struct {
	Number     uint64    `json:"number"` // calls are numbered from 1 on
	Time       time.Time `json:"time"`   // wall time
	Action     string    `json:"action,omitzero"`
	Region     string    `json:"region,omitzero"`
	Uin        uint64    `json:"uin,omitzero"`
	SecretID   string    `json:"secretId,omitzero"` // of the caller's key
	SecretName string    `json:"secretName,omitzero"`
	RequestID  string    `json:"requestId"`
	Code       string    `json:"code"`
	Duration   Duration  `json:"duration"`
	Client     string    `json:"client,omitzero"`   // X-TC-RequestClient
	Fault      string    `json:"fault,omitzero"`    // the rule that hit, and its effect
	Mismatch   string    `json:"mismatch,omitzero"` // which part of a signature was wrong
	// Parameters are those of the action, with *** in place of values; absent
	// where they were not in order, or are very long.
	Parameters any `json:"parameters,omitzero"`
}

// A Duration is written as 1.5ms.
type Duration time.Duration

// MarshalText writes it. Few entries are ever written, so it is done no
// earlier.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// A Filter chooses entries: those that agree with every field that is set.
type Filter struct {
	Action, Region, SecretName, SecretID, Code string // SecretName with * and ?, as in file names
	Uin                                        uint64
	Since                                      time.Time
	After                                      uint64 // a number: only entries with a higher one
}

// Check returns what is wrong with the filter, nil for nothing.
func (f *Filter) Check() error {
	_, err := path.Match(f.SecretName, "")
	return err
}

func (f *Filter) matches(e *Entry) bool {
	if f.Action != "" && f.Action != e.Action || f.Region != "" && f.Region != e.Region || f.SecretID != "" && f.SecretID != e.SecretID ||
		f.Code != "" && f.Code != e.Code || f.Uin != 0 && f.Uin != e.Uin || e.Time.Before(f.Since) || e.Number <= f.After {
		return false
	}
	named, _ := path.Match(f.SecretName, e.SecretName) // checked
	return f.SecretName == "" || named && e.SecretName != ""
}

// A Call can make an Entry about itself. Most entries are never read, so it is
// made only when somebody asks for it; the call must not change any more by
// then.
type Call interface{ Entry() Entry }

// kept is a call with its number.
type kept struct {
	number uint64
	call   Call
}

func (k kept) entry() Entry {
	e := k.call.Entry()
	e.Number = k.number
	return e
}

// A Journal has the last calls. It is safe for concurrent use.
type Journal struct {
	mu      sync.Mutex
	most    int
	calls   []kept // a ring once it is full
	next    int    // where the next one goes in a full ring
	number  uint64
	dropped int // calls that had to make room for newer ones
	readers map[*Reader]struct{}
}

// New returns a journal that keeps so many calls; with 0 it keeps none, but
// readers still get them.
func New(most int) *Journal { return &Journal{most: most, readers: map[*Reader]struct{}{}} }

// Add adds a call and gives it its number.
func (j *Journal) Add(c Call) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.number++
	k := kept{j.number, c}
	switch {
	case j.most == 0:
		j.dropped++
	case len(j.calls) < j.most:
		j.calls = append(j.calls, k)
	default:
		j.calls[j.next] = k
		j.dropped++
		j.next = (j.next + 1) % j.most
	}
	if len(j.readers) == 0 {
		return
	}
	e := k.entry()
	for r := range j.readers {
		r.offer(&e)
	}
}

// Find returns the last entries that a filter lets through, at most limit of
// them (0 is no limit), oldest first, and how many there are in all.
func (j *Journal) Find(f Filter, limit int) (found []Entry, total int) {
	j.mu.Lock()
	calls, last := j.orderedLocked(), j.number
	j.mu.Unlock()
	return find(calls, last, f, limit)
}

// orderedLocked returns the calls, oldest first. They don't change any more, so
// they can be read without the lock, for which every call waits.
func (j *Journal) orderedLocked() []kept { return slices.Concat(j.calls[j.next:], j.calls[:j.next]) }

// find is Find among calls of which the last one ever had a number.
func find(calls []kept, last uint64, f Filter, limit int) (found []Entry, total int) {
	found = []Entry{}
	if f.After > last { // it is of an emulator that ran before: all are new to the caller
		f.After = 0
	}
	for _, k := range calls {
		if e := k.entry(); f.matches(&e) {
			found = append(found, e)
		}
	}
	total = len(found)
	if limit > 0 && total > limit {
		found = found[total-limit:]
	}
	return found, total
}

// Dropped returns how many calls had to make room for newer ones since the
// journal was last emptied: a count may be too low by that many.
func (j *Journal) Dropped() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.dropped
}

// Forget removes the calls of an account, or with 0 all, and returns how many
// there were.
func (j *Journal) Forget(uin uint64) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	if uin == 0 {
		j.dropped = 0
	}
	before := len(j.calls)
	j.calls = slices.DeleteFunc(j.orderedLocked(), func(k kept) bool { return uin == 0 || k.entry().Uin == uin })
	j.next = 0
	return before - len(j.calls)
}

// A Reader gets entries as they are added. One that is too slow misses some.
type Reader struct {
	C      <-chan Entry
	c      chan Entry
	filter Filter
}

// waiting is how many entries wait for a reader at most.
const waiting = 256

// Follow returns a reader of the entries from now on that a filter lets
// through, and what Find returns at the same moment: no entry is in neither and
// none in both. Unfollow ends the reader.
func (j *Journal) Follow(f Filter, limit int) (found []Entry, r *Reader) {
	c := make(chan Entry, waiting)
	later := f
	later.After = 0
	r = &Reader{C: c, c: c, filter: later}
	j.mu.Lock()
	j.readers[r] = struct{}{}
	calls, last := j.orderedLocked(), j.number
	j.mu.Unlock()
	found, _ = find(calls, last, f, limit)
	return found, r
}

// Unfollow ends a reader.
func (j *Journal) Unfollow(r *Reader) {
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.readers, r)
}

func (r *Reader) offer(e *Entry) {
	if !r.filter.matches(e) {
		return
	}
	select {
	case r.c <- *e:
	default:
	}
}

// MaxClip is how many bytes are kept of a text from a client that may have any
// length.
const MaxClip = 256

// Clip must be used for everything from a client that is kept in the journal,
// the log or the metrics. The result has a bounded length and its own memory.
func Clip(s string) string { return ClipTo(s, MaxClip) }

// ClipTo is Clip to another length, in bytes.
func ClipTo(s string, most int) string {
	if len(s) <= most {
		return strings.Clone(s)
	}
	return strings.ToValidUTF8(strings.Clone(s[:most]), "") + "…"
}
