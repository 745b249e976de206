package charging

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/evcs/evcs/internal/device"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/station"
)

// Opener opens sealed secrets; auth.Sealer is one.
type Opener interface {
	Open(sealed string) ([]byte, error)
}

// RefusalBook keeps the list of refused devices, bounded.
type RefusalBook interface {
	// Refuse counts one refusal and keeps the list bounded; tenant is zero for a
	// device nobody registered.
	Refuse(ctx context.Context, tenant evcs.TenantID, what Refusal) error
}

// Refusal is one refused device in plain words.
type Refusal = struct {
	DeviceID, Protocol, Address, Reason, Hint string
	At                                        time.Time
}

// Gate decides which devices may talk. It implements device.Gate. Secrets are
// opened once and kept in memory while their sealed form stays the same.
type Gate struct {
	Read    Transact // any transaction; it only reads
	Sealer  Opener
	Clock   evcs.Clock
	Log     *slog.Logger
	Refusal RefusalBook

	mu      sync.Mutex
	secrets map[string]string // guarded by mu: sealed → plain
}

// maxSecrets bounds the opened secrets in memory.
const maxSecrets = 50_000

// Admit checks a device: it is registered, its tenant is not blocked, it is
// enabled, its address is allowed, and it showed a valid secret. Without a
// secret only where its charger has security profile 0 and names the allowed
// addresses.
func (g *Gate) Admit(ctx context.Context, c device.Credential) (device.Identity, error) {
	var id device.Identity
	err := g.Read(ctx, func(tx Tx) error {
		charger, err := tx.Stations().ChargerByDevice(ctx, c.DeviceID)
		if errors.Is(err, station.ErrChargerNotFound) {
			return device.ErrUnknown
		}
		if err != nil {
			return err
		}
		scope := evcs.Only(charger.Tenant)
		chain, err := tx.Tenants().Chain(ctx, charger.Tenant)
		if err != nil {
			return err
		}
		cred, err := tx.Stations().Credential(ctx, scope, charger.ID)
		if err != nil {
			return err
		}
		if err := g.prove(cred, c, g.Clock.Now()); err != nil {
			return err
		}
		if charger.Protocol != "" && charger.Protocol != c.Protocol {
			return device.ErrAuthFailed
		}
		if err := chain.Blocked(g.Clock.Now()); err != nil {
			return err
		}
		if !charger.Enabled {
			return charger.DisabledError(0)
		}
		id, err = identity(ctx, tx, charger, cred, chain.Settings().Zone())
		return err
	})
	return id, err
}

func identity(ctx context.Context, tx Tx, c *station.Charger, cred *station.Credential, zone *time.Location) (device.Identity, error) {
	place, err := tx.Stations().Station(ctx, evcs.Only(c.Tenant), c.Station)
	if err != nil {
		return device.Identity{}, err
	}
	heartbeat := cred.Heartbeat
	if heartbeat <= 0 {
		heartbeat = station.DefaultHeartbeat
	}
	return device.Identity{Tenant: c.Tenant, Charger: c.ID, DeviceID: c.DeviceID, Heartbeat: heartbeat, Zone: place.Zone(zone)}, nil
}

// prove checks the address and the secret.
func (g *Gate) prove(cred *station.Credential, c device.Credential, now time.Time) error {
	if !cred.Allows(c.Address) {
		return device.ErrAuthFailed
	}
	if c.Verify == nil {
		if cred.SecurityProfile == 0 && len(cred.AllowCIDR) > 0 {
			return nil
		}
		return device.ErrAuthFailed
	}
	if cred.SecurityProfile >= 2 && !c.TLS {
		return device.ErrAuthFailed
	}
	fits := false
	for _, sealed := range cred.Sealed(now) {
		secret, err := g.open(sealed)
		if err != nil {
			return err
		}
		fits = c.Verify(secret) || fits
	}
	if !fits {
		return device.ErrAuthFailed
	}
	return nil
}

func (g *Gate) open(sealed string) (string, error) {
	g.mu.Lock()
	secret, known := g.secrets[sealed]
	g.mu.Unlock()
	if known {
		return secret, nil
	}
	plain, err := g.Sealer.Open(sealed)
	if err != nil {
		return "", err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.secrets == nil || len(g.secrets) >= maxSecrets {
		g.secrets = make(map[string]string)
	}
	g.secrets[sealed] = string(plain)
	return string(plain), nil
}

// Refused lists a refused device for the person who installs it.
func (g *Gate) Refused(ctx context.Context, r device.Refusal) {
	ctx = context.WithoutCancel(ctx)
	var owner evcs.TenantID
	err := g.Read(ctx, func(tx Tx) error {
		owner = 0
		c, err := tx.Stations().ChargerByDevice(ctx, r.DeviceID)
		if errors.Is(err, station.ErrChargerNotFound) {
			return nil
		}
		if err == nil {
			owner = c.Tenant
		}
		return err
	})
	if r.At.IsZero() {
		r.At = g.Clock.Now()
	}
	r.DeviceID, r.Hint, r.Address, r.Protocol = clip(r.DeviceID, 64), clip(r.Hint, 200), clip(r.Address, 64), clip(r.Protocol, 20)
	if err == nil {
		err = g.Refusal.Refuse(ctx, owner, Refusal(r))
	}
	if err != nil && g.Log != nil {
		g.Log.WarnContext(ctx, "refusal not listed", "device", r.DeviceID, "error", err)
	}
}

func clip(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}
