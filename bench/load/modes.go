package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/evcs/evcs/bench/probe"
	"github.com/evcs/evcs/internal/evcs"
)

func (o *options) job(t target, clock evcs.Clock) job {
	return job{
		name: t.name, url: t.url, pid: t.pid, who: t.who, echo: t.echo, rate: o.rate, warm: o.warm, length: o.length, clock: clock,
	}
}

func anonymous(n int) []identity {
	who := make([]identity, n)
	for i := range who {
		who[i] = identity{id: fmt.Sprintf("ECHO-%05d", i+1)}
	}
	return who
}

func (o *options) pair(ctx context.Context, clock evcs.Clock) (a target, b *platform, err error) {
	if a, err = reference(ctx, "echo"); err != nil {
		return a, nil, err
	}
	a.who = anonymous(o.n)
	if b, err = o.start(ctx, clock, o.n); err != nil {
		return a, b, errors.Join(err, a.stop())
	}
	return a, b, nil
}

func (o *options) ratioDevice(ctx context.Context, clock evcs.Clock) error {
	a, b, err := o.pair(ctx, clock)
	if err != nil {
		return err
	}
	defer func() { _ = a.stop() }()
	var rows []result
	var cpuA, cpuB, rateA, rateB, tailA, tailB []float64
	for range o.rounds {
		echo, err := o.round(ctx, a, clock, &rows)
		if err != nil {
			return errors.Join(err, b.stop())
		}
		ours, err := o.round(ctx, b.target, clock, &rows)
		if err != nil {
			return errors.Join(err, b.stop())
		}
		cpuA, cpuB = append(cpuA, echo.CPUPerCall), append(cpuB, ours.CPUPerCall)
		rateA, rateB = append(rateA, echo.PerSecond), append(rateB, ours.PerSecond)
		tailA, tailB = append(tailA, float64(echo.P99)), append(tailB, float64(ours.P99))
	}
	return errors.Join(
		o.table(rows),
		o.judge("calls per second, durable, against echo", "1/s", rateA, rateB, 0),
		o.judge("p99 against echo", "us", tailA, tailB, 0),
		o.judge("server CPU per durable call against echo", "us", cpuA, cpuB, o.gate),
		b.stop(),
	)
}

func (o *options) round(ctx context.Context, t target, clock evcs.Clock, rows *[]result) (result, error) {
	r, err := measure(ctx, o.job(t, clock))
	if err != nil {
		return r, err
	}
	*rows = append(*rows, r)
	if r.Wrong > 0 || r.Dead > 0 {
		err = fmt.Errorf("%s: %d wrong answers, %d dead connections %s: no measurement", t.name, r.Wrong, r.Dead, r.Error)
	}
	return r, errors.Join(o.line(r), err)
}

func (o *options) ratioMem(ctx context.Context, clock evcs.Clock) error {
	a, b, err := o.pair(ctx, clock)
	if err != nil {
		return err
	}
	defer func() { _ = a.stop() }()
	// One round: memory is not given back at once, so a process can show it only once.
	echo, err := o.perConnection(ctx, a, clock)
	if err != nil {
		return errors.Join(err, b.stop())
	}
	ours, err := o.perConnection(ctx, b.target, clock)
	if err != nil {
		return errors.Join(err, b.stop())
	}
	return errors.Join(
		o.judge("memory per idle connection against echo", "KiB", []float64{echo}, []float64{ours}, o.gate), b.stop())
}

// settle is how long a server is left alone before its memory is read: what a
// burst left behind is no part of an idle connection, nor of an idle server.
const settle = 5 * time.Second

// perConnection is the memory in KiB that one booted, idle connection takes.
func (o *options) perConnection(ctx context.Context, t target, clock evcs.Clock) (float64, error) {
	wait(ctx, settle)
	before, err := kib(t.pid)
	if err != nil {
		return 0, err
	}
	list, err := connect(ctx, o.job(t, clock))
	if err != nil {
		return 0, err
	}
	defer hangUp(list)
	burst, err := kib(t.pid)
	if err != nil {
		return 0, err
	}
	wait(ctx, settle)
	after, err := kib(t.pid)
	if err != nil {
		return 0, err
	}
	each := float64(after-before) / float64(len(list))
	return each, o.line(map[string]any{
		"server": t.name, "mode": "idle", "connections": len(list), "rssBeforeKiB": before, "rssConnectedKiB": burst, "rssKiB": after, "perConnectionKiB": each,
	})
}

func (o *options) single(ctx context.Context, clock evcs.Clock) error {
	b, err := o.start(ctx, clock, o.n)
	if err != nil {
		return err
	}
	var rows []result
	_, err = o.round(ctx, b.target, clock, &rows)
	return errors.Join(err, o.table(rows), b.stop())
}

func (o *options) soak(ctx context.Context, clock evcs.Clock) error {
	if o.rate == 0 {
		o.n, o.rate = 10_000, 1250
	}
	return o.single(ctx, clock)
}

func (o *options) storm(ctx context.Context, clock evcs.Clock) error {
	b, err := o.start(ctx, clock, o.n)
	if err != nil {
		return err
	}
	var last []*station
	both := probe.CheckFiles(2*o.n) == nil // old and new connections at once
	for round := range 3 {
		began := probe.Monotonic()
		if !both {
			hangUp(last)
			last = nil
		}
		cpu, err := probe.CPU(b.pid)
		if err != nil {
			return errors.Join(err, b.stop())
		}
		list, err := connect(ctx, o.job(b.target, clock))
		if err != nil {
			return errors.Join(err, b.stop())
		}
		used, err := probe.CPU(b.pid)
		hangUp(last) // the old connections of the same ids: replaced, or dead
		last = list
		if err := errors.Join(err, o.line(map[string]any{
			"server": b.name, "mode": "storm", "round": round + 1, "connections": len(list), "oldStillOpen": both && round > 0,
			"seconds": (probe.Monotonic() - began).Seconds(), "serverCPUms": (used - cpu).Milliseconds(),
		})); err != nil {
			return errors.Join(err, b.stop())
		}
	}
	err = alive(last)
	hangUp(last)
	return errors.Join(err, b.stop())
}

// alive makes one call on every connection.
func alive(list []*station) error {
	var wg sync.WaitGroup
	faults := make([]error, len(list))
	slots := make(chan struct{}, dialers)
	for i, s := range list {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			s.step = stepHeartbeat
			faults[i] = s.once(s.next(), 0, false)
		})
	}
	wg.Wait()
	for i, err := range faults {
		if err != nil {
			return fmt.Errorf("after the storm connection %d is dead: %w", i+1, err)
		}
	}
	return nil
}

func (o *options) idle(ctx context.Context, clock evcs.Clock) error {
	b, err := o.start(ctx, clock, 0)
	if err != nil {
		return err
	}
	wait(ctx, settle)
	before, err := probe.CPU(b.pid)
	if err != nil {
		return errors.Join(err, b.stop())
	}
	wait(ctx, o.length)
	after, err := probe.CPU(b.pid)
	if err != nil {
		return errors.Join(err, b.stop())
	}
	rss, err := kib(b.pid)
	return errors.Join(err, o.line(map[string]any{
		"server": b.name, "mode": "idle", "readyMs": b.booted.Milliseconds(), "rssKiB": rss, "seconds": o.length.Seconds(),
		"cpuPercent": float64(after-before) * 100 / float64(o.length),
	}), b.stop())
}
