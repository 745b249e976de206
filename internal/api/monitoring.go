package api

// SystemMetrics is what one node measured of its host, process and database.
// Null: not measurable on this platform.
type SystemMetrics struct {
	CPU      CPUMetrics      `json:"cpu"`
	Memory   *SpaceMetrics   `json:"memory" doc:"Of the host, bytes"`
	Disk     *SpaceMetrics   `json:"disk" doc:"File system of the data directory, bytes"`
	Network  *NetworkMetrics `json:"network" doc:"Since boot, without loopback"`
	JVM      RuntimeMetrics  `json:"jvm" doc:"The Go runtime; the key is that of the predecessor"`
	Process  ProcessMetrics  `json:"process"`
	Database DatabaseMetrics `json:"database"`
}

// CPUMetrics are the processors of the host.
type CPUMetrics struct {
	Usage      *Percent `json:"usage" doc:"Of all cores since the sample before (10 s)"`
	SystemLoad *Measure `json:"systemLoad" doc:"1 min"`
	Cores      int      `json:"cores"`
}

// SpaceMetrics is room that is used up, in bytes.
type SpaceMetrics struct {
	Total        int64   `json:"total"`
	Used         int64   `json:"used"`
	Free         int64   `json:"free"`
	UsagePercent Percent `json:"usagePercent"`
}

// NetworkMetrics count since boot.
type NetworkMetrics struct {
	BytesIn    int64 `json:"bytesIn"`
	BytesOut   int64 `json:"bytesOut"`
	PacketsIn  int64 `json:"packetsIn"`
	PacketsOut int64 `json:"packetsOut"`
}

// RuntimeMetrics are the memory of the Go runtime under the predecessor's names.
type RuntimeMetrics struct {
	HeapUsed         int64    `json:"heapUsed" doc:"Heap objects, bytes"`
	HeapMax          *int64   `json:"heapMax" doc:"Memory limit of the process or its control group; null without one"`
	HeapUsagePercent *Percent `json:"heapUsagePercent"`
	NonHeapUsed      int64    `json:"nonHeapUsed" doc:"The runtime's other memory, bytes"`
	ThreadCount      *int     `json:"threadCount"`
	GCCount          int64    `json:"gcCount"`
	GCTime           int64    `json:"gcTime" doc:"Total pause, ms"`
}

// ProcessMetrics are those of evcsd.
type ProcessMetrics struct {
	RSS        *int64 `json:"rss" doc:"Bytes"`
	OpenFiles  *int64 `json:"openFiles"`
	Goroutines int    `json:"goroutines"`
	GoVersion  string `json:"goVersion"`
	Uptime     int64  `json:"uptime" doc:"Seconds"`
}

// DatabaseMetrics are those of the store.
type DatabaseMetrics struct {
	Engine          string `json:"engine" enum:"sqlite,postgres"`
	SizeBytes       *int64 `json:"sizeBytes"`
	OpenConnections int    `json:"openConnections" doc:"Of this node"`
	MaxConnections  int    `json:"maxConnections" doc:"Of this node"`
	WALBytes        *int64 `json:"walBytes" doc:"SQLite's write-ahead log"`
}

// EndpointStats is how one operation was answered. Times are milliseconds; null
// when no request was timed.
type EndpointStats struct {
	Endpoint         string   `json:"endpoint" doc:"Path template"`
	Method           string   `json:"method"`
	AvgResponseTime  *Measure `json:"avgResponseTime"`
	MinResponseTime  *Measure `json:"minResponseTime"`
	MaxResponseTime  *Measure `json:"maxResponseTime"`
	P50ResponseTime  *Measure `json:"p50ResponseTime"`
	P90ResponseTime  *Measure `json:"p90ResponseTime"`
	P95ResponseTime  *Measure `json:"p95ResponseTime"`
	P99ResponseTime  *Measure `json:"p99ResponseTime"`
	RequestCount     int64    `json:"requestCount"`
	SuccessCount     int64    `json:"successCount" doc:"Status below 400"`
	ClientErrorCount int64    `json:"clientErrorCount" doc:"4xx"`
	ErrorCount       int64    `json:"errorCount" doc:"5xx"`
	SuccessRate      Percent  `json:"successRate" doc:"Requests that did not fail with 5xx"`
	QPS              Measure  `json:"qps" doc:"Requests per second covered"`
}

// BusinessMetrics are the figures of the trade now.
type BusinessMetrics struct {
	ActiveOrders       int64    `json:"activeOrders"`
	DailyOrders        int64    `json:"dailyOrders"`
	ActiveChargers     int64    `json:"activeChargers" doc:"With a running session"`
	OnlineChargers     int64    `json:"onlineChargers"`
	DailyRevenue       Money    `json:"dailyRevenue"`
	ActiveUsers        int64    `json:"activeUsers" doc:"Drivers of the orders started today"`
	DailyNewUsers      int64    `json:"dailyNewUsers" doc:"Drivers whose first order in scope is of today"`
	StartSuccessRate   *Percent `json:"startSuccessRate" doc:"Of the starts decided in the last hour; null without any"`
	PaymentSuccessRate *Percent `json:"paymentSuccessRate" doc:"Of the payments decided in the last hour; null without any"`
	ChargerOnlineRate  *Percent `json:"chargerOnlineRate" doc:"Null without enabled chargers"`
	HeldOrders         int64    `json:"heldOrders"`
	OrphanSessions     int64    `json:"orphanSessions"`
	OpenDifferences    int64    `json:"openDifferences"`
}

// ServiceVersion is what one node runs of one part of the daemon.
type ServiceVersion struct {
	ServiceName   string  `json:"serviceName"`
	InstanceID    string  `json:"instanceId"`
	Host          string  `json:"host"`
	Port          int     `json:"port"`
	Reachable     bool    `json:"reachable" doc:"Heard within 60 s"`
	Error         *string `json:"error"`
	BuildVersion  string  `json:"buildVersion"`
	BuildTime     *string `json:"buildTime" doc:"RFC 3339, as the build says"`
	GitCommit     *string `json:"gitCommit"`
	GoVersion     string  `json:"goVersion"`
	ImageTag      *string `json:"imageTag"`
	Registry      *string `json:"registry"`
	SchemaVersion int64   `json:"schemaVersion"`
	StartTime     Time    `json:"startTime"`
}

// AlertCounts counts the alerts that are not resolved.
type AlertCounts struct {
	Total        int64 `json:"total"`
	Active       int64 `json:"active"`
	Acknowledged int64 `json:"acknowledged"`
	Critical     int64 `json:"critical"`
	High         int64 `json:"high"`
	Medium       int64 `json:"medium"`
	Low          int64 `json:"low"`
}

// MonitoringOverview is everything at one look.
type MonitoringOverview struct {
	Status      string          `json:"status" enum:"UP,DEGRADED,DOWN,UNKNOWN"`
	Services    []Health        `json:"services" doc:"Without their instances"`
	Metrics     *SystemMetrics  `json:"metrics" doc:"Null without monitoring:system"`
	Business    BusinessMetrics `json:"business"`
	Alerts      []Alert         `json:"alerts" doc:"The 20 newest that are not resolved"`
	AlertCounts AlertCounts     `json:"alertCounts"`
}

// LogPage is a page of log lines. TotalCapped says that there are more than
// Total.
type LogPage struct {
	Page[LogLine]
	TotalCapped bool `json:"totalCapped"`
}
