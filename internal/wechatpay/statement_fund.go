package wechatpay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/evcs/evcs/internal/bill"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/payment"
)

// What the fund statement calls its columns.
const (
	colMovedAt  = "记账时间"
	colBusiness = "微信支付业务单号"
	colMovement = "资金流水单号"
	colName     = "业务名称"
	colKind     = "业务类型"
	colSide     = "收支类型"
	colVoucher  = "业务凭证号"

	sumMovements = "资金流水总笔数"
	sumInCount   = "收入笔数"
	sumIn        = "收入金额"
	sumOutCount  = "支出笔数"
	sumOut       = "支出金额"

	wordIn  = "收入"
	wordOut = "支出"
)

var (
	colsAmount  = []string{"收支金额(元)", "收支金额（元）"}
	colsBalance = []string{"账户结余(元)", "账户结余（元）"}
)

// movementWords are WeChat's words for the kinds of movements.
var movementWords = map[string]payment.MovementKind{
	"交易": payment.MovedPayment, "退款": payment.MovedRefund, "退款关闭": payment.MovedRefund,
	"扣除交易手续费": payment.MovedFee, "退还交易手续费": payment.MovedFee,
}

// fundReading is a fund statement while it is read.
type fundReading struct {
	payment.FundSummary
	from, to time.Time
	zone     *time.Location
	each     func(payment.Movement) error
	in, out  int
	ended    bool

	cols                                                     bill.Columns
	at, business, kind, side, amount, balance, name, voucher int
	fields                                                   []string
}

// readFund reads the fund statement of a day (BASIC). Its balances must follow
// each other, and its last line must agree with its rows.
func readFund(ctx context.Context, day string, r io.Reader, each func(payment.Movement) error) (payment.FundSummary, error) {
	from, to, err := payment.StatementDay(day)
	if err != nil {
		return payment.FundSummary{}, err
	}
	t := &fundReading{from: from, to: to, zone: from.Location(), each: each}
	err = bill.Each(r, func(_ string, r io.Reader) (err error) {
		if t.cols.Width() > 0 {
			return &bill.Fault{Message: "the archive has several files"}
		}
		t.ended, err = table{t.header, t.line, t.totals}.read(ctx, bill.NewLines(r), t.Problem)
		return err
	})
	if f, ok := bill.FaultOf(err); ok {
		t.Problem(0, "%s", f.Message)
		return t.FundSummary, nil
	}
	if err == nil && !t.ended {
		t.Problem(0, "the totals are missing: the file is not whole")
	}
	t.Balanced = t.Rows > 0 && t.Problems == nil
	return t.FundSummary, err
}

func (t *fundReading) header(names []string) error {
	cols, err := bill.NewColumns(names, colMovedAt, colBusiness, colMovement, colKind, colSide)
	if err != nil {
		return err
	}
	t.cols = cols
	t.at, t.business, t.kind, t.side = cols.At(colMovedAt), cols.At(colBusiness), cols.At(colKind), cols.At(colSide)
	t.name, t.voucher = cols.At(colName), cols.At(colVoucher)
	t.amount, t.balance = cols.Any(colsAmount...), cols.Any(colsBalance...)
	if t.amount < 0 || t.balance < 0 {
		return &bill.Fault{Message: "a column of amounts is missing"}
	}
	return nil
}

func (t *fundReading) line(n int, raw string) error {
	t.fields = split(raw, t.fields)
	if len(t.fields) < t.cols.Width() {
		t.Problem(n, "the line is not understood: %s", bill.Clip(raw))
		return nil
	}
	m, err := t.parse(t.fields)
	if err == nil && t.Rows > 0 && t.Closing+m.Amount != m.Balance {
		err = fmt.Errorf("the balance is %s behind %s and %s: lines are missing or not in their order", m.Balance, t.Closing, m.Amount)
	}
	if err != nil {
		t.Problem(n, "%v", err)
		return nil
	}
	if m.Amount >= 0 {
		t.in++
	} else {
		t.out++
	}
	m.Line, m.Raw = n, raw
	t.Add(&m)
	return t.each(m)
}

func (t *fundReading) parse(f []string) (m payment.Movement, err error) {
	m = payment.Movement{ChannelNo: value(f, t.business), Word: bill.Clip(strings.Trim(f[t.kind], " \t"))}
	if t.voucher >= 0 && t.voucher < len(f) {
		m.TradeNo = value(f, t.voucher)
	}
	if len(m.ChannelNo) > maxNumber || len(m.TradeNo) > maxNumber {
		return m, fmt.Errorf("the numbers are too long: %q", bill.Clip(m.ChannelNo))
	}
	if m.Kind = movementWords[m.Word]; m.Kind == "" {
		m.Kind = payment.MovedOther
	}
	if m.Amount, err = bill.Money(f[t.amount]); err != nil {
		return m, fmt.Errorf("%s: %w", colsAmount[0], err)
	}
	if m.Amount < 0 {
		return m, fmt.Errorf("%s: %s is negative", colsAmount[0], m.Amount)
	}
	switch side := strings.Trim(f[t.side], " \t"); side {
	case wordIn:
	case wordOut:
		m.Amount = -m.Amount
	default:
		return m, fmt.Errorf("%s: %q is neither %s nor %s", colSide, bill.Clip(side), wordIn, wordOut)
	}
	if m.Balance, err = bill.Money(f[t.balance]); err != nil {
		return m, fmt.Errorf("%s: %w", colsBalance[0], err)
	}
	if m.At, err = bill.Moment(f[t.at], t.zone); err != nil {
		return m, fmt.Errorf("%s: %w", colMovedAt, err)
	}
	if m.At.Before(t.from) || !m.At.Before(t.to) {
		return m, fmt.Errorf("the row is of another day: %s", m.At.Format(time.DateTime))
	}
	return m, nil
}

func (t *fundReading) totals(n int, names, values []string) {
	if t.Problems != nil {
		return // the rows were not all read
	}
	cols, err := bill.NewColumns(names, sumMovements, sumInCount, sumIn, sumOutCount, sumOut)
	if err == nil && len(values) < cols.Width() {
		err = errors.New("the last line is not whole")
	}
	if err != nil {
		t.Problem(n, "the totals cannot be read: %v", err)
		return
	}
	var count [3]int
	var amount [2]evcs.Money
	var errs [5]error
	for i, name := range [...]string{sumMovements, sumInCount, sumOutCount} {
		count[i], errs[i] = bill.Count(values[cols.At(name)])
	}
	for i, name := range [...]string{sumIn, sumOut} {
		amount[i], errs[3+i] = bill.Money(values[cols.At(name)])
	}
	if err := errors.Join(errs[:]...); err != nil {
		t.Problem(n, "the totals cannot be read: %v", err)
		return
	}
	if count != [3]int{t.Rows, t.in, t.out} || amount != [2]evcs.Money{t.In, t.Out} {
		t.Problem(n, "the totals say %d rows, %d in with %s and %d out with %s, the rows are %d, %d with %s and %d with %s",
			count[0], count[1], amount[0], count[2], amount[1], t.Rows, t.in, t.In, t.out, t.Out)
	}
}
