package health

import (
	"context"
	"slices"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/report"
)

// Metric names a figure that rules can ask for.
type Metric string

// The figures of the host; only rules without a tenant can ask for them.
const (
	HTTPErrorRate   Metric = "http.errorRate"
	HTTPP95         Metric = "http.p95"
	HostCPU         Metric = "host.cpu"
	HostMemory      Metric = "host.memory"
	ProcessMemory   Metric = "process.memory"
	HostDisk        Metric = "host.disk"
	DBConnections   Metric = "database.connections"
	DBTransaction   Metric = "database.longestTransaction"
	DBLag           Metric = "database.replicationLag"
	OutboxLag       Metric = "outbox.lag"
	ClockOff        Metric = "clock.skew"
	SettlementWaits Metric = "settlement.age"
)

// The figures of a tenant.
const (
	OrdersActive     Metric = "order.active"
	StartFailureRate Metric = "order.startFailureRate"
	HeldRate         Metric = "order.heldRate"
	OrdersHeld       Metric = "order.held"
	SessionsRunning  Metric = "session.running"
	SessionsOrphaned Metric = "session.orphaned"
	OfflineRate      Metric = "charger.offlineRate"
	ChargersEnabled  Metric = "charger.enabled"
	PayFailureRate   Metric = "payment.failureRate"
	DifferencesOpen  Metric = "reconciliation.openDifferences"
)

// MetricInfo describes a metric to people.
type MetricInfo struct {
	Name   Metric
	Unit   string // %, ms, s or count
	Host   bool   // of the installation, not of a tenant
	Zh, En string
}

// Metrics lists every metric.
func Metrics() []MetricInfo {
	return []MetricInfo{
		{HTTPErrorRate, "%", true, "近 5 分钟请求中 5xx 的占比", "5xx among the requests of 5 minutes"},
		{HTTPP95, "ms", true, "近 5 分钟计时请求的 95 分位耗时", "95th percentile of the timed requests of 5 minutes"},
		{HostCPU, "%", true, "主机全部核心的使用率", "Use of all cores of the host"},
		{HostMemory, "%", true, "主机内存使用率", "Used memory of the host"},
		{ProcessMemory, "%", true, "进程内存占其上限的比例", "Memory of the process against its limit"},
		{HostDisk, "%", true, "数据目录所在文件系统的使用率", "Used space of the data directory's file system"},
		{DBConnections, "%", true, "数据库连接数占上限的比例", "Database connections against their limit"},
		{DBTransaction, "s", true, "最久的数据库事务", "Age of the oldest transaction (PostgreSQL)"},
		{DBLag, "s", true, "复制延迟", "Lag of the slowest replica (PostgreSQL)"},
		{OutboxLag, "s", true, "最早未发布事件的等待时间", "Age of the oldest unpublished event"},
		{ClockOff, "s", true, "主机时钟与数据库服务器的偏差", "How far the host's clock is off the database server's (PostgreSQL)"},
		{SettlementWaits, "s", true, "到期未处理的支付查询的等待时间", "Age of the oldest payment or refund due to be asked about"},
		{OrdersActive, "count", false, "进行中的订单", "Running orders"},
		{StartFailureRate, "%", false, "近 5 分钟启动失败率", "Failed among the decided starts of 5 minutes"},
		{HeldRate, "%", false, "近 60 分钟结束订单中被挂起的占比", "Held among the orders ended in 60 minutes"},
		{OrdersHeld, "count", false, "被挂起的订单", "Held orders"},
		{SessionsRunning, "count", false, "充电中的会话", "Running sessions"},
		{SessionsOrphaned, "count", false, "孤儿会话", "Orphan sessions"},
		{OfflineRate, "%", false, "启用的充电桩中离线的占比", "Offline among the enabled chargers"},
		{ChargersEnabled, "count", false, "启用的充电桩", "Enabled chargers"},
		{PayFailureRate, "%", false, "近 5 分钟支付失败率", "Failed among the decided payments of 5 minutes"},
		{DifferencesOpen, "count", false, "未处理的对账差异", "Open reconciliation differences"},
	}
}

// Known reports whether there is such a metric and whether it is the host's.
func (m Metric) Known() (host, ok bool) {
	i := slices.IndexFunc(Metrics(), func(x MetricInfo) bool { return x.Name == m })
	return i >= 0 && Metrics()[i].Host, i >= 0
}

// Figure is a measured value in thousandths of the metric's unit and how many
// observations are behind it: of a rate what was tried, else 1.
type Figure struct {
	Value   int64
	Samples int64
}

// Trade reads the figures of tenants; the store's reports are one.
type Trade interface {
	Business(ctx context.Context, scope evcs.Scope, from, to time.Time) (report.Business, error)
	Outcomes(ctx context.Context, scope evcs.Scope, from, to time.Time) (report.Outcomes, error)
}

// Figures answers what rules ask.
type Figures struct {
	Watch *Watch
	Trade Trade
	Clock evcs.Clock
	// Outbox and Settlement are when the oldest waiting row of each began to
	// wait; the zero time when none does.
	Outbox, Settlement func(ctx context.Context) (time.Time, error)
}

const (
	lately   = 5 * time.Minute
	longer   = time.Hour
	perMille = 1000
	perShare = 10 // thousandths of a percent in a hundredth of it
)

// Figure is the present value of a metric in a scope, which host metrics do
// not look at. False means that there is nothing to judge by: not measurable
// here, or nothing happened.
func (f Figures) Figure(ctx context.Context, m Metric, scope evcs.Scope) (Figure, bool, error) {
	host, known := m.Known()
	switch {
	case !known:
		return Figure{}, false, nil
	case host:
		return f.host(ctx, m)
	}
	return f.trade(ctx, m, scope)
}

func one(thousandths *int64, factor int64) (Figure, bool, error) {
	if thousandths == nil {
		return Figure{}, false, nil
	}
	return Figure{*thousandths * factor, 1}, true, nil
}

func seconds(d *time.Duration) (Figure, bool, error) {
	if d == nil {
		return Figure{}, false, nil
	}
	return Figure{d.Abs().Milliseconds(), 1}, true, nil
}

func shareOf(s *Space) *int64 {
	if s == nil {
		return nil
	}
	n := s.Share()
	return &n
}

func (f Figures) host(ctx context.Context, m Metric) (Figure, bool, error) {
	s := f.Watch.System()
	if s.At.IsZero() {
		return Figure{}, false, nil // no sample yet
	}
	db := s.Database
	switch m {
	case HTTPErrorRate, HTTPP95:
		return f.requests(ctx, m)
	case HostCPU:
		return one(s.CPU.Usage, perShare)
	case HostMemory:
		return one(shareOf(s.Memory), perShare)
	case ProcessMemory:
		if s.Process.RSS == nil || s.Runtime.HeapMax == nil {
			return Figure{}, false, nil
		}
		return Figure{share(*s.Process.RSS, *s.Runtime.HeapMax) * perShare, 1}, true, nil
	case HostDisk:
		return one(shareOf(s.Disk), perShare)
	case DBConnections:
		if db.ServerOpen != nil && db.ServerMax != nil {
			return Figure{share(*db.ServerOpen, *db.ServerMax) * perShare, 1}, true, nil
		}
		return Figure{}, false, nil // the embedded database has no connections to run out of
	case DBTransaction:
		return seconds(db.Longest)
	case DBLag:
		return seconds(db.Lag)
	case ClockOff:
		return seconds(db.Skew)
	case OutboxLag:
		return f.age(ctx, f.Outbox)
	case SettlementWaits:
		return f.age(ctx, f.Settlement)
	default:
		return Figure{}, false, nil
	}
}

func (f Figures) age(ctx context.Context, since func(context.Context) (time.Time, error)) (Figure, bool, error) {
	at, err := since(ctx)
	if err != nil {
		return Figure{}, false, err
	}
	if at.IsZero() {
		return Figure{0, 1}, true, nil
	}
	return Figure{max(f.Clock.Now().Sub(at), 0).Milliseconds(), 1}, true, nil
}

func (f Figures) requests(ctx context.Context, m Metric) (Figure, bool, error) {
	now := f.Clock.Now()
	list, err := f.Watch.Requests(ctx, Window{From: now.Add(-lately), To: now}.WholeMinutes())
	if err != nil {
		return Figure{}, false, err
	}
	var all Minute
	for i := range list {
		all.merge(&list[i])
	}
	if m == HTTPP95 {
		return Figure{all.Durations.Quantile(950).Microseconds(), all.Durations.Count}, all.Durations.Count > 0, nil
	}
	return ratio(all.ServerErrors, all.Requests)
}

// ratio is a rate with what it was of.
func ratio(bad, tried int64) (Figure, bool, error) {
	r := report.Rate(bad, tried)
	if r == nil {
		return Figure{}, false, nil
	}
	return Figure{*r * perShare, tried}, true, nil
}

func (f Figures) trade(ctx context.Context, m Metric, scope evcs.Scope) (Figure, bool, error) {
	now := f.Clock.Now()
	count := func(n int64) (Figure, bool, error) { return Figure{n * perMille, 1}, true, nil }
	if slices.Contains([]Metric{OrdersActive, OrdersHeld, SessionsOrphaned, DifferencesOpen}, m) {
		b, err := f.Trade.Business(ctx, scope, now.Add(-lately), now)
		if err != nil {
			return Figure{}, false, err
		}
		return count(map[Metric]int64{OrdersActive: b.ActiveOrders, OrdersHeld: b.Held, SessionsOrphaned: b.Orphans, DifferencesOpen: b.OpenDifference}[m])
	}
	span := lately
	if m == HeldRate {
		span = longer
	}
	o, err := f.Trade.Outcomes(ctx, scope, now.Add(-span), now.Add(time.Millisecond)) // this moment included
	if err != nil {
		return Figure{}, false, err
	}
	switch m {
	case StartFailureRate:
		return ratio(o.FailedStarts, o.Starts)
	case HeldRate:
		return ratio(o.EndedHeld, o.Ended)
	case OfflineRate:
		return ratio(o.Offline, o.Enabled)
	case PayFailureRate:
		return ratio(o.FailedPayments, o.FailedPayments+o.Paid)
	case SessionsRunning:
		return count(o.Running)
	case ChargersEnabled:
		return count(o.Enabled)
	default:
		return Figure{}, false, nil
	}
}
