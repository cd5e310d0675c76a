package action

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"io"
	"time"

	"ssmlocal/server/ssm"
	"ssmlocal/store"
)

// An Event is something that time made happen.
type Event struct {
	At         time.Time `json:"at"`
	What       string    `json:"what"` // deletion; rotation, also skipped, failed or begun; the end of a task: "creation done"
	Uin        uint64    `json:"uin"`
	Region     string    `json:"region"`
	SecretName string    `json:"secretName"`
	FlowID     int64     `json:"flowId,omitzero"`
}

// A Settler does what is due.
type Settler struct {
	DB      *store.DB
	Random  io.Reader
	Tasks   Tasks
	Account func(uin uint64) ssm.AccountData
}

// atOnce bounds how many events one transaction makes happen.
const atOnce = 500

// Settle makes everything happen that is due at now, in order, each at its own time. It returns what happened and when
// more is due, the zero time for never.
func (s *Settler) Settle(now time.Time) (events []Event, next time.Time, err error) {
	err = s.DB.View(func(tx *store.Tx) error { next, _ = earliest(tx); return nil })
	for err == nil && !next.IsZero() && !next.After(now) {
		var some []Event
		err = s.DB.Update(func(tx *store.Tx) (err error) {
			some, next, err = s.some(tx, now)
			return err
		})
		if err == nil {
			events = append(events, some...)
		}
	}
	return events, next, err
}

// some makes up to atOnce events happen in one transaction.
func (s *Settler) some(tx *store.Tx, now time.Time) (events []Event, next time.Time, err error) {
	for {
		at, do := earliest(tx)
		if at.IsZero() || at.After(now) || len(events) == atOnce {
			return events, at, nil
		}
		c := &Call{Now: at, Random: s.Random, Tasks: s.Tasks, tx: tx}
		c.accountOf = s.Account
		event, err := do(c)
		if err != nil {
			return nil, at, err
		}
		events = append(events, event)
	}
}

// earliest returns what is due first, and how it is done; the zero time if nothing is due ever.
func earliest(tx *store.Tx) (at time.Time, do func(*Call) (Event, error)) {
	first := func(t time.Time, key []byte, how func(*Call, []byte) (Event, error)) {
		if at.IsZero() || t.Before(at) {
			at, do = t, func(c *Call) (Event, error) { return how(c, key) }
		}
	}
	if order, key, found := tasks.First(tx, toEnd); found {
		first(time.Unix(0, int64(order)), key, (*Call).endTask)
	}
	if order, key, found := secrets.First(tx, toDelete); found {
		first(time.Unix(0, int64(order)), key, (*Call).deleteDue)
	}
	if order, key, found := secrets.First(tx, toRotate); found {
		first(time.Unix(int64(order), 0), key, (*Call).rotateDue)
	}
	return at, do
}

// ownSecret makes the call one of the owner of the secret under a key, and returns the secret's name.
func (c *Call) ownSecret(key []byte) (name string) {
	region, rest, _ := bytes.Cut(key[8:], []byte{0})
	c.Owner = ssm.NewOwner(binary.BigEndian.Uint64(key), string(region))
	return string(rest)
}

func (c *Call) event(what, name string) Event {
	return Event{At: c.Now.UTC(), What: what, Uin: c.Owner.Uin, Region: c.Owner.Region, SecretName: name}
}

func (c *Call) deleteDue(key []byte) (Event, error) {
	name := c.ownSecret(key)
	return c.event("deletion", name), remove(c.tx, key)
}

// rotateDue rotates a secret by its policy, or skips the turn of one that can't be rotated now: one that isn't enabled,
// is being rotated already, or whose account, KMS key or instance forbids it. The next turn is set either way.
func (c *Call) rotateDue(key []byte) (Event, error) {
	name := c.ownSecret(key)
	s, err := secrets.Get(c.tx, key)
	if err != nil {
		return Event{}, err
	}
	s.Rotation.Schedule(c.Now)
	c.Account = c.accountOf(c.Owner.Uin)
	if s.FlowID != 0 || cmp.Or(ssm.Rotate.Refuse(s), c.Account.CheckPurchase(), c.Account.CheckRotation(s), c.useKey(s, true)) != nil {
		return c.event("rotation skipped", name), c.put(s)
	}
	event := c.event("rotation", name)
	if c.Tasks.Pace().After > 0 {
		event.FlowID, err = c.begin(ssm.RotateTask, s)
		event.What = "rotation begun"
		return event, err
	}
	if c.Tasks.Fail() {
		event.What = "rotation failed"
	} else if err := c.rotate(s, c.Now); err != nil {
		return Event{}, err
	}
	return event, c.put(s)
}

func (c *Call) endTask(key []byte) (Event, error) {
	t, err := tasks.Get(c.tx, key)
	if err != nil {
		return Event{}, err
	}
	c.Owner = ssm.NewOwner(t.Uin, t.Region)
	s, err := secrets.Get(c.tx, secretKey(c.Owner, t.SecretName))
	if err != nil {
		return Event{}, err
	}
	flowID := int64(binary.BigEndian.Uint64(key))
	if err := c.end(flowID, t, s); err != nil {
		return Event{}, err
	}
	event := c.event(t.Kind.String()+map[bool]string{true: " failed", false: " done"}[t.Status == ssm.TaskFailed], t.SecretName)
	event.FlowID = flowID
	return event, nil
}
