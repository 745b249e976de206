package station

import (
	"encoding/json"
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

// Status is the state of a connector or charger, with the contract's numbers.
type Status int

// The states of contract §5.2.
const (
	Offline     Status = 0
	Idle        Status = 1
	Charging    Status = 2
	Fault       Status = 3
	Maintenance Status = 4
	Reserved    Status = 5
)

// Valid reports whether s is one of the six.
func (s Status) Valid() bool { return s >= Offline && s <= Reserved }

// Charger is one device that connects to the platform.
type Charger struct {
	ID                 evcs.ChargerID
	Tenant             evcs.TenantID
	Station            evcs.StationID
	Code, Name         string
	DeviceID           string // identity at the device port, unique in the installation
	Protocol           string // "": decided by the first authenticated connection
	Type               int    // 1 DC, 2 AC, 3 both
	RatedPower         evcs.Power
	GunTypes           *string
	Brand              *string
	Model              *string
	Manufacturer       *string
	ProductionDate     *string
	OperationDate      *string
	InputVoltage       *evcs.Milli
	OutputVoltageRange *string
	OutputCurrentRange *string
	SupportedProtocols json.RawMessage
	Remark             *string
	Plan               evcs.PlanID // zero: none of its own
	Simulated          bool
	Status             Status
	Enabled            bool
	FaultCode          *string
	FaultDetail        *string
	FaultSince         time.Time
	Connected          bool
	ConnectedSince     time.Time
	LastSeen           time.Time // zero: never heard
	OfflineSince       time.Time
	RemoteAddress      *string
	Node               string // the node that holds the connection
	Firmware           *string
	SignalStrength     *evcs.Milli
	TotalSessions      int64
	TotalEnergy        evcs.Energy
	TotalSeconds       int64
	Created            time.Time
	Updated            time.Time
	CreatedBy          evcs.UserID
	UpdatedBy          evcs.UserID
	Version            int64
}

// The refusals of chargers and connectors.
var (
	ErrChargerNotFound   = evcs.NewError(evcs.CodeChargerNotFound, "no such charger")
	ErrChargerCode       = evcs.NewError(evcs.CodeChargerCodeExists, "the charger code is taken")
	ErrChargerState      = evcs.NewError(evcs.CodeChargerState, "the charger's state does not allow this")
	ErrChargerOffline    = evcs.NewError(evcs.CodeChargerOffline, "the charger is not connected")
	ErrChargerDisabled   = evcs.NewError(evcs.CodeChargerDisabled, "the charger or connector is disabled")
	ErrConnectorNotFound = evcs.NewError(evcs.CodeConnectorNotFound, "no such connector")
	ErrConnectorBusy     = evcs.NewError(evcs.CodeConnectorBusy, "the connector has a running session")
	ErrPlanNotFound      = evcs.NewError(evcs.CodePlanNotFound, "no such billing plan")
	ErrDeviceID          = evcs.NewError(evcs.CodeDeviceIDExists, "the device id is taken")
)

// ChargerMissing is 2002 with its fact.
func ChargerMissing(id evcs.ChargerID) error {
	return evcs.With(ErrChargerNotFound, map[string]any{"chargerId": id})
}

// PlanMissing is 3008 with its fact.
func PlanMissing(id evcs.PlanID) error {
	return evcs.With(ErrPlanNotFound, map[string]any{"planId": id})
}

// ConnectorMissing is 2005 with its facts.
func ConnectorMissing(id evcs.ChargerID, no int) error {
	return evcs.With(ErrConnectorNotFound, map[string]any{"chargerId": id, "connectorNo": no})
}

// Derive finds the charger's state: the highest of its connectors in the order
// fault, charging, maintenance, reserved, idle, offline.
func Derive(connectors []*Connector) Status {
	best := Offline
	for _, c := range connectors {
		if rank(c.Status) > rank(best) {
			best = c.Status
		}
	}
	return best
}

func rank(s Status) int {
	switch s {
	case Fault:
		return 5
	case Charging:
		return 4
	case Maintenance:
		return 3
	case Reserved:
		return 2
	case Idle:
		return 1
	case Offline:
	}
	return 0
}

// StateError is 2003 with its facts; orderNo is that of the running order, ""
// when there is none.
func (c *Charger) StateError(orderNo string, detail evcs.Detail) error {
	facts := map[string]any{"chargerId": c.ID, "currentStatus": int(c.Status), "orderId": nil}
	if orderNo != "" {
		facts["orderId"] = orderNo
	}
	return evcs.WithDetail(ErrChargerState, detail, facts)
}

// The details of 2003, contract §5.3.
var (
	BusyCharging    = evcs.Detail{ZH: "充电桩正在充电中,无法操作", EN: "the charger is charging"}
	BusyFault       = evcs.Detail{ZH: "充电桩故障,无法操作", EN: "the charger has a fault"}
	BusyMaintenance = evcs.Detail{ZH: "充电桩维护中,无法操作", EN: "the charger is under maintenance"}
	BusyReserved    = evcs.Detail{ZH: "充电桩已预约,无法操作", EN: "the charger is reserved"}
)

// OfflineError is 2004 with its facts.
func (c *Charger) OfflineError() error {
	facts := map[string]any{"chargerId": c.ID, "currentStatus": int(c.Status), "lastHeartbeat": nil}
	if !c.LastSeen.IsZero() {
		facts["lastHeartbeat"] = c.LastSeen.UTC().Format(time.RFC3339)
	}
	return evcs.With(ErrChargerOffline, facts)
}

// DisabledError is 2007; no is the connector, 0 when it is the charger.
func (c *Charger) DisabledError(no int) error {
	facts := map[string]any{"chargerId": c.ID, "connectorNo": nil}
	if no > 0 {
		facts["connectorNo"] = no
	}
	return evcs.With(ErrChargerDisabled, facts)
}
