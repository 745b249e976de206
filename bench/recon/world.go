package main

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/payment"
	"github.com/evcs/evcs/internal/recon"
)

const (
	day      = "2026-02-09"
	mchID    = "1900009191"
	feeRate  = 600 // 0.6 %
	perFault = 2000
)

// fault is what is wrong with one key of the day.
type fault int

// The faults, each once in perFault rows.
const (
	right fault = iota
	missing
	extra
	amount
	late
	double
	fee
	failed
	faults
)

// kinds are what must be found of each fault.
var kinds = [faults]recon.Kind{
	missing: recon.LocalOnly, extra: recon.ChannelOnly, amount: recon.AmountMismatch, late: recon.StatusMismatch, double: recon.Duplicate,
	fee: recon.FeeMismatch, failed: recon.StatusMismatch,
}

// world is a day of n keys, each made from its number alone, so that a day of
// any size takes no memory.
type world struct{ n int }

func (w world) account() payment.Merchant {
	return payment.Merchant{ID: 1, Tenant: 1, Channel: payment.ChannelWechat, FeeRate: feeRate, Config: `{"mchId":"` + mchID + `"}`}
}

func (w world) fault(i int) fault {
	if f := fault(i % perFault); f > right && f < faults {
		return f
	}
	return right
}

// refund reports whether a key is a refund: one in twenty.
func (w world) refund(i int) bool {
	f := w.fault(i)
	return f == failed || f == right && i%20 == 19
}

// mix spreads numbers, so that nothing is in the order of its making.
func mix(i int) uint64 {
	x := uint64(i)*0x9e3779b97f4a7c15 + 0x7f4a7c15 //nolint:gosec // not negative
	x ^= x >> 31
	x *= 0xbf58476d1ce4e5b9
	return x ^ x>>29
}

// local is our side of a key; known is false when we do not know it, and its
// status says whether it succeeded.
func (w world) local(i int) (l recon.Local, known bool) {
	from, _, _ := recon.Bounds(day)
	l = recon.Local{
		Direction: payment.Pay, Merchant: 1, No: fmt.Sprintf("EV%010d%016X", i, mix(i)), ChannelNo: fmt.Sprintf("4200%024d", mix(i)),
		Amount: evcs.Money(mix(i)%20_000 + 100), Status: "SUCCESS", Succeeded: true, At: from.Add(time.Duration(i%86_400) * time.Second), //nolint:gosec // small
		Payment: evcs.PaymentID(i + 1), Order: evcs.OrderID(i + 1), OrderNo: "ORD",
	}
	l.TradeNo = l.No
	if w.refund(i) {
		l.Direction, l.No, l.ChannelNo = payment.RefundBack, "ER"+l.No[2:], "5"+l.ChannelNo[1:]
	}
	switch w.fault(i) {
	case extra:
		return l, false
	case late:
		l.Succeeded, l.Status, l.At = false, "PENDING", time.Time{}
	default:
	}
	return l, true
}

// key is how a difference names a key.
func (w world) key(i int) string {
	l, _ := w.local(i)
	return fmt.Sprintf("%s/1/%s", l.Direction, l.No)
}

// wanted are the differences of the day.
func (w world) wanted() map[string]recon.Kind {
	want := make(map[string]recon.Kind)
	for i := range w.n {
		if f := w.fault(i); f != right {
			want[w.key(i)] = kinds[f]
		}
	}
	return want
}

const header = "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,应结订单金额,代金券金额,微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,商品名称,商户数据包,手续费,费率,订单金额,申请退款金额,费率备注"

// totals are what the last line of the bill says.
type totals struct {
	rows            int
	pay, back, fees evcs.Money
}

// bill appends the lines of a key.
func (w world) bill(b []byte, i int, t *totals) []byte {
	l, _ := w.local(i)
	f := w.fault(i)
	from, _, _ := recon.Bounds(day)
	at := from.Add(time.Duration(i%86_400) * time.Second).In(payment.StatementZone()).Format(time.DateTime)
	money := l.Amount
	charged := w.account().FeeOn(money)
	times := 1
	switch f {
	case missing:
		return b
	case amount:
		money++
	case fee:
		charged += 100
	case double:
		times = 2
	default:
	}
	for range times {
		t.rows++
		if l.Direction == payment.Pay {
			b = fmt.Appendf(b, "`%s,`wx8888888888888888,`%s,`0,`,`%s,`%s,`oUpF8uMuAJO_M2pxb1Q9zNjWeS6o,`NATIVE,`SUCCESS,`OTHERS,`CNY,`%s,`0.00,`0,`0,`0.00,`0.00,`,`,`充电服务费,`,`%s000,`0.60%%,`%s,`0.00,`\r\n",
				at, mchID, l.ChannelNo, l.No, money, charged, money)
			t.pay += money
			t.fees += charged
			continue
		}
		word := "SUCCESS"
		if f == failed {
			word = "FAIL"
		}
		b = fmt.Appendf(b, "`%s,`wx8888888888888888,`%s,`0,`,`4%s,`%s,`oUpF8uMuAJO_M2pxb1Q9zNjWeS6o,`NATIVE,`REFUND,`OTHERS,`CNY,`0.00,`0.00,`%s,`%s,`%s,`0.00,`ORIGINAL,`%s,`充电服务费,`,`0.00000,`0.60%%,`0.00,`%s,`\r\n",
			at, mchID, l.ChannelNo[1:], l.TradeNo, l.ChannelNo, l.No, money, word, money)
		t.back += money
	}
	return b
}

// write makes both sides of the day in dir: local.csv, bill.csv, bill.gz. The
// bill is in another order than our books.
func (w world) write(dir string) error {
	local, err := create(dir, "local.csv")
	if err != nil {
		return err
	}
	for i := range w.n {
		if l, known := w.local(i); known && l.Succeeded {
			fmt.Fprintf(local, "%s,%s,%s,%d\n", l.No, l.Amount, l.ChannelNo, i) // the error is told by close
		}
	}
	plain, err := create(dir, "bill.csv")
	if err != nil {
		return err
	}
	packed, err := create(dir, "bill.gz")
	if err != nil {
		return err
	}
	z := gzip.NewWriter(packed)
	both := io.MultiWriter(plain, z)
	var t totals
	text := []byte("\ufeff" + header + "\r\n")
	step := 7919 // with n it has no common factor: 7919 is prime
	if w.n%step == 0 {
		step = 7927
	}
	for i, at := 0, 0; i < w.n; i, at = i+1, (at+step)%w.n {
		if text = w.bill(text, at, &t); len(text) > 1<<16 {
			if _, err := both.Write(text); err != nil {
				return err
			}
			text = text[:0]
		}
	}
	text = fmt.Appendf(text, "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额\r\n`%d.0,`%s,`%s,`0.00,`%s,`%s,`%s\r\n", t.rows, t.pay, t.back, t.fees, t.pay, t.back)
	if _, err := both.Write(text); err != nil {
		return err
	}
	return errors.Join(local.close(), z.Close(), plain.close(), packed.close())
}

// file is a file that is written through a buffer.
type file struct {
	*bufio.Writer
	f *os.File
}

func create(dir, name string) (*file, error) {
	f, err := os.Create(filepath.Join(dir, name))
	if err != nil {
		return nil, err
	}
	return &file{bufio.NewWriterSize(f, 1<<18), f}, nil
}

func (f *file) close() error { return errors.Join(f.Flush(), f.f.Close()) }
