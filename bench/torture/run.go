package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/evcs/evcs/bench/probe"
	"github.com/evcs/evcs/internal/chargersim"
	"github.com/evcs/evcs/internal/chargersim/journal"
	"github.com/evcs/evcs/internal/evcs"
)

// The engines.
const (
	sqlite   = "sqlite"
	postgres = "postgres"
)

// torture is one run.
type torture struct {
	options
	clock   evcs.Clock
	log     io.Writer
	luck    *rand.Rand
	daemon  *probe.Daemon
	cluster *cluster // nil: somebody else's server
	admin   *probe.Client
	site    probe.Site
	gate    *gate // nil: customers pay through the sandbox and at the desk
	fleet   *chargersim.Fleet
	till    *till
	clerks  *clerks
	faulty  findings
	began   time.Duration
}

// findings are violations, collected from everywhere.
type findings struct {
	mu    sync.Mutex
	texts []string     // guarded by mu
	kinds map[kind]int // guarded by mu
}

func (f *findings) add(k kind, format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.kinds == nil {
		f.kinds = map[kind]int{}
	}
	f.kinds[k]++
	f.texts = append(f.texts, string(k)+": "+fmt.Sprintf(format, args...))
}

// rank puts the gravest violations first: a list may be long.
func rank(text string) int {
	for i, k := range []kind{lostStart, lostPayment, lostRefund, lostStop, lostMeter, lostNotice, unknown, lostBill, lostReview} {
		if strings.HasPrefix(text, string(k)) {
			return i
		}
	}
	return maxListed // in the order in which they were found
}

// maxListed bounds the list of violations that is printed.
const maxListed = 200

func (t *torture) say(format string, args ...any) {
	fmt.Fprintf(t.log, "torture: %5.1f s: %s\n", (probe.Monotonic() - t.began).Seconds(), fmt.Sprintf(format, args...)) // progress only
}

func (t *torture) run(ctx context.Context) (s summary, err error) {
	s = summary{
		Engine: t.engine, Seed: t.seed, Kills: t.kills, DBKills: t.dbKills, Full: t.full, Chargers: t.chargers, Customers: t.customers,
		Violations: []string{},
	}
	t.began = probe.Monotonic()
	cleanup, err := t.prepare(ctx)
	defer func() {
		t.keep = t.keep || err != nil || s.Found > 0
		cleanup()
	}()
	if err != nil {
		return s, err
	}
	life, end := context.WithCancel(ctx)
	defer end()
	ran := make(chan error, 1)
	go func() { ran <- t.fleet.Run(life) }()
	t.till = newTill(t, life)
	t.clerks.begin(life)
	if err := t.kill(ctx, &s); err != nil {
		return s, err
	}
	last := probe.Monotonic()
	pause(ctx, t.after)
	t.say("%d kills done, the chargers tell the rest", t.kills)
	if err := t.windUp(ctx, end, ran); err != nil {
		return s, err
	}
	t.say("the clerks close the day")
	if err := t.clerks.close(ctx, &s); err != nil {
		return s, err
	}
	t.say("everything is compared")
	v := &verifier{torture: t, s: &s}
	if err := v.verify(ctx); err != nil {
		return s, err
	}
	s.Counts, s.Found, s.Kinds = t.fleet.Counts(), len(t.faulty.texts), t.faulty.kinds
	slices.SortStableFunc(t.faulty.texts, func(a, b string) int { return rank(a) - rank(b) })
	s.Violations = append(s.Violations, t.faulty.texts[:min(s.Found, maxListed)]...)
	s.Seconds, s.WindUp = int64((probe.Monotonic() - t.began).Seconds()), int64((probe.Monotonic() - last).Seconds())
	return s, nil
}

// prepare starts evcsd and builds the site, the fleet included.
func (t *torture) prepare(ctx context.Context) (cleanup func(), err error) {
	cleanup = func() {}
	dir, err := os.MkdirTemp("", "evcs-torture-")
	if err != nil {
		return cleanup, fmt.Errorf("temporary folder: %w", err)
	}
	t.daemon = &probe.Daemon{Binary: t.evcsd, Dir: dir, Extra: probe.LimitsOff, Password: probe.NewPassword(t.clock)}
	drop, shut := func() {}, func() {}
	cleanup = func() {
		if p := t.daemon.Process(); p != nil {
			p.Kill()
		}
		_ = t.daemon.Close() // only a log
		shut()
		drop()
		t.cluster.remove()
		if t.keep {
			t.say("the data and the log are kept in %s", dir)
			return
		}
		_ = os.RemoveAll(dir) // temporary
	}
	if t.engine == postgres {
		if t.dbKills > 0 {
			if t.cluster, err = startCluster(ctx); err != nil {
				return cleanup, err
			}
			t.dsn = t.cluster.dsn()
		}
		if t.daemon.DSN, drop, err = createDatabase(ctx, t.dsn, t.clock); err != nil {
			return cleanup, err
		}
	}
	if t.channels {
		if t.gate, err = openGate(ctx, t); err != nil {
			return cleanup, err
		}
		shut = t.gate.end
		t.daemon.Extra += t.gate.settings()
	}
	if err := t.daemon.Prepare(ctx); err != nil {
		return cleanup, err
	}
	if t.gate != nil {
		t.gate.to = t.daemon.BaseURL()
	}
	if err := t.daemon.Migrate(ctx); err != nil {
		return cleanup, err
	}
	if err := t.daemon.Start(ctx, t.patience); err != nil {
		return cleanup, err
	}
	t.say("evcsd runs in %s", dir)
	return cleanup, t.furnish(ctx)
}

// furnish builds the site, the people and the chargers.
func (t *torture) furnish(ctx context.Context) (err error) {
	t.admin = probe.NewClient(t.daemon.BaseURL(), t.customers+4)
	if err := t.admin.Login(ctx, "admin@tenant1", t.daemon.Password); err != nil {
		return err
	}
	t.site, err = probe.Build(ctx, t.admin, probe.SiteOptions{
		Code: "TORTURE", Chargers: t.chargers, Connectors: 1, RatedKW: 200, Protocol: chargersim.OCPP16,
		Other: chargersim.CloudCharge, OtherChargers: t.cloud,
	})
	if err != nil {
		return err
	}
	if err := t.admin.Login(ctx, t.site.User, t.site.Password); err != nil {
		return err
	}
	t.say("%d chargers exist", t.chargers)
	if t.gate != nil {
		if err := t.gate.register(ctx, t.admin); err != nil {
			return err
		}
	}
	if t.clerks, err = hireClerks(ctx, t); err != nil {
		return err
	}
	if err := t.change(ctx); err != nil {
		return err
	}
	return t.newFleet()
}

// change goes on with the evcsd that is to be tortured instead of the one that
// set everything up.
func (t *torture) change(ctx context.Context) (err error) {
	if t.under == "" {
		return nil
	}
	t.daemon.Process().Kill()
	if t.daemon.Binary, err = filepath.Abs(t.under); err != nil {
		return fmt.Errorf("path of evcsd: %w", err)
	}
	return t.daemon.Start(ctx, t.patience)
}

func (t *torture) newFleet() error {
	faults, err := chargersim.ParseFaults(t.faults)
	if err != nil {
		return err
	}
	kinds := chargersim.Kinds()
	list := make([]chargersim.ChargerConfig, 0, len(t.site.Chargers))
	for i, c := range t.site.Chargers {
		list = append(list, chargersim.ChargerConfig{DeviceID: c.DeviceID, Secret: c.Secret, Protocol: c.Protocol, Kind: kinds[i%len(kinds)]})
	}
	zone, err := time.LoadLocation(evcs.DefaultTimeZone)
	if err != nil {
		return fmt.Errorf("time zone: %w", err)
	}
	scenario := chargersim.Scenarios()["busy"]
	span := time.Duration(t.kills+15) * lifeEstimate * time.Duration(t.speed)
	t.fleet, err = chargersim.New(chargersim.Config{
		Endpoint: t.daemon.DeviceURL(), HTTP: t.daemon.CloudURL(), Chargers: list, Seed: t.seed, Speed: t.speed,
		Lead: min(span, chargersim.MaxLead), Scenario: &scenario, Faults: faults, PlainTimes: true, AnswerTimeout: t.answer,
		Backoff: 100 * time.Millisecond, Reckon: func(s journal.Session) int64 { return reckon(s, zone) },
	})
	return err
}

// reckon is what a charger says itself that a session cost: every second one
// knows our prices, the others say nothing. A fault makes some say too much.
func reckon(s journal.Session, zone *time.Location) int64 {
	if s.Start == nil || (s.DeviceID[len(s.DeviceID)-1]-'0')%2 == 1 {
		return 0
	}
	return price(s, zone)
}

// calmLives is how many of the last lives the gateway has no trouble in: what
// evcsd does not know it asks for after half a minute, and the end is not to wait.
const calmLives = 3

// kill lets evcsd live and die.
func (t *torture) kill(ctx context.Context, s *summary) error {
	for n := range t.kills {
		if n+calmLives < t.kills {
			t.gate.trouble(n)
		}
		life := t.least + time.Duration(t.luck.Int64N(int64(t.most-t.least)+1))
		timer := time.NewTimer(life)
		select {
		case <-timer.C:
		case <-t.daemon.Process().Done():
			return fmt.Errorf("evcsd ended by itself before kill %d: see %s", n+1, t.daemon.LogPath())
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
		if err := t.accident(ctx, n); err != nil {
			return fmt.Errorf("before kill %d: %w", n+1, err)
		}
		if n%2 == 1 {
			t.gate.behind(ctx, t.luck)
		}
		t.daemon.Process().Kill()
		if err := t.killAtStart(ctx, s); err != nil {
			return err
		}
		err := t.rise(ctx, s)
		if err == nil {
			err = t.gate.look(ctx, t.admin, &t.faulty)
		}
		if err != nil {
			return fmt.Errorf("after kill %d: %w", n+1, err)
		}
		if (n+1)%10 == 0 {
			t.say("%d of %d kills, slowest restart %d ms", n+1, t.kills, s.SlowestMs)
		}
	}
	return nil
}

// rise starts evcsd again.
func (t *torture) rise(ctx context.Context, s *summary) error {
	began := probe.Monotonic()
	if err := t.daemon.Start(ctx, t.patience); err != nil {
		return err
	}
	s.SlowestMs = max(s.SlowestMs, (probe.Monotonic() - began).Milliseconds())
	return nil
}

// killAtStart sometimes kills the next life before it is ready, in the middle
// of recovery.
func (t *torture) killAtStart(ctx context.Context, s *summary) error {
	if t.luck.IntN(5) > 0 {
		return nil
	}
	p, err := t.daemon.Launch(ctx)
	if err != nil {
		return err
	}
	pause(ctx, time.Duration(t.luck.Int64N(int64(300*time.Millisecond))))
	p.Kill()
	s.AtStart++
	return nil
}

// windUp lets chargers and customers finish. What a charger cannot tell is a
// violation: it was not taken.
func (t *torture) windUp(ctx context.Context, end context.CancelFunc, ran chan error) error {
	stop := context.AfterFunc(ctx, end)
	defer stop()
	timer := time.AfterFunc(t.drain, end)
	defer timer.Stop()
	if err := t.fleet.WindUp(ctx); err != nil {
		return fmt.Errorf("end of the chargers: %w", err)
	}
	if err := <-ran; err != nil {
		t.faulty.add(notTaken, "within %v: %v", t.drain, err)
	}
	t.clerks.end()
	t.till.close()
	return ctx.Err()
}
