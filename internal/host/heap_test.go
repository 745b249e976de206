package host

import (
	"context"
	"errors"
	"testing"
)

const mib = 1 << 20

func TestTheCollectorFollowsTheHeap(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		live, allocated uint64
		want            int
	}{
		{0, 0, 100},
		{10 * mib, 0, 100},
		{24 * mib, 0, 100},
		{40 * mib, 0, 60},
		{80 * mib, 0, 30},
		{1000 * mib, 0, 30},
		{80 * mib, 8 * mib, 30},
		{80 * mib, 16 * mib, 60},
		{80 * mib, 500 * mib, 100}, // busy
	} {
		var h Heap
		if !h.retune(c.live, c.allocated) || h.percent != c.want {
			t.Errorf("%d MiB in use, %d a second: %d percent, want %d", c.live/mib, c.allocated/mib, h.percent, c.want)
		}
	}
	var h Heap
	h.retune(40*mib, 0)
	if h.retune(41*mib, 0) || h.percent != 60 {
		t.Errorf("a small change is followed: %d percent", h.percent)
	}
	if !h.retune(60*mib, 0) || h.percent != 40 {
		t.Errorf("a change is not followed: %d percent", h.percent)
	}
}

func TestMemoryIsGivenBackWhenItIsQuiet(t *testing.T) {
	t.Parallel()
	var h Heap
	allocs := uint64(0)
	for n, c := range []struct {
		allocated, live uint64
		want            bool
	}{
		{30 * mib, 20 * mib, false}, // the start
		{mib / 10, 20 * mib, false}, // quiet for a second
		{mib / 10, 20 * mib, true},
		{mib / 10, 20 * mib, false}, // nothing more to give
		{40 * mib, 20 * mib, false}, // a burst
		{2 * mib, 20 * mib, false},
		{mib, 20 * mib, false},
		{mib, 20 * mib, true},
		{9 * mib, 100 * mib, false},
		{mib, 100 * mib, false},
		{mib, 100 * mib, false}, // a big heap is not collected for so little
	} {
		allocs += c.allocated
		if _, got := h.look(usage{live: c.live, allocs: allocs}); got != c.want {
			t.Errorf("second %d: given back %v, want %v", n+1, got, c.want)
		}
	}
}

func TestTheRuntimeTellsWhatTheHeapNeeds(t *testing.T) {
	t.Parallel()
	if u := measure(); u.allocs == 0 {
		t.Error("the runtime says that nothing was ever allocated")
	}
}

func TestTheHeapIsLookedAtUntilTheEnd(t *testing.T) {
	t.Parallel()
	ctx, end := context.WithCancelCause(t.Context())
	end(errors.New("over"))
	if err := new(Heap).Run(ctx); err != nil {
		t.Errorf("the end is an error: %v", err)
	}
}
