package alipay

import (
	"context"
	"errors"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/payment"
)

// unusedNumber is a trade that no account has.
const unusedNumber = "EV000000000000000000000PROBE"

// Check implements payment.Checker: a signed query for a trade that cannot
// exist. That the gateway knows no such trade, said under its signature, proves
// our key, our application and Alipay's key at once.
func (c *Channel) Check(ctx context.Context, m payment.Merchant) ([]payment.Check, error) {
	check := payment.Check{Name: "CHANNEL_ANSWERS"}
	trade, err := c.Query(ctx, m, unusedNumber)
	switch {
	case err == nil && trade.State == payment.TradeUnknown:
		check.OK = true
		check.Message = evcs.Detail{ZH: "支付宝以签名应答确认了账户", EN: "Alipay answered a signed query under its signature"}
	case err == nil:
		check.Message = evcs.Detail{ZH: "支付宝的应答与查询不符", EN: "the answer of Alipay does not fit the query"}
	case errors.Is(err, payment.ErrRefused):
		_, data, _ := evcs.Classify(err)
		code, _ := data["channelCode"].(string) // absent is ""
		check.Message = evcs.Detail{ZH: "支付宝拒绝查询: " + code, EN: "Alipay refuses the query: " + code}
	case errors.Is(err, payment.ErrNotConfigured):
		_, _, check.Message = evcs.Classify(err)
	case errors.Is(err, errCertificate), errors.Is(err, errEnded):
		check.Message = evcs.Detail{ZH: "应答所指的支付宝证书不可信或已失效", EN: "the certificate of Alipay that the answer names cannot be trusted, or has ended"}
	case errors.Is(err, errUnknown):
		check.Message = evcs.Detail{ZH: "应答的签名与配置的支付宝公钥不符", EN: "the signature of the answer does not fit the configured public key of Alipay"}
	case errors.Is(err, errUnsigned):
		check.Message = evcs.Detail{
			ZH: "支付宝的应答没有签名, 通常表示应用编号或应用私钥不正确", EN: "the answer of Alipay carries no signature: the application id or the private key is not what it knows",
		}
	default:
		return []payment.Check{check}, err
	}
	return []payment.Check{check}, nil
}
