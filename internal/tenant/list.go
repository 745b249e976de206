package tenant

import (
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

// Listed is a tenant with what lists say of it.
type Listed struct {
	Tenant
	ParentName string // empty: the root
	Children   int64  // directly below
	State      State  // with its ancestors
	BlockedBy  evcs.TenantID
}

// Wanted filters a list of tenants; zero fields keep all. Now is the moment at
// which states are judged and is always needed.
type Wanted struct {
	ID         evcs.TenantID
	Name, Code string // contained, whatever the case
	Types      []Type
	Enabled    *bool
	State      State
	Parent     evcs.TenantID
	Now        time.Time
}

// AuditWanted filters the audit record; zero fields keep all.
type AuditWanted struct {
	Target               evcs.TenantID
	Operator             evcs.UserID
	Actions              []Action
	Success              *bool
	CrossLayer           *bool
	TargetType, TargetID string
	Trace                string
	Keyword              string
	From, To             time.Time // half open; zero is open
}

// ActionCount counts the cross-layer rows of one action.
type ActionCount struct {
	Action           Action
	Count, Succeeded int64
}
