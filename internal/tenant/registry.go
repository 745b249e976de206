package tenant

import (
	"context"
	"fmt"
	"regexp"
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

// Tx is what the verbs of this package need of a transaction.
type Tx interface {
	Tenants() Store
	Emit(ctx context.Context, e evcs.Event) error
}

// Transact runs a function in one durable transaction; see store.DB.Transact.
type Transact func(ctx context.Context, fn func(Tx) error) error

// Registry has the verbs on tenants: each is one transaction with its audit row.
type Registry struct {
	Clock    evcs.Clock
	Transact Transact
	// Changed is called after each commit, so that what is in memory of tenants
	// is read anew.
	Changed func()
}

// New asks for a tenant. Limits are taken as they are; see DefaultLimits.
type New struct {
	Code, Name                                            string
	Parent                                                evcs.TenantID
	Type                                                  Type
	Disabled                                              bool
	Expires                                               time.Time
	ContactPerson, ContactPhone                           string
	ContactEmail, Address, SocialCode, LicenseURL, Remark *string
	Limits                                                Limits
}

// DefaultLimits are those of a tenant that was created without any.
func DefaultLimits() Limits {
	users, stations, chargers := int64(100), int64(50), int64(1000)
	return Limits{Users: &users, Stations: &stations, Chargers: &chargers}
}

// tidy makes limits of zero and below unlimited.
func (l Limits) tidy() Limits {
	for _, limit := range []**int64{&l.Users, &l.Stations, &l.Chargers, &l.Children, &l.Sessions} {
		if *limit != nil && **limit <= 0 {
			*limit = nil
		}
	}
	return l
}

var (
	codeForm    = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,50}$`)
	derivedForm = regexp.MustCompile(`^(?i)tenant[0-9]+$`)
	phoneForm   = regexp.MustCompile(`^(1[3-9][0-9]{9}|\+[0-9]{6,15})$`)
)

// check finds every fault of a new tenant or of a changed one.
func (t *Tenant) check() []evcs.FieldFault {
	var faults []evcs.FieldFault
	fault := func(bad bool, field, message string) {
		if bad {
			faults = append(faults, evcs.FieldFault{Field: field, Message: message})
		}
	}
	fault(!codeForm.MatchString(t.Code), "tenantCode", "must be 1 to 50 of A-Z a-z 0-9 _ . -")
	fault(derivedForm.MatchString(t.Code), "tenantCode", "must not look like tenant<digits>")
	fault(t.Name == "", "tenantName", "is required")
	fault(t.ContactPerson == "", "contactPerson", "is required")
	fault(!phoneForm.MatchString(t.ContactPhone), "contactPhone", "must be a mobile number, or + and 6 to 15 digits")
	fault(t.Type < Platform || t.Type > Partner, "tenantType", "must be 1, 2 or 3")
	return faults
}

// Create makes a tenant below one that the actor may write in. It runs in the
// caller's transaction, so that the first administrator can come with it.
func Create(ctx context.Context, s Store, a *evcs.Actor, now time.Time, n New) (*Tenant, error) {
	parents, err := s.Chain(ctx, n.Parent)
	if err != nil {
		return nil, err
	}
	if !parents.Has(a.Tenant) {
		return nil, evcs.With(ErrNotFound, map[string]any{"tenantId": n.Parent})
	}
	if err := Reach(a, n.Parent, true); err != nil {
		return nil, err
	}
	t := &Tenant{
		Code: n.Code, Name: n.Name, Parent: n.Parent, Level: parents.Self().Level + 1, Type: n.Type, Enabled: !n.Disabled,
		Expires: n.Expires, ContactPerson: n.ContactPerson, ContactPhone: n.ContactPhone, ContactEmail: n.ContactEmail,
		Address: n.Address, SocialCode: n.SocialCode, LicenseURL: n.LicenseURL, Remark: n.Remark, Limits: n.Limits.tidy(),
		Created: now, Updated: now, CreatedBy: a.User,
	}
	faults := t.check()
	if f := typeFault(a, t.Type, parents.Self().Type); f != nil {
		faults = append(faults, *f)
	}
	if err := evcs.Invalid(faults...); err != nil {
		return nil, err
	}
	if err := Reserve(ctx, s, n.Parent, Children, 1); err != nil {
		return nil, err
	}
	holder, err := s.Holder(ctx, t.Code) // under the lock of the root
	if err != nil {
		return nil, err
	}
	if holder != 0 {
		return nil, evcs.With(ErrCodeTaken, map[string]any{"tenantCode": t.Code})
	}
	if err := s.Insert(ctx, t); err != nil {
		return nil, err
	}
	return t, Audit(ctx, s, a, t.row(now, CreateTenant, map[string]any{
		"tenantCode": t.Code, "tenantName": t.Name, "parentId": t.Parent, "tenantType": int(t.Type),
	}))
}

// typeFault is the fault of a platform tenant that is not below one, or is
// made by somebody who is no platform administrator.
func typeFault(a *evcs.Actor, t, parent Type) *evcs.FieldFault {
	if t != Platform || parent == Platform && a.Platform {
		return nil
	}
	return &evcs.FieldFault{Field: "tenantType", Message: "1 is only for tenants that a platform administrator makes below a platform tenant"}
}

func (t *Tenant) row(at time.Time, action Action, details map[string]any) AuditRow {
	return AuditRow{
		At: at, Action: action, Target: t.ID, TargetType: KindTenant, TargetID: number(t.ID), Success: true, Details: details,
	}
}

// change runs f in a transaction and tells that something changed.
func (r *Registry) change(ctx context.Context, what string, f func(Tx) (*Tenant, error)) (*Tenant, error) {
	var changed *Tenant
	err := r.Transact(ctx, func(tx Tx) error {
		var err error
		changed, err = f(tx)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	r.Changed()
	return changed, nil
}
