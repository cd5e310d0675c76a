package backend

import (
	"testing"
	"time"

	"ssmlocal/server/action"
	"ssmlocal/server/ssm"
)

// TestUntriedChangeLeavesTheOutage lets a change fail without an attempt,
// because its database has been away for long: the next one fails as fast.
func TestUntriedChangeLeavesTheOutage(t *testing.T) {
	t.Parallel()
	b, _ := opened(t, "")
	defer b.Close()
	x, now := b.instances, b.Clock.Wall()
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
