package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"
)

// copied bounds how many bytes of a copy one transaction writes.
const copied = 8 << 20

// Copy writes a consistent copy of the store to a temporary file (mode 0600),
// while writes to the store go on, and returns it open at its beginning. The
// caller closes it. Its name is removed already, or by remove on systems that
// can't unlink an open file. The file is in the data directory, if there is
// one: a container may have no other writable directory.
func (d *DB) Copy(ctx context.Context) (f *os.File, remove func(), err error) {
	dir, err := os.MkdirTemp(d.dir, "copy-")
	if err != nil {
		return nil, nil, fmt.Errorf("cannot make a directory for the copy: %w; without --data, TMPDIR says where", err)
	}
	remove = func() { _ = os.RemoveAll(dir) }
	f, err = d.copyTo(ctx, filepath.Join(dir, FileName), remove)
	if err != nil {
		remove()
		return nil, nil, fmt.Errorf("cannot write a copy: %w", err)
	}
	return f, remove, nil
}

// copyTo writes the copy under a name, which it removes as soon as the file is
// open: a process that is killed in the middle leaves nothing behind.
func (d *DB) copyTo(ctx context.Context, name string, remove func()) (f *os.File, err error) {
	defer func() {
		if p := recover(); p != nil { // a damaged page
			err = fmt.Errorf("%w (%v)", ErrDamaged, p)
		}
		if err != nil && f != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	to, err := bbolt.Open(name, 0o600, &bbolt.Options{NoSync: true, NoGrowSync: true})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	if f, err = os.Open(name); err != nil {
		return nil, err
	}
	remove()
	return f, d.View(func(tx *Tx) error { return copyAll(ctx, to, tx.bolt) })
}

// copyAll writes what a transaction sees into another file. Every commit
// happens within the transaction: until it, bbolt reads a key from where it
// came from. (bbolt.Compact makes its last commit after the transaction, when
// writers may have used the pages again. That gave damaged copies, and a memory
// fault that nothing can recover from.)
func copyAll(ctx context.Context, to *bbolt.DB, from *bbolt.Tx) error {
	return from.ForEach(func(name []byte, b *bbolt.Bucket) error {
		cursor := b.Cursor()
		key, value := cursor.First()
		for {
			if err := ctx.Err(); err != nil {
				return err
			}
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
