package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/evcs/evcs/bench/probe"
	"github.com/evcs/evcs/internal/evcs"
)

// identity is who a connection says it is.
type identity struct{ id, secret string }

// job is one measurement of one server.
type job struct {
	name string
	url  string
	pid  int
	who  []identity
	echo bool
	// rate is calls per second over all connections; 0 is a closed loop.
	rate         int
	warm, length time.Duration
	clock        evcs.Clock
}

// result is one line of output. Times are microseconds, memory KiB.
type result struct {
	Server      string  `json:"server"`
	Mode        string  `json:"mode"`
	Connections int     `json:"connections"`
	Seconds     float64 `json:"seconds"`
	Calls       int64   `json:"calls"`
	PerSecond   float64 `json:"callsPerSecond"`
	P50         int64   `json:"p50us"`
	P95         int64   `json:"p95us"`
	P99         int64   `json:"p99us"`
	Max         int64   `json:"maxus"`
	CPUPerCall  float64 `json:"serverCpuMicrosPerCall"`
	Cores       float64 `json:"serverCores"`
	RSSIdle     int64   `json:"rssIdleKiB"`
	RSS         int64   `json:"rssLoadedKiB"`
	Wrong       int64   `json:"wrongAnswers"`
	Dead        int64   `json:"deadConnections"`
	Error       string  `json:"error,omitempty"`
}

// shards is how many histograms the stations share.
const shards = 16

// connect opens all connections and boots them, dialers at a time.
const dialers = 64

func connect(ctx context.Context, j job) ([]*station, error) {
	if err := probe.CheckFiles(len(j.who)); err != nil {
		return nil, err
	}
	list := make([]*station, len(j.who))
	faults := make([]error, len(j.who))
	var wg sync.WaitGroup
	slots := make(chan struct{}, dialers)
	for i, who := range j.who {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			list[i], faults[i] = open(ctx, j, who)
		})
	}
	wg.Wait()
	for i, err := range faults {
		if err != nil {
			hangUp(list)
			return nil, fmt.Errorf("%s: connection %d of %d: %w", j.name, i+1, len(list), err)
		}
	}
	return list, nil
}

func open(ctx context.Context, j job, who identity) (*station, error) {
	c, err := dial(ctx, j.url, who.id, who.secret)
	if err != nil {
		return nil, err
	}
	s := &station{c: c, clock: j.clock, echo: j.echo, wh: j.clock.Now().Unix() % 1_000_000}
	if err := s.once(s.boot(), 0, false); err != nil {
		_ = c.Close() // given up
		return nil, err
	}
	if s.faults > 0 {
		_ = c.Close() // given up
		return nil, fmt.Errorf("boot of %s was not answered well", who.id)
	}
	return s, nil
}

func hangUp(list []*station) {
	for _, s := range list {
		if s != nil {
			_ = s.c.Close() // given up
		}
	}
}

// measure connects, warms up, loads and measures.
func measure(ctx context.Context, j job) (result, error) {
	r := result{Server: j.name, Mode: "closed", Connections: len(j.who)}
	if j.rate > 0 {
		r.Mode = "open"
	}
	list, err := connect(ctx, j)
	if err != nil {
		return r, err
	}
	defer hangUp(list)
	if r.RSSIdle, err = kib(j.pid); err != nil {
		return r, err
	}
	l := &loader{job: j, from: probe.Monotonic() + j.warm}
	l.until = l.from + j.length
	before, after := make(chan cost, 1), make(chan cost, 1)
	var wg sync.WaitGroup
	wg.Go(func() { before <- costAt(ctx, j, l.from) })
	wg.Go(func() { after <- costAt(ctx, j, l.until) })
	l.load(ctx, list)
	wg.Wait()
	r.fill(list, l, <-before, <-after)
	return r, ctx.Err()
}

func kib(pid int) (int64, error) {
	n, err := probe.RSS(pid)
	return n / 1024, err
}

// cost is what a server has used at a moment.
type cost struct {
	at  time.Duration
	cpu time.Duration
	rss int64
	err error
}

func costAt(ctx context.Context, j job, at time.Duration) cost {
	wait(ctx, at-probe.Monotonic())
	c := cost{at: probe.Monotonic()}
	if c.cpu, c.err = probe.CPU(j.pid); c.err == nil {
		c.rss, c.err = kib(j.pid)
	}
	return c
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// loader drives the stations between two moments.
type loader struct {
	job
	from, until time.Duration // monotonic
	shards      [shards]shard
	mu          sync.Mutex
	dead        int64 // guarded by mu
	why         error // guarded by mu
}

func (l *loader) load(ctx context.Context, list []*station) {
	var wg sync.WaitGroup
	for i, s := range list {
		wg.Go(func() {
			if err := l.drive(ctx, s, i, len(list)); err != nil {
				l.mu.Lock()
				l.dead++
				l.why = err
				l.mu.Unlock()
			}
		})
	}
	wg.Wait()
}

func (l *loader) drive(ctx context.Context, s *station, i, n int) error {
	due, every := probe.Monotonic(), time.Duration(0)
	s.hist = &l.shards[i%shards]
	if l.rate > 0 { // spread the stations over one period
		every = time.Second * time.Duration(n) / time.Duration(l.rate)
		due += every * time.Duration(i) / time.Duration(n)
	}
	for ctx.Err() == nil {
		if l.rate > 0 {
			wait(ctx, due-probe.Monotonic())
		} else {
			due = probe.Monotonic()
		}
		if due >= l.until {
			return nil
		}
		if err := s.once(s.next(), due, due >= l.from); err != nil {
			return err
		}
		s.advance()
		due += every
	}
	return nil
}

func (r *result) fill(list []*station, l *loader, before, after cost) {
	var h histogram
	for i := range l.shards {
		h.merge(&l.shards[i].h)
	}
	for _, s := range list {
		r.Calls += s.calls
		r.Wrong += s.faults
	}
	r.P50, r.P95, r.P99 = h.quantile(500).Microseconds(), h.quantile(950).Microseconds(), h.quantile(990).Microseconds()
	r.Max = h.most.Microseconds()
	r.Seconds = (after.at - before.at).Seconds()
	r.RSS, r.Dead = after.rss, l.dead
	for _, err := range []error{l.why, before.err, after.err} {
		if err != nil {
			r.Error = err.Error()
		}
	}
	cpu := after.cpu - before.cpu
	if r.Seconds > 0 {
		r.PerSecond = float64(r.Calls) / r.Seconds
		r.Cores = cpu.Seconds() / r.Seconds
	}
	if r.Calls > 0 {
		r.CPUPerCall = float64(cpu.Microseconds()) / float64(r.Calls)
	}
}
