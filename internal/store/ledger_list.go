package store

import (
	"context"
	"database/sql"
	"slices"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/ledger"
)

// LedgerLists reads accounts, statements and entries for people.
type LedgerLists struct{ q querier }

// Lists are the lists of the journal.
func (l Ledger) Lists() LedgerLists { return LedgerLists(l) }

// Accounts are the accounts of the scope's tenants and what they held before a
// moment.
func (l LedgerLists) Accounts(ctx context.Context, scope evcs.Scope, before time.Time, r evcs.PageRequest) (evcs.Page[ledger.AccountState], error) {
	var f filter
	f.scope("a.tenant_id", scope)
	found, err := page(ctx, l.q, listing[ledger.AccountState]{
		what: "list accounts", columns: `a.id, a.tenant_id, a.kind, a.name, a.created_at`, from: `accounts a`, id: `a.id`,
		sorts: map[string]sortColumn{"account": {expr: `a.kind`, text: true}, "openedTime": {expr: `a.created_at`}},
		scan: func(r row) (ledger.AccountState, error) {
			var a ledger.AccountState
			var at int64
			err := r.Scan(&a.ID, &a.Tenant, &a.Account.Kind, &a.Account.Name, &at)
			a.Opened = evcs.FromMillis(at)
			return a, err
		},
	}, f, r)
	if err != nil || len(found.Records) == 0 {
		return found, err
	}
	return found, l.sums(ctx, scope, found.Records, before)
}

// sums adds up accounts.
func (l LedgerLists) sums(ctx context.Context, scope evcs.Scope, list []ledger.AccountState, before time.Time) error {
	var f filter
	f.scope("j.tenant_id", scope)
	at := make(map[int64]int, len(list))
	ids := make([]int64, len(list))
	for i := range list {
		at[list[i].ID], ids[i] = i, list[i].ID
	}
	among(&f, "p.account_id", ids)
	f.within("j.at", 0, evcs.Millis(before))
	return l.q.each(ctx, "add up accounts", func(rows *sql.Rows) error {
		var id int64
		var b ledger.Balance
		err := rows.Scan(&id, &b.Debit, &b.Credit)
		x := &list[at[id]]
		x.Debit, x.Credit = b.Debit, b.Credit
		return err
	}, `SELECT p.account_id, CAST(COALESCE(SUM(p.amount) FILTER (WHERE p.amount > 0), 0) AS BIGINT),
		CAST(COALESCE(-SUM(p.amount) FILTER (WHERE p.amount < 0), 0) AS BIGINT)
		FROM postings p JOIN journal j ON j.id = p.entry_id`+f.where()+` GROUP BY p.account_id`, f.args...)
}

const lineTables = `postings p JOIN accounts a ON a.id = p.account_id JOIN journal j ON j.id = p.entry_id`

func ofAccount(scope evcs.Scope, a ledger.Account) filter {
	var f filter
	f.scope("a.tenant_id", scope)
	f.add(`a.kind = ?`, string(a.Kind))
	f.add(`a.name = ?`, a.Name)
	return f
}

// Statement is a part of an account's statement, in the order of what happened,
// each line with the balance after it.
func (l LedgerLists) Statement(ctx context.Context, scope evcs.Scope, w ledger.StatementFilter, r evcs.PageRequest) (evcs.Page[ledger.Line], error) {
	f := ofAccount(scope, w.Account)
	f.within("j.at", evcs.Millis(w.From), evcs.Millis(w.To))
	found, err := page(ctx, l.q, listing[ledger.Line]{
		what: "read statement", columns: entryColumns + `, p.amount`, from: lineTables, id: `j.id`, sorts: map[string]sortColumn{"time": {expr: `j.at`}},
		scan: func(r row) (ledger.Line, error) {
			var x ledger.Line
			var err error
			x.Entry, err = scanEntry(r, &x.Amount)
			return x, err
		},
	}, f, r)
	if err != nil || len(found.Records) == 0 {
		return found, err
	}
	lines := make([]*ledger.Line, len(found.Records))
	for i := range found.Records {
		lines[i] = &found.Records[i]
	}
	if newest := lines[len(lines)-1]; lines[0].Entry.At.After(newest.Entry.At) || lines[0].Entry.ID > newest.Entry.ID && lines[0].Entry.At.Equal(newest.Entry.At) {
		slices.Reverse(lines)
	}
	opening, err := l.before(ctx, scope, w.Account, lines[0].Entry)
	ledger.Run(opening, lines)
	return found, err
}

// before is the balance of an account before an entry.
func (l LedgerLists) before(ctx context.Context, scope evcs.Scope, a ledger.Account, e ledger.Entry) (evcs.Money, error) {
	f := ofAccount(scope, a)
	f.add(`(j.at < ? OR j.at = ? AND j.id < ?)`, evcs.Millis(e.At), evcs.Millis(e.At), e.ID)
	var sum evcs.Money
	err := l.q.one(ctx, "read balance before", nil, []any{&sum}, `SELECT CAST(COALESCE(SUM(p.amount), 0) AS BIGINT) FROM `+lineTables+f.where(), f.args...)
	return sum, err
}

// Turnover is what an account held at the beginning of a period, and both
// sides of what was posted to it in the period.
func (l LedgerLists) Turnover(ctx context.Context, scope evcs.Scope, w ledger.StatementFilter) (opening evcs.Money, b ledger.Balance, err error) {
	b.Account = w.Account
	f := ofAccount(scope, w.Account)
	f.within("j.at", 0, evcs.Millis(w.To))
	from := evcs.Millis(w.From)
	err = l.q.one(ctx, "read turnover", nil, []any{&opening, &b.Debit, &b.Credit}, `SELECT
		CAST(COALESCE(SUM(p.amount) FILTER (WHERE j.at < ?), 0) AS BIGINT),
		CAST(COALESCE(SUM(p.amount) FILTER (WHERE j.at >= ? AND p.amount > 0), 0) AS BIGINT),
		CAST(COALESCE(-SUM(p.amount) FILTER (WHERE j.at >= ? AND p.amount < 0), 0) AS BIGINT) FROM `+lineTables+f.where(),
		append([]any{from, from, from}, f.args...)...)
	return opening, b, err
}

// EntryPage is a part of the journal.
func (l LedgerLists) EntryPage(ctx context.Context, scope evcs.Scope, w ledger.EntryFilter, r evcs.PageRequest) (evcs.Page[ledger.Entry], error) {
	var f filter
	f.scope("j.tenant_id", scope)
	among(&f, "j.kind", w.Kinds)
	if w.Order != 0 {
		f.add(`j.order_id = ?`, int64(w.Order))
	}
	f.within("j.at", evcs.Millis(w.From), evcs.Millis(w.To))
	found, err := page(ctx, l.q, listing[ledger.Entry]{
		what: "list entries", columns: entryColumns, from: `journal j`, id: `j.id`,
		sorts: map[string]sortColumn{"entryId": {expr: `j.id`}, "time": {expr: `j.at`}, "bookedTime": {expr: `j.booked_at`}},
		scan:  func(r row) (ledger.Entry, error) { return scanEntry(r) },
	}, f, r)
	if err != nil || len(found.Records) == 0 {
		return found, err
	}
	return found, l.postings(ctx, scope, found.Records)
}

// postings fills in the postings of entries.
func (l LedgerLists) postings(ctx context.Context, scope evcs.Scope, list []ledger.Entry) error {
	var f filter
	f.scope("p.tenant_id", scope)
	at := make(map[int64]int, len(list))
	ids := make([]int64, len(list))
	for i := range list {
		at[list[i].ID], ids[i] = i, list[i].ID
	}
	among(&f, "p.entry_id", ids)
	return l.q.each(ctx, "read postings", func(rows *sql.Rows) error {
		var id int64
		var p ledger.Posting
		err := rows.Scan(&id, &p.Account.Kind, &p.Account.Name, &p.Amount)
		e := &list[at[id]]
		e.Postings = append(e.Postings, p)
		return err
	}, `SELECT p.entry_id, a.kind, a.name, p.amount FROM postings p JOIN accounts a ON a.id = p.account_id`+f.where()+` ORDER BY p.entry_id, p.line_no`, f.args...)
}
