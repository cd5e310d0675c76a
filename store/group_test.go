package store

import (
	"errors"
	"testing"
)

// TestFailedWriteOfAGroupIsTold commits writers together, one of which breaks
// the transaction of all: each then gets its own result.
func TestFailedWriteOfAGroupIsTold(t *testing.T) {
	type record struct{ Name string }
	table := &Table[record]{Name: "records"}
	db, err := OpenTemp(table)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	refused := errors.New("refused")
	breaks := func(tx *Tx) error {
		tx.undo = append(tx.undo, change{}) // taking it back panics
		return refused
	}
	panics := 0
	group := []*write{
		{do: func(*Tx) error { return refused }, turn: make(chan bool, 1)},
		{do: func(tx *Tx) error { return table.Put(tx, []byte("kept"), &record{"kept"}) }, turn: make(chan bool, 1)},
		{do: func(*Tx) error {
			if panics++; panics == 1 {
				panic("once")
			}
			return nil
		}, turn: make(chan bool, 1)},
		{do: breaks, turn: make(chan bool, 1)},
	}
	db.mu.Lock()
	db.waiting, db.committing = group, true
	db.mu.Unlock()
	db.lead()
	if err := group[3].err; !errors.Is(err, ErrDamaged) {
		t.Errorf("the writer that breaks it: %v", err)
	}
	if err := group[0].err; !errors.Is(err, refused) {
		t.Errorf("a writer that fails: %v", err)
	}
	if group[1].err != nil || group[2].err != nil || group[2].panics != nil {
		t.Errorf("writers that succeed: %v, %v, %v", group[1].err, group[2].err, group[2].panics)
	}
	err = db.View(func(tx *Tx) error {
		if kept, err := table.Get(tx, []byte("kept")); kept == nil {
			t.Errorf("what was written is gone, %v", err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
