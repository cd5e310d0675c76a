package store_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"ssmlocal/store"
)

// filled is a store with many records in a directory of its own.
func filled(t *testing.T) (*store.DB, string) {
	t.Helper()
	dir := t.TempDir()
	db, err := store.OpenDir(dir, fruits)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *store.Tx) error {
		for i := range 3000 {
			if err := fruits.Put(tx, fmt.Appendf(nil, "key %04d", i), &fruit{"red", uint64(i)}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return db, filepath.Join(dir, store.FileName)
}

// within fails the test if do takes long, for example because of a lock that is
// never released.
func within(t *testing.T, what string, do func() error) error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- do() }()
	select {
	case err := <-done:
		return err
	case <-time.After(20 * time.Second):
		t.Fatalf("%s doesn't end", what)
		return nil
	}
}

// TestDamagedPageStopsNobodyElse damages pages of a file that is in use: writes
// that meet one fail, but later writes, and closing the store, don't wait for
// ever.
func TestDamagedPageStopsNobodyElse(t *testing.T) {
	for _, damage := range []struct {
		name string
		page func(page []byte)
	}{
		{"no entries", func(p []byte) { binary.LittleEndian.PutUint16(p[10:], 0) }},
		{"too many entries", func(p []byte) { binary.LittleEndian.PutUint16(p[10:], 0x7fff) }},
		{"no page", func(p []byte) { copy(p, bytes.Repeat([]byte{0xa5}, len(p))) }},
		{"another kind of page", func(p []byte) { binary.LittleEndian.PutUint16(p[8:], 0x40) }},
	} {
		t.Run(damage.name, func(t *testing.T) {
			t.Parallel()
			db, file := filled(t)
			size := os.Getpagesize()
			f, err := os.OpenFile(file, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			info, _ := f.Stat()
			for at := int64(4 * size); at < info.Size(); at += int64(3 * size) {
				page := make([]byte, size)
				if _, err := f.ReadAt(page, at); err != nil {
					t.Fatal(err)
				}
				damage.page(page)
				if _, err := f.WriteAt(page, at); err != nil {
					t.Fatal(err)
				}
			}
			f.Close()
			failed := 0
			for i := range 200 {
				err := within(t, "a write", func() (err error) {
					defer func() {
						if p := recover(); p != nil { // a writer's own panic is its caller's
							err = fmt.Errorf("%v", p)
						}
					}()
					return db.Update(func(tx *store.Tx) error {
						return fruits.Put(tx, fmt.Appendf(nil, "key %04d", i*15), &fruit{"blue", uint64(i)})
					})
				})
				if err != nil {
					failed++
				}
			}
			if failed == 0 {
				t.Error("no write met a damaged page: the test proves nothing")
			}
			_ = within(t, "the end", db.Close)
		})
	}
}

// TestLostFileRefusesWrites takes the file away, or its directory, or puts
// another in its place, or truncates it, while it is in use.
func TestLostFileRefusesWrites(t *testing.T) {
	for name, lose := range map[string]func(t *testing.T, file string) error{
		"removed":           func(_ *testing.T, file string) error { return os.Remove(file) },
		"directory removed": func(_ *testing.T, file string) error { return os.RemoveAll(filepath.Dir(file)) },
		"replaced": func(t *testing.T, file string) error {
			return errors.Join(os.Rename(file, file+".old"), os.WriteFile(file, wholeFile(t), 0o600))
		},
		"cut": func(_ *testing.T, file string) error { return os.Truncate(file, 100<<10) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, file := filled(t)
			defer db.Close()
			if err := lose(t, file); err != nil {
				t.Fatal(err)
			}
			err := db.Update(func(tx *store.Tx) error { return fruits.Put(tx, []byte("new"), &fruit{"red", 1}) })
			want := store.ErrLost
			if name == "cut" {
				want = store.ErrDamaged
			}
			if !errors.Is(err, want) || !strings.Contains(err.Error(), file) {
				t.Errorf("a write: %v, want %v", err, want)
			}
		})
	}
}

// TestFirstStartLeavesNoHalfFile makes the file where that fails in the middle:
// only a complete file gets the name.
func TestFirstStartLeavesNoHalfFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, store.FileName), 0o700); err != nil { // the rename fails
		t.Fatal(err)
	}
	if _, err := store.OpenDir(dir, fruits); err == nil {
		t.Fatal("opened a directory")
	}
	left, _ := os.ReadDir(dir)
	if len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

// TestFormat1IsUpgraded opens a file as an earlier build made it: with marks,
// and with keys of its own.
func TestFormat1IsUpgraded(t *testing.T) {
	t.Parallel()
	db, file := filled(t)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	old, err := bbolt.Open(file, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = old.Update(func(tx *bbolt.Tx) error {
		marks, err := tx.CreateBucket([]byte("fruits.marks"))
		return errors.Join(err, marks.Put([]byte{0, 0, 0, 1}, make([]byte, 8)), tx.Bucket([]byte("meta")).Put([]byte("format"), []byte("1")))
	})
	if err := errors.Join(err, old.Close()); err != nil {
		t.Fatal(err)
	}
	renamed := *fruits
	renamed.Rekey = func(key []byte, f *fruit) []byte { return fmt.Appendf(nil, "%s %s", f.Color, key) }
	for range 2 { // the second time there is nothing to do
		db, err = store.OpenDir(filepath.Dir(file), &renamed)
		if err != nil {
			t.Fatal(err)
		}
		if get(t, db, "red key 0007") == nil || get(t, db, "key 0007") != nil {
			t.Error("the records don't have their new keys")
		}
		if err := errors.Join(db.Check(nil), db.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCopyOnFullDisk copies to a place without room: that gives an error, no
// panic, and leaves nothing.
func TestCopyOnFullDisk(t *testing.T) {
	db, err := store.OpenTemp(fruits)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	put(t, db, "apple", fruit{"red", 1})
	t.Setenv("TMPDIR", filepath.Join(t.TempDir(), "missing"))
	if f, _, err := db.Copy(t.Context()); err == nil || f != nil {
		t.Errorf("copied to nowhere: %v", err)
	}
}
