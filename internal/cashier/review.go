package cashier

import (
	"context"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/payment"
	"github.com/evcs/evcs/internal/tenant"
)

// Review is what a second person says of a refund above the tenant's limit.
type Review struct{ Till *Till }

// codeRejected is the failure code of a refund that a person refused.
const codeRejected = "REJECTED"

// Approve lets a refund go to its channel, and answers as the refund itself
// would have (4001, 4002). Approving again asks again about one that is not
// final. The maker cannot approve (4016).
func (v Review) Approve(ctx context.Context, a *evcs.Actor, refundNo, note string) (payment.Refund, error) {
	t := v.Till
	var p payment.Payment
	r, err := v.decide(ctx, a, refundNo, payment.ApprovalGiven, note, func(tx Tx, r *payment.Refund, news bool) (err error) {
		if p, err = tx.Payments().Payment(ctx, evcs.Only(r.Tenant), r.Payment); err != nil || !news {
			return err
		}
		if r.Channel == payment.ChannelOffline {
			r.NextQueryAt = time.Time{} // a person confirms the pay-out
		}
		if err := tx.Payments().UpdateRefund(ctx, evcs.Only(r.Tenant), r); err != nil {
			return err
		}
		return tellRefund(ctx, tx, r)
	})
	if err != nil || r.Status != payment.RefundProcessing || r.Channel == payment.ChannelOffline {
		return r, err
	}
	return t.payOut(ctx, r, p)
}

// Reject ends a refund that waits: it failed, the money stays, payment and order
// are as before. Rejecting again changes nothing. The maker cannot reject
// (4016).
func (v Review) Reject(ctx context.Context, a *evcs.Actor, refundNo, reason string) (payment.Refund, error) {
	t := v.Till
	return v.decide(ctx, a, refundNo, payment.ApprovalRejected, reason, func(tx Tx, r *payment.Refund, news bool) error {
		if !news {
			return nil
		}
		return t.takeRefund(ctx, tx, r, payment.RefundAnswer{State: payment.RefundFailed, Code: codeRejected, Message: reason})
	})
}

// decide takes the word of a second person in one transaction with what then
// does, and puts it on the record.
func (v Review) decide(ctx context.Context, a *evcs.Actor, refundNo string, word payment.Approval, note string,
	then func(tx Tx, r *payment.Refund, news bool) error,
) (payment.Refund, error) {
	var r payment.Refund
	err := v.Till.cfg.Transact(ctx, func(tx Tx) (err error) {
		if r, err = tx.Payments().Refund(ctx, evcs.Subtree(a.Tenant), refundNo); err != nil {
			return err
		}
		if err := tenant.Reach(a, r.Tenant, true); err != nil {
			return err
		}
		now := v.Till.now()
		news, err := r.Decide(a, word, note, now)
		if err != nil {
			return err
		}
		if err := then(tx, &r, news); err != nil || !news {
			return err
		}
		return tenant.Audit(ctx, tx.Tenants(), a, tenant.AuditRow{
			At: now, Action: tenant.Refund, Target: r.Tenant, TargetType: tenant.KindPayment, TargetID: r.TradeNo, Success: true, Details: refundDetails(&r),
		})
	})
	return r, err
}
