package evcstest_test

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/config"
	"github.com/evcs/evcs/internal/evcstest"
	"github.com/evcs/evcs/internal/tenant"
)

// A day with everything in it leaves every action of the contract on the record,
// the changes with before and after, and no secret.
func TestEveryActionIsOnTheRecord(t *testing.T) {
	t.Parallel()
	d := evcstest.Start(t, evcstest.WithConfig(func(c *config.Config) { c.RateLimit.LoginPerMinute, c.RateLimit.ExportPerMinute = 0, 0 }))
	platform := d.Admin()
	e := settle(t, d, platform, "AUD", nil, 2)
	e.furnish(t, d, platform, 5)
	secrets := []string{evcstest.Password, "0123456789abcdef", "Another-staple-9", "whsec_", "evcs_"}
	do := func(by evcstest.Caller, method, path string, body any, ids ...string) {
		t.Helper()
		args := make([]any, len(ids))
		for i, id := range ids {
			args[i] = e.ids[id]
		}
		by.OK(t, method, fmt.Sprintf(path, args...), body)
	}
	type fields = map[string]any

	// people
	do(e.boss, "PUT", "/api/user/%v", fields{"realName": "changed"}, "userId")
	do(e.boss, "POST", "/api/user/%v/reset-password", fields{"newPassword": "Another-staple-9", "mustChangePassword": 0}, "userId")
	worker := e.ids["identifier"].(string)
	var tokens api.LoginResult
	d.Anyone().OK(t, "POST", "/api/auth/login", fields{"identifier": worker, "password": "Another-staple-9"}).Into(t, &tokens)
	d.Anyone().Call(t, "POST", "/api/auth/login", fields{"identifier": worker, "password": "wrong-horse-1"})
	secrets = append(secrets, tokens.Token, tokens.RefreshToken, "wrong-horse-1")
	d.Anyone().OK(t, "POST", "/api/auth/refresh", fields{"refreshToken": tokens.RefreshToken})
	d.Anyone().Call(t, "POST", "/api/auth/refresh", fields{"refreshToken": tokens.RefreshToken})
	again := d.SignIn(worker, "Another-staple-9")
	do(again, "POST", "/api/auth/password", fields{"oldPassword": "Another-staple-9", "newPassword": "Another-staple-10"})
	do(again, "POST", "/api/auth/logout", fields{})
	do(e.boss, "PUT", "/api/role/%v", fields{"roleName": "changed"}, "roleId")
	do(e.boss, "PUT", "/api/auth/api-keys/%v", fields{"name": "changed"}, "keyId")
	do(e.boss, "DELETE", "/api/auth/api-keys/%v", nil, "keyId")
	do(e.boss, "PUT", "/api/user/%v/roles", fields{"roles": []string{"VIEWER"}}, "userId")
	do(e.boss, "DELETE", "/api/role/%v", nil, "roleId")
	do(e.boss, "DELETE", "/api/user/%v", nil, "userId")

	// money
	var orders []api.Order
	e.boss.OK(t, "GET", "/api/order/list?status=10", nil).Into(t, &orders)
	if len(orders) < 4 {
		t.Fatalf("%d orders to pay", len(orders))
	}
	on := func(i int, what string) string { return evcstest.Path("/api/order/%d/%s", orders[i].OrderID, what) }
	do(e.boss, "POST", on(0, "cancel"), fields{"reason": "r"})
	do(e.boss, "POST", on(1, "adjust"), fields{"discountAmount": 1, "reason": "r"})
	do(e.boss, "POST", on(3, "paid"), fields{})
	e.boss.OK(t, "POST", "/api/user", fields{"username": "checker", "password": evcstest.Password, "roles": []string{"FINANCE"}})
	checker := d.SignIn("checker@"+e.code, evcstest.Password)
	do(e.boss, "POST", "/api/reconciliation/difference/%v/resolve", fields{"action": "EXPLAIN", "reason": "r"}, "differenceId")
	do(checker, "POST", "/api/reconciliation/difference/%v/approve", fields{}, "differenceId")
	var open []api.Difference
	e.boss.OK(t, "GET", "/api/reconciliation/difference/list?state=OPEN", nil).Into(t, &open)
	for _, x := range open {
		do(e.boss, "POST", evcstest.Path("/api/reconciliation/difference/%d/resolve", x.DifferenceID), fields{"action": "EXPLAIN", "reason": "r"})
		do(checker, "POST", evcstest.Path("/api/reconciliation/difference/%d/approve", x.DifferenceID), fields{})
	}
	moved := fields{"kind": "PAID_OUT", "channel": "alipay", "reference": "B-1", "amount": 1}
	do(e.boss, "POST", "/api/ledger/movement", moved)
	delete(moved, "amount")
	moved["reason"] = "r"
	do(e.boss, "POST", "/api/ledger/movement/reverse", moved)
	do(e.boss, "POST", "/api/reconciliation/batch/%v/close", fields{}, "batchId")
	do(checker, "POST", "/api/reconciliation/batch/%v/reopen", fields{"reason": "r"}, "batchId")

	_, rotated := evcstest.KeyPair()
	secrets = append(secrets, merchantKeys().private[40:80], strings.ReplaceAll(merchantKeys().private, "\n", "")[80:120])
	do(e.boss, "PUT", "/api/payment/merchant/%v", fields{"name": "changed", "alipayPublicKey": rotated}, "merchantId")
	do(e.boss, "POST", "/api/payment/merchant/%v/verify", nil, "merchantId")
	do(e.boss, "DELETE", "/api/payment/merchant/%v", nil, "merchantId")

	// devices
	e.post(t, fmt.Sprintf("/api/session/%v/adopt", e.ids["orphanId"]), fields{"reason": "r"}, "orderId")
	do(e.boss, "POST", "/api/order/%v/reprice", fields{"billingPlanId": e.ids["planId"], "reason": "r"}, "orderId") // it is held
	do(e.boss, "POST", "/api/order/%v/to-pay", fields{}, "orderId")
	var key struct{ Secret string }
	e.boss.OK(t, "POST", fmt.Sprintf("/api/charger/%v/credential", e.ids["chargerId"]), fields{}).Into(t, &key)
	secrets = append(secrets, key.Secret)
	p := connect(t, d, e.ids["deviceId"].(string), key.Secret)
	p.call("StartTransaction", fields{"connectorId": 4, "idTag": e.ids["idTag"], "meterStart": 0, "timestamp": d.Clock.Now()}, &struct{}{})
	if err := p.conn.Close(); err != nil {
		t.Error(err)
	}
	e.first(t, "/api/session?state=ACTIVE&connectorNo=4", "sessionId")
	do(e.boss, "POST", "/api/session/%v/close", fields{"reason": "gone"}, "sessionId")
	do(e.boss, "POST", "/api/monitoring/alerts/%v/acknowledge", fields{}, "alertId")
	do(e.boss, "POST", "/api/monitoring/alerts/%v/resolve", fields{"resolution": "r"}, "alertId")

	// settings
	do(e.boss, "POST", "/api/billing/plan/%v/assign", fields{"chargerIds": []any{e.ids["chargerId"]}}, "planId")
	do(e.boss, "PUT", "/api/billing/plan/%v", fields{"name": "changed"}, "planId")
	do(e.boss, "PUT", "/api/station/%v", fields{"stationName": "changed"}, "stationId")
	do(e.boss, "PUT", "/api/charger", fields{"chargerId": e.ids["chargerId"], "chargerName": "changed"})
	do(e.boss, "PUT", "/api/id-tag/%v", fields{"status": "BLOCKED"}, "idTagId")
	do(e.boss, "PUT", "/api/webhook/%v", fields{"name": "changed"}, "webhookId")
	do(e.boss, "PUT", "/api/monitoring/alert-rule/%v", fields{"threshold": 2000}, "ruleId")
	do(e.boss, "PUT", "/api/monitoring/notification-channel/%v", fields{"name": "changed"}, "channelId")
	do(e.boss, "DELETE", "/api/id-tag/%v", nil, "idTagId")
	do(e.boss, "DELETE", "/api/webhook/%v", nil, "webhookId")
	do(e.boss, "DELETE", "/api/monitoring/alert-rule/%v", nil, "ruleId")
	do(e.boss, "DELETE", "/api/monitoring/notification-channel/%v", nil, "channelId")
	spare := e.post(t, "/api/station", fields{"stationCode": "spare", "stationName": "spare", "address": "x"})
	charger := e.post(t, "/api/charger", fields{"stationId": spare["stationId"], "chargerCode": "spare", "chargerName": "spare", "chargerType": 1, "ratedPower": 60})
	plan := e.post(t, "/api/billing/plan", fields{"code": "spare", "name": "spare", "segments": []fields{{"startTime": "00:00", "endTime": "24:00", "periodKind": "FLAT", "energyPrice": 1, "serviceFee": 0.5}}})
	do(e.boss, "DELETE", fmt.Sprintf("/api/charger/%v", charger["chargerId"]), nil)
	do(e.boss, "DELETE", fmt.Sprintf("/api/station/%v", spare["stationId"]), nil)
	do(e.boss, "DELETE", fmt.Sprintf("/api/billing/plan/%v", plan["planId"]), nil)
	if a := textOf(t, d, e.boss, "/api/export/station"); !strings.Contains(a, e.mark) {
		t.Errorf("exported: %s", a)
	}

	// the tree
	do(platform, "PUT", "/api/tenant/%v", fields{"contactPerson": "changed"}, "childId")
	do(platform, "PUT", "/api/tenant/quota/%v", fields{"maxStations": 3}, "childId")
	do(platform, "GET", "/api/tenant/%v", nil, "childId")
	do(platform, "GET", "/api/station/%v", nil, "stationId")
	do(platform, "POST", "/api/tenant/%v/move", fields{"parentId": 1}, "childId")
	do(platform, "PUT", "/api/tenant/%v/status", fields{"status": 0}, "childId")
	do(platform, "DELETE", "/api/tenant/%v", nil, "childId")

	// the installation, from the shell of its host
	h := house{t, "", d.Config.DataDir}
	h.says(0, "sealed anew: 0 rows", "keys", "reseal")
	h.says(0, "is the only sealing key", "keys", "drop")
	h.says(0, "is given up", "keys", "abandon", "0123456789abcdef")
	h.says(0, "the new sealing key is", "keys", "new")
	h.says(7, "does not have the key", "keys", "reseal")
	_, text := h.keys()
	secrets = append(secrets, strings.Fields(string(text))...)

	missing := slices.Sorted(func(yield func(string) bool) {
		for action := range tenant.Actions() {
			if !yield(string(action)) {
				return
			}
		}
	})
	changes := make(map[string]int)
	evcstest.Eventually(t, "every action", func() bool { // reads of others' data are recorded in bundles
		rows := auditOf(t, platform)
		seen := make(map[string]bool)
		clear(changes)
		for _, row := range rows {
			if row.Result == "SUCCESS" || row.Action == "LOGIN_FAILED" || row.Action == "REFRESH_REUSE" {
				seen[row.Action] = true
			}
			if _, known := tenant.Actions()[tenant.Action(row.Action)]; !known {
				t.Errorf("%s has no label", row.Action)
			}
			details := string(row.Details)
			if strings.Contains(details, `"before"`) && strings.Contains(details, `"after"`) {
				changes[row.Action]++
			}
			for _, secret := range secrets {
				if strings.Contains(details, secret) {
					t.Errorf("%s tells a secret: %s", row.Action, details)
				}
			}
		}
		missing = slices.DeleteFunc(missing, func(action string) bool { return seen[action] })
		if len(missing) > 0 {
			t.Logf("not on the record: %v", missing)
		}
		return len(missing) == 0
	})
	for _, action := range []string{"UPDATE_TENANT", "UPDATE_QUOTA", "UPDATE_STATUS", "UPDATE_USER", "UPDATE_ROLE", "UPDATE_API_KEY", "UPDATE_STATION", "UPDATE_CHARGER", "UPDATE_BILLING_PLAN", "UPDATE_WEBHOOK", "UPDATE_ALERT_RULE", "UPDATE_NOTIFICATION_CHANNEL", "UPDATE_MERCHANT", "MOVE_TENANT"} {
		if changes[action] == 0 {
			t.Errorf("%s says nothing of before and after; those that do: %v", action, slices.Sorted(maps.Keys(changes)))
		}
	}
	var verdict api.AuditVerification
	platform.OK(t, http.MethodGet, "/api/tenant/audit-log/verify", nil).Into(t, &verdict)
	if !verdict.OK {
		t.Errorf("the chain is broken: %+v", verdict)
	}
}

// auditOf reads the whole record of the installation.
func auditOf(t *testing.T, platform evcstest.Caller) []api.AuditRow {
	t.Helper()
	var rows []api.AuditRow
	for n := 1; ; n++ {
		var page api.Page[api.AuditRow]
		platform.OK(t, http.MethodGet, evcstest.Path("/api/tenant/audit-log/page?size=100&page=%d&tenantScope=SELF_AND_DESCENDANTS", n), nil).Into(t, &page)
		rows = append(rows, page.Records...)
		if len(page.Records) < 100 {
			return rows
		}
	}
}

// textOf reads an answer that has no envelope.
func textOf(t *testing.T, d *evcstest.Daemon, by evcstest.Caller, path string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, d.URL+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+by.Token())
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %s %v", path, answer.StatusCode, text, err)
	}
	return string(text)
}
