package store

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math"
	"slices"

	"go.etcd.io/bbolt"
)

// A Query asks for a page of the records that are in certain lists.
type Query struct {
	// All has groups of list names. A record matches if it is in one list of
	// every group. The lists of one group must have no record in common, and
	// all must order their records alike.
	All [][]string
	// Match, if not nil, must also hold for the record's key.
	Match func(key []byte) bool
	// Reverse puts the highest order first.
	Reverse bool
	// Offset records are skipped, and at most Limit are returned.
	Offset, Limit uint64
}

// A Page is a Query's answer: keys in order, and how many records match in all.
type Page struct {
	Keys  [][]byte
	Total uint64
}

// Select answers a query from the lists alone, without reading a record. The
// group with the fewest entries is walked; membership in the others costs one
// look-up for each entry. For a single list without Match, only the way to the
// page is walked. It is for View: a transaction that writes must not walk
// backwards.
func (t *Table[T]) Select(tx *Tx, q Query) Page {
	if tx.writes {
		panic("store: Select in a transaction that writes") // a mistake in the program
	}
	l := t.index(tx)
	groups := make([]group, len(q.All))
	for i, names := range q.All {
		for _, name := range names {
			groups[i].add(l.find(name))
		}
	}
	slices.SortFunc(groups, func(a, b group) int { return cmp.Compare(a.count, b.count) })
	if len(groups) == 0 || groups[0].count == 0 {
		return Page{}
	}
	if len(groups) == 1 && q.Match == nil {
		return l.page(groups[0], q)
	}
	return l.sift(groups[0], groups[1:], q)
}

// First returns the first entry of a list: the lowest order, and the key of the
// record that has it.
func (t *Table[T]) First(tx *Tx, name string) (order uint64, key []byte, ok bool) {
	first := t.Until(tx, name, math.MaxUint64, 1, nil)
	if len(first) == 0 {
		return 0, nil, false
	}
	return first[0].Order, first[0].Key, true
}

// Count returns the number of records in a list.
func (t *Table[T]) Count(tx *Tx, name string) uint64 { return t.index(tx).find(name).count }

// group is lists without a common record, as one.
type group struct {
	lists []list
	count uint64
}

func (g *group) add(x list) {
	if x.count > 0 {
		g.lists = append(g.lists, x)
		g.count += x.count
	}
}

// page takes a page from one group, whose records all match.
func (l index) page(g group, q Query) Page {
	p := Page{Total: g.count}
	if q.Offset >= p.Total || q.Limit == 0 {
		return p
	}
	n := min(q.Limit, p.Total-q.Offset)
	w := l.walkFrom(g, q.Reverse, q.Offset)
	p.Keys = make([][]byte, 0, n)
	for range n {
		p.Keys = append(p.Keys, bytes.Clone(w.next()[8:]))
	}
	return p
}

// sift walks the whole of one group and keeps the entries that are also in the
// others and that match.
func (l index) sift(g group, others []group, q Query) Page {
	var p Page
	w := l.walk(g, q.Reverse)
	for e := w.next(); e != nil; e = w.next() {
		if q.Match != nil && !q.Match(e[8:]) || !l.inAll(others, e) {
			continue
		}
		if p.Total >= q.Offset && uint64(len(p.Keys)) < q.Limit {
			p.Keys = append(p.Keys, bytes.Clone(e[8:]))
		}
		p.Total++
	}
	return p
}

func (l index) inAll(groups []group, e []byte) bool {
	for _, g := range groups {
		in := func(x list) bool { return l.has(x, binary.BigEndian.Uint64(e), e[8:]) }
		if !slices.ContainsFunc(g.lists, in) {
			return false
		}
	}
	return true
}

// walk merges the lists of a group into one order.
type walk struct {
	heads   []head
	reverse bool
}

// head is a cursor in one list. entry is the entry's key without the list
// number, nil at the end of the list.
type head struct {
	cursor *bbolt.Cursor
	number uint32
	entry  []byte
}

// walk starts at the end of the group from which it goes.
func (l index) walk(g group, reverse bool) *walk {
	w := &walk{reverse: reverse}
	for _, x := range g.lists {
		w.heads = append(w.heads, l.headAt(x, reverse, 0))
	}
	return w
}

// walkFrom starts offset entries after that; there are more entries than that.
func (l index) walkFrom(g group, reverse bool, offset uint64) *walk {
	if len(g.lists) == 1 {
		return &walk{[]head{l.headAt(g.lists[0], reverse, offset)}, reverse}
	}
	w := l.walk(g, reverse)
	for range offset {
		w.next()
	}
	return w
}

// headAt is a head on the entry with an offset from the end from which the walk
// goes.
func (l index) headAt(x list, reverse bool, offset uint64) head {
	if reverse {
		offset = x.count - 1 - offset
	}
	c, k := l.at(x, offset)
	h := head{cursor: c, number: x.number}
	h.set(k)
	return h
}

func (h *head) set(k []byte) {
	h.entry = nil
	if len(k) >= 12 && binary.BigEndian.Uint32(k) == h.number {
		h.entry = k[4:]
	}
}

func (h *head) advance(reverse bool) {
	var k []byte
	if reverse {
		k, _ = h.cursor.Prev()
	} else {
		k, _ = h.cursor.Next()
	}
	h.set(k)
}

// next returns the next entry, order (8) ‖ record key, or nil at the end. It is
// valid until the transaction ends.
func (w *walk) next() []byte {
	var best *head
	for i := range w.heads {
		h := &w.heads[i]
		if h.entry == nil {
			continue
		}
		if best == nil || bytes.Compare(h.entry, best.entry) < 0 != w.reverse {
			best = h
		}
	}
	if best == nil {
		return nil
	}
	e := best.entry
	best.advance(w.reverse)
	return e
}
