package paygate

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

var (
	wxNumber = regexp.MustCompile(`^[0-9A-Za-z_\-|*]{6,32}$`)
	wxRefund = regexp.MustCompile(`^[0-9A-Za-z_\-|*@]{1,64}$`)
)

// reply is an answer of API v3: the status, and the object or nothing.
type reply struct {
	status int
	body   any
	raw    []byte // instead of body, and then without a signature
	kind   string
}

func done(body any) reply { return reply{status: http.StatusOK, body: body} }

func deny(status int, code, message string) reply {
	return reply{status: status, body: map[string]string{"code": code, "message": message}}
}

var (
	signError  = deny(http.StatusUnauthorized, "SIGN_ERROR", "签名错误")
	paramError = deny(http.StatusBadRequest, "PARAM_ERROR", "参数错误")
	noOrder    = deny(http.StatusNotFound, "ORDER_NOT_EXIST", "订单不存在")
)

// authorized verifies the signature of a call over its five lines.
func (g *Gateway) authorized(r *http.Request, body []byte) bool {
	scheme, rest, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	fields := make(map[string]string)
	for part := range strings.SplitSeq(rest, ",") {
		name, value, found := strings.Cut(strings.TrimSpace(part), "=")
		if _, twice := fields[name]; !found || twice {
			return false
		}
		fields[name] = strings.Trim(value, `"`)
	}
	seconds, err := strconv.ParseInt(fields["timestamp"], 10, 64)
	gap := g.cfg.Wall().Sub(time.Unix(seconds, 0))
	if scheme != "WECHATPAY2-SHA256-RSA2048" || err != nil || gap > clockGap || gap < -clockGap || fields["nonce_str"] == "" {
		return false
	}
	k := g.cfg.Keys
	text := r.Method + "\n" + r.RequestURI + "\n" + fields["timestamp"] + "\n" + fields["nonce_str"] + "\n" + string(body) + "\n"
	return fields["mchid"] == k.MchID && fields["serial_no"] == k.merchantSerial && verifies(&k.wxMerchant.PublicKey, text, fields["signature"])
}

func (g *Gateway) wechat(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, "too long", http.StatusRequestEntityTooLarge)
		return
	}
	if !g.authorized(r, body) {
		g.cfg.Tell("refused " + r.Method + " " + r.URL.Path + ": SIGN_ERROR")
		g.respond(w, r, signError, FaultUnsigned)
		return
	}
	fault := g.fault(r.URL.Path)
	if broken(w, r, fault) {
		return
	}
	answer := deny(http.StatusInternalServerError, "SYSTEM_ERROR", "系统异常, 请稍后重试")
	if fault != FaultBusy {
		answer = g.wxCall(r, body)
	}
	if fault == FaultMute {
		hang(r.Context())
		return
	}
	g.respond(w, r, answer, fault)
}

// respond signs a reply with the key whose serial the call asks for.
func (g *Gateway) respond(w http.ResponseWriter, r *http.Request, a reply, fault string) {
	text := a.raw
	h := w.Header()
	if a.raw == nil && a.body != nil {
		var err error
		if text, err = json.Marshal(a.body); err != nil {
			http.Error(w, "internal", http.StatusInternalServerError)
			return
		}
		h.Set("Content-Type", "application/json; charset=utf-8")
	}
	h.Set("Request-Id", token())
	if a.raw == nil && fault != FaultUnsigned {
		serial, key := g.cfg.Keys.platform(r.Header.Get("Wechatpay-Serial"))
		if fault == FaultForged {
			key = g.cfg.Keys.foreign
		}
		stamp, nonce := strconv.FormatInt(g.cfg.Wall().Unix(), 10), token()
		h.Set("Wechatpay-Timestamp", stamp)
		h.Set("Wechatpay-Nonce", nonce)
		h.Set("Wechatpay-Serial", serial)
		h.Set("Wechatpay-Signature-Type", "WECHATPAY2-SHA256-RSA2048")
		h.Set("Wechatpay-Signature", sign(key, stamp+"\n"+nonce+"\n"+string(text)+"\n"))
	}
	if a.kind != "" {
		h.Set("Content-Type", a.kind)
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(text) // whoever left does not want it
}

func (g *Gateway) wxCall(r *http.Request, body []byte) reply {
	g.mu.Lock()
	defer g.mu.Unlock()
	path := r.URL.Path
	number, isOrder := strings.CutPrefix(path, "/v3/pay/transactions/out-trade-no/")
	closed, isClose := strings.CutSuffix(number, "/close")
	refunded, isRefund := strings.CutPrefix(path, "/v3/refund/domestic/refunds/")
	switch {
	case r.Method == http.MethodPost && path == "/v3/pay/transactions/native":
		return g.wxOrder("native", body)
	case r.Method == http.MethodPost && path == "/v3/pay/transactions/jsapi":
		return g.wxOrder("jsapi", body)
	case r.Method == http.MethodPost && isOrder && isClose:
		return g.wxClose(closed, body)
	case r.Method == http.MethodGet && isOrder:
		return g.wxQuery(number, r.URL.Query())
	case r.Method == http.MethodPost && path == "/v3/refund/domestic/refunds":
		return g.wxRefund(body)
	case r.Method == http.MethodGet && isRefund:
		return g.wxRefundQuery(refunded)
	case r.Method == http.MethodGet && path == "/v3/bill/tradebill", r.Method == http.MethodGet && path == "/v3/bill/fundflowbill":
		return g.wxBill(path, r.URL.Query())
	case r.Method == http.MethodGet && path == "/v3/billdownload/file":
		return g.wxDownload(r.URL.Query().Get("token"))
	case r.Method == http.MethodGet && path == "/v3/certificates":
		return g.wxCertificates()
	}
	return deny(http.StatusNotFound, "RESOURCE_NOT_EXISTS", "无此接口")
}

// prepay is the content of a creation.
type prepay struct {
	AppID       string    `json:"appid"`
	MchID       string    `json:"mchid"`
	Description string    `json:"description"`
	OutTradeNo  string    `json:"out_trade_no"`
	TimeExpire  time.Time `json:"time_expire"`
	NotifyURL   string    `json:"notify_url"`
	Amount      struct {
		Total    int64  `json:"total"`
		Currency string `json:"currency"`
	} `json:"amount"`
	Payer struct {
		OpenID string `json:"openid"`
	} `json:"payer"`
}

func (g *Gateway) wxOrder(kind string, body []byte) reply {
	var p prepay
	k := g.cfg.Keys
	switch {
	case json.Unmarshal(body, &p) != nil, !wxNumber.MatchString(p.OutTradeNo), p.Amount.Total < 1, p.Amount.Currency != "CNY",
		p.Description == "" || len(p.Description) > 127, !notifiable(p.NotifyURL), kind == "jsapi" && p.Payer.OpenID == "":
		return paramError
	case p.AppID != k.WechatAppID || p.MchID != k.MchID:
		return deny(http.StatusBadRequest, "APPID_MCHID_NOT_MATCH", "appid和mchid不匹配")
	case len(g.trades) >= maxTrades:
		return deny(http.StatusInternalServerError, "SYSTEM_ERROR", "full")
	}
	t := g.trades[key(Wechat, p.OutTradeNo)]
	switch {
	case t == nil && p.TimeExpire.Before(g.cfg.Now().Add(time.Minute)):
		return paramError
	case t == nil:
		t = &trade{
			channel: Wechat, no: p.OutTradeNo, own: g.number("4200"), kind: kind, amount: p.Amount.Total, subject: p.Description, notify: p.NotifyURL,
			openID: p.Payer.OpenID, prepay: "wx" + token(), state: isWaiting, made: g.cfg.Now(), expires: p.TimeExpire,
		}
		g.trades[key(Wechat, t.no)] = t
	case t.state == isPaid:
		return deny(http.StatusBadRequest, "ORDERPAID", "订单已支付")
	case t.state == isClosed:
		return deny(http.StatusBadRequest, "ORDER_CLOSED", "订单已关闭")
	case t.amount != p.Amount.Total || t.subject != p.Description || t.kind != kind || !t.expires.Equal(p.TimeExpire):
		return deny(http.StatusBadRequest, "INVALID_REQUEST", "请求参数与原订单不一致")
	}
	if kind == "native" {
		return done(map[string]string{"code_url": "weixin://wxpay/bizpayurl?pr=" + t.prepay[2:11]})
	}
	return done(map[string]string{"prepay_id": t.prepay})
}

// pageIsSigned verifies what a page hands to WeChat.
func (g *Gateway) pageIsSigned(t *trade, page map[string]string) bool {
	text := page["appId"] + "\n" + page["timeStamp"] + "\n" + page["nonceStr"] + "\n" + page["package"] + "\n"
	return t.kind == "jsapi" && page["appId"] == g.cfg.Keys.WechatAppID && page["signType"] == "RSA" && page["package"] == "prepay_id="+t.prepay &&
		verifies(&g.cfg.Keys.wxMerchant.PublicKey, text, page["paySign"])
}

func (g *Gateway) wxTrade(no string) *trade { return g.trades[key(Wechat, no)] }

// transaction is a trade as the query and the notification word it.
func (g *Gateway) transaction(t *trade) map[string]any {
	x := map[string]any{
		"appid": g.cfg.Keys.WechatAppID, "mchid": g.cfg.Keys.MchID, "out_trade_no": t.no, "trade_state_desc": "", "payer": map[string]string{},
	}
	switch {
	case t.paid.IsZero() && t.state == isClosed:
		x["trade_state"] = "CLOSED"
	case t.paid.IsZero():
		x["trade_state"] = "NOTPAY"
	default:
		x["trade_state"] = "SUCCESS"
		if len(t.refunds) > 0 {
			x["trade_state"] = "REFUND"
		}
		x["transaction_id"], x["trade_type"], x["bank_type"] = t.own, strings.ToUpper(t.kind), "OTHERS"
		x["success_time"] = t.paid.In(zone).Format(time.RFC3339)
		x["payer"] = map[string]string{"openid": openIDOf(t)}
		x["amount"] = map[string]any{"total": t.amount, "payer_total": t.amount, "currency": "CNY", "payer_currency": "CNY"}
	}
	return x
}

func openIDOf(t *trade) string {
	if t.openID != "" {
		return t.openID
	}
	return "oPaygate000000000000000000000"
}

func (g *Gateway) wxQuery(no string, q url.Values) reply {
	t := g.wxTrade(no)
	if q.Get("mchid") != g.cfg.Keys.MchID {
		return paramError
	}
	if t == nil {
		return noOrder
	}
	return done(g.transaction(t))
}

func (g *Gateway) wxClose(no string, body []byte) reply {
	var p struct {
		MchID string `json:"mchid"`
	}
	if json.Unmarshal(body, &p) != nil || p.MchID != g.cfg.Keys.MchID {
		return paramError
	}
	t := g.wxTrade(no)
	switch {
	case t == nil:
		return noOrder
	case t.state == isPaid:
		return deny(http.StatusBadRequest, "ORDERPAID", "订单已支付")
	case t.state == isClosed:
		return deny(http.StatusBadRequest, "ORDER_CLOSED", "订单已关闭")
	}
	g.closeTrade(t)
	return reply{status: http.StatusNoContent}
}

// giving is the content of a refund.
type giving struct {
	OutTradeNo  string `json:"out_trade_no"`
	OutRefundNo string `json:"out_refund_no"`
	Reason      string `json:"reason"`
	NotifyURL   string `json:"notify_url"`
	Amount      struct {
		Refund   int64  `json:"refund"`
		Total    int64  `json:"total"`
		Currency string `json:"currency"`
	} `json:"amount"`
}

const maxRefunds = 50

func (g *Gateway) wxRefund(body []byte) reply {
	var p giving
	if json.Unmarshal(body, &p) != nil || !wxRefund.MatchString(p.OutRefundNo) || p.Amount.Currency != "CNY" || p.Amount.Refund < 1 || len(p.Reason) > 80 ||
		p.NotifyURL != "" && !notifiable(p.NotifyURL) {
		return paramError
	}
	t := g.wxTrade(p.OutTradeNo)
	if t == nil || t.paid.IsZero() {
		return deny(http.StatusNotFound, "RESOURCE_NOT_EXISTS", "订单不存在")
	}
	if owner, r := g.refundOf(p.OutRefundNo); r != nil {
		if owner != t || r.amount != p.Amount.Refund {
			return deny(http.StatusBadRequest, "INVALID_REQUEST", "退款单号已被使用")
		}
		return done(g.wxRefunded(t, r))
	}
	switch {
	case p.Amount.Total != t.amount:
		return deny(http.StatusBadRequest, "INVALID_REQUEST", "订单金额与之前不一致")
	case t.back()+p.Amount.Refund > t.amount:
		return deny(http.StatusForbidden, "NOT_ENOUGH", "可退金额不足")
	case len(t.refunds) >= maxRefunds:
		return deny(http.StatusBadRequest, "INVALID_REQUEST", "退款次数超限")
	}
	r := &refund{no: p.OutRefundNo, own: g.number("5030"), reason: p.Reason, notify: p.NotifyURL, amount: p.Amount.Refund}
	g.giveBack(t, r)
	answer := g.wxRefunded(t, r)
	answer["status"] = "PROCESSING" // what was just taken never says more
	return done(answer)
}

func (g *Gateway) refundOf(no string) (*trade, *refund) {
	for _, t := range g.trades {
		if r := t.refund(no); r != nil && t.channel == Wechat {
			return t, r
		}
	}
	return nil, nil
}

// wxStatus is the refund's state in WeChat's words.
func (r *refund) wxStatus() string {
	if r.state == isClosed {
		return "CLOSED"
	}
	return string(r.state)
}

func (g *Gateway) wxRefunded(t *trade, r *refund) map[string]any {
	x := map[string]any{
		"refund_id": r.own, "out_refund_no": r.no, "transaction_id": t.own, "out_trade_no": t.no, "channel": "ORIGINAL", "user_received_account": "支付用户零钱",
		"create_time": r.made.In(zone).Format(time.RFC3339), "status": r.wxStatus(), "funds_account": "UNSETTLED",
		"amount": map[string]any{
			"total": t.amount, "refund": r.amount, "payer_total": t.amount, "payer_refund": r.amount, "settlement_refund": r.amount,
			"settlement_total": t.amount, "discount_refund": 0, "currency": "CNY",
		},
	}
	if r.state == succeeded {
		x["success_time"] = r.made.In(zone).Format(time.RFC3339)
	}
	return x
}

func (g *Gateway) wxRefundQuery(no string) reply {
	t, r := g.refundOf(no)
	if r == nil {
		return deny(http.StatusNotFound, "RESOURCE_NOT_EXISTS", "退款单不存在")
	}
	return done(g.wxRefunded(t, r))
}
