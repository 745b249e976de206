package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/tariff"
)

// Days keeps the special days of tenants. It implements tariff.Days.
type Days struct{ q querier }

// Holidays implements tariff.Days.
func (s Days) Holidays(ctx context.Context, scope evcs.Scope, from, to string) ([]tariff.Holiday, error) {
	if to == "" {
		to = "9999-12-31"
	}
	in, tenant := scopeCond("tenant_id", scope)
	var list []tariff.Holiday
	err := s.q.each(ctx, "read holidays", func(rows *sql.Rows) error {
		var h tariff.Holiday
		err := rows.Scan(&h.Date, &h.Name, &h.CountsAs)
		list = append(list, h)
		return err
	}, `SELECT day, name, counts_as FROM holidays WHERE day >= ? AND day <= ? AND `+in+` ORDER BY tenant_id, day`, from, to, tenant)
	return list, err
}

// SetHolidays implements tariff.Days.
func (s Days) SetHolidays(ctx context.Context, owner evcs.TenantID, days []tariff.Holiday, at time.Time) error {
	for _, h := range days {
		if _, err := s.ClearHolidays(ctx, owner, h.Date, h.Date); err != nil {
			return err
		}
		if _, err := s.q.exec(ctx, "keep a holiday", `INSERT INTO holidays (tenant_id, day, name, counts_as, created_at) VALUES (?, ?, ?, ?, ?)`,
			owner, h.Date, h.Name, string(h.CountsAs), evcs.Millis(at)); err != nil {
			return err
		}
	}
	return nil
}

// ClearHolidays implements tariff.Days.
func (s Days) ClearHolidays(ctx context.Context, owner evcs.TenantID, from, to string) (int64, error) {
	return s.q.exec(ctx, "forget holidays", `DELETE FROM holidays WHERE tenant_id = ? AND day >= ? AND day <= ?`, owner, from, to)
}

// Calendared implements tariff.Days.
func (s Days) Calendared(ctx context.Context, scope evcs.Scope) ([]tariff.Plan, error) {
	cond, arg := scopeCond("p.tenant_id", scope)
	var found []tariff.Plan
	err := s.q.each(ctx, "read plans with calendars", func(rows *sql.Rows) error {
		p, err := scanPlan(rows)
		found = append(found, p)
		return err
	}, `SELECT `+planColumns+` FROM plans p WHERE p.calendars IS NOT NULL AND p.deleted_at = 0 AND `+cond+` ORDER BY p.id`, arg)
	return found, err
}
