package sandboxpay_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/payment"
	"github.com/evcs/evcs/internal/sandboxpay"
	"github.com/evcs/evcs/internal/store"
	"github.com/evcs/evcs/internal/store/storetest"
	"github.com/evcs/evcs/internal/tenant"
	"github.com/evcs/evcs/migrations"
)

var (
	merchant = payment.Merchant{Tenant: evcs.PlatformTenant, Secrets: []byte("a secret of the sandbox's account")}
	whole    = payment.RefundRequest{TradeNo: "EV1", RefundNo: "ER1", Amount: 42}
)

// paidBank is a bank with the payment EV1 of 0.42.
func paidBank(t *testing.T, db *store.DB) *sandboxpay.Bank {
	t.Helper()
	now := time.Date(2026, 2, 10, 4, 0, 0, 0, time.UTC)
	if err := db.Transact(t.Context(), func(tx *store.Tx) error {
		root := tenant.Tenant{ID: evcs.PlatformTenant, Code: "SYSTEM", Name: "root", Type: tenant.Platform, Enabled: true, Created: now, Updated: now}
		if err := tx.Tenants().Insert(t.Context(), &root); err != nil {
			return err
		}
		return store.Sandbox(tx).InsertTrade(t.Context(), evcs.Only(evcs.PlatformTenant), &payment.SandboxTrade{
			Number: whole.TradeNo, Tenant: evcs.PlatformTenant, ChannelNo: "SB1", Amount: 42, State: payment.TradePaid, DoneAt: now, CreatedAt: now,
		})
	}); err != nil {
		t.Fatal(err)
	}
	return &sandboxpay.Bank{Clock: evcs.SystemClock{}, Transact: func(ctx context.Context, fn func(payment.SandboxBooks) error) error {
		return db.Transact(ctx, func(tx *store.Tx) error { return fn(store.Sandbox(tx)) })
	}}
}

// refundsOf is how many refunds the bank has made.
func refundsOf(t *testing.T, b *sandboxpay.Bank) (n int) {
	t.Helper()
	if err := b.Transact(t.Context(), func(books payment.SandboxBooks) error {
		list, err := books.RefundsOf(t.Context(), evcs.Only(evcs.PlatformTenant), whole.TradeNo)
		n = len(list)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return n
}

// A refund is asked for again with its number when nobody knows what became of
// it: also while the first call is on its way, and also when it takes all that
// was left.
func TestCallsWithOneNumberAreOneRefund(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := paidBank(t, db)
		answers := make([]payment.RefundAnswer, 8)
		failed := make([]error, len(answers))
		var calls sync.WaitGroup
		for i := range answers {
			calls.Go(func() { answers[i], failed[i] = b.Refund(t.Context(), merchant, whole) })
		}
		calls.Wait()
		for i, a := range answers {
			if failed[i] != nil || a.State != payment.RefundSuccess || a.Amount != 42 || a.ChannelRefundNo != answers[0].ChannelRefundNo {
				t.Errorf("%+v %v", a, failed[i])
			}
		}
		if n := refundsOf(t, b); n != 1 {
			t.Errorf("%d refunds", n)
		}
	})
}

// overtaken are books whose reader is overtaken by another call after it has
// looked for the refund.
type overtaken struct {
	payment.SandboxBooks
	by func()
}

// Trade implements payment.SandboxBooks.
func (o overtaken) Trade(ctx context.Context, scope evcs.Scope, number string) (payment.SandboxTrade, error) {
	t, err := o.SandboxBooks.Trade(ctx, scope, number)
	if number == whole.RefundNo {
		o.by()
	}
	return t, err
}

// Where transactions run side by side, a call may find its own refund when it
// adds up what is left.
func TestARefundThatWasMadeMeanwhileIsThatRefund(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := paidBank(t, db)
		first := sync.OnceFunc(func() {
			if a, err := b.Refund(t.Context(), merchant, whole); err != nil || a.State != payment.RefundSuccess {
				t.Errorf("the first: %+v %v", a, err)
			}
		})
		if db.Engine() == migrations.SQLite {
			first() // one writer: nobody overtakes
		}
		second := sandboxpay.Bank{Clock: b.Clock, Transact: func(ctx context.Context, fn func(payment.SandboxBooks) error) error {
			return b.Transact(ctx, func(books payment.SandboxBooks) error { return fn(overtaken{books, first}) })
		}}
		if a, err := second.Refund(t.Context(), merchant, whole); err != nil || a.State != payment.RefundSuccess || a.Amount != 42 {
			t.Errorf("the second: %+v %v", a, err)
		}
		if n := refundsOf(t, b); n != 1 {
			t.Errorf("%d refunds", n)
		}
	})
}
