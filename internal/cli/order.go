package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"time"

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
			{"calendars", "calendars", "JSON list of days with segments of their own", false},
			{"start-fee", "startFee", "yuan, once of a session that took energy", false},
			{"min", "minAmount", "yuan, least amount of a session that took energy", false},
			{"max", "maxAmount", "yuan, highest amount of a session", false},
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
		switches(newBodyVerb(e, "assign <plan-id>", "Give a plan to chargers", []bodyFlag{
			{"chargers", "chargerIds", "charger ids, comma separated", true}, {"unassign", "unassign", "take the plan away", false},
		}, func(ctx context.Context, c *client.Client, id int64, b api.AssignPlan) (api.PlanAssigned, error) {
			return c.Plans.Assign(ctx, id, b)
		}), "unassign"),
		newBodyVerb(e, "clone <plan-id>", "Copy a plan under another code", []bodyFlag{
			{"name", "name", "name of the copy", true}, {"code", "code", "code of the copy", true}, {"station", "stationId", "only for this station", false},
		}, func(ctx context.Context, c *client.Client, id int64, b api.ClonePlan) (api.Plan, error) {
			return c.Plans.Clone(ctx, id, b)
		}),
		newPlanValidate(e), newPlanQuote(e), newPlanEffective(e), newPlanExport(e), newPlanImport(e),
		newShowAs(e, "snapshot <snapshot-id>", "Show the frozen prices an order is billed by", func(c *client.Client) func(context.Context, int64) (api.Snapshot, error) {
			return c.Plans.Snapshot
		}),
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
	var file, segments string
	c := verb("validate", "Check segments and calendars without storing them; exit code 2 when they are not valid", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		fields := map[string]json.RawMessage{}
		switch {
		case (file == "") == (segments == ""):
			return usage("--file or --segments is required")
		case file == "":
			fields["segments"] = json.RawMessage(segments)
		default:
			if err := e.readFile(file, &fields); err != nil {
				return err
			}
			// of a whole plan, what is checked here
			maps.DeleteFunc(fields, func(name string, _ json.RawMessage) bool { return name != "segments" && name != "calendars" })
		}
		joined, err := json.Marshal(fields)
		if err != nil {
			return usage("--segments is not JSON: %v", err)
		}
		var request api.ValidatePlan
		if err := strict(joined, &request); err != nil {
			return err
		}
		return planValidate(ctx, e, request)
	})
	c.Flags().StringVarP(&file, "file", "f", "", "read a plan from a JSON or YAML file, - for standard input")
	c.Flags().StringVar(&segments, "segments", "", "JSON list of segments")
	return c
}

func newPlanEffective(e *env) *cobra.Command {
	var at string
	c := verb("effective <charger-id>", "Show the plan and the segment a charger bills by now, or at --at", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		if _, err := parseID(args[0]); err != nil {
			return err
		}
		return act(ctx, e, 0, func(ctx context.Context, c *client.Client) (api.EffectivePlan, error) {
			return c.Plans.Effective(ctx, client.Query{"chargerId": args[0]}.With("at", at))
		})
	})
	c.Flags().StringVar(&at, "at", "", "moment; now by default")
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
		newNamed(e, "find <session-id>", "Show the order of a session", func(ctx context.Context, c *client.Client, session string) (api.Order, error) {
			return c.Orders.BySession(ctx, session)
		}),
		newOrderStart(e), newOrderStop(e), newOrderRefund(e),
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
		newOrderReprice(e),
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

// newOrderStart starts charging by an order, as an app does: by the charger's
// code or id, for a driver.
func newOrderStart(e *env) *cobra.Command {
	body := &bodyFlags{env: e, flags: []bodyFlag{
		{"charger", "chargerId", "charger id", true},
		{"connector", "connectorNo", "connector number; needed when there are several", false},
		{"user", "userId", "driver, in your own numbering", false},
		{"plan", "billingPlanId", "billing plan instead of the charger's", false},
		{"card", "idTag", "card the session belongs to", false},
		{"session", "sessionId", "session id of your own; repeating it starts nothing twice", false},
	}}
	var wait time.Duration
	c := verb("start", "Start charging by an order", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		request, err := readBody[api.StartOrder](body)
		if err != nil {
			return err
		}
		if request.Wait, err = seconds(wait, maxWaitSeconds); err != nil {
			return err
		}
		return act(ctx, e, wait, func(ctx context.Context, c *client.Client) (api.OrderResult, error) {
			return c.Orders.Start(ctx, request)
		})
	})
	body.register(c)
	c.Flags().DurationVar(&wait, "wait", defaultWait, "how long the charger may take; 0 returns at once")
	return c
}

// newOrderStop stops the session of an order.
func newOrderStop(e *env) *cobra.Command {
	var wait time.Duration
	var reason string
	c := verb("stop <order-id>", "Stop the session of an order", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		target, err := parseID(args[0])
		if err != nil {
			return err
		}
		body := api.StopOrder{OrderID: &target, Reason: text(reason)}
		if body.Wait, err = seconds(wait, maxWaitSeconds); err != nil {
			return err
		}
		if err := e.confirmIfPerson(fmt.Sprintf(e.say("Stop charging of order %d?", "停止订单 %d 的充电?"), target)); err != nil {
			return err
		}
		return act(ctx, e, wait, func(ctx context.Context, c *client.Client) (api.OrderResult, error) { return c.Orders.Stop(ctx, body) })
	})
	c.Flags().StringVar(&reason, "reason", "", "reason, kept with the order")
	c.Flags().DurationVar(&wait, "wait", defaultWait, "how long the charger may take; 0 returns at once")
	return c
}

// newOrderRefund gives back what an order was paid.
func newOrderRefund(e *env) *cobra.Command {
	var amount, reason string
	c := verb("refund <order-id>", "Give back what an order was paid, all that is left by default", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		target, err := parseID(args[0])
		if err != nil {
			return err
		}
		part, err := decimal[api.Money]("amount", amount)
		if err != nil {
			return err
		}
		if reason == "" {
			return usage("--reason is required")
		}
		if err := e.confirm(fmt.Sprintf(e.say("Refund order %d?", "退款订单 %d?"), target)); err != nil {
			return err
		}
		return act(ctx, e, 0, func(ctx context.Context, c *client.Client) (api.Order, error) {
			return c.Payments.RefundOrder(ctx, target, api.RefundOrder{Amount: part, Reason: reason})
		})
	})
	c.Flags().StringVar(&amount, "amount", "", "yuan; all that is left by default")
	c.Flags().StringVar(&reason, "reason", "", "why (required)")
	return c
}
