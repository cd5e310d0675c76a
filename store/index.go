package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"go.etcd.io/bbolt"
)

// index is the buckets behind a table's lists, in one transaction. A list is
// walked by its keys; nothing else says where an entry is in it.
type index struct {
	tx             *Tx
	entries, heads *bbolt.Bucket
}

func (t *Table[T]) index(tx *Tx) index {
	names := t.buckets()
	x := index{tx: tx, entries: tx.bolt.Bucket(names[1]), heads: tx.bolt.Bucket(names[2])}
	// Entries arrive at the end of their list: pages that split there stay
	// full.
	x.entries.FillPercent = 0.9
	return x
}

// present is the value of every entry: within a transaction, bbolt reads a nil
// value back as no key.
var present = []byte{}

// list is one list's head: its number in entry keys, and its length. The zero
// list is empty.
type list struct {
	number uint32
	count  uint64
}

func (x index) find(name string) list {
	v := x.heads.Get([]byte(name))
	if len(v) != 12 {
		return list{}
	}
	return list{binary.BigEndian.Uint32(v), binary.BigEndian.Uint64(v[4:])}
}

func (x index) save(name string, l list) error {
	if l.count == 0 {
		return x.tx.delete(x.heads, []byte(name))
	}
	v := binary.BigEndian.AppendUint32(make([]byte, 0, 12), l.number)
	return x.tx.put(x.heads, []byte(name), binary.BigEndian.AppendUint64(v, l.count))
}

// numbered returns the head of a list, with a new number if the list is empty.
func (x index) numbered(name string) (list, error) {
	l := x.find(name)
	if l.count > 0 {
		return l, nil
	}
	n, err := x.heads.NextSequence()
	l.number = uint32(n)
	return l, err
}

func (x index) add(e Entry, key []byte) error {
	l, err := x.numbered(e.List)
	if err != nil {
		return err
	}
	l.count++
	if err := x.tx.put(x.entries, l.entry(e.Order, key), present); err != nil {
		return err
	}
	return x.save(e.List, l)
}

// remove removes an entry. An entry that is not there is ignored: a load that
// was interrupted leaves records without entries.
func (x index) remove(e Entry, key []byte) error {
	l := x.find(e.List)
	if !x.has(l, e.Order, key) {
		return nil
	}
	l.count--
	if err := x.tx.delete(x.entries, l.entry(e.Order, key)); err != nil {
		return err
	}
	return x.save(e.List, l)
}

func (x index) has(l list, order uint64, key []byte) bool {
	return l.count > 0 && x.entries.Get(l.entry(order, key)) != nil
}

// start is where the list's keys begin: not more than any of its entries, more
// than any of the lists with lower numbers.
func (l list) start() []byte { return binary.BigEndian.AppendUint32(nil, l.number) }

// end is where they end.
func (l list) end() []byte { return binary.BigEndian.AppendUint32(nil, l.number+1) }

// entry is the key of an entry.
func (l list) entry(order uint64, key []byte) []byte {
	b := make([]byte, 0, 12+len(key))
	b = binary.BigEndian.AppendUint32(b, l.number)
	b = binary.BigEndian.AppendUint64(b, order)
	return append(b, key...)
}

// at returns a cursor on the nth entry of a list, from 0, with the entry's key.
// It walks there from the nearer end: half a million entries take some 7 ms.
// A transaction that writes walks from the start only, see Cursor.Prev below.
func (x index) at(l list, n uint64) (*bbolt.Cursor, []byte) {
	c := x.entries.Cursor()
	if n < l.count/2 || x.tx.writes {
		k, _ := c.Seek(l.start())
		for range n {
			k, _ = c.Next()
		}
		return c, k
	}
	k, _ := c.Seek(l.end())
	if k == nil {
		k, _ = c.Last()
	} else {
		k, _ = c.Prev()
	}
	for range l.count - 1 - n {
		k, _ = c.Prev()
	}
	return c, k
}

// Cursor.Prev, and so every walk backwards, is for transactions that only read:
// after a deletion in the same transaction it answers nil on a page that the
// deletion has emptied, though there are entries before it. First, Seek and
// Next step over such pages.

// check compares the entries with the records, both ways, and the heads with
// the entries. Records for which skip reports true have no entries yet, or not
// all.
func (t *Table[T]) check(tx *Tx, skip Skip) error {
	if t.Index == nil {
		return t.Scan(tx, nil, func([]byte, *T) error { return nil })
	}
	x := t.index(tx)
	var errs []error
	want := map[string]bool{} // entries of records that are not skipped
	err := t.Scan(tx, nil, func(key []byte, record *T) error {
		if skip != nil && skip(t.Name, key) {
			return nil
		}
		for _, e := range t.Index(key, record) {
			l := x.find(e.List)
			want[string(l.entry(e.Order, key))] = true
			if !x.has(l, e.Order, key) {
				errs = append(errs, fmt.Errorf("%q is missing from list %q at %d", key, e.List, e.Order))
			}
		}
		return nil
	})
	errs = append(errs, err)
	counts := map[uint32]uint64{}
	_ = x.entries.ForEach(func(k, _ []byte) error {
		counts[binary.BigEndian.Uint32(k)]++
		if !want[string(k)] && (skip == nil || !skip(t.Name, k[12:])) {
			errs = append(errs, fmt.Errorf("the entry %x has no record", k))
		}
		return nil
	})
	_ = x.heads.ForEach(func(name, _ []byte) error {
		l := x.find(string(name))
		if l.count == 0 || counts[l.number] != l.count {
			errs = append(errs, fmt.Errorf("list %q counts %d entries, has %d", name, l.count, counts[l.number]))
		}
		delete(counts, l.number)
		return nil
	})
	for number, n := range counts {
		errs = append(errs, fmt.Errorf("%d entries have the number %d, which no list has", n, number))
	}
	return errors.Join(errs...)
}

// A Listed is an entry of a list as Until returns it.
type Listed struct {
	Order uint64
	Key   []byte
}

// Until returns the first entries of a list whose order is at most to, in their
// order and no more than most, without those whose key skip selects; skip can
// be nil.
func (t *Table[T]) Until(tx *Tx, name string, to uint64, most int, skip func(key []byte) bool) (found []Listed) {
	x := t.index(tx)
	l := x.find(name)
	if l.count == 0 {
		return nil
	}
	c, end := x.entries.Cursor(), l.end()
	for k, _ := c.Seek(l.start()); k != nil && bytes.Compare(k, end) < 0 && len(found) < most; k, _ = c.Next() {
		order := binary.BigEndian.Uint64(k[4:])
		if order > to {
			break
		}
		if skip == nil || !skip(k[12:]) {
			found = append(found, Listed{order, bytes.Clone(k[12:])})
		}
	}
	return found
}

// All returns the keys of a list in its order.
func (t *Table[T]) All(tx *Tx, name string) (keys [][]byte) {
	for _, e := range t.Until(tx, name, math.MaxUint64, math.MaxInt, nil) {
		keys = append(keys, e.Key)
	}
	return keys
}

// Lists reports whether a record is in a list at an order.
func (t *Table[T]) Lists(tx *Tx, name string, order uint64, key []byte) bool {
	x := t.index(tx)
	return x.has(x.find(name), order, key)
}

// reindex removes the record under key from the lists that next doesn't belong
// in, and puts next, unless it is nil, into the lists that it isn't in yet.
// Most writes change no entry and cost one comparison.
func (t *Table[T]) reindex(tx *Tx, key []byte, next *T) error {
	if t.Index == nil {
		return nil
	}
	var from, to []Entry
	old, err := t.Get(tx, key)
	if err != nil {
		return err
	}
	if old != nil {
		from = t.Index(key, old)
	}
	if next != nil {
		to = t.Index(key, next)
	}
	x := t.index(tx)
	for _, e := range from {
		if !slices.Contains(to, e) {
			if err := x.remove(e, key); err != nil {
				return err
			}
		}
	}
	for _, e := range to {
		if !slices.Contains(from, e) {
			if err := x.add(e, key); err != nil {
				return err
			}
		}
	}
	return nil
}
