package alipay

import (
	"context"

	sdk "github.com/smartwalle/alipay/v3"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/payment"
)

// Refund implements payment.Channel. That the gateway took the call is no
// success: money that moved (fund_change) is. What did not move is asked after,
// because the repeat of a refund that succeeded moves nothing.
func (c *Channel) Refund(ctx context.Context, m payment.Merchant, r payment.RefundRequest) (payment.RefundAnswer, error) {
	const what = "refund"
	a, err := c.reach(m)
	if err != nil {
		return payment.RefundAnswer{}, err
	}
	var said *sdk.TradeRefundRsp
	err = a.ask(ctx, func(ctx context.Context, c *sdk.Client) (err error) {
		said, err = c.TradeRefund(ctx, sdk.TradeRefund{
			OutTradeNo: r.TradeNo, OutRequestNo: r.RefundNo, RefundAmount: r.Amount.String(), RefundReason: payment.PlainText(r.Reason, maxReason),
		})
		return err
	})
	if said == nil {
		said = &sdk.TradeRefundRsp{}
	}
	if err := outcome(what, err, said.Error); err != nil {
		return payment.RefundAnswer{}, err
	}
	if said.OutTradeNo != r.TradeNo {
		return payment.RefundAnswer{}, another(what)
	}
	if said.FundChange != "Y" {
		return a.queryRefund(ctx, r.TradeNo, r.RefundNo)
	}
	// The reply's amount is the total of all refunds of the trade.
	if total, err := evcs.ParseMoney(said.RefundFee); err != nil || total < r.Amount {
		return payment.RefundAnswer{}, another(what)
	}
	// Alipay's own time of the refund is told by the query only, which may be too
	// early for it.
	if listed, err := a.queryRefund(ctx, r.TradeNo, r.RefundNo); err == nil && listed.State == payment.RefundSuccess {
		return listed, nil
	}
	return payment.RefundAnswer{State: payment.RefundSuccess, ChannelRefundNo: said.TradeNo, Amount: r.Amount}, nil
}

// QueryRefund implements payment.Channel. A refund that the gateway does not
// list is PROCESSING: the call for it may still come.
func (c *Channel) QueryRefund(ctx context.Context, m payment.Merchant, tradeNo, refundNo string) (payment.RefundAnswer, error) {
	a, err := c.reach(m)
	if err != nil {
		return payment.RefundAnswer{}, err
	}
	return a.queryRefund(ctx, tradeNo, refundNo)
}

func (a *account) queryRefund(ctx context.Context, tradeNo, refundNo string) (payment.RefundAnswer, error) {
	const what = "query a refund"
	var said *sdk.TradeFastPayRefundQueryRsp
	err := a.ask(ctx, func(ctx context.Context, c *sdk.Client) (err error) {
		said, err = c.TradeFastPayRefundQuery(ctx, sdk.TradeFastPayRefundQuery{
			OutTradeNo: tradeNo, OutRequestNo: refundNo, QueryOptions: []string{"gmt_refund_pay"},
		})
		return err
	})
	if said == nil {
		said = &sdk.TradeFastPayRefundQueryRsp{}
	}
	if has(err, said.Error, tradeNotExist) || has(err, said.Error, "ACQ.REFUND_NOT_EXIST") {
		return payment.RefundAnswer{State: payment.RefundProcessing}, nil
	}
	if err := outcome(what, err, said.Error); err != nil {
		return payment.RefundAnswer{}, err
	}
	if said.TradeNo == "" || said.OutRequestNo == "" || said.RefundAmount == "" || said.RefundStatus != "" && said.RefundStatus != "REFUND_SUCCESS" {
		return payment.RefundAnswer{State: payment.RefundProcessing}, nil
	}
	if said.OutTradeNo != tradeNo || said.OutRequestNo != refundNo {
		return payment.RefundAnswer{}, another(what)
	}
	amount, err := evcs.ParseMoney(said.RefundAmount)
	if err != nil || amount <= 0 {
		return payment.RefundAnswer{}, another(what)
	}
	return payment.RefundAnswer{State: payment.RefundSuccess, ChannelRefundNo: said.TradeNo, Amount: amount, AcceptedAt: local(said.GMTRefundPay)}, nil
}
