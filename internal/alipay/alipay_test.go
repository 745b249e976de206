package alipay_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/evcs/evcs/internal/alipay"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/outbound"
	"github.com/evcs/evcs/internal/paygate"
	"github.com/evcs/evcs/internal/payment"
)

var keys = sync.OnceValue(func() *paygate.Keys {
	k, err := paygate.NewKeys(time.Now())
	if err != nil {
		panic(err)
	}
	return k
})

// stand is a channel in front of a gateway, and a place for notifications.
type stand struct {
	t       *testing.T
	gate    *paygate.Gateway
	channel *alipay.Channel
	m       payment.Merchant
	notify  string
	notices chan payment.Notice
	answer  payment.Reply // to notifications
	log     *bytes.Buffer
	mu      sync.Mutex
	now     time.Time
}

func (s *stand) clock() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *stand) set(at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = at
}

func merchantOf(t *testing.T, k *paygate.Keys) payment.Merchant {
	t.Helper()
	var given struct {
		AppID, SellerID, PrivateKey, AlipayPublicKey, Mode string
	}
	text, err := k.Merchant(paygate.Alipay)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &given); err != nil {
		t.Fatal(err)
	}
	return payment.Merchant{
		ID: 7, Tenant: 1, Channel: payment.ChannelAlipay, Mode: given.Mode, Version: 1, Enabled: true, CallbackToken: "TOKEN",
		Config:  textOf(t, payment.Account{AppID: given.AppID, SellerID: given.SellerID}),
		Secrets: []byte(textOf(t, payment.Secrets{PrivateKey: given.PrivateKey, PlatformKeys: []payment.PlatformKey{{PublicKey: given.AlipayPublicKey}}})),
	}
}

func textOf(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func newStand(t *testing.T) *stand {
	t.Helper()
	s := &stand{t: t, now: time.Now().UTC().Truncate(time.Second), notices: make(chan payment.Notice, 100), log: &bytes.Buffer{}, answer: payment.Reply{Status: 200, Body: "success"}}
	s.gate = paygate.New(paygate.Config{Keys: keys(), Now: s.clock, Wall: time.Now, Retry: []time.Duration{time.Millisecond, time.Millisecond}})
	server := httptest.NewServer(s.gate.Handler())
	ctx, stop := context.WithCancel(t.Context())
	var work sync.WaitGroup
	work.Go(func() { _ = s.gate.Run(ctx) })
	listener := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		answer := s.answer
		s.mu.Unlock()
		w.WriteHeader(answer.Status)
		_, _ = io.WriteString(w, answer.Body)
		s.notices <- payment.Notice{Header: r.Header.Clone(), Body: body}
	}))
	t.Cleanup(func() {
		stop()
		work.Wait()
		listener.Close()
		server.Close()
	})
	s.notify = listener.URL + "/api/payment/callback/alipay/TOKEN"
	s.channel = channelTo(t, server.URL, s.log)
	s.m = merchantOf(t, keys())
	return s
}

func channelTo(t *testing.T, gateway string, log io.Writer) *alipay.Channel {
	t.Helper()
	to, err := outbound.ParseGateway(gateway)
	if err != nil {
		t.Fatal(err)
	}
	return alipay.New(alipay.Config{Guard: outbound.New(outbound.Config{
		Hosts: alipay.Hosts(), Gateway: to, Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})})
}

func number(t *testing.T, kind string) string {
	t.Helper()
	no, err := payment.Number(kind, time.Now(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return no
}

func (s *stand) request(method payment.Method) payment.CreateRequest {
	return payment.CreateRequest{
		TradeNo: number(s.t, payment.TradeNumber), Method: method, Amount: 6138, Description: "充电订单, ORD-1\t`x`", ExpireAt: s.clock().Add(15 * time.Minute), NotifyURL: s.notify,
	}
}

func (s *stand) create(method payment.Method) (payment.CreateRequest, map[string]string) {
	s.t.Helper()
	r := s.request(method)
	offer, err := s.channel.Create(s.t.Context(), s.m, r)
	if err != nil {
		s.t.Fatal(err)
	}
	var params map[string]string
	if err := json.Unmarshal(offer.Params, &params); err != nil {
		s.t.Fatal(err)
	}
	return r, params
}

func (s *stand) press(p paygate.Pay) {
	s.t.Helper()
	if err := s.gate.Press(p); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stand) paid() payment.CreateRequest {
	s.t.Helper()
	r, _ := s.create(payment.MethodAlipayQR)
	s.press(paygate.Pay{TradeNo: r.TradeNo})
	s.notice()
	return r
}

// notice waits for a notification.
func (s *stand) notice() payment.Notice {
	s.t.Helper()
	select {
	case n := <-s.notices:
		return n
	case <-time.After(20 * time.Second):
		s.t.Fatal("no notification came")
		return payment.Notice{}
	}
}

func (s *stand) verified() payment.Notification {
	s.t.Helper()
	told, err := s.channel.Verify(s.t.Context(), s.m, s.notice())
	if err != nil {
		s.t.Fatal(err)
	}
	return told
}

func (s *stand) query(no string) payment.Trade {
	s.t.Helper()
	got, err := s.channel.Query(s.t.Context(), s.m, no)
	if err != nil {
		s.t.Fatal(err)
	}
	return got
}

func channelMessage(err error) any {
	_, data, _ := evcs.Classify(err)
	return data["channelMessage"]
}

func channelCode(err error) any {
	_, data, _ := evcs.Classify(err)
	return data["channelCode"]
}

// A code is made, scanned, paid, notified, refunded twice, and is in the
// statement of the day.
func TestACodeFromCreationToStatement(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	r, params := s.create(payment.MethodAlipayQR)
	if !strings.HasPrefix(params["qrCode"], "https://qr.alipay.com/") {
		t.Errorf("params %v", params)
	}
	if got := s.query(r.TradeNo); got.State != payment.TradeUnknown {
		t.Errorf("a code that nobody scanned is %+v", got)
	}
	again, err := s.channel.Create(t.Context(), s.m, r)
	if err != nil || again.URL != params["qrCode"] {
		t.Errorf("the same again: %+v %v", again, err)
	}
	s.press(paygate.Pay{TradeNo: r.TradeNo, Outcome: paygate.Scan})
	if got := s.query(r.TradeNo); got.State != payment.TradeWaiting {
		t.Errorf("scanned is %+v", got)
	}
	s.press(paygate.Pay{TradeNo: r.TradeNo})
	told := s.verified()
	if told.TradeNo != r.TradeNo || told.Trade.State != payment.TradePaid || told.Trade.Amount != r.Amount || told.EventID == "" || told.Foreign != "" || told.RefundNo != "" {
		t.Errorf("told %+v", told)
	}
	got := s.query(r.TradeNo)
	if diff := cmp.Diff(payment.Trade{State: payment.TradePaid, ChannelTradeNo: told.Trade.ChannelTradeNo, Amount: 6138, PaidAt: s.clock()}, got); diff != "" || !told.Trade.PaidAt.Equal(got.PaidAt) {
		t.Errorf("paid: %s", diff)
	}
	if closed, err := s.channel.Close(t.Context(), s.m, r.TradeNo); err != nil || closed.State != payment.TradePaid {
		t.Errorf("closing what is paid: %+v %v", closed, err)
	}
	first := s.refundTwice(r)
	s.statement(r, first)
}

func (s *stand) refundTwice(r payment.CreateRequest) payment.RefundRequest {
	t := s.t
	t.Helper()
	ctx := t.Context()
	first := payment.RefundRequest{TradeNo: r.TradeNo, RefundNo: number(t, payment.RefundNumber), Total: r.Amount, Amount: 1000, Reason: "charging broke off, `sorry`"}
	answer, err := s.channel.Refund(ctx, s.m, first)
	if err != nil || answer.State != payment.RefundSuccess || answer.Amount != 1000 || !answer.AcceptedAt.Equal(s.clock()) {
		t.Errorf("refund: %+v %v", answer, err)
	}
	told := s.verified()
	if told.RefundNo != first.RefundNo || !told.AskRefund || told.Trade.State == payment.TradePaid || told.TradeNo != r.TradeNo {
		t.Errorf("told of the refund: %+v", told)
	}
	if answer, err = s.channel.Refund(ctx, s.m, first); err != nil || answer.State != payment.RefundSuccess || answer.Amount != 1000 {
		t.Errorf("the same refund again moves nothing and is a success: %+v %v", answer, err)
	}
	if answer, err = s.channel.QueryRefund(ctx, s.m, r.TradeNo, first.RefundNo); err != nil || answer.State != payment.RefundSuccess || answer.Amount != 1000 || answer.AcceptedAt.IsZero() {
		t.Errorf("query: %+v %v", answer, err)
	}
	other := first
	other.Amount = 1001
	if _, err := s.channel.Refund(ctx, s.m, other); !errors.Is(err, payment.ErrRefused) || channelCode(err) != "ACQ.DISCORDANT_REPEAT_REQUEST" {
		t.Errorf("the same number for another amount: %v", err)
	}
	if answer, err = s.channel.QueryRefund(ctx, s.m, r.TradeNo, number(t, payment.RefundNumber)); err != nil || answer.State != payment.RefundProcessing {
		t.Errorf("a refund that nobody asked for: %+v %v", answer, err)
	}
	more := payment.RefundRequest{TradeNo: r.TradeNo, RefundNo: number(t, payment.RefundNumber), Total: r.Amount, Amount: 5139}
	if _, err := s.channel.Refund(ctx, s.m, more); !errors.Is(err, payment.ErrRefused) {
		t.Errorf("more than is left: %v", err)
	}
	more.Amount = 5138
	if answer, err = s.channel.Refund(ctx, s.m, more); err != nil || answer.State != payment.RefundSuccess || answer.Amount != 5138 {
		t.Errorf("the rest: %+v %v", answer, err)
	}
	if told = s.verified(); told.RefundNo != more.RefundNo || !told.AskRefund {
		t.Errorf("told of the rest: %+v", told)
	}
	if got := s.query(r.TradeNo); got.State != payment.TradePaid || got.Amount != r.Amount {
		t.Errorf("given back is paid all the same: %+v", got)
	}
	return first
}

func (s *stand) statement(r payment.CreateRequest, first payment.RefundRequest) {
	t := s.t
	t.Helper()
	ctx := t.Context()
	day := s.clock().In(payment.StatementZone()).Format(time.DateOnly)
	if _, err := s.channel.Fetch(ctx, s.m, day); err == nil {
		t.Error("the running day has a statement")
	}
	s.set(s.clock().Add(48 * time.Hour))
	got, err := s.channel.Fetch(ctx, s.m, day)
	if err != nil {
		t.Fatal(err)
	}
	var rows []payment.Row
	sum, err := s.channel.Read(ctx, s.m, day, got.File, func(row payment.Row) error { rows = append(rows, row); return nil })
	if err != nil || len(sum.Problems) != 0 || len(rows) != 3 || sum.PayTotal != 6138 || sum.RefundTotal != 6138 || sum.FeeTotal != 37 {
		t.Errorf("read: %+v %v", sum, err)
	}
	if len(rows) == 3 && (rows[0].TradeNo != r.TradeNo || rows[0].Fee != 37 || rows[1].RefundNo != first.RefundNo && rows[2].RefundNo != first.RefundNo) {
		t.Errorf("rows %+v", rows)
	}
	if err := got.File.Close(); err != nil {
		t.Error(err)
	}
	fund, err := s.channel.FetchFund(ctx, s.m, day)
	if err != nil {
		t.Fatal(err)
	}
	defer fund.File.Close()
	moved := 0
	total, err := s.channel.ReadFund(ctx, s.m, day, fund.File, func(payment.Movement) error { moved++; return nil })
	if err != nil || len(total.Problems) != 0 || moved != 4 || total.In != 6138 || total.Out != 6138+37 || !total.Balanced {
		t.Errorf("fund: %+v %v", total, err)
	}
	// An address that has expired is answered with a page.
	if err := s.gate.Break(paygate.Fault{Call: "downloadBill", Kind: paygate.FaultGarbage, Times: 1}); err != nil {
		t.Fatal(err)
	}
	if st, err := s.channel.Fetch(ctx, s.m, day); !errors.Is(err, payment.ErrUnknownOutcome) || st.File != nil {
		t.Errorf("no archive: %v", err)
	}
	empty, err := time.ParseInLocation(time.DateOnly, day, payment.StatementZone())
	if err != nil {
		t.Fatal(err)
	}
	empty = empty.AddDate(0, 0, 1)
	s.set(empty.Add(24*time.Hour + 12*time.Hour))
	if _, err := s.channel.Fetch(ctx, s.m, empty.Format(time.DateOnly)); !errors.Is(err, payment.ErrNotReady) || channelMessage(err) != "isp.bill_not_exist" {
		t.Errorf("a day without trades: %v", err)
	}
	if _, err := s.channel.Fetch(ctx, s.m, "yesterday"); err == nil {
		t.Error("a day that is none")
	}
}

func TestAnAppPaysWithASignedOrder(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	r, params := s.create(payment.MethodAlipayApp)
	form, err := url.ParseQuery(params["orderString"])
	if err != nil || form.Get("sign_type") != "RSA2" || form.Get("notify_url") != s.notify {
		t.Fatalf("order %v %v", form, err)
	}
	// The gateway judges the time of the order as +08:00.
	if at, err := time.ParseInLocation("2006-01-02 15:04:05", form.Get("timestamp"), time.FixedZone("", 8*3600)); err != nil || time.Since(at).Abs() > time.Minute {
		t.Errorf("timestamp %s", form.Get("timestamp"))
	}
	var biz struct {
		Subject    string `json:"subject"`
		TimeExpire string `json:"time_expire"`
	}
	if err := json.Unmarshal([]byte(form.Get("biz_content")), &biz); err != nil || strings.ContainsAny(biz.Subject, ",`\t") || biz.TimeExpire != r.ExpireAt.In(payment.StatementZone()).Format(time.DateTime) {
		t.Errorf("content %+v %v", biz, err)
	}
	form.Set("biz_content", strings.Replace(form.Get("biz_content"), "61.38", "0.01", 1))
	if err := s.gate.Press(paygate.Pay{OrderString: form.Encode()}); !errors.Is(err, paygate.ErrOrder) {
		t.Errorf("a changed order: %v", err)
	}
	s.press(paygate.Pay{OrderString: params["orderString"]})
	if told := s.verified(); told.TradeNo != r.TradeNo || told.Trade.State != payment.TradePaid {
		t.Errorf("told %+v", told)
	}
}

func TestClosing(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	ctx := t.Context()
	r, _ := s.create(payment.MethodAlipayQR)
	if got, err := s.channel.Close(ctx, s.m, r.TradeNo); err != nil || got.State != payment.TradeUnknown {
		t.Errorf("a code that nobody scanned: %+v %v", got, err)
	}
	s.press(paygate.Pay{TradeNo: r.TradeNo, Outcome: paygate.Scan})
	for range 2 {
		if got, err := s.channel.Close(ctx, s.m, r.TradeNo); err != nil || got.State != payment.TradeClosed {
			t.Errorf("closed: %+v %v", got, err)
		}
	}
	if got := s.query(r.TradeNo); got.State != payment.TradeClosed {
		t.Errorf("closed: %+v", got)
	}
	if _, err := s.channel.Create(ctx, s.m, r); !errors.Is(err, payment.ErrRefused) || channelCode(err) != "ACQ.TRADE_HAS_CLOSE" {
		t.Errorf("a closed number again: %v", err)
	}
	// A code cannot be taken back: the late payer's money comes after the close.
	late, _ := s.create(payment.MethodAlipayQR)
	s.press(paygate.Pay{TradeNo: late.TradeNo, Outcome: paygate.Late})
	if _, err := s.channel.Close(ctx, s.m, late.TradeNo); err != nil {
		t.Error(err)
	}
	if told := s.verified(); told.TradeNo != late.TradeNo || told.Trade.State != payment.TradePaid {
		t.Errorf("told %+v", told)
	}
	if _, err := s.channel.Refund(ctx, s.m, payment.RefundRequest{TradeNo: r.TradeNo, RefundNo: number(t, "ER"), Amount: 1}); !errors.Is(err, payment.ErrRefused) {
		t.Errorf("refund of what nobody paid: %v", err)
	}
}

// Whatever a reply lacks, the outcome is not known: never done, never refused.
func TestRepliesThatProveNothing(t *testing.T) {
	t.Parallel()
	for _, fault := range []string{paygate.FaultBusy, paygate.FaultUnsigned, paygate.FaultForged, paygate.FaultGarbage, paygate.FaultLong, paygate.FaultMute} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			s := newStand(t)
			paid := s.paid()
			refund := payment.RefundRequest{TradeNo: paid.TradeNo, RefundNo: number(t, "ER"), Total: paid.Amount, Amount: 100}
			for call, ask := range map[string]func(context.Context) error{
				"precreate": func(ctx context.Context) error {
					_, err := s.channel.Create(ctx, s.m, s.request(payment.MethodAlipayQR))
					return err
				},
				"trade.query": func(ctx context.Context) error { _, err := s.channel.Query(ctx, s.m, paid.TradeNo); return err },
				"close":       func(ctx context.Context) error { _, err := s.channel.Close(ctx, s.m, paid.TradeNo); return err },
				"trade.refund": func(ctx context.Context) error {
					_, err := s.channel.Refund(ctx, s.m, refund)
					return err
				},
				"fastpay": func(ctx context.Context) error {
					_, err := s.channel.QueryRefund(ctx, s.m, paid.TradeNo, refund.RefundNo)
					return err
				},
				"bill": func(ctx context.Context) error { _, err := s.channel.Fetch(ctx, s.m, "2026-02-09"); return err },
			} {
				if err := s.gate.Break(paygate.Fault{Call: call, Kind: fault, Times: 1}); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				if fault == paygate.FaultMute {
					cancel()
					ctx, cancel = context.WithTimeout(t.Context(), 200*time.Millisecond)
				}
				err := ask(ctx)
				cancel()
				if !errors.Is(err, payment.ErrUnknownOutcome) || errors.Is(err, payment.ErrRefused) {
					t.Errorf("%s: %v", call, err)
				}
				if err != nil && (strings.Contains(err.Error(), "sign=") || strings.Contains(err.Error(), "http://")) {
					t.Errorf("%s quotes the exchange: %v", call, err)
				}
			}
		})
	}
}

// That the money moved is a success, also when the refund is not listed yet.
func TestARefundThatIsNotListedYet(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	paid := s.paid()
	if err := s.gate.Break(paygate.Fault{Call: "fastpay", Kind: paygate.FaultBusy, Times: 1}); err != nil {
		t.Fatal(err)
	}
	answer, err := s.channel.Refund(t.Context(), s.m, payment.RefundRequest{TradeNo: paid.TradeNo, RefundNo: number(t, "ER"), Total: paid.Amount, Amount: 100})
	if err != nil || answer.State != payment.RefundSuccess || answer.Amount != 100 || !answer.AcceptedAt.IsZero() {
		t.Errorf("%+v %v", answer, err)
	}
	paid, _ = s.create(payment.MethodAlipayQR)
	s.press(paygate.Pay{TradeNo: paid.TradeNo, Refunds: paygate.RefundPending})
	refund := payment.RefundRequest{TradeNo: paid.TradeNo, RefundNo: number(t, "ER"), Total: paid.Amount, Amount: 100}
	for range 2 {
		if answer, err := s.channel.Refund(t.Context(), s.m, refund); err != nil || answer.State != payment.RefundProcessing {
			t.Errorf("on its way: %+v %v", answer, err)
		}
	}
}

// What was done and not heard is found again under the same number.
func TestARefundThatWasNotHeard(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	paid := s.paid()
	refund := payment.RefundRequest{TradeNo: paid.TradeNo, RefundNo: number(t, "ER"), Total: paid.Amount, Amount: 100}
	if err := s.gate.Break(paygate.Fault{Call: "trade.refund", Kind: paygate.FaultUnsigned, Times: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.channel.Refund(t.Context(), s.m, refund); !errors.Is(err, payment.ErrUnknownOutcome) {
		t.Errorf("unsigned: %v", err)
	}
	if answer, err := s.channel.Refund(t.Context(), s.m, refund); err != nil || answer.State != payment.RefundSuccess || answer.Amount != 100 {
		t.Errorf("again: %+v %v", answer, err)
	}
}

func TestAccountsThatDoNotFit(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	ctx := t.Context()
	live := s.m
	live.Mode = payment.Live
	if _, err := s.channel.Create(ctx, live, s.request(payment.MethodAlipayQR)); !errors.Is(err, payment.ErrRefused) || channelCode(err) != "GATEWAY_IS_LOOPBACK" {
		t.Errorf("an account of real money at a gateway without: %v", err)
	}
	if _, err := s.channel.Query(ctx, live, number(t, "EV")); !errors.Is(err, payment.ErrNotConfigured) {
		t.Errorf("query: %v", err)
	}
	foreign, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*payment.Account, *payment.Secrets){
		"another private key": func(_ *payment.Account, k *payment.Secrets) { k.PrivateKey = privateText(t, foreign) },
		"another application": func(a *payment.Account, _ *payment.Secrets) { a.AppID = "2021000000000001" },
		"another public key": func(_ *payment.Account, k *payment.Secrets) {
			k.PlatformKeys = []payment.PlatformKey{{PublicKey: publicText(t, &foreign.PublicKey)}}
		},
		"no public key": func(_ *payment.Account, k *payment.Secrets) { k.PlatformKeys = nil },
	} {
		m := changed(t, s.m, change)
		if _, err := s.channel.Query(ctx, m, number(t, "EV")); !errors.Is(err, payment.ErrUnknownOutcome) {
			t.Errorf("%s: %v", name, err)
		}
		checks, err := s.channel.Check(ctx, m)
		if err != nil || len(checks) != 1 || checks[0].OK || checks[0].Message.ZH == "" || checks[0].Message.EN == "" {
			t.Errorf("%s: %+v %v", name, checks, err)
		}
	}
	broken := changed(t, s.m, func(_ *payment.Account, k *payment.Secrets) { k.PrivateKey = "MIIsecret" })
	if _, err := s.channel.Create(ctx, broken, s.request(payment.MethodAlipayQR)); err == nil || strings.Contains(err.Error(), "MIIsecret") {
		t.Errorf("a key that is none: %v", err)
	}
	if checks, err := s.channel.Check(ctx, s.m); err != nil || len(checks) != 1 || !checks[0].OK {
		t.Errorf("the right account: %+v %v", checks, err)
	}
	// While keys change over, both verify.
	rotated := changed(t, s.m, func(_ *payment.Account, k *payment.Secrets) {
		k.PlatformKeys = append([]payment.PlatformKey{{PublicKey: publicText(t, &foreign.PublicKey)}}, k.PlatformKeys...)
	})
	if got, err := s.channel.Query(ctx, rotated, number(t, "EV")); err != nil || got.State != payment.TradeUnknown {
		t.Errorf("with two keys: %+v %v", got, err)
	}
	if strings.Contains(s.log.String(), "biz_content") || !strings.Contains(s.log.String(), "openapi-sandbox.dl.alipaydev.com") {
		t.Errorf("the log: %s", s.log)
	}
}

// An account of the mode LIVE asks the real hosts, not the sandbox.
func TestLiveAsksTheRealHost(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	c := alipay.New(alipay.Config{Guard: outbound.New(outbound.Config{
		Hosts: []string{"nowhere.invalid"}, Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})})
	m := merchantOf(t, keys())
	m.Mode = payment.Live
	if _, err := c.Query(t.Context(), m, number(t, "EV")); !errors.Is(err, payment.ErrUnknownOutcome) || !strings.Contains(log.String(), "host=openapi.alipay.com") {
		t.Errorf("%v %s", err, log.String())
	}
}

func changed(t *testing.T, m payment.Merchant, change func(*payment.Account, *payment.Secrets)) payment.Merchant {
	t.Helper()
	a, err := m.Account()
	if err != nil {
		t.Fatal(err)
	}
	k, err := m.Keys()
	if err != nil {
		t.Fatal(err)
	}
	change(&a, &k)
	m.Config, m.Secrets = textOf(t, a), []byte(textOf(t, k))
	m.Version++
	return m
}

func TestOneChannelForMany(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	var work sync.WaitGroup
	for range 8 {
		work.Go(func() {
			if got, err := s.channel.Query(t.Context(), s.m, number(t, "EV")); err != nil || got.State != payment.TradeUnknown {
				t.Errorf("%+v %v", got, err)
			}
		})
	}
	work.Wait()
}

func b64(raw []byte) string { return base64.StdEncoding.EncodeToString(raw) }

func guardOf() *outbound.Guard { return outbound.New(outbound.Config{Hosts: alipay.Hosts()}) }

// parrot passes calls on and, when told to, answers with what it heard before.
type parrot struct {
	next   http.Handler
	heard  *httptest.ResponseRecorder
	repeat bool
}

func (p *parrot) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !p.repeat {
		p.heard = httptest.NewRecorder()
		p.next.ServeHTTP(p.heard, r)
	}
	for name, values := range p.heard.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(p.heard.Code)
	_, _ = w.Write(p.heard.Body.Bytes())
}

// A signed reply to another question proves nothing: the signature does not
// cover what was asked.
func TestAnOldReplyProvesNothing(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	ctx := t.Context()
	one, other := s.paid(), s.paid()
	bird := &parrot{next: s.gate.Handler()}
	server := httptest.NewServer(bird)
	defer server.Close()
	c := channelTo(t, server.URL, io.Discard)
	refund := payment.RefundRequest{TradeNo: one.TradeNo, RefundNo: number(t, "ER"), Total: one.Amount, Amount: 100}
	for name, x := range map[string]struct{ first, again func() error }{
		"query": {
			func() error { _, err := c.Query(ctx, s.m, one.TradeNo); return err },
			func() error { _, err := c.Query(ctx, s.m, other.TradeNo); return err },
		},
		"refund": {
			func() error { _, err := c.Refund(ctx, s.m, refund); return err },
			func() error {
				_, err := c.Refund(ctx, s.m, payment.RefundRequest{TradeNo: other.TradeNo, RefundNo: number(t, "ER"), Total: one.Amount, Amount: 100})
				return err
			},
		},
		"query of a refund, about a query": {
			func() error { _, err := c.Query(ctx, s.m, one.TradeNo); return err },
			func() error { _, err := c.QueryRefund(ctx, s.m, one.TradeNo, refund.RefundNo); return err },
		},
	} {
		bird.repeat = false
		if err := x.first(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		bird.repeat = true
		if err := x.again(); !errors.Is(err, payment.ErrUnknownOutcome) || errors.Is(err, payment.ErrRefused) {
			t.Errorf("%s, answered as before: %v", name, err)
		}
	}
}
