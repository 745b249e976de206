package wechatpay

import (
	"bytes"
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

// What the tables of WeChat's files call their columns. Old merchants get older
// names, which stand second.
const (
	colAt       = "交易时间"
	colMerchant = "商户号"
	colTradeNo  = "微信订单号"
	colOurs     = "商户订单号"
	colState    = "交易状态"
	colCurrency = "货币种类"
	colGoods    = "商品名称"
	colAttach   = "商户数据包"
	colFee      = "手续费"
	colRefund   = "微信退款单号"
	colRefundNo = "商户退款单号"
	colBackWord = "退款状态"

	colSettled    = "应结订单金额"
	colSettledOld = "总金额"
	colOrder      = "订单金额"
	colBack       = "退款金额"
	colAskedBack  = "申请退款金额"

	sumRows     = "总交易单数"
	sumSettled  = "应结订单总金额"
	sumOrder    = "订单总金额"
	sumBack     = "退款总金额"
	sumAsked    = "申请退款总金额"
	sumFee      = "手续费总金额"
	sumOldOrder = "总交易额"
	sumOldBack  = "总退款金额"
)

const (
	maxNumber = 64
	maxFields = 64
	currency  = "CNY"
)

// sums are the columns that the last line adds up.
type sums struct{ settled, order, back, asked, fee evcs.Money }

// tradeReading is a trade statement while it is read.
type tradeReading struct {
	payment.Summary
	mchID    string
	from, to time.Time
	zone     *time.Location
	row      func(payment.Row) error
	lines    int
	sum      sums

	cols                                                          bill.Columns
	at, merchant, tradeNo, ours, state, money, goods, attach, fee int
	refund, refundNo, backWord, settled, order, back, asked       int
	fields                                                        []string
	ended                                                         bool
}

// readTrade reads the trade statement of a day (ALL, SUCCESS or REFUND; the old
// tables too), packed or not. mchID is the merchant's number. The last line is
// verified.
func readTrade(ctx context.Context, mchID, day string, r io.Reader, row func(payment.Row) error) (payment.Summary, error) {
	from, to, err := payment.StatementDay(day)
	if err != nil {
		return payment.Summary{}, err
	}
	t := &tradeReading{mchID: mchID, from: from, to: to, zone: from.Location(), row: row}
	err = bill.Each(r, func(_ string, r io.Reader) error {
		if t.cols.Width() > 0 {
			return &bill.Fault{Message: "the archive has several files"}
		}
		return t.text(ctx, bill.NewLines(r))
	})
	if f, ok := bill.FaultOf(err); ok {
		t.Problem(0, "%s", f.Message)
		return t.Summary, nil
	}
	if err == nil && !t.ended {
		t.Problem(0, "the totals are missing: the file is not whole")
	}
	return t.Summary, err
}

// table is what a text of WeChat consists of: a header, rows whose values begin
// with a backtick, a header of totals and the totals.
type table struct {
	header func(names []string) error
	row    func(n int, raw string) error
	totals func(n int, names, values []string)
}

// read reads a text. It reports whether the totals were there.
func (t table) read(ctx context.Context, lines *bill.Lines, problem func(int, string, ...any)) (ended bool, err error) {
	var names, totals []string
	for {
		line, ok := lines.Next()
		if !ok {
			break
		}
		n := lines.Number()
		if n%4096 == 0 && ctx.Err() != nil {
			return false, ctx.Err()
		}
		switch value := bytes.HasPrefix(line, []byte("`")); {
		case len(bytes.Trim(line, " \t,")) == 0:
		case ended:
			problem(n, "there is a line behind the totals")
			return false, nil
		case value && names == nil:
			problem(n, "there is a row before the header")
			return false, nil
		case value && totals == nil:
			if err := t.row(n, string(line)); err != nil {
				return false, err
			}
		case value:
			t.totals(n, totals, split(string(line), nil))
			ended = true
		case names == nil:
			names = strings.Split(string(line), ",")
			if err := t.header(names); err != nil {
				return false, err
			}
		case totals == nil:
			totals = strings.Split(string(line), ",")
		default:
			problem(n, "the line is not understood: %s", bill.Clip(string(line)))
			return false, nil
		}
	}
	if f, ok := bill.FaultOf(lines.Err()); ok {
		problem(lines.Number()+1, "%s", f.Message)
		return ended, nil
	}
	return ended, lines.Err()
}

// split cuts a line at the two bytes between values. Values are in no quotes
// and may hold commas.
func split(line string, into []string) []string {
	line = strings.TrimPrefix(line, "`")
	into = into[:0]
	for len(into) < maxFields-1 {
		value, rest, more := strings.Cut(line, ",`")
		into = append(into, value)
		if !more {
			return into
		}
		line = rest
	}
	return append(into, line)
}

func (t *tradeReading) text(ctx context.Context, lines *bill.Lines) (err error) {
	t.ended, err = table{t.header, t.line, t.totals}.read(ctx, lines, t.Problem)
	return err
}

func (t *tradeReading) header(names []string) error {
	cols, err := bill.NewColumns(names, colAt, colMerchant, colTradeNo, colOurs, colState, colCurrency, colGoods, colFee)
	if err != nil {
		return err
	}
	t.cols = cols
	t.at, t.merchant, t.tradeNo, t.ours = cols.At(colAt), cols.At(colMerchant), cols.At(colTradeNo), cols.At(colOurs)
	t.state, t.money, t.goods, t.attach, t.fee = cols.At(colState), cols.At(colCurrency), cols.At(colGoods), cols.At(colAttach), cols.At(colFee)
	t.refund, t.refundNo, t.backWord = cols.At(colRefund), cols.At(colRefundNo), cols.At(colBackWord)
	t.settled, t.back = cols.Any(colSettled, colSettledOld), cols.At(colBack)
	t.order, t.asked = cols.Any(colOrder, colSettledOld, colSettled), cols.Any(colAskedBack, colBack)
	if t.settled < 0 {
		return &bill.Fault{Message: fmt.Sprintf("the column %q is missing", colSettled)}
	}
	return nil
}

// line reads one payment or refund.
func (t *tradeReading) line(n int, raw string) error {
	f, ok := t.split(raw)
	if !ok {
		t.Problem(n, "the line is not understood: %s", bill.Clip(raw))
		return nil
	}
	t.lines++
	if t.mchID != "" && f[t.merchant] != t.mchID {
		t.Problem(n, "the row is of another merchant: %s", bill.Clip(f[t.merchant]))
		return nil
	}
	var s sums
	if err := t.amounts(f, &s); err != nil {
		t.Problem(n, "%v", err)
		return nil
	}
	t.sum.settled += s.settled
	t.sum.order += s.order
	t.sum.back += s.back
	t.sum.asked += s.asked
	t.sum.fee += s.fee
	r, err := t.parse(f, s)
	switch {
	case err != nil:
		t.Problem(n, "%v", err)
		return nil
	case r.Direction == "":
		t.Ignore(bill.Clip(f[t.state]))
		return nil
	}
	r.Line, r.Raw = n, raw
	t.Add(&r)
	return t.row(r)
}

// split cuts a line into its columns. The goods and what the merchant attached
// stand side by side and may hold anything; what is behind them is counted from
// the end.
func (t *tradeReading) split(raw string) ([]string, bool) {
	t.fields = split(raw, t.fields)
	extra := len(t.fields) - t.cols.Width()
	if extra < 0 {
		return nil, false
	}
	if extra == 0 {
		return t.fields, true
	}
	last := max(t.goods, t.attach)
	return slices.Delete(t.fields, last+1, last+1+extra), true
}

func (t *tradeReading) amounts(f []string, s *sums) error {
	for _, each := range [...]struct {
		at   int
		name string
		to   *evcs.Money
	}{
		{t.settled, colSettled, &s.settled},
		{t.order, colOrder, &s.order},
		{t.back, colBack, &s.back},
		{t.asked, colAskedBack, &s.asked},
		{t.fee, colFee, &s.fee},
	} {
		if each.at < 0 {
			continue
		}
		m, err := bill.Optional(f[each.at])
		if err != nil {
			return fmt.Errorf("%s: %w", each.name, err)
		}
		if m < 0 && each.at != t.fee {
			return fmt.Errorf("%s: %s is negative", each.name, m)
		}
		*each.to = m
	}
	return nil
}

// value is a column that may be absent or hold a nought for nothing.
func value(f []string, at int) string {
	if at < 0 {
		return ""
	}
	text := strings.Trim(f[at], " \t")
	if text == "0" {
		return ""
	}
	return text
}

// parse reads a row; one without direction is neither payment nor refund.
func (t *tradeReading) parse(f []string, s sums) (r payment.Row, err error) {
	r = payment.Row{TradeNo: value(f, t.ours), ChannelNo: value(f, t.tradeNo), Status: bill.Clip(f[t.state]), Fee: s.fee}
	if r.At, err = bill.Moment(f[t.at], t.zone); err != nil {
		return r, fmt.Errorf("%s: %w", colAt, err)
	}
	if r.At.Before(t.from) || !r.At.Before(t.to) {
		return r, fmt.Errorf("the row is of another day: %s", r.At.Format(time.DateTime))
	}
	if c := f[t.money]; c != currency {
		return r, fmt.Errorf("%s: %q is not %s", colCurrency, bill.Clip(c), currency)
	}
	switch r.Status {
	case "SUCCESS":
		r.Direction, r.Amount, r.Settled, r.Succeeded = payment.Pay, s.order, s.settled, true
	case "REFUND":
		r.Direction, r.Amount, r.Settled = payment.RefundBack, s.asked, s.back
		r.RefundNo, r.Status = value(f, t.refundNo), bill.Clip(value(f, t.backWord))
		r.ChannelNo = value(f, t.refund)
		// What is being refunded has left the account; the word is never updated.
		r.Succeeded = r.Status == "SUCCESS" || r.Status == "PROCESSING" || r.Status == ""
	default:
		return r, nil // REVOKED is of a product that is not offered here
	}
	if r.ChannelNo == "" || len(r.ChannelNo) > maxNumber || len(r.TradeNo) > maxNumber || len(r.RefundNo) > maxNumber {
		return r, fmt.Errorf("the numbers are empty or too long: %q", bill.Clip(r.ChannelNo))
	}
	if r.Amount <= 0 {
		return r, fmt.Errorf("%s: %s is no amount of a %s row", colOrder, r.Amount, r.Direction)
	}
	return r, nil
}

// totals compares the last line with the rows.
func (t *tradeReading) totals(n int, names, values []string) {
	if t.Problems != nil {
		return // the rows were not all read
	}
	cols, err := bill.NewColumns(names, sumRows, sumFee)
	if err == nil && len(values) < cols.Width() {
		err = errors.New("the last line is not whole")
	}
	var count int
	if err == nil {
		count, err = bill.Count(values[cols.At(sumRows)])
	}
	if err != nil {
		t.Problem(n, "the totals cannot be read: %v", err)
		return
	}
	if count != t.lines {
		t.Problem(n, "the totals say %d rows, there are %d", count, t.lines)
	}
	for _, each := range [...]struct {
		at  int
		sum evcs.Money
	}{
		{cols.Any(sumSettled, sumOldOrder), t.sum.settled},
		{cols.At(sumOrder), t.sum.order},
		{cols.Any(sumBack, sumOldBack), t.sum.back},
		{cols.At(sumAsked), t.sum.asked},
		{cols.At(sumFee), t.sum.fee},
	} {
		if each.at < 0 {
			continue
		}
		if said, err := bill.Money(values[each.at]); err != nil || said != each.sum {
			t.Problem(n, "the totals say %s of %q, the rows add up to %s", bill.Clip(strings.Trim(names[each.at], " `")), bill.Clip(values[each.at]), each.sum)
		}
	}
}
