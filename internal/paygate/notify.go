package paygate

import (
	"context"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

// notice is a notification on its way.
type notice struct {
	channel Channel
	url     string
	about   string
	tries   int
	due     time.Time // of the monotonic clock
	// word makes the message; signatures are fresh at every try.
	word func() (http.Header, []byte, error)
}

var errNotThisMachine = errors.New("the address is not on this machine; --allow-remote permits it")

// caller is the client that notifies.
func caller(remote bool) *http.Client {
	dialer := &net.Dialer{Timeout: patience, Control: func(_, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err == nil && !remote && !to.Addr().Unmap().IsLoopback() {
			return errNotThisMachine
		}
		return err
	}}
	return &http.Client{
		Timeout: patience, Transport: &http.Transport{DialContext: dialer.DialContext, MaxIdleConnsPerHost: 4, DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// notifiable reports whether an address can be notified: https, or http on this
// machine; no query, because it would not be signed.
func notifiable(text string) bool {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	here := u.Hostname() == "localhost" || err == nil && ip.IsLoopback()
	return u.Scheme == "https" || u.Scheme == "http" && here
}

func (g *Gateway) enqueue(n *notice) {
	if n.url == "" || len(g.queue) >= maxQueue {
		return
	}
	n.due = evcs.Monotonic()
	g.queue = append(g.queue, n)
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// Run sends notifications, one after another in their order, until ctx ends.
func (g *Gateway) Run(ctx context.Context) error {
	for {
		n, wait := g.next()
		if n != nil {
			g.deliver(ctx, n)
			continue
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-g.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// next takes the first notice that is due, or says how long there is none.
func (g *Gateway) next() (*notice, time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := evcs.Monotonic()
	wait := time.Hour
	for i, n := range g.queue {
		if !n.due.After(now) {
			g.queue = slices.Delete(g.queue, i, i+1)
			return n, 0
		}
		wait = min(wait, n.due.Sub(now))
	}
	return nil, wait
}

// deliver tries once; what is not taken is tried again later.
func (g *Gateway) deliver(ctx context.Context, n *notice) {
	taken, answer := g.post(ctx, n)
	if ctx.Err() != nil {
		return
	}
	g.cfg.Tell(fmt.Sprintf("notified %s, try %d: %s", n.about, n.tries+1, answer))
	if taken {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if n.tries >= len(g.cfg.Retry) {
		g.cfg.Tell("given up: " + n.about)
		return
	}
	n.due = evcs.Monotonic().Add(g.cfg.Retry[n.tries])
	n.tries++
	g.queue = append(g.queue, n)
}

func (g *Gateway) post(ctx context.Context, n *notice) (taken bool, told string) {
	header, body, err := n.word()
	if err != nil {
		return true, "cannot be worded: " + err.Error()
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, n.url, strings.NewReader(string(body)))
	if err != nil {
		return true, "the address cannot be used"
	}
	r.Header = header
	answer, err := g.client.Do(r)
	if err != nil {
		return false, err.Error()
	}
	defer answer.Body.Close() // what is left is not wanted
	text, err := io.ReadAll(io.LimitReader(answer.Body, 4096))
	if err != nil {
		return false, "the answer broke off"
	}
	told = fmt.Sprintf("HTTP %d %.60q", answer.StatusCode, text)
	if n.channel == Alipay {
		return answer.StatusCode == http.StatusOK && string(text) == "success", told
	}
	return answer.StatusCode == http.StatusOK || answer.StatusCode == http.StatusNoContent, told
}

func (g *Gateway) notifyPaid(t *trade, o Outcome, id string) {
	g.cfg.Tell("notifying " + t.no + " " + string(o))
	if t.channel == Alipay {
		fields := g.aliFields(t, id)
		g.enqueue(g.aliNotice(t, fields, o, "payment "+t.no))
		return
	}
	x := g.transaction(t)
	x["trade_state"] = "SUCCESS"
	g.enqueue(g.wxNotice(t.notify, "payment "+t.no, id, "TRANSACTION.SUCCESS", "transaction", x, o))
}

func (g *Gateway) notifyRefund(t *trade, r *refund) {
	id := token()
	if t.channel == Wechat {
		x := map[string]any{
			"mchid": g.cfg.Keys.MchID, "out_trade_no": t.no, "transaction_id": t.own, "out_refund_no": r.no, "refund_id": r.own, "refund_status": r.wxStatus(),
			"user_received_account": "支付用户零钱", "amount": map[string]any{"total": t.amount, "refund": r.amount, "payer_total": t.amount, "payer_refund": r.amount},
		}
		if r.state == succeeded {
			x["success_time"] = r.made.In(zone).Format(time.RFC3339)
		}
		g.enqueue(g.wxNotice(r.notify, "refund "+r.no, id, "REFUND."+r.wxStatus(), "refund", x, Succeed))
		return
	}
	fields := g.aliFields(t, id)
	at := r.made.In(zone).Format(aliTime)
	fields["refund_fee"], fields["gmt_refund"], fields["out_biz_no"] = yuan(t.back()), at+".123", r.no
	if t.back() == t.amount {
		fields["gmt_close"] = at
	}
	g.enqueue(g.aliNotice(t, fields, Succeed, "refund "+r.no))
}

// aliFields are the fields of a notification about a trade.
func (g *Gateway) aliFields(t *trade, id string) map[string]string {
	now := g.cfg.Now().In(zone).Format(aliTime)
	status := "TRADE_SUCCESS"
	if len(t.refunds) > 0 {
		status = t.status()
	}
	return map[string]string{
		"notify_id": id, "notify_time": now, "notify_type": "trade_status_sync", "charset": "utf-8", "version": "1.0", "sign_type": "RSA2",
		"app_id": g.cfg.Keys.AppID, "auth_app_id": g.cfg.Keys.AppID, "seller_id": g.cfg.Keys.SellerID, "seller_email": "seller@example.com",
		"trade_no": t.own, "out_trade_no": t.no, "trade_status": status, "total_amount": yuan(t.amount), "receipt_amount": yuan(t.amount),
		"buyer_pay_amount": yuan(t.amount), "invoice_amount": yuan(t.amount), "point_amount": "0.00", "buyer_id": "2088000000000000",
		"buyer_logon_id": "158****66@qq.com", "subject": t.subject, "body": "", "passback_params": "", // empty ones are signed too
		"gmt_create": t.made.In(zone).Format(aliTime), "gmt_payment": t.paid.In(zone).Format(aliTime),
		"fund_bill_list": `[{"amount":"` + yuan(t.amount) + `","fundChannel":"ALIPAYACCOUNT"}]`,
	}
}

func (g *Gateway) aliNotice(t *trade, fields map[string]string, o Outcome, about string) *notice {
	key := g.cfg.Keys.aliPlatform
	if g.certified {
		key, fields["alipay_cert_sn"] = g.certificate.key, g.certificate.sn
	}
	if o == Forged {
		key = g.cfg.Keys.foreign
	}
	fields["sign"] = sign(key, joined(fields, false))
	body := make(url.Values)
	for name, value := range fields {
		body.Set(name, value)
	}
	text := body.Encode()
	return &notice{channel: Alipay, url: t.notify, about: about, word: func() (http.Header, []byte, error) {
		return http.Header{"Content-Type": {"application/x-www-form-urlencoded; charset=utf-8"}}, []byte(text), nil
	}}
}

// platform is the platform key of a serial; the public key for any other.
func (k *Keys) platform(serial string) (string, *rsa.PrivateKey) {
	if serial == k.certificateSerial {
		return serial, k.wxCertificate
	}
	return k.publicKeyID, k.wxPlatform
}

// wxNotice makes a notification. While keys change over, as they do here for
// ever, the channel signs with either.
func (g *Gateway) wxNotice(to, about, id, event, original string, x map[string]any, o Outcome) *notice {
	created := g.cfg.Now().In(zone).Format(time.RFC3339)
	tries := 0
	return &notice{channel: Wechat, url: to, about: about, word: func() (http.Header, []byte, error) {
		plain, err := json.Marshal(x)
		if err != nil {
			return nil, nil, fmt.Errorf("word a notification: %w", err)
		}
		sealed, err := g.cfg.Keys.seal(plain, original)
		if err != nil {
			return nil, nil, err
		}
		sealed["original_type"] = original
		body, err := json.Marshal(map[string]any{
			"id": id, "create_time": created, "event_type": event, "resource_type": "encrypt-resource", "summary": about, "resource": sealed,
		})
		if err != nil {
			return nil, nil, fmt.Errorf("word a notification: %w", err)
		}
		tries++
		serial, key := g.cfg.Keys.platform("")
		if (int(id[0])+tries)%2 == 0 {
			serial, key = g.cfg.Keys.platform(g.cfg.Keys.certificateSerial)
		}
		at := g.cfg.Wall()
		switch o {
		case Forged:
			key = g.cfg.Keys.foreign
		case Stale:
			at = at.Add(-10 * time.Minute)
		default:
		}
		stamp, nonce := strconv.FormatInt(at.Unix(), 10), token()
		signature := sign(key, stamp+"\n"+nonce+"\n"+string(body)+"\n")
		if o == Probe {
			signature = "WECHATPAY/SIGNTEST/" + base64.StdEncoding.EncodeToString([]byte(signature))[:64]
		}
		h := make(http.Header)
		for name, value := range map[string]string{
			"Content-Type": "application/json", "Wechatpay-Serial": serial, "Wechatpay-Timestamp": stamp, "Wechatpay-Nonce": nonce,
			"Wechatpay-Signature": signature, "Wechatpay-Signature-Type": "WECHATPAY2-SHA256-RSA2048",
		} {
			h.Set(name, value)
		}
		return h, body, nil
	}}
}
