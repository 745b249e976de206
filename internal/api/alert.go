package api

// The states and severities of an alert.
const (
	AlertActive       = "ACTIVE"
	AlertAcknowledged = "ACKNOWLEDGED"
	AlertResolved     = "RESOLVED"

	SeverityCritical = "CRITICAL"
	SeverityHigh     = "HIGH"
	SeverityMedium   = "MEDIUM"
	SeverityLow      = "LOW"
)

// Alert is a condition that wants a person.
type Alert struct {
	AlertID          int64    `json:"alertId"`
	TenantID         *int64   `json:"tenantId" doc:"Null: the host"`
	AlertType        string   `json:"alertType"`
	Severity         string   `json:"severity" enum:"CRITICAL,HIGH,MEDIUM,LOW"`
	Title            string   `json:"title"`
	Message          string   `json:"message"`
	Source           string   `json:"source" enum:"SYSTEM,DEVICE,ORDER,PAYMENT,RECONCILIATION,SECURITY,TENANT,CUSTOM"`
	Status           string   `json:"status" enum:"ACTIVE,ACKNOWLEDGED,RESOLVED"`
	TargetType       *string  `json:"targetType"`
	TargetID         *int64   `json:"targetId"`
	StationID        *int64   `json:"stationId"`
	ChargerID        *int64   `json:"chargerId"`
	Value            *Measure `json:"value"`
	Threshold        *Measure `json:"threshold"`
	Occurrences      int64    `json:"occurrences"`
	FirstTime        Time     `json:"firstTime"`
	LastTime         Time     `json:"lastTime"`
	CreateTime       Time     `json:"createTime"`
	UpdateTime       Time     `json:"updateTime"`
	AcknowledgedTime *Time    `json:"acknowledgedTime"`
	AcknowledgedBy   *int64   `json:"acknowledgedBy"`
	ResolvedTime     *Time    `json:"resolvedTime"`
	ResolvedBy       *int64   `json:"resolvedBy"`
	Resolution       *string  `json:"resolution"`
	AutoResolved     bool     `json:"autoResolved"`
	Version          int64    `json:"version"`
}

// AlertDetail is an alert with its history and the notices sent.
type AlertDetail struct {
	Alert
	History    []AlertStep     `json:"history"`
	Deliveries []AlertDelivery `json:"deliveries"`
}

// AlertStep is one step in the life of an alert.
type AlertStep struct {
	Time  Time    `json:"time"`
	Event string  `json:"event"`
	By    *int64  `json:"by"`
	Note  *string `json:"note"`
}

// AlertDelivery is one notice of an alert.
type AlertDelivery struct {
	ChannelID int64   `json:"channelId"`
	Time      Time    `json:"time"`
	OK        bool    `json:"ok"`
	Error     *string `json:"error"`
}

// ResolveAlert is the body of POST /api/monitoring/alerts/{id}/resolve.
type ResolveAlert struct {
	Resolution string `json:"resolution" minLength:"1" maxLength:"500"`
}

// AlertStatistics counts the alerts created in some days.
type AlertStatistics struct {
	TotalAlerts              int64            `json:"totalAlerts"`
	ActiveAlerts             int64            `json:"activeAlerts"`
	AcknowledgedAlerts       int64            `json:"acknowledgedAlerts"`
	ResolvedAlerts           int64            `json:"resolvedAlerts"`
	CriticalAlerts           int64            `json:"criticalAlerts"`
	HighAlerts               int64            `json:"highAlerts"`
	MediumAlerts             int64            `json:"mediumAlerts"`
	LowAlerts                int64            `json:"lowAlerts"`
	AlertsByType             map[string]int64 `json:"alertsByType"`
	AlertsBySeverity         map[string]int64 `json:"alertsBySeverity"`
	MeanSecondsToAcknowledge *int64           `json:"meanSecondsToAcknowledge"`
	MeanSecondsToResolve     *int64           `json:"meanSecondsToResolve"`
}
