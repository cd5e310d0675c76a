// Package storetest opens stores for tests and looks at what the tests leave
// behind.
package storetest

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"ssmlocal/store"
)

// Open opens a store in a directory of the test's own. At the end of the test
// its whole file is checked; a file with anything wrong is kept, and the test
// logs where.
func Open(t testing.TB, tables ...store.Bucketer) *store.DB {
	t.Helper()
	dir := t.TempDir()
	db, err := store.OpenDir(dir, tables...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Check(nil); err != nil {
			t.Errorf("the store is broken, see %s: %v", keep(t, dir), err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// keep copies the file out of the directory that ends with the test.
func keep(t testing.TB, dir string) string {
	t.Helper()
	from, err := os.Open(filepath.Join(dir, store.FileName))
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	to, err := os.CreateTemp("", "ssmlocal-broken-*.db")
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	if _, err := io.Copy(to, from); err != nil {
		t.Error(err)
	}
	return to.Name()
}

// OpenUnchecked is Open for a store that is too large to be checked, of a
// benchmark.
func OpenUnchecked(t testing.TB, tables ...store.Bucketer) *store.DB {
	t.Helper()
	db, err := store.OpenTemp(tables...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}
