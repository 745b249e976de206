package evcstest_test

import (
	"net/http"
	"testing"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/evcstest"
	"github.com/evcs/evcs/internal/paygate"
)

// TestADayOfRealChannels: yesterday's payments and refunds over both channels
// are reconciled with the channels' own files, fetched over their wire: trades,
// movements of money, balance; and the days close.
func TestADayOfRealChannels(t *testing.T) {
	t.Parallel()
	now, day := yesterday()
	s := layAt(t, now, func(o evcstest.Option) *evcstest.Daemon { return evcstest.Start(t, o) })
	k := s.tenant("DAY")
	for _, method := range []string{"ALIPAY_QR", "ALIPAY_APP", "WECHAT_NATIVE", "WECHAT_JSAPI"} {
		p := k.collect(k.owe(), method)
		k.press(p, paygate.Succeed, "")
		k.becomes(p, 2, 11)
		if method == "ALIPAY_QR" || method == "WECHAT_NATIVE" {
			k.boss.OK(t, http.MethodPost, "/api/payment/refund", map[string]any{"tradeNo": p.TradeNo, "refundAmount": 5, "refundReason": "r"})
			k.becomes(p, 6, 11)
		}
	}
	for _, channel := range []string{"alipay", "wechat"} {
		var result api.ReconResult
		k.boss.OK(t, http.MethodPost, "/api/reconciliation/execute", map[string]any{"reconciliationDate": day, "channel": channel}).Into(t, &result)
		if result.Status != api.ReconSuccess || result.TotalCount != 3 || result.MatchedCount != 3 || result.SystemTotalAmount != 2500 ||
			result.ChannelTotalAmount == nil || *result.ChannelTotalAmount != 2500 || result.FeeTotal == nil || *result.FeeTotal != 18 || result.OpenDifferences != 0 {
			var list []api.Difference
			k.boss.OK(t, http.MethodGet, evcstest.Path("/api/reconciliation/difference/list?batchId=%d", result.BatchID), nil).Into(t, &list)
			t.Fatalf("%s: %+v %+v", channel, result, list)
		}
		if f := result.Funds; f == nil || f.MatchedCount != f.TotalCount || f.PaymentAmount != 3000 || f.RefundAmount != 500 || f.FeeAmount != 18 || f.UnexplainedDrift != 0 || f.ClosingBalance == nil {
			t.Errorf("%s: %+v", channel, f)
		}
		var proof api.Proof
		k.boss.OK(t, http.MethodPost, evcstest.Path("/api/reconciliation/batch/%d/close", result.BatchID), map[string]any{}).Into(t, &proof)
		if proof.Payments != 3000 || proof.Refunds != 500 || proof.Fees != 18 || proof.SuspenseIn != 0 || proof.LedgerClosing != proof.Closing {
			t.Errorf("%s: %+v", channel, proof)
		}
	}
	k.balanced()
}
