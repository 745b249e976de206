// Seed fills a new database with tenants, stations and finished, paid orders
// through the store, rolls their figures, and says how long the reads of a
// dashboard take: lines that benchstat reads.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/evcs/evcs/internal/auth"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/order"
	"github.com/evcs/evcs/internal/payment"
	"github.com/evcs/evcs/internal/report"
	"github.com/evcs/evcs/internal/station"
	"github.com/evcs/evcs/internal/store"
	"github.com/evcs/evcs/internal/tenant"
)

type options struct {
	url                       string
	orders, tenants, stations int
	days, rounds              int
	measured                  bool
	out                       io.Writer
}

// Bounds of a data set.
const (
	maxOrders   = 10_000_000
	maxStations = 200_000
	perTx       = 2000
	rollBatch   = 2000
)

func main() {
	o := options{out: os.Stdout}
	flag.StringVar(&o.url, "db", "", "database to make: sqlite:PATH or a PostgreSQL URL")
	flag.IntVar(&o.orders, "orders", 20_000, "orders")
	flag.IntVar(&o.tenants, "tenants", 50, "tenants below the platform")
	flag.IntVar(&o.stations, "stations", 200, "stations, with four chargers each")
	flag.IntVar(&o.days, "days", 365, "days that the orders are spread over")
	flag.IntVar(&o.rounds, "rounds", 5, "rounds of reads")
	flag.BoolVar(&o.measured, "measure", false, "only read a database that was made before")
	flag.Parse()
	if err := o.run(context.Background(), evcs.SystemClock{}); err != nil {
		fmt.Fprintf(os.Stderr, "seed: %v\n", err) // nowhere left to tell
		os.Exit(1)
	}
}

func (o *options) run(ctx context.Context, clock evcs.Clock) error {
	if o.url == "" || o.orders < 1 || o.orders > maxOrders || o.stations < 1 || o.stations > maxStations || o.tenants < 1 || o.tenants > o.stations || o.days < 1 {
		return fmt.Errorf("-db is needed, -orders up to %d, -stations up to %d and not fewer than -tenants", maxOrders, maxStations)
	}
	db, err := store.Open(ctx, store.Config{URL: o.url, SyncOff: true})
	if err != nil {
		return err
	}
	defer db.Close() // what counts was committed
	if _, err := db.Migrate(ctx); err != nil {
		return err
	}
	now := clock.Now()
	if o.measured {
		return o.measure(ctx, clock, db, now)
	}
	if err := administrator(ctx, db, clock); err != nil {
		return err
	}
	chargers, err := o.places(ctx, db, now)
	if err != nil {
		return err
	}
	for first := 0; first < o.orders; first += perTx {
		if err := db.Transact(ctx, func(tx *store.Tx) error {
			for i := first; i < min(first+perTx, o.orders); i++ {
				if err := o.charge(ctx, tx, chargers, i, now); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return err
		}
	}
	roller := store.NewRoller(db, rollBatch)
	for left := 1; left > 0; {
		if left, err = roller.Zones(ctx); err != nil {
			return err
		}
	}
	begun := clock.Now()
	for n := 1; n > 0; {
		if n, err = roller.Roll(ctx, now.Add(time.Hour)); err != nil {
			return err
		}
	}
	fmt.Fprintf(o.out, "orders: %d\ntenants: %d\nstations: %d\ndays: %d\n", o.orders, o.tenants, o.stations, o.days)
	fmt.Fprintf(o.out, "BenchmarkRoll/order %d %d ns/op\n", o.orders, clock.Now().Sub(begun).Nanoseconds()/int64(o.orders))
	return o.measure(ctx, clock, db, now)
}

// administrator makes the platform and its administrator admin@tenant1, whose
// password is EVCS_ADMIN_PASSWORD, or one that nobody knows.
func administrator(ctx context.Context, db *store.DB, clock evcs.Clock) error {
	hasher, err := auth.NewHasher()
	if err != nil {
		return err
	}
	people := auth.Registry{Clock: clock, Hasher: hasher, Changed: func() {}, Transact: func(ctx context.Context, fn func(auth.Tx) error) error {
		return db.Transact(ctx, func(tx *store.Tx) error { return fn(tx) })
	}}
	_, made, err := people.Bootstrap(ctx, os.Getenv("EVCS_ADMIN_PASSWORD"))
	if err == nil && !made {
		err = errors.New("the database is not new")
	}
	return err
}

// places makes the tree and what stands in it.
func (o *options) places(ctx context.Context, db *store.DB, now time.Time) ([]station.Charger, error) {
	var chargers []station.Charger
	err := db.Transact(ctx, func(tx *store.Tx) error {
		chargers = nil
		ids := []evcs.TenantID{}
		for i := range o.tenants {
			t := tenant.Tenant{
				Code: fmt.Sprintf("T%d", i+1), Name: "t", Type: tenant.Operator, Parent: evcs.PlatformTenant, Level: 2, Enabled: true, Created: now, Updated: now,
			}
			if err := tx.Tenants().Insert(ctx, &t); err != nil {
				return err
			}
			ids = append(ids, t.ID)
		}
		for i := range o.stations {
			city := fmt.Sprintf("city %d", i%40)
			lat, lon := station.Degree(180_000_000+i*7919%300_000_000), station.Degree(750_000_000+i*104_729%600_000_000)
			s := station.Station{
				Tenant: ids[i%o.tenants], Code: fmt.Sprintf("S%d", i), Name: fmt.Sprintf("station %d", i), Address: "1 Road", Enabled: true, Type: 1,
				City: &city, Latitude: &lat, Longitude: &lon, Created: now, Updated: now,
			}
			if err := tx.Stations().InsertStation(ctx, &s); err != nil {
				return err
			}
			for j := range 4 {
				code := fmt.Sprintf("C%d-%d", i, j)
				c := station.Charger{
					Tenant: s.Tenant, Station: s.ID, Code: code, Name: code, DeviceID: code, Type: 1, RatedPower: 60_000, Enabled: true,
					Created: now.AddDate(-2, 0, 0), Updated: now,
				}
				if err := tx.Stations().InsertCharger(ctx, &c); err != nil {
					return err
				}
				chargers = append(chargers, c)
			}
		}
		return nil
	})
	return chargers, err
}

// charge makes one finished order, its session and its payment.
func (o *options) charge(ctx context.Context, tx *store.Tx, chargers []station.Charger, i int, now time.Time) error {
	c := chargers[i*7919%len(chargers)]
	step := time.Duration(o.days) * 24 * time.Hour / time.Duration(o.orders)
	begin := now.Add(-time.Duration(o.orders-i)*step - 2*time.Hour)
	end := begin.Add(time.Duration(20+i%90) * time.Minute)
	amount := evcs.Money(1000 + i%5000)
	uid := fmt.Sprintf("S-%d", i)
	x := order.Session{
		UID: uid, Tenant: c.Tenant, Station: c.Station, Charger: c.ID, Connector: 1, Protocol: "OCPP16", DeviceKey: uid, State: order.SessionEnded,
		StartedAt: begin, StoppedAt: end, ReceivedStartAt: begin, ReceivedStopAt: end, Energy: evcs.Energy(50_000 + i%400_000), CreatedAt: begin, UpdatedAt: end,
	}
	if err := tx.Orders().InsertSession(ctx, &x); err != nil {
		return err
	}
	made := order.Order{
		Tenant: c.Tenant, No: uid, Session: uid, SessionID: x.ID, Station: c.Station, StationName: "s", Charger: c.ID, ChargerCode: c.Code, Connector: 1,
		User: int64(i % 50_000), Status: order.Paid, StartState: order.Started, Source: order.FromClient, StartedAt: begin, EndedAt: end,
		Energy: x.Energy, Amount: amount, ElectricityAmount: amount, PaidAmount: amount, PaidAt: end, CreatedAt: begin, UpdatedAt: end,
	}
	if err := tx.Orders().InsertOrder(ctx, &made); err != nil {
		return err
	}
	p := payment.Payment{
		Tenant: c.Tenant, Order: made.ID, OrderNo: uid, TradeNo: uid, Method: payment.MethodSandbox, Channel: "sandbox", Amount: amount, Status: payment.Success,
		Description: "d", Sandbox: true, Settles: true, PaidAt: end, CreatedAt: end, UpdatedAt: end,
	}
	return tx.Payments().Insert(ctx, evcs.Only(c.Tenant), &p)
}

// measure times the reads, each as the platform sees them: the whole subtree.
func (o *options) measure(ctx context.Context, clock evcs.Clock, db *store.DB, now time.Time) error {
	read, all := store.NewReports(db), evcs.Subtree(evcs.PlatformTenant)
	zone, err := time.LoadLocation(evcs.DefaultTimeZone)
	if err != nil {
		return err
	}
	week, month, year := report.LastDays(now, zone, 7), report.LastDays(now, zone, 30), report.LastDays(now, zone, 366)
	for _, m := range []struct {
		name string
		run  func() error
	}{
		{"stats", func() error { _, err := read.Now(ctx, all, now, report.OneDay(now, zone)); return err }},
		{"energy-7", func() error { _, err := read.Energy(ctx, all, 0, week); return err }},
		{"energy-366", func() error { _, err := read.Energy(ctx, all, 0, year); return err }},
		{"revenue-7", func() error { _, _, err := read.Revenue(ctx, all, 0, week); return err }},
		{"revenue-366", func() error { _, _, err := read.Revenue(ctx, all, 0, year); return err }},
		{"revenue-366-station", func() error { _, _, err := read.Revenue(ctx, all, 7, year); return err }},
		{"slots", func() error { _, err := read.OrderCounts(ctx, all, 0, report.OneDay(now, zone), 3); return err }},
		{"recent", func() error { _, err := read.RecentOrders(ctx, all, 0, 10); return err }},
		{"ranking-30", func() error { _, err := read.StationRanks(ctx, all, month, "revenue", 5); return err }},
		{"ranking-366", func() error { _, err := read.StationRanks(ctx, all, year, "revenue", 5); return err }},
		{"utilization-30", func() error { _, err := read.Utilizations(ctx, all, 0, month.First(), now); return err }},
		{"utilization-366", func() error { _, err := read.Utilizations(ctx, all, 0, year.First(), now); return err }},
		{"cities-30", func() error { _, err := read.Cities(ctx, all, now.AddDate(0, 0, -30), now, zone); return err }},
		{"list-20-one", func() error { return o.list(ctx, db, evcs.Only(2), evcs.PageRequest{Keyset: true, Size: 20}) }},
		{"list-20-all", func() error { return o.list(ctx, db, all, evcs.PageRequest{Keyset: true, Size: 20}) }},
		{"list-20-deep", func() error {
			return o.list(ctx, db, all, evcs.PageRequest{Keyset: true, Size: 20, After: &evcs.PlaceAfter{Values: []string{}, ID: int64(o.orders / 2)}})
		}},
		{"page-20-one", func() error { return o.list(ctx, db, evcs.Only(2), evcs.PageRequest{Page: 1, Size: 20}) }},
		{"page-20-all", func() error { return o.list(ctx, db, all, evcs.PageRequest{Page: 1, Size: 20}) }},
		{"get", func() error {
			_, err := db.Reader().Orders().ListedOrder(ctx, all, evcs.OrderID(o.orders/2))
			return err
		}},
	} {
		for range o.rounds {
			begun := clock.Now()
			if err := m.run(); err != nil {
				return fmt.Errorf("%s: %w", m.name, err)
			}
			fmt.Fprintf(o.out, "BenchmarkRead/%s 1 %d ns/op\n", m.name, clock.Now().Sub(begun).Nanoseconds())
		}
	}
	return nil
}

func (*options) list(ctx context.Context, db *store.DB, scope evcs.Scope, r evcs.PageRequest) error {
	_, err := db.Reader().Orders().OrderPage(ctx, scope, order.Filter{}, r)
	return err
}
