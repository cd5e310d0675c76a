package store

import (
	"fmt"
	"runtime/debug"

	"go.etcd.io/bbolt"
)

// A Tx is one transaction. What it reads is one consistent state of the whole store.
type Tx struct {
	bolt *bbolt.Tx
	undo []change // what this writer has done so far, newest last

	alone bool // no other writer is in it: it is taken back as a whole
}

// change is one written key with what stood there before; a nil value stands for no key.
type change struct {
	bucket   *bbolt.Bucket
	key, old []byte
}

// View runs read in a read-only transaction: a write in it is refused by bbolt.
func (d *DB) View(read func(*Tx) error) error {
	return d.bolt.View(func(tx *bbolt.Tx) error { return read(&Tx{bolt: tx}) })
}

// write is one caller of Update, waiting for its turn.
type write struct {
	do     func(*Tx) error
	err    error
	panics any       // what do panicked with
	turn   chan bool // true: lead the next commit; false: committed by another
}

// Update runs do in a read-write transaction and returns when what it wrote is on disk. If do returns an error or
// panics, nothing of it is kept and the error or the panic reaches the caller of Update, no one else.
//
// An idle caller commits at once on its own goroutine. Callers that come while a commit is being written are committed
// together by the first of them, with one sync: do may therefore run on another goroutine than its caller's, after
// other writers in the same bbolt transaction, but never beside another writer.
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

// lead commits everyone who waits, its own caller first among them, and passes the lead on.
func (d *DB) lead() {
	d.mu.Lock()
	group := d.waiting
	d.waiting = nil
	d.mu.Unlock()

	if err := d.commit(group); err != nil {
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

// commit runs a group of writers in one transaction. The error is the store's own; what a writer returned is in it.
func (d *DB) commit(group []*write) error {
	b, err := d.bolt.Begin(true)
	if err != nil {
		return fmt.Errorf("cannot write: %w", err)
	}
	tx := &Tx{bolt: b}
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

// run runs one writer and takes back what it wrote if it failed, so that the others in its group are not touched.
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
	for i := len(tx.undo) - 1; i >= 0; i-- {
		if err := tx.undo[i].takeBack(); err != nil {
			return err
		}
	}
	tx.undo = tx.undo[:0]
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

// remember notes what stands under key, as a copy: bbolt's memory may move before the end of the transaction.
func (tx *Tx) remember(b *bbolt.Bucket, key []byte) {
	if tx.alone {
		return
	}
	c := change{bucket: b, key: key}
	if old := b.Get(key); old != nil {
		c.old = append(make([]byte, 0, len(old)), old...)
	}
	tx.undo = append(tx.undo, c)
}
