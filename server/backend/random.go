package backend

import (
	"context"
	"crypto/hmac"
	crand "crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"ssmlocal/server/action"
	"ssmlocal/server/turn"
	"ssmlocal/store"
)

// random is the one source of everything that is drawn: request ids, ids of
// resources, passwords. It is safe for concurrent use.
type random struct {
	fixed bool
	seed  [32]byte

	mu     sync.Mutex
	source *rand.ChaCha8
}

// newRandom returns a source. If it is given a seed, it draws the same each
// time.
func newRandom(seed *uint64) *random {
	r := &random{fixed: seed != nil}
	if r.fixed {
		binary.BigEndian.PutUint64(r.seed[:], *seed)
	} else {
		_, _ = crand.Read(r.seed[:]) // never fails
	}
	r.source = rand.NewChaCha8(r.seed)
	return r
}

// boundStart, for atStart, is a number that no start has.
const boundStart = 1 << 63

// atStart returns the source for a start of the emulator: 0 is the first start,
// other numbers are starts that find a state. Each number gives its own
// sequence. A source that doesn't repeat returns itself.
func (r *random) atStart(start uint64) *random {
	if !r.fixed {
		return r
	}
	seed := r.seed
	binary.BigEndian.PutUint64(seed[8:], start)
	return &random{fixed: true, seed: r.seed, source: rand.NewChaCha8(seed)}
}

// become goes on as another source, which nobody uses any more.
func (r *random) become(other *random) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.source = other.source
}

// AnySeed draws a seed.
func AnySeed() uint64 {
	var b [8]byte
	_, _ = crand.Read(b[:]) // never fails
	return binary.BigEndian.Uint64(b[:]) >> 11
}

// runKey is the length of a run's keys in bytes.
const runKey = 32

// followed has sources that follow from a key and a name, and not from the
// order in which they are used. Without a key there is none.
type followed struct{ key atomic.Pointer[[]byte] }

func (f *followed) follow(key []byte) {
	if key == nil {
		f.key.Store(nil)
		return
	}
	f.key.Store(&key)
}

// of returns the source of a name and a number, nil for none.
func (f *followed) of(name string, number uint64) io.Reader {
	key := f.key.Load()
	if key == nil {
		return nil
	}
	sum := hmac.New(sha256.New, *key)
	fmt.Fprintf(sum, "%s %d", name, number)
	return rand.NewChaCha8([32]byte(sum.Sum(nil)))
}

// ofRequest returns the source of a request that is recorded or replayed, nil
// for none.
func (f *followed) ofRequest(t *turn.Turn) io.Reader {
	if t == nil || t.Number == 0 {
		return nil
	}
	return f.of("request", t.Number)
}

// drawsFrom returns what a request draws from: in a run, a source of its own.
func (b *Backend) drawsFrom(ctx context.Context) io.Reader {
	t := turn.Of(ctx)
	if t == nil {
		return b.random
	}
	if t.Random == nil {
		if t.Random = b.drawn.ofRequest(t); t.Random == nil {
			t.Random = b.random
		}
	}
	return t.Random
}

// drawsForItem returns what an item draws from that is due at a time.
func (b *Backend) drawsForItem(name func() string, at time.Time) io.Reader {
	if b.drawn.key.Load() == nil {
		return b.random
	}
	return b.drawn.of("due "+name(), uint64(at.UnixNano()))
}

// Read fills b; it never fails.
func (r *random) Read(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.source.Read(b)
}

// uuidFrom draws a version 4 UUID.
func uuidFrom(r io.Reader) string { return uuid.Must(uuid.NewRandomFromReader(r)).String() }

// textFrom draws n letters and digits.
func textFrom(r io.Reader, n int) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	b := make([]byte, n)
	_, _ = io.ReadFull(r, b) // never fails
	for i := range b {
		b[i] = letters[int(b[i])%len(letters)]
	}
	return string(b)
}

// starts counts, under one key, the starts with a source of random numbers that
// repeats.
var (
	starts   = &store.Table[uint64]{Name: "starts"}
	startKey = []byte("starts")
)

// countStart makes a random source that repeats draw other values than at the
// previous start, if the data file has been used.
func (b *Backend) countStart() error {
	if !b.random.fixed {
		return nil
	}
	return b.db.Update(func(tx *store.Tx) error {
		if clocks.Empty(tx) && !action.Holds(tx, b.generations.Load()) {
			return nil
		}
		n := clocks.Drawn(tx) // how a file of format 1 counted
		before, err := starts.Get(tx, startKey)
		if before != nil {
			n = *before
		}
		n++
		b.random.become(b.random.atStart(n))
		return errors.Join(err, starts.Put(tx, startKey, &n))
	})
}
