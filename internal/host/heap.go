package host

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// Bounds of what the heap holds beyond what is in use.
const (
	// slack is how much garbage gathers before a collection in a process with
	// little to do: as much with many connections as with few, instead of as
	// much as is in use.
	slack = 24 << 20
	// spacing is for how many seconds the garbage of a busy process gathers.
	// Collections that came more often would take processors from the work.
	spacing = 3
	// Between these the collector's percentage follows: a big heap is not
	// collected all the time, a small one not more seldom than the runtime does.
	leastPercent, mostPercent = 30, 100
	// nudge is the change of the percentage that is worth a change.
	nudge = 10
	// calm is the allocation in a second up to which the process counts as
	// quiet, worth the allocation since the last return from which on a quiet
	// process gives its free memory back.
	calm  = 1 << 20
	worth = 8 << 20
)

// Heap keeps the memory of the process near what it uses. A burst (a sign-in's
// hash, ten thousand connections at once, an export) leaves garbage behind that
// the runtime would collect within two minutes and return later still.
type Heap struct {
	// Fixed leaves the collector's percentage to the operator, who set GOGC.
	Fixed bool

	percent int    // the collector's; 0: not set yet
	calm    int    // seconds of calm so far
	allocs  uint64 // in the process's life, when last looked
	given   uint64 // allocs, when memory was last given back
}

// usage is what the runtime says of its memory, in bytes.
type usage struct {
	live   uint64 // marked by the last collection, with stacks
	allocs uint64 // in the process's life
}

// Run looks every second until ctx ends, and returns nil then. It sets what is
// the whole process's, so a process runs one.
func (h *Heap) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		tune, tidy := h.look(measure())
		if tune && !h.Fixed {
			debug.SetGCPercent(h.percent)
		}
		if tidy {
			debug.FreeOSMemory()
		}
	}
}

// look judges what a second has brought: whether the collector's percentage is
// to change, and whether free memory is to be given back now.
func (h *Heap) look(u usage) (tune, tidy bool) {
	allocated := u.allocs - h.allocs
	h.allocs = u.allocs
	return h.retune(u.live, allocated), h.tidy(u, allocated)
}

// retune finds the percentage that lets the garbage of some seconds gather, and
// reports whether it is to change.
func (h *Heap) retune(live, allocated uint64) bool {
	percent := mostPercent
	if live > 0 {
		percent = int(min(max(max(slack, spacing*allocated)*100/live, leastPercent), mostPercent))
	}
	if d := percent - h.percent; h.percent != 0 && -nudge < d && d < nudge {
		return false
	}
	h.percent = percent
	return true
}

// tidy reports whether the process has been quiet for two seconds, and has
// allocated enough since memory was last given back to pay for a collection.
func (h *Heap) tidy(u usage, allocated uint64) bool {
	if allocated > calm {
		h.calm = 0
		return false
	}
	h.calm++
	if h.calm < 2 || u.allocs-h.given < max(worth, u.live/4) {
		return false
	}
	h.given = u.allocs
	return true
}

func measure() usage {
	s := []metrics.Sample{
		{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}, {Name: "/gc/heap/allocs:bytes"},
	}
	metrics.Read(s)
	of := func(i int) uint64 {
		if s[i].Value.Kind() != metrics.KindUint64 {
			return 0 // this runtime does not tell
		}
		return s[i].Value.Uint64()
	}
	return usage{live: of(0) + of(1), allocs: of(2)}
}
