package server

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"ssmlocal/server/account"
	"ssmlocal/server/backend"
	"ssmlocal/server/caller"
	"ssmlocal/server/capsule"
	"ssmlocal/server/clock"
	"ssmlocal/server/control"
	"ssmlocal/server/seed"
	"ssmlocal/server/ssm"
)

// Replayed says how a capsule's requests were answered this time.
type Replayed struct {
	Requests int         `json:"requests"`
	Skipped  int         `json:"skipped,omitzero"` // that a redacted capsule can't repeat
	Differs  *Difference `json:"differs,omitempty"`
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
// which they came, and compares the answers. With the build that recorded it,
// they are equal byte for byte, save for SSH keys, which can't be drawn again.
// No instance is bound: a replay changes no real database.
// Of a redacted capsule, the signatures are not verified, the calls that were
// refused for them are left out, and values are not compared.
func Replay(ctx context.Context, c *capsule.Capsule) (Replayed, error) {
	var wall atomic.Int64 // nanoseconds; the replay's own clock
	wall.Store(c.Start.Wall.UnixNano())
	s, stop, err := replaying(c, clock.New(func() time.Time { return time.Unix(0, wall.Load()) }))
	if err != nil {
		return Replayed{}, err
	}
	defer stop()
	if err := c.Unbind(); err != nil {
		return Replayed{}, err
	}
	if _, err := s.Backend.Import(ctx, seed.Text("the capsule's state", []byte(c.Start.State)), 0); err != nil {
		return Replayed{}, err
	}
	s.Backend.Clock.Restore(capsule.Clock(c.Start.Clock))
	if err := s.Backend.RestoreRandom(c.Start.Random); err != nil {
		return Replayed{}, err
	}
	out := Replayed{Stopped: c.Stopped}
	handler := s.routes(true)
	fresh, cancel := context.WithCancel(context.Background()) // without what the routing of this request has in it
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	for i := range c.Requests {
		if err := ctx.Err(); err != nil {
			return out, err
		}
		q := &c.Requests[i]
		if c.Redacted && bytes.Contains(q.Answer, []byte(`"AuthFailure.`)) {
			out.Skipped++
			continue
		}
		wall.Store(q.At.UnixNano())
		status, answer := send(clock.Arrived(fresh, q.At), handler, q)
		if q.Control {
			s.Backend.Clock.Restore(capsule.Clock(q.Clock))
		}
		out.Requests++
		if difference := compare(c, q, status, answer); difference != nil {
			difference.Number = i + 1
			out.Differs = difference
			return out, nil
		}
	}
	return out, nil
}

// recordingOf is what the control plane needs to record and to replay.
func (s *Server) recordingOf() control.Recording {
	r := control.Recording{Replay: func(ctx context.Context, c *capsule.Capsule) (any, error) {
		done, err := Replay(ctx, c)
		var refused backend.Refusal
		if err != nil && !errors.As(err, &refused) {
			err = backend.Refusal{Kind: backend.Invalid, Message: err.Error()}
		}
		return done, err
	}}
	if s.recording != nil {
		r.Capsule = s.recording.Capsule
	}
	return r
}

// replaying makes an emulator as the one that a capsule was recorded with.
func replaying(c *capsule.Capsule, at *clock.Clock) (s *Server, stop func(), err error) {
	config := Config{
		Auth: account.Mode(c.Settings.Auth), Unlimited: c.Settings.Unlimited, Rates: c.Settings.Rates, SecretLimit: c.Settings.SecretLimit,
		RandomSeed: &c.Settings.RandomSeed, Clock: at, Version: c.Version,
		ConsoleOff: true, // what a browser opens is not recorded
	}
	if c.Redacted {
		config.Auth = account.Off
	}
	if config.TaskPace, err = ssm.ParsePace(cmp.Or(c.Settings.TaskPace, "now")); err != nil {
		return nil, nil, fmt.Errorf("the capsule's pace of tasks: %w", err)
	}
	for _, text := range c.Settings.Credentials {
		credential, err := account.ParseCredential(text)
		if err != nil {
			return nil, nil, fmt.Errorf("a credential of the capsule: %w", err)
		}
		config.Credentials = append(config.Credentials, credential)
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
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); s.Backend.Run(ctx) }()
	return s, func() {
		s.Backend.Stop()
		cancel()
		<-ended
		_ = s.Backend.Close() // it was in memory
	}, nil
}

// send sends a request again.
func send(ctx context.Context, handler http.Handler, q *capsule.Request) (status int, answer []byte) {
	r, err := http.NewRequestWithContext(ctx, q.Method, "http://replay"+q.URL, bytes.NewReader(q.Body))
	if err != nil {
		return 0, []byte(err.Error())
	}
	r.Host, r.RequestURI = q.Host, q.URL
	if q.Headers != nil {
		r.Header = q.Headers.Clone()
	}
	w := caller.NewRecorder()
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler: // a fault that breaks the connection off
			status, answer = w.Status, w.Body.Bytes()
		default: // a difference, not the end of whoever replays
			status, answer = http.StatusInternalServerError, fmt.Appendf(nil, "the emulator panicked: %v", p)
		}
	}()
	handler.ServeHTTP(w, r)
	return w.Status, w.Body.Bytes()
}

// shown is how much of an answer a difference has.
const shown = 300

// compare returns how an answer differs, nil if it does not. Of the control
// plane only the status is compared: its answers have durations in them.
func compare(c *capsule.Capsule, q *capsule.Request, status int, answer []byte) *Difference {
	before, now := []byte(q.Answer), answer
	switch {
	case q.Status == 0: // there was no answer: a fault broke off
		return nil
	case q.Control:
		if status == q.Status {
			return nil
		}
		before, now = fmt.Appendf(nil, "%d %s", q.Status, before), fmt.Appendf(nil, "%d %s", status, now)
	default:
		before, now = comparable(before, c.Redacted), comparable(now, c.Redacted)
		if bytes.Equal(before, now) && status == q.Status {
			return nil
		}
	}
	at := 0
	for at < min(len(before), len(now)) && before[at] == now[at] {
		at++
	}
	at = max(0, at-40)
	what := q.Method + " " + strings.SplitN(q.URL, "?", 2)[0]
	if action := q.Headers.Get("X-Tc-Action"); action != "" {
		what = action
	}
	return &Difference{At: q.At, What: what, Before: cut(before[min(at, len(before)):]), Now: cut(now[min(at, len(now)):])}
}

func cut(text []byte) string { return strings.ToValidUTF8(string(text[:min(len(text), shown)]), "") }

// comparable is an answer without what can't be the same: SSH keys, and the
// values and ids of a redacted capsule.
func comparable(answer []byte, redacted bool) []byte {
	if !redacted && !bytes.Contains(answer, []byte(`"PrivateKey"`)) {
		return answer
	}
	var value any
	if json.Unmarshal(answer, &value) != nil {
		return answer
	}
	value = capsule.Replace(value, func(string) string { return "***" })
	strip(value, redacted)
	text, err := json.Marshal(value)
	if err != nil {
		return answer
	}
	return text
}

// strip removes what is drawn anew.
func strip(value any, redacted bool) {
	switch v := value.(type) {
	case map[string]any:
		for name, child := range v {
			drawn := redacted && (name == "RequestId" || name == "FlowID" || name == "ResourceID" || strings.HasPrefix(name, "SSHKey"))
			if name == "PublicKey" || drawn {
				v[name] = "***"
			} else {
				strip(child, redacted)
			}
		}
	case []any:
		for _, child := range v {
			strip(child, redacted)
		}
	}
}

// recorder returns the recorder of a configuration, nil for none. What is drawn
// must repeat then.
func (s *Server) recorder(c *Config) *capsule.Recorder {
	if c.Capsule == 0 {
		return nil
	}
	if c.RandomSeed == nil {
		n := backend.AnySeed()
		c.RandomSeed = &n
	}
	settings := capsule.Settings{
		Auth: string(cmp.Or(c.Auth, account.Verify)), Unlimited: c.Unlimited, Rates: c.Rates, SecretLimit: c.SecretLimit,
		TaskPace: c.TaskPace.String(), RandomSeed: *c.RandomSeed,
	}
	for _, k := range c.Credentials {
		settings.Credentials = append(settings.Credentials, fmt.Sprintf("%s:%s:%d", k.SecretID, k.SecretKey, k.Uin))
	}
	at := c.Clock
	if at == nil {
		at = new(clock.Clock)
		c.Clock = at
	}
	return capsule.NewRecorder(c.Capsule, c.Version, settings, at)
}
