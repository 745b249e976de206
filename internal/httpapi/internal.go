package httpapi

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/evcs/evcs/internal/evcs"
)

// DescendantReader is what Internal reads.
type DescendantReader interface {
	Below(ctx context.Context, under, t evcs.TenantID) (bool, error)
	Descendants(ctx context.Context, scope evcs.Scope) ([]evcs.TenantID, error)
}

// Internal are the operations of §17.1, for the platform's own parts.
type Internal struct{ Tenants DescendantReader }

type descendantQuery struct {
	Current evcs.TenantID      `query:"currentTenantId" required:"true" minimum:"1" doc:"The tenant to look below"`
	Target  Opt[evcs.TenantID] `query:"targetTenantId" minimum:"1" doc:"The tenant asked about; without it all descendants are listed"`
}

// descent is either answer: yes or no for a pair, or the ids of all
// descendants.
type descent struct{ value any }

// MarshalJSON writes the answer that was asked for.
func (d descent) MarshalJSON() ([]byte, error) { return json.Marshal(d.value) }

// Schema implements huma.SchemaProvider.
func (descent) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{OneOf: []*huma.Schema{
		{Type: huma.TypeBoolean, Description: "With targetTenantId: does it lie strictly below?"},
		{Type: huma.TypeArray, Items: &huma.Schema{Type: huma.TypeInteger, Format: "int64"}, Description: "Without: the ids of all descendants, ascending"},
	}}
}

func (p Internal) register(s *Server) {
	register(s, operation{
		ID: "tenantDescendants", Method: http.MethodGet, Path: "/internal/api/v1/tenant-hierarchy/descendant", Group: "internal", Access: internalOnly,
		Summary: "Is a tenant below another, or which are",
		Description: "With targetTenantId: whether that tenant lies strictly below currentTenantId; a tenant is not below itself, and one that does not exist is below none. " +
			"Without: the ids of all live descendants, ascending.",
	}, p.descendants)
}

func (p Internal) descendants(ctx context.Context, _ *evcs.Actor, in *descendantQuery) (*descent, error) {
	if !in.Target.Set {
		ids, err := p.Tenants.Descendants(ctx, evcs.Subtree(in.Current))
		return &descent{ids}, err
	}
	below := false
	var err error
	if in.Target.Value != in.Current {
		below, err = p.Tenants.Below(ctx, in.Current, in.Target.Value)
	}
	return &descent{below}, err
}
