package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/recon"
)

// ReconDifferences implements recon.Differences.
type ReconDifferences struct{ q querier }

const (
	differenceColumns = `d.id, d.tenant_id, d.batch_id, b.day, d.channel, d.key, d.kind, d.state, d.direction, d.merchant_id, d.order_id,
	COALESCE(d.order_no, ''), d.payment_id, COALESCE(d.trade_no, ''), COALESCE(d.refund_no, ''), COALESCE(d.channel_trade_no, ''), d.local_amount,
	d.channel_amount, d.local_fee, d.channel_fee, COALESCE(d.local_status, ''), COALESCE(d.channel_status, ''), d.local_at, d.channel_at, d.facets,
	COALESCE(d.suspended_until, ''), d.local_raw, d.channel_raw, d.resolution, d.created_at, d.updated_at, d.version,
	d.local_energy, d.channel_energy`
	differenceTables = `recon_differences d JOIN recon_batches b ON b.id = d.batch_id`
)

func scanDifference(r row) (recon.Difference, error) {
	var d recon.Difference
	var facets, resolution string
	var local, channel, created, updated int64
	if err := r.Scan(&d.ID, &d.Tenant, &d.Batch, &d.Day, &d.Channel, &d.Key, &d.Kind, &d.State, &d.Direction, &d.Merchant, &d.Order, &d.OrderNo, &d.Payment,
		&d.TradeNo, &d.RefundNo, &d.ChannelNo, &d.LocalAmount, &d.ChannelAmount, &d.LocalFee, &d.ChannelFee, &d.LocalStatus, &d.ChannelStatus,
		&local, &channel, &facets, &d.SuspendedUntil, &d.LocalRaw, &d.ChannelRaw, &resolution, &created, &updated, &d.Version,
		&d.LocalEnergy, &d.ChannelEnergy); err != nil {
		return d, err
	}
	// A side that succeeded has a time, and no other.
	d.LocalDone, d.ChannelDone = local > 0, channel > 0
	d.LocalAt, d.ChannelAt = evcs.FromMillis(local), evcs.FromMillis(channel)
	d.CreatedAt, d.UpdatedAt = evcs.FromMillis(created), evcs.FromMillis(updated)
	if err := json.Unmarshal([]byte(facets), &d.Facets); err != nil {
		return d, fmt.Errorf("read facets: %w", err)
	}
	if resolution == "" {
		return d, nil
	}
	if err := json.Unmarshal([]byte(resolution), &d.Resolution); err != nil {
		return d, fmt.Errorf("read resolution: %w", err)
	}
	return d, nil
}

func (s ReconDifferences) differences(ctx context.Context, what, where string, args ...any) ([]recon.Difference, error) {
	list := []recon.Difference{}
	err := s.q.each(ctx, what, func(rows *sql.Rows) error {
		d, err := scanDifference(rows)
		list = append(list, d)
		return err
	}, `SELECT `+differenceColumns+` FROM `+differenceTables+` WHERE `+where, args...)
	return list, err
}

// Difference implements recon.Differences.
func (s ReconDifferences) Difference(ctx context.Context, scope evcs.Scope, id evcs.DifferenceID) (recon.Difference, error) {
	in, tenant := scopeCond("d.tenant_id", scope)
	list, err := s.differences(ctx, "read difference", `d.id = ? AND `+in, id, tenant)
	if err != nil {
		return recon.Difference{}, err
	}
	if len(list) == 0 {
		return recon.Difference{}, evcs.With(recon.ErrNoDiff, map[string]any{"differenceId": id})
	}
	return list[0], nil
}

// DifferencesOf implements recon.Differences.
func (s ReconDifferences) DifferencesOf(ctx context.Context, scope evcs.Scope, b evcs.BatchID) ([]recon.Difference, error) {
	in, tenant := scopeCond("d.tenant_id", scope)
	return s.differences(ctx, "read differences of batch", `d.batch_id = ? AND `+in+` ORDER BY d.id`, b, tenant)
}

// Suspense implements recon.Differences.
func (s ReconDifferences) Suspense(ctx context.Context, scope evcs.Scope, channel, before string, since time.Time) ([]recon.Difference, error) {
	in, tenant := scopeCond("d.tenant_id", scope)
	return s.differences(ctx, "read suspense", in+` AND d.channel = ? AND (d.kind = 'LOCAL_ONLY' OR d.kind = 'CHANNEL_ONLY' AND d.facets LIKE '%"LATER_DAY"%') AND b.day < ?
		AND (d.state IN ('SUSPENDED', 'OPEN', 'PENDING_REVIEW') OR d.updated_at >= ?) ORDER BY d.id`, tenant, channel, before, evcs.Millis(since))
}

// differenceTexts are the facets and the resolution as they are stored.
func differenceTexts(d *recon.Difference) (facets, resolution string, err error) {
	list, err := json.Marshal(append([]string{}, d.Facets...))
	if err != nil || d.Resolution == nil {
		return string(list), "", err
	}
	text, err := json.Marshal(d.Resolution)
	return string(list), string(text), err
}

// InsertDifference implements recon.Differences.
func (s ReconDifferences) InsertDifference(ctx context.Context, d *recon.Difference) error {
	facets, resolution, err := differenceTexts(d)
	if err != nil {
		return err
	}
	id, err := s.q.insertID(ctx, "insert difference", `
		INSERT INTO recon_differences (tenant_id, batch_id, channel, key, kind, state, direction, merchant_id, order_id, order_no, payment_id, trade_no,
			refund_no, channel_trade_no, local_amount, channel_amount, local_fee, channel_fee, local_status, channel_status, local_at, channel_at, facets,
			suspended_until, local_raw, channel_raw, resolution, created_at, updated_at, version, local_energy, channel_energy)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?, ?) RETURNING id`,
		d.Tenant, d.Batch, d.Channel, d.Key, d.Kind, d.State, d.Direction, d.Merchant, d.Order, nullText(d.OrderNo), d.Payment, nullText(d.TradeNo),
		nullText(d.RefundNo), nullText(d.ChannelNo), d.LocalAmount, d.ChannelAmount, d.LocalFee, d.ChannelFee, nullText(d.LocalStatus),
		nullText(d.ChannelStatus), evcs.Millis(d.LocalAt), evcs.Millis(d.ChannelAt), facets, nullText(d.SuspendedUntil), d.LocalRaw, d.ChannelRaw,
		resolution, evcs.Millis(d.CreatedAt), evcs.Millis(d.UpdatedAt), d.LocalEnergy, d.ChannelEnergy)
	d.ID, d.Version = evcs.DifferenceID(id), 1
	return err
}

// UpdateDifference implements recon.Differences.
func (s ReconDifferences) UpdateDifference(ctx context.Context, scope evcs.Scope, d *recon.Difference) error {
	facets, resolution, err := differenceTexts(d)
	if err != nil {
		return err
	}
	in, tenant := scopeCond("tenant_id", scope)
	err = s.q.swap(ctx, "update difference", `
		UPDATE recon_differences SET state = ?, order_id = ?, order_no = ?, payment_id = ?, trade_no = ?, channel_trade_no = ?, local_amount = ?,
			channel_amount = ?, local_fee = ?, channel_fee = ?, local_status = ?, channel_status = ?, local_at = ?, channel_at = ?, facets = ?,
			suspended_until = ?, local_raw = ?, channel_raw = ?, resolution = ?, updated_at = ?, local_energy = ?, channel_energy = ?,
			version = version + 1
		WHERE id = ? AND `+in+` AND version = ?`,
		d.State, d.Order, nullText(d.OrderNo), d.Payment, nullText(d.TradeNo), nullText(d.ChannelNo), d.LocalAmount, d.ChannelAmount, d.LocalFee,
		d.ChannelFee, nullText(d.LocalStatus), nullText(d.ChannelStatus), evcs.Millis(d.LocalAt), evcs.Millis(d.ChannelAt), facets,
		nullText(d.SuspendedUntil), d.LocalRaw, d.ChannelRaw, resolution, evcs.Millis(d.UpdatedAt), d.LocalEnergy, d.ChannelEnergy, d.ID, tenant, d.Version)
	if err == nil {
		d.Version++
	}
	return err
}

var differenceListing = listing[recon.Difference]{
	what: "list differences", columns: differenceColumns, from: differenceTables, id: "d.id", scan: scanDifference,
	sorts: map[string]sortColumn{"differenceId": {expr: "d.id"}, "createTime": {expr: "d.created_at"}},
}

// DifferencePage lists differences.
func (s ReconDifferences) DifferencePage(ctx context.Context, scope evcs.Scope, w recon.DifferenceFilter, r evcs.PageRequest) (evcs.Page[recon.Difference], error) {
	var f filter
	f.scope("d.tenant_id", scope)
	if w.Batch != 0 {
		f.add("d.batch_id = ?", w.Batch)
	}
	f.exact("d.channel", w.Channel)
	among(&f, "d.kind", w.Kinds)
	among(&f, "d.state", w.States)
	if w.Order != 0 {
		f.add("d.order_id = ?", w.Order)
	}
	f.exact("d.trade_no", w.TradeNo)
	if !w.CreatedUntil.IsZero() {
		f.add("d.created_at <= ?", evcs.Millis(w.CreatedUntil))
	}
	return page(ctx, s.q, differenceListing, f, r)
}

// Aged lists up to n differences, of every tenant, that have been OPEN since a
// moment or longer: the job that raises alerts serves all.
func (s ReconDifferences) Aged(ctx context.Context, since time.Time, n int) ([]recon.Difference, error) {
	return s.differences(ctx, "read aged differences", `d.state = 'OPEN' AND d.updated_at <= ? AND d.tenant_id > 0 ORDER BY d.id LIMIT ?`, evcs.Millis(since), n)
}
