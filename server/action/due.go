package action

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"ssmlocal/server/ssm"
	"ssmlocal/store"
)

// An Event is a change of a secret, made by a call or by time.
type Event struct {
	At         time.Time `json:"at"`
	What       string    `json:"what"` // deletion; rotation, also skipped, failed or begun; the end of a task: "creation done"
	Uin        uint64    `json:"uin"`
	Region     string    `json:"region"`
	SecretName string    `json:"secretName"`
	FlowID     int64     `json:"flowId,omitzero"`
	// Reason is why something has failed in a real database.
	Reason string `json:"reason,omitempty"`
}

// Due does what is due. An item that can't be done is set aside, so that it
// doesn't stop the others, and is tried again later. Only one goroutine at a
// time may call Step; all other methods are safe for concurrent use.
type Due struct {
	DB *store.DB
	// Random is for the changes of databases. RandomOf returns what an item
	// draws from, which its name and its time may decide.
	Random      io.Reader
	RandomOf    func(name func() string, at time.Time) io.Reader
	Tasks       Tasks
	Account     func(uin uint64) ssm.AccountData
	Generations func() *Generations
	Instances   Instances
	// Moving reports whether the clock is being moved by steps that are
	// ordered.
	Moving func() bool
	Wall   func() time.Time
	// Failed is called with each item that is set aside.
	Failed func(Aside)

	// finishing is held, shared, from before a change is finished on disk until
	// its event is in finished.
	finishing sync.RWMutex

	mu       sync.Mutex
	aside    map[string]*Aside // by list and key
	finished []Event           // of changes, since the last step
	changed  chan struct{}     // closed when there is one more; nil if nobody waits
}

// An Aside is something due that could not be done.
type Aside struct {
	What       string    `json:"what"` // deletion, rotation or end of a task
	Uin        uint64    `json:"uin"`
	Region     string    `json:"region,omitempty"`
	SecretName string    `json:"secretName,omitempty"`
	FlowID     int64     `json:"flowId,omitzero"`
	DueAt      time.Time `json:"dueAt"`   // virtual time
	Since      time.Time `json:"since"`   // wall time
	RetryAt    time.Time `json:"retryAt"` // wall time; the next start tries, too
	Attempts   int       `json:"attempts"`
	Reason     string    `json:"reason"`
	Err        error     `json:"-"` // with the stack of a panic

	entry dueItem
}

const (
	// atOnce is the largest number of items that one transaction does, inOneGo
	// the longest time that it takes for them.
	atOnce  = 250
	inOneGo = 4 * time.Millisecond

	firstRetry = time.Minute
	lastRetry  = time.Hour
)

// dueKind is a list of due items, with what is done with each.
type dueKind struct {
	what string
	list string
	unit time.Duration // of the list's order
	some func(tx *store.Tx, list string, to uint64, most int, skip func([]byte) bool) []store.Listed
	in   func(tx *store.Tx, list string, order uint64, key []byte) bool
	do   func(*Call, []byte) (Event, error)
}

// dueKinds in the order in which they are done at one moment.
var dueKinds = []dueKind{
	{"end of a task", toEnd, time.Nanosecond, tasks.Until, tasks.Lists, (*Call).endTask},
	{"deletion", toDelete, time.Nanosecond, secrets.Until, secrets.Lists, (*Call).deleteDue},
	{"rotation", toRotate, time.Second, secrets.Until, secrets.Lists, (*Call).rotateDue},
}

// dueItem is an entry of one of these lists.
type dueItem struct {
	*dueKind
	store.Listed
	at time.Time
}

func (k *dueKind) time(order uint64) time.Time {
	if k.unit == time.Second {
		return time.Unix(int64(order), 0)
	}
	return time.Unix(0, int64(order))
}

// order is the last one that is due at a time.
func (k *dueKind) order(t time.Time) uint64 {
	if k.unit == time.Second {
		return uint64(t.Unix())
	}
	return uint64(t.UnixNano())
}

// A Stepped is the result of a step.
type Stepped struct {
	Happened []Event
	New      []Event   // those of Happened that Finish has not returned
	Next     time.Time // when more is due, the zero time for never
	// Wait, if not nil, is closed when a database has been changed: until then
	// nothing may happen that is due later than Next.
	Wait <-chan struct{}
	// Changes is set if databases are to be changed because of the step.
	Changes bool
	// Tried is how many items there were, also such as could not be done.
	Tried int
}

// Step does the first things that are due until a time, in order and each at
// its own time, in one transaction of a few milliseconds. Within the
// transaction it calls keep with the time of the last thing that was done, or
// with until if nothing more is due by then. If the step is ordered, nothing
// later happens before the databases are changed whose change is due; else they
// are changed in their own time.
func (d *Due) Step(until time.Time, ordered bool, keep func(tx *store.Tx, reached time.Time) error) (Stepped, error) {
	return d.step(until, atOnce, ordered, keep)
}

// Repeat tries as many items as a Step has tried that was made in a recorded
// run.
func (d *Due) Repeat(until time.Time, items int) error {
	if items > atOnce {
		return fmt.Errorf("a step tries %d items; it tries at most %d", items, atOnce)
	}
	_, err := d.step(until, items, false, func(*store.Tx, time.Time) error { return nil })
	return err
}

func (d *Due) step(
	until time.Time, most int, ordered bool, keep func(tx *store.Tx, reached time.Time) error,
) (done Stepped, err error) {
	var tried []attempt
	more := d.another()
	err = d.DB.Update(func(tx *store.Tx) error {
		done = Stepped{}
		tried = nil
		g := d.Generations()
		skip := d.skip(g, d.Wall())
		limit := until
		if changing := firstChange(tx, g); ordered && !changing.IsZero() && changing.Before(until) {
			limit = changing
		}
		tried, done.Changes = d.try(tx, g, dueItems(tx, limit, atOnce, skip), most, ordered)
		done.Tried = len(tried)
		failed := failedOf(tried)
		if first := dueItems(tx, farAway, 1, func(list string, key []byte) bool {
			return failed[list+string(key)] || skip(list, key)
		}); len(first) > 0 {
			done.Next = first[0].at
		}
		if changing := firstChange(tx, g); ordered && !changing.IsZero() && !changing.After(until) {
			done.Next, done.Wait = changing, more
		}
		reached := until
		if !done.Next.IsZero() && !done.Next.After(until) {
			reached = time.Time{}
			if len(tried) > 0 {
				reached = tried[len(tried)-1].item.at
			}
		}
		return keep(tx, reached)
	})
	if err != nil {
		return Stepped{}, err
	}
	done.New = d.settle(tried)
	done.Happened = done.New
	if ordered {
		done.Happened = append(d.takeFinished(), done.New...)
		slices.SortStableFunc(done.Happened, func(a, b Event) int { return a.At.Compare(b.At) })
	}
	return done, nil
}

// try does some of the due items in order, until a few milliseconds are over or
// something else has become due before the next one. It reports whether
// databases are to be changed because of that.
func (d *Due) try(
	tx *store.Tx, g *Generations, items []dueItem, most int, ordered bool,
) (tried []attempt, changes bool) {
	began := d.Wall()
	var made time.Time // the earliest that is due because of what was done
	for i, item := range items {
		if len(tried) == most || i > 0 && d.Wall().Sub(began) > inOneGo || !made.IsZero() && made.Before(item.at) {
			break
		}
		if !item.in(tx, item.list, item.Order, item.Key) {
			continue // what was done before took it out of the list
		}
		c := &Call{
			Tx:    Tx{Now: item.at, Random: d.RandomOf(item.name, item.at), tx: tx},
			Tasks: d.Tasks, Generations: g, Instances: d.Instances, accountOf: d.Account,
		}
		tried = append(tried, item.try(tx, c))
		changes = changes || c.Changes
		if c.Changes && ordered && (made.IsZero() || item.at.Before(made)) {
			made = item.at
		}
		if !c.Due.IsZero() && (made.IsZero() || c.Due.Before(made)) {
			made = c.Due
		}
	}
	return tried, changes
}

// An attempt is a due item with what became of it.
type attempt struct {
	item  dueItem
	event Event
	err   error
}

// try does the item; if it fails, its changes are rolled back.
func (item *dueItem) try(tx *store.Tx, c *Call) attempt {
	a := attempt{item: *item}
	a.err = tx.Try(func() (err error) {
		a.event, err = item.do(c, item.Key)
		return err
	})
	return a
}

func failedOf(tried []attempt) map[string]bool {
	failed := map[string]bool{}
	for _, a := range tried {
		if a.err != nil {
			failed[a.item.id()] = true
		}
	}
	return failed
}

// name says what the item is, in the same words in every store with this state.
func (item *dueItem) name() string {
	var a Aside
	a.name(item)
	return fmt.Sprint(item.what, " ", a.Uin, " ", a.Region, " ", a.SecretName, " ", a.FlowID)
}

// id is a name of the item that no other has.
func (item *dueItem) id() string { return item.list + string(item.Key) }

// settle sets aside what could not be done, once the rest is on disk, and
// returns what happened.
func (d *Due) settle(tried []attempt) (events []Event) {
	var failed []Aside
	d.mu.Lock()
	for _, a := range tried {
		if a.err == nil {
			delete(d.aside, a.item.id())
			if a.event.What != "" {
				events = append(events, a.event)
			}
		} else {
			failed = append(failed, d.setAside(a))
		}
	}
	d.mu.Unlock()
	for _, a := range failed {
		d.Failed(a)
	}
	return events
}

// farAway is later than anything that can be due.
var farAway = time.Date(9999, time.December, 31, 23, 59, 59, 0, time.UTC)

// dueItems returns the first items that are due until a time, in order.
func dueItems(tx *store.Tx, until time.Time, most int, skip func(list string, key []byte) bool) (items []dueItem) {
	for i := range dueKinds {
		k := &dueKinds[i]
		to := k.order(until)
		if until == farAway {
			to = 1<<64 - 1
		}
		for _, e := range k.some(tx, k.list, to, most, func(key []byte) bool { return skip(k.list, key) }) {
			items = append(items, dueItem{k, e, k.time(e.Order)})
		}
	}
	slices.SortStableFunc(items, func(a, b dueItem) int { return a.at.Compare(b.at) })
	return items[:min(most, len(items))]
}

// skip leaves out what belongs to a state that is not the present one, and what
// is set aside.
func (d *Due) skip(g *Generations, wall time.Time) func(list string, key []byte) bool {
	return func(list string, key []byte) bool {
		uin, generation, _ := splitKey(key)
		if !g.Live(uin, generation) {
			return true
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		a := d.aside[list+string(key)]
		return a != nil && wall.Before(a.RetryAt)
	}
}

// setAside notes an item that could not be done. The lock must be held.
func (d *Due) setAside(failed attempt) Aside {
	a := d.aside[failed.item.id()]
	if a == nil {
		a = &Aside{What: failed.item.what, DueAt: failed.item.at.UTC(), Since: d.Wall().UTC(), entry: failed.item}
		a.name(&failed.item)
		if d.aside == nil {
			d.aside = map[string]*Aside{}
		}
		d.aside[failed.item.id()] = a
	}
	a.Attempts++
	a.Err = failed.err
	a.Reason, _, _ = strings.Cut(failed.err.Error(), "\n") // without the stack
	a.RetryAt = d.Wall().Add(min(firstRetry<<min(a.Attempts-1, 10), lastRetry)).UTC()
	return *a
}

// name says what the item is about, as far as its key shows it.
func (a *Aside) name(item *dueItem) {
	if item.list == toEnd {
		a.Uin, _, _ = splitKey(item.Key)
		if len(item.Key) >= 8 {
			a.FlowID = flowIDOf(item.Key)
		}
		return
	}
	o, name := splitSecretKey(item.Key)
	a.Uin, a.Region, a.SecretName = o.Uin, o.Region, name
}

// Aside returns what is set aside, oldest first. Items that are not due any
// more, for example because their secret was deleted, are left out.
func (d *Due) Aside() []Aside {
	all := []Aside{}
	d.mu.Lock()
	for _, a := range d.aside {
		all = append(all, *a)
	}
	d.mu.Unlock()
	if len(all) == 0 {
		return all
	}
	var gone []string
	err := d.DB.View(func(tx *store.Tx) error {
		all = slices.DeleteFunc(all, func(a Aside) bool {
			is := !a.entry.in(tx, a.entry.list, a.entry.Order, a.entry.Key)
			if is {
				gone = append(gone, a.entry.id())
			}
			return is
		})
		return nil
	})
	if err == nil {
		d.mu.Lock()
		for _, id := range gone {
			delete(d.aside, id)
		}
		d.mu.Unlock()
	}
	slices.SortFunc(all, func(a, b Aside) int {
		return cmp.Or(a.Since.Compare(b.Since), strings.Compare(a.SecretName, b.SecretName))
	})
	return all
}

// Forget forgets the items of an account that are set aside, or with 0 those of
// all accounts, because their state was replaced.
func (d *Due) Forget(uin uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	maps.DeleteFunc(d.aside, func(_ string, a *Aside) bool { return uin == 0 || a.Uin == uin })
}

func (t *Tx) event(what, name string) Event {
	return Event{At: t.Now.UTC(), What: what, Uin: t.Owner.Uin, Region: t.Owner.Region, SecretName: name}
}

// dueSecret reads the secret under a key, and makes the call one of its owner.
func (t *Tx) dueSecret(key []byte) (*ssm.Secret, error) {
	t.Owner, _ = splitSecretKey(key)
	s, err := secrets.Get(t.tx, key)
	if s == nil && err == nil {
		err = fmt.Errorf("there is no secret under the key %q", key)
	}
	return s, err
}

func (c *Call) deleteDue(key []byte) (Event, error) {
	s, err := c.dueSecret(key)
	if err != nil {
		return Event{}, err
	}
	_, t, err := c.deletion(s)
	if err != nil {
		return Event{}, err
	}
	return c.event("deletion", s.Name), c.delete(s, t)
}

// rotateDue rotates a secret by its policy, or skips the turn of one that can't
// be rotated now: one that isn't enabled, is being rotated already, or whose
// account, KMS key or instance forbids it. The next turn is set either way.
func (c *Call) rotateDue(key []byte) (Event, error) {
	s, err := c.dueSecret(key)
	if err != nil {
		return Event{}, err
	}
	s.Rotation.Schedule(c.Now)
	c.Account = c.accountOf(c.Owner.Uin)
	if s.FlowID != 0 || cmp.Or(ssm.Rotate.Refuse(s), c.Account.CheckPurchase(), c.Account.CheckRotation(s), c.useKey(s, true)) != nil {
		return c.event("rotation skipped", s.Name), c.put(s)
	}
	event := c.event("rotation", s.Name)
	if c.Tasks.Pace().After > 0 {
		event.FlowID, err = c.begin(ssm.RotateTask, s)
		event.What = "rotation begun"
		return event, err
	}
	if c.live(s) {
		return c.rotateLive(s)
	}
	if c.Tasks.Fail() {
		event.What = "rotation failed"
	} else if err := c.rotate(s, c.Now, ssm.Login{}); err != nil {
		return Event{}, err
	}
	return event, c.put(s)
}

// rotateLive begins to rotate a secret of a real database. The event comes when
// that is changed.
func (c *Call) rotateLive(s *ssm.Secret) (Event, error) {
	flowID, t, err := c.newTask(ssm.RotateTask, s)
	if err != nil {
		return Event{}, err
	}
	t.ByPolicy = true
	if err := c.endNow(flowID, t, s); err != nil || t.Ready {
		return Event{}, err
	}
	return c.taskEvent(flowID, t), nil
}

func (c *Call) endTask(key []byte) (Event, error) {
	t, err := tasks.Get(c.tx, key)
	if t == nil {
		return Event{}, errors.Join(err, fmt.Errorf("there is no task under the key %q", key))
	}
	_, generation, _ := splitKey(key)
	c.Owner = ssm.NewOwner(t.Uin, t.Region).In(generation)
	s, err := secrets.Get(c.tx, secretKey(c.Owner, t.SecretName))
	if err != nil {
		return Event{}, err
	}
	flowID := flowIDOf(key)
	if err := c.endNow(flowID, t, s); err != nil || t.Ready {
		return Event{}, err
	}
	return c.taskEvent(flowID, t), nil
}

// taskEvent is the event of a task that has ended. A rotation by policy that
// took no time is one event, as it is where no database is changed.
func (c *Call) taskEvent(flowID int64, t *ssm.Task) Event {
	what := t.Kind.String() + " done"
	switch {
	case t.Status == ssm.TaskFailed:
		what = t.Kind.String() + " failed"
	case t.ByPolicy:
		what = t.Kind.String()
	}
	event := c.event(what, t.SecretName)
	event.FlowID, event.Reason = flowID, t.Reason
	return event
}
