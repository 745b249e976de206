package alipay

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	sdk "github.com/smartwalle/alipay/v3"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/payment"
)

// tradeNotExist is also what is said of a code that nobody has scanned yet.
const tradeNotExist = "ACQ.TRADE_NOT_EXIST"

const (
	maxSubject = 120 // of 256
	maxReason  = 80  // of 256
)

// Create implements payment.Channel. For ALIPAY_QR the gateway makes a code, for
// ALIPAY_APP the order is signed here and nobody is asked. Alipay knows a trade
// only when the payer has begun it, so a code that was given out cannot be taken
// back: its expiry is what ends it.
func (c *Channel) Create(ctx context.Context, m payment.Merchant, r payment.CreateRequest) (payment.Offer, error) {
	a, err := c.reach(m)
	if err != nil {
		return payment.Offer{}, notHere(err)
	}
	trade := sdk.Trade{
		NotifyURL: r.NotifyURL, Subject: payment.PlainText(r.Description, maxSubject), OutTradeNo: r.TradeNo, TotalAmount: r.Amount.String(),
		SellerId: a.id.SellerID, TimeExpire: r.ExpireAt.In(zone).Format(timeLayout),
	}
	switch r.Method {
	case payment.MethodAlipayQR:
		return a.code(ctx, trade)
	case payment.MethodAlipayApp:
		return a.order(trade)
	default:
		return payment.Offer{}, local4001("METHOD", "Alipay has no way to pay called "+string(r.Method))
	}
}

// notHere makes a creation fail at once when the account cannot be used; other
// calls go on asking, because settings can be put right.
func notHere(err error) error {
	if errors.Is(err, payment.ErrNotConfigured) {
		return local4001("GATEWAY_IS_LOOPBACK", "an account of mode LIVE is not used with a gateway on this machine")
	}
	return local4001("ACCOUNT", err.Error())
}

// local4001 is a refusal of our own, before anybody was asked.
func local4001(code, message string) error {
	return evcs.With(payment.ErrRefused, map[string]any{"channelCode": code, "channelMessage": message})
}

func (a *account) code(ctx context.Context, trade sdk.Trade) (payment.Offer, error) {
	const what = "create a code"
	trade.ProductCode = "FACE_TO_FACE_PAYMENT"
	var said *sdk.TradePreCreateRsp
	err := a.ask(ctx, func(ctx context.Context, c *sdk.Client) (err error) {
		said, err = c.TradePreCreate(ctx, sdk.TradePreCreate{Trade: trade})
		return err
	})
	if said == nil {
		said = &sdk.TradePreCreateRsp{}
	}
	if err := outcome(what, err, said.Error); err != nil {
		return payment.Offer{}, err
	}
	if said.OutTradeNo != trade.OutTradeNo || !strings.HasPrefix(said.QRCode, "https://") {
		return payment.Offer{}, another(what)
	}
	params, err := json.Marshal(map[string]string{"qrCode": said.QRCode})
	return payment.Offer{Params: params, URL: said.QRCode}, err
}

func (a *account) order(trade sdk.Trade) (payment.Offer, error) {
	trade.ProductCode = "QUICK_MSECURITY_PAY"
	client, err := a.client()
	if err != nil {
		return payment.Offer{}, local4001("ACCOUNT", err.Error())
	}
	text, err := client.TradeAppPay(sdk.TradeAppPay{Trade: trade})
	if err != nil {
		return payment.Offer{}, local4001("SIGN", "the order cannot be signed")
	}
	params, err := json.Marshal(map[string]string{"orderString": text})
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

func (a *account) query(ctx context.Context, tradeNo string) (payment.Trade, error) {
	const what = "query a trade"
	var said *sdk.TradeQueryRsp
	err := a.ask(ctx, func(ctx context.Context, c *sdk.Client) (err error) {
		said, err = c.TradeQuery(ctx, sdk.TradeQuery{OutTradeNo: tradeNo})
		return err
	})
	if said == nil {
		said = &sdk.TradeQueryRsp{}
	}
	if has(err, said.Error, tradeNotExist) {
		return payment.Trade{State: payment.TradeUnknown}, nil
	}
	if err := outcome(what, err, said.Error); err != nil {
		return payment.Trade{}, err
	}
	if said.OutTradeNo != tradeNo {
		return payment.Trade{}, another(what)
	}
	t := payment.Trade{State: payment.TradeUnknown, ChannelTradeNo: said.TradeNo, PaidAt: local(said.SendPayDate)}
	switch {
	case said.TradeStatus == sdk.TradeStatusSuccess, said.TradeStatus == sdk.TradeStatusFinished,
		said.TradeStatus == sdk.TradeStatusClosed && !t.PaidAt.IsZero(): // paid, and all of it given back
		t.State = payment.TradePaid
		if t.Amount, err = evcs.ParseMoney(said.TotalAmount); err != nil || t.Amount <= 0 {
			return payment.Trade{}, another(what)
		}
	case said.TradeStatus == sdk.TradeStatusClosed:
		t.State = payment.TradeClosed
	case said.TradeStatus == sdk.TradeStatusWaitBuyerPay:
		t.State = payment.TradeWaiting
	}
	return t, nil
}

// Close implements payment.Channel. Whatever does not close is asked after.
func (c *Channel) Close(ctx context.Context, m payment.Merchant, tradeNo string) (payment.Trade, error) {
	const what = "close a trade"
	a, err := c.reach(m)
	if err != nil {
		return payment.Trade{}, err
	}
	var said *sdk.TradeCloseRsp
	err = a.ask(ctx, func(ctx context.Context, c *sdk.Client) (err error) {
		said, err = c.TradeClose(ctx, sdk.TradeClose{OutTradeNo: tradeNo})
		return err
	})
	if said == nil {
		said = &sdk.TradeCloseRsp{}
	}
	if has(err, said.Error, tradeNotExist) {
		return payment.Trade{State: payment.TradeUnknown}, nil
	}
	err = outcome(what, err, said.Error)
	switch {
	case errors.Is(err, payment.ErrRefused): // paid, or closed before
		return a.query(ctx, tradeNo)
	case err != nil:
		return payment.Trade{}, err
	case said.OutTradeNo != tradeNo:
		return payment.Trade{}, another(what)
	}
	return payment.Trade{State: payment.TradeClosed, ChannelTradeNo: said.TradeNo}, nil
}
