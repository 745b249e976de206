package store_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/order"
	"github.com/evcs/evcs/internal/store"
	"github.com/evcs/evcs/internal/store/storetest"
)

// The questions that are asked at every start, for every list and for every
// dashboard never walk a whole table of orders, sessions, payments or refunds,
// nor sort it.
func TestBigTablesAreReadThroughIndexes(t *testing.T) {
	t.Parallel()
	db := storetest.SQLite(t)
	plant(t, db)
	in := `IN (SELECT tenant_id FROM tenant_ancestors WHERE ancestor_id = 1)`
	for name, query := range map[string]string{
		"newest of a tenant":   `SELECT o.id, o.amount FROM orders o WHERE o.tenant_id = 2 ORDER BY o.id DESC LIMIT 20`,
		"behind a place":       `SELECT o.id, o.amount FROM orders o WHERE o.tenant_id = 2 AND (o.id) < (900) ORDER BY o.id DESC LIMIT 20`,
		"by status":            `SELECT o.id, o.amount FROM orders o WHERE o.tenant_id = 2 AND o.status IN (10) ORDER BY o.id DESC LIMIT 20`,
		"by station":           `SELECT o.id, o.amount FROM orders o WHERE o.station_id = 3 AND o.tenant_id = 2 ORDER BY o.id DESC LIMIT 20`,
		"by charger":           `SELECT o.id, o.amount FROM orders o WHERE o.charger_id = 3 AND o.tenant_id = 2 ORDER BY o.id DESC LIMIT 20`,
		"sessions of a tenant": `SELECT s.id, s.energy FROM sessions s WHERE s.tenant_id = 2 ORDER BY s.id DESC LIMIT 20`,
		"unrolled orders":      `SELECT COUNT(*) FROM orders o WHERE o.tenant_id ` + in + ` AND NOT o.rolled AND o.started_at + 0 >= 5`,
		"unrolled sessions":    `SELECT s.energy FROM sessions s WHERE s.tenant_id ` + in + ` AND NOT s.rolled AND s.started_at + 0 < 5`,
		"unrolled running":     `SELECT COUNT(*) FROM sessions s WHERE s.state IN ('ACTIVE', 'SUSPENDED') AND NOT s.rolled AND s.tenant_id ` + in,
		"unrolled payments":    `SELECT SUM(p.amount) FROM payments p WHERE p.tenant_id ` + in + ` AND NOT p.rolled AND p.paid_at > 0`,
		"unrolled refunds":     `SELECT SUM(r.amount) FROM refunds r WHERE r.tenant_id ` + in + ` AND NOT r.rolled AND r.status = 2`,
	} {
		plan := planOf(t.Context(), t, db, query)
		for _, line := range plan {
			table := strings.Contains(line, "SCAN o") || strings.Contains(line, "SCAN s") || strings.Contains(line, "SCAN p") || strings.Contains(line, "SCAN r")
			if table || strings.Contains(line, "USE TEMP B-TREE FOR ORDER BY") {
				t.Errorf("%s: %s", name, strings.Join(plan, "; "))
			}
		}
		if strings.HasPrefix(name, "unrolled") && !strings.Contains(strings.Join(plan, "\n"), "_unrolled") {
			t.Errorf("%s: %s", name, strings.Join(plan, "; "))
		}
	}
}

// One order is found by its key, its tenant by the closure's, and neither is
// sorted for it.
func TestOneOrderIsReadByKeys(t *testing.T) {
	t.Parallel()
	var text string
	db, err := store.Open(t.Context(), store.Config{URL: storetest.SQLiteURL(t), Statements: func(query string) {
		if strings.Contains(query, "FROM orders o") {
			text = query
		}
	}})
	must(t, err)
	defer db.Close() // a temporary database
	plant(t, db)
	if _, err := db.Reader().Orders().ListedOrder(t.Context(), evcs.Subtree(evcs.PlatformTenant), 1); !errors.Is(err, order.ErrNotFound) {
		t.Fatal(err)
	}
	plan := strings.Join(planOf(t.Context(), t, db, strings.ReplaceAll(text, "?", "1")), "; ")
	if !strings.Contains(plan, "SEARCH o USING INTEGER PRIMARY KEY") || !strings.Contains(plan, "(tenant_id=? AND ancestor_id=?)") || strings.Contains(plan, "TEMP B-TREE") {
		t.Error(plan)
	}
}

// A search around a point finds all it needs in an index made for it, at the
// places that are asked for.
func TestSearchesNearbyReadOneIndex(t *testing.T) {
	t.Parallel()
	db := storetest.SQLite(t)
	for index, query := range store.NearTexts() {
		plan := planOf(t.Context(), t, db, query)
		longitude := "longitude"
		if strings.HasSuffix(index, "_tenant") {
			longitude = "<expr>"
		}
		if want := "INDEX " + index + " (<expr>=? AND " + longitude + ">? AND " + longitude + "<?)"; len(plan) == 0 || !strings.HasSuffix(plan[0], want) {
			t.Errorf("%s: %s", index, strings.Join(plan, "; "))
		}
	}
}

// The count of running orders of a place and what else is found among much name
// their indexes.
func TestPlacesAreReadThroughTheirIndexes(t *testing.T) {
	t.Parallel()
	db := storetest.SQLite(t)
	for index, query := range map[string]string{
		"sessions_charger":     `SELECT s.id, s.energy FROM sessions s WHERE +s.tenant_id = 2 AND s.charger_id = 3 ORDER BY s.id DESC LIMIT 20`,
		"payments_trade":       `SELECT p.id FROM payments p WHERE +p.tenant_id = 2 AND p.channel = 'wechat' AND p.trade_no IN ('a', 'b', 'c')`,
		"refunds_no":           `SELECT r.id FROM refunds r JOIN payments p ON p.id = r.payment_id WHERE +r.tenant_id = 2 AND r.channel = 'wechat' AND r.refund_no IN ('a', 'b', 'c')`,
		"orders_tenant_status": `SELECT COUNT(*) FROM chargers c JOIN orders o ON o.charger_id = c.id AND o.status = 0 WHERE c.station_id = 3 AND o.tenant_id = 2`,
	} {
		if plan := strings.Join(planOf(t.Context(), t, db, query), "; "); !strings.Contains(plan, index) {
			t.Errorf("%s is not used: %s", index, plan)
		}
	}
}

// What is asked about the journal by night finds an entry by its order or its
// time, and never sorts.
func TestTheJournalIsReadThroughItsIndexes(t *testing.T) {
	t.Parallel()
	db := storetest.SQLite(t)
	for name, query := range store.LedgerTexts() {
		plan := strings.Join(planOf(t.Context(), t, db, query), "; ")
		index := "journal_order"
		if name == "newest postings" || strings.HasSuffix(name, "ENTRY") {
			index = "journal_time"
		}
		if !strings.Contains(plan, index) || strings.Contains(plan, "SCAN j") || strings.Contains(plan, "SCAN p") || strings.Contains(plan, "TEMP B-TREE") {
			t.Errorf("%s: %s", name, plan)
		}
	}
}

func planOf(ctx context.Context, t *testing.T, db *store.DB, query string) []string {
	t.Helper()
	var list []string
	if err := store.Look(ctx, db, `EXPLAIN QUERY PLAN `+query, func(rows *sql.Rows) error {
		var id, parent, unused int
		var detail string
		err := rows.Scan(&id, &parent, &unused, &detail)
		list = append(list, detail)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return list
}
