package api

// The states of a session.
const (
	SessionActive    = "ACTIVE"
	SessionSuspended = "SUSPENDED"
	SessionEnded     = "ENDED"
	SessionOrphan    = "ORPHAN"
)

// Session is what a device did; the order is what is owed for it.
type Session struct {
	SessionID           string   `json:"sessionId"`
	TenantID            int64    `json:"tenantId"`
	OrderID             *int64   `json:"orderId"`
	OrderNo             *string  `json:"orderNo"`
	StationID           int64    `json:"stationId"`
	ChargerID           int64    `json:"chargerId"`
	ConnectorNo         int      `json:"connectorNo"`
	UserID              *int64   `json:"userId"`
	IDTag               *string  `json:"idTag" doc:"Masked"`
	Protocol            *string  `json:"protocol"`
	DeviceTransactionID *string  `json:"deviceTransactionId"`
	State               string   `json:"state" enum:"ACTIVE,SUSPENDED,ENDED,ORPHAN"`
	StartTime           *TimeMS  `json:"startTime" doc:"Device"`
	StopTime            *TimeMS  `json:"stopTime" doc:"Device"`
	ReceivedStartTime   *TimeMS  `json:"receivedStartTime" doc:"Platform"`
	ReceivedStopTime    *TimeMS  `json:"receivedStopTime" doc:"Platform"`
	MeterStart          *KWh     `json:"meterStart"`
	MeterStop           *KWh     `json:"meterStop"`
	Energy              KWh      `json:"energy"`
	DurationSeconds     int64    `json:"durationSeconds"`
	StopReason          *string  `json:"stopReason"`
	StopReasonRaw       *string  `json:"stopReasonRaw"`
	Samples             int64    `json:"samples"`
	LastSample          *Sample  `json:"lastSample"`
	DeviceEnergy        *KWh     `json:"deviceEnergy"`
	DeviceAmount        *Money   `json:"deviceAmount"`
	Estimated           bool     `json:"estimated"`
	Anomalies           []string `json:"anomalies"`
}

// Sample is one reading of a connector; what was not measured is null.
type Sample struct {
	Time        TimeMS   `json:"time"`
	Meter       *KWh     `json:"meter" doc:"Register"`
	Energy      KWh      `json:"energy" doc:"Since the start"`
	Power       *Measure `json:"power" doc:"kW"`
	Voltage     *Measure `json:"voltage" doc:"V"`
	Current     *Measure `json:"current" doc:"A"`
	SoC         *Measure `json:"soc" doc:"%"`
	Temperature *Measure `json:"temperature" doc:"°C"`
}

// Curve is the readings of a session, thinned when Downsampled.
type Curve struct {
	SessionID   string   `json:"sessionId"`
	Total       int64    `json:"total"`
	Downsampled bool     `json:"downsampled"`
	Points      []Sample `json:"points"`
}

// AdoptSession is the body of POST /api/session/{sessionId}/adopt.
type AdoptSession struct {
	Reason        string `json:"reason" minLength:"1" maxLength:"200"`
	UserID        *int64 `json:"userId,omitempty" minimum:"1"`
	BillingPlanID *int64 `json:"billingPlanId,omitempty" minimum:"1"`
}

// CloseSession is the body of POST /api/session/{sessionId}/close.
type CloseSession struct {
	Reason    string `json:"reason" minLength:"1" maxLength:"200"`
	MeterStop *KWh   `json:"meterStop,omitempty" minimum:"0"`
	Energy    *KWh   `json:"energy,omitempty" minimum:"0"`
	StopTime  *Time  `json:"stopTime,omitempty"`
}
