package backend

import (
	"context"
	"errors"
	"os"
	"slices"
	"sync"

	"ssmlocal/server/account"
	"ssmlocal/server/action"
	"ssmlocal/server/clock"
	"ssmlocal/server/seed"
	"ssmlocal/server/ssm"
	"ssmlocal/store"
)

// Export writes the whole state, or that of one account, as of one moment.
func (b *Backend) Export(ctx context.Context, out *Spool, uin uint64) error {
	work := b.works.begin("export", b.log)
	defer work.end()
	for try := 0; ; try++ {
		if try == 2 { // others replace the state all the time
			free, err := b.scheduler.Exclusive(ctx)
			if err != nil {
				return err
			}
			defer free()
		}
		// Each pair takes 50 ms, and nobody waits for them. If the state is
		// replaced meanwhile, the new one may lack other pairs, and an export
		// must be complete.
		err := action.MakeKeyPairs(ctx, b.db, b.generations.Load(), uin)
		if err == nil {
			err = b.exportOnce(ctx, out, uin, work)
		}
		if !errors.Is(err, action.ErrNoKeyPair) {
			return err
		}
		if err := out.Reset(); err != nil {
			return err
		}
	}
}

func (b *Backend) exportOnce(ctx context.Context, out *Spool, uin uint64, work *work) error {
	b.scheduler.CatchUp(ctx, b.Clock.Now())
	free, err := b.scheduler.Still(ctx)
	if err != nil {
		return err
	}
	b.stateLock.RLock()
	unlock := sync.OnceFunc(func() { b.stateLock.RUnlock(); free() })
	defer unlock()
	g, virtual, faults := b.generations.Load(), b.scheduler.State(), b.Faults.Rest(uin)
	if uin != 0 {
		virtual = clock.State{}
	}
	return b.db.View(func(tx *store.Tx) error {
		unlock() // from here on the transaction has what is exported
		stored, err := storedCredentials(tx, g, 0)
		if uin != 0 {
			stored = slices.DeleteFunc(stored, func(c account.Credential) bool { return c.Uin != uin })
			b.warnUnreadable(err) // it may be another account's
			err = nil
		}
		roles, err2 := rolesOf(tx, g, uin)
		if err := errors.Join(err, err2); err != nil {
			return err
		}
		w := &counting{seed.NewWriter(out, virtual, stored, roles, faults), ctx, work}
		if err := action.Read(tx, g, uin, w); err != nil {
			return err
		}
		return w.Close()
	})
}

// counting counts the secrets that are exported, and ends with ctx.
type counting struct {
	*seed.Writer
	ctx  context.Context
	work *work
}

// Secret writes a secret.
func (c *counting) Secret(uin uint64, h *ssm.SecretSnapshot) error {
	c.work.add(1)
	if err := c.ctx.Err(); err != nil {
		return err
	}
	return c.Writer.Secret(uin, h)
}

// FileName is the data file's name in the data directory.
const FileName = store.FileName

// Backup returns a consistent copy of the data file, while writes go on. The
// caller closes it and calls remove.
func (b *Backend) Backup(ctx context.Context) (f *os.File, remove func(), err error) {
	work := b.works.begin("backup", b.log)
	defer work.end()
	return b.db.Copy(ctx)
}

// NewSpool returns an empty spool in the place for temporary files: the data
// directory, if there is one.
func (b *Backend) NewSpool() *Spool { return &Spool{dir: b.data} }
