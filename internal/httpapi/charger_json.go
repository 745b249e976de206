package httpapi

import (
	"encoding/json"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/station"
)

// chargerJSON is a charger as lists show it.
func chargerJSON(r station.ChargerRow) api.Charger {
	c := api.Charger{
		ChargerID: int64(r.ID), TenantID: int64(r.Tenant), StationID: int64(r.Station), StationCode: r.StationCode, StationName: r.StationName,
		ChargerCode: r.Code, ChargerName: r.Name, DeviceID: r.DeviceID, Protocol: textOrNil(r.Protocol), ChargerType: r.Type,
		RatedPower: api.Measure(r.RatedPower), GunCount: r.Connectors, GunTypes: r.GunTypes, Brand: r.Brand, Model: r.Model, Manufacturer: r.Manufacturer,
		ProductionDate: (*api.Date)(r.ProductionDate), OperationDate: (*api.Date)(r.OperationDate), InputVoltage: (*api.Measure)(r.InputVoltage),
		OutputVoltageRange: r.OutputVoltageRange, OutputCurrentRange: r.OutputCurrentRange, SupportedProtocols: r.SupportedProtocols, Remark: r.Remark,
		BillingPlanID: idOrNil(r.Plan), Simulated: r.Simulated, Status: int(r.Status), Enabled: api.Flag(r.Enabled), FaultCode: r.FaultCode,
		FaultDescription: r.FaultDetail, FaultSince: api.AtOrNil(r.FaultSince), Connected: r.Connected, LastHeartbeat: api.AtOrNil(r.LastSeen),
		ConnectedSince: api.AtOrNil(r.ConnectedSince), RemoteAddress: r.RemoteAddress, CurrentPower: (*api.Measure)(r.Power),
		CurrentVoltage: (*api.Measure)(r.Voltage), CurrentCurrent: (*api.Measure)(r.Current), Temperature: (*api.Measure)(r.Temperature),
		SignalStrength: (*api.Measure)(r.SignalStrength), FirmwareVersion: r.Firmware, TotalChargingSessions: r.TotalSessions,
		TotalChargingEnergy: api.KWh(r.TotalEnergy), TotalChargingTime: r.TotalSeconds / 60, CreateTime: api.At(r.Created), UpdateTime: api.At(r.Updated),
		CreateBy: idOrNil(r.CreatedBy), UpdateBy: idOrNil(r.UpdatedBy), Version: r.Version,
	}
	if len(c.SupportedProtocols) == 0 {
		c.SupportedProtocols = json.RawMessage("null")
	}
	if !r.Connected {
		c.ConnectedSince, c.RemoteAddress = nil, nil
	}
	return c
}

// connectorJSON is a connector with its running session, if any.
func connectorJSON(r station.ConnectorRow) api.Connector {
	l := r.Live
	c := api.Connector{
		ConnectorNo: r.No, ConnectorType: r.Type, RatedPower: (*api.Measure)(r.RatedPower), ParkingNo: r.ParkingNo, Enabled: api.Flag(r.Enabled),
		Status: int(r.Status), Hold: textOrNil(r.Hold), FaultCode: r.FaultCode, FaultDescription: r.FaultDetail, Plugged: r.Plugged, SessionID: r.Session,
		OrderNo: r.OrderNo, Voltage: measured(l, evcs.HasVoltage, api.Measure(l.Voltage)), Current: measured(l, evcs.HasCurrent, api.Measure(l.Current)),
		Power: measured(l, evcs.HasPower, api.Measure(l.Power)), SoC: measured(l, evcs.HasSoC, api.Measure(l.SoC)),
		Temperature: measured(l, evcs.HasTemperature, api.Measure(l.Temperature)), Meter: measured(l, evcs.HasRegister, api.KWh(l.Register)),
		LastMeterTime: api.AtOrNil(r.LastMeter), UpdateTime: api.At(r.Updated), Version: r.Version,
	}
	if r.Session != nil {
		c.OrderID, c.ChargingStartTime = idOrNil(orZero(r.Order)), api.AtOrNil(evcs.FromMillis(r.StartedAt))
		c.ChargedEnergy, c.ChargedDuration = (*api.KWh)(r.Energy), api.Ptr((r.Seconds+59)/60)
		if user := orZero(r.User); user != 0 {
			c.UserID = &user
		}
	}
	return c
}

// measured is a quantity of a sample, nil when it was not measured.
func measured[T any](s evcs.Sample, q evcs.Quantity, v T) *T {
	if !s.Has(q) {
		return nil
	}
	return &v
}
