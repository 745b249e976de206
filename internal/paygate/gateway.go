// Package paygate is a payment gateway on this machine: it speaks the wire
// protocols of Alipay (RSA2 form gateway) and WeChat Pay (API v3) with keys that
// it made itself, and a pay button instead of a payer. It is a witness: its
// cryptography is the standard library's and its own, and it refuses every call
// whose signature, time or content the real channel would refuse. It is told to
// misbehave on request. Its one invariant: there is no money behind it.
package paygate

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Channel is one of the protocols.
type Channel string

// The protocols.
const (
	Alipay Channel = "alipay"
	Wechat Channel = "wechat"
)

// Config is what a Gateway is made of.
type Config struct {
	Keys *Keys
	// Now is the time that payers, notifications and statements live in.
	Now func() time.Time
	// Wall is the time by which calls are judged, and replies and notifications signed; nil: Now.
	Wall func() time.Time
	// Retry are the waits between tries of a notification; nil: a quick version of
	// the channels' own.
	Retry []time.Duration
	// EarlyBills makes statements of the running day.
	EarlyBills bool
	// AllowRemote lets notifications leave this machine.
	AllowRemote bool
	// Tell is told what happens, one line each; nil: nobody.
	Tell func(line string)
}

const (
	maxBody   = 64 << 10
	maxTrades = 100_000
	maxQueue  = 10_000
	// patience is how long a notification waits for its answer, as WeChat does.
	patience = 5 * time.Second
	clockGap = 300 * time.Second
	feeRate  = 600 // 1e-5
)

// zone is the zone of both channels.
var zone = time.FixedZone("CST", 8*60*60)

// Gateway is the gateway. It is safe for concurrent use.
type Gateway struct {
	cfg    Config
	client *http.Client
	wake   chan struct{}

	mu     sync.Mutex
	trades map[string]*trade // by channel and number
	serial int64
	faults []*Fault
	queue  []*notice
	tokens map[string]download
	// certificates of Alipay by number, the one it signs with, and whether the
	// application's last call was in certificate mode: notifications are like it.
	certificates map[string]*certified
	certificate  *certified
	certified    bool
}

// New makes a gateway; Run sends its notifications.
func New(c Config) *Gateway {
	if c.Wall == nil {
		c.Wall = c.Now
	}
	if c.Retry == nil {
		c.Retry = []time.Duration{time.Second, 2 * time.Second, 5 * time.Second, 15 * time.Second, 30 * time.Second, time.Minute, 5 * time.Minute}
	}
	if c.Tell == nil {
		c.Tell = func(string) {}
	}
	first := c.Keys.authority.first
	return &Gateway{
		cfg: c, wake: make(chan struct{}, 1), trades: make(map[string]*trade), tokens: make(map[string]download), client: caller(c.AllowRemote),
		certificate: first, certificates: map[string]*certified{first.sn: first},
	}
}

// state is what a trade or a refund is.
type state string

const (
	isNew      state = "NEW" // a code that nobody scanned
	isWaiting  state = "WAITING"
	isPaid     state = "PAID"
	isClosed   state = "CLOSED"
	processing state = "PROCESSING"
	succeeded  state = "SUCCESS"
	abnormal   state = "ABNORMAL"
)

// trade is a payment as the gateway knows it; amounts are fen.
type trade struct {
	channel  Channel
	no       string
	own      string // the gateway's number
	kind     string // qr, app, native, jsapi
	amount   int64
	subject  string
	notify   string
	openID   string
	prepay   string
	state    state
	made     time.Time
	expires  time.Time
	paid     time.Time
	refunds  []*refund
	late     bool // the payer waits for the close
	refundTo RefundOutcome
	told     bool // the payment was notified
}

type refund struct {
	no, own, reason, notify string
	amount                  int64
	state                   state
	made                    time.Time
}

// back is what was given back and is on its way.
func (t *trade) back() int64 {
	sum := int64(0)
	for _, r := range t.refunds {
		if r.state == processing || r.state == succeeded {
			sum += r.amount
		}
	}
	return sum
}

func (t *trade) refund(no string) *refund {
	for _, r := range t.refunds {
		if r.no == no {
			return r
		}
	}
	return nil
}

func key(c Channel, no string) string { return string(c) + "/" + no }

// number makes a number of the gateway's own, in the manner of the channels.
func (g *Gateway) number(prefix string) string {
	g.serial++
	return prefix + g.cfg.Now().In(zone).Format("20060102") + fmt.Sprintf("%014d", g.serial)
}

func token() string {
	var noise [16]byte
	_, _ = rand.Read(noise[:]) // it does not fail
	return hex.EncodeToString(noise[:])
}

// Outcome is how a payer behaves.
type Outcome string

// The outcomes.
const (
	// Succeed pays and notifies.
	Succeed Outcome = "SUCCESS"
	// Scan begins the payment and does not finish it.
	Scan Outcome = "SCAN"
	// Late pays as soon as the trade is closed, and despite of it.
	Late Outcome = "LATE"
	// Duplicate pays and notifies three times, the last under another event id.
	Duplicate Outcome = "DUPLICATE"
	// WrongAmount notifies, rightly signed, 0.01 more than was asked for.
	WrongAmount Outcome = "WRONG_AMOUNT"
	// Silent pays and never notifies.
	Silent Outcome = "SILENT"
	// Forged notifies a payment that did not happen, signed with a foreign key.
	Forged Outcome = "FORGED"
	// Stale notifies rightly, ten minutes after it was signed (wechat).
	Stale Outcome = "STALE"
	// Probe notifies with a signature that is spoilt on purpose, as WeChat does.
	Probe Outcome = "PROBE"
)

// Outcomes lists the outcomes.
func Outcomes() []Outcome {
	return []Outcome{Succeed, Scan, Late, Duplicate, WrongAmount, Silent, Forged, Stale, Probe}
}

// RefundOutcome is what becomes of the refunds of a trade.
type RefundOutcome string

// The outcomes of refunds.
const (
	RefundSucceed RefundOutcome = "SUCCESS"
	// RefundFirst notifies the refund before the payment.
	RefundFirst RefundOutcome = "FIRST"
	// RefundAbnormal is a payer's account that takes no money (wechat).
	RefundAbnormal RefundOutcome = "ABNORMAL"
	// RefundClosed is a refund that is closed (wechat).
	RefundClosed RefundOutcome = "CLOSED"
	// RefundPending stays on its way.
	RefundPending RefundOutcome = "PENDING"
)

// RefundOutcomes lists the outcomes of refunds.
func RefundOutcomes() []RefundOutcome {
	return []RefundOutcome{RefundSucceed, RefundFirst, RefundAbnormal, RefundClosed, RefundPending}
}

// Pay is a press of the pay button.
type Pay struct {
	TradeNo string  `json:"tradeNo"`
	Outcome Outcome `json:"outcome"`
	// Refunds is what becomes of later refunds of the trade.
	Refunds RefundOutcome `json:"refunds,omitempty"`
	// OrderString is what an app got for ALIPAY_APP: the trade begins with it.
	OrderString string `json:"orderString,omitempty"`
	// Page is what a page got for WECHAT_JSAPI; its paySign is verified.
	Page map[string]string `json:"page,omitempty"`
}

// What the button can refuse.
var (
	ErrNoTrade = errors.New("the gateway knows no such trade")
	ErrOutcome = errors.New("the outcome is not known, or not one of the channel's")
	ErrOrder   = errors.New("the order string is not signed by the merchant, or lacks something")
	ErrPage    = errors.New("the page's parameters are not signed by the merchant")
	ErrNotOpen = errors.New("the trade is not open")
)

// Press lets the payer act.
func (g *Gateway) Press(p Pay) error {
	if p.Outcome == "" {
		p.Outcome = Succeed
	}
	if !slices.Contains(Outcomes(), p.Outcome) || p.Refunds != "" && !slices.Contains(RefundOutcomes(), p.Refunds) {
		return ErrOutcome
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if p.OrderString != "" {
		no, err := g.begin(p.OrderString)
		if err != nil {
			return err
		}
		p.TradeNo = no
	}
	t := g.find(p.TradeNo)
	if t == nil {
		return ErrNoTrade
	}
	if p.Page != nil && !g.pageIsSigned(t, p.Page) {
		return ErrPage
	}
	t.refundTo = p.Refunds
	return g.act(t, p.Outcome)
}

func (g *Gateway) find(no string) *trade {
	if t := g.trades[key(Alipay, no)]; t != nil {
		return t
	}
	return g.trades[key(Wechat, no)]
}

// act lets the payer of a trade act.
func (g *Gateway) act(t *trade, o Outcome) error {
	if t.channel == Alipay && (o == Stale || o == Probe) {
		return ErrOutcome // Alipay has no such thing
	}
	now := g.cfg.Now()
	open := (t.state == isNew || t.state == isWaiting) && now.Before(t.expires)
	switch o {
	case Forged, Probe, WrongAmount, Stale:
		fake := *t
		fake.paid = now
		if o == WrongAmount {
			fake.amount++
		}
		g.notifyPaid(&fake, o, token())
		return nil
	case Late:
		if t.state == isPaid {
			return ErrNotOpen
		}
		t.late = true
		if t.state == isClosed {
			g.settle(t, Succeed)
		}
		return nil
	case Scan, Succeed, Silent, Duplicate:
	}
	if !open {
		return ErrNotOpen
	}
	if o == Scan {
		t.state = isWaiting
		return nil
	}
	g.settle(t, o)
	return nil
}

// settle is the moment in which the money moves.
func (g *Gateway) settle(t *trade, o Outcome) {
	t.state, t.paid, t.late = isPaid, g.cfg.Now(), false
	g.cfg.Tell("paid " + t.no)
	if o == Silent || t.refundTo == RefundFirst {
		return
	}
	g.tellPaid(t, o)
}

func (g *Gateway) tellPaid(t *trade, o Outcome) {
	t.told = true
	id := token()
	g.notifyPaid(t, o, id)
	if o == Duplicate {
		g.notifyPaid(t, o, id)
		g.notifyPaid(t, o, token())
	}
}

// closeTrade closes a trade that nobody paid; a late payer then pays.
func (g *Gateway) closeTrade(t *trade) {
	t.state = isClosed
	g.cfg.Tell("closed " + t.no)
	if t.late {
		g.settle(t, Succeed)
	}
}

// giveBack takes a refund that was checked.
func (g *Gateway) giveBack(t *trade, r *refund) {
	r.made = g.cfg.Now()
	switch t.refundTo {
	case RefundAbnormal:
		r.state = abnormal
	case RefundClosed:
		r.state = isClosed
	case RefundPending:
		r.state = processing
	case RefundSucceed, RefundFirst, "":
		r.state = succeeded
	}
	t.refunds = append(t.refunds, r)
	g.cfg.Tell("refund " + r.no + " of " + t.no + " " + string(r.state))
	if r.state == processing {
		return
	}
	g.notifyRefund(t, r)
	if t.refundTo == RefundFirst && !t.told {
		g.tellPaid(t, Succeed)
	}
}

// Fault is a call that goes wrong.
type Fault struct {
	// Call is a part of the Alipay method or of the WeChat path; "" is any.
	Call string `json:"call"`
	// Kind is busy, unsigned, forged, mute, garbage or long.
	Kind  string `json:"kind"`
	Times int    `json:"times"`
}

// The kinds of faults.
const (
	FaultBusy     = "busy"     // the channel's own "system busy", signed
	FaultUnsigned = "unsigned" // done, and the reply carries no signature
	FaultForged   = "forged"   // done, and the reply is signed with a foreign key
	FaultMute     = "mute"     // done, and never answered
	FaultGarbage  = "garbage"  // not done, and answered by something that is no channel
	FaultLong     = "long"     // not done, and answered without end
)

// FaultKinds lists the kinds.
func FaultKinds() []string {
	return []string{FaultBusy, FaultUnsigned, FaultForged, FaultMute, FaultGarbage, FaultLong}
}

// ErrFault says that a fault cannot be.
var ErrFault = errors.New("the kind of fault is not known, or its times are not 1 to 1000")

// Break makes the next calls go wrong.
func (g *Gateway) Break(f Fault) error {
	if !slices.Contains(FaultKinds(), f.Kind) || f.Times < 1 || f.Times > 1000 {
		return ErrFault
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.faults) >= 100 {
		return ErrFault
	}
	g.faults = append(g.faults, &f)
	return nil
}

// Overview is a trade as the list shows it.
type Overview struct {
	Channel  Channel          `json:"channel"`
	TradeNo  string           `json:"tradeNo"`
	Kind     string           `json:"kind"`
	Amount   string           `json:"amount"`
	State    string           `json:"state"`
	Subject  string           `json:"subject"`
	Made     time.Time        `json:"made"`
	Paid     *time.Time       `json:"paid"`
	Refunds  []OverviewRefund `json:"refunds"`
	OwnTrade string           `json:"channelTradeNo"`
}

// OverviewRefund is a refund as the list shows it.
type OverviewRefund struct {
	RefundNo string `json:"refundNo"`
	Amount   string `json:"amount"`
	State    string `json:"state"`
}

// maxListed bounds the list of trades.
const maxListed = 200

// Trades lists the newest trades.
func (g *Gateway) Trades() []Overview { return g.list(maxListed) }

// AllTrades lists every trade, the newest first.
func (g *Gateway) AllTrades() []Overview { return g.list(maxTrades) }

func (g *Gateway) list(limit int) []Overview {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := make([]*trade, 0, len(g.trades))
	for _, t := range g.trades {
		all = append(all, t)
	}
	slices.SortFunc(all, func(a, b *trade) int { return b.made.Compare(a.made) })
	list := make([]Overview, 0, min(len(all), limit))
	for _, t := range all[:min(len(all), limit)] {
		o := Overview{
			Channel: t.channel, TradeNo: t.no, Kind: t.kind, Amount: yuan(t.amount), State: string(t.state), Subject: t.subject, Made: t.made, OwnTrade: t.own,
			Refunds: []OverviewRefund{},
		}
		if !t.paid.IsZero() {
			paid := t.paid
			o.Paid = &paid
		}
		for _, r := range t.refunds {
			o.Refunds = append(o.Refunds, OverviewRefund{r.no, yuan(r.amount), string(r.state)})
		}
		list = append(list, o)
	}
	return list
}

// Handler serves both protocols and the pay button.
func (g *Gateway) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /gateway.do", g.alipay)
	mux.HandleFunc("GET /downloadBillFile.resource", g.download)
	mux.HandleFunc("/v3/", g.wechat)
	g.control(mux)
	return mux
}

// fault takes the fault of a call, if one is due.
func (g *Gateway) fault(call string) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, f := range g.faults {
		if contains(call, f.Call) {
			if f.Times--; f.Times == 0 {
				g.faults = slices.Delete(g.faults, i, i+1)
			}
			return f.Kind
		}
	}
	return ""
}

// broken answers a call whose fault needs no work; false when it needs some.
func broken(w http.ResponseWriter, r *http.Request, kind string) bool {
	switch kind {
	case FaultGarbage:
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusBadGateway)
		_, _ = io.WriteString(w, "<html>502</html>") // whoever left does not want it
	case FaultLong:
		w.WriteHeader(http.StatusOK)
		block := make([]byte, 32<<10)
		for range 1024 {
			if _, err := w.Write(block); err != nil || r.Context().Err() != nil {
				break
			}
		}
	default:
		return false
	}
	return true
}

// hang never answers: it waits until the caller gives up.
func hang(ctx context.Context) { <-ctx.Done() }
