package backend

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ssmlocal/server/account"
	"ssmlocal/server/action"
	"ssmlocal/server/seed"
	"ssmlocal/store"
)

// opened returns a backend with a log that can be read. Nothing runs in the
// background.
func opened(t *testing.T, data string) (*Backend, *bytes.Buffer) {
	t.Helper()
	log := new(bytes.Buffer)
	b, err := New(Config{Data: data, Log: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Open(); err != nil {
		t.Fatal(err)
	}
	return b, log
}

// put imports a state.
func put(t *testing.T, b *Backend, text string) {
	t.Helper()
	if _, err := b.Import(t.Context(), seed.Text("body", []byte(text)), 0); err != nil {
		t.Fatal(err)
	}
}

func exported(t *testing.T, b *Backend) string {
	t.Helper()
	b.scheduler.CatchUp(t.Context(), b.Clock.Now())
	out := b.NewSpool()
	defer out.Close()
	if err := b.Export(t.Context(), out, 0); err != nil {
		t.Fatal(err)
	}
	r, err := out.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestStateThatIsNotTakenIsTakenBack lets a replacement fail after it was
// written for the next start, at a moment when nothing can be written. When
// writes work again, the next start finds the present state, and nothing of it
// was removed.
func TestStateThatIsNotTakenIsTakenBack(t *testing.T) {
	dir := t.TempDir()
	b, _ := opened(t, dir)
	put(t, b, `accounts: [{uin: 5, secrets: [{secretName: a, secretString: x}]}]`)
	before := exported(t, b)
	present := b.generations.Load().Of(5)

	b.Enter() // a call that does not end
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() {
		_, err := b.Import(ctx, seed.Text("body", []byte(`accounts: [{uin: 6, secrets: [{secretName: c, secretString: x}]}]`)), 0)
		failed <- err
	}()
	for written := false; !written; {
		g, err := action.ReadGenerations(b.db)
		if err != nil {
			t.Fatal(err)
		}
		written = g.Of(5) != present
	}
	file := filepath.Join(dir, store.FileName)
	if err := os.Rename(file, file+".away"); err != nil {
		t.Skip("the file can't be moved while it is open: ", err)
	}
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) && !strings.Contains(err.Error(), "canceled") {
		t.Errorf("the import: %v", err)
	}
	if err := os.Rename(file+".away", file); err != nil {
		t.Fatal(err)
	}
	b.Leave()
	if !b.takeBackAtLast(t.Context()) {
		t.Fatal("it was given up")
	}
	if err := b.collectOnce(t.Context()); err != nil {
		t.Error(err)
	}
	if text := exported(t, b); text != before {
		t.Errorf("afterwards there is\n%s", text)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b, _ = opened(t, dir)
	defer b.Close()
	if text := exported(t, b); text != before {
		t.Errorf("after the next start there is\n%s, before there was\n%s", text, before)
	}
}

// TestUnreadableRoleHidesNoOther breaks the record of one role: the other
// account's role is there, its own account does not get every role because of
// that, and the log says so.
func TestUnreadableRoleHidesNoOther(t *testing.T) {
	b, log := opened(t, "")
	defer b.Close()
	put(t, b, `accounts: [{uin: 5, roles: [{roleName: a}, {roleName: b}]}, {uin: 6, roles: [{roleName: c, bound: true}]}]`)
	raw := &store.Table[int]{Name: roles.Name}
	g := b.generations.Load()
	err := b.db.Update(func(tx *store.Tx) error {
		number := 7
		return raw.Put(tx, append(action.AccountKey(5, g.Of(5)), "a"...), &number)
	})
	if err != nil {
		t.Fatal(err)
	}
	if bound := b.BoundRoles(); len(bound) != 1 || bound[0].Name != "c" {
		t.Errorf("the roles of the instance are %v", bound)
	}
	if !strings.Contains(log.String(), "can't be read") {
		t.Errorf("the log has %s", log)
	}
	find := func(uin uint64, name string) (account.Role, error) {
		var role account.Role
		err := b.db.View(func(tx *store.Tx) (err error) {
			role, err = findRole(tx, g, uin, action.Identity{Uin: uin, Role: name})
			return err
		})
		return role, err
	}
	for name, known := range map[string]bool{"a": false, "b": true, "other": false} {
		if _, err := find(5, name); (err == nil) != known {
			t.Errorf("the role %s: %v", name, err)
		}
	}
	if _, err := find(6, "c"); err != nil {
		t.Error(err)
	}
	out := b.NewSpool()
	defer out.Close()
	if err := b.Export(t.Context(), out, 0); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("an export without the role: %v", err)
	}
	if err := b.Export(t.Context(), out, 6); err != nil {
		t.Errorf("an export of the other account: %v", err)
	}
}
