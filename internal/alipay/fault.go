package alipay

import (
	"errors"
	"fmt"
	"strings"

	sdk "github.com/smartwalle/alipay/v3"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/outbound"
	"github.com/evcs/evcs/internal/payment"
)

var errUnsigned = errors.New("the reply carries no signature")

// maxWords bounds what is kept of the gateway's own words.
const maxWords = 200

// outcome judges a call that ended: err is what the library says, said what a
// signed reply says. nil is a signed 10000.
//
// A reply that carries no signature reaches us as an error of the library's own
// type. It proves nothing, neither a yes nor a no.
func outcome(what string, err error, said sdk.Error) error {
	if unsigned, ok := errors.AsType[*sdk.Error](err); ok {
		code := "?"
		if unsigned != nil {
			code = payment.PlainText(string(unsigned.Code)+" "+unsigned.SubCode, maxWords)
		}
		return fmt.Errorf("%s: %w: %w (%s)", what, payment.ErrUnknownOutcome, errUnsigned, code)
	}
	switch {
	case errors.Is(err, errCertificate), errors.Is(err, errEnded):
		return fmt.Errorf("%s: %w: %w", what, payment.ErrUnknownOutcome, err)
	case errors.Is(err, errUnknown), errors.Is(err, sdk.ErrAliPublicKeyNotFound):
		return fmt.Errorf("%s: %w: %w", what, payment.ErrUnknownOutcome, errUnknown)
	case errors.Is(err, payment.ErrUnknownOutcome):
		return fmt.Errorf("%s: %w", what, err)
	case errors.Is(err, sdk.ErrBadResponse):
		return fmt.Errorf("%s: %w: the reply is to another call", what, payment.ErrUnknownOutcome)
	case err != nil:
		return fmt.Errorf("%s: %w: %s", what, payment.ErrUnknownOutcome, outbound.Reason(err))
	case said.Code == sdk.CodeSuccess:
		return nil
	case passing(said):
		return fmt.Errorf("%s: %w: %s", what, payment.ErrUnknownOutcome, payment.PlainText(string(said.Code)+" "+said.SubCode, maxWords))
	}
	return refuse(said)
}

// passing reports whether a signed failure says nothing about what was done:
// the gateway was busy, broken or asked too often.
func passing(said sdk.Error) bool {
	if said.Code == "" || said.Code == sdk.CodeUnknowError || said.Code == sdk.CodeCallLimited || said.Code == sdk.CodeOrderSuccessPayInProcess {
		return true
	}
	sub := strings.ToUpper(said.SubCode)
	return strings.Contains(sub, "SYSTEM_ERROR") || strings.Contains(sub, "UNKNOW") || strings.HasPrefix(sub, "ISP.") || strings.HasPrefix(sub, "AOP.")
}

func refuse(said sdk.Error) error {
	code, message := said.SubCode, said.SubMsg
	if code == "" {
		code, message = string(said.Code), said.Msg
	}
	return evcs.With(payment.ErrRefused, map[string]any{
		"channelCode": payment.PlainText(code, 64), "channelMessage": payment.PlainText(message, maxWords),
	})
}

// has reports whether a signed reply fails with the code.
func has(err error, said sdk.Error, sub string) bool { return err == nil && said.SubCode == sub }

// another is a signed reply about something else than what was asked: an old
// reply sent again proves nothing.
func another(what string) error {
	return fmt.Errorf("%s: %w: the reply is about something else", what, payment.ErrUnknownOutcome)
}
