// torture kills an evcsd under load, again and again, with SIGKILL at random
// moments, and then asks whether anything that was acknowledged is missing or
// there twice. Chargers are simulated and speak OCPP over real sockets; paying
// customers use the public API. In the end every charger tells what it has to
// tell, and everything is compared: sessions, meter values, energy, bills,
// payments, refunds, the journal. It exits non-zero and lists every violation.
//
// To see that it can fail, build evcsd with the tag ackfirst, which answers
// before the commit.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/evcs/evcs/bench/probe"
	"github.com/evcs/evcs/internal/chargersim"
	"github.com/evcs/evcs/internal/evcs"
)

// options are the flags.
type options struct {
	evcsd, under, engine, dsn                   string
	kills, chargers, customers                  int
	seed                                        uint64
	speed                                       int
	least, most, after, patience, drain, answer time.Duration
	keep                                        bool
	faults                                      string
}

const (
	maxKills    = 2000
	maxChargers = 2000
	// lifeEstimate is how long one life and one restart take, for the clock of the chargers.
	lifeEstimate = 4 * time.Second
	farthest     = 22 * time.Hour
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Getenv("EVCS_TEST_POSTGRES"), os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, dsn string, out, errOut io.Writer) int {
	o, err := parse(args, dsn, errOut)
	if err != nil {
		fmt.Fprintf(errOut, "torture: %v\n", err) // nowhere left to tell
		return 2
	}
	t := &torture{options: o, clock: evcs.SystemClock{}, log: errOut, luck: rand.New(rand.NewPCG(o.seed, 99))} //nolint:gosec // play
	summary, err := t.run(ctx)
	if err != nil {
		fmt.Fprintf(errOut, "torture: %v\n", err) // nowhere left to tell
		return 1
	}
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	if err := enc.Encode(summary); err != nil || len(summary.Violations) > 0 {
		fmt.Fprintf(errOut, "torture: %d violations\n", summary.Found) // nowhere left to tell
		return 1
	}
	return 0
}

func parse(args []string, dsn string, errOut io.Writer) (options, error) {
	o := options{dsn: dsn}
	f := flag.NewFlagSet("torture", flag.ContinueOnError)
	f.SetOutput(errOut)
	f.StringVar(&o.evcsd, "evcsd", "", "path of the evcsd program")
	f.StringVar(&o.under, "under", "", "another evcsd to torture once everything is set up; to see that a broken one is found")
	f.StringVar(&o.engine, "engine", "sqlite", "sqlite or postgres")
	f.StringVar(&o.dsn, "dsn", dsn, "PostgreSQL server where a database may be created")
	f.IntVar(&o.kills, "kills", 20, "number of SIGKILLs")
	f.IntVar(&o.chargers, "chargers", 200, "simulated chargers")
	f.IntVar(&o.customers, "customers", 8, "paying customers at once")
	f.Uint64Var(&o.seed, "seed", 1, "seed of cars, faults and kills")
	f.IntVar(&o.speed, "speed", 60, "simulated seconds per real second")
	f.StringVar(&o.faults, "faults", "drop=400,lost-answer=100,duplicate=60,reboot=600", "faults of the chargers; none that falsify figures")
	f.DurationVar(&o.least, "min", 300*time.Millisecond, "shortest life")
	f.DurationVar(&o.most, "max", 2500*time.Millisecond, "longest life")
	f.DurationVar(&o.after, "after", 3*time.Second, "load after the last kill")
	f.DurationVar(&o.patience, "patience", 60*time.Second, "how long a start may take")
	f.DurationVar(&o.drain, "drain", 10*time.Minute, "how long the end may take")
	f.DurationVar(&o.answer, "answer", 10*time.Second, "how long a charger waits for an answer before it asks again")
	f.BoolVar(&o.keep, "keep", false, "keep the data folder; it is kept anyway when something is wrong")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	return o, o.check()
}

func (o options) check() error {
	switch {
	case o.evcsd == "":
		return errors.New("-evcsd is needed")
	case o.engine != "sqlite" && o.engine != "postgres":
		return fmt.Errorf("-engine %q: sqlite or postgres", o.engine)
	case o.engine == "postgres" && o.dsn == "":
		return errors.New("-dsn or EVCS_TEST_POSTGRES is needed for postgres")
	case o.kills < 0 || o.kills > maxKills || o.chargers < 1 || o.chargers > maxChargers || o.customers < 1 || o.customers > 100:
		return fmt.Errorf("up to %d kills, %d chargers, 100 customers", maxKills, maxChargers)
	case o.least <= 0 || o.most < o.least || o.most > time.Minute || o.answer < time.Second:
		return errors.New("-min and -max: a life from above 0 to a minute; -answer: a second or more")
	}
	return nil
}

// torture is one run.
type torture struct {
	options
	clock  evcs.Clock
	log    io.Writer
	luck   *rand.Rand
	daemon *probe.Daemon
	admin  *probe.Client
	site   probe.Site
	fleet  *chargersim.Fleet
	till   *till
	// complaints are the calls of customers that were refused for good.
	complaints []string
}

// summary is the outcome.
type summary struct {
	Engine     string         `json:"engine"`
	Seed       uint64         `json:"seed"`
	Kills      int            `json:"kills"`
	AtStart    int            `json:"killsAtStart"`
	Seconds    int64          `json:"seconds"`
	SlowestMs  int64          `json:"slowestRestartMs"`
	Sessions   int            `json:"sessions"`
	Starts     int            `json:"acknowledgedStarts"`
	Stops      int            `json:"acknowledgedStops"`
	Samples    int            `json:"acknowledgedMeterValues"`
	Payments   int            `json:"acknowledgedPayments"`
	Refunds    int            `json:"acknowledgedRefunds"`
	Energy     string         `json:"energyKWh"`
	Billed     string         `json:"billed"`
	Paid       string         `json:"paid"`
	Refunded   string         `json:"refunded"`
	Priced     int            `json:"billsRecomputed"`
	Chargers   map[string]int `json:"chargers"`
	Found      int            `json:"violationsFound"`
	Violations []string       `json:"violations"`
}

func (t *torture) say(format string, args ...any) {
	fmt.Fprintf(t.log, "torture: "+format+"\n", args...) // progress only
}

func (t *torture) run(ctx context.Context) (s summary, err error) {
	s = summary{Engine: t.engine, Seed: t.seed, Kills: t.kills, Violations: []string{}}
	began := t.clock.Now()
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
	if err := t.kill(ctx, &s); err != nil {
		return s, err
	}
	pause(ctx, t.after)
	t.say("%d kills done, the chargers tell the rest", t.kills)
	if err := t.windUp(ctx, end, ran); err != nil {
		return s, err
	}
	v := &verifier{torture: t, s: &s}
	if err := v.verify(ctx); err != nil {
		return s, err
	}
	s.Chargers, s.Found = t.fleet.Counts(), len(v.found)
	s.Violations = append(s.Violations, v.found[:min(len(v.found), maxListed)]...)
	s.Seconds = int64(t.clock.Now().Sub(began).Seconds())
	return s, nil
}

// maxListed bounds the list of violations that is printed.
const maxListed = 200

// prepare starts evcsd and builds the site, the fleet included.
func (t *torture) prepare(ctx context.Context) (cleanup func(), err error) {
	cleanup = func() {}
	dir, err := os.MkdirTemp("", "evcs-torture-")
	if err != nil {
		return cleanup, fmt.Errorf("temporary folder: %w", err)
	}
	t.daemon = &probe.Daemon{Binary: t.evcsd, Dir: dir, Extra: probe.LimitsOff, Password: probe.NewPassword(t.clock)}
	drop := func() {}
	cleanup = func() {
		if p := t.daemon.Process(); p != nil {
			p.Kill()
		}
		_ = t.daemon.Close() // only a log
		drop()
		if t.keep {
			t.say("the data and the log are kept in %s", dir)
			return
		}
		_ = os.RemoveAll(dir) // temporary
	}
	if t.engine == "postgres" {
		if t.daemon.DSN, drop, err = createDatabase(ctx, t.dsn, t.clock); err != nil {
			return cleanup, err
		}
	}
	if err := t.daemon.Prepare(ctx); err != nil {
		return cleanup, err
	}
	if err := t.daemon.Migrate(ctx); err != nil {
		return cleanup, err
	}
	if err := t.daemon.Start(ctx, t.patience); err != nil {
		return cleanup, err
	}
	t.say("evcsd runs in %s", dir)
	t.admin = probe.NewClient(t.daemon.BaseURL(), t.customers+4)
	if err := t.admin.Login(ctx, "admin@tenant1", t.daemon.Password); err != nil {
		return cleanup, err
	}
	t.site, err = probe.Build(ctx, t.admin, probe.SiteOptions{
		Code: "TORTURE", Chargers: t.chargers, Connectors: 1, RatedKW: 200, Protocol: chargersim.OCPP16,
	})
	if err != nil {
		return cleanup, err
	}
	if err := t.admin.Login(ctx, t.site.User, t.site.Password); err != nil {
		return cleanup, err
	}
	t.say("%d chargers exist", t.chargers)
	if err := t.change(ctx); err != nil {
		return cleanup, err
	}
	return cleanup, t.newFleet()
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
		list = append(list, chargersim.ChargerConfig{DeviceID: c.DeviceID, Secret: c.Secret, Kind: kinds[i%len(kinds)]})
	}
	scenario := chargersim.Scenarios()["busy"]
	scenario.OfflinePerMille = 20
	span := time.Duration(t.kills+15) * lifeEstimate * time.Duration(t.speed)
	t.fleet, err = chargersim.New(chargersim.Config{
		Endpoint: t.daemon.DeviceURL(), HTTP: t.daemon.CloudURL(), Chargers: list, Seed: t.seed, Speed: t.speed,
		Lead: min(span, farthest), Scenario: &scenario, Faults: faults, PlainTimes: true, AnswerTimeout: t.answer,
		Backoff: 200 * time.Millisecond,
	})
	return err
}

// kill lets evcsd live and die.
func (t *torture) kill(ctx context.Context, s *summary) error {
	for n := range t.kills {
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
		t.daemon.Process().Kill()
		if err := t.killAtStart(ctx, s); err != nil {
			return err
		}
		began := probe.Monotonic()
		if err := t.daemon.Start(ctx, t.patience); err != nil {
			return fmt.Errorf("after kill %d: %w", n+1, err)
		}
		s.SlowestMs = max(s.SlowestMs, (probe.Monotonic() - began).Milliseconds())
		if (n+1)%10 == 0 {
			t.say("%d of %d kills, slowest restart %d ms", n+1, t.kills, s.SlowestMs)
		}
	}
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

// windUp lets chargers and customers finish.
func (t *torture) windUp(ctx context.Context, end context.CancelFunc, ran chan error) error {
	stop := context.AfterFunc(ctx, end)
	defer stop()
	timer := time.AfterFunc(t.drain, end)
	defer timer.Stop()
	if err := t.fleet.WindUp(ctx); err != nil {
		return fmt.Errorf("end of the chargers: %w", err)
	}
	if err := <-ran; err != nil {
		return fmt.Errorf("end of the chargers within %v: %w", t.drain, err)
	}
	t.complaints = t.till.close()
	return nil
}
