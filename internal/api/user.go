package api

// User is a person who signs in.
type User struct {
	UserID             int64    `json:"userId"`
	TenantID           int64    `json:"tenantId"`
	Username           string   `json:"username"`
	Identifier         string   `json:"identifier"`
	RealName           *string  `json:"realName"`
	Phone              *string  `json:"phone"`
	Email              *string  `json:"email"`
	Gender             int      `json:"gender" doc:"0 female, 1 male, 2 unknown"`
	Avatar             *string  `json:"avatar"`
	Status             int      `json:"status" doc:"0 disabled, 1 enabled"`
	UserType           int      `json:"userType" doc:"0 platform administrator, 1 tenant administrator, 2 other"`
	Roles              []string `json:"roles"`
	LockedUntil        *Time    `json:"lockedUntil"`
	MustChangePassword bool     `json:"mustChangePassword"`
	LastLoginTime      *Time    `json:"lastLoginTime"`
	LastLoginIP        *string  `json:"lastLoginIp"`
	CreateTime         Time     `json:"createTime"`
	UpdateTime         Time     `json:"updateTime"`
	Version            int64    `json:"version"`
}

// NewUser is the answer to the creation of a user; Password is there only when
// the server made it, and only this once.
type NewUser struct {
	User
	Password *string `json:"password,omitempty" doc:"Generated password, shown only here"`
}

// CreateUser is the body of POST /api/user.
type CreateUser struct {
	Username           string   `json:"username" minLength:"1" maxLength:"50" pattern:"^[A-Za-z0-9_.-]+$"`
	Password           *string  `json:"password,omitempty" doc:"Generated and returned once when absent" maxLength:"128"`
	Identifier         *string  `json:"identifier,omitempty" maxLength:"100"`
	RealName           *string  `json:"realName,omitempty" maxLength:"100"`
	Phone              *string  `json:"phone,omitempty" maxLength:"20"`
	Email              *string  `json:"email,omitempty" maxLength:"100"`
	Gender             *int     `json:"gender,omitempty" minimum:"0" maximum:"2"`
	Avatar             *string  `json:"avatar,omitempty" maxLength:"500"`
	Status             *int     `json:"status,omitempty" minimum:"0" maximum:"1"`
	Roles              []string `json:"roles,omitempty" doc:"Role codes; VIEWER when absent" maxItems:"50"`
	TenantID           *int64   `json:"tenantId,omitempty" minimum:"1"`
	MustChangePassword *Flag    `json:"mustChangePassword,omitempty"`
}

// UpdateUser is the body of PUT /api/user/{userId}.
type UpdateUser struct {
	Identifier         *string          `json:"identifier,omitempty" maxLength:"100"`
	RealName           Optional[string] `json:"realName,omitzero" maxLength:"100"`
	Phone              Optional[string] `json:"phone,omitzero" maxLength:"20"`
	Email              Optional[string] `json:"email,omitzero" maxLength:"100"`
	Gender             *int             `json:"gender,omitempty" minimum:"0" maximum:"2"`
	Avatar             Optional[string] `json:"avatar,omitzero" maxLength:"500"`
	Status             *int             `json:"status,omitempty" minimum:"0" maximum:"1"`
	Roles              *[]string        `json:"roles,omitempty" maxItems:"50"`
	MustChangePassword *Flag            `json:"mustChangePassword,omitempty"`
	Version            *int64           `json:"version,omitempty" minimum:"0"`
}

// UserStatus is the answer to PUT /api/user/{userId}/status.
type UserStatus struct {
	UserID int64 `json:"userId"`
	Status int   `json:"status"`
}

// SetRoles is the body of PUT /api/user/{userId}/roles; it replaces them.
type SetRoles struct {
	Roles   []string `json:"roles" maxItems:"50"`
	Version *int64   `json:"version,omitempty" minimum:"0"`
}

// UserRoles are the role codes of a user.
type UserRoles struct {
	UserID int64    `json:"userId"`
	Roles  []string `json:"roles"`
}

// ResetPassword is the body of POST /api/user/{userId}/reset-password.
type ResetPassword struct {
	NewPassword        *string `json:"newPassword,omitempty" maxLength:"128"`
	MustChangePassword *Flag   `json:"mustChangePassword,omitempty"`
}

// PasswordReset is its answer; Password is null when the caller gave it.
type PasswordReset struct {
	UserID   int64   `json:"userId"`
	Password *string `json:"password"`
}

// Role is a set of permissions. TenantID is null for a built-in role.
type Role struct {
	RoleID      int64    `json:"roleId"`
	TenantID    *int64   `json:"tenantId"`
	RoleCode    string   `json:"roleCode"`
	RoleName    string   `json:"roleName"`
	BuiltIn     bool     `json:"builtIn"`
	Permissions []string `json:"permissions"`
	UserCount   int64    `json:"userCount"`
	Remark      *string  `json:"remark"`
	CreateTime  Time     `json:"createTime"`
	Version     int64    `json:"version"`
}

// CreateRole is the body of POST /api/role.
type CreateRole struct {
	RoleCode    string   `json:"roleCode" pattern:"^[A-Z][A-Z0-9_]{1,49}$"`
	RoleName    string   `json:"roleName" minLength:"1" maxLength:"100"`
	Permissions []string `json:"permissions" maxItems:"200"`
	Remark      *string  `json:"remark,omitempty" maxLength:"500"`
	TenantID    *int64   `json:"tenantId,omitempty" minimum:"1"`
}

// UpdateRole is the body of PUT /api/role/{roleId}.
type UpdateRole struct {
	RoleName    *string          `json:"roleName,omitempty" minLength:"1" maxLength:"100"`
	Permissions *[]string        `json:"permissions,omitempty" maxItems:"200"`
	Remark      Optional[string] `json:"remark,omitzero" maxLength:"500"`
	Version     *int64           `json:"version,omitempty" minimum:"0"`
}

// Permission is one permission of the contract's table.
type Permission struct {
	Code   string `json:"code"`
	Module string `json:"module"`
	Name   string `json:"name"`
}
