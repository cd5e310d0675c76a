package action

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"maps"
	"slices"

	"ssmlocal/server/ssm"
	"ssmlocal/store"
)

// A state is replaced without making anybody wait. The new state is written
// beside the present one, under keys of the next generation (Stage). Then that
// generation becomes the present one in memory, and the records of the previous
// one are removed bit by bit (Collect). A process that is killed in between
// leaves a generation that nobody reads; the next start removes it.

// generations has the present generation of each account that has one of its
// own, under 8 zero bytes that of all others, and under "last" the last one
// that was drawn.
var generations = &store.Table[uint32]{Name: "generations"}

var lastGeneration = []byte("last")

func generationKey(uin uint64) []byte { return binary.BigEndian.AppendUint64(nil, uin) }

// Generations says which generation of each account is the present one. It does
// not change: a replacement makes a new one.
type Generations struct {
	all uint32
	own map[uint64]uint32
}

// Of returns the present generation of an account.
func (g *Generations) Of(uin uint64) uint32 {
	if own, has := g.own[uin]; has {
		return own
	}
	return g.all
}

// Live reports whether a generation of an account is the present one.
func (g *Generations) Live(uin uint64, generation uint32) bool { return g.Of(uin) == generation }

// Owner returns an account's owner of secrets in a region, in the present
// generation.
func (g *Generations) Owner(uin uint64, region string) ssm.Owner {
	return ssm.NewOwner(uin, region).In(g.Of(uin))
}

// With returns the Generations after a generation of an account, or with 0 of
// all accounts, has become the present one.
func (g *Generations) With(uin uint64, generation uint32) *Generations {
	if uin == 0 {
		return &Generations{all: generation}
	}
	next := &Generations{all: g.all, own: maps.Clone(g.own)}
	if next.own == nil {
		next.own = map[uint64]uint32{}
	}
	next.own[uin] = generation
	return next
}

// ReadGenerations reads the generations that the last start left.
func ReadGenerations(db *store.DB) (*Generations, error) {
	g := &Generations{own: map[uint64]uint32{}}
	err := db.View(func(tx *store.Tx) error {
		return generations.Scan(tx, nil, func(key []byte, n *uint32) error {
			switch {
			case string(key) == string(lastGeneration):
			case binary.BigEndian.Uint64(key) == 0:
				g.all = *n
			default:
				g.own[binary.BigEndian.Uint64(key)] = *n
			}
			return nil
		})
	})
	return g, err
}

// Write writes the generation of an account, or with 0 all, for the next start.
func (g *Generations) Write(tx *store.Tx, uin uint64) error {
	if uin != 0 {
		n, own := g.own[uin]
		if !own {
			return generations.Delete(tx, generationKey(uin))
		}
		return generations.Put(tx, generationKey(uin), &n)
	}
	for _, key := range generations.Keys(tx, nil) {
		if string(key) == string(lastGeneration) {
			continue
		}
		if err := generations.Delete(tx, key); err != nil {
			return err
		}
	}
	err := generations.Put(tx, generationKey(0), &g.all)
	for uin, n := range g.own {
		err = errors.Join(err, generations.Put(tx, generationKey(uin), &n))
	}
	return err
}

// drawGeneration returns a generation that nothing belongs to yet.
func drawGeneration(db *store.DB) (n uint32, err error) {
	err = db.Update(func(tx *store.Tx) error {
		last, err := generations.Get(tx, lastGeneration)
		if err != nil {
			return err
		}
		n = 1
		if last != nil {
			n = *last + 1
		}
		return generations.Put(tx, lastGeneration, &n)
	})
	return n, err
}

// owners returns the accounts that have anything, in their present generation;
// with a Uin that account alone.
func owners(tx *store.Tx, g *Generations, uin uint64) (all []ssm.Owner) {
	if uin != 0 {
		return []ssm.Owner{g.Owner(uin, "")}
	}
	seen := map[uint64]bool{}
	for _, from := range []func(*store.Tx, []byte) []byte{secrets.From, accounts.From, tasks.From} {
		for key := from(tx, nil); key != nil; {
			uin, generation, _ := splitKey(key)
			if g.Live(uin, generation) {
				seen[uin] = true
			}
			key = from(tx, behind(key, uin, generation))
		}
	}
	for _, uin := range slices.Sorted(maps.Keys(seen)) {
		all = append(all, g.Owner(uin, ""))
	}
	return all
}

// GenerationOf returns the generation of a key that starts with AccountKey.
func GenerationOf(key []byte) uint32 {
	_, generation, _ := splitKey(key)
	return generation
}

// behind returns the first key after those of an account in a generation; key
// is one of them.
func behind(key []byte, uin uint64, generation uint32) []byte {
	next := AccountKey(uin, generation)
	for i := len(next) - 1; i >= 0; i-- {
		if next[i]++; next[i] != 0 {
			break
		}
	}
	if bytes.Compare(next, key) <= 0 { // not a key of this package: go to the next one
		return append(bytes.Clone(key), 0)
	}
	return next
}

// Dead reports whether a record of one of the tables here belongs to a
// generation that is not the present one.
func (g *Generations) Dead(table string, key []byte) bool {
	switch table {
	case accessKeys.Name: // the account is in the record, not in the key; a live record has its entries, too
		_, generation := SplitIDKey(key)
		return !g.anybodys(generation)
	case secrets.Name, tasks.Name:
		uin, generation, _ := splitKey(key)
		return !g.Live(uin, generation)
	}
	return false
}

// FindID returns the record of the present generation that a table whose keys
// are IDKeys has for a SecretId, nil for none.
func FindID[T any](tx *store.Tx, g *Generations, t *store.Table[T], secretID string, uinOf func(*T) uint64) (*T, error) {
	keys := append(t.Keys(tx, append([]byte(secretID), 0)), []byte(secretID))
	for _, key := range keys {
		id, generation := SplitIDKey(key)
		if id != secretID || !g.anybodys(generation) {
			continue
		}
		if record, err := t.Get(tx, key); err != nil || record != nil && g.Live(uinOf(record), generation) {
			return record, err
		}
	}
	return nil, nil
}

// anybodys reports whether a generation is the present one of any account.
func (g *Generations) anybodys(generation uint32) bool {
	if generation == g.all {
		return true
	}
	for _, own := range g.own {
		if generation == own {
			return true
		}
	}
	return false
}

// removedAtOnce is how many records one transaction of Collect removes; that
// takes some milliseconds.
const removedAtOnce = 40

// A Keep reports whether a generation of an account is present, or being
// written.
type Keep func(uin uint64, generation uint32) bool

// Collect removes what nobody reads, in short transactions.
func Collect(ctx context.Context, db *store.DB, keep Keep) error {
	return errors.Join(
		CollectAccounts(ctx, db, keep, secrets), CollectAccounts(ctx, db, keep, versions), CollectAccounts(ctx, db, keep, keyPairs),
		CollectAccounts(ctx, db, keep, accounts), CollectAccounts(ctx, db, keep, tasks), CollectAccounts(ctx, db, keep, flowIDs),
		CollectIDs(ctx, db, keep, accessKeys, func(k *ssm.AccessKeyPair) uint64 { return k.Uin }),
	)
}

// CollectAccounts is Collect for a table whose keys start with AccountKey.
func CollectAccounts[T any](ctx context.Context, db *store.DB, keep Keep, t *store.Table[T]) (left error) {
	var from []byte
	for ctx.Err() == nil {
		var dead [][]byte
		err := db.View(func(tx *store.Tx) error {
			for key := t.From(tx, from); key != nil && dead == nil; key = t.From(tx, from) {
				uin, generation, _ := splitKey(key)
				if keep(uin, generation) {
					from = behind(key, uin, generation)
				} else {
					dead = t.KeysFrom(tx, key, AccountKey(uin, generation), removedAtOnce)
				}
			}
			return nil
		})
		if err != nil || dead == nil {
			return errors.Join(left, err)
		}
		if err := deleteAll(ctx, db, t, dead); left == nil {
			left = err // the first one is enough
		}
		from = append(dead[len(dead)-1], 0)
	}
	return ctx.Err()
}

// CollectIDs is Collect for a table whose keys are IDKeys.
func CollectIDs[T any](ctx context.Context, db *store.DB, keep Keep, t *store.Table[T], uinOf func(*T) uint64) error {
	var dead [][]byte
	err := db.View(func(tx *store.Tx) error {
		return t.Readable(tx, nil, func(key []byte, record *T) {
			if _, generation := SplitIDKey(key); !keep(uinOf(record), generation) {
				dead = append(dead, slices.Clone(key))
			}
		})
	})
	for some := range slices.Chunk(dead, removedAtOnce) {
		if failed := deleteAll(ctx, db, t, some); err == nil {
			err = failed
		}
	}
	return err
}

// deleteAll deletes records. What can't be deleted is left: nobody reads it.
func deleteAll[T any](ctx context.Context, db *store.DB, t *store.Table[T], keys [][]byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var left error
	err := db.Update(func(tx *store.Tx) error {
		left = nil
		for _, key := range keys {
			left = errors.Join(left, tx.Try(func() error { return t.Delete(tx, key) }))
		}
		return nil
	})
	return errors.Join(err, left)
}
