package api

import "encoding/json"

// CloudRequest is the signed message of a charger over HTTP (contract §16.1).
// T is what the operation carries.
type CloudRequest[T any] struct {
	RequestID  string  `json:"requestId" doc:"Remembered with its answer for 72 h; a repeat of the same message gets the same answer" minLength:"1" maxLength:"64" pattern:"^[A-Za-z0-9._-]+$"`
	APIVersion string  `json:"apiVersion" enum:"3.0" doc:"Version of the protocol"`
	Timestamp  string  `json:"timestamp" doc:"RFC 3339, or without zone in the tenant's; within 300 s of the server" minLength:"19" maxLength:"64"`
	Signature  string  `json:"signature" doc:"Lower-case hex HMAC-SHA256 with the charger's secret over requestId, apiVersion, timestamp, deviceCode, sessionId and action if present, then the keys of data in byte order, as name=value joined by &" pattern:"^[0-9a-f]{64}$"`
	DeviceCode string  `json:"deviceCode" doc:"The charger's deviceId" minLength:"1" maxLength:"48"`
	SessionID  *string `json:"sessionId,omitempty" doc:"The session's id" minLength:"1" maxLength:"64"`
	Action     *string `json:"action,omitempty" doc:"When present it equals the last part of the path" maxLength:"32"`
	Data       T       `json:"data,omitzero"`
}

// CloudAnswer is the answer to a charger.
type CloudAnswer[T any] struct {
	Code       string `json:"code" doc:"The HTTP status, as a text" pattern:"^[0-9]{3}$"`
	Message    string `json:"message" doc:"For people"`
	Success    bool   `json:"success"`
	Data       T      `json:"data"`
	RequestID  string `json:"requestId" doc:"Echoed; empty when the message could not be read"`
	APIVersion string `json:"apiVersion" enum:"3.0"`
	Timestamp  string `json:"timestamp" doc:"In the form of the request, with or without zone"`
}

// CloudFailure is the refusal of a charger's message.
type CloudFailure struct {
	CloudAnswer[json.RawMessage]
	ErrorCode int `json:"errorCode" doc:"A row of the error table" minimum:"1000" maximum:"9999"`
}

// CloudHeartbeat is the data of a heartbeat.
type CloudHeartbeat struct {
	Wait           *int              `json:"wait,omitempty" doc:"Seconds to wait for commands; default 0" minimum:"0" maximum:"50"`
	Connectors     []CloudConnector  `json:"connectors,omitempty" maxItems:"32" doc:"State of the connectors"`
	CommandResults []CloudCommandEnd `json:"commandResults,omitempty" doc:"What became of commands"`
}

// CloudConnector is the state of a connector in a heartbeat.
type CloudConnector struct {
	ConnectorNo int `json:"connectorNo" minimum:"1" maximum:"32"`
	Status      int `json:"status" minimum:"0" maximum:"5" doc:"0 offline, 1 idle, 2 charging, 3 fault, 4 maintenance, 5 reserved"`
}

// CloudCommandEnd is a charger's answer to a command.
type CloudCommandEnd struct {
	CommandID int64   `json:"commandId" minimum:"1"`
	Result    string  `json:"result" enum:"ACCEPTED,REJECTED" doc:"What the charger says"`
	Reason    *string `json:"reason,omitempty" maxLength:"255"`
}

// CloudHeard is the answer to a heartbeat.
type CloudHeard struct {
	Timestamp     string         `json:"timestamp"`
	NextHeartbeat int            `json:"nextHeartbeat" doc:"Seconds until the next heartbeat"`
	Commands      []CloudCommand `json:"commands" doc:"Repeated until their result or session event arrives; devices dedupe by commandId"`
}

// CloudCommand is a command to a charger.
type CloudCommand struct {
	CommandID   int64           `json:"commandId"`
	Type        string          `json:"type" doc:"START, STOP, RESET and the other types of a command"`
	ConnectorNo *int            `json:"connectorNo"`
	SessionID   *string         `json:"sessionId"`
	OrderNo     *string         `json:"orderNo"`
	UserID      *int64          `json:"userId"`
	IDTag       *string         `json:"idTag"`
	Params      json.RawMessage `json:"params"`
}

// CloudFigures is what a charger measures.
type CloudFigures struct {
	Voltage     *Measure `json:"voltage,omitempty" doc:"V"`
	Current     *Measure `json:"current,omitempty" doc:"A"`
	Power       *Measure `json:"power,omitempty" doc:"kW"`
	SOC         *Measure `json:"soc,omitempty" doc:"%"`
	Temperature *Measure `json:"temperature,omitempty" doc:"°C"`
	Meter       *KWh     `json:"meter,omitempty" doc:"Energy register, kWh"`
}

// CloudStatus is the data of a status report. connectorNo may also be called
// connectorId, gunNo, gunId, port or connector; faultCode errorCode, errCode or
// fault; faultDescription errorMsg or errorMessage.
type CloudStatus struct {
	CloudFigures
	Status           int     `json:"status" minimum:"0" maximum:"5" doc:"0 offline, 1 idle, 2 charging, 3 fault, 4 maintenance, 5 reserved"`
	ConnectorNo      *int    `json:"connectorNo,omitempty" minimum:"1" maximum:"32" doc:"Absent: every connector"`
	FaultCode        *string `json:"faultCode,omitempty"`
	FaultDescription *string `json:"faultDescription,omitempty" maxLength:"255"`
	Plugged          *bool   `json:"plugged,omitempty"`
}

// CloudReceived is the answer to a status report.
type CloudReceived struct {
	Timestamp string `json:"timestamp"`
	Status    string `json:"status" enum:"received"`
}

// CloudStart is the data of a start.
type CloudStart struct {
	ConnectorNo   *int    `json:"connectorNo,omitempty" minimum:"1" maximum:"32" doc:"Default 1"`
	UserID        *int64  `json:"userId,omitempty" minimum:"1"`
	IDTag         *string `json:"idTag,omitempty" maxLength:"36"`
	InitialEnergy *KWh    `json:"initialEnergy,omitempty" minimum:"0" doc:"Energy register at the start, kWh"`
	StartTime     *string `json:"startTime,omitempty" maxLength:"64" doc:"Now when absent"`
	CommandID     *int64  `json:"commandId,omitempty" minimum:"1" doc:"The START this answers"`
	Offline       *bool   `json:"offline,omitempty" doc:"It has happened already: stored whatever the rules say, with anomalies"`
}

// CloudStarted is the answer to a start.
type CloudStarted struct {
	SessionID string  `json:"sessionId"`
	Timestamp string  `json:"timestamp"`
	Status    string  `json:"status" enum:"charging"`
	OrderNo   *string `json:"orderNo"`
}

// CloudStop is the data of a stop; energy or meterStop is needed.
type CloudStop struct {
	Energy      *KWh          `json:"energy,omitempty" minimum:"0" doc:"kWh delivered"`
	MeterStop   *KWh          `json:"meterStop,omitempty" minimum:"0" doc:"Energy register at the end, kWh"`
	Duration    *Measure      `json:"duration,omitempty" minimum:"0" doc:"Minutes"`
	EndTime     *string       `json:"endTime,omitempty" maxLength:"64" doc:"Now when absent"`
	Reason      *string       `json:"reason,omitempty" maxLength:"64" doc:"Manual stop when absent"`
	ConnectorNo *int          `json:"connectorNo,omitempty" minimum:"1" maximum:"32"`
	Amount      *Money        `json:"amount,omitempty" minimum:"0" maximum:"1000000" doc:"What the charger itself says that the energy cost, electricity and service, CNY; compared with the bill, never billed"`
	Periods     []CloudPeriod `json:"periods,omitempty" maxItems:"4" doc:"Its parts by the kind of period, each kind once"`
}

// CloudPeriod is the part of a charger's own bill in one kind of period.
type CloudPeriod struct {
	PeriodKind string `json:"periodKind" enum:"SHARP,PEAK,FLAT,VALLEY"`
	Energy     KWh    `json:"energy" minimum:"0" doc:"kWh"`
	Amount     Money  `json:"amount" minimum:"0" maximum:"1000000" doc:"CNY, electricity and service"`
}

// CloudStopped is the answer to a stop.
type CloudStopped struct {
	SessionID string  `json:"sessionId"`
	Timestamp string  `json:"timestamp"`
	Status    string  `json:"status" enum:"stopped"`
	Energy    KWh     `json:"energy"`
	Duration  Measure `json:"duration" doc:"Minutes"`
	OrderNo   *string `json:"orderNo"`
	Amount    Money   `json:"amount"`
}

// CloudMeter is the data of meter values.
type CloudMeter struct {
	Samples     []CloudSample `json:"samples" minItems:"1" maxItems:"500"`
	ConnectorNo *int          `json:"connectorNo,omitempty" minimum:"1" maximum:"32"`
}

// CloudSample is one reading; meter or energy is needed.
type CloudSample struct {
	CloudFigures
	Time   string `json:"time" maxLength:"64"`
	Energy *KWh   `json:"energy,omitempty" minimum:"0" doc:"kWh since the start"`
}

// CloudMetered is the answer to meter values.
type CloudMetered struct {
	Timestamp string `json:"timestamp"`
	Accepted  int    `json:"accepted" doc:"Samples stored"`
	Ignored   int    `json:"ignored" doc:"Samples that were there already"`
}
