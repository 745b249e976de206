package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/evcs/evcs/bench/probe"
	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/chargersim"
	"github.com/evcs/evcs/internal/chargersim/journal"
	"github.com/evcs/evcs/internal/evcs"
)

type record = map[string]any

// world is a platform of a few lines, right unless it is told to be wrong.
type world struct {
	fault func(...any)
	mu    sync.Mutex
	// All guarded by mu.
	sessions, orders, payments, refunds []record
	curves                              map[string][]record
	truth                               map[string]journal.Session
	keys                                map[string]string
	wrong                               func(list string, records []record) []record
	runs                                int
	closed                              bool
	doubling                            bool // a repeated start gets a new order
}

func newWorld(fault func(...any)) *world {
	return &world{fault: fault, curves: map[string][]record{}, truth: map[string]journal.Session{}, keys: map[string]string{}}
}

func number(n int64) json.RawMessage { return json.RawMessage(journal.Energy(n).String()) }

func fenJSON(n int64) json.RawMessage { return json.RawMessage(fmt.Sprintf("%d.%02d", n/100, n%100)) }

func stamp(payload record) time.Time {
	at, err := time.Parse(time.RFC3339Nano, payload["timestamp"].(string))
	if err != nil {
		panic(err)
	}
	return at.UTC()
}

func ms(t time.Time) string { return t.Format("2006-01-02T15:04:05.000Z") }

func (w *world) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	if device, ok := strings.CutPrefix(r.URL.Path, "/ocpp/"); ok {
		w.charger(rw, r, device)
		return
	}
	body := record{}
	_ = json.NewDecoder(r.Body).Decode(&body)
	w.mu.Lock()
	defer w.mu.Unlock()
	data := w.rest(r, body)
	if data == nil {
		code := 9404
		if strings.HasPrefix(r.URL.Path, "/api/reconciliation/") {
			code = 4014
		}
		rw.WriteHeader(http.StatusNotFound)
		_, _ = fmt.Fprintf(rw, `{"code":%d,"message":"none","data":null}`, code)
		return
	}
	text, err := json.Marshal(record{"code": 200, "data": data})
	if err != nil {
		w.fault(err)
	}
	_, _ = rw.Write(text)
}

func (w *world) charger(rw http.ResponseWriter, r *http.Request, device string) {
	up := websocket.Upgrader{Subprotocols: []string{"ocpp1.6"}}
	conn, err := up.Upgrade(rw, r, nil)
	if err != nil {
		return
	}
	defer conn.Close()
	for {
		var frame []json.RawMessage
		if conn.ReadJSON(&frame) != nil || len(frame) < 4 {
			return
		}
		var id, action string
		payload := record{}
		for i, into := range []any{&id, &action, &payload} {
			if err := json.Unmarshal(frame[i+1], into); err != nil {
				w.fault(err)
			}
		}
		w.mu.Lock()
		result := w.ocpp(device, action, payload)
		w.mu.Unlock()
		if conn.WriteJSON([]any{3, id, result}) != nil {
			return
		}
	}
}

func (w *world) ocpp(device, action string, p record) record {
	accepted := record{"status": "Accepted"}
	switch action {
	case "BootNotification":
		return record{"status": "Accepted", "interval": 300, "currentTime": ms(evcs.SystemClock{}.Now())}
	case "StartTransaction":
		return record{"transactionId": w.start(device, p), "idTagInfo": accepted}
	case "MeterValues":
		w.meter(p)
	case "StopTransaction":
		w.stop(p)
		return record{"idTagInfo": accepted}
	case "Authorize":
		return record{"idTagInfo": accepted}
	case "Heartbeat":
		return record{"currentTime": ms(evcs.SystemClock{}.Now())}
	}
	return record{}
}

func (w *world) start(device string, p record) int {
	key := fmt.Sprint(device, p)
	n := len(w.sessions) + 1
	if old, ok := w.keys[key]; ok && !w.doubling {
		_, _ = fmt.Sscan(old, &n)
		return n
	}
	w.keys[key] = fmt.Sprint(n)
	var charger int64
	_, _ = fmt.Sscanf(device[strings.LastIndex(device, "-")+1:], "%d", &charger)
	register := int64(p["meterStart"].(float64)) * 10
	w.sessions = append(w.sessions, record{
		"sessionId": fmt.Sprint("S-", n), "orderId": n, "chargerId": charger, "connectorNo": 1, "deviceTransactionId": fmt.Sprint(n),
		"state": "ACTIVE", "startTime": ms(stamp(p)), "meterStart": number(register), "energy": number(0),
	})
	w.orders = append(w.orders, record{
		"orderId": n, "orderNo": fmt.Sprint("ORD-", n), "sessionId": fmt.Sprint("S-", n), "status": 0, "energy": number(0),
		"amount": fenJSON(0), "payableAmount": fenJSON(0), "paidAmount": fenJSON(0), "refundedAmount": fenJSON(0),
	})
	begin := entry(stamp(p), register)
	w.truth[fmt.Sprint(n)] = journal.Session{Start: &begin}
	return n
}

func (w *world) meter(p record) {
	id := fmt.Sprint(p["transactionId"])
	value := p["meterValue"].([]any)[0].(record)
	sample := value["sampledValue"].([]any)[0].(record)
	var whole, rest int64
	if sample["unit"] == "kWh" {
		_, _ = fmt.Sscanf(sample["value"].(string), "%d.%d", &whole, &rest)
		whole = whole*1000 + rest
	} else {
		_, _ = fmt.Sscan(sample["value"].(string), &whole)
	}
	point := record{"time": ms(stamp(value)), "meter": number(whole * 10), "energy": number(0)}
	if slices.ContainsFunc(w.curves[id], func(old record) bool { return old["time"] == point["time"] }) {
		return
	}
	w.curves[id] = append(w.curves[id], point)
	s := w.truth[id]
	s.Samples = append(s.Samples, entry(stamp(value), whole*10))
	w.truth[id] = s
}

func (w *world) stop(p record) {
	n := int(p["transactionId"].(float64))
	if n > len(w.sessions) {
		return // forgotten with everything else
	}
	id, session, order := fmt.Sprint(n), w.sessions[n-1], w.orders[n-1]
	s := w.truth[id]
	if s.Stop != nil {
		return
	}
	end := entry(stamp(p), int64(p["meterStop"].(float64))*10)
	s.Stop = &end
	w.truth[id] = s
	session["state"], session["stopTime"] = "ENDED", ms(end.Time)
	session["meterStop"], session["energy"] = number(int64(end.Register)), number(int64(s.Energy()))
	bill := price(s, zone())
	order["energy"], order["amount"], order["payableAmount"], order["status"] = session["energy"], fenJSON(bill), fenJSON(bill), 10
	if bill == 0 {
		order["status"] = 11
	}
}

func (w *world) rest(r *http.Request, body record) any {
	switch path := strings.TrimPrefix(r.URL.Path, "/api/"); {
	case strings.HasPrefix(path, "reconciliation/"):
		return w.reconcile(strings.TrimPrefix(path, "reconciliation/"))
	case path == "user", path == "payment/sandbox/statement-faults":
		return record{}
	case strings.HasPrefix(path, "order/") && strings.HasSuffix(path, "/paid"):
		return w.cash(path)
	case strings.HasPrefix(path, "payment/query/"):
		return w.payments[slices.IndexFunc(w.payments, func(p record) bool { return p["tradeNo"] == path[len("payment/query/"):] })]
	case path == "/readyz", path == "auth/login", path == "tenant", strings.HasSuffix(path, "/settings"), path == "station",
		path == "billing/plan", strings.HasSuffix(path, "/credential"):
		return record{"token": "T", "tenantId": 2, "stationId": 1, "planId": 1, "secret": "s"}
	case path == "charger":
		var n int
		code := body["chargerCode"].(string)
		_, _ = fmt.Sscanf(code[strings.LastIndex(code, "-")+1:], "%d", &n)
		return record{"chargerId": n, "deviceId": code}
	case path == "session":
		return w.page("sessions", w.sessions)
	case path == "order" && r.URL.Query().Get("status") == "10":
		return record{"records": slices.DeleteFunc(slices.Clone(w.orders), func(o record) bool { return o["status"] != 10 })}
	case path == "order":
		return w.page("orders", w.orders)
	case path == "payment":
		return w.page("payments", w.payments)
	case path == "payment/refund" && r.Method == http.MethodGet:
		return w.page("refunds", w.refunds)
	case path == "payment/create":
		return record{"tradeNo": fmt.Sprint("T", body["orderId"])}
	case strings.HasPrefix(path, "payment/sandbox/"):
		return none(w.pay(path))
	case path == "payment/refund":
		return none(w.refund(body, r.Header.Get("Idempotency-Key")))
	case path == "ledger/completeness":
		return record{"gaps": w.shown("gaps", []record{})}
	case path == "ledger/verify":
		return record{"tenants": w.shown("seals", []record{{"tenantId": 2, "valid": true}})}
	case strings.HasSuffix(path, "/curve"):
		id := strings.TrimSuffix(strings.TrimPrefix(path, "session/S-"), "/curve")
		list := w.curves[id]
		if w.wrong != nil {
			list = w.wrong("curve"+id, slices.Clone(list))
		}
		return record{"points": list}
	}
	return nil
}

// none makes a nil record a plain nil.
func none(r record) any {
	if r == nil {
		return nil
	}
	return r
}

func (w *world) page(name string, list []record) record {
	return record{"records": w.shown(name, slices.Clone(list)), "nextCursor": nil}
}

// shown is a list as the world shows it, right or wrong.
func (w *world) shown(name string, list []record) []record {
	if w.wrong != nil {
		return w.wrong(name, list)
	}
	return list
}

func (w *world) pay(path string) record {
	var n int
	_, _ = fmt.Sscanf(path, "payment/sandbox/T%d/pay", &n)
	if n > len(w.orders) {
		return nil
	}
	o := w.orders[n-1]
	o["status"], o["paidAmount"], o["payableAmount"] = 11, o["amount"], fenJSON(0)
	p := record{
		"paymentId": n, "orderId": n, "orderNo": o["orderNo"], "tradeNo": fmt.Sprint("T", n), "amount": o["amount"], "status": 2,
		"refundedAmount": fenJSON(0), "paidTime": ms(evcs.SystemClock{}.Now().UTC()),
	}
	w.payments = append(w.payments, p)
	return p
}

func (w *world) cash(path string) any {
	var n int
	_, _ = fmt.Sscanf(path, "order/%d/paid", &n)
	if n > len(w.orders) {
		return nil
	}
	o := w.orders[n-1]
	if o["status"] == 10 {
		w.pay(fmt.Sprintf("payment/sandbox/T%d/pay", n))
		w.payments[len(w.payments)-1]["channel"], o["tradeNo"] = "offline", fmt.Sprint("T", n)
	}
	return o
}

func (w *world) refund(body record, key string) record {
	no := body["tradeNo"].(string)
	i := slices.IndexFunc(w.payments, func(p record) bool { return p["tradeNo"] == no })
	if i < 0 {
		return nil
	}
	p := w.payments[i]
	o := w.orders[p["orderId"].(int)-1]
	if o["paidAmount"] == nil {
		return nil
	}
	if old := w.keys[key]; old != "" {
		return w.refunds[slices.IndexFunc(w.refunds, func(r record) bool { return r["refundNo"] == old })]
	}
	part := fenOf(json.RawMessage(fmt.Sprintf("%.2f", body["refundAmount"].(float64))))
	all := fenJSON(fenOf(p["refundedAmount"]) + part)
	p["status"], p["refundedAmount"], o["refundedAmount"] = 6, all, all
	if string(all) == string(p["amount"].(json.RawMessage)) {
		p["status"], o["status"] = 5, 13
	}
	r := record{
		"refundNo": fmt.Sprint("R", len(w.refunds)), "tradeNo": no, "orderId": p["orderId"], "refundAmount": fenJSON(part), "refundStatus": 2,
		"successTime": ms(evcs.SystemClock{}.Now().UTC()),
	}
	w.keys[key] = r["refundNo"].(string)
	w.refunds = append(w.refunds, r)
	return r
}

// fenOf reads an amount that the world wrote.
func fenOf(v any) int64 {
	var yuan, cents int64
	_, _ = fmt.Sscanf(string(v.(json.RawMessage)), "%d.%d", &yuan, &cents)
	return yuan*100 + cents
}

// sums are what was paid and given back.
func (w *world) sums() (paid, back int64) {
	for _, p := range w.payments {
		if p["channel"] == "offline" {
			continue
		}
		paid += fenOf(p["amount"])
		back += fenOf(p["refundedAmount"])
	}
	return paid, back
}

// reconcile is a day without differences.
func (w *world) reconcile(path string) any {
	paid, back := w.sums()
	proof := record{
		"batchId": 1, "opening": fenJSON(0), "payments": fenJSON(paid), "refunds": fenJSON(back), "fees": fenJSON(0), "suspenseIn": fenJSON(0),
		"suspenseOut": fenJSON(0), "adjustments": fenJSON(0), "closing": fenJSON(paid - back), "ledgerClosing": fenJSON(paid - back), "hash": "H",
	}
	switch {
	case path == "execute" && w.closed:
		return nil
	case path == "execute":
		w.runs++
		run := record{
			"batchId": 1, "runNo": w.runs, "status": "SUCCESS", "totalCount": len(w.payments) + len(w.refunds), "matchedCount": len(w.payments) + len(w.refunds),
			"systemTotalAmount": fenJSON(paid - back), "counts": record{},
		}
		if w.wrong != nil {
			return w.wrong("run", []record{run})[0]
		}
		return run
	case path == "batch/1/close":
		w.closed = true
		return proof
	case path == "batch/1/proof":
		return proof
	}
	if w.wrong != nil {
		return record{"records": w.wrong("differences", []record{})}
	}
	return record{"records": []record{}}
}

// played is a world in which everybody has charged and paid.
func played(t *testing.T) (*world, *torture) {
	t.Helper()
	w := newWorld(t.Error)
	srv := httptest.NewServer(w)
	t.Cleanup(srv.Close)
	tor := &torture{options: options{customers: 3}, clock: evcs.SystemClock{}, log: t.Output(), admin: probe.NewClient(srv.URL, 4)}
	scenario := chargersim.Scenarios()["busy"]
	scenario.Sessions, scenario.OfflinePerMille = 3, 300
	var list []chargersim.ChargerConfig
	for i := range 8 {
		id := fmt.Sprintf("CP-%d", i+1)
		list = append(list, chargersim.ChargerConfig{DeviceID: id})
		tor.site.Chargers = append(tor.site.Chargers, probe.Charger{ID: int64(i + 1), DeviceID: id})
	}
	var err error
	tor.fleet, err = chargersim.New(chargersim.Config{
		Endpoint: "ws" + strings.TrimPrefix(srv.URL, "http") + "/ocpp", Chargers: list, Speed: 3600, Lead: 4 * time.Hour,
		Scenario: &scenario, PlainTimes: true, Backoff: 10 * time.Millisecond,
		Faults: chargersim.FaultPlan{chargersim.FaultDuplicate: 5, chargersim.FaultLostAnswer: 20},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tor.till = newTill(tor, ctx)
	if err := tor.fleet.Run(ctx); err != nil {
		t.Fatal(err)
	}
	tor.till.close()
	if len(tor.faulty.texts) > 0 {
		t.Fatal(tor.faulty.texts)
	}
	return w, tor
}

// look runs the comparison and returns what it found.
func look(t *testing.T, w *world, tor *torture, wrong func(string, []record) []record) []string {
	t.Helper()
	w.mu.Lock()
	w.wrong = wrong
	w.mu.Unlock()
	kept := tor.till
	defer func() { tor.till = kept }()
	tor.till = &till{pays: kept.pays, refunds: kept.refunds}
	tor.faulty.texts, tor.faulty.kinds = nil, nil
	v := &verifier{torture: tor, s: &summary{}, zone: zone()}
	for _, step := range []func(context.Context) error{v.loadSessions, v.loadOrders, v.compareSessions, v.comparePayments} {
		if err := step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return tor.faulty.texts
}

// TestEveryLossIsFound breaks the world in every way the crash test is there to
// find.
func TestEveryLossIsFound(t *testing.T) {
	t.Parallel()
	w, tor := played(t)
	if found := look(t, w, tor, nil); len(found) > 0 {
		t.Fatalf("a right world is called wrong: %v", found)
	}
	if len(w.payments) == 0 || len(w.refunds) == 0 || len(w.sessions) < 16 {
		t.Fatalf("%d sessions, %d payments, %d refunds: too little happened", len(w.sessions), len(w.payments), len(w.refunds))
	}
	change := func(list, field string, value any) func(string, []record) []record {
		return func(name string, records []record) []record {
			if name == list {
				broken := record{}
				for k, v := range records[0] {
					broken[k] = v
				}
				broken[field] = value
				records[0] = broken
			}
			return records
		}
	}
	lose := func(list string) func(string, []record) []record {
		return func(name string, records []record) []record {
			if name == list {
				return records[1:]
			}
			return records
		}
	}
	double := func(list string) func(string, []record) []record {
		return func(name string, records []record) []record {
			if name == list {
				return append(records, records[0])
			}
			return records
		}
	}
	curve := "curve1"
	for name, test := range map[string]struct {
		wrong func(string, []record) []record
		want  string
	}{
		"a start is lost":          {lose("sessions"), "lost start: "},
		"only an orphan is left":   {change("sessions", "startTime", nil), "lost start: "},
		"a start is there twice":   {double("sessions"), "doubled: transaction"},
		"a stop is lost":           {change("sessions", "state", "ACTIVE"), "lost stop: "},
		"the energy is wrong":      {change("sessions", "energy", number(3)), "wrong energy: "},
		"the register is wrong":    {change("sessions", "meterStop", number(1)), "ended at"},
		"the start is wrong":       {change("sessions", "startTime", "2026-01-01T00:00:00.000Z"), "began at"},
		"a session without order":  {change("sessions", "orderId", nil), "has no order"},
		"an order is lost":         {lose("orders"), "lost order: "},
		"an order is there twice":  {double("orders"), "has two orders"},
		"an order moved back":      {change("orders", "status", 10), "moved back: "},
		"a bill is a fen too high": {change("orders", "amount", fenJSON(1)), "right is"},
		"an order without energy":  {change("orders", "energy", number(1)), "wrong energy: "},
		"an order is held":         {change("orders", "held", true), "is held"},
		"a meter value is lost":    {lose(curve), "lost meter value: "},
		"a meter value twice":      {double(curve), "is there 2 times"},
		"a payment is lost":        {lose("payments"), "lost payment: "},
		"a payment twice":          {double("payments"), "was paid twice"},
		"a payment of another sum": {change("payments", "amount", fenJSON(7)), "wrong money: payment"},
		"a refund is lost":         {lose("refunds"), "lost refund: "},
		"a refund is there twice":  {double("refunds"), "doubled: refund"},
		"a refund of another sum":  {change("refunds", "refundAmount", fenJSON(70000)), "wrong money: refund"},
		"a refund nobody asked":    {change("refunds", "refundNo", "RX"), "never acknowledged: refund"},
	} {
		if found := strings.Join(look(t, w, tor, test.wrong), "\n"); !strings.Contains(found, test.want) {
			t.Errorf("%s: found %q, want %q in it", name, found, test.want)
		}
	}
}

// TestAWrongDayIsFound breaks the reconciliation in every way the clerks are
// there to find.
func TestAWrongDayIsFound(t *testing.T) {
	t.Parallel()
	set := func(list, field string, value any) func(string, []record) []record {
		return func(name string, records []record) []record {
			if name == list {
				records[0][field] = value
			}
			return records
		}
	}
	row := record{"differenceId": 7, "batchId": 1, "kind": "CHANNEL_ONLY", "state": "OPEN", "direction": "PAY", "tradeNo": "T"}
	for name, test := range map[string]struct {
		wrong func(string, []record) []record
		want  kind
	}{
		"right":              {nil, ""},
		"a second batch":     {set("run", "batchId", 2), doubled},
		"a run is forgotten": {set("run", "runNo", 1), movedBack},
		"a run changes": {func(name string, r []record) []record {
			return set("run", "totalCount", 99)(name, set("run", "runNo", 5)(name, r))
		}, changed},
		"the money differs":  {set("run", "systemTotalAmount", fenJSON(1)), wrongMoney},
		"a difference twice": {func(name string, r []record) []record { return append(r, row, row) }, doubled},
		"a review is lost":   {func(name string, r []record) []record { return append(r, row) }, lostReview},
		"an invented row":    {func(name string, r []record) []record { return append(r, row) }, wrongDay},
	} {
		w := newWorld(t.Error)
		srv := httptest.NewServer(w)
		t.Cleanup(srv.Close)
		tor := &torture{clock: evcs.SystemClock{}, log: t.Output(), till: &till{}}
		c := &clerks{t: tor, maker: probe.NewClient(srv.URL, 1), days: map[day]api.ReconResult{}, reviews: map[int64]string{7: "RESOLVED"}, holds: map[string]int64{}}
		tor.clerks = c
		today := day{sandbox, "day"}
		c.days[today] = api.ReconResult{BatchID: 1, RunNo: 5}
		w.runs = 5
		if test.want == "" {
			c.reviews = nil
		}
		w.wrong = test.wrong
		if name == "an invented row" { // not there in the first look of the re-run
			looks := 0
			w.wrong = func(list string, r []record) []record {
				if list != "differences" {
					return r
				}
				if looks++; looks == 1 {
					return r
				}
				return test.wrong(list, r)
			}
		}
		v := &verifier{torture: tor, s: &summary{}}
		for _, err := range []error{c.look(t.Context(), today), v.compareReviews(t.Context())} {
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if got := tor.faulty.kinds; len(got) > 0 != (test.want != "") || test.want != "" && got[test.want] == 0 {
			t.Errorf("%s: found %v, want %q", name, tor.faulty.texts, test.want)
		}
	}
}

// TestACrookedJournalIsToldByThePlatform: what the platform's own comparison and
// its seals say is a violation.
func TestACrookedJournalIsToldByThePlatform(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		list string
		row  record
		want kind
	}{
		"right":              {"", nil, ""},
		"a payment unbooked": {"gaps", record{"tenantId": 2, "subject": "PAYMENT", "name": "T1", "booked": fenJSON(0), "expected": fenJSON(5)}, wrongMoney},
		"a changed posting":  {"seals", record{"tenantId": 2, "valid": false}, changed},
	} {
		w := newWorld(t.Error)
		w.wrong = func(list string, r []record) []record {
			if list == test.list {
				return append(r, test.row)
			}
			return r
		}
		srv := httptest.NewServer(w)
		t.Cleanup(srv.Close)
		tor := &torture{clock: evcs.SystemClock{}, log: t.Output(), till: &till{}}
		tor.admin = probe.NewClient(srv.URL, 1)
		v := &verifier{torture: tor, s: &summary{}}
		if err := v.compareJournal(t.Context()); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := tor.faulty.kinds; len(got) > 0 != (test.want != "") || test.want != "" && got[test.want] == 0 {
			t.Errorf("%s: found %v, want %q", name, tor.faulty.texts, test.want)
		}
	}
}
