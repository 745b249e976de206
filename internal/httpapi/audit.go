package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/tenant"
)

// AuditReader reads the audit record; store.Tenants satisfies it.
type AuditReader interface {
	AuditPage(ctx context.Context, scope evcs.Scope, want tenant.AuditWanted, r evcs.PageRequest) (evcs.Page[tenant.AuditRow], error)
	CrossLayer(ctx context.Context, scope evcs.Scope, want tenant.AuditWanted) ([]tenant.ActionCount, error)
	Verify(ctx context.Context, scope evcs.Scope) (tenant.Verification, error)
}

// Audit are the operations of the audit record.
type Audit struct {
	Clock evcs.Clock
	Read  AuditReader
}

type auditFilter struct {
	Paging
	Target     Opt[evcs.TenantID] `query:"targetTenantId" minimum:"1"`
	Operator   Opt[evcs.UserID]   `query:"operatorUserId" minimum:"1"`
	Action     []string           `query:"action" maxItems:"50"`
	Result     string             `query:"result" enum:"SUCCESS,FAILURE"`
	CrossLayer Opt[int]           `query:"crossLayer" minimum:"0" maximum:"1"`
	TargetType string             `query:"targetType" maxLength:"50"`
	TargetID   string             `query:"targetId" maxLength:"64"`
	TraceID    string             `query:"traceId" maxLength:"64"`
	Keyword    string             `query:"keyword" maxLength:"100"`
	Start      Opt[api.Time]      `query:"startTime"`
	End        Opt[api.Time]      `query:"endTime"`
}

type crossFilter struct {
	Target
	Start Opt[api.Time] `query:"startTime" doc:"Seven days ago when absent"`
	End   Opt[api.Time] `query:"endTime" doc:"Now when absent"`
}

func (p Audit) register(s *Server) {
	op := func(id, path, summary string) operation {
		return operation{
			ID: id, Method: http.MethodGet, Path: "/api/tenant/audit-log/" + path, Group: "audit", Permission: "tenant:audit",
			Summary: summary, WideByDefault: true,
		}
	}
	page := op("listAudit", "page", "Audit record")
	page.Sorts = []string{"auditId", "operateTime", "createTime"}
	registerPages(s, page, p.page)
	register(s, op("listAuditActions", "actions", "Actions with their labels"), p.actions)
	register(s, op("countCrossLayer", "statistics/cross-layer", "Cross-layer rows by action"), p.crossLayer)
	register(s, op("verifyAudit", "verify", "Check the hash chains of the record"), p.verify)
}

func (p Audit) page(ctx context.Context, a *evcs.Actor, in *auditFilter, page evcs.PageRequest) (evcs.Page[api.AuditRow], error) {
	scope, err := in.Scope(ctx, a)
	if err != nil {
		return evcs.Page[api.AuditRow]{}, err
	}
	want := tenant.AuditWanted{
		Target: in.Target.Value, Operator: in.Operator.Value, CrossLayer: boolOf(in.CrossLayer), TargetType: in.TargetType,
		TargetID: in.TargetID, Trace: in.TraceID, Keyword: in.Keyword, From: in.Start.Value.In(a.Zone), To: in.End.Value.In(a.Zone),
	}
	if err := ordered(want); err != nil {
		return evcs.Page[api.AuditRow]{}, err
	}
	for _, action := range in.Action {
		want.Actions = append(want.Actions, tenant.Action(action))
	}
	if in.Result != "" {
		want.Success = api.Ptr(in.Result == "SUCCESS")
	}
	found, err := p.Read.AuditPage(ctx, scope, want, page)
	return pageOf(found, auditJSON), err
}

func ordered(want tenant.AuditWanted) error {
	if !want.From.IsZero() && !want.To.IsZero() && want.To.Before(want.From) {
		return evcs.Invalid(evcs.FieldFault{Field: "endTime", Message: "must not be before startTime"})
	}
	return nil
}

func auditJSON(r tenant.AuditRow) api.AuditRow {
	details, err := json.Marshal(r.Details)
	if err != nil || r.Details == nil {
		details = []byte("{}")
	}
	row := api.AuditRow{
		AuditID: r.ID, OperatorTenantID: int64(r.OperatorTenant), OperatorUserID: idOrNil(r.OperatorUser), OperatorUserName: textOrNil(r.OperatorName),
		KeyID: idOrNil(r.Key), TargetTenantID: idOrNil(r.Target), TargetTenantName: textOrNil(r.TargetName), TargetType: textOrNil(r.TargetType),
		TargetID: textOrNil(r.TargetID), Action: string(r.Action), Result: "SUCCESS", ErrorMessage: textOrNil(r.ErrorMessage),
		CrossLayer: r.CrossLayer, Count: r.Count, Details: details, TraceID: r.Trace, ClientIP: textOrNil(r.Address),
		UserAgent: textOrNil(r.Agent), OperateTime: api.AtMS(r.At), Hash: r.Hash,
	}
	if !r.Success {
		row.Result = "FAILURE"
	}
	if r.ErrorCode != 0 {
		row.ErrorCode = api.Ptr(int(r.ErrorCode))
	}
	return row
}

func (p Audit) actions(ctx context.Context, _ *evcs.Actor, _ *struct{}) (*map[string]string, error) {
	english := exchangeOf(ctx).english
	labels := make(map[string]string)
	for action, label := range tenant.Actions() {
		labels[string(action)] = words{label.ZH, label.EN}.in(english)
	}
	return &labels, nil
}

const crossLayerSpan = 7 * 24 * time.Hour

func (p Audit) crossLayer(ctx context.Context, a *evcs.Actor, in *crossFilter) (*[]api.CrossLayerCount, error) {
	scope, err := in.Scope(ctx, a)
	if err != nil {
		return nil, err
	}
	want := tenant.AuditWanted{From: in.Start.Value.In(a.Zone), To: in.End.Value.In(a.Zone)}
	if !in.Start.Set {
		want.From = p.Clock.Now().Add(-crossLayerSpan)
	}
	if !in.End.Set {
		want.To = p.Clock.Now().Add(time.Millisecond) // now included
	}
	if err := ordered(want); err != nil {
		return nil, err
	}
	counts, err := p.Read.CrossLayer(ctx, scope, want)
	if err != nil {
		return nil, err
	}
	list := listOf(counts, func(c tenant.ActionCount) api.CrossLayerCount {
		return api.CrossLayerCount{Action: string(c.Action), Count: c.Count, SuccessCount: c.Succeeded, FailureCount: c.Count - c.Succeeded}
	})
	return &list, nil
}

func (p Audit) verify(ctx context.Context, a *evcs.Actor, in *struct{ Target }) (*api.AuditVerification, error) {
	scope, err := in.Scope(ctx, a)
	if err != nil {
		return nil, err
	}
	v, err := p.Read.Verify(ctx, scope)
	if err != nil {
		return nil, err
	}
	return &api.AuditVerification{Rows: v.Rows, OK: v.OK(), FirstBrokenID: idOrNil(v.FirstBroken)}, nil
}
