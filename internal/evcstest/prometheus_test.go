package evcstest_test

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/evcs/evcs/internal/evcstest"
)

// scrape reads /metrics: its series as they stand, and the names in them.
func scrape(t *testing.T, d *evcstest.Daemon, token string) (status int, text string, names map[string]bool) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, d.URL+"/metrics", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	names = make(map[string]bool)
	for line := range strings.Lines(string(body)) {
		if name := regexp.MustCompile(`^[a-z_:][a-z0-9_:]*`).FindString(line); name != "" {
			names[name] = true
		}
	}
	return answer.StatusCode, string(body), names
}

// expressions are all queries of the shipped dashboard and alert rules.
func expressions(t *testing.T) []string {
	t.Helper()
	var board struct {
		Panels []struct{ Targets []struct{ Expr string } }
	}
	text, err := os.ReadFile("../../docs/monitoring/grafana-dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, p := range board.Panels {
		for _, target := range p.Targets {
			list = append(list, target.Expr)
		}
	}
	var rules struct {
		Groups []struct {
			Rules []struct{ Alert, Expr string }
		}
	}
	if text, err = os.ReadFile("../../docs/monitoring/alerts.rules.yaml"); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &rules); err != nil {
		t.Fatal(err)
	}
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			if r.Alert == "" || r.Expr == "" {
				t.Errorf("an empty rule: %+v", r)
			}
			list = append(list, r.Expr)
		}
	}
	if len(list) < 30 {
		t.Fatalf("only %d expressions", len(list))
	}
	return list
}

var (
	inBraces = regexp.MustCompile(`\{[^}]*\}|\[[^\]]*\]`)
	byLabels = regexp.MustCompile(`\b(?:by|without|on|ignoring)\s*\([^)]*\)`)
	word     = regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*(\s*\()?`)
)

// metricsIn are the metric names of an expression: what is no function, keyword,
// label or selector.
func metricsIn(expr string) []string {
	var names []string
	for _, w := range word.FindAllString(byLabels.ReplaceAllString(inBraces.ReplaceAllString(expr, ""), ""), -1) {
		if !strings.HasSuffix(w, "(") && !slices.Contains([]string{"and", "or", "unless", "sum", "max", "min"}, w) {
			names = append(names, w)
		}
	}
	return names
}

// The names of contract §17.3.
var promised = []string{
	"evcs_http_request_duration_seconds_bucket", "evcs_order_created_total", "evcs_order_start_failed_total", "evcs_order_stopped_total",
	"evcs_order_held_total", "evcs_order_active", "evcs_charger", "evcs_charger_connected", "evcs_device_messages_total", "evcs_command_total",
	"evcs_payment_total", "evcs_payment_amount_fen_total", "evcs_refund_total", "evcs_callback_total", "evcs_reconciliation_runs_total",
	"evcs_reconciliation_open_differences", "evcs_outbox_lag_seconds", "evcs_alert_open", "evcs_auth_failures_total", "go_goroutines",
}

func TestMetricsOfADayHaveEveryName(t *testing.T) {
	t.Parallel()
	d := evcstest.Start(t)
	d.Clock.Set(begun)
	y := build(t, d, d.Admin(), "CP-P")
	p := connect(t, d, y.device, y.secret)
	p.call("BootNotification", map[string]any{"chargePointVendor": "v", "chargePointModel": "m"}, nil)
	p.call("StatusNotification", map[string]any{"connectorId": 1, "status": "Preparing", "errorCode": "NoError"}, nil)
	var started struct{ TransactionID int64 }
	p.call("StartTransaction", map[string]any{"connectorId": 1, "idTag": "T1", "meterStart": 0, "timestamp": begun.Format(time.RFC3339)}, &started)
	y.pass(30 * time.Minute)
	p.call("StopTransaction", map[string]any{"transactionId": started.TransactionID, "meterStop": 10_000, "timestamp": d.Clock.Now().Format(time.RFC3339)}, nil)
	b := y.order(t)
	y.by.OK(t, http.MethodPut, "/api/tenant/1/settings", map[string]any{"sandboxPayments": true})
	var paid struct{ TradeNo string }
	y.by.OK(t, http.MethodPost, "/api/payment/create", map[string]any{"orderId": b.OrderID, "amount": json.Number("15.00"), "paymentMethod": "SANDBOX"}).Into(t, &paid)
	y.by.OK(t, http.MethodPost, "/api/payment/sandbox/"+paid.TradeNo+"/pay", map[string]any{"outcome": "SUCCESS"})
	d.Anyone().Call(t, http.MethodPost, "/api/auth/login", map[string]any{"identifier": "admin@tenant1", "password": "wrong-password-1"})

	wanted := []string{
		"evcs_order_created_total 1", "evcs_order_stopped_total 1", `evcs_payment_total{channel="sandbox",result="success"} 1`,
		`evcs_payment_amount_fen_total{channel="sandbox"} 1500`, `evcs_callback_total{channel="sandbox",result="done"} 1`,
		`evcs_auth_failures_total{reason="BAD_CREDENTIALS"} 1`, "evcs_order_active 0", `evcs_charger{status="offline"} 0`,
		`evcs_charger_connected{protocol="OCPP16"} 1`, `evcs_alert_open{severity="CRITICAL"} 0`,
	}
	for _, series := range wanted {
		evcstest.Eventually(t, series, func() bool {
			_, text, _ := scrape(t, d, "")
			return strings.Contains(text, "\n"+series+"\n")
		})
	}
	status, _, names := scrape(t, d, "")
	if status != http.StatusOK {
		t.Fatalf("%d", status)
	}
	for _, name := range promised {
		if !names[name] {
			t.Errorf("%s is promised and missing", name)
		}
	}
	names["up"] = true // Prometheus' own
	for _, expr := range expressions(t) {
		found := metricsIn(expr)
		if len(found) == 0 {
			t.Errorf("no metric in %s", expr)
		}
		for _, name := range found {
			if !names[name] {
				t.Errorf("%s does not exist, in %s", name, expr)
			}
		}
	}
}

func TestMetricsAreNotForEverybody(t *testing.T) {
	t.Parallel()
	d := evcstest.Start(t, closedMetrics)
	admin := d.Admin()
	for token, want := range map[string]int{"": http.StatusNotFound, "nonsense": http.StatusNotFound, found(t, d, admin, "B").Token(): http.StatusNotFound, admin.Token(): http.StatusOK} {
		if status, _, _ := scrape(t, d, token); status != want {
			t.Errorf("with %.10q: %d, want %d", token, status, want)
		}
	}
}
