package evcstest_test

import (
	"bytes"
	"encoding/json"
	"mime/multipart"
	"net/http"
	"testing"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/evcstest"
	"github.com/evcs/evcs/internal/payment"
)

// TestReconciliationThroughTheAPI seeds a statement, runs the day, deals with a
// difference, hands in a statement and closes the day.
func TestReconciliationThroughTheAPI(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, d *evcstest.Daemon) {
		admin := d.Admin()
		admin.OK(t, http.MethodPut, "/api/tenant/1/settings", map[string]any{"sandboxPayments": true})
		today := api.DateOf(d.Clock.Now().In(payment.StatementZone()))
		seed := func(faults map[string]any) {
			faults["date"] = today
			admin.OK(t, http.MethodPut, "/api/payment/sandbox/statement-faults", faults)
		}
		run := map[string]any{"reconciliationDate": today, "channel": "sandbox", "force": 1}

		seed(map[string]any{"notReady": 1})
		var failed api.ReconResult
		refused(t, admin.Call(t, http.MethodPost, "/api/reconciliation/execute", run), http.StatusServiceUnavailable, evcs.CodeStatementNotReady, &failed)
		if failed.Status != api.ReconFailed || failed.FailureCode == nil || *failed.FailureCode != 4011 || failed.MismatchCount != nil || failed.BatchID == 0 {
			t.Errorf("%+v", failed)
		}
		seed(map[string]any{"broken": 1})
		refused(t, admin.Call(t, http.MethodPost, "/api/reconciliation/execute", run), http.StatusConflict, evcs.CodeStatementInvalid, &failed)
		if len(failed.StatementProblems) == 0 {
			t.Errorf("%+v", failed)
		}
		seed(map[string]any{"extra": 2})
		var result api.ReconResult
		admin.OK(t, http.MethodPost, "/api/reconciliation/execute", run).Into(t, &result)
		if result.Status != api.ReconPartial || result.Counts.ChannelOnly != 2 || result.OpenDifferences != 2 || result.RunNo != 3 || *result.ChannelTotalAmount != 2468 {
			t.Errorf("%+v", result)
		}
		var list []api.Difference
		admin.OK(t, http.MethodGet, evcstest.Path("/api/reconciliation/difference/list?batchId=%d&state=OPEN", result.BatchID), nil).Into(t, &list)
		if len(list) != 2 || list[0].Kind != "CHANNEL_ONLY" {
			t.Fatalf("%+v", list)
		}
		path := evcstest.Path("/api/reconciliation/difference/%d", list[0].DifferenceID)
		admin.OK(t, http.MethodPost, path+"/resolve", map[string]any{"action": "WRITE_OFF", "reason": "seeded"})
		refused(t, admin.Call(t, http.MethodPost, path+"/approve", map[string]any{}), http.StatusForbidden, evcs.CodeCheckerRequired, nil)
		var detail api.DifferenceDetail
		admin.OK(t, http.MethodGet, path, nil).Into(t, &detail)
		if detail.State != api.DifferencePendingReview || detail.ChannelRaw == nil || detail.LocalRaw != nil {
			t.Errorf("%+v", detail)
		}
		batch := evcstest.Path("/api/reconciliation/batch/%d", result.BatchID)
		refused(t, admin.Call(t, http.MethodPost, batch+"/close", map[string]any{}), http.StatusConflict, evcs.CodeCloseBlocked, nil)

		const empty = "direction,tradeNo,refundNo,channelNo,amount,fee,status,time\nTOTAL,0,0.00,0.00,0.00\n"
		if status, text := upload(t, d, admin.Token(), string(today), empty+"x"); status != http.StatusConflict {
			t.Errorf("a broken file: %d %s", status, text)
		}
		status, text := upload(t, d, admin.Token(), string(today), empty)
		var answer struct{ Data api.Statement }
		if err := json.Unmarshal(text, &answer); err != nil || status != http.StatusOK || answer.Data.StatementID == 0 || answer.Data.Problems == nil {
			t.Errorf("%v %d %s", err, status, text)
		}
		run["force"] = 0
		admin.OK(t, http.MethodPost, "/api/reconciliation/execute", run).Into(t, &result)
		if result.Status != api.ReconSuccess || result.OpenDifferences != 0 || result.PendingReview != 0 {
			t.Errorf("%+v", result)
		}
		var proof, again api.Proof
		admin.OK(t, http.MethodPost, batch+"/close", map[string]any{"note": "done"}).Into(t, &proof)
		admin.OK(t, http.MethodGet, batch+"/proof", nil).Into(t, &again)
		if proof.Hash == "" || again.Hash != proof.Hash {
			t.Errorf("%+v, then %+v", proof, again)
		}
		refused(t, admin.Call(t, http.MethodPost, "/api/reconciliation/execute", run), http.StatusConflict, evcs.CodeBatchClosed, nil)
		refused(t, admin.Call(t, http.MethodPost, batch+"/reopen", map[string]any{"reason": "r"}), http.StatusForbidden, evcs.CodeCheckerRequired, nil)
		var page api.Page[api.ReconResult]
		admin.OK(t, http.MethodGet, "/api/reconciliation/batch?channel=sandbox&closed=1&status=SUCCESS", nil).Into(t, &page)
		if len(page.Records) != 1 || !page.Records[0].Closed {
			t.Errorf("%+v", page)
		}
		var daily api.ReconResult
		admin.OK(t, http.MethodPost, "/api/reconciliation/daily/sandbox", map[string]any{"dryRun": 1}).Into(t, &daily)
		if !daily.DryRun || daily.Status != api.ReconSuccess {
			t.Errorf("%+v", daily)
		}
		refused(t, admin.Call(t, http.MethodPost, "/api/reconciliation/daily/alipay", nil), 0, evcs.CodeChannelNotConfigured, nil)
	})
}

// upload hands in a statement as a browser would.
func upload(t *testing.T, d *evcstest.Daemon, token, day, content string) (int, []byte) {
	t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for name, value := range map[string]string{"channel": "sandbox", "statementDate": day} {
		if err := form.WriteField(name, value); err != nil {
			t.Fatal(err)
		}
	}
	file, err := form.CreateFormFile("file", "statement.csv")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	if err := form.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.URL+"/api/reconciliation/statement", &body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", form.FormDataContentType())
	r.Header.Set("Authorization", "Bearer "+token)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(answer.Body); err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, text.Bytes()
}

// refused wants a refusal with its code, and reads its data; status 0 is the
// code's own.
func refused(t *testing.T, a evcstest.Answer, status int, code evcs.Code, into any) {
	t.Helper()
	if status == 0 {
		status = code.Status()
	}
	if a.Status != status || a.Code != int(code) {
		t.Errorf("%d %d %s %s; want %d %d", a.Status, a.Code, a.Message, a.Data, status, code)
		return
	}
	if into != nil {
		a.Into(t, into)
	}
}
