package api

// Login is the body of POST /api/auth/login.
type Login struct {
	Identifier string `json:"identifier" doc:"Identifier, username@tenantCode or username@tenant<id>" minLength:"1" maxLength:"100"`
	Password   string `json:"password" minLength:"1" maxLength:"128"`
	Totp       string `json:"totp,omitempty" doc:"Code of the second factor, or a recovery code" maxLength:"16"`
}

// Refresh is the body of POST /api/auth/refresh.
type Refresh struct {
	RefreshToken string `json:"refreshToken" minLength:"1" maxLength:"200"`
}

// Logout is the body of POST /api/auth/logout; All ends every sign-in of the
// user.
type Logout struct {
	All *Flag `json:"all,omitempty"`
}

// ChangePassword is the body of POST /api/auth/password.
type ChangePassword struct {
	OldPassword string `json:"oldPassword" minLength:"1" maxLength:"128"`
	NewPassword string `json:"newPassword" minLength:"1" maxLength:"128"`
}

// LoginResult is the answer to a sign-in and to a refresh.
type LoginResult struct {
	Token             string    `json:"token"`
	ExpireTime        Time      `json:"expireTime"`
	RefreshToken      string    `json:"refreshToken"`
	RefreshExpireTime Time      `json:"refreshExpireTime"`
	UserInfo          LoginUser `json:"userInfo"`
}

// LoginUser is who signed in.
type LoginUser struct {
	UserID     int64    `json:"userId"`
	Username   string   `json:"username"`
	TenantID   int64    `json:"tenantId"`
	Identifier string   `json:"identifier"`
	Roles      []string `json:"roles" doc:"Role codes"`
}

// The kinds of a principal.
const (
	PrincipalUser   = "USER"
	PrincipalAPIKey = "API_KEY"
)

// UserInfo is what a principal learns about itself. Phone and Email are masked.
type UserInfo struct {
	LoginUser
	RealName           *string  `json:"realName"`
	Phone              *string  `json:"phone"`
	Email              *string  `json:"email"`
	Avatar             *string  `json:"avatar"`
	Gender             int      `json:"gender"`
	Status             int      `json:"status"`
	UserType           int      `json:"userType" doc:"0 platform administrator, 1 tenant administrator, 2 other"`
	TenantCode         string   `json:"tenantCode"`
	TenantName         string   `json:"tenantName"`
	TenantType         int      `json:"tenantType"`
	Permissions        []string `json:"permissions"`
	PermissionVersion  int64    `json:"permissionVersion"`
	MustChangePassword bool     `json:"mustChangePassword"`
	LastLoginTime      *Time    `json:"lastLoginTime"`
	TimeZone           string   `json:"timeZone"`
	PrincipalType      string   `json:"principalType" enum:"USER,API_KEY"`
	KeyID              *int64   `json:"keyId"`
}
