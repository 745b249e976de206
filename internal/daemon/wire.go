package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/evcs/evcs/internal/alarm"
	"github.com/evcs/evcs/internal/auth"
	"github.com/evcs/evcs/internal/cashier"
	"github.com/evcs/evcs/internal/charging"
	"github.com/evcs/evcs/internal/closing"
	"github.com/evcs/evcs/internal/config"
	"github.com/evcs/evcs/internal/event"
	"github.com/evcs/evcs/internal/health"
	"github.com/evcs/evcs/internal/httpapi"
	"github.com/evcs/evcs/internal/jobs"
	"github.com/evcs/evcs/internal/outbound"
	"github.com/evcs/evcs/internal/payment"
	"github.com/evcs/evcs/internal/sandboxpay"
	"github.com/evcs/evcs/internal/store"
	"github.com/evcs/evcs/internal/tenant"
)

// parts is what wiring hands from one step to the next.
type parts struct {
	broker    *event.Broker
	relay     *event.Relay
	hasher    *auth.Hasher
	sealer    *auth.Sealer
	rotation  *auth.Rotation
	guard     *auth.Guard
	people    *auth.Registry
	crossings *tenant.Crossings
	metrics   *httpapi.Metrics
	requests  *health.Recorder
	watch     *health.Watch
	runner    *jobs.Runner
	engine    *charging.Engine
	till      *cashier.Till
	bank      *sandboxpay.Bank // nil: not offered
	closer    *closing.Closer
	channels  map[string]payment.Channel
	guards    map[string]*outbound.Guard // by channel
	api       []httpapi.Part
	devices   []part
	work      []part
}

// wire makes the parts and puts them into the phases of the stop.
func (d *Daemon) wire(ctx context.Context) error {
	p := &parts{broker: event.NewBroker(), metrics: httpapi.NewMetrics(), requests: health.NewRecorder(d.opt.Clock)}
	p.relay = event.NewRelay(d.db.Source(), p.broker, d.log(health.Monitoring, "events"))
	d.db.OnEmit(p.relay.Wake)
	if err := d.wireIdentity(ctx, p); err != nil {
		return err
	}
	p.runner = &jobs.Runner{Clock: d.opt.Clock, Log: d.log(health.Monitoring, "jobs"), Jobs: slices.Concat(d.housekeeping(), d.reportJobs(), d.ledgerJobs())}
	deviceHandler, err := d.wireCharging(ctx, p)
	if err != nil {
		return err
	}
	if err := d.wireMoney(p); err != nil {
		return err
	}
	d.wireClosing(p)
	if err := d.giveBack(ctx, p); err != nil {
		return err
	}
	d.wireMonitoring(p)
	if err := d.wireWatch(ctx, p); err != nil {
		return err
	}
	if err := d.wireAlerting(p); err != nil {
		return err
	}
	rest, err := d.restHandler(p)
	if err != nil {
		return err
	}
	deviceHandler = withDocuments(deviceHandler, rest)
	d.phases = []*phase{
		{name: "requests", limit: 20 * time.Second, parts: []part{{"REST listener", d.serveHTTP(d.rest, rest, d.restTLS(), 15*time.Second)}}},
		{name: "devices", limit: 30 * time.Second, parts: append(p.devices, d.deviceListeners(deviceHandler)...)},
		{name: "work", limit: 30 * time.Second, parts: append(p.work, part{"jobs", p.runner.Run})},
		{name: "relay", limit: 10 * time.Second, parts: []part{{"event relay", p.relay.Run}, {"log store", d.logs.Run}, {"traces", d.runSpans}}},
	}
	return nil
}

// wireIdentity makes who may come in, and on the first start the platform
// tenant and its administrator.
func (d *Daemon) wireIdentity(ctx context.Context, p *parts) error {
	cfg := d.opt.Config
	secret, err := key(cfg.Auth.JWTSecret, cfg.DataDir, "jwt.key")
	if err != nil {
		return err
	}
	if err := d.wireSealing(ctx, p); err != nil {
		return fmt.Errorf("sealing key: %w", err)
	}
	if p.hasher, err = auth.NewHasher(); err != nil {
		return fmt.Errorf("password hasher: %w", err)
	}
	transact := func(ctx context.Context, fn func(auth.Tx) error) error {
		return d.db.Transact(ctx, func(tx *store.Tx) error { return fn(tx) })
	}
	p.guard, err = auth.NewGuard(auth.Config{
		Clock: d.opt.Clock, Transact: transact, Read: d.db.Reader().Auth(), Tenants: d.db.Reader().Tenants(), Hasher: p.hasher, Sealer: p.sealer, Secret: secret,
		AccessTTL: cfg.Auth.AccessTTL, RefreshTTL: cfg.Auth.RefreshTTL, RefreshMax: cfg.Auth.RefreshMax,
		FailuresPerMinute: cfg.RateLimit.LoginPerMinute, LockedOut: lockedOut,
	})
	if err != nil {
		return fmt.Errorf("sign-ins: %w", err)
	}
	p.people = &auth.Registry{Clock: d.opt.Clock, Transact: transact, Hasher: p.hasher, Changed: p.guard.Forget}
	if err := d.bootstrap(ctx, p.people); err != nil {
		return err
	}
	return d.wireTenants(p)
}

// bootstrap makes the administrator of the first start and prints a password
// that was made up, once.
func (d *Daemon) bootstrap(ctx context.Context, people *auth.Registry) error {
	given, err := firstPassword(d.opt.Config.Admin.Password, d.opt.Config.Admin.PasswordFile)
	if err != nil {
		return err
	}
	generated, made, err := people.Bootstrap(ctx, given)
	if err != nil {
		return fmt.Errorf("make the administrator: %w", err)
	}
	if made && generated != "" {
		_, err = fmt.Fprintf(d.opt.Notices, "administrator: admin@tenant1\npassword (shown once): %s\n", generated)
	}
	return err
}

func (d *Daemon) wireMonitoring(p *parts) {
	p.api = append(p.api,
		httpapi.Health{Reasons: d.reasons, Metrics: p.metrics.Handler()},
		httpapi.Events{Read: events{d.db}, Broker: p.broker, Guard: p.guard, Clock: d.opt.Clock, Stopping: d.stopping},
		httpapi.Monitoring{
			Read: alerts{d.db.Reader().Alarms(), d.db.Reader().Notices()}, Clock: d.opt.Clock,
			Transact: func(ctx context.Context, fn func(alarm.Store, tenant.Trail) error) error {
				return d.db.Transact(ctx, func(tx *store.Tx) error { return fn(tx.Alarms(), tx.Tenants()) })
			},
		},
	)
}

// reasons says why the daemon is not ready.
func (d *Daemon) reasons(ctx context.Context) []string {
	var reasons []string
	if !d.ready.Load() {
		reasons = append(reasons, "starting or stopping")
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if _, err := d.db.Schema(ctx); err != nil {
		reasons = append(reasons, "the store cannot be read")
	}
	return reasons
}

func (d *Daemon) restHandler(p *parts) (*httpapi.Server, error) {
	cfg := d.opt.Config
	internal, errInternal := config.Prefixes(cfg.Internal.AllowCIDR)
	metrics, errMetrics := config.Prefixes(cfg.Metrics.AllowCIDR)
	proxies, errProxies := config.Prefixes(cfg.Server.TrustedProxy.CIDRs)
	if err := errors.Join(errInternal, errMetrics, errProxies); err != nil {
		return nil, err
	}
	return httpapi.New(httpapi.Config{
		Clock: d.opt.Clock, Log: d.log(health.Gateway, "http"), Guard: p.guard, Tree: tree{d.db}, Crossings: p.crossings, Exceeded: d.exceeded(),
		Replays: d.db.Idempotency(d.opt.Clock, d.node()), Meter: served{p.metrics, p.requests}, Tracer: d.tracer(), Version: d.opt.Build.Version,
		InternalToken: cfg.Internal.Token, InternalCIDR: internal, ProxyCIDR: proxies, ProxySecret: cfg.Server.TrustedProxy.Secret,
		MetricsCIDR: metrics, Limits: apiLimits(cfg.RateLimit), CORSOrigins: cfg.CORS.Origins, Parts: p.api,
	}), nil
}

// node is this node's name in the store: commands and connections are tied to
// it.
func (d *Daemon) node() string {
	if d.opt.Config.Node != "" {
		return d.opt.Config.Node
	}
	host, err := os.Hostname()
	if err != nil {
		d.opt.Log.Warn("the host has no name", slog.Any("error", err))
		host = "localhost"
	}
	if dir, err := filepath.Abs(d.opt.Config.DataDir); err == nil {
		return host + ":" + dir
	}
	return host
}
