package main

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"

	_ "github.com/jackc/pgx/v5/stdlib" // the PostgreSQL driver
	_ "modernc.org/sqlite"             // the SQLite driver

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/evcs"
)

// createDatabase makes an empty database and returns its URL and the way to
// drop it.
func createDatabase(ctx context.Context, server string, clock evcs.Clock) (dsn string, drop func(), err error) {
	drop = func() {}
	u, err := url.Parse(server)
	if err != nil {
		return "", drop, fmt.Errorf("address of the PostgreSQL server: %w", err)
	}
	db, err := sql.Open("pgx", server)
	if err != nil {
		return "", drop, fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	name := fmt.Sprintf("evcs_torture_%d", clock.Now().UnixMilli())
	if _, err := db.ExecContext(ctx, "CREATE DATABASE "+name); err != nil {
		return "", func() { _ = db.Close() }, fmt.Errorf("create a database: %w", err) // given up
	}
	u.Path = "/" + name
	return u.String(), func() {
		// The caller's context may be over; the database is dropped all the same.
		_, _ = db.ExecContext(context.WithoutCancel(ctx), "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)") // temporary
		_ = db.Close()                                                                                     // given up
	}, nil
}

// openDatabase opens what evcsd has left behind, after it has stopped.
func (t *torture) openDatabase() (*sql.DB, error) {
	if t.engine == postgres {
		return sql.Open("pgx", t.daemon.DSN)
	}
	files, err := filepath.Glob(filepath.Join(t.daemon.Dir, "*.db"))
	if err != nil || len(files) != 1 {
		return nil, fmt.Errorf("%d databases in %s, want one (%w)", len(files), t.daemon.Dir, err)
	}
	return sql.Open(sqlite, "file:"+files[0]+"?mode=ro&_pragma=busy_timeout(10000)")
}

// sandboxState is what the sandbox and the platform hold of a payment that is
// not paid in time, for the report.
func (t *torture) sandboxState(ctx context.Context, tradeNo string) string {
	db, err := t.openDatabase()
	if err != nil {
		return err.Error()
	}
	defer db.Close() // only read
	var state, outcome string
	var notifyAt, notified, version, status, asked, queries int64
	err = db.QueryRowContext(ctx, `SELECT b.state, b.outcome, b.notify_at, b.notified, b.version, p.status, p.last_query_at, p.queries
		FROM sandbox_trades b JOIN payments p ON p.trade_no = b.trade_no WHERE b.trade_no = '`+tradeNo+"'").
		Scan(&state, &outcome, &notifyAt, &notified, &version, &status, &asked, &queries)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("the sandbox has it %s, %s, notified %d times, to be notified at %d, version %d; the platform %d, asked %d times, last at %d; now it is %d",
		state, outcome, notified, notifyAt, version, status, queries, asked, t.clock.Now().UnixMilli())
}

// compareJournal has the platform compare its journal with everything that it
// books, and with its seals.
func (v *verifier) compareJournal(ctx context.Context) error {
	const wide = "?tenantScope=" + api.ScopeSubtree
	var complete api.LedgerCompleteness
	if err := v.admin.Do(ctx, http.MethodGet, "/api/ledger/completeness"+wide, "", nil, &complete); err != nil {
		return err
	}
	for _, g := range complete.Gaps {
		v.check(false, wrongMoney, "%s %s is booked with %s, not %s", g.Subject, g.Name, g.Booked, g.Expected)
	}
	var verified api.LedgerVerified
	if err := v.admin.Do(ctx, http.MethodGet, "/api/ledger/verify"+wide, "", nil, &verified); err != nil {
		return err
	}
	for _, c := range verified.Tenants {
		v.check(c.Valid, changed, "the journal of tenant %d: %+v", c.TenantID, c.Problems)
	}
	return nil
}

// leftBehind looks into the database of an evcsd that has stopped.
func (v *verifier) leftBehind(ctx context.Context) error {
	db, err := v.openDatabase()
	if err != nil {
		return fmt.Errorf("open the database: %w", err)
	}
	defer db.Close() // only read
	for _, step := range []func(context.Context, *sql.DB) error{v.balances, v.notices, v.keptBills} {
		if err := step(ctx, db); err != nil {
			return err
		}
	}
	return nil
}

// balances proves the journal: every entry adds up to zero, and the accounts
// say what the orders and payments say.
func (v *verifier) balances(ctx context.Context, db *sql.DB) error {
	var crooked, bodyless int64
	err := db.QueryRowContext(ctx, `SELECT COUNT(*) FROM (SELECT entry_id FROM postings GROUP BY entry_id HAVING SUM(amount) <> 0) AS crooked`).
		Scan(&crooked)
	if err != nil {
		return fmt.Errorf("read the journal: %w", err)
	}
	err = db.QueryRowContext(ctx, `SELECT COUNT(*) FROM journal j WHERE NOT EXISTS (SELECT 1 FROM postings p WHERE p.entry_id = j.id)`).
		Scan(&bodyless)
	if err != nil {
		return fmt.Errorf("read the journal: %w", err)
	}
	v.check(crooked == 0 && bodyless == 0, unbalanced, "%d entries do not balance, %d have no postings", crooked, bodyless)
	var offs int
	if err := db.QueryRowContext(ctx, `SELECT COUNT(*) FROM journal WHERE kind = 'WRITTEN_OFF'`).Scan(&offs); err != nil {
		return fmt.Errorf("read the journal: %w", err)
	}
	v.check(offs >= v.writtenOff, unbalanced, "%d differences are written off, the journal has %d entries", v.writtenOff, offs)
	v.check(offs <= v.writtenOff, doubled, "%d differences are written off, the journal has %d entries", v.writtenOff, offs)
	return v.accounts(ctx, db)
}

func (v *verifier) accounts(ctx context.Context, db *sql.DB) error {
	rows, err := db.QueryContext(ctx, `SELECT a.kind, SUM(p.amount) FROM postings p JOIN accounts a ON a.id = p.account_id GROUP BY a.kind`)
	if err != nil {
		return fmt.Errorf("read the accounts: %w", err)
	}
	defer rows.Close() // Err tells
	sums, total := map[string]int64{}, int64(0)
	for rows.Next() {
		var kind string
		var sum int64
		if err := rows.Scan(&kind, &sum); err != nil {
			return fmt.Errorf("read the accounts: %w", err)
		}
		sums[kind] = sum
		total += sum
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read the accounts: %w", err)
	}
	v.check(total == 0, unbalanced, "the accounts add up to %d fen", total)
	v.check(sums["RECEIVABLE"] == v.payable, wrongMoney, "journal: drivers owe %d fen, orders say %d", sums["RECEIVABLE"], v.payable)
	held := sums["CLEARING"] + sums["FEE"] + sums["BANK"] + sums["WRITE_OFF"]
	v.check(held == v.paid-v.refunded, wrongMoney, "journal: the channel holds %d fen, payments less refunds are %d", held, v.paid-v.refunded)
	v.check(sums["REFUND_PAYABLE"] == 0, wrongMoney, "journal: %d fen are promised back and have not left", sums["REFUND_PAYABLE"])
	v.s.WrittenOff = api.Money(-sums["WRITE_OFF"]).String()
	return nil
}
