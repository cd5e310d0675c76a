package store

import (
	"bytes"
	"errors"
	"fmt"
	"math"

	"github.com/fxamacker/cbor/v2"
	"go.etcd.io/bbolt"
)

// A Table keeps records of one type under keys of bytes, and lists of them in
// an order of their own. Tables are declared once, as package variables, and
// are given to Open.
type Table[T any] struct {
	// Name is the bucket's name.
	Name string
	// Index names every list in which the record belongs, with its position
	// there; nil for a table without lists. It must depend on nothing but its
	// arguments, and name no list twice.
	Index func(key []byte, record *T) []Entry
	// Rekey, if not nil, returns the key in this format of a record of format
	// 1.
	Rekey func(key []byte, record *T) []byte
}

// An Entry is the place of a record in a list: lists are ordered by Order, then
// by record key.
type Entry struct {
	List  string
	Order uint64
}

func (t *Table[T]) buckets() [][]byte {
	if t.Index == nil {
		return [][]byte{[]byte(t.Name)}
	}
	return [][]byte{[]byte(t.Name), []byte(t.Name + ".lists"), []byte(t.Name + ".index")}
}

func (t *Table[T]) bucket(tx *Tx) *bbolt.Bucket { return tx.bolt.Bucket([]byte(t.Name)) }

// Get returns the record under key, or nil where there is none.
func (t *Table[T]) Get(tx *Tx, key []byte) (*T, error) {
	return t.decode(key, t.bucket(tx).Get(key))
}

// decoding reads everything that was written: the library's own bounds are for
// untrusted input, and earlier builds accepted texts that are not UTF-8.
var decoding = func() cbor.DecMode {
	mode, err := cbor.DecOptions{
		MaxArrayElements: math.MaxInt32, MaxMapPairs: math.MaxInt32, UTF8: cbor.UTF8DecodeInvalid,
	}.DecMode()
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

func (t *Table[T]) encode(key []byte, record *T) ([]byte, error) {
	value, err := cbor.Marshal(record)
	if err != nil {
		return nil, fmt.Errorf("%s %q: %w", t.Name, key, err)
	}
	return value, nil
}

// Put writes the record under key and updates the lists.
func (t *Table[T]) Put(tx *Tx, key []byte, record *T) error {
	value, err := t.encode(key, record)
	if err != nil {
		return err
	}
	if err := t.reindex(tx, key, record); err != nil {
		return err
	}
	return tx.put(t.bucket(tx), key, value)
}

// Delete removes the record under key from the table and from the lists;
// without one it does nothing.
func (t *Table[T]) Delete(tx *Tx, key []byte) error {
	if err := t.reindex(tx, key, nil); err != nil {
		return err
	}
	return tx.delete(t.bucket(tx), key)
}

// Scan calls visit with every record whose key starts with prefix, in key
// order, until visit returns an error. The key is valid until visit returns.
// visit must not write to the table.
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

// Readable is Scan over a table with records that can't be read: it skips them.
// The error then names the first of them.
func (t *Table[T]) Readable(tx *Tx, prefix []byte, visit func(key []byte, record *T)) (unreadable error) {
	c := t.bucket(tx).Cursor()
	for k, v := c.Seek(prefix); k != nil && bytes.HasPrefix(k, prefix); k, v = c.Next() {
		record, err := t.decode(k, v)
		if err == nil {
			visit(k, record)
		} else if unreadable == nil {
			unreadable = err
		}
	}
	return unreadable
}

// Keys returns copies of all keys that start with prefix, in order.
func (t *Table[T]) Keys(tx *Tx, prefix []byte) [][]byte {
	return t.KeysFrom(tx, prefix, prefix, math.MaxInt)
}

// Empty reports whether the table has no record.
func (t *Table[T]) Empty(tx *Tx) bool { return t.From(tx, nil) == nil }

// Has reports whether there is a record under key.
func (t *Table[T]) Has(tx *Tx, key []byte) bool { return t.bucket(tx).Get(key) != nil }

// KeysFrom returns copies of up to most keys that start with prefix, from one
// on.
func (t *Table[T]) KeysFrom(tx *Tx, from, prefix []byte, most int) [][]byte {
	var keys [][]byte
	c := t.bucket(tx).Cursor()
	for k, _ := c.Seek(from); k != nil && bytes.HasPrefix(k, prefix) && len(keys) < most; k, _ = c.Next() {
		keys = append(keys, bytes.Clone(k))
	}
	return keys
}

// From returns a copy of the first key that is not less than one, nil for none.
func (t *Table[T]) From(tx *Tx, least []byte) []byte {
	k, _ := t.bucket(tx).Cursor().Seek(least)
	return bytes.Clone(k)
}

// Drawn returns the last number that a file of format 1 has drawn for the
// table, 0 for none.
func (t *Table[T]) Drawn(tx *Tx) uint64 { return t.bucket(tx).Sequence() }

// rekey gives the records of a file of format 1 the keys of this one.
func (t *Table[T]) rekey(tx *Tx) error {
	if t.Rekey == nil {
		return nil
	}
	for _, key := range t.Keys(tx, nil) {
		record, err := t.Get(tx, key)
		if err != nil {
			return err
		}
		if err := errors.Join(t.Delete(tx, key), t.Put(tx, t.Rekey(key, record), record)); err != nil {
			return err
		}
	}
	return nil
}
