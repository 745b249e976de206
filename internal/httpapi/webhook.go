package httpapi

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/webhook"
)

// WebhookReader reads webhooks; store.Webhooks satisfies it.
type WebhookReader interface {
	Webhook(ctx context.Context, scope evcs.Scope, id evcs.WebhookID) (*webhook.Webhook, error)
	WebhookPage(ctx context.Context, scope evcs.Scope, r evcs.PageRequest) (evcs.Page[webhook.Webhook], error)
	DeliveryPage(ctx context.Context, scope evcs.Scope, id evcs.WebhookID, states []string, r evcs.PageRequest) (evcs.Page[webhook.Delivery], error)
}

// Webhooks are the operations of webhooks.
type Webhooks struct {
	Read  WebhookReader
	Write *webhook.Registry

	s *Server
}

// WebhookPath names a webhook.
type WebhookPath struct {
	WebhookID evcs.WebhookID `path:"webhookId"`
}

type webhookFilter struct{ Paging }

type deliveryFilter struct {
	Paging
	WebhookPath
	State []string `query:"state" maxItems:"3" enum:"PENDING,DELIVERED,FAILED"`
}

type updateWebhook struct {
	WebhookPath
	Body api.UpdateWebhook
}

type deleteWebhook struct {
	WebhookPath
	Precondition
}

type redeliver struct {
	WebhookPath
	Body api.Redeliver
}

func (p Webhooks) register(s *Server) {
	p.s = s
	op := func(id, method, rest, summary string, errs ...evcs.Code) operation {
		return operation{
			ID: id, Method: method, Path: "/api/webhook" + rest, Group: "webhooks", Permission: "webhook:manage", Summary: summary, Errors: errs,
		}
	}
	list := op("listWebhooks", http.MethodGet, "", "Webhooks")
	list.Sorts = []string{"webhookId", "createTime", "name"}
	registerList(s, list, p.list)
	create := op("createWebhook", http.MethodPost, "", "Create a webhook; its secret is shown only here", evcs.CodeTenantNotFound)
	create.Said, create.Secret, create.ReadOnly = created, true, []any{api.Webhook{}}
	create.Description = "Events are posted in order, signed, and tried again for three days. They are sent with what the webhook's owner may read at that time; the owner is who created it, or changed last where or what it sends. " +
		"Addresses that resolve to loopback, link-local, private or reserved networks are refused unless the settings open them (outbound.allowCidr)."
	register(s, create, p.create)
	register(s, op("getWebhook", http.MethodGet, "/{webhookId}", "One webhook", evcs.CodeWebhookNotFound), p.get)
	update := op("updateWebhook", http.MethodPut, "/{webhookId}", "Change a webhook; with rotateSecret the answer shows a new secret", evcs.CodeWebhookNotFound)
	update.Secret, update.ReadOnly = true, []any{api.Webhook{}}
	update.Description = "While a webhook is disabled nothing is queued for it; redeliver with fromEventId fetches what is still kept."
	register(s, update, p.update)
	register(s, op("deleteWebhook", http.MethodDelete, "/{webhookId}", "Delete a webhook", evcs.CodeWebhookNotFound), p.remove)
	test := op("testWebhook", http.MethodPost, "/{webhookId}/test", "Post an event of type webhook.test, at once", evcs.CodeWebhookNotFound, evcs.CodeDeliveryFailed)
	test.NoReplay = true
	register(s, test, p.test)
	deliveries := op("listWebhookDeliveries", http.MethodGet, "/{webhookId}/delivery", "What was, is and could not be delivered", evcs.CodeWebhookNotFound)
	deliveries.Aliases = []string{"/api/webhook/{webhookId}/delivery/page"}
	deliveries.Sorts = []string{"deliveryId", "createTime", "eventId"}
	registerPages(s, deliveries, p.deliveries)
	register(s, op("redeliverWebhook", http.MethodPost, "/{webhookId}/redeliver", "Deliver again", evcs.CodeWebhookNotFound), p.redeliver)
}

func (p Webhooks) list(ctx context.Context, a *evcs.Actor, in *webhookFilter, page evcs.PageRequest) (evcs.Page[api.Webhook], error) {
	scope, err := in.Scope(ctx, a)
	if err != nil {
		return evcs.Page[api.Webhook]{}, err
	}
	found, err := p.Read.WebhookPage(ctx, scope, page)
	return pageOf(found, worded(ctx, webhookJSON)), err
}

func (p Webhooks) find(ctx context.Context, a *evcs.Actor, id evcs.WebhookID, needed evcs.Permission) (*webhook.Webhook, error) {
	w, err := p.Read.Webhook(ctx, evcs.Subtree(a.Tenant), id)
	if err != nil {
		return nil, err
	}
	return w, p.s.reach(ctx, a, w.Tenant, needed)
}

func (p Webhooks) create(ctx context.Context, a *evcs.Actor, in *struct{ Body api.CreateWebhook }) (*api.NewWebhook, error) {
	b := in.Body
	t, err := p.s.createFor(ctx, a, b.TenantID)
	if err != nil {
		return nil, err
	}
	w, secret, err := p.Write.Create(ctx, a, t, webhook.Change{
		Name: &b.Name, URL: &b.URL, Types: &b.Types, IncludeDescendants: boolOfFlag(b.IncludeDescendants), Enabled: boolOfFlag(b.Enabled),
	})
	if err != nil {
		return nil, err
	}
	return &api.NewWebhook{Webhook: webhookJSON(*w, inEnglish(ctx)), Secret: secret}, nil
}

func (p Webhooks) get(ctx context.Context, a *evcs.Actor, in *WebhookPath) (*api.Webhook, error) {
	w, err := p.find(ctx, a, in.WebhookID, readDescendants)
	if err != nil {
		return nil, err
	}
	return api.Ptr(webhookJSON(*w, inEnglish(ctx))), nil
}

func (p Webhooks) update(ctx context.Context, a *evcs.Actor, in *updateWebhook) (*api.NewWebhook, error) {
	b := in.Body
	found, err := p.find(ctx, a, in.WebhookID, writeDescendants)
	if err != nil {
		return nil, err
	}
	w, secret, err := p.Write.Change(ctx, a, found.Tenant, in.WebhookID, webhook.Change{
		Name: b.Name, URL: b.URL, Types: b.Types, IncludeDescendants: boolOfFlag(b.IncludeDescendants), Enabled: boolOfFlag(b.Enabled),
		Rotate: b.RotateSecret != nil && bool(*b.RotateSecret), Version: b.Version,
	})
	if err != nil {
		return nil, err
	}
	return &api.NewWebhook{Webhook: webhookJSON(*w, inEnglish(ctx)), Secret: secret}, nil
}

func (p Webhooks) remove(ctx context.Context, a *evcs.Actor, in *deleteWebhook) (*Null, error) {
	version, err := in.Version()
	if err != nil {
		return nil, err
	}
	found, err := p.find(ctx, a, in.WebhookID, writeDescendants)
	if err != nil {
		return nil, err
	}
	return nil, p.Write.Delete(ctx, a, found.Tenant, in.WebhookID, version)
}

func (p Webhooks) test(ctx context.Context, a *evcs.Actor, in *WebhookPath) (*api.DeliveryTrial, error) {
	found, err := p.find(ctx, a, in.WebhookID, writeDescendants)
	if err != nil {
		return nil, err
	}
	trial, err := p.Write.Test(ctx, found.Tenant, in.WebhookID)
	if err != nil {
		return nil, err
	}
	return trialJSON(trial.Status, trial.Took), nil
}

func (p Webhooks) deliveries(ctx context.Context, a *evcs.Actor, in *deliveryFilter, page evcs.PageRequest) (evcs.Page[api.WebhookDelivery], error) {
	found, err := p.find(ctx, a, in.WebhookID, readDescendants)
	if err != nil {
		return evcs.Page[api.WebhookDelivery]{}, err
	}
	if covered, err := in.covers(ctx, a, found.Tenant); err != nil || !covered {
		return evcs.Page[api.WebhookDelivery]{}, err
	}
	list, err := p.Read.DeliveryPage(ctx, evcs.Only(found.Tenant), in.WebhookID, in.State, page)
	return pageOf(list, worded(ctx, deliveryJSON)), err
}

func (p Webhooks) redeliver(ctx context.Context, a *evcs.Actor, in *redeliver) (*api.Redelivered, error) {
	b := in.Body
	if (b.FromEventID == nil) == (b.DeliveryID == nil) {
		return nil, evcs.Invalid(evcs.FieldFault{Field: "fromEventId", Message: "is required, or else deliveryId"})
	}
	found, err := p.find(ctx, a, in.WebhookID, writeDescendants)
	if err != nil {
		return nil, err
	}
	n, err := p.Write.Redeliver(ctx, a, found.Tenant, in.WebhookID, orZero(b.DeliveryID), evcs.EventID(orZero(b.FromEventID)))
	if err != nil {
		return nil, err
	}
	return &api.Redelivered{Queued: n}, nil
}

func webhookJSON(w webhook.Webhook, english bool) api.Webhook {
	return api.Webhook{
		WebhookID: int64(w.ID), TenantID: int64(w.Tenant), Name: w.Name, URL: w.URL, Types: append([]string{}, w.Types...),
		IncludeDescendants: api.Flag(w.IncludeDescendants), Enabled: api.Flag(w.Enabled), LastSuccessTime: api.AtOrNil(w.LastSuccess),
		LastError: remark(w.LastError, english), Pending: w.Pending, CreateTime: api.At(w.Created), Version: w.Version,
	}
}

func deliveryJSON(d webhook.Delivery, english bool) api.WebhookDelivery {
	out := api.WebhookDelivery{
		DeliveryID: d.ID, EventID: int64(d.Event), Type: d.Type, State: string(d.State), Attempts: d.Attempts, LastStatus: idOrNil(d.LastStatus),
		LastError: remark(d.LastError, english),
	}
	if d.State == webhook.Pending {
		out.NextTime = api.AtOrNil(d.Next)
	}
	return out
}

// EventBody words an event for a webhook, as the stream does.
func EventBody(e evcs.Event) ([]byte, error) { return json.Marshal(eventJSON(e)) }
