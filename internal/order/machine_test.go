package order

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/tariff"
)

// life drives one order by events in any sequence, as devices, people and
// payment channels would, and holds the rules of contract §7.2 against it.
type life struct {
	o     Order
	lines []tariff.Line
	now   time.Time
	paid  evcs.PaymentID
	due   evcs.Money // of the refund under way
	back  evcs.Money // paid back so far
}

func bills(t *rapid.T) (tariff.Bill, []tariff.Line) {
	n := rapid.IntRange(0, 4).Draw(t, "lines")
	var b tariff.Bill
	var lines []tariff.Line
	for range n {
		e := evcs.Money(rapid.Int64Range(0, 5_000).Draw(t, "electricity"))
		s := evcs.Money(rapid.Int64Range(0, 5_000).Draw(t, "service"))
		b.Electricity += e
		b.Service += s
		lines = append(lines, tariff.Line{Kind: tariff.KindEnergy, Electricity: e, Service: s, Amount: e + s})
	}
	b.Amount = b.Electricity + b.Service
	return b, lines
}

// allowedNext is the table of the contract, written a second time.
var allowedNext = map[Status]map[Status]bool{ //nolint:gochecknoglobals // a table
	Charging:  {Charging: true, Ended: true, Cancelled: true},
	Ended:     {Ended: true, ToPay: true, Paid: true, Cancelled: true},
	ToPay:     {ToPay: true, Paid: true, Cancelled: true},
	Paid:      {Paid: true, Refunding: true},
	Refunding: {Refunding: true, Paid: true, Refunded: true},
	Refunded:  {Refunded: true},
	Cancelled: {Cancelled: true},
}

func (l *life) step(t *rapid.T, f func() (Change, error)) {
	before := l.o
	l.now = l.now.Add(time.Second)
	c, err := f()
	switch {
	case err != nil && l.o.Status != before.Status:
		t.Fatalf("a refusal moved %v to %v", before.Status, l.o.Status)
	case err == nil && c.None() && l.o.Status != before.Status:
		t.Fatalf("%v moved to %v without a change", before.Status, l.o.Status)
	case !c.None() && (c.From != before.Status || c.To != l.o.Status):
		t.Fatalf("the change says %v to %v, it was %v to %v", c.From, c.To, before.Status, l.o.Status)
	case !allowedNext[before.Status][l.o.Status]:
		t.Fatalf("%v moved to %v", before.Status, l.o.Status)
	case l.o.RefundedAmount < before.RefundedAmount, l.o.PaidAmount < before.PaidAmount:
		t.Fatalf("money vanished: %+v, before %+v", l.o, before)
	case before.Status.Final() && (l.o.Amount != before.Amount || l.o.PaidAmount != before.PaidAmount):
		t.Fatalf("a final order changed: %+v, before %+v", l.o, before)
	case before.Status >= Paid && l.o.Amount != before.Amount:
		t.Fatalf("the amount of a paid order changed: %+v, before %+v", l.o, before)
	}
}

func (l *life) check(t *rapid.T) {
	o := &l.o
	var sum evcs.Money
	for _, line := range l.lines {
		sum += line.Amount
	}
	switch {
	case o.Amount != o.ElectricityAmount+o.ServiceAmount+o.ParkingAmount+o.IdleAmount-o.DiscountAmount:
		t.Fatalf("amount %s is not its parts: %+v", o.Amount, o)
	case o.Status != Charging && sum != o.Amount:
		t.Fatalf("the lines are %s, the order %s", sum, o.Amount)
	case o.Amount < 0, o.DiscountAmount < 0, o.Payable() < 0:
		t.Fatalf("negative money: %+v", o)
	case o.RefundedAmount > o.PaidAmount, o.PaidAmount > o.Amount:
		t.Fatalf("more came back than came in: %+v", o)
	case o.RefundedAmount != l.back:
		t.Fatalf("paid back %s, the order says %s", l.back, o.RefundedAmount)
	case o.Status == Refunded && o.RefundedAmount != o.PaidAmount:
		t.Fatalf("refunded in part only: %+v", o)
	case (o.Status == Paid || o.Status == Refunding) && o.PaidAmount != o.Amount:
		t.Fatalf("paid %s of %s", o.PaidAmount, o.Amount)
	case o.Status == Paid && o.Held, o.Status == ToPay && o.Held:
		t.Fatalf("a held order asks for money: %+v", o)
	}
}

func (l *life) settle(t *rapid.T) (Change, error) {
	b, lines := bills(t)
	s := Settlement{EndedAt: l.now, Energy: evcs.Energy(rapid.Int64Range(0, 90_000).Draw(t, "energy")), Seconds: 60, Bill: b}
	if rapid.Bool().Draw(t, "odd") {
		s.Anomalies = s.Anomalies.With(rapid.SampledFrom([]Anomaly{EnergyImplausible, ClockAbsurd, Gap}).Draw(t, "anomaly"))
	}
	c, err := Charge{Order: &l.o}.Settle(s, l.now)
	if err == nil && !c.None() {
		l.lines = lines
	}
	return c, err
}

func (l *life) pay(t *rapid.T) (Change, error) {
	p := Payment{ID: l.paid, Amount: l.o.Payable(), At: l.now}
	if rapid.Bool().Draw(t, "another payment") {
		p.ID += 100
	}
	if rapid.IntRange(0, 3).Draw(t, "wrong amount") == 0 {
		p.Amount++
	}
	return l.o.Paid(p, l.now)
}

func (l *life) adjust(t *rapid.T) (Change, error) {
	c, lines, err := Review{Order: &l.o}.Adjust(evcs.Money(rapid.Int64Range(-1, 12_000).Draw(t, "discount")), "sorry", l.lines, l.now)
	if err == nil {
		l.lines = lines
	}
	return c, err
}

func (l *life) reprice(t *rapid.T) (Change, error) {
	b, lines := bills(t)
	c, err := Review{Order: &l.o}.Reprice(2, 2, b, l.now)
	if err == nil {
		l.lines = lines
	}
	return c, err
}

func (l *life) refunded() (Change, error) {
	c, err := Refunds{Order: &l.o}.Succeeded(l.due, l.now)
	if err == nil {
		l.back += l.due
	}
	return c, err
}

func TestAnOrderNeverGoesBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l := &life{now: time.Date(2026, 2, 10, 2, 0, 0, 0, time.UTC), paid: 1}
		l.o = Order{Status: Charging, StartState: Starting, Snapshot: evcs.SnapshotID(rapid.Int64Range(0, 1).Draw(t, "snapshot"))}
		does := func(f func() (Change, error)) func(*rapid.T) { return func(t *rapid.T) { l.step(t, f) } }
		t.Repeat(map[string]func(*rapid.T){
			"":        l.check,
			"confirm": does(func() (Change, error) { return Charge{Order: &l.o}.Confirm(l.now, l.now) }),
			"estimate": func(t *rapid.T) {
				b, _ := bills(t)
				Charge{Order: &l.o}.Estimate(evcs.Energy(rapid.Int64Range(0, 9).Draw(t, "energy")), 1, b)
			},
			"settle":    func(t *rapid.T) { l.step(t, func() (Change, error) { return l.settle(t) }) },
			"to pay":    does(func() (Change, error) { return l.o.ToPay(false, l.now) }),
			"release":   does(func() (Change, error) { return l.o.ToPay(true, l.now) }),
			"pay":       func(t *rapid.T) { l.step(t, func() (Change, error) { return l.pay(t) }) },
			"adjust":    func(t *rapid.T) { l.step(t, func() (Change, error) { return l.adjust(t) }) },
			"reprice":   func(t *rapid.T) { l.step(t, func() (Change, error) { return l.reprice(t) }) },
			"cancel":    does(func() (Change, error) { return l.o.Cancel("x", l.now) }),
			"no refund": does(func() (Change, error) { return Refunds{Order: &l.o}.Failed(l.now) }),
			"refunded":  does(l.refunded),
			"refund": func(t *rapid.T) {
				l.step(t, func() (Change, error) {
					amount := evcs.Money(rapid.Int64Range(-1, int64(l.o.Amount)+1).Draw(t, "refund"))
					c, err := Refunds{Order: &l.o}.Begin(amount, l.now)
					if err == nil {
						l.due = amount
					}
					return c, err
				})
			},
		})
	})
}
