package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/recon"
	"github.com/evcs/evcs/internal/tariff"
)

// EachClaimed hands every order that was paid over a channel, and of which a
// charger told its own bill, to fn when the later of both was in [from, to):
// always in the same order, with its lines for energy. fn must not keep it.
func (s ReconRows) EachClaimed(ctx context.Context, scope evcs.Scope, channel string, from, to time.Time, fn func(*recon.Claimed) error) error {
	in, tenant := scopeCond("b.tenant_id", scope)
	some := 0
	if err := s.q.one(ctx, "look for chargers' bills", sql.ErrNoRows, []any{&some},
		`SELECT COUNT(*) FROM (SELECT b.id FROM charger_bills b WHERE `+in+` AND b.received_at < ? LIMIT 1) x`, tenant, evcs.Millis(to)); err != nil || some == 0 {
		return err // most tenants' chargers tell none: then no payment is looked at
	}
	g := claimedGroup{fn: fn}
	// The plus keeps SQLite off the channel's whole history.
	in, tenant = scopeCond("b.tenant_id", scope)
	other, _ := scopeCond("+p.tenant_id", scope)
	if err := s.q.rows(ctx, "read chargers' bills of day", g.row, claimedQuery+`WHERE `+in+` AND b.received_at >= ? AND b.received_at < ?
		AND `+other+` AND p.channel = ? AND p.settles AND p.status IN (2, 4, 5, 6) AND p.paid_at < ? ORDER BY b.order_id, l.line_no`,
		tenant, evcs.Millis(from), evcs.Millis(to), tenant, channel, evcs.Millis(to)); err != nil {
		return err
	}
	if err := g.end(); err != nil {
		return err
	}
	in, tenant = scopeCond("p.tenant_id", scope)
	other, _ = scopeCond("+b.tenant_id", scope)
	if err := s.q.rows(ctx, "read chargers' bills of payments of day", g.row, claimedQuery+`WHERE `+in+` AND p.channel = ? AND p.paid_at >= ? AND p.paid_at < ?
		AND p.settles AND p.status IN (2, 4, 5, 6) AND `+other+` AND b.received_at < ? ORDER BY b.order_id, l.line_no`,
		tenant, channel, evcs.Millis(from), evcs.Millis(to), tenant, evcs.Millis(from)); err != nil {
		return err
	}
	return g.end()
}

const claimedQuery = `SELECT ` + claimColumns + `, o.order_no, o.energy, p.id, p.trade_no, p.merchant_id, p.paid_at,
		COALESCE(l.period_kind, ''), l.energy, l.amount
	FROM charger_bills b JOIN payments p ON p.order_id = b.order_id JOIN orders o ON o.id = b.order_id
		LEFT JOIN order_lines l ON l.order_id = b.order_id AND l.kind = 'ENERGY' `

// claimedGroup puts the lines of one order together.
type claimedGroup struct {
	fn  func(*recon.Claimed) error
	now recon.Claimed
}

func (g *claimedGroup) row(r row) error {
	var x recon.Claimed
	var paid int64
	var kind string
	var energy, amount sql.NullInt64
	claim, err := scanClaim(r, &x.OrderNo, &x.Energy, &x.Payment, &x.TradeNo, &x.Merchant, &paid, &kind, &energy, &amount)
	if err != nil {
		return err
	}
	if g.now.Order != claim.Order {
		if err := g.end(); err != nil {
			return err
		}
		x.Claim, x.PaidAt = claim, evcs.FromMillis(paid)
		g.now = x
	}
	if amount.Valid {
		g.now.Lines = append(g.now.Lines, tariff.Line{
			Kind: tariff.KindEnergy, PeriodKind: tariff.PeriodKind(kind), Energy: evcs.Energy(energy.Int64), Amount: evcs.Money(amount.Int64),
		})
	}
	return nil
}

func (g *claimedGroup) end() error {
	if g.now.Order == 0 {
		return nil
	}
	x := g.now
	g.now = recon.Claimed{}
	return g.fn(&x)
}
