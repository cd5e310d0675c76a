package ssm

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A TaskKind is what a task does.
type TaskKind uint8

// The kinds of tasks.
const (
	CreateTask TaskKind = iota // make a product secret's accounts and its first value
	RotateTask                 // give a secret a new value
	DeleteTask                 // remove a product secret's accounts
)

// String names the kind.
func (k TaskKind) String() string { return [...]string{"creation", "rotation", "deletion"}[k] }

// A TaskStatus is a task's state, as DescribeAsyncRequestInfo numbers it.
type TaskStatus uint8

// The task statuses.
const (
	TaskRunning TaskStatus = iota
	TaskDone
	TaskFailed
)

// String describes the status as DescribeAsyncRequestInfo does: seen for the
// first two, the third is unknown.
func (s TaskStatus) String() string {
	return [...]string{"task is processing", "success", "task failed"}[s]
}

// A Task is something that the service does after it has answered; its FlowID
// is its key.
type Task struct {
	Kind       TaskKind   `cbor:"1,keyasint,omitempty"`
	Status     TaskStatus `cbor:"2,keyasint,omitempty"`
	Uin        uint64     `cbor:"3,keyasint"`
	Region     string     `cbor:"4,keyasint"`
	SecretName string     `cbor:"5,keyasint"`
	BeganAt    int64      `cbor:"6,keyasint"`           // unix nanoseconds
	DueAt      int64      `cbor:"7,keyasint,omitempty"` // unix nanoseconds, 0 for a task that ends by polls
	Polls      int        `cbor:"8,keyasint,omitempty"` // how many polls are left until it ends
	Fails      bool       `cbor:"9,keyasint,omitempty"`

	// Of tasks that change a real database. Ready is set from when the change
	// may begin until the task ends, Pending is what will be the secret's
	// value, Drop are the accounts that a deletion drops, and Reason is why the
	// task has failed.
	Ready    bool     `cbor:"10,keyasint,omitempty"`
	Instance string   `cbor:"11,keyasint,omitempty"`
	Pending  Login    `cbor:"12,keyasint,omitzero"`
	Drop     []string `cbor:"13,keyasint,omitempty"`
	Reason   string   `cbor:"14,keyasint,omitempty"`
	ByPolicy bool     `cbor:"15,keyasint,omitempty"` // begun by a rotation policy, to end at once
}

// A Pace says when a task ends: at once (the zero Pace), after a time, or with
// the nth poll.
type Pace struct {
	After time.Duration
	Polls int
}

// String writes a pace as ParsePace reads it.
func (p Pace) String() string {
	switch {
	case p.Polls > 0:
		return strconv.Itoa(p.Polls) + "polls"
	case p.After > 0:
		return p.After.String()
	}
	return "now"
}

// maxPace is the longest time that a task can take.
const maxPace = 365 * 24 * time.Hour

// ParsePace reads "now", a duration such as "6s", or a number of polls such as
// "3polls".
func ParsePace(text string) (Pace, error) {
	if text == "now" {
		return Pace{}, nil
	}
	if number, ok := strings.CutSuffix(text, "polls"); ok {
		n, err := strconv.Atoi(strings.TrimSpace(number))
		if err == nil && n > 0 {
			return Pace{Polls: n}, nil
		}
	} else if d, err := time.ParseDuration(text); err == nil && d > 0 && d <= maxPace {
		return Pace{After: d}, nil
	}
	return Pace{}, fmt.Errorf("the pace of tasks is %q; it must be now, a duration such as 6s up to a year, or a number of polls such as 3polls", text)
}
