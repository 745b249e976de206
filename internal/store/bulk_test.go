package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/order"
	"github.com/evcs/evcs/internal/store"
	"github.com/evcs/evcs/internal/store/storetest"
	"github.com/evcs/evcs/internal/tariff"
)

// A row that only the end of the transaction finds impossible is its own
// member's failure, not that of the batch.
func TestAWaitingRowThatCannotBeHarmsNobodyElse(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		const n = 40
		results := make([]error, n)
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				results[i] = db.Gather(t.Context(), func(tx *store.Tx) error {
					if err := emit(fmt.Sprintf("test.%d", i))(tx); err != nil {
						return err
					}
					if i%4 != 1 {
						return nil
					}
					return tx.Orders().SetLines(t.Context(), &order.Order{ID: 4711, Tenant: 1}, []tariff.Line{{Kind: tariff.KindEnergy, Amount: 1}})
				})
			})
		}
		wg.Wait()
		want := 0
		for i, err := range results {
			switch {
			case i%4 == 1 && !errors.Is(err, store.ErrReferenced):
				t.Errorf("%d: lines of an order that is not there: %v", i, err)
			case i%4 != 1 && err != nil:
				t.Errorf("%d: %v", i, err)
			case i%4 != 1:
				want++
			}
		}
		if _, err := db.Sequence(t.Context(), 100); err != nil {
			t.Fatal(err)
		}
		events, err := db.Reader().EventsAfter(t.Context(), 0, 1000)
		if err != nil || len(events) != want {
			t.Fatalf("%d events, %v; want %d", len(events), err, want)
		}
		for i, e := range events {
			if e.ID != evcs.EventID(i+1) {
				t.Errorf("event %d has the place %d", i+1, e.ID)
			}
		}
	})
}

// What waits is seen by whoever asks for it within the transaction.
func TestWaitingRowsAreReadBack(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		x := &order.Session{UID: "S1", Tenant: 1, Charger: 1, Connector: 1, Protocol: "OCPP16", State: order.SessionActive, StartedAt: time.UnixMilli(1000).UTC()}
		var first, second []evcs.Sample
		err := db.Transact(ctx, func(tx *store.Tx) error {
			orders := tx.Orders()
			if err := orders.InsertSession(ctx, x); err != nil {
				return err
			}
			for i := range 3 {
				kept := x.Read(evcs.Sample{At: time.UnixMilli(int64(2000 + 1000*i)), Have: evcs.HasRegister, Register: evcs.Energy(100 + i)}, 60_000)
				if fresh, err := orders.AddSample(ctx, x, kept); err != nil || !fresh {
					return fmt.Errorf("reading %d: new %v, %w", i, fresh, err)
				}
			}
			var err error
			if first, err = orders.Curve(ctx, x); err != nil {
				return err
			}
			again := first[1]
			if fresh, err := orders.AddSample(ctx, x, again); err != nil || fresh {
				return fmt.Errorf("a reading of a moment that has one: new %v, %w", fresh, err)
			}
			return orders.UpdateReading(ctx, x)
		})
		if err != nil {
			t.Fatal(err)
		}
		if second, err = db.Reader().Orders().Curve(ctx, x); err != nil {
			t.Fatal(err)
		}
		if len(first) != 3 {
			t.Errorf("%d readings within the transaction, want 3", len(first))
		}
		if diff := cmp.Diff(first, second); diff != "" {
			t.Errorf("after the commit (-within +after):\n%s", diff)
		}
	})
}

// The relay's events come from memory or from the table: they must be the same.
func TestEventsFromMemoryAreThoseOfTheTable(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := context.WithoutCancel(t.Context())
		const n = 1600 // two events each: more than memory holds
		var wg sync.WaitGroup
		for w := range 10 {
			wg.Go(func() {
				for i := range n / 10 {
					e := evcs.Event{Type: "test.kept", Time: evcs.FromMillis(int64(i + 1)), Tenant: 1, Charger: evcs.ChargerID(w), Data: []byte(`{"a":1}`)}
					if err := db.Gather(ctx, func(tx *store.Tx) error {
						if err := tx.Emit(ctx, e); err != nil {
							return err
						}
						e.Type = "test.more"
						return tx.Emit(ctx, e)
					}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		for given := 1; given > 0; {
			var err error
			if given, err = db.Source().Sequence(ctx, 500); err != nil {
				t.Fatal(err)
			}
		}
		for _, after := range []evcs.EventID{0, 17, 2*n - 2048, 2*n - 300, 2*n - 1, 2 * n} {
			got, err := db.Source().EventsAfter(ctx, after, 100)
			if err != nil {
				t.Fatal(err)
			}
			want, err := db.Reader().EventsAfter(ctx, after, 100)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("behind %d (-table +memory):\n%s", after, diff)
			}
		}
	})
}
