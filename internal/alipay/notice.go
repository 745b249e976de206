package alipay

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	sdk "github.com/smartwalle/alipay/v3"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/payment"
)

const (
	maxNotice       = 64 << 10
	maxNoticeFields = 100
)

// Account implements payment.Channel: the application that the form names.
func (*Channel) Account(n payment.Notice) string {
	form, err := readForm(n.Body)
	if err != nil {
		return ""
	}
	return short(form.Get("app_id"))
}

// short is a number of the form, "" when it is longer than any is.
func short(text string) string {
	if len(text) > maxNumber {
		return ""
	}
	return text
}

var errForm = errors.New("the form cannot be read")

// readForm reads a form strictly: of a field that is given twice nobody could
// say which one was signed.
func readForm(body []byte) (url.Values, error) {
	if len(body) == 0 || len(body) > maxNotice {
		return nil, errForm
	}
	form := make(url.Values)
	for pair := range strings.SplitSeq(string(body), "&") {
		name, value, ok := strings.Cut(pair, "=")
		name, errName := url.QueryUnescape(name)
		value, errValue := url.QueryUnescape(value)
		if !ok || name == "" || errName != nil || errValue != nil || form.Has(name) || len(form) >= maxNoticeFields {
			return nil, errForm
		}
		form.Set(name, value)
	}
	return form, nil
}

// Verify implements payment.Channel. There is no age limit: Alipay repeats a
// message for a day; a repeat is told by its notify_id.
//
// A form that names a certificate is verified by that one only. It may have to be
// got first; while nobody answers to that, the error is ErrUnknownOutcome.
func (c *Channel) Verify(ctx context.Context, m payment.Merchant, n payment.Notice) (payment.Notification, error) {
	a, err := c.account(m)
	if err != nil {
		return payment.Notification{}, fmt.Errorf("%w: %w", payment.ErrSignature, err)
	}
	form, err := readForm(n.Body)
	if err != nil {
		return payment.Notification{}, fmt.Errorf("%w: %w", payment.ErrSignature, err)
	}
	if form.Get("sign_type") != "RSA2" || form.Has("charset") && !strings.EqualFold(form.Get("charset"), "utf-8") {
		return payment.Notification{}, fmt.Errorf("%w: the sign_type or charset is another", payment.ErrSignature)
	}
	if err := a.signed(ctx, form); err != nil {
		return payment.Notification{}, err
	}
	told, err := a.read(form)
	if err != nil {
		return payment.Notification{}, fmt.Errorf("%w: %w", payment.ErrSignature, err)
	}
	return told, nil
}

// signed checks the signature of a form.
func (a *account) signed(ctx context.Context, form url.Values) error {
	signature, err := base64.StdEncoding.DecodeString(form.Get("sign"))
	if err != nil || len(signature) == 0 {
		return fmt.Errorf("%w: %w", payment.ErrSignature, errUnknown)
	}
	verifier := a.ring()
	if sn := form.Get("alipay_cert_sn"); sn != "" && a.hasCertificates() {
		verifier, err = a.find(ctx, sn, byNotice)
		if errors.Is(err, payment.ErrUnknownOutcome) {
			return err
		}
	}
	if err == nil {
		err = verifier.VerifyValues(form, signature)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", payment.ErrSignature, err)
	}
	return nil
}

// hasCertificates reports whether the account has certificates of Alipay, or had
// until lately: a number proves nothing where there are only bare keys.
func (a *account) hasCertificates() bool { return len(a.trusted()) > 0 }

// ring are the keys of now.
func (a *account) ring() sdk.Verifier {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.keys
}

var errNotice = errors.New("the signed form lacks what it must hold")

// read reads a form that was verified.
func (a *account) read(form url.Values) (payment.Notification, error) {
	told := payment.Notification{
		EventID: short(form.Get("notify_id")), TradeNo: short(form.Get("out_trade_no")), Account: short(form.Get("app_id")), Foreign: a.foreign(form),
		Trade: payment.Trade{State: payment.TradeUnknown, ChannelTradeNo: short(form.Get("trade_no"))},
	}
	if told.EventID == "" || told.TradeNo == "" {
		return told, errNotice
	}
	if isRefund(form) {
		told.AskRefund = true
		told.Refund = payment.RefundAnswer{State: payment.RefundProcessing}
		told.RefundNo = refundNumber(form)
		return told, nil
	}
	amount, err := evcs.ParseMoney(form.Get("total_amount"))
	if err != nil || amount <= 0 {
		return told, errNotice
	}
	told.Trade.Amount = amount
	switch sdk.TradeStatus(form.Get("trade_status")) {
	case sdk.TradeStatusSuccess, sdk.TradeStatusFinished:
		told.Trade.State, told.Trade.PaidAt = payment.TradePaid, local(form.Get("gmt_payment"))
	case sdk.TradeStatusClosed:
		told.Trade.State = payment.TradeClosed
	case sdk.TradeStatusWaitBuyerPay:
		told.Trade.State = payment.TradeWaiting
	}
	return told, nil
}

// foreign is what the form names that is not the account's own.
func (a *account) foreign(form url.Values) string {
	switch {
	case form.Get("app_id") != a.id.AppID:
		return "application"
	case a.id.SellerID != "" && form.Get("seller_id") != a.id.SellerID:
		return "merchant"
	}
	return ""
}

// isRefund reports whether the form is about a refund: refunds of a trade come
// to the trade's address in the trade's form, refunds that were applied for and
// money that a bank sent back in forms of their own.
func isRefund(form url.Values) bool {
	return form.Get("refund_fee") != "" && form.Get("gmt_refund") != "" || form.Get("refund_status") != "" || form.Get("dback_status") != ""
}

// refundNumber is our number of the refund. A refund that was made at Alipay's
// own counter names none; the trade's number then stands for it, which is no
// refund of ours, so that somebody is told.
func refundNumber(form url.Values) string {
	for _, name := range []string{"out_biz_no", "out_request_no", "out_trade_no"} {
		if number := short(form.Get(name)); number != "" {
			return number
		}
	}
	return ""
}

// Reply implements payment.Channel.
func (*Channel) Reply(v payment.Verdict) payment.Reply {
	const text = "text/plain; charset=utf-8"
	switch v {
	case payment.VerdictDone:
		return payment.Reply{Status: http.StatusOK, ContentType: text, Body: "success"}
	case payment.VerdictForged, payment.VerdictRejected:
		return payment.Reply{Status: http.StatusBadRequest, ContentType: text, Body: "failure"}
	case payment.VerdictUnavailable:
	}
	return payment.Reply{Status: http.StatusServiceUnavailable, ContentType: text, Body: "failure"}
}
