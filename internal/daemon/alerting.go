package daemon

import (
	"context"
	"fmt"
	"time"

	"github.com/evcs/evcs/internal/alarm"
	"github.com/evcs/evcs/internal/auth"
	"github.com/evcs/evcs/internal/config"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/health"
	"github.com/evcs/evcs/internal/httpapi"
	"github.com/evcs/evcs/internal/jobs"
	"github.com/evcs/evcs/internal/notify"
	"github.com/evcs/evcs/internal/store"
	"github.com/evcs/evcs/internal/tenant"
	"github.com/evcs/evcs/internal/webhook"
)

const (
	evaluateEvery = 15 * time.Second
	tellEvery     = time.Second
	pumpEvery     = 500 * time.Millisecond
	repeatEvery   = time.Minute
	keepLockouts  = 8 * 24 * time.Hour
	keepNotices   = 90 * 24 * time.Hour
	// keepDeliveries is longer than any delivery is tried.
	keepDeliveries = 7 * 24 * time.Hour
)

// outward is a transaction as alerts' rules, channels and webhooks see it.
type outward struct{ *store.Tx }

// AlertRules implements alarm.Tx and alarm.HeraldTx, as all that follow.
func (x outward) AlertRules() alarm.RuleStore { return store.AlertRulesOf(x.Tx) }

// Channels are the channels.
func (x outward) Channels() alarm.ChannelStore { return store.ChannelsOf(x.Tx) }

// Notices are the notices.
func (x outward) Notices() alarm.NoticeStore { return store.NoticesOf(x.Tx) }

// Outbox is the outbox of lasting readers.
func (x outward) Outbox() alarm.Outbox { return store.OutboxOf(x.Tx) }

// Leases are what one node does at a time.
func (x outward) Leases() alarm.Conditions { return store.ConditionsOf(x.Tx) }

// Webhooks implements webhook.Tx and webhook.PumpTx, as Queue does.
func (x outward) Webhooks() webhook.Store { return store.WebhooksOf(x.Tx) }

// Queue is the queue of deliveries.
func (x outward) Queue() webhook.Queue { return store.WebhookQueueOf(x.Tx) }

// within runs a function of some view of a transaction, durably.
func within[T any](d *Daemon, view func(outward) T) func(ctx context.Context, fn func(T) error) error {
	return func(ctx context.Context, fn func(T) error) error {
		return d.db.Transact(ctx, func(tx *store.Tx) error { return fn(view(outward{tx})) })
	}
}

// gathered is within for what may wait a little.
func gathered[T any](d *Daemon, view func(outward) T) func(ctx context.Context, fn func(T) error) error {
	return func(ctx context.Context, fn func(T) error) error {
		return d.db.Gather(ctx, func(tx *store.Tx) error { return fn(view(outward{tx})) })
	}
}

// wireAlerting makes what acts on alerts and events: rules, channels, webhooks.
func (d *Daemon) wireAlerting(p *parts) error {
	clock, log, read, cfg := d.opt.Clock, d.opt.Log, d.db.Reader(), d.opt.Config
	open, err := config.Prefixes(cfg.Outbound.AllowCIDR)
	if err != nil {
		return fmt.Errorf("outbound.allowCidr: %w", err)
	}
	sender := notify.NewSender(open, nil)
	crier := notify.Crier{Sender: sender}
	if m := cfg.Mail; m.Host != "" {
		crier.Mail = notify.NewMailer(notify.MailServer{
			Host: m.Host, Port: m.Port, Username: m.Username, Password: m.Password, From: m.From, Security: m.Security,
		})
	}
	verbs := within(d, func(x outward) alarm.Tx { return x })
	hooks := within(d, func(x outward) webhook.Tx { return x })
	herald := &alarm.Herald{
		Clock: clock, Log: log, Node: d.node(), Read: read.Notices(), Sealer: p.sealer, Courier: crier,
		Transact: gathered(d, func(x outward) alarm.HeraldTx { return x }),
	}
	pump := &webhook.Pump{
		Clock: clock, Log: log, Read: read.WebhookQueue(), Sealer: p.sealer, Courier: sender, Owners: p.guard, Body: httpapi.EventBody,
		Transact: gathered(d, func(x outward) webhook.PumpTx { return x }),
	}
	watch := &alarm.Watch{
		Clock: clock, Log: log, Gauges: gauges{d, p}, Node: d.node(), Alive: p.aliveNodes(clock),
		Transact: func(ctx context.Context, fn func(alarm.Store, alarm.Conditions) error) error {
			return d.db.Gather(ctx, func(tx *store.Tx) error { return fn(tx.Alarms(), store.ConditionsOf(tx)) })
		},
	}
	p.runner.Jobs = append(p.runner.Jobs, d.alertJobs(watch, herald, pump)...)
	p.api = append(p.api, d.exports(p),
		httpapi.Alerting{
			Rules:    &alarm.Rulebook{Clock: clock, Transact: verbs},
			Channels: &alarm.Directory{Clock: clock, Transact: verbs, Sealer: p.sealer, Courier: crier, PlainHTTP: cfg.Outbound.PlainHTTP},
			ReadRule: read.AlertRules(), ReadChan: read.Channels(),
		},
		httpapi.Webhooks{Read: read.Webhooks(), Write: &webhook.Registry{
			Clock: clock, Transact: hooks, Sealer: p.sealer, Courier: sender, Body: httpapi.EventBody, PlainHTTP: cfg.Outbound.PlainHTTP,
		}},
	)
	return nil
}

// exports are the lists as CSV.
func (d *Daemon) exports(p *parts) httpapi.Exports {
	read := d.db.Reader()
	orders := httpapi.Orders{Clock: d.opt.Clock, Read: read.Orders(), Chargers: read.Stations(), Engine: p.engine}
	return httpapi.Exports{
		Orders: orders, Sessions: httpapi.Sessions{Read: read.Orders(), Chargers: read.Stations(), Engine: p.engine, Orders: orders},
		Payments: httpapi.Payments{Read: read.Payments(), Orders: orders, Till: p.till}, Stations: httpapi.Stations{Read: read.Stations()},
		Chargers: httpapi.Chargers{Clock: d.opt.Clock, Read: read.Stations()}, Recon: httpapi.Recon{Read: read.Recon(), Clock: d.opt.Clock},
		Audit: httpapi.Audit{Clock: d.opt.Clock, Read: read.Tenants()}, Clock: d.opt.Clock,
		Note: func(ctx context.Context, a *evcs.Actor, row tenant.AuditRow) error {
			return d.db.Transact(ctx, func(tx *store.Tx) error { return tenant.Audit(ctx, tx.Tenants(), a, row) })
		},
	}
}

// alertJobs are what acts by the clock.
func (d *Daemon) alertJobs(watch *alarm.Watch, herald *alarm.Herald, pump *webhook.Pump) []jobs.Job {
	prune := func(age time.Duration, f func(tx *store.Tx, ctx context.Context, before int64, n int) (int64, error)) func(context.Context) (int, error) {
		return func(ctx context.Context) (int, error) {
			var n int64
			before := evcs.Millis(d.opt.Clock.Now().Add(-age))
			err := d.db.Gather(ctx, func(tx *store.Tx) (err error) {
				n, err = f(tx, ctx, before, pruneBatch)
				return err
			})
			return int(n), err
		}
	}
	return []jobs.Job{
		{Name: "alert rules", Every: evaluateEvery, Run: watch.Evaluate},
		{Name: "queue notices", Every: tellEvery, Full: alarm.NoticeBatch, Run: herald.Enqueue},
		{Name: "tell alerts", Every: tellEvery, Run: herald.Deliver},
		{Name: "repeat alerts", Every: repeatEvery, Run: herald.Repeat},
		{Name: "queue webhooks", Every: pumpEvery, Full: webhook.Batch, Run: pump.Enqueue},
		{Name: "deliver webhooks", Every: pumpEvery, Run: pump.Deliver},
		{Name: "prune lockouts", Every: time.Hour, Full: pruneBatch, Run: prune(keepLockouts, store.PruneLockouts)},
		{Name: "prune notices", Every: time.Hour, Full: pruneBatch, Run: prune(keepNotices, store.PruneNotices)},
		{Name: "prune deliveries", Every: time.Hour, Full: pruneBatch, Run: prune(max(keepDeliveries, d.opt.Config.Events.Retention), store.PruneDeliveries)},
	}
}

// aliveNodes lists the nodes that are heard.
func (p *parts) aliveNodes(clock evcs.Clock) func(context.Context) []string {
	return func(ctx context.Context) []string {
		var names []string
		for _, n := range p.watch.Nodes(ctx) {
			if n.Heard(clock.Now()) {
				names = append(names, n.ID)
			}
		}
		return names
	}
}

// lockouts are the lockouts of an account that raise an alert, within a day.
const (
	lockouts    = 3
	lockoutSpan = 24 * time.Hour
)

// lockedOut counts a lockout, and raises LoginLockout with the third of a day.
// The guard's own Tx has no alerts; the store's, which it is, has.
func lockedOut(ctx context.Context, tx auth.Tx, u *auth.User, at time.Time) error {
	own, ok := tx.(*store.Tx)
	if !ok {
		return nil
	}
	n, err := store.NoteLockout(ctx, own, u.Tenant, u.ID, at, at.Add(-lockoutSpan))
	if err != nil || n < lockouts {
		return err
	}
	return alarm.Raise(ctx, own.Alarms(), alarm.Alert{
		Tenant: u.Tenant, Rule: alarm.LoginLockout, Target: alarm.OfNumber("USER", int64(u.ID)), Message: u.Username,
	}, at)
}

// exceeded tells of quotas that have refused something.
func (d *Daemon) exceeded() func(context.Context, error) {
	x := &tenant.Exceedances{Clock: d.opt.Clock, Log: d.opt.Log, Transact: func(ctx context.Context, fn func(tenant.Tx) error) error {
		return d.db.Gather(ctx, func(tx *store.Tx) error { return fn(tx) })
	}}
	return x.Note
}

// gauges reads the metrics of alert rules: those of the installation here, the
// tenants' in the store.
type gauges struct {
	d *Daemon
	p *parts
}

// hostMetrics are the figures behind the metrics of the host.
var hostMetrics = map[string][]health.Metric{
	"http_error_rate": {health.HTTPErrorRate}, "http_p95_ms": {health.HTTPP95}, "cpu_usage": {health.HostCPU},
	"memory_usage": {health.HostMemory, health.ProcessMemory}, "disk_usage": {health.HostDisk}, "clock_skew": {health.ClockOff},
	"database_connections": {health.DBConnections}, "database_longest_transaction": {health.DBTransaction},
	"database_replication_lag": {health.DBLag}, "outbox_lag": {health.OutboxLag},
}

// Read implements alarm.Gauges.
func (g gauges) Read(ctx context.Context, metric string, now time.Time) ([]alarm.Reading, error) {
	switch metric {
	case "service_down":
		return g.services(ctx, now), nil
	case "certificate_days_left":
		paid, err := g.merchantCertificates(ctx, now)
		return append(g.certificates(now), paid...), err
	}
	list, host := hostMetrics[metric]
	if !host {
		return g.d.db.Reader().Gauges().Read(ctx, metric, now)
	}
	reading := alarm.Reading{Target: alarm.Target{Type: "SYSTEM", ID: metric}}
	if m, _ := alarm.MetricOf(metric); m.PerNode {
		reading.Target, reading.Label, reading.Note = alarm.NodeTarget(g.d.node()), g.d.node(), g.d.node()
	}
	measured := false
	for _, name := range list {
		f, ok, err := g.d.figures(g.p).Figure(ctx, name, evcs.Scope{})
		if err != nil {
			return nil, err
		}
		if ok {
			measured = true
			reading.Value, reading.Samples = max(reading.Value, evcs.Milli(f.Value)), max(reading.Samples, f.Samples)
		}
	}
	if !measured {
		return nil, nil
	}
	return []alarm.Reading{reading}, nil
}

func (g gauges) services(ctx context.Context, now time.Time) []alarm.Reading {
	var list []alarm.Reading
	for _, part := range health.Judge(g.p.watch.Nodes(ctx), now) {
		r := alarm.Reading{Target: alarm.Target{Type: "SERVICE", ID: part.Name}, Label: part.Name, Note: part.Name}
		if part.Status == health.Down {
			r.Value = 1000
		}
		list = append(list, r)
	}
	return list
}

// maxCertified bounds how many merchant accounts are looked at.
const maxCertified = 1000

// merchantCertificates are the certificates by which payment channels prove what
// they send.
func (g gauges) merchantCertificates(ctx context.Context, now time.Time) ([]alarm.Reading, error) {
	accounts, err := g.d.db.Reader().Payments().MerchantsWithCertificates(ctx, maxCertified)
	if err != nil {
		return nil, err
	}
	var list []alarm.Reading
	for i := range accounts {
		m := &accounts[i]
		until := m.CertificateExpires()
		if until.IsZero() {
			continue
		}
		list = append(list, alarm.Reading{
			Target: alarm.Target{Type: "CERTIFICATE", ID: fmt.Sprintf("merchant %d", m.ID)}, Label: "payment", Value: alarm.DaysUntil(until, now),
			Note: fmt.Sprintf("%s account %d %q of tenant %d: %s", m.Channel, m.ID, m.Name, m.Tenant, until.Format(time.RFC3339)),
		})
	}
	return list, nil
}

func (g gauges) certificates(now time.Time) []alarm.Reading {
	var list []alarm.Reading
	for _, c := range g.d.Certificates() {
		list = append(list, alarm.Reading{
			Target: alarm.Target{Type: "CERTIFICATE", ID: c.Purpose + " " + c.Subject}, Label: c.Purpose, Value: alarm.DaysUntil(c.Until, now),
			Note: c.File + ": " + c.Subject + " " + c.Until.Format(time.RFC3339),
		})
	}
	return list
}
