package tenant

import (
	"context"
	"fmt"
	"slices"

	"github.com/evcs/evcs/internal/evcs"
)

// Resource is a kind of thing a tenant has; all but Orders and Subtree have a
// quota.
type Resource string

// The kinds, by the contract's names.
const (
	Users    Resource = "users"
	Stations Resource = "stations"
	Chargers Resource = "chargers"
	Children Resource = "children"
	Sessions Resource = "sessions"
	Orders   Resource = "orders"
	// Subtree is the tenants at and below one.
	Subtree Resource = "tenants"
)

// Quotas lists the kinds that have a quota.
func Quotas() []Resource { return []Resource{Children, Users, Stations, Chargers, Sessions} }

// ErrQuota is 5006.
var ErrQuota = evcs.NewError(evcs.CodeQuotaExceeded, "the quota of the tenant or of an ancestor is used up")

// Forecast says what a creation would meet.
type Forecast struct {
	Kind     Resource
	Current  int64
	Limit    *int64        // nil: none on the whole chain
	Limiting evcs.TenantID // who refuses; zero when allowed
}

// Allowed reports whether nobody refuses.
func (f Forecast) Allowed() bool { return f.Limiting == 0 }

// Reserve refuses with 5006 when n more of kind in t would pass the limit of t
// or of an ancestor (children: of t alone). It is called in the transaction
// that creates them; the chain is locked until its end, so that transactions
// at the same time cannot pass a limit together.
func Reserve(ctx context.Context, s Store, t evcs.TenantID, kind Resource, n int) error {
	var chain Chain
	var err error
	if kind == Sessions {
		chain, err = s.LockLimited(ctx, t, kind)
	} else {
		chain, err = s.LockChain(ctx, t)
	}
	if err != nil {
		return fmt.Errorf("lock the chain of tenant %d: %w", t, err)
	}
	if !slices.ContainsFunc(chain, func(t Tenant) bool { return t.Limits.Of(kind) != nil }) {
		return nil // nobody limits it: nothing to count
	}
	f, err := chain.Forecast(ctx, s, kind, n)
	if err != nil {
		return err
	}
	return f.Refusal()
}

// Usages is what counts for a forecast; Store has it, and so do readers.
type Usages interface {
	Usage(ctx context.Context, id evcs.TenantID, kind Resource) (int64, error)
}

// Forecast finds the nearest tenant of the chain that would refuse n more of
// kind. Outside the locks of Reserve it is only that, a forecast.
func (c Chain) Forecast(ctx context.Context, s Usages, kind Resource, n int) (Forecast, error) {
	result := Forecast{Kind: kind}
	asked := c
	if kind == Children {
		asked = c[:min(1, len(c))]
	}
	for i := range asked {
		limit := asked[i].Limits.Of(kind)
		if limit == nil && i > 0 {
			continue
		}
		current, err := s.Usage(ctx, asked[i].ID, kind)
		if err != nil {
			return Forecast{}, fmt.Errorf("count %s of tenant %d: %w", kind, asked[i].ID, err)
		}
		if i == 0 {
			result.Current, result.Limit = current, limit
		}
		if limit != nil && current+int64(n) > *limit {
			return Forecast{Kind: kind, Current: current, Limit: limit, Limiting: asked[i].ID}, nil
		}
	}
	return result, nil
}

// Refusal is 5006 with its facts, nil when allowed.
func (f Forecast) Refusal() error {
	if f.Allowed() {
		return nil
	}
	return evcs.WithDetail(ErrQuota, evcs.Detail{
		ZH: fmt.Sprintf("%s %d/%d", kindNames[f.Kind], f.Current, *f.Limit),
		EN: fmt.Sprintf("%s %d/%d", f.Kind, f.Current, *f.Limit),
	}, map[string]any{"resourceType": string(f.Kind), "current": f.Current, "limit": *f.Limit, "limitingTenantId": f.Limiting})
}

// Reason is why, for people; empty when allowed.
func (f Forecast) Reason(asked evcs.TenantID) evcs.Detail {
	switch {
	case f.Allowed():
		return evcs.Detail{}
	case f.Limiting == asked:
		return evcs.Detail{
			ZH: fmt.Sprintf("%s数已达上限 %d", kindNames[f.Kind], *f.Limit),
			EN: fmt.Sprintf("the limit of %d %s is reached", *f.Limit, f.Kind),
		}
	}
	return evcs.Detail{
		ZH: fmt.Sprintf("上级租户 %d %s数已达上限 %d", f.Limiting, kindNames[f.Kind], *f.Limit),
		EN: fmt.Sprintf("tenant %d above has reached its limit of %d %s", f.Limiting, *f.Limit, f.Kind),
	}
}

// kindNames are the Chinese names of the kinds.
var kindNames = map[Resource]string{
	Users: "用户", Stations: "站点", Chargers: "充电桩", Children: "下级租户", Sessions: "充电会话", Orders: "订单",
}
