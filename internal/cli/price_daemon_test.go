package cli

import (
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gorilla/websocket"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/config"
	"github.com/evcs/evcs/internal/evcstest"
)

// fields is a body; decimals are json.Number, so that they stay exact.
type fields = map[string]any

// schedule reads "00:00 VALLEY 0.3 0.2|08:00 PEAK 1.2 0.5".
func schedule(text string) []fields {
	var list []fields
	for part := range strings.SplitSeq(text, "|") {
		f := strings.Fields(part)
		if n := len(list); n > 0 {
			list[n-1]["endTime"] = f[0]
		}
		list = append(list, fields{"startTime": f[0], "endTime": "24:00", "periodKind": f[1], "energyPrice": json.Number(f[2]), "serviceFee": json.Number(f[3])})
	}
	return list
}

// The tariffs of the cases, as in the golden bills of package tariff.
const (
	caseFixed = "00:00 FLAT 1.0 0.0"
	caseTOU   = "00:00 VALLEY 0.3 0.2|08:00 FLAT 0.8 0.4|10:00 PEAK 1.2 0.5|12:00 FLAT 0.8 0.4|18:00 SHARP 1.5 0.8|22:00 VALLEY 0.3 0.2"
	caseDawn  = "00:00 VALLEY 0.1 0|02:00 FLAT 0.5 0|03:00 PEAK 1 0"
	caseFine  = "00:00 FLAT 0.98765 0.12345"
)

var (
	caseWeekend  = fields{"days": []string{"SAT", "SUN"}, "segments": schedule("00:00 FLAT 0.5 0.1")}
	caseHolidays = fields{"days": []string{"HOLIDAY"}, "segments": schedule("00:00 VALLEY 0.2 0.1")}
)

// wholeCase is a session through the whole daemon. Times are local; readings
// are registers since the start, in kWh.
type wholeCase struct {
	name        string
	day         string
	plan        fields // beside segments
	zone        string
	start, stop string
	readings    string // "10:00:00 21.75, …", of the start's day
	wattHours   int    // at the stop
	dearer      bool   // the plan's prices change while it charges
	lines       string
	amount      string
}

var wholeCases = []wholeCase{
	{name: "the contract's example", day: caseTOU, start: "2027-02-10 09:30:00", stop: "2027-02-10 10:30:00", readings: "10:00:00 21.75", wattHours: 42_500, amount: "61.38", lines: "ENERGY FLAT 17.40+8.70, ENERGY PEAK 24.90+10.38"},
	{name: "prices change in mid-session", day: caseFixed, dearer: true, start: "2027-02-10 12:00:00", stop: "2027-02-10 13:00:00", wattHours: 42_500, amount: "42.50", lines: "ENERGY FLAT 42.50+0.00"},
	{name: "midnight", day: caseTOU, start: "2027-02-10 23:00:00", stop: "2027-02-11 01:00:00", wattHours: 20_000, amount: "10.00", lines: "ENERGY VALLEY 3.00+2.00, ENERGY VALLEY 3.00+2.00"},
	{name: "no energy", day: caseTOU, plan: fields{"startFee": 2, "minAmount": 5}, start: "2027-02-11 09:00:00", stop: "2027-02-11 10:30:00", amount: "0.00"},
	{name: "five decimals", day: caseFine, start: "2027-02-11 11:00:00", stop: "2027-02-11 13:00:00", wattHours: 123_457, amount: "137.17", lines: "ENERGY FLAT 121.93+15.24"},
	{name: "a minimum", day: caseFixed, plan: fields{"minAmount": 15}, start: "2027-02-11 15:30:00", stop: "2027-02-11 16:30:00", wattHours: 10_000, amount: "15.00", lines: "ENERGY FLAT 10.00+0.00, MINIMUM 5.00"},
	// charging ends at 10:07; every reading after it is the same: 120 − 67 − 3 = 50 minutes at 1.00
	{
		name: "an idle tail with many readings", day: caseFixed, plan: fields{"idleFreeMinutes": 3, "idleMinutePrice": 1}, start: "2027-02-12 11:00:00", stop: "2027-02-12 13:00:00",
		readings:  "11:15:00 8, 11:30:00 14, 11:45:00 20, 12:00:00 28, 12:03:00 29, 12:07:00 30, 12:09:00 30, 12:12:00 30, 12:14:00 30.005, 12:30:00 30.005, 12:45:00 30.005",
		wattHours: 30_005, amount: "80.01", lines: "ENERGY FLAT 30.01+0.00, IDLE 50 min 50.00",
	},
	{
		name: "a cap bounds idle time too", day: caseFixed, plan: fields{"maxAmount": 40, "idleMinutePrice": 1}, start: "2027-02-12 15:00:00", stop: "2027-02-12 17:00:00",
		readings: "15:30:00 15, 16:00:00 30, 16:30:00 30", wattHours: 30_000, amount: "40.00", lines: "ENERGY FLAT 30.00+0.00, IDLE 60 min 60.00, CAP -50.00",
	},
	{name: "Friday turns Saturday", day: caseTOU, plan: fields{"calendars": []fields{caseWeekend}}, start: "2027-02-12 23:00:00", stop: "2027-02-13 01:00:00", wattHours: 20_000, amount: "11.00", lines: "ENERGY VALLEY 3.00+2.00, ENERGY FLAT 5.00+1.00"},
	{
		name: "everything at once on a Saturday", day: caseTOU,
		plan:  fields{"calendars": []fields{caseWeekend}, "startFee": 2, "minAmount": 21, "maxAmount": 50, "idleFreeMinutes": 10, "idleMinutePrice": json.Number("0.5"), "idleMaxAmount": 5, "parkingFreeMinutes": 60, "parkingHourPrice": 3},
		start: "2027-02-13 09:30:00", stop: "2027-02-13 11:00:00", readings: "10:00:00 10, 10:30:00 20", wattHours: 20_000, amount: "21.00",
		lines: "START 2.00, ENERGY FLAT 10.00+2.00, IDLE 20 min 5.00 CAPPED, PARKING 30 min 1.50, MINIMUM 0.50",
	},
	{name: "spring forward", day: caseDawn, zone: "Europe/Berlin", start: "2027-03-28 01:00:00", stop: "2027-03-28 04:00:00", wattHours: 20_000, amount: "11.00", lines: "ENERGY VALLEY 1.00+0.00, ENERGY PEAK 10.00+0.00"},
	{name: "a holiday", day: caseTOU, plan: fields{"calendars": []fields{caseWeekend, caseHolidays}}, start: "2027-10-01 09:30:00", stop: "2027-10-01 10:30:00", wattHours: 20_000, amount: "6.00", lines: "ENERGY VALLEY 4.00+2.00"},
	{name: "Lord Howe springs forward", day: "00:00 VALLEY 0.1 0|02:00 FLAT 0.5 0|02:30 PEAK 1 0", zone: "Australia/Lord_Howe", start: "2027-10-03 01:30:00", stop: "2027-10-03 03:00:00", wattHours: 10_000, amount: "5.50", lines: "ENERGY VALLEY 0.50+0.00, ENERGY PEAK 5.00+0.00"},
	{name: "a worked Saturday", day: caseTOU, plan: fields{"calendars": []fields{caseWeekend, caseHolidays}}, start: "2027-10-09 09:30:00", stop: "2027-10-09 10:30:00", wattHours: 20_000, amount: "29.00", lines: "ENERGY FLAT 8.00+4.00, ENERGY PEAK 12.00+5.00"},
	{name: "fall back", day: caseDawn, zone: "Europe/Berlin", start: "2027-10-31 01:00:00", stop: "2027-10-31 04:00:00", wattHours: 40_000, amount: "21.00", lines: "ENERGY VALLEY 1.00+0.00, ENERGY FLAT 10.00+0.00, ENERGY PEAK 10.00+0.00"},
}

// wire is a charger of OCPP 1.6 on a real socket.
type wire struct {
	t    *testing.T
	conn *websocket.Conn
	n    int
}

func dialCharger(t *testing.T, d *evcstest.Daemon, device, secret string) *wire {
	t.Helper()
	head := http.Header{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(device+":"+secret))}}
	conn, answer, err := (&websocket.Dialer{Subprotocols: []string{"ocpp1.6"}}).DialContext(t.Context(), "ws"+strings.TrimPrefix(d.DeviceURL, "http")+"/ocpp/"+device, head)
	if err != nil {
		t.Fatalf("connect %s: %v %v", device, err, answer)
	}
	t.Cleanup(func() { conn.Close() })
	return &wire{t: t, conn: conn}
}

func (w *wire) call(action string, payload, into any) {
	w.t.Helper()
	w.n++
	if err := w.conn.WriteJSON([]any{2, strconv.Itoa(w.n), action, payload}); err != nil {
		w.t.Fatal(err)
	}
	for {
		var frame []json.RawMessage
		if err := w.conn.ReadJSON(&frame); err != nil {
			w.t.Fatalf("%s: %v", action, err)
		}
		switch {
		case string(frame[0]) == "2":
			continue // a call of the platform
		case string(frame[0]) != "3":
			w.t.Fatalf("%s: %s", action, frame)
		case into != nil:
			if err := json.Unmarshal(frame[2], into); err != nil {
				w.t.Fatal(err)
			}
		}
		return
	}
}

// The same total in the order, its lines, the running figures, the explanation,
// the command line, the export and the journal, for sessions that come through
// real sockets.
func TestOnePriceEverywhere(t *testing.T) {
	t.Parallel()
	d := evcstest.Start(t, evcstest.WithConfig(func(c *config.Config) { c.RateLimit.ExportPerMinute = 0 }))
	d.Clock.Set(time.Date(2027, 2, 10, 0, 0, 0, 0, time.UTC)) // sockets have deadlines: not in the past
	admin := d.Admin()
	admin.OK(t, "POST", "/api/id-tag", fields{"idTag": "T1"})
	admin.OK(t, "POST", "/api/billing/holiday", fields{"days": []fields{{"date": "2027-10-01", "name": "国庆节"}, {"date": "2027-10-09", "countsAs": "THU"}}})
	for i, c := range wholeCases {
		t.Run(c.name, func(t *testing.T) { c.run(t, d, i) })
	}
}

func (c wholeCase) run(t *testing.T, d *evcstest.Daemon, n int) {
	zone, err := time.LoadLocation(firstOf(c.zone, "Asia/Shanghai"))
	if err != nil {
		t.Fatal(err)
	}
	local := func(text string) time.Time {
		at, err := time.ParseInLocation(time.DateTime, text, zone)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	start, stop := local(c.start), local(c.stop)
	d.Clock.Set(start)
	admin := d.Admin()
	var made struct{ StationID, PlanID, ChargerID int64 }
	admin.OK(t, "POST", "/api/station", fields{"stationCode": fmt.Sprint("S", n), "stationName": c.name, "address": "x", "timeZone": zone.String()}).Into(t, &made)
	plan := fields{"code": fmt.Sprint("P", n), "name": c.name, "stationId": made.StationID, "segments": schedule(c.day)}
	for name, v := range c.plan {
		plan[name] = v
	}
	admin.OK(t, "POST", "/api/billing/plan", plan).Into(t, &made)
	device := fmt.Sprint("CP-", n)
	admin.OK(t, "POST", "/api/charger", fields{
		"stationId": made.StationID, "chargerCode": device, "chargerName": device, "deviceId": device, "protocol": "OCPP16", "chargerType": 1, "ratedPower": 120, "gunCount": 1,
	}).Into(t, &made)
	var key struct{ Secret string }
	admin.OK(t, "POST", evcstest.Path("/api/charger/%d/credential", made.ChargerID), fields{}).Into(t, &key)
	w := dialCharger(t, d, device, key.Secret)
	w.call("BootNotification", fields{"chargePointVendor": "V", "chargePointModel": "M"}, nil)
	w.call("StatusNotification", fields{"connectorId": 1, "errorCode": "NoError", "status": "Available"}, nil)
	var begun struct {
		TransactionID int64 `json:"transactionId"`
	}
	const register = 1_000_000 // Wh, where the meter stands
	w.call("StartTransaction", fields{"connectorId": 1, "idTag": "T1", "meterStart": register, "timestamp": start}, &begun)
	if c.dearer {
		admin.OK(t, "PUT", evcstest.Path("/api/billing/plan/%d", made.PlanID), fields{"segments": schedule("00:00 SHARP 9 9")})
	}
	samples := []fields{{"time": start, "meter": json.Number("1000")}}
	if c.readings != "" {
		for part := range strings.SplitSeq(c.readings, ", ") {
			at := local(c.start[:11] + part[:8])
			d.Clock.Set(at)
			kwh, err := strconv.ParseFloat(part[9:], 64) // the charger's own arithmetic
			if err != nil {
				t.Fatal(err)
			}
			w.call("MeterValues", fields{"connectorId": 1, "transactionId": begun.TransactionID, "meterValue": []fields{{
				"timestamp": at, "sampledValue": []fields{{"value": strconv.FormatFloat(register+kwh*1000, 'f', 1, 64), "unit": "Wh"}},
			}}}, nil)
			samples = append(samples, fields{"time": at, "meter": json.Number(strconv.FormatFloat(1000+kwh, 'f', 4, 64))})
		}
	}
	admin = d.Admin() // a token does not outlive the session
	var orders []api.Order
	admin.OK(t, "GET", evcstest.Path("/api/order/list?chargerId=%d", made.ChargerID), nil).Into(t, &orders)
	if len(orders) != 1 {
		t.Fatalf("%d orders", len(orders))
	}
	id := orders[0].OrderID
	var running api.Explanation
	admin.OK(t, "GET", evcstest.Path("/api/order/%d/explain", id), nil).Into(t, &running)
	if !running.Running || running.BilledAmount != nil || running.Amount != orders[0].Amount {
		t.Errorf("running: %s, explained %s of %+v", orders[0].Amount, running.Amount, running)
	}
	d.Clock.Set(stop)
	w.call("StopTransaction", fields{"transactionId": begun.TransactionID, "meterStop": register + c.wattHours, "timestamp": stop}, nil)
	admin = d.Admin()
	c.everywhere(t, d, admin, id, made.PlanID, fields{
		"startTime": start, "endTime": stop, "samples": append(samples, fields{"time": stop, "meter": json.Number(fmt.Sprintf("%d.%03d", 1000+c.wattHours/1000, c.wattHours%1000))}),
	})
}

// everywhere compares the total wherever it is told.
func (c wholeCase) everywhere(t *testing.T, d *evcstest.Daemon, admin evcstest.Caller, id, plan int64, session fields) {
	t.Helper()
	var order api.Order
	admin.OK(t, "GET", evcstest.Path("/api/order/%d", id), nil).Into(t, &order)
	told := map[string]string{"order": order.Amount.String(), "lines": sumOf(order.Lines).String()}
	parts := order.ElectricityAmount + order.ServiceAmount + order.ParkingAmount + order.IdleAmount - order.DiscountAmount
	told["parts"] = parts.String()
	if got := billWords(order.Lines); got != c.lines {
		t.Errorf("lines %s, want %s", got, c.lines)
	}

	var why api.Explanation
	admin.OK(t, "GET", evcstest.Path("/api/order/%d/explain", id), nil).Into(t, &why)
	told["explanation"] = why.Amount.String()
	if !why.Agrees || why.BilledAmount == nil || *why.BilledAmount != order.Amount || deref(why.Choice) != "STATION" {
		t.Errorf("explanation: %+v", why)
	}
	if !c.dearer { // the plan of today is the one that was frozen
		var quote api.Quote
		admin.OK(t, "POST", evcstest.Path("/api/billing/plan/%d/quote", plan), session).Into(t, &quote)
		told["quote"] = quote.Amount.String()
		session["planId"] = plan
		var guess api.Explanation
		admin.OK(t, "POST", "/api/billing/explain", session).Into(t, &guess)
		told["hypothesis"] = guess.Amount.String()
	}

	vars := map[string]string{"XDG_CONFIG_HOME": t.TempDir(), "EVCS_SERVER": d.URL, "EVCS_TOKEN": admin.Token(), "LANG": "en_US.UTF-8"}
	said := run(t, vars, "", "order", "show", fmt.Sprint(id), "--jq", ".amount")
	told["evcsctl order show"] = strings.TrimSpace(said.out)
	said = run(t, vars, "", "price", "explain", fmt.Sprint(id), "--jq", ".amount")
	told["evcsctl price explain"] = strings.TrimSpace(said.out)
	said = run(t, vars, "", "price", "explain", order.OrderNo, "-o", "table")
	if said.code != 0 || !strings.Contains(said.out, "Sum "+c.amount) || !strings.Contains(said.out, "Billed "+c.amount+": agrees") {
		t.Errorf("evcsctl price explain: %d %s\n%s", said.code, said.err, said.out)
	}
	if said = run(t, vars, "", "export", "order-line", "-F", fmt.Sprintf("orderNo=%s", order.OrderNo), "-F", fmt.Sprintf("chargerId=%d", order.ChargerID)); said.code != 0 {
		t.Errorf("export: %s", said.err)
	}
	told["export"] = exportedSum(t, said.out).String()

	var book []api.LedgerEntry
	admin.OK(t, "GET", evcstest.Path("/api/ledger/order/%d", id), nil).Into(t, &book)
	owed, sum := api.Money(0), api.Money(0)
	for _, e := range book {
		for _, p := range e.Postings {
			sum += p.Amount
			if p.Account == "RECEIVABLE" {
				owed += p.Amount
			}
		}
	}
	told["journal"] = owed.String()
	if sum != 0 {
		t.Errorf("the journal is off by %s", sum)
	}
	want := make(map[string]string, len(told))
	for where := range told {
		want[where] = c.amount
	}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("totals (-want +got):\n%s", diff)
	}
}

func sumOf(lines []api.Line) (sum api.Money) {
	for _, l := range lines {
		sum += l.Amount
	}
	return sum
}

func billWords(lines []api.Line) string {
	words := make([]string, len(lines))
	for i, l := range lines {
		switch {
		case l.Kind == "ENERGY":
			words[i] = fmt.Sprintf("ENERGY %s %s+%s", deref(l.PeriodKind), l.ElectricityAmount, l.ServiceAmount)
		case l.Minutes != nil:
			words[i] = strings.TrimSpace(fmt.Sprintf("%s %d min %s %s", l.Kind, *l.Minutes, l.Amount, deref(l.Reason)))
		default:
			words[i] = fmt.Sprintf("%s %s", l.Kind, l.Amount)
		}
	}
	return strings.Join(words, ", ")
}

// exportedSum sums the amounts of exported lines.
func exportedSum(t *testing.T, text string) (sum api.Money) {
	t.Helper()
	in := csv.NewReader(strings.NewReader(strings.TrimPrefix(text, "\ufeff")))
	in.FieldsPerRecord = -1
	rows, err := in.ReadAll()
	if err != nil || len(rows) == 0 {
		t.Fatal(errors.Join(err, fmt.Errorf("%d rows of %q", len(rows), text)))
	}
	at := -1
	for i, name := range rows[0] {
		if name == "amount" {
			at = i
		}
	}
	for _, row := range rows[1:] {
		if strings.HasPrefix(row[0], "#rows") {
			return sum
		}
		var m api.Money
		if err := m.UnmarshalText([]byte(row[at])); err != nil {
			t.Fatalf("%v: %v", row, err)
		}
		sum += m
	}
	t.Fatal("the export broke off")
	return 0
}

// A session without a plan is held; each plan it is priced by shows what goes
// and what comes, and a dry run changes nothing.
func TestRepriceShowsTheDifference(t *testing.T) {
	t.Parallel()
	d := evcstest.Start(t)
	start := time.Date(2027, 2, 10, 1, 30, 0, 0, time.UTC) // 09:30 in Shanghai
	d.Clock.Set(start)
	admin := d.Admin()
	admin.OK(t, "POST", "/api/id-tag", fields{"idTag": "T1"})
	var made struct{ StationID, PlanID, ChargerID int64 }
	admin.OK(t, "POST", "/api/station", fields{"stationCode": "S", "stationName": "S", "address": "x"}).Into(t, &made)
	admin.OK(t, "POST", "/api/charger", fields{
		"stationId": made.StationID, "chargerCode": "C", "chargerName": "C", "deviceId": "CP", "protocol": "OCPP16", "chargerType": 1, "ratedPower": 120, "gunCount": 1,
	}).Into(t, &made)
	var key struct{ Secret string }
	admin.OK(t, "POST", evcstest.Path("/api/charger/%d/credential", made.ChargerID), fields{}).Into(t, &key)
	w := dialCharger(t, d, "CP", key.Secret)
	w.call("BootNotification", fields{"chargePointVendor": "V", "chargePointModel": "M"}, nil)
	var begun struct {
		TransactionID int64 `json:"transactionId"`
	}
	w.call("StartTransaction", fields{"connectorId": 1, "idTag": "T1", "meterStart": 0, "timestamp": start}, &begun)
	d.Clock.Advance(time.Hour)
	w.call("StopTransaction", fields{"transactionId": begun.TransactionID, "meterStop": 40_000, "timestamp": start.Add(time.Hour)}, nil)
	admin = d.Admin()
	plan := func(code, day string, more fields) int64 {
		body := fields{"code": code, "name": code, "segments": schedule(day)}
		for name, v := range more {
			body[name] = v
		}
		admin.OK(t, "POST", "/api/billing/plan", body).Into(t, &made)
		return made.PlanID
	}
	tou, flat := plan("TOU", caseTOU, nil), plan("FLAT", caseFixed, fields{"maxAmount": 30})
	vars := map[string]string{"XDG_CONFIG_HOME": t.TempDir(), "EVCS_SERVER": d.URL, "EVCS_TOKEN": admin.Token(), "LANG": "en_US.UTF-8", "TZ": "UTC"}
	reprice := func(plan int64, more ...string) string {
		t.Helper()
		said := run(t, vars, "", append([]string{"order", "reprice", "1", "--plan", fmt.Sprint(plan), "--reason", "none"}, more...)...)
		if said.code != 0 {
			t.Fatalf("reprice: %d %s", said.code, said.err)
		}
		return said.out
	}
	shown := func(text string, want ...string) {
		t.Helper()
		for _, line := range want {
			if !strings.Contains(text, line) {
				t.Errorf("there is no %q in\n%s", line, text)
			}
		}
	}
	amount := func() string {
		var o api.Order
		admin.OK(t, "GET", "/api/order/1", nil).Into(t, &o)
		return fmt.Sprintf("%s %t", o.Amount, o.Held)
	}
	if said := run(t, vars, "", "price", "explain", "1", "-o", "table"); said.code != 0 || !strings.Contains(said.out, "No tariff") {
		t.Errorf("without a tariff: %d %s %s", said.code, said.out, said.err)
	}
	// 20 kWh of each: 16.00 + 8.00 and 24.00 + 10.00
	shown(reprice(tou, "--dry-run", "-o", "table"), "+ energy  flat", "+ energy  peak", "= 24.00\n", "= 34.00\n", ": 0.00 → 58.00 (+58.00)")
	if got := amount(); got != "0.00 true" {
		t.Errorf("a dry run: %s", got)
	}
	reprice(tou)
	if got := amount(); got != "58.00 true" {
		t.Errorf("priced: %s", got)
	}
	shown(reprice(flat, "--dry-run", "-o", "table"), "− energy  flat", "− energy  peak", "+ energy  flat", "+ above the cap", "= -10.00\n", ": 58.00 → 30.00 (-28.00)")
	var both api.RepricedOrder
	if err := json.Unmarshal([]byte(reprice(flat, "-o", "json")), &both); err != nil || len(both.LinesBefore) != 2 || len(both.Lines) != 2 || both.Difference != -2800 || both.DiscountAmount != 1000 {
		t.Errorf("%+v %v", both, err)
	}
	var balance api.TrialBalance
	admin.OK(t, "GET", "/api/ledger/trial-balance", nil).Into(t, &balance)
	if !balance.Balanced {
		t.Errorf("the book: %+v", balance)
	}
	if said := run(t, vars, "", "order", "reprice", "1", "--plan", "99", "--reason", "x"); said.code != exitNotFound || !strings.Contains(said.err, "(3008)") {
		t.Errorf("no such plan: %d %s", said.code, said.err)
	}
}
