package action

import (
	"slices"
	"time"

	"ssmlocal/server/ssm"
	"ssmlocal/store"
)

// What becomes due.

// An Upcoming is something that time will make happen.
type Upcoming struct {
	At         time.Time `json:"at"`
	What       string    `json:"what"` // deletion, rotation, or the kind of a task: "creation ends"
	Uin        uint64    `json:"uin"`
	Region     string    `json:"region"`
	SecretName string    `json:"secretName"`
	FlowID     int64     `json:"flowId,omitzero"`
	// EveryDays is after how many days a rotation by policy follows the next
	// one.
	EveryDays int64 `json:"everyDays,omitzero"`
}

// Upcomings returns the first things that become due, and how many there are in
// all. Of a rotation policy it is the next turn alone.
func Upcomings(tx *store.Tx, g *Generations, most int) (all []Upcoming, total uint64, err error) {
	skip := func(_ string, key []byte) bool {
		uin, generation, _ := splitKey(key)
		return !g.Live(uin, generation)
	}
	for _, item := range dueItems(tx, farAway, most, skip) {
		u := Upcoming{At: item.at.UTC(), What: item.what}
		if item.list == toEnd {
			t, err := tasks.Get(tx, item.Key)
			if err != nil {
				return nil, 0, err
			}
			u.What, u.Uin, u.Region, u.SecretName, u.FlowID = t.Kind.String()+" ends", t.Uin, t.Region, t.SecretName, flowIDOf(item.Key)
		} else {
			s, err := secrets.Get(tx, item.Key)
			if err != nil {
				return nil, 0, err
			}
			o, _ := splitSecretKey(item.Key)
			u.Uin, u.Region, u.SecretName = o.Uin, o.Region, s.Name
			if item.list == toRotate {
				u.EveryDays = s.Rotation.Frequency
			}
		}
		all = append(all, u)
	}
	total = tasks.Count(tx, toEnd) + secrets.Count(tx, toDelete) + secrets.Count(tx, toRotate)
	return all, total, nil
}

// A Cell says what an operation does with a secret, as the lifecycle table has
// it.
type Cell struct {
	Action string `json:"action"`
	Code   string `json:"code,omitempty"` // of the refusal; "" if it is allowed
}

// Lifecycle returns, for a secret of each type in each status, what each
// operation does. The names of operations are those of actions, save for
// UpdateRotationStatus, which has one for on and one for off.
func Lifecycle() map[string]map[string][]Cell {
	out := map[string]map[string][]Cell{}
	for _, kind := range ssm.Types() {
		name := kind.String()
		out[name] = map[string][]Cell{}
		for _, status := range ssm.Statuses() {
			var cells []Cell
			for _, o := range ssm.Operations() {
				c := Cell{Action: o.Action}
				if k := o.ForType(kind); k != nil {
					c.Code = k.Code
				} else if k := o.InStatus(status); k != nil {
					c.Code = k.Code
				}
				cells = append(cells, c)
			}
			out[name][status.String()] = slices.Clip(cells)
		}
	}
	return out
}
