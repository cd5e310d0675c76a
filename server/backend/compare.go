package backend

import (
	"context"
	"errors"
	"fmt"

	"ssmlocal/server/action"
	"ssmlocal/server/seed"
)

// States beside the present one: what a seed would change, and what it would
// be together with the present state.

// Preview says what an import would change, or a merge. Nothing is changed.
func (b *Backend) Preview(ctx context.Context, source *seed.Source, uin uint64, merge bool) (seed.Changes, error) {
	present, remove, err := b.present(ctx, uin)
	if err != nil {
		return seed.Changes{}, err
	}
	defer remove()
	after := []*seed.Source{source}
	if merge {
		if after, err = b.together(ctx, present, source, uin); err != nil {
			return seed.Changes{}, err
		}
	}
	return b.compare(ctx, []*seed.Source{present}, after, uin)
}

// mostMerges is how often a merge is tried while calls change the state.
const mostMerges = 10

// errEdited is why a merge is tried again.
var errEdited = errors.New("the state has changed")

// edited must be called when anything has changed that a seed can say, by
// whoever holds the state lock, the scheduler's turn or its Exclusive.
func (b *Backend) edited() { b.edits.Add(1) }

// Merge adds a seed to the present state: what both have is as the seed says,
// everything else stays, also what calls change meanwhile. If they never stop
// changing it, the error is a Refusal.
func (b *Backend) Merge(ctx context.Context, source *seed.Source, uin uint64) (seed.Counts, error) {
	for range mostMerges {
		counts, err := b.mergeOnce(ctx, source, uin)
		if !errors.Is(err, errEdited) {
			return counts, err
		}
	}
	return seed.Counts{}, Refusal{Busy, fmt.Sprintf(
		"calls changed the state during each of %d attempts, so nothing was merged; try it again while fewer calls write", mostMerges,
	)}
}

// mergeOnce merges, unless the state changes between its export and the end.
func (b *Backend) mergeOnce(ctx context.Context, source *seed.Source, uin uint64) (seed.Counts, error) {
	before := b.edits.Load()
	present, remove, err := b.present(ctx, uin)
	if err != nil {
		return seed.Counts{}, err
	}
	defer remove()
	both, err := b.together(ctx, present, source, uin)
	if err != nil {
		return seed.Counts{}, err
	}
	return b.replaceIf(ctx, "merge", both, uin, b.random, func() error {
		if b.edits.Load() != before {
			return errEdited
		}
		return nil
	})
}

// together is a state with a seed added to it.
func (b *Backend) together(ctx context.Context, present, source *seed.Source, uin uint64) ([]*seed.Source, error) {
	rules, err := b.rules(uin)
	if err != nil {
		return nil, err
	}
	sheet, state, err := seed.Summarize(ctx, []*seed.Source{source}, rules)
	if err != nil {
		return nil, refusedState(err)
	}
	return []*seed.Source{present.Without(sheet, state), source}, nil
}

// compare says how one state differs from another.
func (b *Backend) compare(ctx context.Context, before, after []*seed.Source, uin uint64) (seed.Changes, error) {
	ctx, cancel := b.While(ctx)
	defer cancel()
	rules, err := b.rules(uin)
	if err != nil {
		return seed.Changes{}, err
	}
	old, _, err := seed.Summarize(ctx, before, rules)
	if err != nil {
		return seed.Changes{}, refusedState(err)
	}
	new, _, err := seed.Summarize(ctx, after, rules)
	return seed.Compare(old, new), refusedState(err)
}

// present is the present state as a source, which remove removes.
func (b *Backend) present(ctx context.Context, uin uint64) (s *seed.Source, remove func(), err error) {
	out := b.NewSpool()
	remove = func() { _ = out.Close() }
	if err := b.Export(ctx, out, uin); err != nil {
		remove()
		return nil, nil, err
	}
	return seed.Bytes("the present state", out.Open), remove, nil
}

// rules are what a state must obey.
func (b *Backend) rules(uin uint64) (seed.Rules, error) {
	known, err := knownToFaults()
	return seed.Rules{
		Wall: b.Clock.Wall(), Clock: b.Clock.State(), Uin: uin, DefaultUin: b.Directory.First().Uin,
		Faults: known, Operations: action.Operations(),
		IDTaken:      func(id string) (bool, error) { return b.idTaken(uin, id) },
		CheckBinding: b.instances.CheckOfState,
		Bound:        func(uin uint64, id string) bool { return b.instances.IsConfigured(uin, id) },
		FaultTaken:   func(id string) (bool, error) { return uin != 0 && b.Faults.Has(id, uin), nil },
	}, err
}
