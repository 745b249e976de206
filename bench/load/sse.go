package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/evcs/evcs/bench/probe"
	"github.com/evcs/evcs/internal/evcs"
)

// defaultEvents is how many events a second there are without --rate.
const defaultEvents = 20

// ratioSSE opens -n event streams on evcsd and on a bare writer of the same
// bytes, and has events happen.
func (o *options) ratioSSE(ctx context.Context, clock evcs.Clock) error {
	if err := probe.CheckFiles(2 * o.n); err != nil {
		return err
	}
	a, err := reference(ctx, "stream")
	if err != nil {
		return err
	}
	defer func() { _ = a.stop() }()
	b, err := o.start(ctx, clock, 1)
	if err != nil {
		return err
	}
	return errors.Join(o.streams(ctx, clock, a, b), b.stop())
}

// delivered is what a round of one server came to.
type delivered struct {
	Server      string  `json:"server"`
	Mode        string  `json:"mode"`
	Streams     int     `json:"streams"`
	Events      int     `json:"events"`
	PerSecond   float64 `json:"eventsPerSecond"`
	Deliveries  int64   `json:"deliveries"`
	DeliveriesS float64 `json:"deliveriesPerSecond"`
	P50         int64   `json:"p50us"` // from the answer, which follows the commit, to the receipt
	P99         int64   `json:"p99us"`
	Max         int64   `json:"maxus"`
	CPU         float64 `json:"serverCpuMicrosPer1000Deliveries"`
	Bytes       int     `json:"bytesPerEvent"`
}

func (o *options) streams(ctx context.Context, clock evcs.Clock, a target, b *platform) error {
	if err := b.api.Login(ctx, b.site.User, b.site.Password); err != nil {
		return err
	}
	charger, err := open(ctx, o.job(b.target, clock), b.who[0])
	if err != nil {
		return err
	}
	defer charger.c.Close() // given up
	flip := flipper{s: charger}
	if err := flip.event(ctx); err != nil { // the first only tells that it is there
		return err
	}
	var cpuA, cpuB, midA, midB, tailA, tailB []float64
	sample := new(atomic.Pointer[[]byte])
	for range o.rounds {
		ours := &fanout{name: "evcsd", url: b.api.Base + "/api/events/stream?types=connector.status", token: b.api.Token(), pid: b.pid, cause: flip.event, sample: sample}
		mine, err := o.deliver(ctx, ours)
		if err != nil {
			return err
		}
		bare := &fanout{name: "bare stream", url: a.url + "/", pid: a.pid, cause: poster(a.url+"/emit", *sample.Load()), sample: sample}
		theirs, err := o.deliver(ctx, bare)
		if err != nil {
			return err
		}
		cpuA, cpuB = append(cpuA, theirs.CPU), append(cpuB, mine.CPU)
		midA, midB = append(midA, float64(theirs.P50)), append(midB, float64(mine.P50))
		tailA, tailB = append(tailA, float64(theirs.P99)), append(tailB, float64(mine.P99))
	}
	return errors.Join(
		o.judge("event streams, p50 from commit to receipt", "us", midA, midB, 0),
		o.judge("event streams, p99 from commit to receipt", "us", tailA, tailB, 0),
		o.judge("event streams, server CPU per 1000 deliveries", "us", cpuA, cpuB, o.gate),
	)
}

// flipper makes a charger's connector go back and forth: an event each time.
type flipper struct {
	s  *station
	on bool
}

// event returns when evcsd has acknowledged, after its commit.
func (f *flipper) event(context.Context) error {
	status := "Available"
	if f.on = !f.on; f.on {
		status = "Unavailable"
	}
	b := append(f.s.head("StatusNotification"), `"connectorId":1,"errorCode":"NoError","status":"`+status+`","timestamp":"`...)
	f.s.call = append(f.s.now(b), `"}]`...)
	return f.s.once(f.s.call, 0, false)
}

// poster has the bare writer send the same bytes.
func poster(url string, text []byte) func(context.Context) error {
	client := &http.Client{Timeout: 10 * time.Second}
	return func(ctx context.Context) error {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(text))
		if err != nil {
			return err
		}
		answer, err := client.Do(r)
		if err != nil {
			return err
		}
		defer answer.Body.Close() // empty
		if answer.StatusCode != http.StatusOK {
			return fmt.Errorf("HTTP %d", answer.StatusCode)
		}
		return nil
	}
}

// fanout is one round: streams that read what is caused.
type fanout struct {
	name, url, token string
	pid              int
	cause            func(context.Context) error
	sample           *atomic.Pointer[[]byte] // takes the bytes of an event

	committed []atomic.Int64 // of the events, when they were acknowledged; 0: not yet
	received  atomic.Int64
	shards    [shards]shard
	mu        sync.Mutex
	why       error // guarded by mu
}

// deliver opens the streams, causes events at the rate, and waits until the last
// has arrived everywhere.
func (o *options) deliver(ctx context.Context, f *fanout) (delivered, error) {
	rate := o.rate
	if rate == 0 {
		rate = defaultEvents
	}
	r := delivered{Server: f.name, Mode: "sse", Streams: o.n, Events: int(o.length.Seconds() * float64(rate))}
	f.committed = make([]atomic.Int64, r.Events)
	ctx, hangUp := context.WithCancel(ctx)
	client := &http.Client{Transport: &http.Transport{DisableCompression: true}}
	var all sync.WaitGroup
	defer func() {
		hangUp()
		all.Wait()
		client.CloseIdleConnections()
	}()
	for i := range o.n {
		body, err := f.open(ctx, client)
		if err != nil {
			return r, fmt.Errorf("stream %d of %d: %w", i+1, o.n, err)
		}
		all.Go(func() {
			defer body.Close() // read to its end, or given up
			if err := f.read(body, &f.shards[i%shards]); ctx.Err() == nil {
				f.mu.Lock()
				f.why = err
				f.mu.Unlock()
			}
		})
	}
	wait(ctx, o.warm)
	before, err := probe.CPU(f.pid)
	if err != nil {
		return r, err
	}
	began := probe.Monotonic()
	for i := range r.Events {
		wait(ctx, began+time.Duration(i)*time.Second/time.Duration(rate)-probe.Monotonic())
		if err := f.cause(ctx); err != nil {
			return r, fmt.Errorf("%s: event %d: %w", f.name, i+1, err)
		}
		f.committed[i].Store(int64(probe.Monotonic()))
	}
	want := int64(r.Events) * int64(o.n)
	for patience := probe.Monotonic() + 10*time.Second; f.received.Load() < want && probe.Monotonic() < patience; {
		wait(ctx, time.Millisecond)
	}
	took := probe.Monotonic() - began
	after, err := probe.CPU(f.pid)
	f.mu.Lock()
	err = errors.Join(err, f.why)
	f.mu.Unlock()
	r.Deliveries = f.received.Load()
	if err == nil && r.Deliveries != want {
		err = fmt.Errorf("%s: %d of %d deliveries: no measurement", f.name, r.Deliveries, want)
	}
	var h histogram
	for i := range f.shards {
		f.shards[i].mu.Lock()
		h.merge(&f.shards[i].h)
		f.shards[i].mu.Unlock()
	}
	r.PerSecond, r.DeliveriesS = float64(r.Events)/took.Seconds(), float64(r.Deliveries)/took.Seconds()
	r.P50, r.P99, r.Max = h.quantile(500).Microseconds(), h.quantile(990).Microseconds(), h.most.Microseconds()
	r.CPU = float64((after - before).Microseconds()) * 1000 / float64(max(r.Deliveries, 1))
	if f.sample != nil && f.sample.Load() != nil {
		r.Bytes = len(*f.sample.Load())
	}
	return r, errors.Join(err, o.line(r))
}

func (f *fanout) open(ctx context.Context, client *http.Client) (io.ReadCloser, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, f.url, nil)
	if err != nil {
		return nil, err
	}
	if f.token != "" {
		r.Header.Set("Authorization", "Bearer "+f.token)
	}
	answer, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		return nil, errors.Join(fmt.Errorf("HTTP %d", answer.StatusCode), answer.Body.Close())
	}
	return answer.Body, nil
}

// read counts the events of one stream until it ends, which is why it returns.
// They come in the order in which they were caused. An event may overtake the answer of its cause: no delay.
func (f *fanout) read(body io.Reader, hist *shard) error {
	in := bufio.NewReaderSize(body, 4096)
	n := 0
	var event []byte
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if f.sample != nil && f.sample.Load() == nil {
			event = append(event, line...)
		}
		switch {
		case bytes.HasPrefix(line, []byte("data:")):
			now := int64(probe.Monotonic())
			if n >= len(f.committed) {
				return fmt.Errorf("%d events, only %d were caused", n+1, n)
			}
			at := f.committed[n].Load()
			if at == 0 {
				at = now
			}
			hist.add(time.Duration(now - at))
			n++
			f.received.Add(1)
		case len(line) == 1 && f.sample != nil && f.sample.Load() == nil:
			if bytes.Contains(event, []byte("data:")) {
				text := bytes.Clone(event)
				f.sample.Store(&text)
			}
			event = event[:0]
		}
	}
}
