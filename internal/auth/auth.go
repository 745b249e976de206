// Package auth is who may come in and what they may do: users, roles and
// permissions, sign-in with lockout, tokens that end when anything about their
// owner changes, API keys of machines, and the sealing of secrets. Its
// invariant: what the store says about a user, his roles and his tenants
// decides, at most a second late; a token only says who is asking.
package auth

import (
	"context"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/tenant"
)

// User is a person who signs in.
type User struct {
	ID                evcs.UserID
	Tenant            evcs.TenantID
	Username          string // unique in the tenant, whatever the case
	Identifier        string // unique in the installation, whatever the case
	PasswordHash      string
	RealName          string
	Phone             string
	Email             string
	Gender            int // 0 female, 1 male, 2 unknown
	Avatar            string
	Enabled           bool
	MustChange        bool
	LastLogin         time.Time
	LastLoginIP       string
	PermissionVersion int64
	Roles             []Role
	Created, Updated  time.Time
	CreatedBy         evcs.UserID
	Version           int64
}

// RoleCodes are the codes of the user's roles.
func (u *User) RoleCodes() []string {
	codes := make([]string, len(u.Roles))
	for i := range u.Roles {
		codes[i] = u.Roles[i].Code
	}
	return codes
}

// Admin reports whether the user holds the built-in role ADMIN.
func (u *User) Admin() bool {
	for i := range u.Roles {
		if u.Roles[i].ID == RoleAdmin {
			return true
		}
	}
	return false
}

// Role is a set of permissions under a code. The built-in ones belong to no
// tenant (zero) and take their permissions from the table of this package.
type Role struct {
	ID      evcs.RoleID
	Tenant  evcs.TenantID // zero: built in
	Code    string
	Name    string
	Grants  []string // codes, or "module:*"
	Remark  string
	Created time.Time
	Updated time.Time
	Version int64
	Users   int64 // who has it; filled by lists
}

// SignIn is one sign-in of a user; its tokens live as long as it does.
type SignIn struct {
	ID      string // the sid of its tokens
	Tenant  evcs.TenantID
	User    evcs.UserID
	At      time.Time
	MaxEnd  time.Time // no refresh goes beyond it
	Revoked time.Time // zero: alive
	Address string
	Agent   string
}

// RefreshToken is one refresh token; only its hash is kept.
type RefreshToken struct {
	Hash    string
	SignIn  string
	Tenant  evcs.TenantID
	Issued  time.Time
	Expires time.Time
	Used    time.Time // zero: never
}

// Failures are the failed sign-ins in a row of an account or a text.
type Failures struct {
	Count       int
	Since       time.Time
	LockedUntil time.Time // zero: not locked
}

// Key is an API key of a machine. Only the hash of the secret is kept.
type Key struct {
	ID            evcs.KeyID
	Tenant        evcs.TenantID
	User          evcs.UserID // the owner
	Name          string
	Prefix        string // the first characters, to recognise it by
	Hash          string
	Previous      string // hash before the rotation, "" when none
	PreviousUntil time.Time
	Scopes        []string
	AllowCIDR     []string
	Enabled       bool
	Expires       time.Time
	LastUsed      time.Time
	LastUsedIP    string
	Created       time.Time
	CreatedBy     evcs.UserID
	Deleted       time.Time
	Version       int64
}

// People keeps users and roles.
type People interface {
	// User is the live user id within scope with his roles, or 6009.
	User(ctx context.Context, scope evcs.Scope, id evcs.UserID) (*User, error)
	// Find resolves what somebody typed as his identifier, over all tenants;
	// nil when nobody has it.
	Find(ctx context.Context, identifier string) (*User, error)
	// Taken names the field of u ("identifier", "username") that another live
	// user already has; "" when none.
	Taken(ctx context.Context, u *User) (string, error)
	// InsertUser writes a new user with his roles and sets his ID.
	InsertUser(ctx context.Context, u *User) error
	// UpdateUser writes every field and the roles; it compares the version.
	UpdateUser(ctx context.Context, u *User) error
	// NoteSignIn keeps time and address of the last sign-in; the version stays.
	NoteSignIn(ctx context.Context, u *User, at time.Time, address string) error
	// DeleteUser ends the user; it compares the version.
	DeleteUser(ctx context.Context, u *User, at time.Time) error
	// Admins counts the enabled ADMINs of a tenant.
	Admins(ctx context.Context, t evcs.TenantID) (int, error)
	RoleStore
}

// RoleStore keeps roles. Those of a tenant are the built-in ones and its own.
type RoleStore interface {
	// Role is the live role id of the scope, or a built-in one, or 6013.
	Role(ctx context.Context, scope evcs.Scope, id evcs.RoleID) (*Role, error)
	// RolesByCode finds the roles that a tenant's users may have; 6013 names a
	// code it does not know.
	RolesByCode(ctx context.Context, t evcs.TenantID, codes []string) ([]Role, error)
	// InsertRole writes a new role and sets its ID.
	InsertRole(ctx context.Context, r *Role) error
	// UpdateRole writes name, grants and remark, comparing the version, and
	// raises the permission version of everybody who has it.
	UpdateRole(ctx context.Context, r *Role) error
	// DeleteRole ends the role; it compares the version.
	DeleteRole(ctx context.Context, r *Role, at time.Time) error
	// Holders counts the live users who have the role.
	Holders(ctx context.Context, scope evcs.Scope, id evcs.RoleID) (int64, error)
}

// SignIns keeps sign-ins, refresh tokens and failures.
type SignIns interface {
	InsertSignIn(ctx context.Context, s SignIn) error
	// SignIn is the sign-in id; nil when there is none.
	SignIn(ctx context.Context, id string) (*SignIn, error)
	// Revoke ends one sign-in; again has no effect.
	Revoke(ctx context.Context, t evcs.TenantID, id string, at time.Time) error
	// RevokeAll ends every sign-in of the user but except.
	RevokeAll(ctx context.Context, u *User, except string, at time.Time) error
	InsertRefresh(ctx context.Context, r RefreshToken) error
	// Refresh is the token with this hash; nil when there is none.
	Refresh(ctx context.Context, hash string) (*RefreshToken, error)
	// UseRefresh marks it used; one used before is evcs.ErrStale.
	UseRefresh(ctx context.Context, r *RefreshToken, at time.Time) error
	// Failures of an account or a text.
	Failures(ctx context.Context, key string) (Failures, error)
	// Fail counts one more failure in one statement, beginning anew when the
	// first was before since, and locks until lock at the limit.
	Fail(ctx context.Context, key string, f Failing) (Failures, error)
	// Clear forgets the failures.
	Clear(ctx context.Context, key string) error
}

// Failing is one failure to count.
type Failing struct {
	At, Since, Lock time.Time
	Limit           int
}

// Keys keeps API keys.
type Keys interface {
	// Key is the live key id within scope, or 6016.
	Key(ctx context.Context, scope evcs.Scope, id evcs.KeyID) (*Key, error)
	// KeyByHash is the live key with this hash, present or previous, over all
	// tenants; nil when there is none.
	KeyByHash(ctx context.Context, hash string) (*Key, error)
	InsertKey(ctx context.Context, k *Key) error
	// UpdateKey writes every field that may change; it compares the version.
	UpdateKey(ctx context.Context, k *Key) error
	// TouchKey notes the last use.
	TouchKey(ctx context.Context, k *Key, at time.Time, address string) error
}

// Store keeps everything of this package. Inside a transaction it is Tx.Auth().
type Store interface {
	People
	SignIns
	Keys
	FactorStore
}

// Tx is what the verbs of this package need of a transaction.
type Tx interface {
	Auth() Store
	Tenants() tenant.Store
}

// Transact runs a function in one durable transaction; see store.DB.Transact.
type Transact func(ctx context.Context, fn func(Tx) error) error

// The refusals of this package.
var (
	ErrBadCredentials  = evcs.NewError(evcs.CodeBadCredentials, "wrong account or password")
	ErrLocked          = evcs.NewError(evcs.CodeAccountLocked, "the account is locked after failed sign-ins")
	ErrTokenExpired    = evcs.NewError(evcs.CodeTokenExpired, "the access token has expired")
	ErrAccountDisabled = evcs.NewError(evcs.CodeAccountDisabled, "the account is disabled")
	ErrRefresh         = evcs.NewError(evcs.CodeRefreshTokenInvalid, "the refresh token is not valid")
	ErrUnauthenticated = evcs.NewError(evcs.CodeUnauthenticated, "no valid token or key")
	ErrNoTenant        = evcs.NewError(evcs.CodeTenantContextMissing, "the principal's tenant does not exist")
	ErrPassword        = evcs.NewError(evcs.CodePasswordPolicy, "the password does not meet the policy")
	ErrOldPassword     = evcs.NewError(evcs.CodeOldPasswordWrong, "the old password is wrong")
	ErrUserNotFound    = evcs.NewError(evcs.CodeUserNotFound, "no such user in the scope")
	ErrUserExists      = evcs.NewError(evcs.CodeUserExists, "the username or identifier is taken")
	ErrLastAdmin       = evcs.NewError(evcs.CodeLastAdmin, "the tenant would have no enabled administrator left")
	ErrRoleNotFound    = evcs.NewError(evcs.CodeRoleNotFound, "no such role")
	ErrRoleExists      = evcs.NewError(evcs.CodeRoleExists, "the role code is taken")
	ErrRoleInUse       = evcs.NewError(evcs.CodeRoleInUse, "the role is built in or assigned")
	ErrKeyNotFound     = evcs.NewError(evcs.CodeAPIKeyNotFound, "no such key in the scope")
	ErrGrant           = evcs.NewError(evcs.CodeGrantExceedsOwn, "only the holder of a permission can grant it")
	ErrDenied          = evcs.NewError(evcs.CodePermissionDenied, "the permission is missing")
)
