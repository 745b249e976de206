package main

import (
	"database/sql"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evcs/evcs/bench/probe"
	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/chargersim/journal"
	"github.com/evcs/evcs/internal/paygate"
)

func TestNoticesAreRead(t *testing.T) {
	t.Parallel()
	const alipay, wechat = "/api/payment/callback/alipay/T", "/api/payment/callback/wechat/T"
	form := func(pairs ...string) string {
		v := url.Values{}
		for i := 0; i < len(pairs); i += 2 {
			v.Set(pairs[i], pairs[i+1])
		}
		return v.Encode()
	}
	for name, test := range map[string]struct {
		path, body string
		want       notice
	}{
		"alipay, payment": {alipay, form("notify_id", "n1", "out_trade_no", "EV1"), notice{"alipay", "n1", "EV1", ""}},
		"alipay, refund":  {alipay, form("notify_id", "n1", "out_trade_no", "EV1", "out_biz_no", "ER1"), notice{"alipay", "n1", "", "ER1"}},
		"wechat, payment": {wechat, `{"id":"n2","summary":"payment EV2"}`, notice{"wechat", "n2", "EV2", ""}},
		"wechat, refund":  {wechat, `{"id":"n2","summary":"refund ER2"}`, notice{"wechat", "n2", "", "ER2"}},
	} {
		if got, err := readNotice(test.path, []byte(test.body)); err != nil || got != test.want {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	for _, x := range [][2]string{{alipay, "out_trade_no=EV1"}, {alipay, "%"}, {wechat, "{}"}, {wechat, "no"}} {
		if got, err := readNotice(x[0], []byte(x[1])); err == nil {
			t.Errorf("%q is read as %+v", x, got)
		}
	}
}

// TestOnlySuccessIsNoted: each channel has its own word for it.
func TestOnlySuccessIsNoted(t *testing.T) {
	t.Parallel()
	const alipay, wechat = "/api/payment/callback/alipay/T", "/api/payment/callback/wechat/T"
	g := &gate{acked: make(chan struct{}, 1), answered: map[string]notice{}}
	for _, x := range []struct {
		path, body string
		status     int
		answer     string
	}{
		{alipay, "notify_id=a1&out_trade_no=EV1", http.StatusServiceUnavailable, "failure"},
		{alipay, "notify_id=a2&out_trade_no=EV2", http.StatusOK, "failure"},
		{wechat, `{"id":"w1","summary":"payment EV3"}`, http.StatusUnauthorized, ""},
		{alipay, "notify_id=a3&out_trade_no=EV4", http.StatusOK, "success"},
		{wechat, `{"id":"w2","summary":"payment EV5"}`, http.StatusNoContent, ""},
		{wechat, `{"id":"w2","summary":"payment EV5"}`, http.StatusNoContent, ""},
	} {
		g.note(x.path, []byte(x.body), x.status, []byte(x.answer))
	}
	if len(g.answered) != 2 || g.answered["alipay a3"].trade != "EV4" || g.answered["wechat w2"].trade != "EV5" || g.repeated != 1 || len(g.recent) != 3 || len(g.acked) != 1 {
		t.Errorf("%+v, %d again, %d recent", g.answered, g.repeated, len(g.recent))
	}
}

// outside is a platform and a gateway that agree: two payments, one of which
// went back in two parts.
func outside() *verifier {
	paid := time.Unix(1_770_000_000, 0)
	trades := []paygate.Overview{
		{Channel: paygate.Alipay, TradeNo: "EV1", Amount: "10.00", State: "PAID", Paid: &paid, Refunds: []paygate.OverviewRefund{{RefundNo: "ER1", Amount: "3.00"}, {RefundNo: "ER2", Amount: "4.00"}}},
		{Channel: paygate.Wechat, TradeNo: "EV2", Amount: "20.00", State: "PAID", Paid: &paid},
		{Channel: paygate.Wechat, TradeNo: "EV3", Amount: "5.00", State: "CLOSED"},
	}
	return &verifier{
		torture: &torture{gate: &gate{trades: func() []paygate.Overview { return trades }}, till: &till{pays: map[int64]api.Payment{1: {Channel: "alipay"}, 2: {Channel: "wechat"}}}}, s: &summary{},
		payments: map[string]api.Payment{
			"EV1": {TradeNo: "EV1", Channel: "alipay", Amount: 1000, Status: api.PaymentPartiallyRefunded, RefundedAmount: 700},
			"EV2": {TradeNo: "EV2", Channel: "wechat", Amount: 2000, Status: api.PaymentSuccess},
			"EV3": {TradeNo: "EV3", Channel: "wechat", Amount: 500, Status: api.PaymentClosed},
			"EV4": {TradeNo: "EV4", Channel: "sandbox", Amount: 500, Status: api.PaymentSuccess},
		},
		refunds: map[string]api.Refund{
			"ER1": {RefundNo: "ER1", TradeNo: "EV1", RefundAmount: 300, RefundStatus: api.RefundSuccess},
			"ER2": {RefundNo: "ER2", TradeNo: "EV1", RefundAmount: 400, RefundStatus: api.RefundSuccess},
		},
	}
}

// TestWhatTheGatewayKnowsIsCompared breaks the agreement in every way.
func TestWhatTheGatewayKnowsIsCompared(t *testing.T) {
	t.Parallel()
	payment := func(no string, change func(*api.Payment)) func(*verifier) {
		return func(v *verifier) {
			p := v.payments[no]
			change(&p)
			v.payments[no] = p
		}
	}
	refund := func(no string, change func(*api.Refund)) func(*verifier) {
		return func(v *verifier) {
			r := v.refunds[no]
			change(&r)
			v.refunds[no] = r
		}
	}
	trades := func(change func([]paygate.Overview) []paygate.Overview) func(*verifier) {
		return func(v *verifier) {
			list := change(slices.Clone(v.gate.trades()))
			v.gate.trades = func() []paygate.Overview { return list }
		}
	}
	for name, test := range map[string]struct {
		wrong func(*verifier)
		want  kind
	}{
		"right":                  {func(*verifier) {}, ""},
		"a trade is forgotten":   {func(v *verifier) { delete(v.payments, "EV3") }, unknown},
		"a payment is forgotten": {payment("EV2", func(p *api.Payment) { p.Status = api.PaymentPending }), lostPayment},
		"a payment is of less":   {payment("EV2", func(p *api.Payment) { p.Amount-- }), lostPayment},
		"a refund is forgotten":  {func(v *verifier) { delete(v.refunds, "ER1") }, unknown},
		"a refund is not done":   {refund("ER1", func(r *api.Refund) { r.RefundStatus = api.RefundProcessing }), lostRefund},
		"a refund is of more":    {refund("ER1", func(r *api.Refund) { r.RefundAmount++ }), lostRefund},
		"another sum went back":  {payment("EV1", func(p *api.Payment) { p.RefundedAmount = 300 }), wrongMoney},
		"an invented refund":     {func(v *verifier) { v.refunds["ER3"] = api.Refund{RefundNo: "ER3", TradeNo: "EV2"} }, invented},
		"an invented payment":    {payment("EV3", func(p *api.Payment) { p.Status = api.PaymentSuccess }), invented},
		"more went back than came": {trades(func(l []paygate.Overview) []paygate.Overview {
			l[0].Refunds = append(slices.Clone(l[0].Refunds), paygate.OverviewRefund{RefundNo: "ER1b", Amount: "3.01"})
			return l
		}), doubled},
	} {
		v := outside()
		test.wrong(v)
		if err := v.compareGate(t.Context()); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := v.faulty.kinds; len(got) > 0 != (test.want != "") || test.want != "" && got[test.want] == 0 {
			t.Errorf("%s: found %v, want %q", name, v.faulty.texts, test.want)
		}
	}
}

// TestTheGatewaysBooks: what its statement has to say.
func TestTheGatewaysBooks(t *testing.T) {
	t.Parallel()
	g := outside().gate
	for channel, want := range map[string]books{"alipay": {3, 1000, 700, 6}, "wechat": {1, 2000, 0, 12}} {
		if got, err := g.books(channel); err != nil || got != want {
			t.Errorf("%s: %+v, %v", channel, got, err)
		}
	}
}

// TestADayThatTheGatewayDeniesIsFound holds runs of a real channel's day against
// the gateway.
func TestADayThatTheGatewayDeniesIsFound(t *testing.T) {
	t.Parallel()
	money := func(fen api.Money) *api.Money { return &fen }
	for name, test := range map[string]struct {
		wrong func(*api.ReconResult)
		want  bool
	}{
		"right":             {func(*api.ReconResult) {}, false},
		"a row is missing":  {func(r *api.ReconResult) { r.TotalCount, r.MatchedCount = 2, 2 }, true},
		"a row differs":     {func(r *api.ReconResult) { r.MatchedCount = 2; r.Counts.AmountMismatch = 1 }, true},
		"our money differs": {func(r *api.ReconResult) { r.SystemTotalAmount++ }, true},
		"the fee differs":   {func(r *api.ReconResult) { r.FeeTotal = money(7) }, true},
		"something is open": {func(r *api.ReconResult) { r.OpenDifferences = 1 }, true},
		"money moved besides": {func(r *api.ReconResult) {
			r.Funds = &api.ReconFunds{PaymentAmount: 1000, RefundAmount: 700, FeeAmount: 6, UnexplainedDrift: 1}
		}, true},
		"no fund statement": {func(r *api.ReconResult) { r.Funds = nil }, true},
	} {
		r := api.ReconResult{
			Status: api.ReconSuccess, TotalCount: 3, MatchedCount: 3, SystemTotalAmount: 300, ChannelTotalAmount: money(300), FeeTotal: money(6),
			Funds: &api.ReconFunds{PaymentAmount: 1000, RefundAmount: 700, FeeAmount: 6},
		}
		test.wrong(&r)
		d := day{"alipay", "2026-02-09"}
		tor := outside().torture
		c := &clerks{t: tor, days: map[day]api.ReconResult{d: r}}
		if err := c.agrees(d); err != nil {
			t.Fatal(err)
		}
		if got := tor.faulty.kinds[wrongDay] > 0; got != test.want {
			t.Errorf("%s: found %v", name, tor.faulty.texts)
		}
	}
}

// TestWhatIsNotKeptIsFound looks into a database for notifications and bills of
// chargers.
func TestWhatIsNotKeptIsFound(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		sql  string
		want kind
	}{
		"right":                        {"SELECT 1", ""},
		"a notification is lost":       {"DELETE FROM callbacks WHERE event_id = 'n1'", lostNotice},
		"a notification is kept twice": {"INSERT INTO callbacks VALUES ('wechat', 'n2')", doubled},
		"a bill is lost":               {"DELETE FROM charger_bills", lostBill},
		"a bill is kept twice":         {"INSERT INTO charger_bills VALUES (1, 500)", doubled},
		"a bill is of another sum":     {"UPDATE charger_bills SET amount = 501", wrongMoney},
		"a bill that nobody told":      {"INSERT INTO charger_bills VALUES (2, 500)", invented},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "evcs.db")
		if err := newWorld(t.Error).book(path); err != nil {
			t.Fatal(err)
		}
		db, err := sql.Open("sqlite", path)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{"INSERT INTO callbacks VALUES ('alipay', 'n1'), ('wechat', 'n2')", "INSERT INTO charger_bills VALUES (1, 500)", test.sql} {
			if _, err := db.ExecContext(t.Context(), text); err != nil {
				t.Fatal(err)
			}
		}
		db.Close()
		v := outside()
		v.engine, v.daemon = sqlite, &probe.Daemon{Dir: dir}
		v.gate.answered = map[string]notice{"alipay n1": {"alipay", "n1", "EV1", ""}, "wechat n2": {"wechat", "n2", "EV2", ""}}
		v.bills = []toldBill{{"CP/1/1", 1, 500}}
		if err := v.leftBehind(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := v.faulty.kinds; len(got) > 0 != (test.want != "") || test.want != "" && got[test.want] == 0 {
			t.Errorf("%s: found %v, want %q", name, v.faulty.texts, test.want)
		}
	}
}

// TestABillIsMarked: a charger's own bill that differs is a mark of the order,
// and one that does not is none.
func TestABillIsMarked(t *testing.T) {
	t.Parallel()
	mark := []string{"DEVICE_BILL_DIFF"}
	for name, test := range map[string]struct {
		bill  int64
		marks []string
		want  kind
	}{
		"no bill":                  {0, nil, ""},
		"the same, not marked":     {500, nil, ""},
		"the same, marked":         {500, mark, wrongMoney},
		"another, marked":          {600, mark, ""},
		"another, not marked":      {600, nil, lostBill},
		"within what can be cut":   {maxPeriods + 500, nil, ""},
		"a fen beyond, not marked": {maxPeriods + 501, nil, lostBill},
	} {
		v := outside()
		order := int64(9)
		v.orders = map[int64]api.Order{order: {OrderID: order, Amount: 500, Anomalies: test.marks}}
		v.told(journal.Session{Local: "CP/1/1", Stop: &journal.Entry{Bill: test.bill}}, api.Session{OrderID: &order})
		if got := v.faulty.kinds; len(got) > 0 != (test.want != "") || test.want != "" && got[test.want] == 0 || len(v.bills) > 0 != (test.bill > 0) {
			t.Errorf("%s: found %v, want %q, %d bills", name, v.faulty.texts, test.want, len(v.bills))
		}
	}
}

// TestChargersLegIsCompared: each bill that differs is one difference of the day
// in which its order was paid.
func TestChargersLegIsCompared(t *testing.T) {
	t.Parallel()
	shown := record{"differenceId": 7, "batchId": 1, "kind": "AMOUNT_MISMATCH", "state": "OPEN", "direction": "PAY", "orderId": 9, "facets": []string{"CHARGER", "MONEY"}}
	for name, test := range map[string]struct {
		rows  []record
		count int64
		want  kind
	}{
		"right":                 {[]record{shown}, 1, ""},
		"it is not shown":       {nil, 1, lostBill},
		"it is shown twice":     {[]record{shown, shown}, 1, doubled},
		"the day has none":      {[]record{shown}, 0, wrongDay},
		"another one is no day": {[]record{shown}, 2, wrongDay},
	} {
		w := newWorld(t.Error)
		w.wrong = func(string, []record) []record { return test.rows }
		v := outside()
		v.till.pays[9] = api.Payment{Channel: sandbox}
		v.orders = map[int64]api.Order{9: {Anomalies: []string{"DEVICE_BILL_DIFF"}}}
		v.bills = []toldBill{{"CP/1/1", 9, 500}}
		v.clerks = &clerks{
			t: v.torture, maker: probe.NewClient(serveWorld(t, w), 1),
			days: map[day]api.ReconResult{{sandbox, "d"}: {Chargers: &api.ReconChargers{TotalCount: test.count}}},
		}
		if err := v.compareBills(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := v.faulty.kinds; len(got) > 0 != (test.want != "") || test.want != "" && got[test.want] == 0 {
			t.Errorf("%s: found %v, want %q", name, v.faulty.texts, test.want)
		}
	}
}

// TestAForgottenNotificationIsFoundAtOnce: after a kill evcsd is asked for what
// it had answered.
func TestAForgottenNotificationIsFoundAtOnce(t *testing.T) {
	t.Parallel()
	base := serveAnswers(t, map[string]string{
		"/api/payment/query/EV1":  `{"tradeNo":"EV1","status":2,"statusName":"SUCCESS"}`,
		"/api/payment/query/EV2":  `{"tradeNo":"EV2","status":1,"statusName":"PROCESSING"}`,
		"/api/payment/refund/ER1": `{"refundNo":"ER1","refundStatus":2,"statusName":"SUCCESS"}`,
		"/api/payment/refund/ER2": `{"refundNo":"ER2","refundStatus":1,"statusName":"PROCESSING"}`,
	})
	for name, test := range map[string]struct {
		n    notice
		want string
	}{
		"paid":             {notice{"alipay", "n", "EV1", ""}, ""},
		"not paid":         {notice{"wechat", "n", "EV2", ""}, "EV2 was paid"},
		"not there":        {notice{"wechat", "n", "EV3", ""}, "EV3 was paid"},
		"given back":       {notice{"wechat", "n", "", "ER1"}, ""},
		"not given back":   {notice{"wechat", "n", "", "ER2"}, "ER2 was done"},
		"asked about":      {notice{"alipay", "n", "", "ER2"}, ""},
		"refund not there": {notice{"alipay", "n", "", "ER3"}, "ER3 was done"},
	} {
		var faulty findings
		g := &gate{recent: []notice{test.n}}
		if err := g.look(t.Context(), probe.NewClient(base, 1), &faulty); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(faulty.texts, "\n"); got != "" != (test.want != "") || !strings.Contains(got, test.want) {
			t.Errorf("%s: found %q, want %q", name, got, test.want)
		}
		if len(g.recent) > 0 {
			t.Errorf("%s: it is looked up again", name)
		}
	}
	if err := (*gate)(nil).look(t.Context(), nil, nil); err != nil {
		t.Error(err)
	}
}

// serveWorld serves a world until the test ends.
func serveWorld(t *testing.T, w *world) string {
	t.Helper()
	srv := httptest.NewServer(w)
	t.Cleanup(srv.Close)
	return srv.URL
}

// serveAnswers answers each path with its data, and others with not found.
func serveAnswers(t *testing.T, data map[string]string) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, known := data[r.URL.Path]
		if !known {
			w.WriteHeader(http.StatusNotFound)
			io.WriteString(w, `{"code":4004,"message":"none","data":null}`)
			return
		}
		io.WriteString(w, `{"code":200,"data":`+text+`}`)
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}
