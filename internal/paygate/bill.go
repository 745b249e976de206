package paygate

import (
	"archive/zip"
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/text/encoding/simplifiedchinese"
)

// download is a file that an address opens for a while.
type download struct {
	body []byte
	ends time.Time
}

const (
	aliLinkLife = 30 * time.Second
	wxLinkLife  = 5 * time.Minute
	maxLinks    = 100
)

// line is a row of a statement: a payment, or a refund of one.
type line struct {
	t  *trade
	r  *refund // nil: the payment
	at time.Time
}

// day lists what happened on a day, in order.
func (g *Gateway) day(c Channel, from time.Time) []line {
	to := from.AddDate(0, 0, 1)
	within := func(at time.Time) bool { return !at.Before(from) && at.Before(to) }
	var list []line
	for _, t := range g.trades {
		if t.channel != c || t.paid.IsZero() {
			continue
		}
		if within(t.paid) {
			list = append(list, line{t, nil, t.paid})
		}
		for _, r := range t.refunds {
			if r.state == succeeded && within(r.made) {
				list = append(list, line{t, r, r.made})
			}
		}
	}
	slices.SortFunc(list, func(a, b line) int {
		return cmp.Or(a.at.Compare(b.at), strings.Compare(a.t.no+a.number(), b.t.no+b.number()))
	})
	return list
}

func (l line) number() string {
	if l.r == nil {
		return ""
	}
	return l.r.no
}

// billDay reads the day of a statement. ready is when it can be had.
func (g *Gateway) billDay(text string) (from time.Time, ready, good bool) {
	from, err := time.ParseInLocation(time.DateOnly, text, zone)
	if err != nil {
		return from, false, false
	}
	now := g.cfg.Now()
	if g.cfg.EarlyBills {
		return from, true, !from.After(now)
	}
	return from, !now.Before(from.AddDate(0, 0, 1).Add(9 * time.Hour)), from.AddDate(0, 0, 1).Before(now)
}

// link makes an address for a file.
func (g *Gateway) link(body []byte, life time.Duration) string {
	now := g.cfg.Wall()
	for name, d := range g.tokens {
		if d.ends.Before(now) || len(g.tokens) >= maxLinks {
			delete(g.tokens, name)
		}
	}
	name := token()
	g.tokens[name] = download{body, now.Add(life)}
	return name
}

func (g *Gateway) linked(name string) []byte {
	d, found := g.tokens[name]
	if !found || d.ends.Before(g.cfg.Wall()) {
		return nil
	}
	return d.body
}

func (g *Gateway) aliBill(b biz) said {
	from, ready, good := g.billDay(b.BillDate)
	lines := g.day(Alipay, from)
	switch {
	case !good, b.BillType != "trade" && b.BillType != "signcustomer":
		return no("isv.invalid-parameter", "bill_date, bill_type")
	case !ready, len(lines) == 0:
		return no("isp.bill_not_exist", "账单不存在")
	}
	pack, err := g.aliArchive(from, b.BillType, lines)
	if err != nil {
		return no("ACQ.SYSTEM_ERROR", "系统繁忙")
	}
	a := ok()
	// As Alipay has it: without TLS, for half a minute.
	a["bill_download_url"] = "http://dwbillcenter.alipay.com/downloadBillFile.resource?bizType=" + b.BillType + "&token=" + g.link(pack, aliLinkLife)
	return a
}

func (g *Gateway) download(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	body := g.linked(r.URL.Query().Get("token"))
	g.mu.Unlock()
	if fault := g.fault(r.URL.Path); fault != "" && broken(w, r, fault) {
		return
	}
	if body == nil {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<html>下载链接已失效</html>")) // as Alipay has it: a page, with 200
		return
	}
	w.Header().Set("Content-Type", "application/zip")
	_, _ = w.Write(body) // whoever left does not want it
}

// aliArchive is the zip of a statement: details and summary, names and texts in
// GBK, the summary first.
func (g *Gateway) aliArchive(from time.Time, kind string, lines []line) ([]byte, error) {
	detail, summary := g.aliTradeBill(from, lines)
	words := "业务明细"
	if kind == "signcustomer" {
		detail, summary = g.aliFundBill(from, lines)
		words = "账务明细"
	}
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	stem := g.cfg.Keys.SellerID + "0156_" + from.Format("20060102") + "_" + words
	for _, f := range []struct{ name, text string }{{stem + "(汇总).csv", summary}, {stem + ".csv", detail}} {
		name, errName := simplifiedchinese.GBK.NewEncoder().String(f.name)
		text, errText := simplifiedchinese.GBK.NewEncoder().String(f.text)
		if errName != nil || errText != nil {
			return nil, fmt.Errorf("a statement is not GBK: %w", cmp.Or(errName, errText))
		}
		w, err := z.CreateHeader(&zip.FileHeader{Name: name, NonUTF8: true, Method: zip.Deflate})
		if err != nil {
			return nil, fmt.Errorf("pack a statement: %w", err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			return nil, fmt.Errorf("pack a statement: %w", err)
		}
	}
	if err := z.Close(); err != nil {
		return nil, fmt.Errorf("pack a statement: %w", err)
	}
	return b.Bytes(), nil
}

const aliColumns = "支付宝交易号,商户订单号,业务类型,商品名称,创建时间,完成时间,门店编号,门店名称,操作员,终端号,对方账户,订单金额（元）,商家实收（元）,支付宝红包（元）,集分宝（元）,支付宝优惠（元）," +
	"商家优惠（元）,券核销金额（元）,券名称,商家红包消费金额（元）,卡消费金额（元）,退款批次号/请求号,服务费（元）,分润（元）,备注"

func (g *Gateway) aliTradeBill(from time.Time, lines []line) (detail, summary string) {
	var b strings.Builder
	head := func(kind string) {
		day := from.Format("2006年01月02日 15:04:05")
		fmt.Fprintf(&b, "#支付宝%s\n#账号：[%s0156]\n#起始日期：[%s]   终止日期：[%s]\n", kind, g.cfg.Keys.SellerID, day, from.AddDate(0, 0, 1).Format("2006年01月02日 15:04:05"))
	}
	head("业务明细查询")
	b.WriteString("#-----------------------------------------业务明细列表----------------------------------------\n" + aliColumns + "\n")
	var pays, refunds, paid, back, fees int64
	for _, l := range lines {
		kind, amount, fee, request := "交易", l.t.amount, -feeOn(l.t.amount), ""
		pays++
		if l.r != nil {
			kind, amount, fee, request = "退款", -l.r.amount, 0, l.r.no
			pays--
			refunds++
			back += amount
		} else {
			paid += amount
		}
		fees += fee
		fmt.Fprintf(&b, "%s\t,%s\t,%s,%s,%s,%s,,,,,*行(158****66),%s,%s,0.00,0.00,0.00,0.00,0.00,,0.00,0.00,%s\t,%s,0.00,\n",
			l.t.own, l.t.no, kind, l.t.subject, l.t.made.In(zone).Format(aliTime), l.at.In(zone).Format(aliTime), yuan(amount), yuan(amount), request, yuan(fee))
	}
	b.WriteString("#-----------------------------------------业务明细列表结束------------------------------------\n")
	fmt.Fprintf(&b, "#交易合计：%d笔，商家实收共%s元，商家优惠共0.00元\n#退款合计：%d笔，商家实收退款共%s元，商家优惠退款共0.00元\n#导出时间：[%s]\n",
		pays, yuan(paid), refunds, yuan(back), g.cfg.Now().In(zone).Format("2006年01月02日 15:04:05"))
	detail = b.String()
	b.Reset()
	head("业务汇总查询")
	b.WriteString("门店编号,门店名称,交易订单总笔数,退款订单总笔数,订单金额（元）,商家实收（元）,支付宝优惠（元）,商家优惠（元）,卡消费金额（元）,服务费（元）,分润（元）,实收净额（元）\n")
	fmt.Fprintf(&b, "合计,,%d,%d,%s,%s,0.00,0.00,0.00,%s,0.00,%s\n", pays, refunds, yuan(paid+back), yuan(paid+back), yuan(fees), yuan(paid+back+fees))
	return detail, b.String()
}

// move is a movement of the account's money.
type move struct {
	l      line
	name   string // 交易付款, 退款, 服务费
	amount int64
}

// moves are the movements of a day and the balance before them.
func (g *Gateway) moves(c Channel, from time.Time) (list []move, before int64) {
	all := func(lines []line) (list []move) {
		for _, l := range lines {
			if l.r != nil {
				list = append(list, move{l, "refund", -l.r.amount})
				continue
			}
			list = append(list, move{l, "pay", l.t.amount})
			if fee := feeOn(l.t.amount); fee > 0 {
				list = append(list, move{l, "fee", -fee})
			}
		}
		return list
	}
	first := from
	for _, t := range g.trades {
		if t.channel == c && t.made.Before(first) {
			first = t.made
		}
	}
	begin := time.Date(first.In(zone).Year(), first.In(zone).Month(), first.In(zone).Day(), 0, 0, 0, 0, zone)
	for d := begin; d.Before(from); d = d.AddDate(0, 0, 1) {
		for _, m := range all(g.day(c, d)) {
			before += m.amount
		}
	}
	return all(g.day(c, from)), before
}

func (g *Gateway) aliFundBill(from time.Time, _ []line) (detail, summary string) {
	list, balance := g.moves(Alipay, from)
	var b strings.Builder
	fmt.Fprintf(&b, "#支付宝账务明细查询\n#账号：[%s0156]\n#起始日期：[%s]   终止日期：[%s]\n#-----------------------------------------账务明细列表----------------------------------------\n",
		g.cfg.Keys.SellerID, from.Format("2006年01月02日 15:04:05"), from.AddDate(0, 0, 1).Format("2006年01月02日 15:04:05"))
	b.WriteString("账务流水号,业务流水号,商户订单号,商品名称,发生时间,对方账号,收入金额（+元）,支出金额（-元）,账户余额（元）,交易渠道,业务类型,备注\n")
	var in, out, ins, outs int64
	for i, m := range list {
		balance += m.amount
		plus, minus := "", ""
		if m.amount > 0 {
			plus, in, ins = yuan(m.amount), in+m.amount, ins+1
		} else {
			minus, out, outs = yuan(m.amount), out+m.amount, outs+1
		}
		kind := map[string]string{"pay": "在线支付", "refund": "交易退款", "fee": "收费"}[m.name]
		number := m.l.t.no
		if m.l.r != nil {
			number = m.l.r.no
		}
		fmt.Fprintf(&b, "%s%06d\t,%s\t,%s\t,%s,%s,158****66,%s,%s,%s,支付宝,%s,\n",
			from.Format("20060102"), i+1, m.l.t.own, number, m.l.t.subject, m.l.at.In(zone).Format(aliTime), plus, minus, yuan(balance), kind)
	}
	b.WriteString("#-----------------------------------------账务明细列表结束------------------------------------\n")
	fmt.Fprintf(&b, "#支出合计：%d笔，共%s元\n#收入合计：%d笔，共%s元\n#导出时间：[%s]\n", outs, yuan(out), ins, yuan(in), g.cfg.Now().In(zone).Format("2006年01月02日 15:04:05"))
	detail = b.String()
	b.Reset()
	b.WriteString("#支付宝账务汇总查询\n类型,收入笔数,收入金额（+元）,支出笔数,支出金额（-元）,总金额（元）\n")
	fmt.Fprintf(&b, "合计,%d,%s,%d,%s,%s\n", ins, yuan(in), outs, yuan(out), yuan(in+out))
	return detail, b.String()
}

func (g *Gateway) wxBill(path string, q url.Values) reply {
	from, ready, good := g.billDay(q.Get("bill_date"))
	fund := strings.HasSuffix(path, "fundflowbill")
	lines := g.day(Wechat, from)
	switch {
	case !good, q.Get("tar_type") != "GZIP", !fund && q.Get("bill_type") != "ALL", fund && q.Get("account_type") != "BASIC":
		return paramError
	case !ready:
		return deny(http.StatusBadRequest, "STATEMENT_CREATING", "账单生成中")
	case len(lines) == 0:
		return deny(http.StatusBadRequest, "NO_STATEMENT_EXIST", "账单不存在")
	}
	text := g.wxTradeBill(lines)
	if fund {
		text = g.wxFundBill(from)
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, errWrite := z.Write([]byte(text))
	if err := cmp.Or(errWrite, z.Close()); err != nil {
		return deny(http.StatusInternalServerError, "SYSTEM_ERROR", "系统异常")
	}
	sum := sha1.Sum([]byte(text))
	return done(map[string]string{
		"hash_type": "SHA1", "hash_value": hex.EncodeToString(sum[:]),
		"download_url": "https://api.mch.weixin.qq.com/v3/billdownload/file?token=" + g.link(b.Bytes(), wxLinkLife),
	})
}

func (g *Gateway) wxDownload(name string) reply {
	body := g.linked(name)
	if body == nil {
		return deny(http.StatusNotFound, "RESOURCE_NOT_EXISTS", "下载链接已失效")
	}
	return reply{status: http.StatusOK, raw: body, kind: "application/octet-stream"}
}

const (
	wxColumns = "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,应结订单金额,代金券金额,微信退款单号,商户退款单号,退款金额,充值券退款金额," +
		"退款类型,退款状态,商品名称,商户数据包,手续费,费率,订单金额,申请退款金额,费率备注"
	wxTotals      = "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额"
	wxFundColumns = "记账时间,微信支付业务单号,资金流水单号,业务名称,业务类型,收支类型,收支金额(元),账户结余(元),资金变更提交申请人,备注,业务凭证号"
	wxFundTotals  = "资金流水总笔数,收入笔数,收入金额,支出笔数,支出金额"
)

// ticked writes a row of WeChat: every value behind a backtick.
func ticked(b *strings.Builder, values ...string) {
	for i, v := range values {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString("`" + v)
	}
	b.WriteString("\r\n")
}

func (g *Gateway) wxTradeBill(lines []line) string {
	var b strings.Builder
	b.WriteString("\ufeff" + wxColumns + "\r\n")
	var paid, back, fees int64
	for _, l := range lines {
		k := g.cfg.Keys
		at := l.at.In(zone).Format(aliTime)
		head := []string{at, k.WechatAppID, k.MchID, "0", "", l.t.own, l.t.no, openIDOf(l.t), strings.ToUpper(l.t.kind)}
		if l.r == nil {
			fee := feeOn(l.t.amount)
			paid, fees = paid+l.t.amount, fees+fee
			ticked(&b, append(head, "SUCCESS", "OTHERS", "CNY", yuan(l.t.amount), "0.00", "0", "0", "0.00", "0.00", "", "", l.t.subject, "",
				yuan(fee)+"000", "0.60%", yuan(l.t.amount), "0.00", "")...)
			continue
		}
		back += l.r.amount
		ticked(&b, append(head, "REFUND", "OTHERS", "CNY", "0.00", "0.00", l.r.own, l.r.no, yuan(l.r.amount), "0.00", "ORIGINAL", "SUCCESS", l.t.subject, "",
			"0.00000", "0.60%", "0.00", yuan(l.r.amount), "")...)
	}
	b.WriteString(wxTotals + "\r\n")
	ticked(&b, fmt.Sprintf("%d", len(lines)), yuan(paid), yuan(back), "0.00", yuan(fees)+"000", yuan(paid), yuan(back))
	return b.String()
}

func (g *Gateway) wxFundBill(from time.Time) string {
	list, balance := g.moves(Wechat, from)
	var b strings.Builder
	b.WriteString("\ufeff" + wxFundColumns + "\r\n")
	var in, out, ins, outs int64
	for i, m := range list {
		balance += m.amount
		way, amount := "收入", m.amount
		if m.amount < 0 {
			way, amount = "支出", -m.amount
			out, outs = out+amount, outs+1
		} else {
			in, ins = in+amount, ins+1
		}
		number, voucher := m.l.t.own, m.l.t.no
		if m.l.r != nil {
			number, voucher = m.l.r.own, m.l.r.no
		}
		name := map[string]string{"pay": "交易", "refund": "退款", "fee": "扣除交易手续费"}[m.name]
		ticked(&b, m.l.at.In(zone).Format(aliTime), number, fmt.Sprintf("%s%08d", from.Format("20060102"), i+1), name, name, way, yuan(amount), yuan(balance), "system", "", voucher)
	}
	b.WriteString(wxFundTotals + "\r\n")
	ticked(&b, fmt.Sprintf("%d.0", len(list)), fmt.Sprintf("%d.0", ins), yuan(in), fmt.Sprintf("%d.0", outs), yuan(out))
	return b.String()
}

func (g *Gateway) wxCertificates() reply {
	k := g.cfg.Keys
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: k.certificate})
	sealed, err := k.seal(text, "certificate")
	if err != nil {
		return deny(http.StatusInternalServerError, "SYSTEM_ERROR", "系统异常")
	}
	now := g.cfg.Now().In(zone)
	body, err := json.Marshal(map[string]any{"data": []any{map[string]any{
		"serial_no": k.certificateSerial, "effective_time": now.Add(-time.Hour).Format(time.RFC3339), "expire_time": now.AddDate(5, 0, 0).Format(time.RFC3339),
		"encrypt_certificate": sealed,
	}}})
	if err != nil {
		return deny(http.StatusInternalServerError, "SYSTEM_ERROR", "系统异常")
	}
	return done(json.RawMessage(body))
}
