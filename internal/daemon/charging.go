package daemon

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/evcs/evcs/internal/charging"
	"github.com/evcs/evcs/internal/cloudcharge"
	"github.com/evcs/evcs/internal/device"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/health"
	"github.com/evcs/evcs/internal/httpapi"
	"github.com/evcs/evcs/internal/ocpp16"
	"github.com/evcs/evcs/internal/ocppj"
	"github.com/evcs/evcs/internal/station"
	"github.com/evcs/evcs/internal/store"
	"github.com/evcs/evcs/internal/tariff"
)

// wireCharging makes everything that talks to chargers and returns the handler
// of the device listener.
func (d *Daemon) wireCharging(ctx context.Context, p *parts) (http.Handler, error) {
	clock := d.opt.Clock
	urgent := func(ctx context.Context, fn func(charging.Tx) error) error {
		return d.db.Transact(ctx, store.Afresh(func(tx *store.Tx) error { return fn(tx) }))
	}
	patient := func(ctx context.Context, fn func(charging.Tx) error) error {
		return d.db.Gather(ctx, store.Afresh(func(tx *store.Tx) error { return fn(tx) }))
	}
	hub := device.NewHub()
	p.engine = charging.New(charging.Config{
		Urgent: urgent, Patient: patient, Rolls: d.db.Rolls(), Tenants: d.db.Reader().Tenants(), Hub: hub, Clock: clock, Log: d.log(health.Order, "charging"), Node: d.node(),
		OfflineAfter: d.opt.Config.Device.OfflineAfter,
	})
	if err := p.engine.Recover(ctx); err != nil {
		return nil, fmt.Errorf("recover after the restart: %w", err)
	}
	gate := &charging.Gate{
		Chargers: d.db.Reader().Stations(), Tenants: d.db.Reader().Tenants(), Sealer: p.sealer, Clock: clock, Log: d.log(health.Protocol, "gate"), Refusal: d.db.Rolls(), Alarm: patient,
		Authorities: d.deviceAuthorities,
	}
	wires := ocppj.NewEngine(ocppj.Options{
		Clock: clock, Log: d.log(health.Protocol, "ocpp"), Rate: d.opt.Config.RateLimit.DevicePerSecond, Silence: d.opt.Config.Device.OfflineAfter,
	})
	journal := &charging.Journal{Store: patient, Log: d.log(health.Protocol, "journal")}
	heard := listener{p.engine, p.metrics.Add}
	gateway := ocppj.NewGateway(ocppj.Config{
		Gate: gate, Presence: p.engine, Hub: hub, Engine: wires,
		Dialects: []ocppj.Dialect{ocpp16.New(ocpp16.Config{Handler: heard, Clock: clock, Log: d.log(health.Protocol, "ocpp16"), Late: p.engine.Late, Journal: journal})},
	})
	cloud := cloudcharge.NewServer(cloudcharge.Config{
		Gate: gate, Presence: p.engine, Hub: hub, Handler: heard, Replays: d.db.Replies(p.sealer), Clock: clock, Log: d.log(health.Protocol, "cloudcharge"),
		Late: p.engine.Late, Journal: journal, Rate: d.opt.Config.RateLimit.DevicePerSecond,
	})
	p.devices = append(p.devices, part{"charger connections", gateway.Run}, part{"cloudcharge", cloud.Run})
	p.work = append(p.work, part{"charging rounds", p.engine.Run}, part{"journal of sent frames", journal.Run}, part{"charger cache", d.followChargers(p)}, part{"counters", d.countEvents(p)})
	d.gauges(context.WithoutCancel(ctx), p, hub)
	d.wireAssets(p, hub)

	mux := http.NewServeMux()
	mux.Handle("/ocpp/", gateway)
	mux.Handle("/api/cloudcharge/", cloud)
	return mux, nil
}

// wireAssets makes the operations of stations, chargers and plans.
func (d *Daemon) wireAssets(p *parts, hub *device.Hub) {
	read := d.db.Reader()
	registry := &station.Registry{
		Clock: d.opt.Clock, Sealer: p.sealer, Touched: p.engine.Invalidate,
		Transact: func(ctx context.Context, fn func(station.Tx) error) error {
			return d.db.Transact(ctx, func(tx *store.Tx) error { return fn(tx) })
		},
	}
	catalog := tariff.Catalog{Clock: d.opt.Clock, Touched: p.engine.Invalidate, Transact: func(ctx context.Context, fn func(tariff.Tx) error) error {
		return d.db.Transact(ctx, func(tx *store.Tx) error { return fn(tx) })
	}}
	p.api = append(p.api,
		httpapi.Stations{Read: read.Stations(), Write: registry},
		httpapi.Chargers{Clock: d.opt.Clock, Read: read.Stations(), Write: station.Fleet{Registry: registry}},
		httpapi.DeviceKeys{Read: read.Stations(), Keys: station.Keys{Registry: registry}, Tags: station.Tags{Registry: registry}},
		httpapi.Plans{Clock: d.opt.Clock, Read: read.Tariffs(), Write: catalog, Places: read.Stations(), Tenants: read.Tenants()},
		httpapi.Orders{
			Clock: d.opt.Clock, Read: read.Orders(), Chargers: read.Stations(), Engine: p.engine,
			Bills: charging.Bills{Orders: read.Orders(), Tariffs: read.Tariffs(), Stations: read.Stations(), Tenants: read.Tenants()},
		},
		httpapi.Sessions{
			Read: read.Orders(), Chargers: read.Stations(), Engine: p.engine,
			Orders: httpapi.Orders{Clock: d.opt.Clock, Read: read.Orders(), Chargers: read.Stations(), Engine: p.engine},
		},
		httpapi.Commands{Read: read.Commands(), Chargers: read.Stations(), Engine: p.engine},
		httpapi.Devices{Hub: hub, Chargers: read.Stations(), Rejections: read.Rejections(), Frames: read.Frames(), Tree: tree{d.db}},
	)
	if d.opt.Config.Debug.Protocol.Enabled {
		p.api = append(p.api, httpapi.Debug{Clock: d.opt.Clock, Read: read.Orders(), Chargers: read.Stations(), Frames: read.Frames(), Engine: p.engine})
	}
}

// followChargers drops what the engine remembers when a tenant changes. Other
// changes find it by their own call, by the store's mark, which the engine looks
// at every second and at every start, and by the versions at commit.
func (d *Daemon) followChargers(p *parts) func(context.Context) error {
	return func(ctx context.Context) error {
		for {
			sub := p.broker.Subscribe(1000, func(e evcs.Event) bool { return e.Type == evcs.EventTenantStatus })
			err := follow(ctx, sub.Events(), sub.Behind(), func(evcs.Event) { p.engine.Invalidate(0) })
			sub.Close()
			if err != nil {
				return nil //nolint:nilerr // the context ended
			}
		}
	}
}

// follow calls f for every event until it falls behind (nil) or ctx ends.
func follow(ctx context.Context, events <-chan evcs.Event, behind <-chan struct{}, f func(evcs.Event)) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-behind:
			return nil
		case e := <-events:
			f(e)
		}
	}
}

// gauges are the figures of the device side.
func (d *Daemon) gauges(ctx context.Context, p *parts, hub *device.Hub) {
	d.countGauges(ctx, p)
	p.metrics.Gauges(
		httpapi.Gauge{Name: "evcs_charger_connected", Help: "Chargers connected to this node.", Label: "protocol", Read: func() map[string]float64 {
			by := make(map[string]float64)
			for _, s := range hub.All() {
				by[s.Info().Protocol]++
			}
			return by
		}},
		httpapi.Gauge{Name: "evcs_outbox_lag_seconds", Help: "Age of the oldest unpublished event.", Read: func() map[string]float64 {
			limit, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			at, err := d.db.Reader().OutboxAge(limit)
			if err != nil {
				return nil // not measured, not zero
			}
			if at == 0 {
				return map[string]float64{"": 0}
			}
			return map[string]float64{"": d.opt.Clock.Now().Sub(evcs.FromMillis(at)).Seconds()}
		}},
	)
}
