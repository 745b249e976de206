package tariff

import (
	"context"
	"errors"
	"slices"
	"strconv"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/station"
	"github.com/evcs/evcs/internal/tenant"
)

// Tx is the part of a transaction that the catalog needs.
type Tx interface {
	Tenants() tenant.Store
	Stations() station.Store
	Tariffs() Store
}

// Catalog is the verbs of billing plans. Each is one transaction with its audit
// row.
type Catalog struct {
	Transact func(ctx context.Context, fn func(Tx) error) error
	Clock    evcs.Clock
	// Touched is told of a charger whose plan changed, after the commit, so that
	// what is kept of it in memory is read again.
	Touched func(evcs.ChargerID)
}

// Create adds a plan at its first revision and freezes its prices. Segments are
// normalised here. A taken code is 3009, a station of another tenant 1002, too
// many enabled plans 3011.
func (c Catalog) Create(ctx context.Context, a *evcs.Actor, p Plan) (*Plan, error) {
	if err := p.normalize(); err != nil {
		return nil, err
	}
	if err := tenant.Reach(a, p.Tenant, true); err != nil {
		return nil, err
	}
	var made *Plan
	err := c.Transact(ctx, func(tx Tx) (err error) {
		made, err = c.create(ctx, tx, a, p)
		return err
	})
	return made, err
}

// create adds a normalised plan.
func (c Catalog) create(ctx context.Context, tx Tx, a *evcs.Actor, p Plan) (*Plan, error) {
	made := p
	made.Revision, made.Created, made.Updated = 1, c.Clock.Now(), c.Clock.Now()
	if err := c.fits(ctx, tx, &made); err != nil {
		return nil, err
	}
	if made.Default {
		if err := c.unmark(ctx, tx, &made); err != nil {
			return nil, err
		}
	}
	if err := tx.Tariffs().InsertPlan(ctx, &made); err != nil {
		return nil, err
	}
	if err := c.freeze(ctx, tx, &made); err != nil {
		return nil, err
	}
	if err := tx.Tariffs().UpdatePlan(ctx, evcs.Only(made.Tenant), &made); err != nil {
		return nil, err
	}
	return &made, c.audit(ctx, tx, a, &made, "CREATE_BILLING_PLAN", nil)
}

// normalize checks what the plan says by itself and puts its segments in order:
// 3010, or 9400.
func (p *Plan) normalize() error {
	var err error
	if p.Segments, err = Normalize(p.Segments); err != nil {
		return err
	}
	if p.Calendars, err = NormalizeCalendars(p.Calendars); err != nil {
		return err
	}
	var faults []evcs.FieldFault
	if p.StartDate != "" && p.EndDate != "" && p.EndDate < p.StartDate {
		faults = append(faults, evcs.FieldFault{Field: "effectiveEndDate", Message: "lies before effectiveStartDate"})
	}
	if f := p.Fees; f.Min != nil && f.Max != nil && *f.Max < *f.Min {
		faults = append(faults, evcs.FieldFault{Field: "maxAmount", Message: "is less than minAmount"})
	}
	return evcs.Invalid(faults...)
}

// fits refuses a taken code, a foreign station and too many enabled plans.
func (c Catalog) fits(ctx context.Context, tx Tx, p *Plan) error {
	scope := evcs.Only(p.Tenant)
	if same, err := tx.Tariffs().PlanByCode(ctx, scope, p.Code); err == nil && same.ID != p.ID {
		return evcs.With(ErrCodeExists, map[string]any{"code": p.Code})
	} else if err != nil && !isMissing(err) {
		return err
	}
	if p.Station != 0 {
		if _, err := tx.Stations().Station(ctx, scope, p.Station); err != nil {
			return err
		}
	}
	if !p.Enabled && len(p.Calendars) == 0 {
		return nil
	}
	// One at a time: the count below and the tenant's holidays are nobody else's
	// to change.
	if _, err := tx.Tenants().LockChain(ctx, p.Tenant); err != nil || !p.Enabled {
		return err
	}
	plans, err := tx.Tariffs().Enabled(ctx, scope, p.Station)
	if err != nil {
		return err
	}
	others := 0
	for i := range plans {
		if plans[i].Station == p.Station && plans[i].ID != p.ID {
			others++
		}
	}
	if others >= maxEnabled {
		return evcs.With(ErrLimit, map[string]any{"limit": maxEnabled})
	}
	return nil
}

// freeze stores the plan's present prices as the snapshot of its revision.
func (c Catalog) freeze(ctx context.Context, tx Tx, p *Plan) error {
	s := Snapshot{
		Tenant: p.Tenant, Plan: p.ID, PlanCode: p.Code, PlanName: p.Name, Revision: p.Revision, Segments: p.Segments, Calendars: p.Calendars,
		Fees: p.Fees, Created: p.Updated,
	}
	if len(p.Calendars) > 0 {
		var err error
		if s.Holidays, err = tx.Tariffs().Holidays(ctx, evcs.Only(p.Tenant), "", ""); err != nil {
			return err
		}
	}
	if err := tx.Tariffs().Freeze(ctx, &s); err != nil {
		return err
	}
	p.Snapshot = s.ID
	return nil
}

// Update changes a plan; change is given the present one and alters it. When
// prices changed, the revision is counted up and frozen; running orders keep
// theirs. want is the version the caller saw, nil: whatever it is (9409).
func (c Catalog) Update(ctx context.Context, a *evcs.Actor, id evcs.PlanID, want *int64, change func(*Plan) error) (*Plan, error) {
	var made *Plan
	err := c.Transact(ctx, func(tx Tx) error {
		p, err := c.load(ctx, tx, a, id, want)
		if err != nil {
			return err
		}
		made, err = c.change(ctx, tx, a, p, change)
		return err
	})
	return made, err
}

func (c Catalog) change(ctx context.Context, tx Tx, a *evcs.Actor, p *Plan, change func(*Plan) error) (*Plan, error) {
	old := *p
	if err := change(p); err != nil {
		return nil, err
	}
	if err := p.normalize(); err != nil {
		return nil, err
	}
	if err := c.fits(ctx, tx, p); err != nil {
		return nil, err
	}
	p.Updated = c.Clock.Now()
	if p.Default && !old.Default {
		if err := c.unmark(ctx, tx, p); err != nil {
			return nil, err
		}
	}
	if !p.costs(&old) {
		p.Revision++
		if err := c.freeze(ctx, tx, p); err != nil {
			return nil, err
		}
	}
	if err := tx.Tariffs().UpdatePlan(ctx, evcs.Only(p.Tenant), p); err != nil {
		return nil, err
	}
	return p, c.audit(ctx, tx, a, p, "UPDATE_BILLING_PLAN", p.changes(&old))
}

// changes is what became of the plan, before and after, under the contract's
// names. The prices of both revisions are in their snapshots, for ever.
func (p *Plan) changes(old *Plan) map[string]any {
	d := map[string]any{"revision": p.Revision}
	tenant.Differ(d, "revision", old.Revision, p.Revision)
	tenant.Differ(d, "tariffSnapshotId", int64(old.Snapshot), int64(p.Snapshot))
	tenant.Differ(d, "name", old.Name, p.Name)
	tenant.Differ(d, "code", old.Code, p.Code)
	tenant.Differ(d, "enabled", old.Enabled, p.Enabled)
	tenant.Differ(d, "isDefault", old.Default, p.Default)
	tenant.Differ(d, "priority", old.Priority, p.Priority)
	tenant.Differ(d, "effectiveStartDate", old.StartDate, p.StartDate)
	tenant.Differ(d, "effectiveEndDate", old.EndDate, p.EndDate)
	tenant.Differ(d, "startFee", shown(old.Fees.Start), shown(p.Fees.Start))
	tenant.Differ(d, "minAmount", shown(old.Fees.Min), shown(p.Fees.Min))
	tenant.Differ(d, "maxAmount", shown(old.Fees.Max), shown(p.Fees.Max))
	tenant.Differ(d, "idleFreeMinutes", old.Fees.IdleFreeMinutes, p.Fees.IdleFreeMinutes)
	tenant.Differ(d, "idleMinutePrice", shown(old.Fees.IdleMinutePrice), shown(p.Fees.IdleMinutePrice))
	tenant.Differ(d, "idleMaxAmount", shown(old.Fees.IdleMax), shown(p.Fees.IdleMax))
	tenant.Differ(d, "parkingFreeMinutes", old.Fees.ParkingFreeMinutes, p.Fees.ParkingFreeMinutes)
	tenant.Differ(d, "parkingHourPrice", shown(old.Fees.ParkingHourPrice), shown(p.Fees.ParkingHourPrice))
	return d
}

// shown is an optional figure; "" when there is none.
func shown[T interface {
	comparable
	String() string
}](v *T) string {
	if v == nil {
		return ""
	}
	return (*v).String()
}

// costs reports whether the plan prices as another one does.
func (p *Plan) costs(o *Plan) bool {
	return slices.Equal(p.Segments, o.Segments) && sameCalendars(p.Calendars, o.Calendars) && sameFees(p.Fees, o.Fees)
}

func sameFees(a, b Fees) bool {
	return same(a.Start, b.Start) && same(a.Min, b.Min) && same(a.Max, b.Max) && a.IdleFreeMinutes == b.IdleFreeMinutes && a.ParkingFreeMinutes == b.ParkingFreeMinutes &&
		same(a.IdleMinutePrice, b.IdleMinutePrice) && same(a.IdleMax, b.IdleMax) && same(a.ParkingHourPrice, b.ParkingHourPrice)
}

func same[T comparable](a, b *T) bool {
	return a == nil && b == nil || a != nil && b != nil && *a == *b
}

// load finds the plan in the actor's subtree, for a change.
func (c Catalog) load(ctx context.Context, tx Tx, a *evcs.Actor, id evcs.PlanID, want *int64) (*Plan, error) {
	p, err := tx.Tariffs().Plan(ctx, evcs.Subtree(a.Tenant), id)
	if err != nil {
		return nil, err
	}
	if err := tenant.Reach(a, p.Tenant, true); err != nil {
		return nil, err
	}
	if want != nil && *want != p.Version {
		return nil, evcs.With(evcs.ErrVersion, map[string]any{"currentVersion": p.Version})
	}
	return p, nil
}

// unmark takes the default mark from the plan's rival.
func (c Catalog) unmark(ctx context.Context, tx Tx, p *Plan) error {
	rival, err := tx.Tariffs().DefaultPlan(ctx, evcs.Only(p.Tenant), p.Station)
	if err != nil || rival == nil || rival.ID == p.ID {
		return err
	}
	rival.Default, rival.Updated = false, p.Updated
	return tx.Tariffs().UpdatePlan(ctx, evcs.Only(p.Tenant), rival)
}

// Delete removes a plan that nothing uses (3012).
func (c Catalog) Delete(ctx context.Context, a *evcs.Actor, id evcs.PlanID) error {
	return c.Transact(ctx, func(tx Tx) error {
		p, err := c.load(ctx, tx, a, id, nil)
		if err != nil {
			return err
		}
		chargers, running, err := tx.Tariffs().Uses(ctx, evcs.Only(p.Tenant), id)
		if err != nil {
			return err
		}
		if chargers+running > 0 {
			return evcs.With(ErrInUse, map[string]any{"chargers": chargers, "runningOrders": running})
		}
		if err := tx.Tariffs().DeletePlan(ctx, evcs.Only(p.Tenant), p, c.Clock.Now()); err != nil {
			return err
		}
		return c.audit(ctx, tx, a, p, "DELETE_BILLING_PLAN", nil)
	})
}

// Clone copies a plan, disabled and without the default mark.
func (c Catalog) Clone(ctx context.Context, a *evcs.Actor, id evcs.PlanID, name, code string, at evcs.StationID) (*Plan, error) {
	var copied Plan
	err := c.Transact(ctx, func(tx Tx) error {
		p, err := c.load(ctx, tx, a, id, nil)
		copied = Plan{}
		if p != nil {
			copied = *p
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	copied.ID, copied.Name, copied.Code, copied.Enabled, copied.Default = 0, name, code, false, false
	if at != 0 {
		copied.Station = at
	}
	return c.Create(ctx, a, copied)
}

// MakeDefault gives the plan the mark of its station or tenant, taking it from
// its rival in the same transaction.
func (c Catalog) MakeDefault(ctx context.Context, a *evcs.Actor, id evcs.PlanID) (*Plan, error) {
	return c.Update(ctx, a, id, nil, func(p *Plan) error { p.Default = true; return nil })
}

// Skipped is a charger that Assign left out, and why.
type Skipped struct {
	Charger evcs.ChargerID
	Reason  string
}

// The reasons of Skipped.
const (
	SkippedStation  = "OTHER_STATION"
	SkippedAssigned = "NOT_ASSIGNED"
)

// Assign sets the plan of chargers, or clears it where it is this one. A charger
// of another station than the plan's is left out; one that is not the plan's
// tenant's refuses the whole (2002).
func (c Catalog) Assign(ctx context.Context, a *evcs.Actor, id evcs.PlanID, chargers []evcs.ChargerID, remove bool) (int, []Skipped, error) {
	chargers = slices.Compact(slices.Sorted(slices.Values(chargers)))
	assigned := 0
	var skipped []Skipped
	err := c.Transact(ctx, func(tx Tx) error {
		assigned, skipped = 0, nil
		p, err := c.load(ctx, tx, a, id, nil)
		if err != nil {
			return err
		}
		for _, charger := range chargers {
			reason, err := c.assign(ctx, tx, a, p, charger, remove)
			if err != nil {
				return err
			}
			if reason != "" {
				skipped = append(skipped, Skipped{charger, reason})
				continue
			}
			assigned++
		}
		return c.audit(ctx, tx, a, p, "ASSIGN_PLAN", map[string]any{"chargerIds": chargers, "unassign": remove})
	})
	if err != nil {
		return 0, nil, err
	}
	if c.Touched != nil {
		for _, charger := range chargers {
			c.Touched(charger)
		}
	}
	return assigned, skipped, nil
}

// assign does one charger and says why it was left out, or "".
func (c Catalog) assign(ctx context.Context, tx Tx, a *evcs.Actor, p *Plan, id evcs.ChargerID, remove bool) (string, error) {
	scope, plan := evcs.Only(p.Tenant), p.ID
	charger, err := tx.Stations().Charger(ctx, scope, id)
	switch {
	case err != nil:
		return "", err
	case p.Station != 0 && charger.Station != p.Station:
		return SkippedStation, nil
	case remove && charger.Plan != p.ID:
		return SkippedAssigned, nil
	case remove:
		plan = 0
	case charger.Plan == p.ID:
		return "", nil // it is assigned
	}
	charger.Plan, charger.Updated, charger.UpdatedBy = plan, c.Clock.Now(), a.User
	return "", tx.Stations().UpdateCharger(ctx, scope, charger)
}

func isMissing(err error) bool { return errors.Is(err, ErrNotFound) }

func (c Catalog) audit(ctx context.Context, tx Tx, a *evcs.Actor, p *Plan, action tenant.Action, details map[string]any) error {
	return tenant.Audit(ctx, tx.Tenants(), a, tenant.AuditRow{
		Target: p.Tenant, TargetType: "BILLING_PLAN", TargetID: strconv.FormatInt(int64(p.ID), 10), Action: action, Details: details, Success: true, At: c.Clock.Now(),
	})
}
