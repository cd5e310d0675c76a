package binding

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"ssmlocal/server/action"
	"ssmlocal/server/clock"
	"ssmlocal/server/ssm"
	"ssmlocal/store"
)

// nothing is a service without secrets.
type nothing struct {
	db          *store.DB
	due         *action.Due
	generations *action.Generations
}

func (n nothing) Enter()                                    {}
func (n nothing) Leave()                                    {}
func (n nothing) Store() *store.DB                          { return n.db }
func (n nothing) Due() *action.Due                          { return n.due }
func (n nothing) Generations() *action.Generations          { return n.generations }
func (n nothing) Account(uint64) (none ssm.AccountData)     { return none }
func (n nothing) Accounts() map[uint64]ssm.AccountData      { return nil }
func (n nothing) Edited()                                   {}
func (n nothing) Happened(action.Event, time.Time)          {}
func (n nothing) Failed(error)                              {}
func (n nothing) Without(_ *action.Call, wait func()) error { wait(); return nil }
func (n nothing) While(ctx context.Context) (context.Context, func()) {
	return context.WithCancel(ctx)
}

func ofNothing(t *testing.T) *Instances {
	t.Helper()
	db, err := store.OpenTemp(action.Tables()...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	g, err := action.ReadGenerations(db)
	if err != nil {
		t.Fatal(err)
	}
	s := nothing{db, &action.Due{DB: db, Generations: func() *action.Generations { return g }}, g}
	return New(s, Config{Clock: new(clock.Clock), Log: slog.New(slog.DiscardHandler)})
}

// TestUntriedChangeLeavesTheOutage lets a change fail without an attempt,
// because its database has been away for long: the next one fails as fast.
func TestUntriedChangeLeavesTheOutage(t *testing.T) {
	t.Parallel()
	x := ofNothing(t)
	now := x.clock.Wall()
	p := place{100000000001, "cdb-away"}
	for name, ch := range map[string]action.Change{
		"the database is down": {Kind: ssm.RotateTask},
		"it is not wanted":     {Kind: ssm.RotateTask, Void: "the secret is disabled"},
	} {
		x.down[p] = &outage{since: now.Add(-time.Hour), last: now, reason: "no answer", slow: true}
		ch.Owner, ch.InstanceID = ssm.Owner{Uin: p.uin}, p.id
		own, taken := x.take(t.Context(), &ch)
		if !taken {
			t.Fatal("the change can't be taken")
		}
		x.perform(own, ch)
		if err := x.isDown(p); err == nil || err.Error() != "no answer" {
			t.Errorf("%s: afterwards isDown returns %v", name, err)
		}
	}
}
