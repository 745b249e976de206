package store_test

import (
	"errors"
	"testing"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/order"
	"github.com/evcs/evcs/internal/store"
	"github.com/evcs/evcs/internal/store/storetest"
)

// What a transaction did not wait for is found before its commit.
func TestWhatIsNotWaitedForIsProven(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx, only := t.Context(), evcs.Only(1)
		at := time.Date(2026, 2, 10, 2, 0, 0, 0, time.UTC)
		made := &order.Session{UID: "u", Tenant: 1, Station: 1, Charger: 1, Connector: 1, State: order.SessionActive, DeviceKey: "k", CreatedAt: at, UpdatedAt: at}
		if err := db.Transact(ctx, func(tx *store.Tx) error { return tx.Orders().InsertSession(ctx, made) }); err != nil {
			t.Fatal(err)
		}

		// Another state: the first text moves no row, the second does.
		runs := 0
		if err := db.Transact(ctx, store.Afresh(func(tx *store.Tx) error {
			runs++
			x, err := tx.Orders().Session(ctx, only, "u")
			if err != nil {
				return err
			}
			x.State, x.Energy = order.SessionSuspended, 42
			if err := tx.Orders().UpdateReading(ctx, x); err != nil {
				return err
			}
			return emit("test.moved")(tx)
		})); err != nil {
			t.Fatal(err)
		}
		x, err := db.Reader().Orders().Session(ctx, only, "u")
		if err != nil || x.State != order.SessionSuspended || x.Energy != 42 || x.Version != 2 {
			t.Fatalf("%+v, %v after %d runs", x, err, runs)
		}
		if want := map[string]int{"sqlite": 1, "postgres": 2}[db.Engine()]; runs != want {
			t.Errorf("%d runs, want %d", runs, want)
		}

		// An old version: nothing of the transaction stays, whatever fn says.
		for name, end := range map[string]error{"it ends well": nil, "it refuses": order.ErrState} {
			err := db.Transact(ctx, store.Afresh(func(tx *store.Tx) error {
				old := *x
				old.Version, old.Energy = 1, 7
				if err := emit("test.undone")(tx); err != nil {
					return err
				}
				if err := tx.Orders().UpdateReading(ctx, &old); err != nil {
					return err
				}
				return end
			}))
			if !errors.Is(err, evcs.ErrStale) {
				t.Errorf("%s: %v, want stale", name, err)
			}
		}
		if _, err := db.Sequence(ctx, 100); err != nil {
			t.Fatal(err)
		}
		events, err := db.Reader().EventsAfter(ctx, 0, 100)
		if err != nil || len(events) != 1 || events[0].Type != "test.moved" {
			t.Errorf("%d events %v, %v; want the one of what moved", len(events), events, err)
		}
		if x, err = db.Reader().Orders().Session(ctx, only, "u"); err != nil || x.Energy != 42 {
			t.Errorf("%v, %v: what was undone is there", x.Energy, err)
		}
	})
}
