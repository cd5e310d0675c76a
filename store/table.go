package store

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/fxamacker/cbor/v2"
	"go.etcd.io/bbolt"
)

// A Table keeps records of one type under keys of bytes, and lists of them in an order of their own.
// Tables are declared once, as package variables, and are given to Open.
type Table[T any] struct {
	// Name is the bucket's name.
	Name string
	// Places names every list in which the record belongs, with its position there; nil for a table without lists.
	// It must depend on nothing but its arguments.
	Places func(key []byte, record *T) []Place
}

// A Place is where a record stands in a list: lists are ordered by Order, then by record key.
type Place struct {
	List  string
	Order uint64
}

func (t *Table[T]) buckets() [][]byte {
	if t.Places == nil {
		return [][]byte{[]byte(t.Name)}
	}
	return [][]byte{[]byte(t.Name), []byte(t.Name + ".lists"), []byte(t.Name + ".index"), []byte(t.Name + ".marks")}
}

func (t *Table[T]) bucket(tx *Tx) *bbolt.Bucket { return tx.bolt.Bucket([]byte(t.Name)) }

// Get returns the record under key, or nil where there is none.
func (t *Table[T]) Get(tx *Tx, key []byte) (*T, error) {
	return t.decode(key, t.bucket(tx).Get(key))
}

// decoding reads whatever was written: the library's own bounds are for strangers' bytes.
var decoding = func() cbor.DecMode {
	mode, err := cbor.DecOptions{MaxArrayElements: math.MaxInt32, MaxMapPairs: math.MaxInt32}.DecMode()
	if err != nil {
		panic(err) // the options are wrong
	}
	return mode
}()

func (t *Table[T]) decode(key, value []byte) (*T, error) {
	if value == nil {
		return nil, nil
	}
	record := new(T)
	if err := decoding.Unmarshal(value, record); err != nil {
		return nil, fmt.Errorf("%s %q: %w: %w", t.Name, key, ErrDamaged, err)
	}
	return record, nil
}

// Put writes the record under key and moves it in the lists.
func (t *Table[T]) Put(tx *Tx, key []byte, record *T) error {
	value, err := cbor.Marshal(record)
	if err != nil {
		return fmt.Errorf("%s %q: %w", t.Name, key, err)
	}
	if err := t.relist(tx, key, record); err != nil {
		return err
	}
	return tx.put(t.bucket(tx), key, value)
}

// Delete removes the record under key from the table and from the lists; without one it does nothing.
func (t *Table[T]) Delete(tx *Tx, key []byte) error {
	if err := t.relist(tx, key, nil); err != nil {
		return err
	}
	return tx.delete(t.bucket(tx), key)
}

// Scan calls visit with every record whose key starts with prefix, in key order, until visit returns an error.
// The key is valid until visit returns. visit must not write to the table.
func (t *Table[T]) Scan(tx *Tx, prefix []byte, visit func(key []byte, record *T) error) error {
	c := t.bucket(tx).Cursor()
	for k, v := c.Seek(prefix); k != nil && bytes.HasPrefix(k, prefix); k, v = c.Next() {
		record, err := t.decode(k, v)
		if err != nil {
			return err
		}
		if err := visit(k, record); err != nil {
			return err
		}
	}
	return nil
}

// Keys returns copies of all keys that start with prefix, in order.
func (t *Table[T]) Keys(tx *Tx, prefix []byte) [][]byte {
	var keys [][]byte
	c := t.bucket(tx).Cursor()
	for k, _ := c.Seek(prefix); k != nil && bytes.HasPrefix(k, prefix); k, _ = c.Next() {
		keys = append(keys, bytes.Clone(k))
	}
	return keys
}

// Empty tells whether the table has no record.
func (t *Table[T]) Empty(tx *Tx) bool {
	k, _ := t.bucket(tx).Cursor().First()
	return k == nil
}

// Next returns the next number of the table's own sequence, from 1 on. Numbers grow; one that was drawn by a write that
// failed is not drawn again while other writes of its transaction are kept. In DB.Update, a draw alone is not kept.
func (t *Table[T]) Next(tx *Tx) (uint64, error) { return t.bucket(tx).NextSequence() }

// relist takes the record that stands under key out of the lists where next doesn't stand, and puts next, unless it is
// nil, into those where it doesn't stand yet. Most writes change no place and cost one comparison.
func (t *Table[T]) relist(tx *Tx, key []byte, next *T) error {
	if t.Places == nil {
		return nil
	}
	var from, to []Place
	old, err := t.Get(tx, key)
	if err != nil {
		return err
	}
	if old != nil {
		from = t.Places(key, old)
	}
	if next != nil {
		to = t.Places(key, next)
	}
	l := t.lists(tx)
	for _, p := range from {
		if !slices.Contains(to, p) {
			if err := l.remove(p, key); err != nil {
				return err
			}
		}
	}
	for _, p := range to {
		if !slices.Contains(from, p) {
			if err := l.add(p, key); err != nil {
				return err
			}
		}
	}
	return nil
}

// check compares the lists with the records, both ways.
func (t *Table[T]) check(tx *Tx) error {
	if t.Places == nil {
		return t.Scan(tx, nil, func([]byte, *T) error { return nil })
	}
	l := t.lists(tx)
	var errs []error
	due := map[string]uint64{}
	places := 0
	err := t.Scan(tx, nil, func(key []byte, record *T) error {
		for _, p := range t.Places(key, record) {
			places++
			due[p.List]++
			if !l.has(l.find(p.List), p.Order, key) {
				errs = append(errs, fmt.Errorf("%q is missing from list %q at %d", key, p.List, p.Order))
			}
		}
		return nil
	})
	errs = append(errs, err)
	for name, want := range due {
		if got := l.find(name).count; got != want {
			errs = append(errs, fmt.Errorf("list %q counts %d entries, has %d", name, got, want))
		}
	}
	entries := 0
	_ = l.entries.ForEach(func(_, _ []byte) error { entries++; return nil })
	if entries != places {
		errs = append(errs, fmt.Errorf("%d list entries for %d places", entries, places))
	}
	_ = l.index.ForEach(func(name, _ []byte) error {
		if due[string(name)] == 0 {
			errs = append(errs, fmt.Errorf("list %q is kept though it is empty", name))
		}
		return nil
	})
	errs = append(errs, l.checkMarks(entries))
	return errors.Join(errs...)
}
