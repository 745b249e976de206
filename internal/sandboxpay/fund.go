package sandboxpay

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/evcs/evcs/internal/bill"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/payment"
)

const fundHeader = "kind,channelNo,tradeNo,amount,balance,time"

// FetchFund implements payment.FundChannel: what moved on the account, out of
// the rows of the day's statement. At the end of each day the bank pays out.
func (b *Bank) FetchFund(ctx context.Context, m payment.Merchant, day string) (payment.Statement, error) {
	list, _, err := b.day(ctx, m, day)
	if err != nil {
		return payment.Statement{}, err
	}
	var text bytes.Buffer
	fmt.Fprintln(&text, fundHeader)
	var s payment.FundSummary
	move := func(kind payment.MovementKind, r payment.Row, amount evcs.Money) {
		if amount == 0 {
			return
		}
		moved := payment.Movement{Kind: kind, Word: string(kind), Amount: amount, Balance: s.Closing + amount}
		s.Add(&moved)
		fmt.Fprintf(&text, "%s,%s,%s,%s,%s,%s\n", kind, r.ChannelNo, r.TradeNo, amount, moved.Balance, r.At.UTC().Format(time.RFC3339))
	}
	for _, r := range list {
		switch {
		case !r.Succeeded:
		case r.Direction == payment.Pay:
			move(payment.MovedPayment, r, r.Settled)
			move(payment.MovedFee, r, -r.Fee)
		default:
			move(payment.MovedRefund, r, -r.Settled)
		}
	}
	if n := len(list); n > 0 {
		move(payment.MovedOther, payment.Row{At: list[n-1].At}, -s.Closing)
	}
	fmt.Fprintf(&text, "TOTAL,%d,%s,%s\n", s.Rows, s.In, s.Out)
	return statement(text.Bytes()), nil
}

// ReadFund implements payment.FundChannel.
func (*Bank) ReadFund(_ context.Context, _ payment.Merchant, _ string, r io.Reader, each func(payment.Movement) error) (payment.FundSummary, error) {
	s := &fundReading{}
	texts := 0
	err := bill.Each(r, func(_ string, text io.Reader) error {
		if texts++; texts > 1 {
			return &bill.Fault{Message: "the archive must have one file"}
		}
		return s.text(bill.NewLines(text), each)
	})
	if f, ok := bill.FaultOf(err); ok {
		s.Problem(0, "%s", f.Message)
		return s.FundSummary, nil
	}
	if err == nil && !s.footer {
		s.Problem(0, "the totals are missing")
	}
	s.Balanced = s.Rows > 0 && s.Problems == nil
	return s.FundSummary, err
}

// fundReading is a fund statement being read.
type fundReading struct {
	payment.FundSummary
	footer bool
}

func (s *fundReading) text(lines *bill.Lines, each func(payment.Movement) error) error {
	for {
		line, ok := lines.Next()
		if !ok {
			return lines.Err()
		}
		n, text := lines.Number(), string(line)
		switch {
		case n == 1 && text == fundHeader, text == "":
		case n == 1:
			s.Problem(n, "the header is not %q", fundHeader)
		case s.footer:
			s.Problem(n, "there is a row behind the totals")
		case strings.HasPrefix(text, "TOTAL,"):
			s.footer = true
			if want := fmt.Sprintf("TOTAL,%d,%s,%s", s.Rows, s.In, s.Out); text != want {
				s.Problem(n, "the totals are %q, the rows add up to %q", clip(text), want)
			}
		default:
			m, err := movement(text)
			if err == nil && s.Rows > 0 && s.Closing+m.Amount != m.Balance {
				err = fmt.Errorf("the balance is %s behind %s and %s", m.Balance, s.Closing, m.Amount)
			}
			if err != nil {
				s.Problem(n, "%v", err)
				continue
			}
			m.Line, m.Raw = n, text
			s.Add(&m)
			if err := each(m); err != nil {
				return err
			}
		}
	}
}

func movement(text string) (m payment.Movement, err error) {
	f := strings.SplitN(text, ",", 7)
	if len(f) != 6 {
		return m, fmt.Errorf("the row has not %d fields", 6)
	}
	m = payment.Movement{Kind: payment.MovementKind(f[0]), Word: f[0], ChannelNo: f[1], TradeNo: f[2]}
	switch m.Kind {
	case payment.MovedPayment, payment.MovedRefund, payment.MovedFee, payment.MovedOther:
	default:
		return m, fmt.Errorf("kind %q is unknown", clip(f[0]))
	}
	if len(m.ChannelNo) > 64 || len(m.TradeNo) > 64 {
		return m, fmt.Errorf("the numbers are too long")
	}
	if m.Amount, err = evcs.ParseMoney(f[3]); err != nil || m.Amount == 0 {
		return m, fmt.Errorf("amount %q is no amount", clip(f[3]))
	}
	if m.Balance, err = evcs.ParseMoney(f[4]); err != nil {
		return m, fmt.Errorf("balance %q is no amount", clip(f[4]))
	}
	if m.At, err = time.Parse(time.RFC3339, f[5]); err != nil {
		return m, fmt.Errorf("time %q is no time", clip(f[5]))
	}
	return m, nil
}
