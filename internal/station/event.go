package station

import (
	"encoding/json"
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

// statusFacts is the data of a status event.
type statusFacts struct {
	ChargerID   evcs.ChargerID `json:"chargerId"`
	ChargerCode string         `json:"chargerCode,omitempty"`
	ConnectorNo int            `json:"connectorNo,omitempty"`
	Before      Status         `json:"before"`
	After       Status         `json:"after"`
	FaultCode   *string        `json:"faultCode"`
	Plugged     *bool          `json:"plugged,omitempty"`
}

// StatusEvent tells that the charger's state was before and is now Status.
func (c *Charger) StatusEvent(before Status, at time.Time) evcs.Event {
	return evcs.Event{
		Type: evcs.EventChargerStatus, Time: at, Tenant: c.Tenant, Station: c.Station, Charger: c.ID,
		Data: facts(statusFacts{ChargerID: c.ID, ChargerCode: c.Code, Before: before, After: c.Status, FaultCode: c.FaultCode}),
	}
}

// StatusEvent tells that the connector's state was before and is now Status.
func (c *Connector) StatusEvent(before Status, at time.Time) evcs.Event {
	return evcs.Event{
		Type: evcs.EventConnectorStatus, Time: at, Tenant: c.Tenant, Station: c.Station, Charger: c.Charger, Connector: c.No,
		Data: facts(statusFacts{ChargerID: c.Charger, ConnectorNo: c.No, Before: before, After: c.Status, FaultCode: c.FaultCode, Plugged: c.Plugged}),
	}
}

func facts(f statusFacts) json.RawMessage {
	data, err := json.Marshal(f)
	if err != nil {
		return json.RawMessage(`{}`) // plain fields: it cannot happen
	}
	return data
}
