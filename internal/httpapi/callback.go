package httpapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/evcs/evcs/internal/cashier"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/payment"
)

// Callbacks are where payment channels send their notifications. They need no
// sign-in, carry no envelope and answer in the channel's own words.
type Callbacks struct {
	Till *cashier.Till
}

type callbackPath struct {
	Channel string `path:"channel" enum:"alipay,wechat,sandbox"`
	Token   string `path:"callbackToken" minLength:"1" maxLength:"128"`
}

func (p Callbacks) register(s *Server) {
	op := func(id, path, summary string) operation {
		return operation{
			ID: id, Method: http.MethodPost, Path: "/api/payment/callback/" + path, Aliases: []string{"/api/payment/callback/" + path + "/refund"},
			Group: "payment", Access: public, Summary: summary, NoReplay: true, MaxBody: cashier.MaxCallback, Content: "text/plain", OwnFailures: true, Pace: paceCallback,
		}
	}
	for _, channel := range []string{"alipay", "wechat"} {
		registerRaw(s, op("callback_"+channel, channel, "A notification of "+channel+" to the bare address"),
			func(ctx context.Context, _ *evcs.Actor, _ *struct{}, w Reply) error {
				return p.take(ctx, channel, "", w)
			})
	}
	registerRaw(s, op("callback", "{channel}/{callbackToken}", "A notification to the address of one merchant account"),
		func(ctx context.Context, _ *evcs.Actor, in *struct{ callbackPath }, w Reply) error {
			return p.take(ctx, in.Channel, in.Token, w)
		})
}

// take hands the raw body to the till; a body above its bound is refused in the
// channel's words.
func (p Callbacks) take(ctx context.Context, channel, token string, w Reply) error {
	body, err := io.ReadAll(io.LimitReader(w.Request.Body, cashier.MaxCallback+1))
	if err != nil {
		var tooLarge *http.MaxBytesError
		if !errors.As(err, &tooLarge) {
			return unread(err)
		}
		body = make([]byte, cashier.MaxCallback+1)
	}
	answer := p.Till.Callback(ctx, channel, token, payment.Notice{Header: w.Request.Header, Body: body})
	if answer.ContentType != "" {
		w.Header().Set("Content-Type", answer.ContentType)
	}
	w.WriteHeader(answer.Status)
	if _, err := io.WriteString(w, answer.Body); err != nil {
		return fmt.Errorf("answer a callback: %w", err)
	}
	return nil
}
