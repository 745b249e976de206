package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/client"
)

func newOverview(e *env) *cobra.Command {
	return newQuery(e, "overview", "Show the installation at one look: parts, figures, alerts", nil, func(ctx context.Context, c *client.Client, _ client.Query) (api.MonitoringOverview, error) {
		return c.Host.Overview(ctx)
	})
}

// errUnhealthy says that a part of the daemon is not up.
var errUnhealthy = errors.New("not every part is up")

func newHealth(e *env) *cobra.Command {
	c := verb("health [<part>]", "Show the state of every part, or of one with its nodes; exit code 7 when not all is up", cobra.MaximumNArgs(1), func(ctx context.Context, args []string) error {
		if len(args) == 1 {
			return healthOf(ctx, e, args[0])
		}
		return healthRun(ctx, e)
	})
	return c
}

const healthUp = "UP"

func healthOf(ctx context.Context, e *env, part string) error {
	status := ""
	err := act(ctx, e, 0, func(ctx context.Context, c *client.Client) (api.Health, error) {
		found, err := c.Host.Service(ctx, part)
		status = found.Status
		return found, err
	})
	if err == nil && status != healthUp {
		return &exitError{exitUnavailable, errUnhealthy}
	}
	return err
}

func healthRun(ctx context.Context, e *env) error {
	spec := readSpec[api.Health]{columns: []column{
		{"serviceName", "PART", "服务", nil},
		{"status", "STATUS", "状态", nil},
		{"instanceCount", "NODES", "节点", nil},
		{"unhealthyInstances", "UNHEALTHY", "异常节点", nil},
		{"responseTime", "MS", "毫秒", nil},
		{"lastCheckTime", "CHECKED", "检查", ago},
	}}
	down := false
	err := readRun(ctx, e, spec, func(ctx context.Context, c *client.Client) ([]api.Health, error) {
		found, err := c.Host.Services(ctx)
		down = slices.ContainsFunc(found, func(h api.Health) bool { return h.Status != healthUp })
		return found, err
	})
	if err == nil && down {
		return &exitError{exitUnavailable, errUnhealthy}
	}
	return err
}

func newVersions(e *env) *cobra.Command {
	return newRead(e, readSpec[api.ServiceVersion]{
		use: "versions", short: "List what each node of the server runs",
		columns: []column{
			{"serviceName", "PART", "服务", nil},
			{"instanceId", "NODE", "节点", nil},
			{"host", "HOST", "主机", nil},
			{"reachable", "REACHABLE", "可达", yesNo},
			{"buildVersion", "VERSION", "版本", nil},
			{"gitCommit", "COMMIT", "提交", nil},
			{"schemaVersion", "SCHEMA", "库版本", nil},
			{"startTime", "STARTED", "启动", ago},
		},
		fetch: func(c *client.Client) func(context.Context, client.Query) ([]api.ServiceVersion, error) {
			return func(ctx context.Context, _ client.Query) ([]api.ServiceVersion, error) { return c.Host.Versions(ctx) }
		},
	})
}

func newMetricsGroup(e *env) *cobra.Command {
	return group(
		"metrics", "Measured figures of the host, the operations and the trade",
		newQuery(e, "system", "Show processor, memory, disk, network, process and database", nil, func(ctx context.Context, c *client.Client, _ client.Query) (api.SystemMetrics, error) {
			return c.Host.System(ctx)
		}),
		newRead(e, readSpec[api.EndpointStats]{
			use: "performance", short: "Show how operations were answered",
			columns: []column{
				{"method", "METHOD", "方法", nil},
				{"endpoint", "PATH", "路径", nil},
				{"requestCount", "REQUESTS", "请求", nil},
				{"errorCount", "5XX", "5XX", nil},
				{"clientErrorCount", "4XX", "4XX", nil},
				{"p50ResponseTime", "P50 MS", "P50", nil},
				{"p95ResponseTime", "P95 MS", "P95", nil},
				{"p99ResponseTime", "P99 MS", "P99", nil},
				{"qps", "QPS", "QPS", nil},
			},
			filters: append([]filter{{"endpoint", "endpoint", "path template contains"}, {"method", "method", "GET, POST, PUT or DELETE"}}, timeFilters...),
			fetch: func(c *client.Client) func(context.Context, client.Query) ([]api.EndpointStats, error) {
				return c.Host.Performance
			},
		}),
		newQuery(e, "business", "Show the figures of the trade now", nil, func(ctx context.Context, c *client.Client, _ client.Query) (api.BusinessMetrics, error) {
			return c.Host.Business(ctx)
		}),
	)
}

var (
	stationFilter = filter{"station", "stationId", "only of this station"}
	daysFilter    = filter{"days", "days", "days up to today, 1 to 366"}
	topFilter     = filter{"limit", "limit", "most rows"}
)

func newStatsGroup(e *env) *cobra.Command {
	return group(
		"stats", "Figures of the dashboards: now, by day, by station",
		newQuery(e, "today", "Show the figures of now and of today", nil, func(ctx context.Context, c *client.Client, _ client.Query) (api.DashboardStats, error) {
			return c.Monitor.Stats(ctx)
		}),
		newQuery(e, "status", "Count the enabled chargers by status", nil, func(ctx context.Context, c *client.Client, _ client.Query) (api.ChargerStatusCounts, error) {
			return c.Monitor.ChargerStatus(ctx)
		}),
		newRead(e, readSpec[api.EnergyOfDay]{
			use: "energy", short: "Show the energy of the last days", draw: "value",
			columns: []column{{"date", "DAY", "日期", nil}, {"value", "KWH", "电量", nil}},
			filters: []filter{daysFilter, stationFilter},
			fetch: func(c *client.Client) func(context.Context, client.Query) ([]api.EnergyOfDay, error) {
				return c.Figures.EnergyTrend
			},
		}),
		newRead(e, readSpec[api.RevenueOfDay]{
			use: "revenue", short: "Show the money of the last days", draw: "value",
			columns: []column{{"date", "DAY", "日期", nil}, {"value", "YUAN", "净额", nil}, {"gross", "GROSS", "总额", nil}, {"refund", "REFUND", "退款", nil}},
			filters: []filter{daysFilter, stationFilter},
			fetch: func(c *client.Client) func(context.Context, client.Query) ([]api.RevenueOfDay, error) {
				return c.Figures.RevenueTrend
			},
		}),
		newRead(e, readSpec[api.OrderSlot]{
			use: "slots", short: "Count the orders of a day by time of day", draw: "count",
			columns: []column{{"slot", "SLOT", "时段", nil}, {"count", "ORDERS", "订单", nil}},
			filters: []filter{{"date", "date", "yyyy-MM-dd; today by default"}, {"hours", "granularity", "hours of a slot, a divisor of 24"}, stationFilter},
			fetch: func(c *client.Client) func(context.Context, client.Query) ([]api.OrderSlot, error) {
				return c.Figures.Slots
			},
		}),
		newStatsStations(e), newStatsUtilization(e), newStatsCities(e), newStatsOrders(e),
	)
}

func newStatsStations(e *env) *cobra.Command {
	return newRead(e, readSpec[api.StationRank]{
		use: "stations", short: "Rank the stations",
		columns: []column{
			{"stationId", "ID", "编号", nil},
			{"stationName", "STATION", "站点", nil},
			{"orders", "ORDERS", "订单", nil},
			{"energy", "KWH", "电量", nil},
			{"revenue", "YUAN", "营收", nil},
			{"percentage", "% OF FIRST", "占首位%", nil},
		},
		filters: []filter{daysFilter, topFilter, {"by", "by", "orders, energy or revenue"}},
		fetch: func(c *client.Client) func(context.Context, client.Query) ([]api.StationRank, error) {
			return c.Figures.Stations
		},
	})
}

func newStatsUtilization(e *env) *cobra.Command {
	return newRead(e, readSpec[api.ChargerUtilization]{
		use: "utilization", short: "Rank the chargers by how busy they are",
		columns: []column{
			{"chargerId", "ID", "编号", nil},
			{"chargerCode", "CODE", "编码", nil},
			{"stationName", "STATION", "站点", nil},
			{"occupiedMinutes", "BUSY MIN", "占用分钟", nil},
			{"availableMinutes", "OF MIN", "可用分钟", nil},
			{"utilization", "%", "利用率", nil},
		},
		filters: []filter{daysFilter, topFilter, {"order", "order", "desc or asc"}, stationFilter},
		fetch: func(c *client.Client) func(context.Context, client.Query) ([]api.ChargerUtilization, error) {
			return c.Figures.Utilization
		},
	})
}

func newStatsCities(e *env) *cobra.Command {
	return newRead(e, readSpec[api.CityStatistics]{
		use: "cities", short: "Sum the orders by city",
		columns: []column{
			{"province", "PROVINCE", "省", nil},
			{"city", "CITY", "城市", nil},
			{"stationCount", "STATIONS", "站点", nil},
			{"orderCount", "ORDERS", "订单", nil},
			{"totalEnergy", "KWH", "电量", nil},
			{"totalAmount", "YUAN", "金额", nil},
			{"netPaidAmount", "PAID", "实收", nil},
		},
		filters: timeFilters,
		fetch: func(c *client.Client) func(context.Context, client.Query) ([]api.CityStatistics, error) {
			return c.Figures.Cities
		},
	})
}

func newStatsOrders(e *env) *cobra.Command {
	return newRead(e, readSpec[api.RecentOrder]{
		use: "orders", short: "List the newest orders in few words",
		columns: []column{
			{"orderId", "ID", "编号", nil},
			{"orderNo", "NUMBER", "订单号", nil},
			{"stationName", "STATION", "站点", nil},
			{"chargerCode", "CHARGER", "充电桩", nil},
			{"connectorNo", "NO", "枪号", nil},
			{"energy", "KWH", "电量", nil},
			{"amount", "YUAN", "金额", nil},
			{"status", "STATUS", "状态", orderStatus},
			{"createTime", "CREATED", "创建", ago},
		},
		filters: []filter{topFilter, stationFilter},
		fetch: func(c *client.Client) func(context.Context, client.Query) ([]api.RecentOrder, error) {
			return c.Monitor.RecentOrders
		},
	})
}

// exported is what can be exported, with the filters of its list.
var exported = map[string][]string{
	"order":      {"stationId", "chargerId", "connectorNo", "userId", "status", "sessionId", "orderNo", "startTime", "endTime", "paidStart", "paidEnd", "held", "anomaly", "city"},
	"order-line": {"stationId", "chargerId", "connectorNo", "userId", "status", "sessionId", "orderNo", "startTime", "endTime", "paidStart", "paidEnd", "held", "anomaly", "city"},
	"payment":    {"orderId", "orderNo", "tradeNo", "channelTradeNo", "paymentMethod", "channel", "status", "startTime", "endTime", "paidStart", "paidEnd"},
	"refund":     {"orderId", "tradeNo", "refundStatus", "startTime", "endTime"},
	"session":    {"chargerId", "connectorNo", "stationId", "userId", "state", "anomaly", "startTime", "endTime"},
	"station":    {"stationName", "stationCode", "keyword", "status", "stationType", "province", "city", "district"},
	"charger":    {"chargerName", "chargerCode", "keyword", "stationId", "status", "enabled", "chargerType", "protocol", "brand", "connected", "simulated"},
	"difference": {"batchId", "channel", "kind", "state", "orderId", "tradeNo", "minAgeDays"},
	"audit-log":  {"targetTenantId", "operatorUserId", "action", "result", "crossLayer", "targetType", "targetId", "traceId", "keyword", "startTime", "endTime"},
}

func exportNames() []string {
	names := make([]string, 0, len(exported))
	for name := range exported {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// exportOptions is what is exported and where to.
type exportOptions struct {
	what     string
	fields   []string
	columns  string
	sort     string
	from, to string
	file     string
}

func newExport(e *env) *cobra.Command {
	var opts exportOptions
	c := verb("export <"+strings.Join(exportNames(), "|")+">", "Write a whole list as CSV, up to a million rows", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		opts.what = args[0]
		return exportRun(ctx, e, opts)
	})
	c.ValidArgs = exportNames()
	c.Long = "Write a whole list as CSV with a header, in UTF-8, as the server streams it. The last line counts the\n" +
		"rows; an export that breaks off fails, and with --out leaves no file."
	c.Flags().StringArrayVarP(&opts.fields, "field", "F", nil, "filter of the list as name=value, repeatable")
	c.Flags().StringVar(&opts.from, "from", "", "not before")
	c.Flags().StringVar(&opts.to, "to", "", "before")
	c.Flags().StringVar(&opts.columns, "columns", "", "fields to write, comma separated; all by default")
	c.Flags().StringVar(&opts.sort, "sort", "", "order by field or field,desc")
	c.Flags().StringVar(&opts.file, "out", "", "write to this new file instead of standard output")
	return c
}

func exportRun(ctx context.Context, e *env, opts exportOptions) error {
	allowed, known := exported[opts.what]
	if !known {
		return usage("%q cannot be exported: want one of %s", opts.what, strings.Join(exportNames(), ", "))
	}
	if form := e.globals.output; form != "" && form != formatCSV || e.globals.jq != "" || e.globals.template != "" {
		return usage("an export is csv: use the list for other forms")
	}
	q := client.Query{}.With("columns", opts.columns).With("sort", opts.sort).With("startTime", opts.from).With("endTime", opts.to)
	for _, field := range opts.fields {
		name, value, ok := strings.Cut(field, "=")
		if !ok {
			return usage("--field %q: want name=value", field)
		}
		q[name] = value
	}
	for name := range q {
		if name != "columns" && name != "sort" && !slices.Contains(allowed, name) {
			return usage("%s has no filter %s: want one of %s", opts.what, name, strings.Join(allowed, ", "))
		}
	}
	c, err := e.client()
	if err != nil {
		return err
	}
	if opts.file == "" {
		return c.Exports.Save(ctx, opts.what, q, e.Out)
	}
	return writeFile(opts.file, func(out io.Writer) error { return c.Exports.Save(ctx, opts.what, q, out) })
}

// writeFile writes a new file that is there only when it is whole.
func writeFile(name string, save func(io.Writer) error) error {
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return usage("%v", err)
	}
	err = save(file)
	if err == nil {
		err = file.Sync()
	}
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("%w%s", err, leftover(os.Remove(name)))
	}
	return nil
}

func leftover(err error) string {
	if err == nil {
		return ""
	}
	return "; " + err.Error()
}

func newDebugGroup(e *env) *cobra.Command {
	protocol := bodyFlag{"protocol", "protocolType", "OCPP, CLOUDCHARGE or YKC", false}
	charger := bodyFlag{"charger", "chargerId", "simulated charger", true}
	connector := bodyFlag{"connector", "connectorNo", "connector number", false}
	return group(
		"debug", "Messages of simulated chargers, where the server allows them",
		newSimulated(e, "heartbeat", "Let a simulated charger report itself", []bodyFlag{charger, protocol}, func(c *client.Client) func(context.Context, api.SimulateHeartbeat) (api.SimulatedHeartbeat, error) {
			return c.Debug.Heartbeat
		}),
		newSimulated(e, "status", "Let a simulated charger report a status", []bodyFlag{charger, connector, {"to", "newStatus", "0 to 5", true}, {"from", "oldStatus", "checked when given", false}, protocol},
			func(c *client.Client) func(context.Context, api.SimulateStatus) (api.SimulatedStatus, error) {
				return c.Debug.Status
			}),
		newSimulated(e, "start", "Let a simulated charger begin a session", []bodyFlag{charger, connector, {"user", "userId", "driver", false}, {"session", "sessionId", "session id", false}, {"meter", "initialEnergy", "register, kWh", false}, protocol},
			func(c *client.Client) func(context.Context, api.SimulateStart) (api.SimulatedStart, error) {
				return c.Debug.Start
			}),
		newSimulated(e, "stop", "Let a simulated charger end a session", []bodyFlag{{"session", "sessionId", "session id", false}, {"order", "orderNo", "order number instead", false}, {"energy", "energy", "kWh since the start", true}, {"reason", "reason", "reason", false}},
			func(c *client.Client) func(context.Context, api.SimulateStop) (api.SimulatedStop, error) {
				return c.Debug.Stop
			}),
		newRead(e, readSpec[api.ProtocolEvent]{
			use: "history", short: "List the newest messages, newest first",
			columns: []column{
				{"eventTime", "TIME", "时间", nil},
				{"chargerId", "CHARGER", "充电桩", nil},
				{"protocolType", "PROTOCOL", "协议", nil},
				{"eventType", "TYPE", "类型", nil},
				{"payload", "PAYLOAD", "内容", nil},
			},
			filters: []filter{{"charger", "chargerId", "charger id"}, {"type", "eventType", "HEARTBEAT, STATUS_CHANGE, CHARGING_START, CHARGING_STOP, TELEMETRY, ERROR"}, topFilter},
			fetch: func(c *client.Client) func(context.Context, client.Query) ([]api.ProtocolEvent, error) {
				return c.Debug.History
			},
		}),
		newQuery(e, "counts", "Count the messages that are kept", nil, func(ctx context.Context, c *client.Client, _ client.Query) (api.ProtocolStats, error) {
			return c.Debug.Counts(ctx)
		}),
	)
}

// newSimulated is a verb that sends a body and shows the answer.
func newSimulated[B, T any](e *env, use, short string, flags []bodyFlag, send func(*client.Client) func(context.Context, B) (T, error)) *cobra.Command {
	body := &bodyFlags{env: e, flags: flags}
	c := verb(use, short, cobra.NoArgs, func(ctx context.Context, _ []string) error {
		request, err := readBody[B](body)
		if err != nil {
			return err
		}
		return act(ctx, e, 0, func(ctx context.Context, c *client.Client) (T, error) { return send(c)(ctx, request) })
	})
	body.register(c)
	return c
}
