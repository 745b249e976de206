package main

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/chargersim/journal"
)

// compareGate holds everything that the gateway did against our payments and
// refunds, and the other way round.
func (v *verifier) compareGate(context.Context) error {
	v.s.Channels = map[string]int{}
	for _, p := range v.till.pays {
		v.s.Channels[p.Channel]++
	}
	if v.gate == nil {
		return nil
	}
	theirs, back := map[string]int64{}, map[string]int64{}
	for _, t := range v.gate.trades() {
		amount, err := fenOfYuan(t.Amount)
		if err != nil {
			return err
		}
		p, known := v.payments[t.TradeNo]
		v.check(known && p.Channel == string(t.Channel), unknown, "%s has trade %s of %s (%s), evcsd does not know it", t.Channel, t.TradeNo, t.Amount, t.State)
		if t.Paid == nil {
			continue
		}
		theirs[t.TradeNo] = amount
		v.check(!known || settled(p.Status) && int64(p.Amount) == amount, lostPayment, "%s took %s for %s, evcsd says %s of %s", t.Channel, t.Amount, t.TradeNo, p.StatusName, p.Amount)
		sum := int64(0)
		for _, r := range t.Refunds {
			part, err := fenOfYuan(r.Amount)
			if err != nil {
				return err
			}
			sum += part
			back[r.RefundNo] = part
			ours, known := v.refunds[r.RefundNo]
			v.check(known, unknown, "%s gave %s back as %s, evcsd does not know it", t.Channel, r.Amount, r.RefundNo)
			v.check(!known || ours.TradeNo == t.TradeNo && ours.RefundStatus == api.RefundSuccess && int64(ours.RefundAmount) == part, lostRefund,
				"%s gave %s of %s back as %s, evcsd says %s of %s, %s", t.Channel, r.Amount, t.TradeNo, r.RefundNo, ours.RefundAmount, ours.TradeNo, ours.StatusName)
		}
		v.check(sum <= amount, doubled, "%s gave %s back of %s, which was %s", t.Channel, api.Money(sum), t.TradeNo, t.Amount)
		v.check(!known || int64(p.RefundedAmount) == sum, wrongMoney, "%s gave %s back of %s, evcsd says %s", t.Channel, api.Money(sum), t.TradeNo, p.RefundedAmount)
	}
	v.onlyOurs(theirs, back)
	return nil
}

// onlyOurs looks for what evcsd says was done at the gateway and was not.
func (v *verifier) onlyOurs(theirs, back map[string]int64) {
	for no, p := range v.payments {
		if slices.Contains(channels(), p.Channel) && settled(p.Status) {
			_, there := theirs[no]
			v.check(there, invented, "payment %s of %s was never made at %s", no, p.Amount, p.Channel)
		}
	}
	for no, r := range v.refunds {
		if slices.Contains(channels(), v.payments[r.TradeNo].Channel) {
			_, there := back[no]
			v.check(there, invented, "refund %s of %s was never made", no, r.RefundAmount)
		}
	}
}

// notices looks for every notification that was answered with success: it is
// kept, once.
func (v *verifier) notices(ctx context.Context, db *sql.DB) error {
	if v.gate == nil {
		return nil
	}
	kept := map[string]int{}
	rows, err := db.QueryContext(ctx, `SELECT channel, event_id FROM callbacks`)
	if err != nil {
		return fmt.Errorf("read the notifications: %w", err)
	}
	defer rows.Close() // Err tells
	for rows.Next() {
		var channel, event string
		if err := rows.Scan(&channel, &event); err != nil {
			return fmt.Errorf("read the notifications: %w", err)
		}
		kept[channel+" "+event]++
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read the notifications: %w", err)
	}
	v.gate.mu.Lock()
	defer v.gate.mu.Unlock()
	v.s.Notices, v.s.Repeated = len(v.gate.answered), v.gate.repeated
	for event, n := range v.gate.answered {
		v.check(kept[event] > 0, lostNotice, "notification %s of %s%s was answered with success and is not kept", event, n.trade, n.refund)
		v.check(kept[event] < 2, doubled, "notification %s of %s%s is kept %d times", event, n.trade, n.refund, kept[event])
	}
	return nil
}

// toldBill is a charger's own bill of an order, as it was acknowledged.
type toldBill struct {
	session string
	order   int64
	amount  int64 // fen
}

// maxPeriods is how many kinds of period the plan of the site has: a charger may
// be off by a fen in each.
const maxPeriods = 4

// told notes the charger's own bill of a session, and looks for its mark.
func (v *verifier) told(want journal.Session, got api.Session) {
	if want.Stop.Bill == 0 || got.OrderID == nil {
		return
	}
	v.bills = append(v.bills, toldBill{want.Local, *got.OrderID, want.Stop.Bill})
	o, there := v.orders[*got.OrderID]
	if !there {
		return
	}
	off := max(want.Stop.Bill-int64(o.Amount), int64(o.Amount)-want.Stop.Bill)
	marked := slices.Contains(o.Anomalies, "DEVICE_BILL_DIFF")
	v.check(off <= maxPeriods || marked, lostBill, "%s: the charger says %s, order %s bills %s and is not marked", want.Local, api.Money(want.Stop.Bill), o.OrderNo, o.Amount)
	v.check(off > 0 || !marked, wrongMoney, "%s: the charger says %s like order %s, which is marked", want.Local, api.Money(want.Stop.Bill), o.OrderNo)
	if marked {
		v.s.BillsOff++
	}
}

// compareBills holds the chargers' leg of the reconciled days against the bills
// that chargers have told: of every order paid in those days, one.
func (v *verifier) compareBills(ctx context.Context) error {
	v.s.Bills = len(v.bills)
	shown := map[int64]int{} // differences by order
	err := all(ctx, v.clerks.maker, "/api/reconciliation/difference", "", func(d api.Difference) {
		if slices.Contains(d.Facets, ofCharger) && d.State != api.DifferenceSuperseded && d.OrderID != nil {
			shown[*d.OrderID]++
		}
	})
	if err != nil {
		return err
	}
	var want, got int64
	for _, b := range v.bills {
		// What was paid yesterday at the gateway has its bill since today: in no day
		// that can be reconciled yet.
		inDay := v.till.pays[b.order].Channel == sandbox
		n := 0
		if inDay {
			want++
		}
		if inDay && slices.Contains(v.orders[b.order].Anomalies, "DEVICE_BILL_DIFF") {
			n = 1
		}
		v.check(shown[b.order] >= n, lostBill, "%s: the charger's bill differs and is no difference of the day", b.session)
		v.check(shown[b.order] <= n, doubled, "%s: the charger's bill has %d differences, right are %d", b.session, shown[b.order], n)
	}
	for _, r := range v.clerks.days {
		if r.Chargers != nil {
			got += r.Chargers.TotalCount
		}
	}
	v.check(got == want, wrongDay, "the days have %d bills of chargers, %d were told", got, want)
	return nil
}

// keptBills looks for every acknowledged bill of a charger, exactly once.
func (v *verifier) keptBills(ctx context.Context, db *sql.DB) error {
	rows, err := db.QueryContext(ctx, `SELECT order_id, amount FROM charger_bills WHERE amount IS NOT NULL`)
	if err != nil {
		return fmt.Errorf("read the chargers' bills: %w", err)
	}
	defer rows.Close() // Err tells
	kept := map[int64][]int64{}
	for rows.Next() {
		var order, amount int64
		if err := rows.Scan(&order, &amount); err != nil {
			return fmt.Errorf("read the chargers' bills: %w", err)
		}
		kept[order] = append(kept[order], amount)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read the chargers' bills: %w", err)
	}
	for _, b := range v.bills {
		list := kept[b.order]
		delete(kept, b.order)
		v.check(len(list) > 0, lostBill, "%s: the acknowledged bill of %s is lost", b.session, api.Money(b.amount))
		v.check(len(list) < 2, doubled, "%s: the charger's bill is kept %d times", b.session, len(list))
		v.check(len(list) == 0 || list[0] == b.amount, wrongMoney, "%s: the charger said %s, kept are %d fen", b.session, api.Money(b.amount), list)
	}
	for order, list := range kept {
		v.check(false, invented, "order %d has bills of its charger of %d fen that no charger told", order, list)
	}
	return nil
}
