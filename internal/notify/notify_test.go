package notify

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/evcs/evcs/internal/alarm"
	"github.com/evcs/evcs/internal/outbound"
	"github.com/evcs/evcs/internal/webhook"
)

var loopback = outbound.Open{netip.MustParsePrefix("127.0.0.0/8")}

func TestPostIsBounded(t *testing.T) {
	t.Parallel()
	inner := 0
	h := http.NewServeMux()
	h.HandleFunc("/ok", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if string(body) != "hello" || r.Header.Get("X-Evcs-Event-Id") != "5" {
			w.WriteHeader(http.StatusTeapot)
		}
	})
	h.HandleFunc("/away", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/inner", http.StatusFound) })
	h.HandleFunc("/inner", func(http.ResponseWriter, *http.Request) { inner++ })
	h.HandleFunc("/no", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	server := httptest.NewServer(h)
	defer server.Close()
	s := NewSender(loopback, nil)
	header := map[string]string{"X-Evcs-Event-Id": "5"}
	if status, err := s.Post(t.Context(), server.URL+"/ok", header, []byte("hello")); err != nil || status != http.StatusOK {
		t.Errorf("ok: %d %v", status, err)
	}
	if status, err := s.Post(t.Context(), server.URL+"/away", header, nil); err == nil || status != http.StatusFound || inner != 0 {
		t.Errorf("redirect: %d %v, followed %d times", status, err, inner)
	}
	if status, err := s.Post(t.Context(), server.URL+"/no", header, nil); err == nil || status != http.StatusInternalServerError {
		t.Errorf("failure: %d %v", status, err)
	}
	if status, err := NewSender(nil, nil).Post(t.Context(), server.URL+"/ok", header, []byte("hello")); !errors.Is(err, outbound.ErrAddress) || status != 0 {
		t.Errorf("a private address by default: %d %v", status, err)
	}
	u, _ := url.Parse(server.URL)
	if _, err := NewSender(nil, nil).Post(t.Context(), "http://localhost:"+u.Port()+"/ok", header, nil); !errors.Is(err, outbound.ErrAddress) {
		t.Errorf("a name of a private address: %v", err)
	}
	server.Close()
	if _, err := s.Post(t.Context(), server.URL+"/ok?key=very-secret", header, nil); err == nil || strings.Contains(err.Error(), "very-secret") {
		t.Errorf("a failure shows the URL: %v", err)
	}
}

func message(kind alarm.ChannelType, to alarm.Endpoint, items ...alarm.Item) alarm.Message {
	return alarm.Message{
		Channel: alarm.Channel{Type: kind}, Endpoint: to, At: time.UnixMilli(1599360473000), Zone: time.FixedZone("", 8*3600), Items: items,
	}
}

func item(kind alarm.NoticeKind) alarm.Item {
	return alarm.Item{Notice: 4, Kind: kind, Alert: alarm.Alert{
		ID: 57, Tenant: 1, Rule: alarm.ChargerOffline, Severity: alarm.Medium, Status: alarm.Active, Message: "FT-DC-03",
		Target: alarm.OfCharger(10003), First: time.UnixMilli(1599360000000), Last: time.UnixMilli(1599360000000), ResolvedAt: time.UnixMilli(1599360400000),
	}}
}

// The vectors were computed with an independent program.
func TestPlatformSignatures(t *testing.T) {
	t.Parallel()
	u, err := url.Parse(dingTalkURL(alarm.Endpoint{URL: "https://oapi.dingtalk.com/robot/send?access_token=abc", Secret: "this is secret"}, time.UnixMilli(1599360473000)))
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	if q.Get("access_token") != "abc" || q.Get("timestamp") != "1599360473000" || q.Get("sign") != "hXZTWifRGHclNuZSKxoXc//sh51SWfVfRIhcdeKs63I=" {
		t.Errorf("DingTalk: %v", q)
	}
	f := feishu(message(alarm.ByFeishu, alarm.Endpoint{Secret: "demo"}, item(alarm.Raised)))
	if f["timestamp"] != "1599360473" || f["sign"] != "l1N0gAcBjdwBvGm1xMjOF0XSyaLRpR7tuO5dHfhAYc8=" {
		t.Errorf("Feishu: %v", f)
	}
	if f := feishu(message(alarm.ByFeishu, alarm.Endpoint{}, item(alarm.Raised))); f["sign"] != nil {
		t.Errorf("Feishu without a secret: %v", f)
	}
	if got := webhook.Sign("whsec_demo", 1700000000, []byte(`{"eventId":1}`)); got != "v1=3e48687abebe36261093d33b053c2ed9f0e1c2b4404412fd11d0361b867b5d5c" {
		t.Errorf("webhook: %s", got)
	}
}

func TestEveryPlatformGetsItsForm(t *testing.T) {
	t.Parallel()
	var got map[string]any
	var header http.Header
	answer := `{"errcode":0,"errmsg":"ok"}`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, header = nil, r.Header
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
			t.Error(err)
		}
		if _, err := io.WriteString(w, answer); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	c := Crier{Sender: NewSender(loopback, nil)}
	text := func(path ...string) string {
		v := any(got)
		for _, name := range path {
			m, _ := v.(map[string]any)
			v = m[name]
		}
		s, _ := v.(string)
		return s
	}
	send := func(kind alarm.ChannelType, english bool, items ...alarm.Item) error {
		m := message(kind, alarm.Endpoint{URL: server.URL, Secret: "0123456789abcdef"}, items...)
		m.English = english
		_, err := c.Send(t.Context(), m)
		return err
	}
	if err := send(alarm.ByDingTalk, false, item(alarm.Raised)); err != nil || got["msgtype"] != "markdown" || !strings.Contains(text("markdown", "text"), "充电桩离线") ||
		!strings.Contains(text("markdown", "text"), "2020-09-06 10:40:00") {
		t.Errorf("DingTalk: %v %v", err, got)
	}
	if err := send(alarm.ByWeCom, true, item(alarm.Cleared)); err != nil || !strings.Contains(text("markdown", "content"), "RESOLVED") || !strings.Contains(text("markdown", "content"), "Charger offline") {
		t.Errorf("WeCom: %v %v", err, got)
	}
	many := make([]alarm.Item, 200)
	for i := range many {
		many[i] = item(alarm.Raised)
	}
	if err := send(alarm.ByWeCom, false, many...); err != nil || len(text("markdown", "content")) > 4096 || !strings.Contains(text("markdown", "content"), "200") {
		t.Errorf("WeCom, many: %v, %d bytes", err, len(text("markdown", "content")))
	}
	answer = `{"code":0,"msg":"success"}`
	if err := send(alarm.ByFeishu, false, item(alarm.Repeated)); err != nil || !strings.Contains(text("content", "text"), "告警持续") {
		t.Errorf("Feishu: %v %v", err, got)
	}
	answer = `{"code":19021,"msg":"sign match fail or timestamp is not within one hour from current time"}`
	if err := send(alarm.ByFeishu, false, item(alarm.Raised)); err == nil || !strings.Contains(err.Error(), "19021") {
		t.Errorf("a robot that refuses with 200 was believed: %v", err)
	}
	answer = `{"errcode":310000,"errmsg":"sign not match"}`
	if err := send(alarm.ByDingTalk, false, item(alarm.Raised)); err == nil || !strings.Contains(err.Error(), "310000") {
		t.Errorf("a robot that refuses with 200 was believed: %v", err)
	}
	answer = `<html>`
	if err := send(alarm.ByWeCom, false, item(alarm.Raised)); err == nil {
		t.Error("a page was taken for a robot")
	}
	answer = ""
	if err := send(alarm.ByWebhook, true, item(alarm.Raised)); err != nil || got["title"] != "[ALERT][MEDIUM] Charger offline" || header.Get("X-Evcs-Signature") == "" {
		t.Errorf("webhook: %v %v", err, got)
	}
	if err := send(alarm.ByEmail, true, item(alarm.Raised)); !errors.Is(err, errNoMail) {
		t.Errorf("mail without a server: %v", err)
	}
}

func TestEveryTitleHasBothLanguages(t *testing.T) {
	t.Parallel()
	for _, b := range alarm.BuiltIns() {
		if b.Title.ZH == "" || b.Title.EN == "" {
			t.Errorf("%s has no title in a language", b.Name)
		}
	}
	for _, m := range alarm.Metrics() {
		if m.Help.ZH == "" || m.Help.EN == "" || m.Unit == "" {
			t.Errorf("%s lacks a unit or words", m.Name)
		}
	}
	for _, english := range []bool{false, true} {
		for _, k := range []alarm.NoticeKind{alarm.Raised, alarm.Repeated, alarm.Cleared} {
			if kindText(k, english) == string(k) && k != alarm.Cleared {
				t.Errorf("%s is not worded", k)
			}
		}
	}
}
