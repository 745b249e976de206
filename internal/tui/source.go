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
	Session(ctx context.Context, id string) (SessionDetail, error)
	// Lists reads what a tab shows, narrowed by query.
	Lists(ctx context.Context, tab int, query map[string]string) (Lists, error)
	// Do carries out an action and returns when it is done or refused.
	Do(ctx context.Context, action Action) error
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

const curvePoints = "200"

func (r remote) Session(ctx context.Context, id string) (SessionDetail, error) {
	session, err := r.c.Sessions.Get(ctx, id)
	if err != nil {
		return SessionDetail{}, err
	}
	curve, err := r.c.Sessions.Curve(ctx, id, client.Query{"maxPoints": curvePoints})
	return SessionDetail{session, curve.Points}, err
}

const (
	listSize  = "100"
	shortList = "10"
)

func (r remote) Lists(ctx context.Context, shown int, query map[string]string) (Lists, error) {
	q := client.Query(query).With("size", listSize)
	var l Lists
	var err error
	switch tab(shown) {
	case tabChargers:
		l.Chargers, err = records(r.c.Chargers.List(ctx, q))
	case tabSessions:
		l.Sessions, err = records(r.c.Sessions.List(ctx, q))
	case tabOrders:
		l.Orders, err = records(r.c.Orders.List(ctx, q))
	case tabAlerts:
		l.Alerts, err = records(r.c.Monitor.Alerts(ctx, q))
	case tabMoney:
		return r.money(ctx)
	case tabTenants:
		l.Tenants, err = records(r.c.Tenants.List(ctx, q))
	case tabLog:
		l.Log, err = r.c.Logs.Tail(ctx, client.Query(query).With("lines", "200"))
	case tabOverview, tabs:
	}
	return l, err
}

func records[T any](page api.Page[T], err error) ([]T, error) { return page.Records, err }

func (r remote) money(ctx context.Context) (Lists, error) {
	var l Lists
	var err error
	if l.Differences, err = records(r.c.Recon.Differences(ctx, client.Query{"state": "OPEN,SUSPENDED,PENDING_REVIEW", "size": listSize})); err != nil {
		return l, err
	}
	if l.Batches, err = records(r.c.Recon.Batches(ctx, client.Query{"size": shortList})); err != nil {
		return l, err
	}
	l.Refunds, err = records(r.c.Payments.Refunds(ctx, client.Query{"size": shortList}))
	return l, err
}

func (r remote) Do(ctx context.Context, a Action) error {
	var err error
	switch a.Kind {
	case ActStart:
		_, err = r.c.Commands.Start(ctx, a.Charger, a.Connector, api.StartConnector{})
	case ActStop:
		_, err = r.c.Commands.Stop(ctx, a.Charger, a.Connector, api.StopOrder{})
	case ActUnlock:
		_, err = r.c.Commands.Unlock(ctx, a.Charger, a.Connector, api.UnlockConnector{})
	case ActReset:
		_, err = r.c.Commands.Reset(ctx, a.Charger, api.ResetCharger{Type: api.Ptr("soft")})
	case ActAck:
		_, err = r.c.Monitor.Acknowledge(ctx, a.Alert, api.Note{})
	case ActResolve:
		_, err = r.c.Monitor.Resolve(ctx, a.Alert, api.ResolveAlert{Resolution: a.Text})
	default:
		err = errAction
	}
	return err
}

func (r remote) Follow(ctx context.Context, handle func(api.Event) error, state func(error)) error {
	return r.c.Events.Follow(ctx, client.Follow{Handle: handle, OnState: state})
}
