package charging_test

import (
	"strings"
	"testing"
	"time"

	"github.com/evcs/evcs/internal/alarm"
	"github.com/evcs/evcs/internal/device"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/order"
	"github.com/evcs/evcs/internal/station"
)

func (y *yard) status(connector int, state device.Status) {
	y.t.Helper()
	state.From, state.Connector = y.from("StatusNotification"), connector
	if err := y.engine.StatusReported(y.t.Context(), state); err != nil {
		y.t.Fatal(err)
	}
}

func (y *yard) round(d time.Duration) {
	y.t.Helper()
	y.clock.add(d)
	if err := y.engine.Round(y.t.Context()); err != nil {
		y.t.Fatal(err)
	}
}

func TestFaultsRaiseAndCure(t *testing.T) {
	each(t, func(y *yard) {
		target := alarm.OfCharger(y.id.Charger)
		y.connect(nil)
		y.status(1, device.Status{State: device.Fault, FaultCode: "GroundFailure"})
		y.status(2, device.Status{State: device.Fault, FaultCode: "GroundFailure"})
		if a := y.alert(alarm.ChargerFault, target); a == nil || a.Status != alarm.Active {
			y.t.Fatalf("%+v", a)
		}
		y.status(1, device.Status{State: device.Idle})
		if y.alert(alarm.ChargerFault, target) == nil {
			y.t.Error("cured while the other connector is in fault")
		}
		y.restart()
		y.status(2, device.Status{State: device.Idle})
		if y.alert(alarm.ChargerFault, target) != nil {
			y.t.Error("the fault ended, the alert did not")
		}
		y.status(0, device.Status{State: device.Fault, FaultCode: "PowerMeterFailure"})
		if y.alert(alarm.ChargerFault, target) == nil {
			y.t.Error("a fault of the charger itself raises nothing")
		}
		y.status(0, device.Status{State: device.Idle})
		if y.alert(alarm.ChargerFault, target) != nil {
			y.t.Error("the charger's fault ended, the alert did not")
		}
	})
}

func TestOfflineRaisesAndCures(t *testing.T) {
	each(t, func(y *yard) {
		target := alarm.OfCharger(y.id.Charger)
		s := y.connect(nil)
		y.start("k", began, energy(1))
		y.disconnect(s)
		y.engine.Invalidate(0) // its events came back from the broker
		y.round(59 * time.Second)
		if y.alert(alarm.ChargerOffline, target) != nil {
			y.t.Error("too early")
		}
		y.round(2 * time.Second)
		if a := y.alert(alarm.ChargerOffline, target); a == nil || a.Severity != alarm.High {
			y.t.Errorf("offline with a session: %+v", a)
		}
		y.connect(nil)
		if y.alert(alarm.ChargerOffline, target) != nil {
			y.t.Error("heard again, the alert is open")
		}
	})
}

func TestOfflineWithoutASessionIsLess(t *testing.T) {
	each(t, func(y *yard) {
		target := alarm.OfCharger(y.id.Charger)
		y.disconnect(y.connect(nil))
		y.round(61 * time.Second)
		a := y.alert(alarm.ChargerOffline, target)
		if a == nil || a.Severity != alarm.Medium || a.Charger != y.id.Charger {
			y.t.Fatalf("%+v", a)
		}
		y.round(time.Hour)
		if again := y.alert(alarm.ChargerOffline, target); again == nil || again.ID != a.ID || again.Occurrences != 1 {
			y.t.Errorf("an hour later: %+v", again)
		}
	})
}

func TestTwoAddressesInTurnAreFlapping(t *testing.T) {
	each(t, func(y *yard) {
		target := alarm.OfCharger(y.id.Charger)
		for i, host := range []string{"192.0.2.1:9", "192.0.2.1:8", "192.0.2.2:9", "192.0.2.1:9"} {
			if y.alert(alarm.DeviceFlapping, target) != nil {
				y.t.Fatalf("raised after %d connections", i)
			}
			y.join(&socket{id: y.id, host: host})
			y.clock.add(10 * time.Second)
		}
		if a := y.alert(alarm.DeviceFlapping, target); a == nil || !strings.Contains(a.Message, "192.0.2.2, 192.0.2.1") {
			y.t.Errorf("%+v", a)
		}
	})
}

func TestFlappingRaisesAndCures(t *testing.T) {
	each(t, func(y *yard) {
		target := alarm.OfCharger(y.id.Charger)
		for range 6 {
			y.connect(nil)
			y.clock.add(40 * time.Second)
		}
		if y.alert(alarm.DeviceFlapping, target) != nil {
			y.t.Error("five reconnects are no flapping")
		}
		y.connect(nil)
		if a := y.alert(alarm.DeviceFlapping, target); a == nil || a.Severity != alarm.High {
			y.t.Errorf("%+v", a)
		}
		y.round(4 * time.Minute)
		if y.alert(alarm.DeviceFlapping, target) == nil {
			y.t.Error("cured too early")
		}
		y.round(4 * time.Minute)
		if y.alert(alarm.DeviceFlapping, target) != nil {
			y.t.Error("calm, the alert is open")
		}
	})
}

func TestOrphansAndAbsurdEnergyAreCured(t *testing.T) {
	each(t, func(y *yard) {
		y.clock.add(2 * time.Hour)
		m := device.Stopped{Connector: 1, Transaction: -1, Register: energy(20), At: began.Add(time.Hour)}
		orphan := y.session(y.stop(m).Session)
		target := alarm.OfNumber("SESSION", orphan.ID)
		if y.alert(alarm.OrphanSession, target) == nil {
			y.t.Fatal("an orphan raises nothing")
		}
		y.start("k", began, energy(10)) // its start
		if y.alert(alarm.OrphanSession, target) != nil {
			y.t.Error("the orphan has its order, the alert is open")
		}

		a := y.start("k2", y.clock.Now(), energy(0))
		y.stop(device.Stopped{Transaction: a.Transaction, Register: energy(8000), At: y.clock.Now()})
		o := y.order(a.Session)
		target = alarm.OfNumber("ORDER", int64(o.ID))
		if y.alert(alarm.EnergyImplausible, target) == nil {
			y.t.Fatal("8 MWh raise nothing")
		}
		if _, err := y.engine.CancelOrder(y.t.Context(), y.actor, o, "a broken meter"); err != nil {
			y.t.Fatal(err)
		}
		if y.alert(alarm.EnergyImplausible, target) != nil {
			y.t.Error("waived, the alert is open")
		}
		if o = y.order(a.Session); o.Status != order.Cancelled {
			y.t.Errorf("%+v", o)
		}
	})
}

func TestHeardBringsAForgottenChargerBack(t *testing.T) {
	each(t, func(y *yard) {
		s := y.connect(nil)
		y.disconnect(s)
		y.round(6 * time.Minute)
		y.round(2 * time.Minute) // and forgotten
		y.status(1, device.Status{State: device.Idle})
		c, err := y.db.Reader().Stations().Charger(y.t.Context(), evcs.Only(y.id.Tenant), y.id.Charger)
		if err != nil || c.Status == station.Offline {
			y.t.Errorf("%+v %v", c, err)
		}
	})
}
