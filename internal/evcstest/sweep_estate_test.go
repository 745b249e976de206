package evcstest_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/evcstest"
	"github.com/evcs/evcs/internal/payment"
)

// merchantKeys are our key and the channel's, made once.
var merchantKeys = sync.OnceValue(func() (k struct{ private, public string }) {
	k.private, _ = evcstest.KeyPair()
	_, k.public = evcstest.KeyPair()
	return k
})

// estate is a tenant with one of everything.
type estate struct {
	code string
	boss evcstest.Caller
	ids  map[string]any // by the name under which the API takes them
	mark string         // stands in every name and text of it
}

// settle makes a tenant under a parent, with its administrator.
func settle(t *testing.T, d *evcstest.Daemon, by evcstest.Caller, code string, parent any, kind int) *estate {
	t.Helper()
	e := &estate{code: code, ids: make(map[string]any), mark: "ZQ" + code + "QZ"}
	var made struct {
		TenantID int64
		Admin    struct{ UserID int64 }
	}
	by.OK(t, http.MethodPost, "/api/tenant", map[string]any{
		"tenantCode": code, "tenantName": "Tenant " + code, "tenantType": kind, "contactPerson": e.mark, "contactPhone": "13800000000", "parentId": parent,
		"admin": map[string]any{"username": "boss", "password": evcstest.Password, "realName": e.mark},
	}).Into(t, &made)
	e.ids["tenantId"], e.ids["tenantCode"], e.ids["bossId"] = made.TenantID, code, made.Admin.UserID
	e.boss = d.SignIn("boss@"+code, evcstest.Password)
	return e
}

// post creates something and keeps the named fields of the answer.
func (e *estate) post(t *testing.T, path string, body map[string]any, keep ...string) map[string]any {
	t.Helper()
	return e.postAs(t, e.boss, path, body, keep...)
}

func (e *estate) postAs(t *testing.T, by evcstest.Caller, path string, body map[string]any, keep ...string) map[string]any {
	t.Helper()
	data := make(map[string]any)
	a := by.OK(t, http.MethodPost, path, body)
	dec := json.NewDecoder(strings.NewReader(string(a.Data)))
	dec.UseNumber()
	if err := dec.Decode(&data); err != nil {
		t.Fatalf("%s: %v in %s", path, err, a.Data)
	}
	for _, name := range keep {
		if data[name] == nil {
			t.Fatalf("%s: no %s in %s", path, name, a.Data)
		}
		e.ids[name] = data[name]
	}
	return data
}

// furnish gives the tenant one of everything that has an identifier. Its order
// is the last of some, so that its running number is not that of others.
func (e *estate) furnish(t *testing.T, d *evcstest.Daemon, platform evcstest.Caller, orders int) {
	t.Helper()
	at := func(path string) string { return fmt.Sprintf(path, e.ids["chargerId"]) }
	platform.OK(t, http.MethodPut, fmt.Sprintf("/api/tenant/%v/settings", e.ids["tenantId"]), map[string]any{"sandboxPayments": true})
	child := e.post(t, "/api/tenant", map[string]any{
		"tenantCode": e.code + "K", "tenantName": e.mark, "tenantType": 2, "contactPerson": e.mark, "contactPhone": "13800000000",
	})
	e.ids["childId"] = child["tenantId"]
	e.post(t, "/api/role", map[string]any{"roleCode": "R" + e.mark, "roleName": e.mark, "permissions": []string{"station:list"}}, "roleId", "roleCode")
	e.post(t, "/api/user", map[string]any{"username": "worker" + e.mark, "roles": []string{"R" + e.mark}, "realName": e.mark}, "userId", "username", "identifier")
	e.post(t, "/api/auth/api-keys", map[string]any{"name": e.mark, "userId": e.ids["userId"], "scopes": []string{"station:list"}, "expireTime": d.Clock.Now().AddDate(1, 0, 0)}, "keyId")
	e.post(t, "/api/webhook", map[string]any{"name": e.mark, "url": "https://example.com/" + e.mark, "types": []string{"tenant.status"}}, "webhookId")
	e.post(t, "/api/monitoring/notification-channel", map[string]any{"name": e.mark, "type": "WEBHOOK", "config": map[string]any{"url": "https://example.com/" + e.mark, "secret": "0123456789abcdef"}}, "channelId")
	e.ids["channelIds"] = []any{e.ids["channelId"]}
	e.post(t, "/api/payment/merchant", map[string]any{
		"channel": "alipay", "name": e.mark, "appId": "APP-" + e.code, "privateKey": merchantKeys().private, "alipayPublicKey": merchantKeys().public,
	}, "merchantId")
	var metrics []struct{ Metric string }
	e.boss.OK(t, http.MethodGet, "/api/monitoring/alert-rule/metrics", nil).Into(t, &metrics)
	e.ids["metric"] = metrics[0].Metric
	e.post(t, "/api/monitoring/alert-rule", map[string]any{
		"name": "R" + e.mark, "metric": metrics[0].Metric, "op": "gt", "threshold": 1000, "severity": "LOW", "enabled": 0,
	}, "ruleId")
	e.post(t, "/api/station", map[string]any{"stationCode": "S" + e.mark, "stationName": e.mark, "address": e.mark, "latitude": 22.5, "longitude": 114, "city": e.mark}, "stationId", "stationCode")
	plan := e.post(t, "/api/billing/plan", map[string]any{
		"code": "P" + e.mark, "name": e.mark, "stationId": e.ids["stationId"], "status": 1,
		"segments": []map[string]any{{"startTime": "00:00", "endTime": "24:00", "periodKind": "FLAT", "energyPrice": 1, "serviceFee": 0.5}},
	}, "planId")
	e.ids["billingPlanId"], e.ids["planCode"] = plan["planId"], "P"+e.mark
	e.post(t, "/api/billing/holiday", map[string]any{"days": []map[string]any{{"date": "2027-10-01", "name": e.mark}}})
	e.postAs(t, platform, "/api/charger", map[string]any{ // who else may make simulated ones?
		"tenantId": e.ids["tenantId"], "stationId": e.ids["stationId"], "chargerCode": "C" + e.mark, "chargerName": e.mark, "deviceId": "CP-" + e.mark, "protocol": "OCPP16",
		"chargerType": 1, "ratedPower": 60, "gunCount": 8, "simulated": true,
	}, "chargerId", "chargerCode", "deviceId")
	e.ids["connectorNo"], e.ids["chargerIds"] = 1, []any{e.ids["chargerId"]}
	e.post(t, "/api/charger", map[string]any{ // it never connects
		"stationId": e.ids["stationId"], "chargerCode": "OFF" + e.mark, "chargerName": e.mark, "deviceId": "OFF-" + e.mark, "protocol": "OCPP16", "chargerType": 1, "ratedPower": 60,
	})
	secret := e.post(t, at("/api/charger/%v/credential"), map[string]any{}, "secret")["secret"].(string)
	delete(e.ids, "secret")
	e.post(t, "/api/id-tag", map[string]any{"idTag": "T" + e.mark, "userId": 77}, "idTagId", "idTag")
	p := connect(t, d, e.ids["deviceId"].(string), secret)
	p.call("BootNotification", map[string]any{"chargePointVendor": e.mark, "chargePointModel": "M"}, nil)
	p.call("StatusNotification", map[string]any{"connectorId": 1, "errorCode": "NoError", "status": "Available"}, nil)
	for i := range orders {
		e.charge(t, d, p, i)
	}
	for connector := 3; connector <= 8; connector++ {
		p.call("StatusNotification", map[string]any{"connectorId": connector, "errorCode": "NoError", "status": "Available"}, nil)
	}
	e.first(t, "/api/order", "orderId", "orderNo", "sessionId", "tariffSnapshotId")
	e.pay(t, d)
	p.call("StatusNotification", map[string]any{"connectorId": 2, "errorCode": "OtherError", "status": "Faulted", "info": e.mark}, nil)
	e.first(t, "/api/monitoring/alerts", "alertId")
	started := e.post(t, at("/api/charger/%v/connectors/1/start"), map[string]any{"idTag": e.ids["idTag"], "wait": 0})
	e.ids["startedId"] = started["orderId"]
	p.accept("RemoteStartTransaction") // or the start would time out behind the sweep's back
	e.first(t, "/api/command?state=ACCEPTED", "commandId")
	p.call("StopTransaction", map[string]any{"transactionId": 4_000_000, "meterStop": 7000, "timestamp": d.Clock.Now()}, nil)
	session := e.ids["sessionId"]
	e.first(t, "/api/session?state=ORPHAN", "sessionId")
	e.ids["orphanId"], e.ids["sessionId"] = e.ids["sessionId"], session
	stranger := http.Header{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(e.ids["deviceId"].(string)+":wrong"))}}
	conn, _, err := (&websocket.Dialer{Subprotocols: []string{"ocpp1.6"}}).DialContext(t.Context(), "ws"+strings.TrimPrefix(d.DeviceURL, "http")+"/ocpp/"+e.ids["deviceId"].(string), stranger)
	if err == nil {
		conn.Close()
		t.Fatal("a wrong secret opens the door")
	}
	e.first(t, "/api/protocol/rejection")
}

// charge charges once.
func (e *estate) charge(t *testing.T, d *evcstest.Daemon, p *point, n int) {
	t.Helper()
	from := d.Clock.Now().Add(time.Duration(n-10) * 10 * time.Minute)
	var started struct {
		TransactionID int64 `json:"transactionId"`
	}
	p.call("StartTransaction", map[string]any{"connectorId": 1, "idTag": e.ids["idTag"], "meterStart": 10_000 * n, "timestamp": from}, &started)
	p.call("StopTransaction", map[string]any{"transactionId": started.TransactionID, "meterStop": 10_000 * (n + 1), "timestamp": from.Add(10 * time.Minute)}, nil)
}

// pay pays the order, pays some of it back and has the day reconciled with a
// difference.
func (e *estate) pay(t *testing.T, d *evcstest.Daemon) {
	t.Helper()
	e.post(t, "/api/payment/create", map[string]any{"orderId": e.ids["orderId"], "amount": 15, "paymentMethod": "SANDBOX", "description": e.mark}, "paymentId", "tradeNo")
	e.boss.OK(t, http.MethodPost, fmt.Sprintf("/api/payment/sandbox/%v/pay", e.ids["tradeNo"]), map[string]any{})
	e.post(t, "/api/payment/refund", map[string]any{"paymentId": e.ids["paymentId"], "refundAmount": 1, "refundReason": e.mark}, "refundId", "refundNo")
	e.first(t, "/api/payment", "channelTradeNo")
	today := api.DateOf(d.Clock.Now().In(payment.StatementZone()))
	e.boss.OK(t, http.MethodPut, "/api/payment/sandbox/statement-faults", map[string]any{"date": today, "amount": 1})
	e.post(t, "/api/reconciliation/execute", map[string]any{"reconciliationDate": today, "channel": "sandbox", "force": 1}, "batchId")
	e.first(t, "/api/reconciliation/difference", "differenceId")
	e.ids["account"] = "RECEIVABLE"
}

// first keeps fields of the first record of a list, which must not be empty.
func (e *estate) first(t *testing.T, path string, keep ...string) {
	t.Helper()
	mark := "?"
	if strings.Contains(path, "?") {
		mark = "&"
	}
	evcstest.Eventually(t, "something in "+path, func() bool {
		var page struct{ Records []map[string]any }
		dec := json.NewDecoder(strings.NewReader(string(e.boss.OK(t, http.MethodGet, path+mark+"tenantScope=SELF", nil).Data)))
		dec.UseNumber()
		if err := dec.Decode(&page); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if len(page.Records) == 0 {
			return false
		}
		for _, name := range keep {
			e.ids[name] = page.Records[0][name]
		}
		return true
	})
}

// id is the estate's identifier for a place of an operation.
func (e *estate) id(x described, s spot) (any, bool) {
	name := s.name
	switch {
	case x.Group == "tenant" && s.in == "path" && name == "id":
		name = "tenantId"
	case x.Group == "order" && name == "id":
		name = "orderId"
	case x.Group == "monitoring" && name == "id":
		name = "alertId"
	case x.Group == "charger" && name == "id":
		name = "chargerId"
	case name == "parentId", name == "rootId", name == "targetTenantId":
		name = "tenantId"
	case name == "operatorUserId":
		name = "bossId"
	case name == "orderId" && strings.HasPrefix(x.ID, "listCommands"):
		name = "startedId"
	case name == "code" && x.Group == "billing":
		name = "planCode"
	case name == "roles":
		return []any{e.ids["roleCode"]}, true
	}
	v, ok := e.ids[name]
	return v, ok
}
