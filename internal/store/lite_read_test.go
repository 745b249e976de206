package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/store"
	"github.com/evcs/evcs/internal/store/storetest"
)

// What is read below database/sql is what database/sql reads, for every kind of
// value and of place; what does not fit is refused by both.
func TestRowsScanAsDatabaseSQLDoes(t *testing.T) {
	t.Parallel()
	type number int64
	db := storetest.SQLite(t)
	places := []func() any{
		func() any { return new(int64) }, func() any { return new(int) }, func() any { return new(int8) }, func() any { return new(uint8) },
		func() any { return new(uint16) }, func() any { return new(string) }, func() any { return new(bool) }, func() any { return new(float64) },
		func() any { return new(evcs.TenantID) }, func() any { return new(number) }, func() any { return new(*number) }, func() any { return new(*string) },
		func() any { return new(*bool) }, func() any { return new(**int64) }, func() any { return new([]byte) },
		func() any { return new(sql.NullString) }, func() any { return new(sql.NullInt64) }, func() any { return new(any) },
		func() any { return new(map[string]int) },
	}
	for _, value := range []string{
		`0`, `1`, `-1`, `127`, `300`, `9223372036854775807`, `-9223372036854775807 - 1`, `NULL`, `''`, `'x'`, `'17'`, `'充电'`, `x'00ff'`, `x''`, `1.5`, `-3.25`, `zeroblob(3)`,
	} {
		for _, place := range places {
			direct, standard := place(), place()
			query := `SELECT ` + value
			got := store.Rows(t.Context(), db, query, func(scan func(...any) error) error { return scan(direct) })
			want := store.Look(t.Context(), db, query, func(r *sql.Rows) error { return r.Scan(standard) })
			if (got == nil) != (want == nil) {
				t.Errorf("%s into %T: %v, database/sql says %v", value, direct, got, want)
			} else if got == nil && !reflect.DeepEqual(direct, standard) {
				t.Errorf("%s into %T: %s", value, direct, cmp.Diff(standard, direct))
			}
		}
	}
	if err := store.Rows(t.Context(), db, `SELECT 1, 2`, func(scan func(...any) error) error { return scan(new(int)) }); err == nil {
		t.Error("two columns went into one place")
	}
}

func TestRowsAreGivenUpWithTheirContext(t *testing.T) {
	t.Parallel()
	const endless = `WITH RECURSIVE n(i) AS (SELECT ? UNION ALL SELECT i + 1 FROM n) SELECT i FROM n WHERE i < 0 OR i = 3`
	db := storetest.SQLite(t)
	ctx, cancel := context.WithCancel(t.Context())
	err := store.Rows(ctx, db, endless, func(scan func(...any) error) error {
		cancel() // the next row never comes
		return scan(new(int))
	}, 1)
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	if err := store.Rows(ctx, db, `SELECT 1`, func(func(...any) error) error { return errors.New("read") }); !errors.Is(err, context.Canceled) {
		t.Errorf("an ended context still reads: %v", err)
	}
	// The connections are as they were, and what scan says ends the reading.
	stop := errors.New("enough")
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			var n int
			err := store.Rows(t.Context(), db, `SELECT ? UNION ALL SELECT 2`, func(scan func(...any) error) error {
				return errors.Join(scan(&n), stop)
			}, i)
			if !errors.Is(err, stop) || n != i {
				t.Errorf("got %d and %v", n, err)
			}
		})
	}
	all.Wait()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := store.Rows(t.Context(), db, `SELECT 1`, func(func(...any) error) error { return nil }); !errors.Is(err, evcs.ErrUnavailable) {
		t.Errorf("a closed store says %v", err)
	}
}

func TestReadersChangeNothing(t *testing.T) {
	t.Parallel()
	db := storetest.SQLite(t)
	err := store.Rows(t.Context(), db, `UPDATE sequences SET next = next + 1`, func(func(...any) error) error { return nil })
	if !errors.Is(err, evcs.ErrUnavailable) { // read-only
		t.Errorf("a reader wrote: %v", err)
	}
	for i := range 500 { // more texts than are kept
		var n int
		if err := store.Rows(t.Context(), db, fmt.Sprintf(`SELECT %d`, i), func(scan func(...any) error) error { return scan(&n) }); err != nil || n != i {
			t.Fatalf("%d: %d, %v", i, n, err)
		}
	}
}
