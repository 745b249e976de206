package api

// The codes of the error table that a client decides by. The table itself is
// the server's; a client that meets another code goes by the HTTP status.
const (
	CodeChargerOffline         = 2004
	CodeCommandTimeout         = 2010
	CodeStatementNotReady      = 4011
	CodeStatementInvalid       = 4012
	CodeTokenExpired           = 6003
	CodeRefreshTokenInvalid    = 6005
	CodeUnauthenticated        = 6006
	CodePasswordChangeRequired = 6012
	CodeValidationFailed       = 9400
	CodeRouteNotFound          = 9404
	CodeRateLimited            = 9429
	CodeInternal               = 9999
)

// The headers of the contract.
const (
	HeaderIdempotencyKey      = "Idempotency-Key"
	HeaderIdempotencyReplayed = "Idempotency-Replayed"
	HeaderRequestID           = "X-Request-Id"
	HeaderTenantScope         = "X-Tenant-Scope"
	HeaderLastEventID         = "Last-Event-ID"
)

// The scopes of a list or an aggregate.
const (
	ScopeSelf    = "SELF"
	ScopeSubtree = "SELF_AND_DESCENDANTS"
)
