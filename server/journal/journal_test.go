package journal

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

// call is a call that is its own entry.
type call Entry

func (c call) Entry() Entry { return Entry(c) }

func names(entries []Entry) (out string) {
	for _, e := range entries {
		out += e.Action
	}
	return out
}

// TestRing keeps the last calls in their order, whatever was removed in
// between.
func TestRing(t *testing.T) {
	j := New(4)
	add := func(actions string) {
		for _, a := range actions {
			j.Add(call{Action: string(a), Uin: uint64(a) % 2})
		}
	}
	for _, step := range []struct {
		do   func()
		want string
	}{
		{func() {}, ""},
		{func() { add("abc") }, "abc"},
		{func() { add("defg") }, "defg"},
		{func() { add("h") }, "efgh"},
		{func() { j.Forget(1) }, "fh"}, // e and g are odd
		{func() { add("ijk") }, "hijk"},
		{func() { j.Forget(0) }, ""},
		{func() { add("lmnop") }, "mnop"},
	} {
		step.do()
		if got, _ := j.Find(Filter{}, 0); names(got) != step.want {
			t.Errorf("%s, want %s", names(got), step.want)
		}
	}
	got, total := j.Find(Filter{}, 2)
	if names(got) != "op" || total != 4 || got[1].Number != 16 {
		t.Errorf("%s of %d, number %d", names(got), total, got[1].Number)
	}
}

func TestFilter(t *testing.T) {
	at := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	j := New(10)
	j.Add(call{Action: "A", SecretName: "db/main", SecretID: "AKIDa", Code: OK, Uin: 1, Time: at})
	j.Add(call{Action: "A", SecretName: "db-2", SecretID: "AKIDb", Code: "InternalError", Uin: 2, Time: at.Add(time.Hour)})
	j.Add(call{Action: "B", Code: OK, Uin: 2, Time: at.Add(2 * time.Hour)})
	for _, c := range []struct {
		filter Filter
		want   int
	}{
		{Filter{}, 3}, {Filter{Action: "A"}, 2}, {Filter{SecretName: "db/main"}, 1}, {Filter{SecretName: "db-*"}, 1}, {Filter{SecretName: "db"}, 0},
		{Filter{SecretID: "AKIDb"}, 1}, {Filter{Region: "nowhere"}, 0}, {Filter{After: 1}, 2}, {Filter{After: 9}, 3}, {Filter{Code: OK}, 2}, {Filter{Uin: 2}, 2}, {Filter{Since: at.Add(time.Hour)}, 2},
		{Filter{Action: "A", Code: OK, Uin: 2}, 0},
	} {
		if _, n := j.Find(c.filter, 0); n != c.want {
			t.Errorf("%+v: %d, want %d", c.filter, n, c.want)
		}
	}
	bad := Filter{SecretName: "["}
	if bad.Check() == nil {
		t.Error("a bad pattern is taken")
	}
}

// TestFollow checks that readers get what they ask for, and that one that
// doesn't read makes nobody wait.
func TestFollow(t *testing.T) {
	j := New(0)
	_, all := j.Follow(Filter{}, 0)
	_, some := j.Follow(Filter{Action: "a"}, 0)
	j.Add(call{Action: "a"})
	j.Add(call{Action: "b"})
	if len(all.C) != 2 || len(some.C) != 1 || (<-some.C).Action != "a" {
		t.Error("readers miss calls, or get others")
	}
	var adders sync.WaitGroup
	for i := range 4 {
		adders.Go(func() {
			for range waiting {
				j.Add(call{Action: fmt.Sprint(i)})
			}
		})
	}
	adders.Wait()
	j.Unfollow(all)
	j.Unfollow(some)
	j.Add(call{Action: "a"})
	if len(some.C) != 0 || len(j.readers) != 0 {
		t.Error("a reader that ended gets more")
	}
	if found, n := j.Find(Filter{}, 0); len(found) != 0 || n != 0 {
		t.Error("a journal that keeps nothing kept something")
	}
}
