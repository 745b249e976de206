package api

// APIKey is a key of a machine; its secret is shown only when it is made.
type APIKey struct {
	KeyID        int64    `json:"keyId"`
	Name         string   `json:"name"`
	Prefix       string   `json:"prefix" doc:"The first 8 characters"`
	UserID       int64    `json:"userId" doc:"The owner"`
	TenantID     int64    `json:"tenantId"`
	Scopes       []string `json:"scopes"`
	AllowCIDR    []string `json:"allowCidr"`
	Status       int      `json:"status" doc:"0 disabled, 1 enabled"`
	ExpireTime   Time     `json:"expireTime"`
	LastUsedTime *Time    `json:"lastUsedTime"`
	LastUsedIP   *string  `json:"lastUsedIp"`
	CreateTime   Time     `json:"createTime"`
	CreateBy     *int64   `json:"createBy"`
	Version      int64    `json:"version"`
}

// NewAPIKey is the answer to the creation and to the rotation of a key.
type NewAPIKey struct {
	APIKey
	Key string `json:"key" doc:"The secret, shown only here"`
}

// CreateAPIKey is the body of POST /api/auth/api-keys.
type CreateAPIKey struct {
	Name       string   `json:"name" minLength:"1" maxLength:"64"`
	Scopes     []string `json:"scopes" doc:"Permission codes or module:*" minItems:"1" maxItems:"200"`
	ExpireTime Time     `json:"expireTime" doc:"At most two years ahead"`
	UserID     *int64   `json:"userId,omitempty" doc:"Owner; self when absent" minimum:"1"`
	AllowCIDR  []string `json:"allowCidr,omitempty" maxItems:"16"`
}

// UpdateAPIKey is the body of PUT /api/auth/api-keys/{keyId}; scopes may only
// shrink.
type UpdateAPIKey struct {
	Name       *string   `json:"name,omitempty" minLength:"1" maxLength:"64"`
	Status     *int      `json:"status,omitempty" minimum:"0" maximum:"1"`
	ExpireTime *Time     `json:"expireTime,omitempty"`
	AllowCIDR  *[]string `json:"allowCidr,omitempty" maxItems:"16"`
	Scopes     *[]string `json:"scopes,omitempty" minItems:"1" maxItems:"200"`
	Version    *int64    `json:"version,omitempty" minimum:"0"`
}

// RotateAPIKey is the body of POST /api/auth/api-keys/{keyId}/rotate.
type RotateAPIKey struct {
	OverlapHours *int `json:"overlapHours,omitempty" doc:"How long the old key works on; 24 when absent" minimum:"0" maximum:"168"`
}
