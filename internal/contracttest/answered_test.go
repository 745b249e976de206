package contracttest

import (
	"encoding/csv"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/pquerna/otp/totp"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/config"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/evcstest"
	"github.com/evcs/evcs/internal/judge"
)

// These are the operations that no other test calls with success, so that the
// recorded session has every operation of the document (scripts/openapi-check).

// TestEveryStepOfASecondFactor goes from the enrolment to the end.
func TestEveryStepOfASecondFactor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	at := time.Date(2026, 2, 10, 2, 0, 0, 0, time.UTC)
	w.d.Clock.Set(at)
	w.admin = w.d.Admin()
	user, id := w.newUser(t, 1, "VIEWER")
	var profile struct{ Identifier string }
	user.OK(t, "GET", "/api/auth/userinfo", nil).Into(t, &profile)
	state := func(want api.SecondFactor) {
		t.Helper()
		var got api.SecondFactor
		user.OK(t, "GET", "/api/auth/totp", nil).Into(t, &got)
		if got.Enabled != want.Enabled || got.Enrolled != want.Enrolled || got.RecoveryCodesLeft != want.RecoveryCodesLeft || (got.ConfirmedTime != nil) != want.Enabled {
			t.Fatalf("%+v, want %+v", got, want)
		}
	}
	login := func(code string) evcstest.Answer {
		body := object{"identifier": profile.Identifier, "password": evcstest.Password}
		if code != "" {
			body["totp"] = code
		}
		return w.d.Anyone().Call(t, "POST", "/api/auth/login", body)
	}
	enrol := func() (secret string) {
		t.Helper()
		var made api.TotpEnrolment
		user.OK(t, "POST", "/api/auth/totp/enrol", object{"password": evcstest.Password}).Into(t, &made)
		if len(made.Secret) < 16 || !strings.HasPrefix(made.URI, "otpauth://totp/EVCS:") || !strings.Contains(made.URI, "secret="+made.Secret) {
			t.Fatalf("%+v", made)
		}
		return made.Secret
	}
	code := func(secret string) string {
		t.Helper()
		w.d.Clock.Advance(time.Minute) // each code is taken once
		digits, err := totp.GenerateCode(secret, w.d.Clock.Now())
		if err != nil {
			t.Fatal(err)
		}
		return digits
	}
	confirm := func(secret string) []string {
		t.Helper()
		var given api.RecoveryCodes
		user.OK(t, "POST", "/api/auth/totp/confirm", object{"code": code(secret)}).Into(t, &given)
		if slices.Sort(given.RecoveryCodes); len(given.RecoveryCodes) != 10 || len(slices.Compact(given.RecoveryCodes)) != 10 {
			t.Fatalf("%d recovery codes", len(given.RecoveryCodes))
		}
		return given.RecoveryCodes
	}

	state(api.SecondFactor{})
	secret := enrol()
	state(api.SecondFactor{Enrolled: true})
	if a := login(""); a.Status != http.StatusOK {
		t.Errorf("before the confirmation: %d %d", a.Status, a.Code)
	}
	recovery := confirm(secret)
	state(api.SecondFactor{Enabled: true, RecoveryCodesLeft: 10})
	if a := login(""); evcs.Code(a.Code) != evcs.CodeBadCredentials || !strings.Contains(string(a.Data), `"totpRequired":true`) {
		t.Errorf("without a code: %d %s", a.Code, a.Data)
	}
	for _, given := range []string{code(secret), recovery[0]} {
		if a := login(given); a.Status != http.StatusOK {
			t.Errorf("with a code: %d %d", a.Status, a.Code)
		}
	}
	state(api.SecondFactor{Enabled: true, RecoveryCodesLeft: 9})
	if a := login(recovery[0]); evcs.Code(a.Code) != evcs.CodeBadCredentials {
		t.Errorf("a recovery code for the second time: %d", a.Code)
	}

	user.OK(t, "POST", "/api/auth/totp/disable", object{"password": evcstest.Password, "code": code(secret)})
	state(api.SecondFactor{})
	if a := login(""); a.Status != http.StatusOK {
		t.Errorf("when it has ended: %d %d", a.Status, a.Code)
	}

	confirm(enrol())
	w.admin.OK(t, "POST", evcstest.Path("/api/user/%d/totp/reset", id), nil)
	if a := login(""); a.Status != http.StatusOK {
		t.Errorf("when it was taken: %d %d", a.Status, a.Code)
	}
}

// TestEverySegmentIsChecked: a draft of a plan is judged whole, and nothing is
// stored.
func TestEverySegmentIsChecked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	segment := func(from, to, kind string) object {
		return object{"startTime": from, "endTime": to, "periodKind": kind, "energyPrice": 1, "serviceFee": 0.5}
	}
	check := func(segments ...object) (v api.PlanValidity) {
		t.Helper()
		w.admin.OK(t, "POST", "/api/billing/plan/validate", object{"segments": segments}).Into(t, &v)
		return v
	}
	var before, after struct{ Total int }
	w.admin.OK(t, "GET", "/api/billing/plan", nil).Into(t, &before)
	v := check(segment("00:00", "08:30", "VALLEY"), segment("08:30", "24:00", "PEAK"))
	if !v.Valid || v.GridMinutes != 30 || !v.Pushable || len(v.Errors) != 0 || len(v.Slots) != 48 || v.Slots[16] != "VALLEY" || v.Slots[17] != "PEAK" {
		t.Errorf("a whole day: %+v", v)
	}
	if v := check(segment("00:00", "08:15", "FLAT"), segment("08:15", "24:00", "PEAK")); !v.Valid || v.GridMinutes != 15 || len(v.Slots) != 96 || v.Slots[32] != "FLAT" || v.Slots[33] != "PEAK" {
		t.Errorf("by the quarter: %+v", v)
	}
	if v := check(segment("00:00", "08:00", "FLAT"), segment("09:00", "24:00", "PEAK")); v.Valid || len(v.Errors) == 0 || len(v.Slots) != 0 || v.Errors[0].Field == "" || v.Errors[0].Message == "" {
		t.Errorf("with a gap: %+v", v)
	}
	if w.admin.OK(t, "GET", "/api/billing/plan", nil).Into(t, &after); after != before {
		t.Errorf("%+v plans, then %+v", before, after)
	}
}

// TestEveryFormOfAReport: the report of a day as a table and as a page says what
// its JSON says.
func TestEveryFormOfAReport(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	batch := w.batch(t, 0, object{"extra": 2})
	var report api.ReconReport
	w.admin.OK(t, "GET", batch+"/report", nil).Into(t, &report)
	if len(report.Differences) != 2 {
		t.Fatalf("%d differences", len(report.Differences))
	}
	read := func(form, media string) string {
		t.Helper()
		e := exchange(t, "GET", w.d.URL+batch+"/report/"+form, nil, "Authorization", "Bearer "+w.admin.Token(), "Accept-Language", "en")
		judge.Committed(t).Check(t, e, judge.Exact)
		if e.Status != http.StatusOK || e.AnswerHeader.Get("Content-Type") != media {
			t.Fatalf("%s: %d %s %s", form, e.Status, e.AnswerHeader.Get("Content-Type"), e.Answer)
		}
		return string(e.Answer)
	}

	table, found := strings.CutPrefix(read("csv", "text/csv; charset=utf-8"), "\ufeff")
	if !found {
		t.Error("no byte order mark")
	}
	r := csv.NewReader(strings.NewReader(table))
	r.FieldsPerRecord = -1
	rows, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	sections, said := map[string]int{}, map[string]string{}
	for _, row := range rows[1:] {
		sections[row[0]]++
		if row[0] == "SUMMARY" {
			said[row[1]] = row[2]
		}
	}
	if sections["DIFFERENCE"] != 2 || sections["SUMMARY"] < 20 || sections["#rows"] != 1 || said["channel"] != "sandbox" || said["totalCount"] != "2" {
		t.Errorf("%v %v", sections, said)
	}

	page := read("html", "text/html; charset=utf-8")
	for _, text := range []string{"<html", string(w.day(0)), "</html>"} {
		if !strings.Contains(page, text) {
			t.Errorf("%q is missing in %.400s", text, page)
		}
	}
	for _, d := range report.Differences {
		if d.TradeNo == nil || !strings.Contains(page, *d.TradeNo) || !strings.Contains(table, *d.TradeNo) {
			t.Errorf("%+v is not on the page or in the table", d)
		}
	}
	if strings.Contains(page, "<script") {
		t.Error("a page with scripts")
	}
}

// TestEveryRuleAndChannelOfVersion1 lives their lives by the older paths, which
// lead to the same things.
func TestEveryRuleAndChannelOfVersion1(t *testing.T) {
	t.Parallel()
	var told atomic.Int64
	receiver := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { told.Add(1) }))
	defer receiver.Close()
	w := newWorld(t, evcstest.WithConfig(func(c *config.Config) { c.Outbound.AllowCIDR, c.Outbound.PlainHTTP = []string{"127.0.0.1/32"}, true }))
	for _, x := range []struct {
		noun, id, field string
		body            object
		changed         any
		gone            evcs.Code
	}{
		{"alert-rule", "ruleId", "threshold", object{"name": "hot", "metric": "connector_temperature", "op": "gt", "threshold": 75.5, "severity": "HIGH"}, 80.0, evcs.CodeRuleNotFound},
		{"notification-channel", "channelId", "name", object{"type": "WEBHOOK", "name": "duty", "config": object{"url": receiver.URL, "secret": "0123456789abcdef"}}, "night", evcs.CodeChannelNotFound},
	} {
		list := "/api/v1/monitoring/" + x.noun
		one := evcstest.Path("%s/%d", list, made(t, w.admin.OK(t, "POST", list, x.body), x.id))
		var read object
		w.admin.OK(t, "PUT", one, object{x.field: x.changed})
		if w.admin.OK(t, "GET", strings.Replace(one, "/v1", "", 1), nil).Into(t, &read); read[x.field] != x.changed {
			t.Errorf("%s: %v", one, read)
		}
		if x.noun == "notification-channel" {
			if w.admin.OK(t, "POST", one+"/test", nil); told.Load() != 1 {
				t.Errorf("told %d times", told.Load())
			}
		}
		w.admin.OK(t, "DELETE", one, nil)
		if a := w.admin.Call(t, "GET", one, nil); evcs.Code(a.Code) != x.gone {
			t.Errorf("%s: %d %s", one, a.Code, a.Data)
		}
		if a := w.admin.Call(t, "DELETE", one, nil); evcs.Code(a.Code) != x.gone {
			t.Errorf("%s is gone twice: %d", one, a.Code)
		}
	}
}

// TestEveryChargePointIsUpgraded: the handshake of a charger is an exchange of
// the document too, up to the answer that makes it a WebSocket.
func TestEveryChargePointIsUpgraded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.newChargePoint(t)
	dial := func(secret string) (*websocket.Conn, judge.Exchange) {
		t.Helper()
		conn, answer, err := p.dial(t, secret)
		if answer == nil {
			t.Fatal(err)
		}
		answer.Body.Close() // of a refusal it is in memory, else it is the connection's
		return conn, judge.Exchange{Method: "GET", URL: p.address, Header: p.header, Status: answer.StatusCode, AnswerHeader: answer.Header}
	}
	conn, e := dial(p.secret)
	judge.Committed(t).Check(t, e, judge.Exact)
	if e.Status != http.StatusSwitchingProtocols || conn.Subprotocol() != "ocpp1.6" {
		t.Fatalf("%d %q", e.Status, conn.Subprotocol())
	}
	defer conn.Close()
	if err := conn.WriteJSON([]any{2, "1", "BootNotification", object{"chargePointVendor": "V", "chargePointModel": "M"}}); err != nil {
		t.Fatal(err)
	}
	var answer []any
	if err := conn.ReadJSON(&answer); err != nil || len(answer) != 3 || answer[1] != "1" || answer[2].(map[string]any)["status"] != "Accepted" {
		t.Fatalf("%v %v", answer, err)
	}
	if _, e := dial("wrong"); e.Status != http.StatusUnauthorized {
		t.Errorf("a wrong secret: %d", e.Status)
	}
}
