package server

import (
	crand "crypto/rand"
	"math/rand/v2"
	"sync"

	"github.com/google/uuid"
)

// random is the one source of everything that is drawn: request ids, ids of resources, passwords. It is safe for
// concurrent use.
type random struct {
	mu     sync.Mutex
	source *rand.ChaCha8
}

func newRandom() *random {
	var seed [32]byte
	_, _ = crand.Read(seed[:]) // never fails
	return &random{source: rand.NewChaCha8(seed)}
}

// Read fills b; it never fails.
func (r *random) Read(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.source.Read(b)
}

// uuid draws a version 4 UUID.
func (r *random) uuid() string { return uuid.Must(uuid.NewRandomFromReader(r)).String() }
