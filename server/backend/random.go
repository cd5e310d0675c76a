package backend

import (
	crand "crypto/rand"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"sync"

	"github.com/google/uuid"

	"ssmlocal/server/action"
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

// save returns the position in the sequence; restore goes back to one.
func (r *random) save() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	text, _ := r.source.MarshalBinary() // never fails
	return text
}

func (r *random) restore(text []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(text) == 0 {
		return nil
	}
	return r.source.UnmarshalBinary(text)
}

// Read fills b; it never fails.
func (r *random) Read(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.source.Read(b)
}

// uuid draws a version 4 UUID.
func (r *random) uuid() string { return uuid.Must(uuid.NewRandomFromReader(r)).String() }

// text draws n letters and digits.
func (r *random) text(n int) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	b := make([]byte, n)
	_, _ = r.Read(b)
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
