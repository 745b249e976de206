package wechatpay_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/outbound"
	"github.com/evcs/evcs/internal/paygate"
	"github.com/evcs/evcs/internal/payment"
	"github.com/evcs/evcs/internal/wechatpay"
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
	channel *wechatpay.Channel
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

func merchantOf(t testing.TB, k *paygate.Keys) payment.Merchant {
	t.Helper()
	var given struct {
		AppID, MchID, MerchantSerialNo, PrivateKey, APIV3Key, Mode string
		PlatformKeys                                               []payment.PlatformKey
	}
	text, err := k.Merchant(paygate.Wechat)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &given); err != nil {
		t.Fatal(err)
	}
	return payment.Merchant{
		ID: 8, Tenant: 1, Channel: payment.ChannelWechat, Mode: given.Mode, Version: 1, Enabled: true, CallbackToken: "TOKEN",
		Config:  textOf(t, payment.Account{AppID: given.AppID, MchID: given.MchID, MerchantSerialNo: given.MerchantSerialNo}),
		Secrets: []byte(textOf(t, payment.Secrets{PrivateKey: given.PrivateKey, APIV3Key: given.APIV3Key, PlatformKeys: given.PlatformKeys})),
	}
}

func textOf(t testing.TB, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func newStand(t *testing.T) *stand {
	t.Helper()
	s := &stand{t: t, now: time.Now().UTC().Truncate(time.Second), notices: make(chan payment.Notice, 100), log: &bytes.Buffer{}, answer: payment.Reply{Status: 204}}
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
	s.notify = listener.URL + "/api/payment/callback/wechat/TOKEN"
	s.channel = channelTo(t, server.URL, listener.URL, s.clock, s.log)
	s.m = merchantOf(t, keys())
	return s
}

// clock is a clock that is a function.
type clock func() time.Time

func (c clock) Now() time.Time { return c() }

func channelTo(t testing.TB, gateway, base string, now clock, log io.Writer) *wechatpay.Channel {
	t.Helper()
	to, err := outbound.ParseGateway(gateway)
	if err != nil {
		t.Fatal(err)
	}
	return wechatpay.New(wechatpay.Config{Clock: now, CallbackBase: base, Guard: outbound.New(outbound.Config{
		Hosts: wechatpay.Hosts(), Gateway: to, Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
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
		Options: json.RawMessage(`{"openId":"oUpF8uMuAJO_M2pxb1Q9zNjWeS6o","attach":"a,b"}`),
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
	r, _ := s.create(payment.MethodWechatNative)
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

// A code is made, paid, notified, refunded twice, and is in the statements.
func TestACodeFromCreationToStatement(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	r, params := s.create(payment.MethodWechatNative)
	if !strings.HasPrefix(params["codeUrl"], "weixin://wxpay/") {
		t.Errorf("params %v", params)
	}
	if got := s.query(r.TradeNo); got.State != payment.TradeWaiting {
		t.Errorf("unpaid is %+v", got)
	}
	if got := s.query(number(t, "EV")); got.State != payment.TradeUnknown {
		t.Errorf("unknown is %+v", got)
	}
	again, err := s.channel.Create(t.Context(), s.m, r)
	if err != nil || again.URL != params["codeUrl"] {
		t.Errorf("the same again: %+v %v", again, err)
	}
	other := r
	other.Amount++
	if _, err := s.channel.Create(t.Context(), s.m, other); !errors.Is(err, payment.ErrRefused) || channelCode(err) != "INVALID_REQUEST" {
		t.Errorf("the number for another amount: %v", err)
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
	if _, err := s.channel.Create(t.Context(), s.m, r); !errors.Is(err, payment.ErrRefused) || channelCode(err) != "ORDERPAID" {
		t.Errorf("a paid number again: %v", err)
	}
	s.statement(r, s.refundTwice(r))
}

func (s *stand) refundTwice(r payment.CreateRequest) payment.RefundRequest {
	t := s.t
	t.Helper()
	ctx := t.Context()
	first := payment.RefundRequest{TradeNo: r.TradeNo, RefundNo: number(t, payment.RefundNumber), Total: r.Amount, Amount: 1000, Reason: "charging broke off, `sorry`, and much more than eighty bytes 充电中断充电中断充电中断充电中断充电中断"}
	answer, err := s.channel.Refund(ctx, s.m, first)
	if err != nil || answer.State != payment.RefundProcessing || answer.Amount != 1000 || answer.ChannelRefundNo == "" {
		t.Errorf("refund: %+v %v", answer, err)
	}
	told := s.verified()
	if told.RefundNo != first.RefundNo || told.AskRefund || told.Refund.State != payment.RefundSuccess || told.Refund.Amount != 1000 || told.TradeNo != r.TradeNo || told.Foreign != "" {
		t.Errorf("told of the refund: %+v", told)
	}
	if answer, err = s.channel.Refund(ctx, s.m, first); err != nil || answer.State != payment.RefundSuccess || answer.Amount != 1000 {
		t.Errorf("the same refund again is the same: %+v %v", answer, err)
	}
	if answer, err = s.channel.QueryRefund(ctx, s.m, r.TradeNo, first.RefundNo); err != nil || answer.State != payment.RefundSuccess || answer.Amount != 1000 || answer.AcceptedAt.IsZero() {
		t.Errorf("query: %+v %v", answer, err)
	}
	if _, err := s.channel.QueryRefund(ctx, s.m, number(t, "EV"), first.RefundNo); !errors.Is(err, payment.ErrUnknownOutcome) {
		t.Errorf("the refund of another trade: %v", err)
	}
	other := first
	other.Amount = 1001
	if _, err := s.channel.Refund(ctx, s.m, other); !errors.Is(err, payment.ErrRefused) || channelCode(err) != "INVALID_REQUEST" {
		t.Errorf("the same number for another amount: %v", err)
	}
	if answer, err = s.channel.QueryRefund(ctx, s.m, r.TradeNo, number(t, payment.RefundNumber)); err != nil || answer.State != payment.RefundProcessing {
		t.Errorf("a refund that nobody asked for: %+v %v", answer, err)
	}
	more := payment.RefundRequest{TradeNo: r.TradeNo, RefundNo: number(t, payment.RefundNumber), Total: r.Amount, Amount: 5139}
	if _, err := s.channel.Refund(ctx, s.m, more); !errors.Is(err, payment.ErrRefused) || channelCode(err) != "NOT_ENOUGH" {
		t.Errorf("more than is left: %v", err)
	}
	more.Amount = 5138
	if answer, err = s.channel.Refund(ctx, s.m, more); err != nil || answer.Amount != 5138 {
		t.Errorf("the rest: %+v %v", answer, err)
	}
	if told = s.verified(); told.RefundNo != more.RefundNo || told.Refund.State != payment.RefundSuccess {
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
	empty := s.clock().In(payment.StatementZone()).AddDate(0, 0, -1).Format(time.DateOnly)
	s.set(s.clock().Add(12 * time.Hour))
	if _, err := s.channel.Fetch(ctx, s.m, empty); !errors.Is(err, payment.ErrNotReady) || channelMessage(err) != "NO_STATEMENT_EXIST" {
		t.Errorf("a day without trades: %v", err)
	}
	if _, err := s.channel.Fetch(ctx, s.m, "yesterday"); err == nil {
		t.Error("a day that is none")
	}
	from, err := time.ParseInLocation(time.DateOnly, day, payment.StatementZone())
	if err != nil {
		t.Fatal(err)
	}
	s.set(from.Add(24*time.Hour + 8*time.Hour))
	if _, err := s.channel.Fetch(ctx, s.m, day); !errors.Is(err, payment.ErrNotReady) || channelMessage(err) != "STATEMENT_CREATING" {
		t.Errorf("before nine: %v", err)
	}
}

// A page's parameters are signed so that WeChat takes them.
func TestAPagePays(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	r, page := s.create(payment.MethodWechatJSAPI)
	changed := map[string]string{}
	for name, value := range page {
		changed[name] = value
	}
	changed["timeStamp"] = "1"
	if err := s.gate.Press(paygate.Pay{TradeNo: r.TradeNo, Page: changed}); !errors.Is(err, paygate.ErrPage) {
		t.Errorf("changed parameters: %v", err)
	}
	s.press(paygate.Pay{TradeNo: r.TradeNo, Page: page})
	if told := s.verified(); told.TradeNo != r.TradeNo || told.Trade.State != payment.TradePaid {
		t.Errorf("told %+v", told)
	}
	for name, options := range map[string]string{"no payer": `{}`, "another application": `{"openId":"o","appId":"wx0000000000000000"}`, "nonsense": `[`} {
		bad := s.request(payment.MethodWechatJSAPI)
		bad.Options = json.RawMessage(options)
		if _, err := s.channel.Create(t.Context(), s.m, bad); !errors.Is(err, payment.ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	bad := s.request(payment.MethodWechatNative)
	bad.NotifyURL = ""
	if _, err := s.channel.Create(t.Context(), s.m, bad); !errors.Is(err, payment.ErrRefused) {
		t.Errorf("nowhere to notify: %v", err)
	}
	bad.Method = payment.MethodAlipayQR
	if _, err := s.channel.Create(t.Context(), s.m, bad); !errors.Is(err, payment.ErrRefused) {
		t.Errorf("another channel's way to pay: %v", err)
	}
}

func TestClosing(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	ctx := t.Context()
	r, _ := s.create(payment.MethodWechatNative)
	for range 2 {
		if got, err := s.channel.Close(ctx, s.m, r.TradeNo); err != nil || got.State != payment.TradeClosed {
			t.Errorf("closed: %+v %v", got, err)
		}
	}
	if got := s.query(r.TradeNo); got.State != payment.TradeClosed {
		t.Errorf("closed: %+v", got)
	}
	if got, err := s.channel.Close(ctx, s.m, number(t, "EV")); err != nil || got.State != payment.TradeUnknown {
		t.Errorf("unknown: %+v %v", got, err)
	}
	late, _ := s.create(payment.MethodWechatNative)
	s.press(paygate.Pay{TradeNo: late.TradeNo, Outcome: paygate.Late})
	if _, err := s.channel.Close(ctx, s.m, late.TradeNo); err != nil {
		t.Error(err)
	}
	if told := s.verified(); told.TradeNo != late.TradeNo || told.Trade.State != payment.TradePaid {
		t.Errorf("told %+v", told)
	}
	// The empty reply to a close is signed, and believed for that.
	mute, _ := s.create(payment.MethodWechatNative)
	if err := s.gate.Break(paygate.Fault{Call: "/close", Kind: paygate.FaultUnsigned, Times: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.channel.Close(ctx, s.m, mute.TradeNo); !errors.Is(err, payment.ErrUnknownOutcome) {
		t.Errorf("an unsigned close: %v", err)
	}
	if _, err := s.channel.Refund(ctx, s.m, payment.RefundRequest{TradeNo: r.TradeNo, RefundNo: number(t, "ER"), Total: 6138, Amount: 1}); !errors.Is(err, payment.ErrRefused) {
		t.Errorf("refund of what nobody paid: %v", err)
	}
}

// A refund that ends badly is told as what it is, and stays so.
func TestRefundsThatFail(t *testing.T) {
	t.Parallel()
	for outcome, code := range map[paygate.RefundOutcome]string{paygate.RefundAbnormal: "ABNORMAL", paygate.RefundClosed: "CLOSED"} {
		s := newStand(t)
		r, _ := s.create(payment.MethodWechatNative)
		s.press(paygate.Pay{TradeNo: r.TradeNo, Refunds: outcome})
		s.notice()
		refund := payment.RefundRequest{TradeNo: r.TradeNo, RefundNo: number(t, "ER"), Total: r.Amount, Amount: 100}
		if answer, err := s.channel.Refund(t.Context(), s.m, refund); err != nil || answer.State != payment.RefundProcessing {
			t.Errorf("%s: %+v %v", code, answer, err)
		}
		if told := s.verified(); told.Refund.State != payment.RefundFailed || told.Refund.Code != code || told.RefundNo != refund.RefundNo {
			t.Errorf("%s: told %+v", code, told)
		}
		if answer, err := s.channel.QueryRefund(t.Context(), s.m, r.TradeNo, refund.RefundNo); err != nil || answer.State != payment.RefundFailed || answer.Code != code {
			t.Errorf("%s: %+v %v", code, answer, err)
		}
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
			open, _ := s.create(payment.MethodWechatNative)
			day := s.clock().In(payment.StatementZone()).Format(time.DateOnly)
			s.set(s.clock().Add(48 * time.Hour))
			for _, x := range []struct {
				call string
				ask  func(context.Context) error
			}{
				{"native", func(ctx context.Context) error {
					_, err := s.channel.Create(ctx, s.m, s.request(payment.MethodWechatNative))
					return err
				}},
				{"jsapi", func(ctx context.Context) error {
					_, err := s.channel.Create(ctx, s.m, s.request(payment.MethodWechatJSAPI))
					return err
				}},
				{"out-trade-no", func(ctx context.Context) error { _, err := s.channel.Query(ctx, s.m, paid.TradeNo); return err }},
				{"close", func(ctx context.Context) error { _, err := s.channel.Close(ctx, s.m, open.TradeNo); return err }},
				{"refunds", func(ctx context.Context) error { _, err := s.channel.Refund(ctx, s.m, refund); return err }},
				{"refunds/", func(ctx context.Context) error {
					_, err := s.channel.QueryRefund(ctx, s.m, paid.TradeNo, refund.RefundNo)
					return err
				}},
				{"tradebill", func(ctx context.Context) error { _, err := s.channel.Fetch(ctx, s.m, day); return err }},
			} {
				if fault != paygate.FaultBusy && fault != paygate.FaultGarbage && fault != paygate.FaultLong && x.call == "refunds/" {
					// Known only when the refund before was done.
					_, _ = s.channel.Refund(t.Context(), s.m, refund)
				}
				if err := s.gate.Break(paygate.Fault{Call: x.call, Kind: fault, Times: 1}); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				if fault == paygate.FaultMute {
					cancel()
					ctx, cancel = context.WithTimeout(t.Context(), 300*time.Millisecond)
				}
				err := x.ask(ctx)
				cancel()
				if x.call == "refunds/" && fault == paygate.FaultUnsigned && err == nil {
					t.Errorf("%s: believed", x.call)
				}
				if !errors.Is(err, payment.ErrUnknownOutcome) || errors.Is(err, payment.ErrRefused) {
					t.Errorf("%s: %v", x.call, err)
				}
				if err != nil && (strings.Contains(err.Error(), "Signature") || strings.Contains(err.Error(), "http")) {
					t.Errorf("%s quotes the exchange: %v", x.call, err)
				}
			}
		})
	}
}

// A refusal that is signed with a foreign key is none; one without a signature
// is vouched for by the host's certificate.
func TestForgedRefusals(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	refund := payment.RefundRequest{TradeNo: number(t, "EV"), RefundNo: number(t, "ER"), Total: 100, Amount: 100}
	for fault, want := range map[string]error{paygate.FaultForged: payment.ErrUnknownOutcome, paygate.FaultUnsigned: payment.ErrRefused} {
		if err := s.gate.Break(paygate.Fault{Call: "refunds", Kind: fault, Times: 1}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.channel.Refund(t.Context(), s.m, refund); !errors.Is(err, want) {
			t.Errorf("%s: %v", fault, err)
		}
	}
	if _, err := s.channel.Refund(t.Context(), s.m, refund); !errors.Is(err, payment.ErrRefused) || channelCode(err) != "RESOURCE_NOT_EXISTS" {
		t.Errorf("signed rightly: %v", err)
	}
}

// A download whose bytes are not those of the declared check sum is no statement.
func TestADownloadIsProven(t *testing.T) {
	t.Parallel()
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	for range 100 {
		_, _ = z.Write(make([]byte, 1<<20))
	}
	_ = z.Close()
	other := gz(t, "another text")
	for name, body := range map[string][]byte{"another text": other, "no gzip": []byte("plain"), "cut": other[:len(other)-6], "empty": {}, "bomb": bomb.Bytes()} {
		s := newStand(t)
		s.paid()
		day := s.clock().In(payment.StatementZone()).Format(time.DateOnly)
		s.set(s.clock().Add(48 * time.Hour))
		inner := s.gate.Handler()
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/v3/billdownload/") {
				_, _ = w.Write(body)
				return
			}
			inner.ServeHTTP(w, r)
		}))
		c := channelTo(t, server.URL, "", s.clock, io.Discard)
		if st, err := c.Fetch(t.Context(), s.m, day); !errors.Is(err, payment.ErrUnknownOutcome) || st.File != nil {
			t.Errorf("%s: %v", name, err)
		}
		server.Close()
	}
}

func gz(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestAccountsThatDoNotFit(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	ctx := t.Context()
	live := s.m
	live.Mode = payment.Live
	if _, err := s.channel.Create(ctx, live, s.request(payment.MethodWechatNative)); !errors.Is(err, payment.ErrRefused) || channelCode(err) != "GATEWAY_AND_MODE" {
		t.Errorf("an account of real money at a gateway without: %v", err)
	}
	if _, err := s.channel.Refund(ctx, live, payment.RefundRequest{}); !errors.Is(err, payment.ErrNotConfigured) {
		t.Errorf("refund: %v", err)
	}
	real := channelTo(t, "", "", s.clock, io.Discard)
	if _, err := real.Query(ctx, s.m, number(t, "EV")); !errors.Is(err, payment.ErrNotConfigured) {
		t.Errorf("a sandbox that does not exist: %v", err)
	}
	foreign, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, x := range map[string]struct {
		failing string
		change  func(*payment.Account, *payment.Secrets)
	}{
		"another private key":    {"CHANNEL_ANSWERS", func(_ *payment.Account, k *payment.Secrets) { k.PrivateKey = privateText(t, foreign) }},
		"another merchant":       {"CHANNEL_ANSWERS", func(a *payment.Account, _ *payment.Secrets) { a.MchID = "1600000001" }},
		"another serial of ours": {"CHANNEL_ANSWERS", func(a *payment.Account, _ *payment.Secrets) { a.MerchantSerialNo = "00" }},
		"another platform key": {"PLATFORM_KEYS", func(_ *payment.Account, k *payment.Secrets) {
			k.PlatformKeys[0].PublicKey = publicText(t, &foreign.PublicKey)
		}},
		"no platform key":  {"PLATFORM_KEYS", func(_ *payment.Account, k *payment.Secrets) { k.PlatformKeys = nil }},
		"another apiV3Key": {"API_V3_KEY", func(_ *payment.Account, k *payment.Secrets) { k.APIV3Key = strings.Repeat("x", 32) }},
		"a short apiV3Key": {"CHANNEL_ANSWERS", func(_ *payment.Account, k *payment.Secrets) { k.APIV3Key = "x" }},
	} {
		checks, err := s.channel.Check(ctx, changed(t, s.m, x.change))
		failing := ""
		for _, c := range checks {
			if c.Message.ZH == "" || c.Message.EN == "" {
				t.Errorf("%s: %+v says nothing", name, c)
			}
			if !c.OK {
				failing = c.Name
			}
		}
		if err != nil || failing != x.failing {
			t.Errorf("%s: %+v %v", name, checks, err)
		}
	}
	checks, err := s.channel.Check(ctx, s.m)
	if err != nil || len(checks) != 3 || !checks[0].OK || !checks[1].OK || !checks[2].OK {
		t.Errorf("the right account: %+v %v", checks, err)
	}
	// The replies are signed with the key whose serial is asked for, the newest.
	old := changed(t, s.m, func(_ *payment.Account, k *payment.Secrets) { k.PlatformKeys = k.PlatformKeys[1:] })
	if _, err := s.channel.Create(ctx, old, s.request(payment.MethodWechatNative)); err != nil {
		t.Errorf("with a certificate only: %v", err)
	}
	if strings.Contains(s.log.String(), "signature") || !strings.Contains(s.log.String(), "api.mch.weixin.qq.com") {
		t.Errorf("the log: %s", s.log)
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
	c := channelTo(t, server.URL, "", s.clock, io.Discard)
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
