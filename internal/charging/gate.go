package charging

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/evcs/evcs/internal/alarm"
	"github.com/evcs/evcs/internal/device"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/station"
	"github.com/evcs/evcs/internal/tenant"
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

// Directory is what the gate reads of chargers; store.Stations satisfies it.
type Directory interface {
	ChargerByDevice(ctx context.Context, deviceID string) (*station.Charger, error)
	Station(ctx context.Context, scope evcs.Scope, id evcs.StationID) (*station.Station, error)
	Credential(ctx context.Context, scope evcs.Scope, id evcs.ChargerID) (*station.Credential, error)
}

// Chains reads a tenant with its ancestors; store.Tenants satisfies it.
type Chains interface {
	Chain(ctx context.Context, id evcs.TenantID) (tenant.Chain, error)
}

// Gate decides which devices may talk. It implements device.Gate. It only
// reads, outside any transaction: a storm of reconnects costs no writes.
// Secrets are opened once and kept in memory while their sealed form stays the
// same.
type Gate struct {
	Chargers Directory
	Tenants  Chains
	Sealer   Opener
	Clock    evcs.Clock
	Log      *slog.Logger
	Refusal  RefusalBook
	Alarm    Transact // raises DeviceAuthFailure
	// Authorities are those whose client certificates prove a device by its name
	// (security profile 3); nil: none. It may change from call to call.
	Authorities func() *x509.CertPool

	mu       sync.Mutex
	secrets  map[string]string      // guarded by mu: sealed → plain
	failures map[string][]time.Time // guarded by mu: refused secrets of registered devices, the last few
}

// maxSecrets bounds the opened secrets in memory.
const maxSecrets = 50_000

// Admit checks a device: it is registered, its tenant is not blocked, it is
// enabled, its address is allowed, and it proved itself as its security profile
// demands: 1 with a valid secret, 2 the same over TLS, 3 with a client
// certificate, 0 by nothing but one of the addresses that it names.
func (g *Gate) Admit(ctx context.Context, c device.Credential) (device.Identity, error) {
	now := g.Clock.Now()
	charger, err := g.Chargers.ChargerByDevice(ctx, c.DeviceID)
	if errors.Is(err, station.ErrChargerNotFound) {
		return device.Identity{}, device.ErrUnknown
	}
	if err != nil {
		return device.Identity{}, err
	}
	chain, err := g.Tenants.Chain(ctx, charger.Tenant)
	if err != nil {
		return device.Identity{}, err
	}
	cred, err := g.Chargers.Credential(ctx, evcs.Only(charger.Tenant), charger.ID)
	if err != nil {
		return device.Identity{}, err
	}
	if err := g.prove(cred, c, now); err != nil {
		return device.Identity{}, err
	}
	if charger.Protocol != "" && charger.Protocol != c.Protocol {
		return device.Identity{}, device.ErrProtocol
	}
	if err := chain.Blocked(now); err != nil && !c.Settling {
		return device.Identity{}, err
	}
	if !charger.Enabled && !c.Settling {
		return device.Identity{}, charger.DisabledError(0)
	}
	return g.identity(ctx, charger, cred, chain.Settings().Zone())
}

func (g *Gate) identity(ctx context.Context, c *station.Charger, cred *station.Credential, zone *time.Location) (device.Identity, error) {
	place, err := g.Chargers.Station(ctx, evcs.Only(c.Tenant), c.Station)
	if err != nil {
		return device.Identity{}, err
	}
	heartbeat := cred.Heartbeat
	if heartbeat <= 0 {
		heartbeat = station.DefaultHeartbeat
	}
	return device.Identity{Tenant: c.Tenant, Charger: c.ID, DeviceID: c.DeviceID, Heartbeat: heartbeat, Zone: place.Zone(zone)}, nil
}

// prove checks the address, then the certificate or the secret.
func (g *Gate) prove(cred *station.Credential, c device.Credential, now time.Time) error {
	switch {
	case !cred.Allows(c.Address):
		return device.ErrAddress
	case cred.SecurityProfile >= 2 && !c.TLS:
		return device.ErrNeedsTLS
	case cred.SecurityProfile == 3 && !g.certified(cred, c, now):
		return device.ErrCertificate
	case cred.SecurityProfile == 3 && !c.Signed:
		return nil
	case c.Verify == nil && cred.SecurityProfile == 0 && len(cred.AllowCIDR) > 0:
		return nil
	case c.Verify == nil:
		return device.ErrAuthFailed
	}
	fits := false
	var unread error
	for _, sealed := range cred.Sealed(now) {
		secret, err := g.open(sealed)
		if err != nil { // of a lost key; the other secret may still prove it
			unread = err
			continue
		}
		fits = c.Verify(secret) || fits
	}
	switch {
	case fits:
		return nil
	case unread != nil:
		return unread
	}
	return device.ErrAuthFailed
}

// certified reports whether the certificate is this device's. A stored
// fingerprint pins one certificate, whoever issued it; without one the common
// name must be the device id and one of the authorities the issuer.
func (g *Gate) certified(cred *station.Credential, c device.Credential, now time.Time) bool {
	if len(c.Certificates) == 0 {
		return false
	}
	own := c.Certificates[0]
	if now.Before(own.NotBefore) || now.After(own.NotAfter) {
		return false
	}
	if cred.ClientCert != nil {
		sum := sha256.Sum256(own.Raw)
		return subtle.ConstantTimeCompare([]byte(hex.EncodeToString(sum[:])), []byte(*cred.ClientCert)) == 1
	}
	var roots *x509.CertPool
	if g.Authorities != nil {
		roots = g.Authorities()
	}
	if roots == nil || own.Subject.CommonName != c.DeviceID {
		return false
	}
	between := x509.NewCertPool()
	for _, issuer := range c.Certificates[1:] {
		between.AddCert(issuer)
	}
	_, err := own.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	return err == nil
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

// Refused lists a refused device for the person who installs it. A registered
// device that is refused again and again raises an alert.
func (g *Gate) Refused(ctx context.Context, r device.Refusal) {
	ctx = context.WithoutCancel(ctx)
	if r.At.IsZero() {
		r.At = g.Clock.Now()
	}
	charger, err := g.Chargers.ChargerByDevice(ctx, r.DeviceID)
	var owner evcs.TenantID
	switch {
	case err == nil:
		owner = charger.Tenant
	case errors.Is(err, station.ErrChargerNotFound):
		err = nil
	}
	r.DeviceID, r.Hint, r.Address, r.Protocol = clip(r.DeviceID, 64), clip(r.Hint, 200), clip(r.Address, 64), clip(r.Protocol, 20)
	if err == nil {
		err = g.Refusal.Refuse(ctx, owner, Refusal(r))
	}
	if err == nil && owner != 0 && r.Reason == badCredential && g.guessing(r.DeviceID, r.At) {
		err = g.Alarm(ctx, func(tx Tx) error {
			return alarm.Raise(ctx, tx.Alarms(), alarm.Alert{
				Tenant: owner, Rule: alarm.DeviceAuthFailure, Target: alarm.Target{Type: "DEVICE", ID: r.DeviceID}, Station: charger.Station,
				Charger: charger.ID, Message: charger.Code + ": " + r.Address,
			}, r.At)
		})
	}
	if err != nil && g.Log != nil {
		g.Log.WarnContext(ctx, "refusal not listed", slog.Any("device", r.DeviceID), slog.Any("error", err))
	}
}

// badCredential is the reason of a refused secret.
const badCredential = "BAD_CREDENTIAL"

const (
	guessLimit  = 5 // more than this in the window raise an alert
	guessWindow = 5 * time.Minute
	maxGuessed  = 10_000 // devices that are counted
)

// guessing counts a refused secret and reports whether they are too many. It
// says so once per limit, so that a stuck charger does not write forever.
func (g *Gate) guessing(deviceID string, at time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.failures == nil || len(g.failures) >= maxGuessed {
		g.failures = make(map[string][]time.Time)
	}
	recent := append(slices.DeleteFunc(g.failures[deviceID], func(t time.Time) bool { return at.Sub(t) > guessWindow }), at)
	if len(recent) <= guessLimit {
		g.failures[deviceID] = recent
		return false
	}
	delete(g.failures, deviceID)
	return true
}

func clip(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}
