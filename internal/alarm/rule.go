package alarm

import (
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

// Rule names what an alert is about: a built-in rule, or one of a tenant's own.
type Rule string

// The built-in rules of contract §14.3.
const (
	ServiceDown              Rule = "ServiceDown"
	HighErrorRate            Rule = "HighErrorRate"
	HighResponseTime         Rule = "HighResponseTime"
	HighCPUUsage             Rule = "HighCpuUsage"
	CPUSaturated             Rule = "CpuSaturated"
	HighMemoryUsage          Rule = "HighMemoryUsage"
	MemorySaturated          Rule = "MemorySaturated"
	DiskUsage                Rule = "DiskUsage"
	DiskFull                 Rule = "DiskFull"
	DatabaseConnections      Rule = "DatabaseConnections"
	LongTransaction          Rule = "LongTransaction"
	ReplicationLag           Rule = "ReplicationLag"
	OutboxLag                Rule = "OutboxLag"
	ClockSkew                Rule = "ClockSkew"
	CertificateExpiring      Rule = "CertificateExpiring"
	HighOrderFailureRate     Rule = "HighOrderFailureRate"
	NoActiveOrders           Rule = "NoActiveOrders"
	LowBillingAccuracy       Rule = "LowBillingAccuracy"
	OrphanSession            Rule = "OrphanSession"
	EnergyImplausible        Rule = "EnergyImplausible"
	RecordOverdue            Rule = "RecordOverdue"
	ChargerOffline           Rule = "ChargerOffline"
	HighChargerOfflineRate   Rule = "HighChargerOfflineRate"
	ChargerFault             Rule = "ChargerFault"
	DeviceAuthFailure        Rule = "DeviceAuthFailure"
	DeviceFlapping           Rule = "DeviceFlapping"
	HighPaymentFailureRate   Rule = "HighPaymentFailureRate"
	CallbackRejected         Rule = "CallbackRejected"
	DuplicatePayment         Rule = "DuplicatePayment"
	LatePayment              Rule = "LatePayment"
	MerchantKeyChanged       Rule = "MerchantKeyChanged"
	ReconciliationFailed     Rule = "ReconciliationFailed"
	ReconciliationDifference Rule = "ReconciliationDifference"
	SuspenseGrowing          Rule = "SuspenseGrowing"
	QuotaNearLimit           Rule = "QuotaNearLimit"
	TenantExpiring           Rule = "TenantExpiring"
	LoginLockout             Rule = "LoginLockout"
	WebhookFailing           Rule = "WebhookFailing"
	// RefundStuck is not in the contract's table: a promised refund that the
	// channel has not answered for a day.
	RefundStuck Rule = "RefundStuck"
	// The rules of the journal are not in the contract's table either: money that
	// waits too long between two accounts, a payment that is not booked, and a
	// journal that is not what it was.
	ClearingAged       Rule = "ClearingAged"
	RefundClearingAged Rule = "RefundClearingAged"
	SuspenseAged       Rule = "SuspenseAged"
	LedgerIncomplete   Rule = "LedgerIncomplete"
	LedgerBroken       Rule = "LedgerBroken"
)

// Op compares a reading with a threshold.
type Op string

// The comparisons.
const (
	Above   Op = "gt"
	AtLeast Op = "ge"
	Below   Op = "lt"
	AtMost  Op = "le"
)

// Holds reports whether value op threshold.
func (o Op) Holds(value, threshold evcs.Milli) bool {
	switch o {
	case Above:
		return value > threshold
	case AtLeast:
		return value >= threshold
	case Below:
		return value < threshold
	case AtMost:
		return value <= threshold
	}
	return false
}

// Level is a step of a rule whose weight grows with the reading.
type Level struct {
	Threshold evcs.Milli
	Severity  Severity
}

// BuiltIn is one row of the table of contract §14.3. A rule without a metric is
// raised by the transaction of its cause.
type BuiltIn struct {
	ID         evcs.RuleID
	Name       Rule
	Severity   Severity
	Source     string
	Title      evcs.Detail
	Metric     string
	Op         Op
	Threshold  evcs.Milli
	For        time.Duration
	MinSamples int64
	Host       bool // about the installation, not about a tenant
	// Event rules (E) fire at once, and once until the condition was false.
	Event bool
	// Levels of an Event rule, mildest first; the first is Threshold's.
	Levels []Level
}

const (
	whole     = evcs.Milli(1000)
	minutes   = time.Minute
	lastBuilt = 1000 // ids above it are those of tenants' own rules
)

// BuiltIns is the whole table, in the order of the contract. A rule keeps its
// id for ever.
func BuiltIns() []BuiltIn { return builtIns }

var builtIns = []BuiltIn{
	{ID: 1, Name: ServiceDown, Severity: Critical, Source: "SYSTEM", Title: evcs.Detail{ZH: "服务不可用", EN: "Service down"}, Metric: "service_down", Op: AtLeast, Threshold: whole, For: minutes, Host: true},
	{ID: 2, Name: HighErrorRate, Severity: High, Source: "SYSTEM", Title: evcs.Detail{ZH: "接口错误率过高", EN: "High error rate"}, Metric: "http_error_rate", Op: Above, Threshold: 5 * whole, For: 5 * minutes, MinSamples: 20, Host: true},
	{ID: 3, Name: HighResponseTime, Severity: High, Source: "SYSTEM", Title: evcs.Detail{ZH: "接口响应过慢", EN: "High response time"}, Metric: "http_p95_ms", Op: Above, Threshold: 2000 * whole, For: 5 * minutes, MinSamples: 20, Host: true},
	{ID: 4, Name: HighCPUUsage, Severity: High, Source: "SYSTEM", Title: evcs.Detail{ZH: "CPU 使用率过高", EN: "High CPU usage"}, Metric: "cpu_usage", Op: Above, Threshold: 85 * whole, For: 5 * minutes, Host: true},
	{ID: 5, Name: CPUSaturated, Severity: Critical, Source: "SYSTEM", Title: evcs.Detail{ZH: "CPU 饱和", EN: "CPU saturated"}, Metric: "cpu_usage", Op: Above, Threshold: 95 * whole, For: 2 * minutes, Host: true},
	{ID: 6, Name: HighMemoryUsage, Severity: High, Source: "SYSTEM", Title: evcs.Detail{ZH: "内存使用率过高", EN: "High memory usage"}, Metric: "memory_usage", Op: Above, Threshold: 85 * whole, For: 5 * minutes, Host: true},
	{ID: 7, Name: MemorySaturated, Severity: Critical, Source: "SYSTEM", Title: evcs.Detail{ZH: "内存耗尽", EN: "Memory saturated"}, Metric: "memory_usage", Op: Above, Threshold: 95 * whole, For: 2 * minutes, Host: true},
	{ID: 8, Name: DiskUsage, Severity: Medium, Source: "SYSTEM", Title: evcs.Detail{ZH: "磁盘空间不足", EN: "Disk filling up"}, Metric: "disk_usage", Op: Above, Threshold: 80 * whole, For: 10 * minutes, Host: true},
	{ID: 9, Name: DiskFull, Severity: Critical, Source: "SYSTEM", Title: evcs.Detail{ZH: "磁盘即将写满", EN: "Disk almost full"}, Metric: "disk_usage", Op: Above, Threshold: 90 * whole, For: 5 * minutes, Host: true},
	{ID: 10, Name: DatabaseConnections, Severity: High, Source: "SYSTEM", Title: evcs.Detail{ZH: "数据库连接数过高", EN: "Database connections"}, Metric: "database_connections", Op: Above, Threshold: 80 * whole, For: 5 * minutes, Host: true},
	{ID: 11, Name: LongTransaction, Severity: High, Source: "SYSTEM", Title: evcs.Detail{ZH: "数据库长事务", EN: "Long transaction"}, Metric: "database_longest_transaction", Op: Above, Threshold: 30 * whole, For: 5 * minutes, Host: true},
	{ID: 12, Name: ReplicationLag, Severity: High, Source: "SYSTEM", Title: evcs.Detail{ZH: "数据库复制延迟", EN: "Replication lag"}, Metric: "database_replication_lag", Op: Above, Threshold: 60 * whole, For: 5 * minutes, Host: true},
	{ID: 13, Name: OutboxLag, Severity: High, Source: "SYSTEM", Title: evcs.Detail{ZH: "事件发布延迟", EN: "Events published late"}, Metric: "outbox_lag", Op: Above, Threshold: 60 * whole, For: 2 * minutes, Host: true},
	{ID: 14, Name: ClockSkew, Severity: High, Source: "SYSTEM", Title: evcs.Detail{ZH: "系统时钟偏差", EN: "Clock skew"}, Metric: "clock_skew", Op: Above, Threshold: 60 * whole, For: 5 * minutes, Host: true},
	{ID: 15, Name: CertificateExpiring, Severity: Low, Source: "SYSTEM", Title: evcs.Detail{ZH: "证书即将过期", EN: "Certificate expiring"}, Metric: "certificate_days_left", Op: AtMost, Threshold: 60 * whole, Host: true, Event: true, Levels: []Level{{60 * whole, Low}, {30 * whole, Medium}, {7 * whole, Critical}}},
	{ID: 16, Name: HighOrderFailureRate, Severity: High, Source: "ORDER", Title: evcs.Detail{ZH: "启动失败率过高", EN: "High order failure rate"}, Metric: "order_failure_rate", Op: Above, Threshold: 10 * whole, For: 5 * minutes, MinSamples: 10},
	{ID: 17, Name: NoActiveOrders, Severity: Medium, Source: "ORDER", Title: evcs.Detail{ZH: "营业时段无充电订单", EN: "No active orders"}, Metric: "running_sessions_daytime", Op: Below, Threshold: whole, For: 30 * minutes, MinSamples: 10},
	{ID: 18, Name: LowBillingAccuracy, Severity: Critical, Source: "ORDER", Title: evcs.Detail{ZH: "计费异常率过高", EN: "Low billing accuracy"}, Metric: "order_held_rate", Op: Above, Threshold: 5 * whole, For: 10 * minutes, MinSamples: 20},
	{ID: 19, Name: OrphanSession, Severity: High, Source: "ORDER", Title: evcs.Detail{ZH: "孤立充电会话", EN: "Orphan session"}, Metric: "charging_without_session", Op: AtLeast, Threshold: whole, For: minutes, Event: true},
	{ID: 20, Name: EnergyImplausible, Severity: High, Source: "ORDER", Title: evcs.Detail{ZH: "电量异常", EN: "Implausible energy"}, Event: true},
	{ID: 21, Name: RecordOverdue, Severity: Medium, Source: "ORDER", Title: evcs.Detail{ZH: "充电记录逾期未上报", EN: "Charging record overdue"}, Metric: "record_overdue", Op: AtLeast, Threshold: whole, For: 10 * minutes},
	{ID: 22, Name: ChargerOffline, Severity: Medium, Source: "DEVICE", Title: evcs.Detail{ZH: "充电桩离线", EN: "Charger offline"}, Event: true},
	{ID: 23, Name: HighChargerOfflineRate, Severity: High, Source: "DEVICE", Title: evcs.Detail{ZH: "充电桩离线率过高", EN: "High charger offline rate"}, Metric: "charger_offline_rate", Op: Above, Threshold: 20 * whole, For: 10 * minutes, MinSamples: 5},
	{ID: 24, Name: ChargerFault, Severity: High, Source: "DEVICE", Title: evcs.Detail{ZH: "充电桩故障", EN: "Charger fault"}},
	{ID: 25, Name: DeviceAuthFailure, Severity: High, Source: "DEVICE", Title: evcs.Detail{ZH: "设备鉴权连续失败", EN: "Device authentication failing"}, Event: true},
	{ID: 26, Name: DeviceFlapping, Severity: High, Source: "DEVICE", Title: evcs.Detail{ZH: "设备频繁重连", EN: "Device flapping"}},
	{ID: 27, Name: HighPaymentFailureRate, Severity: Critical, Source: "PAYMENT", Title: evcs.Detail{ZH: "支付失败率过高", EN: "High payment failure rate"}, Metric: "payment_failure_rate", Op: Above, Threshold: 5 * whole, For: 5 * minutes, MinSamples: 10},
	{ID: 28, Name: CallbackRejected, Severity: Critical, Source: "PAYMENT", Title: evcs.Detail{ZH: "支付回调被拒绝", EN: "Payment callback rejected"}, Event: true},
	{ID: 29, Name: DuplicatePayment, Severity: High, Source: "PAYMENT", Title: evcs.Detail{ZH: "重复支付已自动退款", EN: "Duplicate payment refunded"}, Event: true},
	{ID: 30, Name: LatePayment, Severity: High, Source: "PAYMENT", Title: evcs.Detail{ZH: "迟到支付已自动退款", EN: "Late payment refunded"}, Event: true},
	{ID: 31, Name: MerchantKeyChanged, Severity: High, Source: "SECURITY", Title: evcs.Detail{ZH: "商户密钥变更", EN: "Merchant key changed"}, Event: true},
	{ID: 32, Name: ReconciliationFailed, Severity: High, Source: "RECONCILIATION", Title: evcs.Detail{ZH: "对账失败", EN: "Reconciliation failed"}, Event: true},
	{ID: 33, Name: ReconciliationDifference, Severity: High, Source: "RECONCILIATION", Title: evcs.Detail{ZH: "存在对账差异", EN: "Reconciliation difference"}, Event: true},
	{ID: 34, Name: SuspenseGrowing, Severity: Medium, Source: "RECONCILIATION", Title: evcs.Detail{ZH: "挂账持续增加", EN: "Suspense growing"}, Metric: "suspense_rising_days", Op: AtLeast, Threshold: 3 * whole, Event: true},
	{ID: 35, Name: QuotaNearLimit, Severity: Low, Source: "TENANT", Title: evcs.Detail{ZH: "配额即将用尽", EN: "Quota near its limit"}, Metric: "quota_usage", Op: AtLeast, Threshold: 90 * whole},
	{ID: 36, Name: TenantExpiring, Severity: Low, Source: "TENANT", Title: evcs.Detail{ZH: "租户即将到期", EN: "Tenant expiring"}, Metric: "tenant_days_left", Op: AtMost, Threshold: 30 * whole, Event: true, Levels: []Level{{30 * whole, Low}, {7 * whole, Medium}, {whole, High}}},
	{ID: 37, Name: LoginLockout, Severity: Medium, Source: "SECURITY", Title: evcs.Detail{ZH: "账号多次锁定", EN: "Account locked repeatedly"}, Event: true},
	{ID: 38, Name: WebhookFailing, Severity: Medium, Source: "SYSTEM", Title: evcs.Detail{ZH: "Webhook 投递持续失败", EN: "Webhook failing"}, Metric: "webhook_undelivered", Op: AtLeast, Threshold: 60 * whole, Event: true},
	{ID: 39, Name: RefundStuck, Severity: High, Source: "PAYMENT", Title: evcs.Detail{ZH: "退款长时间未完成", EN: "Refund stuck"}, Event: true},
	{ID: 40, Name: ClearingAged, Severity: High, Source: "RECONCILIATION", Title: evcs.Detail{ZH: "渠道资金长期未清算", EN: "Channel clearing does not return to zero"}, Metric: "clearing_age_days", Op: AtLeast, Threshold: 8 * whole, Event: true, Levels: []Level{{8 * whole, High}, {30 * whole, Critical}}},
	{ID: 41, Name: RefundClearingAged, Severity: High, Source: "RECONCILIATION", Title: evcs.Detail{ZH: "退款资金长期未清算", EN: "Refund clearing does not return to zero"}, Metric: "refund_clearing_age_days", Op: AtLeast, Threshold: 2 * whole, Event: true},
	{ID: 42, Name: SuspenseAged, Severity: High, Source: "RECONCILIATION", Title: evcs.Detail{ZH: "挂账资金长期未处理", EN: "Suspense does not return to zero"}, Metric: "suspense_age_days", Op: AtLeast, Threshold: 3 * whole, Event: true},
	{ID: 43, Name: LedgerIncomplete, Severity: High, Source: "RECONCILIATION", Title: evcs.Detail{ZH: "账簿不完整", EN: "Journal incomplete"}, Event: true},
	{ID: 44, Name: LedgerBroken, Severity: Critical, Source: "SECURITY", Title: evcs.Detail{ZH: "账簿被改动", EN: "Journal altered"}, Event: true},
}

// Built finds a built-in rule by its name.
func Built(name Rule) (BuiltIn, bool) {
	for _, b := range builtIns {
		if b.Name == name {
			return b, true
		}
	}
	return BuiltIn{}, false
}

// TitleOf is the title of a rule in both languages; a rule of a tenant's own is
// titled by its name.
func TitleOf(name Rule) evcs.Detail {
	if b, ok := Built(name); ok {
		return b.Title
	}
	return evcs.Detail{ZH: string(name), EN: string(name)}
}

// Metric is something that rules can watch.
type Metric struct {
	Name   string
	Unit   string
	Labels []string
	Help   evcs.Detail
	Host   bool // only for rules of the host
	// PerNode: every node reads its own.
	PerNode bool
	// Every is how often it is read; zero: at every evaluation.
	Every time.Duration
}

// Metrics is the closed list of what rules can watch.
func Metrics() []Metric { return metrics }

var metrics = []Metric{
	{Name: "service_down", Unit: "1", Labels: []string{"serviceName"}, Host: true, Help: evcs.Detail{ZH: "服务状态为 DOWN 时为 1", EN: "1 while a service is DOWN"}},
	{Name: "http_error_rate", Unit: "%", Host: true, Help: evcs.Detail{ZH: "最近 5 分钟 5xx 占全部请求的比例", EN: "5xx of all requests, last 5 min"}},
	{Name: "http_p95_ms", Unit: "ms", Host: true, Help: evcs.Detail{ZH: "最近 5 分钟请求耗时的 95 分位", EN: "95th percentile of request duration, last 5 min"}},
	{Name: "cpu_usage", PerNode: true, Unit: "%", Labels: []string{"node"}, Host: true, Help: evcs.Detail{ZH: "主机 CPU 使用率", EN: "CPU usage of the host"}},
	{Name: "memory_usage", PerNode: true, Unit: "%", Labels: []string{"node"}, Host: true, Help: evcs.Detail{ZH: "进程占其内存上限或主机内存的使用率,取较大者", EN: "Memory of the process of its limit, or of the host, the greater"}},
	{Name: "disk_usage", PerNode: true, Unit: "%", Labels: []string{"node"}, Host: true, Help: evcs.Detail{ZH: "数据目录所在文件系统使用率", EN: "File system of the data directory"}},
	{Name: "database_connections", Unit: "%", Host: true, Help: evcs.Detail{ZH: "PostgreSQL 已用连接占上限的比例", EN: "PostgreSQL connections in use of its limit"}},
	{Name: "database_longest_transaction", Unit: "s", Host: true, Help: evcs.Detail{ZH: "PostgreSQL 最长事务时长", EN: "Oldest open transaction of PostgreSQL"}},
	{Name: "database_replication_lag", Unit: "s", Host: true, Help: evcs.Detail{ZH: "PostgreSQL 最大复制延迟", EN: "Greatest replication lag of PostgreSQL"}},
	{Name: "outbox_lag", Unit: "s", Host: true, Help: evcs.Detail{ZH: "最早未发布事件的等待时间", EN: "Age of the oldest unpublished event"}},
	{Name: "clock_skew", PerNode: true, Unit: "s", Labels: []string{"node"}, Host: true, Help: evcs.Detail{ZH: "主机与数据库的时钟偏差", EN: "Clock of the host against the database's"}},
	{Name: "certificate_days_left", Unit: "d", Labels: []string{"certificate"}, Host: true, Every: 10 * time.Minute, Help: evcs.Detail{ZH: "证书剩余天数", EN: "Days until a certificate ends"}},
	{Name: "order_failure_rate", Unit: "%", Help: evcs.Detail{ZH: "最近 5 分钟启动失败占启动次数的比例", EN: "Failed starts of all start attempts, last 5 min"}},
	{Name: "running_sessions", Unit: "1", Help: evcs.Detail{ZH: "正在充电的会话数", EN: "Sessions running now"}},
	{Name: "running_sessions_daytime", Unit: "1", Help: evcs.Detail{ZH: "租户时区 08:00–22:00 内正在充电的会话数;其余时段无读数", EN: "Sessions running between 08:00 and 22:00 in the tenant's zone; no reading at night"}},
	{Name: "order_held_rate", Every: time.Minute, Unit: "%", Help: evcs.Detail{ZH: "最近 60 分钟结束的订单中被挂起的比例", EN: "Held orders of those ended in the last 60 min"}},
	{Name: "charging_without_session", Unit: "1", Labels: []string{"connectorNo"}, Help: evcs.Detail{ZH: "枪上报充电中但没有会话时为 1", EN: "1 while a connector reports charging and no session is known"}},
	{Name: "record_overdue", Unit: "1", Labels: []string{"connectorNo"}, Help: evcs.Detail{ZH: "枪已空闲但会话仍无结束记录时为 1", EN: "1 while a connector is idle and its session has no stop or record"}},
	{Name: "charger_offline_rate", Unit: "%", Help: evcs.Detail{ZH: "离线充电桩占启用充电桩的比例", EN: "Offline of the enabled chargers"}},
	{Name: "charger_offline_minutes", Unit: "min", Help: evcs.Detail{ZH: "单个充电桩已离线分钟数", EN: "Minutes a charger has been offline"}},
	{Name: "connector_temperature", Unit: "°C", Labels: []string{"connectorNo"}, Help: evcs.Detail{ZH: "枪最近上报的温度(10 分钟内)", EN: "Last temperature of a connector, not older than 10 min"}},
	{Name: "payment_failure_rate", Unit: "%", Help: evcs.Detail{ZH: "最近 5 分钟支付失败占终态支付的比例", EN: "FAILED of FAILED and SUCCESS payments, last 5 min"}},
	{Name: "held_orders", Every: time.Minute, Unit: "1", Help: evcs.Detail{ZH: "当前挂起的订单数", EN: "Orders held now"}},
	{Name: "unpaid_orders", Every: time.Minute, Unit: "1", Help: evcs.Detail{ZH: "待支付订单数", EN: "Orders waiting for payment"}},
	{Name: "orphan_sessions", Unit: "1", Help: evcs.Detail{ZH: "孤立会话数", EN: "Orphan sessions"}},
	{Name: "open_differences", Unit: "1", Help: evcs.Detail{ZH: "未处理的对账差异数", EN: "Open reconciliation differences"}},
	{Name: "suspense_rising_days", Unit: "d", Every: 10 * time.Minute, Help: evcs.Detail{ZH: "挂账数连续上升的天数", EN: "Days in a row that the suspense count rose"}},
	{Name: "clearing_age_days", Unit: "d", Labels: []string{"channel"}, Every: time.Hour, Help: evcs.Detail{ZH: "渠道待清算账户中最早一笔未转出资金的天数(沙箱除外)", EN: "Age of the oldest money in a channel's clearing account, the sandbox's excepted"}},
	{Name: "refund_clearing_age_days", Unit: "d", Every: time.Hour, Help: evcs.Detail{ZH: "退款待清算账户中最早一笔未付出退款的天数", EN: "Age of the oldest promise in the refund clearing account"}},
	{Name: "suspense_age_days", Unit: "d", Every: time.Hour, Help: evcs.Detail{ZH: "挂账账户中最早一笔未处理资金的天数", EN: "Age of the oldest money in the suspense account"}},
	{Name: "quota_usage", Unit: "%", Labels: []string{"resourceType"}, Every: time.Minute, Help: evcs.Detail{ZH: "配额使用率", EN: "Use of a quota"}},
	{Name: "tenant_days_left", Unit: "d", Every: time.Minute, Help: evcs.Detail{ZH: "租户剩余有效天数", EN: "Days until the tenant expires"}},
	{Name: "webhook_undelivered", Unit: "min", Labels: []string{"webhookId"}, Help: evcs.Detail{ZH: "Webhook 最早未投递事件的等待分钟数", EN: "Minutes since a webhook's oldest undelivered event was due first"}},
}

// MetricOf finds a metric by its name.
func MetricOf(name string) (Metric, bool) {
	for _, m := range metrics {
		if m.Name == name {
			return m, true
		}
	}
	return Metric{}, false
}
