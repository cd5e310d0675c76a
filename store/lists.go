package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"
)

// lists is the buckets behind a table's lists, in one transaction.
type lists struct {
	tx                    *Tx
	entries, index, marks *bbolt.Bucket
}

func (t *Table[T]) lists(tx *Tx) lists {
	names := t.buckets()
	l := lists{tx: tx, entries: tx.bolt.Bucket(names[1]), index: tx.bolt.Bucket(names[2]), marks: tx.bolt.Bucket(names[3])}
	// Entries arrive at the end of their list: pages that split there stay full.
	l.entries.FillPercent = 0.9
	return l
}

// present is the value of every list entry: within a transaction, bbolt reads a nil value back as no key.
var present = []byte{}

// list is one list's head: its number in entry keys, and its length. The zero list is empty.
type list struct {
	number uint32
	count  uint64
}

func (l lists) find(name string) list {
	v := l.index.Get([]byte(name))
	if len(v) != 12 {
		return list{}
	}
	return list{binary.BigEndian.Uint32(v), binary.BigEndian.Uint64(v[4:])}
}

func (l lists) save(name string, x list) error {
	if x.count == 0 {
		return l.tx.delete(l.index, []byte(name))
	}
	v := binary.BigEndian.AppendUint32(make([]byte, 0, 12), x.number)
	return l.tx.put(l.index, []byte(name), binary.BigEndian.AppendUint64(v, x.count))
}

func (l lists) add(p Place, key []byte) error {
	x := l.find(p.List)
	if x.count == 0 {
		n, err := l.index.NextSequence()
		if err != nil {
			return err
		}
		x.number = uint32(n)
	}
	x.count++
	entry := x.entry(p.Order, key)
	if err := l.tx.put(l.entries, entry, present); err != nil {
		return err
	}
	if err := l.markAdded(x, entry); err != nil {
		return err
	}
	return l.save(p.List, x)
}

func (l lists) remove(p Place, key []byte) error {
	x := l.find(p.List)
	x.count--
	entry := x.entry(p.Order, key)
	if err := l.tx.delete(l.entries, entry); err != nil {
		return err
	}
	if err := l.markRemoved(x, entry); err != nil {
		return err
	}
	return l.save(p.List, x)
}

func (l lists) has(x list, order uint64, key []byte) bool {
	return x.count > 0 && l.entries.Get(x.entry(order, key)) != nil
}

// first is where the list's keys begin: less than any of its entries, more than any of the list before.
func (x list) first() []byte { return binary.BigEndian.AppendUint32(nil, x.number) }

// entry is the key of a list entry.
func (x list) entry(order uint64, key []byte) []byte {
	b := make([]byte, 0, 12+len(key))
	b = binary.BigEndian.AppendUint32(b, x.number)
	b = binary.BigEndian.AppendUint64(b, order)
	return append(b, key...)
}

// Marks cut a list into segments and say how many entries each has, so that a place far inside the list is found
// without a walk to it. A mark's key is a lower bound of its segment's entries; the first one's is list.first.

// segment is how many entries a segment has at most; one that grows larger is halved.
const segment = 1024

// markOf returns the mark whose segment an entry belongs to.
func (l lists) markOf(entry []byte) (mark []byte, count uint64) {
	c := l.marks.Cursor()
	k, v := c.Seek(entry)
	switch {
	case k == nil:
		k, v = c.Last()
	case !bytes.Equal(k, entry):
		k, v = c.Prev()
	}
	return bytes.Clone(k), binary.BigEndian.Uint64(v)
}

func (l lists) setMark(mark []byte, count uint64) error {
	return l.tx.put(l.marks, mark, binary.BigEndian.AppendUint64(nil, count))
}

// markAdded counts an entry that was added; x has it already.
func (l lists) markAdded(x list, entry []byte) error {
	if x.count == 1 {
		return l.setMark(x.first(), 1)
	}
	mark, count := l.markOf(entry)
	if count++; count <= segment {
		return l.setMark(mark, count)
	}
	c := l.entries.Cursor()
	middle, _ := c.Seek(mark)
	for range count / 2 {
		middle, _ = c.Next()
	}
	if err := l.setMark(bytes.Clone(middle), count-count/2); err != nil {
		return err
	}
	return l.setMark(mark, count/2)
}

// markRemoved counts an entry that was removed; x lacks it already. The first mark stays as long as the list does.
func (l lists) markRemoved(x list, entry []byte) error {
	mark, count := l.markOf(entry)
	if count--; count == 0 && (x.count == 0 || len(mark) > len(x.first())) {
		return l.tx.delete(l.marks, mark)
	}
	return l.setMark(mark, count)
}

// at returns a cursor on the nth entry of a list, from 0, with the entry's key.
func (l lists) at(x list, n uint64) (*bbolt.Cursor, []byte) {
	marks := l.marks.Cursor()
	mark, v := marks.Seek(x.first())
	for count := binary.BigEndian.Uint64(v); n >= count; count = binary.BigEndian.Uint64(v) {
		n -= count
		mark, v = marks.Next()
	}
	c := l.entries.Cursor()
	k, _ := c.Seek(mark)
	for range n {
		k, _ = c.Next()
	}
	return c, k
}

// checkMarks compares the marks with the entries that there are in all.
func (l lists) checkMarks(entries int) error {
	var errs []error
	total := uint64(0)
	c := l.marks.Cursor()
	for mark, v := c.First(); mark != nil; {
		count := binary.BigEndian.Uint64(v)
		total += count
		next, nextValue := c.Next()
		if n := l.between(mark, next); n != count {
			errs = append(errs, fmt.Errorf("the mark %x counts %d entries, has %d", mark, count, n))
		}
		mark, v = next, nextValue
	}
	if total != uint64(entries) {
		errs = append(errs, fmt.Errorf("the marks count %d entries of %d", total, entries))
	}
	return errors.Join(errs...)
}

// between counts the entries from one key up to another, nil for the end.
func (l lists) between(from, to []byte) (n uint64) {
	c := l.entries.Cursor()
	for k, _ := c.Seek(from); k != nil && (to == nil || bytes.Compare(k, to) < 0); k, _ = c.Next() {
		n++
	}
	return n
}
