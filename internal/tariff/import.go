package tariff

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/tenant"
)

// What became of a plan of an import.
const (
	ImportCreated   = "CREATED"
	ImportUpdated   = "UPDATED"
	ImportUnchanged = "UNCHANGED"
)

// Imported is a plan of an import, as it is now.
type Imported struct {
	Plan   *Plan
	Action string // ImportCreated, …
}

// Batch is plans to be taken over as a whole, all of one tenant.
type Batch struct {
	Tenant evcs.TenantID
	Plans  []Plan
	// Replace lets plans take the place of those with their codes; else a taken
	// code is 3009.
	Replace bool
	// Dry stores nothing.
	Dry bool
}

var errDry = evcs.NewError(evcs.CodeInternalError, "a dry run ends here")

// Import takes over all plans of a batch, or none. A fault names the plan that
// has it.
func (c Catalog) Import(ctx context.Context, a *evcs.Actor, b Batch) ([]Imported, error) {
	if err := tenant.Reach(a, b.Tenant, true); err != nil {
		return nil, err
	}
	plans := slices.Clone(b.Plans)
	codes := make(map[string]bool, len(plans))
	for i := range plans {
		if codes[plans[i].Code] {
			return nil, evcs.Invalid(evcs.FieldFault{Field: fmt.Sprintf("plans[%d].code", i), Message: "is given twice"})
		}
		codes[plans[i].Code] = true
		if err := plans[i].normalize(); err != nil {
			return nil, within(i, err)
		}
	}
	var done []Imported
	err := c.Transact(ctx, func(tx Tx) error {
		done = make([]Imported, len(plans))
		for i, p := range plans {
			p.Tenant = b.Tenant
			var err error
			if done[i], err = c.take(ctx, tx, a, p, b.Replace); err != nil {
				return within(i, err)
			}
		}
		if b.Dry {
			return errDry
		}
		return nil
	})
	if err != nil && !errors.Is(err, errDry) {
		return nil, err
	}
	return done, nil
}

// take takes over one normalised plan.
func (c Catalog) take(ctx context.Context, tx Tx, a *evcs.Actor, p Plan, replace bool) (Imported, error) {
	old, err := tx.Tariffs().PlanByCode(ctx, evcs.Only(p.Tenant), p.Code)
	switch {
	case isMissing(err):
		made, err := c.create(ctx, tx, a, p)
		return Imported{made, ImportCreated}, err
	case err != nil:
		return Imported{}, err
	case !replace:
		return Imported{}, evcs.With(ErrCodeExists, map[string]any{"code": p.Code})
	case old.Station != p.Station:
		return Imported{}, evcs.Invalid(evcs.FieldFault{Field: "stationId", Message: "is fixed at creation"})
	case old.says(&p):
		return Imported{old, ImportUnchanged}, nil
	}
	made, err := c.change(ctx, tx, a, old, func(v *Plan) error {
		v.Name, v.Enabled, v.Default, v.Priority, v.StartDate, v.EndDate = p.Name, p.Enabled, p.Default, p.Priority, p.StartDate, p.EndDate
		v.Segments, v.Calendars, v.Fees, v.Remark = p.Segments, p.Calendars, p.Fees, p.Remark
		return nil
	})
	return Imported{made, ImportUpdated}, err
}

// says reports whether the plan holds everything that another does.
func (p *Plan) says(o *Plan) bool {
	return p.Name == o.Name && p.Enabled == o.Enabled && p.Default == o.Default && p.Priority == o.Priority && p.StartDate == o.StartDate &&
		p.EndDate == o.EndDate && same(p.Remark, o.Remark) && p.costs(o)
}

// within names the plan of a batch in the faults of an error.
func within(i int, err error) error {
	_, facts, _ := evcs.Classify(err)
	faults, have := facts["errors"].([]evcs.FieldFault)
	if !have {
		return err
	}
	faults = slices.Clone(faults)
	for j := range faults {
		faults[j].Field = fmt.Sprintf("plans[%d].%s", i, faults[j].Field)
	}
	if errors.Is(err, ErrSegments) {
		return invalid(faults...)
	}
	return evcs.Invalid(faults...)
}

// SetHolidays says what days of a tenant count as, in the place of what was
// known of them. Plans with calendars are frozen anew; running orders keep what
// they were frozen with. It returns how many plans that were.
func (c Catalog) SetHolidays(ctx context.Context, a *evcs.Actor, owner evcs.TenantID, days []Holiday) (int, error) {
	if err := checkHolidays(days); err != nil {
		return 0, err
	}
	frozen := 0
	err := c.holidays(ctx, a, owner, map[string]any{"set": days}, &frozen, func(tx Tx) error {
		if err := tx.Tariffs().SetHolidays(ctx, owner, days, c.Clock.Now()); err != nil {
			return err
		}
		all, err := tx.Tariffs().Holidays(ctx, evcs.Only(owner), "", "")
		if err == nil && len(all) > MaxHolidays {
			return evcs.Invalid(evcs.FieldFault{Field: "days", Message: fmt.Sprintf("at most %d special days are kept for a tenant", MaxHolidays)})
		}
		return err
	})
	return frozen, err
}

func checkHolidays(days []Holiday) error {
	var faults []evcs.FieldFault
	seen := make(map[string]bool, len(days))
	for i, d := range days {
		field := fmt.Sprintf("days[%d]", i)
		if _, err := time.Parse(time.DateOnly, d.Date); err != nil {
			faults = append(faults, evcs.FieldFault{Field: field + ".date", Message: "is not a date: yyyy-MM-dd"})
		}
		if seen[d.Date] {
			faults = append(faults, evcs.FieldFault{Field: field + ".date", Message: "is given twice"})
		}
		if !d.CountsAs.known() {
			faults = append(faults, evcs.FieldFault{Field: field + ".countsAs", Message: "is MON to SUN or HOLIDAY"})
		}
		seen[d.Date] = true
	}
	return evcs.Invalid(faults...)
}

// ClearHolidays forgets the special days of a tenant from a date to another,
// both included, and returns how many they were and how many plans were frozen
// anew.
func (c Catalog) ClearHolidays(ctx context.Context, a *evcs.Actor, owner evcs.TenantID, from, to string) (removed int64, frozen int, err error) {
	err = c.holidays(ctx, a, owner, map[string]any{"clear": from + ".." + to}, &frozen, func(tx Tx) (err error) {
		removed, err = tx.Tariffs().ClearHolidays(ctx, owner, from, to)
		return err
	})
	return removed, frozen, err
}

// holidays makes a change of a tenant's special days and freezes its plans with
// calendars anew when they became others.
func (c Catalog) holidays(ctx context.Context, a *evcs.Actor, owner evcs.TenantID, what map[string]any, frozen *int, change func(Tx) error) error {
	if err := tenant.Reach(a, owner, true); err != nil {
		return err
	}
	return c.Transact(ctx, func(tx Tx) error {
		*frozen = 0 // of an earlier try
		if _, err := tx.Tenants().LockChain(ctx, owner); err != nil {
			return err
		}
		before, err := tx.Tariffs().Holidays(ctx, evcs.Only(owner), "", "")
		if err != nil {
			return err
		}
		if err := change(tx); err != nil {
			return err
		}
		after, err := tx.Tariffs().Holidays(ctx, evcs.Only(owner), "", "")
		if err != nil {
			return err
		}
		if !slices.Equal(before, after) {
			if *frozen, err = c.refreeze(ctx, tx, owner); err != nil {
				return err
			}
		}
		return tenant.Audit(ctx, tx.Tenants(), a, tenant.AuditRow{
			Target: owner, TargetType: "TENANT", TargetID: fmt.Sprint(int64(owner)), Action: tenant.UpdateSettings,
			Details: map[string]any{"holidays": what}, Success: true, At: c.Clock.Now(),
		})
	})
}

// refreeze makes a new revision of every plan with calendars.
func (c Catalog) refreeze(ctx context.Context, tx Tx, owner evcs.TenantID) (int, error) {
	plans, err := tx.Tariffs().Calendared(ctx, evcs.Only(owner))
	if err != nil {
		return 0, err
	}
	for i := range plans {
		p := &plans[i]
		p.Revision, p.Updated = p.Revision+1, c.Clock.Now()
		if err := c.freeze(ctx, tx, p); err != nil {
			return 0, err
		}
		if err := tx.Tariffs().UpdatePlan(ctx, evcs.Only(owner), p); err != nil {
			return 0, err
		}
	}
	return len(plans), nil
}
