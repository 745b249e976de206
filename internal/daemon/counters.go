package daemon

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/evcs/evcs/internal/charging"
	"github.com/evcs/evcs/internal/command"
	"github.com/evcs/evcs/internal/device"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/order"
	"github.com/evcs/evcs/internal/payment"
)

// counting adds to a counter of the metrics.
type counting func(name string, n float64, labels ...string)

// counted lists the events that the metrics count.
func counted(e evcs.Event) bool {
	switch e.Type {
	case evcs.EventOrderCreated, evcs.EventOrderStatus, evcs.EventSessionEnded, evcs.EventCommandUpdated,
		evcs.EventPaymentStatus, evcs.EventRefundStatus, evcs.EventReconFinished:
		return true
	}
	return false
}

// countEvents counts what was published: every fact once, after its commit.
// Events that were missed because the reader fell behind are not counted.
func (d *Daemon) countEvents(p *parts) func(context.Context) error {
	return func(ctx context.Context) error {
		for {
			sub := p.broker.Subscribe(4096, counted)
			err := follow(ctx, sub.Events(), sub.Behind(), func(e evcs.Event) { count(p.metrics.Add, e) })
			sub.Close()
			if err != nil {
				return nil //nolint:nilerr // the context ended
			}
		}
	}
}

func count(add counting, e evcs.Event) {
	switch e.Type {
	case evcs.EventOrderCreated:
		add("evcs_order_created_total", 1)
	case evcs.EventSessionEnded:
		add("evcs_order_stopped_total", 1)
	case evcs.EventOrderStatus:
		var f order.Facts
		if json.Unmarshal(e.Data, &f) == nil {
			countOrder(add, f)
		}
	case evcs.EventPaymentStatus, evcs.EventRefundStatus, evcs.EventReconFinished:
		countMoney(add, e)
	case evcs.EventCommandUpdated:
		var f struct {
			Type  string        `json:"type"`
			State command.State `json:"state"`
		}
		if json.Unmarshal(e.Data, &f) == nil {
			add("evcs_command_total", 1, f.Type, string(f.State))
			if f.State == command.Sent {
				add("evcs_device_messages_total", 1, "any", "out", "sent")
			}
		}
	}
}

// countMoney counts decisions: a payment is told of again when it is refunded,
// which is no payment more.
func countMoney(add counting, e evcs.Event) {
	var f struct {
		Channel      string               `json:"channel"`
		Status       json.RawMessage      `json:"status"`
		RefundStatus payment.RefundStatus `json:"refundStatus"`
		Amount       json.Number          `json:"amount"`
		Refunded     json.Number          `json:"refundedAmount"`
	}
	if json.Unmarshal(e.Data, &f) != nil {
		return
	}
	switch e.Type {
	case evcs.EventReconFinished:
		var status string
		if json.Unmarshal(f.Status, &status) == nil {
			add("evcs_reconciliation_runs_total", 1, f.Channel, status)
		}
	case evcs.EventRefundStatus:
		switch f.RefundStatus {
		case payment.RefundSuccess:
			add("evcs_refund_total", 1, f.Channel, "success")
		case payment.RefundFailed:
			add("evcs_refund_total", 1, f.Channel, "failed")
		case payment.RefundProcessing:
		}
	default:
		countPayment(add, f.Channel, f.Status, f.Amount, f.Refunded)
	}
}

func countPayment(add counting, channel string, told json.RawMessage, amount, refunded json.Number) {
	var status payment.Status
	if json.Unmarshal(told, &status) != nil {
		return
	}
	switch status {
	case payment.Success:
		if back, err := evcs.ParseMoney(refunded.String()); err != nil || back != 0 {
			return // a refund that failed leaves a payment as it was
		}
		paid, err := evcs.ParseMoney(amount.String())
		if err != nil {
			return
		}
		add("evcs_payment_total", 1, channel, "success")
		add("evcs_payment_amount_fen_total", float64(paid), channel)
	case payment.Failed:
		add("evcs_payment_total", 1, channel, "failed")
	case payment.Closed:
		add("evcs_payment_total", 1, channel, "closed")
	default:
	}
}

func countOrder(add counting, f order.Facts) {
	failures := []string{order.StartRejected, order.StartTimeout, order.StartFailed}
	switch {
	case f.Event == "CANCELLED" && slices.Contains(failures, f.CancelReason): // what people write is no label
		add("evcs_order_start_failed_total", 1, f.CancelReason)
	case f.Event == "ENDED" && f.Held:
		for _, a := range f.Anomalies {
			if a.Holds() {
				add("evcs_order_held_total", 1, string(a))
			}
		}
	}
}

// listener is the engine as protocols see it, with their messages counted.
type listener struct {
	engine *charging.Engine
	add    counting
}

// heard counts one message; a refusal is one of the closed table, anything else
// left the device without an answer.
func (l listener) heard(f device.From, err error) {
	result := "ok"
	if code, _, _ := evcs.Classify(err); err != nil {
		result = "refused"
		if code == evcs.CodeInternalError {
			result = "failed"
		}
	}
	l.add("evcs_device_messages_total", 1, f.Protocol, "in", result)
}

// Booted implements device.Handler, as all that follow.
func (l listener) Booted(ctx context.Context, m device.Boot) error {
	err := l.engine.Booted(ctx, m)
	l.heard(m.From, err)
	return err
}

func (l listener) StatusReported(ctx context.Context, m device.Status) error {
	err := l.engine.StatusReported(ctx, m)
	l.heard(m.From, err)
	return err
}

func (l listener) Authorize(ctx context.Context, m device.Authorize) (device.Authorization, error) {
	a, err := l.engine.Authorize(ctx, m)
	l.heard(m.From, err)
	return a, err
}

func (l listener) Started(ctx context.Context, m device.Started) (device.StartAnswer, error) {
	a, err := l.engine.Started(ctx, m)
	l.heard(m.From, err)
	return a, err
}

func (l listener) Metered(ctx context.Context, m device.Metered) (device.MeterAnswer, error) {
	a, err := l.engine.Metered(ctx, m)
	l.heard(m.From, err)
	return a, err
}

func (l listener) Stopped(ctx context.Context, m device.Stopped) (device.StopAnswer, error) {
	a, err := l.engine.Stopped(ctx, m)
	l.heard(m.From, err)
	return a, err
}

func (l listener) Noted(ctx context.Context, m device.Note) error {
	err := l.engine.Noted(ctx, m)
	l.heard(m.From, err)
	return err
}
