package evcstest_test

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/encoding/simplifiedchinese"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/evcstest"
	"github.com/evcs/evcs/internal/paygate"
	"github.com/evcs/evcs/internal/payment"
	"github.com/evcs/evcs/internal/store/storetest"
)

// filed is a row of a channel's file. Amounts are in fen.
type filed struct {
	trade, channelNo          string
	refundNo, channelRefundNo string // of a refund
	amount, fee               int64
}

func yuanOf(fen int64) string { return api.Money(fen).String() }

// alipayText is the detail file of a trade statement as Alipay words it.
func alipayText(merchant string, day time.Time, rows []filed) string {
	const layout = "2006年01月02日 15:04:05"
	var b strings.Builder
	fmt.Fprintf(&b, "#支付宝业务明细查询\n#账号：[%s0156]\n#起始日期：[%s]   终止日期：[%s]\n", merchant, day.Format(layout), day.AddDate(0, 0, 1).Format(layout))
	b.WriteString("#-----------------------------------------业务明细列表----------------------------------------\n" +
		"支付宝交易号,商户订单号,业务类型,商品名称,创建时间,完成时间,门店编号,门店名称,操作员,终端号,对方账户,订单金额（元）,商家实收（元）,支付宝红包（元）,集分宝（元）,支付宝优惠（元）," +
		"商家优惠（元）,券核销金额（元）,券名称,商家红包消费金额（元）,卡消费金额（元）,退款批次号/请求号,服务费（元）,分润（元）,备注\n")
	at := day.Add(12 * time.Hour).Format(time.DateTime)
	var trades, refunds, received, back int64
	for _, r := range rows {
		kind, amount := "交易", r.amount
		if r.refundNo != "" {
			kind, amount = "退款", -r.amount
			refunds, back = refunds+1, back+amount
		} else {
			trades, received = trades+1, received+amount
		}
		fmt.Fprintf(&b, "%s\t,%s\t,%s,充电,%s,%s,,,,,*行(158****66),%s,%s,0.00,0.00,0.00,0.00,0.00,,0.00,0.00,%s\t,%s,0.00,\n",
			r.channelNo, r.trade, kind, at, at, yuanOf(amount), yuanOf(amount), r.refundNo, yuanOf(-r.fee))
	}
	b.WriteString("#-----------------------------------------业务明细列表结束------------------------------------\n")
	fmt.Fprintf(&b, "#交易合计：%d笔，商家实收共%s元，商家优惠共0.00元\n#退款合计：%d笔，商家实收退款共%s元，商家优惠退款共0.00元\n", trades, yuanOf(received), refunds, yuanOf(back))
	return b.String()
}

// zipped packs a text as Alipay does: in an archive, name and text in GBK.
func zipped(t *testing.T, text string) []byte {
	t.Helper()
	name, errName := simplifiedchinese.GBK.NewEncoder().String("20880156_业务明细.csv")
	raw, errText := simplifiedchinese.GBK.NewEncoder().String(text)
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.CreateHeader(&zip.FileHeader{Name: name, NonUTF8: true, Method: zip.Deflate})
	if err != nil || errName != nil || errText != nil {
		t.Fatal(err, errName, errText)
	}
	if _, err := io.WriteString(w, raw); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// wechatText is the bill of type ALL as WeChat Pay words it.
func wechatText(merchant string, day time.Time, rows []filed) string {
	var b strings.Builder
	b.WriteString("\ufeff交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,应结订单金额,代金券金额,微信退款单号,商户退款单号,退款金额," +
		"充值券退款金额,退款类型,退款状态,商品名称,商户数据包,手续费,费率,订单金额,申请退款金额,费率备注\r\n")
	tick := func(values ...string) { b.WriteString("`" + strings.Join(values, ",`") + "\r\n") }
	var paid, back, fees int64
	for _, r := range rows {
		head := []string{day.Add(12 * time.Hour).Format(time.DateTime), "wx0000000000000000", merchant, "0", "", r.channelNo, r.trade, "oUpF8", "NATIVE"}
		if r.refundNo != "" {
			back += r.amount
			tick(append(head, "REFUND", "OTHERS", "CNY", "0.00", "0.00", r.channelRefundNo, r.refundNo, yuanOf(r.amount), "0.00", "ORIGINAL", "SUCCESS",
				"充电", "", "0.00000", "0.60%", "0.00", yuanOf(r.amount), "")...)
			continue
		}
		paid, fees = paid+r.amount, fees+r.fee
		tick(append(head, "SUCCESS", "OTHERS", "CNY", yuanOf(r.amount), "0.00", "0", "0", "0.00", "0.00", "", "",
			"充电", "", yuanOf(r.fee)+"000", "0.60%", yuanOf(r.amount), "0.00", "")...)
	}
	b.WriteString("总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额\r\n")
	tick(fmt.Sprint(len(rows)), yuanOf(paid), yuanOf(back), "0.00", yuanOf(fees)+"000", yuanOf(paid), yuanOf(back))
	return b.String()
}

func gzipped(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.WriteString(z, text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// handIn uploads a statement without telling its length, a few bytes at a time.
func (k *shopkeeper) handIn(channel string, day api.Date, file []byte) evcstest.Answer {
	t := k.s.t
	t.Helper()
	body, in := io.Pipe()
	form := multipart.NewWriter(in)
	go func() { in.CloseWithError(inPieces(form, channel, string(day), file)) }()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, k.s.d.URL+"/api/reconciliation/statement", body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", form.FormDataContentType())
	r.Header.Set("Authorization", "Bearer "+k.boss.Token())
	got, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close() // read whole
	a := evcstest.Answer{Status: got.StatusCode, Header: got.Header}
	if err := json.NewDecoder(got.Body).Decode(&a); err != nil {
		t.Fatal(err)
	}
	return a
}

func inPieces(form *multipart.Writer, channel, day string, file []byte) error {
	if err := form.WriteField("channel", channel); err != nil {
		return err
	}
	w, err := form.CreateFormFile("file", "bill")
	if err != nil {
		return err
	}
	for len(file) > 0 {
		n, err := w.Write(file[:min(97, len(file))])
		if err != nil {
			return err
		}
		file = file[n:]
	}
	if err := form.WriteField("statementDate", day); err != nil { // behind the file
		return err
	}
	return form.Close()
}

// format is how a channel makes its files.
type format struct {
	channel, method, merchant string
	text                      func(merchant string, day time.Time, rows []filed) string
	pack                      func(t *testing.T, text string) []byte
}

// TestChannelFilesHandedIn: an operator whose evcsd has no line to the channels
// hands in their files. What is not whole, or not of this merchant and day, is
// refused and changes nothing; the differences of the others are found.
func TestChannelFilesHandedIn(t *testing.T) {
	t.Parallel()
	run := func(t *testing.T, url string) {
		t.Helper()
		now, day := yesterday()
		dir := t.TempDir()
		s := layAt(t, now, func(o evcstest.Option) *evcstest.Daemon { return evcstest.StartOn(t, url, dir, o) })
		k := s.tenant("HAND")
		formats := []format{
			{"alipay", "ALIPAY_QR", s.keys.SellerID, alipayText, zipped},
			{"wechat", "WECHAT_NATIVE", s.keys.MchID, wechatText, gzipped},
		}
		sold := make(map[string][]filed)
		for _, f := range formats {
			sold[f.channel] = k.sell(f.method)
		}
		s.d.Stop()
		s.d = evcstest.StartOn(t, url, dir) // nowhere to ask
		k.boss = s.d.SignIn("boss@HAND", evcstest.Password)
		for _, f := range formats {
			k.refusesFiles(f, day, sold[f.channel])
			k.findsDifferences(f, day, sold[f.channel])
		}
		k.balanced()
	}
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		run(t, "")
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		if storetest.Server(t) != "" {
			run(t, storetest.PostgresURL(t))
		}
	})
}

// sell takes three payments of 15.00 and gives 5.00 of the first back: as the
// channel files them.
func (k *shopkeeper) sell(method string) []filed {
	k.s.t.Helper()
	var rows []filed
	for i := range 3 {
		p := k.collect(k.owe(), method)
		k.press(p, paygate.Succeed, "")
		k.becomes(p, 2, 11)
		if i == 0 {
			k.boss.OK(k.s.t, http.MethodPost, "/api/payment/refund", map[string]any{"tradeNo": p.TradeNo, "refundAmount": 5, "refundReason": "r"})
			k.becomes(p, 6, 11)
		}
		got, _ := k.now(p)
		if got.ChannelTradeNo == nil {
			k.s.t.Fatalf("%+v", got)
		}
		rows = append(rows, filed{trade: p.TradeNo, channelNo: *got.ChannelTradeNo, amount: 1500, fee: 9})
		for _, r := range got.Refunds {
			back := filed{trade: p.TradeNo, channelNo: *got.ChannelTradeNo, refundNo: r.RefundNo, channelRefundNo: "0", amount: 500}
			if r.ChannelRefundNo != nil {
				back.channelRefundNo = *r.ChannelRefundNo
			}
			rows = append(rows, back)
		}
	}
	return rows
}

func (k *shopkeeper) execute(channel string, day api.Date) evcstest.Answer {
	k.s.t.Helper()
	return k.boss.Call(k.s.t, http.MethodPost, "/api/reconciliation/execute", map[string]any{"reconciliationDate": day, "channel": channel})
}

func (k *shopkeeper) refusesFiles(f format, day api.Date, rows []filed) {
	t := k.s.t
	t.Helper()
	from, _, err := payment.StatementDay(string(day))
	if err != nil {
		t.Fatal(err)
	}
	text := f.text(f.merchant, from, rows)
	whole := f.pack(t, text)
	lines := strings.SplitAfter(text, "\n")
	bad := map[string][]byte{
		"truncated":        whole[:len(whole)-20],
		"cut in the text":  f.pack(t, strings.Join(lines[:len(lines)-3], "")),
		"a row is missing": f.pack(t, strings.Replace(text, lineWith(lines, rows[2].trade), "", 1)),
		"another merchant": f.pack(t, f.text("2099000011112222", from, rows)),
		"another day":      f.pack(t, f.text(f.merchant, from.AddDate(0, 0, -1), rows)),
		"a bomb":           f.pack(t, strings.Repeat("\n", 32<<20)),
		"one long line":    f.pack(t, strings.Repeat("1", 1<<20)),
		"no statement":     []byte("<html>expired</html>"),
		"empty":            {},
	}
	for name, file := range bad {
		var st api.Statement
		refused(t, k.handIn(f.channel, day, file), 0, evcs.CodeStatementInvalid, &st)
		if len(st.Problems) == 0 || st.StatementID != 0 {
			t.Errorf("%s, %s: %+v", f.channel, name, st)
		}
	}
	other := map[string]string{"alipay": "wechat", "wechat": "alipay"}[f.channel]
	refused(t, k.handIn(other, day, whole), 0, evcs.CodeStatementInvalid, nil)
	if a := k.execute(f.channel, day); a.Status == http.StatusOK {
		t.Errorf("%s: the day is reconciled with a refused file: %s", f.channel, a.Data)
	}
}

// lineWith is the first line that holds a number.
func lineWith(lines []string, number string) string {
	for _, l := range lines {
		if strings.Contains(l, number) {
			return l
		}
	}
	return ""
}

func (k *shopkeeper) findsDifferences(f format, day api.Date, rows []filed) {
	t := k.s.t
	t.Helper()
	from, _, err := payment.StatementDay(string(day))
	if err != nil {
		t.Fatal(err)
	}
	// The second payment is a yuan less, the third is missing, one is a stranger's.
	wrong := []filed{rows[0], rows[1], rows[2], {trade: "SHOP1", channelNo: "4200009999", amount: 2000, fee: 12}}
	wrong[2].amount, wrong[2].fee = 1400, 8
	file := f.pack(t, f.text(f.merchant, from, wrong))
	var first, again api.Statement
	for _, into := range []*api.Statement{&first, &again} { // handed in twice
		a := k.handIn(f.channel, day, file)
		if a.Status != http.StatusOK {
			t.Fatalf("%s: %d %s %s", f.channel, a.Status, a.Message, a.Data)
		}
		a.Into(t, into)
	}
	if first.Rows != 4 || first.PayTotal != 4900 || first.RefundTotal != 500 || len(first.Problems) != 0 || again.SHA256 != first.SHA256 || again.PayTotal != 4900 {
		t.Errorf("%s: %+v, then %+v", f.channel, first, again)
	}
	result := k.reconciled(f.channel, day)
	if result.Status != api.ReconPartial || result.TotalCount != 5 || result.MatchedCount != 2 || result.SystemTotalAmount != 4000 || *result.ChannelTotalAmount != 4400 ||
		result.Counts.AmountMismatch != 1 || result.Counts.ChannelOnly != 1 || result.Counts.LocalOnly+result.Counts.Suspense == 0 || *result.StatementSHA256 != first.SHA256 {
		t.Errorf("%s: %+v", f.channel, result)
	}
	kinds := make(map[string]string)
	var list []api.Difference
	k.boss.OK(t, http.MethodGet, evcstest.Path("/api/reconciliation/difference/list?batchId=%d", result.BatchID), nil).Into(t, &list)
	for _, d := range list {
		if d.TradeNo != nil {
			kinds[*d.TradeNo] += d.Kind + " " + d.State
		}
	}
	if len(list) != 3 || kinds[rows[2].trade] != "AMOUNT_MISMATCH OPEN" || kinds[rows[3].trade] != "LOCAL_ONLY SUSPENDED" || kinds["SHOP1"] != "CHANNEL_ONLY OPEN" {
		t.Errorf("%s: %v in %d", f.channel, kinds, len(list))
	}

	right := f.pack(t, f.text(f.merchant, from, rows))
	if a := k.handIn(f.channel, day, right); a.Status != http.StatusOK {
		t.Fatalf("%s: %d %s %s", f.channel, a.Status, a.Message, a.Data)
	}
	result = k.reconciled(f.channel, day)
	if result.Status != api.ReconSuccess || result.TotalCount != 4 || result.MatchedCount != 4 || result.OpenDifferences != 0 || *result.ChannelTotalAmount != 4000 || *result.FeeTotal != 27 {
		t.Errorf("%s: %+v", f.channel, result)
	}
	k.boss.OK(t, http.MethodPost, evcstest.Path("/api/reconciliation/batch/%d/close", result.BatchID), map[string]any{})
	refused(t, k.handIn(f.channel, day, right), 0, evcs.CodeBatchClosed, nil)
}

func (k *shopkeeper) reconciled(channel string, day api.Date) (result api.ReconResult) {
	k.s.t.Helper()
	a := k.execute(channel, day)
	if a.Status != http.StatusOK {
		k.s.t.Fatalf("%s: %d %d %s %s", channel, a.Status, a.Code, a.Message, a.Data)
	}
	a.Into(k.s.t, &result)
	return result
}
