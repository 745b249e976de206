package api

import "encoding/json"

// The kinds of a command.
const (
	CommandStart          = "START"
	CommandStop           = "STOP"
	CommandReset          = "RESET"
	CommandUnlock         = "UNLOCK"
	CommandAvailability   = "AVAILABILITY"
	CommandTrigger        = "TRIGGER"
	CommandGetConfig      = "GET_CONFIG"
	CommandSetConfig      = "SET_CONFIG"
	CommandSyncTime       = "SYNC_TIME"
	CommandPushTariff     = "PUSH_TARIFF"
	CommandReadData       = "READ_DATA"
	CommandUpdateFirmware = "UPDATE_FIRMWARE"
	CommandSendLocalList  = "SEND_LOCAL_LIST"
)

// The states of a command.
const (
	CommandPending   = "PENDING"
	CommandSent      = "SENT"
	CommandAccepted  = "ACCEPTED"
	CommandCompleted = "COMPLETED"
	CommandRejected  = "REJECTED"
	CommandTimeout   = "TIMEOUT"
	CommandFailed    = "FAILED"
	CommandCancelled = "CANCELLED"
)

// Command is what was asked of a charger and what became of it.
type Command struct {
	CommandID   int64           `json:"commandId"`
	TenantID    int64           `json:"tenantId"`
	ChargerID   int64           `json:"chargerId"`
	ConnectorNo *int            `json:"connectorNo"`
	Type        string          `json:"type"`
	State       string          `json:"state" enum:"PENDING,SENT,ACCEPTED,COMPLETED,REJECTED,TIMEOUT,FAILED,CANCELLED"`
	Params      json.RawMessage `json:"params"`
	Result      json.RawMessage `json:"result"`
	Reason      *string         `json:"reason"`
	OrderID     *int64          `json:"orderId"`
	SessionID   *string         `json:"sessionId"`
	RequestedBy *string         `json:"requestedBy" doc:"Who asked: a user name, or system"`
	CreateTime  TimeMS          `json:"createTime"`
	SentTime    *TimeMS         `json:"sentTime"`
	AnswerTime  *TimeMS         `json:"answerTime"`
	EndTime     *TimeMS         `json:"endTime"`
	Deadline    Time            `json:"deadline"`
}

// ResetCharger is the body of POST /api/charger/{chargerId}/reset.
type ResetCharger struct {
	Type  *string `json:"type,omitempty" enum:"soft,hard" doc:"soft when absent"`
	Force *Flag   `json:"force,omitempty" doc:"1 first stops running sessions"`
	Wait  *int    `json:"wait,omitempty" minimum:"0" maximum:"120" doc:"Seconds; 30 when absent"`
}

// UnlockConnector is the body of the unlock operation.
type UnlockConnector struct {
	Wait *int `json:"wait,omitempty" minimum:"0" maximum:"120" doc:"Seconds; 30 when absent"`
}

// SendCommand is the body of POST /api/charger/{chargerId}/command.
type SendCommand struct {
	Type        string          `json:"type" enum:"START,STOP,RESET,UNLOCK,AVAILABILITY,TRIGGER,GET_CONFIG,SET_CONFIG,SYNC_TIME,PUSH_TARIFF,READ_DATA,UPDATE_FIRMWARE,SEND_LOCAL_LIST"`
	ConnectorNo *int            `json:"connectorNo,omitempty" minimum:"1" maximum:"32"`
	Params      json.RawMessage `json:"params,omitempty"`
	Wait        *int            `json:"wait,omitempty" minimum:"0" maximum:"120" doc:"Seconds; 0 when absent"`
}

// CreateCredential is the body of POST /api/charger/{chargerId}/credential.
type CreateCredential struct {
	GraceHours *int `json:"graceHours,omitempty" minimum:"0" maximum:"168" doc:"How long the old secret stays valid; 24 when absent"`
}

// NewCredential is its answer, the only place where the secret is shown.
type NewCredential struct {
	DeviceID           string `json:"deviceId"`
	Secret             string `json:"secret"`
	ValidFrom          Time   `json:"validFrom"`
	PreviousValidUntil *Time  `json:"previousValidUntil"`
}

// Credential says how a charger proves who it is, without the secret.
type Credential struct {
	DeviceID              string   `json:"deviceId"`
	Set                   bool     `json:"set"`
	Fingerprint           *string  `json:"fingerprint"`
	ValidFrom             *Time    `json:"validFrom"`
	PreviousValidUntil    *Time    `json:"previousValidUntil"`
	LastUsedTime          *Time    `json:"lastUsedTime"`
	SecurityProfile       int      `json:"securityProfile"`
	AllowCIDR             []string `json:"allowCidr"`
	ClientCertFingerprint *string  `json:"clientCertFingerprint"`
	PinICCID              *string  `json:"pinIccid"`
	HeartbeatInterval     *int     `json:"heartbeatInterval" doc:"Seconds"`
}

// UpdateCredential is the body of PUT /api/charger/{chargerId}/credential.
type UpdateCredential struct {
	SecurityProfile       *int             `json:"securityProfile,omitempty" minimum:"0" maximum:"3"`
	AllowCIDR             *[]string        `json:"allowCidr,omitempty" maxItems:"16"`
	ClientCertFingerprint Optional[string] `json:"clientCertFingerprint,omitzero" maxLength:"128"`
	PinICCID              Optional[string] `json:"pinIccid,omitzero" maxLength:"32"`
	HeartbeatInterval     Optional[int]    `json:"heartbeatInterval,omitzero" minimum:"10" maximum:"3600"`
}

// Connection is an open connection of a charger.
type Connection struct {
	ChargerID       int64  `json:"chargerId"`
	DeviceID        string `json:"deviceId"`
	Protocol        string `json:"protocol"`
	Version         string `json:"version" doc:"Of the protocol"`
	RemoteAddress   string `json:"remoteAddress"`
	ConnectedSince  Time   `json:"connectedSince"`
	LastMessageTime *Time  `json:"lastMessageTime"`
	MessagesIn      int64  `json:"messagesIn"`
	MessagesOut     int64  `json:"messagesOut"`
	PendingCommands int64  `json:"pendingCommands"`
}

// Rejection is a refused connection attempt; repeats are counted.
type Rejection struct {
	Time          Time    `json:"time"`
	DeviceID      string  `json:"deviceId"`
	Protocol      *string `json:"protocol"`
	RemoteAddress string  `json:"remoteAddress"`
	Reason        string  `json:"reason"`
	Hint          *string `json:"hint"`
	Count         int64   `json:"count"`
}

// Message is one stored device message, secrets redacted.
type Message struct {
	MessageID int64           `json:"messageId"`
	Time      TimeMS          `json:"time"`
	Direction string          `json:"direction" enum:"IN,OUT"`
	Protocol  string          `json:"protocol"`
	Type      string          `json:"type"`
	Raw       string          `json:"raw"`
	Decoded   json.RawMessage `json:"decoded"`
	Outcome   *string         `json:"outcome"`
}

// IDTag is a card, a VIN or an account known to chargers.
type IDTag struct {
	IDTagID     int64   `json:"idTagId"`
	TenantID    int64   `json:"tenantId"`
	IDTag       string  `json:"idTag"`
	UserID      *int64  `json:"userId"`
	Status      string  `json:"status" enum:"ACTIVE,BLOCKED"`
	ExpireTime  *Time   `json:"expireTime"`
	ParentIDTag *string `json:"parentIdTag"`
	Remark      *string `json:"remark"`
	CreateTime  Time    `json:"createTime"`
	UpdateTime  Time    `json:"updateTime"`
	Version     int64   `json:"version"`
}

// CreateIDTag is the body of POST /api/id-tag.
type CreateIDTag struct {
	IDTag       string  `json:"idTag" minLength:"1" maxLength:"36"`
	UserID      *int64  `json:"userId,omitempty" minimum:"1"`
	Status      *string `json:"status,omitempty" enum:"ACTIVE,BLOCKED"`
	ExpireTime  *Time   `json:"expireTime,omitempty"`
	ParentIDTag *string `json:"parentIdTag,omitempty" maxLength:"36"`
	Remark      *string `json:"remark,omitempty" maxLength:"500"`
	TenantID    *int64  `json:"tenantId,omitempty" minimum:"1"`
}

// UpdateIDTag is the body of PUT /api/id-tag/{idTagId}.
type UpdateIDTag struct {
	IDTag       *string          `json:"idTag,omitempty" maxLength:"36" doc:"Fixed at creation"`
	TenantID    *int64           `json:"tenantId,omitempty" minimum:"1" doc:"Fixed at creation"`
	UserID      Optional[int64]  `json:"userId,omitzero" minimum:"1"`
	Status      *string          `json:"status,omitempty" enum:"ACTIVE,BLOCKED"`
	ExpireTime  Optional[Time]   `json:"expireTime,omitzero"`
	ParentIDTag Optional[string] `json:"parentIdTag,omitzero" maxLength:"36"`
	Remark      Optional[string] `json:"remark,omitzero" maxLength:"500"`
	Version     *int64           `json:"version,omitempty" minimum:"0"`
}
