package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/client"
)

func newPaymentGroup(e *env) *cobra.Command {
	return group(
		"payment", "Payments",
		newList(e, listSpec[api.Payment]{
			short: "List payments, newest first",
			columns: []column{
				{"paymentId", "ID", "编号", nil},
				{"tradeNo", "TRADE NO", "交易号", nil},
				{"orderNo", "ORDER", "订单", nil},
				{"paymentMethod", "METHOD", "方式", nil},
				{"amount", "YUAN", "金额", nil},
				{"statusName", "STATUS", "状态", nil},
				{"refundedAmount", "REFUNDED", "已退", nil},
				{"sandbox", "SANDBOX", "沙箱", yesNo},
				{"createTime", "CREATED", "创建", ago},
			},
			filters: append([]filter{
				{"order", "orderId", "order id"}, {"trade", "tradeNo", "trade number"}, {"channel", "channel", "alipay, wechat, sandbox, offline"}, {"status", "status", "status code"},
			}, timeFilters...),
			fetch: func(c *client.Client) func(context.Context, client.Query) (api.Page[api.Payment], error) {
				return c.Payments.List
			},
		}),
		newShow(e, "<payment-id>", "Show a payment with its refunds", func(c *client.Client) func(context.Context, int64) (api.PaymentDetail, error) { return c.Payments.Get }),
		newPaymentCreate(e), newPaymentQuery(e), newSandboxPay(e),
		verb("close <trade-no>", "Close an unpaid payment", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
			return act(ctx, e, 0, func(ctx context.Context, c *client.Client) (api.Payment, error) {
				return c.Payments.Close(ctx, args[0])
			})
		}),
	)
}

// paymentOptions is what is collected and how.
type paymentOptions struct {
	method, amount, key, openID string
	expire                      int
}

func newPaymentCreate(e *env) *cobra.Command {
	var opts paymentOptions
	c := verb("create <order-id>", "Collect an order", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		target, err := parseID(args[0])
		if err != nil {
			return err
		}
		if opts.method == "" {
			return usage("--method is required")
		}
		return paymentCreate(ctx, e, target, opts)
	})
	c.Flags().StringVar(&opts.method, "method", "", "ALIPAY_APP, ALIPAY_QR, WECHAT_JSAPI, WECHAT_NATIVE or SANDBOX (required)")
	c.Flags().StringVar(&opts.amount, "amount", "", "yuan; what is payable by default, anything else is refused")
	c.Flags().StringVar(&opts.key, "key", "", "idempotency key; repeating it resumes the same payment")
	c.Flags().StringVar(&opts.openID, "open-id", "", "the payer at WeChat; WECHAT_JSAPI needs it")
	c.Flags().IntVar(&opts.expire, "expire-minutes", 0, "minutes until it expires")
	return c
}

func paymentCreate(ctx context.Context, e *env, order int64, opts paymentOptions) error {
	amount, err := decimal[api.Money]("amount", opts.amount)
	if err != nil {
		return err
	}
	return act(ctx, e, 0, func(ctx context.Context, c *client.Client) (api.Payment, error) {
		if amount == nil {
			owed, err := c.Orders.Get(ctx, order)
			if err != nil {
				return api.Payment{}, err
			}
			amount = &owed.PayableAmount
		}
		body := api.CreatePayment{OrderID: order, Amount: *amount, PaymentMethod: opts.method, IdempotentKey: text(opts.key)}
		if opts.expire != 0 {
			body.ExpireMinutes = &opts.expire
		}
		if opts.openID != "" {
			body.WechatOptions = &api.WechatOptions{OpenID: &opts.openID}
		}
		return c.Payments.Create(ctx, body)
	})
}

func newPaymentQuery(e *env) *cobra.Command {
	var refresh string
	c := verb("query <trade-no>", "Show a payment by its trade number, asking the channel when due", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		if err := oneOf("refresh", refresh, "auto", "never", "always"); err != nil {
			return err
		}
		return act(ctx, e, 0, func(ctx context.Context, c *client.Client) (api.QueriedPayment, error) {
			return c.Payments.Query(ctx, args[0], client.Query{}.With("refresh", refresh))
		})
	})
	c.Flags().StringVar(&refresh, "refresh", "", "auto, never or always")
	return c
}

func newSandboxPay(e *env) *cobra.Command {
	var outcome string
	pay := verb("pay <trade-no>", "Pay a payment of the sandbox channel", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		if err := oneOf("outcome", outcome, "SUCCESS", "FAIL", "WRONG_AMOUNT", "DUPLICATE_NOTIFY", "LATE"); err != nil {
			return err
		}
		return act(ctx, e, 0, func(ctx context.Context, c *client.Client) (api.Payment, error) {
			return c.Payments.SandboxPay(ctx, args[0], api.SandboxPay{Outcome: text(outcome)})
		})
	})
	pay.Flags().StringVar(&outcome, "outcome", "", "SUCCESS, FAIL, WRONG_AMOUNT, DUPLICATE_NOTIFY or LATE")
	return group("sandbox", "The sandbox channel: simulated money, shown as such", pay, newSandboxFaults(e))
}

// newSandboxFaults says what is wrong with the sandbox's statement of a day, to
// practise reconciliation.
func newSandboxFaults(e *env) *cobra.Command {
	body := &bodyFlags{env: e, flags: []bodyFlag{
		{"date", "date", "day of the statement, yyyy-MM-dd", true},
		{"amount", "amount", "rows whose amount is 0.01 off", false},
		{"missing", "missing", "rows left out", false},
		{"extra", "extra", "rows that nobody knows", false},
		{"status", "status", "rows that did not succeed", false},
		{"duplicate", "duplicate", "rows that come twice", false},
		{"fee", "fee", "rows whose fee is 1.00 off", false},
		{"not-ready", "notReady", "there is no statement yet", false},
		{"broken", "broken", "the totals do not add up", false},
	}}
	c := verb("faults", "Seed the sandbox's statement of a day with faults; without one it is clean again", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		request, err := readBody[api.StatementFaults](body)
		if err != nil {
			return err
		}
		if err := e.aimTenant(&request); err != nil {
			return err
		}
		return act(ctx, e, 0, func(ctx context.Context, c *client.Client) (api.StatementFaults, error) {
			return c.Payments.SeedFaults(ctx, request)
		})
	})
	body.register(c)
	return switches(c, "not-ready", "broken")
}

func newRefundGroup(e *env) *cobra.Command {
	return group(
		"refund", "Refunds",
		newList(e, listSpec[api.Refund]{
			short: "List refunds",
			columns: []column{
				{"refundNo", "REFUND NO", "退款号", nil},
				{"tradeNo", "TRADE NO", "交易号", nil},
				{"orderId", "ORDER", "订单", nil},
				{"refundAmount", "YUAN", "金额", nil},
				{"statusName", "STATUS", "状态", nil},
				{"approval", "APPROVAL", "复核", nil},
				{"refundReason", "REASON", "原因", nil},
				{"createTime", "CREATED", "创建", ago},
			},
			filters: append([]filter{{"order", "orderId", "order id"}, {"trade", "tradeNo", "trade number"}, {"status", "refundStatus", "1, 2 or 3"}, {"approval", "approval", "PENDING, APPROVED or REJECTED"}}, timeFilters...),
			fetch: func(c *client.Client) func(context.Context, client.Query) (api.Page[api.Refund], error) {
				return c.Payments.Refunds
			},
		}),
		verb("show <refund-no>", "Show a refund", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
			return act(ctx, e, 0, func(ctx context.Context, c *client.Client) (api.Refund, error) {
				return c.Payments.GetRefund(ctx, args[0])
			})
		}),
		newRefundCreate(e), newRefundApprove(e), newRefundReject(e),
	)
}

// refundOptions is what goes back and why.
type refundOptions struct{ amount, reason, key, trade string }

func newRefundCreate(e *env) *cobra.Command {
	var opts refundOptions
	c := verb("create [<order-id>]", "Give money back, in whole or in part", cobra.MaximumNArgs(1), func(ctx context.Context, args []string) error {
		body := api.CreateRefund{TradeNo: text(opts.trade), RefundReason: opts.reason, IdempotentKey: text(opts.key)}
		if len(args) == 1 {
			order, err := parseID(args[0])
			if err != nil {
				return err
			}
			body.OrderID = &order
		}
		if (body.OrderID == nil) == (body.TradeNo == nil) {
			return usage("name the order, or its payment by --trade, not both")
		}
		return refundCreate(ctx, e, opts, body)
	})
	c.Flags().StringVar(&opts.amount, "amount", "", "yuan (required)")
	c.Flags().StringVar(&opts.reason, "reason", "", "why (required)")
	c.Flags().StringVar(&opts.trade, "trade", "", "trade number instead of the order")
	c.Flags().StringVar(&opts.key, "key", "", "idempotency key; repeating it refunds nothing twice")
	return c
}

func refundCreate(ctx context.Context, e *env, opts refundOptions, body api.CreateRefund) error {
	amount, err := decimal[api.Money]("amount", opts.amount)
	if err != nil {
		return err
	}
	if amount == nil || opts.reason == "" {
		return usage("--amount and --reason are required")
	}
	body.RefundAmount = *amount
	if err := e.confirm(fmt.Sprintf(e.say("Refund %s yuan?", "退款 %s 元?"), amount)); err != nil {
		return err
	}
	return act(ctx, e, 0, func(ctx context.Context, c *client.Client) (api.Refund, error) { return c.Payments.Refund(ctx, body) })
}
