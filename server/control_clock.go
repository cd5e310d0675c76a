package server

import (
	"context"
	"errors"
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
	if s.scheduler.State().Frozen {
		reply.Mode = "frozen"
	}
	return reply, nil
}

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

// happenings are what a move of the clock made happen.
type happenings struct {
	Happened []action.Event `json:"happened"`
	// Omitted is how many more there were, of which Happened has the first.
	Omitted int `json:"omitted,omitzero"`
}

// mostListed bounds how many things a move of the clock lists.
const mostListed = 100_000

func (h *happenings) add(events []action.Event) {
	room := min(len(events), mostListed-len(h.Happened))
	h.Happened = append(h.Happened, events[:room]...)
	h.Omitted += len(events) - room
}

// setClock moves the clock to a moment, freezes it or lets it run, or both.
func (s *Server) setClock(r *http.Request, q *setClockRequest) (reply SetClockReply, err error) {
	switch q.Mode {
	case "", "running", "frozen":
	default:
		return reply, refuse(http.StatusBadRequest, "the mode is %q, it must be running or frozen", q.Mode)
	}
	if q.Now == nil && q.Mode == "" {
		return reply, refuse(http.StatusBadRequest, "nothing to do: give now, mode or both")
	}
	h, err := s.moveClock(r.Context(), func() (state clock.State, to time.Time, err error) {
		to = s.clock.Now()
		if q.Now != nil {
			if to = *q.Now; to.IsZero() {
				return state, to, errors.New("now is the year 1")
			}
			if state, err = s.clock.AheadTo(to); err != nil {
				return state, to, err
			}
		} else {
			state = s.clock.State()
		}
		switch q.Mode {
		case "frozen":
			state = clock.State{Frozen: true, At: to.UnixNano()}
		case "running":
			state = clock.State{Offset: int64(to.Sub(s.clock.Wall()))}
			if q.Now == nil && !s.clock.State().Frozen {
				state = s.clock.State()
			}
		}
		return state, to, nil
	})
	if err != nil {
		return reply, err
	}
	reply.Happened, reply.Omitted = h.Happened, h.Omitted
	reply.ClockReply, err = s.clockNow()
	return reply, err
}

type advanceRequest struct {
	By string     `json:"by"` // such as 72h or 30d
	To *time.Time `json:"to"`
}

// AdvanceReply says where the clock is and what happened on the way, in order, each at its
// own time.
type AdvanceReply struct {
	Now time.Time `json:"now"`
	happenings
}

// advanceClock moves the clock ahead and returns when all that becomes due is done.
func (s *Server) advanceClock(r *http.Request, q *advanceRequest) (AdvanceReply, error) {
	if (q.By == "") == (q.To == nil) {
		return AdvanceReply{}, refuse(http.StatusBadRequest, `give one of by, such as "72h" or "30d", and to, a time such as "2030-01-02T15:04:05Z"`)
	}
	if q.To != nil {
		return s.advance(r.Context(), func() (clock.State, time.Time, error) {
			state, err := s.clock.AheadTo(*q.To)
			return state, *q.To, err
		})
	}
	by, err := clock.ParseDuration(q.By)
	if err != nil {
		return AdvanceReply{}, refuse(http.StatusBadRequest, "by: %v", err)
	}
	return s.AdvanceWhile(r.Context(), by)
}

// Advance moves the virtual clock ahead and returns when everything that becomes due on the
// way has happened, in order of time, with the list of it. A duration below 0 is refused.
// It is safe for concurrent use: each move gets what it made happen.
func (s *Server) Advance(by time.Duration) (AdvanceReply, error) {
	return s.AdvanceWhile(s.lifetime, by)
}

// AdvanceWhile is Advance that ends with ctx, with the clock where it has come to.
func (s *Server) AdvanceWhile(ctx context.Context, by time.Duration) (AdvanceReply, error) {
	return s.advance(ctx, func() (clock.State, time.Time, error) { return s.clock.Ahead(by) })
}

func (s *Server) advance(ctx context.Context, plan func() (clock.State, time.Time, error)) (reply AdvanceReply, err error) {
	reply.happenings, err = s.moveClock(ctx, func() (state clock.State, to time.Time, err error) {
		state, to, err = plan()
		reply.Now = to.UTC()
		return state, to, err
	})
	return reply, err
}

// moveClock moves the clock step by step, and has done what becomes due. Its state is kept
// with what is done, so that a process that ends on the way finds its clock no earlier than
// its data.
func (s *Server) moveClock(ctx context.Context, plan func() (clock.State, time.Time, error)) (h happenings, err error) {
	work := s.works.begin("a move of the clock", s.log)
	defer work.end()
	var refused error
	h.Happened = []action.Event{}
	err = s.scheduler.Move(ctx, func() (state clock.State, to time.Time, err error) {
		state, to, refused = plan()
		return state, to, refused
	}, func(happened []action.Event, reached time.Time) {
		h.add(happened)
		work.add(len(happened))
		work.at.Store(&reached)
	})
	if refused != nil {
		return h, refuse(http.StatusConflict, "%v", refused)
	}
	if err != nil {
		if kept := s.keepClock(); kept != nil {
			err = errors.Join(err, kept)
		}
		if errors.Is(err, context.Canceled) {
			s.log.Warn("a move of the clock was given up on its way: its caller is gone, or the server stops",
				"clock", s.clock.Now().UTC().Format(time.RFC3339), "happened", len(h.Happened)+h.Omitted)
		}
	}
	return h, err
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
