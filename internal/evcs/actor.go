package evcs

import (
	"context"
	"time"
)

// Scope says whose rows a store method may see: one tenant's, or those of its
// whole subtree. The zero Scope sees nothing.
type Scope struct {
	Tenant TenantID
	// Descendants widens the scope to the tenant and everything below it.
	Descendants bool
}

// Only is the scope of one tenant alone.
func Only(t TenantID) Scope { return Scope{Tenant: t} }

// Subtree is the scope of a tenant and all its descendants.
func Subtree(t TenantID) Scope { return Scope{Tenant: t, Descendants: true} }

// Permission is a code of the permission list, such as "charger:control".
type Permission string

// Actor is who is acting: a user or an API key, with the permissions that hold
// at this moment.
type Actor struct {
	User     UserID
	Name     string
	Tenant   TenantID
	Key      KeyID  // zero for a person
	Login    string // the sign-in (JWT sid) that a logout revokes; empty for a key
	Platform bool   // ADMIN in a tenant of type 1
	Zone     *time.Location
	Address  string
	Agent    string
	// MustChangePassword leaves only userinfo, password and logout open (6012).
	MustChangePassword bool
	Permissions        map[Permission]bool
}

// May reports whether the actor holds p.
func (a *Actor) May(p Permission) bool { return a != nil && a.Permissions[p] }

// System is the actor of what the daemon does by itself in a tenant.
func System(t TenantID) *Actor { return &Actor{Tenant: t, Name: "system"} }

type contextKey int

const (
	traceKey contextKey = iota
	actorKey
)

// WithTrace returns a context that carries a trace id (X-Request-Id).
func WithTrace(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, traceKey, id)
}

// Trace is the context's trace id, or "".
func Trace(ctx context.Context) string {
	id, _ := ctx.Value(traceKey).(string)
	return id
}

// WithActor returns a context that carries who is acting, for logs and audit.
// Uses take the actor as an argument; nothing is decided from the context.
func WithActor(ctx context.Context, a *Actor) context.Context {
	return context.WithValue(ctx, actorKey, a)
}

// ActorFrom is the context's actor, or nil.
func ActorFrom(ctx context.Context) *Actor {
	a, _ := ctx.Value(actorKey).(*Actor)
	return a
}
