package contracttest

import (
	"context"
	"database/sql"
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/config"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/evcstest"
	"github.com/evcs/evcs/internal/judge"
	"github.com/evcs/evcs/internal/payment"
)

//go:embed testdata/errors.tsv
var errorTable string

// row is a row of the contract's error table.
type row struct {
	code         evcs.Code
	status       int
	name, zh, en string
}

func errorRows(t *testing.T) []row {
	t.Helper()
	var rows []row
	for line := range strings.Lines(errorTable) {
		f := strings.Split(strings.TrimRight(line, "\n"), "\t")
		code, err := strconv.Atoi(f[0])
		if err != nil {
			continue // the heading
		}
		status, err := strconv.Atoi(f[1])
		if err != nil || len(f) != 5 {
			t.Fatalf("%q", line)
		}
		rows = append(rows, row{evcs.Code(code), status, f[2], f[3], f[4]})
	}
	if len(rows) < 100 {
		t.Fatalf("only %d rows", len(rows))
	}
	return rows
}

// TestTheTableIsTheDaemons: the daemon's table is the contract's, both ways.
func TestTheTableIsTheDaemons(t *testing.T) {
	t.Parallel()
	rows := errorRows(t)
	for _, r := range rows {
		if r.code.Status() != r.status || r.code.Name() != r.name || r.code.Text(false) != r.zh || r.code.Text(true) != r.en {
			t.Errorf("%d: %d %s %s %s; the contract says %+v", r.code, r.code.Status(), r.code.Name(), r.code.Text(false), r.code.Text(true), r)
		}
	}
	for _, code := range evcs.Codes() {
		if !slices.ContainsFunc(rows, func(r row) bool { return r.code == code }) {
			t.Errorf("%d is not in the contract's table", code)
		}
	}
}

// TestEveryCodeIsProduced provokes every code of the table on a running daemon,
// in both languages.
func TestEveryCodeIsProduced(t *testing.T) {
	t.Parallel()
	for _, language := range []string{"zh-CN", "en"} {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			everyCode(t, language)
		})
	}
}

func everyCode(t *testing.T, language string) {
	t.Helper()
	w := newWorld(t)
	w.d.Language = language
	provoked := provocations()
	for _, r := range errorRows(t) {
		provoke := provoked[r.code]
		if provoke == nil {
			t.Errorf("%d %s: no test produces it", r.code, r.name)
			continue
		}
		t.Run(fmt.Sprintf("%d %s", r.code, r.name), func(t *testing.T) {
			provoke(t, w).judge(t, r, language == "en")
		})
	}
}

// refusal is an answer that is to carry a code.
type refusal struct {
	status  int
	code    int
	message string
	data    json.RawMessage
	device  bool // the device port answers some codes with another status
}

func (f refusal) judge(t *testing.T, r row, english bool) {
	t.Helper()
	if f.code != int(r.code) || f.status != r.status && !f.device {
		t.Errorf("%d %d %s %s, want %d %d", f.status, f.code, f.message, f.data, r.status, r.code)
	}
	if f.device {
		return // its text is in the language of the device
	}
	want, other := r.zh, latin
	if english {
		want, other = r.en, han
	}
	detail, ok := strings.CutPrefix(f.message, want)
	if !ok || other.MatchString(detail) {
		t.Errorf("%s, want it to begin with %s and to go on in the same language", f.message, want)
	}
	var data any
	if err := json.Unmarshal(f.data, &data); err != nil && len(f.data) > 0 {
		t.Errorf("%s: %v", f.data, err)
	}
	for _, text := range sentencesIn(data, "") {
		if other.MatchString(text) {
			t.Errorf("%s is told in data in the other language: %s", text, f.data)
		}
	}
}

// sentencesIn are the texts for people within the data of a refusal.
func sentencesIn(data any, at string) (list []string) {
	switch v := data.(type) {
	case map[string]any:
		for name, inner := range v {
			list = append(list, sentencesIn(inner, name)...)
		}
	case []any:
		for _, inner := range v {
			list = append(list, sentencesIn(inner, at)...)
		}
	case string:
		if slices.Contains([]string{"message", "failureMessage", "reason", "problems", "error"}, at) {
			list = append(list, v)
		}
	}
	return list
}

// han is Chinese; latin are two English words side by side, which no Chinese
// detail has.
var (
	han   = regexp.MustCompile(`\p{Han}`)
	latin = regexp.MustCompile(`(^|[^A-Za-z])[a-z]+ [a-z]+`)
)

func rest(a evcstest.Answer) refusal { return refusal{a.Status, a.Code, a.Message, a.Data, false} }

func port(a told) refusal { return refusal{a.Status, a.ErrorCode, "", a.Data, true} }

type provocation func(t *testing.T, w *world) refusal

// provocations says how each code comes about.
func provocations() map[evcs.Code]provocation {
	all := make(map[evcs.Code]provocation)
	for _, part := range []map[evcs.Code]provocation{assetCodes(), deviceCodes(), orderCodes(), planCodes(), moneyCodes(), tenantCodes(), peopleCodes(), monitorCodes(), commonCodes()} {
		for code, p := range part {
			all[code] = p
		}
	}
	return all
}

// as asks as the administrator.
func as(method, path string, body object) provocation {
	return func(t *testing.T, w *world) refusal {
		t.Helper()
		if body == nil {
			return rest(w.admin.Call(t, method, path, nil))
		}
		return rest(w.admin.Call(t, method, path, body))
	}
}

// again does a creation twice.
func again(path string, body func(w *world) object) provocation {
	return func(t *testing.T, w *world) refusal {
		t.Helper()
		b := body(w)
		w.admin.OK(t, "POST", path, b)
		return rest(w.admin.Call(t, "POST", path, b))
	}
}

func assetCodes() map[evcs.Code]provocation {
	return map[evcs.Code]provocation{
		evcs.CodeStationCodeExists: again("/api/station", func(w *world) object {
			return object{"stationCode": w.name("S"), "stationName": "A", "address": "B"}
		}),
		evcs.CodeStationNotFound: as("GET", "/api/station/999999", nil),
		evcs.CodeStationState: func(t *testing.T, w *world) refusal {
			station := w.newStation(t)
			c := w.newCharger(t, station)
			w.newPlan(t, station)
			c.ok(t, "heartbeat", "", object{})
			w.admin.OK(t, "PUT", evcstest.Path("/api/station/%d/status", station), object{"status": 0})
			return rest(w.admin.Call(t, "POST", "/api/order/start", object{"chargerId": c.id, "connectorNo": 1}))
		},
		evcs.CodeStationHasChargers: func(t *testing.T, w *world) refusal {
			return rest(w.admin.Call(t, "DELETE", evcstest.Path("/api/station/%d", w.station), nil))
		},
		evcs.CodeChargerCodeExists: func(t *testing.T, w *world) refusal {
			return rest(w.admin.Call(t, "POST", "/api/charger", object{
				"stationId": w.station, "chargerCode": w.charger.device, "chargerName": "x", "deviceId": w.name("D"), "protocol": "OCPP16", "chargerType": 1, "ratedPower": 60, "gunCount": 1,
			}))
		},
		evcs.CodeDeviceIDExists: func(t *testing.T, w *world) refusal {
			return rest(w.admin.Call(t, "POST", "/api/charger", object{
				"stationId": w.station, "chargerCode": w.name("C"), "chargerName": "x", "deviceId": w.charger.device, "protocol": "OCPP16", "chargerType": 1, "ratedPower": 60, "gunCount": 1,
			}))
		},
		evcs.CodeChargerNotFound: as("GET", "/api/charger/999999", nil),
		evcs.CodeChargerState: func(t *testing.T, w *world) refusal {
			c := w.online(t)
			c.begin(t, 1)
			return rest(w.admin.Call(t, "PUT", evcstest.Path("/api/charger/%d/status?status=4", c.id), nil))
		},
		evcs.CodeConnectorNotFound: func(t *testing.T, w *world) refusal {
			return rest(w.admin.Call(t, "GET", evcstest.Path("/api/charger/%d/connectors/9", w.charger.id), nil))
		},
		evcs.CodeIDTagNotFound: as("GET", "/api/id-tag/999999", nil),
		evcs.CodeIDTagExists:   again("/api/id-tag", func(w *world) object { return object{"idTag": w.name("TAG")} }),
	}
}

func deviceCodes() map[evcs.Code]provocation {
	start := func(t *testing.T, w *world, c *charger, more object) refusal {
		t.Helper()
		body := object{"chargerId": c.id, "connectorNo": 1, "wait": 1}
		for k, v := range more {
			body[k] = v
		}
		return rest(w.admin.Call(t, "POST", "/api/order/start", body))
	}
	return map[evcs.Code]provocation{
		evcs.CodeChargerOffline: func(t *testing.T, w *world) refusal { return start(t, w, w.newCharger(t, w.station), nil) },
		evcs.CodeConnectorBusy: func(t *testing.T, w *world) refusal {
			c := w.online(t)
			c.begin(t, 1)
			return start(t, w, c, nil)
		},
		evcs.CodeChargerDisabled: func(t *testing.T, w *world) refusal {
			c := w.online(t)
			w.admin.OK(t, "PUT", evcstest.Path("/api/charger/%d/enable", c.id), object{"enabled": 0})
			return start(t, w, c, nil)
		},
		evcs.CodeCommandNotFound: as("GET", "/api/command/999999", nil),
		evcs.CodeCommandRejected: func(t *testing.T, w *world) refusal {
			c := w.online(t)
			var got struct{ Commands []struct{ CommandID int64 } }
			done := make(chan struct{})
			go func() { // the device, which waits for a command and says no
				defer close(done)
				answer := c.call(t, "heartbeat", "", object{"wait": 20})
				if err := json.Unmarshal(answer.Data, &got); err != nil || len(got.Commands) != 1 {
					t.Errorf("%v in %s", err, answer.Data)
					return
				}
				c.call(t, "heartbeat", "", object{"commandResults": []object{{"commandId": got.Commands[0].CommandID, "result": "REJECTED", "reason": "no"}}})
			}()
			a := start(t, w, c, object{"wait": 30})
			<-done
			return a
		},
		evcs.CodeCommandTimeout: func(t *testing.T, w *world) refusal { return start(t, w, &charger{id: w.silent(t)}, nil) },
		evcs.CodeNotSimulated: func(t *testing.T, w *world) refusal {
			return rest(w.admin.Call(t, "POST", "/debug/protocol/simulate/heartbeat", object{"chargerId": w.charger.id}))
		},
		evcs.CodeCommandState: func(t *testing.T, w *world) refusal {
			c := w.online(t)
			a := w.admin.OK(t, "POST", evcstest.Path("/api/charger/%d/reset", c.id), object{"wait": 0})
			path := evcstest.Path("/api/command/%d/cancel", made(t, a, "commandId"))
			w.admin.Call(t, "POST", path, object{})
			return rest(w.admin.Call(t, "POST", path, object{}))
		},
		evcs.CodeCommandUnsupported: func(t *testing.T, w *world) refusal {
			return rest(w.admin.Call(t, "POST", evcstest.Path("/api/charger/%d/command", w.online(t).id), object{"type": "PUSH_TARIFF", "params": object{"planId": w.plan}, "wait": 5}))
		},
		evcs.CodeIDTagRefused: func(t *testing.T, w *world) refusal { return start(t, w, w.online(t), object{"idTag": "NOBODY"}) },
		evcs.CodeDeviceAuthFailed: func(t *testing.T, w *world) refusal {
			c := w.newCharger(t, w.station)
			return port(c.send(t, "heartbeat", c.message("heartbeat", "", object{}, func(m object) { m["signature"] = strings.Repeat("0", 64) })))
		},
		evcs.CodeDeviceUnknown: func(t *testing.T, w *world) refusal {
			c := *w.charger
			c.device = w.name("NOBODY-")
			return port(c.call(t, "heartbeat", "", object{}))
		},
		evcs.CodeDeviceClock: func(t *testing.T, w *world) refusal {
			c := w.newCharger(t, w.station)
			return port(c.send(t, "heartbeat", c.message("heartbeat", "", object{}, func(m object) { m["timestamp"] = "2020-01-01T00:00:00Z" })))
		},
		evcs.CodeRequestIDReused: func(t *testing.T, w *world) refusal {
			c := w.online(t)
			same := func(m object) { m["requestId"] = "SAME" }
			if a := c.send(t, "heartbeat", c.message("heartbeat", "", object{}, same)); a.Status != 200 {
				t.Fatalf("%+v", a)
			}
			return port(c.send(t, "status", c.message("status", "", object{"status": 1}, same)))
		},
	}
}

func orderCodes() map[evcs.Code]provocation {
	return map[evcs.Code]provocation{
		evcs.CodeOrderNotFound: as("GET", "/api/order/999999", nil),
		evcs.CodeOrderState: func(t *testing.T, w *world) refusal {
			_, order := w.online(t).begin(t, 1)
			return rest(w.admin.Call(t, "POST", evcstest.Path("/api/order/%d/adjust", order), object{"discountAmount": 0, "reason": "r"}))
		},
		evcs.CodeOrderCancelled: func(t *testing.T, w *world) refusal {
			session := w.name("S-")
			body := object{"chargerId": w.silent(t), "connectorNo": 1, "sessionId": session, "wait": 1}
			w.admin.Call(t, "POST", "/api/order/start", body) // nobody answers: cancelled
			return rest(w.admin.Call(t, "POST", "/api/order/start", body))
		},
		evcs.CodeOrderTransition: func(t *testing.T, w *world) refusal {
			_, order := w.online(t).begin(t, 1)
			return rest(w.admin.Call(t, "POST", evcstest.Path("/api/order/%d/to-pay", order), object{}))
		},
		evcs.CodeSessionNotFound: as("GET", "/api/session/S-nobody", nil),
		evcs.CodeSessionConflict: func(t *testing.T, w *world) refusal {
			c := w.online(t)
			session, _ := c.begin(t, 1)
			return port(c.call(t, "start", session, object{"connectorNo": 2}))
		},
		evcs.CodeNoBillingPlan: func(t *testing.T, w *world) refusal {
			c := w.newCharger(t, w.newStation(t))
			c.ok(t, "heartbeat", "", object{"connectors": []object{{"connectorNo": 1, "status": 1}}})
			return rest(w.admin.Call(t, "POST", "/api/order/start", object{"chargerId": c.id, "connectorNo": 1}))
		},
		evcs.CodeOrderHasPayment: func(t *testing.T, w *world) refusal {
			order, amount := w.owed(t)
			w.pay(t, order, amount)
			return rest(w.admin.Call(t, "POST", evcstest.Path("/api/order/%d/cancel", order), object{"reason": "r"}))
		},
		evcs.CodeOrderHasEnergy: func(t *testing.T, w *world) refusal {
			c := w.online(t)
			session, order := c.begin(t, 1)
			w.d.Clock.Advance(5 * time.Minute)
			c.ok(t, "meter", session, object{"samples": []object{{"time": w.d.Clock.Now().Format(time.RFC3339), "meter": 1.5}}})
			return rest(w.admin.Call(t, "POST", evcstest.Path("/api/order/%d/cancel", order), object{"reason": "r"}))
		},
		evcs.CodeSessionState: func(t *testing.T, w *world) refusal {
			session, _ := w.online(t).begin(t, 1)
			return rest(w.admin.Call(t, "POST", "/api/session/"+session+"/adopt", object{"reason": "r"}))
		},
	}
}

func planCodes() map[evcs.Code]provocation {
	return map[evcs.Code]provocation{
		evcs.CodePlanNotFound: as("GET", "/api/billing/plan/999999", nil),
		evcs.CodePlanCodeExists: again("/api/billing/plan", func(w *world) object {
			return object{"code": w.name("P"), "name": "n", "status": 0, "segments": segments()}
		}),
		evcs.CodePlanSegmentsInvalid: func(t *testing.T, w *world) refusal {
			s := segments()
			s[0]["endTime"] = "12:00"
			return rest(w.admin.Call(t, "POST", "/api/billing/plan", object{"code": w.name("P"), "name": "n", "segments": s}))
		},
		evcs.CodePlanLimit: func(t *testing.T, w *world) refusal {
			station := w.newStation(t)
			for range 16 {
				w.newPlan(t, station)
			}
			return rest(w.admin.Call(t, "POST", "/api/billing/plan", object{"code": w.name("P"), "name": "n", "stationId": station, "status": 1, "segments": segments()}))
		},
		evcs.CodePlanInUse: func(t *testing.T, w *world) refusal {
			plan := evcstest.Path("/api/billing/plan/%d", w.newPlan(t, w.station))
			w.admin.OK(t, "POST", plan+"/assign", object{"chargerIds": []int64{w.charger.id}})
			a := w.admin.Call(t, "DELETE", plan, nil)
			w.admin.OK(t, "POST", plan+"/assign", object{"chargerIds": []int64{w.charger.id}, "unassign": 1})
			w.admin.OK(t, "DELETE", plan, nil)
			return rest(a)
		},
	}
}

func moneyCodes() map[evcs.Code]provocation {
	return map[evcs.Code]provocation{
		evcs.CodePaymentFailed: func(t *testing.T, w *world) refusal {
			_, trade := w.paid(t)
			w.exec(t, `DELETE FROM sandbox_trades WHERE trade_no = ?`, trade) // the bank forgets: it refuses
			return rest(w.admin.Call(t, "POST", "/api/payment/refund", object{"tradeNo": trade, "refundAmount": 1, "refundReason": "r"}))
		},
		evcs.CodePaymentTimeout: func(t *testing.T, w *world) refusal {
			order, amount := w.owed(t)
			w.exec(t, `ALTER TABLE sandbox_trades RENAME TO sandbox_trades_away`) // the bank is not there
			a := w.admin.Call(t, "POST", "/api/payment/create", object{"orderId": order, "amount": amount, "paymentMethod": "SANDBOX"})
			w.exec(t, `ALTER TABLE sandbox_trades_away RENAME TO sandbox_trades`)
			return rest(a)
		},
		evcs.CodeAmountMismatch: func(t *testing.T, w *world) refusal {
			order, _ := w.owed(t)
			return rest(w.admin.Call(t, "POST", "/api/payment/create", object{"orderId": order, "amount": 0.01, "paymentMethod": "SANDBOX"}))
		},
		evcs.CodePaymentNotFound: as("GET", "/api/payment/query/NOBODY", nil),
		evcs.CodeRefundExceeds: func(t *testing.T, w *world) refusal {
			_, trade := w.paid(t)
			return rest(w.admin.Call(t, "POST", "/api/payment/refund", object{"tradeNo": trade, "refundAmount": 9999, "refundReason": "r"}))
		},
		evcs.CodeBadSignature: forgedCallback,
		evcs.CodePaymentState: func(t *testing.T, w *world) refusal {
			_, trade := w.paid(t)
			return rest(w.admin.Call(t, "POST", "/api/payment/"+trade+"/close", object{}))
		},
		evcs.CodeAlreadyPaid: func(t *testing.T, w *world) refusal {
			order, _ := w.paid(t)
			return rest(w.admin.Call(t, "POST", "/api/payment/create", object{"orderId": order, "amount": 15, "paymentMethod": "SANDBOX"}))
		},
		evcs.CodeChannelNotConfigured: func(t *testing.T, w *world) refusal {
			order, amount := w.owed(t)
			return rest(w.admin.Call(t, "POST", "/api/payment/create", object{"orderId": order, "amount": amount, "paymentMethod": "ALIPAY_QR"}))
		},
		evcs.CodeRefundNotFound:    as("GET", "/api/payment/refund/NOBODY", nil),
		evcs.CodeStatementNotReady: func(t *testing.T, w *world) refusal { return w.reconciled(t, 1, object{"notReady": 1}) },
		evcs.CodeStatementInvalid:  func(t *testing.T, w *world) refusal { return w.reconciled(t, 2, object{"broken": 1}) },
		evcs.CodeReconciliationRunning: func(t *testing.T, w *world) refusal {
			w.reconciled(t, 3, object{})
			w.exec(t, `UPDATE recon_batches SET status = 'RUNNING', running_until = ? WHERE day = ?`, w.d.Clock.Now().Add(time.Hour).UnixMilli(), string(w.day(3)))
			return w.reconciled(t, 3, object{}) // another node is at it
		},
		evcs.CodeBatchClosed: func(t *testing.T, w *world) refusal {
			batch := w.batch(t, 4, object{})
			w.admin.OK(t, "POST", batch+"/close", object{})
			return w.reconciled(t, 4, object{})
		},
		evcs.CodeDifferenceState: func(t *testing.T, w *world) refusal {
			return rest(w.admin.Call(t, "POST", w.difference(t, w.batch(t, 5, object{"extra": 1}))+"/approve", object{}))
		},
		evcs.CodeCheckerRequired: func(t *testing.T, w *world) refusal {
			difference := w.difference(t, w.batch(t, 6, object{"extra": 1}))
			w.admin.OK(t, "POST", difference+"/resolve", object{"action": "EXPLAIN", "reason": "r"})
			return rest(w.admin.Call(t, "POST", difference+"/approve", object{}))
		},
		evcs.CodeCloseBlocked: func(t *testing.T, w *world) refusal {
			return rest(w.admin.Call(t, "POST", w.batch(t, 7, object{"extra": 1})+"/close", object{}))
		},
		evcs.CodeBatchNotFound:      as("GET", "/api/reconciliation/batch/999999", nil),
		evcs.CodeDifferenceNotFound: as("GET", "/api/reconciliation/difference/999999", nil),
		evcs.CodeMerchantExists: func(t *testing.T, w *world) refusal {
			private, _ := evcstest.KeyPair()
			_, public := evcstest.KeyPair()
			body := object{"channel": "alipay", "name": "main", "appId": "2021000000000001", "privateKey": private, "alipayPublicKey": public, "status": 1}
			w.admin.OK(t, "POST", "/api/payment/merchant", body)
			return rest(w.admin.Call(t, "POST", "/api/payment/merchant", body))
		},
		evcs.CodeMerchantNotFound: func(t *testing.T, w *world) refusal {
			body, contentType := statement(t, map[string]string{"channel": "sandbox", "statementDate": string(w.day(1)), "merchantId": "999999"})
			e := exchange(t, "POST", w.d.URL+"/api/reconciliation/statement", body, "Content-Type", contentType, "Authorization", "Bearer "+w.admin.Token(), "Accept-Language", w.d.Language)
			judge.Committed(t).Check(t, e, judge.Lenient)
			var a evcstest.Answer
			if err := json.Unmarshal(e.Answer, &a); err != nil {
				t.Fatal(err)
			}
			a.Status = e.Status
			return rest(a)
		},
	}
}

// forgedCallback: what the payer's channel is told is the channel's own word;
// the code is in the log and the evidence only.
func forgedCallback(t *testing.T, w *world) refusal {
	t.Helper()
	order, amount := w.owed(t)
	w.pay(t, order, amount)
	var token string
	w.query(t, &token, `SELECT callback_token FROM merchants WHERE channel = 'sandbox' LIMIT 1`)
	e := exchange(t, "POST", w.d.URL+"/api/payment/callback/sandbox/"+token, []byte(`{"eventId":"forged"}`),
		"Content-Type", "application/json", "X-Sandbox-Signature", "00")
	judge.Committed(t).Check(t, e, judge.Lenient)
	var kept int64
	w.query(t, &kept, `SELECT COUNT(*) FROM callbacks WHERE outcome <> 'APPLIED'`)
	if e.Status != http.StatusBadRequest && e.Status != http.StatusUnauthorized || strings.Contains(string(e.Answer), `"traceId"`) || kept == 0 {
		t.Errorf("%d %s, %d kept", e.Status, e.Answer, kept)
	}
	return refusal{400, int(evcs.CodeBadSignature), evcs.CodeBadSignature.Text(w.d.Language == "en"), nil, false}
}

// day is some day of the past, in the time zone of statements.
func (w *world) day(ago int) api.Date {
	return api.DateOf(w.d.Clock.Now().AddDate(0, 0, -10-ago).In(payment.StatementZone()))
}

// reconciled runs a day of the sandbox with faults.
func (w *world) reconciled(t *testing.T, ago int, faults object) refusal {
	t.Helper()
	faults["date"] = w.day(ago)
	w.admin.OK(t, "PUT", "/api/payment/sandbox/statement-faults", faults)
	return rest(w.admin.Call(t, "POST", "/api/reconciliation/execute", object{"reconciliationDate": w.day(ago), "channel": "sandbox", "force": 1}))
}

func (w *world) batch(t *testing.T, ago int, faults object) string {
	t.Helper()
	a := w.reconciled(t, ago, faults)
	if a.status != http.StatusOK {
		t.Fatalf("%+v", a)
	}
	return evcstest.Path("/api/reconciliation/batch/%d", made(t, evcstest.Answer{Data: a.data}, "batchId"))
}

func (w *world) difference(t *testing.T, batch string) string {
	t.Helper()
	var list []struct{ DifferenceID int64 }
	w.admin.OK(t, "GET", "/api/reconciliation/difference/list?batchId="+filepath.Base(batch), nil).Into(t, &list)
	if len(list) == 0 {
		t.Fatal("no difference")
	}
	return evcstest.Path("/api/reconciliation/difference/%d", list[0].DifferenceID)
}

func tenantCodes() map[evcs.Code]provocation {
	// blocked signs a user of a tenant in, does something to the tenant, and asks.
	blocked := func(block func(t *testing.T, w *world, tenant int64)) provocation {
		return func(t *testing.T, w *world) refusal {
			t.Helper()
			tenant := w.newTenant(t, 1, nil)
			user, _ := w.newUser(t, tenant, "ADMIN")
			block(t, w, tenant)
			return rest(user.Call(t, "GET", "/api/station", nil))
		}
	}
	return map[evcs.Code]provocation{
		evcs.CodeTenantNotFound: as("GET", "/api/tenant/999999", nil),
		evcs.CodeTenantContextMissing: func(t *testing.T, w *world) refusal {
			return rest(w.d.Anyone().Call(t, "GET", "/api/auth/userinfo", nil, "X-User-Id", "1", "X-Proxy-Secret", proxySecret))
		},
		evcs.CodeCrossTenantDenied: func(t *testing.T, w *world) refusal {
			parent := w.newTenant(t, 1, nil)
			child := w.newTenant(t, parent, nil)
			role := w.name("ROLE")
			w.admin.OK(t, "POST", "/api/role", object{"roleCode": role, "roleName": "r", "permissions": []string{"tenant:query"}, "tenantId": parent})
			user, _ := w.newUser(t, parent, role)
			return rest(user.Call(t, "GET", evcstest.Path("/api/tenant/%d", child), nil))
		},
		evcs.CodeTenantDisabled: blocked(func(t *testing.T, w *world, tenant int64) {
			w.admin.OK(t, "PUT", evcstest.Path("/api/tenant/%d/status", tenant), object{"status": 0})
		}),
		evcs.CodeTenantExpired: blocked(func(t *testing.T, w *world, tenant int64) {
			w.admin.OK(t, "PUT", evcstest.Path("/api/tenant/%d", tenant), object{"expireTime": "2020-01-01T00:00:00Z"})
		}),
		evcs.CodeQuotaExceeded: func(t *testing.T, w *world) refusal {
			tenant := w.newTenant(t, 1, object{"maxStations": 1})
			create := func() evcstest.Answer {
				return w.admin.Call(t, "POST", "/api/station", object{"stationCode": w.name("S"), "stationName": "s", "address": "a", "tenantId": tenant})
			}
			if a := create(); a.Status != 200 {
				t.Fatalf("%+v", a)
			}
			return rest(create())
		},
		evcs.CodeTenantCodeExists: again("/api/tenant", func(w *world) object {
			return object{"tenantCode": w.name("T"), "tenantName": "n", "contactPerson": "p", "contactPhone": "13800138000", "tenantType": 2}
		}),
		evcs.CodeTenantNotEmpty: func(t *testing.T, w *world) refusal {
			parent := w.newTenant(t, 1, nil)
			w.newTenant(t, parent, nil)
			return rest(w.admin.Call(t, "DELETE", evcstest.Path("/api/tenant/%d", parent), nil))
		},
		evcs.CodeTenantSelfChange: func(t *testing.T, w *world) refusal {
			tenant := w.newTenant(t, 1, nil)
			user, _ := w.newUser(t, tenant, "ADMIN")
			return rest(user.Call(t, "PUT", evcstest.Path("/api/tenant/%d/status", tenant), object{"status": 0}))
		},
		evcs.CodeTenantMoveInvalid: func(t *testing.T, w *world) refusal {
			parent := w.newTenant(t, 1, nil)
			child := w.newTenant(t, parent, nil)
			return rest(w.admin.Call(t, "POST", evcstest.Path("/api/tenant/%d/move", parent), object{"parentId": child}))
		},
	}
}

func peopleCodes() map[evcs.Code]provocation {
	login := func(t *testing.T, w *world, identifier, password string) refusal {
		t.Helper()
		return rest(w.d.Anyone().Call(t, "POST", "/api/auth/login", object{"identifier": identifier, "password": password}))
	}
	return map[evcs.Code]provocation{
		evcs.CodeBadCredentials: func(t *testing.T, w *world) refusal { return login(t, w, w.name("nobody"), "wrong") },
		evcs.CodeAccountLocked: func(t *testing.T, w *world) refusal {
			name := w.name("locked")
			for range 5 {
				login(t, w, name, "wrong")
			}
			return login(t, w, name, "wrong")
		},
		evcs.CodeTokenExpired: func(t *testing.T, w *world) refusal {
			old := w.d.Admin()
			w.d.Clock.Advance(3 * time.Hour)
			w.admin = w.d.Admin()
			return rest(old.Call(t, "GET", "/api/auth/userinfo", nil))
		},
		evcs.CodeAccountDisabled: func(t *testing.T, w *world) refusal {
			user, id := w.newUser(t, 1, "VIEWER")
			w.admin.OK(t, "PUT", evcstest.Path("/api/user/%d/status", id), object{"status": 0})
			return rest(user.Call(t, "GET", "/api/auth/userinfo", nil))
		},
		evcs.CodeRefreshTokenInvalid: func(t *testing.T, w *world) refusal {
			return rest(w.d.Anyone().Call(t, "POST", "/api/auth/refresh", object{"refreshToken": "r1_nothing"}))
		},
		evcs.CodeUnauthenticated: func(t *testing.T, w *world) refusal {
			return rest(w.d.Anyone().Call(t, "GET", "/api/auth/userinfo", nil))
		},
		evcs.CodePasswordPolicy: func(t *testing.T, w *world) refusal {
			user, _ := w.newUser(t, 1, "VIEWER")
			return rest(user.Call(t, "POST", "/api/auth/password", object{"oldPassword": evcstest.Password, "newPassword": "password"}))
		},
		evcs.CodeOldPasswordWrong: func(t *testing.T, w *world) refusal {
			user, _ := w.newUser(t, 1, "VIEWER")
			return rest(user.Call(t, "POST", "/api/auth/password", object{"oldPassword": "not-this-1", "newPassword": "Another-staple-9"}))
		},
		evcs.CodeUserNotFound: as("GET", "/api/user/999999", nil),
		evcs.CodeUserExists:   again("/api/user", func(w *world) object { return object{"username": w.name("u"), "roles": []string{"VIEWER"}} }),
		evcs.CodeLastAdmin: func(t *testing.T, w *world) refusal {
			tenant := w.newTenant(t, 1, nil)
			_, id := w.newUser(t, tenant, "ADMIN")
			return rest(w.admin.Call(t, "DELETE", evcstest.Path("/api/user/%d", id), nil))
		},
		evcs.CodePasswordChangeRequired: func(t *testing.T, w *world) refusal {
			name := w.name("u")
			w.admin.OK(t, "POST", "/api/user", object{"username": name, "password": evcstest.Password, "identifier": name + "@test", "mustChangePassword": 1})
			return rest(w.d.SignIn(name+"@test", evcstest.Password).Call(t, "GET", "/api/station", nil))
		},
		evcs.CodeRoleNotFound: as("GET", "/api/role/999999", nil),
		evcs.CodeRoleExists: again("/api/role", func(w *world) object {
			return object{"roleCode": w.name("R"), "roleName": "r", "permissions": []string{"station:query"}}
		}),
		evcs.CodeRoleInUse:      as("DELETE", "/api/role/1", nil),
		evcs.CodeAPIKeyNotFound: as("GET", "/api/auth/api-keys/999999", nil),
		evcs.CodeGrantExceedsOwn: func(t *testing.T, w *world) refusal {
			tenant := w.newTenant(t, 1, nil)
			user, _ := w.newUser(t, tenant, "ADMIN")
			return rest(user.Call(t, "POST", "/api/role", object{"roleCode": w.name("R"), "roleName": "r", "permissions": []string{"protocol:debug"}}))
		},
	}
}

func monitorCodes() map[evcs.Code]provocation {
	return map[evcs.Code]provocation{
		evcs.CodeServiceUnknown:  as("GET", "/api/monitoring/services/evcs-nobody/health", nil),
		evcs.CodeRuleNotFound:    as("GET", "/api/monitoring/alert-rule/999999", nil),
		evcs.CodeChannelNotFound: as("GET", "/api/monitoring/notification-channel/999999", nil),
		evcs.CodeWebhookNotFound: as("GET", "/api/webhook/999999", nil),
		evcs.CodeRuleBuiltIn: func(t *testing.T, w *world) refusal {
			var page struct {
				Records []struct {
					RuleID  int64
					BuiltIn bool
				}
			}
			w.admin.OK(t, "GET", "/api/monitoring/alert-rule?size=100", nil).Into(t, &page)
			for _, r := range page.Records {
				if r.BuiltIn {
					return rest(w.admin.Call(t, "DELETE", evcstest.Path("/api/monitoring/alert-rule/%d", r.RuleID), nil))
				}
			}
			t.Fatalf("no built-in rule in %+v", page)
			return refusal{}
		},
		evcs.CodeDeliveryFailed: func(t *testing.T, w *world) refusal {
			a := w.admin.OK(t, "POST", "/api/webhook", object{"url": "https://nobody.invalid/hook", "types": []string{"order.*"}, "name": "nobody"})
			return rest(w.admin.Call(t, "POST", evcstest.Path("/api/webhook/%d/test", made(t, a, "webhookId")), object{}))
		},
		evcs.CodeAlertNotFound: as("GET", "/api/monitoring/alerts/999999", nil),
		evcs.CodeAlertState: func(t *testing.T, w *world) refusal {
			c := w.online(t)
			c.ok(t, "status", "", object{"connectorNo": 1, "status": 3, "faultCode": "F1"})
			var id int64
			evcstest.Eventually(t, "an alert is raised", func() bool {
				var page struct{ Records []struct{ AlertID int64 } }
				w.admin.OK(t, "GET", evcstest.Path("/api/monitoring/alerts?chargerId=%d", c.id), nil).Into(t, &page)
				if len(page.Records) > 0 {
					id = page.Records[0].AlertID
				}
				return id != 0
			})
			path := evcstest.Path("/api/monitoring/alerts/%d", id)
			w.admin.OK(t, "POST", path+"/resolve", object{"resolution": "done"})
			return rest(w.admin.Call(t, "POST", path+"/acknowledge", object{}))
		},
	}
}

func commonCodes() map[evcs.Code]provocation {
	return map[evcs.Code]provocation{
		evcs.CodeValidationFailed: as("GET", "/api/station?size=0", nil),
		evcs.CodePermissionDenied: func(t *testing.T, w *world) refusal {
			user, _ := w.newUser(t, 1, "VIEWER")
			return rest(user.Call(t, "POST", "/api/user", object{"username": "x"}))
		},
		evcs.CodeRouteNotFound:    as("GET", "/api/nothing/here", nil),
		evcs.CodeMethodNotAllowed: as("PATCH", "/api/station", nil),
		evcs.CodeVersionConflict: func(t *testing.T, w *world) refusal {
			return rest(w.admin.Call(t, "PUT", evcstest.Path("/api/station/%d", w.newStation(t)), object{"stationName": "x"}, "If-Match", `"999"`))
		},
		evcs.CodeIdempotencyKeyReused: func(t *testing.T, w *world) refusal {
			key := w.name("key-")
			w.admin.OK(t, "POST", "/api/id-tag", object{"idTag": w.name("TAG")}, "Idempotency-Key", key)
			return rest(w.admin.Call(t, "POST", "/api/id-tag", object{"idTag": w.name("TAG")}, "Idempotency-Key", key))
		},
		evcs.CodeIdempotencyInProgress: func(t *testing.T, w *world) refusal {
			charger, key := w.silent(t), w.name("key-")
			body := object{"chargerId": charger, "connectorNo": 1, "wait": 2}
			first := make(chan evcstest.Answer, 1)
			go func() { first <- w.admin.Call(t, "POST", "/api/order/start", body, "Idempotency-Key", key) }()
			evcstest.Eventually(t, "the first is at work", func() bool {
				var page struct{ Total int }
				w.admin.OK(t, "GET", evcstest.Path("/api/command?chargerId=%d", charger), nil).Into(t, &page)
				return page.Total == 1
			})
			a := w.admin.Call(t, "POST", "/api/order/start", body, "Idempotency-Key", key)
			<-first
			return rest(a)
		},
		evcs.CodeResultTooLarge: func(t *testing.T, w *world) refusal {
			tenant := w.newTenant(t, 1, nil)
			user, _ := w.newUser(t, tenant, "ADMIN")
			var group sync.WaitGroup
			for range 8 {
				group.Go(func() {
					for range 126 {
						user.OK(t, "POST", "/api/id-tag", object{"idTag": w.name("MANY")})
					}
				})
			}
			group.Wait()
			return rest(user.Call(t, "GET", "/api/id-tag/list", nil))
		},
		evcs.CodeBodyTooLarge: func(t *testing.T, w *world) refusal {
			return rest(w.admin.Call(t, "POST", "/api/id-tag", object{"idTag": strings.Repeat("x", 2<<20)}))
		},
		evcs.CodeCursorInvalid: as("GET", "/api/station?cursor=abc", nil),
		evcs.CodeUnsupportedMediaType: func(t *testing.T, w *world) refusal {
			return rest(w.admin.Call(t, "POST", "/api/id-tag", object{"idTag": "x"}, "Content-Type", "text/xml"))
		},
		evcs.CodeRateLimited:        rateLimited,
		evcs.CodeServiceUnavailable: unavailable,
		evcs.CodeInternalError: func(t *testing.T, w *world) refusal {
			w.exec(t, `ALTER TABLE id_tags RENAME TO id_tags_away`) // a defect, as seen from outside
			a := w.admin.Call(t, "GET", "/api/id-tag", nil)
			w.exec(t, `ALTER TABLE id_tags_away RENAME TO id_tags`)
			if string(a.Data) != "null" {
				t.Errorf("it tells %s", a.Data)
			}
			return rest(a)
		},
	}
}

func rateLimited(t *testing.T, w *world) refusal {
	t.Helper()
	d := evcstest.Start(t, evcstest.WithConfig(func(c *config.Config) { c.RateLimit.TenantPerSecond, c.RateLimit.TenantBurst = 1, 1 }))
	d.Language = w.d.Language
	admin := d.Admin()
	for range 20 {
		if a := admin.Call(t, "GET", "/api/auth/userinfo", nil); a.Status != http.StatusOK {
			if a.Header.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
			return rest(a)
		}
	}
	return refusal{}
}

// unavailable: somebody else holds the store longer than a request waits.
func unavailable(t *testing.T, w *world) refusal {
	t.Helper()
	db := w.side(t)
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(t.Context(), `BEGIN IMMEDIATE`); err != nil {
		t.Fatal(err)
	}
	a := w.admin.Call(t, "POST", "/api/id-tag", object{"idTag": w.name("TAG")})
	if _, err := conn.ExecContext(context.WithoutCancel(t.Context()), `ROLLBACK`); err != nil {
		t.Fatal(err)
	}
	return rest(a)
}

// side opens the daemon's database beside it.
func (w *world) side(t *testing.T) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(w.d.Config.DataDir, "evcs.db")+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func (w *world) exec(t *testing.T, query string, args ...any) {
	t.Helper()
	if _, err := w.side(t).ExecContext(t.Context(), query, args...); err != nil {
		t.Fatal(err)
	}
}

func (w *world) query(t *testing.T, into any, query string, args ...any) {
	t.Helper()
	if err := w.side(t).QueryRowContext(t.Context(), query, args...).Scan(into); err != nil {
		t.Fatal(err)
	}
}
