package api

import "encoding/json"

// Live is the answer of /healthz; it has no envelope.
type Live struct {
	Status string `json:"status" enum:"ok"`
}

// Ready is the answer of /readyz; it has no envelope. Reasons says what is
// missing and is left out when nothing is.
type Ready struct {
	Status  string   `json:"status" enum:"ready,not_ready"`
	Reasons []string `json:"reasons,omitempty"`
}

// Health is the state of one logical part of the daemon.
type Health struct {
	ServiceName        string           `json:"serviceName"`
	Status             string           `json:"status" enum:"UP,DEGRADED,DOWN,UNKNOWN"`
	InstanceCount      int              `json:"instanceCount"`
	HealthyInstances   int              `json:"healthyInstances"`
	UnhealthyInstances int              `json:"unhealthyInstances"`
	ResponseTime       *Measure         `json:"responseTime" doc:"ms"`
	LastCheckTime      Time             `json:"lastCheckTime"`
	Checks             []HealthCheck    `json:"checks"`
	Details            []HealthInstance `json:"details,omitzero"`
}

// HealthCheck is one check of a part.
type HealthCheck struct {
	Name         string   `json:"name"`
	Status       string   `json:"status" enum:"UP,DEGRADED,DOWN,UNKNOWN"`
	Message      *string  `json:"message"`
	ResponseTime *Measure `json:"responseTime" doc:"ms"`
}

// HealthInstance is one node of a part.
type HealthInstance struct {
	InstanceID string        `json:"instanceId"`
	Host       string        `json:"host"`
	Port       int           `json:"port"`
	Status     string        `json:"status" enum:"UP,DEGRADED,DOWN,UNKNOWN"`
	Uptime     int64         `json:"uptime" doc:"Seconds"`
	Memory     HealthMemory  `json:"memory"`
	Threads    HealthThreads `json:"threads"`
	Goroutines int           `json:"goroutines"`
}

// HealthMemory is the memory of a node in bytes.
type HealthMemory struct {
	Used         int64    `json:"used"`
	Max          *int64   `json:"max"`
	UsagePercent *Percent `json:"usagePercent"`
}

// HealthThreads are the threads of a node; Daemon is always null.
type HealthThreads struct {
	Active *int  `json:"active"`
	Peak   *int  `json:"peak" doc:"Most since the start, as sampled"`
	Daemon *bool `json:"daemon"`
}

// LogLine is one line of the local log store.
type LogLine struct {
	LogID       int64           `json:"logId"`
	Time        TimeMS          `json:"time"`
	Level       string          `json:"level" enum:"DEBUG,INFO,WARN,ERROR"`
	ServiceName string          `json:"serviceName"`
	Logger      string          `json:"logger"`
	Message     string          `json:"message"`
	TraceID     *string         `json:"traceId"`
	TenantID    *int64          `json:"tenantId"`
	UserID      *int64          `json:"userId"`
	ChargerID   *int64          `json:"chargerId"`
	OrderID     *int64          `json:"orderId"`
	Attributes  json.RawMessage `json:"attributes" doc:"An object"`
	Line        string          `json:"line"`
}
