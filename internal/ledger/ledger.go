// Package ledger is the double-entry journal under all money: entries that
// balance or are refused, never change, and are booked once per key. It moves
// no money; it states what moved. Its one invariant: the postings of every
// tenant add up to zero at every moment.
package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

// AccountKind is what an account stands for. Debits are positive, credits
// negative: assets and expenses grow upwards, revenue and debts downwards.
type AccountKind string

// The accounts of a tenant. CLEARING has one account per channel, named after it.
const (
	// Receivable is what drivers owe for ended charging.
	Receivable AccountKind = "RECEIVABLE"
	// RevenueElectricity is billed energy.
	RevenueElectricity AccountKind = "REVENUE_ELECTRICITY"
	// RevenueService is billed service fees.
	RevenueService AccountKind = "REVENUE_SERVICE"
	// RevenueParking is billed parking.
	RevenueParking AccountKind = "REVENUE_PARKING"
	// RevenueIdle is billed idle time.
	RevenueIdle AccountKind = "REVENUE_IDLE"
	// RevenueRefunded is revenue given back by refunds.
	RevenueRefunded AccountKind = "REVENUE_REFUNDED"
	// Discount is what was taken off bills.
	Discount AccountKind = "DISCOUNT"
	// Clearing is what a channel holds for the tenant.
	Clearing AccountKind = "CLEARING"
	// RefundPayable is what was promised back and has not left yet.
	RefundPayable AccountKind = "REFUND_PAYABLE"
	// Fee is what channels keep for their service.
	Fee AccountKind = "FEE"
	// Bank is what channels paid out.
	Bank AccountKind = "BANK"
	// Suspense is money that nobody could explain yet.
	Suspense AccountKind = "SUSPENSE"
	// WriteOff is what was given up or found.
	WriteOff AccountKind = "WRITE_OFF"
)

// Account names one account of a tenant; Name is the channel of a CLEARING
// account and empty otherwise.
type Account struct {
	Kind AccountKind
	Name string
}

// String writes the account as "CLEARING/sandbox" or "RECEIVABLE".
func (a Account) String() string {
	if a.Name == "" {
		return string(a.Kind)
	}
	return string(a.Kind) + "/" + a.Name
}

// Posting is one side of an entry: a debit when Amount is positive, a credit
// when it is negative.
type Posting struct {
	Account Account
	Amount  evcs.Money
}

// Kind says what happened.
type Kind string

// The kinds of entries.
const (
	KindBilled       Kind = "BILLED"
	KindRebilled     Kind = "REBILLED"
	KindDiscounted   Kind = "DISCOUNTED"
	KindWaived       Kind = "WAIVED"
	KindCaptured     Kind = "CAPTURED"
	KindRefundBegun  Kind = "REFUND_BEGUN"
	KindRefundFailed Kind = "REFUND_FAILED"
	KindRefunded     Kind = "REFUNDED"
	KindFees         Kind = "FEES"
	KindWrittenOff   Kind = "WRITTEN_OFF"
)

// Entry is one fact of the journal. Key names what it books: an entry whose
// key is booked already has no effect.
type Entry struct {
	ID       int64
	Tenant   evcs.TenantID
	Key      string
	Kind     Kind
	At       time.Time // when it happened, by the one who knows; not when it was booked
	Order    evcs.OrderID
	Payment  evcs.PaymentID
	Refund   evcs.RefundID
	Memo     string
	Sandbox  bool
	Postings []Posting
}

// Rules of the journal. They are defects of the caller, not of a request, and
// so no rows of the error table.
var (
	// ErrUnbalanced refuses an entry whose postings do not add up to zero.
	ErrUnbalanced = errors.New("the entry does not balance")
	// ErrIncomplete refuses an entry without tenant, key, time or two sides.
	ErrIncomplete = errors.New("the entry is not complete")
)

// Check refuses an entry that is not complete or does not balance.
func (e Entry) Check() error {
	if e.Tenant == 0 || e.Key == "" || e.Kind == "" || e.At.IsZero() || len(e.Postings) < 2 {
		return fmt.Errorf("%w: %s %q", ErrIncomplete, e.Kind, e.Key)
	}
	var sum evcs.Money
	for _, p := range e.Postings {
		if p.Amount == 0 || p.Account.Kind == "" || (p.Account.Kind == Clearing) != (p.Account.Name != "") {
			return fmt.Errorf("%w: %s %q posts %s to %q", ErrIncomplete, e.Kind, e.Key, p.Amount, p.Account)
		}
		sum += p.Amount
	}
	if sum != 0 {
		return fmt.Errorf("%w: %s %q is off by %s", ErrUnbalanced, e.Kind, e.Key, sum)
	}
	return nil
}

// Store keeps the journal.
type Store interface {
	// Append adds the entry unless its tenant has one with the same key; then
	// nothing changes.
	Append(ctx context.Context, scope evcs.Scope, e Entry) error
	// Balance is the sum of what was posted to an account before a moment.
	Balance(ctx context.Context, scope evcs.Scope, a Account, before time.Time) (evcs.Money, error)
}

// Book checks the entry and adds it to the journal, once per key. An entry
// without any posting says that no money moved, and is not kept.
func Book(ctx context.Context, s Store, e Entry) error {
	if len(e.Postings) == 0 {
		return nil
	}
	if err := e.Check(); err != nil {
		return err
	}
	if err := s.Append(ctx, evcs.Only(e.Tenant), e); err != nil {
		return fmt.Errorf("book %s: %w", e.Key, err)
	}
	return nil
}

// Balance is the state of one account.
type Balance struct {
	Account Account
	Debit   evcs.Money // the sum of its debits
	Credit  evcs.Money // the sum of its credits, positive
}

// Net is debits less credits.
func (b Balance) Net() evcs.Money { return b.Debit - b.Credit }

// Trial is a trial balance.
type Trial []Balance

// Totals adds up both sides.
func (t Trial) Totals() (debit, credit evcs.Money) {
	for _, b := range t {
		debit += b.Debit
		credit += b.Credit
	}
	return debit, credit
}

// Balanced reports whether both sides are equal.
func (t Trial) Balanced() bool {
	debit, credit := t.Totals()
	return debit == credit
}

// Line is one posting of an account's statement with the balance after it.
type Line struct {
	Entry   Entry
	Amount  evcs.Money
	Balance evcs.Money
}

// Statement lists what entries, oldest first, did to an account, beginning
// with the balance opening.
func Statement(a Account, opening evcs.Money, entries []Entry) []Line {
	var lines []Line
	for _, e := range entries {
		for _, p := range e.Postings {
			if p.Account != a {
				continue
			}
			opening += p.Amount
			lines = append(lines, Line{Entry: e, Amount: p.Amount, Balance: opening})
		}
	}
	return lines
}
