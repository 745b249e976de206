package httpapi

import (
	"context"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/evcs"
)

// Opt is a query parameter that may be left out. T is a number, a string, an
// api.Flag, an api.Time or an api.Date.
type Opt[T any] struct {
	Value T
	Set   bool
	flag  int
}

// Or is the value, or other when none was given.
func (o Opt[T]) Or(other T) T {
	if o.Set {
		return o.Value
	}
	return other
}

// Ptr is the value, or nil when none was given.
func (o Opt[T]) Ptr() *T {
	if !o.Set {
		return nil
	}
	v := o.Value
	return &v
}

// Schema is the schema of T.
func (Opt[T]) Schema(r huma.Registry) *huma.Schema {
	s := *r.Schema(reflect.TypeFor[T](), false, "")
	return &s
}

// Receiver is where the parsed value goes.
func (o *Opt[T]) Receiver() reflect.Value {
	if _, ok := any(o.Value).(api.Flag); ok {
		return reflect.ValueOf(&o.flag).Elem()
	}
	return reflect.ValueOf(&o.Value).Elem()
}

// OnParamSet records that a value was given.
func (o *Opt[T]) OnParamSet(set bool, _ any) {
	o.Set = set
	if f, ok := any(&o.Value).(*api.Flag); ok {
		*f = o.flag != 0
	}
}

// kind is T, for the reader of parameters.
func (Opt[T]) kind() reflect.Type { return reflect.TypeFor[T]() }

// Precondition is If-Match for operations without a body.
type Precondition struct {
	IfMatch string `header:"If-Match" doc:"Expected version of the object, quoted" maxLength:"24"`
}

// Version is the expected version; nil when none was named.
func (p Precondition) Version() (*int64, error) {
	if p.IfMatch == "" || p.IfMatch == "*" {
		return nil, nil //nolint:nilnil // no version was asked for
	}
	v, ok := versionOf(p.IfMatch)
	if !ok {
		return nil, evcs.Invalid(evcs.FieldFault{Field: "If-Match", Message: "must be a quoted version number"})
	}
	return &v, nil
}

func versionOf(ifMatch string) (int64, bool) {
	v, err := strconv.ParseInt(strings.Trim(strings.TrimPrefix(ifMatch, "W/"), `"`), 10, 64)
	return v, err == nil && v >= 0
}

const (
	scopeSelf = "SELF"
	scopeWide = "SELF_AND_DESCENDANTS"
)

// Target is which tenants a read covers: tenantId names self or a descendant,
// tenantScope widens to its subtree.
type Target struct {
	TenantID    Opt[evcs.TenantID] `query:"tenantId" minimum:"1" doc:"Self or a descendant; default: the principal's own"`
	TenantScope string             `query:"tenantScope" enum:"SELF,SELF_AND_DESCENDANTS" doc:"Default SELF unless the operation says otherwise"`

	x *exchange
}

type targetedInput interface{ targetInput() *Target }

func (t *Target) targetInput() *Target { return t }

// Scope is what the read covers. Descendants need tenant:descendants:read
// (5003); a tenant outside the subtree is unknown (5001). It tells the caller
// by X-Tenant-Scope and has the crossing audited.
func (t *Target) Scope(ctx context.Context, a *evcs.Actor) (evcs.Scope, error) {
	return t.x.scope(ctx, a, t)
}

// covers reports whether a list of one object's things has anything to show: all
// of them are its owner's. Without tenantId and tenantScope it has; with them the
// owner must lie in what they say (5001, 5003 as of every list).
func (t *Target) covers(ctx context.Context, a *evcs.Actor, owner evcs.TenantID) (bool, error) {
	if !t.TenantID.Set && t.TenantScope == "" {
		return true, nil
	}
	s, err := t.Scope(ctx, a)
	if err != nil || owner == s.Tenant || !s.Descendants {
		return owner == s.Tenant, err
	}
	return t.x.s.cfg.Tree.Below(ctx, s.Tenant, owner)
}

// Paging is the paging of every list: page form, cursor form, sort and scope.
type Paging struct {
	Target
	Page    Opt[int] `query:"page" minimum:"1" doc:"From 1"`
	Current Opt[int] `query:"current" minimum:"1" doc:"The same as page"`
	Size    Opt[int] `query:"size" minimum:"1" maximum:"100" doc:"Default 10"`
	Cursor  string   `query:"cursor" maxLength:"1000" doc:"Cursor form: empty to begin, then nextCursor"`
	Sort    []string `query:"sort" maxItems:"4" doc:"field or field,desc, at most two; repeat or join with commas"`

	keyset bool
	sorts  []evcs.Sort
}

type pagedInput interface{ pagingInput() *Paging }

func (p *Paging) pagingInput() *Paging { return p }

// resolve checks what one parameter cannot say by itself.
func (p *Paging) resolve(x *exchange) {
	_, p.keyset = x.query["cursor"]
	add := func(field, message string) { x.addFault("query."+field, message) }
	if p.keyset && (p.Page.Set || p.Current.Set) {
		add("cursor", "must not be used together with page")
	}
	if p.keyset && x.op.plain {
		add("cursor", "is not for /list")
	}
	if p.Page.Set && p.Current.Set && p.Page.Value != p.Current.Value {
		add("current", "must equal page when both are given")
	}
	p.sorts = p.readSort(x, add)
}

func (p *Paging) readSort(x *exchange, add func(field, message string)) []evcs.Sort {
	var sorts []evcs.Sort
	for _, given := range x.query["sort"] {
		for word := range strings.SplitSeq(given, ",") {
			word = strings.TrimSpace(word)
			switch last := len(sorts) - 1; {
			case word == "":
			case (word == "desc" || word == "asc") && last >= 0:
				sorts[last].Desc = word == "desc"
			case !slices.Contains(x.op.Sorts, word):
				add("sort", "must name one of "+strings.Join(x.op.Sorts, ", "))
			default:
				sorts = append(sorts, evcs.Sort{Field: word})
			}
		}
	}
	if len(sorts) > 2 {
		add("sort", "must not name more than two fields")
	}
	return sorts
}
