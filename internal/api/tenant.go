package api

// The types of a tenant and the states it can effectively be in.
const (
	TenantPlatform = 1
	TenantOperator = 2
	TenantPartner  = 3

	TenantActive   = "ACTIVE"
	TenantDisabled = "DISABLED"
	TenantExpired  = "EXPIRED"
)

// Tenant is an operator in the tree. A null quota is unlimited.
type Tenant struct {
	TenantID        int64   `json:"tenantId"`
	TenantCode      string  `json:"tenantCode"`
	TenantName      string  `json:"tenantName"`
	ParentID        *int64  `json:"parentId" doc:"Null: the root"`
	ParentName      *string `json:"parentName"`
	Level           int     `json:"level" doc:"The root is 0"`
	ContactPerson   string  `json:"contactPerson"`
	ContactPhone    string  `json:"contactPhone"`
	ContactEmail    *string `json:"contactEmail"`
	Address         *string `json:"address"`
	SocialCode      *string `json:"socialCode"`
	LicenseURL      *string `json:"licenseUrl"`
	Remark          *string `json:"remark"`
	TenantType      int     `json:"tenantType" doc:"1 platform, 2 operator, 3 partner"`
	TenantTypeName  string  `json:"tenantTypeName"`
	Status          int     `json:"status" doc:"Its own: 0 disabled, 1 enabled"`
	ExpireTime      *Time   `json:"expireTime" doc:"Null: never"`
	EffectiveStatus string  `json:"effectiveStatus" enum:"ACTIVE,DISABLED,EXPIRED"`
	BlockedBy       *int64  `json:"blockedBy" doc:"The tenant of the chain that blocks it"`
	MaxUsers        *int64  `json:"maxUsers"`
	MaxStations     *int64  `json:"maxStations"`
	MaxChargers     *int64  `json:"maxChargers"`
	MaxChildren     *int64  `json:"maxChildren"`
	MaxSessions     *int64  `json:"maxSessions"`
	ChildrenCount   int64   `json:"childrenCount"`
	CreateTime      Time    `json:"createTime"`
	UpdateTime      Time    `json:"updateTime"`
	CreateBy        *int64  `json:"createBy"`
	Version         int64   `json:"version"`
}

// TenantNode is a tenant of the tree with its children, by tenantCode.
type TenantNode struct {
	Tenant
	Children []TenantNode `json:"children"`
}

// NewTenant is the answer to the creation of a tenant; Admin is there when one
// was asked for.
type NewTenant struct {
	Tenant
	Admin *NewAdmin `json:"admin,omitempty"`
}

// NewAdmin is the first administrator of a new tenant. Password is there only
// when the server made it.
type NewAdmin struct {
	UserID     int64   `json:"userId"`
	Username   string  `json:"username"`
	Identifier string  `json:"identifier"`
	Password   *string `json:"password" doc:"Generated password, shown only here"`
}

// CreateAdmin asks for the first administrator of a new tenant.
type CreateAdmin struct {
	Username   string  `json:"username" minLength:"1" maxLength:"50" pattern:"^[A-Za-z0-9_.-]+$"`
	Password   *string `json:"password,omitempty" maxLength:"128"`
	Identifier *string `json:"identifier,omitempty" maxLength:"100"`
	RealName   *string `json:"realName,omitempty" maxLength:"100"`
}

// CreateTenant is the body of POST /api/tenant. An absent quota takes its
// default, null or 0 is unlimited. ContactName is an alias of ContactPerson.
type CreateTenant struct {
	TenantCode    string          `json:"tenantCode" minLength:"1" maxLength:"50" pattern:"^[A-Za-z0-9_.-]+$"`
	TenantName    string          `json:"tenantName" minLength:"1" maxLength:"100"`
	ParentID      *int64          `json:"parentId,omitempty" doc:"Own tenant when absent" minimum:"1"`
	ContactPerson string          `json:"contactPerson,omitempty" doc:"Required" maxLength:"50"`
	ContactName   string          `json:"contactName,omitempty" doc:"Alias of contactPerson" maxLength:"50"`
	ContactPhone  string          `json:"contactPhone" pattern:"^(1[3-9][0-9]{9}|\\+[0-9]{6,15})$"`
	ContactEmail  *string         `json:"contactEmail,omitempty" maxLength:"100"`
	Address       *string         `json:"address,omitempty" maxLength:"200"`
	SocialCode    *string         `json:"socialCode,omitempty" maxLength:"30"`
	LicenseURL    *string         `json:"licenseUrl,omitempty" maxLength:"500"`
	Remark        *string         `json:"remark,omitempty" maxLength:"500"`
	TenantType    int             `json:"tenantType" minimum:"1" maximum:"3"`
	Status        *int            `json:"status,omitempty" minimum:"0" maximum:"1"`
	ExpireTime    *Time           `json:"expireTime,omitempty"`
	MaxUsers      Optional[int64] `json:"maxUsers,omitzero"`
	MaxStations   Optional[int64] `json:"maxStations,omitzero"`
	MaxChargers   Optional[int64] `json:"maxChargers,omitzero"`
	MaxChildren   Optional[int64] `json:"maxChildren,omitzero"`
	MaxSessions   Optional[int64] `json:"maxSessions,omitzero"`
	Admin         *CreateAdmin    `json:"admin,omitempty"`
}

// UpdateTenant is the body of PUT /api/tenant/{id}.
type UpdateTenant struct {
	TenantName    *string          `json:"tenantName,omitempty" minLength:"1" maxLength:"100"`
	ContactPerson *string          `json:"contactPerson,omitempty" minLength:"1" maxLength:"50"`
	ContactName   *string          `json:"contactName,omitempty" doc:"Alias of contactPerson" minLength:"1" maxLength:"50"`
	ContactPhone  *string          `json:"contactPhone,omitempty" pattern:"^(1[3-9][0-9]{9}|\\+[0-9]{6,15})$"`
	ContactEmail  Optional[string] `json:"contactEmail,omitzero" maxLength:"100"`
	Address       Optional[string] `json:"address,omitzero" maxLength:"200"`
	SocialCode    Optional[string] `json:"socialCode,omitzero" maxLength:"30"`
	LicenseURL    Optional[string] `json:"licenseUrl,omitzero" maxLength:"500"`
	Remark        Optional[string] `json:"remark,omitzero" maxLength:"500"`
	TenantType    *int             `json:"tenantType,omitempty" minimum:"1" maximum:"3"`
	Status        *int             `json:"status,omitempty" minimum:"0" maximum:"1"`
	ExpireTime    Optional[Time]   `json:"expireTime,omitzero"`
	MaxUsers      Optional[int64]  `json:"maxUsers,omitzero"`
	MaxStations   Optional[int64]  `json:"maxStations,omitzero"`
	MaxChargers   Optional[int64]  `json:"maxChargers,omitzero"`
	MaxChildren   Optional[int64]  `json:"maxChildren,omitzero"`
	MaxSessions   Optional[int64]  `json:"maxSessions,omitzero"`
	Version       *int64           `json:"version,omitempty" minimum:"0"`
}

// TenantStatus is the answer to PUT /api/tenant/{id}/status.
type TenantStatus struct {
	TenantID        int64  `json:"tenantId"`
	Status          int    `json:"status"`
	EffectiveStatus string `json:"effectiveStatus" enum:"ACTIVE,DISABLED,EXPIRED"`
	AffectedTenants int64  `json:"affectedTenants"`
	RunningSessions int64  `json:"runningSessions"`
}

// MoveTenant is the body of POST /api/tenant/{id}/move.
type MoveTenant struct {
	ParentID int64  `json:"parentId" minimum:"1"`
	Version  *int64 `json:"version,omitempty" minimum:"0"`
}

// Quota is the body of PUT /api/tenant/quota/{tenantId}: at least one field;
// absent leaves it, null or 0 is unlimited.
type Quota struct {
	MaxUsers    Optional[int64] `json:"maxUsers,omitzero"`
	MaxStations Optional[int64] `json:"maxStations,omitzero"`
	MaxChargers Optional[int64] `json:"maxChargers,omitzero"`
	MaxChildren Optional[int64] `json:"maxChildren,omitzero"`
	MaxSessions Optional[int64] `json:"maxSessions,omitzero"`
	Version     *int64          `json:"version,omitempty" minimum:"0"`
}

// Usage is what a tenant and its descendants use of its quotas.
type Usage struct {
	TenantID        int64    `json:"tenantId"`
	TenantName      string   `json:"tenantName"`
	MaxChildren     *int64   `json:"maxChildren"`
	CurrentChildren int64    `json:"currentChildren"`
	MaxUsers        *int64   `json:"maxUsers"`
	CurrentUsers    int64    `json:"currentUsers"`
	MaxStations     *int64   `json:"maxStations"`
	CurrentStations int64    `json:"currentStations"`
	MaxChargers     *int64   `json:"maxChargers"`
	CurrentChargers int64    `json:"currentChargers"`
	MaxSessions     *int64   `json:"maxSessions"`
	CurrentSessions int64    `json:"currentSessions"`
	Exceeded        []string `json:"exceeded"`
}

// QuotaCheck forecasts whether a creation would be allowed.
type QuotaCheck struct {
	Allowed          bool    `json:"allowed"`
	Reason           *string `json:"reason"`
	Current          int64   `json:"current"`
	Limit            *int64  `json:"limit"`
	ResourceType     string  `json:"resourceType" enum:"children,stations,chargers,users,sessions"`
	LimitingTenantID *int64  `json:"limitingTenantId"`
}

// Settings are the effective settings of a tenant.
type Settings struct {
	TimeZone              string `json:"timeZone"`
	Locale                string `json:"locale"`
	AutoToPay             bool   `json:"autoToPay"`
	SettleFromEstimate    bool   `json:"settleFromEstimate"`
	BlockUnpaidUsers      bool   `json:"blockUnpaidUsers"`
	SandboxPayments       bool   `json:"sandboxPayments"`
	PaymentTimeoutMinutes int    `json:"paymentTimeoutMinutes"`
	RefundApprovalAbove   *Money `json:"refundApprovalAbove" doc:"Refunds above it, all that went back of the payment counted, wait for a second person; null: none does"`
	IDTagPolicy           string `json:"idTagPolicy" enum:"KNOWN_ONLY,ACCEPT_ALL"`
	MeterRetentionDays    int    `json:"meterRetentionDays"`
	MessageRetentionDays  int    `json:"messageRetentionDays"`
	AuditRetentionDays    int    `json:"auditRetentionDays"`
	Version               int64  `json:"version"`
}

// UpdateSettings is the body of PUT /api/tenant/{id}/settings; null goes back
// to what the parent has.
type UpdateSettings struct {
	TimeZone              Optional[string] `json:"timeZone,omitzero" maxLength:"64"`
	Locale                Optional[string] `json:"locale,omitzero" maxLength:"20"`
	AutoToPay             Optional[bool]   `json:"autoToPay,omitzero"`
	SettleFromEstimate    Optional[bool]   `json:"settleFromEstimate,omitzero"`
	BlockUnpaidUsers      Optional[bool]   `json:"blockUnpaidUsers,omitzero"`
	SandboxPayments       Optional[bool]   `json:"sandboxPayments,omitzero"`
	PaymentTimeoutMinutes Optional[int]    `json:"paymentTimeoutMinutes,omitzero" minimum:"1" maximum:"1440"`
	RefundApprovalAbove   Optional[Money]  `json:"refundApprovalAbove,omitzero" minimum:"0" doc:"Refunds above it, all that went back of the payment counted, wait for a second person"`
	IDTagPolicy           Optional[string] `json:"idTagPolicy,omitzero" enum:"KNOWN_ONLY,ACCEPT_ALL"`
	MeterRetentionDays    Optional[int]    `json:"meterRetentionDays,omitzero" minimum:"1" maximum:"36500"`
	MessageRetentionDays  Optional[int]    `json:"messageRetentionDays,omitzero" minimum:"1" maximum:"36500"`
	AuditRetentionDays    Optional[int]    `json:"auditRetentionDays,omitzero" minimum:"1" maximum:"36500"`
	Version               *int64           `json:"version,omitempty" minimum:"0"`
}
