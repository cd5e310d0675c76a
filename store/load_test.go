package store_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"ssmlocal/store"
	"ssmlocal/store/storetest"
)

// TestLoadBesideWriters loads records out of order while others write to the
// same lists: afterwards everything is there, and the whole file is in order.
func TestLoadBesideWriters(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t, fruits)
	model := map[string]fruit{}
	stop := make(chan struct{})
	written := make(chan int)
	go func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				written <- i
				return
			default:
				put(t, db, fmt.Sprintf("other %d", i), fruit{"red", uint64(i)})
			}
		}
	}()
	load := fruits.Load(db)
	for _, i := range rand.Perm(7000) {
		key, f := fmt.Sprintf("k%04d", i), fruit{colors[i%3], uint64(i * 7 % 1000)}
		model[key] = f
		if err := load.Put(t.Context(), []byte(key), &f); err != nil {
			t.Fatal(err)
		}
	}
	if err := load.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	close(stop)
	for i := range <-written {
		model[fmt.Sprintf("other %d", i)] = fruit{"red", uint64(i)}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		comparePage(t, db, model, randomQuery(r))
	}
	if n := get(t, db, "k0013"); n == nil || *n != model["k0013"] {
		t.Errorf("%v", n)
	}
}

// TestLoadThatIsGivenUpCanBeDeleted leaves records without entries, which Check
// can skip and Delete removes.
func TestLoadThatIsGivenUpCanBeDeleted(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t, fruits)
	put(t, db, "here", fruit{"red", 1})
	load := fruits.Load(db)
	for i := range 5000 {
		if err := load.Put(t.Context(), fmt.Appendf(nil, "k%d", i), &fruit{"red", uint64(i)}); err != nil {
			t.Fatal(err)
		}
	}
	// It ends with its caller, between two of its transactions: while the
	// entries are written.
	ctx := &endsAfter{Context: t.Context(), asked: 4}
	if err := load.Finish(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("finished with %v", err)
	}
	if db.Check(nil) == nil {
		t.Fatal("nothing is missing: the load was not given up in its middle")
	}
	if err := db.Check(func(_ string, key []byte) bool { return key[0] == 'k' }); err != nil {
		t.Errorf("what was there before the load is touched: %v", err)
	}
	change(t, db, func(tx *store.Tx) error {
		var err error
		for _, key := range fruits.Keys(tx, []byte("k")) {
			err = errors.Join(err, fruits.Delete(tx, key))
		}
		return err
	})
	if get(t, db, "here") == nil {
		t.Error("a record is gone that was there before")
	}
}

// endsAfter is a context that ends after it was asked a number of times.
type endsAfter struct {
	context.Context
	asked int
}

func (c *endsAfter) Err() error {
	if c.asked--; c.asked < 0 {
		return context.Canceled
	}
	return nil
}

// TestBatchesKeepListsWhole changes hundreds of records in one transaction
// again and again, so that pages become empty in its middle, and checks the
// whole file after each.
func TestBatchesKeepListsWhole(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t, fruits)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	model := map[string]fruit{}
	for range 25 {
		n, order := 200+r.IntN(1500), uint64(r.IntN(1000))
		change(t, db, func(tx *store.Tx) error {
			for i := range n {
				key, f := fmt.Sprintf("k%04d", r.IntN(5000)), fruit{colors[r.IntN(3)], order + uint64(i)}
				model[key] = f
				if err := fruits.Put(tx, []byte(key), &f); err != nil {
					return err
				}
			}
			return nil
		})
		change(t, db, func(tx *store.Tx) error { // as what is due is done: from the front, as far as it goes
			for _, e := range fruits.Until(tx, "red", order+uint64(n/2), r.IntN(2000), nil) {
				if !fruits.Lists(tx, "red", e.Order, e.Key) {
					t.Errorf("%q is not where Until found it", e.Key)
				}
				delete(model, string(e.Key))
				if err := fruits.Delete(tx, e.Key); err != nil {
					return err
				}
			}
			for color := range 3 { // and again in the same transaction, over emptied pages
				for {
					_, key, found := fruits.First(tx, colors[color])
					if !found || r.IntN(200) == 0 {
						break
					}
					delete(model, string(key))
					if err := fruits.Delete(tx, key); err != nil {
						return err
					}
				}
			}
			return nil
		})
		for range 5 {
			comparePage(t, db, model, randomQuery(r))
		}
	}
}

// TestUntil leaves out entries that are later, too many or to be skipped.
func TestUntil(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t, fruits)
	for i := range 10 {
		put(t, db, fmt.Sprint(i), fruit{"red", uint64(i)})
		put(t, db, fmt.Sprint("b", i), fruit{"blue", uint64(i)})
	}
	for _, c := range []struct {
		to   uint64
		most int
		skip func([]byte) bool
		want string
	}{
		{4, 100, nil, "01234"}, {100, 3, nil, "012"}, {100, 3, func(key []byte) bool { return key[0] == '1' }, "023"}, {0, 0, nil, ""},
	} {
		got := ""
		_ = db.View(func(tx *store.Tx) error {
			for _, e := range fruits.Until(tx, "red", c.to, c.most, c.skip) {
				got += string(e.Key)
			}
			return nil
		})
		if got != c.want {
			t.Errorf("to %d, %d at most: %q, want %q", c.to, c.most, got, c.want)
		}
	}
}

// TestTryTakesBackItsOwnPart fails in the middle of a transaction that goes on.
func TestTryTakesBackItsOwnPart(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t, fruits)
	put(t, db, "old", fruit{"red", 1})
	change(t, db, func(tx *store.Tx) error {
		write := func(key, color string) error { return fruits.Put(tx, []byte(key), &fruit{color, 2}) }
		if err := write("kept", "red"); err != nil {
			return err
		}
		no := errors.New("no")
		if err := tx.Try(func() error { return errors.Join(write("old", "blue"), write("gone", "blue"), no) }); !errors.Is(err, no) {
			t.Errorf("tried: %v", err)
		}
		if err := tx.Try(func() error { _ = write("gone", "green"); panic("boom") }); err == nil {
			t.Error("a panic is no error")
		}
		return tx.Try(func() error { return write("tried", "green") })
	})
	for key, want := range map[string]*fruit{"old": {"red", 1}, "kept": {"red", 2}, "tried": {"green", 2}, "gone": nil} {
		if got := get(t, db, key); (got == nil) != (want == nil) || got != nil && *got != *want {
			t.Errorf("%s is %v, want %v", key, got, want)
		}
	}
}

// BenchmarkDeepPage reads a page in the middle of a list of a million.
func BenchmarkDeepPage(b *testing.B) {
	db := storetest.OpenUnchecked(b, fruits)
	load := fruits.Load(db)
	for i := range 1_000_000 {
		if err := load.Put(b.Context(), fmt.Appendf(nil, "key %07d", i), &fruit{"red", uint64(i)}); err != nil {
			b.Fatal(err)
		}
	}
	if err := load.Finish(b.Context()); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		_ = db.View(func(tx *store.Tx) error {
			fruits.Select(tx, store.Query{All: [][]string{{"red"}}, Offset: 500_000, Limit: 20, Reverse: true})
			return nil
		})
	}
}
