package evcstest_test

import (
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/daemon"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/evcstest"
	"github.com/evcs/evcs/internal/store/storetest"
)

// later runs a daemon whose clock is ahead.
func later(ahead time.Duration) evcstest.Option {
	return func(o *daemon.Options) {
		clock := new(evcstest.Clock)
		clock.Advance(ahead)
		o.Clock = clock
	}
}

// TestTheJournal books what happens and what people report, seals the day, and
// finds what somebody does to it afterwards.
func TestTheJournal(t *testing.T) {
	t.Parallel()
	try := func(t *testing.T, url string) {
		dir := t.TempDir()
		d := evcstest.StartOn(t, url, dir)
		admin := d.Admin()
		e := settle(t, d, admin, "LEDGER", 1, 2)
		e.furnish(t, d, admin, 1)
		movements(t, d, e)
		report(t, d, e)
		d.Stop()

		// The next day but one: sealed at the start, and checked by night.
		d = evcstest.StartOn(t, url, dir, later(48*time.Hour))
		boss := d.SignIn("boss@LEDGER", evcstest.Password)
		checked := sealed(t, boss)
		if !checked.Valid || checked.Seals != 1 || checked.Entries < 5 || checked.Open != 0 || checked.Hash == nil {
			t.Errorf("%+v", checked)
		}
		var kept api.LedgerVerified
		boss.OK(t, http.MethodGet, "/api/ledger/verify?seal="+*checked.Hash, nil).Into(t, &kept)
		if !kept.Valid || kept.SealDay == nil || *kept.SealDay != *checked.LastDay {
			t.Errorf("the hash that was kept: %+v", kept)
		}
		boss.OK(t, http.MethodGet, "/api/ledger/verify?seal="+strings.Repeat("0", 64), nil).Into(t, &kept)
		if kept.Valid || kept.SealDay != nil {
			t.Errorf("a hash that nothing has: %+v", kept)
		}
		refused(t, boss.Call(t, http.MethodGet, "/api/ledger/verify?seal=x", nil), 0, evcs.CodeValidationFailed, nil)
		if alerts := alertsOf(t, boss); alerts != "" {
			t.Errorf("nobody touched it: %s", alerts)
		}
		d.Stop()

		tamper(t, url, dir)
		d = evcstest.StartOn(t, url, dir, later(72*time.Hour))
		boss = d.SignIn("boss@LEDGER", evcstest.Password)
		again := sealed(t, boss)
		if again.Valid || len(again.Problems) != 1 || again.Problems[0].Defect != "CHANGED" || again.Problems[0].EntryID == nil || *again.Hash != *checked.Hash {
			t.Errorf("%+v", again)
		}
		evcstest.Eventually(t, "the alerts", func() bool { return alertsOf(t, boss) == "LedgerBroken LedgerIncomplete" })
		var complete api.LedgerCompleteness
		boss.OK(t, http.MethodGet, "/api/ledger/completeness", nil).Into(t, &complete)
		if complete.Complete || len(complete.Gaps) != 1 || complete.Gaps[0].Subject != "PAYMENT" || complete.Gaps[0].Booked-complete.Gaps[0].Expected != 1 {
			t.Errorf("%+v", complete)
		}
	}
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		try(t, "")
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		if storetest.Server(t) != "" {
			try(t, storetest.PostgresURL(t))
		}
	})
}

// sealed waits for the seal of the day, which the start makes, and is what a
// check of the own tenant finds.
func sealed(t *testing.T, boss evcstest.Caller) api.LedgerChecked {
	t.Helper()
	var found api.LedgerVerified
	evcstest.Eventually(t, "a seal", func() bool {
		boss.OK(t, http.MethodGet, "/api/ledger/verify", nil).Into(t, &found)
		return len(found.Tenants) == 1 && found.Tenants[0].Seals > 0
	})
	return found.Tenants[0]
}

func alertsOf(t *testing.T, boss evcstest.Caller) string {
	t.Helper()
	var page struct{ Records []struct{ AlertType string } }
	boss.OK(t, http.MethodGet, "/api/monitoring/alerts?status=ACTIVE&sort=alertId", nil).Into(t, &page)
	names := map[string]bool{}
	for _, a := range page.Records {
		names[a.AlertType] = true
	}
	var words []string
	for _, name := range []string{"LedgerBroken", "LedgerIncomplete"} {
		if names[name] {
			words = append(words, name)
		}
	}
	return strings.Join(words, " ")
}

// tamper makes a captured payment one fen greater, on both sides.
func tamper(t *testing.T, url, dir string) {
	t.Helper()
	driver, unlock := "pgx", `DROP TRIGGER postings_fixed ON postings`
	if url == "" {
		driver, unlock, url = "sqlite", `DROP TRIGGER postings_no_update`, "file:"+filepath.Join(dir, "evcs.db")+"?_pragma=busy_timeout(10000)"
	}
	db, err := sql.Open(driver, url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	const touch = `UPDATE postings SET amount = CASE WHEN amount > 0 THEN amount + 1 ELSE amount - 1 END WHERE entry_id = (SELECT MAX(id) FROM journal WHERE kind = 'CAPTURED')`
	if _, err := db.ExecContext(t.Context(), touch); err == nil {
		t.Error("the journal can be changed")
	}
	for _, text := range []string{unlock, touch} {
		if _, err := db.ExecContext(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
}

// movements reads statements, books a pay-out and takes it back.
func movements(t *testing.T, d *evcstest.Daemon, e *estate) {
	t.Helper()
	boss := e.boss
	var complete api.LedgerCompleteness
	boss.OK(t, http.MethodGet, "/api/ledger/completeness", nil).Into(t, &complete)
	if !complete.Complete {
		t.Errorf("not everything is booked: %+v", complete.Gaps)
	}
	var accounts api.Page[api.LedgerAccount]
	boss.OK(t, http.MethodGet, "/api/ledger/account?size=50", nil).Into(t, &accounts)
	var held api.Money
	for _, a := range accounts.Records {
		if a.Account == "CLEARING" && a.Name == "sandbox" {
			held = a.Net
		}
		if a.AccountName == "" || a.AccountName == a.Account {
			t.Errorf("%+v has no name", a)
		}
	}
	if held <= 0 {
		t.Fatalf("nothing is in clearing: %+v", accounts.Records)
	}
	statement := func() []api.LedgerLine {
		var lines []api.LedgerLine
		boss.OK(t, http.MethodGet, "/api/ledger/account/CLEARING/statement/list?name=sandbox&sort=time", nil).Into(t, &lines)
		return lines
	}
	turnover := func() (got api.LedgerTurnover) {
		boss.OK(t, http.MethodGet, "/api/ledger/account/CLEARING?name=sandbox", nil).Into(t, &got)
		return got
	}
	if lines := statement(); lines[len(lines)-1].Balance != held || turnover().Closing != held {
		t.Errorf("the account holds %s, its statement ends with %+v", held, lines)
	}
	pay := map[string]any{"kind": "PAID_OUT", "channel": "sandbox", "reference": "B-1", "amount": 1, "memo": "to the bank"}
	var made, same, back api.LedgerEntry
	boss.OK(t, http.MethodPost, "/api/ledger/movement", pay).Into(t, &made)
	boss.OK(t, http.MethodPost, "/api/ledger/movement", pay).Into(t, &same)
	if made.EntryID == 0 || same.EntryID != made.EntryID || made.Kind != "PAID_OUT" || len(made.Postings) != 2 || turnover().Closing != held-100 {
		t.Errorf("%+v %+v", made, same)
	}
	pay["amount"] = 2
	refused(t, boss.Call(t, http.MethodPost, "/api/ledger/movement", pay), 0, evcs.CodeValidationFailed, nil)
	refused(t, boss.Call(t, http.MethodPost, "/api/ledger/movement", map[string]any{"kind": "PAID_OUT", "reference": "B-2", "amount": 1}), 0, evcs.CodeValidationFailed, nil)
	future := map[string]any{"kind": "PAID_OUT", "channel": "sandbox", "reference": "B-3", "amount": 1, "time": d.Clock.Now().Add(time.Hour)}
	refused(t, boss.Call(t, http.MethodPost, "/api/ledger/movement", future), 0, evcs.CodeValidationFailed, nil)
	undo := map[string]any{"kind": "PAID_OUT", "channel": "sandbox", "reference": "B-1", "reason": "another account"}
	boss.OK(t, http.MethodPost, "/api/ledger/movement/reverse", undo).Into(t, &back)
	boss.OK(t, http.MethodPost, "/api/ledger/movement/reverse", undo).Into(t, &same)
	if back.RefersTo == nil || *back.RefersTo != made.Key || back.EntryID != same.EntryID || turnover().Closing != held {
		t.Errorf("%+v %+v", back, same)
	}
	undo["reference"] = "B-9"
	refused(t, boss.Call(t, http.MethodPost, "/api/ledger/movement/reverse", undo), 0, evcs.CodeValidationFailed, nil)
	pay["channel"], pay["amount"] = "sandbox", 1
	refused(t, boss.Call(t, http.MethodPost, "/api/ledger/movement", pay), 0, evcs.CodeValidationFailed, nil)
	share := map[string]any{"kind": "SHARED", "party": "park", "reference": "S-1", "amount": 0.5}
	boss.OK(t, http.MethodPost, "/api/ledger/movement", share)
	var entries api.Page[api.LedgerEntry]
	boss.OK(t, http.MethodGet, "/api/ledger/entry?kind=REFUNDED,REVERSED,SHARED&sort=entryId", nil).Into(t, &entries)
	if *entries.Total != 3 || entries.Records[0].Phase != "POSTED" || !strings.HasSuffix(*entries.Records[0].RefersTo, "/begun") {
		t.Errorf("%+v", entries.Records)
	}
}

// report reads the report of a day in its three forms.
func report(t *testing.T, d *evcstest.Daemon, e *estate) {
	t.Helper()
	path := fmt.Sprintf("/api/reconciliation/batch/%v/report", e.ids["batchId"])
	var r api.ReconReport
	e.boss.OK(t, http.MethodGet, path, nil).Into(t, &r)
	if r.Batch.Status != api.ReconPartial || len(r.Kinds) != 1 || r.Kinds[0].Kind != "AMOUNT_MISMATCH" || r.Kinds[0].Unsettled != 1 || r.Listed != 1 || len(r.Differences) != 1 ||
		len(r.Trend) != 1 || r.Proof != nil || r.Ledger.Closing == 0 {
		t.Errorf("%+v", r)
	}
	get := func(path, language string) (http.Header, string) {
		t.Helper()
		q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, d.URL+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set("Authorization", "Bearer "+e.boss.Token())
		q.Header.Set("Accept-Language", language)
		answer, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if err != nil || answer.StatusCode != http.StatusOK {
			t.Fatalf("%v %d %s", err, answer.StatusCode, text)
		}
		return answer.Header, string(text)
	}
	_, table := get(path+"/csv", "zh")
	for _, want := range []string{"\uFEFFsection,item,value", "SUMMARY,status,PARTIAL", "DIFFERENCE,", "AMOUNT_MISMATCH,OPEN,PAY", "\r\n#rows,"} {
		if !strings.Contains(table, want) {
			t.Errorf("%q is not in %s", want, table)
		}
	}
	for language, want := range map[string][]string{
		"zh": {`<html lang="zh-CN">`, "对账报告", "金额不符", "沙箱渠道:模拟资金", "<svg"}, "en": {`<html lang="en">`, "Reconciliation report", "amount differs", "simulated money", "<svg"},
	} {
		header, page := get(path+"/html", language)
		policy := header.Get("Content-Security-Policy")
		if !strings.HasPrefix(policy, "default-src 'none'; style-src 'sha256-") || strings.Contains(page, "<script") || strings.Contains(page, " style=") || strings.Contains(page, "http") && strings.Contains(page, "src=") {
			t.Errorf("%s in a page that is not closed", policy)
		}
		for _, w := range want {
			if !strings.Contains(page, w) {
				t.Errorf("%s: %q is missing", language, w)
			}
		}
	}
	var record struct{ Records []struct{ Action string } }
	e.boss.OK(t, http.MethodGet, "/api/tenant/audit-log/page?action=EXPORT&targetType=RECON_BATCH&size=10", nil).Into(t, &record)
	if len(record.Records) != 3 { // a table and two pages
		t.Errorf("on the record: %+v", record)
	}
	refused(t, e.boss.Call(t, http.MethodGet, "/api/reconciliation/batch/999999/report", nil), 0, evcs.CodeBatchNotFound, nil)
}
