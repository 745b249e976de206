package cli

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/client"
)

func newPriceGroup(e *env) *cobra.Command {
	return group("price", "Why a session costs what it does", newPriceExplain(e))
}

// priceOptions is a session that did not happen.
type priceOptions struct {
	plan, charger      int64
	start, end, energy string
}

func newPriceExplain(e *env) *cobra.Command {
	var opts priceOptions
	c := verb("explain [order]", "Explain the price of an order, or of a session that did not happen, line by line", cobra.MaximumNArgs(1),
		func(ctx context.Context, args []string) error { return priceExplain(ctx, e, args, opts) })
	c.Long = "Explain the price of an order, or of a session that did not happen, line by line: which segment of which\n" +
		"day, the readings at the cuts, and the sums as they were done. An order goes by its id or\n" +
		"its number. Without one: --plan or --charger, with --start, --end and --energy; the same function prices both.\n\n" +
		"Exit code 6 when pricing the readings of an order again does not give what was billed."
	c.Flags().Int64Var(&opts.plan, "plan", 0, "plan to price by")
	c.Flags().Int64Var(&opts.charger, "charger", 0, "charger whose plan is chosen as at a start")
	c.Flags().StringVar(&opts.start, "start", "", "start, RFC 3339")
	c.Flags().StringVar(&opts.end, "end", "", "end, RFC 3339")
	c.Flags().StringVar(&opts.energy, "energy", "", "kWh")
	return c
}

// request is the body that asks for the session.
func (o priceOptions) request() (api.ExplainRequest, error) {
	var body api.ExplainRequest
	if (o.plan == 0) == (o.charger == 0) || o.start == "" || o.end == "" || o.energy == "" {
		return body, usage("name an order, or --plan or --charger with --start, --end and --energy")
	}
	start, err := moment("start", o.start)
	if err != nil {
		return body, err
	}
	end, err := moment("end", o.end)
	if err != nil {
		return body, err
	}
	energy, err := decimal[api.KWh]("energy", o.energy)
	return api.ExplainRequest{PlanID: id(o.plan), ChargerID: id(o.charger), StartTime: *start, EndTime: *end, Energy: energy}, err
}

// errDisagrees says that the readings no longer give what was billed.
var errDisagrees = fmt.Errorf("pricing the readings again does not give what was billed")

func priceExplain(ctx context.Context, e *env, args []string, opts priceOptions) error {
	form, err := e.format()
	if err != nil {
		return err
	}
	var ask func(context.Context, *client.Client) (api.Explanation, error)
	if len(args) == 1 {
		if opts != (priceOptions{}) {
			return usage("an order needs none of --plan, --charger, --start, --end, --energy")
		}
		ask = func(ctx context.Context, c *client.Client) (api.Explanation, error) {
			target, err := orderOf(ctx, c, args[0])
			if err != nil {
				return api.Explanation{}, err
			}
			return c.Prices.ExplainOrder(ctx, target)
		}
	} else {
		body, err := opts.request()
		if err != nil {
			return err
		}
		ask = func(ctx context.Context, c *client.Client) (api.Explanation, error) {
			return c.Prices.Explain(ctx, body)
		}
	}
	c, err := e.client()
	if err != nil {
		return err
	}
	ctx, cancel := e.deadline(ctx, 0)
	defer cancel()
	x, err := ask(ctx, c)
	if err != nil {
		return err
	}
	switch form {
	case formatJSON, formatYAML:
		err = e.object(ctx, x)
	case formatTable:
		_, err = e.Out.Write(e.explained(x))
	default:
		err = e.list(ctx, x.Lines, explainColumns, -1)
	}
	if err == nil && !x.Agrees {
		return &exitError{exitConflict, errDisagrees}
	}
	return err
}

// orderOf finds an order by its id or its number.
func orderOf(ctx context.Context, c *client.Client, name string) (int64, error) {
	if !strings.HasPrefix(name, "ORD-") {
		return parseID(name)
	}
	found, err := c.Orders.List(ctx, client.Query{"orderNo": name})
	if err != nil {
		return 0, err
	}
	for _, o := range found.Records {
		if o.OrderNo == name {
			return o.OrderID, nil
		}
	}
	return 0, &exitError{exitNotFound, fmt.Errorf("there is no order %s", name)}
}

var explainColumns = []column{
	{"lineNo", "NO", "行", nil},
	{"kind", "KIND", "类型", nil},
	{"periodKind", "PERIOD", "时段", nil},
	{"from", "FROM", "从", nil},
	{"to", "TO", "到", nil},
	{"energy", "KWH", "电量", nil},
	{"energyPrice", "ENERGY", "电价", nil},
	{"serviceFee", "SERVICE", "服务费", nil},
	{"minutes", "MIN", "分钟", nil},
	{"dayClass", "DAY", "日类", nil},
	{"calendar", "CALENDAR", "日历", nil},
	{"amount", "YUAN", "金额", nil},
	{"arithmetic", "SUMS", "算式", nil},
}

// explained is an explanation for a person to read.
func (e *env) explained(x api.Explanation) []byte {
	var out bytes.Buffer
	zone, err := time.LoadLocation(x.TimeZone)
	if err != nil {
		zone = time.UTC // a machine without zones: the times say so
	}
	clock := func(t api.TimeMS) string { return t.Std().In(zone).Format("2006-01-02 15:04:05.999") }
	say := func(en, zh string, args ...any) { fmt.Fprintf(&out, e.say(en, zh)+"\n", args...) }
	if x.OrderNo != nil {
		say("Order %s (%d)", "订单 %s (%d)", *x.OrderNo, deref(x.OrderID))
	}
	if x.PlanCode == nil {
		say("No tariff: nothing is priced", "没有计费方案: 未计价")
	} else {
		say("Plan %s %q, revision %d%s", "计费方案 %s %q, 版本 %d%s", *x.PlanCode, deref(x.PlanName), deref(x.Revision), e.chosenBy(x.Choice))
	}
	for _, k := range x.Candidates {
		fmt.Fprintf(&out, "  %-20s %s\n", k.Code, planWhy(e, k.Why))
	}
	say("%s to %s, wall clock of %s, %s kWh", "%s 至 %s, %s 时间, %s kWh", clock(x.StartTime), clock(x.EndTime), zone, x.Energy)
	if x.Running {
		say("The session goes on: an estimate", "充电进行中: 以下为估算")
	}
	for _, l := range x.Lines {
		e.explainLine(&out, l, zone)
	}
	for _, p := range x.DroppedSamples {
		say("  left out: the reading of %s, %s kWh", "  舍弃读数: %s, %s kWh", clock(p.Time), p.Energy)
	}
	say("\nSum %s", "\n合计 %s", x.Amount)
	if x.BilledAmount != nil && x.Agrees {
		say("Billed %s: agrees", "账单 %s: 一致", *x.BilledAmount)
	} else if x.BilledAmount != nil {
		say("Billed %s: does not agree; the lines that were billed:", "账单 %s: 不一致; 账单明细:", *x.BilledAmount)
		for _, l := range x.BilledLines {
			fmt.Fprintf(&out, "  %s\n", lineText(e, l, zone))
		}
	}
	return out.Bytes()
}

func deref[T any](p *T) T {
	var zero T
	if p == nil {
		return zero
	}
	return *p
}

func (e *env) chosenBy(choice *string) string {
	if choice == nil {
		return ""
	}
	return " (" + worded(
		map[string]string{"ASKED": "asked for", "CHARGER": "the charger's own", "STATION": "the station's", "TENANT": "the tenant's"},
		map[string]string{"ASKED": "指定", "CHARGER": "充电桩绑定", "STATION": "站点方案", "TENANT": "租户方案"},
	)(e, *choice) + ")"
}

func planWhy(e *env, text string) string {
	return worded(
		map[string]string{
			"CHOSEN": "✔ chosen", "ASSIGNED": "another is assigned", "DISABLED": "assigned, but disabled", "DATES": "not valid on that day",
			"STATION": "assigned, but of another station", "TENANT_WIDE": "a plan of the station goes first", "PRIORITY": "lower priority",
			"DEFAULT": "another is the default", "OLDER": "another is newer",
		},
		map[string]string{
			"CHOSEN": "✔ 选用", "ASSIGNED": "已绑定其他方案", "DISABLED": "已绑定但停用", "DATES": "不在有效期", "STATION": "已绑定但属于其他站点",
			"TENANT_WIDE": "站点方案优先", "PRIORITY": "优先级较低", "DEFAULT": "其他方案为默认", "OLDER": "其他方案更新",
		},
	)(e, text)
}

// lineKind words a kind of line.
func lineKind(e *env, kind string) string {
	return worded(
		map[string]string{
			"START": "start fee", "ENERGY": "energy", "IDLE": "idle", "PARKING": "parking", "MINIMUM": "to the minimum", "CAP": "above the cap",
			"DISCOUNT": "discount",
		},
		map[string]string{"START": "启动费", "ENERGY": "电量", "IDLE": "占位费", "PARKING": "停车费", "MINIMUM": "最低消费补足", "CAP": "封顶减免", "DISCOUNT": "优惠"},
	)(e, kind)
}

func periodKind(e *env, kind string) string {
	return worded(
		map[string]string{"SHARP": "sharp", "PEAK": "peak", "FLAT": "flat", "VALLEY": "valley"},
		map[string]string{"SHARP": "尖", "PEAK": "峰", "FLAT": "平", "VALLEY": "谷"},
	)(e, kind)
}

func dayClass(e *env, class string) string {
	return worded(
		map[string]string{
			"MON": "Monday", "TUE": "Tuesday", "WED": "Wednesday", "THU": "Thursday", "FRI": "Friday", "SAT": "Saturday", "SUN": "Sunday", "HOLIDAY": "holiday",
		},
		map[string]string{
			"MON": "周一", "TUE": "周二", "WED": "周三", "THU": "周四", "FRI": "周五", "SAT": "周六", "SUN": "周日", "HOLIDAY": "节假日",
		},
	)(e, class)
}

// lineText is a bill line on one line.
func lineText(e *env, l api.Line, zone *time.Location) string {
	words := []string{lineKind(e, l.Kind)}
	if l.PeriodKind != nil {
		words = append(words, periodKind(e, *l.PeriodKind))
	}
	words = append(words, l.From.Std().In(zone).Format("01-02 15:04:05")+" – "+l.To.Std().In(zone).Format("01-02 15:04:05"))
	if l.Energy != nil {
		words = append(words, l.Energy.String()+" kWh")
	}
	if l.Minutes != nil {
		words = append(words, fmt.Sprintf("%d min", *l.Minutes))
	}
	words = append(words, "= "+l.Amount.String())
	if l.Reason != nil {
		words = append(words, "("+flat(*l.Reason)+")")
	}
	return strings.Join(words, "  ")
}

func (e *env) explainLine(out *bytes.Buffer, l api.ExplainedLine, zone *time.Location) {
	fmt.Fprintf(out, "\n%2d  %s\n", l.LineNo, lineText(e, l.Line, zone))
	say := func(en, zh string, args ...any) { fmt.Fprintf(out, "      "+e.say(en, zh)+"\n", args...) }
	if l.Segment != nil {
		whose := e.say("the plan's own", "方案基本时段")
		if l.Calendar != nil {
			whose = fmt.Sprintf(e.say("calendar %d of the plan", "方案日历 %d"), *l.Calendar+1)
		}
		say("segment %s–%s, %s, counts as %s (%s)", "时段 %s–%s, %s 按 %s 计 (%s)", l.Segment.StartTime, l.Segment.EndTime, deref(l.Date),
			strings.TrimSpace(dayClass(e, deref(l.DayClass))+" "+flat(deref(l.DayName))), whose)
	}
	for _, c := range []*api.Cut{l.Begins, l.Ends} {
		if c == nil {
			continue
		}
		at := c.Time.Std().In(zone).Format("15:04:05.999")
		switch {
		case c.How == "READING" && c.Before != nil:
			say("%s: a reading, %s kWh", "%s: 读数 %s kWh", at, c.Energy)
		case c.Before != nil && c.After != nil:
			say("%s: between the readings of %s (%s) and %s (%s), %s kWh", "%s: 在 %s (%s) 与 %s (%s) 两次读数之间, %s kWh", at,
				c.Before.Time.Std().In(zone).Format("15:04:05.999"), c.Before.Energy, c.After.Time.Std().In(zone).Format("15:04:05.999"), c.After.Energy, c.Energy)
		case c.How == "START":
			say("%s: start of the session", "%s: 充电开始", at)
		default:
			say("%s: end of the session, %s kWh", "%s: 充电结束, %s kWh", at, c.Energy)
		}
	}
	for _, sum := range l.Arithmetic {
		fmt.Fprintf(out, "      %s\n", sum)
	}
}

// newOrderReprice prices a held order by another plan and shows what changes.
func newOrderReprice(e *env) *cobra.Command {
	body := &bodyFlags{env: e, flags: []bodyFlag{
		{"plan", "billingPlanId", "plan", true}, {"reason", "reason", "reason", true}, {"dry-run", "dryRun", "show the new bill and change nothing", false},
	}}
	c := verb("reprice <order-id>", "Price a held order by another plan and show what changes", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		target, err := parseID(args[0])
		if err != nil {
			return err
		}
		request, err := readBody[api.RepriceOrder](body)
		if err != nil {
			return err
		}
		return orderReprice(ctx, e, target, request)
	})
	body.register(c)
	return switches(c, "dry-run")
}

func orderReprice(ctx context.Context, e *env, order int64, request api.RepriceOrder) error {
	form, err := e.format()
	if err != nil {
		return err
	}
	if form != formatTable {
		return act(ctx, e, 0, func(ctx context.Context, c *client.Client) (api.RepricedOrder, error) {
			return c.Orders.Reprice(ctx, order, request)
		})
	}
	c, err := e.client()
	if err != nil {
		return err
	}
	ctx, cancel := e.deadline(ctx, 0)
	defer cancel()
	made, err := c.Orders.Reprice(ctx, order, request)
	if err != nil {
		return err
	}
	_, err = e.Out.Write(e.repriced(made))
	return err
}

// repriced is the difference of two bills for a person: lines that went with
// −, lines that came with +.
func (e *env) repriced(made api.RepricedOrder) []byte {
	var out bytes.Buffer
	texts := func(lines []api.Line) []string {
		list := make([]string, len(lines))
		for i, l := range lines {
			list[i] = lineText(e, l, time.Local)
		}
		return list
	}
	before, after := texts(made.LinesBefore), texts(made.Lines)
	for _, line := range before {
		mark := "−"
		for _, other := range after {
			if other == line {
				mark = " "
			}
		}
		fmt.Fprintf(&out, "%s %s\n", mark, line)
	}
	for _, line := range after {
		known := false
		for _, other := range before {
			known = known || other == line
		}
		if !known {
			fmt.Fprintf(&out, "+ %s\n", line)
		}
	}
	fmt.Fprintf(&out, e.say("\n%s: %s → %s (%s)\n", "\n%s: %s → %s (%s)\n"), made.OrderNo, made.AmountBefore, made.Amount, plus(made.Difference))
	return out.Bytes()
}

// plus writes a difference with its sign.
func plus(m api.Money) string {
	if m > 0 {
		return "+" + m.String()
	}
	return m.String()
}
