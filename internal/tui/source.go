// Package tui is the live screens of `evcsctl dashboard`: connection, chargers,
// running sessions, today's orders and money, alerts. It reads through a small
// interface and never waits in Update: every question carries a sequence
// number, and the answer to an older one is dropped. A lost connection is a
// state that is shown, not an error that ends the program.
package tui

import (
	"context"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/client"
)

// Source is what the screens read.
type Source interface {
	Overview(ctx context.Context) (Overview, error)
	Charger(ctx context.Context, id int64) (api.Charger, error)
	Order(ctx context.Context, id int64) (api.Order, error)
	// Follow reads the event stream until ctx ends or going on is useless.
	Follow(ctx context.Context, handle func(api.Event) error, state func(error)) error
}

// Overview is everything the first screen shows, read at one time.
type Overview struct {
	Stats    api.DashboardStats
	Counts   api.ChargerStatusCounts
	Chargers []api.Charger
	Sessions []api.Session
	Orders   []api.RecentOrder
	Alerts   []api.Alert
}

// remote is the Source of a real server.
type remote struct{ c *client.Client }

// NewSource reads from a server.
func NewSource(c *client.Client) Source { return remote{c} }

func (r remote) Overview(ctx context.Context) (Overview, error) {
	var o Overview
	steps := []func() error{
		func() (err error) { o.Stats, err = r.c.Monitor.Stats(ctx); return err },
		func() (err error) { o.Counts, err = r.c.Monitor.ChargerStatus(ctx); return err },
		func() error {
			page, err := r.c.Chargers.List(ctx, client.Query{"size": "100"})
			o.Chargers = page.Records
			return err
		},
		func() error {
			page, err := r.c.Sessions.List(ctx, client.Query{"state": api.SessionActive + "," + api.SessionSuspended, "size": "100"})
			o.Sessions = page.Records
			return err
		},
		func() (err error) {
			o.Orders, err = r.c.Monitor.RecentOrders(ctx, client.Query{"limit": "30"})
			return err
		},
		func() error {
			page, err := r.c.Monitor.Alerts(ctx, client.Query{"status": api.AlertActive + "," + api.AlertAcknowledged, "size": "30"})
			o.Alerts = page.Records
			return err
		},
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return Overview{}, err
		}
	}
	return o, nil
}

func (r remote) Charger(ctx context.Context, id int64) (api.Charger, error) {
	return r.c.Chargers.Get(ctx, id)
}

func (r remote) Order(ctx context.Context, id int64) (api.Order, error) {
	return r.c.Orders.Get(ctx, id)
}

func (r remote) Follow(ctx context.Context, handle func(api.Event) error, state func(error)) error {
	return r.c.Events.Follow(ctx, client.Follow{Handle: handle, OnState: state})
}
