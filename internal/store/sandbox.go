package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/payment"
)

// SandboxTrades keeps the books of the pretended bank.
type SandboxTrades struct{ q querier }

// Sandbox is the pretended bank's books within a transaction.
func Sandbox(tx *Tx) payment.SandboxBooks { return SandboxTrades{tx.q} }

const sandboxColumns = `trade_no, tenant_id, kind, parent_no, channel_no, amount, state, outcome, notify_at, notified, done_at, created_at, version`

func (s SandboxTrades) trades(ctx context.Context, what, where string, args ...any) ([]payment.SandboxTrade, error) {
	list := []payment.SandboxTrade{}
	err := s.q.each(ctx, what, func(rows *sql.Rows) error {
		var t payment.SandboxTrade
		var kind string
		var notify, done, created int64
		err := rows.Scan(&t.Number, &t.Tenant, &kind, &t.Parent, &t.ChannelNo, &t.Amount, &t.State, &t.Outcome, &notify, &t.Notified, &done, &created, &t.Version)
		t.Refund = kind == string(payment.RefundBack)
		t.NotifyAt, t.DoneAt, t.CreatedAt = evcs.FromMillis(notify), evcs.FromMillis(done), evcs.FromMillis(created)
		list = append(list, t)
		return err
	}, `SELECT `+sandboxColumns+` FROM sandbox_trades WHERE `+where, args...)
	return list, err
}

// InsertTrade implements payment.SandboxBooks.
func (s SandboxTrades) InsertTrade(ctx context.Context, scope evcs.Scope, t *payment.SandboxTrade) error {
	kind := payment.Pay
	if t.Refund {
		kind = payment.RefundBack
	}
	t.Version = 1
	_, err := s.q.exec(ctx, "insert sandbox trade", `INSERT INTO sandbox_trades (`+sandboxColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1)`,
		t.Number, scope.Tenant, kind, t.Parent, t.ChannelNo, t.Amount, t.State, t.Outcome, evcs.Millis(t.NotifyAt), t.Notified,
		evcs.Millis(t.DoneAt), evcs.Millis(t.CreatedAt))
	return err
}

// UpdateTrade implements payment.SandboxBooks.
func (s SandboxTrades) UpdateTrade(ctx context.Context, scope evcs.Scope, t *payment.SandboxTrade) error {
	err := s.q.swap(ctx, "update sandbox trade", `
		UPDATE sandbox_trades SET state = ?, outcome = ?, notify_at = ?, notified = ?, done_at = ?, version = version + 1
		WHERE trade_no = ? AND `+moneyWithin(scope)+` AND version = ?`,
		t.State, t.Outcome, evcs.Millis(t.NotifyAt), t.Notified, evcs.Millis(t.DoneAt), t.Number, scope.Tenant, t.Version)
	if err == nil {
		t.Version++
	}
	return err
}

// Trade implements payment.SandboxBooks.
func (s SandboxTrades) Trade(ctx context.Context, scope evcs.Scope, number string) (payment.SandboxTrade, error) {
	list, err := s.trades(ctx, "read sandbox trade", `trade_no = ? AND `+moneyWithin(scope), number, scope.Tenant)
	if err != nil {
		return payment.SandboxTrade{}, err
	}
	if len(list) == 0 {
		return payment.SandboxTrade{}, evcs.With(payment.ErrNotFound, map[string]any{"tradeNo": number})
	}
	return list[0], nil
}

// RefundsOf implements payment.SandboxBooks.
func (s SandboxTrades) RefundsOf(ctx context.Context, scope evcs.Scope, number string) ([]payment.SandboxTrade, error) {
	return s.trades(ctx, "read sandbox refunds", `parent_no = ? AND `+moneyWithin(scope)+` ORDER BY trade_no`, number, scope.Tenant)
}

// TradesDone implements payment.SandboxBooks.
func (s SandboxTrades) TradesDone(ctx context.Context, scope evcs.Scope, from, to time.Time) ([]payment.SandboxTrade, error) {
	return s.trades(ctx, "read sandbox day", moneyWithin(scope)+` AND done_at >= ? AND done_at < ? AND state = ? ORDER BY trade_no`,
		scope.Tenant, evcs.Millis(from), evcs.Millis(to), payment.TradePaid)
}

// TradesDue implements payment.SandboxBooks: notifications are every tenant's.
func (s SandboxTrades) TradesDue(ctx context.Context, now time.Time, n int) ([]payment.SandboxTrade, error) {
	return s.trades(ctx, "read due sandbox trades", `notify_at > 0 AND notify_at <= ? AND tenant_id > 0 ORDER BY notify_at LIMIT ?`, evcs.Millis(now), n)
}
