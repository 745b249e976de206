package httpapi

import (
	"context"
	"net/http"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/tenant"
)

type quotaPath struct {
	TenantID evcs.TenantID `path:"tenantId"`
}

type quotaCheck struct {
	TenantID evcs.TenantID `path:"tenantId"`
	Count    Opt[int]      `query:"count" minimum:"1" maximum:"1000000" doc:"How many; 1 when absent"`
}

type childCheck struct {
	Parent evcs.TenantID `path:"parentId"`
	Count  Opt[int]      `query:"count" minimum:"1" maximum:"1000000" doc:"How many; 1 when absent"`
}

func (p Tenants) registerQuotas(s *Server, add func(string, string, string, evcs.Permission, string, ...evcs.Code) operation) {
	quota := func(op operation) operation {
		op.Group = "quota"
		return op
	}
	const query = evcs.Permission("tenant:query")
	register(s, quota(add("getUsage", http.MethodGet, "/quota/usage/{tenantId}", query, "What a tenant uses of its quotas")), p.usage)
	register(s, quota(add("setQuota", http.MethodPut, "/quota/{tenantId}", "tenant:quota", "Change the quotas of a tenant",
		evcs.CodeTenantSelfChange)), p.setQuota)
	register(s, quota(add("checkCreateChild", http.MethodGet, "/quota/check/create-child/{parentId}", query, "Whether a child could be created")),
		func(ctx context.Context, a *evcs.Actor, in *childCheck) (*api.QuotaCheck, error) {
			return p.forecast(ctx, a, in.Parent, tenant.Children, in.Count.Or(1))
		})
	for _, c := range [...]struct {
		id, path string
		kind     tenant.Resource
	}{{"checkAddStation", "add-station", tenant.Stations}, {"checkAddCharger", "add-charger", tenant.Chargers}, {"checkAddUser", "add-user", tenant.Users}} {
		register(s, quota(add(c.id, http.MethodGet, "/quota/check/"+c.path+"/{tenantId}", query, "Whether "+string(c.kind)+" could be added")),
			func(ctx context.Context, a *evcs.Actor, in *quotaCheck) (*api.QuotaCheck, error) {
				return p.forecast(ctx, a, in.TenantID, c.kind, in.Count.Or(1))
			})
	}
}

func (p Tenants) usage(ctx context.Context, a *evcs.Actor, in *quotaPath) (*api.Usage, error) {
	t, err := p.one(ctx, a, in.TenantID)
	if err != nil {
		return nil, err
	}
	return p.usageOf(ctx, &t.Tenant)
}

func (p Tenants) usageOf(ctx context.Context, t *tenant.Tenant) (*api.Usage, error) {
	u := &api.Usage{
		TenantID: int64(t.ID), TenantName: t.Name, MaxChildren: t.Limits.Children, MaxUsers: t.Limits.Users, MaxStations: t.Limits.Stations,
		MaxChargers: t.Limits.Chargers, MaxSessions: t.Limits.Sessions, Exceeded: []string{},
	}
	current := map[tenant.Resource]*int64{
		tenant.Children: &u.CurrentChildren, tenant.Users: &u.CurrentUsers, tenant.Stations: &u.CurrentStations,
		tenant.Chargers: &u.CurrentChargers, tenant.Sessions: &u.CurrentSessions,
	}
	for _, kind := range tenant.Quotas() {
		n, err := p.Read.Usage(ctx, t.ID, kind)
		if err != nil {
			return nil, err
		}
		*current[kind] = n
		if limit := t.Limits.Of(kind); limit != nil && n > *limit {
			u.Exceeded = append(u.Exceeded, string(kind))
		}
	}
	return u, nil
}

func (p Tenants) setQuota(ctx context.Context, a *evcs.Actor, in *struct {
	quotaPath
	Body api.Quota
},
) (*api.Usage, error) {
	b := in.Body
	c := tenant.Change{Limits: quotaChange(b.MaxUsers, b.MaxStations, b.MaxChargers, b.MaxChildren, b.MaxSessions), Version: b.Version}
	if len(c.Limits) == 0 {
		return nil, evcs.Invalid(evcs.FieldFault{Field: "body", Message: "must name at least one quota"})
	}
	t, err := p.Write.Update(ctx, a, in.TenantID, c)
	if err != nil {
		return nil, err
	}
	return p.usageOf(ctx, t)
}

func (p Tenants) forecast(ctx context.Context, a *evcs.Actor, id evcs.TenantID, kind tenant.Resource, n int) (*api.QuotaCheck, error) {
	if _, err := p.one(ctx, a, id); err != nil {
		return nil, err
	}
	chain, err := p.Read.Chain(ctx, id)
	if err != nil {
		return nil, err
	}
	f, err := chain.Forecast(ctx, p.Read, kind, n)
	if err != nil {
		return nil, err
	}
	reason := f.Reason(id)
	return &api.QuotaCheck{
		Allowed: f.Allowed(), Reason: textOrNil(words{reason.ZH, reason.EN}.in(exchangeOf(ctx).english)), Current: f.Current, Limit: f.Limit,
		ResourceType: string(kind), LimitingTenantID: idOrNil(f.Limiting),
	}, nil
}
