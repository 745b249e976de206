package store_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/store"
	"github.com/evcs/evcs/internal/store/storetest"
)

func emit(typ string) func(*store.Tx) error {
	return func(tx *store.Tx) error {
		return tx.Emit(context.Background(), evcs.Event{Type: typ, Time: time.UnixMilli(1), Tenant: 1, Data: []byte(`{}`)})
	}
}

func TestEventsGetTheirPlaceAfterTheCommit(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		boom := errors.New("boom")
		err := db.Transact(ctx, func(tx *store.Tx) error {
			if err := emit("lost")(tx); err != nil {
				return err
			}
			return boom
		})
		if !errors.Is(err, boom) {
			t.Fatalf("the function's error came back as %v", err)
		}
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 5 {
					if err := db.Gather(ctx, emit("kept")); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		for given := 1; given > 0; { // PostgreSQL's; SQLite's writer has done it
			var err error
			if given, err = db.Sequence(ctx, 7); err != nil {
				t.Fatal(err)
			}
		}
		for _, who := range []*evcs.Actor{nil, {Tenant: 999}} { // places are everybody's, also behind row security
			if oldest, newest, err := db.Reader().EventBounds(evcs.WithActor(ctx, who)); err != nil || oldest != 1 || newest != 40 {
				t.Errorf("to %+v the places go from %d to %d, %v; want 1 to 40", who, oldest, newest, err)
			}
		}
		events, err := db.Reader().EventsAfter(ctx, 3, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if len(events) != 37 || events[0].ID != 4 || events[36].ID != 40 {
			t.Errorf("after 3 come %d events, the first %d", len(events), events[0].ID)
		}
		for _, e := range events {
			if e.Type != "kept" {
				t.Errorf("event %d is %q: what was rolled back was published", e.ID, e.Type)
			}
		}
	})
}

func TestOneFailingMemberHarmsNobody(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		bad := errors.New("bad")
		var wg sync.WaitGroup
		for i := range 60 {
			wg.Go(func() {
				err := db.Gather(ctx, func(tx *store.Tx) error {
					if err := emit("x")(tx); err != nil {
						return err
					}
					switch i % 3 {
					case 0:
						return bad
					case 1:
						panic("a defect")
					}
					return nil
				})
				if (err == nil) != (i%3 == 2) {
					t.Errorf("member %d: %v", i, err)
				}
			})
		}
		wg.Wait()
		if _, err := db.Sequence(ctx, 100); err != nil {
			t.Fatal(err)
		}
		if events, err := db.Reader().EventsAfter(ctx, 0, 100); err != nil || len(events) != 20 || events[19].ID != 20 {
			t.Errorf("%d events survived, %v; want 20", len(events), err)
		}
	})
}

func TestStaleIsRunAgain(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		runs := 0
		err := db.Transact(t.Context(), func(tx *store.Tx) error {
			runs++
			if runs < 3 {
				return evcs.ErrStale
			}
			return emit("third")(tx)
		})
		if err != nil || runs != 3 {
			t.Errorf("%d runs, %v", runs, err)
		}
		runs = 0
		err = db.Transact(t.Context(), func(*store.Tx) error { runs++; return evcs.ErrStale })
		if !errors.Is(err, evcs.ErrStale) || runs != 4 {
			t.Errorf("%d runs, %v", runs, err)
		}
	})
}

func TestAClosedStoreRefuses(t *testing.T) {
	t.Parallel()
	db, err := store.Open(t.Context(), store.Config{URL: storetest.SQLiteURL(t)})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if code, _, _ := evcs.Classify(db.Transact(t.Context(), emit("x"))); code != evcs.CodeServiceUnavailable {
		t.Errorf("a closed store answers %d", code)
	}
}

func TestSchemaIsMigratedOnce(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		state, err := db.Schema(t.Context())
		if err != nil || !state.Current() {
			t.Fatalf("schema %+v, %v", state, err)
		}
		applied, err := db.Migrate(t.Context())
		if err != nil || len(applied) != 0 {
			t.Errorf("a second migration applied %v, %v", applied, err)
		}
	})
}
