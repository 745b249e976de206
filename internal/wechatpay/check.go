package wechatpay

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/payment"
)

// unusedNumber is a trade that no account has.
const unusedNumber = "EV000000000000000000000PROBE"

// Check implements payment.Checker: a signed query for a trade that cannot
// exist proves our key. The platform's certificates are answered under its
// signature and sealed with the apiV3Key: they prove the other two, when the
// account has certificates; one with a public key only has none.
func (c *Channel) Check(ctx context.Context, m payment.Merchant) ([]payment.Check, error) {
	answers := payment.Check{Name: "CHANNEL_ANSWERS"}
	a, unfit := c.reach(m)
	if unfit != nil {
		if _, _, answers.Message = evcs.Classify(unfit); answers.Message == (evcs.Detail{}) {
			answers.Message = evcs.Detail{ZH: "账户的密钥不可用", EN: "the keys of the account cannot be used"}
		}
		return []payment.Check{answers}, nil
	}
	trade, err := a.query(ctx, unusedNumber)
	switch {
	case err == nil && trade.State == payment.TradeUnknown:
		answers.OK = true
		answers.Message = evcs.Detail{ZH: "微信支付接受了签名的查询", EN: "WeChat Pay took a signed query"}
	case err == nil:
		answers.Message = evcs.Detail{ZH: "微信支付的应答与查询不符", EN: "the answer of WeChat Pay does not fit the query"}
	case errors.Is(err, errUnsigned):
		return []payment.Check{unproven()}, nil
	case errors.Is(err, payment.ErrRefused):
		_, data, _ := evcs.Classify(err)
		code, _ := data["channelCode"].(string) // absent is ""
		answers.Message = evcs.Detail{ZH: "微信支付拒绝查询: " + code, EN: "WeChat Pay refuses the query: " + code}
	default:
		return []payment.Check{answers}, err
	}
	checks := []payment.Check{answers}
	if answers.OK {
		checks = append(checks, a.checkKeys(ctx)...)
	}
	return checks, nil
}

// unproven says that the channel answers and no key of the account verifies it.
func unproven() payment.Check {
	return payment.Check{Name: "PLATFORM_KEYS", Message: evcs.Detail{ZH: "没有平台公钥能验证应答的签名", EN: "no platform key verifies the channel's answer"}}
}

// checkKeys tries the platform keys and the apiV3Key.
func (a *account) checkKeys(ctx context.Context) []payment.Check {
	var list struct {
		Data []struct {
			Sealed json.RawMessage `json:"encrypt_certificate"`
		} `json:"data"`
	}
	err := a.call(ctx, "list certificates", func() error {
		result, err := a.client.Get(ctx, "https://"+host+"/v3/certificates")
		if err != nil {
			return err
		}
		defer result.Response.Body.Close() // verified, so it was read before
		return json.NewDecoder(result.Response.Body).Decode(&list)
	})
	keys := payment.Check{Name: "PLATFORM_KEYS", OK: true, Message: evcs.Detail{ZH: "应答的签名与平台公钥相符", EN: "a platform key verifies the channel's answer"}}
	switch {
	case errors.Is(err, errUnsigned):
		return []payment.Check{unproven()}
	case err != nil || len(list.Data) == 0:
		keys.Message = evcs.Detail{ZH: "账户没有平台证书, 公钥要到首次通知才能验证", EN: "the account has no certificates to try; the first notification proves the public key"}
		return []payment.Check{keys}
	}
	sealing := payment.Check{Name: "API_V3_KEY", OK: true, Message: evcs.Detail{ZH: "apiV3Key 能解密平台证书", EN: "the apiV3Key decrypts a certificate"}}
	var r resource
	if json.Unmarshal(list.Data[0].Sealed, &r) != nil || len(a.decrypt(r)) == 0 {
		sealing.OK = false
		sealing.Message = evcs.Detail{ZH: "apiV3Key 不能解密平台证书", EN: "the apiV3Key does not decrypt a certificate"}
	}
	return []payment.Check{keys, sealing}
}
