package auth

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/tenant"
)

// Registry has the verbs on users and roles: each is one transaction with its
// audit row, and refuses what the actor may not give away.
type Registry struct {
	Clock    evcs.Clock
	Transact Transact
	Hasher   *Hasher
	// Changed is called after each commit; see Guard.Forget.
	Changed func()
}

// NewUser asks for a user. An empty Password is generated, an empty Identifier
// is username@tenant<id>, no Roles are VIEWER.
type NewUser struct {
	Tenant     evcs.TenantID
	Username   string
	Password   string
	Identifier string
	RealName   string
	Phone      string
	Email      string
	Gender     int
	Avatar     string
	Disabled   bool
	Roles      []string
	MustChange *bool // nil: when the password was generated
}

// MadeUser is a user together with the password that was generated for him.
type MadeUser struct {
	*User
	Password string // empty: it was given
}

var usernameForm = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,50}$`)

// CreateUser creates a user in the actor's tenant or below it.
func (r *Registry) CreateUser(ctx context.Context, a *evcs.Actor, n NewUser) (MadeUser, error) {
	u, generated, err := r.Prepare(ctx, a, n)
	if err != nil {
		return MadeUser{}, err
	}
	var made User
	err = r.Transact(ctx, func(tx Tx) error {
		made = *u
		return Admit(ctx, tx, a, &made, n.Roles)
	})
	if err != nil {
		return MadeUser{}, fmt.Errorf("create user: %w", err)
	}
	r.Changed()
	return MadeUser{&made, generated}, nil
}

// Prepare checks and hashes what a new user needs before the transaction that
// creates him (see Admit), and returns the generated password, if any.
func (r *Registry) Prepare(ctx context.Context, a *evcs.Actor, n NewUser) (*User, string, error) {
	if !usernameForm.MatchString(n.Username) {
		return nil, "", evcs.Invalid(evcs.FieldFault{Field: "username", Message: "must be 1 to 50 of A-Z a-z 0-9 _ . -"})
	}
	password, generated := n.Password, ""
	if password == "" {
		generated = Generate()
		password = generated
	} else if err := CheckPassword("password", password, n.Username); err != nil {
		return nil, "", err
	}
	hash, err := r.Hasher.Hash(ctx, password)
	if err != nil {
		return nil, "", err
	}
	now := r.Clock.Now()
	must := generated != ""
	if n.MustChange != nil {
		must = *n.MustChange
	}
	return &User{
		Tenant: n.Tenant, Username: n.Username, Identifier: strings.TrimSpace(n.Identifier), PasswordHash: hash, RealName: n.RealName,
		Phone: n.Phone, Email: n.Email, Gender: n.Gender, Avatar: n.Avatar, Enabled: !n.Disabled, MustChange: must,
		PermissionVersion: 1, Created: now, Updated: now, CreatedBy: a.User,
	}, generated, nil
}

// Admit writes a prepared user in a transaction: reach, roles, quota, names,
// audit. It is the part of CreateUser that creating a tenant with its first
// administrator shares.
func Admit(ctx context.Context, tx Tx, a *evcs.Actor, u *User, roles []string) error {
	chain, err := reachable(ctx, tx, a, u.Tenant)
	if err != nil {
		return err
	}
	if len(roles) == 0 {
		roles = []string{"VIEWER"}
	}
	if u.Roles, err = grantable(ctx, tx, a, chain, roles); err != nil {
		return err
	}
	if err := tenant.Reserve(ctx, tx.Tenants(), u.Tenant, tenant.Users, 1); err != nil {
		return err
	}
	if u.Identifier == "" {
		u.Identifier = fmt.Sprintf("%s@tenant%d", u.Username, u.Tenant)
	}
	if err := nameFree(ctx, tx, u); err != nil {
		return err
	}
	if err := tx.Auth().InsertUser(ctx, u); err != nil {
		return err
	}
	return tenant.Audit(ctx, tx.Tenants(), a, userRow(u, tenant.Created(tenant.KindUser), map[string]any{
		"username": u.Username, "identifier": u.Identifier, "roles": u.RoleCodes(), "status": status(u.Enabled),
	}))
}

func status(enabled bool) int {
	if enabled {
		return 1
	}
	return 0
}

func userRow(u *User, action tenant.Action, details map[string]any) tenant.AuditRow {
	return tenant.AuditRow{
		At: u.Updated, Action: action, Target: u.Tenant, TargetType: tenant.KindUser, TargetID: fmt.Sprint(u.ID),
		Success: true, Details: details,
	}
}

// reachable is the chain of a tenant that the actor may write in: 5001 outside
// his subtree, 5003 without the permission.
func reachable(ctx context.Context, tx Tx, a *evcs.Actor, t evcs.TenantID) (tenant.Chain, error) {
	chain, err := tx.Tenants().Chain(ctx, t)
	if err != nil {
		return nil, err
	}
	if !chain.Has(a.Tenant) {
		return nil, evcs.With(tenant.ErrNotFound, map[string]any{"tenantId": t})
	}
	return chain, tenant.Reach(a, t, true)
}

// grantable finds roles by code and refuses those that hold more than the
// actor does.
func grantable(ctx context.Context, tx Tx, a *evcs.Actor, chain tenant.Chain, codes []string) ([]Role, error) {
	t := chain.Self()
	roles, err := tx.Auth().RolesByCode(ctx, t.ID, codes)
	if err != nil {
		return nil, err
	}
	return roles, mayGrantRoles(a, roles, t.Type == tenant.Platform)
}

var derivedForm = regexp.MustCompile(`^tenant[0-9]+$`)

// nameFree refuses with 6010 a username or identifier that is taken, and with
// 9400 an identifier in a form that resolves to users of another tenant.
func nameFree(ctx context.Context, tx Tx, u *User) error {
	if at := strings.LastIndexByte(u.Identifier, '@'); at >= 0 {
		name, where := strings.ToLower(u.Identifier[:at]), strings.ToLower(u.Identifier[at+1:])
		holder, err := tx.Tenants().Holder(ctx, where)
		if err != nil {
			return err
		}
		own := where == fmt.Sprintf("tenant%d", u.Tenant) || holder == u.Tenant
		foreign := derivedForm.MatchString(where) || holder != 0
		itself := own && name == strings.ToLower(u.Username)
		if foreign && !itself {
			return evcs.Invalid(evcs.FieldFault{Field: "identifier", Message: "has the form of another account's sign-in name"})
		}
	}
	field, err := tx.Auth().Taken(ctx, u)
	if err != nil {
		return err
	}
	if field != "" {
		return evcs.With(ErrUserExists, map[string]any{"field": field})
	}
	return nil
}

// UserChange is what changes of a user; nil fields stay.
type UserChange struct {
	Identifier, RealName, Phone, Email, Avatar *string
	Gender                                     *int
	Enabled, MustChange                        *bool
	Roles                                      *[]string
	Version                                    *int64 // expected
}

// UpdateUser changes a user of the actor's subtree.
func (r *Registry) UpdateUser(ctx context.Context, a *evcs.Actor, id evcs.UserID, c UserChange) (*User, error) {
	return r.change(ctx, a, id, "change user", func(tx Tx, u *User, chain tenant.Chain) error {
		if err := expect(u.Version, c.Version); err != nil {
			return err
		}
		before := *u
		c.apply(u)
		if c.Roles != nil {
			_, err := grantable(ctx, tx, a, chain, added(u.RoleCodes(), *c.Roles))
			if err != nil {
				return err
			}
			if u.Roles, err = tx.Auth().RolesByCode(ctx, u.Tenant, *c.Roles); err != nil {
				return err
			}
			u.PermissionVersion++
		}
		if u.Identifier != before.Identifier {
			if err := nameFree(ctx, tx, u); err != nil {
				return err
			}
		}
		if err := keepAdmin(ctx, tx, &before, u); err != nil {
			return err
		}
		if err := tx.Auth().UpdateUser(ctx, u); err != nil {
			return err
		}
		return tenant.Audit(ctx, tx.Tenants(), a, userRow(u, tenant.Updated(tenant.KindUser), userDiff(&before, u)))
	})
}

// added are the codes that were not there before.
func added(had, wanted []string) []string {
	return slices.DeleteFunc(slices.Clone(wanted), func(code string) bool { return slices.Contains(had, code) })
}

func expect(version int64, expected *int64) error {
	if expected != nil && *expected != version {
		return evcs.With(evcs.ErrVersion, map[string]any{"currentVersion": version})
	}
	return nil
}

func (c *UserChange) apply(u *User) {
	set(&u.Identifier, c.Identifier)
	if c.Identifier != nil && u.Identifier == "" {
		u.Identifier = fmt.Sprintf("%s@tenant%d", u.Username, u.Tenant)
	}
	set(&u.RealName, c.RealName)
	set(&u.Phone, c.Phone)
	set(&u.Email, c.Email)
	set(&u.Avatar, c.Avatar)
	set(&u.Gender, c.Gender)
	set(&u.Enabled, c.Enabled)
	set(&u.MustChange, c.MustChange)
}

func set[T any](place, value *T) {
	if value != nil {
		*place = *value
	}
}

// userDiff is what changed, before and after.
func userDiff(before, after *User) map[string]any {
	d := make(map[string]any)
	tenant.Differ(d, "identifier", before.Identifier, after.Identifier)
	tenant.Differ(d, "realName", before.RealName, after.RealName)
	tenant.Differ(d, "phone", MaskPhone(before.Phone), MaskPhone(after.Phone))
	tenant.Differ(d, "email", MaskEmail(before.Email), MaskEmail(after.Email))
	tenant.Differ(d, "avatar", before.Avatar, after.Avatar)
	tenant.Differ(d, "gender", before.Gender, after.Gender)
	tenant.Differ(d, "status", status(before.Enabled), status(after.Enabled))
	tenant.Differ(d, "mustChangePassword", before.MustChange, after.MustChange)
	tenant.Differ(d, "roles", strings.Join(before.RoleCodes(), ","), strings.Join(after.RoleCodes(), ","))
	return d
}

// keepAdmin refuses with 6011 what would leave the tenant without an enabled
// administrator. The tenant is locked, so that two administrators cannot
// remove each other at the same time.
func keepAdmin(ctx context.Context, tx Tx, before, after *User) error {
	was := before.Admin() && before.Enabled
	if !was || after != nil && after.Admin() && after.Enabled {
		return nil
	}
	if _, err := tx.Tenants().LockChain(ctx, before.Tenant); err != nil {
		return err
	}
	n, err := tx.Auth().Admins(ctx, before.Tenant)
	if err != nil {
		return err
	}
	if n <= 1 {
		return evcs.With(ErrLastAdmin, map[string]any{"tenantId": before.Tenant})
	}
	return nil
}

// change loads a user of the actor's subtree, runs f on him and forgets.
func (r *Registry) change(ctx context.Context, a *evcs.Actor, id evcs.UserID, what string, f func(Tx, *User, tenant.Chain) error) (*User, error) {
	var changed *User
	err := r.Transact(ctx, func(tx Tx) error {
		u, err := tx.Auth().User(ctx, evcs.Subtree(a.Tenant), id)
		if err != nil {
			return err
		}
		chain, err := reachable(ctx, tx, a, u.Tenant)
		if err != nil {
			return err
		}
		u.Updated = r.Clock.Now()
		changed = u
		return f(tx, u, chain)
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	r.Changed()
	return changed, nil
}

// ResetPassword gives a user a new password (generated when empty) and revokes
// all his sign-ins. Only who holds all the user holds may do it: it is a way
// to become him.
func (r *Registry) ResetPassword(ctx context.Context, a *evcs.Actor, id evcs.UserID, password string, mustChange bool) (generated string, err error) {
	if password == "" {
		generated = Generate()
		password = generated
	}
	hash, err := r.Hasher.Hash(ctx, password)
	if err != nil {
		return "", err
	}
	_, err = r.change(ctx, a, id, "reset password", func(tx Tx, u *User, chain tenant.Chain) error {
		if generated == "" {
			if err := CheckPassword("newPassword", password, u.Username); err != nil {
				return err
			}
		}
		if err := mayGrantRoles(a, u.Roles, chain.Self().Type == tenant.Platform); err != nil {
			return err
		}
		u.PasswordHash, u.MustChange = hash, mustChange
		if err := tx.Auth().UpdateUser(ctx, u); err != nil {
			return err
		}
		if err := tx.Auth().RevokeAll(ctx, u, "", u.Updated); err != nil {
			return err
		}
		if err := tx.Auth().Clear(ctx, AccountKey(u.ID)); err != nil {
			return err
		}
		return tenant.Audit(ctx, tx.Tenants(), a, userRow(u, tenant.ResetPassword, map[string]any{"mustChangePassword": mustChange}))
	})
	return generated, err
}

// Unlock forgets the failed sign-ins of a user.
func (r *Registry) Unlock(ctx context.Context, a *evcs.Actor, id evcs.UserID) error {
	_, err := r.change(ctx, a, id, "unlock user", func(tx Tx, u *User, _ tenant.Chain) error {
		if err := tx.Auth().Clear(ctx, AccountKey(u.ID)); err != nil {
			return err
		}
		return tenant.Audit(ctx, tx.Tenants(), a, userRow(u, tenant.Updated(tenant.KindUser), map[string]any{"unlocked": true}))
	})
	return err
}

// DeleteUser ends a user with his sign-ins and keys.
func (r *Registry) DeleteUser(ctx context.Context, a *evcs.Actor, id evcs.UserID) error {
	_, err := r.change(ctx, a, id, "delete user", func(tx Tx, u *User, _ tenant.Chain) error {
		if err := keepAdmin(ctx, tx, u, nil); err != nil {
			return err
		}
		if err := tx.Auth().DeleteUser(ctx, u, u.Updated); err != nil {
			return err
		}
		if err := tx.Auth().RevokeAll(ctx, u, "", u.Updated); err != nil {
			return err
		}
		return tenant.Audit(ctx, tx.Tenants(), a, userRow(u, tenant.Deleted(tenant.KindUser), map[string]any{"username": u.Username}))
	})
	return err
}

// MaskPhone hides the middle of a phone number: 138****1234.
func MaskPhone(phone string) string {
	r := []rune(phone)
	if len(r) < 8 {
		return strings.Repeat("*", len(r))
	}
	return string(r[:3]) + "****" + string(r[len(r)-4:])
}

// MaskEmail hides the rest of the name: abc***@x.cn.
func MaskEmail(email string) string {
	name, domain, ok := strings.Cut(email, "@")
	if !ok {
		return strings.Repeat("*", len([]rune(email)))
	}
	r := []rune(name)
	return string(r[:min(3, len(r))]) + "***@" + domain
}

// Bootstrap makes the platform tenant and its administrator admin@tenant1 in
// an empty store; in one that has them it does nothing. An empty password is
// generated and returned, once.
func (r *Registry) Bootstrap(ctx context.Context, password string) (generated string, made bool, err error) {
	must := false
	system := &evcs.Actor{Tenant: evcs.PlatformTenant, Name: "system", Permissions: Resolve([]Role{{ID: RoleAdmin}}, true)}
	prepared, generated, err := r.Prepare(ctx, system, NewUser{
		Tenant: evcs.PlatformTenant, Username: "admin", Password: password, RealName: "Administrator", Gender: 2, MustChange: &must,
	})
	if err != nil {
		return "", false, err
	}
	now := r.Clock.Now()
	err = r.Transact(ctx, func(tx Tx) error {
		made = false
		_, err := tx.Tenants().Chain(ctx, evcs.PlatformTenant)
		if !errors.Is(err, tenant.ErrNotFound) {
			return err // it is there, or cannot be read
		}
		root := platform(now)
		if err := tx.Tenants().Insert(ctx, &root); err != nil {
			return err
		}
		u := *prepared
		if err := Admit(ctx, tx, system, &u, []string{"ADMIN"}); err != nil {
			return err
		}
		made = true
		return nil
	})
	if err != nil {
		return "", false, fmt.Errorf("make the platform tenant: %w", err)
	}
	if !made {
		return "", false, nil
	}
	return generated, true, nil
}

func platform(now time.Time) tenant.Tenant {
	return tenant.Tenant{
		ID: evcs.PlatformTenant, Code: "SYSTEM", Name: "SYSTEM", Type: tenant.Platform, Enabled: true,
		ContactPerson: "admin", ContactPhone: "13800000000", Created: now, Updated: now,
	}
}
