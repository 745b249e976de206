package store

import (
	"context"
	"database/sql"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/payment"
)

// PaymentDesk implements payment.Accounts.
type PaymentDesk struct{ q querier }

const merchantColumns = `id, tenant_id, channel, name, mode, status, config, secrets, callback_token, fee_rate, created_at, updated_at, deleted_at, version`

func scanMerchant(r row) (payment.Merchant, error) {
	var m payment.Merchant
	var status, created, updated, deleted int64
	err := r.Scan(&m.ID, &m.Tenant, &m.Channel, &m.Name, &m.Mode, &status, &m.Config, &m.Sealed, &m.CallbackToken, &m.FeeRate, &created, &updated, &deleted, &m.Version)
	m.Enabled = status == 1
	m.CreatedAt, m.UpdatedAt, m.DeletedAt = evcs.FromMillis(created), evcs.FromMillis(updated), evcs.FromMillis(deleted)
	return m, err
}

// merchants reads accounts that are not deleted.
func (d PaymentDesk) merchants(ctx context.Context, what, where string, args ...any) ([]payment.Merchant, error) {
	list := []payment.Merchant{}
	err := d.q.each(ctx, what, func(rows *sql.Rows) error {
		m, err := scanMerchant(rows)
		list = append(list, m)
		return err
	}, `SELECT `+merchantColumns+` FROM merchants WHERE deleted_at = 0 AND `+where, args...)
	return list, err
}

func (d PaymentDesk) merchant(ctx context.Context, missing error, where string, args ...any) (payment.Merchant, error) {
	list, err := d.merchants(ctx, "read merchant", where, args...)
	if err != nil {
		return payment.Merchant{}, err
	}
	if len(list) == 0 {
		return payment.Merchant{}, missing
	}
	return list[0], nil
}

// Merchant implements payment.Accounts.
func (d PaymentDesk) Merchant(ctx context.Context, scope evcs.Scope, id payment.MerchantID) (payment.Merchant, error) {
	return d.merchant(ctx, evcs.With(payment.ErrNoMerchant, map[string]any{"merchantId": id}), `id = ? AND `+moneyWithin(scope), id, scope.Tenant)
}

// EnabledMerchant implements payment.Accounts.
func (d PaymentDesk) EnabledMerchant(ctx context.Context, scope evcs.Scope, channel string) (payment.Merchant, error) {
	return d.merchant(ctx, evcs.With(payment.ErrNotConfigured, map[string]any{"channel": channel}),
		`status = 1 AND channel = ? AND `+moneyWithin(scope), channel, scope.Tenant)
}

// HoldMerchant implements payment.Accounts. SQLite writes one transaction at a
// time anyway.
func (d PaymentDesk) HoldMerchant(ctx context.Context, scope evcs.Scope, channel string, id payment.MerchantID) (payment.Merchant, error) {
	held := ""
	if d.q.dollars {
		held = ` FOR SHARE`
	}
	if id != 0 {
		return d.merchant(ctx, evcs.With(payment.ErrNoMerchant, map[string]any{"merchantId": id}),
			`id = ? AND channel = ? AND `+moneyWithin(scope)+held, id, channel, scope.Tenant)
	}
	return d.merchant(ctx, evcs.With(payment.ErrNotConfigured, map[string]any{"channel": channel}),
		`status = 1 AND channel = ? AND `+moneyWithin(scope)+held, channel, scope.Tenant)
}

// MerchantByToken implements payment.Accounts: callbacks come without a tenant.
func (d PaymentDesk) MerchantByToken(ctx context.Context, channel, token string) (payment.Merchant, error) {
	return d.merchant(ctx, payment.ErrNoMerchant, `channel = ? AND callback_token = ? AND tenant_id > 0`, channel, token)
}

// MerchantsByHint implements payment.Accounts: callbacks come without a tenant.
func (d PaymentDesk) MerchantsByHint(ctx context.Context, channel, hint string, n int) ([]payment.Merchant, error) {
	return d.merchants(ctx, "read merchants of hint",
		`tenant_id > 0 AND id IN (SELECT merchant_id FROM merchant_hints WHERE channel = ? AND hint = ?) ORDER BY status DESC, id DESC LIMIT ?`, channel, hint, n)
}

// Merchants lists the accounts of a channel, enabled or not.
func (d PaymentDesk) Merchants(ctx context.Context, scope evcs.Scope, channel string) ([]payment.Merchant, error) {
	return d.merchants(ctx, "list merchants", `channel = ? AND `+moneyWithin(scope)+` ORDER BY id`, channel, scope.Tenant)
}

// MerchantsWithCertificates are up to n accounts whose channel's keys hold a
// certificate, of every tenant: somebody must see to it in time.
func (d PaymentDesk) MerchantsWithCertificates(ctx context.Context, n int) ([]payment.Merchant, error) {
	return d.merchants(ctx, "read merchants with certificates", `tenant_id > 0 AND secrets LIKE '%"expireAt"%' ORDER BY id LIMIT ?`, n)
}

var merchantListing = listing[payment.Merchant]{
	what: "list merchants", columns: merchantColumns, from: "merchants", id: "id", scan: scanMerchant,
	sorts: map[string]sortColumn{"merchantId": {expr: "id"}, "createTime": {expr: "created_at"}, "name": {expr: "name", text: true}},
}

// MerchantPage lists the accounts of scope at some channels, at all when none
// is named.
func (d PaymentDesk) MerchantPage(ctx context.Context, scope evcs.Scope, channels []string, r evcs.PageRequest) (evcs.Page[payment.Merchant], error) {
	var f filter
	f.scope("tenant_id", scope)
	f.add("deleted_at = 0")
	among(&f, "channel", channels)
	return page(ctx, d.q, merchantListing, f, r)
}

// InsertMerchant implements payment.Accounts.
func (d PaymentDesk) InsertMerchant(ctx context.Context, scope evcs.Scope, m *payment.Merchant) error {
	id, err := d.q.insertID(ctx, "insert merchant", `
		INSERT INTO merchants (tenant_id, channel, name, mode, status, config, secrets, callback_token, fee_rate, created_at, updated_at, deleted_at, version)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 1) RETURNING id`,
		scope.Tenant, m.Channel, m.Name, m.Mode, switched(m.Enabled), m.Config, m.Sealed, m.CallbackToken, m.FeeRate,
		evcs.Millis(m.CreatedAt), evcs.Millis(m.UpdatedAt))
	if err != nil {
		return err
	}
	m.ID, m.Version = payment.MerchantID(id), 1
	return d.point(ctx, scope, m)
}

func switched(on bool) int {
	if on {
		return 1
	}
	return 0
}

// UpdateMerchant implements payment.Accounts.
func (d PaymentDesk) UpdateMerchant(ctx context.Context, scope evcs.Scope, m *payment.Merchant) error {
	err := d.q.swap(ctx, "update merchant", `
		UPDATE merchants SET name = ?, mode = ?, status = ?, config = ?, secrets = ?, fee_rate = ?, updated_at = ?, deleted_at = ?, version = version + 1
		WHERE id = ? AND `+moneyWithin(scope)+` AND version = ? AND deleted_at = 0`,
		m.Name, m.Mode, switched(m.Enabled), m.Config, m.Sealed, m.FeeRate, evcs.Millis(m.UpdatedAt), evcs.Millis(m.DeletedAt), m.ID, scope.Tenant, m.Version)
	if err != nil {
		return err
	}
	m.Version++
	return d.point(ctx, scope, m)
}

// point writes by what notifications may find the account; the account's
// version serialises it.
func (d PaymentDesk) point(ctx context.Context, scope evcs.Scope, m *payment.Merchant) error {
	if _, err := d.q.exec(ctx, "forget hints of merchant", `DELETE FROM merchant_hints WHERE merchant_id = ? AND `+moneyWithin(scope), m.ID, scope.Tenant); err != nil {
		return err
	}
	if !m.DeletedAt.IsZero() {
		return nil
	}
	for _, hint := range m.Hints() {
		if _, err := d.q.exec(ctx, "write hint of merchant", `INSERT INTO merchant_hints (tenant_id, merchant_id, channel, hint) VALUES (?, ?, ?, ?)`,
			m.Tenant, m.ID, m.Channel, hint); err != nil {
			return err
		}
	}
	return nil
}

// CountMerchants implements payment.Accounts.
func (d PaymentDesk) CountMerchants(ctx context.Context, scope evcs.Scope, channel string) (n int, err error) {
	err = d.q.one(ctx, "count merchants", nil, []any{&n}, `SELECT COUNT(*) FROM merchants WHERE deleted_at = 0 AND channel = ? AND `+moneyWithin(scope), channel, scope.Tenant)
	return n, err
}

// MerchantUse implements payment.Accounts.
func (d PaymentDesk) MerchantUse(ctx context.Context, scope evcs.Scope, id payment.MerchantID) (unfinished int64, used bool, err error) {
	if err := d.q.one(ctx, "count unfinished payments", nil, []any{&unfinished},
		`SELECT COUNT(*) FROM payments WHERE merchant_id = ? AND status IN (0, 1, 4) AND `+moneyWithin(scope), id, scope.Tenant); err != nil {
		return 0, false, err
	}
	late := int64(0)
	if err := d.q.one(ctx, "count payments that may still be paid", nil, []any{&late},
		`SELECT COUNT(*) FROM payments WHERE merchant_id = ? AND status IN (3, 7) AND next_query_at > 0 AND `+moneyWithin(scope), id, scope.Tenant); err != nil {
		return 0, false, err
	}
	unfinished += late
	err = d.q.one(ctx, "look for a payment of an account", nil, []any{&used},
		`SELECT EXISTS (SELECT 1 FROM payments WHERE merchant_id = ? AND `+moneyWithin(scope)+`)`, id, scope.Tenant)
	return unfinished, used, err
}
