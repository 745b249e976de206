package station_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/station"
)

var (
	noon = time.Date(2026, 2, 10, 12, 0, 0, 0, time.UTC)
	six  = []station.Status{station.Offline, station.Idle, station.Charging, station.Fault, station.Maintenance, station.Reserved}
)

func ptr[T any](v T) *T { return &v }

// in is a heard connector in a state, as reports and writes make it.
func in(s station.Status) *station.Connector {
	k := &station.Connector{Charger: 10001, No: 1, Reported: station.Idle, Version: 1}
	switch s {
	case station.Offline:
		k.Refresh(false)
		return k
	case station.Idle:
	case station.Charging:
		k.SessionID = 7
	case station.Fault:
		k.TakeReport(station.Report{Status: station.Fault, FaultCode: "E1", Detail: "hot"}, noon)
	case station.Maintenance:
		k.Hold = station.HoldMaintenance
	case station.Reserved:
		k.Hold = station.HoldReserved
	}
	k.Refresh(true)
	return k
}

// A device may report anything from anywhere; holds, sessions and latched
// faults stay above what it says.
func TestEveryReportFromEveryState(t *testing.T) {
	t.Parallel()
	want := map[station.Status][6]station.Status{ // by what is reported, 0 to 5
		station.Offline:     {0, 1, 2, 3, 4, 5},
		station.Idle:        {0, 1, 2, 3, 4, 5},
		station.Charging:    {2, 2, 2, 3, 2, 2}, // the session is not ended by a status
		station.Fault:       {0, 1, 2, 3, 4, 5},
		station.Maintenance: {4, 4, 4, 3, 4, 4},
		station.Reserved:    {5, 5, 5, 3, 5, 5},
	}
	for _, from := range six {
		for _, reported := range six {
			k := in(from)
			if k.Status != from {
				t.Fatalf("state %d was made as %d", from, k.Status)
			}
			k.TakeReport(station.Report{Status: reported}, noon)
			if k.Status != want[from][reported] || k.Reported != reported {
				t.Errorf("%d, reported %d: %d, want %d", from, reported, k.Status, want[from][reported])
			}
			if (from == station.Charging) != (k.SessionID != 0) {
				t.Errorf("%d, reported %d: session %d", from, reported, k.SessionID)
			}
		}
	}
}

func TestEveryWriteFromEveryState(t *testing.T) {
	t.Parallel()
	allowed := map[station.Status][]station.Status{
		station.Offline:     {0, 1, 3, 4, 5},
		station.Idle:        {0, 1, 3, 4, 5},
		station.Charging:    {},
		station.Fault:       {0, 1, 3, 4},
		station.Maintenance: {0, 1, 3, 4},
		station.Reserved:    {0, 1, 3, 4, 5},
	}
	for _, from := range six {
		for _, to := range six {
			c := &station.Charger{ID: 10001, Status: from}
			err := c.MayWrite(to, "")
			if may := slices.Contains(allowed[from], to); may != (err == nil) {
				t.Errorf("%d to %d: %v", from, to, err)
			}
			if err != nil {
				code, facts, _ := evcs.Classify(err)
				want := map[string]any{"chargerId": evcs.ChargerID(10001), "currentStatus": int(from), "orderId": nil}
				if diff := cmp.Diff(want, facts); code != evcs.CodeChargerState || diff != "" {
					t.Errorf("%d to %d: %v %s", from, to, code, diff)
				}
				continue
			}
			if from == to || from == station.Charging {
				continue
			}
			k := in(from)
			k.Write(to, noon)
			if k.Status != to {
				t.Errorf("%d, written %d: %d", from, to, k.Status)
			}
		}
	}
}

func TestARunningOrderForbidsEveryWrite(t *testing.T) {
	t.Parallel()
	for _, from := range six { // offline with an open session too
		for _, to := range six {
			err := (&station.Charger{ID: 10001, Status: from}).MayWrite(to, "ORD-1")
			_, facts, detail := evcs.Classify(err)
			if !errors.Is(err, station.ErrChargerState) || facts["orderId"] != "ORD-1" || detail != station.BusyCharging {
				t.Errorf("%d to %d: %v %v", from, to, facts, detail)
			}
		}
	}
}

func TestWriteLeavesARunningSessionAlone(t *testing.T) {
	t.Parallel()
	for _, to := range six {
		k := in(station.Charging)
		before := *k
		k.Write(to, noon)
		if diff := cmp.Diff(before, *k); diff != "" {
			t.Errorf("written %d: %s", to, diff)
		}
	}
}

// Sequences of reports (r), writes (w) and silence (s), and the state after.
func TestHoldsLatchesAndSilence(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name  string
		steps string
		want  station.Status
		fault *string
		hold  string
	}{
		{"a hold outlives reports", "w4 r1 r4 r1", station.Maintenance, nil, station.HoldMaintenance},
		{"a fault shows above a hold", "w4 r3", station.Fault, ptr("E"), station.HoldMaintenance},
		{"and uncovers it when it is over", "w5 r3 r1", station.Reserved, nil, station.HoldReserved},
		{"1 clears a hold", "w4 w1", station.Idle, nil, ""},
		{"1 clears a reported fault until the next report", "r3 w1", station.Idle, nil, ""},
		{"the next report decides", "r3 w1 r3", station.Fault, ptr("E"), ""},
		{"a written fault is latched against reports", "w3 r1 r4 r1", station.Fault, ptr(station.FaultOperator), ""},
		{"a device's own fault names itself meanwhile", "w3 r3", station.Fault, ptr("E"), ""},
		{"1 clears a latched fault", "w3 r1 w1", station.Idle, nil, ""},
		{"4 takes the place of a latched fault", "w3 w4", station.Maintenance, nil, station.HoldMaintenance},
		{"a fault is latched above a hold", "w4 w3", station.Fault, ptr(station.FaultOperator), station.HoldMaintenance},
		{"0 lasts until the next message", "w0", station.Offline, nil, ""},
		{"which may be any", "w0 r1", station.Idle, nil, ""},
		{"silence is offline, whatever holds", "w4 s", station.Offline, nil, station.HoldMaintenance},
		{"and ends with the hold", "w4 s r1", station.Maintenance, nil, station.HoldMaintenance},
		{"a latched fault outlives silence", "w3 s r1", station.Fault, ptr(station.FaultOperator), ""},
		{"maintenance after a reported offline is idle below", "r0 w4 w1", station.Idle, nil, ""},
		{"reserved becomes maintenance", "w5 w4", station.Maintenance, nil, station.HoldMaintenance},
		{"charging without a session", "r2", station.Charging, nil, ""},
	}
	for _, c := range cases {
		k := in(station.Idle)
		for i := 0; i < len(c.steps); i++ {
			switch c.steps[i] {
			case 'w':
				i++
				k.Write(station.Status(c.steps[i]-'0'), noon)
			case 'r':
				i++
				r := station.Report{Status: station.Status(c.steps[i] - '0')}
				if r.Status == station.Fault {
					r.FaultCode = "E"
				}
				k.TakeReport(r, noon)
			case 's':
				k.Refresh(false)
			}
		}
		if k.Status != c.want || k.Hold != c.hold || !cmp.Equal(k.FaultCode, c.fault) {
			t.Errorf("%s (%s): status %d, hold %q, fault %v", c.name, c.steps, k.Status, k.Hold, k.FaultCode)
		}
	}
}

func TestTakeReportSaysWhetherAnythingChanged(t *testing.T) {
	t.Parallel()
	k := in(station.Idle)
	later := noon.Add(time.Minute)
	if k.TakeReport(station.Report{Status: station.Idle}, later) || k.Updated.Equal(later) {
		t.Error("the same again is a change")
	}
	if !k.TakeReport(station.Report{Status: station.Idle, Plugged: ptr(true)}, later) || !k.Updated.Equal(later) {
		t.Error("a plug is no change")
	}
	if k.TakeReport(station.Report{Status: station.Idle}, later); k.Plugged == nil || !*k.Plugged {
		t.Error("a report that cannot tell unplugged the cable")
	}
	if !k.TakeReport(station.Report{Status: station.Fault, FaultCode: "A"}, later) || !k.TakeReport(station.Report{Status: station.Fault, FaultCode: "B"}, later) {
		t.Error("another fault is no change")
	}
}

// The charger is the highest of its connectors in the order 3 > 2 > 4 > 5 > 1 > 0.
func TestDerive(t *testing.T) {
	t.Parallel()
	order := []station.Status{3, 2, 4, 5, 1, 0}
	for i, high := range order {
		for _, low := range order[i:] {
			for _, pair := range [][]*station.Connector{{{Status: high}, {Status: low}}, {{Status: low}, {Status: high}}} {
				if got := station.Derive(pair); got != high {
					t.Errorf("%d and %d: %d", high, low, got)
				}
			}
		}
	}
	if got := station.Derive(nil); got != station.Offline {
		t.Errorf("no connector: %d", got)
	}
	for n := -1; n <= 6; n++ {
		if station.Status(n).Valid() != (n >= 0 && n <= 5) {
			t.Errorf("%d", n)
		}
	}
}

func TestMayStart(t *testing.T) {
	t.Parallel()
	good := station.Charger{ID: 10001, Enabled: true, Connected: true}
	disabled, away := good, good
	disabled.Enabled, disabled.Connected, away.Connected = false, false, false
	cases := []struct {
		charger   station.Charger
		connector station.Connector
		want      evcs.Code
	}{
		{good, station.Connector{No: 1, Enabled: true, Status: station.Idle}, 0},
		{good, station.Connector{No: 1, Enabled: true, Status: station.Charging}, 0}, // 2006 is the order's to say
		{good, station.Connector{No: 1, Enabled: true, Status: station.Fault}, evcs.CodeChargerState},
		{good, station.Connector{No: 1, Enabled: true, Status: station.Maintenance}, evcs.CodeChargerState},
		{good, station.Connector{No: 1, Enabled: true, Status: station.Reserved}, evcs.CodeChargerState},
		{good, station.Connector{No: 2, Status: station.Fault}, evcs.CodeChargerDisabled},
		{disabled, station.Connector{No: 1, Enabled: true}, evcs.CodeChargerDisabled},
		{away, station.Connector{No: 1, Enabled: true, Status: station.Idle}, evcs.CodeChargerOffline},
	}
	for i, c := range cases {
		err := c.charger.MayStart(&c.connector)
		code, facts, _ := evcs.Classify(err)
		if err == nil {
			code = 0
		}
		if code != c.want || err != nil && facts["chargerId"] != evcs.ChargerID(10001) {
			t.Errorf("case %d: %v %v", i, err, facts)
		}
	}
	off := station.Station{ID: 3}
	if _, facts, _ := evcs.Classify(off.MayCharge()); facts["stationId"] != evcs.StationID(3) {
		t.Errorf("a disabled station: %v", facts)
	}
	off.Enabled = true
	if err := off.MayCharge(); err != nil {
		t.Error(err)
	}
}

func TestStatusEvents(t *testing.T) {
	t.Parallel()
	c := station.Charger{ID: 10001, Tenant: 2, Station: 3, Code: "C1", Status: station.Fault, FaultCode: ptr("E")}
	e := c.StatusEvent(station.Idle, noon)
	if want := `{"chargerId":10001,"chargerCode":"C1","before":1,"after":3,"faultCode":"E"}`; string(e.Data) != want || e.Tenant != 2 || e.Station != 3 || e.Charger != 10001 {
		t.Errorf("%s %+v", e.Data, e)
	}
	k := station.Connector{Charger: 10001, No: 2, Tenant: 2, Station: 3, Status: station.Idle, Plugged: ptr(false)}
	e = k.StatusEvent(station.Offline, noon)
	if want := `{"chargerId":10001,"connectorNo":2,"before":0,"after":1,"faultCode":null,"plugged":false}`; string(e.Data) != want || e.Connector != 2 {
		t.Errorf("%s %+v", e.Data, e)
	}
}

func TestRefusalsCarryTheirFacts(t *testing.T) {
	t.Parallel()
	c := station.Charger{ID: 10001, Status: station.Offline}
	heard := c
	heard.LastSeen = noon
	for _, v := range []struct {
		err  error
		want string
	}{
		{c.OfflineError(), "map[chargerId:10001 currentStatus:0 lastHeartbeat:<nil>]"},
		{heard.OfflineError(), "map[chargerId:10001 currentStatus:0 lastHeartbeat:2026-02-10T12:00:00Z]"},
		{c.DisabledError(0), "map[chargerId:10001 connectorNo:<nil>]"},
		{c.DisabledError(2), "map[chargerId:10001 connectorNo:2]"},
		{station.ChargerMissing(5), "map[chargerId:5]"},
		{station.StationMissing(5), "map[stationId:5]"},
		{station.PlanMissing(5), "map[planId:5]"},
		{station.ConnectorMissing(5, 1), "map[chargerId:5 connectorNo:1]"},
		{station.TagRefused("04A1B2C3D4", station.TagBlocked), "map[idTag:04A****D4 reason:BLOCKED]"},
	} {
		if _, facts, _ := evcs.Classify(v.err); fmt.Sprint(facts) != v.want {
			t.Errorf("%v: %v, want %s", v.err, facts, v.want)
		}
	}
}
