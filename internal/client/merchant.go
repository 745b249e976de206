package client

import (
	"context"

	"github.com/evcs/evcs/internal/api"
)

// Merchants is the accounts at payment channels.
type Merchants struct{ w *wire }

// List reads a page of merchant accounts.
func (m Merchants) List(ctx context.Context, q Query) (api.Page[api.Merchant], error) {
	return page[api.Merchant](ctx, m.w, "/api/payment/merchant", q)
}

// Get reads one merchant account, without its secrets.
func (m Merchants) Get(ctx context.Context, id int64) (api.Merchant, error) {
	return get[api.Merchant](ctx, m.w, at("/api/payment/merchant/%s", id), nil)
}

// Create makes a merchant account.
func (m Merchants) Create(ctx context.Context, body api.CreateMerchant) (api.Merchant, error) {
	return post[api.Merchant](ctx, m.w, "/api/payment/merchant", body)
}

// Update changes a merchant account, or its keys.
func (m Merchants) Update(ctx context.Context, id int64, body api.UpdateMerchant) (api.Merchant, error) {
	return put[api.Merchant](ctx, m.w, at("/api/payment/merchant/%s", id), body)
}

// Delete deletes a merchant account and its keys.
func (m Merchants) Delete(ctx context.Context, id int64) error {
	return remove(ctx, m.w, at("/api/payment/merchant/%s", id))
}

// Verify tries a merchant account out.
func (m Merchants) Verify(ctx context.Context, id int64) (api.MerchantTrial, error) {
	return postOnce[api.MerchantTrial](ctx, m.w, at("/api/payment/merchant/%s/verify", id), nil)
}

// Approve agrees to a refund that waits for a second person.
func (p Payments) Approve(ctx context.Context, refundNo string, body api.ApproveRefund) (api.Refund, error) {
	return post[api.Refund](ctx, p.w, at("/api/payment/refund/%s/approve", refundNo), body)
}

// Reject refuses a refund that waits for a second person.
func (p Payments) Reject(ctx context.Context, refundNo string, body api.RejectRefund) (api.Refund, error) {
	return post[api.Refund](ctx, p.w, at("/api/payment/refund/%s/reject", refundNo), body)
}
