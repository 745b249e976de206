package station

import (
	"strings"

	"github.com/evcs/evcs/internal/tenant"
)

// differs is what a change of a station did, for the audit record.
func (s *Station) differs(before *Station) map[string]any {
	d := map[string]any{"stationCode": s.Code}
	tenant.Differ(d, "stationCode", before.Code, s.Code)
	tenant.Differ(d, "stationName", before.Name, s.Name)
	tenant.Differ(d, "address", before.Address, s.Address)
	tenant.Differ(d, "status", before.Enabled, s.Enabled)
	tenant.Differ(d, "stationType", before.Type, s.Type)
	tenant.Differ(d, "facilities", strings.Join(before.Facilities, ","), strings.Join(s.Facilities, ","))
	differOpt(d, "latitude", before.Latitude, s.Latitude)
	differOpt(d, "longitude", before.Longitude, s.Longitude)
	for _, f := range []struct {
		name          string
		before, after *string
	}{
		{"province", before.Province, s.Province},
		{"city", before.City, s.City},
		{"district", before.District, s.District},
		{"operatorName", before.OperatorName, s.OperatorName},
		{"operatorPhone", before.OperatorPhone, s.OperatorPhone},
		{"serviceHours", before.ServiceHours, s.ServiceHours},
		{"timeZone", before.TimeZone, s.TimeZone},
		{"remark", before.Remark, s.Remark},
	} {
		differOpt(d, f.name, f.before, f.after)
	}
	return d
}

// differs is what a change of a charger did, for the audit record.
func (c *Charger) differs(before *Charger) map[string]any {
	d := map[string]any{"chargerCode": c.Code}
	tenant.Differ(d, "chargerCode", before.Code, c.Code)
	tenant.Differ(d, "chargerName", before.Name, c.Name)
	tenant.Differ(d, "chargerType", before.Type, c.Type)
	tenant.Differ(d, "ratedPower", int64(before.RatedPower), int64(c.RatedPower))
	tenant.Differ(d, "billingPlanId", before.Plan, c.Plan)
	tenant.Differ(d, "protocol", before.Protocol, c.Protocol)
	differOpt(d, "gunTypes", before.GunTypes, c.GunTypes)
	differOpt(d, "remark", before.Remark, c.Remark)
	return d
}

// differOpt is tenant.Differ for what may be absent.
func differOpt[T comparable](d map[string]any, name string, before, after *T) {
	switch {
	case before == nil && after == nil:
	case before == nil || after == nil || *before != *after:
		d[name] = map[string]any{"before": before, "after": after}
	}
}
