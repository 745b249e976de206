package charging

import (
	"context"
	"log/slog"
	"time"

	"github.com/evcs/evcs/internal/device"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/tenant"
)

// evict closes the connections of chargers whose tenant, or an ancestor of it,
// is disabled or expired; the gate lets none of them in again. One that charges
// stays until its sessions are settled, for a day at most.
func (e *Engine) evict(ctx context.Context) error {
	now, all := e.Clock.Now(), e.Hub.All()
	out := make(map[evcs.TenantID]bool)
	for _, x := range all {
		t := x.Identity().Tenant
		if _, known := out[t]; known {
			continue
		}
		chain, err := e.chainOf(ctx, t)
		if err != nil {
			return err
		}
		out[t] = chain.Blocked(now) != nil
		e.noteBlocked(t, out[t], now)
	}
	closed := 0
	for _, x := range all {
		if closed == batch {
			e.nudge() // the rest follows at once
			break
		}
		id := x.Identity()
		if !out[id.Tenant] {
			continue
		}
		if e.patientWith(id.Tenant, now) {
			charges, err := e.charges(ctx, id)
			if err != nil {
				return err
			}
			if charges {
				continue
			}
		}
		closed++
		x.Close("its tenant is disabled or expired")
		e.Log.InfoContext(ctx, "a charger of a blocked tenant was disconnected", slog.String("device", id.DeviceID), slog.Int64("tenant_id", int64(id.Tenant)))
	}
	return nil
}

// chainOf is a tenant with its ancestors, as of the store's present mark.
func (e *Engine) chainOf(ctx context.Context, t evcs.TenantID) (tenant.Chain, error) {
	mark := e.mark.Load()
	if known, ok := e.memory.recall(mark, chainKey(t)); ok {
		return known.(tenant.Chain), nil //nolint:errcheck,forcetypeassert // one type a key
	}
	chain, err := e.Tenants.Chain(ctx, t)
	if err == nil {
		e.memory.learn(mark, []lesson{{chainKey(t), chain}})
	}
	return chain, err
}

// noteBlocked remembers since when this node has seen a tenant blocked.
func (e *Engine) noteBlocked(t evcs.TenantID, blocked bool, now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !blocked {
		delete(e.blocked, t)
	} else if _, known := e.blocked[t]; !known {
		e.blocked[t] = now
	}
}

// patientWith reports whether chargers of a blocked tenant may still end their
// sessions.
func (e *Engine) patientWith(t evcs.TenantID, now time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return now.Sub(e.blocked[t]) < muteLimit
}

// charges reports whether a session goes on at a charger.
func (e *Engine) charges(ctx context.Context, id device.Identity) (bool, error) {
	running := 0
	err := e.act(ctx, placeOf(id), e.Patient, remembered, func(_ Tx, s *site) error {
		running = len(s.running)
		return nil
	})
	return running > 0, err
}

// nudge begins a round at once, which looks for the connections of blocked
// tenants.
func (e *Engine) nudge() {
	select {
	case e.nudged <- struct{}{}:
	default: // it is due already
	}
}
