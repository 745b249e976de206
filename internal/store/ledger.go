package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/ledger"
)

// Ledger keeps the journal: rows are added, never changed.
type Ledger struct{ q querier }

// Ledger is the journal within the transaction.
func (tx *Tx) Ledger() ledger.Store { return Ledger{tx.q} }

// Ledger reads the journal.
func (r Reader) Ledger() Ledger { return Ledger{r.q} }

var errBooked = errors.New("booked already")

// Append implements ledger.Store.
func (l Ledger) Append(ctx context.Context, scope evcs.Scope, e ledger.Entry) error {
	id, err := l.q.number(ctx, "append to journal", errBooked, `
		INSERT INTO journal (tenant_id, key, kind, at, order_id, payment_id, refund_id, memo, sandbox, booked_at, phase, refers)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (tenant_id, key) DO NOTHING RETURNING id`,
		whole(scope.Tenant), words(e.Key), words(e.Kind), moment(e.At), whole(e.Order), whole(e.Payment), whole(e.Refund), words(e.Memo), truth(e.Sandbox),
		moment(l.q.bulk.clock.Now()), words(cmp.Or(e.Phase, ledger.Posted)), words(e.Refers))
	if errors.Is(err, errBooked) {
		return nil
	}
	if err != nil {
		return err
	}
	for i, p := range e.Postings {
		if err := l.post(ctx, scope, id, i+1, p, e.At); err != nil {
			return err
		}
	}
	return nil
}

// post writes one posting; the account is opened when it is the first.
func (l Ledger) post(ctx context.Context, scope evcs.Scope, entry int64, line int, p ledger.Posting, at time.Time) error {
	account, err := l.q.bulk.accounts.find(ctx, l.q, accountKey{scope.Tenant, p.Account})
	if err != nil {
		return err
	}
	if account != 0 {
		l.q.bulk.add(bulkPostings, whole(entry), whole(line), whole(scope.Tenant), whole(account), whole(p.Amount))
		return nil
	}
	for range 2 {
		n, err := l.q.exec(ctx, "post", `
			INSERT INTO postings (entry_id, line_no, tenant_id, account_id, amount)
			SELECT CAST(? AS BIGINT), CAST(? AS BIGINT), tenant_id, id, CAST(? AS BIGINT) FROM accounts WHERE tenant_id = ? AND kind = ? AND name = ?`,
			entry, line, p.Amount, scope.Tenant, p.Account.Kind, p.Account.Name)
		if err != nil || n > 0 {
			return err
		}
		l.q.bulk.opened = true
		if _, err := l.q.exec(ctx, "open account", `
			INSERT INTO accounts (tenant_id, kind, name, created_at) VALUES (?, ?, ?, ?) ON CONFLICT (tenant_id, kind, name) DO NOTHING`,
			scope.Tenant, p.Account.Kind, p.Account.Name, evcs.Millis(at)); err != nil {
			return err
		}
	}
	return fmt.Errorf("post to %s: %w", p.Account, evcs.ErrStale)
}

// Balance implements ledger.Store.
func (l Ledger) Balance(ctx context.Context, scope evcs.Scope, a ledger.Account, before time.Time) (evcs.Money, error) {
	var sum evcs.Money
	err := l.q.one(ctx, "read balance", nil, []any{&sum}, `
		SELECT CAST(COALESCE(SUM(p.amount), 0) AS BIGINT) FROM accounts a JOIN postings p ON p.account_id = a.id JOIN journal j ON j.id = p.entry_id
		WHERE a.tenant_id = ? AND a.kind = ? AND a.name = ? AND j.at < ?`,
		scope.Tenant, a.Kind, a.Name, evcs.Millis(before))
	return sum, err
}

// Entry implements ledger.Store.
func (l Ledger) Entry(ctx context.Context, scope evcs.Scope, key string) (*ledger.Entry, error) {
	in, tenant := scopeCond("j.tenant_id", scope)
	list, err := l.q.entries(ctx, "read entry", `SELECT `+entryColumns+`, a.kind, a.name, p.amount FROM journal j
		LEFT JOIN postings p ON p.entry_id = j.id LEFT JOIN accounts a ON a.id = p.account_id WHERE `+in+` AND j.key = ? ORDER BY j.id, p.line_no`, tenant, key)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return &list[0], nil
}

// Moved implements ledger.Store.
func (l Ledger) Moved(ctx context.Context, scope evcs.Scope, a ledger.Account, kinds []ledger.Kind, from, to time.Time) (evcs.Money, error) {
	f := ofAccount(scope, a)
	among(&f, "j.kind", kinds)
	f.within("j.at", evcs.Millis(from), evcs.Millis(to))
	var sum evcs.Money
	err := l.q.one(ctx, "read movement", nil, []any{&sum}, `SELECT CAST(COALESCE(SUM(p.amount), 0) AS BIGINT) FROM `+lineTables+f.where(), f.args...)
	return sum, err
}

// TrialBalance adds up every account of the scope by what happened before a
// moment.
func (l Ledger) TrialBalance(ctx context.Context, scope evcs.Scope, before time.Time) (ledger.Trial, error) {
	trial := ledger.Trial{}
	err := l.q.each(ctx, "read trial balance", func(rows *sql.Rows) error {
		var b ledger.Balance
		if err := rows.Scan(&b.Account.Kind, &b.Account.Name, &b.Debit, &b.Credit); err != nil {
			return err
		}
		trial = append(trial, b)
		return nil
	}, `
		SELECT a.kind, a.name,
			CAST(COALESCE(SUM(p.amount) FILTER (WHERE p.amount > 0), 0) AS BIGINT), CAST(COALESCE(-SUM(p.amount) FILTER (WHERE p.amount < 0), 0) AS BIGINT)
		FROM accounts a JOIN postings p ON p.account_id = a.id JOIN journal j ON j.id = p.entry_id
		WHERE a.`+moneyWithin(scope)+` AND j.at < ? GROUP BY a.kind, a.name ORDER BY a.kind, a.name`, scope.Tenant, evcs.Millis(before))
	return trial, err
}

// EntriesOf lists the entries of an order, oldest first.
func (l Ledger) EntriesOf(ctx context.Context, scope evcs.Scope, o evcs.OrderID) ([]ledger.Entry, error) {
	return l.q.entries(ctx, "read entries of order", `SELECT `+entryColumns+`, a.kind, a.name, p.amount
		FROM journal j JOIN postings p ON p.entry_id = j.id JOIN accounts a ON a.id = p.account_id
		WHERE j.`+moneyWithin(scope)+` AND j.order_id = ? AND j.order_id <> 0 ORDER BY j.id, p.line_no`, scope.Tenant, o)
}

// moneyWithin is the condition that keeps rows within the scope; it takes the
// scope's tenant as its one argument.
func moneyWithin(scope evcs.Scope) string {
	if scope.Descendants {
		return `tenant_id IN (SELECT tenant_id FROM tenant_ancestors WHERE ancestor_id = ?)`
	}
	return `tenant_id = ?`
}
