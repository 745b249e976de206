package charging

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/evcs/evcs/internal/command"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/order"
	"github.com/evcs/evcs/internal/station"
	"github.com/evcs/evcs/internal/tariff"
	"github.com/evcs/evcs/internal/tenant"
)

// site is one charger with everything its messages are judged by.
type site struct {
	place
	chain      tenant.Chain
	settings   tenant.Settings
	zone       *time.Location
	station    *station.Station
	charger    *station.Charger
	connectors []*station.Connector
	running    map[int]*running // by connector: the open order or session
	touched    []evcs.CommandID // commands of this transaction
	fault      faultState       // what is known of its ChargerFault alert

	memory  *memory
	mark    int64    // of the settings it was read under
	age     int64    // the engine's when it was read
	learned []lesson // read in this transaction
	fresh   bool     // read in this transaction
	// unbegun are the newest sessions that no device began: cancelled ones, and
	// stops that came first. Nil: not read yet.
	unbegun []*order.Session
	seen    bool // unbegun was read
	moved   bool // sessions came or went in this transaction
	owed    bool // the charger is to be written at the end of this transaction
}

// running is a session that goes on, with its order.
type running struct {
	session  *order.Session
	order    *order.Order
	snapshot *tariff.Snapshot // nil: no tariff
	track    tariff.Track     // its readings, thinned
	whole    bool             // the track had all there were when it was read
	late     bool             // a reading came that is older than the newest: the track lacks it
	told     time.Time        // the last session.meter event
}

// site is a copy of what is remembered, or what the store says. The mark is
// read first: a change that comes in between is found the next time.
func (e *Engine) site(ctx context.Context, tx Tx, known *site, who place, f freshness) (*site, error) {
	if known != nil && f == remembered {
		return known.clone(), nil
	}
	mark, err := tx.Stations().Mark(ctx)
	if err != nil {
		return nil, err
	}
	if known != nil && known.mark == mark {
		return known.clone(), nil
	}
	s := &site{place: who, running: make(map[int]*running), memory: &e.memory, mark: mark, fresh: true}
	if s.charger, err = tx.Stations().Charger(ctx, who.scope(), who.id); err != nil {
		return nil, err
	}
	if s.connectors, err = tx.Stations().Connectors(ctx, who.scope(), who.id); err != nil {
		return nil, err
	}
	if s.station, err = s.readStation(ctx, tx); err != nil {
		return nil, err
	}
	if s.chain, err = s.readChain(ctx, tx); err != nil {
		return nil, err
	}
	s.settings = s.chain.Settings()
	s.zone = s.station.Zone(s.settings.Zone())
	list, err := tx.Orders().RunningSessions(ctx, who.scope(), who.id)
	if err != nil {
		return nil, err
	}
	for _, x := range list {
		if s.running[x.Connector], err = s.load(ctx, tx, x); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *site) load(ctx context.Context, tx Tx, x *order.Session) (*running, error) {
	r := &running{session: x, whole: true}
	var err error
	if r.order, err = tx.Orders().OrderBySession(ctx, s.scope(), x.UID); err != nil && !errors.Is(err, order.ErrNotFound) {
		return nil, err
	}
	if r.order != nil && r.order.Snapshot != 0 {
		if r.snapshot, err = s.frozen(ctx, tx, r.order.Snapshot); err != nil {
			return nil, err
		}
	}
	curve, err := tx.Orders().Curve(ctx, x)
	if err != nil {
		return nil, err
	}
	for _, p := range curve {
		if p.Has(evcs.HasRegister) || p.Has(evcs.HasEnergy) {
			r.point(p)
		}
	}
	return r, nil
}

// point adds a reading to what pricing needs.
func (r *running) point(x evcs.Sample) {
	r.track = r.track.With(tariff.Point{At: x.At, Energy: x.Energy})
}

func (s *site) clone() *site {
	c := *s
	c.touched, c.learned, c.fresh, c.moved, c.owed = nil, nil, false, false, false
	charger := *s.charger
	c.charger = &charger
	c.connectors = make([]*station.Connector, len(s.connectors))
	for i, x := range s.connectors {
		v := *x
		c.connectors[i] = &v
	}
	c.running = make(map[int]*running, len(s.running))
	for no, r := range s.running {
		v := *r
		session := *r.session
		v.session = &session
		if r.order != nil {
			o := *r.order
			v.order = &o
		}
		c.running[no] = &v
	}
	return &c
}

// seal ends a transaction. Where sessions came or went the charger's row is
// written: its version tells another node that what it remembers is old.
func (s *site) seal(ctx context.Context, tx Tx, now time.Time) error {
	if s.moved && !s.owed {
		s.writeCharger(now)
	}
	if !s.owed {
		return nil
	}
	s.owed = false
	return tx.Stations().KeepCharger(ctx, s.charger)
}

// stray lists the newest sessions that no device began.
func (s *site) stray(ctx context.Context, tx Tx) ([]*order.Session, error) {
	if s.seen {
		return s.unbegun, nil
	}
	recent, err := tx.Orders().RecentSessions(ctx, s.scope(), s.place.id, 20)
	if err != nil {
		return nil, err
	}
	s.unbegun, s.seen = slices.DeleteFunc(recent, func(x *order.Session) bool { return x.Begun() }), true
	return s.unbegun, nil
}

// shifted says that a session came or went in another way than by a device's
// start or stop.
func (s *site) shifted() {
	s.unbegun, s.seen, s.moved = nil, false, true
}

// connector finds a connector, or 2005.
func (s *site) connector(no int) (*station.Connector, error) {
	for _, c := range s.connectors {
		if c.No == no {
			return c, nil
		}
	}
	return nil, station.ConnectorMissing(s.place.id, no)
}

// busy reports the first running session of the connectors, lowest first; nil
// when there is none.
func (s *site) busy() *running {
	numbers := make([]int, 0, len(s.running))
	for no := range s.running {
		numbers = append(numbers, no)
	}
	slices.Sort(numbers)
	for _, no := range numbers {
		return s.running[no]
	}
	return nil
}

// findRunning finds a running session by its public id or its number.
func (s *site) findRunning(uid string, number int64) *running {
	for _, r := range s.running {
		if uid != "" && r.session.UID == uid || number > 0 && r.session.ID == number {
			return r
		}
	}
	return nil
}

// event is the envelope of an event about the charger.
func (s *site) event(kind string, connector int, at time.Time, data evcs.Object) evcs.Event {
	return evcs.Event{
		Type: kind, Time: at, Tenant: s.tenant, Station: s.charger.Station, Charger: s.place.id, Connector: connector, Data: data.JSON(),
	}
}

// sessionEvent is the envelope of an event about a session.
func (s *site) sessionEvent(kind string, x *order.Session, o *order.Order, at time.Time, data evcs.Object) evcs.Event {
	ev := s.event(kind, x.Connector, at, data)
	ev.Session = x.UID
	if o != nil {
		ev.Order, ev.OrderNo = o.ID, o.No
	}
	return ev
}

// saveCommand writes a command and its event, and remembers to wake its
// waiters after the commit.
func (s *site) saveCommand(ctx context.Context, tx Tx, c *command.Command, at time.Time) error {
	if err := tx.Commands().UpdateCommand(ctx, s.scope(), c); err != nil {
		return err
	}
	s.touched = append(s.touched, c.ID)
	return tx.Emit(ctx, c.Event(at))
}

// number is a new order number of the tenant's day.
func (s *site) number(ctx context.Context, tx Tx, at time.Time) (string, error) {
	day := order.DayOf(at, s.settings.Zone())
	n, err := tx.Orders().NextNumber(ctx, s.tenant, day)
	if err != nil {
		return "", fmt.Errorf("number an order: %w", err)
	}
	return order.Number(day, n), nil
}
