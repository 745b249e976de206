package httpapi

import (
	"cmp"
	"context"
	"net/http"
	"net/netip"
	"time"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/station"
)

// CredentialReader reads credentials and id tags; store.Stations satisfies it.
type CredentialReader interface {
	Charger(ctx context.Context, scope evcs.Scope, id evcs.ChargerID) (*station.Charger, error)
	Credential(ctx context.Context, scope evcs.Scope, id evcs.ChargerID) (*station.Credential, error)
	IDTag(ctx context.Context, scope evcs.Scope, id int64) (*station.IDTag, error)
	IDTagPage(ctx context.Context, scope evcs.Scope, want station.IDTagFilter, r evcs.PageRequest) (evcs.Page[station.IDTag], error)
}

// DeviceKeys are the operations of device credentials and id tags.
type DeviceKeys struct {
	Read CredentialReader
	Keys station.Keys
	Tags station.Tags

	s *Server
}

type idTagPath struct {
	IDTagID int64 `path:"idTagId" minimum:"1"`
}

type idTagFilter struct {
	Paging
	IDTag  string     `query:"idTag" maxLength:"36"`
	UserID Opt[int64] `query:"userId" minimum:"1"`
	Status []string   `query:"status" maxItems:"2" enum:"ACTIVE,BLOCKED"`
}

func (p DeviceKeys) register(s *Server) {
	p.s = s
	op := func(id, method, summary string) operation {
		return operation{
			ID: id, Method: method, Path: "/api/charger/{chargerId}/credential", Group: "charger", Permission: "charger:credential", Summary: summary,
			Errors: []evcs.Code{evcs.CodeChargerNotFound},
		}
	}
	issue := op("issueCredential", http.MethodPost, "Make a new device secret, shown only here")
	issue.Said, issue.Secret, issue.NoReplay = created, true, true
	register(s, issue, p.issue)
	register(s, op("getCredential", http.MethodGet, "How the charger proves who it is, without the secret"), p.get)
	register(s, op("updateCredential", http.MethodPut, "Change how the charger proves who it is"), p.update)
	register(s, op("deleteCredential", http.MethodDelete, "Revoke the credential and close the connection"), p.revoke)

	tag := func(id, method string, permission evcs.Permission, summary string) operation {
		return operation{
			ID: id, Method: method, Path: "/api/id-tag/{idTagId}", Group: "id-tag", Permission: permission, Summary: summary,
			Errors: []evcs.Code{evcs.CodeIDTagNotFound},
		}
	}
	registerList(s, operation{
		ID: "listIdTags", Path: "/api/id-tag", Group: "id-tag", Permission: "idtag:query", Summary: "Id tags", Sorts: []string{"idTagId", "createTime"},
	}, p.tags)
	create := tag("createIdTag", http.MethodPost, "idtag:edit", "Create an id tag")
	create.Path, create.Said, create.Errors, create.ReadOnly = "/api/id-tag", created, []evcs.Code{evcs.CodeIDTagExists, evcs.CodeTenantNotFound}, []any{api.IDTag{}}
	register(s, create, p.createTag)
	register(s, tag("getIdTag", http.MethodGet, "idtag:query", "One id tag"), p.tag)
	update := tag("updateIdTag", http.MethodPut, "idtag:edit", "Change an id tag")
	update.ReadOnly = []any{api.IDTag{}}
	register(s, update, p.updateTag)
	register(s, tag("deleteIdTag", http.MethodDelete, "idtag:edit", "Delete an id tag"), p.deleteTag)
}

func (p DeviceKeys) issue(ctx context.Context, a *evcs.Actor, in *struct {
	chargerPath
	Body *api.CreateCredential
},
) (*api.NewCredential, error) {
	grace := 24 * time.Hour
	if in.Body != nil && in.Body.GraceHours != nil {
		grace = time.Duration(*in.Body.GraceHours) * time.Hour
	}
	charger, c, secret, err := p.Keys.Issue(ctx, a, in.ChargerID, grace)
	if err != nil {
		return nil, err
	}
	return &api.NewCredential{
		DeviceID: charger.DeviceID, Secret: secret, ValidFrom: api.At(c.ValidFrom), PreviousValidUntil: api.AtOrNil(c.PreviousUntil),
	}, nil
}

func credentialJSON(charger *station.Charger, c *station.Credential) *api.Credential {
	out := &api.Credential{
		DeviceID: charger.DeviceID, Set: c.Secret != "", Fingerprint: textOrNil(c.Fingerprint), ValidFrom: api.AtOrNil(c.ValidFrom),
		PreviousValidUntil: api.AtOrNil(c.PreviousUntil), LastUsedTime: api.AtOrNil(c.LastUsed), SecurityProfile: c.SecurityProfile,
		AllowCIDR: make([]string, len(c.AllowCIDR)), ClientCertFingerprint: c.ClientCert, PinICCID: c.PinICCID,
		HeartbeatInterval: api.Ptr(int(c.Heartbeat / time.Second)),
	}
	for i, prefix := range c.AllowCIDR {
		out.AllowCIDR[i] = prefix.String()
	}
	return out
}

func (p DeviceKeys) get(ctx context.Context, a *evcs.Actor, in *chargerPath) (*api.Credential, error) {
	charger, err := p.Read.Charger(ctx, evcs.Subtree(a.Tenant), in.ChargerID)
	if err != nil {
		return nil, err
	}
	if err := readable(ctx, a, charger.Tenant); err != nil {
		return nil, err
	}
	c, err := p.Read.Credential(ctx, evcs.Only(charger.Tenant), charger.ID)
	if err != nil {
		return nil, err
	}
	return credentialJSON(charger, c), nil
}

func (p DeviceKeys) update(ctx context.Context, a *evcs.Actor, in *struct {
	chargerPath
	Body api.UpdateCredential
},
) (*api.Credential, error) {
	b := in.Body
	charger, made, err := p.Keys.Configure(ctx, a, in.ChargerID, func(c *station.Credential) error {
		put(&c.SecurityProfile, b.SecurityProfile)
		b.ClientCertFingerprint.Into(&c.ClientCert)
		b.PinICCID.Into(&c.PinICCID)
		if b.HeartbeatInterval.Set {
			c.Heartbeat = station.DefaultHeartbeat
			if !b.HeartbeatInterval.Null {
				c.Heartbeat = time.Duration(b.HeartbeatInterval.Value) * time.Second
			}
		}
		if b.AllowCIDR == nil {
			return nil
		}
		var err error
		c.AllowCIDR, err = prefixes(*b.AllowCIDR)
		return err
	})
	if err != nil {
		return nil, err
	}
	return credentialJSON(charger, made), nil
}

// prefixes reads addresses and networks; a bare address is a network of one.
func prefixes(texts []string) ([]netip.Prefix, error) {
	list := make([]netip.Prefix, 0, len(texts))
	for _, text := range texts {
		if address, err := netip.ParseAddr(text); err == nil {
			list = append(list, netip.PrefixFrom(address.Unmap(), address.Unmap().BitLen()))
			continue
		}
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, evcs.Invalid(evcs.FieldFault{Field: "allowCidr", Message: "holds something that is no network: " + text})
		}
		list = append(list, prefix.Masked())
	}
	return list, nil
}

func (p DeviceKeys) revoke(ctx context.Context, a *evcs.Actor, in *chargerPath) (*Null, error) {
	return nil, p.Keys.Revoke(ctx, a, in.ChargerID)
}

func idTagJSON(t station.IDTag) api.IDTag {
	status := "ACTIVE"
	if t.Blocked {
		status = "BLOCKED"
	}
	return api.IDTag{
		IDTagID: t.ID, TenantID: int64(t.Tenant), IDTag: t.Tag, UserID: idOrNil(t.User), Status: status, ExpireTime: api.AtOrNil(t.Expires),
		ParentIDTag: t.Parent, Remark: t.Remark, CreateTime: api.At(t.Created), UpdateTime: api.At(t.Updated), Version: t.Version,
	}
}

func (p DeviceKeys) tags(ctx context.Context, a *evcs.Actor, in *idTagFilter, page evcs.PageRequest) (evcs.Page[api.IDTag], error) {
	scope, err := in.Scope(ctx, a)
	if err != nil {
		return evcs.Page[api.IDTag]{}, err
	}
	found, err := p.Read.IDTagPage(ctx, scope, station.IDTagFilter{Tag: in.IDTag, User: in.UserID.Or(0), Status: in.Status}, page)
	return pageOf(found, idTagJSON), err
}

func (p DeviceKeys) tag(ctx context.Context, a *evcs.Actor, in *idTagPath) (*api.IDTag, error) {
	t, err := p.Read.IDTag(ctx, evcs.Subtree(a.Tenant), in.IDTagID)
	if err != nil {
		return nil, err
	}
	if err := readable(ctx, a, t.Tenant); err != nil {
		return nil, err
	}
	return api.Ptr(idTagJSON(*t)), nil
}

func (p DeviceKeys) createTag(ctx context.Context, a *evcs.Actor, in *struct{ Body api.CreateIDTag }) (*api.IDTag, error) {
	b := in.Body
	owner, err := p.s.createFor(ctx, a, b.TenantID)
	if err != nil {
		return nil, err
	}
	t := station.IDTag{
		Tenant: owner, Tag: b.IDTag, User: orZero(b.UserID), Blocked: orZero(b.Status) == "BLOCKED", Parent: b.ParentIDTag, Remark: b.Remark,
	}
	if b.ExpireTime != nil {
		t.Expires = b.ExpireTime.In(a.Zone)
	}
	made, err := p.Tags.Create(ctx, a, t)
	if err != nil {
		return nil, err
	}
	return api.Ptr(idTagJSON(*made)), nil
}

func (p DeviceKeys) updateTag(ctx context.Context, a *evcs.Actor, in *struct {
	idTagPath
	Body api.UpdateIDTag
},
) (*api.IDTag, error) {
	b := in.Body
	made, err := p.Tags.Update(ctx, a, in.IDTagID, b.Version, func(t *station.IDTag) error {
		if err := cmp.Or(fixed("idTag", b.IDTag, t.Tag), fixed("tenantId", b.TenantID, int64(t.Tenant))); err != nil {
			return err
		}
		if b.UserID.Set {
			t.User = b.UserID.Value
		}
		if b.Status != nil {
			t.Blocked = *b.Status == "BLOCKED"
		}
		if b.ExpireTime.Set {
			t.Expires = time.Time{}
			if !b.ExpireTime.Null {
				t.Expires = b.ExpireTime.Value.In(a.Zone)
			}
		}
		b.ParentIDTag.Into(&t.Parent)
		b.Remark.Into(&t.Remark)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return api.Ptr(idTagJSON(*made)), nil
}

func (p DeviceKeys) deleteTag(ctx context.Context, a *evcs.Actor, in *idTagPath) (*Null, error) {
	return nil, p.Tags.Delete(ctx, a, in.IDTagID)
}
