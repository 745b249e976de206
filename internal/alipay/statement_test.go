package alipay

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/encoding/simplifiedchinese"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/payment"
)

const (
	statementDay = "2026-02-09"
	seller       = "2088421918990156"
	tradeHeader  = "支付宝交易号,商户订单号,业务类型,商品名称,创建时间,完成时间,门店编号,门店名称,操作员,终端号,对方账户,订单金额（元）,商家实收（元）,支付宝红包（元）,集分宝（元）,支付宝优惠（元）," +
		"商家优惠（元）,券核销金额（元）,券名称,商家红包消费金额（元）,卡消费金额（元）,退款批次号/请求号,服务费（元）,分润（元）,备注"
	summaryHeader = "门店编号,门店名称,交易订单总笔数,退款订单总笔数,订单金额（元）,商家实收（元）,支付宝优惠（元）,商家优惠（元）,卡消费金额（元）,服务费（元）,分润（元）,实收净额（元）"
)

func toGBK(t testing.TB, text string) string {
	t.Helper()
	raw, err := simplifiedchinese.GB18030.NewEncoder().String(text)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// line is one row of a generated detail file.
type line struct {
	no, ours, kind, goods, created, finished string
	amount, received, fee                    string
	refund, voucher, remark                  string
}

func (l line) String() string {
	return fmt.Sprintf("%s\t,%s\t,%s,%s,%s,%s,,,,,158****66,%s,%s,0.00,0.00,0.00,0.00,0.00,%s,0.00,0.00,%s,%s,0.00,%s",
		l.no, l.ours, l.kind, l.goods, l.created, l.finished, l.amount, l.received, l.voucher, l.refund, l.fee, l.remark)
}

func paid(no, ours, amount, fee string) line {
	return line{no: no, ours: ours, kind: "交易", goods: "充电", created: "2026-02-09 10:00:00", finished: "2026-02-09 10:00:05", amount: amount, received: amount, fee: fee}
}

func refunded(no, ours, refund, amount, fee string) line {
	l := paid(no, ours, amount, fee)
	l.kind, l.refund = "退款", refund
	return l
}

// detail is a detail file as Alipay writes it, with totals of its rows.
func detail(lines ...line) string {
	var b strings.Builder
	b.WriteString("#支付宝业务明细查询\r\n#账号：[" + seller + "0156]\r\n#起始日期：[2026年02月09日 00:00:00]   终止日期：[2026年02月10日 00:00:00]\r\n")
	b.WriteString("#-----------------------------------------业务明细列表----------------------------------------\r\n" + tradeHeader + "\r\n")
	var trades, refunds int
	var in, out evcs.Money
	for _, l := range lines {
		b.WriteString(l.String() + "\r\n")
		m, _ := evcs.ParseMoney(l.received)
		switch l.kind {
		case "交易":
			trades, in = trades+1, in+m
		case "退款":
			refunds, out = refunds+1, out+m
		}
	}
	fmt.Fprintf(&b, "#-----------------------------------------业务明细列表结束------------------------------------\r\n")
	fmt.Fprintf(&b, "#交易合计：%d笔，商家实收共%s元，商家优惠共0.00元\r\n#退款合计：%d笔，商家实收退款共%s元，商家优惠退款共0.00元\r\n#导出时间：[2026年02月10日 09:00:00]\r\n", trades, in, refunds, out)
	return b.String()
}

// archive is a zip of GBK files under GBK names, as Alipay makes it.
func archive(t testing.TB, files ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		w, err := z.CreateHeader(&zip.FileHeader{Name: toGBK(t, files[i]), Method: zip.Deflate, NonUTF8: true})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, toGBK(t, files[i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func read(t testing.TB, file []byte) ([]payment.Row, payment.Summary) {
	t.Helper()
	var rows []payment.Row
	s, err := readTrade(t.Context(), seller, statementDay, bytes.NewReader(file), func(r payment.Row) error {
		rows = append(rows, r)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows, s
}

var at = time.Date(2026, 2, 9, 2, 0, 5, 0, time.UTC)

func TestTradeStatement(t *testing.T) {
	t.Parallel()
	text := detail(
		paid("2026T1", "EV1", "61.38", "-0.37"), refunded("2026T1", "EV1", "ER1", "-10.00", "0.06"),
		line{no: "X", kind: "提现", created: "2026-02-09 10:00:00", finished: "2026-02-09 10:00:00", amount: "-1.00", received: "-1.00"},
	)
	summary := "#支付宝业务汇总查询\r\n" + summaryHeader + "\r\nS1,一号,1,1,51.38,51.38,0.00,0.00,0.00,-0.31,0.00,51.07\r\n合计,,1,1,51.38,51.38,0.00,0.00,0.00,-0.31,0.00,51.07\r\n#导出时间\r\n"
	file := archive(t, "20884_20260209_业务明细(汇总).csv", summary, "20884_20260209_业务明细.csv", text)
	for name, file := range map[string][]byte{
		"zip, the summary first": file, "the detail file in GBK": []byte(toGBK(t, text)), "saved as UTF-8": []byte("\ufeff" + text),
		"with line feeds": []byte(strings.ReplaceAll(text, "\r\n", "\n")),
	} {
		rows, s := read(t, file)
		if len(s.Problems) > 0 || s.Rows != 2 || s.PayTotal != 6138 || s.RefundTotal != 1000 || s.FeeTotal != 31 || s.Ignored["提现"] != 1 {
			t.Fatalf("%s: %+v", name, s)
		}
		for i := range rows {
			if text := rows[i].Text(); !strings.Contains(text, "158****66") || !strings.Contains(text, rows[i].TradeNo) || !strings.Contains(text, "充电") {
				t.Errorf("%s: the line is kept as %q", name, text)
			}
			rows[i].Raw, rows[i].GBK, rows[i].Line, rows[i].At = "", false, 0, rows[i].At.UTC()
		}
		want := []payment.Row{
			{Direction: payment.Pay, TradeNo: "EV1", ChannelNo: "2026T1", Amount: 6138, Settled: 6138, Fee: 37, Succeeded: true, Status: "TRADE_SUCCESS", At: at},
			{Direction: payment.RefundBack, TradeNo: "EV1", RefundNo: "ER1", ChannelNo: "2026T1", Amount: 1000, Settled: 1000, Fee: -6, Succeeded: true, Status: "REFUND_SUCCESS", At: at},
		}
		if diff := cmp.Diff(want, rows); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestAnEmptyTradeStatement(t *testing.T) {
	t.Parallel()
	if rows, s := read(t, []byte(toGBK(t, detail()))); len(rows) > 0 || len(s.Problems) > 0 {
		t.Errorf("%+v", s)
	}
}

// TestCommasInFreeTexts: nothing is quoted, the times and amounts tell where the
// columns are.
func TestCommasInFreeTexts(t *testing.T) {
	t.Parallel()
	l := paid("2026T1", "EV1", "61.38", "-0.37")
	l.goods, l.voucher, l.remark = "充电,一号站,快充", "满,减", "a,b"
	rows, s := read(t, []byte(toGBK(t, detail(l))))
	if len(s.Problems) > 0 || len(rows) != 1 || rows[0].Amount != 6138 || rows[0].Fee != 37 || rows[0].RefundNo != "" {
		t.Errorf("%+v %+v", s, rows)
	}
}

// TestARowOverMidnight: Alipay has it on the day of its beginning or of its end.
func TestARowOverMidnight(t *testing.T) {
	t.Parallel()
	begun, ended := paid("1", "EV1", "1.00", "0.00"), paid("2", "EV2", "1.00", "0.00")
	begun.created, begun.finished = "2026-02-09 23:59:59", "2026-02-10 00:00:01"
	ended.created, ended.finished = "2026-02-08 23:59:59", "2026-02-09 00:00:01"
	rows, s := read(t, []byte(detail(begun, ended)))
	if len(s.Problems) > 0 || len(rows) != 2 {
		t.Errorf("%+v", s)
	}
}

func TestBadTradeStatements(t *testing.T) {
	t.Parallel()
	good := detail(paid("1", "EV1", "61.38", "-0.37"), refunded("1", "EV1", "ER1", "-10.00", "0.06"))
	swap := func(from, to string) string {
		if !strings.Contains(good, from) {
			t.Fatalf("%q is not in the file", from)
		}
		return strings.Replace(good, from, to, 1)
	}
	lines := strings.SplitAfter(good, "\r\n")
	for name, c := range map[string]struct{ text, want string }{
		"three decimals":        {swap(",61.38,", ",61.385,"), "is no amount"},
		"negative payment":      {swap(",61.38,", ",-61.38,"), "wrong side of zero"},
		"positive refund":       {swap(",-10.00,", ",10.00,"), "wrong side of zero"},
		"overflow":              {swap(",61.38,", ",92233720368547758.08,"), "is no amount"},
		"fee of three decimals": {swap(",-0.37,", ",-0.375,"), "is no amount"},
		"another day":           {strings.ReplaceAll(good, "2026-02-09 10", "2026-02-07 10"), "another day"},
		"a file of another day": {swap("2026年02月09日", "2026年02月08日"), "not of the day"},
		"another merchant":      {swap(seller, "2088000000000000"), "another merchant"},
		"wrong count":           {swap("#交易合计：1笔", "#交易合计：2笔"), "the totals say 2 trades"},
		"wrong sum":             {swap("商家实收共61.38元", "商家实收共61.39元"), "the totals say 1 trades with 61.39"},
		"wrong refunds":         {swap("商家实收退款共-10.00元", "商家实收退款共-10.01元"), "refunds with -10.01"},
		"unreadable totals":     {swap("#交易合计：1笔", "#交易合计：?笔"), "cannot be read"},
		"a row is missing":      {strings.Join(slices.Delete(slices.Clone(lines), 5, 6), ""), "the totals say 1 trades"},
		"cut":                   {strings.Join(lines[:7], ""), "not whole"},
		"cut within a row":      {strings.Join(lines[:5], "") + lines[5][:30], "not understood"},
		"a row behind":          {good + lines[5], "behind the totals"},
		"no table":              {strings.Join(lines[:4], ""), "no detail table"},
		"nothing":               {"", "no detail table"},
		"a missing column":      {swap("服务费（元）,", ""), `"服务费（元）" is missing`},
		"a column twice":        {swap("备注\r\n", "备注,备注\r\n"), "comes twice"},
		"two tables":            {good + tradeHeader + "\r\n", "behind the totals"},
		"another table":         {"a,b,c\r\n1,2,3\r\n", "no table of a trade statement"},
		"no number":             {swap("1\t,EV1\t", "\t,EV1\t"), "empty or too long"},
		"a long number":         {swap("1\t,EV1\t", strings.Repeat("9", 65)+"\t,EV1\t"), "empty or too long"},
		"a long line":           {swap("充电", strings.Repeat("充", 40_000)), "longer than"},
	} {
		for encoding, text := range map[string]string{"GBK": toGBK(t, c.text), "UTF-8": c.text} {
			_, s := read(t, []byte(text))
			if len(s.Problems) == 0 || !slices.ContainsFunc(s.Problems, func(p payment.Problem) bool { return strings.Contains(p.Message, c.want) }) {
				t.Errorf("%s in %s: %+v", name, encoding, s.Problems)
			}
		}
	}
	wrong := summaryHeader + "\r\n合计,,1,1,51.38,51.38,0.00,0.00,0.00,-0.32,0.00,51.06\r\n"
	if _, s := read(t, archive(t, "b(汇总).csv", wrong, "b.csv", good)); len(s.Problems) != 1 || !strings.Contains(s.Problems[0].Message, "the summary says") {
		t.Errorf("a summary that does not agree: %+v", s.Problems)
	}
}

// TestColumnsInAnotherOrder: columns are known by their names; unknown ones do
// no harm.
func TestColumnsInAnotherOrder(t *testing.T) {
	t.Parallel()
	text := detail(paid("1", "EV1", "61.38", "-0.37"))
	text = strings.Replace(text, "备注\r\n", "备注,新列\r\n", 1)
	text = strings.Replace(text, "-0.37,0.00,\r\n", "-0.37,0.00,,what\r\n", 1)
	if rows, s := read(t, []byte(text)); len(s.Problems) > 0 || len(rows) != 1 || rows[0].Fee != 37 {
		t.Errorf("%+v %+v", s, rows)
	}
}

const fundHeader = "账务流水号,业务流水号,商户订单号,商品名称,发生时间,对方账号,收入金额（+元）,支出金额（-元）,账户余额（元）,交易渠道,业务类型,备注,业务基础订单号"

func fundFile(rows ...string) string {
	return "#支付宝账务明细查询\r\n#账号：[" + seller + "0156]\r\n" + fundHeader + "\r\n" + strings.Join(rows, "\r\n") + "\r\n"
}

var fundRows = []string{
	"F1\t,T1\t,EV1\t,充电,2026-02-09 10:00:05,158****66,61.38,,161.38,支付宝,在线支付,,",
	"F2\t,T1\t,EV1\t,充电,2026-02-09 10:00:05,支付宝,,-0.37,161.01,支付宝,收费,服务费[T1],",
	"F3\t,T1\t,EV1\t,充电,站,2026-02-09 11:00:00,158****66,,-10.00,151.01,支付宝,交易退款,,",
	"F4\t,W\t,,,2026-02-09 12:00:00,,0.00,-100.00,51.01,支付宝,提现,备注,带,逗号",
}

const fundTail = "#支出合计：3笔，共-110.37元\r\n#收入合计：1笔，共61.38元\r\n"

func readFundFile(t testing.TB, text string) ([]payment.Movement, payment.FundSummary) {
	t.Helper()
	var list []payment.Movement
	s, err := readFund(t.Context(), seller, statementDay, strings.NewReader(text), func(m payment.Movement) error {
		list = append(list, m)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list, s
}

func TestFundStatement(t *testing.T) {
	t.Parallel()
	list, s := readFundFile(t, toGBK(t, fundFile(fundRows...)+fundTail))
	if len(s.Problems) > 0 || s.Rows != 4 || s.In != 6138 || s.Out != 11037 || !s.Balanced || s.Opening != 10000 || s.Closing != 5101 || s.Other["提现"] != -10000 {
		t.Fatalf("%+v", s)
	}
	var kinds []payment.MovementKind
	for _, m := range list {
		kinds = append(kinds, m.Kind)
	}
	if !slices.Equal(kinds, []payment.MovementKind{payment.MovedPayment, payment.MovedFee, payment.MovedRefund, payment.MovedOther}) || list[2].Amount != -1000 || list[2].ChannelNo != "T1" {
		t.Errorf("%+v", list)
	}
	backwards := slices.Clone(fundRows)
	slices.Reverse(backwards)
	if _, s := readFundFile(t, fundFile(backwards...)+fundTail); !s.Balanced || s.Opening != 10000 || s.Closing != 5101 {
		t.Errorf("newest first: %+v", s)
	}
	mixed := []string{fundRows[1], fundRows[0], fundRows[3], fundRows[2]}
	if _, s := readFundFile(t, fundFile(mixed...)+fundTail); s.Balanced || len(s.Problems) > 0 {
		t.Errorf("in no order: %+v", s)
	}
}

func TestBadFundStatements(t *testing.T) {
	t.Parallel()
	good := fundFile(fundRows...) + fundTail
	for name, c := range map[string]struct{ from, to, want string }{
		"wrong sum":      {"共61.38元", "共61.37元", "the totals say"},
		"wrong count":    {"支出合计：3笔", "支出合计：2笔", "the totals say"},
		"no totals":      {fundTail, "", "not whole"},
		"both sides":     {",61.38,,", ",61.38,-1.00,", "both income"},
		"three decimals": {",61.38,,", ",61.381,,", "is no amount"},
		"other day":      {"2026-02-09 12", "2026-02-08 12", "another day"},
		"other merchant": {seller, "2088000000000000", "another merchant"},
		"no balance":     {"账户余额（元）", "余额", "is missing"},
	} {
		_, s := readFundFile(t, toGBK(t, strings.Replace(good, c.from, c.to, 1)))
		if !slices.ContainsFunc(s.Problems, func(p payment.Problem) bool { return strings.Contains(p.Message, c.want) }) {
			t.Errorf("%s: %+v", name, s.Problems)
		}
	}
}

// FuzzTradeStatement: whatever a file says, reading it ends, rows are sound, and
// a file that verifies adds up.
func FuzzTradeStatement(f *testing.F) {
	good := detail(paid("1", "EV1", "61.38", "-0.37"), refunded("1", "EV1", "ER1", "-10.00", "0.06"))
	f.Add([]byte(good))
	f.Add([]byte(toGBK(f, good)))
	f.Add(archive(f, "b.csv", good))
	f.Fuzz(func(t *testing.T, file []byte) {
		var pay, back evcs.Money
		s, err := readTrade(t.Context(), seller, statementDay, bytes.NewReader(file), func(r payment.Row) error {
			if r.Amount <= 0 || r.ChannelNo == "" || len(r.TradeNo) > maxNumber {
				t.Fatalf("%+v", r)
			}
			if r.Direction == payment.Pay {
				pay += r.Amount
			} else {
				back += r.Amount
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if pay != s.PayTotal || back != s.RefundTotal {
			t.Fatalf("rows of %s and %s, summary %+v", pay, back, s)
		}
	})
}

func FuzzFundStatement(f *testing.F) {
	f.Add([]byte(fundFile(fundRows...) + fundTail))
	f.Add([]byte(toGBK(f, fundFile(fundRows...)+fundTail)))
	f.Fuzz(func(t *testing.T, file []byte) {
		var sum evcs.Money
		s, err := readFund(t.Context(), seller, statementDay, bytes.NewReader(file), func(m payment.Movement) error {
			sum += m.Amount
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if sum != s.In-s.Out {
			t.Fatalf("movements of %s, summary %+v", sum, s)
		}
	})
}
