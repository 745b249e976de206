package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/chargersim"
	"github.com/evcs/evcs/internal/chargersim/journal"
	"github.com/evcs/evcs/internal/client"
	"github.com/evcs/evcs/internal/evcs"
)

var demoClock = evcs.SystemClock{}

func (w *world) fleet(c chargersim.Config) (*chargersim.Fleet, error) {
	c.Endpoint, c.HTTP = w.daemon.DeviceURL(), w.daemon.CloudURL()
	c.Chargers = append([]chargersim.ChargerConfig(nil), w.chargers...)
	return chargersim.New(c)
}

// charge lets the chargers live half a day, with lost connections, lost answers
// and repeats, and compares what they were told with what the platform says.
func (w *world) charge(ctx context.Context, out io.Writer) error {
	scenario := chargersim.Scenarios()["default"]
	scenario.Sessions = 3
	fleet, err := w.fleet(chargersim.Config{
		Seed: 2026, Speed: speed, Lead: lead, Time: chargersim.ShiftedClock, Scenario: &scenario, MeterInterval: 2 * time.Minute,
		Faults: chargersim.FaultPlan{chargersim.FaultLostAnswer: 60, chargersim.FaultDrop: 120, chargersim.FaultDuplicate: 60, chargersim.FaultWrongBill: 60},
	})
	if err != nil {
		return err
	}
	limit, cancel := context.WithTimeout(ctx, lead/speed+90*time.Second)
	defer cancel()
	begun := demoClock.Now()
	if err := fleet.Run(limit); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	w.truth = fleet.Journal().Sessions()
	if bad := fleet.Journal().Violations(); len(bad) > 0 {
		return fmt.Errorf("the chargers saw the platform break a promise: %v", bad)
	}
	ended, energy := 0, journal.Energy(0)
	for _, s := range w.truth {
		if s.Start != nil && s.Stop != nil {
			ended++
			energy += s.Energy()
		}
	}
	say(out, "%d charging sessions over real sockets in %.0f s, with lost connections, lost answers and repeats; the chargers count %s kWh",
		ended, demoClock.Now().Sub(begun).Seconds(), energy)
	return w.compare(ctx, out)
}

// every reads a whole list, page by page.
func every[T any](ctx context.Context, read func(context.Context, client.Query) (api.Page[T], error), q client.Query) ([]T, error) {
	var all []T
	for page := 1; ; page++ {
		found, err := read(ctx, q.With("page", strconv.Itoa(page)).With("size", "100"))
		if err != nil {
			return nil, err
		}
		all = append(all, found.Records...)
		if len(found.Records) < 100 {
			return all, nil
		}
	}
}

func (w *world) orders(ctx context.Context) ([]api.Order, error) {
	return every(ctx, w.operator.api.Orders.List, client.Query{"tenantScope": api.ScopeSubtree})
}

// compare proves that every session a charger was acknowledged is one order
// with the charger's own energy.
func (w *world) compare(ctx context.Context, out io.Writer) error {
	orders, err := w.orders(ctx)
	if err != nil {
		return err
	}
	var told, billed int64
	ended := 0
	for _, s := range w.truth {
		if s.Start != nil && s.Stop != nil {
			ended++
			told += int64(s.Energy())
		}
	}
	settled := 0
	for _, o := range orders {
		if o.Status != api.OrderCharging && o.Status != api.OrderCancelled {
			settled++
			billed += int64(o.Energy)
		}
	}
	if settled != ended || billed != told {
		return fmt.Errorf("%d orders with %s kWh, the chargers count %d with %s", settled, api.KWh(billed), ended, api.KWh(told))
	}
	say(out, "the platform has %d orders with %s kWh: the same, to 0.1 Wh", settled, api.KWh(billed))
	return nil
}

// collect pays the bills through the sandbox channel and gives some back.
func (w *world) collect(ctx context.Context, out io.Writer) error {
	orders, err := w.orders(ctx)
	if err != nil {
		return err
	}
	var paid []api.Payment
	var sum api.Money
	for _, o := range orders {
		if o.Status != api.OrderToPay {
			continue
		}
		p, err := w.operator.api.Payments.Create(ctx, api.CreatePayment{
			OrderID: o.OrderID, Amount: o.PayableAmount, PaymentMethod: "SANDBOX", IdempotentKey: api.Ptr("demo-" + strconv.FormatInt(o.OrderID, 10)),
		})
		if err != nil {
			return err
		}
		if p, err = w.operator.api.Payments.SandboxPay(ctx, p.TradeNo, api.SandboxPay{}); err != nil {
			return err
		}
		if p.Status != api.PaymentSuccess {
			return fmt.Errorf("payment %s is %s", p.TradeNo, p.StatusName)
		}
		paid, sum = append(paid, p), sum+p.Amount
	}
	if len(paid) < 5 {
		return fmt.Errorf("only %d bills to pay", len(paid))
	}
	say(out, "%d bills paid with %s CNY of sandbox money, by signed callbacks", len(paid), sum)
	full, part := paid[0], paid[1]
	for _, r := range []api.CreateRefund{
		{TradeNo: &full.TradeNo, RefundAmount: full.Amount, RefundReason: "客户投诉,全额退款"},
		{TradeNo: &part.TradeNo, RefundAmount: part.Amount / 2, RefundReason: "部分退款"},
	} {
		if _, err := w.operator.api.Payments.Refund(ctx, r); err != nil {
			return err
		}
	}
	say(out, "2 refunds: %s in full, %s in part", full.Amount, part.Amount/2)
	return nil
}

// live keeps the chargers busy in real time behind the dashboard.
func (w *world) live(ctx context.Context) error {
	scenario := chargersim.Scenarios()["busy"]
	scenario.First, scenario.Gap = [2]time.Duration{0, 20 * time.Second}, [2]time.Duration{5 * time.Second, 30 * time.Second}
	scenario.Stay = [2]time.Duration{time.Minute, 5 * time.Minute}
	fleet, err := w.fleet(chargersim.Config{Seed: 7, Speed: 1, Scenario: &scenario, MeterInterval: 5 * time.Second})
	if err != nil {
		return err
	}
	if err := fleet.Run(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}
