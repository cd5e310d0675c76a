package store_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"ssmlocal/store"
	"ssmlocal/store/storetest"
)

// fruit is a record of these tests: listed by color, by the colors it is not,
// and all together.
type fruit struct {
	Color string `cbor:"1,keyasint"`
	Order uint64 `cbor:"2,keyasint"`
}

var colors = []string{"red", "green", "blue"}

var fruits = &store.Table[fruit]{Name: "fruits", Index: func(_ []byte, f *fruit) []store.Entry {
	at := []store.Entry{{List: "all", Order: f.Order}, {List: f.Color, Order: f.Order}}
	for _, c := range colors {
		if c != f.Color {
			at = append(at, store.Entry{List: "not " + c, Order: f.Order})
		}
	}
	return at
}}

func put(t testing.TB, db *store.DB, key string, f fruit) {
	t.Helper()
	if err := db.Update(func(tx *store.Tx) error { return fruits.Put(tx, []byte(key), &f) }); err != nil {
		t.Fatal(err)
	}
}

func get(t testing.TB, db *store.DB, key string) (f *fruit) {
	t.Helper()
	err := db.View(func(tx *store.Tx) (err error) { f, err = fruits.Get(tx, []byte(key)); return err })
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestFailedWriteLeavesNothing(t *testing.T) {
	db := storetest.Open(t, fruits)
	put(t, db, "apple", fruit{"red", 1})
	put(t, db, "pear", fruit{"green", 2})
	no := errors.New("no")
	err := db.Update(func(tx *store.Tx) error {
		_ = fruits.Put(tx, []byte("apple"), &fruit{"blue", 9})
		_ = fruits.Put(tx, []byte("plum"), &fruit{"blue", 3})
		_ = fruits.Put(tx, []byte("plum"), &fruit{"red", 4})
		_ = fruits.Delete(tx, []byte("pear"))
		return no
	})
	if !errors.Is(err, no) {
		t.Errorf("the error is %v, want the writer's own", err)
	}
	if a, p := get(t, db, "apple"), get(t, db, "pear"); *a != (fruit{"red", 1}) || *p != (fruit{"green", 2}) {
		t.Errorf("after the failed write: %v, %v", a, p)
	}
	if plum := get(t, db, "plum"); plum != nil {
		t.Errorf("plum is there: %v", plum)
	}
}

func TestPanicReachesOnlyItsCaller(t *testing.T) {
	db := storetest.Open(t, fruits)
	func() {
		defer func() {
			if p := recover(); p == nil || !strings.Contains(fmt.Sprint(p), "boom") {
				t.Errorf("recovered %v, want boom", p)
			}
		}()
		_ = db.Update(func(tx *store.Tx) error {
			_ = fruits.Put(tx, []byte("apple"), &fruit{"red", 1})
			panic("boom")
		})
	}()
	put(t, db, "pear", fruit{"green", 2})
	if get(t, db, "apple") != nil || get(t, db, "pear") == nil {
		t.Error("the panicking write stayed, or the next one failed")
	}
}

// TestSharedCommits lets many writers meet in shared commits, some of which
// fail or panic after they wrote: each gets its own outcome, and exactly what
// was acknowledged is there.
func TestSharedCommits(t *testing.T) {
	db := storetest.Open(t, fruits)
	refused := errors.New("refused")
	const writers, rounds = 16, 25
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range rounds {
				key := fmt.Sprintf("%d/%d", w, i)
				err := update(db, key, i%5, refused)
				if want := map[bool]error{true: refused}[i%5 == 3]; !errors.Is(err, want) && i%5 != 4 {
					t.Errorf("%s: error %v, want %v", key, err, want)
				}
			}
		})
	}
	wg.Wait()
	for w := range writers {
		for i := range rounds {
			key := fmt.Sprintf("%d/%d", w, i)
			if there, want := get(t, db, key) != nil, i%5 < 3; there != want {
				t.Errorf("%s is there: %t, want %t", key, there, want)
			}
		}
	}
}

// update writes a key and then succeeds, fails (3) or panics (4).
func update(db *store.DB, key string, how int, refused error) (err error) {
	defer func() { _ = recover() }()
	return db.Update(func(tx *store.Tx) error {
		if err := fruits.Put(tx, []byte(key), &fruit{colors[how%3], uint64(how)}); err != nil {
			return err
		}
		switch how {
		case 3:
			return refused
		case 4:
			panic("boom")
		}
		return nil
	})
}

func TestWriteInViewIsRefused(t *testing.T) {
	db := storetest.Open(t, fruits)
	err := db.View(func(tx *store.Tx) error { return fruits.Put(tx, []byte("apple"), &fruit{"red", 1}) })
	if err == nil {
		t.Error("a View wrote")
	}
}

// TestSelect compares every answer with a search through a plain slice, over
// random data and random queries.
func TestSelect(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	db := storetest.Open(t, fruits)
	model := map[string]fruit{}
	for range 30 {
		shake(t, r, db, model)
		for range 30 {
			comparePage(t, db, model, randomQuery(r))
		}
	}
}

func comparePage(t *testing.T, db *store.DB, model map[string]fruit, q store.Query) {
	t.Helper()
	var page store.Page
	_ = db.View(func(tx *store.Tx) error { page = fruits.Select(tx, q); return nil })
	var keys []string
	for _, k := range page.Keys {
		keys = append(keys, string(k))
	}
	if want, total := search(model, q); page.Total != total || !slices.Equal(keys, want) {
		t.Fatalf("%+v: %d %v, want %d %v", q, page.Total, keys, total, want)
	}
}

// shake changes some records at random.
func shake(t *testing.T, r *rand.Rand, db *store.DB, model map[string]fruit) {
	t.Helper()
	err := db.Update(func(tx *store.Tx) error {
		for range 10 {
			key := fmt.Sprintf("k%02d", r.IntN(60))
			if r.IntN(4) == 0 {
				delete(model, key)
				if err := fruits.Delete(tx, []byte(key)); err != nil {
					return err
				}
				continue
			}
			f := fruit{colors[r.IntN(3)], uint64(r.IntN(20))}
			model[key] = f
			if err := fruits.Put(tx, []byte(key), &f); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func randomQuery(r *rand.Rand) store.Query {
	groups := [][]string{{"all"}, {"red"}, {"red", "green"}, {"not red"}, {"not blue"}, {"nothing"}, {"blue", "nothing"}}
	q := store.Query{Reverse: r.IntN(2) == 0, Offset: uint64(r.IntN(70)), Limit: uint64(r.IntN(30))}
	for range 1 + r.IntN(3) {
		q.All = append(q.All, groups[r.IntN(len(groups))])
	}
	if r.IntN(3) == 0 {
		q.Match = func(key []byte) bool { return key[2]%2 == 0 }
	}
	if r.IntN(20) == 0 {
		q.Offset = 1<<64 - 1
	}
	return q
}

// search answers a query in the simplest way.
func search(model map[string]fruit, q store.Query) (page []string, total uint64) {
	var keys []string
	for key, f := range model {
		in := func(list string) bool {
			not, isNot := strings.CutPrefix(list, "not ")
			return list == "all" || list == f.Color || isNot && not != f.Color
		}
		stands := func(lists []string) bool { return slices.ContainsFunc(lists, in) }
		if !slices.ContainsFunc(q.All, func(lists []string) bool { return !stands(lists) }) && (q.Match == nil || q.Match([]byte(key))) {
			keys = append(keys, key)
		}
	}
	at := func(key string) []byte { return append(binary.BigEndian.AppendUint64(nil, model[key].Order), key...) }
	slices.SortFunc(keys, func(a, b string) int { return bytes.Compare(at(a), at(b)) })
	if q.Reverse {
		slices.Reverse(keys)
	}
	total = uint64(len(keys))
	if q.Offset > total {
		return nil, total
	}
	keys = keys[q.Offset:]
	return keys[:min(q.Limit, uint64(len(keys)))], total
}

// TestLongLists fills lists far beyond what one mark counts, in and out of
// order, empties them in part and whole, and reads pages everywhere.
func TestLongLists(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	db := storetest.Open(t, fruits)
	model := map[string]fruit{}
	grow := func(n int, order func(i int) uint64) {
		change(t, db, func(tx *store.Tx) error {
			for i := range n {
				key, f := fmt.Sprintf("k%d", r.IntN(1_000_000)), fruit{colors[r.IntN(3)], order(i)}
				model[key] = f
				if err := fruits.Put(tx, []byte(key), &f); err != nil {
					return err
				}
			}
			return nil
		})
	}
	shrink := func(keep int) {
		change(t, db, func(tx *store.Tx) error {
			for key := range model {
				if len(model) <= keep {
					break
				}
				delete(model, key)
				if err := fruits.Delete(tx, []byte(key)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	for _, step := range []func(){
		func() { grow(5000, func(i int) uint64 { return uint64(i) }) },
		func() { grow(3000, func(int) uint64 { return uint64(r.IntN(10_000)) }) },
		func() { shrink(1000) },
		func() { grow(2500, func(i int) uint64 { return uint64(10_000 - i) }) },
		func() { shrink(3) },
		func() { shrink(0) },
		func() { grow(1100, func(int) uint64 { return 5 }) },
	} {
		step()
		for _, list := range []string{"all", "red", "not blue"} {
			for range 10 {
				q := store.Query{All: [][]string{{list}}, Reverse: r.IntN(2) == 0, Offset: uint64(r.IntN(len(model) + 2)), Limit: 5}
				comparePage(t, db, model, q)
			}
		}
	}
}

func change(t *testing.T, db *store.DB, do func(*store.Tx) error) {
	t.Helper()
	if err := db.Update(do); err != nil {
		t.Fatal(err)
	}
	if err := db.Check(nil); err != nil {
		t.Fatal(err)
	}
}

func TestFirst(t *testing.T) {
	db := storetest.Open(t, fruits)
	first := func(list string) (order uint64, key []byte, ok bool) {
		_ = db.View(func(tx *store.Tx) error { order, key, ok = fruits.First(tx, list); return nil })
		return order, key, ok
	}
	if _, _, ok := first("red"); ok {
		t.Error("an empty list has a first entry")
	}
	put(t, db, "late", fruit{"red", 9})
	put(t, db, "early", fruit{"red", 3})
	if order, key, ok := first("red"); !ok || order != 3 || string(key) != "early" {
		t.Errorf("the first is %q at %d, %t", key, order, ok)
	}
}

func TestReopen(t *testing.T) {
	dir := t.TempDir()
	for i := range 3 {
		db, err := store.OpenDir(dir, fruits)
		if err != nil {
			t.Fatal(err)
		}
		put(t, db, fmt.Sprint(i), fruit{"red", uint64(i)})
		for j := range i + 1 {
			if get(t, db, fmt.Sprint(j)) == nil {
				t.Errorf("record %d is gone at start %d", j, i)
			}
		}
		if err := errors.Join(db.Check(nil), db.Close()); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(filepath.Join(dir, store.FileName))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file's mode is %v, %v", info.Mode(), err)
	}
}

func TestTempLeavesNothing(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	db, err := store.OpenTemp(fruits)
	if err != nil {
		t.Fatal(err)
	}
	put(t, db, "apple", fruit{"red", 1})
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	left, _ := os.ReadDir(tmp)
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestRefusedFiles opens what can't be opened: each is refused with the right
// reason and a next step, and is left as it was.
func TestRefusedFiles(t *testing.T) {
	whole := wholeFile(t)
	for _, c := range []struct {
		name string
		file []byte
		want error
	}{
		{"text", []byte("this is no data file\n"), store.ErrDamaged},
		{"long text", bytes.Repeat([]byte("this is no data file\n"), 5000), store.ErrDamaged},
		{"zeros", make([]byte, 1<<20), store.ErrDamaged},
		{"cut after the metas", whole[:2*os.Getpagesize()], store.ErrDamaged},
		{"cut to one page and a bit", whole[:5000], store.ErrDamaged},
		{"cut in the middle", whole[:len(whole)/4], store.ErrDamaged},
		{"both metas broken", broken(whole, 0, 2*os.Getpagesize()), store.ErrDamaged},
		{"all but the metas broken", broken(whole, 2*os.Getpagesize(), len(whole)), store.ErrDamaged},
		{"newer", boltFile(t, "meta", "format", "3"), store.ErrNewer},
		{"no number", boltFile(t, "meta", "format", "x"), store.ErrDamaged},
		{"another program's", boltFile(t, "widgets", "a", "b"), store.ErrForeign},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, store.FileName)
			if err := os.WriteFile(file, c.file, 0o600); err != nil {
				t.Fatal(err)
			}
			db, err := store.OpenDir(dir, fruits)
			if !errors.Is(err, c.want) {
				t.Fatalf("opened with %v, want %v", err, c.want)
			}
			if db != nil || !strings.Contains(err.Error(), file) || !strings.ContainsAny(err.Error(), ";") {
				t.Errorf("the error names no file or no next step: %v", err)
			}
			if after, _ := os.ReadFile(file); !bytes.Equal(after, c.file) {
				t.Error("the file was changed")
			}
		})
	}
}

func TestEmptyFileIsNew(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, store.FileName), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := store.OpenDir(dir, fruits)
	if err != nil {
		t.Fatal(err)
	}
	put(t, db, "apple", fruit{"red", 1})
	if err := errors.Join(db.Check(nil), db.Close()); err != nil {
		t.Error(err)
	}
}

func TestLockedFile(t *testing.T) {
	dir := t.TempDir()
	db, err := store.OpenDir(dir, fruits)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := store.OpenDir(dir, fruits); !errors.Is(err, store.ErrLocked) {
		t.Errorf("a second open: %v, want %v", err, store.ErrLocked)
	}
}

func TestUnusableDirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := store.OpenDir(file, fruits); err == nil || !strings.Contains(err.Error(), "--data takes a directory") {
		t.Errorf("a file as the directory: %v", err)
	}
}

// wholeFile returns a data file with many records.
func wholeFile(t *testing.T) []byte {
	t.Helper()
	dir := t.TempDir()
	db, err := store.OpenDir(dir, fruits)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *store.Tx) error {
		for i := range 5000 {
			if err := fruits.Put(tx, fmt.Appendf(nil, "key %d", i), &fruit{"red", uint64(i)}); err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, store.FileName))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func broken(file []byte, from, to int) []byte {
	b := bytes.Clone(file)
	for i := from; i < to; i++ {
		b[i] ^= 0xa5
	}
	return b
}

// boltFile returns a bbolt file with one bucket and one key.
func boltFile(t *testing.T, bucket, key, value string) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "bolt")
	db, err := bbolt.Open(file, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket([]byte(bucket))
		if err != nil {
			return err
		}
		return b.Put([]byte(key), []byte(value))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestCopy copies a store, one on disk and a temporary one, and opens the copy.
func TestCopy(t *testing.T) {
	t.Parallel()
	temporary, err := store.OpenTemp(fruits)
	if err != nil {
		t.Fatal(err)
	}
	defer temporary.Close()
	for name, db := range map[string]*store.DB{"on disk": storetest.Open(t, fruits), "temporary": temporary} {
		put(t, db, "pear", fruit{Color: "green", Order: 3})
		f, remove, err := db.Copy(t.Context())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		put(t, db, "plum", fruit{Color: "blue", Order: 4})
		dir := t.TempDir()
		to, err := os.OpenFile(filepath.Join(dir, store.FileName), os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(to, f); err != nil {
			t.Fatal(err)
		}
		_, _, _ = to.Close(), f.Close(), remove
		remove()
		restored, err := store.OpenDir(dir, fruits)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if get(t, restored, "pear") == nil || get(t, restored, "plum") != nil || restored.Check(nil) != nil {
			t.Errorf("%s: the copy is not the state at its time: %v", name, restored.Check(nil))
		}
		restored.Close()
	}
}

// TestCopyWhileWritten copies a store again and again while records of a page
// and more are overwritten: each copy is whole, and its records are of one
// moment.
func TestCopyWhileWritten(t *testing.T) {
	t.Parallel()
	db, err := store.OpenTemp(fruits)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	const records = 20
	color := func(round uint64) string { return fmt.Sprintf("%0*d", 8000+int(round%9)*1000, round) }
	write := func(round uint64) {
		err := db.Update(func(tx *store.Tx) (err error) {
			for i := range records {
				err = errors.Join(err, fruits.Put(tx, fmt.Append(nil, i), &fruit{Color: color(round), Order: round}))
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	write(0)
	stop := make(chan struct{})
	var writer sync.WaitGroup
	defer writer.Wait()
	defer close(stop)
	writer.Go(func() {
		for round := uint64(1); ; round++ {
			select {
			case <-stop:
				return
			default:
				write(round)
			}
		}
	})
	for range 100 {
		f, remove, err := db.Copy(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		text, err := io.ReadAll(f)
		if err := errors.Join(err, f.Close(), os.WriteFile(filepath.Join(dir, store.FileName), text, 0o600)); err != nil {
			t.Fatal(err)
		}
		remove()
		copied, err := store.OpenDir(dir, fruits)
		if err != nil {
			t.Fatal(err)
		}
		first := get(t, copied, "0")
		for i := range records {
			if r := get(t, copied, fmt.Sprint(i)); r == nil || r.Order != first.Order || r.Color != color(first.Order) {
				t.Fatalf("record %d of %d is %.20v…", i, first.Order, r)
			}
		}
		if err := errors.Join(copied.Check(nil), copied.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFileIsItsOwners opens a file that everybody may read, such as a copy of a
// backup: afterwards only its owner may.
func TestFileIsItsOwners(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for range 2 {
		db, err := store.OpenDir(dir, fruits)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, store.FileName)
		if err := db.OwnersAlone(); err != nil {
			t.Error(err)
		}
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v %v", info.Mode(), err)
		}
		if err := errors.Join(db.Close(), os.Chmod(file, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCopyNeedsNoOtherPlace copies a store on disk where there is no directory
// for temporary files, as in a container.
func TestCopyNeedsNoOtherPlace(t *testing.T) {
	dir := t.TempDir()
	db, err := store.OpenDir(dir, fruits)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	t.Setenv("TMPDIR", filepath.Join(dir, "missing"))
	f, remove, err := db.Copy(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer remove()
	defer f.Close()
	if left, err := filepath.Glob(filepath.Join(dir, "copy-*")); err != nil || len(left) > 0 {
		t.Errorf("the copy leaves %v behind, %v", left, err)
	}
}
