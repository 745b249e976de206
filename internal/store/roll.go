package store

import (
	"context"
	"time"

	"github.com/evcs/evcs/internal/command"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/order"
)

// Rolls is the view over all tenants that the rounds of the daemon need.
type Rolls struct{ db *DB }

// Rolls returns the view over all tenants that the rounds of the daemon need.
func (db *DB) Rolls() Rolls { return Rolls{db} }

// heardBatch is how many chargers one transaction writes.
const heardBatch = 500

// Heard writes when chargers were last heard; it never goes back.
func (r Rolls) Heard(ctx context.Context, list []order.Heard) error {
	for len(list) > 0 {
		n := min(len(list), heardBatch)
		part := list[:n]
		list = list[n:]
		err := r.db.Gather(ctx, func(tx *Tx) error {
			for _, h := range part {
				if err := Presence(tx).Heard(ctx, evcs.Only(h.Tenant), h.Charger, evcs.Millis(h.At)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func heard(list []Silent, err error) ([]order.Heard, error) {
	out := make([]order.Heard, len(list))
	for i, x := range list {
		out[i] = order.Heard{Tenant: x.Tenant, Charger: x.Charger, At: evcs.FromMillis(x.Last)}
	}
	return out, err
}

// Mark is station.Live's.
func (r Rolls) Mark(ctx context.Context) (int64, error) { return r.db.Reader().Stations().Mark(ctx) }

// LeastHeard lists chargers that are not offline, the one that was not heard for
// longest first.
func (r Rolls) LeastHeard(ctx context.Context, n int) ([]order.Heard, error) {
	return heard(r.db.Reader().Present().LeastHeard(ctx, n))
}

// Connected lists chargers that the node shows as connected.
func (r Rolls) Connected(ctx context.Context, node string) ([]order.Heard, error) {
	return heard(r.db.Reader().Present().ConnectedTo(ctx, node))
}

// Overdue lists running sessions idle or silent since before the moments.
func (r Rolls) Overdue(ctx context.Context, idle, silent time.Time, n int) ([]*order.Session, error) {
	return r.db.Reader().Orders().OverdueSessions(ctx, evcs.Millis(idle), evcs.Millis(silent), n)
}

// Running lists running sessions with ids above after.
func (r Rolls) Running(ctx context.Context, after int64, n int) ([]*order.Session, error) {
	return r.db.Reader().Orders().EveryRunning(ctx, after, n)
}

// Due lists open commands whose deadline has passed.
func (r Rolls) Due(ctx context.Context, now time.Time, n int) ([]*command.Command, error) {
	return r.db.Reader().Commands().DueCommands(ctx, now, n)
}

// Waiting lists commands that were not sent yet.
func (r Rolls) Waiting(ctx context.Context, n int) ([]*command.Command, error) {
	return r.db.Reader().Commands().WaitingCommands(ctx, n)
}

// Command reads one command.
func (r Rolls) Command(ctx context.Context, scope evcs.Scope, id evcs.CommandID) (*command.Command, error) {
	return r.db.Reader().Commands().Command(ctx, scope, id)
}

// Refuse counts one refused device and keeps the list bounded; tenant is zero
// for a device nobody registered.
func (r Rolls) Refuse(ctx context.Context, tenant evcs.TenantID, what struct {
	DeviceID, Protocol, Address, Reason, Hint string
	At                                        time.Time
},
) error {
	at := evcs.Millis(what.At)
	return r.db.Gather(ctx, func(tx *Tx) error {
		err := Refusals(tx).Refuse(ctx, Rejection{
			Tenant: tenant, DeviceID: what.DeviceID, Protocol: what.Protocol, Address: what.Address, Reason: what.Reason, Hint: what.Hint,
			First: at, Last: at, Count: 1,
		})
		if err != nil {
			return err
		}
		return Refusals(tx).Trim(ctx)
	})
}
