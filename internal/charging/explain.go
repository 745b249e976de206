package charging

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/order"
	"github.com/evcs/evcs/internal/station"
	"github.com/evcs/evcs/internal/tariff"
	"github.com/evcs/evcs/internal/tenant"
)

// Bills explains what orders cost; it changes nothing.
type Bills struct {
	Orders interface {
		Session(ctx context.Context, scope evcs.Scope, uid string) (*order.Session, error)
		Curve(ctx context.Context, s *order.Session) ([]evcs.Sample, error)
		Lines(ctx context.Context, scope evcs.Scope, id evcs.OrderID) ([]tariff.Line, error)
		Timeline(ctx context.Context, scope evcs.Scope, id evcs.OrderID) ([]order.Entry, error)
	}
	Tariffs interface {
		Snapshot(ctx context.Context, scope evcs.Scope, id evcs.SnapshotID) (*tariff.Snapshot, error)
	}
	Stations interface {
		Station(ctx context.Context, scope evcs.Scope, id evcs.StationID) (*station.Station, error)
	}
	Tenants interface {
		Chain(ctx context.Context, id evcs.TenantID) (tenant.Chain, error)
	}
}

// Explained is an order's bill with its reasons.
type Explained struct {
	tariff.Explanation

	Snapshot    *tariff.Snapshot // nil: no tariff
	Choice      string           // why this plan, tariff.ChosenAsked and others; "" when it is not known
	Zone        *time.Location
	Start, Stop time.Time
	Energy      evcs.Energy
	Running     bool // the session goes on: an estimate
	// Billed are the lines that the order has; they agree with the steps when
	// pricing the readings again says the same.
	Billed []tariff.Line
	Agrees bool
}

// Explain prices the readings of an order's session again, by the prices that
// were frozen for it, and says why each line is so. A discount stands at the
// end as it was given.
func (b Bills) Explain(ctx context.Context, o *order.Order) (*Explained, error) {
	scope := evcs.Only(o.Tenant)
	x, err := b.Orders.Session(ctx, scope, o.Session)
	if err != nil {
		return nil, err
	}
	out := &Explained{Start: o.StartedAt, Stop: x.Until(), Energy: o.Energy, Running: o.Status == order.Charging, Agrees: true}
	if out.Zone, err = b.zone(ctx, o); err != nil {
		return nil, err
	}
	if out.Billed, err = b.Orders.Lines(ctx, scope, o.ID); err != nil {
		return nil, err
	}
	if out.Choice, err = b.choice(ctx, o); err != nil {
		return nil, err
	}
	if o.Snapshot == 0 || o.Status == order.Cancelled && len(out.Billed) == 0 {
		return out, nil // nothing was priced
	}
	if out.Snapshot, err = b.Tariffs.Snapshot(ctx, scope, o.Snapshot); err != nil {
		return nil, err
	}
	list, err := b.Orders.Curve(ctx, x)
	if err != nil {
		return nil, err
	}
	out.Energy = x.Energy
	out.Explanation, err = tariff.Explain(*out.Snapshot, tariff.Curve{
		Zone: out.Zone, Start: x.StartedAt, Stop: out.Stop, Points: points(list), Total: x.Energy,
	})
	if err != nil {
		return nil, err
	}
	if !out.Running {
		out.compare()
	}
	return out, nil
}

// zone is the zone that was frozen with the order; of one from before zones
// were kept, its station's present one, or the tenant's when that is gone.
func (b Bills) zone(ctx context.Context, o *order.Order) (*time.Location, error) {
	chain, err := b.Tenants.Chain(ctx, o.Tenant)
	if err != nil {
		return nil, err
	}
	zone := chain.Settings().Zone()
	if o.Zone != "" {
		return priced(o, zone), nil
	}
	place, err := b.Stations.Station(ctx, evcs.Only(o.Tenant), o.Station)
	switch {
	case errors.Is(err, station.ErrStationNotFound):
		return zone, nil
	case err != nil:
		return nil, err
	}
	return place.Zone(zone), nil
}

// choice finds in the timeline why the order has its plan.
func (b Bills) choice(ctx context.Context, o *order.Order) (string, error) {
	list, err := b.Orders.Timeline(ctx, evcs.Only(o.Tenant), o.ID)
	if err != nil {
		return "", err
	}
	choice := ""
	for _, e := range list {
		switch e.Event {
		case "CREATED":
			words := strings.Fields(e.Detail)
			if len(words) > 0 {
				choice = words[len(words)-1]
			}
		case "REPRICED":
			choice = tariff.ChosenAsked
		}
	}
	return choice, nil
}

// compare sets the steps against what was billed and appends the discount.
func (x *Explained) compare() {
	given := slices.IndexFunc(x.Billed, func(l tariff.Line) bool { return l.Kind == tariff.KindDiscount })
	kept := x.Billed
	if given >= 0 {
		kept = x.Billed[:given]
	}
	x.Agrees = slices.EqualFunc(x.Bill.Lines, kept, tariff.Line.Same)
	if given < 0 {
		return
	}
	l := x.Billed[given]
	before := x.Bill.Amount
	x.Bill.Lines = append(x.Bill.Lines, l)
	x.Bill.Discount -= l.Amount
	x.Bill.Amount += l.Amount
	x.Steps = append(x.Steps, tariff.Step{
		Line: l, Calendar: -1, Arithmetic: []string{fmt.Sprintf("%s − %s = %s", before, -l.Amount, x.Bill.Amount)},
	})
}
