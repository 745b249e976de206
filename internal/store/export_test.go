package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/station"
)

// Meddle changes rows behind the nouns' backs, as somebody with the database
// in his hands could.
func Meddle(ctx context.Context, db *DB, statement string) error {
	return db.Transact(ctx, func(tx *Tx) error {
		_, err := tx.q.exec(ctx, "meddle", statement)
		return err
	})
}

// Look runs a query behind the store's back.
func Look(ctx context.Context, db *DB, query string, scan func(*sql.Rows) error) error {
	return db.Reader().q.each(ctx, "look", scan, query)
}

// Snapshot runs fn in a snapshot, with a way to run queries there.
func Snapshot(ctx context.Context, db *DB, fn func(look func(query string) error) error) error {
	return db.snapshot(ctx, func(q querier) error {
		return fn(func(query string) error {
			return q.rows(ctx, "look", func(row) error { return nil }, query)
		})
	})
}

// Rows reads as lists do, below database/sql on SQLite.
func Rows(ctx context.Context, db *DB, query string, scan func(scan func(dest ...any) error) error, args ...any) error {
	return db.Reader().q.rows(ctx, "look", func(r row) error { return scan(r.Scan) }, query, args...)
}

// LedgerTexts are the questions about the journal that a night asks, by name,
// with a number for each bind.
func LedgerTexts() map[string]string {
	texts := map[string]string{"newest postings": newestPostings}
	for i, q := range gapQueries(evcs.Only(1)) {
		texts[fmt.Sprint("gaps ", i, " ", q.subject)] = q.text
	}
	for name, text := range texts {
		texts[name] = strings.ReplaceAll(text, "?", "1")
	}
	return texts
}

// NearTexts are the searches around a point by the index that serves each.
func NearTexts() map[string]string {
	one, all := owners{scope: evcs.Only(2), few: []evcs.TenantID{2}}, owners{scope: evcs.Subtree(1)}
	texts := make(map[string]string)
	add := func(index string, f filter, query string) {
		texts[index] = strings.ReplaceAll(query+f.where(), "?", "1")
	}
	box := station.Box{North: stripeHeight}
	for end, o := range map[string]owners{"": all, "_tenant": one} {
		f, query := o.shownStations(box)
		add("stations_near"+end, f, query)
		f, query = o.shownChargers(box, station.NearFilter{ChargerTypes: []int{1, 3}})
		add("chargers_near"+end, f, query)
		f, query = o.shownChargers(box, station.NearFilter{Available: true})
		add("chargers_idle"+end, f, query)
	}
	return texts
}
