package charging_test

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/evcs/evcs/internal/charging"
	"github.com/evcs/evcs/internal/device"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/order"
	"github.com/evcs/evcs/internal/station"
	"github.com/evcs/evcs/internal/store"
	"github.com/evcs/evcs/internal/store/storetest"
)

// benchChargers charge at the same time: their calls share commits.
const benchChargers = 64

// park is a tenant with many chargers.
func park(b *testing.B, db *store.DB) (*yard, []device.Identity) {
	b.Helper()
	y := &yard{db: db, clock: &clock{at: began}}
	chargers := make([]device.Identity, benchChargers)
	err := db.Transact(b.Context(), func(tx *store.Tx) error {
		if err := y.build(b.Context(), tx, true); err != nil {
			return err
		}
		first, err := tx.Stations().Charger(b.Context(), evcs.Only(y.id.Tenant), y.id.Charger)
		if err != nil {
			return err
		}
		if err := tx.Stations().InsertIDTag(b.Context(), &station.IDTag{Tenant: y.id.Tenant, Tag: "CARD", Created: began, Updated: began}); err != nil {
			return err
		}
		for i := range chargers {
			c := *first
			c.Code = "C" + strconv.Itoa(i)
			c.DeviceID = c.Code
			if err := tx.Stations().InsertCharger(b.Context(), &c); err != nil {
				return err
			}
			if err := tx.Stations().InsertConnector(b.Context(), &station.Connector{
				Charger: c.ID, No: 1, Tenant: c.Tenant, Station: c.Station, Enabled: true, Updated: began,
			}); err != nil {
				return err
			}
			chargers[i] = device.Identity{Tenant: c.Tenant, Charger: c.ID, DeviceID: c.Code}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	y.restart()
	return y, chargers
}

// cpu is what this process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // fails for nobody's own process
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

var meterFrame = []byte(`[2,"1","MeterValues",{"connectorId":1,"transactionId":1,"meterValue":[` + strings.Repeat(" ", 700) + `]}]`)

// script is one charging as bench/load plays it, without the two calls that
// change nothing.
func script(b *testing.B, e *charging.Engine, id device.Identity, at time.Time) error {
	b.Helper()
	ctx := b.Context()
	from := func(kind string, raw []byte) device.From {
		return device.From{Identity: id, Protocol: device.OCPP16, Received: at, Type: kind, MessageID: "1", Raw: raw}
	}
	small := []byte(`[2,"1","StatusNotification",{"connectorId":1,"errorCode":"NoError","status":"Preparing","timestamp":"2026-02-10T02:00:00.000Z"}]`)
	plugged := true
	if err := e.StatusReported(ctx, device.Status{From: from("StatusNotification", small), Connector: 1, State: device.Idle, Plugged: &plugged, At: at}); err != nil {
		return err
	}
	register := evcs.Energy(1_000_000)
	start, err := e.Started(ctx, device.Started{
		From: from("StartTransaction", small), Connector: 1, Key: "1|CARD|" + strconv.FormatInt(at.UnixMilli(), 10), IDTag: "CARD", Register: &register, At: at,
	})
	if err != nil {
		return err
	}
	for i := range 5 {
		at = at.Add(time.Millisecond)
		sample := evcs.Sample{
			At: at, Have: evcs.HasRegister | evcs.HasPower | evcs.HasVoltage | evcs.HasCurrent | evcs.HasSoC, Register: register + evcs.Energy(10*i),
			Power: 7040, Voltage: 230_100, Current: 30_610, SoC: 54_000,
		}
		m := device.Metered{From: from("MeterValues", meterFrame), Connector: 1, Transaction: start.Transaction, Samples: []evcs.Sample{sample}}
		if a, err := e.Metered(ctx, m); err != nil || a.Accepted != 1 {
			return fmt.Errorf("%+v: %w", a, err)
		}
	}
	register += 100
	_, err = e.Stopped(ctx, device.Stopped{
		From: from("StopTransaction", small), Connector: 1, Transaction: start.Transaction, IDTag: "CARD", Register: &register, At: at, Reason: order.StopLocal,
	})
	return err
}

// BenchmarkSessionRows is one charging of ten calls: rows changed and
// statements run for it, and what it allocates.
func BenchmarkSessionRows(b *testing.B) {
	db := storetest.SQLite(b)
	y, chargers := park(b, db)
	for _, id := range chargers { // what is remembered from the first on
		if err := script(b, y.engine, id, began.Add(-time.Minute)); err != nil {
			b.Fatal(err)
		}
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	spent := cpu()
	before := db.Measure(b.Context())
	b.ReportAllocs()
	b.ResetTimer()
	for _, id := range chargers {
		wg.Go(func() {
			for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
				if err := script(b, y.engine, id, began.Add(time.Duration(n)*time.Second)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	after := db.Measure(b.Context())
	b.ReportMetric(float64((cpu()-spent).Microseconds())/float64(b.N), "cpu-µs/op")
	each := func(what string, n int64) { b.ReportMetric(float64(n)/float64(b.N), what+"/op") }
	each("rows", after.Changed-before.Changed)
	each("stmts", after.Statements-before.Statements)
	each("commits", after.Commits-before.Commits)
}
