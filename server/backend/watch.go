package backend

import (
	"context"
	"errors"
	"os"
	"time"

	"ssmlocal/server/seed"
)

// watchEvery is how often seed files are polled: not every mounted file system
// reports changes.
const watchEvery = 500 * time.Millisecond

// A stamp is a file's modification time and size, by which a change is seen.
type stamp struct {
	changed time.Time
	size    int64
}

// watchSeeds adds the seed files that change to the state, until ctx ends: what
// both have is then as the file says, and everything else stays. The clock
// stays too. A file with a mistake changes nothing, and is tried again when it
// changes.
func (b *Backend) watchSeeds(ctx context.Context) {
	seen := b.stamps()
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := b.stamps()
		sources, err := b.seeds.load()
		if err != nil {
			continue // it is being replaced, say
		}
		for _, s := range sources {
			if at, is := now[s.Name]; is && at != seen[s.Name] {
				if !b.reapply(ctx, s) {
					now[s.Name] = seen[s.Name] // it is tried again
				}
			}
		}
		seen = now
	}
}

// stamps are those of all seed files.
func (b *Backend) stamps() map[string]stamp {
	all := map[string]stamp{}
	sources, _ := b.seeds.load()
	for _, s := range sources {
		if info, err := os.Stat(s.Name); err == nil {
			all[s.Name] = stamp{info.ModTime(), info.Size()}
		}
	}
	return all
}

// reapply adds a seed file that has changed to the state. It returns false if
// that can succeed later, with the same file.
func (b *Backend) reapply(ctx context.Context, s *seed.Source) (over bool) {
	counts, err := b.Merge(ctx, s.WithoutClock(), 0)
	var refused Refusal
	switch {
	case ctx.Err() != nil:
	case errors.As(err, &refused) && refused.Kind == Busy:
		b.log.Warn("a seed file has changed and can't be applied now; trying again", "file", s.Name, "reason", err.Error())
		return false
	case err != nil:
		b.log.Warn("a seed file has changed and can't be applied", "file", s.Name, "reason", err.Error())
	default:
		b.log.Info("a seed file has changed and is applied; what it doesn't name stays", "file", s.Name, "secrets", counts.Secrets)
	}
	return true
}
