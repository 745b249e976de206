package httpapi

import (
	"encoding/json"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/payment"
)

func paymentJSON(p payment.Payment) api.Payment {
	out := api.Payment{
		PaymentID: int64(p.ID), TenantID: int64(p.Tenant), OrderID: int64(p.Order), OrderNo: p.OrderNo, UserID: idOrNil(p.UserRef), TradeNo: p.TradeNo,
		ChannelTradeNo: textOrNil(p.ChannelTradeNo), PaymentMethod: string(p.Method), Channel: p.Channel, Amount: api.Money(p.Amount), Status: int(p.Status),
		StatusName: p.Status.String(), PayParams: p.PayParams, PayURL: textOrNil(p.PayURL), Description: textOrNil(p.Description),
		ExpireTime: api.AtOrNil(p.ExpireAt), PaidTime: api.AtOrNil(p.PaidAt), RefundedAmount: api.Money(p.Refunded), RefundableAmount: api.Money(p.Refundable()),
		Fee: (*api.Money)(p.Fee), Sandbox: p.Sandbox, FailureCode: textOrNil(p.FailureCode), FailureMessage: textOrNil(p.FailureMessage),
		MerchantID: idOrNil(p.Merchant), LastQueryTime: api.AtOrNil(p.LastQueryAt), CreateTime: api.At(p.CreatedAt), UpdateTime: api.At(p.UpdatedAt),
		Version: p.Version,
	}
	if len(out.PayParams) == 0 {
		out.PayParams = json.RawMessage("null")
	}
	return out
}

func refundJSON(r payment.Refund) api.Refund {
	return api.Refund{
		RefundID: int64(r.ID), RefundNo: r.RefundNo, PaymentID: int64(r.Payment), TradeNo: r.TradeNo, OrderID: int64(r.Order), RefundAmount: api.Money(r.Amount),
		RefundStatus: int(r.Status), StatusName: r.Status.String(), RefundReason: r.Reason, ChannelRefundNo: textOrNil(r.ChannelRefundNo),
		Automatic: textOrNil(r.Automatic), FailureCode: textOrNil(r.FailureCode), FailureMessage: textOrNil(r.FailureMessage),
		RequestedBy: textOrNil(r.RequestedBy), Approval: textOrNil(string(r.Approval)), DecidedBy: textOrNil(r.DecidedBy), DecidedTime: api.AtOrNil(r.DecidedAt),
		DecisionNote: textOrNil(r.DecisionNote), CreateTime: api.At(r.CreatedAt), SuccessTime: api.AtOrNil(r.SuccessAt),
	}
}
