// Recon makes a day of any size with seeded differences of every class and
// reconciles it beside a bare hash join of the same files: time, CPU and memory
// of each in a process of its own, in turn. It checks that every seeded
// difference is found and none is invented, and exits 1 when one is not, or when
// a ratio passes -gate.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/evcs/evcs/bench/ref"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/payment"
	"github.com/evcs/evcs/internal/recon"
	"github.com/evcs/evcs/internal/wechatpay"
)

type options struct {
	rows, rounds, limit int
	dir, child          string
	dsn, url            string
	store, gz           bool
	gate                float64
	keep                bool
	profile             string
	out                 io.Writer
}

const maxRows = 20_000_000

func main() {
	o := options{out: os.Stdout}
	flag.IntVar(&o.rows, "rows", 100_000, "keys of the day")
	flag.IntVar(&o.rounds, "rounds", 3, "rounds of both programs in turn")
	flag.IntVar(&o.limit, "limit", 0, "local rows in memory; 0: the program's own")
	flag.StringVar(&o.dir, "dir", "", "where the files go; needed")
	flag.BoolVar(&o.store, "store", false, "read our side out of a database through the whole run of a day, else out of the same file as the join")
	flag.StringVar(&o.dsn, "dsn", "", "with -store: PostgreSQL server where a database may be created; \"\" is SQLite in -dir")
	flag.StringVar(&o.url, "url", "", "with -child: the database; used by the program itself")
	flag.BoolVar(&o.gz, "gz", false, "read the packed bill")
	flag.BoolVar(&o.keep, "keep", false, "keep the files")
	flag.Float64Var(&o.gate, "gate", 0, "the largest ratio of CPU; 0: any")
	flag.StringVar(&o.profile, "cpuprofile", "", "with -child: where its CPU profile goes")
	flag.StringVar(&o.child, "child", "", "what this process does; used by the program itself")
	flag.Parse()
	if err := o.run(context.Background()); err != nil {
		fmt.Fprintf(os.Stderr, "recon: %v\n", err) // nowhere left to tell
		os.Exit(1)
	}
}

func (o *options) run(ctx context.Context) error {
	if o.dir == "" || o.rows < perFault || o.rows > maxRows || o.rounds < 1 {
		return fmt.Errorf("-dir is needed and -rows from %d to %d", perFault, maxRows)
	}
	switch o.child {
	case "":
		return o.compare(ctx)
	case "bare":
		return o.bare()
	case "files":
		return o.files(ctx)
	case "store", "stored":
		return o.reconcile(ctx)
	}
	return fmt.Errorf("-child %q is unknown", o.child)
}

// figures are what one process took.
type figures struct {
	What  string  `json:"what"`
	Rows  int     `json:"rows"`
	Wall  float64 `json:"wallSeconds"`
	CPU   float64 `json:"cpuSeconds"`
	RSS   int64   `json:"maxRssMiB"`
	Found int     `json:"found,omitempty"`
}

// compare makes the day and runs the programs in turn.
func (o *options) compare(ctx context.Context) error {
	if err := os.MkdirAll(o.dir, 0o700); err != nil {
		return err
	}
	w := world{o.rows}
	if _, err := os.Stat(filepath.Join(o.dir, "bill.gz")); err != nil {
		if err := w.write(o.dir); err != nil {
			return err
		}
	}
	if !o.keep {
		defer os.RemoveAll(o.dir) // what was made here
	}
	product := "files"
	if o.store {
		product = "store"
		drop, err := o.database(ctx, w)
		if err != nil {
			return err
		}
		defer drop()
	}
	var wall, cpu []float64
	for range o.rounds {
		a, err := o.measure(ctx, "bare")
		if err != nil {
			return err
		}
		b, err := o.measure(ctx, product)
		if err != nil {
			return err
		}
		wall, cpu = append(wall, b.Wall/a.Wall), append(cpu, b.CPU/a.CPU)
	}
	if o.store {
		if _, err := o.measure(ctx, "stored"); err != nil {
			return err
		}
	}
	slices.Sort(wall)
	slices.Sort(cpu)
	ratio := cpu[len(cpu)/2]
	fmt.Fprintf(o.out, "ratio rows=%d what=%s engine=%s gz=%t wall=%.2f cpu=%.2f rounds=%d\n", o.rows, product, o.engine(), o.gz, wall[len(wall)/2], ratio, o.rounds)
	if o.gate > 0 && ratio > o.gate {
		return fmt.Errorf("%.2f times the CPU of the bare join, the gate is %.2f", ratio, o.gate)
	}
	return nil
}

// engine is where our side comes from.
func (o *options) engine() string {
	switch {
	case !o.store:
		return "none"
	case o.dsn != "":
		return "postgres"
	}
	return "sqlite"
}

// measure runs one program in a process of its own.
func (o *options) measure(ctx context.Context, what string) (f figures, err error) {
	self, err := os.Executable()
	if err != nil {
		return f, err
	}
	cmd := exec.CommandContext(ctx, self, "-child", what, "-dir", o.dir, "-url", o.url, "-rows", strconv.Itoa(o.rows), "-limit", strconv.Itoa(o.limit), "-gz="+strconv.FormatBool(o.gz)) //nolint:gosec // itself
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	if err := cmd.Run(); err != nil {
		return f, fmt.Errorf("%s: %w", what, err)
	}
	if err := json.Unmarshal(out.Bytes(), &f); err != nil {
		return f, fmt.Errorf("%s said %q: %w", what, out.String(), err)
	}
	if use, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		f.RSS = use.Maxrss >> 10
	}
	text, err := json.Marshal(f)
	fmt.Fprintln(o.out, string(text))
	return f, err
}

// timed says what a piece of work took.
func (o *options) timed(what string, work func() (int, error)) error {
	if o.profile != "" {
		f, err := os.Create(o.profile)
		if err != nil {
			return err
		}
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	begun, spent := time.Now(), cpuTime()
	found, err := work()
	if err != nil {
		return err
	}
	return json.NewEncoder(o.out).Encode(figures{What: what, Rows: o.rows, Wall: time.Since(begun).Seconds(), CPU: (cpuTime() - spent).Seconds(), Found: found})
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func (o *options) bill() (*os.File, error) {
	if o.gz {
		return os.Open(filepath.Join(o.dir, "bill.gz"))
	}
	return os.Open(filepath.Join(o.dir, "bill.csv"))
}

func (o *options) bare() error {
	local, err := os.Open(filepath.Join(o.dir, "local.csv"))
	if err != nil {
		return err
	}
	defer local.Close() // read only
	f, err := o.bill()
	if err != nil {
		return err
	}
	defer f.Close() // read only
	return o.timed("bare", func() (int, error) {
		r, err := unpack(f, o.gz)
		if err != nil {
			return 0, err
		}
		j, err := ref.Join(local, r)
		return j.Left - j.Matched + j.Differ, err
	})
}

// scratch is a file in the directory of the run.
type scratch struct{ *os.File }

// Close removes it.
func (s scratch) Close() error { return errors.Join(s.File.Close(), os.Remove(s.Name())) }

// files reconciles the two files: the program's reader and matcher, without a
// database. It checks every difference by name.
func (o *options) files(ctx context.Context) error {
	debug.SetGCPercent(50)
	w := world{o.rows}
	var differences []recon.Difference
	err := o.timed("files", func() (int, error) {
		out, err := o.match(ctx, w)
		differences = out.Differences
		return len(out.Differences), err
	})
	if err != nil {
		return err
	}
	runtime.GC()
	return check(w, differences)
}

func (o *options) match(ctx context.Context, w world) (recon.Outcome, error) {
	m := recon.NewMatcher(day, []payment.Merchant{w.account()}, nil, func() (recon.ScratchFile, error) {
		f, err := os.CreateTemp(o.dir, "scratch-*")
		return scratch{f}, err
	})
	defer m.Close() // scratch files
	if o.limit > 0 {
		m.Limit(o.limit)
	}
	local, err := os.Open(filepath.Join(o.dir, "local.csv"))
	if err != nil {
		return recon.Outcome{}, err
	}
	defer local.Close() // read only
	lines := bufio.NewScanner(local)
	from, _, _ := recon.Bounds(day)
	for lines.Scan() {
		f := strings.Split(lines.Text(), ",")
		l := recon.Local{Direction: payment.Pay, Merchant: 1, No: f[0], TradeNo: f[0], ChannelNo: f[2], Status: "SUCCESS", Succeeded: true, At: from}
		if f[0][1] == 'R' {
			l.Direction = payment.RefundBack
		}
		if l.Amount, err = evcs.ParseMoney(f[1]); err != nil {
			return recon.Outcome{}, err
		}
		if err := m.Local(&l); err != nil {
			return recon.Outcome{}, err
		}
	}
	f, err := o.bill()
	if err != nil {
		return recon.Outcome{}, err
	}
	defer f.Close() // read only
	s, err := wechatpay.New(wechatpay.Config{}).Read(ctx, w.account(), day, f, func(r payment.Row) error { return m.Row(1, r) })
	if err != nil {
		return recon.Outcome{}, err
	}
	if len(s.Problems) > 0 {
		return recon.Outcome{}, fmt.Errorf("the bill does not verify: %+v", s.Problems)
	}
	return m.Outcome(ctx, w.find)
}

// find answers by the numbers, which tell the rows they were made from.
func (w world) find(_ context.Context, d payment.Direction, numbers []string) ([]recon.Local, error) {
	var list []recon.Local
	for _, no := range numbers {
		if len(no) != 28 {
			continue
		}
		i, err := strconv.Atoi(no[2:12])
		if err != nil || i >= w.n {
			continue
		}
		if l, known := w.local(i); known && l.No == no && l.Direction == d {
			list = append(list, l)
		}
	}
	return list, nil
}

// check compares what was found with what was seeded.
func check(w world, found []recon.Difference) error {
	want := w.wanted()
	for i := range found {
		d := &found[i]
		if want[d.Key] != d.Kind {
			return fmt.Errorf("invented or of another kind: %s is %s, seeded %q", d.Key, d.Kind, want[d.Key])
		}
		delete(want, d.Key)
	}
	for key, kind := range want {
		return fmt.Errorf("%d seeded differences were not found, one is %s %s", len(want), kind, key)
	}
	return nil
}
