package evcstest_test

import (
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/evcs/evcs/internal/config"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/evcstest"
)

// TestBadFrames sends what no station should, and asks in the same breath
// whether the connection still works: a message that is no good is answered or
// passed over, one that breaks the framing ends the connection. Nothing of it
// is stored as a fact, and a neighbour never notices.
func TestBadFrames(t *testing.T) {
	t.Parallel()
	d := evcstest.Start(t)
	d.Clock.Set(begun)
	y := build(t, d, d.Admin(), "BAD-1")
	good := y.another(t, "C2", "GOOD-1").plugIn(t)
	const beat = `[3,"ok",{"currentTime":"2027-02-10T03:00:00.000Z"}]`
	deep := strings.Repeat(`{"a":[`, 20_000)
	many := strings.TrimSuffix(strings.Repeat(`{"timestamp":"2027-02-10T03:00:00Z","sampledValue":[]},`, 4000), ",")
	for name, c := range map[string]struct{ frame, answer string }{
		"no JSON":                {`hello`, ""},
		"empty":                  {``, ""},
		"no array":               {`{"a":1}`, ""},
		"no id":                  {`[2]`, ""},
		"unknown type":           {`[9,"x","Heartbeat",{}]`, ""},
		"an answer to none":      {`[3,"stray",{}]`, ""},
		"no payload":             {`[2,"x","Heartbeat"]`, `[4,"x","ProtocolError"`},
		"not an object":          {`[2,"x","Heartbeat",[1]]`, `[4,"x","FormationViolation"`},
		"cut off":                {`[2,"x","StartTransaction",{"connectorId":1,"idTag":"T1"`, `[4,"x","FormationViolation"`},
		"deep nesting":           {`[2,"x","DataTransfer",{"vendorId":` + deep + `}]`, `[4,"x","FormationViolation"`},
		"a huge number":          {`[2,"x","StartTransaction",{"connectorId":1,"idTag":"T1","meterStart":1e999,"timestamp":"2027-02-10T03:00:00Z"}]`, `[4,"x","TypeConstraintViolation"`},
		"a huge connector":       {`[2,"x","StartTransaction",{"connectorId":99999999999999999999,"idTag":"T1","meterStart":0}]`, `[4,"x",`},
		"connector 0":            {`[2,"x","StartTransaction",{"connectorId":0,"idTag":"T1","meterStart":0}]`, `[4,"x","PropertyConstraintViolation"`},
		"no tag":                 {`[2,"x","StartTransaction",{"connectorId":1,"meterStart":0}]`, `[4,"x","OccurenceConstraintViolation"`},
		"an id that is no UTF-8": {"[2,\"\xff\xfe\",\"Heartbeat\",{}]", ""},
		"a vendor in Latin-1":    {"[2,\"x\",\"BootNotification\",{\"chargePointVendor\":\"M\xfcller\",\"chargePointModel\":\"M\"}]", `[3,"x",{"status":"Accepted"`},
		"a long id":              {`[2,"` + strings.Repeat("i", 300) + `","Heartbeat",{}]`, ""},
		"thousands of values":    {`[2,"x","MeterValues",{"connectorId":1,"meterValue":[` + many + `]}]`, `[`},
	} {
		w := y.plugIn(t)
		w.send(c.frame)
		if c.answer != "" {
			if got := w.answer(); !strings.HasPrefix(got, c.answer) {
				t.Errorf("%s: %s, want %s", name, got, c.answer)
			}
		}
		w.want(`[2,"ok","Heartbeat",{}]`, beat)
		good.want(`[2,"ok","Heartbeat",{}]`, beat)
		w.conn.Close()
	}
	for name, c := range map[string]struct {
		raw  []byte
		code int // of the close frame
	}{
		"compressed, not agreed":  {masked(0xc1, []byte("x")), websocket.CloseProtocolError},
		"a reserved opcode":       {masked(0x83, []byte("x")), websocket.CloseProtocolError},
		"not masked":              {[]byte{0x81, 0x01, 'x'}, websocket.CloseProtocolError},
		"a long ping":             {masked(0x89, make([]byte, 126)), websocket.CloseProtocolError},
		"a length of exabytes":    {[]byte{0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4}, websocket.CloseMessageTooBig},
		"a length over the bound": {[]byte{0x81, 0xff, 0, 0, 0, 0, 0, 4, 0, 1, 1, 2, 3, 4}, websocket.CloseMessageTooBig},
	} {
		w, err := y.socket(t)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.NetConn().Write(c.raw); err != nil {
			t.Error(err)
		}
		_ = w.SetReadDeadline(time.Now().Add(10 * time.Second))
		_, _, err = w.ReadMessage()
		var closed *websocket.CloseError
		switch {
		case errors.As(err, &closed) && closed.Code == c.code:
		case errors.Is(err, io.EOF) || errors.As(err, &closed): // it is over, which is what counts
		default:
			t.Errorf("%s: %v", name, err)
		}
		w.Close()
		good.want(`[2,"ok","Heartbeat",{}]`, beat)
	}
	fragments := y.plugIn(t)
	for _, raw := range [][]byte{masked(0x01, []byte(`[2,"ok",`)), masked(0x89, []byte("p")), masked(0x00, []byte(`"Heartbeat"`)), masked(0x80, []byte(`,{}]`))} {
		if _, err := fragments.conn.NetConn().Write(raw); err != nil {
			t.Fatal(err)
		}
	}
	if got := fragments.answer(); got != beat {
		t.Errorf("in fragments with a ping between: %s", got)
	}
	if all := y.orders(t); len(all) != 0 {
		t.Errorf("a bad frame made orders: %+v", all)
	}
}

// masked is one client frame with a mask of zeros and a short or medium length.
func masked(first byte, payload []byte) []byte {
	frame := []byte{first}
	if len(payload) < 126 {
		frame = append(frame, 0x80|byte(len(payload)))
	} else {
		frame = binary.BigEndian.AppendUint16(append(frame, 0x80|126), uint16(len(payload)))
	}
	return append(append(frame, 0, 0, 0, 0), payload...)
}

// TestDebugIsClosed: unless it is switched on, debugging does not exist, not
// even for the administrator; switched on, it speaks for simulated chargers
// alone.
func TestDebugIsClosed(t *testing.T) {
	t.Parallel()
	paths := map[string]string{
		"/debug/protocol/simulate/heartbeat": http.MethodPost, "/debug/protocol/simulate/status": http.MethodPost, "/debug/protocol/simulate/start": http.MethodPost,
		"/debug/protocol/simulate/stop": http.MethodPost, "/debug/protocol/events/history": http.MethodGet, "/debug/protocol/stats": http.MethodGet,
	}
	off := evcstest.Start(t)
	admin := off.Admin()
	for path, method := range paths {
		refused(t, admin.Call(t, method, path, nil), 0, evcs.CodeRouteNotFound, nil)
	}
	on := evcstest.Start(t, evcstest.WithConfig(func(c *config.Config) { c.Debug.Protocol.Enabled = true }))
	y := build(t, on, on.Admin(), "REAL-1")
	for path, body := range map[string]map[string]any{
		"heartbeat": {"chargerId": y.ChargerID}, "status": {"chargerId": y.ChargerID, "newStatus": 1}, "start": {"chargerId": y.ChargerID},
	} {
		refused(t, y.by.Call(t, http.MethodPost, "/debug/protocol/simulate/"+path, body), 0, evcs.CodeNotSimulated, nil)
	}
	refused(t, on.Anyone().Call(t, http.MethodGet, "/debug/protocol/stats", nil), http.StatusUnauthorized, evcs.CodeUnauthenticated, nil)
}

// TestConnectionsAreCounted reads back who is connected, with how much was said
// both ways and how many commands wait for an answer.
func TestConnectionsAreCounted(t *testing.T) {
	t.Parallel()
	d := evcstest.Start(t)
	d.Clock.Set(begun)
	y := build(t, d, d.Admin(), "CONN-1")
	w := y.plugIn(t)
	w.says(boot)
	w.says(`[2,"1","Heartbeat",{}]`)
	type connection struct {
		ChargerID                                int64
		DeviceID, Protocol, Version              string
		RemoteAddress                            string
		ConnectedSince, LastMessageTime          time.Time
		MessagesIn, MessagesOut, PendingCommands int
	}
	read := func(query string) []connection {
		var page struct{ Records []connection }
		y.by.OK(t, http.MethodGet, "/api/protocol/connection"+query, nil).Into(t, &page)
		return page.Records
	}
	y.ask(t, map[string]any{"type": "GET_CONFIG"})
	w.next()
	evcstest.Eventually(t, "the call is counted", func() bool { list := read(""); return len(list) == 1 && list[0].MessagesOut == 3 })
	c := read("?protocol=OCPP16")[0]
	if c.ChargerID != y.ChargerID || c.DeviceID != "CONN-1" || c.Version != "ocpp1.6" || !strings.HasPrefix(c.RemoteAddress, "127.0.0.1:") ||
		!c.ConnectedSince.Equal(begun) || !c.LastMessageTime.Equal(begun) || c.MessagesIn != 2 || c.PendingCommands != 1 {
		t.Errorf("%+v", c)
	}
	var shown struct{ LastUsedTime time.Time }
	y.by.OK(t, http.MethodGet, evcstest.Path("/api/charger/%d/credential", y.ChargerID), nil).Into(t, &shown)
	if !shown.LastUsedTime.Equal(begun) {
		t.Errorf("the credential was last used at %v", shown.LastUsedTime)
	}
	if list := read("?protocol=YKC"); len(list) != 0 {
		t.Errorf("%+v", list)
	}
}
