package wechatpay

import (
	"encoding/json"
	"testing"

	"github.com/evcs/evcs/internal/payment"
)

// FuzzInside is everything behind the signature: whoever holds the channel's
// key can send it, and it must not stop anything.
func FuzzInside(f *testing.F) {
	a := &account{id: payment.Account{AppID: "wx", MchID: "16"}, apiKey: []byte("0123456789abcdef0123456789abcdef")}
	f.Add([]byte(`{"id":"x","event_type":"TRANSACTION.SUCCESS","resource":{"algorithm":"AEAD_AES_256_GCM","nonce":"123456789012","ciphertext":"AAAA"}}`),
		[]byte(`{"mchid":"16","appid":"wx","out_trade_no":"EV1","trade_state":"SUCCESS","amount":{"total":1,"currency":"CNY"}}`))
	f.Add([]byte(`{"id":"x","event_type":"REFUND.SUCCESS","resource":{"algorithm":"AEAD_AES_256_GCM","nonce":"","ciphertext":""}}`),
		[]byte(`{"mchid":"16","out_trade_no":"EV1","out_refund_no":"ER1","refund_status":"SUCCESS","amount":{"refund":1}}`))
	f.Add([]byte(`{"resource":null}`), []byte(`{"amount":null}`))
	f.Fuzz(func(t *testing.T, body, plain []byte) {
		var s sealed
		if json.Unmarshal(body, &s) != nil {
			return
		}
		if s.Resource != nil {
			a.decrypt(*s.Resource)
		}
		var e event
		if json.Unmarshal(plain, &e) != nil {
			return
		}
		told, err := a.read(s, e)
		if err != nil {
			return
		}
		paid := told.Trade.State == payment.TradePaid && told.Trade.Amount > 0 && told.RefundNo == ""
		back := told.RefundNo != "" && told.Refund.Amount > 0 && told.Refund.State != payment.RefundProcessing
		if told.TradeNo == "" || !paid && !back {
			t.Errorf("%s %s: %+v", body, plain, told)
		}
	})
}
