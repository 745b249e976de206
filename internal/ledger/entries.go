package ledger

import (
	"fmt"
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

// Bill is what an order costs, by kind of revenue. Amounts are not negative;
// the sum is Electricity + Service + Parking + Idle − Discount.
type Bill struct {
	Electricity, Service, Parking, Idle, Discount evcs.Money
}

// Amount is what the bill asks for.
func (b Bill) Amount() evcs.Money {
	return b.Electricity + b.Service + b.Parking + b.Idle - b.Discount
}

func (b Bill) minus(o Bill) Bill {
	return Bill{b.Electricity - o.Electricity, b.Service - o.Service, b.Parking - o.Parking, b.Idle - o.Idle, b.Discount - o.Discount}
}

func (b Bill) postings() []Posting {
	return post(
		Posting{Account{Kind: Receivable}, b.Amount()},
		Posting{Account{Kind: Discount}, b.Discount},
		Posting{Account{Kind: RevenueElectricity}, -b.Electricity},
		Posting{Account{Kind: RevenueService}, -b.Service},
		Posting{Account{Kind: RevenueParking}, -b.Parking},
		Posting{Account{Kind: RevenueIdle}, -b.Idle},
	)
}

// post leaves out what moves nothing.
func post(list ...Posting) []Posting {
	kept := list[:0]
	for _, p := range list {
		if p.Amount != 0 {
			kept = append(kept, p)
		}
	}
	return kept
}

func billedKey(o evcs.OrderID) string { return fmt.Sprintf("order/%d/billed", o) }

// Billed books the bill of an order when it ends: the driver owes it. It is
// booked once per order; a later change of the bill is Rebilled or Discounted.
func Billed(t evcs.TenantID, o evcs.OrderID, at time.Time, b Bill) Entry {
	return Entry{Tenant: t, Key: billedKey(o), Kind: KindBilled, At: at, Order: o, Postings: b.postings()}
}

// Rebilled books the change of an unpaid bill (held and priced anew, or a
// discount). seq tells changes of one order apart: the version of the order.
func Rebilled(t evcs.TenantID, o evcs.OrderID, at time.Time, before, after Bill, seq int64) Entry {
	kind := KindRebilled
	if d := after.minus(before); d.Discount != 0 && d.Amount() == -d.Discount {
		kind = KindDiscounted
	}
	return Entry{
		Tenant: t, Key: fmt.Sprintf("order/%d/rebilled/%d", o, seq), Kind: kind, At: at, Order: o, Refers: billedKey(o),
		Postings: after.minus(before).postings(),
	}
}

// Waived books that the unpaid bill of a cancelled order is given up.
func Waived(t evcs.TenantID, o evcs.OrderID, at time.Time, amount evcs.Money) Entry {
	return Entry{
		Tenant: t, Key: fmt.Sprintf("order/%d/waived", o), Kind: KindWaived, At: at, Order: o, Refers: billedKey(o),
		Postings: post(Posting{Account{Kind: WriteOff}, amount}, Posting{Account{Kind: Receivable}, -amount}),
	}
}

// Money is one movement through a channel, of a payment or of a refund of it.
type Money struct {
	Tenant  evcs.TenantID
	Order   evcs.OrderID
	Payment evcs.PaymentID
	Refund  evcs.RefundID // zero for a payment
	Channel string
	Amount  evcs.Money
	At      time.Time
	Sandbox bool
	// Owed says that the payment settles its order. Money that came twice or too
	// late settles nothing: it is owed back.
	Owed bool
}

func (m Money) entry(kind Kind, key string, debit, credit Account) Entry {
	return Entry{
		Tenant: m.Tenant, Key: key, Kind: kind, At: m.At, Order: m.Order, Payment: m.Payment, Refund: m.Refund, Sandbox: m.Sandbox,
		Postings: post(Posting{debit, m.Amount}, Posting{credit, -m.Amount}),
	}
}

func (m Money) owing() Account {
	if m.Owed {
		return Account{Kind: RevenueRefunded}
	}
	return Account{Kind: Suspense}
}

// Captured books a successful payment at the channel's success time: the
// channel holds it; it settles the receivable, or, when nothing was owed,
// waits in suspense for its refund.
func Captured(m Money) Entry {
	against := Account{Kind: Receivable}
	if !m.Owed {
		against = Account{Kind: Suspense}
	}
	return m.entry(KindCaptured, fmt.Sprintf("payment/%d/captured", m.Payment), Account{Clearing, m.Channel}, against)
}

// RefundBegun books the promise to pay back; it is pending until Refunded or
// RefundFailed.
func RefundBegun(m Money) Entry {
	e := m.entry(KindRefundBegun, fmt.Sprintf("refund/%d/begun", m.Refund), m.owing(), Account{Kind: RefundPayable})
	e.Phase = Pending
	return e
}

// RefundFailed takes the promise back.
func RefundFailed(m Money) Entry {
	e := reverse(RefundBegun(m), m.At)
	e.Key, e.Kind, e.Phase = fmt.Sprintf("refund/%d/failed", m.Refund), KindRefundFailed, Void
	return e
}

// Refunded books a refund that the channel paid out, at its acceptance time.
func Refunded(m Money) Entry {
	e := m.entry(KindRefunded, fmt.Sprintf("refund/%d/done", m.Refund), Account{Kind: RefundPayable}, Account{Clearing, m.Channel})
	e.Refers = RefundBegun(m).Key
	return e
}

// reverse is the mirror of an entry: both together move nothing.
func reverse(e Entry, at time.Time) Entry {
	back := e
	back.ID, back.Key, back.Kind, back.Phase, back.Refers, back.At, back.Booked = 0, "reversed/"+e.Key, KindReversed, Posted, e.Key, at, time.Time{}
	back.Postings = make([]Posting, len(e.Postings))
	for i, p := range e.Postings {
		back.Postings[i] = Posting{p.Account, -p.Amount}
	}
	return back
}

// Fees books a change of what the channel kept on a day, by the verified
// statement of a batch; seq tells its bookings apart.
func Fees(t evcs.TenantID, channel string, batch evcs.BatchID, seq int64, at time.Time, amount evcs.Money) Entry {
	return Entry{
		Tenant: t, Key: fmt.Sprintf("recon/%d/fees/%d", batch, seq), Kind: KindFees, At: at, Memo: channel, Sandbox: channel == "sandbox",
		Postings: post(Posting{Account{Kind: Fee}, amount}, Posting{Account{Clearing, channel}, -amount}),
	}
}

// WrittenOff brings the channel's account to what the channel says about one
// row: amount is channel minus ours, a gain when positive. seq tells the
// write-offs of one difference apart.
func WrittenOff(t evcs.TenantID, channel string, d evcs.DifferenceID, seq int64, at time.Time, amount evcs.Money) Entry {
	return writeOff(t, channel, fmt.Sprintf("difference/%d/writtenoff/%d", d, seq), at, amount)
}

// WriteOffUndone takes a write-off back whose difference is there no more:
// amount is the opposite of what was written off.
func WriteOffUndone(t evcs.TenantID, channel string, d evcs.DifferenceID, seq int64, at time.Time, amount evcs.Money) Entry {
	return writeOff(t, channel, fmt.Sprintf("difference/%d/writeoffundone/%d", d, seq), at, amount)
}

func writeOff(t evcs.TenantID, channel, key string, at time.Time, amount evcs.Money) Entry {
	return Entry{
		Tenant: t, Key: key, Kind: KindWrittenOff, At: at, Memo: channel, Sandbox: channel == "sandbox",
		Postings: post(Posting{Account{Clearing, channel}, amount}, Posting{Account{Kind: WriteOff}, -amount}),
	}
}
