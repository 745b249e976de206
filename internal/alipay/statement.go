package alipay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/text/encoding/simplifiedchinese"

	"github.com/evcs/evcs/internal/bill"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/payment"
)

// What the tables of Alipay's files call their columns.
const (
	colTradeNo  = "支付宝交易号"
	colOurs     = "商户订单号"
	colKind     = "业务类型"
	colGoods    = "商品名称"
	colCreated  = "创建时间"
	colFinished = "完成时间"
	colOrder    = "订单金额（元）"
	colReceived = "商家实收（元）"
	colRefundNo = "退款批次号/请求号"
	colFee      = "服务费（元）"
	colGift     = "商家红包消费金额（元）"
	colCard     = "卡消费金额（元）"

	colTrades  = "交易订单总笔数"
	colRefunds = "退款订单总笔数"

	wordTrade  = "交易"
	wordRefund = "退款"
	wordTotal  = "合计"
)

// maxNumber bounds numbers of trades.
const maxNumber = 64

// text is one CSV of a file while it is read.
type text struct {
	*bill.Lines
	name string
	gbk  bool
	told bool // whether gbk is known
}

func newText(name string, r io.Reader) *text { return &text{Lines: bill.NewLines(r), name: name} }

// tell finds out the encoding: Alipay writes GB18030; what a spreadsheet saved
// again is UTF-8.
func (t *text) tell(line []byte) {
	for _, c := range line {
		if c >= utf8.RuneSelf {
			t.gbk, t.told = !utf8.Valid(line), true
			return
		}
	}
}

// decode is a piece of the text in UTF-8.
func (t *text) decode(raw string) string {
	if t.gbk {
		if text, err := simplifiedchinese.GB18030.NewDecoder().String(raw); err == nil {
			return text
		}
	}
	return strings.ToValidUTF8(raw, "�")
}

// encode is a word as the text spells it.
func (t *text) encode(word string) string {
	if t.gbk {
		if raw, err := simplifiedchinese.GB18030.NewEncoder().String(word); err == nil {
			return raw
		}
	}
	return word
}

// table reads a line behind the header of a table.
type table func(x *text, line string) error

// read reads the text to its end: comments, one header, which chooses the table,
// and the lines of it. What is wrong with the text as such is told to problem.
func (t *text) read(ctx context.Context, comment func(*text, string), header func(*text, []string) (table, error), problem func(int, string, ...any)) error {
	var rest table
	for {
		line, ok := t.Next()
		if !ok {
			break
		}
		if t.Number()%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if !t.told {
			t.tell(line)
		}
		raw := string(line)
		switch {
		case strings.Trim(raw, " \t,") == "":
		case raw[0] == '#':
			comment(t, t.decode(raw))
		case rest == nil:
			names := strings.Split(t.decode(raw), ",")
			for i := range names {
				names[i] = strings.Trim(names[i], " \t")
			}
			var err error
			if rest, err = header(t, names); err != nil {
				return err
			}
		default:
			if err := rest(t, raw); err != nil {
				return err
			}
		}
	}
	if f, ok := bill.FaultOf(t.Err()); ok {
		problem(t.Number()+1, "%s", f.Message)
		return nil
	}
	return t.Err()
}

// totals are what a detail file, or its summary, says that the rows add up to.
type totals struct {
	trades, refunds         int
	received, refunded, fee evcs.Money
	hasTrade, hasRefund     bool
}

// tradeReading is a trade statement while it is read.
type tradeReading struct {
	payment.Summary
	account  string // the merchant's number; "": not known
	from, to time.Time
	zone     *time.Location
	row      func(payment.Row) error
	detail   bool // a detail table was there
	sum      totals
	footer   totals
	whole    *totals // of the summary file

	// The columns of the detail table.
	cols                                                                        bill.Columns
	tradeNo, ours, kind, goods, created, finished, order, received, refund, fee int
	trade, back                                                                 string // the words of the kinds as the file spells them
	fields                                                                      []string
}

// readTrade reads the trade statement of a day, a zip archive of a detail and a
// summary file or the detail file alone. account is the merchant's number at
// Alipay, "" when it is not known. The footer, and the summary when it is there,
// are verified.
func readTrade(ctx context.Context, account, day string, r io.Reader, row func(payment.Row) error) (payment.Summary, error) {
	from, to, err := payment.StatementDay(day)
	if err != nil {
		return payment.Summary{}, err
	}
	t := &tradeReading{account: account, from: from, to: to, zone: from.Location(), row: row}
	err = bill.Each(r, func(name string, r io.Reader) error { return t.text(ctx, newText(name, r)) })
	if f, ok := bill.FaultOf(err); ok {
		t.Problem(0, "%s", f.Message)
		return t.Summary, nil
	}
	if err != nil {
		return t.Summary, err
	}
	t.verify()
	return t.Summary, nil
}

// text reads one of the files.
func (t *tradeReading) text(ctx context.Context, x *text) error {
	return x.read(ctx, t.comment, t.header, t.Problem)
}

// header chooses the table by the names of its columns.
func (t *tradeReading) header(x *text, names []string) (table, error) {
	switch {
	case slices.Contains(names, colTrades):
		cols, err := bill.NewColumns(names, colTrades, colRefunds, colFee)
		return t.summaryRow(cols), err
	case !slices.Contains(names, colTradeNo):
		return nil, &bill.Fault{Message: fmt.Sprintf("line %d begins no table of a trade statement", x.Number())}
	case t.detail:
		return nil, &bill.Fault{Message: "there are two detail tables"}
	}
	cols, err := bill.NewColumns(names, colTradeNo, colOurs, colKind, colGoods, colCreated, colFinished, colOrder, colReceived, colRefundNo, colFee)
	if err != nil {
		return nil, err
	}
	t.detail, t.cols = true, cols
	t.tradeNo, t.ours, t.kind, t.goods = cols.At(colTradeNo), cols.At(colOurs), cols.At(colKind), cols.At(colGoods)
	t.created, t.finished, t.order, t.received = cols.At(colCreated), cols.At(colFinished), cols.At(colOrder), cols.At(colReceived)
	t.refund, t.fee = cols.At(colRefundNo), cols.At(colFee)
	t.trade, t.back = x.encode(wordTrade), x.encode(wordRefund)
	return t.detailRow, nil
}

// comment reads what the lines beginning with # say: whose file it is, of which
// day, and its totals.
func (t *tradeReading) comment(x *text, line string) {
	line = strings.NewReplacer("：", ":", "，", ",", "（", "(", "）", ")").Replace(line)
	switch {
	case strings.HasPrefix(line, "#账号:"):
		t.checkAccount(x, line)
	case strings.HasPrefix(line, "#起始日期:"):
		if want := t.from.Format("2006年01月02日"); !strings.Contains(line, want) {
			t.Problem(x.Number(), "the file is not of the day: %s", bill.Clip(line))
		}
	case strings.HasPrefix(line, "#交易合计:"):
		t.footer.hasTrade = true
		t.footerLine(x, line, "商家实收共", &t.footer.trades, &t.footer.received)
	case strings.HasPrefix(line, "#退款合计:"):
		t.footer.hasRefund = true
		t.footerLine(x, line, "商家实收退款共", &t.footer.refunds, &t.footer.refunded)
	}
}

func (t *tradeReading) checkAccount(x *text, line string) {
	given := between(line, "[", "]")
	if given == "" {
		given = strings.TrimSpace(strings.TrimPrefix(line, "#账号:"))
	}
	// Alipay writes its number of the account, which begins with the merchant's.
	if t.account != "" && !strings.HasPrefix(given, t.account) {
		t.Problem(x.Number(), "the file is of another merchant: %s", bill.Clip(given))
	}
}

func (t *tradeReading) footerLine(x *text, line, what string, count *int, amount *evcs.Money) {
	_, rest, _ := strings.Cut(line, ":")
	n, countErr := bill.Count(before(rest, "笔"))
	m, amountErr := bill.Money(between(rest, what, "元"))
	if err := errors.Join(countErr, amountErr); err != nil {
		t.Problem(x.Number(), "the totals cannot be read: %s", bill.Clip(line))
		return
	}
	*count, *amount = n, m
}

func before(text, mark string) string {
	found, _, _ := strings.Cut(text, mark)
	return strings.TrimSpace(found)
}

// between is what stands between two marks, "" when they are not there.
func between(text, from, to string) string {
	_, rest, ok := strings.Cut(text, from)
	if !ok {
		return ""
	}
	found, _, ok := strings.Cut(rest, to)
	if !ok {
		return ""
	}
	return strings.TrimSpace(found)
}

// detailRow reads one trade or refund.
func (t *tradeReading) detailRow(x *text, raw string) error {
	if t.footer.hasTrade || t.footer.hasRefund {
		t.Problem(x.Number(), "there is a row behind the totals")
		return nil
	}
	f, ok := t.split(raw)
	if !ok {
		t.Problem(x.Number(), "the line is not understood: %s", bill.Clip(x.decode(raw)))
		return nil
	}
	var back bool
	switch kind := trim(f[t.kind]); kind {
	case t.trade:
	case t.back:
		back = true
	default:
		t.Ignore(bill.Clip(x.decode(kind)))
		return nil
	}
	r, err := t.parse(f, back)
	if err != nil {
		t.Problem(x.Number(), "%v", err)
		return nil
	}
	r.Line, r.Raw, r.GBK = x.Number(), raw, x.gbk
	t.Add(&r)
	t.sum.fee -= r.Fee
	if back {
		t.sum.refunds++
		t.sum.refunded -= r.Settled
	} else {
		t.sum.trades++
		t.sum.received += r.Settled
	}
	return t.row(r)
}

func trim(field string) string { return strings.Trim(field, " \t") }

// parse reads the fields of a row. Refunds stand with negative amounts; the fee
// is negative when it was charged.
func (t *tradeReading) parse(f []string, back bool) (r payment.Row, err error) {
	r = payment.Row{
		Direction: payment.Pay, TradeNo: trim(f[t.ours]), ChannelNo: trim(f[t.tradeNo]), Succeeded: true, Status: "TRADE_SUCCESS",
	}
	sign := evcs.Money(1)
	if back {
		r.Direction, r.RefundNo, r.Status, sign = payment.RefundBack, trim(f[t.refund]), "REFUND_SUCCESS", -1
	}
	if r.ChannelNo == "" || len(r.ChannelNo) > maxNumber || len(r.TradeNo) > maxNumber || len(r.RefundNo) > maxNumber {
		return r, fmt.Errorf("the numbers are empty or too long: %q", bill.Clip(r.ChannelNo))
	}
	amount, err := bill.Money(f[t.order])
	if err != nil {
		return r, fmt.Errorf("%s: %w", colOrder, err)
	}
	if r.Amount = sign * amount; r.Amount <= 0 {
		return r, fmt.Errorf("%s: %s is on the wrong side of zero", colOrder, amount)
	}
	received, err := bill.Money(f[t.received])
	if err != nil {
		return r, fmt.Errorf("%s: %w", colReceived, err)
	}
	r.Settled = sign * received
	fee, err := bill.Optional(f[t.fee])
	if err != nil {
		return r, fmt.Errorf("%s: %w", colFee, err)
	}
	r.Fee = -fee
	r.At, err = t.day(f[t.created], f[t.finished])
	return r, err
}

// day is when a row happened: when it was finished, or, of rows over midnight,
// created. One of both must be of the day.
func (t *tradeReading) day(created, finished string) (time.Time, error) {
	at, err := bill.Moment(finished, t.zone)
	if err != nil {
		return at, fmt.Errorf("%s: %w", colFinished, err)
	}
	if !at.Before(t.from) && at.Before(t.to) {
		return at, nil
	}
	begun, err := bill.Moment(created, t.zone)
	if err != nil {
		return begun, fmt.Errorf("%s: %w", colCreated, err)
	}
	if begun.Before(t.from) || !begun.Before(t.to) {
		return begun, fmt.Errorf("the row is of another day: %s", at.Format(time.DateTime))
	}
	return begun, nil
}

// split cuts a line into its columns. Goods and remarks are free texts in no
// quotes; when they hold commas, the two times and the amounts behind them tell
// where the columns are.
func (t *tradeReading) split(raw string) ([]string, bool) {
	t.fields = t.fields[:0]
	for len(t.fields) < 2*maxFields {
		field, rest, more := strings.Cut(raw, ",")
		t.fields = append(t.fields, field)
		if !more {
			break
		}
		raw = rest
	}
	extra := len(t.fields) - t.cols.Width()
	if extra < 0 {
		return nil, false
	}
	if extra == 0 {
		return t.fields, true
	}
	for first := range extra + 1 {
		if !isTime(t.fields[t.created+first]) || !isTime(t.fields[t.finished+first]) {
			continue
		}
		for second := first; second <= extra; second++ {
			if t.amountsAt(second) {
				return t.join(first, second), true
			}
		}
	}
	return nil, false
}

// amountsAt reports whether the columns between the voucher's free text and the
// remark hold amounts when they stand so many places further on.
func (t *tradeReading) amountsAt(shift int) bool {
	for _, name := range [...]string{colGift, colCard, colFee} {
		at := t.cols.At(name)
		if at < 0 {
			continue
		}
		if _, err := bill.Money(t.fields[at+shift]); err != nil {
			return false
		}
	}
	return true
}

// maxFields bounds the fields of a line.
const maxFields = 64

// join puts the columns behind the goods first places back, and those behind
// the refund number, where the free text of a voucher stands before, second.
func (t *tradeReading) join(first, second int) []string {
	out := make([]string, t.cols.Width())
	for i := range out {
		switch {
		case i <= t.goods:
			out[i] = t.fields[i]
		case i < t.gift():
			out[i] = t.fields[i+first]
		default:
			out[i] = t.fields[i+second]
		}
	}
	return out
}

// gift is the first column behind the voucher's free text.
func (t *tradeReading) gift() int {
	if at := t.cols.At(colGift); at >= 0 {
		return at
	}
	return t.refund
}

func isTime(field string) bool {
	_, err := bill.Moment(field, time.UTC)
	return err == nil
}

// summaryRow reads the rows of the summary file; the last one has the totals.
func (t *tradeReading) summaryRow(cols bill.Columns) func(*text, string) error {
	return func(x *text, raw string) error {
		f := strings.Split(x.decode(raw), ",")
		if trim(f[0]) != wordTotal {
			return nil
		}
		if len(f) < cols.Width() {
			t.Problem(x.Number(), "the line of the summary is not whole")
			return nil
		}
		var s totals
		var err [3]error
		s.trades, err[0] = bill.Count(f[cols.At(colTrades)])
		s.refunds, err[1] = bill.Count(f[cols.At(colRefunds)])
		s.fee, err[2] = bill.Optional(f[cols.At(colFee)])
		if err := errors.Join(err[:]...); err != nil {
			t.Problem(x.Number(), "the summary cannot be read: %v", err)
			return nil
		}
		t.whole = &s
		return nil
	}
}

// verify compares what the file says about itself with its rows.
func (t *tradeReading) verify() {
	s, f := &t.sum, &t.footer
	switch {
	case !t.detail:
		t.Problem(0, "there is no detail table")
		return
	case !f.hasTrade || !f.hasRefund:
		t.Problem(0, "the totals are missing: the file is not whole")
		return
	}
	if f.trades != s.trades || f.received != s.received {
		t.Problem(0, "the totals say %d trades with %s, the rows are %d with %s", f.trades, f.received, s.trades, s.received)
	}
	if f.refunds != s.refunds || f.refunded != s.refunded {
		t.Problem(0, "the totals say %d refunds with %s, the rows are %d with %s", f.refunds, f.refunded, s.refunds, s.refunded)
	}
	if w := t.whole; w != nil && (w.trades != s.trades || w.refunds != s.refunds || w.fee != s.fee) {
		t.Problem(0, "the summary says %d trades, %d refunds and fees of %s, the rows are %d, %d and %s", w.trades, w.refunds, w.fee, s.trades, s.refunds, s.fee)
	}
}
