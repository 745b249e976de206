package charging_test

import (
	"testing"
	"time"

	"github.com/evcs/evcs/internal/charging"
	"github.com/evcs/evcs/internal/device"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/order"
	"github.com/evcs/evcs/internal/store"
	"github.com/evcs/evcs/internal/store/storetest"
)

func (y *yard) claim(o *order.Order) *order.Claim {
	y.t.Helper()
	c, err := y.db.Reader().Orders().Claim(y.t.Context(), evcs.Only(o.Tenant), o.ID)
	if err != nil {
		y.t.Fatal(err)
	}
	return c
}

func says(fen evcs.Money) *evcs.ChargerBill { return &evcs.ChargerBill{Amount: &fen} }

// charge is a session of 20 kWh, 30.00 yuan, that the caller has to end.
func (y *yard) charge(key string) (device.StartAnswer, device.Stopped) {
	y.t.Helper()
	begin := y.clock.Now()
	a := y.start(key, begin, energy(100))
	y.clock.add(30 * time.Minute)
	y.meter(a.Transaction, register(y.clock.Now(), 110))
	y.clock.add(30 * time.Minute)
	return a, device.Stopped{Transaction: a.Transaction, Register: energy(120), At: y.clock.Now(), Reason: order.StopLocal}
}

// TestChargersOwnBill: what a charger says of its bill is kept once, with the
// stop, and compared; it never changes what is owed.
func TestChargersOwnBill(t *testing.T) {
	each(t, func(y *yard) {
		for name, c := range map[string]struct {
			bill   *evcs.ChargerBill
			energy *evcs.Energy // declared beside the register
			marks  string
			kept   bool
		}{
			"silent":           {nil, nil, "GAP", false},
			"equal":            {says(3000), nil, "GAP", true},
			"a cent":           {says(2999), nil, "GAP", true},
			"two cents":        {says(2998), nil, "GAP,DEVICE_BILL_DIFF", true},
			"other energy":     {nil, energy(21), "GAP,RECORD_MISMATCH", true},
			"both":             {says(3150), energy(21), "GAP,RECORD_MISMATCH,DEVICE_BILL_DIFF", true},
			"its own periods":  {&evcs.ChargerBill{Amount: says(3000).Amount, Periods: []evcs.ChargerPeriod{{Kind: "PEAK", Energy: *energy(20), Amount: 3000}}}, nil, "GAP,DEVICE_BILL_DIFF", true},
			"energy in a bill": {&evcs.ChargerBill{Energy: energy(25), Amount: says(3000).Amount}, nil, "GAP,RECORD_MISMATCH", true},
		} {
			a, stop := y.charge(name)
			stop.Bill, stop.Energy = c.bill, c.energy
			first := y.stop(stop)
			if again := y.stop(stop); again != first {
				y.t.Errorf("%s: the repeat says %+v, not %+v", name, again, first)
			}
			o, x := y.order(a.Session), y.session(a.Session)
			if o.Amount != 3000 || o.Status != order.ToPay || o.Anomalies.String() != c.marks || x.Anomalies.String() != c.marks {
				y.t.Errorf("%s: %s, status %d, %s, session %s", name, o.Amount, o.Status, o.Anomalies, x.Anomalies)
			}
			claim := y.claim(o)
			if (claim != nil) != c.kept {
				y.t.Fatalf("%s: kept %+v", name, claim)
			}
			if c.bill != nil && (x.DeviceAmount == nil || *x.DeviceAmount != *c.bill.Amount || *claim.Bill.Amount != *c.bill.Amount || len(claim.Bill.Periods) != len(c.bill.Periods)) {
				y.t.Errorf("%s: the session has %v, kept %+v", name, x.DeviceAmount, claim)
			}
			if c.kept && (claim.Bill.Energy == nil || !claim.Received.Equal(y.clock.Now()) || claim.Charger != o.Charger) {
				y.t.Errorf("%s: kept %+v", name, claim)
			}
			if foreign, err := y.db.Reader().Orders().Claim(y.t.Context(), evcs.Only(o.Tenant+1), o.ID); err != nil || foreign != nil {
				y.t.Errorf("%s: a stranger reads %+v, %v", name, foreign, err)
			}
		}
	})
}

// TestChargersFirstWordCounts: a bill that comes late is kept with its moment, a
// second one with another amount is a late stop, and neither moves money.
func TestChargersFirstWordCounts(t *testing.T) {
	each(t, func(y *yard) {
		a, stop := y.charge("late")
		y.stop(stop)
		ended := y.clock.Now()
		y.clock.add(48 * time.Hour)
		y.restart()
		stop.Bill = says(2900)
		for range 3 {
			if got := y.stop(stop); got.Amount != 3000 || got.Orphan {
				y.t.Errorf("%+v", got)
			}
		}
		o := y.order(a.Session)
		claim := y.claim(o)
		if o.Anomalies.String() != "GAP,DEVICE_BILL_DIFF" || claim == nil || *claim.Bill.Amount != 2900 || !claim.Received.Equal(ended.Add(48*time.Hour)) {
			y.t.Fatalf("%s, kept %+v", o.Anomalies, claim)
		}
		version := o.Version
		y.stop(stop)
		stop.Bill = says(3000)
		y.stop(stop)
		y.stop(stop)
		o = y.order(a.Session)
		if claim = y.claim(o); *claim.Bill.Amount != 2900 || o.Anomalies.String() != "GAP,DEVICE_BILL_DIFF,LATE_STOP" || o.Amount != 3000 || o.Version != version+1 {
			y.t.Errorf("after another amount: %s %s, version %d after %d, kept %+v", o.Anomalies, o.Amount, o.Version, version, claim)
		}
	})
}

// TestLateRecordOfAClosedSession: a session that an operator closed by its last
// reading hears of the charger's own energy later.
func TestLateRecordOfAClosedSession(t *testing.T) {
	each(t, func(y *yard) {
		a, stop := y.charge("closed")
		if _, err := y.engine.Close(y.t.Context(), y.actor, y.session(a.Session), charging.Closing{Reason: "gone"}); err != nil {
			y.t.Fatal(err)
		}
		if o := y.order(a.Session); o.Amount != 1500 || y.claim(o) != nil {
			y.t.Fatalf("closed at %s, kept %+v", o.Amount, y.claim(o))
		}
		stop.Bill = says(3000)
		y.stop(stop)
		o := y.order(a.Session)
		claim := y.claim(o)
		if o.Amount != 1500 || !o.Anomalies.Has(order.LateStop) || !o.Anomalies.Has(order.RecordMismatch) || !o.Anomalies.Has(order.DeviceBillDiff) ||
			claim == nil || *claim.Bill.Energy != *energy(20) || *claim.Bill.Amount != 3000 {
			y.t.Errorf("%s %s, kept %+v", o.Amount, o.Anomalies, claim)
		}
	})
}

// TestChargersBillWithoutATariff: what nobody has priced is not off; priced, it is
// compared.
func TestChargersBillWithoutATariff(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		y := newYard(t, db, false)
		a, stop := y.charge("none")
		stop.Bill = says(2000)
		y.stop(stop)
		o := y.order(a.Session)
		if o.Anomalies.String() != "NO_TARIFF,GAP" || y.claim(o) == nil {
			t.Fatalf("%s, kept %+v", o.Anomalies, y.claim(o))
		}
		y.write(func(tx *store.Tx) error { return y.makePlan(t.Context(), tx) })
		if _, err := y.engine.Reprice(t.Context(), y.actor, o, y.plan, "priced", false); err != nil {
			t.Fatal(err)
		}
		if o = y.order(a.Session); !o.Anomalies.Has(order.DeviceBillDiff) {
			t.Errorf("priced at %s beside 20.00: %s", o.Amount, o.Anomalies)
		}
	})
}

// TestChargersBillOfAnOrphan waits for the order that a person makes.
func TestChargersBillOfAnOrphan(t *testing.T) {
	each(t, func(y *yard) {
		got := y.stop(device.Stopped{Connector: 1, Session: "GHOST", Energy: energy(4), Duration: time.Hour, At: y.clock.Now(), Bill: says(100)})
		if !got.Orphan {
			y.t.Fatalf("%+v", got)
		}
		if _, err := y.engine.Adopt(y.t.Context(), y.actor, y.session(got.Session), charging.Adoption{Reason: "ours"}); err != nil {
			y.t.Fatal(err)
		}
		o := y.order(got.Session)
		if c := y.claim(o); c == nil || *c.Bill.Amount != 100 || !o.Anomalies.Has(order.DeviceBillDiff) || o.Amount != 600 {
			y.t.Errorf("%s %s, kept %+v", o.Amount, o.Anomalies, c)
		}
	})
}
