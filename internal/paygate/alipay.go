package paygate

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

const (
	aliTime = "2006-01-02 15:04:05"
	// aliGap is how far the timestamp of a call may be from now.
	aliGap = 10 * time.Minute
)

var (
	aliNumber  = regexp.MustCompile(`^[0-9A-Za-z_]{1,64}$`)
	yuanAmount = regexp.MustCompile(`^(0|[1-9][0-9]{0,8})\.[0-9]{2}$`)
)

// said is the inside of a reply.
type said map[string]any

func ok() said { return said{"code": "10000", "msg": "Success"} }

// no is a failure of the business; the first letters say whose.
func no(sub, message string) said {
	return said{"code": "40004", "msg": "Business Failed", "sub_code": sub, "sub_msg": message}
}

func invalid(sub, message string) said {
	return said{"code": "40002", "msg": "Invalid Arguments", "sub_code": sub, "sub_msg": message}
}

// form reads a form strictly, as both directions must.
func form(body string) (map[string]string, bool) {
	fields := make(map[string]string)
	for pair := range strings.SplitSeq(body, "&") {
		name, value, found := strings.Cut(pair, "=")
		name, errName := url.QueryUnescape(name)
		value, errValue := url.QueryUnescape(value)
		if _, twice := fields[name]; !found || twice || errName != nil || errValue != nil {
			return nil, false
		}
		fields[name] = value
	}
	return fields, true
}

// joined is the text that is signed: the fields in the order of their names.
// Calls leave empty values out and sign the sign_type; notifications do it the
// other way round.
func joined(fields map[string]string, call bool) string {
	names := make([]string, 0, len(fields))
	for name, value := range fields {
		if name == "sign" || !call && (name == "sign_type" || name == "alipay_cert_sn") || call && value == "" {
			continue
		}
		names = append(names, name)
	}
	slices.Sort(names)
	var b strings.Builder
	for i, name := range names {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(name + "=" + fields[name])
	}
	return b.String()
}

// callFault is what is wrong with the frame of a call, nil when nothing is.
// Alipay answers these without a signature.
func (g *Gateway) callFault(f map[string]string, understood bool) said {
	stamp, err := time.ParseInLocation(aliTime, f["timestamp"], zone)
	gap := g.cfg.Wall().Sub(stamp)
	switch {
	case !understood:
		return invalid("isv.invalid-form", "the form cannot be read")
	case f["app_id"] != g.cfg.Keys.AppID:
		return invalid("isv.invalid-app-id", "无效的AppID参数")
	case f["sign_type"] != "RSA2":
		return invalid("isv.invalid-signature-type", "无效的签名类型")
	case f["charset"] != "utf-8":
		return invalid("isv.invalid-charset", "字符集错误")
	case f["version"] != "1.0" || f["format"] != "JSON":
		return invalid("isv.invalid-parameter", "参数无效")
	case !verifies(&g.cfg.Keys.aliMerchant.PublicKey, joined(f, true), f["sign"]):
		return invalid("isv.invalid-signature", "验签出错")
	case err != nil || gap > aliGap || gap < -aliGap:
		return invalid("isv.invalid-timestamp", "非法的时间戳参数")
	case f["notify_url"] != "" && !notifiable(f["notify_url"]):
		return invalid("isv.invalid-parameter", "notify_url")
	}
	return g.certificateFault(f)
}

func (g *Gateway) alipay(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, "too long", http.StatusRequestEntityTooLarge)
		return
	}
	f, understood := form(string(body))
	method := f["method"]
	name := strings.ReplaceAll(method, ".", "_") + "_response"
	if wrong := g.callFault(f, understood); wrong != nil {
		g.cfg.Tell("refused " + method + ": " + wrong["sub_code"].(string)) //nolint:errcheck // it is a text
		g.answer(w, name, wrong, FaultUnsigned, nil)
		return
	}
	with := g.signsWith(f["app_cert_sn"] != "")
	fault := g.fault(method)
	if broken(w, r, fault) {
		return
	}
	answer := said{"code": "20000", "msg": "Service Currently Unavailable", "sub_code": "aop.ACQ.SYSTEM_ERROR", "sub_msg": "系统繁忙"}
	if fault != FaultBusy {
		answer = g.aliCall(method, f)
	}
	if fault == FaultMute {
		hang(r.Context())
		return
	}
	g.answer(w, name, answer, fault, with)
}

// signsWith is the certificate that Alipay signs the answer to a call with; nil
// in the mode of the public key.
func (g *Gateway) signsWith(certificates bool) *certified {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.certified = certificates
	if certificates {
		return g.certificate
	}
	return nil
}

// answer signs the very bytes of the inner object, with a certificate or, when
// there is none, with the bare key.
func (g *Gateway) answer(w http.ResponseWriter, name string, inner said, fault string, with *certified) {
	text, err := json.Marshal(inner)
	if err != nil {
		http.Error(w, "internal", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html;charset=utf-8") // as Alipay has it
	key, signature := g.cfg.Keys.aliPlatform, ""
	if with != nil {
		key, signature = with.key, `,"alipay_cert_sn":"`+with.sn+`"`
	}
	if fault == FaultForged {
		key = g.cfg.Keys.foreign
	}
	if fault != FaultUnsigned {
		signature += `,"sign":"` + sign(key, string(text)) + `"`
	}
	_, _ = io.WriteString(w, `{"`+name+`":`+string(text)+signature+`}`) // whoever left does not want it
}

// biz is the content of a call.
type biz struct {
	OutTradeNo   string   `json:"out_trade_no"`
	TradeNo      string   `json:"trade_no"`
	TotalAmount  string   `json:"total_amount"`
	Subject      string   `json:"subject"`
	ProductCode  string   `json:"product_code"`
	SellerID     string   `json:"seller_id"`
	TimeExpire   string   `json:"time_expire"`
	RefundAmount string   `json:"refund_amount"`
	RefundReason string   `json:"refund_reason"`
	OutRequestNo string   `json:"out_request_no"`
	QueryOptions []string `json:"query_options"`
	BillType     string   `json:"bill_type"`
	BillDate     string   `json:"bill_date"`
	AlipayCertSN string   `json:"alipay_cert_sn"`
}

func (g *Gateway) aliCall(method string, f map[string]string) said {
	var b biz
	if json.Unmarshal([]byte(f["biz_content"]), &b) != nil {
		return no("isv.invalid-parameter", "biz_content")
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	switch method {
	case "alipay.trade.precreate":
		t, wrong := g.aliOrder("qr", b, f["notify_url"])
		if wrong != nil {
			return wrong
		}
		a := ok()
		a["out_trade_no"], a["qr_code"] = t.no, "https://qr.alipay.com/bax"+t.prepay
		return a
	case "alipay.trade.query":
		return g.aliQuery(b)
	case "alipay.trade.close":
		return g.aliClose(b)
	case "alipay.trade.refund":
		return g.aliRefund(b)
	case "alipay.trade.fastpay.refund.query":
		return g.aliRefundQuery(b)
	case "alipay.open.app.alipaycert.download":
		return g.aliCertificate(b)
	case "alipay.data.dataservice.bill.downloadurl.query":
		return g.aliBill(b)
	}
	return no("isv.invalid-method", "不存在的方法名")
}

// aliOrder makes a trade, or finds the one of the same number.
func (g *Gateway) aliOrder(kind string, b biz, notify string) (*trade, said) {
	amount, good := fen(b.TotalAmount)
	expires, err := time.ParseInLocation(aliTime, b.TimeExpire, zone)
	switch {
	case !aliNumber.MatchString(b.OutTradeNo), !good || amount < 1, b.Subject == "" || len([]rune(b.Subject)) > 256, err != nil:
		return nil, no("ACQ.INVALID_PARAMETER", "参数无效")
	case b.SellerID != "" && b.SellerID != g.cfg.Keys.SellerID:
		return nil, no("ACQ.SELLER_NOT_EXIST", "卖家不存在")
	case len(g.trades) >= maxTrades:
		return nil, no("ACQ.SYSTEM_ERROR", "full")
	}
	if t := g.trades[key(Alipay, b.OutTradeNo)]; t != nil {
		switch {
		case t.amount != amount || t.subject != b.Subject || t.kind != kind:
			return nil, no("ACQ.CONTEXT_INCONSISTENT", "交易信息被篡改")
		case t.state == isPaid:
			return nil, no("ACQ.TRADE_HAS_SUCCESS", "交易已被支付")
		case t.state == isClosed:
			return nil, no("ACQ.TRADE_HAS_CLOSE", "交易已经关闭")
		}
		return t, nil
	}
	if !expires.After(g.cfg.Now()) {
		return nil, no("ACQ.INVALID_PARAMETER", "time_expire")
	}
	t := &trade{
		channel: Alipay, no: b.OutTradeNo, own: g.number("22"), kind: kind, amount: amount, subject: b.Subject, notify: notify, prepay: token()[:20],
		state: isNew, made: g.cfg.Now(), expires: expires,
	}
	g.trades[key(Alipay, t.no)] = t
	return t, nil
}

// begin is an app that hands its signed order to Alipay's own app.
func (g *Gateway) begin(order string) (string, error) {
	f, understood := form(order)
	if g.callFault(f, understood) != nil || f["method"] != "alipay.trade.app.pay" {
		return "", ErrOrder
	}
	var b biz
	if json.Unmarshal([]byte(f["biz_content"]), &b) != nil || b.ProductCode != "QUICK_MSECURITY_PAY" {
		return "", ErrOrder
	}
	g.certified = f["app_cert_sn"] != ""
	t, wrong := g.aliOrder("app", b, f["notify_url"])
	if wrong != nil {
		return "", ErrOrder
	}
	return t.no, nil
}

// aliTrade finds a trade that Alipay knows: one that somebody scanned.
func (g *Gateway) aliTrade(b biz) (*trade, said) {
	t := g.trades[key(Alipay, b.OutTradeNo)]
	if t == nil || t.state == isNew {
		return nil, no("ACQ.TRADE_NOT_EXIST", "交易不存在")
	}
	if t.state == isWaiting && !g.cfg.Now().Before(t.expires) {
		t.state = isClosed
	}
	return t, nil
}

// status is the trade's state in Alipay's words.
func (t *trade) status() string {
	switch {
	case t.state == isPaid && t.back() < t.amount:
		return "TRADE_SUCCESS"
	case t.state == isWaiting:
		return "WAIT_BUYER_PAY"
	}
	return "TRADE_CLOSED"
}

func (g *Gateway) aliQuery(b biz) said {
	t, wrong := g.aliTrade(b)
	if wrong != nil {
		return wrong
	}
	a := ok()
	a["out_trade_no"], a["trade_no"], a["trade_status"], a["total_amount"] = t.no, t.own, t.status(), yuan(t.amount)
	a["buyer_logon_id"], a["buyer_user_id"], a["receipt_amount"], a["point_amount"] = "158****66@qq.com", "2088000000000000", yuan(t.amount), "0.00"
	if !t.paid.IsZero() {
		a["send_pay_date"] = t.paid.In(zone).Format(aliTime)
	}
	return a
}

func (g *Gateway) aliClose(b biz) said {
	t := g.trades[key(Alipay, b.OutTradeNo)]
	if t != nil && t.state == isNew && t.late {
		// The code cannot be taken back: the payer pays now.
		g.settle(t, Succeed)
		return no("ACQ.TRADE_NOT_EXIST", "交易不存在")
	}
	t, wrong := g.aliTrade(b)
	if wrong != nil {
		return wrong
	}
	if t.state != isWaiting {
		return no("ACQ.TRADE_STATUS_ERROR", "交易状态不合法")
	}
	g.closeTrade(t)
	a := ok()
	a["out_trade_no"], a["trade_no"] = t.no, t.own
	return a
}

func (g *Gateway) aliRefund(b biz) said {
	t, wrong := g.aliTrade(b)
	if wrong != nil {
		return wrong
	}
	amount, good := fen(b.RefundAmount)
	if !good || amount < 1 || !aliNumber.MatchString(b.OutRequestNo) || len([]rune(b.RefundReason)) > 256 {
		return no("ACQ.INVALID_PARAMETER", "参数无效")
	}
	a := ok()
	a["out_trade_no"], a["trade_no"], a["buyer_logon_id"] = t.no, t.own, "158****66@qq.com"
	if r := t.refund(b.OutRequestNo); r != nil {
		if r.amount != amount {
			return no("ACQ.DISCORDANT_REPEAT_REQUEST", "不一致的请求")
		}
		a["fund_change"], a["refund_fee"] = "N", yuan(t.back())
		return a
	}
	switch {
	case t.state != isPaid:
		return no("ACQ.TRADE_STATUS_ERROR", "交易状态不合法")
	case t.back()+amount > t.amount:
		return no("ACQ.REFUND_AMT_NOT_EQUAL_TOTAL", "退款金额超限")
	case t.refundTo == RefundAbnormal || t.refundTo == RefundClosed:
		return no("ACQ.SELLER_BALANCE_NOT_ENOUGH", "卖家余额不足")
	}
	r := &refund{no: b.OutRequestNo, own: t.own, reason: b.RefundReason, notify: t.notify, amount: amount}
	g.giveBack(t, r)
	a["fund_change"] = "Y"
	if r.state == processing {
		a["fund_change"] = "N"
	}
	a["refund_fee"] = yuan(t.back())
	return a
}

func (g *Gateway) aliRefundQuery(b biz) said {
	t, wrong := g.aliTrade(b)
	if wrong != nil {
		return wrong
	}
	a := ok()
	r := t.refund(b.OutRequestNo)
	if r == nil || r.state != succeeded {
		return a
	}
	a["out_trade_no"], a["trade_no"], a["out_request_no"] = t.no, t.own, r.no
	a["total_amount"], a["refund_amount"], a["refund_status"] = yuan(t.amount), yuan(r.amount), "REFUND_SUCCESS"
	if slices.Contains(b.QueryOptions, "gmt_refund_pay") {
		a["gmt_refund_pay"] = r.made.In(zone).Format(aliTime)
	}
	return a
}
