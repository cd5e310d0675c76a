package store

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"

	"go.etcd.io/bbolt"
)

// A Tx is one transaction. What it reads is one consistent state of the whole
// store.
type Tx struct {
	bolt   *bbolt.Tx
	writes bool
	undo   []change // what this writer has done so far, newest last
}

// change is one written key with what stood there before; a nil value stands
// for no key.
type change struct {
	bucket   *bbolt.Bucket
	key, old []byte
}

// View runs read in a read-only transaction: a write in it is refused by bbolt.
func (d *DB) View(read func(*Tx) error) error {
	before := debug.SetPanicOnFault(true) // a truncated file makes this call panic and doesn't end the process
	defer debug.SetPanicOnFault(before)
	return d.bolt.View(func(tx *bbolt.Tx) error { return read(&Tx{bolt: tx}) })
}

// write is one caller of Update, waiting for its turn.
type write struct {
	do     func(*Tx) error
	err    error
	panics any       // what do panicked with
	turn   chan bool // true: lead the next commit; false: committed by another
}

// Update runs do in a read-write transaction and returns when what it wrote is
// on disk. If do returns an error or panics, nothing of it is kept and the
// error or the panic reaches the caller of Update, no one else.
//
// An idle caller commits at once on its own goroutine. Callers that come while
// a commit is being written are committed together by the first of them, with
// one sync. So do may run on another goroutine than its caller's, after other
// writers in the same bbolt transaction, but never beside another writer. It
// may run twice, if the first transaction is rolled back: what it sets outside
// must then be right, too.
func (d *DB) Update(do func(*Tx) error) error {
	w := &write{do: do, turn: make(chan bool, 1)}
	d.mu.Lock()
	d.waiting = append(d.waiting, w)
	leads := !d.committing
	d.committing = true
	d.mu.Unlock()
	if leads || <-w.turn {
		d.lead()
	}
	if w.panics != nil {
		panic(w.panics)
	}
	return w.err
}

// lead commits everyone who waits, its own caller first among them, and passes
// the lead on.
func (d *DB) lead() {
	d.mu.Lock()
	group := d.waiting
	d.waiting = nil
	d.mu.Unlock()

	err := d.commit(group)
	if errors.Is(err, errAllFailed) && len(group) > 1 {
		for _, w := range group { // one of them met a damaged page: the others may not
			w.err, w.panics = nil, nil
			if err := d.commit([]*write{w}); err != nil {
				w.err = err
			}
		}
	} else if err != nil {
		for _, w := range group {
			w.err = err
		}
	}

	d.mu.Lock()
	if len(d.waiting) > 0 {
		d.waiting[0].turn <- true
	} else {
		d.committing = false
	}
	d.mu.Unlock()
	for _, w := range group[1:] {
		w.turn <- false
	}
}

// errAllFailed is in the error of a transaction that failed as a whole because
// of what one of its writers met in the file.
var errAllFailed = fmt.Errorf("%w: a write met a page that can't be right; put a backup in its place", ErrDamaged)

// commit runs a group of writers in one transaction. The error is the store's
// own; what a writer returned is in it. It never panics, and whatever happens,
// bbolt's lock for writers is free afterwards, or the store refuses all writes
// from then on.
func (d *DB) commit(group []*write) (err error) {
	if err := d.Usable(); err != nil {
		return err
	}
	before := debug.SetPanicOnFault(true)
	defer debug.SetPanicOnFault(before)
	b, err := d.bolt.Begin(true)
	if err != nil {
		return fmt.Errorf("cannot write: %w", err)
	}
	defer func() {
		if p := recover(); p != nil {
			err = errors.Join(fmt.Errorf("%w (%v)", errAllFailed, p), d.giveUp(b))
		}
	}()
	if err := d.whole(b); err != nil {
		return errors.Join(err, b.Rollback())
	}
	tx := &Tx{bolt: b, writes: true}
	dirty := false
	for _, w := range group {
		tx.undo = tx.undo[:0]
		if err := tx.run(w); err != nil {
			_ = b.Rollback()
			return fmt.Errorf("cannot take back a failed write: %w", err)
		}
		dirty = dirty || len(tx.undo) > 0
	}
	if !dirty {
		return b.Rollback()
	}
	if err := b.Commit(); err != nil {
		return fmt.Errorf("cannot write: %w", err)
	}
	return nil
}

// giveUp rolls back a transaction in which bbolt has panicked. If that panics
// too, bbolt's lock for writers stays taken.
func (d *DB) giveUp(b *bbolt.Tx) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: a failed write can't be taken back (%v); restart with a backup", ErrDamaged, p)
			d.stuck.Store(&err)
		}
	}()
	return b.Rollback()
}

// Usable returns why nothing can be written any more, nil if it can: the data
// file is lost, or a failed write could not be taken back.
func (d *DB) Usable() error {
	if stuck := d.stuck.Load(); stuck != nil {
		return *stuck
	}
	if d.dir == "" {
		return nil
	}
	info, err := os.Stat(d.file)
	if err != nil || !os.SameFile(info, d.opened) {
		return fmt.Errorf("%w: %s; nothing more is written: restart, or put the file back first", ErrLost, d.file)
	}
	return nil
}

// whole refuses to write to a file that somebody has truncated.
func (d *DB) whole(b *bbolt.Tx) error {
	if d.dir == "" {
		return nil
	}
	if info, err := os.Stat(d.file); err != nil || info.Size() < b.Size() {
		return fmt.Errorf("%w: %s was cut while it was in use; put a backup in its place and restart", ErrDamaged, d.file)
	}
	return nil
}

// run runs one writer and undoes what it wrote if it failed, so that the others
// in its group are not affected.
func (tx *Tx) run(w *write) error {
	func() {
		defer func() {
			if p := recover(); p != nil {
				w.panics = fmt.Sprintf("%v\n%s", p, debug.Stack())
			}
		}()
		w.err = w.do(tx)
	}()
	if w.err == nil && w.panics == nil {
		return nil
	}
	return tx.takeBack(0)
}

// Try runs do as a part of a transaction that goes on if do fails: if it
// returns an error or panics, what it wrote is undone and the error is
// returned.
func (tx *Tx) Try(do func() error) (err error) {
	from := len(tx.undo)
	func() {
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
			}
		}()
		err = do()
	}()
	if err == nil {
		return nil
	}
	if failed := tx.takeBack(from); failed != nil {
		panic(failed) // the transaction is taken back as a whole
	}
	return err
}

// takeBack undoes the changes after the first from of them.
func (tx *Tx) takeBack(from int) error {
	for i := len(tx.undo) - 1; i >= from; i-- {
		if err := tx.undo[i].takeBack(); err != nil {
			return err
		}
	}
	tx.undo = tx.undo[:from]
	return nil
}

func (c change) takeBack() error {
	if c.old == nil {
		return c.bucket.Delete(c.key)
	}
	return c.bucket.Put(c.key, c.old)
}

// put is the one place where a key is written.
func (tx *Tx) put(b *bbolt.Bucket, key, value []byte) error {
	tx.remember(b, key)
	return b.Put(key, value)
}

// delete is the one place where a key is removed.
func (tx *Tx) delete(b *bbolt.Bucket, key []byte) error {
	tx.remember(b, key)
	return b.Delete(key)
}

// remember notes what is stored under key, as a copy: bbolt's memory may move
// before the end of the transaction.
func (tx *Tx) remember(b *bbolt.Bucket, key []byte) {
	c := change{bucket: b, key: key}
	if old := b.Get(key); old != nil {
		c.old = append(make([]byte, 0, len(old)), old...)
	}
	tx.undo = append(tx.undo, c)
}
