package store_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/store"
	"github.com/evcs/evcs/internal/store/storetest"
)

// Members of one batch fail and panic beside others that do not: each gets its
// own answer, and exactly what was told to be done is there.
func TestFailingMemberHarmsNobody(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		const n = 120
		refused := errors.New("refused")
		results := make([]error, n)
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				results[i] = db.Gather(t.Context(), func(tx *store.Tx) error {
					e := evcs.Event{Type: fmt.Sprintf("test.%d", i), Time: evcs.FromMillis(1), Tenant: 1, Data: []byte("{}")}
					if err := tx.Emit(t.Context(), e); err != nil {
						return err
					}
					switch i % 10 {
					case 3:
						return refused
					case 7:
						panic("defect")
					}
					return nil
				})
			})
		}
		wg.Wait()
		for i, err := range results {
			switch i % 10 {
			case 3:
				if !errors.Is(err, refused) {
					t.Errorf("%d: %v", i, err)
				}
			case 7:
				if err == nil {
					t.Errorf("%d: a defect was answered as done", i)
				}
			default:
				if err != nil {
					t.Errorf("%d: %v", i, err)
				}
			}
		}
		if _, err := db.Sequence(t.Context(), 10*n); err != nil {
			t.Fatal(err)
		}
		events, err := db.Reader().EventsAfter(t.Context(), 0, 10*n)
		if err != nil {
			t.Fatal(err)
		}
		seen := make(map[string]int)
		for _, e := range events {
			seen[e.Type]++
		}
		for i := range n {
			want := 1
			if i%10 == 3 || i%10 == 7 {
				want = 0
			}
			if got := seen[fmt.Sprintf("test.%d", i)]; got != want {
				t.Errorf("event %d is there %d times, want %d", i, got, want)
			}
		}
	})
}
