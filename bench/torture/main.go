// torture kills an evcsd under load, again and again, with SIGKILL at random
// moments, and then asks whether anything that was acknowledged is missing or
// there twice. Chargers are simulated and speak OCPP and cloudcharge over real
// sockets; paying customers and two clerks who reconcile the day use the public
// API. Two thirds of those who do not pay at the desk pay over Alipay and WeChat
// Pay, at a gateway of this program that speaks their protocols and is never
// killed. The PostgreSQL of evcsd can be killed too, and its disk filled. In the
// end every charger tells what it has to tell, and everything is compared:
// sessions, meter values, energy, bills, those of the chargers too, payments,
// refunds, what the gateway knows and has told, the reconciled days, the journal.
// It exits non-zero and lists every violation.
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
	"syscall"
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

// options are the flags.
type options struct {
	evcsd, under, engine, dsn                   string
	kills, chargers, customers, dbKills, full   int
	cloud                                       int
	seed                                        uint64
	speed                                       int
	least, most, after, patience, drain, answer time.Duration
	keep, asJSON, channels                      bool
	faults, results                             string
}

const (
	maxKills     = 2000
	maxChargers  = 2000
	maxCustomers = 100
	maxAccidents = 100
	// lifeEstimate is how long one life and one restart take, for the clock of the chargers.
	lifeEstimate = 3 * time.Second
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
	s, err := t.run(ctx)
	if err != nil {
		fmt.Fprintf(errOut, "torture: %v\n", err) // nowhere left to tell
		return 1
	}
	if err := t.report(s, out); err != nil {
		fmt.Fprintf(errOut, "torture: %v\n", err) // nowhere left to tell
		return 1
	}
	if s.Found > 0 {
		return 1
	}
	return 0
}

// report tells the outcome, and keeps it where figures are kept.
func (t *torture) report(s summary, out io.Writer) error {
	if t.results != "" {
		path, err := s.keep(t.results, t.clock.Now())
		if err != nil {
			return fmt.Errorf("keep the figures: %w", err)
		}
		t.say("the figures are in %s", path)
	}
	if !t.asJSON {
		return s.table(out)
	}
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	if err := enc.Encode(s); err != nil {
		return fmt.Errorf("write the outcome: %w", err)
	}
	return nil
}

// usualFaults do not falsify figures, and leave every meter value in its order.
// A wrong bill is the charger's own, which is kept and compared.
const usualFaults = "drop=400,lost-answer=100,duplicate=60,pipeline=200,garbage=2000,stop-twice=20,start-status=20,no-boot=400,ids-from-one=400,late-stop=20,wrong-bill=20"

func parse(args []string, dsn string, errOut io.Writer) (options, error) {
	o := options{dsn: dsn}
	f := flag.NewFlagSet("torture", flag.ContinueOnError)
	f.SetOutput(errOut)
	f.StringVar(&o.evcsd, "evcsd", "", "path of the evcsd program")
	f.StringVar(&o.under, "under", "", "another evcsd to torture once everything is set up; to see that a broken one is found")
	f.StringVar(&o.engine, "engine", "sqlite", "sqlite or postgres")
	f.StringVar(&o.dsn, "dsn", dsn, "PostgreSQL server where a database may be created")
	f.IntVar(&o.kills, "kills", 20, "number of SIGKILLs under load; while the day is closed a few more follow")
	f.IntVar(&o.dbKills, "dbkills", 0, "how often PostgreSQL itself is killed under load; it then runs a server of its own, with fsync")
	f.IntVar(&o.full, "full", 0, "how often the store of SQLite is full for a while, under load")
	f.IntVar(&o.chargers, "chargers", 200, "simulated chargers")
	f.IntVar(&o.cloud, "cloud", -1, "how many of them speak cloudcharge instead of OCPP; -1 is a quarter")
	f.IntVar(&o.customers, "customers", 64, "paying customers at once")
	f.Uint64Var(&o.seed, "seed", 1, "seed of cars, faults and kills")
	f.IntVar(&o.speed, "speed", 60, "simulated seconds per real second")
	f.StringVar(&o.faults, "faults", usualFaults, "faults of the chargers; none that falsify figures")
	f.DurationVar(&o.least, "min", 500*time.Millisecond, "shortest life")
	f.DurationVar(&o.most, "max", 2*time.Second, "longest life")
	f.DurationVar(&o.after, "after", 2*time.Second, "load after the last kill")
	f.DurationVar(&o.patience, "patience", 60*time.Second, "how long a start may take")
	f.DurationVar(&o.drain, "drain", 10*time.Minute, "how long the end may take")
	f.DurationVar(&o.answer, "answer", 5*time.Second, "how long a charger waits for an answer before it asks again")
	f.BoolVar(&o.channels, "channels", true, "customers pay over Alipay and WeChat Pay too, at a gateway of this program")
	f.BoolVar(&o.keep, "keep", false, "keep the data folder; it is kept anyway when something is wrong")
	f.BoolVar(&o.asJSON, "json", false, "tell the outcome as JSON instead of a table")
	f.StringVar(&o.results, "results", "", "folder for the table of the outcome, as DATE-torture-ENGINE.txt")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if o.cloud < 0 {
		o.cloud = o.chargers / 4
	}
	return o, o.check()
}

func (o options) check() error {
	switch {
	case o.evcsd == "":
		return errors.New("-evcsd is needed")
	case o.engine != sqlite && o.engine != postgres:
		return fmt.Errorf("-engine %q: sqlite or postgres", o.engine)
	case o.engine == postgres && o.dsn == "" && o.dbKills == 0:
		return errors.New("-dsn or EVCS_TEST_POSTGRES is needed for postgres, or -dbkills")
	case o.dbKills < 0 || o.full < 0 || o.dbKills > maxAccidents || o.full > maxAccidents:
		return fmt.Errorf("-dbkills and -full: 0 to %d", maxAccidents)
	case o.dbKills > 0 && o.engine != postgres, o.full > 0 && o.engine != sqlite:
		return errors.New("-dbkills is for postgres, -full for sqlite")
	case o.kills < 0 || o.kills > maxKills || o.chargers < 1 || o.chargers > maxChargers || o.cloud > o.chargers || o.customers < 1 || o.customers > maxCustomers:
		return fmt.Errorf("up to %d kills, %d chargers, %d customers", maxKills, maxChargers, maxCustomers)
	case o.least <= 0 || o.most < o.least || o.most > time.Minute || o.answer < time.Second:
		return errors.New("-min and -max: a life from above 0 to a minute; -answer: a second or more")
	}
	return nil
}
