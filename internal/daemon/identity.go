package daemon

import (
	"context"

	"github.com/evcs/evcs/internal/auth"
	"github.com/evcs/evcs/internal/config"
	"github.com/evcs/evcs/internal/health"
	"github.com/evcs/evcs/internal/httpapi"
	"github.com/evcs/evcs/internal/store"
	"github.com/evcs/evcs/internal/tenant"
)

// apiLimits are the bounds of the settings that the REST listener keeps.
func apiLimits(c config.RateLimit) httpapi.Limits {
	return httpapi.Limits{
		TenantPerSecond: c.TenantPerSecond, TenantBurst: c.TenantBurst, StartPerSecond: c.StartPerSecond,
		CallbackPerSecond: c.CallbackPerSecond, ExportPerMinute: c.ExportPerMinute, StreamsPerTenant: c.StreamsPerTenant,
	}
}

// wireTenants makes the tree and what people do with it.
func (d *Daemon) wireTenants(p *parts) error {
	transact := func(ctx context.Context, fn func(tenant.Tx) error) error {
		return d.db.Transact(ctx, func(tx *store.Tx) error { return fn(tx) })
	}
	read := d.db.Reader()
	p.crossings = &tenant.Crossings{Clock: d.opt.Clock, Transact: transact, Log: d.log(health.Tenant, "audit")}
	p.work = append(p.work, part{"audit of reads", p.crossings.Run})
	tenants := &tenant.Registry{Clock: d.opt.Clock, Transact: transact, Changed: p.guard.Forget}
	keys := &auth.KeyRing{Clock: d.opt.Clock, Transact: p.people.Transact, Changed: p.guard.Forget}
	p.api = append(p.api,
		httpapi.Auth{Guard: p.guard, Keys: keys, Read: read.Auth(), Tenants: read.Tenants()},
		httpapi.SecondFactor{Own: &auth.Factors{Guard: p.guard}, Write: p.people},
		httpapi.Users{Clock: d.opt.Clock, Write: p.people, Read: read.Auth(), Tenants: read.Tenants()},
		httpapi.Roles{Write: p.people, Read: read.Auth(), Tenants: read.Tenants()},
		httpapi.Tenants{Clock: d.opt.Clock, Write: tenants, Found: p.people, Read: read.Tenants()},
		httpapi.Audit{Clock: d.opt.Clock, Read: read.Tenants()},
		httpapi.Dashboard{Read: store.NewReports(d.db), Clock: d.opt.Clock},
		httpapi.Internal{Tenants: read.Tenants()},
		httpapi.DevicePort{},
	)
	return nil
}
