package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"
)

// What is done to the store as a whole: replaced, copied.

// Replace runs do in a read-write transaction that no other writer shares, the only kind in which tables can be cleared and
// sequences set. If do returns an error or panics, nothing of it is kept. Readers see the state before it or all of it.
func (d *DB) Replace(do func(*Tx) error) error {
	b, err := d.bolt.Begin(true)
	if err != nil {
		return fmt.Errorf("cannot write: %w", err)
	}
	defer func() { _ = b.Rollback() }() // after a commit it does nothing
	if err := do(&Tx{bolt: b, alone: true}); err != nil {
		return err
	}
	if err := b.Commit(); err != nil {
		return fmt.Errorf("cannot write: %w", err)
	}
	return nil
}

// errShared is a mistake in the program: a shared transaction could not take these back for one of its writers.
var errShared = errors.New("tables can be cleared and sequences set in DB.Replace only")

// Clear removes every record, and starts the table's sequence anew.
func (t *Table[T]) Clear(tx *Tx) error {
	if !tx.alone {
		return errShared
	}
	for _, name := range t.buckets() {
		if err := tx.bolt.DeleteBucket(name); err != nil {
			return err
		}
		if _, err := tx.bolt.CreateBucket(name); err != nil {
			return err
		}
	}
	return nil
}

// Drawn returns the last number that Next returned, 0 for none.
func (t *Table[T]) Drawn(tx *Tx) uint64 { return t.bucket(tx).Sequence() }

// SetDrawn makes Next go on behind a number.
func (t *Table[T]) SetDrawn(tx *Tx, n uint64) error {
	if !tx.alone {
		return errShared
	}
	return t.bucket(tx).SetSequence(n)
}

// copied bounds how many bytes of a copy one transaction writes.
const copied = 8 << 20

// Copy writes a consistent copy of the store to a temporary file (mode 0600), while writes to the store go on, and returns
// it open at its beginning. The caller closes it; its name is gone already, or goes with remove on systems that can't
// unlink an open file. It lies in the data directory, if there is one: a container may have no other.
func (d *DB) Copy() (f *os.File, remove func(), err error) {
	dir, err := os.MkdirTemp(d.dir, "copy-")
	if err != nil {
		return nil, nil, fmt.Errorf("cannot make a directory for the copy: %w; without --data, TMPDIR says where", err)
	}
	remove = func() { _ = os.RemoveAll(dir) }
	defer func() {
		if err != nil {
			remove()
		}
	}()
	name := filepath.Join(dir, FileName)
	to, err := bbolt.Open(name, 0o600, &bbolt.Options{NoSync: true, NoGrowSync: true})
	if err != nil {
		return nil, nil, fmt.Errorf("cannot write a copy: %w", err)
	}
	if f, err = os.Open(name); err == nil {
		remove() // now, not after the copy: a process that is killed in the middle of it leaves nothing behind
		err = d.bolt.View(func(from *bbolt.Tx) error { return copyAll(to, from) })
	}
	if err = errors.Join(err, to.Close()); err != nil {
		if f != nil {
			_ = f.Close()
		}
		return nil, nil, fmt.Errorf("cannot write a copy: %w", err)
	}
	return f, remove, nil
}

// copyAll writes what a transaction sees into another file. Every commit is within the transaction: a key that was put is
// read from where it came until then. (bbolt.Compact makes its last commit behind it, when writers may have used the pages
// again: seen as damaged copies and as a fault in memory that nothing can recover from.)
func copyAll(to *bbolt.DB, from *bbolt.Tx) error {
	return from.ForEach(func(name []byte, b *bbolt.Bucket) error {
		cursor := b.Cursor()
		key, value := cursor.First()
		for {
			err := to.Update(func(tx *bbolt.Tx) error {
				into, err := tx.CreateBucketIfNotExists(name)
				if err != nil {
					return err
				}
				into.FillPercent = 1 // keys come in order
				for size := 0; key != nil && size < copied; key, value = cursor.Next() {
					size += len(key) + len(value)
					if err := into.Put(key, value); err != nil {
						return err
					}
				}
				return into.SetSequence(b.Sequence())
			})
			if err != nil || key == nil {
				return err
			}
		}
	})
}
