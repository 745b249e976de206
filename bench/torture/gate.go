package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/evcs/evcs/bench/probe"
	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/paygate"
)

// gate is the payment gateway of this run. It speaks the real protocols of
// Alipay and WeChat Pay, takes money and gives it back, and is never killed. In
// front of evcsd stands a tap that passes its notifications on and writes down
// which of them were answered with success.
type gate struct {
	keys        *paygate.Keys
	pay         func(paygate.Pay) error   // the pay button
	fail        func(paygate.Fault) error // makes calls go wrong
	trades      func() []paygate.Overview // what the gateway knows
	at, noticed string                    // addresses of the gateway and of the tap
	to          string                    // that of evcsd
	acked       chan struct{}             // has room for one; filled by an answered notification
	day         string                    // on which the gateway does its business
	end         func()

	mu       sync.Mutex
	answered map[string]notice // guarded by mu; by channel and event
	recent   []notice          // guarded by mu; answered since the last look
	repeated int               // guarded by mu; answered once more
}

// notice is a notification that evcsd has answered with success. One of trade
// and refund is set.
type notice struct {
	channel, event, trade, refund string
}

const (
	// gateRetry is how soon the gateway notifies again, gateTries how often.
	gateRetry = 200 * time.Millisecond
	gateTries = 5000
	// maxNotice bounds a notification.
	maxNotice = 64 << 10
	// gateFee is what both channels keep of a payment, in 1e-5.
	gateFee = 600
)

// channels are those of the gateway.
func channels() []string { return []string{string(paygate.Alipay), string(paygate.Wechat)} }

// openGate starts the gateway and its tap. The gateway's day is yesterday: the
// statement of a day can be had when the day is over.
func openGate(ctx context.Context, t *torture) (*gate, error) {
	wall := t.clock.Now()
	keys, err := paygate.NewKeys(wall)
	if err != nil {
		return nil, fmt.Errorf("keys of the gateway: %w", err)
	}
	local := wall.In(bankZone())
	noon := time.Date(local.Year(), local.Month(), local.Day()-1, 12, 0, 0, 0, local.Location())
	gateway := paygate.New(paygate.Config{
		Keys: keys, EarlyBills: true, Retry: slices.Repeat([]time.Duration{gateRetry}, gateTries), Wall: t.clock.Now,
		Now: func() time.Time { return noon.Add(t.clock.Now().Sub(wall)) },
	})
	g := &gate{
		keys: keys, pay: gateway.Press, fail: gateway.Break, trades: gateway.AllTrades, acked: make(chan struct{}, 1), answered: map[string]notice{},
		day: noon.Format(time.DateOnly),
	}
	life, stop := context.WithCancel(ctx)
	var work sync.WaitGroup
	g.end = func() { stop(); work.Wait() }
	for at, h := range map[*string]http.Handler{&g.at: gateway.Handler(), &g.noticed: http.HandlerFunc(g.pass)} {
		if *at, err = serve(life, &work, h); err != nil {
			g.end()
			return nil, err
		}
	}
	work.Go(func() { _ = gateway.Run(life) }) // it ends with life only
	return g, nil
}

// serve serves on a loopback port until ctx ends.
func serve(ctx context.Context, work *sync.WaitGroup, h http.Handler) (string, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("listen: %w", err)
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute, BaseContext: func(net.Listener) context.Context { return ctx }}
	work.Go(func() { _ = srv.Serve(l) }) // it ends when it is closed
	context.AfterFunc(ctx, func() { _ = srv.Close() })
	return "http://" + l.Addr().String(), nil
}

// settings lead evcsd to the gateway.
func (g *gate) settings() string {
	return fmt.Sprintf("payment:\n  callbackBase: %s\n  alipay:\n    gateway: %s\n  wechat:\n    gateway: %s\n", g.noticed, g.at, g.at)
}

// register gives the tenant its accounts at both channels.
func (g *gate) register(ctx context.Context, c *probe.Client) error {
	for _, channel := range channels() {
		account, err := g.keys.Merchant(paygate.Channel(channel))
		if err != nil {
			return fmt.Errorf("account at %s: %w", channel, err)
		}
		if err := c.Do(ctx, http.MethodPost, "/api/payment/merchant", "", json.RawMessage(account), nil); err != nil {
			return fmt.Errorf("account at %s: %w", channel, err)
		}
	}
	return nil
}

// pass is the tap.
func (g *gate) pass(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxNotice))
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	status, answer, err := g.forward(r, body)
	if err != nil { // evcsd is dead
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	g.note(r.URL.Path, body, status, answer)
	w.WriteHeader(status)
	if status != http.StatusNoContent {
		_, _ = w.Write(answer) // whoever left asks again
	}
}

func (g *gate) forward(r *http.Request, body []byte) (int, []byte, error) {
	out, err := http.NewRequestWithContext(r.Context(), http.MethodPost, g.to+r.URL.Path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	out.Header = r.Header.Clone()
	res, err := http.DefaultClient.Do(out)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close() // read to its end
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxNotice))
	return res.StatusCode, answer, err
}

// note writes down what was answered with success, in the words of its channel.
func (g *gate) note(path string, body []byte, status int, answer []byte) {
	n, err := readNotice(path, body)
	taken := status == http.StatusOK || status == http.StatusNoContent
	if n.channel == string(paygate.Alipay) {
		taken = status == http.StatusOK && string(answer) == "success"
	}
	if err != nil || !taken {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, again := g.answered[n.channel+" "+n.event]; again {
		g.repeated++
	}
	g.answered[n.channel+" "+n.event] = n
	g.recent = append(g.recent, n)
	select {
	case g.acked <- struct{}{}:
	default:
	}
}

var errNoNotice = errors.New("not a notification")

// readNotice reads what a notification is about. WeChat's is sealed, but its
// summary says it: "payment EV…" or "refund ER…".
func readNotice(path string, body []byte) (n notice, err error) {
	if strings.Contains(path, "/callback/"+string(paygate.Alipay)) {
		form, err := url.ParseQuery(string(body))
		n = notice{string(paygate.Alipay), form.Get("notify_id"), form.Get("out_trade_no"), form.Get("out_biz_no")}
		if err != nil || n.event == "" {
			return n, errNoNotice
		}
		return n.only(), nil
	}
	var told struct {
		ID      string `json:"id"`
		Summary string `json:"summary"`
	}
	if err := json.Unmarshal(body, &told); err != nil || told.ID == "" {
		return n, errNoNotice
	}
	n = notice{channel: string(paygate.Wechat), event: told.ID}
	kind, number, _ := strings.Cut(told.Summary, " ")
	if n.trade = number; kind == "refund" {
		n.refund = number
	}
	return n.only(), nil
}

// only leaves one of trade and refund.
func (n notice) only() notice {
	if n.refund != "" {
		n.trade = ""
	}
	return n
}

// trouble makes one of the next calls go wrong: the channel is busy, or does what
// it is asked and does not answer, or answers what cannot be believed. evcsd then
// does not know what has become of a payment or refund, and dies with it. Alipay
// tells the time of a refund by a call of its own, which is left alone: without it
// evcsd takes its own time, which here is not of the gateway's day.
func (g *gate) trouble(n int) {
	if g == nil {
		return
	}
	calls := []string{"alipay.trade.refund", "native", "refund/domestic", "precreate"}
	kinds := []string{paygate.FaultMute, paygate.FaultBusy, paygate.FaultUnsigned, paygate.FaultForged, paygate.FaultGarbage}
	_ = g.fail(paygate.Fault{Call: calls[n%len(calls)], Kind: kinds[n%len(kinds)], Times: 1}) // refused when a hundred wait already
}

// behind waits for a notification to be answered, and a few milliseconds more: a
// moment at which a program that answers too early has something to lose.
func (g *gate) behind(ctx context.Context, luck *rand.Rand) {
	if g == nil {
		return
	}
	select {
	case <-g.acked: // of before
	default:
	}
	timer := time.NewTimer(patienceForNotice)
	defer timer.Stop()
	select {
	case <-g.acked:
		pause(ctx, time.Duration(luck.Int64N(int64(10*time.Millisecond))))
	case <-timer.C:
	case <-ctx.Done():
	}
}

// patienceForNotice is how long a kill waits for a notification.
const patienceForNotice = 500 * time.Millisecond

// maxLook bounds how many notifications are looked up after a kill: the last.
const maxLook = 20

// look asks an evcsd that has just risen for what it had answered before it died.
func (g *gate) look(ctx context.Context, c *probe.Client, faulty *findings) error {
	if g == nil {
		return nil
	}
	g.mu.Lock()
	recent := g.recent
	g.recent = nil
	g.mu.Unlock()
	for _, n := range recent[max(0, len(recent)-maxLook):] {
		if err := n.look(ctx, c, faulty); err != nil {
			return err
		}
	}
	return nil
}

func (n notice) look(ctx context.Context, c *probe.Client, faulty *findings) error {
	if n.refund != "" {
		var r api.Refund
		err := until(ctx, c, http.MethodGet, "/api/payment/refund/"+n.refund, "", nil, &r)
		// What Alipay tells of a refund makes evcsd ask; what WeChat tells is final.
		if customerFault(err) || err == nil && n.channel == string(paygate.Wechat) && r.RefundStatus != api.RefundSuccess {
			faulty.add(lostNotice, "%s: that refund %s was done was answered with success; after the kill it is %q, %v", n.channel, n.refund, r.StatusName, err)
			return nil
		}
		return err
	}
	var p api.Payment
	err := until(ctx, c, http.MethodGet, "/api/payment/query/"+n.trade+"?refresh=never", "", nil, &p)
	if customerFault(err) || err == nil && !settled(p.Status) {
		faulty.add(lostNotice, "%s: that %s was paid was answered with success; after the kill it is %q, %v", n.channel, n.trade, p.StatusName, err)
		return nil
	}
	return err
}

// settled reports whether a payment was paid, whatever went back of it.
func settled(status int) bool {
	switch status {
	case api.PaymentSuccess, api.PaymentRefunded, api.PaymentPartiallyRefunded, api.PaymentRefunding:
		return true
	}
	return false
}

// method is how the customer of an order pays; "" is at the desk.
func (l *till) method(order int64) string {
	switch {
	case order%10 == 4, order%10 == 0:
		return ""
	case l.t.gate == nil, order/10%3 == 0:
		return "SANDBOX"
	case order/10%3 == 1:
		return "ALIPAY_QR"
	}
	return "WECHAT_NATIVE"
}

// press lets the customer of an order pay at the gateway: some are told of three
// times, under two ids, and some never, so that evcsd has to ask.
func (l *till) press(order int64, tradeNo string) error {
	how := paygate.Succeed
	switch order % 10 {
	case 5, 2:
		how = paygate.Duplicate
	case 6:
		how = paygate.Silent
	}
	return l.t.gate.pay(paygate.Pay{TradeNo: tradeNo, Outcome: how})
}

// becomes asks evcsd again and again until done says that what it read is final.
// It does not have evcsd ask the channel: notifications and evcsd itself must do.
func (l *till) becomes(ctx context.Context, path string, out any, done func() bool) error {
	patience := min(payTime, l.t.drain)
	deadline := probe.Monotonic() + patience
	for {
		if err := until(ctx, l.t.admin, http.MethodGet, path, "", nil, out); err != nil || done() {
			return err
		}
		if probe.Monotonic() > deadline {
			return fmt.Errorf("it is not done within %v", patience)
		}
		pause(ctx, 100*time.Millisecond)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// payAtGate pays over a real channel.
func (l *till) payAtGate(ctx context.Context, order int64, tradeNo string) (p api.Payment, err error) {
	if err := l.press(order, tradeNo); err != nil {
		return p, err
	}
	err = l.becomes(ctx, "/api/payment/query/"+tradeNo+"?refresh=never", &p, func() bool { return p.Status != api.PaymentPending && p.Status != api.PaymentProcessing })
	return p, err
}

// returned waits until a refund has left.
func (l *till) returned(ctx context.Context, r api.Refund) (api.Refund, error) {
	if r.RefundStatus != api.RefundProcessing {
		return r, nil
	}
	err := l.becomes(ctx, "/api/payment/refund/"+r.RefundNo, &r, func() bool { return r.RefundStatus != api.RefundProcessing })
	return r, err
}

// books are what the gateway's own statement of its day must say of a channel.
type books struct {
	rows, paid, back, fees int64
}

func (g *gate) books(channel string) (b books, err error) {
	for _, t := range g.trades() {
		if string(t.Channel) != channel || t.Paid == nil {
			continue
		}
		amount, err := fenOfYuan(t.Amount)
		if err != nil {
			return b, err
		}
		b.rows++
		b.paid += amount
		b.fees += (amount*gateFee + 50_000) / 100_000
		for _, r := range t.Refunds {
			back, err := fenOfYuan(r.Amount)
			if err != nil {
				return b, err
			}
			b.rows++
			b.back += back
		}
	}
	return b, nil
}

// fenOfYuan reads "12.34".
func fenOfYuan(text string) (int64, error) {
	var m api.Money
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		return 0, fmt.Errorf("amount of the gateway: %w", err)
	}
	return int64(m), nil
}
