// evcs-load measures what an evcsd costs: OCPP 1.6 calls that are answered
// after a durable commit, idle connections, REST reads, connection storms. A
// figure is given as the ratio to a reference server in the same run, because
// a figure of one machine on one day says little.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/evcs/evcs/internal/evcs"
)

type options struct {
	evcsd, config, dsn string
	n, rounds, rate    int
	length, warm       time.Duration
	gate               float64
	out                io.Writer
	stat               string // file for benchstat
	data               string // SQLite file to read from
}

// Bounds of a run.
const (
	maxConnections = 19_900
	maxLength      = 10 * time.Minute
	maxRounds      = 20
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	if err := newRoot(evcs.SystemClock{}).ExecuteContext(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "evcs-load: %v\n", err) // nowhere left to tell
		os.Exit(1)
	}
}

func newRoot(clock evcs.Clock) *cobra.Command {
	o := &options{}
	root := &cobra.Command{
		Use: "evcs-load", Short: "Measure evcsd over loopback", SilenceUsage: true, SilenceErrors: true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			o.out = cmd.OutOrStdout()
			if o.n < 1 || o.n > maxConnections || o.length <= 0 || o.length > maxLength || o.rounds < 1 || o.rounds > maxRounds {
				return fmt.Errorf("-n is 1 to %d, --dur up to %v, --rounds 1 to %d", maxConnections, maxLength, maxRounds)
			}
			return nil
		},
	}
	root.SetOut(os.Stdout)
	f := root.PersistentFlags()
	f.StringVar(&o.evcsd, "evcsd", "", "path of the evcsd program")
	f.StringVar(&o.config, "settings", "", "file with more settings for it (YAML); default: rate limits off")
	f.StringVar(&o.dsn, "dsn", "", "PostgreSQL database for it; default: SQLite in a temporary folder")
	f.IntVarP(&o.n, "connections", "n", 1000, "connections")
	f.IntVar(&o.rounds, "rounds", 3, "rounds of A B")
	f.IntVar(&o.rate, "rate", 0, "calls per second over all connections; 0 is a closed loop")
	f.DurationVar(&o.length, "dur", 20*time.Second, "length of one measurement")
	f.DurationVar(&o.warm, "warm", 2*time.Second, "load before it is measured")
	f.StringVar(&o.stat, "benchstat", "", "file to which every round is added as benchstat text")
	f.StringVar(&o.data, "data", "", "SQLite file made by bench/seed: `ratio rest` reads a copy of it")
	f.Float64Var(&o.gate, "gate", 0, "exit 1 when the ratio is above; 0 is no gate")
	command := func(use, short string, run func(context.Context, evcs.Clock) error) *cobra.Command {
		return &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
			return run(cmd.Context(), clock)
		}}
	}
	ratio := &cobra.Command{Use: "ratio", Short: "evcsd against a reference server, A B A B"}
	ratio.AddCommand(
		command("device", "CPU per OCPP call answered after commit, against a bare WebSocket echo", o.ratioDevice),
		command("mem", "memory per idle connection, against a bare WebSocket echo", o.ratioMem),
		command("sse", "event streams: CPU per 1,000 deliveries and delay, against a bare writer of the same bytes", o.ratioSSE),
		command("rest", "CPU of an authenticated read by id and of a list of 20, against an HTTP hello", o.ratioREST),
	)
	root.AddCommand(
		ratio, newRef(),
		command("run", "load one evcsd: closed loop, or open loop with --rate", o.single),
		command("soak", "10,000 piles at 1,250 calls a second, or -n and --rate", o.soak),
		command("storm", "everybody connects at once, three times, with the same ids", o.storm),
		command("idle", "start-up time, memory and CPU of an evcsd that does nothing", o.idle),
	)
	return root
}

// line writes one JSON line.
func (o *options) line(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write a result: %w", err)
	}
	_, err = fmt.Fprintf(o.out, "%s\n", text)
	return err
}

func (o *options) table(list []result) error {
	w := tabwriter.NewWriter(o.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "server\tmode\tconns\tcalls/s\tp50 ms\tp99 ms\tCPU us/call\tcores\tRSS MiB\twrong\tdead\t") // Flush tells
	for _, r := range list {
		fmt.Fprintf(w, "%s\t%s\t%d\t%.0f\t%.1f\t%.1f\t%.1f\t%.2f\t%.0f\t%d\t%d\t\n", // Flush tells
			r.Server, r.Mode, r.Connections, r.PerSecond, float64(r.P50)/1000, float64(r.P99)/1000, r.CPUPerCall, r.Cores,
			float64(r.RSS)/1024, r.Wrong, r.Dead)
	}
	return w.Flush()
}

// verdict is the last line of a comparison: the median of the rounds' ratios
// evcsd/reference.
type verdict struct {
	What   string    `json:"what"`
	Ratio  float64   `json:"ratio"`
	A      float64   `json:"reference"`
	B      float64   `json:"evcsd"`
	Unit   string    `json:"unit"`
	Rounds []float64 `json:"rounds"`
	Gate   float64   `json:"gate,omitempty"`
}

var errGate = errors.New("the ratio is past the gate")

// judge compares the rounds of two servers.
func (o *options) judge(what, unit string, a, b []float64, gate float64) error {
	if err := errors.Join(o.benchstat(what, "reference", unit, a), o.benchstat(what, "evcsd", unit, b)); err != nil {
		return err
	}
	v := verdict{What: what, Unit: unit, A: median(a), B: median(b), Gate: gate}
	for i := range min(len(a), len(b)) {
		if a[i] > 0 {
			v.Rounds = append(v.Rounds, b[i]/a[i])
		}
	}
	v.Ratio = median(v.Rounds)
	if err := o.line(v); err != nil {
		return err
	}
	if gate > 0 && v.Ratio > gate {
		return fmt.Errorf("%s: %.2f, at most %.2f: %w", what, v.Ratio, gate, errGate)
	}
	return nil
}

// benchstat adds the figures of a server to the file for benchstat. The
// database is part of the name, so that engines stand side by side.
func (o *options) benchstat(what, server, unit string, figures []float64) error {
	if o.stat == "" {
		return nil
	}
	file, err := os.OpenFile(filepath.Clean(o.stat), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("figures for benchstat: %w", err)
	}
	if server == "evcsd" {
		server = "evcsd-sqlite"
		if o.dsn != "" {
			server = "evcsd-postgres"
		}
	}
	name := strings.Map(func(r rune) rune {
		if r == ' ' || r == ',' {
			return '_'
		}
		return r
	}, what)
	for _, f := range figures {
		if _, err := fmt.Fprintf(file, "BenchmarkLoad/%s/server=%s 1 %g %s\n", name, server, f, unit); err != nil {
			return errors.Join(fmt.Errorf("figures for benchstat: %w", err), file.Close())
		}
	}
	return file.Close()
}

func median(list []float64) float64 {
	if len(list) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(list))
	return sorted[len(sorted)/2]
}
