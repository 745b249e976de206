package store

import (
	"context"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/tariff"
)

var planListing = listing[tariff.Plan]{
	what: "list plans", columns: planColumns, from: "plans p", id: "p.id", scan: scanPlan,
	sorts: map[string]sortColumn{
		"planId": {expr: "p.id"}, "createTime": {expr: "p.created_at"}, "code": {expr: "p.code", text: true},
		"name": {expr: "p.name", text: true}, "priority": {expr: "p.priority"},
	},
}

// PlanPage lists the plans of scope that are wanted.
func (s Tariffs) PlanPage(ctx context.Context, scope evcs.Scope, want tariff.PlanFilter, r evcs.PageRequest) (evcs.Page[tariff.Plan], error) {
	var f filter
	f.scope("p.tenant_id", scope)
	f.add("p.deleted_at = 0")
	if want.Station != 0 {
		f.add("p.station_id = ?", want.Station)
	}
	f.contains(want.Name, "p.name")
	f.contains(want.Code, "p.code")
	among(&f, "p.status", want.Status)
	if want.Default != nil {
		f.add("p.is_default = ?", *want.Default)
	}
	return page(ctx, s.q, planListing, f, r)
}
