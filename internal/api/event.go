package api

import "encoding/json"

// The types of an event.
const (
	EventChargerConnected    = "charger.connected"
	EventChargerDisconnected = "charger.disconnected"
	EventChargerStatus       = "charger.status"
	EventConnectorStatus     = "connector.status"
	EventSessionStarted      = "session.started"
	EventSessionMeter        = "session.meter"
	EventSessionEnded        = "session.ended"
	EventSessionOrphan       = "session.orphan"
	EventOrderCreated        = "order.created"
	EventOrderStatus         = "order.status"
	EventCommandUpdated      = "command.updated"
	EventPaymentStatus       = "payment.status"
	EventRefundStatus        = "refund.status"
	EventReconFinished       = "reconciliation.finished"
	EventAlertRaised         = "alert.raised"
	EventAlertUpdated        = "alert.updated"
	EventTenantStatus        = "tenant.status"
	EventQuotaExceeded       = "quota.exceeded"

	// EventReset is sent on a stream alone: what was asked for is no longer
	// kept, read the lists anew.
	EventReset = "reset"
)

// Event is one fact that happened, published after its commit.
type Event struct {
	EventID     int64           `json:"eventId"`
	Type        string          `json:"type"`
	Time        TimeMS          `json:"time"`
	TenantID    *int64          `json:"tenantId"`
	StationID   *int64          `json:"stationId"`
	ChargerID   *int64          `json:"chargerId"`
	ConnectorNo *int            `json:"connectorNo"`
	OrderID     *int64          `json:"orderId"`
	OrderNo     *string         `json:"orderNo"`
	SessionID   *string         `json:"sessionId"`
	Data        json.RawMessage `json:"data"`
}

// EventGap is the data of a reset.
type EventGap struct {
	OldestEventID int64 `json:"oldestEventId"`
}

// Ticket opens one stream within a minute without a header.
type Ticket struct {
	Ticket     string `json:"ticket"`
	ExpireTime Time   `json:"expireTime"`
}
