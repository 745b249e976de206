package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/ledger"
)

// LedgerSeals reads and keeps the seals of the journal. It implements
// ledger.Journal and ledger.SealTx.
type LedgerSeals struct{ q querier }

// Seals are the seals of the journal.
func (l Ledger) Seals() LedgerSeals { return LedgerSeals(l) }

// SealsOf are the seals of the journal within the transaction.
func SealsOf(tx *Tx) LedgerSeals { return LedgerSeals{tx.q} }

// Begin implements ledger.Journal.
func (l LedgerSeals) Begin(ctx context.Context, scope evcs.Scope, after int64) (at time.Time, found bool, err error) {
	in, tenant := scopeCond("+tenant_id", scope)
	err = l.q.each(ctx, "read the first open entry", func(rows *sql.Rows) error {
		var ms int64
		err := rows.Scan(&ms)
		at, found = time.UnixMilli(ms).UTC(), true
		return err
	}, `SELECT booked_at FROM journal WHERE id > ? AND `+in+` ORDER BY id LIMIT 1`, after, tenant)
	return at, found, err
}

// Last implements ledger.Journal.
func (l LedgerSeals) Last(ctx context.Context, scope evcs.Scope, after int64, before time.Time) (int64, error) {
	in, tenant := scopeCond("+tenant_id", scope)
	var id int64
	err := l.q.one(ctx, "read the last entry of a day", nil, []any{&id}, `SELECT COALESCE(MAX(id), 0) FROM journal WHERE id > ? AND booked_at < ? AND `+in,
		after, evcs.Millis(before), tenant)
	return id, err
}

const entryColumns = `j.id, j.tenant_id, j.key, j.kind, j.at, j.booked_at, j.order_id, j.payment_id, j.refund_id, j.memo, j.sandbox, j.phase, j.refers`

// scanEntry reads a row of entryColumns, and what comes behind them into more.
func scanEntry(r row, more ...any) (ledger.Entry, error) {
	var e ledger.Entry
	var at, booked int64
	err := r.Scan(append([]any{
		&e.ID, &e.Tenant, &e.Key, &e.Kind, &at, &booked, &e.Order, &e.Payment, &e.Refund, &e.Memo, &e.Sandbox, &e.Phase, &e.Refers,
	}, more...)...)
	e.At, e.Booked = evcs.FromMillis(at), evcs.FromMillis(booked)
	return e, err
}

// entries reads entries with their postings, a row each, in order; an entry that
// has lost its postings comes without.
func (q querier) entries(ctx context.Context, what, query string, args ...any) ([]ledger.Entry, error) {
	list := []ledger.Entry{}
	err := q.each(ctx, what, func(rows *sql.Rows) error {
		var kind, name sql.NullString
		var amount sql.NullInt64
		e, err := scanEntry(rows, &kind, &name, &amount)
		if err != nil {
			return err
		}
		if n := len(list); n == 0 || list[n-1].ID != e.ID {
			list = append(list, e)
		}
		if amount.Valid {
			last := &list[len(list)-1]
			account := ledger.Account{Kind: ledger.AccountKind(kind.String), Name: name.String}
			last.Postings = append(last.Postings, ledger.Posting{Account: account, Amount: evcs.Money(amount.Int64)})
		}
		return nil
	}, query, args...)
	return list, err
}

// Entries implements ledger.Journal.
func (l LedgerSeals) Entries(ctx context.Context, scope evcs.Scope, after, upto int64, n int) ([]ledger.Entry, error) {
	in, tenant := scopeCond("+tenant_id", scope) // by the id: an index on the tenant would have every page sorted
	if upto == 0 {
		upto = 1<<63 - 1
	}
	return l.q.entries(ctx, "read journal", `SELECT `+entryColumns+`, a.kind, a.name, p.amount
		FROM (SELECT * FROM journal WHERE id > ? AND id <= ? AND `+in+` ORDER BY id LIMIT ?) j
		LEFT JOIN postings p ON p.entry_id = j.id LEFT JOIN accounts a ON a.id = p.account_id ORDER BY j.id, p.line_no`, after, upto, tenant, n)
}

const (
	sealedSequence  = "ledger/sealed"
	checkedSequence = "ledger/checked"
)

// Sealed implements ledger.Journal.
func (l LedgerSeals) Sealed(ctx context.Context) (int64, error) { return l.mark(ctx, sealedSequence) }

// Checked is the day, counted from 1970, whose nightly check is done.
func (l LedgerSeals) Checked(ctx context.Context) (int64, error) { return l.mark(ctx, checkedSequence) }

func (l LedgerSeals) mark(ctx context.Context, name string) (int64, error) {
	var next int64
	err := l.q.one(ctx, "read "+name, fmt.Errorf("the sequence %q is missing: the schema is damaged", name), []any{&next},
		`SELECT next FROM sequences WHERE name = ?`, name)
	return next, err
}

// NoteChecked notes that the nightly check of a day is done.
func (l LedgerSeals) NoteChecked(ctx context.Context, day int64) error {
	_, err := l.q.exec(ctx, "note the check", `UPDATE sequences SET next = ? WHERE name = ? AND next < ?`, day, checkedSequence, day)
	return err
}

const sealColumns = `s.tenant_id, s.no, s.day, s.after_id, s.upto, s.entries, s.debit, s.previous, s.hash, s.sealed_at`

func (l LedgerSeals) seals(ctx context.Context, scope evcs.Scope, where string, args ...any) ([]ledger.Seal, error) {
	in, tenant := scopeCond("s.tenant_id", scope)
	list := []ledger.Seal{}
	err := l.q.each(ctx, "read seals", func(rows *sql.Rows) error {
		var s ledger.Seal
		var at int64
		err := rows.Scan(&s.Tenant, &s.No, &s.Day, &s.After, &s.Upto, &s.Entries, &s.Debit, &s.Previous, &s.Hash, &at)
		s.SealedAt = evcs.FromMillis(at)
		list = append(list, s)
		return err
	}, `SELECT `+sealColumns+` FROM journal_seals s WHERE `+in+where+` ORDER BY s.tenant_id, s.no`, append([]any{tenant}, args...)...)
	return list, err
}

// Heads implements ledger.Journal.
func (l LedgerSeals) Heads(ctx context.Context, scope evcs.Scope, before string) ([]ledger.Seal, error) {
	if before == "" {
		before = "9999-12-31"
	}
	return l.seals(ctx, scope, ` AND s.no = (SELECT MAX(x.no) FROM journal_seals x WHERE x.tenant_id = s.tenant_id AND x.day < ?)`, before)
}

// Seals implements ledger.Journal.
func (l LedgerSeals) Seals(ctx context.Context, scope evcs.Scope, from, to string) ([]ledger.Seal, error) {
	if to == "" {
		to = "9999-12-31"
	}
	return l.seals(ctx, scope, ` AND s.day >= ? AND s.day <= ?`, from, to)
}

// Marks implements ledger.Journal.
func (l LedgerSeals) Marks(ctx context.Context, scope evcs.Scope, no int64) ([]byte, error) {
	in, tenant := scopeCond("tenant_id", scope)
	var marks []byte
	err := l.q.one(ctx, "read marks", nil, []any{&marks}, `SELECT marks FROM journal_seals WHERE `+in+` AND no = ?`, tenant, no)
	return marks, err
}

// KeepSeals implements ledger.SealTx.
func (l LedgerSeals) KeepSeals(ctx context.Context, was, now int64, seals []ledger.Seal) error {
	if err := l.q.swap(ctx, "move the seal", `UPDATE sequences SET next = ? WHERE name = ? AND next = ?`, now, sealedSequence, was); err != nil {
		return err
	}
	for i := range seals {
		s := &seals[i]
		if _, err := l.q.exec(ctx, "keep seal", `
			INSERT INTO journal_seals (tenant_id, no, day, after_id, upto, entries, debit, previous, hash, marks, sealed_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			s.Tenant, s.No, s.Day, s.After, s.Upto, s.Entries, s.Debit, s.Previous, s.Hash, s.Marks, evcs.Millis(s.SealedAt)); err != nil {
			return err
		}
	}
	return nil
}
