package httpapi

import (
	"fmt"
	"strings"
	"testing"
)

func TestChargerOperations(t *testing.T) {
	t.Parallel()
	eachYard(t, func(y *yard) {
		y.stock()
		y.facts(y.want(2001, "lee", "POST", "/api/charger", fmt.Sprintf(aCharger, "C1")), map[string]any{"chargerCode": "C1"})
		taken := strings.Replace(fmt.Sprintf(aCharger, "C2"), `{`, `{"deviceId":"C1",`, 1)
		y.facts(y.want(2011, "lee", "POST", "/api/charger", taken), map[string]any{"deviceId": "C1"})
		y.want(1002, "zoe", "POST", "/api/charger", fmt.Sprintf(aCharger, "C1"))
		y.want(3008, "lee", "POST", "/api/charger", strings.Replace(fmt.Sprintf(aCharger, "C2"), `{`, `{"billingPlanId":9,`, 1))
		y.want(9400, "lee", "POST", "/api/charger", strings.Replace(fmt.Sprintf(aCharger, "C2"), `{`, `{"protocol":"YKC",`, 1))
		y.want(2003, "lee", "PUT", theCharger+"/status", `{"status":2}`)
		y.facts(y.want(200, "lee", "PUT", theCharger+"/status", `{"status":4}`), map[string]any{"chargerId": 10001.0, "status": 4.0})
		y.want(200, "lee", "PUT", theCharger+"/status", `{"status":1}`)
		y.want(9400, "lee", "PUT", "/api/charger", `{"chargerId":10001,"deviceId":"other"}`)
		y.want(9409, "lee", "PUT", "/api/charger", `{"id":10001,"chargerName":"x","version":1}`)
		y.want(2005, "lee", "GET", theCharger+"/connectors/3", "")
		y.charge()
		for _, refused := range [][2]string{{"PUT", theCharger + "/status?status=1"}, {"DELETE", theCharger}} {
			y.facts(y.want(2003, "lee", refused[0], refused[1], ""), map[string]any{"chargerId": 10001.0, "currentStatus": 2.0, "orderId": "ORD-1"})
		}
		y.want(2003, "lee", "PUT", "/api/charger", `{"chargerId":10001,"gunCount":1}`)
		y.facts(y.want(200, "lee", "PUT", theCharger+"/enable", `{"enabled":0}`), map[string]any{"enabled": 0.0, "runningSessions": 1.0})
		for _, path := range []string{theCharger, theCharger + "/connectors", theCharger + "/connectors/1", theCharger + "/credential"} {
			y.want(200, "lee", "GET", path, "")
			y.want(2002, "zoe", "GET", path, "")
			y.want(5003, "proud", "GET", path, "")
		}
		y.want(5003, "looker", "PUT", theCharger+"/enable", `{"enabled":1}`)
		y.facts(y.want(200, "lee", "GET", "/api/charger/statistics", ""), map[string]any{"total": 1.0, "disabled": 1.0, "charging": 1.0})
	})
}

func TestASecretIsShownOnce(t *testing.T) {
	t.Parallel()
	eachYard(t, func(y *yard) {
		y.stock()
		secret, _ := y.want(200, "lee", "POST", theCharger+"/credential", "{}")["secret"].(string)
		if len(secret) != 32 {
			y.t.Fatalf("the secret %q", secret)
		}
		for _, path := range []string{theCharger + "/credential", theCharger, "/api/charger"} {
			if a := y.call("lee", "GET", path, ""); a.Code != 200 || strings.Contains(a.text, secret) {
				y.t.Errorf("%s: %s", path, a.text)
			}
		}
		y.want(2002, "zoe", "POST", theCharger+"/credential", "{}")
		y.want(9400, "lee", "PUT", theCharger+"/credential", `{"securityProfile":0}`)
		y.want(200, "lee", "DELETE", theCharger+"/credential", "")
		y.facts(y.want(200, "lee", "GET", theCharger+"/credential", ""), map[string]any{"set": false})
		y.want(200, "lee", "POST", "/api/id-tag", `{"idTag":"T1"}`)
		y.facts(y.want(2016, "lee", "POST", "/api/id-tag", `{"idTag":"T1"}`), map[string]any{"idTag": "T1"})
		y.want(2015, "zoe", "GET", "/api/id-tag/1", "")
		y.want(9400, "lee", "PUT", "/api/id-tag/1", `{"idTag":"T2"}`)
		y.want(200, "lee", "DELETE", "/api/id-tag/1", "")
		y.want(2015, "lee", "DELETE", "/api/id-tag/1", "")
	})
}

func TestPlanOperations(t *testing.T) {
	t.Parallel()
	eachYard(t, func(y *yard) {
		y.stock()
		y.facts(y.want(3009, "lee", "POST", "/api/billing/plan", fmt.Sprintf(aPlan, "P1")), map[string]any{"code": "P1"})
		y.want(3010, "lee", "POST", "/api/billing/plan", strings.Replace(fmt.Sprintf(aPlan, "P2"), "24:00", "23:00", 1))
		y.want(9409, "lee", "PUT", "/api/billing/plan/1", `{"name":"x","version":99}`)
		y.want(3008, "zoe", "GET", "/api/billing/plan/1", "")
		y.want(200, "lee", "POST", "/api/billing/plan/1/default", "")
		y.want(200, "lee", "POST", "/api/billing/plan/1/assign", `{"chargerIds":[10001]}`)
		y.want(2002, "lee", "POST", "/api/billing/plan/1/assign", `{"chargerIds":[9]}`)
		y.facts(y.want(3012, "lee", "DELETE", "/api/billing/plan/1", ""), map[string]any{"chargers": 1.0, "runningOrders": 0.0})
		y.facts(y.want(200, "lee", "POST", "/api/billing/plan/1/quote", `{"startTime":"2026-02-10T00:00:00Z","endTime":"2026-02-10T01:00:00Z","energy":10}`), map[string]any{"amount": 15.0})
		y.facts(y.want(200, "lee", "GET", "/api/billing/effective?chargerId=10001", ""), map[string]any{"planId": 1.0, "reason": "CHARGER"})
	})
}
