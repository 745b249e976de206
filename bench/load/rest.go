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

// ratioREST compares authenticated reads of orders with a bare HTTP answer.
func (o *options) ratioREST(ctx context.Context, clock evcs.Clock) error {
	a, err := reference(ctx, "hello")
	if err != nil {
		return err
	}
	defer func() { _ = a.stop() }()
	b, err := o.start(ctx, clock, min(o.n, 50))
	if err != nil {
		return err
	}
	one, err := o.orders(ctx, b, clock)
	if err != nil {
		return errors.Join(err, b.stop())
	}
	var hello, byID, list []float64
	for range o.rounds {
		for _, what := range []struct {
			name, url string
			pid       int
			into      *[]float64
		}{
			{"hello", a.url + "/", a.pid, &hello},
			{"order by id", b.api.Base + one, b.pid, &byID},
			{"list of 20 orders", b.api.Base + "/api/order?cursor=&size=20", b.pid, &list},
		} {
			us, err := o.read(ctx, what.name, what.url, what.pid, b.api.Token())
			if err != nil {
				return errors.Join(err, b.stop())
			}
			*what.into = append(*what.into, us)
		}
	}
	return errors.Join(
		o.judge("server CPU of an authenticated GET by id against hello", "us", hello, byID, o.gate),
		o.judge("server CPU of an authenticated list of 20 against hello", "us", hello, list, 2*o.gate),
		b.stop(),
	)
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
	var page struct {
		Records []struct {
			OrderID int64 `json:"orderId"`
		} `json:"records"`
	}
	if err := b.api.Do(ctx, http.MethodGet, "/api/order?cursor=&size=20", "", nil, &page); err != nil {
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
				if get(ctx, client, url, token) != nil {
					failed.Add(1)
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
		return 0, fmt.Errorf("%s: %d of %d requests failed: no measurement", name, failed.Load(), count.Load())
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
