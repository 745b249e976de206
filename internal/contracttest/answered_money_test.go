package contracttest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/config"
	"github.com/evcs/evcs/internal/evcstest"
	"github.com/evcs/evcs/internal/judge"
)

// TestEveryListIsExported: each export is a table with the columns that were
// wanted and a last line that counts its rows.
func TestEveryListIsExported(t *testing.T) {
	t.Parallel()
	w := newWorld(t, evcstest.WithConfig(func(c *config.Config) { c.RateLimit.ExportPerMinute = 0 }))
	order, trade := w.paid(t)
	w.admin.OK(t, "POST", "/api/payment/refund", object{"tradeNo": trade, "refundAmount": 1, "refundReason": "r"})
	w.batch(t, 0, object{"extra": 1})
	for resource, column := range map[string]string{
		"order": "orderNo", "order-line": "orderNo", "session": "sessionId", "payment": "tradeNo", "refund": "refundNo", "station": "stationName",
		"charger": "chargerCode", "difference": "kind", "audit-log": "action",
	} {
		e := exchange(t, "GET", w.d.URL+"/api/export/"+resource+"?columns="+column, nil, "Authorization", "Bearer "+w.admin.Token(), "Accept-Language", "en")
		judge.Committed(t).Check(t, e, judge.Exact)
		table, marked := strings.CutPrefix(string(e.Answer), "\ufeff")
		r := csv.NewReader(strings.NewReader(table))
		r.FieldsPerRecord = -1
		rows, err := r.ReadAll()
		if err != nil || e.Status != http.StatusOK || !marked || len(rows) < 3 {
			t.Errorf("%s: %d %v %.300s", resource, e.Status, err, e.Answer)
			continue
		}
		last := rows[len(rows)-1]
		if !slices.Equal(rows[0], []string{column}) || last[0] != "#rows" || last[1] != evcstest.Path("%d", len(rows)-2) || rows[1][0] == "" {
			t.Errorf("%s: %.300s", resource, table)
		}
		if resource == "payment" && rows[1][0] != trade {
			t.Errorf("order %d: %s, want %s", order, rows[1][0], trade)
		}
	}
}

// TestEveryEventIsReplayed: a stream that begins in the past sends it and then a
// comment.
func TestEveryEventIsReplayed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.online(t)
	var list []api.Event
	evcstest.Eventually(t, "the charger's events have their places", func() bool {
		w.admin.OK(t, "GET", evcstest.Path("/api/events?chargerId=%d", c.id), nil).Into(t, &list)
		return len(list) > 0
	})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	at := evcstest.Path("%s/api/events/stream?lastEventId=0&chargerId=%d", w.d.URL, c.id)
	r, err := http.NewRequestWithContext(ctx, "GET", at, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+w.admin.Token())
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var said bytes.Buffer
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() && lines.Text() != ":" {
		said.WriteString(lines.Text() + "\n")
	}
	e := judge.Exchange{Method: "GET", URL: at, Header: r.Header, Status: answer.StatusCode, AnswerHeader: answer.Header, Answer: said.Bytes()}
	judge.Committed(t).Check(t, e, judge.Exact)
	if text := said.String(); lines.Err() != nil || !strings.Contains("\n"+text, "\nevent: "+list[0].Type+"\n") ||
		!strings.Contains(text, evcstest.Path(`"chargerId":%d`, c.id)) {
		t.Errorf("%v %s, want %+v", lines.Err(), text, list[0])
	}
}

// TestEveryHeldOrderIsReleased: what a person has looked at is asked for.
func TestEveryHeldOrderIsReleased(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.online(t)
	session, order := c.begin(t, 1)
	w.d.Clock.Advance(time.Hour)
	w.admin = w.d.Admin()
	c.ok(t, "stop", session, object{"energy": 500, "duration": 60}) // of 60 kW
	path := evcstest.Path("/api/order/%d", order)
	var held, asked api.Order
	w.admin.OK(t, "GET", path, nil).Into(t, &held)
	w.admin.OK(t, "POST", path+"/to-pay", object{}).Into(t, &asked)
	if held.Status == 10 || asked.Status != 10 || asked.Amount != held.Amount || asked.Version <= held.Version {
		t.Errorf("held %+v, then %+v", held, asked)
	}
}

// TestEveryProposalMayBeRejected: a rejected proposal leaves the difference open.
func TestEveryProposalMayBeRejected(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	difference := w.difference(t, w.batch(t, 0, object{"extra": 1}))
	checker, _ := w.newUser(t, 1, "FINANCE")
	w.admin.OK(t, "POST", difference+"/resolve", object{"action": "EXPLAIN", "reason": "a guess"})
	var d api.Difference
	checker.OK(t, "POST", difference+"/reject", object{"note": "no proof"}).Into(t, &d)
	if d.State != "OPEN" {
		t.Errorf("%+v", d)
	}
}

// TestEveryStatementMayBeHandedIn: a statement without rows is kept for its day.
func TestEveryStatementMayBeHandedIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.batch(t, 0, object{}) // there is an account
	day := string(w.day(1))
	body, media := statement(t, map[string]string{"channel": "sandbox", "statementDate": day})
	e := exchange(t, "POST", w.d.URL+"/api/reconciliation/statement", body, "Content-Type", media, "Authorization", "Bearer "+w.admin.Token())
	judge.Committed(t).Check(t, e, judge.Lenient)
	if e.Status >= 300 || !strings.Contains(string(e.Answer), `"channel":"sandbox"`) || !strings.Contains(string(e.Answer), day) {
		t.Errorf("%d %s", e.Status, e.Answer)
	}
}

// TestEveryWaitingCommandMayBeCancelled: of two resets the second waits for the
// first, and never reaches the charger.
func TestEveryWaitingCommandMayBeCancelled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	reset := evcstest.Path("/api/charger/%d/reset", w.silent(t))
	w.admin.OK(t, "POST", reset, object{"wait": 0})
	second := made(t, w.admin.OK(t, "POST", reset, object{"wait": 0}), "commandId")
	var c api.Command
	w.admin.OK(t, "POST", evcstest.Path("/api/command/%d/cancel", second), object{}).Into(t, &c)
	if c.CommandID != second || c.State != "CANCELLED" {
		t.Errorf("%+v", c)
	}
}

// TestEveryAlertOfVersion1 ends alerts by the older paths.
func TestEveryAlertOfVersion1(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.online(t)
	c.ok(t, "status", "", object{"connectorNo": 1, "status": 3, "faultCode": "F1"})
	var page struct{ Records []api.Alert }
	evcstest.Eventually(t, "an alert is raised", func() bool {
		w.admin.OK(t, "GET", evcstest.Path("/api/v1/monitoring/alerts?chargerId=%d", c.id), nil).Into(t, &page)
		return len(page.Records) > 0
	})
	path := evcstest.Path("/api/v1/monitoring/alerts/%d", page.Records[0].AlertID)
	for _, step := range []struct {
		what  string
		body  object
		state string
	}{{"acknowledge", object{}, "ACKNOWLEDGED"}, {"resolve", object{"resolution": "done"}, "RESOLVED"}} {
		var a api.Alert
		w.admin.OK(t, "POST", path+"/"+step.what, step.body)
		if w.admin.OK(t, "GET", path, nil).Into(t, &a); a.Status != step.state {
			t.Errorf("%s: %+v", step.what, a)
		}
	}
	var part struct{ ServiceName, Status string }
	w.admin.OK(t, "GET", "/api/v1/monitoring/services/evcs-protocol/health", nil).Into(t, &part)
	if part.ServiceName != "evcs-protocol" || part.Status == "" {
		t.Errorf("%+v", part)
	}
}
