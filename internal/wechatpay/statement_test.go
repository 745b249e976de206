package wechatpay

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/payment"
)

const (
	statementDay = "2026-02-09"
	merchant     = "1900009191"
	allHeader    = "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,应结订单金额,代金券金额,微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,商品名称,商户数据包,手续费,费率,订单金额,申请退款金额,费率备注"
	oldHeader    = "交易时间,公众账号ID,商户号,子商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,总金额,企业红包金额,微信退款单号,商户退款单号,退款金额,企业红包退款金额,退款类型,退款状态,商品名称,商户数据包,手续费,费率"
	allTotals    = "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额"
)

// values is a line of values as WeChat writes it.
func values(list ...string) string { return "`" + strings.Join(list, ",`") }

type line struct {
	at, state, no, ours, amount, settled, fee, attach string
	refund, refundNo, back, asked, word               string
}

func (l line) String() string {
	return values(l.at, "wx1", merchant, "0", "", l.no, l.ours, "openid", "NATIVE", l.state, "OTHERS", "CNY", l.settled, "0.00", l.refund, l.refundNo, l.back, "0.00",
		"ORIGINAL", l.word, "充电", l.attach, l.fee, "0.60%", l.amount, l.asked, "")
}

func paid(no, ours, amount, fee string) line {
	return line{at: "2026-02-09 10:00:05", state: "SUCCESS", no: no, ours: ours, amount: amount, settled: amount, fee: fee, refund: "0", refundNo: "0", back: "0.00", asked: "0.00"}
}

func refunded(no, ours, refund, refundNo, amount string) line {
	return line{
		at: "2026-02-09 11:00:00", state: "REFUND", no: no, ours: ours, amount: "0.00", settled: "0.00", fee: "-0.06000", refund: refund, refundNo: refundNo, back: amount,
		asked: amount, word: "PROCESSING",
	}
}

// all is a bill of type ALL with totals of its rows.
func all(lines ...line) string {
	var b strings.Builder
	b.WriteString("\ufeff" + allHeader + "\r\n")
	var sum [5]evcs.Money
	for _, l := range lines {
		b.WriteString(l.String() + "\r\n")
		for i, text := range []string{l.settled, l.back, strings.TrimSuffix(l.fee, "000"), l.amount, l.asked} {
			m, _ := evcs.ParseMoney(text)
			sum[i] += m
		}
	}
	b.WriteString(allTotals + "\r\n" + values(fmt.Sprintf("%d.0", len(lines)), sum[0].String(), sum[1].String(), "0.00", sum[2].String(), sum[3].String(), sum[4].String()) + "\r\n")
	return b.String()
}

func gz(t testing.TB, text string) []byte {
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

func read(t testing.TB, file []byte) ([]payment.Row, payment.Summary) {
	t.Helper()
	var rows []payment.Row
	s, err := readTrade(t.Context(), merchant, statementDay, bytes.NewReader(file), func(r payment.Row) error {
		rows = append(rows, r)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows, s
}

func TestTradeStatement(t *testing.T) {
	t.Parallel()
	text := all(paid("42000001", "EV1", "61.38", "0.37000"), refunded("42000001", "EV1", "50000001", "ER1", "10.00"))
	for name, file := range map[string][]byte{"gzip": gz(t, text), "plain": []byte(text), "line feeds": []byte(strings.ReplaceAll(text, "\r\n", "\n"))} {
		rows, s := read(t, file)
		if len(s.Problems) > 0 || s.Rows != 2 || s.PayTotal != 6138 || s.RefundTotal != 1000 || s.FeeTotal != 31 {
			t.Fatalf("%s: %+v", name, s)
		}
		for i := range rows {
			if !strings.Contains(rows[i].Raw, "openid") {
				t.Errorf("the line is kept as %q", rows[i].Raw)
			}
			rows[i].Raw, rows[i].Line, rows[i].At = "", 0, rows[i].At.UTC()
		}
		want := []payment.Row{
			{Direction: payment.Pay, TradeNo: "EV1", ChannelNo: "42000001", Amount: 6138, Settled: 6138, Fee: 37, Succeeded: true, Status: "SUCCESS", At: time.Date(2026, 2, 9, 2, 0, 5, 0, time.UTC)},
			{Direction: payment.RefundBack, TradeNo: "EV1", RefundNo: "ER1", ChannelNo: "50000001", Amount: 1000, Settled: 1000, Fee: -6, Succeeded: true, Status: "PROCESSING", At: time.Date(2026, 2, 9, 3, 0, 0, 0, time.UTC)},
		}
		if diff := cmp.Diff(want, rows); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if rows, s := read(t, []byte(all())); len(rows) > 0 || len(s.Problems) > 0 {
		t.Errorf("a day without rows: %+v", s)
	}
}

// TestCoupons: what the payer got from WeChat counts as paid, what the merchant
// granted does not settle.
func TestCoupons(t *testing.T) {
	t.Parallel()
	l := paid("42000001", "EV1", "61.38", "0.34000")
	l.settled = "56.38"
	rows, s := read(t, []byte(all(l)))
	if len(s.Problems) > 0 || rows[0].Amount != 6138 || rows[0].Settled != 5638 {
		t.Errorf("%+v %+v", s, rows)
	}
}

// TestAttachHoldsAnything: commas, quotes and even what separates values.
func TestAttachHoldsAnything(t *testing.T) {
	t.Parallel()
	l := paid("42000001", "EV1", "61.38", "0.37000")
	l.attach = "{\"a\":\"b,`c\",`1,`2}"
	rows, s := read(t, []byte(all(l)))
	if len(s.Problems) > 0 || len(rows) != 1 || rows[0].Fee != 37 || rows[0].Amount != 6138 {
		t.Errorf("%+v %+v", s, rows)
	}
}

func TestOldTable(t *testing.T) {
	t.Parallel()
	text := oldHeader + "\n" +
		values("2026-02-09 10:00:05", "wx1", merchant, "0", "", "42000001", "EV1", "openid", "NATIVE", "SUCCESS", "CFT", "CNY", "61.38", "0.00", "0", "0", "0.00", "0.00", "", "", "充电", "", "0.37000", "0.60%") + "\n" +
		values("2026-02-09 10:00:05", "wx1", merchant, "0", "", "42000001", "EV1", "openid", "NATIVE", "REFUND", "CFT", "CNY", "0.00", "0.00", "5", "ER1", "10.00", "0.00", "ORIGINAL", "SUCCESS", "充电", "", "0.00000", "0.60%") + "\n" +
		"总交易单数,总交易额,总退款金额,总企业红包退款金额,手续费总金额\n" + values("2", "61.38", "10.00", "0.00", "0.37") + "\n"
	rows, s := read(t, []byte(text))
	if len(s.Problems) > 0 || len(rows) != 2 || rows[0].Amount != 6138 || rows[1].Amount != 1000 || rows[1].RefundNo != "ER1" {
		t.Errorf("%+v %+v", s, rows)
	}
}

// TestOtherTypes: SUCCESS lacks the columns of refunds, REFUND has two more.
func TestOtherTypes(t *testing.T) {
	t.Parallel()
	success := "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,应结订单金额,代金券金额,商品名称,商户数据包,手续费,费率,订单金额,费率备注\n" +
		values("2026-02-09 10:00:05", "wx1", merchant, "0", "", "42000001", "EV1", "openid", "NATIVE", "SUCCESS", "CFT", "CNY", "61.38", "0.00", "充电", "", "0.37000", "0.60%", "61.38", "") + "\n" +
		"总交易单数,应结订单总金额,手续费总金额,订单总金额\n" + values("1", "61.38", "0.37", "61.38") + "\n"
	if rows, s := read(t, []byte(success)); len(s.Problems) > 0 || len(rows) != 1 || rows[0].Amount != 6138 {
		t.Errorf("%+v %+v", s, rows)
	}
	refund := "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,应结订单金额,代金券金额,退款申请时间,退款成功时间,微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,商品名称,商户数据包,手续费,费率,订单金额,申请退款金额,费率备注\n" +
		values("2026-02-09 10:00:05", "wx1", merchant, "0", "", "42000001", "EV1", "openid", "NATIVE", "REFUND", "CFT", "CNY", "0.00", "0.00", "2026-02-09 10:00:05", "", "5", "ER1", "10.00", "0.00", "ORIGINAL", "FAIL", "充电", "", "0.00000", "0.60%", "0.00", "10.00", "") + "\n" +
		allTotals + "\n" + values("1", "0.00", "10.00", "0.00", "0.00", "0.00", "10.00") + "\n"
	if rows, s := read(t, []byte(refund)); len(s.Problems) > 0 || len(rows) != 1 || rows[0].Succeeded || s.RefundTotal != 0 {
		t.Errorf("a refund that failed: %+v %+v", s, rows)
	}
}

func TestUnknownStatesAreCounted(t *testing.T) {
	t.Parallel()
	l := paid("42000001", "EV1", "61.38", "0.37000")
	l.state = "REVOKED"
	rows, s := read(t, []byte(all(l)))
	if len(rows) > 0 || len(s.Problems) > 0 || s.Ignored["REVOKED"] != 1 {
		t.Errorf("%+v", s)
	}
}

func TestBadTradeStatements(t *testing.T) {
	t.Parallel()
	good := all(paid("42000001", "EV1", "61.38", "0.37000"), refunded("42000001", "EV1", "50000001", "ER1", "10.00"))
	lines := strings.SplitAfter(good, "\r\n")
	bad := func(t *testing.T, text, want string) {
		t.Helper()
		_, s := read(t, []byte(text))
		if !slices.ContainsFunc(s.Problems, func(p payment.Problem) bool { return strings.Contains(p.Message, want) }) {
			t.Errorf("%+v", s.Problems)
		}
	}
	for name, c := range map[string]struct{ from, to, want string }{
		"three decimals":      {"`0.60%,`61.38", "`0.60%,`61.385", "is no amount"},
		"negative":            {"`0.60%,`61.38", "`0.60%,`-61.38", "is negative"},
		"overflow":            {"`0.60%,`61.38", "`0.60%,`92233720368547758.08", "is no amount"},
		"nothing":             {"`0.60%,`61.38", "`0.60%,`0.00", "is no amount of a PAY row"},
		"a fee below a fen":   {"0.37000", "0.37400", "is no amount"},
		"another currency":    {"`CNY", "`USD", "is not CNY"},
		"another merchant":    {merchant, "1900000000", "another merchant"},
		"another day":         {"2026-02-09 10", "2026-02-10 10", "another day"},
		"no time":             {"2026-02-09 10:00:05", "2026-02-09", "is no time"},
		"wrong count":         {"`2.0", "`3.0", "the totals say 3 rows"},
		"wrong sum":           {"`61.38,`10.00,`0.00", "`61.39,`10.00,`0.00", "the totals say 应结订单总金额"},
		"wrong fees":          {"`0.00,`0.31", "`0.00,`0.32", "the totals say 手续费总金额"},
		"unreadable totals":   {"`0.00,`0.31", "`0.00,`x", "the totals say 手续费总金额"},
		"a missing column":    {"货币种类,", "", "is missing"},
		"a column twice":      {"费率备注", "费率", "comes twice"},
		"no channel number":   {"`42000001", "`", "empty or too long"},
		"a long number":       {"`42000001", "`" + strings.Repeat("4", 65), "empty or too long"},
		"a line of something": {"\r\n" + allTotals, "\r\nwhat\r\n" + allTotals, "not understood"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if !strings.Contains(good, c.from) {
				t.Fatalf("%q is not in the file", c.from)
			}
			bad(t, strings.Replace(good, c.from, c.to, 1), c.want)
		})
	}
	bad(t, strings.Join(lines[:3], ""), "not whole")
	bad(t, strings.Join(lines[:4], ""), "not whole")
	bad(t, strings.Join(slices.Concat(lines[:1], lines[2:]), ""), "the totals say 2 rows, there are 1")
	bad(t, strings.Join(lines[:2], "")+lines[2][:40], "not understood")
	bad(t, good+lines[1], "behind the totals")
	bad(t, lines[1]+good, "before the header")
	bad(t, "", "not whole")
	bad(t, good[:len(good)/2]+strings.Repeat("x", 70_000), "longer than")
	_, s := read(t, gz(t, good)[:100])
	if len(s.Problems) == 0 {
		t.Error("a cut gzip file verifies")
	}
}

const fundHeader = "记账时间,微信支付业务单号,资金流水单号,业务名称,业务类型,收支类型,收支金额(元),账户结余(元),资金变更提交申请人,备注,业务凭证号"

var fundRows = []string{
	values("2026-02-09 10:00:05", "42000001", "F1", "交易", "交易", "收入", "61.38", "161.38", "system", "", "EV1"),
	values("2026-02-09 10:00:05", "42000001", "F2", "交易", "扣除交易手续费", "支出", "0.37", "161.01", "system", "", "EV1"),
	values("2026-02-09 11:00:00", "50000001", "F3", "退款", "退款", "支出", "10.00", "151.01", "system", "备,注", "REF4200"),
	values("2026-02-09 12:00:00", "W", "F4", "充值/提现", "提现", "支出", "100.00", "51.01", "system", "", ""),
}

const fundTotals = "资金流水总笔数,收入笔数,收入金额,支出笔数,支出金额\r\n`4.0,`1.0,`61.38,`3.0,`110.37\r\n"

func readFundFile(t testing.TB, text string) ([]payment.Movement, payment.FundSummary) {
	t.Helper()
	var list []payment.Movement
	s, err := readFund(t.Context(), statementDay, strings.NewReader(text), func(m payment.Movement) error {
		list = append(list, m)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list, s
}

func fundFile(rows []string, totals string) string {
	return fundHeader + "\r\n" + strings.Join(rows, "\r\n") + "\r\n" + totals
}

func TestFundStatement(t *testing.T) {
	t.Parallel()
	list, s := readFundFile(t, fundFile(fundRows, fundTotals))
	if len(s.Problems) > 0 || s.Rows != 4 || s.In != 6138 || s.Out != 11037 || !s.Balanced || s.Opening != 10000 || s.Closing != 5101 || s.Other["提现"] != -10000 {
		t.Fatalf("%+v", s)
	}
	var kinds []payment.MovementKind
	for _, m := range list {
		kinds = append(kinds, m.Kind)
	}
	if !slices.Equal(kinds, []payment.MovementKind{payment.MovedPayment, payment.MovedFee, payment.MovedRefund, payment.MovedOther}) || list[2].Amount != -1000 {
		t.Errorf("%+v", list)
	}
}

func TestBadFundStatements(t *testing.T) {
	t.Parallel()
	bad := func(name, text, want string) {
		t.Helper()
		_, s := readFundFile(t, text)
		if s.Balanced || !slices.ContainsFunc(s.Problems, func(p payment.Problem) bool { return strings.Contains(p.Message, want) }) {
			t.Errorf("%s: %+v", name, s.Problems)
		}
	}
	bad("another order", fundFile([]string{fundRows[1], fundRows[0], fundRows[2], fundRows[3]}, fundTotals), "not in their order")
	bad("a row is missing", fundFile([]string{fundRows[0], fundRows[2], fundRows[3]}, fundTotals), "lines are missing")
	bad("the last row is missing", fundFile(fundRows[:3], fundTotals), "the totals say 4 rows")
	bad("no totals", fundFile(fundRows, ""), "not whole")
	bad("no side", strings.Replace(fundFile(fundRows, fundTotals), "`收入`", "`", 1)+"x", "behind the totals")
	bad("an unknown side", strings.Replace(fundFile(fundRows, fundTotals), "`收入,", "`出入,", 1), "is neither")
	bad("negative", strings.Replace(fundFile(fundRows, fundTotals), "`10.00,", "`-10.00,", 1), "is negative")
	bad("another day", strings.Replace(fundFile(fundRows, fundTotals), "2026-02-09 12", "2026-02-10 12", 1), "another day")
}

func FuzzTradeStatement(f *testing.F) {
	good := all(paid("42000001", "EV1", "61.38", "0.37000"), refunded("42000001", "EV1", "50000001", "ER1", "10.00"))
	f.Add([]byte(good))
	f.Add(gz(f, good))
	f.Fuzz(func(t *testing.T, file []byte) {
		var pay, back evcs.Money
		s, err := readTrade(t.Context(), merchant, statementDay, bytes.NewReader(file), func(r payment.Row) error {
			if r.Amount <= 0 || r.ChannelNo == "" || len(r.TradeNo) > maxNumber {
				t.Fatalf("%+v", r)
			}
			switch {
			case !r.Succeeded:
			case r.Direction == payment.Pay:
				pay += r.Amount
			default:
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
	f.Add([]byte(fundFile(fundRows, fundTotals)))
	f.Fuzz(func(t *testing.T, file []byte) {
		var sum evcs.Money
		s, err := readFund(t.Context(), statementDay, bytes.NewReader(file), func(m payment.Movement) error {
			sum += m.Amount
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if sum != s.In-s.Out {
			t.Fatalf("movements of %s, summary %+v", sum, s)
		}
		if s.Balanced && s.Opening+s.In-s.Out != s.Closing {
			t.Fatalf("balances that do not follow: %+v", s)
		}
	})
}
