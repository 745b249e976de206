package store_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/evcs/evcs/internal/auth"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/order"
	"github.com/evcs/evcs/internal/payment"
	"github.com/evcs/evcs/internal/report"
	"github.com/evcs/evcs/internal/station"
	"github.com/evcs/evcs/internal/store"
	"github.com/evcs/evcs/internal/store/storetest"
	"github.com/evcs/evcs/internal/tenant"
)

// figuresWorld is a tenant of its own with a child, stations and chargers, at
// which things happen at random.
type figuresWorld struct {
	t        *testing.T
	r        *rapid.T
	db       *store.DB
	roller   store.Roller
	prefix   string
	now      time.Time
	zone     string
	tenants  []evcs.TenantID
	stations []*station.Station
	chargers []*station.Charger
	sessions []*order.Session
	orders   []*order.Order
	payments []*payment.Payment
	refunds  []*payment.Refund
	serial   int
}

var reportZones = []string{"Asia/Shanghai", "Asia/Kolkata", "Asia/Kathmandu", "America/New_York", "Africa/Cairo", "Atlantic/Azores", "Pacific/Chatham"}

// The figures agree with their definitions, computed slowly from all rows, for
// whatever happened in whatever order and was rolled at whatever time.
func TestFiguresAgreeWithTheirDefinitions(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		plant(t, db)
		n := 0
		rapid.Check(t, func(r *rapid.T) {
			n++
			w := newFiguresWorld(t, r, db, fmt.Sprintf("w%d", n))
			things := []func(*rapid.T){
				w.start, w.start, w.start, w.read, w.read, w.stop, w.stop, w.orphan, w.adopt, w.pay, w.pay, w.refund, w.cancel, w.reprice,
				w.roll, w.roll, w.wait, w.wait, w.zones, w.setZone, w.merchant,
			}
			for range rapid.IntRange(1, 3).Draw(r, "rounds") {
				for range rapid.IntRange(1, 25).Draw(r, "things") {
					rapid.SampledFrom(things).Draw(r, "thing")(r)
				}
				w.compare(r)
			}
		})
	})
}

// They agree too when rows change while the days of another zone are built.
func TestFiguresAgreeWhileAZoneIsBuilt(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		plant(t, db)
		n := 0
		rapid.Check(t, func(r *rapid.T) {
			n++
			w := newFiguresWorld(t, r, db, fmt.Sprintf("z%d", n))
			built := func() {
				for left := 1; left > 0; {
					var err error
					left, err = w.roller.Zones(t.Context())
					must(t, err)
				}
			}
			built()
			for range 6 {
				w.start(r)
				w.stop(r)
				w.pay(r)
			}
			for range 5 {
				w.wait(r)
				w.roll(r)
			}
			w.setZone(r)
			things := []func(*rapid.T){w.zones, w.read, w.refund, w.cancel, w.wait, w.roll, w.start, w.stop, w.pay}
			for range rapid.IntRange(2, 12).Draw(r, "things") {
				rapid.SampledFrom(things).Draw(r, "thing")(r)
			}
			w.compare(r)
			built()
			w.compare(r)
		})
	})
}

func newFiguresWorld(t *testing.T, r *rapid.T, db *store.DB, prefix string) *figuresWorld {
	t.Helper()
	w := &figuresWorld{t: t, r: r, db: db, roller: store.NewRoller(db, 2), prefix: prefix, zone: rapid.SampledFrom(reportZones).Draw(r, "zone")}
	w.now = time.Date(2026, 2, 26, 0, 0, 0, 0, time.UTC).Add(time.Duration(rapid.IntRange(0, 70*96).Draw(r, "now")) * 15 * time.Minute)
	parent := mustSprout(t, db, 1, prefix, tenant.Limits{})
	w.tenants = []evcs.TenantID{parent, mustSprout(t, db, parent, prefix+"a", tenant.Limits{})}
	sealer, err := auth.NewSealer([32]byte{1})
	must(t, err)
	registry := &station.Registry{
		Clock: fixed{w.now.AddDate(0, 0, -rapid.IntRange(0, 9).Draw(r, "age"))}, Sealer: sealer,
		Transact: func(ctx context.Context, fn func(station.Tx) error) error {
			return db.Transact(ctx, func(tx *store.Tx) error { return fn(tx) })
		},
	}
	cities := []*string{nil, new("深圳市"), new("广州市")}
	for i := range 3 {
		code := fmt.Sprintf("%s-%d", prefix, i)
		s, err := registry.CreateStation(t.Context(), boss(), station.Station{
			Tenant: w.tenants[i%2], Code: code, Name: code, Address: "Road 1", Enabled: true, Type: 1, City: cities[i],
		})
		must(t, err)
		w.stations = append(w.stations, s)
		c, _, err := station.Fleet{Registry: registry}.Create(t.Context(), boss(),
			station.Charger{Tenant: s.Tenant, Station: s.ID, Code: code, Name: code, Type: 1, RatedPower: 60_000, Enabled: true}, i+1)
		must(t, err)
		w.chargers = append(w.chargers, c)
	}
	w.setZone(r)
	return w
}

func (w *figuresWorld) tx(fn func(ctx context.Context, tx *store.Tx) error) {
	w.t.Helper()
	within(w.t, w.db, fn)
}

// moment is a time of the last days, often right at a border.
func (w *figuresWorld) moment(r *rapid.T, name string) time.Time {
	at := w.now.Add(-time.Duration(rapid.IntRange(0, 4*96).Draw(r, name+" quarters")) * 15 * time.Minute)
	at = at.Add(time.Duration(rapid.SampledFrom([]int{0, 0, -1, 1, 1000, 433_217}).Draw(r, name+" ms")) * time.Millisecond)
	if at.After(w.now) {
		return w.now
	}
	return at
}

func (w *figuresWorld) begin(r *rapid.T) *order.Session {
	c := rapid.SampledFrom(w.chargers).Draw(r, "charger")
	w.serial++
	x := &order.Session{
		UID: fmt.Sprintf("%s-%d", w.prefix, w.serial), Tenant: c.Tenant, Station: c.Station, Charger: c.ID, Connector: 1,
		Protocol: "OCPP16", State: order.SessionActive, StartedAt: w.moment(r, "start"), ReceivedStartAt: w.now, CreatedAt: w.now, UpdatedAt: w.now,
	}
	x.DeviceKey = x.UID
	return x
}

func (w *figuresWorld) start(r *rapid.T) {
	x := w.begin(r)
	for _, o := range w.orders { // one open order per connector
		if o.Charger == x.Charger && o.Status == order.Charging {
			return
		}
	}
	o := &order.Order{
		Tenant: x.Tenant, No: x.UID, Session: x.UID, Station: x.Station, StationName: "s", Charger: x.Charger, ChargerCode: "c", Connector: 1,
		Status: order.Charging, StartState: order.Started, Source: order.FromDevice, StartedAt: x.StartedAt, CreatedAt: w.now, UpdatedAt: w.now,
	}
	w.tx(func(ctx context.Context, tx *store.Tx) error {
		if err := tx.Orders().InsertSession(ctx, x); err != nil {
			return err
		}
		o.SessionID = x.ID
		if err := tx.Orders().InsertOrder(ctx, o); err != nil {
			return err
		}
		x.Order = o.ID
		return tx.Orders().UpdateSession(ctx, evcs.Only(x.Tenant), x)
	})
	w.sessions, w.orders = append(w.sessions, x), append(w.orders, o)
}

func (w *figuresWorld) orphan(r *rapid.T) {
	x := w.begin(r)
	x.State = order.SessionOrphan
	w.tx(func(ctx context.Context, tx *store.Tx) error { return tx.Orders().InsertSession(ctx, x) })
	w.sessions = append(w.sessions, x)
}

// some picks one that fits; nil when none does.
func some[T any](r *rapid.T, name string, list []*T, fits func(*T) bool) *T {
	var fit []*T
	for _, x := range list {
		if fits(x) {
			fit = append(fit, x)
		}
	}
	if len(fit) == 0 {
		return nil
	}
	return rapid.SampledFrom(fit).Draw(r, name)
}

// read stores a reading, of a running session or late, in order or not.
func (w *figuresWorld) read(r *rapid.T) {
	x := some(r, "session", w.sessions, func(*order.Session) bool { return true })
	if x == nil {
		return
	}
	at := w.moment(r, "reading")
	sample := evcs.Sample{At: at, Have: evcs.HasEnergy, Energy: evcs.Energy(rapid.IntRange(0, 400_000).Draw(r, "energy"))}
	if at.After(x.Last.At) && x.State != order.SessionEnded && !at.Before(x.StartedAt) {
		sample.Energy = max(sample.Energy, x.Last.Energy)
		x.Last, x.Energy, x.Seconds = sample, sample.Energy, int64(at.Sub(x.StartedAt)/time.Second)
	}
	x.UpdatedAt = w.now
	w.tx(func(ctx context.Context, tx *store.Tx) error {
		y := *x
		if _, err := tx.Orders().AddSample(ctx, x, sample); err != nil {
			return err
		}
		err := tx.Orders().UpdateReading(ctx, &y)
		x.Version = y.Version
		return err
	})
}

func (w *figuresWorld) stop(r *rapid.T) {
	x := some(r, "session", w.sessions, func(x *order.Session) bool { return x.State == order.SessionActive })
	if x == nil {
		return
	}
	w.end(r, x)
	for _, o := range w.orders {
		if o.ID == x.Order {
			o.Status, o.EndedAt, o.Energy, o.UpdatedAt = order.ToPay, x.StoppedAt, x.Energy, w.now
			o.Amount = evcs.Money(rapid.IntRange(1, 9000).Draw(r, "amount"))
			o.ElectricityAmount = o.Amount
			w.tx(func(ctx context.Context, tx *store.Tx) error {
				return tx.Orders().UpdateOrder(ctx, evcs.Only(o.Tenant), o)
			})
		}
	}
}

func (w *figuresWorld) end(r *rapid.T, x *order.Session) {
	x.State, x.StoppedAt, x.ReceivedStopAt, x.UpdatedAt = order.SessionEnded, w.moment(r, "stop"), w.now, w.now
	if x.StoppedAt.Before(x.StartedAt) {
		x.StoppedAt = x.StartedAt
	}
	x.Energy += evcs.Energy(rapid.IntRange(0, 100_000).Draw(r, "last energy"))
	w.tx(func(ctx context.Context, tx *store.Tx) error {
		return tx.Orders().UpdateSession(ctx, evcs.Only(x.Tenant), x)
	})
}

// adopt ends an orphan with an order of its own.
func (w *figuresWorld) adopt(r *rapid.T) {
	x := some(r, "orphan", w.sessions, func(x *order.Session) bool { return x.State == order.SessionOrphan })
	if x == nil {
		return
	}
	w.end(r, x)
	o := &order.Order{
		Tenant: x.Tenant, No: x.UID, Session: x.UID, SessionID: x.ID, Station: x.Station, StationName: "s", Charger: x.Charger, ChargerCode: "c", Connector: 1,
		Status: order.Ended, StartState: order.Started, Source: order.Adopted, StartedAt: x.StartedAt, EndedAt: x.StoppedAt, Energy: x.Energy,
		Amount: 100, ElectricityAmount: 100, CreatedAt: w.now, UpdatedAt: w.now,
	}
	w.tx(func(ctx context.Context, tx *store.Tx) error { return tx.Orders().InsertOrder(ctx, o) })
	w.orders = append(w.orders, o)
}

func (w *figuresWorld) pay(r *rapid.T) {
	o := some(r, "order", w.orders, func(o *order.Order) bool { return o.Status == order.ToPay })
	if o == nil {
		return
	}
	w.serial++
	p := &payment.Payment{
		Tenant: o.Tenant, Order: o.ID, OrderNo: o.No, TradeNo: fmt.Sprintf("%s-%d", w.prefix, w.serial), Method: payment.MethodSandbox, Channel: "sandbox",
		Amount: o.Amount, Status: payment.Processing, Description: "d", Sandbox: rapid.Bool().Draw(r, "sandbox"), CreatedAt: w.now, UpdatedAt: w.now,
	}
	o.Status, o.PaidAmount, o.UpdatedAt = order.Paid, o.Amount, w.now
	w.tx(func(ctx context.Context, tx *store.Tx) error {
		if err := tx.Payments().Insert(ctx, evcs.Only(o.Tenant), p); err != nil {
			return err
		}
		p.Status, p.PaidAt = payment.Success, w.moment(r, "paid")
		return errors.Join(tx.Payments().Update(ctx, evcs.Only(o.Tenant), p), tx.Orders().UpdateOrder(ctx, evcs.Only(o.Tenant), o))
	})
	w.payments = append(w.payments, p)
}

func (w *figuresWorld) refund(r *rapid.T) {
	p := some(r, "payment", w.payments, func(p *payment.Payment) bool { return p.Refunded < p.Amount })
	if p == nil {
		return
	}
	w.serial++
	f := &payment.Refund{
		Tenant: p.Tenant, RefundNo: fmt.Sprintf("%s-%d", w.prefix, w.serial), Payment: p.ID, TradeNo: p.TradeNo, Order: p.Order,
		Amount: evcs.Money(rapid.IntRange(1, int(p.Amount-p.Refunded)).Draw(r, "back")), Reason: "r", Channel: "sandbox", RequestedBy: "b",
		CreatedAt: w.now, UpdatedAt: w.now,
	}
	o := some(r, "order", w.orders, func(o *order.Order) bool { return o.ID == p.Order })
	w.tx(func(ctx context.Context, tx *store.Tx) error {
		if err := tx.Payments().InsertRefund(ctx, evcs.Only(p.Tenant), f); err != nil {
			return err
		}
		f.Status, f.SuccessAt, f.AcceptedAt = payment.RefundSuccess, w.moment(r, "refunded"), w.now
		p.Refunded, p.UpdatedAt = p.Refunded+f.Amount, w.now
		o.RefundedAmount, o.UpdatedAt = p.Refunded, w.now
		return errors.Join(tx.Payments().UpdateRefund(ctx, evcs.Only(p.Tenant), f), tx.Payments().Update(ctx, evcs.Only(p.Tenant), p),
			tx.Orders().UpdateOrder(ctx, evcs.Only(p.Tenant), o))
	})
	w.refunds = append(w.refunds, f)
}

func (w *figuresWorld) cancel(r *rapid.T) {
	w.change(r, func(o *order.Order) { o.Status = order.Cancelled })
}

func (w *figuresWorld) reprice(r *rapid.T) {
	w.change(r, func(o *order.Order) { o.Amount = evcs.Money(rapid.IntRange(1, 9000).Draw(r, "amount")) })
}

func (w *figuresWorld) change(r *rapid.T, how func(*order.Order)) {
	o := some(r, "order", w.orders, func(o *order.Order) bool { return o.Status == order.ToPay })
	if o == nil {
		return
	}
	how(o)
	o.UpdatedAt = w.now
	w.tx(func(ctx context.Context, tx *store.Tx) error {
		return tx.Orders().UpdateOrder(ctx, evcs.Only(o.Tenant), o)
	})
}

func (w *figuresWorld) roll(r *rapid.T) {
	for range rapid.IntRange(1, 4).Draw(r, "times") {
		if _, err := w.roller.Roll(w.t.Context(), w.now); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *figuresWorld) zones(*rapid.T) {
	if _, err := w.roller.Zones(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

func (w *figuresWorld) wait(r *rapid.T) {
	w.now = w.now.Add(time.Duration(rapid.IntRange(1, 3*96).Draw(r, "quarters")) * 15 * time.Minute)
}

// setZone gives one of the tenants another zone.
func (w *figuresWorld) setZone(r *rapid.T) {
	id := rapid.SampledFrom(w.tenants).Draw(r, "tenant")
	zone := rapid.SampledFrom(reportZones).Draw(r, "new zone")
	w.tx(func(ctx context.Context, tx *store.Tx) error {
		x, err := tx.Tenants().Tenant(ctx, evcs.Only(id), id)
		if err != nil {
			return err
		}
		x.Own.TimeZone = &zone
		return tx.Tenants().Update(ctx, x)
	})
	if id == w.tenants[0] {
		w.zone = zone
	}
}

func (w *figuresWorld) merchant(*rapid.T) {
	w.serial++
	m := payment.Merchant{
		Tenant: w.tenants[1], Channel: fmt.Sprintf("c%d", w.serial), Name: "m", Mode: "LIVE", Enabled: true, Config: "{}",
		CallbackToken: fmt.Sprintf("%s-%d", w.prefix, w.serial), CreatedAt: w.now, UpdatedAt: w.now,
	}
	w.tx(func(ctx context.Context, tx *store.Tx) error {
		return tx.Payments().InsertMerchant(ctx, evcs.Only(w.tenants[1]), &m)
	})
}

func (w *figuresWorld) compare(r *rapid.T) {
	scope, tenants := evcs.Subtree(w.tenants[0]), w.tenants
	if rapid.IntRange(0, 2).Draw(r, "alone") == 0 {
		scope, tenants = evcs.Only(w.tenants[1]), w.tenants[1:]
	}
	zone, err := time.LoadLocation(w.zone)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx := w.t.Context()
	want, read := readWorld(w.t, w.db, tenants), store.NewReports(w.db)
	n := rapid.SampledFrom([]int{1, 2, 7, 45, 90}).Draw(r, "days")
	b, list := report.LastDays(w.now, zone, n), dates(w.now, zone, n)
	var at evcs.StationID
	if rapid.Bool().Draw(r, "of a station") {
		at = rapid.SampledFrom(w.stations).Draw(r, "station").ID
	}
	same := func(what string, err error, got, want any) {
		if err != nil {
			w.t.Fatalf("%s: %v", what, err)
		}
		if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
			r.Fatalf("%s of %d days until %v in %s, scope %v, station %d (-want +got):\n%s", what, n, w.now, w.zone, scope, at, d)
		}
	}
	energy, err := read.Energy(ctx, scope, at, b)
	same("energy", err, energy, want.energy(list, zone, at))
	money, sandbox, err := read.Revenue(ctx, scope, at, b)
	same("revenue", err, money, want.revenue(list, zone, at))
	same("sandbox", nil, sandbox, !want.live)
	use, err := read.Utilizations(ctx, scope, at, b.First(), w.now)
	same("utilization", err, use, want.utilizations(begins(list[0], zone), w.now, at))
	for _, by := range []string{"orders", "energy", "revenue"} {
		ranks, err := read.StationRanks(ctx, scope, b, by, 2)
		same("ranking by "+by, err, ranks, want.ranks(list, zone, by, 2))
	}
	slots, err := read.OrderCounts(ctx, scope, 0, report.OneDay(w.now, zone), 3)
	same("slots", err, slots, want.slots(list[n-1], zone, 3))
	from := w.moment(r, "from")
	to := from.Add(time.Duration(rapid.IntRange(0, 60*96).Draw(r, "length")) * 15 * time.Minute)
	cities, err := read.Cities(ctx, scope, from, to, zone)
	same("cities", err, cities, want.byCity(from, to))
	now, err := read.Now(ctx, scope, w.now, report.OneDay(w.now, zone))
	today := list[n-1:]
	statuses := rapid.SampledFrom([][]order.Status{nil, {order.Cancelled}, {order.ToPay, order.Paid}}).Draw(r, "statuses")
	page, totalErr := w.db.Reader().Orders().OrderPage(ctx, scope, order.Filter{Statuses: statuses}, evcs.PageRequest{Page: 1, Size: 1})
	same("total", totalErr, page.Total, want.total(statuses))
	same("today", err, []any{now.Orders, now.Energy, now.Revenue, now.Sandbox},
		[]any{want.ordersOf(today, zone), want.energy(today, zone, 0)[0], want.revenue(today, zone, 0)[0], !want.live})
}
