package server_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"ssmlocal/server"
	"ssmlocal/server/journal"
	"ssmlocal/server/servertest"
)

// TestRandomSeedDrawsNothingTwice imports, is refused and restarts: no id that
// exists already is drawn again.
func TestRandomSeedDrawsNothingTwice(t *testing.T) {
	t.Parallel()
	seed, dir := uint64(7), t.TempDir()
	config := server.Config{RandomSeed: &seed, Data: dir}
	s := servertest.New(t, config)
	made := 0
	make1 := func() {
		made++
		if status, body := ask(t, s, "POST", "/accesskeysecrets", fmt.Sprintf(`{"secretName":"k%d","targetUin":%d}`, made, uint64(100000000100)+uint64(made))); status != http.StatusOK {
			t.Errorf("key %d: %s", made, body)
		}
		if err := s.Call("CreateSSHKeyPairSecret", map[string]any{"SecretName": fmt.Sprint("ssh", made), "ProjectId": 0}, nil); err != nil {
			t.Error(err)
		}
	}
	make1()
	putState(t, s, "", getState(t, s, ""))
	make1()
	putState(t, s, "", "not: a state")
	make1()
	s.Stop()
	s = servertest.New(t, config)
	make1()
	exported := getState(t, s, "")
	if status, body := putState(t, s, "", exported); status != http.StatusOK {
		t.Errorf("what was drawn can't be imported: %s", body)
	}
	ids := map[string]bool{}
	for line := range strings.Lines(exported) {
		if id, ok := strings.CutPrefix(strings.TrimSpace(line), "sshKeyId: "); ok {
			ids[id] = true
		}
	}
	if len(ids) != 4 {
		t.Errorf("%d ids of 4 SSH keys", len(ids))
	}
}

// TestEveryStartDrawsAnew starts on one data file with one random seed: no
// start repeats another, and the starts of two files give the same values.
func TestEveryStartDrawsAnew(t *testing.T) {
	t.Parallel()
	seed := uint64(42)
	starts := func() (ids []string) {
		dir := t.TempDir()
		for range 4 {
			s := servertest.New(t, server.Config{Data: dir, RandomSeed: &seed})
			_ = s.Call("CreateSecret", map[string]string{"SecretName": "a", "SecretString": "x"}, nil)
			ids = append(ids, s.Calls(journal.Filter{})[0].RequestID)
			s.Stop()
		}
		return ids
	}
	first := starts()
	if len(slices.Compact(slices.Sorted(slices.Values(first)))) != 4 {
		t.Errorf("two starts draw alike: %v", first)
	}
	if again := starts(); !slices.Equal(again, first) {
		t.Errorf("%v, then %v", first, again)
	}
}
