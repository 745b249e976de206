package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/order"
)

const claimColumns = `b.tenant_id, b.order_id, b.charger_id, b.energy, b.amount, b.periods, b.begun_at, b.ended_at, b.received_at`

// scanClaim reads claimColumns and what follows them.
func scanClaim(r row, more ...any) (order.Claim, error) {
	var c order.Claim
	var energy, amount sql.NullInt64
	var periods string
	var begun, ended, received int64
	err := r.Scan(append([]any{&c.Tenant, &c.Order, &c.Charger, &energy, &amount, &periods, &begun, &ended, &received}, more...)...)
	if err != nil {
		return c, err
	}
	c.Bill.Energy, c.Bill.Amount = pointer[evcs.Energy](energy), pointer[evcs.Money](amount)
	c.Bill.Begun, c.Bill.Ended, c.Received = evcs.FromMillis(begun), evcs.FromMillis(ended), evcs.FromMillis(received)
	if periods == "" {
		return c, nil
	}
	if err := json.Unmarshal([]byte(periods), &c.Bill.Periods); err != nil {
		return c, fmt.Errorf("read the periods of a charger's bill: %w", err)
	}
	return c, nil
}

// KeepClaim implements order.Claims.
func (s Orders) KeepClaim(ctx context.Context, c *order.Claim) error {
	periods := ""
	if len(c.Bill.Periods) > 0 {
		text, err := json.Marshal(c.Bill.Periods)
		if err != nil {
			return fmt.Errorf("write the periods of a charger's bill: %w", err)
		}
		periods = string(text)
	}
	_, err := s.q.exec(ctx, "keep a charger's bill", `
		INSERT INTO charger_bills (tenant_id, order_id, charger_id, energy, amount, periods, begun_at, ended_at, received_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (order_id) DO NOTHING`,
		c.Tenant, c.Order, c.Charger, c.Bill.Energy, c.Bill.Amount, periods, evcs.Millis(c.Bill.Begun), evcs.Millis(c.Bill.Ended), evcs.Millis(c.Received))
	return err
}

// Claim implements order.Claims.
func (s Orders) Claim(ctx context.Context, scope evcs.Scope, id evcs.OrderID) (*order.Claim, error) {
	in, tenant := scopeCond("b.tenant_id", scope)
	var found *order.Claim
	err := s.q.rows(ctx, "read a charger's bill", func(rows row) error {
		c, err := scanClaim(rows)
		found = &c
		return err
	}, `SELECT `+claimColumns+` FROM charger_bills b WHERE b.order_id = ? AND `+in, id, tenant)
	return found, err
}
