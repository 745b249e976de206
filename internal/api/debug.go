package api

import "encoding/json"

// SimulateHeartbeat is the body of POST /debug/protocol/simulate/heartbeat.
type SimulateHeartbeat struct {
	ChargerID    int64   `json:"chargerId" minimum:"1"`
	ProtocolType *string `json:"protocolType,omitempty" enum:"OCPP,CLOUDCHARGE,YKC" doc:"OCPP when absent"`
}

// SimulatedHeartbeat is its answer.
type SimulatedHeartbeat struct {
	ChargerID int64  `json:"chargerId"`
	EventID   int64  `json:"eventId"`
	Time      TimeMS `json:"time"`
}

// SimulateStatus is the body of POST /debug/protocol/simulate/status.
type SimulateStatus struct {
	ChargerID    int64   `json:"chargerId" minimum:"1"`
	ConnectorNo  *int    `json:"connectorNo,omitempty" minimum:"1" maximum:"32" doc:"Every connector when absent"`
	NewStatus    *int    `json:"newStatus,omitempty" minimum:"0" maximum:"5" doc:"Required, here or as status"`
	Status       *int    `json:"status,omitempty" minimum:"0" maximum:"5" doc:"The same as newStatus"`
	OldStatus    *int    `json:"oldStatus,omitempty" minimum:"0" maximum:"5" doc:"Checked when given"`
	StatusDesc   *string `json:"statusDesc,omitempty" maxLength:"200"`
	ProtocolType *string `json:"protocolType,omitempty" enum:"OCPP,CLOUDCHARGE,YKC" doc:"OCPP when absent"`
}

// SimulatedStatus is its answer.
type SimulatedStatus struct {
	ChargerID int64 `json:"chargerId"`
	EventID   int64 `json:"eventId"`
	OldStatus int   `json:"oldStatus"`
	NewStatus int   `json:"newStatus"`
}

// SimulateStart is the body of POST /debug/protocol/simulate/start.
type SimulateStart struct {
	ChargerID     int64   `json:"chargerId" minimum:"1"`
	ConnectorNo   *int    `json:"connectorNo,omitempty" minimum:"1" maximum:"32" doc:"1 when absent"`
	UserID        *int64  `json:"userId,omitempty" minimum:"1"`
	SessionID     *string `json:"sessionId,omitempty" minLength:"1" maxLength:"64" pattern:"^[A-Za-z0-9_.:-]+$"`
	InitialEnergy *KWh    `json:"initialEnergy,omitempty" doc:"Register; 0 when absent"`
	ProtocolType  *string `json:"protocolType,omitempty" enum:"OCPP,CLOUDCHARGE,YKC" doc:"OCPP when absent"`
}

// SimulatedStart is its answer.
type SimulatedStart struct {
	SessionID string `json:"sessionId"`
	OrderID   int64  `json:"orderId"`
	OrderNo   string `json:"orderNo"`
	EventID   int64  `json:"eventId"`
}

// SimulateStop is the body of POST /debug/protocol/simulate/stop.
type SimulateStop struct {
	SessionID *string `json:"sessionId,omitempty" minLength:"1" maxLength:"64" doc:"This or orderNo"`
	OrderNo   *string `json:"orderNo,omitempty" minLength:"1" maxLength:"32"`
	Energy    KWh     `json:"energy" doc:"Since the start"`
	Duration  *int64  `json:"duration,omitempty" minimum:"0" maximum:"43200" doc:"Minutes"`
	Reason    *string `json:"reason,omitempty" maxLength:"200" doc:"Normal stop when absent"`
}

// SimulatedStop is its answer.
type SimulatedStop struct {
	SessionID string `json:"sessionId"`
	OrderID   int64  `json:"orderId"`
	OrderNo   string `json:"orderNo"`
	Amount    Money  `json:"amount"`
	EventID   int64  `json:"eventId"`
}

// ProtocolEvent is one message of a charger, real or simulated.
type ProtocolEvent struct {
	EventID      int64           `json:"eventId"`
	EventType    string          `json:"eventType" enum:"HEARTBEAT,STATUS_CHANGE,CHARGING_START,CHARGING_STOP,TELEMETRY,ERROR,OTHER"`
	EventTime    TimeMS          `json:"eventTime"`
	ChargerID    int64           `json:"chargerId"`
	TenantID     int64           `json:"tenantId"`
	ProtocolType string          `json:"protocolType"`
	Payload      json.RawMessage `json:"payload" doc:"The message, secrets redacted; as text when it is not JSON"`
}

// ProtocolStats counts the messages that are kept.
type ProtocolStats struct {
	TotalEvents       int64            `json:"totalEvents"`
	OCPPEvents        int64            `json:"ocppEvents"`
	CloudChargeEvents int64            `json:"cloudChargeEvents"`
	YKCEvents         int64            `json:"ykcEvents"`
	SimulatedEvents   int64            `json:"simulatedEvents"`
	ByType            map[string]int64 `json:"byType"`
	Since             *TimeMS          `json:"since"`
}
