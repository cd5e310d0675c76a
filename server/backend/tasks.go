package backend

import (
	"sync"

	"ssmlocal/server/ssm"
)

// TaskSettings say when tasks end and which of them fail. They can be changed
// at any time; a change applies to the tasks that begin after it.
type TaskSettings struct {
	first ssm.Pace // as configured

	mu       sync.Mutex
	pace     ssm.Pace
	failNext int
}

// Get returns the pace of tasks, and how many of the next ones will fail.
func (t *TaskSettings) Get() (pace ssm.Pace, failNext int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.pace, t.failNext
}

// Set changes what is not nil. The caller has checked that failNext is not
// below 0.
func (t *TaskSettings) Set(pace *ssm.Pace, failNext *int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if pace != nil {
		t.pace = *pace
	}
	if failNext != nil {
		t.failNext = *failNext
	}
}

// restart makes the settings what they were at the start.
func (t *TaskSettings) restart() {
	none := 0
	t.Set(&t.first, &none)
}

// Pace is the pace of a task that begins now.
func (t *TaskSettings) Pace() ssm.Pace {
	pace, _ := t.Get()
	return pace
}

// Fail reports whether a task that begins now fails, and counts it.
func (t *TaskSettings) Fail() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.failNext == 0 {
		return false
	}
	t.failNext--
	return true
}
