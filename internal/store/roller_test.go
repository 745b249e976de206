package store_test

import (
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/evcs/evcs/internal/store"
	"github.com/evcs/evcs/internal/store/storetest"
)

// Two nodes that roll the same rows at the same time, behind row security on
// PostgreSQL, add each of them once.
func TestTwoNodesRollEachRowOnce(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		plant(t, db)
		n := 0
		rapid.Check(t, func(r *rapid.T) {
			if n++; n > 5 {
				return // five worlds are enough: each is a race of its own
			}
			w := newFiguresWorld(t, r, db, "n"+string(rune('a'+n)))
			for left := 1; left > 0; {
				var err error
				left, err = w.roller.Zones(t.Context())
				must(t, err)
			}
			for range 20 {
				w.start(r)
				w.stop(r)
				w.pay(r)
			}
			var nodes sync.WaitGroup
			var faults [2]error
			for i := range faults {
				roller := store.NewRoller(db, 3)
				nodes.Go(func() {
					for left := 1; left > 0 && faults[i] == nil; {
						left, faults[i] = roller.Roll(t.Context(), w.now.Add(48*time.Hour))
					}
				})
			}
			nodes.Wait()
			if diff := cmp.Diff([2]error{}, faults); diff != "" {
				r.Fatal(diff)
			}
			w.compare(r)
		})
		left, err := store.NewRoller(db, 100).Roll(t.Context(), day.AddDate(10, 0, 0))
		must(t, err)
		if left > 0 {
			t.Errorf("%d rows were left", left)
		}
	})
}
