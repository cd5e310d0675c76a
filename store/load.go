package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"maps"
	"slices"
)

// A Load puts many new records into a table, in short transactions between
// which other writers go on. Records are held back and written in the order of
// their keys, and list entries after all records, list by list. bbolt splits a
// page only at a commit, so unsorted writes would make it shift large pages
// again and again. A load that is given up leaves records without entries; the
// caller must be able to recognize them by their keys and to delete them.
type Load[T any] struct {
	db    *DB
	table *Table[T]
	held  []pair // records, not yet written
	size  int    // of held, in bytes
	keys  []Listed
	lists map[string][]int32 // the members of each list, by their place in keys
}

type pair struct{ key, value []byte }

const (
	// heldBack bounds the records that wait to be sorted, in bytes.
	heldBack = 16 << 20
	// perCommit and bytesPerCommit bound what one transaction of a load writes:
	// some milliseconds.
	perCommit      = 2000
	bytesPerCommit = 512 << 10
)

// Load begins a load into the table.
func (t *Table[T]) Load(db *DB) *Load[T] {
	return &Load[T]{db: db, table: t, lists: map[string][]int32{}}
}

// Put adds a record under a key that the table doesn't have.
func (l *Load[T]) Put(ctx context.Context, key []byte, record *T) error {
	value, err := l.table.encode(key, record)
	if err != nil {
		return err
	}
	key = bytes.Clone(key)
	if l.table.Index != nil {
		own := len(l.keys)
		for _, e := range l.table.Index(key, record) {
			if last := len(l.keys) - 1; last < own || l.keys[last].Order != e.Order {
				l.keys = append(l.keys, Listed{e.Order, key}) // most lists have the same order
			}
			l.lists[e.List] = append(l.lists[e.List], int32(len(l.keys)-1))
		}
	}
	l.held = append(l.held, pair{key, value})
	if l.size += len(key) + len(value); l.size < heldBack {
		return nil
	}
	return l.write(ctx)
}

// Finish writes what is held back, and the list entries.
func (l *Load[T]) Finish(ctx context.Context) error {
	if err := l.write(ctx); err != nil || l.table.Index == nil {
		return err
	}
	type rest struct {
		list    string
		members []int32
	}
	var batch []rest
	n := 0
	flush := func() error {
		err := l.db.inTurn(ctx, func(tx *Tx) error {
			x := l.table.index(tx)
			for _, r := range batch {
				if err := x.addAll(r.list, l.keys, r.members); err != nil {
					return err
				}
			}
			return nil
		})
		batch, n = batch[:0], 0
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(l.lists)) {
		members := l.lists[name]
		slices.SortFunc(members, func(a, b int32) int { return l.keys[a].compare(l.keys[b]) })
		for some := range slices.Chunk(members, perCommit) {
			batch = append(batch, rest{name, some})
			if n += len(some); n >= perCommit {
				if err := flush(); err != nil {
					return err
				}
			}
		}
	}
	return flush()
}

// write writes the records that are held back.
func (l *Load[T]) write(ctx context.Context) error {
	slices.SortFunc(l.held, func(a, b pair) int { return bytes.Compare(a.key, b.key) })
	for rest := l.held; len(rest) > 0; {
		n, size := 0, 0
		for n < min(len(rest), perCommit) && size < bytesPerCommit {
			size += len(rest[n].key) + len(rest[n].value)
			n++
		}
		some := rest[:n]
		rest = rest[n:]
		err := l.db.inTurn(ctx, func(tx *Tx) error {
			b := l.table.bucket(tx)
			b.FillPercent = 0.9
			for _, p := range some {
				if err := tx.put(b, p.key, p.value); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	l.held, l.size = nil, 0
	return nil
}

// inTurn is Update for one of many short transactions that together take a long
// time.
func (d *DB) inTurn(ctx context.Context, do func(*Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return d.Update(do)
}

func (a Listed) compare(b Listed) int {
	if a.Order != b.Order {
		if a.Order < b.Order {
			return -1
		}
		return 1
	}
	return bytes.Compare(a.Key, b.Key)
}

// addAll adds entries of one list, which come in order and are new.
func (x index) addAll(name string, keys []Listed, members []int32) error {
	l, err := x.numbered(name)
	if err != nil {
		return err
	}
	key := l.start()
	for _, m := range members {
		key = binary.BigEndian.AppendUint64(key[:4], keys[m].Order)
		key = append(key, keys[m].Key...)
		if err := x.tx.put(x.entries, bytes.Clone(key), present); err != nil {
			return err
		}
	}
	l.count += uint64(len(members))
	return x.save(name, l)
}
