package backend

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestUnfinishedSnapshotsAreRemoved starts where another process was killed
// while it wrote a snapshot.
func TestUnfinishedSnapshotsAreRemoved(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	b, _ := opened(t, data)
	if _, err := b.SaveSnapshot(t.Context(), "new-state", 0); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(data, "snapshots", "new-123")
	if err := os.WriteFile(left, []byte("secretString: hunter2"), 0o600); err != nil {
		t.Fatal(err)
	}
	b, _ = opened(t, data)
	defer b.Close()
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("it is still there: %v", err)
	}
	if all, err := b.Snapshots(); err != nil || len(all) != 1 || all[0].Name != "new-state" {
		t.Errorf("the snapshots are %+v, %v", all, err)
	}
}

// TestSnapshotsInMemoryHaveALimit keeps states until there is no room. A
// snapshot that is replaced makes room for its successor.
func TestSnapshotsInMemoryHaveALimit(t *testing.T) {
	t.Parallel()
	s := newSnapshots("")
	keep := func(name string, bytes int) error {
		return s.keepInMemory(Snapshot{Name: name, Bytes: int64(bytes)}, strings.NewReader(strings.Repeat("x", bytes)), 100)
	}
	for _, c := range []struct {
		name  string
		bytes int
		fits  bool
	}{{"a", 60, true}, {"b", 41, false}, {"b", 40, true}, {"a", 61, false}, {"a", 60, true}, {"c", 1, false}} {
		if err := keep(c.name, c.bytes); (err == nil) != c.fits {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
