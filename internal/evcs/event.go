package evcs

import (
	"encoding/json"
	"time"
)

// Event is one fact that happened, written in the transaction of its cause and
// published after commit, at least once, in order per charger and per order.
type Event struct {
	ID        EventID // its place in the published sequence; zero until published
	Type      string  // one of the Event… constants
	Time      time.Time
	Tenant    TenantID
	Station   StationID
	Charger   ChargerID
	Connector int
	Order     OrderID
	OrderNo   string
	Session   string
	Data      json.RawMessage // the changed object's main fields, contract §15
	// Trace is the trace id of the request or frame that caused it.
	Trace string
}

// The event types of contract §15.
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
)

// EventTypes lists them.
func EventTypes() []string {
	return []string{
		EventChargerConnected, EventChargerDisconnected, EventChargerStatus, EventConnectorStatus, EventSessionStarted, EventSessionMeter,
		EventSessionEnded, EventSessionOrphan, EventOrderCreated, EventOrderStatus, EventCommandUpdated, EventPaymentStatus, EventRefundStatus,
		EventReconFinished, EventAlertRaised, EventAlertUpdated, EventTenantStatus, EventQuotaExceeded,
	}
}

// Frame is the raw evidence of one device message, kept in the transaction of
// its effect.
type Frame struct {
	ID        int64
	Tenant    TenantID
	Charger   ChargerID
	Time      time.Time // when the platform received or sent it
	Out       bool      // sent by us
	Protocol  string    // OCPP16, OCPP201, YKC, CLOUDCHARGE
	Type      string    // the protocol's message name
	Session   string    // our session id, when known
	MessageID string    // the protocol's message id, never a key
	Raw       []byte    // exact bytes, secrets redacted
	Outcome   string    // "", or the code it was answered with
}
