package auth

import (
	"context"
	"fmt"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/tenant"
)

// Founded is a new tenant, with its first administrator when one was asked for.
type Founded struct {
	Tenant *tenant.Tenant
	Admin  *MadeUser
}

// Found creates a tenant and, when admin is given, its first ADMIN in the same
// transaction. Admitting somebody below the own tenant needs the permission
// tenant:descendants:write.
func (r *Registry) Found(ctx context.Context, a *evcs.Actor, n tenant.New, admin *NewUser) (Founded, error) {
	var prepared *User
	var generated string
	if admin != nil {
		var err error
		if prepared, generated, err = r.Prepare(ctx, a, *admin); err != nil {
			return Founded{}, err
		}
	}
	var made Founded
	err := r.Transact(ctx, func(tx Tx) error {
		made = Founded{}
		t, err := tenant.Create(ctx, tx.Tenants(), a, r.Clock.Now(), n)
		if err != nil {
			return err
		}
		made.Tenant = t
		if prepared == nil {
			return nil
		}
		u := *prepared
		u.Tenant = t.ID
		made.Admin = &MadeUser{&u, generated}
		return Admit(ctx, tx, a, &u, []string{"ADMIN"})
	})
	if err != nil {
		return Founded{}, fmt.Errorf("create tenant: %w", err)
	}
	r.Changed()
	return made, nil
}
