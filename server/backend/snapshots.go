package backend

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"ssmlocal/server/seed"
)

// snapshots are states that were kept under a name: seeds in the data
// directory, or in memory if there is none. They hold every value.
type snapshots struct {
	dir string // "" keeps them in memory

	mu     sync.Mutex
	memory map[string]keptState
}

type keptState struct {
	text []byte
	at   time.Time
}

// A Snapshot says what is kept under a name.
type Snapshot struct {
	Name    string    `json:"name"`
	SavedAt time.Time `json:"savedAt"` // wall time
	Bytes   int64     `json:"bytes"`
}

// maxSnapshots is how many are kept: they are whole states.
const maxSnapshots = 100

// maxInMemory is how much they have together, in bytes, if there is no data
// directory.
const maxInMemory = 256 << 20

// snapshotName is what a name may be: a file's name everywhere.
var snapshotName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

const snapshotEnding = ".yaml"

// CheckSnapshotName refuses what can't name a snapshot.
func CheckSnapshotName(name string) error {
	if !snapshotName.MatchString(name) {
		return Refusal{Invalid, "a snapshot's name has 1 to 64 letters, digits, dots, hyphens and underscores, and begins with a letter or a digit"}
	}
	return nil
}

func newSnapshots(data string) *snapshots {
	s := &snapshots{memory: map[string]keptState{}}
	if data != "" {
		s.dir = filepath.Join(data, "snapshots")
	}
	return s
}

// unfinished is the pattern of the names of files that are being written.
const unfinished = "new-*"

// removeUnfinished removes what a process left that ended while it wrote a
// snapshot: it has values in it. The data file must be open, so that no other
// process writes one.
func (s *snapshots) removeUnfinished() {
	left, _ := filepath.Glob(filepath.Join(s.dir, unfinished))
	for _, name := range left {
		if !strings.HasSuffix(name, snapshotEnding) {
			_ = os.Remove(name)
		}
	}
}

func (s *snapshots) file(name string) string { return filepath.Join(s.dir, name+snapshotEnding) }

// SaveSnapshot keeps the present state, all of it or one account's, under a
// name. A snapshot of that name is replaced.
func (b *Backend) SaveSnapshot(ctx context.Context, name string, uin uint64) (Snapshot, error) {
	if err := CheckSnapshotName(name); err != nil {
		return Snapshot{}, err
	}
	all, err := b.Snapshots()
	if err != nil {
		return Snapshot{}, err
	}
	known := slices.ContainsFunc(all, func(s Snapshot) bool { return s.Name == name })
	if len(all) >= maxSnapshots && !known {
		return Snapshot{}, Refusal{Conflict, fmt.Sprintf("there are %d snapshots already; delete one first", maxSnapshots)}
	}
	out := b.NewSpool()
	defer out.Close()
	if err := b.Export(ctx, out, uin); err != nil {
		return Snapshot{}, err
	}
	from, err := out.Open()
	if err != nil {
		return Snapshot{}, err
	}
	defer from.Close()
	kept := Snapshot{name, b.Clock.Wall().UTC(), out.Size()}
	if b.snapshots.dir == "" {
		return kept, b.snapshots.keepInMemory(kept, from, maxInMemory)
	}
	return kept, b.snapshots.keep(name, from)
}

// keepInMemory keeps a snapshot if there is room for it.
func (s *snapshots) keepInMemory(kept Snapshot, from io.Reader, most int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	room := most
	for name, other := range s.memory {
		if name != kept.Name {
			room -= int64(len(other.text))
		}
	}
	if kept.Bytes > room {
		return Refusal{Conflict, fmt.Sprintf("the snapshot has %d bytes, and there is room for %d in memory; delete others, or start with --data DIR", kept.Bytes, max(0, room))}
	}
	text, err := io.ReadAll(from) // of a spool, which makes nobody wait long
	if err == nil {
		s.memory[kept.Name] = keptState{text, kept.SavedAt}
	}
	return err
}

func (s *snapshots) keep(name string, from io.Reader) error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return fmt.Errorf("cannot make the directory of snapshots: %w", err)
	}
	f, err := os.CreateTemp(s.dir, unfinished) // mode 0600
	if err != nil {
		return fmt.Errorf("cannot write the snapshot: %w", err)
	}
	_, err = io.Copy(f, from)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), s.file(name))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("cannot write the snapshot: %w", err), os.Remove(f.Name()))
	}
	return nil
}

// Snapshots lists what is kept, by name.
func (b *Backend) Snapshots() ([]Snapshot, error) {
	s, all := b.snapshots, []Snapshot{}
	if s.dir == "" {
		s.mu.Lock()
		defer s.mu.Unlock()
		for name, kept := range s.memory {
			all = append(all, Snapshot{name, kept.at, int64(len(kept.text))})
		}
	} else {
		entries, err := os.ReadDir(s.dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("cannot read the directory of snapshots: %w", err)
		}
		for _, e := range entries {
			name, is := strings.CutSuffix(e.Name(), snapshotEnding)
			info, err := e.Info()
			if is && err == nil && info.Mode().IsRegular() && snapshotName.MatchString(name) {
				all = append(all, Snapshot{name, info.ModTime().UTC(), info.Size()})
			}
		}
	}
	slices.SortFunc(all, func(a, b Snapshot) int { return cmp.Compare(a.Name, b.Name) })
	return all, nil
}

// Snapshot is the source of a snapshot.
func (b *Backend) Snapshot(name string) (*seed.Source, error) {
	if err := CheckSnapshotName(name); err != nil {
		return nil, err
	}
	open, err := b.snapshots.opener(name)
	if err != nil {
		return nil, err
	}
	return seed.Bytes("snapshot "+name, open), nil
}

// OpenSnapshot reads a snapshot as the seed that it is.
func (b *Backend) OpenSnapshot(name string) (io.ReadCloser, error) {
	if err := CheckSnapshotName(name); err != nil {
		return nil, err
	}
	open, err := b.snapshots.opener(name)
	if err != nil {
		return nil, err
	}
	return open()
}

func (s *snapshots) opener(name string) (func() (io.ReadCloser, error), error) {
	none := Refusal{NotFound, fmt.Sprintf("there is no snapshot %s; GET /_ssmlocal/snapshots lists them", name)}
	if s.dir == "" {
		s.mu.Lock()
		defer s.mu.Unlock()
		kept, is := s.memory[name]
		if !is {
			return nil, none
		}
		return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(kept.text)), nil }, nil
	}
	if info, err := os.Stat(s.file(name)); err != nil || !info.Mode().IsRegular() {
		return nil, none
	}
	return func() (io.ReadCloser, error) { return os.Open(s.file(name)) }, nil
}

// LoadSnapshot puts a snapshot in place of the state, or with a Uin what it has
// of that account in place of the account's.
func (b *Backend) LoadSnapshot(ctx context.Context, name string, uin uint64) (seed.Counts, error) {
	source, err := b.Snapshot(name)
	if err != nil {
		return seed.Counts{}, err
	}
	sources := []*seed.Source{source}
	if uin != 0 {
		sources = seed.Of(uin, sources)
	}
	return b.replace(ctx, "load", sources, uin, b.random)
}

// DiffSnapshot says how the present state, or another snapshot, differs from a
// snapshot.
func (b *Backend) DiffSnapshot(ctx context.Context, name, with string) (seed.Changes, error) {
	before, err := b.Snapshot(name)
	if err != nil {
		return seed.Changes{}, err
	}
	if with != "" {
		after, err := b.Snapshot(with)
		if err != nil {
			return seed.Changes{}, err
		}
		return b.compare(ctx, []*seed.Source{before}, []*seed.Source{after}, 0)
	}
	present, remove, err := b.present(ctx, 0)
	if err != nil {
		return seed.Changes{}, err
	}
	defer remove()
	return b.compare(ctx, []*seed.Source{before}, []*seed.Source{present}, 0)
}

// DeleteSnapshot forgets a snapshot.
func (b *Backend) DeleteSnapshot(name string) error {
	if _, err := b.Snapshot(name); err != nil {
		return err
	}
	s := b.snapshots
	if s.dir != "" {
		if err := os.Remove(s.file(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("cannot remove the snapshot: %w", err)
		}
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.memory, name)
	return nil
}
