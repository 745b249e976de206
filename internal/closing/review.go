package closing

import (
	"context"
	"fmt"

	"github.com/evcs/evcs/internal/cashier"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/ledger"
	"github.com/evcs/evcs/internal/recon"
	"github.com/evcs/evcs/internal/tenant"
)

// Proposal is what a maker proposes for a difference.
type Proposal struct {
	Action  recon.Action
	Reason  string
	Version *int64
}

// Resolve proposes what to do about a difference; another person decides.
func (c *Closer) Resolve(ctx context.Context, a *evcs.Actor, id evcs.DifferenceID, p Proposal) (recon.Difference, error) {
	return c.changeDifference(ctx, a, id, tenant.ReconResolve, func(_ Tx, d *recon.Difference) (map[string]any, error) {
		if p.Version != nil && *p.Version != d.Version {
			return nil, evcs.With(evcs.ErrVersion, map[string]any{"currentVersion": d.Version})
		}
		return map[string]any{"action": string(p.Action), "reason": p.Reason}, d.Propose(a, p.Action, p.Reason, c.now())
	})
}

// Reject sends a proposal back.
func (c *Closer) Reject(ctx context.Context, a *evcs.Actor, id evcs.DifferenceID, note string) (recon.Difference, error) {
	return c.changeDifference(ctx, a, id, tenant.ReconApprove, func(_ Tx, d *recon.Difference) (map[string]any, error) {
		return map[string]any{"approved": false, "note": note}, d.Reject(a, note, c.now())
	})
}

// Approve does what was proposed and ends the difference. A channel is asked
// outside of the transaction; repeating it after a crash is harmless.
func (c *Closer) Approve(ctx context.Context, a *evcs.Actor, id evcs.DifferenceID, note string) (recon.Difference, error) {
	asked, err := c.reviewed(ctx, a, id)
	if err != nil {
		return recon.Difference{}, err
	}
	effect, err := c.effect(ctx, a, &asked)
	if err != nil {
		return recon.Difference{}, err
	}
	return c.changeDifference(ctx, a, id, tenant.ReconApprove, func(tx Tx, d *recon.Difference) (map[string]any, error) {
		if d.Version != asked.Version {
			return nil, evcs.With(evcs.ErrVersion, map[string]any{"currentVersion": d.Version})
		}
		d.LocalDone, d.LocalStatus, d.LocalAt, d.LocalAmount = asked.LocalDone, asked.LocalStatus, asked.LocalAt, asked.LocalAmount
		b, err := tx.Recon().Batch(ctx, evcs.Only(d.Tenant), d.Batch)
		if err != nil {
			return nil, err
		}
		now := c.now()
		day, at := d.Day, lastMoment(d.Day)
		if b.Closed() { // what a closed day shows does not change
			day, at = recon.DayOf(now), now
		}
		if d.Resolution != nil && d.Resolution.Action == recon.WriteOff {
			entry := ledger.WrittenOff(d.Tenant, d.Channel, d.ID, d.Version, at, -d.Gap())
			effect = "posting " + entry.Key
			if err := ledger.Book(ctx, tx.Ledger(), entry); err != nil {
				return nil, err
			}
		}
		return map[string]any{"approved": true, "note": note, "effect": effect}, d.Approve(a, note, effect, day, now)
	})
}

// reviewed reads a difference that the actor may approve.
func (c *Closer) reviewed(ctx context.Context, a *evcs.Actor, id evcs.DifferenceID) (d recon.Difference, err error) {
	err = c.cfg.Transact(ctx, func(tx Tx) (err error) {
		if d, err = tx.Recon().Difference(ctx, evcs.Subtree(a.Tenant), id); err != nil {
			return err
		}
		if err := tenant.Reach(a, d.Tenant, true); err != nil {
			return err
		}
		return d.CheckReview(a)
	})
	return d, err
}

// effect does outside of the transaction what the action asks for.
func (c *Closer) effect(ctx context.Context, a *evcs.Actor, d *recon.Difference) (string, error) {
	switch d.Resolution.Action {
	case recon.AdoptChannel:
		if err := c.adopt(ctx, d); err != nil {
			return "", err
		}
		return fmt.Sprintf("payment %s is %s", d.TradeNo, d.LocalStatus), nil
	case recon.Refund:
		r, err := c.cfg.Cashier.Refund(ctx, a, cashier.RefundRequest{
			Payment: d.Payment, Reason: d.Resolution.Reason, Key: "difference-" + number(d.ID), Agreed: true,
		})
		return "refund " + r.RefundNo, err
	case recon.Explain, recon.WriteOff:
	}
	return "", nil
}

// changeDifference runs a verb on a difference, with its audit.
func (c *Closer) changeDifference(ctx context.Context, a *evcs.Actor, id evcs.DifferenceID, action tenant.Action,
	verb func(Tx, *recon.Difference) (map[string]any, error),
) (recon.Difference, error) {
	var after recon.Difference
	err := c.cfg.Transact(ctx, func(tx Tx) error {
		d, err := tx.Recon().Difference(ctx, evcs.Subtree(a.Tenant), id)
		if err != nil {
			return err
		}
		if err := tenant.Reach(a, d.Tenant, true); err != nil {
			return err
		}
		details, err := verb(tx, &d)
		if err != nil {
			return err
		}
		if err := c.write(ctx, tx, &d, c.now()); err != nil {
			return err
		}
		after = d
		return c.audit(ctx, tx, a, tenant.AuditRow{
			Action: action, Target: d.Tenant, TargetType: "DIFFERENCE", TargetID: number(d.ID), Details: details,
		})
	})
	return after, err
}
