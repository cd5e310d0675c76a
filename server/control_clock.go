package server

import (
	"net/http"
	"time"

	"ssmlocal/server/action"
	"ssmlocal/server/clock"
	"ssmlocal/server/ssm"
)

// The control plane's calls about time: the virtual clock, and how long tasks take.

// ClockReply tells what the virtual clock does.
type ClockReply struct {
	Mode   string    `json:"mode"` // running or frozen
	Now    time.Time `json:"now"`
	Offset string    `json:"offset"` // how far it is ahead of wall time
}

func (s *Server) clockNow() (ClockReply, error) {
	wall := s.clock.Wall()
	now := s.clock.At(wall)
	reply := ClockReply{Mode: "running", Now: now.UTC(), Offset: now.Sub(wall).String()}
	if s.clock.State().Frozen {
		reply.Mode = "frozen"
	}
	return reply, nil
}

type setClockRequest struct {
	Now  *time.Time `json:"now"`
	Mode string     `json:"mode"`
}

// SetClockReply tells what the clock does, and what happened on its way there.
type SetClockReply struct {
	ClockReply
	Happened []action.Event `json:"happened,omitempty"`
}

// setClock moves the clock to a moment, freezes it or lets it run, or both.
func (s *Server) setClock(q *setClockRequest) (reply SetClockReply, err error) {
	switch q.Mode {
	case "", "running", "frozen":
	default:
		return reply, refuse(http.StatusBadRequest, "the mode is %q, it must be running or frozen", q.Mode)
	}
	if q.Now == nil && q.Mode == "" {
		return reply, refuse(http.StatusBadRequest, "nothing to do: give now, mode or both")
	}
	reply.Happened, err = s.moveClock(func() (time.Time, error) {
		before := s.clock.State()
		if q.Mode == "frozen" {
			s.clock.Freeze() // first: it is to stand still at the very moment
		}
		if q.Now != nil {
			if _, err := s.clock.AdvanceTo(*q.Now); err != nil {
				s.clock.Restore(before)
				return time.Time{}, err
			}
		}
		if q.Mode == "running" {
			s.clock.Run()
		}
		return s.clock.Now(), nil
	})
	if err != nil {
		return reply, err
	}
	reply.ClockReply, err = s.clockNow()
	return reply, err
}

type advanceRequest struct {
	By string     `json:"by"` // such as 72h or 30d
	To *time.Time `json:"to"`
}

// AdvanceReply tells where the clock is and what happened on the way, in order, each at its own time.
type AdvanceReply struct {
	Now      time.Time      `json:"now"`
	Happened []action.Event `json:"happened"`
}

// advanceClock moves the clock ahead and returns when all that becomes due is done.
func (s *Server) advanceClock(q *advanceRequest) (AdvanceReply, error) {
	if (q.By == "") == (q.To == nil) {
		return AdvanceReply{}, refuse(http.StatusBadRequest, `give one of by, such as "72h" or "30d", and to, a time such as "2030-01-02T15:04:05Z"`)
	}
	if q.To != nil {
		return s.advance(func() (time.Time, error) { return s.clock.AdvanceTo(*q.To) })
	}
	by, err := clock.ParseDuration(q.By)
	if err != nil {
		return AdvanceReply{}, refuse(http.StatusBadRequest, "by: %v", err)
	}
	return s.Advance(by)
}

// Advance moves the virtual clock ahead and returns when everything that becomes due on the way has happened, in order
// of time, with the list of it. It is safe for concurrent use: each move gets what it made happen.
func (s *Server) Advance(by time.Duration) (AdvanceReply, error) {
	return s.advance(func() (time.Time, error) { return s.clock.Advance(by) })
}

func (s *Server) advance(move func() (time.Time, error)) (reply AdvanceReply, err error) {
	reply.Happened, err = s.moveClock(func() (now time.Time, err error) {
		now, err = move()
		reply.Now = now.UTC()
		return now, err
	})
	return reply, err
}

// moveClock moves the clock, keeps its state for the next start, and has done what becomes due: in this order, so that a
// process that ends on the way finds its clock no earlier than its data.
func (s *Server) moveClock(move func() (time.Time, error)) ([]action.Event, error) {
	var past error
	happened, err := s.worker.Move(func() (time.Time, error) {
		now, err := move()
		if past = err; err == nil {
			err = s.keepClock()
		}
		return now, err
	})
	if past != nil {
		return nil, refuse(http.StatusConflict, "%v", past)
	}
	return happened, err
}

// TaskReply tells how tasks go.
type TaskReply struct {
	Pace     string `json:"pace"`     // now, a duration of virtual time such as 6s, or a number of polls such as 3polls
	FailNext int    `json:"failNext"` // how many of the next tasks will fail
}

func (s *Server) taskSettings() (TaskReply, error) {
	s.tasks.mu.Lock()
	defer s.tasks.mu.Unlock()
	return TaskReply{s.tasks.pace.String(), s.tasks.failNext}, nil
}

type setTasksRequest struct {
	Pace     *string `json:"pace"`
	FailNext *int    `json:"failNext"`
}

// setTasks changes how the tasks that begin from now on go.
func (s *Server) setTasks(q *setTasksRequest) (TaskReply, error) {
	if q.FailNext != nil && *q.FailNext < 0 {
		return TaskReply{}, refuse(http.StatusBadRequest, "failNext is %d, it must be 0 or more", *q.FailNext)
	}
	s.tasks.mu.Lock()
	if q.Pace != nil {
		pace, err := ssm.ParsePace(*q.Pace)
		if err != nil {
			s.tasks.mu.Unlock()
			return TaskReply{}, refuse(http.StatusBadRequest, "%v", err)
		}
		s.tasks.pace = pace
	}
	if q.FailNext != nil {
		s.tasks.failNext = *q.FailNext
	}
	s.tasks.mu.Unlock()
	return s.taskSettings()
}
