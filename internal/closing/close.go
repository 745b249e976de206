package closing

import (
	"context"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/ledger"
	"github.com/evcs/evcs/internal/recon"
	"github.com/evcs/evcs/internal/tenant"
)

// Close closes a day and answers its proof.
func (c *Closer) Close(ctx context.Context, a *evcs.Actor, id evcs.BatchID, note string) (recon.Proof, error) {
	var proof recon.Proof
	_, err := c.changeBatch(ctx, a, id, tenant.ReconClose, map[string]any{"note": note}, func(tx Tx, b *recon.Batch, around recon.Around) error {
		scope := evcs.Only(b.Tenant)
		own, err := tx.Recon().DifferencesOf(ctx, scope, b.ID)
		if err != nil {
			return err
		}
		from, to, _ := recon.Bounds(b.Day)
		earlier, err := tx.Recon().Suspense(ctx, scope, b.Channel, b.Day, from)
		if err != nil {
			return err
		}
		held, err := tx.Ledger().Balance(ctx, scope, ledger.Account{Kind: ledger.Clearing, Name: b.Channel}, to)
		if err != nil {
			return err
		}
		moved, err := paidOut(ctx, tx, b, around)
		if err != nil {
			return err
		}
		p, err := recon.Close(recon.Closure{Batch: b, Around: around, Own: own, Earlier: earlier, Ledger: held, Moved: moved, By: a, At: c.now()})
		if err == nil {
			proof = *p
		}
		return err
	})
	return proof, err
}

// Reopen opens the newest closed day of a channel again.
func (c *Closer) Reopen(ctx context.Context, a *evcs.Actor, id evcs.BatchID, reason string) (recon.Batch, error) {
	return c.changeBatch(ctx, a, id, tenant.ReconReopen, map[string]any{"reason": reason}, func(_ Tx, b *recon.Batch, around recon.Around) error {
		return b.Reopen(a, around)
	})
}

// changeBatch runs a verb on a day, with its audit.
func (c *Closer) changeBatch(ctx context.Context, a *evcs.Actor, id evcs.BatchID, action tenant.Action, details map[string]any,
	verb func(Tx, *recon.Batch, recon.Around) error,
) (recon.Batch, error) {
	var after recon.Batch
	err := c.cfg.Transact(ctx, func(tx Tx) error {
		b, err := tx.Recon().Batch(ctx, evcs.Subtree(a.Tenant), id)
		if err != nil {
			return err
		}
		if err := tenant.Reach(a, b.Tenant, true); err != nil {
			return err
		}
		around, err := tx.Recon().Around(ctx, evcs.Only(b.Tenant), b.Channel, b.Day)
		if err != nil {
			return err
		}
		if err := verb(tx, &b, around); err != nil {
			return err
		}
		if err := tx.Recon().UpdateBatch(ctx, evcs.Only(b.Tenant), &b); err != nil {
			return err
		}
		after = b
		return c.audit(ctx, tx, a, tenant.AuditRow{Action: action, Target: b.Tenant, TargetType: "BATCH", TargetID: number(b.ID), Details: details})
	})
	return after, err
}
