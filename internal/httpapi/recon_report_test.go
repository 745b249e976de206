package httpapi

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/recon"
)

// What people and channels have written stays text on the page and in the
// table.
func TestAReportRunsNothing(t *testing.T) {
	t.Parallel()
	const script, formula = `<script>alert(1)</script>`, `=HYPERLINK("http://x")`
	d := api.Difference{
		DifferenceID: 1, Kind: "CHANNEL_ONLY", State: "RESOLVED", Direction: "PAY", ChannelTradeNo: api.Ptr(formula), OrderNo: api.Ptr(script),
		Resolution: &api.Resolution{Action: "EXPLAIN", Reason: script, Note: api.Ptr(formula)},
	}
	r := &dayReport{batch: recon.Batch{Channel: "alipay", Day: "2026-02-10"}, ReconReport: api.ReconReport{
		Batch:       api.ReconResult{Channel: "alipay", Status: api.ReconFailed, FailureMessage: api.Ptr(script)},
		Differences: []api.Difference{d}, Listed: 3, Kinds: []api.ReconKind{{Kind: "CHANNEL_ONLY", Count: 3, Unsettled: 1, Gap: -5}},
	}}
	for i := range 40 {
		day := time.Date(2026, 1, 1+i, 0, 0, 0, 0, time.UTC)
		r.Trend = append(r.Trend, api.ReconTrend{ReconciliationDate: api.DateOf(day), Status: api.ReconPartial, TotalCount: 9, MatchedCount: int64(9 - i%3)})
	}
	for _, english := range []bool{false, true} {
		var page bytes.Buffer
		if err := reportPages().Execute(&page, newReportPage(r, time.UTC, english)); err != nil {
			t.Fatal(err)
		}
		text := page.String()
		if strings.Contains(text, "<script") || strings.Contains(text, " style=") || strings.Count(text, "&lt;script&gt;") != 3 {
			t.Errorf("the page: %s", text)
		}
		if strings.Contains(text, "ZgotmplZ") || strings.Contains(text, "<no value>") {
			t.Error("something was left out of the page")
		}
		if strings.Count(text, "<rect") != 41 || !strings.Contains(text, map[bool]string{false: "3,未处理 1", true: "3, open 1"}[english]) {
			t.Errorf("%d bars", strings.Count(text, "<rect"))
		}
	}
	cells := differenceCells(d, time.UTC)
	if len(cells) != len(reportColumns) {
		t.Errorf("%d cells under %d heads", len(cells), len(reportColumns))
	}
	for i, cell := range cells {
		if strings.HasPrefix(cell, "=") {
			t.Errorf("%s is a formula: %s", reportColumns[i], cell)
		}
	}
	if !strings.HasPrefix(cells[9], "'=") || !strings.HasPrefix(cells[22], "'=") {
		t.Errorf("%q", cells)
	}
	if got := fields(api.ReconResult{FailureMessage: api.Ptr("+1"), FinishedTime: api.AtOrNil(evcs.FromMillis(1000))}, time.UTC); !containsPair(got, "failureMessage", "'+1") ||
		!containsPair(got, "finishedTime", "1970-01-01 00:00:01") {
		t.Errorf("%q", got)
	}
}

func containsPair(list [][2]string, name, value string) bool {
	for _, x := range list {
		if x == [2]string{name, value} {
			return true
		}
	}
	return false
}

// Every word of the contract that a page may show is one in both languages.
func TestReportWords(t *testing.T) {
	t.Parallel()
	for code, w := range reportWords() {
		if w.ZH == "" || w.EN == "" {
			t.Errorf("%s: %+v", code, w)
		}
	}
	for _, code := range []recon.Kind{recon.Duplicate, recon.ChannelOnly, recon.LocalOnly, recon.AmountMismatch, recon.StatusMismatch, recon.FeeMismatch} {
		if reportWords()[string(code)].ZH == "" {
			t.Errorf("%s has no words", code)
		}
	}
}
