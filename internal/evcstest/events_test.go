package evcstest_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/evcstest"
)

// A day with everything in it emits every type of event that the contract
// names.
func TestADayEmitsEveryType(t *testing.T) {
	t.Parallel()
	d := evcstest.Start(t)
	platform := d.Admin()
	e := settle(t, d, platform, "DAY", nil, 2)
	e.furnish(t, d, platform, 1)
	var key struct{ Secret string }
	e.boss.OK(t, http.MethodPost, fmt.Sprintf("/api/charger/%v/credential", e.ids["chargerId"]), map[string]any{}).Into(t, &key)
	p := connect(t, d, e.ids["deviceId"].(string), key.Secret)
	var started struct {
		TransactionID int64 `json:"transactionId"`
	}
	now := d.Clock.Now()
	p.call("StartTransaction", map[string]any{"connectorId": 4, "idTag": e.ids["idTag"], "meterStart": 0, "timestamp": now}, &started)
	p.call("MeterValues", map[string]any{"connectorId": 4, "transactionId": started.TransactionID, "meterValue": []any{map[string]any{
		"timestamp": now, "sampledValue": []any{map[string]any{"value": "500", "measurand": "Energy.Active.Import.Register", "unit": "Wh"}},
	}}}, nil)
	p.call("StopTransaction", map[string]any{"transactionId": started.TransactionID, "meterStop": 600, "timestamp": now}, nil)
	if err := p.conn.Close(); err != nil {
		t.Error(err)
	}
	e.boss.OK(t, http.MethodPost, fmt.Sprintf("/api/monitoring/alerts/%v/acknowledge", e.ids["alertId"]), map[string]any{})
	platform.OK(t, http.MethodPut, fmt.Sprintf("/api/tenant/quota/%v", e.ids["tenantId"]), map[string]any{"maxStations": 1})
	if a := e.boss.Call(t, http.MethodPost, "/api/station", map[string]any{"stationCode": "over", "stationName": "x", "address": "x"}); a.Code != int(evcs.CodeQuotaExceeded) {
		t.Fatalf("over the quota: %d %s", a.Code, a.Message)
	}
	platform.OK(t, http.MethodPut, fmt.Sprintf("/api/tenant/%v/status", e.ids["childId"]), map[string]any{"status": 0})
	missing := func() []string {
		var list []struct {
			Type string `json:"type"`
		}
		platform.OK(t, http.MethodGet, "/api/events?size=1000&tenantScope=SELF_AND_DESCENDANTS", nil).Into(t, &list)
		seen := make(map[string]bool)
		for _, one := range list {
			seen[one.Type] = true
		}
		var none []string
		for _, kind := range evcs.EventTypes() {
			if !seen[kind] {
				none = append(none, kind)
			}
		}
		return none
	}
	defer func() {
		if t.Failed() {
			t.Logf("never emitted: %v", missing())
		}
	}()
	evcstest.Eventually(t, "every type of event", func() bool { return len(missing()) == 0 })
}
