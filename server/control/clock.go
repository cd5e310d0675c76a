package control

import (
	"net/http"
	"strconv"
	"time"

	"ssmlocal/server/action"
	"ssmlocal/server/backend"
	"ssmlocal/server/clock"
	"ssmlocal/server/ssm"
)

// The control plane's calls about time: the virtual clock, and how long tasks
// take.

// ClockReply says what the virtual clock does.
type ClockReply struct {
	Mode   string    `json:"mode"` // running or frozen
	Now    time.Time `json:"now"`
	Offset string    `json:"offset"` // how far it is ahead of wall time
}

func (c *Control) clockNow() (ClockReply, error) {
	wall := c.backend.Clock.Wall()
	now := c.backend.Clock.At(wall)
	reply := ClockReply{Mode: "running", Now: now.UTC(), Offset: now.Sub(wall).String()}
	if c.backend.Frozen() {
		reply.Mode = "frozen"
	}
	return reply, nil
}

// DueReply says what becomes due.
type DueReply struct {
	Now   time.Time         `json:"now"` // virtual time
	Due   []action.Upcoming `json:"due"` // the first of them
	Total uint64            `json:"total"`
}

// listDue lists what becomes due, 100 things unless a limit says otherwise.
func (c *Control) listDue(r *http.Request) (DueReply, error) {
	limit := 100
	if text := r.URL.Query().Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > mostDue {
			return DueReply{}, refuse(http.StatusBadRequest, "limit is %q; it must be a number from 1 to %d", text, mostDue)
		}
		limit = n
	}
	due, total, err := c.backend.Upcoming(limit)
	if due == nil {
		due = []action.Upcoming{}
	}
	return DueReply{c.backend.Clock.Now().UTC(), due, total}, err
}

// mostDue bounds how many things are listed that become due.
const mostDue = 10_000

type setClockRequest struct {
	Now  *time.Time `json:"now"`
	Mode string     `json:"mode"`
}

// SetClockReply says what the clock does, and what happened on its way there.
type SetClockReply struct {
	ClockReply
	Happened []action.Event `json:"happened,omitempty"`
	Omitted  int            `json:"omitted,omitzero"`
}

// setClock moves the clock to a moment, freezes it or lets it run, or both.
func (c *Control) setClock(r *http.Request, q *setClockRequest) (reply SetClockReply, err error) {
	switch q.Mode {
	case "", "running", "frozen":
	default:
		return reply, refuse(http.StatusBadRequest, "the mode is %q; it must be running or frozen", q.Mode)
	}
	if q.Now == nil && q.Mode == "" {
		return reply, refuse(http.StatusBadRequest, "nothing to do: give now, mode or both")
	}
	var frozen *bool
	if q.Mode != "" {
		is := q.Mode == "frozen"
		frozen = &is
	}
	h, err := c.backend.SetClock(r.Context(), q.Now, frozen)
	if err != nil {
		return reply, err
	}
	reply.Happened, reply.Omitted = h.Happened, h.Omitted
	reply.ClockReply, err = c.clockNow()
	return reply, err
}

type advanceRequest struct {
	By string     `json:"by"` // such as 72h or 30d
	To *time.Time `json:"to"`
}

// AdvanceReply says where the clock is and what happened on the way, in order,
// each at its own time.
type AdvanceReply struct {
	Now time.Time `json:"now"`
	backend.Happenings
}

// advanceClock moves the clock ahead and returns when everything that becomes
// due is done.
func (c *Control) advanceClock(r *http.Request, q *advanceRequest) (AdvanceReply, error) {
	if (q.By == "") == (q.To == nil) {
		return AdvanceReply{}, refuse(http.StatusBadRequest, `give one of by, such as "72h" or "30d", and to, a time such as "2030-01-02T15:04:05Z"`)
	}
	if q.To != nil {
		h, err := c.backend.AdvanceTo(r.Context(), *q.To)
		return AdvanceReply{q.To.UTC(), h}, err
	}
	by, err := clock.ParseDuration(q.By)
	if err != nil {
		return AdvanceReply{}, refuse(http.StatusBadRequest, "by: %v", err)
	}
	now, h, err := c.backend.Advance(r.Context(), by)
	return AdvanceReply{now.UTC(), h}, err
}

// TaskReply says when tasks end and how many of the next ones fail.
type TaskReply struct {
	Pace     string `json:"pace"`     // now, a duration of virtual time such as 6s, or a number of polls such as 3polls
	FailNext int    `json:"failNext"` // how many of the next tasks will fail
}

func (c *Control) taskSettings() (TaskReply, error) {
	pace, failNext := c.backend.Tasks.Get()
	return TaskReply{pace.String(), failNext}, nil
}

type setTasksRequest struct {
	Pace     *string `json:"pace"`
	FailNext *int    `json:"failNext"`
}

// setTasks changes when tasks that begin from now on end, and how many of them
// fail.
func (c *Control) setTasks(q *setTasksRequest) (TaskReply, error) {
	if q.FailNext != nil && *q.FailNext < 0 {
		return TaskReply{}, refuse(http.StatusBadRequest, "failNext is %d; it must be 0 or more", *q.FailNext)
	}
	var pace *ssm.Pace
	if q.Pace != nil {
		p, err := ssm.ParsePace(*q.Pace)
		if err != nil {
			return TaskReply{}, refuse(http.StatusBadRequest, "%v", err)
		}
		pace = &p
	}
	c.backend.Tasks.Set(pace, q.FailNext)
	return c.taskSettings()
}

func (c *Control) listAside() ([]action.Aside, error) { return c.backend.Aside(), nil }

func (c *Control) listWork() ([]backend.Work, error) { return c.backend.Works(), nil }
