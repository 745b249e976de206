package wechatpay

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/wechatpay-apiv3/wechatpay-go/core"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/outbound"
	"github.com/evcs/evcs/internal/payment"
)

// maxWords bounds what is kept of the channel's own words.
const maxWords = 200

func unknown(what, why string) error {
	return fmt.Errorf("%s: %w: %s", what, payment.ErrUnknownOutcome, why)
}

// another is a signed reply about something else than what was asked: an old
// reply sent again proves nothing.
func another(what string) error { return unknown(what, "the reply is about something else") }

// passing are the codes that say nothing about what was done.
var passing = map[string]bool{
	"": true, "SYSTEM_ERROR": true, "SYSTEMERROR": true, "BANK_ERROR": true, "BANKERROR": true, "FREQUENCY_LIMITED": true, "RATELIMIT_EXCEEDED": true,
	"FREQUENCY_LIMIT_EXCEED": true, "BIZERR_NEED_RETRY": true, "OUT_TRADE_NO_USED_IN_PROCESS": true,
}

// outcome judges a call that ended. An answer of 4xx with a code of WeChat Pay
// is a refusal. These may come without a signature, and then it is the host's
// certificate that vouches for them; one that does not verify was found before.
// Everything else that is no signed success says nothing.
func outcome(what string, err error) error {
	if err == nil || errors.Is(err, payment.ErrUnknownOutcome) {
		return err
	}
	said, ok := errors.AsType[*core.APIError](err)
	switch {
	case errors.Is(err, errUnsigned):
		return fmt.Errorf("%s: %w: %w", what, payment.ErrUnknownOutcome, errUnsigned)
	case !ok:
		return unknown(what, outbound.Reason(err))
	case said.StatusCode >= http.StatusInternalServerError, said.StatusCode == http.StatusTooManyRequests,
		said.StatusCode == http.StatusRequestTimeout, said.StatusCode < http.StatusBadRequest, passing[said.Code]:
		return unknown(what, fmt.Sprintf("HTTP %d %s", said.StatusCode, payment.PlainText(said.Code, 64)))
	}
	return evcs.With(payment.ErrRefused, map[string]any{
		"channelCode": payment.PlainText(said.Code, 64), "channelMessage": payment.PlainText(said.Message, maxWords),
	})
}

// refusedWith reports whether err is a refusal with one of the codes.
func refusedWith(err error, codes ...string) bool {
	if !errors.Is(err, payment.ErrRefused) {
		return false
	}
	_, data, _ := evcs.Classify(err)
	for _, code := range codes {
		if data["channelCode"] == code {
			return true
		}
	}
	return false
}

// ours is a refusal of our own, before anybody was asked.
func ours(code, message string) error {
	return evcs.With(payment.ErrRefused, map[string]any{"channelCode": code, "channelMessage": message})
}
