package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/health"
	"github.com/evcs/evcs/internal/host"
	"github.com/evcs/evcs/internal/httpapi"
	"github.com/evcs/evcs/internal/payment"
	"github.com/evcs/evcs/internal/sandboxpay"
	"github.com/evcs/evcs/internal/store"
)

const (
	// queueLimit is how old the head of a queue may get.
	queueLimit = time.Minute
	// settleLimit is the same for payments that wait to be asked about: the
	// channel itself may be slow.
	settleLimit = 5 * time.Minute
	skewLimit   = time.Minute
)

// served hands every request to the metrics and to the figures of the node.
type served struct {
	metrics  *httpapi.Metrics
	requests *health.Recorder
}

// Served implements httpapi.Meter.
func (s served) Served(one health.Served) {
	s.metrics.Served(one)
	s.requests.Record(one)
	if slices.Contains(identityRefusals(), one.Refused) {
		s.metrics.Add("evcs_auth_failures_total", 1, one.Refused.Name())
	}
}

// identityRefusals are the codes that say that a credential was not accepted.
func identityRefusals() []evcs.Code {
	return []evcs.Code{
		evcs.CodeBadCredentials, evcs.CodeAccountLocked, evcs.CodeUnauthenticated, evcs.CodeTokenExpired, evcs.CodeAccountDisabled, evcs.CodeRefreshTokenInvalid,
		evcs.CodeTenantDisabled, evcs.CodeTenantExpired,
	}
}

// wireWatch makes what watches this node and shows all of them.
func (d *Daemon) wireWatch(ctx context.Context, p *parts) error {
	schema, err := d.db.Schema(ctx)
	if err != nil {
		return fmt.Errorf("read the schema: %w", err)
	}
	name, err := os.Hostname()
	if err != nil {
		name = "localhost" // the node's own name was made the same way and has been complained about
	}
	sampler := host.New(d.opt.Clock, d.opt.Config.DataDir)
	p.watch = health.NewWatch(health.Config{
		Clock: d.opt.Clock, Log: d.log(health.Monitoring, "watch"), Store: d.db.Watched(), Requests: p.requests, Probes: d.probes(p),
		Node: health.Node{
			ID: d.node(), Host: name, Port: portOf(d.rest), Started: d.opt.Clock.Now(),
			Build: health.Build{
				Version: d.opt.Build.Version, Commit: d.opt.Build.Commit, Built: d.opt.Build.Date, Go: runtime.Version(),
				Schema: schema.Have, DevicePort: portOf(d.device), SealingKeys: p.sealer.Keys(),
			},
		},
		Sample: func(ctx context.Context) health.System {
			s := sampler.Sample(ctx)
			s.Database = d.db.Measure(ctx)
			return s
		},
	})
	p.work = append(p.work, part{"node watch", p.watch.Run})
	p.api = append(p.api, httpapi.Observation{
		Watch: p.watch, Read: store.NewReports(d.db), Alerts: alerts{d.db.Reader().Alarms(), d.db.Reader().Notices()}, Clock: d.opt.Clock,
	})
	p.api = append(p.api, httpapi.Logs{Find: d.logs, Clock: d.opt.Clock})
	return nil
}

// figures answers what alert rules ask.
func (d *Daemon) figures(p *parts) health.Figures {
	return health.Figures{Watch: p.watch, Trade: store.NewReports(d.db), Clock: d.opt.Clock, Outbox: d.outboxSince, Settlement: d.settlementSince}
}

func (d *Daemon) outboxSince(ctx context.Context) (time.Time, error) {
	at, err := d.db.Reader().OutboxAge(ctx)
	return evcs.FromMillis(at), err
}

func (d *Daemon) settlementSince(ctx context.Context) (time.Time, error) {
	at, err := d.db.Reader().SettlementDue(ctx)
	return evcs.FromMillis(at), err
}

// probes are the checks of this node; writing to the store is checked by
// writing the node's row.
func (d *Daemon) probes(p *parts) []health.Probe {
	list := []health.Probe{
		{Name: health.StoreRead, Try: d.db.Ping},
		{Name: health.RESTListener, Try: accepting(d.rest)},
		{Name: health.DeviceListener, Try: accepting(d.device)},
		{Name: health.Outbox, Try: d.younger(d.outboxSince, queueLimit)},
		{Name: health.Settlement, Try: d.younger(d.settlementSince, settleLimit)},
		{Name: health.LogStore, Try: d.logs.Check},
		{Name: health.SealingKeys, Try: keysHeld(p.rotation)},
		{Name: health.Channels, Try: channelsAnswer(p)},
		{Name: health.Jobs, Try: func(context.Context) error {
			if names := p.runner.Overdue(); len(names) > 0 {
				return health.Reason("overdue: " + strings.Join(names, ", "))
			}
			return nil
		}},
	}
	if !strings.HasPrefix(databaseURL(d.opt.Config), "sqlite:") {
		list = append(list, health.Probe{Name: health.ClockSkew, Try: d.clockRight(p)})
	}
	return list
}

// books looks a trade up in the books of the pretended bank, which has no other
// door.
func books(bank *sandboxpay.Bank) func(context.Context) error {
	return func(ctx context.Context) error {
		return bank.Transact(ctx, func(books payment.SandboxBooks) error {
			if _, err := books.Trade(ctx, evcs.Scope{}, "-"); !errors.Is(err, payment.ErrNotFound) {
				return err
			}
			return nil
		})
	}
}

// accepting tries to connect to a listener of our own.
func accepting(l net.Listener) func(context.Context) error {
	return func(ctx context.Context) error {
		var dialer net.Dialer
		c, err := dialer.DialContext(ctx, "tcp", reachable(l.Addr()))
		if err != nil {
			return err
		}
		return c.Close()
	}
}

// reachable is the address by which a listener on every address is found.
func reachable(a net.Addr) string {
	tcp, ok := a.(*net.TCPAddr)
	if !ok || !tcp.IP.IsUnspecified() {
		return a.String()
	}
	if tcp.IP.To4() != nil {
		return net.JoinHostPort("127.0.0.1", fmt.Sprint(tcp.Port))
	}
	return net.JoinHostPort("localhost", fmt.Sprint(tcp.Port))
}

func portOf(l net.Listener) int {
	if tcp, ok := l.Addr().(*net.TCPAddr); ok {
		return tcp.Port
	}
	return 0
}

// younger fails when the head of a queue has waited too long.
func (d *Daemon) younger(since func(context.Context) (time.Time, error), limit time.Duration) func(context.Context) error {
	return func(ctx context.Context) error {
		at, err := since(ctx)
		if err != nil || at.IsZero() {
			return err
		}
		if age := d.opt.Clock.Now().Sub(at); age > limit {
			return health.Reason(fmt.Sprintf("the oldest waits for %s", age.Round(time.Second)))
		}
		return nil
	}
}

// clockRight compares the host's clock with the database server's.
func (d *Daemon) clockRight(p *parts) func(context.Context) error {
	return func(ctx context.Context) error {
		skew := p.watch.System().Database.Skew
		if skew == nil {
			if skew = d.db.Measure(ctx).Skew; skew == nil {
				return health.Reason("the database server does not tell its time")
			}
		}
		if skew.Abs() > skewLimit {
			return health.Reason(fmt.Sprintf("the host's clock is off by %s against the database server", skew.Round(time.Second)))
		}
		return nil
	}
}
