package wechatpay

import (
	"context"

	"github.com/wechatpay-apiv3/wechatpay-go/core"
	"github.com/wechatpay-apiv3/wechatpay-go/services/refunddomestic"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/payment"
)

// Refund implements payment.Channel. That the channel took the call is no
// success: the status in its reply is what counts. The same number again is
// answered with the refund as it is now.
func (c *Channel) Refund(ctx context.Context, m payment.Merchant, r payment.RefundRequest) (payment.RefundAnswer, error) {
	const what = "refund"
	a, err := c.reach(m)
	if err != nil {
		return payment.RefundAnswer{}, err
	}
	request := refunddomestic.CreateRequest{
		OutTradeNo: &r.TradeNo, OutRefundNo: &r.RefundNo, Reason: orNil(payment.PlainText(r.Reason, maxReason)),
		Amount: &refunddomestic.AmountReq{Refund: core.Int64(int64(r.Amount)), Total: core.Int64(int64(r.Total)), Currency: core.String(currency)},
	}
	if to := m.CallbackURL(c.cfg.CallbackBase); to != "" {
		request.NotifyUrl = core.String(to + "/refund")
	}
	service := refunddomestic.RefundsApiService{Client: a.client}
	var said *refunddomestic.Refund
	err = a.call(ctx, what, func() (err error) {
		said, _, err = service.Create(ctx, request)
		return err
	})
	if err != nil {
		return payment.RefundAnswer{}, err
	}
	return refundOf(what, said, r.TradeNo, r.RefundNo)
}

// QueryRefund implements payment.Channel. A refund that the channel does not
// know is PROCESSING: the call for it may still come.
func (c *Channel) QueryRefund(ctx context.Context, m payment.Merchant, tradeNo, refundNo string) (payment.RefundAnswer, error) {
	const what = "query a refund"
	a, err := c.reach(m)
	if err != nil {
		return payment.RefundAnswer{}, err
	}
	service := refunddomestic.RefundsApiService{Client: a.client}
	var said *refunddomestic.Refund
	err = a.call(ctx, what, func() (err error) {
		said, _, err = service.QueryByOutRefundNo(ctx, refunddomestic.QueryByOutRefundNoRequest{OutRefundNo: &refundNo})
		return err
	})
	if refusedWith(err, notExist...) {
		return payment.RefundAnswer{State: payment.RefundProcessing}, nil
	}
	if err != nil {
		return payment.RefundAnswer{}, err
	}
	return refundOf(what, said, tradeNo, refundNo)
}

func refundOf(what string, said *refunddomestic.Refund, tradeNo, refundNo string) (payment.RefundAnswer, error) {
	if text(said.OutTradeNo) != tradeNo || text(said.OutRefundNo) != refundNo || said.Amount == nil || said.Amount.Refund == nil {
		return payment.RefundAnswer{}, another(what)
	}
	r := payment.RefundAnswer{State: payment.RefundProcessing, ChannelRefundNo: text(said.RefundId), Amount: evcs.Money(*said.Amount.Refund)}
	if said.CreateTime != nil {
		r.AcceptedAt = said.CreateTime.UTC()
	}
	r.State, r.Code, r.Message = refundState(text(said.Status))
	return r, nil
}

// refundState words a state of a refund. ABNORMAL is money that the payer's
// bank did not take: nothing went back, and a person has to see to it.
func refundState(status string) (state payment.RefundStatus, code, message string) {
	switch status {
	case "SUCCESS":
		return payment.RefundSuccess, "", ""
	case "CLOSED":
		return payment.RefundFailed, status, "the refund was closed"
	case "ABNORMAL":
		return payment.RefundFailed, status, "the payer's account did not take the money"
	}
	return payment.RefundProcessing, "", ""
}
