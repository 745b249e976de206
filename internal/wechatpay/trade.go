package wechatpay

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/wechatpay-apiv3/wechatpay-go/core"
	"github.com/wechatpay-apiv3/wechatpay-go/services/payments"
	"github.com/wechatpay-apiv3/wechatpay-go/services/payments/jsapi"
	"github.com/wechatpay-apiv3/wechatpay-go/services/payments/native"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/payment"
)

const (
	maxDescription = 42 // characters, which is within the 127 bytes
	maxAttach      = 42
	maxReason      = 26 // within 80 bytes
)

// options are the wechatOptions of a creation.
type options struct {
	AppID         string `json:"appId"`
	OpenID        string `json:"openId"`
	PayerClientIP string `json:"payerClientIp"`
	Attach        string `json:"attach"`
	GoodsTag      string `json:"goodsTag"`
}

// Create implements payment.Channel: a code for WECHAT_NATIVE, the signed
// parameters of the payer's page for WECHAT_JSAPI.
func (c *Channel) Create(ctx context.Context, m payment.Merchant, r payment.CreateRequest) (payment.Offer, error) {
	a, err := c.reach(m)
	if err != nil {
		return payment.Offer{}, notHere(err)
	}
	o, err := readOptions(a, r)
	if err != nil {
		return payment.Offer{}, err
	}
	switch r.Method {
	case payment.MethodWechatNative:
		return a.native(ctx, r, o)
	case payment.MethodWechatJSAPI:
		return a.jsapi(ctx, r, o)
	default:
		return payment.Offer{}, ours("METHOD", "WeChat Pay has no way to pay called "+string(r.Method))
	}
}

// notHere makes a creation fail at once when the account cannot be used; other
// calls go on asking, because settings can be put right.
func notHere(err error) error {
	if _, _, detail := evcs.Classify(err); errors.Is(err, payment.ErrNotConfigured) {
		return ours("GATEWAY_AND_MODE", detail.EN)
	}
	return ours("ACCOUNT", err.Error())
}

func readOptions(a *account, r payment.CreateRequest) (options, error) {
	var o options
	if len(r.Options) > 0 && json.Unmarshal(r.Options, &o) != nil {
		return o, ours("PARAM_ERROR", "the wechatOptions cannot be read")
	}
	switch {
	case o.AppID != "" && o.AppID != a.id.AppID:
		return o, ours("APPID_MCHID_NOT_MATCH", "the account is of another application")
	case r.Method == payment.MethodWechatJSAPI && o.OpenID == "":
		return o, ours("PARAM_ERROR", "WECHAT_JSAPI needs the payer's openId")
	case r.NotifyURL == "":
		return o, ours("PARAM_ERROR", "WeChat Pay needs an address to notify: payment.callbackBase is not set")
	}
	o.Attach, o.GoodsTag = payment.PlainText(o.Attach, maxAttach), payment.PlainText(o.GoodsTag, 32)
	return o, nil
}

// orNil leaves an empty text out of a request.
func orNil(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

func (a *account) native(ctx context.Context, r payment.CreateRequest, o options) (payment.Offer, error) {
	const what = "create a code"
	expire := r.ExpireAt.In(payment.StatementZone())
	request := native.PrepayRequest{
		Appid: &a.id.AppID, Mchid: &a.id.MchID, Description: core.String(payment.PlainText(r.Description, maxDescription)), OutTradeNo: &r.TradeNo,
		TimeExpire: &expire, NotifyUrl: &r.NotifyURL, Attach: orNil(o.Attach), GoodsTag: orNil(o.GoodsTag),
		Amount: &native.Amount{Total: core.Int64(int64(r.Amount)), Currency: core.String(currency)},
	}
	if o.PayerClientIP != "" {
		request.SceneInfo = &native.SceneInfo{PayerClientIp: &o.PayerClientIP}
	}
	service := native.NativeApiService{Client: a.client}
	var said *native.PrepayResponse
	err := a.call(ctx, what, func() (err error) {
		said, _, err = service.Prepay(ctx, request)
		return err
	})
	if err != nil {
		return payment.Offer{}, err
	}
	code := text(said.CodeUrl)
	if !strings.HasPrefix(code, "weixin://") {
		return payment.Offer{}, another(what)
	}
	params, err := json.Marshal(map[string]string{"codeUrl": code})
	return payment.Offer{Params: params, URL: code}, err
}

func (a *account) jsapi(ctx context.Context, r payment.CreateRequest, o options) (payment.Offer, error) {
	const what = "create a page payment"
	expire := r.ExpireAt.In(payment.StatementZone())
	request := jsapi.PrepayRequest{
		Appid: &a.id.AppID, Mchid: &a.id.MchID, Description: core.String(payment.PlainText(r.Description, maxDescription)), OutTradeNo: &r.TradeNo,
		TimeExpire: &expire, NotifyUrl: &r.NotifyURL, Attach: orNil(o.Attach), GoodsTag: orNil(o.GoodsTag), Payer: &jsapi.Payer{Openid: &o.OpenID},
		Amount: &jsapi.Amount{Total: core.Int64(int64(r.Amount)), Currency: core.String(currency)},
	}
	if o.PayerClientIP != "" {
		request.SceneInfo = &jsapi.SceneInfo{PayerClientIp: &o.PayerClientIP}
	}
	service := jsapi.JsapiApiService{Client: a.client}
	var said *jsapi.PrepayWithRequestPaymentResponse
	err := a.call(ctx, what, func() (err error) {
		said, _, err = service.PrepayWithRequestPayment(ctx, request)
		return err
	})
	if err != nil {
		return payment.Offer{}, err
	}
	if text(said.PrepayId) == "" {
		return payment.Offer{}, another(what)
	}
	params, err := json.Marshal(map[string]string{
		"appId": text(said.Appid), "timeStamp": text(said.TimeStamp), "nonceStr": text(said.NonceStr), "package": text(said.Package),
		"signType": text(said.SignType), "paySign": text(said.PaySign),
	})
	return payment.Offer{Params: params}, err
}

// Query implements payment.Channel.
func (c *Channel) Query(ctx context.Context, m payment.Merchant, tradeNo string) (payment.Trade, error) {
	a, err := c.reach(m)
	if err != nil {
		return payment.Trade{}, err
	}
	return a.query(ctx, tradeNo)
}

// notExist are the codes for a number that the channel does not know.
var notExist = []string{"ORDER_NOT_EXIST", "ORDERNOTEXIST", "RESOURCE_NOT_EXISTS"}

func (a *account) query(ctx context.Context, tradeNo string) (payment.Trade, error) {
	const what = "query a trade"
	service := native.NativeApiService{Client: a.client}
	var said *payments.Transaction
	err := a.call(ctx, what, func() (err error) {
		said, _, err = service.QueryOrderByOutTradeNo(ctx, native.QueryOrderByOutTradeNoRequest{OutTradeNo: &tradeNo, Mchid: &a.id.MchID})
		return err
	})
	switch {
	case refusedWith(err, notExist...):
		return payment.Trade{State: payment.TradeUnknown}, nil
	case err != nil:
		return payment.Trade{}, err
	case text(said.OutTradeNo) != tradeNo || text(said.Mchid) != a.id.MchID:
		return payment.Trade{}, another(what)
	}
	t := tradeOf(said)
	if t.State == payment.TradePaid && (t.Amount <= 0 || text(said.Amount.Currency) != currency && text(said.Amount.Currency) != "") {
		return payment.Trade{}, another(what)
	}
	return t, nil
}

// tradeOf words a transaction. One with refunds says REFUND: it was paid all
// the same.
func tradeOf(said *payments.Transaction) payment.Trade {
	t := payment.Trade{State: payment.TradeUnknown, ChannelTradeNo: text(said.TransactionId)}
	switch text(said.TradeState) {
	case "SUCCESS", "REFUND":
		t.State, t.PaidAt = payment.TradePaid, within(said.SuccessTime)
		if said.Amount != nil && said.Amount.Total != nil {
			t.Amount = evcs.Money(*said.Amount.Total)
		}
	case "NOTPAY", "USERPAYING", "ACCEPT":
		t.State = payment.TradeWaiting
	case "CLOSED", "REVOKED":
		t.State = payment.TradeClosed
	case "PAYERROR":
		t.State, t.Code, t.Message = payment.TradeFailed, "PAYERROR", payment.PlainText(text(said.TradeStateDesc), maxWords)
	}
	return t
}

// Close implements payment.Channel. Whatever does not close is asked after.
func (c *Channel) Close(ctx context.Context, m payment.Merchant, tradeNo string) (payment.Trade, error) {
	const what = "close a trade"
	a, err := c.reach(m)
	if err != nil {
		return payment.Trade{}, err
	}
	err = a.call(ctx, what, func() error {
		// The library's own method is of a kind with this and says less.
		result, err := a.client.Post(ctx, "https://"+host+"/v3/pay/transactions/out-trade-no/"+url.PathEscape(tradeNo)+"/close", map[string]string{"mchid": a.id.MchID})
		if result != nil && result.Response != nil {
			defer result.Response.Body.Close() // there is nothing in it
			if err == nil && result.Response.StatusCode != http.StatusNoContent {
				return unknown(what, "the reply is not that of a close")
			}
		}
		return err
	})
	switch {
	case refusedWith(err, notExist...):
		return payment.Trade{State: payment.TradeUnknown}, nil
	case errors.Is(err, payment.ErrRefused): // paid, or closed before
		return a.query(ctx, tradeNo)
	case err != nil:
		return payment.Trade{}, err
	}
	return payment.Trade{State: payment.TradeClosed}, nil
}
