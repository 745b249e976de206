package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/client"
)

var timeFilters = []filter{{"from", "startTime", "not before"}, {"to", "endTime", "before"}}

func newPlanGroup(e *env) *cobra.Command {
	flags := func(required bool) []bodyFlag {
		return []bodyFlag{
			{"name", "name", "name", required},
			{"code", "code", "code, unique in the tenant", required},
			{"segments", "segments", "JSON list of segments; usually by --file", required},
			{"priority", "priority", "-1000 to 1000", false},
			{"remark", "remark", "remark", false},
		}
	}
	return group(
		"plan", "Billing plans: what energy costs at which time",
		newList(e, listSpec[api.Plan]{
			short: "List plans",
			columns: []column{
				{"planId", "ID", "编号", nil},
				{"code", "CODE", "编码", nil},
				{"name", "NAME", "名称", nil},
				{"stationId", "STATION", "站点", nil},
				{"kind", "KIND", "类型", nil},
				{"isDefault", "DEFAULT", "默认", yesNo},
				{"status", "STATUS", "状态", enabled},
				{"priority", "PRIORITY", "优先级", nil},
				{"revision", "REV", "版本", nil},
			},
			filters: []filter{{"station", "stationId", "station id"}, {"name", "name", "name contains"}, {"code", "code", "code contains"}, {"status", "status", "0 or 1"}},
			fetch: func(c *client.Client) func(context.Context, client.Query) (api.Page[api.Plan], error) {
				return c.Plans.List
			},
		}),
		newShow(e, "<plan-id>", "Show a plan with its segments", func(c *client.Client) func(context.Context, int64) (api.Plan, error) { return c.Plans.Get }),
		newCreate(e, "Create a plan, usually with --file", append(flags(true), bodyFlag{"station", "stationId", "only for this station", false}),
			func(c *client.Client) func(context.Context, api.CreatePlan) (api.Plan, error) { return c.Plans.Create }),
		newUpdate(e, "<plan-id>", "Change a plan; segments replace all of them", flags(false),
			func(c *client.Client) func(context.Context, int64, api.UpdatePlan) (api.Plan, error) {
				return c.Plans.Update
			}),
		newDelete(e, "<plan-id>", "Delete a plan nobody uses", func(c *client.Client) func(context.Context, int64) error { return c.Plans.Delete }),
		newSwitch(e, "default", "<plan-id>", "Make a plan the default", func(ctx context.Context, c *client.Client, id int64) (api.Plan, error) {
			return c.Plans.MakeDefault(ctx, id)
		}),
		newBodyVerb(e, "assign <plan-id>", "Give a plan to chargers", []bodyFlag{
			{"chargers", "chargerIds", "charger ids, comma separated", true}, {"unassign", "unassign", "1 takes the plan away", false},
		}, func(ctx context.Context, c *client.Client, id int64, b api.AssignPlan) (api.PlanAssigned, error) {
			return c.Plans.Assign(ctx, id, b)
		}),
		newPlanValidate(e), newPlanQuote(e),
	)
}

// newBodyVerb is a verb on one object whose flags make a request body.
func newBodyVerb[B, T any](e *env, use, short string, flags []bodyFlag, call func(context.Context, *client.Client, int64, B) (T, error)) *cobra.Command {
	body := &bodyFlags{env: e, flags: flags}
	c := verb(use, short, cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		target, err := parseID(args[0])
		if err != nil {
			return err
		}
		request, err := readBody[B](body)
		if err != nil {
			return err
		}
		return act(ctx, e, 0, func(ctx context.Context, c *client.Client) (T, error) { return call(ctx, c, target, request) })
	})
	body.register(c)
	return c
}

func newPlanValidate(e *env) *cobra.Command {
	body := &bodyFlags{env: e, flags: []bodyFlag{{"segments", "segments", "JSON list of segments", true}}}
	c := verb("validate", "Check segments without storing them (--file); exit code 2 when they are not valid", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		request, err := readBody[api.ValidatePlan](body)
		if err != nil {
			return err
		}
		return planValidate(ctx, e, request)
	})
	body.register(c)
	return c
}

func planValidate(ctx context.Context, e *env, request api.ValidatePlan) error {
	valid := false
	err := act(ctx, e, 0, func(ctx context.Context, c *client.Client) (api.PlanValidity, error) {
		found, err := c.Plans.Validate(ctx, request)
		valid = found.Valid
		return found, err
	})
	if err == nil && !valid {
		return &exitError{exitUsage, nil}
	}
	return err
}

// quoteOptions is what is priced.
type quoteOptions struct{ from, to, energy string }

func newPlanQuote(e *env) *cobra.Command {
	var opts quoteOptions
	c := verb("quote <plan-id>", "Price energy by the function that bills", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		target, err := parseID(args[0])
		if err != nil {
			return err
		}
		return planQuote(ctx, e, target, opts)
	})
	c.Flags().StringVar(&opts.from, "from", "", "start, RFC 3339 (required)")
	c.Flags().StringVar(&opts.to, "to", "", "end, RFC 3339 (required)")
	c.Flags().StringVar(&opts.energy, "energy", "", "kWh (required)")
	return c
}

func planQuote(ctx context.Context, e *env, plan int64, opts quoteOptions) error {
	if opts.from == "" || opts.to == "" || opts.energy == "" {
		return usage("--from, --to and --energy are required")
	}
	from, err := moment("from", opts.from)
	if err != nil {
		return err
	}
	to, err := moment("to", opts.to)
	if err != nil {
		return err
	}
	energy, err := decimal[api.KWh]("energy", opts.energy)
	if err != nil {
		return err
	}
	return act(ctx, e, 0, func(ctx context.Context, c *client.Client) (api.Quote, error) {
		return c.Plans.Quote(ctx, plan, api.QuoteRequest{StartTime: *from, EndTime: *to, Energy: energy})
	})
}

func newOrderGroup(e *env) *cobra.Command {
	return group(
		"order", "Charging orders",
		newOrderList(e),
		newShow(e, "<order-id>", "Show an order with its bill", func(c *client.Client) func(context.Context, int64) (api.Order, error) { return c.Orders.Get }),
		newOrderTimeline(e),
		newSwitch(e, "to-pay", "<order-id>", "Release an order for payment, also a held one", func(ctx context.Context, c *client.Client, id int64) (api.Order, error) {
			return c.Orders.ToPay(ctx, id)
		}),
		newOrderCancel(e),
		newBodyVerb(e, "paid <order-id>", "Record that an order was paid outside", []bodyFlag{
			{"amount", "amount", "yuan; what is payable by default", false}, {"method", "method", "CASH, TRANSFER or OTHER", true}, {"reference", "reference", "reference", false},
		}, func(ctx context.Context, c *client.Client, id int64, b api.MarkPaid) (api.Order, error) {
			return c.Orders.Paid(ctx, id, b)
		}),
		newBodyVerb(e, "refunded <order-id>", "Confirm the pay-out of a refund made outside", []bodyFlag{{"reference", "reference", "reference", true}},
			func(ctx context.Context, c *client.Client, id int64, b api.ConfirmRefund) (api.Order, error) {
				return c.Orders.Refunded(ctx, id, b)
			}),
		newBodyVerb(e, "adjust <order-id>", "Give a discount", []bodyFlag{{"discount", "discountAmount", "yuan", true}, {"reason", "reason", "reason", true}},
			func(ctx context.Context, c *client.Client, id int64, b api.AdjustOrder) (api.Order, error) {
				return c.Orders.Adjust(ctx, id, b)
			}),
		newBodyVerb(e, "reprice <order-id>", "Price a held order by another plan", []bodyFlag{
			{"plan", "billingPlanId", "plan", true}, {"reason", "reason", "reason", true}, {"dry-run", "dryRun", "1 changes nothing", false},
		}, func(ctx context.Context, c *client.Client, id int64, b api.RepriceOrder) (api.RepricedOrder, error) {
			return c.Orders.Reprice(ctx, id, b)
		}),
	)
}

func newOrderList(e *env) *cobra.Command {
	return newList(e, listSpec[api.Order]{
		short: "List orders, newest first",
		columns: []column{
			{"orderId", "ID", "编号", nil},
			{"orderNo", "NUMBER", "订单号", nil},
			{"stationName", "STATION", "站点", nil},
			{"chargerCode", "CHARGER", "充电桩", nil},
			{"connectorNo", "NO", "枪号", nil},
			{"status", "STATUS", "状态", orderStatus},
			{"energy", "KWH", "电量", nil},
			{"amount", "YUAN", "金额", nil},
			{"held", "HELD", "挂起", yesNo},
			{"startTime", "STARTED", "开始", ago},
		},
		filters: append([]filter{
			{"station", "stationId", "station id"},
			{"charger", "chargerId", "charger id"},
			{"user", "userId", "driver"},
			{"status", "status", "0 charging, 1 completed, 2 cancelled, 10 to pay, 11 paid, 12 refunding, 13 refunded; several with commas"},
			{"number", "orderNo", "order number"},
			{"session", "sessionId", "session id"},
			{"held", "held", "true or false"},
			{"anomaly", "anomaly", "anomaly code"},
		}, timeFilters...),
		fetch: func(c *client.Client) func(context.Context, client.Query) (api.Page[api.Order], error) {
			return c.Orders.List
		},
	})
}

func newOrderTimeline(e *env) *cobra.Command {
	return verb("timeline <order-id>", "Show the life of an order", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		target, err := parseID(args[0])
		if err != nil {
			return err
		}
		c, err := e.client()
		if err != nil {
			return err
		}
		ctx, cancel := e.deadline(ctx, 0)
		defer cancel()
		steps, err := c.Orders.Timeline(ctx, target)
		if err != nil {
			return err
		}
		return e.list(ctx, steps, []column{
			{"time", "TIME", "时间", nil},
			{"event", "EVENT", "事件", nil},
			{"from", "FROM", "从", orderStatus},
			{"to", "TO", "到", orderStatus},
			{"by", "BY", "操作人", nil},
			{"detail", "DETAIL", "详情", nil},
		}, -1)
	})
}

func newOrderCancel(e *env) *cobra.Command {
	var reason string
	c := verb("cancel <order-id>", "Cancel an order; a bill is waived", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		target, err := parseID(args[0])
		if err != nil {
			return err
		}
		return orderCancel(ctx, e, target, reason)
	})
	c.Flags().StringVar(&reason, "reason", "", "why; required when there is something to pay")
	return c
}

func orderCancel(ctx context.Context, e *env, order int64, reason string) error {
	if err := e.confirm(fmt.Sprintf(e.say("Cancel order %d?", "取消订单 %d?"), order)); err != nil {
		return err
	}
	return act(ctx, e, defaultWait, func(ctx context.Context, c *client.Client) (api.Order, error) {
		return c.Orders.Cancel(ctx, order, api.CancelOrder{Reason: text(reason)})
	})
}

func newSessionGroup(e *env) *cobra.Command {
	return group(
		"session", "What chargers did: sessions and their curves",
		newList(e, listSpec[api.Session]{
			short: "List sessions",
			columns: []column{
				{"sessionId", "SESSION", "会话", nil},
				{"chargerId", "CHARGER", "充电桩", nil},
				{"connectorNo", "NO", "枪号", nil},
				{"state", "STATE", "状态", nil},
				{"energy", "KWH", "电量", nil},
				{"orderNo", "ORDER", "订单", nil},
				{"startTime", "STARTED", "开始", ago},
				{"anomalies", "ANOMALIES", "异常", nil},
			},
			filters: append([]filter{
				{"charger", "chargerId", "charger id"},
				{"station", "stationId", "station id"},
				{"user", "userId", "driver"},
				{"state", "state", "ACTIVE, SUSPENDED, ENDED, ORPHAN"},
				{"anomaly", "anomaly", "anomaly code"},
			}, timeFilters...),
			fetch: func(c *client.Client) func(context.Context, client.Query) (api.Page[api.Session], error) {
				return c.Sessions.List
			},
		}),
		verb("show <session-id>", "Show a session", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
			return act(ctx, e, 0, func(ctx context.Context, c *client.Client) (api.Session, error) { return c.Sessions.Get(ctx, args[0]) })
		}),
		newSessionCurve(e), newSessionAdopt(e), newSessionClose(e),
	)
}

func newSessionCurve(e *env) *cobra.Command {
	var points string
	c := verb("curve <session-id>", "Show the readings of a session", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		c, err := e.client()
		if err != nil {
			return err
		}
		ctx, cancel := e.deadline(ctx, 0)
		defer cancel()
		curve, err := c.Sessions.Curve(ctx, args[0], client.Query{}.With("maxPoints", points))
		if err != nil {
			return err
		}
		return e.list(ctx, curve.Points, []column{
			{"time", "TIME", "时间", nil},
			{"meter", "METER", "表底", nil},
			{"energy", "KWH", "电量", nil},
			{"power", "KW", "功率", nil},
			{"voltage", "V", "电压", nil},
			{"current", "A", "电流", nil},
			{"soc", "SOC %", "电量%", nil},
			{"temperature", "°C", "温度", nil},
		}, -1)
	})
	c.Flags().StringVar(&points, "points", "", "most points, 2 to 5000")
	return c
}

// adoptOptions is why and for whom an orphan becomes an order.
type adoptOptions struct {
	reason     string
	user, plan int64
}

func newSessionAdopt(e *env) *cobra.Command {
	var opts adoptOptions
	c := verb("adopt <session-id>", "Make an order of an orphan session", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		if opts.reason == "" {
			return usage("--reason is required")
		}
		return act(ctx, e, 0, func(ctx context.Context, c *client.Client) (api.Order, error) {
			return c.Sessions.Adopt(ctx, args[0], api.AdoptSession{Reason: opts.reason, UserID: id(opts.user), BillingPlanID: id(opts.plan)})
		})
	})
	c.Flags().StringVar(&opts.reason, "reason", "", "why (required)")
	c.Flags().Int64Var(&opts.user, "user", 0, "driver")
	c.Flags().Int64Var(&opts.plan, "plan", 0, "billing plan")
	return c
}

// closeOptions is how a session ends whose device is gone.
type closeOptions struct{ reason, meter, energy, at string }

func newSessionClose(e *env) *cobra.Command {
	var opts closeOptions
	c := verb("close <session-id>", "End a session whose device is gone", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		if opts.reason == "" {
			return usage("--reason is required")
		}
		return sessionClose(ctx, e, args[0], opts)
	})
	c.Flags().StringVar(&opts.reason, "reason", "", "why (required)")
	c.Flags().StringVar(&opts.meter, "meter-stop", "", "register at the end, kWh")
	c.Flags().StringVar(&opts.energy, "energy", "", "energy of the session, kWh")
	c.Flags().StringVar(&opts.at, "at", "", "when it ended, RFC 3339")
	return c
}

func sessionClose(ctx context.Context, e *env, session string, opts closeOptions) error {
	meter, err := decimal[api.KWh]("meter-stop", opts.meter)
	if err != nil {
		return err
	}
	energy, err := decimal[api.KWh]("energy", opts.energy)
	if err != nil {
		return err
	}
	at, err := moment("at", opts.at)
	if err != nil {
		return err
	}
	if err := e.confirm(fmt.Sprintf(e.say("Close session %s?", "关闭会话 %s?"), session)); err != nil {
		return err
	}
	return act(ctx, e, 0, func(ctx context.Context, c *client.Client) (api.Order, error) {
		return c.Sessions.Close(ctx, session, api.CloseSession{Reason: opts.reason, MeterStop: meter, Energy: energy, StopTime: at})
	})
}

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
	method, amount, key string
	expire              int
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
	return group("sandbox", "The sandbox channel: simulated money, shown as such", pay)
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
				{"refundReason", "REASON", "原因", nil},
				{"createTime", "CREATED", "创建", ago},
			},
			filters: append([]filter{{"order", "orderId", "order id"}, {"trade", "tradeNo", "trade number"}, {"status", "refundStatus", "1, 2 or 3"}}, timeFilters...),
			fetch: func(c *client.Client) func(context.Context, client.Query) (api.Page[api.Refund], error) {
				return c.Payments.Refunds
			},
		}),
		verb("show <refund-no>", "Show a refund", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
			return act(ctx, e, 0, func(ctx context.Context, c *client.Client) (api.Refund, error) {
				return c.Payments.GetRefund(ctx, args[0])
			})
		}),
		newRefundCreate(e),
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
