package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/webhook"
)

// Webhooks keeps webhooks. It implements webhook.Store.
type Webhooks struct{ q querier }

// WebhooksOf are the webhooks as the transaction sees and changes them.
func WebhooksOf(tx *Tx) Webhooks { return Webhooks{tx.q} }

// Webhooks are the committed webhooks.
func (r Reader) Webhooks() Webhooks { return Webhooks(r) }

const webhookColumns = `w.id, w.tenant_id, w.owner_id, w.name, w.url, w.types, w.include_descendants, w.enabled, w.sealed, w.last_success_at,
	w.last_error, w.created_at, w.updated_at, w.deleted_at, w.version,
	(SELECT COUNT(*) FROM webhook_deliveries d WHERE d.webhook_id = w.id AND d.state = 'PENDING')`

var webhookListing = listing[webhook.Webhook]{
	what: "list webhooks", columns: webhookColumns, from: "webhooks w", id: "w.id",
	sorts: map[string]sortColumn{"webhookId": {expr: "w.id"}, "createTime": {expr: "w.created_at"}, "name": {expr: "w.name", text: true}},
	scan:  scanWebhook,
}

func scanWebhook(r row) (webhook.Webhook, error) {
	var w webhook.Webhook
	var types string
	var success, created, updated, deleted int64
	if err := r.Scan(&w.ID, &w.Tenant, &w.Owner, &w.Name, &w.URL, &types, &w.IncludeDescendants, &w.Enabled, &w.Sealed, &success,
		&w.LastError, &created, &updated, &deleted, &w.Version, &w.Pending); err != nil {
		return w, err
	}
	w.LastSuccess, w.Created = evcs.FromMillis(success), evcs.FromMillis(created)
	w.Updated, w.Deleted = evcs.FromMillis(updated), evcs.FromMillis(deleted)
	if err := json.Unmarshal([]byte(types), &w.Types); err != nil {
		return w, fmt.Errorf("types of webhook %d: %w", w.ID, err)
	}
	return w, nil
}

// Webhook implements webhook.Store.
func (s Webhooks) Webhook(ctx context.Context, scope evcs.Scope, id evcs.WebhookID) (*webhook.Webhook, error) {
	var f filter
	f.scope("w.tenant_id", scope)
	f.add("w.id = ?", id)
	f.add("w.deleted_at = 0")
	list, err := all(ctx, s.q, webhookListing, f)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, evcs.With(webhook.ErrNotFound, map[string]any{"webhookId": id})
	}
	return &list[0], nil
}

// WebhookPage lists the webhooks of a scope.
func (s Webhooks) WebhookPage(ctx context.Context, scope evcs.Scope, r evcs.PageRequest) (evcs.Page[webhook.Webhook], error) {
	var f filter
	f.scope("w.tenant_id", scope)
	f.add("w.deleted_at = 0")
	return page(ctx, s.q, webhookListing, f, r)
}

// Count implements webhook.Store.
func (s Webhooks) Count(ctx context.Context, scope evcs.Scope) (int, error) {
	in, tenant := scopeCond("tenant_id", scope)
	n := 0
	err := s.q.one(ctx, "count webhooks", sql.ErrNoRows, []any{&n}, `SELECT COUNT(*) FROM webhooks WHERE deleted_at = 0 AND `+in, tenant)
	return n, err
}

func webhookValues(w *webhook.Webhook) ([]any, error) {
	types, err := json.Marshal(append([]string{}, w.Types...))
	if err != nil {
		return nil, fmt.Errorf("encode types: %w", err)
	}
	return []any{
		w.Owner, w.Name, w.URL, string(types), w.IncludeDescendants, w.Enabled, w.Sealed, evcs.Millis(w.Updated), evcs.Millis(w.Deleted),
	}, nil
}

// Insert implements webhook.Store.
func (s Webhooks) Insert(ctx context.Context, w *webhook.Webhook) error {
	values, err := webhookValues(w)
	if err != nil {
		return err
	}
	id, err := s.q.insertID(ctx, "insert webhook", `
		INSERT INTO webhooks (owner_id, name, url, types, include_descendants, enabled, sealed, updated_at, deleted_at, tenant_id, created_at,
			last_success_at, last_error, claimed_until, version)
		VALUES (`+binds(11)+`, 0, '', 0, 1) RETURNING id`, append(values, w.Tenant, evcs.Millis(w.Created))...)
	w.ID, w.Version = evcs.WebhookID(id), 1
	return err
}

// Update implements webhook.Store.
func (s Webhooks) Update(ctx context.Context, w *webhook.Webhook) error {
	values, err := webhookValues(w)
	if err != nil {
		return err
	}
	err = s.q.swap(ctx, "update webhook", `UPDATE webhooks SET owner_id = ?, name = ?, url = ?, types = ?, include_descendants = ?, enabled = ?,
		sealed = ?, updated_at = ?, deleted_at = ?, version = version + 1
		WHERE id = ? AND tenant_id = ? AND version = ? AND deleted_at = 0`, append(values, w.ID, w.Tenant, w.Version)...)
	if err == nil {
		w.Version++
	}
	return err
}

// Note implements webhook.Store.
func (s Webhooks) Note(ctx context.Context, w *webhook.Webhook, at time.Time, failure string) error {
	set, args := `last_error = ?`, []any{failure}
	if failure == "" {
		set, args = `last_error = '', last_success_at = ?`, []any{evcs.Millis(at)}
	}
	_, err := s.q.exec(ctx, "note webhook", `UPDATE webhooks SET `+set+` WHERE id = ? AND tenant_id = ?`, append(args, w.ID, w.Tenant)...)
	return err
}

// Again implements webhook.Store.
func (s Webhooks) Again(ctx context.Context, w *webhook.Webhook, delivery int64, from evcs.EventID, now time.Time) (int64, error) {
	which, arg := `event_id >= ?`, int64(from)
	if delivery != 0 {
		which, arg = `id = ?`, delivery
	}
	return s.q.exec(ctx, "queue deliveries again", `UPDATE webhook_deliveries SET state = 'PENDING', attempts = 0, first_at = 0, next_at = ?,
		created_at = ?, ended_at = 0, last_error = '', version = version + 1
		WHERE webhook_id = ? AND tenant_id = ? AND (state <> 'PENDING' OR id = ?) AND `+which, evcs.Millis(now), evcs.Millis(now), w.ID, w.Tenant, delivery, arg)
}

// Missed implements webhook.Store; whose tenant an event has is looked at
// when it is queued.
func (s Webhooks) Missed(ctx context.Context, w *webhook.Webhook, from evcs.EventID, n int) ([]evcs.Event, error) {
	var list []evcs.Event
	err := s.q.rows(ctx, "read missed events", func(rows row) error {
		e, err := scanEvent(rows)
		list = append(list, e)
		return err
	}, `SELECT `+eventColumns+` FROM outbox WHERE seq >= ? AND seq <= (SELECT place FROM outbox_readers WHERE name = 'webhooks')
		AND (tenant_id = ? OR tenant_id IN (SELECT tenant_id FROM tenant_ancestors WHERE ancestor_id = ?))
		AND NOT EXISTS (SELECT 1 FROM webhook_deliveries d WHERE d.webhook_id = ? AND d.event_id = outbox.seq) ORDER BY seq LIMIT ?`,
		from, w.Tenant, w.Tenant, w.ID, n)
	return list, err
}

// InsertDelivery implements webhook.Store.
func (s Webhooks) InsertDelivery(ctx context.Context, d *webhook.Delivery) error {
	id, err := s.q.insertID(ctx, "insert delivery", `
		INSERT INTO webhook_deliveries (tenant_id, webhook_id, event_id, type, body, event_tenant_id, state, attempts, last_status, last_error,
			first_at, next_at, created_at, ended_at, version)
		VALUES (?, ?, ?, ?, ?, ?, ?, 0, 0, '', 0, ?, ?, 0, 1) RETURNING id`,
		d.Tenant, d.Webhook, d.Event, d.Type, d.Body, d.EventTenant, d.State, evcs.Millis(d.Next), evcs.Millis(d.Created))
	d.ID, d.Version = id, 1
	return err
}

// Above implements webhook.Store.
func (s Webhooks) Above(ctx context.Context, t evcs.TenantID) ([]evcs.TenantID, error) {
	var list []evcs.TenantID
	err := s.q.rows(ctx, "read ancestors", func(rows row) error {
		var id evcs.TenantID
		err := rows.Scan(&id)
		list = append(list, id)
		return err
	}, `SELECT ancestor_id FROM tenant_ancestors WHERE tenant_id = ? ORDER BY depth`, t)
	return list, err
}

// WebhookQueue is the queue of deliveries. It implements webhook.Queue and,
// committed, webhook.Reads.
type WebhookQueue struct {
	Outbox
	q querier
}

// WebhookQueueOf is the queue in the transaction.
func WebhookQueueOf(tx *Tx) WebhookQueue { return WebhookQueue{Outbox{tx.q}, tx.q} }

// WebhookQueue is the committed queue.
func (r Reader) WebhookQueue() WebhookQueue { return WebhookQueue{Outbox(r), r.q} }

const deliveryColumns = `d.id, d.tenant_id, d.webhook_id, d.event_id, d.type, d.body, d.event_tenant_id, d.state, d.attempts, d.last_status,
	d.last_error, d.first_at, d.next_at, d.created_at, d.ended_at, d.version`

var deliveryListing = listing[webhook.Delivery]{
	what: "list deliveries", columns: deliveryColumns, from: "webhook_deliveries d", id: "d.id",
	sorts: map[string]sortColumn{"deliveryId": {expr: "d.id"}, "createTime": {expr: "d.created_at"}, "eventId": {expr: "d.event_id"}},
	scan: func(r row) (webhook.Delivery, error) {
		var d webhook.Delivery
		var first, next, created, ended int64
		err := r.Scan(&d.ID, &d.Tenant, &d.Webhook, &d.Event, &d.Type, &d.Body, &d.EventTenant, &d.State, &d.Attempts, &d.LastStatus,
			&d.LastError, &first, &next, &created, &ended, &d.Version)
		d.First, d.Next, d.Created, d.Ended = evcs.FromMillis(first), evcs.FromMillis(next), evcs.FromMillis(created), evcs.FromMillis(ended)
		return d, err
	},
}

// DeliveryPage lists the deliveries of a webhook.
func (s Webhooks) DeliveryPage(ctx context.Context, scope evcs.Scope, id evcs.WebhookID, states []string, r evcs.PageRequest) (evcs.Page[webhook.Delivery], error) {
	var f filter
	f.scope("d.tenant_id", scope)
	f.add("d.webhook_id = ?", id)
	among(&f, "d.state", states)
	return page(ctx, s.q, deliveryListing, f, r)
}

// Any implements webhook.Reads; it serves every tenant.
func (s WebhookQueue) Any(ctx context.Context) (bool, error) {
	found := false
	err := s.q.one(ctx, "look for webhooks", nil, []any{&found}, `SELECT EXISTS (SELECT 1 FROM webhooks WHERE enabled AND deleted_at = 0)`)
	return found, err
}

// Due implements webhook.Reads; it serves every tenant.
func (s WebhookQueue) Due(ctx context.Context, now time.Time, n int) ([]evcs.WebhookID, error) {
	var list []evcs.WebhookID
	err := s.q.rows(ctx, "read due webhooks", func(rows row) error {
		var id evcs.WebhookID
		err := rows.Scan(&id)
		list = append(list, id)
		return err
	}, `SELECT w.id FROM webhooks w WHERE w.enabled AND w.deleted_at = 0 AND w.claimed_until <= ? AND (SELECT d.next_at FROM webhook_deliveries d
		WHERE d.webhook_id = w.id AND d.state = 'PENDING' ORDER BY d.event_id, d.id LIMIT 1) <= ? ORDER BY w.id LIMIT ?`,
		evcs.Millis(now), evcs.Millis(now), n)
	return list, err
}

// Enabled implements webhook.Queue; it serves every tenant.
func (s WebhookQueue) Enabled(ctx context.Context) ([]webhook.Webhook, error) {
	var f filter
	f.add("w.enabled")
	f.add("w.deleted_at = 0")
	return all(ctx, s.q, webhookListing, f)
}

// Claim implements webhook.Queue; it serves every tenant.
func (s WebhookQueue) Claim(ctx context.Context, id evcs.WebhookID, now, until time.Time) (*webhook.Webhook, bool, error) {
	n, err := s.q.exec(ctx, "claim webhook", `UPDATE webhooks SET claimed_until = ? WHERE id = ? AND claimed_until <= ? AND enabled AND deleted_at = 0`,
		evcs.Millis(until), id, evcs.Millis(now))
	if err != nil || n == 0 {
		return nil, false, err
	}
	var f filter
	f.add("w.id = ?", id)
	list, err := all(ctx, s.q, webhookListing, f)
	if err != nil || len(list) == 0 {
		return nil, false, err
	}
	return &list[0], true, nil
}

// Release implements webhook.Queue; it serves every tenant.
func (s WebhookQueue) Release(ctx context.Context, id evcs.WebhookID) error {
	_, err := s.q.exec(ctx, "release webhook", `UPDATE webhooks SET claimed_until = 0 WHERE id = ?`, id)
	return err
}

// Head implements webhook.Queue; it is the webhook's tenant's.
func (s WebhookQueue) Head(ctx context.Context, id evcs.WebhookID) (*webhook.Delivery, error) {
	var found *webhook.Delivery
	err := s.q.rows(ctx, "read next delivery", func(rows row) error {
		d, err := deliveryListing.scan(rows)
		found = &d
		return err
	}, `SELECT `+deliveryColumns+` FROM webhook_deliveries d WHERE d.webhook_id = ? AND d.state = 'PENDING' ORDER BY d.event_id, d.id LIMIT 1`, id)
	return found, err
}

// UpdateDelivery implements webhook.Queue.
func (s WebhookQueue) UpdateDelivery(ctx context.Context, d *webhook.Delivery) error {
	err := s.q.swap(ctx, "update delivery", `UPDATE webhook_deliveries SET state = ?, attempts = ?, last_status = ?, last_error = ?, first_at = ?,
		next_at = ?, ended_at = ?, version = version + 1 WHERE id = ? AND tenant_id = ? AND version = ?`,
		d.State, d.Attempts, d.LastStatus, d.LastError, evcs.Millis(d.First), evcs.Millis(d.Next), evcs.Millis(d.Ended), d.ID, d.Tenant, d.Version)
	if err == nil {
		d.Version++
	}
	return err
}

// PruneDeliveries deletes up to n deliveries that are done, of events from
// before a moment.
func PruneDeliveries(tx *Tx, ctx context.Context, before int64, n int) (int64, error) { //nolint:revive // as Tx's own methods, for the table of jobs
	return tx.q.exec(ctx, "prune deliveries",
		`DELETE FROM webhook_deliveries WHERE id IN (SELECT id FROM webhook_deliveries WHERE state <> 'PENDING' AND created_at < ? ORDER BY id LIMIT ?)`, before, n)
}
