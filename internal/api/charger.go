package api

import "encoding/json"

// The states of a charger and of a connector.
const (
	ChargerOffline     = 0
	ChargerIdle        = 1
	ChargerCharging    = 2
	ChargerFault       = 3
	ChargerMaintenance = 4
	ChargerReserved    = 5
)

// The protocols a charger may speak.
const (
	ProtocolOCPP16      = "OCPP16"
	ProtocolOCPP201     = "OCPP201"
	ProtocolYKC         = "YKC"
	ProtocolCloudcharge = "CLOUDCHARGE"
)

// Charger is a charger with its running figures. Connectors is left out of
// lists.
type Charger struct {
	ChargerID             int64           `json:"chargerId"`
	TenantID              int64           `json:"tenantId"`
	StationID             int64           `json:"stationId"`
	StationCode           string          `json:"stationCode"`
	StationName           string          `json:"stationName"`
	ChargerCode           string          `json:"chargerCode"`
	ChargerName           string          `json:"chargerName"`
	DeviceID              string          `json:"deviceId"`
	Protocol              *string         `json:"protocol" enum:"OCPP16,OCPP201,YKC,CLOUDCHARGE"`
	ChargerType           int             `json:"chargerType" doc:"1 DC, 2 AC, 3 both"`
	RatedPower            Measure         `json:"ratedPower" doc:"kW"`
	GunCount              int             `json:"gunCount"`
	GunTypes              *string         `json:"gunTypes"`
	Brand                 *string         `json:"brand"`
	Model                 *string         `json:"model"`
	Manufacturer          *string         `json:"manufacturer"`
	ProductionDate        *Date           `json:"productionDate"`
	OperationDate         *Date           `json:"operationDate"`
	InputVoltage          *Measure        `json:"inputVoltage" doc:"V"`
	OutputVoltageRange    *string         `json:"outputVoltageRange"`
	OutputCurrentRange    *string         `json:"outputCurrentRange"`
	SupportedProtocols    json.RawMessage `json:"supportedProtocols"`
	Remark                *string         `json:"remark"`
	BillingPlanID         *int64          `json:"billingPlanId"`
	Simulated             bool            `json:"simulated"`
	Status                int             `json:"status" doc:"0 offline, 1 idle, 2 charging, 3 fault, 4 maintenance, 5 reserved"`
	Enabled               Flag            `json:"enabled"`
	FaultCode             *string         `json:"faultCode"`
	FaultDescription      *string         `json:"faultDescription"`
	FaultSince            *Time           `json:"faultSince"`
	Connected             bool            `json:"connected"`
	LastHeartbeat         *Time           `json:"lastHeartbeat" doc:"The last message of any kind"`
	ConnectedSince        *Time           `json:"connectedSince"`
	RemoteAddress         *string         `json:"remoteAddress"`
	CurrentPower          *Measure        `json:"currentPower" doc:"kW"`
	CurrentVoltage        *Measure        `json:"currentVoltage" doc:"V"`
	CurrentCurrent        *Measure        `json:"currentCurrent" doc:"A"`
	Temperature           *Measure        `json:"temperature" doc:"°C"`
	SignalStrength        *Measure        `json:"signalStrength" doc:"dBm"`
	FirmwareVersion       *string         `json:"firmwareVersion"`
	TotalChargingSessions int64           `json:"totalChargingSessions"`
	TotalChargingEnergy   KWh             `json:"totalChargingEnergy"`
	TotalChargingTime     int64           `json:"totalChargingTime" doc:"Minutes"`
	Connectors            []Connector     `json:"connectors,omitzero"`
	CreateTime            Time            `json:"createTime"`
	UpdateTime            Time            `json:"updateTime"`
	CreateBy              *int64          `json:"createBy"`
	UpdateBy              *int64          `json:"updateBy"`
	Version               int64           `json:"version"`
}

// OfflineCharger is a charger that is not connected, and for how long.
type OfflineCharger struct {
	Charger
	OfflineSince   *Time  `json:"offlineSince"`
	OfflineMinutes *int64 `json:"offlineMinutes"`
}

// Connector is one socket of a charger with its running session, if any.
type Connector struct {
	ConnectorNo       int      `json:"connectorNo" doc:"From 1"`
	ConnectorType     *string  `json:"connectorType"`
	RatedPower        *Measure `json:"ratedPower" doc:"kW"`
	ParkingNo         *string  `json:"parkingNo"`
	Enabled           Flag     `json:"enabled"`
	Status            int      `json:"status" doc:"0 offline, 1 idle, 2 charging, 3 fault, 4 maintenance, 5 reserved"`
	Hold              *string  `json:"hold" enum:"MAINTENANCE,RESERVED"`
	FaultCode         *string  `json:"faultCode"`
	FaultDescription  *string  `json:"faultDescription"`
	Plugged           *bool    `json:"plugged"`
	SessionID         *string  `json:"sessionId"`
	OrderID           *int64   `json:"orderId"`
	OrderNo           *string  `json:"orderNo"`
	UserID            *int64   `json:"userId"`
	ChargingStartTime *Time    `json:"chargingStartTime"`
	ChargedEnergy     *KWh     `json:"chargedEnergy"`
	ChargedDuration   *int64   `json:"chargedDuration" doc:"Minutes"`
	Voltage           *Measure `json:"voltage" doc:"V"`
	Current           *Measure `json:"current" doc:"A"`
	Power             *Measure `json:"power" doc:"kW"`
	SoC               *Measure `json:"soc" doc:"%"`
	Temperature       *Measure `json:"temperature" doc:"°C"`
	Meter             *KWh     `json:"meter" doc:"Register"`
	LastMeterTime     *Time    `json:"lastMeterTime"`
	UpdateTime        Time     `json:"updateTime"`
	Version           int64    `json:"version"`
}

// CreateCharger is the body of POST /api/charger.
type CreateCharger struct {
	StationID          int64           `json:"stationId" minimum:"1"`
	ChargerCode        string          `json:"chargerCode" minLength:"1" maxLength:"64" pattern:"^[A-Za-z0-9_.-]+$"`
	ChargerName        string          `json:"chargerName" minLength:"1" maxLength:"100"`
	DeviceID           *string         `json:"deviceId,omitempty" minLength:"1" maxLength:"48" pattern:"^[A-Za-z0-9_.-]+$"`
	Protocol           *string         `json:"protocol,omitempty" enum:"OCPP16,OCPP201,YKC,CLOUDCHARGE"`
	ChargerType        int             `json:"chargerType" minimum:"1" maximum:"3"`
	RatedPower         Measure         `json:"ratedPower" exclusiveMinimum:"0" maximum:"10000" doc:"kW"`
	GunCount           *int            `json:"gunCount,omitempty" minimum:"1" maximum:"32"`
	GunTypes           *string         `json:"gunTypes,omitempty" maxLength:"200"`
	Brand              *string         `json:"brand,omitempty" maxLength:"64"`
	Model              *string         `json:"model,omitempty" maxLength:"64"`
	Manufacturer       *string         `json:"manufacturer,omitempty" maxLength:"64"`
	ProductionDate     *Date           `json:"productionDate,omitempty"`
	OperationDate      *Date           `json:"operationDate,omitempty"`
	InputVoltage       *Measure        `json:"inputVoltage,omitempty" minimum:"0" doc:"V"`
	OutputVoltageRange *string         `json:"outputVoltageRange,omitempty" maxLength:"32"`
	OutputCurrentRange *string         `json:"outputCurrentRange,omitempty" maxLength:"32"`
	SupportedProtocols json.RawMessage `json:"supportedProtocols,omitempty"`
	Remark             *string         `json:"remark,omitempty" maxLength:"500"`
	BillingPlanID      *int64          `json:"billingPlanId,omitempty" minimum:"1"`
	Simulated          *bool           `json:"simulated,omitempty"`
	Enabled            *Flag           `json:"enabled,omitempty"`
	TenantID           *int64          `json:"tenantId,omitempty" minimum:"1"`
}

// UpdateCharger is the body of PUT /api/charger. ID is an alias of ChargerID.
type UpdateCharger struct {
	ChargerID          *int64                    `json:"chargerId,omitempty" doc:"Required, or its alias id" minimum:"1"`
	ID                 *int64                    `json:"id,omitempty" doc:"Alias of chargerId" minimum:"1"`
	ChargerCode        *string                   `json:"chargerCode,omitempty" minLength:"1" maxLength:"64" pattern:"^[A-Za-z0-9_.-]+$"`
	ChargerName        *string                   `json:"chargerName,omitempty" minLength:"1" maxLength:"100"`
	Protocol           Optional[string]          `json:"protocol,omitzero" enum:"OCPP16,OCPP201,YKC,CLOUDCHARGE"`
	ChargerType        *int                      `json:"chargerType,omitempty" minimum:"1" maximum:"3"`
	RatedPower         *Measure                  `json:"ratedPower,omitempty" exclusiveMinimum:"0" maximum:"10000" doc:"kW"`
	GunCount           *int                      `json:"gunCount,omitempty" minimum:"1" maximum:"32"`
	GunTypes           Optional[string]          `json:"gunTypes,omitzero" maxLength:"200"`
	Brand              Optional[string]          `json:"brand,omitzero" maxLength:"64"`
	Model              Optional[string]          `json:"model,omitzero" maxLength:"64"`
	Manufacturer       Optional[string]          `json:"manufacturer,omitzero" maxLength:"64"`
	ProductionDate     Optional[Date]            `json:"productionDate,omitzero"`
	OperationDate      Optional[Date]            `json:"operationDate,omitzero"`
	InputVoltage       Optional[Measure]         `json:"inputVoltage,omitzero" minimum:"0" doc:"V"`
	OutputVoltageRange Optional[string]          `json:"outputVoltageRange,omitzero" maxLength:"32"`
	OutputCurrentRange Optional[string]          `json:"outputCurrentRange,omitzero" maxLength:"32"`
	SupportedProtocols Optional[json.RawMessage] `json:"supportedProtocols,omitzero"`
	Remark             Optional[string]          `json:"remark,omitzero" maxLength:"500"`
	BillingPlanID      Optional[int64]           `json:"billingPlanId,omitzero" minimum:"1"`
	TenantID           *int64                    `json:"tenantId,omitempty" minimum:"1" doc:"Fixed at creation"`
	StationID          *int64                    `json:"stationId,omitempty" minimum:"1" doc:"Fixed at creation"`
	DeviceID           *string                   `json:"deviceId,omitempty" maxLength:"48" doc:"Fixed at creation"`
	Simulated          *bool                     `json:"simulated,omitempty" doc:"Fixed at creation"`
	Version            *int64                    `json:"version,omitempty" minimum:"0"`
}

// UpdateConnector is the body of PUT /api/charger/{chargerId}/connectors/{connectorNo}.
type UpdateConnector struct {
	ConnectorType Optional[string]  `json:"connectorType,omitzero" maxLength:"32"`
	RatedPower    Optional[Measure] `json:"ratedPower,omitzero" exclusiveMinimum:"0" maximum:"10000" doc:"kW"`
	ParkingNo     Optional[string]  `json:"parkingNo,omitzero" maxLength:"32"`
	Enabled       *Flag             `json:"enabled,omitempty"`
	Version       *int64            `json:"version,omitempty" minimum:"0"`
}

// SetChargerStatus is the body of PUT /api/charger/{chargerId}/status. 2 is
// never writable.
type SetChargerStatus struct {
	Status  int    `json:"status" minimum:"0" maximum:"5" doc:"0, 1, 3, 4 or 5"`
	Version *int64 `json:"version,omitempty" minimum:"0"`
}

// ChargerStatus is its answer.
type ChargerStatus struct {
	ChargerID  int64 `json:"chargerId"`
	Status     int   `json:"status"`
	UpdateTime Time  `json:"updateTime"`
}

// EnableCharger is the body of PUT /api/charger/{chargerId}/enable.
type EnableCharger struct {
	Enabled Flag   `json:"enabled"`
	Version *int64 `json:"version,omitempty" minimum:"0"`
}

// ChargerEnabled is its answer.
type ChargerEnabled struct {
	ChargerID       int64 `json:"chargerId"`
	Enabled         Flag  `json:"enabled"`
	RunningSessions int64 `json:"runningSessions"`
	UpdateTime      Time  `json:"updateTime"`
}

// ChargerStatistics counts the live chargers of a scope.
type ChargerStatistics struct {
	Total       int64            `json:"total"`
	Enabled     int64            `json:"enabled"`
	Disabled    int64            `json:"disabled"`
	Simulated   int64            `json:"simulated"`
	ByStatus    map[string]int64 `json:"byStatus" doc:"Keys 0 to 5"`
	Offline     int64            `json:"offline"`
	Idle        int64            `json:"idle"`
	Charging    int64            `json:"charging"`
	Fault       int64            `json:"fault"`
	Maintenance int64            `json:"maintenance"`
	Reserved    int64            `json:"reserved"`
	ByType      map[string]int64 `json:"byType" doc:"Keys 1 to 3"`
	Connectors  ConnectorCounts  `json:"connectors"`
	OnlineRate  Percent          `json:"onlineRate"`
}

// ConnectorCounts counts connectors by status.
type ConnectorCounts struct {
	Total       int64 `json:"total"`
	Offline     int64 `json:"offline"`
	Idle        int64 `json:"idle"`
	Charging    int64 `json:"charging"`
	Fault       int64 `json:"fault"`
	Maintenance int64 `json:"maintenance"`
	Reserved    int64 `json:"reserved"`
}
