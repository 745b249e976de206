package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/payment"
	"github.com/evcs/evcs/internal/recon"
)

// Recon keeps batches, differences and statements.
type Recon struct {
	ReconBatches
	ReconDifferences
	ReconStatements
	ReconRows
}

func reconOf(q querier) Recon {
	return Recon{ReconBatches{q}, ReconDifferences{q}, ReconStatements{q}, ReconRows{q}}
}

// Recon is the reconciliation's store within the transaction.
func (tx *Tx) Recon() recon.Store { return reconOf(tx.q) }

// Recon reads what was committed.
func (r Reader) Recon() Recon { return reconOf(r.q) }

// ReconBatches implements recon.Batches.
type ReconBatches struct{ q querier }

const batchColumns = `b.id, b.tenant_id, b.channel, b.day, b.run_no, b.status, b.result, b.local_digest, b.statement_sha256, b.failure_code,
	b.failure_message, b.started_at, b.finished_at, b.running_until, b.closed_at, b.closed_by, b.proof, b.version,
	(SELECT COUNT(*) FROM recon_differences d WHERE d.batch_id = b.id AND d.state = 'OPEN'),
	(SELECT COUNT(*) FROM recon_differences d WHERE d.batch_id = b.id AND d.state = 'PENDING_REVIEW')`

func scanBatch(r row) (recon.Batch, error) {
	var b recon.Batch
	var result, proof string
	var started, finished, until, closed int64
	if err := r.Scan(&b.ID, &b.Tenant, &b.Channel, &b.Day, &b.RunNo, &b.Status, &result, &b.LocalDigest, &b.StatementSHA256, &b.FailureCode,
		&b.FailureMessage, &started, &finished, &until, &closed, &b.ClosedBy, &proof, &b.Version, &b.OpenDifferences, &b.PendingReview); err != nil {
		return b, err
	}
	b.StartedAt, b.FinishedAt = evcs.FromMillis(started), evcs.FromMillis(finished)
	b.RunningUntil, b.ClosedAt = evcs.FromMillis(until), evcs.FromMillis(closed)
	if proof != "" {
		if err := json.Unmarshal([]byte(proof), &b.Proof); err != nil {
			return b, fmt.Errorf("read proof: %w", err)
		}
	}
	var kept keptResult
	if err := json.Unmarshal([]byte(result), &kept); err != nil {
		return b, fmt.Errorf("read figures: %w", err)
	}
	b.Figures, b.Runner = kept.Figures, kept.Runner
	return b, nil
}

// keptResult is the column result: the figures of the last run, and who runs now.
type keptResult struct {
	recon.Figures
	Runner string `json:"runner,omitempty"`
}

func (s ReconBatches) batches(ctx context.Context, what, where string, args ...any) ([]recon.Batch, error) {
	var list []recon.Batch
	err := s.q.each(ctx, what, func(rows *sql.Rows) error {
		b, err := scanBatch(rows)
		list = append(list, b)
		return err
	}, `SELECT `+batchColumns+` FROM recon_batches b WHERE `+where, args...)
	return list, err
}

func (s ReconBatches) batch(ctx context.Context, facts map[string]any, where string, args ...any) (recon.Batch, error) {
	list, err := s.batches(ctx, "read batch", where, args...)
	if err != nil {
		return recon.Batch{}, err
	}
	if len(list) == 0 {
		return recon.Batch{}, evcs.With(recon.ErrNoBatch, facts)
	}
	return list[0], nil
}

// Batch implements recon.Batches.
func (s ReconBatches) Batch(ctx context.Context, scope evcs.Scope, id evcs.BatchID) (recon.Batch, error) {
	in, tenant := scopeCond("b.tenant_id", scope)
	return s.batch(ctx, map[string]any{"batchId": id}, `b.id = ? AND `+in, id, tenant)
}

// BatchOf implements recon.Batches.
func (s ReconBatches) BatchOf(ctx context.Context, scope evcs.Scope, channel, day string) (recon.Batch, error) {
	in, tenant := scopeCond("b.tenant_id", scope)
	return s.batch(ctx, map[string]any{"channel": channel, "reconciliationDate": day}, in+` AND b.channel = ? AND b.day = ?`, tenant, channel, day)
}

// LeasedTo implements recon.Batches: recovery is every tenant's.
func (s ReconBatches) LeasedTo(ctx context.Context, runner string) ([]recon.Batch, error) {
	list, err := s.batches(ctx, "read leased batches", `b.tenant_id > 0 AND b.running_until > 0 ORDER BY b.id`)
	return slices.DeleteFunc(list, func(b recon.Batch) bool { return b.Runner != runner }), err
}

// batchTexts are the figures and the proof as they are stored.
func batchTexts(b *recon.Batch) (result, proof, hash string, err error) {
	figures, err := json.Marshal(keptResult{b.Figures, b.Runner})
	if err != nil || b.Proof == nil {
		return string(figures), "", "", err
	}
	text, err := json.Marshal(b.Proof)
	return string(figures), string(text), b.Proof.Hash, err
}

// InsertBatch implements recon.Batches.
func (s ReconBatches) InsertBatch(ctx context.Context, b *recon.Batch) error {
	result, proof, hash, err := batchTexts(b)
	if err != nil {
		return err
	}
	id, err := s.q.insertID(ctx, "insert batch", `
		INSERT INTO recon_batches (tenant_id, channel, day, run_no, status, result, local_digest, statement_sha256, failure_code, failure_message,
			started_at, finished_at, running_until, closed_at, closed_by, proof, proof_hash, version)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1) RETURNING id`,
		b.Tenant, b.Channel, b.Day, b.RunNo, b.Status, result, b.LocalDigest, b.StatementSHA256, b.FailureCode, b.FailureMessage,
		evcs.Millis(b.StartedAt), evcs.Millis(b.FinishedAt), evcs.Millis(b.RunningUntil), evcs.Millis(b.ClosedAt), b.ClosedBy, proof, hash)
	b.ID, b.Version = evcs.BatchID(id), 1
	return err
}

// UpdateBatch implements recon.Batches.
func (s ReconBatches) UpdateBatch(ctx context.Context, scope evcs.Scope, b *recon.Batch) error {
	result, proof, hash, err := batchTexts(b)
	if err != nil {
		return err
	}
	in, tenant := scopeCond("tenant_id", scope)
	err = s.q.swap(ctx, "update batch", `
		UPDATE recon_batches SET run_no = ?, status = ?, result = ?, local_digest = ?, statement_sha256 = ?, failure_code = ?, failure_message = ?,
			started_at = ?, finished_at = ?, running_until = ?, closed_at = ?, closed_by = ?, proof = ?, proof_hash = ?, version = version + 1
		WHERE id = ? AND `+in+` AND version = ?`,
		b.RunNo, b.Status, result, b.LocalDigest, b.StatementSHA256, b.FailureCode, b.FailureMessage, evcs.Millis(b.StartedAt),
		evcs.Millis(b.FinishedAt), evcs.Millis(b.RunningUntil), evcs.Millis(b.ClosedAt), b.ClosedBy, proof, hash, b.ID, tenant, b.Version)
	if err == nil {
		b.Version++
	}
	return err
}

// Around implements recon.Batches.
func (s ReconBatches) Around(ctx context.Context, scope evcs.Scope, channel, day string) (recon.Around, error) {
	var a recon.Around
	in, tenant := scopeCond("b.tenant_id", scope)
	before, err := s.batches(ctx, "read closed day before", in+` AND b.channel = ? AND b.day < ? AND b.closed_at > 0 ORDER BY b.day DESC LIMIT 1`, tenant, channel, day)
	if err != nil {
		return a, err
	}
	since := ""
	if len(before) > 0 {
		a.Before, since = before[0].Proof, before[0].Day
	}
	open, err := s.batches(ctx, "read open day before", in+` AND b.channel = ? AND b.day < ? AND b.day > ? AND b.closed_at = 0 ORDER BY b.day DESC LIMIT 1`,
		tenant, channel, day, since)
	if err != nil {
		return a, err
	}
	if len(open) > 0 {
		a.OpenBefore = open[0].Day
	}
	after, err := s.batches(ctx, "read closed day after", in+` AND b.channel = ? AND b.day > ? AND b.closed_at > 0 ORDER BY b.day LIMIT 1`, tenant, channel, day)
	a.ClosedAfter = len(after) > 0
	return a, err
}

var batchListing = listing[recon.Batch]{
	what: "list batches", columns: batchColumns, from: "recon_batches b", id: "b.id", scan: scanBatch,
	sorts: map[string]sortColumn{
		"batchId": {expr: "b.id"}, "createTime": {expr: "b.started_at"}, "reconciliationDate": {expr: "b.day", text: true},
	},
}

// BatchPage lists batches.
func (s ReconBatches) BatchPage(ctx context.Context, scope evcs.Scope, w recon.BatchFilter, r evcs.PageRequest) (evcs.Page[recon.Batch], error) {
	var f filter
	f.scope("b.tenant_id", scope)
	f.exact("b.channel", w.Channel)
	among(&f, "b.status", w.Statuses)
	if w.From != "" {
		f.add("b.day >= ?", w.From)
	}
	if w.To != "" {
		f.add("b.day <= ?", w.To)
	}
	if w.Closed != nil {
		f.add("(b.closed_at > 0) = ?", *w.Closed)
	}
	return page(ctx, s.q, batchListing, f, r)
}

// ReconRows reads the local side of reconciliation.
type ReconRows struct{ q querier }

const localPayment = `p.merchant_id, p.trade_no, p.trade_no, COALESCE(p.channel_trade_no, ''), p.amount, p.status, p.paid_at, p.id, p.order_id, p.order_no,
	NOT p.settles AND EXISTS (SELECT 1 FROM payments o WHERE o.order_id = p.order_id AND o.settles)`

const localRefund = `p.merchant_id, r.refund_no, r.trade_no, COALESCE(r.channel_refund_no, ''), r.amount, r.status, r.accepted_at, p.id, r.order_id, p.order_no, FALSE`

func scanLocal(rows *sql.Rows, d payment.Direction, l *recon.Local) error {
	var status, at int64
	*l = recon.Local{Direction: d}
	if err := rows.Scan(&l.Merchant, &l.No, &l.TradeNo, &l.ChannelNo, &l.Amount, &status, &at, &l.Payment, &l.Order, &l.OrderNo, &l.Twice); err != nil {
		return err
	}
	if d == payment.Pay {
		s := payment.Status(status)
		l.Status, l.Succeeded = s.String(), s.Paid()
		l.Returned = s.Paid() && s != payment.Success
	} else {
		s := payment.RefundStatus(status)
		l.Status, l.Succeeded = s.String(), s == payment.RefundSuccess
	}
	if l.Succeeded {
		l.At = evcs.FromMillis(at)
	}
	return nil
}

// What matching looks at: a day may have millions of rows, and each column of
// each costs. The status has 64 added when the payment came twice.
const (
	keyPayment = `p.merchant_id, p.trade_no, COALESCE(p.channel_trade_no, ''), p.amount, p.paid_at,
	p.status + CASE WHEN p.settles THEN 0 WHEN EXISTS (SELECT 1 FROM payments o WHERE o.order_id = p.order_id AND o.settles) THEN 64 ELSE 0 END`
	keyRefund = `p.merchant_id, r.refund_no, COALESCE(r.channel_refund_no, ''), r.amount, r.accepted_at, r.status`
	keyTwice  = 64
)

// EachLocal hands every payment and refund of a channel that succeeded in
// [from, to) to fn, always in the same order, with what matching looks at and no
// more: FindLocal has the rest. fn must not keep the row.
func (s ReconRows) EachLocal(ctx context.Context, scope evcs.Scope, channel string, from, to time.Time, fn func(*recon.Local) error) error {
	var l recon.Local
	in, tenant := scopeCond("p.tenant_id", scope)
	each := func(d payment.Direction) func(row) error {
		var merchant, amount, status, at int64
		dest := []any{&merchant, &l.No, &l.ChannelNo, &amount, &at, &status}
		return func(r row) error {
			if err := r.Scan(dest...); err != nil {
				return err
			}
			l.Direction, l.Merchant, l.Amount = d, payment.MerchantID(merchant), evcs.Money(amount)
			l.Succeeded, l.At = true, evcs.FromMillis(at)
			l.Twice = status&keyTwice != 0
			l.Returned = d == payment.Pay && payment.Status(status&^keyTwice) != payment.Success
			return fn(&l)
		}
	}
	if err := s.q.rows(ctx, "read payments of day", each(payment.Pay), `SELECT `+keyPayment+` FROM payments p
		WHERE `+in+` AND p.channel = ? AND p.paid_at >= ? AND p.paid_at < ? AND p.status IN (2, 4, 5, 6) ORDER BY p.paid_at, p.id`,
		tenant, channel, evcs.Millis(from), evcs.Millis(to)); err != nil {
		return err
	}
	in, tenant = scopeCond("r.tenant_id", scope)
	return s.q.rows(ctx, "read refunds of day", each(payment.RefundBack), `SELECT `+keyRefund+` FROM refunds r JOIN payments p ON p.id = r.payment_id
		WHERE `+in+` AND r.channel = ? AND r.accepted_at >= ? AND r.accepted_at < ? AND r.status = 2 ORDER BY r.accepted_at, r.id`,
		tenant, channel, evcs.Millis(from), evcs.Millis(to))
}

// FindLocal reads the payments or refunds of our numbers, whatever their day
// and state.
func (s ReconRows) FindLocal(ctx context.Context, scope evcs.Scope, channel string, d payment.Direction, numbers []string) ([]recon.Local, error) {
	var list []recon.Local
	var f filter
	columns, from := localPayment, "payments p"
	if d == payment.Pay {
		f.scope("+p.tenant_id", scope) // the plus keeps SQLite off the channel's whole history
		f.exact("p.channel", channel)
		among(&f, "p.trade_no", numbers)
	} else {
		columns, from = localRefund, "refunds r JOIN payments p ON p.id = r.payment_id"
		f.scope("+r.tenant_id", scope)
		f.exact("r.channel", channel)
		among(&f, "r.refund_no", numbers)
	}
	err := s.q.each(ctx, "find local rows", func(rows *sql.Rows) error {
		var l recon.Local
		err := scanLocal(rows, d, &l)
		list = append(list, l)
		return err
	}, `SELECT `+columns+` FROM `+from+f.where(), f.args...)
	return list, err
}

// Accounts lists the tenants and channels that have an account: the daily run
// serves every tenant.
func (s ReconRows) Accounts(ctx context.Context) ([]recon.Account, error) {
	var list []recon.Account
	err := s.q.each(ctx, "list accounts", func(rows *sql.Rows) error {
		var a recon.Account
		var since int64
		err := rows.Scan(&a.Tenant, &a.Channel, &since)
		a.Since = evcs.FromMillis(since)
		list = append(list, a)
		return err
	}, `SELECT tenant_id, channel, MIN(created_at) FROM merchants WHERE deleted_at = 0 AND tenant_id > 0 GROUP BY tenant_id, channel ORDER BY tenant_id, channel`)
	return list, err
}
