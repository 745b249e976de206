package main

import (
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

// readers is how many connections read at once.
const readers = 32

// ratioREST compares authenticated reads with a bare HTTP answer.
func (o *options) ratioREST(ctx context.Context, clock evcs.Clock) error {
	a, err := reference(ctx, "hello")
	if err != nil {
		return err
	}
	defer func() { _ = a.stop() }()
	chargers := min(o.n, 50)
	if o.data != "" {
		chargers = 0
	}
	b, err := o.start(ctx, clock, chargers)
	if err != nil {
		return err
	}
	return errors.Join(o.reads(ctx, clock, a, b), b.stop())
}

// restRead is one read that is measured. The gate of a list is twice that of
// one order; a figure of many rows has none.
type restRead struct {
	name, path string
	gates      float64
}

// everyone has a read see the whole subtree.
const everyone = "tenantScope=SELF_AND_DESCENDANTS"

func (o *options) reads(ctx context.Context, clock evcs.Clock, a target, b *platform) error {
	var list []restRead
	if o.data == "" {
		one, err := o.orders(ctx, b, clock)
		if err != nil {
			return err
		}
		list = []restRead{{"GET by id", one, 1}, {"list of 20", "/api/order?cursor=&size=20", 2}}
	} else {
		one, err := firstOrder(ctx, b, everyone)
		if err != nil {
			return err
		}
		list = []restRead{
			{"GET by id", one, 1},
			{"list of 20", "/api/order?cursor=&size=20&" + everyone, 2},
			{"page of 20", "/api/order/page?page=1&size=20&" + everyone, 2},
			{"dashboard stats", "/api/dashboard/stats?" + everyone, 0},
			{"trend of 7 days", "/api/dashboard/charging-trend?days=7&" + everyone, 0},
			{"ranking", "/api/dashboard/station-ranking?" + everyone, 0},
			{"cities", "/api/order/statistics/city?" + everyone, 0},
			{"nearby", "/api/station/nearby?latitude=30&longitude=100&radius=50&" + everyone, 0},
		}
	}
	hello := make([][]float64, len(list))
	ours := make([][]float64, len(list))
	for range o.rounds {
		for i, what := range list { // each beside its own hello
			us, err := o.read(ctx, "hello", a.url+"/", a.pid, b.api.Token())
			if err != nil {
				return err
			}
			hello[i] = append(hello[i], us)
			if us, err = o.read(ctx, what.name, b.api.Base+what.path, b.pid, b.api.Token()); err != nil {
				return err
			}
			ours[i] = append(ours[i], us)
		}
	}
	var faults []error
	for i, what := range list {
		faults = append(faults, o.judge("server CPU of an authenticated "+what.name+" against hello", "us", hello[i], ours[i], what.gates*o.gate))
	}
	return errors.Join(faults...)
}

// orders lets the chargers make some orders and returns the path of one.
func (o *options) orders(ctx context.Context, b *platform, clock evcs.Clock) (string, error) {
	j := o.job(b.target, clock)
	j.rate, j.warm, j.length = 0, 0, 5*time.Second
	if _, err := measure(ctx, j); err != nil {
		return "", err
	}
	// Read as the site's own administrator: that is how orders are read.
	if err := b.api.Login(ctx, b.site.User, b.site.Password); err != nil {
		return "", err
	}
	return firstOrder(ctx, b, "")
}

// firstOrder is the path of the newest order.
func firstOrder(ctx context.Context, b *platform, scope string) (string, error) {
	var page struct {
		Records []struct {
			OrderID int64 `json:"orderId"`
		} `json:"records"`
	}
	if err := b.api.Do(ctx, http.MethodGet, "/api/order?cursor=&size=20&"+scope, "", nil, &page); err != nil {
		return "", err
	}
	if len(page.Records) < 20 {
		return "", fmt.Errorf("only %d orders to read", len(page.Records))
	}
	return fmt.Sprintf("/api/order/%d", page.Records[0].OrderID), nil
}

// read loads one address and returns the server's CPU per request in us.
func (o *options) read(ctx context.Context, name, url string, pid int, token string) (float64, error) {
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: readers}}
	defer client.CloseIdleConnections()
	var count, failed atomic.Int64
	var why atomic.Pointer[error]
	until := probe.Monotonic() + o.length
	before, err := probe.CPU(pid)
	if err != nil {
		return 0, err
	}
	began := probe.Monotonic()
	var wg sync.WaitGroup
	for range readers {
		wg.Go(func() {
			for ctx.Err() == nil && probe.Monotonic() < until {
				if err := get(ctx, client, url, token); err != nil {
					failed.Add(1)
					why.Store(&err)
				}
				count.Add(1)
			}
		})
	}
	wg.Wait()
	took := probe.Monotonic() - began
	after, err := probe.CPU(pid)
	if err != nil {
		return 0, err
	}
	if failed.Load() > 0 {
		return 0, fmt.Errorf("%s: %d of %d requests failed, no measurement: %w", name, failed.Load(), count.Load(), *why.Load())
	}
	us := float64((after - before).Microseconds()) / float64(max(count.Load(), 1))
	return us, o.line(map[string]any{
		"server": name, "mode": "rest", "requests": count.Load(), "seconds": took.Seconds(),
		"perSecond": float64(count.Load()) / took.Seconds(), "serverCPUusPerRequest": us,
	})
}

func get(ctx context.Context, client *http.Client, url, token string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close() // read to its end
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("HTTP %d", res.StatusCode)
	}
	return nil
}
