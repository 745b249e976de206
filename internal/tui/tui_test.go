package tui

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/exp/teatest"
	"github.com/google/go-cmp/cmp"

	"github.com/evcs/evcs/internal/api"
)

var update = flag.Bool("rewrite", false, "write the golden screens anew")

var moment = time.Date(2026, 2, 10, 10, 35, 0, 0, time.UTC)

// fake is a source of fixed data.
type fake struct {
	overview Overview
	fails    atomic.Bool
	events   chan api.Event
	states   chan error
	follows  atomic.Int64
	acts     []Action
	refuses  error
	asked    map[string]string // of the last list
}

var errDown = errors.New("the server cannot be reached")

func (f *fake) Overview(context.Context) (Overview, error) {
	if f.fails.Load() {
		return Overview{}, errDown
	}
	return f.overview, nil
}

func (f *fake) Charger(_ context.Context, id int64) (api.Charger, error) {
	for _, c := range f.overview.Chargers {
		if c.ChargerID == id {
			c.Connectors = []api.Connector{
				{ConnectorNo: 1, Status: c.Status, Power: api.Ptr(api.Measure(60000)), ChargedEnergy: api.Ptr(api.KWh(125000)), SoC: api.Ptr(api.Measure(64000)), OrderNo: api.Ptr("ORD-20260210000017")},
				{ConnectorNo: 2, Status: api.ChargerIdle},
			}
			return c, nil
		}
	}
	return api.Charger{}, errDown
}

func (f *fake) Order(context.Context, int64) (api.Order, error) {
	return api.Order{
		OrderID: 318, OrderNo: "ORD-20260210000017", StationName: "福田中心站", ChargerCode: "FT-DC-01", ConnectorNo: 1, Status: api.OrderToPay,
		StartTime: api.At(moment.Add(-time.Hour)), EndTime: api.AtOrNil(moment), Energy: 425000, Amount: 6138, Anomalies: []string{"GAP"},
		Lines: []api.Line{{
			LineNo: 1, Kind: "ENERGY", PeriodKind: api.Ptr("FLAT"), Energy: api.Ptr(api.KWh(217500)),
			ElectricityAmount: 1740, ServiceAmount: 870, Amount: 2610,
		}},
	}, nil
}

func (f *fake) Session(_ context.Context, id string) (SessionDetail, error) {
	s := f.overview.Sessions[0]
	s.SessionID, s.State, s.Samples, s.OrderNo = id, api.SessionActive, 75, api.Ptr("ORD-20260210000017")
	d := SessionDetail{Session: s}
	for i := range 75 {
		d.Points = append(d.Points, api.Sample{Power: api.Ptr(api.Measure(60000 - i*500)), Energy: api.KWh(i * 1500)})
	}
	return d, nil
}

func (f *fake) Lists(_ context.Context, shown int, query map[string]string) (Lists, error) {
	if f.fails.Load() {
		return Lists{}, errDown
	}
	f.asked = query
	order, _ := f.Order(context.Background(), 318)
	held := order
	held.Held = true
	at := api.At(moment.Add(-time.Minute))
	switch tab(shown) {
	case tabChargers:
		return Lists{Chargers: f.overview.Chargers}, nil
	case tabSessions:
		list := slices.Clone(f.overview.Sessions)
		list[0].State, list[1].State, list[1].Anomalies = api.SessionActive, api.SessionSuspended, []string{"GAP"}
		return Lists{Sessions: list}, nil
	case tabOrders:
		return Lists{Orders: []api.Order{order, held}}, nil
	case tabAlerts:
		list := slices.Clone(f.overview.Alerts)
		list[0].Status, list[1].Status, list[0].LastTime, list[1].LastTime, list[0].Occurrences = api.AlertActive, api.AlertAcknowledged, at, api.At(moment.Add(-48*time.Hour)), 3
		return Lists{Alerts: list}, nil
	case tabMoney:
		return Lists{
			Refunds:     []api.Refund{{RefundNo: "R-1", OrderID: 318, RefundAmount: 1436, RefundReason: "充电中断", StatusName: "SUCCESS"}},
			Batches:     []api.ReconResult{{ReconciliationDate: api.DateOf(moment), Channel: "sandbox", Status: api.ReconPartial, TotalCount: 86, MatchedCount: 83, AmountDifference: api.Ptr(api.Money(-238))}, {ReconciliationDate: api.DateOf(moment), Channel: "alipay", Status: api.ReconSuccess, Closed: true}},
			Differences: []api.Difference{{Kind: "CHANNEL_ONLY", State: "OPEN", TradeNo: api.Ptr("EV-1"), ChannelAmount: api.Ptr(api.Money(100))}},
		}, nil
	case tabTenants:
		return Lists{Tenants: []api.Tenant{{TenantID: 1, TenantCode: "ROOT", TenantName: "平台", EffectiveStatus: api.TenantActive}, {TenantID: 2, TenantCode: "FT", TenantName: "福田", ParentID: api.Ptr(int64(1)), EffectiveStatus: "EXPIRED", MaxChargers: api.Ptr(int64(20))}}}, nil
	default:
		return Lists{Log: []string{`{"time":"2026-02-10T10:34:00.000Z","level":"INFO","msg":"ready","logId":1}`, `{"time":"2026-02-10T10:34:10.000Z","level":"ERROR","msg":"disk full","logId":2}`, "no JSON"}}, nil
	}
}

func (f *fake) Do(_ context.Context, action Action) error {
	f.acts = append(f.acts, action)
	return f.refuses
}

func (f *fake) Follow(ctx context.Context, handle func(api.Event) error, state func(error)) error {
	f.follows.Add(1)
	state(nil)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case e := <-f.events:
			if err := handle(e); err != nil {
				return err
			}
		case err := <-f.states:
			return err
		}
	}
}

func newFake() *fake {
	f := &fake{events: make(chan api.Event), states: make(chan error)}
	o := &f.overview
	o.Stats = api.DashboardStats{TodayOrderCount: 187, TodayChargingAmount: 51204471, TodayRevenue: 612035, Sandbox: true}
	o.Counts = api.ChargerStatusCounts{Idle: 7, Charging: 2, Fault: 1, Offline: 2}
	stations := []string{"福田中心站", "南山科技园超级充电站", "Pier 9"}
	for i := range 12 {
		c := api.Charger{ChargerID: 10001 + int64(i), ChargerCode: "FT-DC-" + pad2(i+1), StationName: stations[i%3], Status: i % 6, ChargerName: "一号桩"}
		if c.Status == api.ChargerCharging {
			c.CurrentPower = api.Ptr(api.Measure(60500))
		}
		o.Chargers = append(o.Chargers, c)
	}
	o.Chargers[3].ChargerCode = "充电桩编号很长很长很长很长"
	for _, id := range []int64{10003, 10009} {
		o.Sessions = append(o.Sessions, api.Session{
			SessionID: "S-1", OrderID: api.Ptr(int64(318)), ChargerID: id, ConnectorNo: 1, Energy: 125000,
			StartTime: api.AtMSOrNil(moment.Add(-75 * time.Minute)), LastSample: &api.Sample{Power: api.Ptr(api.Measure(60500))},
		})
	}
	for i := range 5 {
		o.Orders = append(o.Orders, api.RecentOrder{
			OrderID: 318 - int64(i), StationName: stations[i%3], ChargerCode: "FT-DC-01", ConnectorNo: 1, Energy: 425000, Amount: 6138, Status: []int{0, 10, 11, 13, 2}[i],
		})
	}
	o.Alerts = []api.Alert{
		{AlertID: 1, Severity: api.SeverityCritical, Title: "充电桩离线", Message: "FT-DC-01 自 10:41 起无心跳", ChargerID: api.Ptr(int64(10001))},
		{AlertID: 2, Severity: api.SeverityMedium, Title: "Record overdue", Message: "connector idle\x1b[2J, no stop"},
	}
	return f
}

// start makes a model that was answered once.
func start(t *testing.T, f *fake, lang string, width, height int) app {
	t.Helper()
	a := newApp(t.Context(), Options{Source: f, Out: &bytes.Buffer{}, Lang: lang, Now: func() time.Time { return moment }, Server: "http://localhost:8080"}, func() {})
	a = send(t, a, tea.WindowSizeMsg{Width: width, Height: height})
	a = send(t, a, linkMsg{nil})
	return send(t, a, a.read()())
}

func send(t *testing.T, a app, msg tea.Msg) app {
	t.Helper()
	next, _ := a.Update(msg)
	out, ok := next.(app)
	if !ok {
		t.Fatalf("the model became %T", next)
	}
	return out
}

func press(t *testing.T, a app, keys ...string) (app, tea.Cmd) {
	t.Helper()
	var cmd tea.Cmd
	for _, k := range keys {
		msg := tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune(k)}
		switch k {
		case "enter":
			msg = tea.KeyMsg{Type: tea.KeyEnter}
		case "esc":
			msg = tea.KeyMsg{Type: tea.KeyEsc}
		case "tab":
			msg = tea.KeyMsg{Type: tea.KeyTab}
		case "backspace":
			msg = tea.KeyMsg{Type: tea.KeyBackspace}
		}
		var next tea.Model
		next, cmd = a.Update(msg)
		a, _ = next.(app)
	}
	return a, cmd
}

func TestScreensAgainstGoldens(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, lang    string
		width, height int
		keys          []string
	}{
		{"overview_80x24_en", "en", 80, 24, nil},
		{"overview_80x24_zh", "zh", 80, 24, nil},
		{"overview_140x45_en", "en", 140, 45, nil},
		{"overview_140x45_zh", "zh", 140, 45, []string{"tab"}},
		{"help_80x24_en", "en", 80, 24, []string{"?"}},
		{"charger_80x24_zh", "zh", 80, 24, []string{"l", "l", "enter"}},
		{"order_80x24_en", "en", 80, 24, []string{"tab", "enter"}},
		{"chargers_80x24_zh", "zh", 80, 24, []string{"2"}},
		{"chargers_140x45_en", "en", 140, 45, []string{"2"}},
		{"sessions_80x24_en", "en", 80, 24, []string{"3"}},
		{"orders_80x24_zh", "zh", 80, 24, []string{"4"}},
		{"orders_140x45_en", "en", 140, 45, []string{"4"}},
		{"alerts_80x24_en", "en", 80, 24, []string{"5"}},
		{"alerts_140x45_zh", "zh", 140, 45, []string{"5"}},
		{"money_80x24_zh", "zh", 80, 24, []string{"6"}},
		{"money_140x45_en", "en", 140, 45, []string{"6"}},
		{"tenants_80x24_en", "en", 80, 24, []string{"7"}},
		{"log_80x24_en", "en", 80, 24, []string{"8", "f"}},
		{"help_140x45_zh", "zh", 140, 45, []string{"?"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a, cmd := press(t, start(t, newFake(), c.lang, c.width, c.height), c.keys...)
			if cmd != nil {
				a = send(t, a, cmd())
			}
			got := a.View()
			lines := strings.Split(got, "\n")
			if len(lines) != c.height {
				t.Errorf("%d lines, want %d", len(lines), c.height)
			}
			for i, line := range lines {
				if w := ansi.StringWidth(line); w > c.width {
					t.Errorf("line %d is %d wide: %q", i, w, line)
				}
			}
			path := filepath.Join("testdata", c.name+".golden")
			if *update {
				if err := os.WriteFile(path, []byte(got+"\n"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got+"\n"); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestALateAnswerIsDropped(t *testing.T) {
	t.Parallel()
	a := start(t, newFake(), "en", 80, 24)
	next, _ := a.reread()
	a, _ = next.(app)
	a = send(t, a, overviewMsg{sequence: a.sequence - 1, err: errDown})
	if a.why != nil || !a.loading {
		t.Errorf("a late answer was taken: %v", a.why)
	}
	a, _ = press(t, a, "enter")
	a = send(t, a, chargerMsg{sequence: a.detail - 1, charger: api.Charger{ChargerID: 9}})
	if a.charger != nil {
		t.Error("late details were taken")
	}
}

func TestEventsAreGathered(t *testing.T) {
	t.Parallel()
	a := start(t, newFake(), "en", 80, 24)
	before := a.sequence
	next, first := a.Update(eventMsg{})
	a, _ = next.(app)
	next, second := a.Update(eventMsg{})
	a, _ = next.(app)
	if first == nil || second != nil || a.sequence != before {
		t.Fatal("a burst of events set more than one clock")
	}
	next, cmd := a.Update(settleMsg{})
	a, _ = next.(app)
	if cmd == nil || a.sequence != before+1 || a.dirty {
		t.Error("the burst was not read")
	}
}

func TestALostConnectionHasAWayBack(t *testing.T) {
	t.Parallel()
	f := newFake()
	a := start(t, f, "en", 80, 24)
	asked := 0
	a.again = func() { asked++ }
	a = send(t, a, linkMsg{errDown})
	if !strings.Contains(a.View(), "connection lost") || !strings.Contains(a.View(), errDown.Error()) || !strings.Contains(a.View(), "FT-DC-01") {
		t.Error("the loss is not shown, or hides the data")
	}
	a, cmd := press(t, a, "r")
	if asked != 1 || cmd == nil || a.link != linkConnecting {
		t.Errorf("no way back: asked %d, %v", asked, a.link)
	}
	a = send(t, a, linkMsg{nil})
	if a.link != linkLive || strings.Contains(a.View(), "connection lost") {
		t.Error("it did not come back")
	}
}

func TestFailedDetailsCanBeLeft(t *testing.T) {
	t.Parallel()
	a := start(t, newFake(), "en", 80, 24)
	a, _ = press(t, a, "enter")
	a = send(t, a, chargerMsg{sequence: a.detail, err: errDown})
	if !strings.Contains(a.View(), errDown.Error()) {
		t.Error("the failure is not shown")
	}
	if a, _ = press(t, a, "esc"); a.top() != screenOverview {
		t.Error("there is no way back")
	}
	if a, _ = press(t, a, "esc"); a.top() != screenOverview {
		t.Error("the last screen was left")
	}
}

func TestCursorStaysInside(t *testing.T) {
	t.Parallel()
	f := newFake()
	a := start(t, f, "en", 80, 24)
	for range 30 {
		a, _ = press(t, a, "j", "l")
	}
	if a.cursor[panelChargers] >= len(f.overview.Chargers) {
		t.Errorf("cursor at %d", a.cursor[panelChargers])
	}
	f.overview.Chargers = f.overview.Chargers[:1]
	a = send(t, a, a.read()())
	if a.cursor[panelChargers] != 0 {
		t.Errorf("cursor at %d of 1", a.cursor[panelChargers])
	}
	f.overview = Overview{}
	a = send(t, a, a.read()())
	if next, cmd := press(t, a, "enter"); cmd != nil || next.top() != screenOverview {
		t.Error("nothing was opened as something")
	}
}

func TestASmallWindowSaysSo(t *testing.T) {
	t.Parallel()
	a := send(t, start(t, newFake(), "zh", 80, 24), tea.WindowSizeMsg{Width: 60, Height: 20})
	if got := a.View(); !strings.Contains(got, "80x24") {
		t.Errorf("got %q", got)
	}
}

func TestTheManualHasTheKeys(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/tui.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), KeyTable()) {
		t.Errorf("docs/tui.md does not hold the key table:\n%s", KeyTable())
	}
}

func TestFlowOpenAndQuit(t *testing.T) {
	t.Parallel()
	a := start(t, newFake(), "en", 80, 24)
	program := teatest.NewTestModel(t, a, teatest.WithInitialTermSize(80, 24))
	teatest.WaitFor(t, program.Output(), func(b []byte) bool { return bytes.Contains(b, []byte("FT-DC-01")) }, teatest.WithDuration(10*time.Second))
	program.Send(tea.KeyMsg{Type: tea.KeyTab})
	program.Send(tea.KeyMsg{Type: tea.KeyEnter})
	teatest.WaitFor(t, program.Output(), func(b []byte) bool { return bytes.Contains(b, []byte("61.38")) }, teatest.WithDuration(10*time.Second))
	program.Send(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune("q")})
	program.WaitFinished(t, teatest.WithFinalTimeout(10*time.Second))
}

func TestFollowWaitsToBeAskedAgain(t *testing.T) {
	t.Parallel()
	f := newFake()
	ctx, cancel := context.WithCancel(t.Context())
	wake := make(chan struct{}, 1)
	got := make(chan tea.Msg, 10)
	done := make(chan struct{})
	go func() {
		defer close(done)
		follow(ctx, f, wake, func(m tea.Msg) { got <- m })
	}()
	if m, ok := (<-got).(linkMsg); !ok || m.err != nil {
		t.Fatalf("got %v", m)
	}
	f.events <- api.Event{EventID: 5}
	if m, ok := (<-got).(eventMsg); !ok || m.event.EventID != 5 {
		t.Fatalf("got %v", m)
	}
	f.states <- errDown
	if m, ok := (<-got).(linkMsg); !ok || !errors.Is(m.err, errDown) {
		t.Fatalf("got %v", m)
	}
	wake <- struct{}{}
	if m, ok := (<-got).(linkMsg); !ok || m.err != nil || f.follows.Load() != 2 {
		t.Fatalf("got %v", m)
	}
	cancel()
	<-done
}
