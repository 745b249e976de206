// Package tenant is the tree of operators: who lies below whom, which of them
// is blocked, what each may still create, how each is set up, and the audit
// record of what was done in it. Its invariants: a quota holds for a tenant and
// all its ancestors together whatever runs at the same time, and an audit row
// cannot be changed without being found out.
package tenant

import (
	"context"
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

// Type is what a tenant is.
type Type int

// The types of contract §11.1.
const (
	Platform Type = 1
	Operator Type = 2
	Partner  Type = 3
)

// Tenant is one operator in the tree.
type Tenant struct {
	ID      evcs.TenantID
	Code    string // unique in the installation, whatever the case
	Name    string
	Parent  evcs.TenantID // zero: the root
	Level   int           // the root is 0
	Type    Type
	Enabled bool      // its own status; see Chain.Blocked for what holds
	Expires time.Time // zero: never

	ContactPerson, ContactPhone                           string
	ContactEmail, Address, SocialCode, LicenseURL, Remark *string
	Limits                                                Limits
	Own                                                   Overrides // what it set itself
	Created, Updated                                      time.Time
	CreatedBy                                             evcs.UserID
	Version                                               int64
}

// Limits are the quotas of a tenant; nil is unlimited.
type Limits struct{ Users, Stations, Chargers, Children, Sessions *int64 }

// Of is the limit of one kind, nil when there is none.
func (l Limits) Of(kind Resource) *int64 {
	switch kind {
	case Users:
		return l.Users
	case Stations:
		return l.Stations
	case Chargers:
		return l.Chargers
	case Children:
		return l.Children
	case Sessions:
		return l.Sessions
	case Orders, Subtree:
	}
	return nil
}

// Chain is a tenant and all its ancestors, itself first, the root last. It is
// small and immutable, so that hot paths keep it in memory.
type Chain []Tenant

// Self is the tenant the chain belongs to; the zero Tenant for an empty chain.
func (c Chain) Self() Tenant {
	if len(c) == 0 {
		return Tenant{}
	}
	return c[0]
}

// Has reports whether t is the tenant or one of its ancestors.
func (c Chain) Has(t evcs.TenantID) bool {
	for i := range c {
		if c[i].ID == t {
			return true
		}
	}
	return false
}

// The refusals of a blocked subtree.
var (
	ErrDisabled = evcs.NewError(evcs.CodeTenantDisabled, "the tenant or an ancestor is disabled")
	ErrExpired  = evcs.NewError(evcs.CodeTenantExpired, "the tenant or an ancestor has expired")
)

// Blocked is 5004 or 5005 with its facts when the tenant or any ancestor is
// disabled or has expired at now, else nil. The nearest one is named.
func (c Chain) Blocked(now time.Time) error {
	for i := range c {
		t := &c[i]
		switch t.state(now) {
		case Disabled:
			return evcs.With(ErrDisabled, map[string]any{"tenantId": t.ID})
		case Expired:
			return evcs.With(ErrExpired, map[string]any{"tenantId": t.ID, "expireTime": t.Expires.UTC().Format(time.RFC3339)})
		case Active:
		}
	}
	return nil
}

// State is what holds for a tenant together with its ancestors.
type State string

// The states of contract §11.1.
const (
	Active   State = "ACTIVE"
	Disabled State = "DISABLED"
	Expired  State = "EXPIRED"
)

func (t *Tenant) state(now time.Time) State {
	switch {
	case !t.Enabled:
		return Disabled
	case !t.Expires.IsZero() && !t.Expires.After(now):
		return Expired
	}
	return Active
}

// State is what holds at now, and the nearest tenant that causes it (zero when
// active).
func (c Chain) State(now time.Time) (State, evcs.TenantID) {
	for i := range c {
		if s := c[i].state(now); s != Active {
			return s, c[i].ID
		}
	}
	return Active, 0
}

// Locks makes transactions that count against the same quotas wait for each
// other.
type Locks interface {
	// LockChain is Chain, read after locking the tenant and every ancestor
	// until the end of the transaction, root first.
	LockChain(ctx context.Context, id evcs.TenantID) (Chain, error)
	// LockLimited is Chain, read after locking only those that have a limit of
	// this kind: for what happens often.
	LockLimited(ctx context.Context, id evcs.TenantID, kind Resource) (Chain, error)
	// HoldStarts makes starts of charges at and below id, which lock nothing
	// where nobody limits them, end before it or begin anew after the transaction.
	HoldStarts(ctx context.Context, id evcs.TenantID) error
}

// Store keeps tenants. Inside a transaction it is Tx.Tenants().
type Store interface {
	Trail
	Locks
	// Tenant is the live tenant id within scope, or 5001.
	Tenant(ctx context.Context, scope evcs.Scope, id evcs.TenantID) (*Tenant, error)
	// Chain is the tenant and its ancestors, or 5001.
	Chain(ctx context.Context, id evcs.TenantID) (Chain, error)
	// Usage counts what lies below id (children: directly below).
	Usage(ctx context.Context, id evcs.TenantID, kind Resource) (int64, error)
	// Holder is the live tenant with this code, whatever the case; zero if free.
	Holder(ctx context.Context, code string) (evcs.TenantID, error)
	// Insert writes a new tenant and its place in the tree, and sets its ID.
	Insert(ctx context.Context, t *Tenant) error
	// Update writes every field but the place in the tree. It compares the
	// version and increments it in t.
	Update(ctx context.Context, t *Tenant) error
	// Move puts t and all below it under parent.
	Move(ctx context.Context, t *Tenant, parent evcs.TenantID) error
	// Delete ends t and its users, roles and keys.
	Delete(ctx context.Context, t *Tenant, at time.Time) error
}

// The refusals of this package that are not about quota.
var (
	ErrNotFound   = evcs.NewError(evcs.CodeTenantNotFound, "no such tenant in the scope")
	ErrCodeTaken  = evcs.NewError(evcs.CodeTenantCodeExists, "the tenant code is taken")
	ErrNotEmpty   = evcs.NewError(evcs.CodeTenantNotEmpty, "the tenant still has children or data")
	ErrSelfChange = evcs.NewError(evcs.CodeTenantSelfChange, "a tenant may not change this of itself")
	ErrMove       = evcs.NewError(evcs.CodeTenantMoveInvalid, "the tenant cannot be moved there")
	ErrCross      = evcs.NewError(evcs.CodeCrossTenantDenied, "the object belongs to another tenant of the subtree")
)

// The permissions to look and to act below the own tenant.
const (
	ReadDescendants  evcs.Permission = "tenant:descendants:read"
	WriteDescendants evcs.Permission = "tenant:descendants:write"
)

// Reach is nil when the actor may touch what owner owns: always in the own
// tenant, else with the permission for descendants (5003 names the missing
// one). The caller has found the object within evcs.Subtree(a.Tenant), so that
// strangers' objects are already 404.
func Reach(a *evcs.Actor, owner evcs.TenantID, write bool) error {
	need := ReadDescendants
	if write {
		need = WriteDescendants
	}
	if a != nil && (a.Tenant == owner || a.May(need)) {
		return nil
	}
	return evcs.With(ErrCross, map[string]any{"permission": string(need)})
}
