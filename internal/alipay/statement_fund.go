package alipay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/evcs/evcs/internal/bill"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/payment"
)

// What the tables of the account's files call their columns; some come with
// other brackets.
const (
	colMovement = "账务流水号"
	colBusiness = "业务流水号"
	colMovedAt  = "发生时间"
	colType     = "类型"
	colInCount  = "收入笔数"
	colOutCount = "支出笔数"
)

var (
	colsIn      = []string{"收入金额（+元）", "收入金额(+元)"}
	colsOut     = []string{"支出金额（-元）", "支出金额(-元)"}
	colsBalance = []string{"账户余额（元）", "账户余额(元)"}
)

// movementWords are Alipay's words for the kinds of movements.
var movementWords = map[string]payment.MovementKind{
	"在线支付": payment.MovedPayment, "交易付款": payment.MovedPayment, "交易": payment.MovedPayment,
	"交易退款": payment.MovedRefund, "退款": payment.MovedRefund,
	"收费": payment.MovedFee, "退费": payment.MovedFee, "收费退回": payment.MovedFee,
}

// fundTotals are counts and sums of both directions.
type fundTotals struct {
	inCount, outCount int
	in, out           evcs.Money // out positive
	hasIn, hasOut     bool
}

// fundReading is a fund statement while it is read.
type fundReading struct {
	payment.FundSummary
	trade  tradeReading // whose account, day and comments are those of any file
	each   func(payment.Movement) error
	detail bool
	sum    fundTotals
	footer fundTotals
	whole  *fundTotals

	cols                                                   bill.Columns
	business, ours, goods, at, in, out, balance, kindWords int
	// Whether the balances follow each other forwards and backwards: Alipay does
	// not promise an order.
	forward, backward bool
	first, last       payment.Movement
}

// readFund reads the fund statement of a day (signcustomer), as readTrade reads
// the trades. Columns are found by their names: newer files have more of them.
func readFund(ctx context.Context, account, day string, r io.Reader, each func(payment.Movement) error) (payment.FundSummary, error) {
	from, to, err := payment.StatementDay(day)
	if err != nil {
		return payment.FundSummary{}, err
	}
	t := &fundReading{each: each, forward: true, backward: true}
	t.trade = tradeReading{account: account, from: from, to: to, zone: from.Location()}
	err = bill.Each(r, func(name string, r io.Reader) error { return t.text(ctx, newText(name, r)) })
	if f, ok := bill.FaultOf(err); ok {
		t.Problem(0, "%s", f.Message)
		return t.FundSummary, nil
	}
	if err != nil {
		return t.FundSummary, err
	}
	t.verify()
	return t.FundSummary, nil
}

func (t *fundReading) text(ctx context.Context, x *text) error {
	return x.read(ctx, t.comment, t.header, t.Problem)
}

func (t *fundReading) header(x *text, names []string) (table, error) {
	if slices.Contains(names, colInCount) {
		cols, err := bill.NewColumns(names, colType, colInCount, colOutCount)
		if err == nil && (cols.Any(colsIn...) < 0 || cols.Any(colsOut...) < 0) {
			err = &bill.Fault{Message: "the summary has no amounts"}
		}
		return t.summaryRow(cols), err
	}
	if !slices.Contains(names, colMovement) {
		return nil, &bill.Fault{Message: fmt.Sprintf("line %d begins no table of a fund statement", x.Number())}
	}
	if t.detail {
		return nil, &bill.Fault{Message: "there are two detail tables"}
	}
	cols, err := bill.NewColumns(names, colMovement, colBusiness, colOurs, colMovedAt, colKind)
	if err != nil {
		return nil, err
	}
	t.detail, t.cols = true, cols
	t.business, t.ours, t.at, t.kindWords = cols.At(colBusiness), cols.At(colOurs), cols.At(colMovedAt), cols.At(colKind)
	t.goods, t.in, t.out, t.balance = cols.At(colGoods), cols.Any(colsIn...), cols.Any(colsOut...), cols.Any(colsBalance...)
	if t.in < 0 || t.out < 0 || t.balance < 0 {
		return nil, &bill.Fault{Message: "a column of amounts is missing"}
	}
	return t.detailRow, nil
}

func (t *fundReading) comment(x *text, line string) {
	text := strings.NewReplacer("：", ":", "，", ",").Replace(line)
	switch {
	case strings.HasPrefix(text, "#收入合计:"):
		t.footer.hasIn = true
		t.trade.footerLine(x, text, "共", &t.footer.inCount, &t.footer.in)
	case strings.HasPrefix(text, "#支出合计:"):
		t.footer.hasOut = true
		t.trade.footerLine(x, text, "共", &t.footer.outCount, &t.footer.out)
		t.footer.out = max(t.footer.out, -t.footer.out)
	default:
		t.trade.comment(x, line)
	}
	t.Problems = append(t.Problems, t.trade.Problems...)
	t.trade.Problems = nil
}

func (t *fundReading) detailRow(x *text, raw string) error {
	f, ok := t.split(raw)
	if !ok {
		t.Problem(x.Number(), "the line is not understood: %s", bill.Clip(x.decode(raw)))
		return nil
	}
	m, err := t.parse(x, f)
	if err != nil {
		t.Problem(x.Number(), "%v", err)
		return nil
	}
	m.Line, m.Raw, m.GBK = x.Number(), raw, x.gbk
	if t.Rows == 0 {
		t.first = m
	} else {
		t.forward = t.forward && t.last.Balance+m.Amount == m.Balance
		t.backward = t.backward && m.Balance+t.last.Amount == t.last.Balance
	}
	t.last = m
	t.Add(&m)
	if m.Amount >= 0 {
		t.sum.inCount++
	} else {
		t.sum.outCount++
	}
	return t.each(m)
}

// split cuts a line into its columns; commas in the goods are found by the time
// behind them, those in the remark at the end do no harm.
func (t *fundReading) split(raw string) ([]string, bool) {
	f := strings.SplitN(raw, ",", maxFields)
	extra := len(f) - t.cols.Width()
	if extra < 0 {
		return nil, false
	}
	for shift := range extra + 1 {
		if !isTime(f[t.at+shift]) {
			continue
		}
		if shift > 0 && t.goods >= 0 && t.goods < t.at {
			f = slices.Delete(f, t.goods+1, t.goods+1+shift)
		} else if shift > 0 {
			return nil, false
		}
		return f, true
	}
	return nil, false
}

func (t *fundReading) parse(x *text, f []string) (m payment.Movement, err error) {
	m = payment.Movement{ChannelNo: trim(f[t.business]), TradeNo: trim(f[t.ours]), Word: x.decode(trim(f[t.kindWords]))}
	if len(m.ChannelNo) > maxNumber || len(m.TradeNo) > maxNumber {
		return m, fmt.Errorf("the numbers are too long: %q", bill.Clip(m.ChannelNo))
	}
	m.Word = bill.Clip(m.Word)
	if m.Kind = movementWords[m.Word]; m.Kind == "" {
		m.Kind = payment.MovedOther
	}
	in, err := bill.Optional(f[t.in])
	if err != nil {
		return m, fmt.Errorf("%s: %w", colsIn[0], err)
	}
	out, err := bill.Optional(f[t.out])
	if err != nil {
		return m, fmt.Errorf("%s: %w", colsOut[0], err)
	}
	if in < 0 || in != 0 && out != 0 {
		return m, fmt.Errorf("both income %s and expense %s are given", in, out)
	}
	m.Amount = in - max(out, -out)
	if m.Balance, err = bill.Money(f[t.balance]); err != nil {
		return m, fmt.Errorf("%s: %w", colsBalance[0], err)
	}
	if m.At, err = bill.Moment(f[t.at], t.trade.zone); err != nil {
		return m, fmt.Errorf("%s: %w", colMovedAt, err)
	}
	if m.At.Before(t.trade.from) || !m.At.Before(t.trade.to) {
		return m, fmt.Errorf("the row is of another day: %s", m.At.Format(time.DateTime))
	}
	return m, nil
}

func (t *fundReading) summaryRow(cols bill.Columns) func(*text, string) error {
	return func(x *text, raw string) error {
		f := strings.Split(x.decode(raw), ",")
		if trim(f[0]) != wordTotal {
			return nil
		}
		if len(f) < cols.Width() {
			t.Problem(x.Number(), "the line of the summary is not whole")
			return nil
		}
		var s fundTotals
		var err [4]error
		s.inCount, err[0] = bill.Count(f[cols.At(colInCount)])
		s.outCount, err[1] = bill.Count(f[cols.At(colOutCount)])
		s.in, err[2] = bill.Optional(f[cols.Any(colsIn...)])
		s.out, err[3] = bill.Optional(f[cols.Any(colsOut...)])
		if err := errors.Join(err[:]...); err != nil {
			t.Problem(x.Number(), "the summary cannot be read: %v", err)
			return nil
		}
		s.out = max(s.out, -s.out)
		t.whole = &s
		return nil
	}
}

func (t *fundReading) verify() {
	footer := t.footer.hasIn && t.footer.hasOut
	switch {
	case !t.detail:
		t.Problem(0, "there is no detail table")
		return
	case !footer && t.whole == nil:
		t.Problem(0, "the totals are missing: the file is not whole")
		return
	}
	t.sum.in, t.sum.out = t.In, t.Out
	agree := func(what string, f fundTotals) {
		if f.inCount != t.sum.inCount || f.outCount != t.sum.outCount || f.in != t.sum.in || f.out != t.sum.out {
			t.Problem(0, "the %s say %d in with %s and %d out with %s, the rows are %d with %s and %d with %s", what,
				f.inCount, f.in, f.outCount, f.out, t.sum.inCount, t.sum.in, t.sum.outCount, t.sum.out)
		}
	}
	if footer {
		agree("totals", t.footer)
	}
	if t.whole != nil {
		agree("lines of the summary", *t.whole)
	}
	switch {
	case t.Rows == 0:
	case t.forward:
		t.Balanced = true
	case t.backward:
		t.Balanced, t.Opening, t.Closing = true, t.last.Balance-t.last.Amount, t.first.Balance
	default:
		t.Opening, t.Closing = 0, 0
	}
}
