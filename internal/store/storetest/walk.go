package storetest

import (
	"context"
	"database/sql"
	"fmt"
	"regexp"
	"slices"
	"strings"

	_ "modernc.org/sqlite" // the driver
)

// growing are the tables that grow with every charging. Nothing that is asked by
// the minute or by a user may walk one.
var growing = []string{
	"orders", "sessions", "payments", "refunds", "samples", "frames", "order_lines", "order_timeline", "journal", "postings",
	"payment_events", "callbacks", "outbox", "audit", "commands", "alert_history", "webhook_deliveries",
}

var (
	named  = regexp.MustCompile(`(?i)\b(?:FROM|JOIN|UPDATE|INTO)\s+(\w+)(?:\s+(?:AS\s+)?(\w+))?`)
	walked = regexp.MustCompile(`^SCAN (\w+)(?: USING (?:COVERING )?INDEX (\w+))?`)
)

// Walks explains queries to the SQLite database at path and lists those that
// walk a growing table, other than through an index of few of its rows.
func Walks(ctx context.Context, path string, queries []string) ([]string, error) {
	db, err := sql.Open("sqlite", "file:"+path+"?mode=ro")
	if err != nil {
		return nil, err
	}
	defer db.Close() // nothing was written
	var list []string
	for _, query := range queries {
		tables := make(map[string]string)
		for _, m := range named.FindAllStringSubmatch(query, -1) {
			tables[m[1]] = m[1]
			if m[2] != "" {
				tables[m[2]] = m[1]
			}
		}
		steps, err := steps(ctx, db, query)
		if err != nil {
			return nil, fmt.Errorf("%w in %s", err, query)
		}
		for _, step := range steps {
			m := walked.FindStringSubmatch(step)
			if m == nil || !slices.Contains(growing, tables[m[1]]) {
				continue
			}
			few, err := partial(ctx, db, m[2])
			if err != nil {
				return nil, err
			}
			if !few {
				list = append(list, step+" in "+strings.Join(strings.Fields(query), " "))
			}
		}
	}
	return list, nil
}

// partial reports whether an index holds few of its table's rows.
func partial(ctx context.Context, db *sql.DB, index string) (bool, error) {
	var n int
	err := db.QueryRowContext(ctx, `SELECT COUNT(*) FROM sqlite_master WHERE name = ? AND sql LIKE '% WHERE %'`, index).Scan(&n)
	return n > 0, err
}

func steps(ctx context.Context, db *sql.DB, query string) ([]string, error) {
	args := make([]any, strings.Count(query, "?")) // all NULL: the plan does not depend on them
	rows, err := db.QueryContext(ctx, `EXPLAIN QUERY PLAN `+query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close() // Err is what counts
	var list []string
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			return nil, err
		}
		list = append(list, detail)
	}
	return list, rows.Err()
}
