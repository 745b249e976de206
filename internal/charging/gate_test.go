package charging_test

import (
	"context"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/evcs/evcs/internal/alarm"
	"github.com/evcs/evcs/internal/charging"
	"github.com/evcs/evcs/internal/device"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/station"
	"github.com/evcs/evcs/internal/store"
	"github.com/evcs/evcs/internal/tenant"
)

// plainly opens what was never sealed.
type plainly struct{}

func (plainly) Open(sealed string) ([]byte, error) { return []byte(sealed), nil }

func (y *yard) gate() *charging.Gate {
	r := y.db.Reader()
	return &charging.Gate{
		Chargers: r.Stations(), Tenants: r.Tenants(), Sealer: plainly{}, Clock: y.clock, Log: slog.New(slog.DiscardHandler), Refusal: y.db.Rolls(),
		Alarm: func(ctx context.Context, fn func(charging.Tx) error) error {
			return y.db.Transact(ctx, func(tx *store.Tx) error { return fn(tx) })
		},
	}
}

// write changes the store as another part of the daemon would.
func (y *yard) write(f func(*store.Tx) error) {
	y.t.Helper()
	if err := y.db.Transact(y.t.Context(), f); err != nil {
		y.t.Fatal(err)
	}
	y.engine.Invalidate(0)
}

func (y *yard) changeTenant(f func(*tenant.Tenant)) {
	y.t.Helper()
	y.write(func(tx *store.Tx) error {
		t, err := tx.Tenants().Tenant(y.t.Context(), evcs.Only(y.id.Tenant), y.id.Tenant)
		if err != nil {
			return err
		}
		f(t)
		return tx.Tenants().Update(y.t.Context(), t)
	})
}

func (y *yard) changeCharger(f func(*station.Charger)) {
	y.t.Helper()
	y.write(func(tx *store.Tx) error {
		c, err := tx.Stations().Charger(y.t.Context(), evcs.Only(y.id.Tenant), y.id.Charger)
		if err != nil {
			return err
		}
		f(c)
		return tx.Stations().UpdateCharger(y.t.Context(), evcs.Only(y.id.Tenant), c)
	})
}

func (y *yard) changeKey(f func(*station.Credential)) {
	y.t.Helper()
	y.write(func(tx *store.Tx) error {
		c, err := tx.Stations().Credential(y.t.Context(), evcs.Only(y.id.Tenant), y.id.Charger)
		if err != nil {
			return err
		}
		c.Tenant = y.id.Tenant
		f(c)
		return tx.Stations().PutCredential(y.t.Context(), evcs.Only(y.id.Tenant), c)
	})
}

// alert is the open alert of a rule, nil when there is none.
func (y *yard) alert(rule alarm.Rule, target alarm.Target) *alarm.Alert {
	y.t.Helper()
	a, err := y.db.Reader().Alarms().OpenAlert(y.t.Context(), evcs.Only(y.id.Tenant), rule, target)
	if err != nil && code(err) != evcs.CodeAlertNotFound {
		y.t.Fatal(err)
	}
	return a
}

func showing(secret string) device.Credential {
	return device.Credential{
		DeviceID: "C", Protocol: device.OCPP16, Address: netip.MustParseAddr("192.0.2.7"),
		Verify: func(s string) bool { return s == secret },
	}
}

func TestGateAdmits(t *testing.T) {
	each(t, func(y *yard) {
		g := y.gate()
		want := func(why string, c device.Credential, code2 evcs.Code) {
			y.t.Helper()
			id, err := g.Admit(y.t.Context(), c)
			if code(err) != code2 || err == nil && (id.Charger != y.id.Charger || id.Tenant != y.id.Tenant || id.Zone == nil || id.Heartbeat <= 0) {
				y.t.Errorf("%s: %+v %v, want %v", why, id, err, code2)
			}
		}
		nobody := showing("new")
		nobody.DeviceID = "X"
		want("unknown", nobody, evcs.CodeDeviceUnknown)
		want("no secret was made", showing(""), evcs.CodeDeviceAuthFailed)
		y.changeKey(func(c *station.Credential) {
			c.Secret, c.Previous, c.PreviousUntil = "new", "old", y.clock.Now().Add(time.Hour)
		})
		want("good", showing("new"), 0)
		want("wrong", showing("bad"), evcs.CodeDeviceAuthFailed)
		want("in grace", showing("old"), 0)
		y.clock.add(time.Hour)
		want("after grace", showing("old"), evcs.CodeDeviceAuthFailed)
		other := showing("new")
		other.Protocol = device.CloudCharge
		want("another protocol", other, evcs.CodeDeviceAuthFailed)

		bare := showing("")
		bare.Verify = nil
		want("nothing shown", bare, evcs.CodeDeviceAuthFailed)
		y.changeKey(func(c *station.Credential) { c.SecurityProfile = 0 })
		want("profile 0 without addresses", bare, evcs.CodeDeviceAuthFailed)
		y.changeKey(func(c *station.Credential) { c.AllowCIDR = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} })
		want("profile 0 from an allowed address", bare, 0)
		bare.Address = netip.MustParseAddr("198.51.100.1")
		want("profile 0 from elsewhere", bare, evcs.CodeDeviceAuthFailed)
		y.changeKey(func(c *station.Credential) { c.SecurityProfile, c.AllowCIDR = 2, nil })
		want("profile 2 without TLS", showing("new"), evcs.CodeDeviceAuthFailed)
		y.changeKey(func(c *station.Credential) { c.SecurityProfile = 1 })

		settling := showing("new")
		settling.Settling = true
		y.changeCharger(func(c *station.Charger) { c.Enabled = false })
		want("disabled", showing("new"), evcs.CodeChargerDisabled)
		want("disabled, to tell what happened", settling, 0)
		want("disabled and wrong", showing("bad"), evcs.CodeDeviceAuthFailed)
		y.changeCharger(func(c *station.Charger) { c.Enabled = true })
		y.changeTenant(func(t *tenant.Tenant) { t.Enabled = false })
		want("blocked tenant", showing("new"), evcs.CodeTenantDisabled)
		want("blocked tenant, to tell what happened", settling, 0)
	})
}

func TestGuessedSecretsRaiseAnAlert(t *testing.T) {
	each(t, func(y *yard) {
		g := y.gate()
		target := alarm.Target{Type: "DEVICE", ID: "C"}
		refuse := func(id, reason string, n int) {
			for range n {
				g.Refused(y.t.Context(), device.Refusal{DeviceID: id, Protocol: device.OCPP16, Address: "192.0.2.7:1", Reason: reason, At: y.clock.Now()})
			}
		}
		refuse("stranger", "UNKNOWN_ID", 9)
		refuse("C", "MISSING_SUBPROTOCOL", 9)
		refuse("C", "BAD_CREDENTIAL", 5)
		if y.alert(alarm.DeviceAuthFailure, target) != nil {
			y.t.Error("five raise nothing")
		}
		y.clock.add(6 * time.Minute)
		refuse("C", "BAD_CREDENTIAL", 5)
		if y.alert(alarm.DeviceAuthFailure, target) != nil {
			y.t.Error("old ones count")
		}
		refuse("C", "BAD_CREDENTIAL", 1)
		if a := y.alert(alarm.DeviceAuthFailure, target); a == nil || a.Severity != alarm.High || a.Charger != y.id.Charger {
			y.t.Errorf("%+v", a)
		}
		scope := evcs.Only(y.id.Tenant)
		p, err := y.db.Reader().Rejections().RejectionPage(y.t.Context(), scope, false, "C", 0, 0, evcs.PageRequest{Page: 1, Size: 10})
		if err != nil || p.Total != 2 {
			y.t.Errorf("%d refusals listed, %v", p.Total, err)
		}
	})
}
