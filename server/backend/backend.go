// Package backend is the emulated service without HTTP: the secrets and all
// that belongs to them, the virtual clock and what it makes due, who may call,
// which calls must fail, and the state as a whole: seeded, exported, imported,
// reset. The gateway, the control plane and Go tests all call it.
//
// The promise: a call sees all of one state or all of another, never a mixture.
// A new state is written while calls go on; the state lock is held alone only
// to swap it in, in memory.
package backend

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"ssmlocal/server/account"
	"ssmlocal/server/action"
	"ssmlocal/server/binding"
	"ssmlocal/server/clock"
	"ssmlocal/server/fault"
	"ssmlocal/server/scheduler"
	"ssmlocal/server/ssm"
	"ssmlocal/server/turn"
	"ssmlocal/store"
)

// A Config says how a backend behaves. Its zero value works: signatures are
// verified, and the state is temporary.
type Config struct {
	// Data is the directory of the data file; without one the state is
	// temporary.
	Data string
	// Auth says which callers are let in; "" is account.Verify.
	Auth account.Mode
	// Credentials are the known key pairs; none is account.Default.
	Credentials []account.Credential
	// Seeds are what the state begins with: names of built-in seeds, files,
	// directories.
	Seeds []string
	// WatchSeeds adds seed files that change to the state.
	WatchSeeds bool
	// Recorder records runs; nil for none.
	Recorder Recorder
	// RandomSeed makes all random values repeat from start to start; nil means
	// new ones each time.
	RandomSeed *uint64
	// SecretLimit is how many secrets a region of an account may hold; 0 is the
	// documented 1,000.
	SecretLimit uint64
	// Instances are real databases behind instances, by account. Those of the
	// state are used before them.
	Instances map[uint64][]ssm.Binding
	// InstancePatience is how long a database may be away before what changes
	// it fails; 0 is 20 s.
	InstancePatience time.Duration
	// Clock, if not nil, is a clock that the caller moves too.
	Clock *clock.Clock
	// TaskPace says when tasks end; the zero Pace is at once.
	TaskPace ssm.Pace
	// Log gets what needs attention; nil is slog.Default().
	Log *slog.Logger
}

// A ConfigError is a mistake in a Config itself, not a problem of the machine.
type ConfigError struct{ error }

// Unwrap returns what is wrong with it.
func (e ConfigError) Unwrap() error { return e.error }

// A Backend is the emulated service. It is safe for concurrent use once Open
// has returned.
type Backend struct {
	// Clock has wall time and virtual time. Faults has the rules for calls that
	// must fail. Directory knows who may call. Tasks says when tasks end and
	// which fail.
	Clock     *clock.Clock
	Faults    *fault.Set
	Directory *account.Directory
	Tasks     *TaskSettings

	db          *store.DB
	data        string // the data directory, "" of a temporary state
	stateLock   *stateLock
	generations atomic.Pointer[action.Generations] // the present ones
	staged      atomic.Uint32                      // the generation that is being written, 0 for none
	given       atomic.Pointer[replacement]        // on disk for the next start, but not swapped in; nil for none
	edits       atomic.Uint64                      // counts the changes of the state; see edited
	shift       atomic.Int64                       // by how much replacements have moved the clock, in nanoseconds
	scheduler   *scheduler.Scheduler[action.Event]
	due         *action.Due
	collector   collector
	events      events
	works       works
	accounts    accounts
	instances   *binding.Instances
	secretLimit uint64
	random      *random
	drawn       followed // what requests and due items draw in a run
	bound       boundKeys
	seeds       seeds
	snapshots   *snapshots
	recorder    Recorder // nil for none
	onReplace   []func(uin uint64)
	lifetime    context.Context // ends with Stop
	end         context.CancelFunc
	log         *slog.Logger
}

// New checks a configuration, and touches nothing yet. A mistake is a
// ConfigError.
func New(c Config) (*Backend, error) {
	b := &Backend{
		Clock: c.Clock, Tasks: &TaskSettings{first: c.TaskPace, pace: c.TaskPace},
		data: c.Data, snapshots: newSnapshots(c.Data), recorder: c.Recorder, stateLock: newStateLock(), collector: newCollector(), secretLimit: cmp.Or(c.SecretLimit, ssm.MaxSecrets),
		random: newRandom(c.RandomSeed), bound: boundKeys{ids: map[string]string{}}, log: c.Log,
	}
	if b.Clock == nil {
		b.Clock = new(clock.Clock)
	}
	if b.log == nil {
		b.log = slog.Default()
	}
	b.instances = binding.New(owner{b}, binding.Config{Bindings: c.Instances, Patience: c.InstancePatience, Clock: b.Clock, Log: b.log})
	b.lifetime, b.end = context.WithCancel(context.Background())
	b.works.clock = b.Clock
	b.Faults = fault.New()
	b.bound.random = newRandom(c.RandomSeed).atStart(boundStart)
	var err error
	if b.Directory, err = account.NewDirectory(c.Auth, c.Credentials); err != nil {
		return nil, ConfigError{err}
	}
	b.Directory.More = b.generatedCredential
	for _, bindings := range c.Instances {
		for _, one := range bindings {
			if err := binding.Check(one); err != nil {
				return nil, ConfigError{fmt.Errorf("--instance %s: %w", one.InstanceID, err)}
			}
		}
	}
	b.seeds.watch = c.WatchSeeds
	return b, b.checkSeeds(c.Seeds)
}

// Open opens the data file, continues where the last start ended, and applies
// the seeds to an empty state.
func (b *Backend) Open() (err error) {
	tables := append(action.Tables(), clocks, credentials, issued, roles, shifts, starts)
	if b.data == "" {
		b.db, err = store.OpenTemp(tables...)
	} else {
		b.db, err = store.OpenDir(b.data, tables...)
	}
	if err != nil {
		return err
	}
	if b.data != "" {
		if err := b.db.OwnersAlone(); err != nil {
			b.log.Warn("the data file can't be kept to its owner and is used as it is", "reason", err)
		}
		b.snapshots.removeUnfinished()
	}
	if err := b.load(); err != nil {
		return errors.Join(err, b.db.Close())
	}
	b.due = &action.Due{
		DB: b.db, Random: b.random, RandomOf: b.drawsForItem, Tasks: b.Tasks, Account: b.accounts.of, Generations: b.generations.Load,
		Instances: b.instances, Wall: b.Clock.Wall, Failed: b.reportAside,
	}
	b.scheduler = scheduler.New(b.Clock, b.stepDue)
	b.due.Moving = b.scheduler.Moving
	if b.recorder != nil {
		b.scheduler.Alone = b.recorder.Alone
		b.recorder.CatchUpBy(func(since time.Time) time.Time { return b.scheduler.CatchUpAlone(b.lifetime, since) })
	}
	if err := errors.Join(b.applySeeds(), b.recordStart(b.lifetime)); err != nil {
		return errors.Join(err, b.db.Close())
	}
	return nil
}

// load reads the state that the last start left.
func (b *Backend) load() error {
	g, err := action.ReadGenerations(b.db)
	if err != nil {
		return err
	}
	b.generations.Store(g)
	b.warnUnreadable(b.accounts.load(b.db, g))
	return errors.Join(b.countStart(), b.restoreClock(), b.loadCredentials())
}

// Run works in the background until ctx ends: it does what becomes due, and
// removes the records of replaced states.
func (b *Backend) Run(ctx context.Context) {
	var all sync.WaitGroup
	all.Go(func() { b.scheduler.Run(ctx, b.dueFailed) })
	all.Go(func() { b.collect(ctx) })
	all.Go(func() { b.instances.Run(ctx) })
	if b.seeds.watch {
		all.Go(func() { b.watchSeeds(ctx) })
	}
	all.Wait()
}

// Stop ends long work that is under way and calls that sleep, and closes
// Stopping.
func (b *Backend) Stop() { b.end() }

// Stopping is closed once Stop was called.
func (b *Backend) Stopping() <-chan struct{} { return b.lifetime.Done() }

// While returns a context that ends with another one, or when the backend is
// stopped. The caller calls cancel.
func (b *Backend) While(ctx context.Context) (_ context.Context, cancel func()) {
	ctx, end := context.WithCancel(ctx)
	stop := context.AfterFunc(b.lifetime, end)
	return ctx, func() { stop(); end() }
}

// Close closes the data file.
func (b *Backend) Close() error {
	b.end()
	b.instances.Close()
	return b.db.Close()
}

// OnReplace registers a function that forgets what is kept of an account, or
// with 0 of all accounts, when the state is replaced. It is called while no
// call is served, and must not wait for anything.
func (b *Backend) OnReplace(forget func(uin uint64)) { b.onReplace = append(b.onReplace, forget) }

// Enter begins a call: no state is replaced until Leave ends it.
func (b *Backend) Enter() { b.stateLock.RLock() }

// Leave ends a call.
func (b *Backend) Leave() { b.stateLock.RUnlock() }

// Sleep delays a call of an account; the call has entered. If the call must be
// given up meanwhile, Sleep returns why, else "".
func (b *Backend) Sleep(ctx context.Context, d time.Duration, uin uint64) (cut string) {
	return b.stateLock.sleep(ctx, d, uin, b.Stopping())
}

// UUID draws a version 4 UUID, for the RequestId of a call.
func (b *Backend) UUID(ctx context.Context) string { return uuidFrom(b.drawsFrom(ctx)) }

// Call returns what an action is given about a caller's call for a region, as
// of now; while a run is recorded, as of when its turn began, so that a
// replay has the same time. The action may be nil.
func (b *Backend) Call(ctx context.Context, caller *account.Caller, region string, a *action.Action) *action.Call {
	wall := turn.Of(ctx).Time(b.Clock.Wall())
	data, g := b.accounts.of(caller.Uin), b.generations.Load()
	c := &action.Call{
		Tx:          action.Tx{Owner: g.Owner(caller.Uin, region), Now: b.Clock.At(wall), Random: b.drawsFrom(ctx)},
		Generations: g, SecretLimit: cmp.Or(data.SecretLimit, b.secretLimit), Tasks: b.Tasks, Account: data,
		Identity: action.Identity{
			Uin: caller.Uin, User: caller.User, Role: caller.Role, Name: caller.Name, Temporary: caller.Token != "",
		},
		Wall: wall, Instances: b.instances, Context: b.lifetime,
	}
	if a != nil && a.Issues {
		c.Issue = b.issuerFor(caller, c.Random)
	}
	return c
}

// FindSecret returns the secret that a request means, "" if none, also where
// the request names it by something else.
func (b *Backend) FindSecret(c *action.Call, a *action.Action, request any) (string, error) {
	return a.FindSecret(b.db, c, request)
}

// catchUp waits until what was due before a request is done. In a run that is
// recorded or replayed, that was done before the request's turn began.
func (b *Backend) catchUp(ctx context.Context, now time.Time) {
	if turn.Of(ctx) == nil {
		b.scheduler.CatchUp(ctx, now)
	}
}

// Do does an action, after everything that is due before it. An API error is an
// *apierr.Error.
func (b *Backend) Do(ctx context.Context, c *action.Call, a *action.Action, request any) (reply any, err error) {
	b.catchUp(ctx, c.Now)
	c.Context = ctx
	if a.ChangesAccount {
		err = b.accounts.change(c.Owner.Uin, func() (ssm.AccountData, error) {
			c.Account = b.accounts.of(c.Owner.Uin) // what the call before has made of it
			reply, err = a.Run(b.db, c, request)
			return c.Account, err
		})
	} else {
		reply, err = a.Run(b.db, c, request)
	}
	if err == nil && !c.Due.IsZero() {
		b.scheduler.Schedule(c.Due)
	}
	if c.Changes {
		b.instances.Look()
	}
	if err == nil {
		if a.Writes {
			b.edited()
		}
		b.publish(c.Events)
	}
	return reply, err
}

// ReadValue reads a version of a secret from the store, whatever signatures,
// rates and statuses say; nil if there is none.
func (b *Backend) ReadValue(uin uint64, region, secretName, versionID string) (*ssm.Version, error) {
	return action.ReadValue(b.db, b.generations.Load().Owner(uin, region), secretName, versionID)
}

// Check walks the whole store and returns what is wrong with it. It costs as
// much as reading everything.
func (b *Backend) Check() error {
	return b.db.Check(func(table string, key []byte) bool { return b.generations.Load().Dead(table, key) })
}

// Usable returns why nothing can be written any more, nil if it can.
func (b *Backend) Usable() error { return b.db.Usable() }

// Size is the size of the data file in bytes.
func (b *Backend) Size() int64 { return b.db.Size() }
