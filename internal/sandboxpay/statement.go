package sandboxpay

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/evcs/evcs/internal/bill"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/payment"
)

// Faults seed a statement with what can be wrong with one. They are kept in the
// account's configuration by day, so that a statement is the same each time.
type Faults struct {
	Amount    int  `json:"amount,omitempty"`    // rows whose amount is 0.01 off
	Missing   int  `json:"missing,omitempty"`   // rows left out
	Extra     int  `json:"extra,omitempty"`     // rows that nobody knows
	Status    int  `json:"status,omitempty"`    // rows that did not succeed
	Duplicate int  `json:"duplicate,omitempty"` // rows that come twice
	Fee       int  `json:"fee,omitempty"`       // rows whose fee is 1.00 off
	NotReady  bool `json:"notReady,omitempty"`  // there is no statement yet
	Broken    bool `json:"broken,omitempty"`    // the footer does not add up
}

// maxFaultDays bounds the configuration.
const maxFaultDays = 31

type config struct {
	Faults map[string]Faults `json:"faults,omitempty"`
}

// WithFaults returns the account's configuration with the faults of a day set;
// the zero Faults clear them.
func WithFaults(old, day string, f Faults) (string, error) {
	var c config
	if err := json.Unmarshal([]byte(old), &c); err != nil {
		return "", fmt.Errorf("read the sandbox configuration: %w", err)
	}
	if c.Faults == nil {
		c.Faults = make(map[string]Faults)
	}
	c.Faults[day] = f
	if f == (Faults{}) {
		delete(c.Faults, day)
	}
	for len(c.Faults) > maxFaultDays {
		oldest := day
		for d := range c.Faults {
			oldest = min(oldest, d)
		}
		delete(c.Faults, oldest)
	}
	text, err := json.Marshal(c)
	return string(text), err
}

// Fetch implements payment.Channel: the day's statement out of the bank's books.
func (b *Bank) Fetch(ctx context.Context, m payment.Merchant, day string) (payment.Statement, error) {
	list, f, err := b.day(ctx, m, day)
	if err != nil {
		return payment.Statement{}, err
	}
	return statement(compose(list, f.Broken)), nil
}

func statement(body []byte) payment.Statement {
	sum := sha256.Sum256(body)
	return payment.Statement{Body: body, SHA256: hex.EncodeToString(sum[:])}
}

// day is what the bank says about a day, with its faults.
func (b *Bank) day(ctx context.Context, m payment.Merchant, day string) ([]payment.Row, Faults, error) {
	var c config
	if err := json.Unmarshal([]byte(m.Config), &c); err != nil {
		return nil, Faults{}, fmt.Errorf("read the sandbox configuration: %w", err)
	}
	f := c.Faults[day]
	from, to, err := payment.StatementDay(day)
	if err != nil {
		return nil, f, err
	}
	if f.NotReady {
		return nil, f, evcs.With(payment.ErrNotReady, map[string]any{"channelMessage": "bill_not_exist"})
	}
	var trades []payment.SandboxTrade
	err = b.Transact(ctx, func(books payment.SandboxBooks) (err error) {
		trades, err = books.TradesDone(ctx, evcs.Only(m.Tenant), from, to)
		return err
	})
	return seed(rows(m, trades), f, m, from), f, err
}

func rows(m payment.Merchant, trades []payment.SandboxTrade) []payment.Row {
	list := make([]payment.Row, 0, len(trades))
	for _, t := range trades {
		r := payment.Row{
			Direction: payment.Pay, TradeNo: t.Number, ChannelNo: t.ChannelNo, Amount: t.Amount, Settled: t.Amount, Fee: m.FeeOn(t.Amount),
			Succeeded: true, Status: "SUCCESS", At: t.DoneAt,
		}
		if t.Refund {
			r.Direction, r.TradeNo, r.RefundNo, r.Fee = payment.RefundBack, t.Parent, t.Number, 0
		}
		list = append(list, r)
	}
	return list
}

// seed puts the faults in, each on a row of its own, chosen by the numbers.
func seed(list []payment.Row, f Faults, m payment.Merchant, day time.Time) []payment.Row {
	slices.SortFunc(list, func(a, b payment.Row) int { return strings.Compare(a.TradeNo+a.RefundNo, b.TradeNo+b.RefundNo) })
	next := 0
	var doubles []payment.Row
	missing := make(map[int]bool)
	each := func(n int, fault func(i int)) {
		for ; n > 0 && next < len(list); next++ {
			if list[next].Direction != payment.Pay {
				continue
			}
			fault(next)
			n--
		}
	}
	each(f.Amount, func(i int) {
		list[i].Amount++
		list[i].Settled++
	})
	each(f.Status, func(i int) { list[i].Succeeded, list[i].Status = false, "CLOSED" })
	each(f.Duplicate, func(i int) { doubles = append(doubles, list[i]) })
	each(f.Fee, func(i int) { list[i].Fee += 100 })
	each(f.Missing, func(i int) { missing[i] = true })
	kept := list[:0:0]
	for i, r := range list {
		if !missing[i] {
			kept = append(kept, r)
		}
	}
	kept = append(kept, doubles...)
	for i := range f.Extra {
		no := fmt.Sprintf("EV%s%018d", day.Format("20060102"), i+1)
		kept = append(kept, payment.Row{
			Direction: payment.Pay, TradeNo: no, ChannelNo: channelNo(m, no), Amount: 1234, Settled: 1234, Fee: m.FeeOn(1234), Succeeded: true, Status: "SUCCESS",
			At: day.Add(12 * time.Hour),
		})
	}
	return kept
}

const header = "direction,tradeNo,refundNo,channelNo,amount,fee,status,time"

func compose(list []payment.Row, broken bool) []byte {
	var b bytes.Buffer
	fmt.Fprintln(&b, header)
	var s payment.Summary
	for _, r := range list {
		fmt.Fprintf(&b, "%s,%s,%s,%s,%s,%s,%s,%s\n", r.Direction, r.TradeNo, r.RefundNo, r.ChannelNo, r.Amount, r.Fee, r.Status, r.At.UTC().Format(time.RFC3339))
		s.Add(&r)
	}
	if broken {
		s.PayTotal += 1
	}
	fmt.Fprintf(&b, "TOTAL,%d,%s,%s,%s\n", s.Rows, s.PayTotal, s.RefundTotal, s.FeeTotal)
	return b.Bytes()
}

// reading is a statement being read.
type reading struct {
	payment.Summary
	footer bool
}

// Read implements payment.Channel.
func (*Bank) Read(_ context.Context, _ payment.Merchant, _ string, r io.Reader, row func(payment.Row) error) (payment.Summary, error) {
	s := &reading{}
	texts := 0
	err := bill.Each(r, func(_ string, text io.Reader) error {
		if texts++; texts > 1 {
			return &bill.Fault{Message: "the archive must have one file"}
		}
		return s.text(bill.NewLines(text), row)
	})
	if f, ok := bill.FaultOf(err); ok {
		s.Problem(0, "%s", f.Message)
		return s.Summary, nil
	}
	if err == nil && !s.footer {
		s.Problem(0, "the totals are missing")
	}
	return s.Summary, err
}

func (s *reading) text(lines *bill.Lines, row func(payment.Row) error) error {
	for {
		line, ok := lines.Next()
		if !ok {
			break
		}
		n, text := lines.Number(), string(line)
		switch {
		case n == 1 && text == header, text == "":
		case n == 1:
			s.Problem(n, "the header is not %q", header)
		case s.footer:
			s.Problem(n, "there is a row behind the totals")
		case strings.HasPrefix(text, "TOTAL,"):
			s.total(n, text)
		default:
			if err := s.line(n, text, row); err != nil {
				return err
			}
		}
	}
	return lines.Err()
}

func (s *reading) line(n int, text string, row func(payment.Row) error) error {
	r, err := parseRow(text)
	if err != nil {
		s.Problem(n, "%v", err)
		return nil
	}
	r.Line, r.Raw = n, text
	s.Add(&r)
	return row(r)
}

func parseRow(text string) (payment.Row, error) {
	var f [8]string
	rest := text
	for i := range f {
		field, more, ok := strings.Cut(rest, ",")
		if ok == (i == len(f)-1) {
			return payment.Row{}, fmt.Errorf("the row has not %d fields", len(f))
		}
		f[i], rest = field, more
	}
	r := payment.Row{Direction: payment.Direction(f[0]), TradeNo: f[1], RefundNo: f[2], ChannelNo: f[3], Status: f[6], Succeeded: f[6] == "SUCCESS"}
	if r.Direction != payment.Pay && r.Direction != payment.RefundBack {
		return r, fmt.Errorf("direction %q is neither PAY nor REFUND", clip(f[0]))
	}
	if r.TradeNo == "" || len(r.TradeNo) > 64 || len(r.RefundNo) > 64 || len(r.ChannelNo) > 64 || (r.Direction == payment.RefundBack) != (r.RefundNo != "") {
		return r, fmt.Errorf("the numbers do not fit a %s row", r.Direction)
	}
	var err error
	if r.Amount, err = evcs.ParseMoney(f[4]); err != nil || r.Amount <= 0 {
		return r, fmt.Errorf("amount %q is no amount", clip(f[4]))
	}
	r.Settled = r.Amount
	if r.Fee, err = evcs.ParseMoney(f[5]); err != nil {
		return r, fmt.Errorf("fee %q is no amount", clip(f[5]))
	}
	if r.At, err = time.Parse(time.RFC3339, f[7]); err != nil {
		return r, fmt.Errorf("time %q is no time", clip(f[7]))
	}
	return r, nil
}

func clip(text string) string { return text[:min(len(text), 40)] }

func (s *reading) total(n int, text string) {
	s.footer = true
	want := fmt.Sprintf("TOTAL,%s,%s,%s,%s", strconv.Itoa(s.Rows), s.PayTotal, s.RefundTotal, s.FeeTotal)
	if text != want {
		s.Problem(n, "the totals are %q, the rows add up to %q", clip(text), want)
	}
}
