package httpapi

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/auth"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/tenant"
)

// TenantReader reads the tree; store.Tenants satisfies it.
type TenantReader interface {
	ChainReader
	tenant.Usages
	Page(ctx context.Context, scope evcs.Scope, want tenant.Wanted, r evcs.PageRequest) (evcs.Page[tenant.Listed], error)
	One(ctx context.Context, scope evcs.Scope, id evcs.TenantID, want tenant.Wanted) (tenant.Listed, error)
	Holder(ctx context.Context, code string) (evcs.TenantID, error)
}

// Tenants are the operations of tenants, their settings and quotas.
type Tenants struct {
	Clock evcs.Clock
	Write *tenant.Registry
	Found *auth.Registry // creates a tenant with its first administrator
	Read  TenantReader
}

type tenantPath struct {
	ID evcs.TenantID `path:"id"`
}

type tenantFilter struct {
	Paging
	Name      string             `query:"tenantName" maxLength:"100"`
	Code      string             `query:"tenantCode" maxLength:"50"`
	Type      []int              `query:"tenantType" maxItems:"3"`
	Status    Opt[int]           `query:"status" minimum:"0" maximum:"1"`
	Effective string             `query:"effectiveStatus" enum:"ACTIVE,DISABLED,EXPIRED"`
	Parent    Opt[evcs.TenantID] `query:"parentId" minimum:"1"`
}

func (p Tenants) register(s *Server) {
	add := func(id, method, path string, permission evcs.Permission, summary string, errors ...evcs.Code) operation {
		return operation{
			ID: id, Method: method, Path: "/api/tenant" + path, Group: "tenant", Permission: permission, Summary: summary,
			Errors: append(errors, evcs.CodeTenantNotFound),
		}
	}
	list := add("listTenants", http.MethodGet, "", "tenant:list", "Tenants")
	list.Sorts, list.WideByDefault = []string{"tenantId", "createTime", "tenantCode", "tenantName", "expireTime"}, true
	registerList(s, list, p.list)
	register(s, add("tenantTree", http.MethodGet, "/tree", "tenant:list", "Tenants as a tree"), p.tree)
	register(s, add("checkTenantCode", http.MethodGet, "/check-code", "tenant:list", "Whether a tenant code is taken"), p.checkCode)
	create := add("createTenant", http.MethodPost, "", "tenant:add", "Create a tenant",
		evcs.CodeQuotaExceeded, evcs.CodeTenantCodeExists, evcs.CodeUserExists, evcs.CodePasswordPolicy)
	create.Said, create.Secret, create.NoReplay, create.ReadOnly = created, true, true, []any{api.Tenant{}}
	register(s, create, p.create)
	p.registerQuotas(s, add)
	register(s, add("listChildren", http.MethodGet, "/{parentId}/children", "tenant:list", "Direct children of a tenant"), p.children)
	register(s, add("getTenant", http.MethodGet, "/{id}", "tenant:query", "One tenant"), p.get)
	update := add("updateTenant", http.MethodPut, "/{id}", "tenant:edit", "Change a tenant", evcs.CodeTenantSelfChange)
	update.ReadOnly = []any{api.Tenant{}}
	register(s, update, p.update)
	register(s, add("deleteTenant", http.MethodDelete, "/{id}", "tenant:remove", "Delete an empty tenant",
		evcs.CodeTenantNotEmpty, evcs.CodeTenantSelfChange), p.remove)
	register(s, add("setTenantStatus", http.MethodPut, "/{id}/status", "tenant:status", "Enable or disable a tenant and its subtree",
		evcs.CodeTenantSelfChange), p.status)
	register(s, add("moveTenant", http.MethodPost, "/{id}/move", "tenant:edit", "Move a tenant below another",
		evcs.CodeQuotaExceeded, evcs.CodeTenantMoveInvalid), p.move)
	register(s, add("getSettings", http.MethodGet, "/{id}/settings", "tenant:query", "Effective settings of a tenant"), p.settings)
	write := add("updateSettings", http.MethodPut, "/{id}/settings", "tenant:settings", "Change settings of a tenant")
	write.ReadOnly = []any{api.Settings{}}
	register(s, write, p.updateSettings)
}

func (p Tenants) now() tenant.Wanted { return tenant.Wanted{Now: p.Clock.Now()} }

func (p Tenants) list(ctx context.Context, a *evcs.Actor, in *tenantFilter, page evcs.PageRequest) (evcs.Page[api.Tenant], error) {
	scope, err := in.Scope(ctx, a)
	if err != nil {
		return evcs.Page[api.Tenant]{}, err
	}
	want := tenant.Wanted{
		Name: in.Name, Code: in.Code, Enabled: boolOf(in.Status), State: tenant.State(in.Effective), Parent: in.Parent.Value, Now: p.Clock.Now(),
	}
	for _, t := range in.Type {
		want.Types = append(want.Types, tenant.Type(t))
	}
	found, err := p.Read.Page(ctx, scope, want, page)
	if x := exchangeOf(ctx); x.op.plain { // the own tenant comes first
		slices.SortStableFunc(found.Records, func(b, c tenant.Listed) int { return flagOf(c.ID == a.Tenant) - flagOf(b.ID == a.Tenant) })
	}
	return pageOf(found, tenantJSON), err
}

var tenantTypeNames = map[tenant.Type]string{tenant.Platform: "平台", tenant.Operator: "运营商", tenant.Partner: "第三方合作方"}

func tenantJSON(t tenant.Listed) api.Tenant {
	return api.Tenant{
		TenantID: int64(t.ID), TenantCode: t.Code, TenantName: t.Name, ParentID: idOrNil(t.Parent), ParentName: textOrNil(t.ParentName),
		Level: t.Level, ContactPerson: t.ContactPerson, ContactPhone: t.ContactPhone, ContactEmail: t.ContactEmail, Address: t.Address,
		SocialCode: t.SocialCode, LicenseURL: t.LicenseURL, Remark: t.Remark, TenantType: int(t.Type), TenantTypeName: tenantTypeNames[t.Type],
		Status: flagOf(t.Enabled), ExpireTime: api.AtOrNil(t.Expires), EffectiveStatus: string(t.State), BlockedBy: idOrNil(t.BlockedBy),
		MaxUsers: t.Limits.Users, MaxStations: t.Limits.Stations, MaxChargers: t.Limits.Chargers, MaxChildren: t.Limits.Children,
		MaxSessions: t.Limits.Sessions, ChildrenCount: t.Children, CreateTime: api.At(t.Created), UpdateTime: api.At(t.Updated),
		CreateBy: idOrNil(t.CreatedBy), Version: t.Version,
	}
}

// maxTree bounds the nodes of a tree.
const maxTree = 5000

type treeInput struct {
	Root   Opt[evcs.TenantID] `query:"rootId" minimum:"1"`
	Depth  Opt[int]           `query:"depth" minimum:"0" maximum:"1000" doc:"Levels below the root; all when absent"`
	Status Opt[int]           `query:"status" minimum:"0" maximum:"1"`
}

func (p Tenants) tree(ctx context.Context, a *evcs.Actor, in *treeInput) (*api.TenantNode, error) {
	id := in.Root.Or(a.Tenant)
	root, err := p.one(ctx, a, id)
	if err != nil {
		return nil, err
	}
	want := p.now()
	want.Enabled = boolOf(in.Status)
	scope := evcs.Subtree(id)
	if !a.May(tenant.ReadDescendants) {
		scope = evcs.Only(id)
	} else if x := exchangeOf(ctx); x.s.cfg.Crossings != nil && id == a.Tenant {
		x.s.cfg.Crossings.CrossedRead(ctx, a, x.op.ID, id) // the root itself was not below
	}
	found, err := p.Read.Page(ctx, scope, want, evcs.PageRequest{Page: 1, Size: maxTree + 1, Sort: []evcs.Sort{{Field: "tenantCode"}}})
	if err != nil {
		return nil, err
	}
	if len(found.Records) > maxTree {
		return nil, evcs.With(errTooBig, map[string]any{"total": found.Total, "limit": maxTree})
	}
	below := make(map[evcs.TenantID][]tenant.Listed)
	for _, t := range found.Records {
		if t.ID != id && (!in.Depth.Set || t.Level-root.Level <= in.Depth.Value) {
			below[t.Parent] = append(below[t.Parent], t)
		}
	}
	return api.Ptr(nodeOf(root, below)), nil
}

func nodeOf(t tenant.Listed, below map[evcs.TenantID][]tenant.Listed) api.TenantNode {
	children := make([]api.TenantNode, 0, len(below[t.ID]))
	for _, child := range below[t.ID] {
		children = append(children, nodeOf(child, below))
	}
	return api.TenantNode{Tenant: tenantJSON(t), Children: children}
}

// one is a tenant that the actor may see.
func (p Tenants) one(ctx context.Context, a *evcs.Actor, id evcs.TenantID) (tenant.Listed, error) {
	t, err := p.Read.One(ctx, evcs.Subtree(a.Tenant), id, p.now())
	if err != nil {
		return t, err
	}
	return t, readable(ctx, a, id)
}

type codeCheck struct {
	Code    string             `query:"tenantCode" required:"true" minLength:"1" maxLength:"50"`
	Exclude Opt[evcs.TenantID] `query:"excludeId" minimum:"1"`
}

func (p Tenants) checkCode(ctx context.Context, _ *evcs.Actor, in *codeCheck) (*bool, error) {
	holder, err := p.Read.Holder(ctx, strings.TrimSpace(in.Code))
	return api.Ptr(holder != 0 && holder != in.Exclude.Value), err
}

func (p Tenants) children(ctx context.Context, a *evcs.Actor, in *struct {
	Parent evcs.TenantID `path:"parentId"`
},
) (*[]api.Tenant, error) {
	if _, err := p.one(ctx, a, in.Parent); err != nil {
		return nil, err
	}
	want := p.now()
	want.Parent = in.Parent
	if err := tenant.Reach(a, 0, false); err != nil { // children are descendants
		return nil, err
	}
	found, err := p.Read.Page(ctx, evcs.Subtree(in.Parent), want, evcs.PageRequest{Page: 1, Size: plainLimit + 1, Sort: []evcs.Sort{{Field: "tenantCode"}}})
	if err != nil {
		return nil, err
	}
	if len(found.Records) > plainLimit {
		return nil, evcs.With(errTooBig, map[string]any{"total": found.Total, "limit": plainLimit})
	}
	return api.Ptr(listOf(found.Records, tenantJSON)), nil
}

func (p Tenants) get(ctx context.Context, a *evcs.Actor, in *tenantPath) (*api.Tenant, error) {
	t, err := p.one(ctx, a, in.ID)
	if err != nil {
		return nil, err
	}
	return api.Ptr(tenantJSON(t)), nil
}

// written is a tenant after a change, as the store has it.
func (p Tenants) written(ctx context.Context, a *evcs.Actor, id evcs.TenantID) (api.Tenant, error) {
	t, err := p.Read.One(ctx, evcs.Subtree(a.Tenant), id, p.now())
	return tenantJSON(t), err
}

func (p Tenants) create(ctx context.Context, a *evcs.Actor, in *struct{ Body api.CreateTenant }) (*api.NewTenant, error) {
	b := in.Body
	n := tenant.New{
		Code: b.TenantCode, Name: b.TenantName, Parent: a.Tenant, Type: tenant.Type(b.TenantType), Disabled: b.Status != nil && *b.Status == 0,
		ContactPerson: b.ContactPerson, ContactPhone: b.ContactPhone, ContactEmail: b.ContactEmail, Address: b.Address,
		SocialCode: b.SocialCode, LicenseURL: b.LicenseURL, Remark: b.Remark, Limits: tenant.DefaultLimits(),
	}
	if n.ContactPerson == "" {
		n.ContactPerson = b.ContactName
	}
	if b.ParentID != nil {
		n.Parent = evcs.TenantID(*b.ParentID)
	}
	if b.ExpireTime != nil {
		n.Expires = b.ExpireTime.In(a.Zone)
	}
	b.MaxUsers.Into(&n.Limits.Users)
	b.MaxStations.Into(&n.Limits.Stations)
	b.MaxChargers.Into(&n.Limits.Chargers)
	b.MaxChildren.Into(&n.Limits.Children)
	b.MaxSessions.Into(&n.Limits.Sessions)
	var admin *auth.NewUser
	if b.Admin != nil {
		admin = &auth.NewUser{
			Username: b.Admin.Username, Password: orZero(b.Admin.Password), Identifier: orZero(b.Admin.Identifier), RealName: orZero(b.Admin.RealName), Gender: 2,
		}
	}
	made, err := p.Found.Found(ctx, a, n, admin)
	if err != nil {
		return nil, err
	}
	t, err := p.written(ctx, a, made.Tenant.ID)
	if err != nil {
		return nil, err
	}
	out := &api.NewTenant{Tenant: t}
	if u := made.Admin; u != nil {
		out.Admin = &api.NewAdmin{UserID: int64(u.ID), Username: u.Username, Identifier: u.Identifier, Password: textOrNil(u.Password)}
	}
	return out, nil
}

func (p Tenants) update(ctx context.Context, a *evcs.Actor, in *struct {
	tenantPath
	Body api.UpdateTenant
},
) (*api.Tenant, error) {
	b := in.Body
	c := tenant.Change{
		Name: b.TenantName, ContactPerson: b.ContactPerson, ContactPhone: b.ContactPhone, ContactEmail: given(b.ContactEmail), Address: given(b.Address),
		SocialCode: given(b.SocialCode), LicenseURL: given(b.LicenseURL), Remark: given(b.Remark), Enabled: boolPtr(b.Status), Version: b.Version,
		Limits: quotaChange(b.MaxUsers, b.MaxStations, b.MaxChargers, b.MaxChildren, b.MaxSessions),
	}
	if c.ContactPerson == nil {
		c.ContactPerson = b.ContactName
	}
	if b.TenantType != nil {
		c.Type = api.Ptr(tenant.Type(*b.TenantType))
	}
	if b.ExpireTime.Set {
		c.Expires = &time.Time{}
		if !b.ExpireTime.Null {
			*c.Expires = b.ExpireTime.Value.In(a.Zone)
		}
	}
	if _, err := p.Write.Update(ctx, a, in.ID, c); err != nil {
		return nil, err
	}
	t, err := p.written(ctx, a, in.ID)
	return &t, err
}

// given is what a PUT makes of a nullable text; nil leaves it.
func given(o api.Optional[string]) **string {
	if !o.Set {
		return nil
	}
	return api.Ptr(o.Ptr())
}

func quotaChange(users, stations, chargers, children, sessions api.Optional[int64]) tenant.LimitChange {
	c := make(tenant.LimitChange)
	for kind, limit := range map[tenant.Resource]api.Optional[int64]{
		tenant.Users: users, tenant.Stations: stations, tenant.Chargers: chargers, tenant.Children: children, tenant.Sessions: sessions,
	} {
		if limit.Set {
			c[kind] = limit.Ptr()
		}
	}
	return c
}

func (p Tenants) remove(ctx context.Context, a *evcs.Actor, in *tenantPath) (*Null, error) {
	return nil, p.Write.Delete(ctx, a, in.ID)
}

func (p Tenants) status(ctx context.Context, a *evcs.Actor, in *struct {
	tenantPath
	Body api.StatusWrite
},
) (*api.TenantStatus, error) {
	done, err := p.Write.SetStatus(ctx, a, in.ID, in.Body.Status == 1, in.Body.Version)
	if err != nil {
		return nil, err
	}
	return &api.TenantStatus{
		TenantID: int64(in.ID), Status: flagOf(done.Tenant.Enabled), EffectiveStatus: string(done.State),
		AffectedTenants: done.Affected, RunningSessions: done.Running,
	}, nil
}

func (p Tenants) move(ctx context.Context, a *evcs.Actor, in *struct {
	tenantPath
	Body api.MoveTenant
},
) (*api.Tenant, error) {
	if _, err := p.Write.Move(ctx, a, in.ID, evcs.TenantID(in.Body.ParentID), in.Body.Version); err != nil {
		return nil, err
	}
	t, err := p.written(ctx, a, in.ID)
	return &t, err
}

func (p Tenants) settings(ctx context.Context, a *evcs.Actor, in *tenantPath) (*api.Settings, error) {
	if _, err := p.one(ctx, a, in.ID); err != nil {
		return nil, err
	}
	chain, err := p.Read.Chain(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return settingsJSON(chain.Settings(), chain.Self().Version), nil
}

func settingsJSON(s tenant.Settings, version int64) *api.Settings {
	return &api.Settings{
		TimeZone: s.TimeZone, Locale: s.Locale, AutoToPay: s.AutoToPay, SettleFromEstimate: s.SettleFromEstimate,
		BlockUnpaidUsers: s.BlockUnpaidUsers, SandboxPayments: s.SandboxPayments, PaymentTimeoutMinutes: s.PaymentTimeoutMinutes,
		RefundApprovalAbove: (*api.Money)(s.RefundApprovalAbove),
		IDTagPolicy:         s.IDTagPolicy, MeterRetentionDays: s.MeterRetentionDays, MessageRetentionDays: s.MessageRetentionDays,
		AuditRetentionDays: s.AuditRetentionDays, Version: version,
	}
}

func (p Tenants) updateSettings(ctx context.Context, a *evcs.Actor, in *struct {
	tenantPath
	Body api.UpdateSettings
},
) (*api.Settings, error) {
	b := in.Body
	s, version, err := p.Write.UpdateSettings(ctx, a, in.ID, b.Version, func(o *tenant.Overrides) {
		b.TimeZone.Into(&o.TimeZone)
		b.Locale.Into(&o.Locale)
		b.AutoToPay.Into(&o.AutoToPay)
		b.SettleFromEstimate.Into(&o.SettleFromEstimate)
		b.BlockUnpaidUsers.Into(&o.BlockUnpaidUsers)
		b.SandboxPayments.Into(&o.SandboxPayments)
		b.PaymentTimeoutMinutes.Into(&o.PaymentTimeoutMinutes)
		if b.RefundApprovalAbove.Set {
			o.RefundApprovalAbove = (*evcs.Money)(b.RefundApprovalAbove.Ptr())
		}
		b.IDTagPolicy.Into(&o.IDTagPolicy)
		b.MeterRetentionDays.Into(&o.MeterRetentionDays)
		b.MessageRetentionDays.Into(&o.MessageRetentionDays)
		b.AuditRetentionDays.Into(&o.AuditRetentionDays)
	})
	if err != nil {
		return nil, err
	}
	return settingsJSON(s, version), nil
}
