package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"ssmlocal/server/account"
	"ssmlocal/server/backend"
	"ssmlocal/server/capsule"
	"ssmlocal/server/clock"
	"ssmlocal/server/control"
	"ssmlocal/server/ssm"
)

// Replayed says how a capsule's requests were answered this time.
type Replayed struct {
	Requests int `json:"requests"`
	// Unanswered are those without a recorded answer: a fault took it away, or
	// they had not ended when the recording did. They are sent, and not compared.
	Unanswered int         `json:"unanswered,omitzero"`
	Differs    *Difference `json:"differs,omitempty"`
	// Databases is set if real databases were bound in the run.
	Databases bool `json:"databases,omitzero"`
	// Stopped is why the capsule has no later requests, "" if it has all.
	Stopped string `json:"stopped,omitempty"`
}

// A Difference is the first answer that differs from the recorded one.
type Difference struct {
	Number int       `json:"number"` // of the request, from 1
	At     time.Time `json:"at"`     // wall time of the recording
	What   string    `json:"what"`   // method and path, or the action
	Before string    `json:"before"` // the recorded answer, from where they differ
	Now    string    `json:"now"`
}

// Replay sends a capsule's requests to an emulator in memory, at the times at
// which they were served, and compares the answers. With the build that
// recorded it, they are equal byte for byte, save for SSH keys, which can't be
// drawn again. No instance is bound: a replay changes no real database. Of a
// redacted capsule, a signature counts as right if it did when it was recorded,
// and values and what is drawn are not compared.
func Replay(ctx context.Context, c *capsule.Capsule) (Replayed, error) {
	var wall atomic.Int64 // nanoseconds; the replay's own clock
	wall.Store(c.Start.Wall.UnixNano())
	s, stop, err := replaying(c, clock.New(func() time.Time { return time.Unix(0, wall.Load()) }))
	if err != nil {
		return Replayed{}, err
	}
	defer stop()
	err = s.Backend.Replay(ctx, backend.Run{
		Clock: c.Start.Clock.State(), Key: c.Start.Random, State: c.Start.State,
		Keys: c.Start.Keys, Bound: c.Start.Bound,
	})
	if gaveUp := ctx.Err(); gaveUp != nil {
		return Replayed{}, gaveUp
	}
	if err != nil {
		return Replayed{}, err
	}
	s.Gateway.UseRates(c.Start.Rates)
	p := newPlayer(ctx, s, c)
	defer p.end()
	out := Replayed{Databases: c.Databases, Stopped: c.Stopped}
	for _, t := range p.turns() {
		if err := ctx.Err(); err != nil {
			return out, err
		}
		wall.Store(t.at.At.UnixNano())
		if t.step != nil {
			if err := s.Backend.Repeat(t.step.Until, t.step.Items); err != nil {
				return out, err
			}
			continue
		}
		s.Backend.Clock.Restore(t.at.Clock.State())
		if done := p.play(t); !done || ctx.Err() != nil {
			continue
		}
		if out.add(p, t.request); out.Differs != nil {
			return out, nil
		}
	}
	if err := ctx.Err(); err != nil {
		return out, err
	}
	for i, x := range p.places { // those that still wait for a turn
		if !x.over() && out.Differs == nil {
			out.add(p, i)
		}
	}
	return out, nil
}

// add counts a request that was sent, and compares its answer.
func (out *Replayed) add(p *player, request int) {
	if out.Requests++; p.capsule.Requests[request].Status == 0 {
		out.Unanswered++
	}
	out.Differs = p.compare(request)
}

// recordingOf is what the control plane needs to record and to replay.
func (s *Server) recordingOf() control.Recording {
	return control.Recording{Recorder: s.recording, Replay: func(ctx context.Context, c *capsule.Capsule) (any, error) {
		done, err := Replay(ctx, c)
		var refused backend.Refusal
		if err != nil && !errors.As(err, &refused) {
			err = backend.Refusal{Kind: backend.Invalid, Message: err.Error()}
		}
		return done, err
	}}
}

// replaying makes an emulator as the one that a capsule was recorded with.
func replaying(c *capsule.Capsule, at *clock.Clock) (s *Server, stop func(), err error) {
	config := Config{
		Auth: c.Settings.Auth, Unlimited: c.Settings.Unlimited, Rates: c.Settings.Rates, SecretLimit: c.Settings.SecretLimit,
		Credentials: c.Settings.Credentials, Clock: at, Version: c.Version,
		ConsoleOff: true, // what a browser opens is not recorded
	}
	if config.TaskPace, err = ssm.ParsePace(cmp.Or(c.Settings.TaskPace, "now")); err != nil {
		return nil, nil, fmt.Errorf("the capsule's pace of tasks: %w", err)
	}
	config.Log = slog.New(slog.DiscardHandler)
	s = assemble(config)
	if err := s.configure(config); err != nil {
		return nil, nil, err
	}
	if err := s.Backend.Open(); err != nil {
		return nil, nil, err
	}
	s.register(config)
	return s, func() { _ = s.Backend.Close() }, nil // it was in memory
}

// recorder returns the recorder of a configuration, nil for none.
func (s *Server) recorder(c *Config) *capsule.Recorder {
	if c.Capsule == 0 {
		return nil
	}
	settings := capsule.Settings{
		Auth: cmp.Or(c.Auth, account.Verify), Unlimited: c.Unlimited, Rates: c.Rates, SecretLimit: c.SecretLimit,
		TaskPace: c.TaskPace.String(), Credentials: c.Credentials,
	}
	if c.Clock == nil {
		c.Clock = new(clock.Clock)
	}
	return capsule.NewRecorder(c.Capsule, c.Version, settings, c.Clock)
}

// runs is the recorder as the backend sees it.
type runs struct {
	*capsule.Recorder
	rates func() map[string]int
}

// Begin adds to a run the rates that hold at its beginning.
func (r runs) Begin(run backend.Run) {
	r.Recorder.Begin(capsule.Start{
		Wall: run.Wall, Clock: capsule.MomentOf(run.Clock), Random: run.Key, Rates: r.rates(),
		State: run.State, Keys: run.Keys, Bound: run.Bound,
	})
}
