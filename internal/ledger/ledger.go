// Package ledger is the double-entry journal under all money: entries that
// balance or are refused, never change, and are booked once per key. It moves
// no money; it states what moved. Its one invariant: the postings of every
// tenant add up to zero at every moment.
package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

// AccountKind is what an account stands for. Debits are positive, credits
// negative: assets and expenses grow upwards, revenue and debts downwards.
type AccountKind string

// The accounts of a tenant. CLEARING has one account per channel, named after
// it, SHARING_PAYABLE one per party that has a share.
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
	// RevenueShared is revenue that belongs to others.
	RevenueShared AccountKind = "REVENUE_SHARED"
	// Discount is what was taken off bills.
	Discount AccountKind = "DISCOUNT"
	// Clearing is what a channel holds for the tenant.
	Clearing AccountKind = "CLEARING"
	// RefundPayable is what was promised back and has not left yet: the clearing
	// of refunds.
	RefundPayable AccountKind = "REFUND_PAYABLE"
	// Fee is what channels keep for their service.
	Fee AccountKind = "FEE"
	// Bank is what channels paid out.
	Bank AccountKind = "BANK"
	// SharingPayable is what a party of profit sharing has still to get.
	SharingPayable AccountKind = "SHARING_PAYABLE"
	// Suspense is money that nobody could explain yet.
	Suspense AccountKind = "SUSPENSE"
	// WriteOff is what was given up or found.
	WriteOff AccountKind = "WRITE_OFF"
)

// Kinds lists the kinds of accounts in the order of a balance.
func Kinds() []AccountKind {
	return []AccountKind{
		Receivable, Clearing, Bank, RefundPayable, SharingPayable, Suspense, RevenueElectricity, RevenueService, RevenueParking, RevenueIdle,
		Discount, RevenueRefunded, RevenueShared, Fee, WriteOff,
	}
}

// Label is what finance calls an account of the kind.
func (k AccountKind) Label() evcs.Detail { return labels()[k] }

func labels() map[AccountKind]evcs.Detail {
	return map[AccountKind]evcs.Detail{
		Receivable:         {ZH: "应收账款", EN: "Receivable"},
		Clearing:           {ZH: "渠道待清算", EN: "Channel clearing"},
		Bank:               {ZH: "银行存款", EN: "Bank"},
		RefundPayable:      {ZH: "退款待清算", EN: "Refund clearing"},
		SharingPayable:     {ZH: "应付分账", EN: "Sharing payable"},
		Suspense:           {ZH: "挂账", EN: "Suspense"},
		RevenueElectricity: {ZH: "电费收入", EN: "Revenue: energy"},
		RevenueService:     {ZH: "服务费收入", EN: "Revenue: service"},
		RevenueParking:     {ZH: "停车费收入", EN: "Revenue: parking"},
		RevenueIdle:        {ZH: "占位费收入", EN: "Revenue: idle time"},
		Discount:           {ZH: "优惠", EN: "Discounts"},
		RevenueRefunded:    {ZH: "退款冲减收入", EN: "Revenue refunded"},
		RevenueShared:      {ZH: "分账冲减收入", EN: "Revenue shared"},
		Fee:                {ZH: "渠道手续费", EN: "Channel fees"},
		WriteOff:           {ZH: "核销损益", EN: "Write-offs"},
	}
}

// named reports whether accounts of the kind have names.
func (k AccountKind) named() bool { return k == Clearing || k == SharingPayable }

// Account names one account of a tenant; Name is the channel of a CLEARING
// account, the party of a SHARING_PAYABLE one, and empty otherwise.
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
	KindPaidOut      Kind = "PAID_OUT"
	KindShared       Kind = "SHARED"
	KindSharePaid    Kind = "SHARE_PAID"
	KindReversed     Kind = "REVERSED"
)

// Phase says whether an entry is final.
type Phase string

// The phases. An entry keeps its phase; that a promise was kept or taken back is
// another entry, which refers to it.
const (
	// Pending books a promise whose end is not known yet.
	Pending Phase = "PENDING"
	// Posted books what has happened.
	Posted Phase = "POSTED"
	// Void takes a pending entry back.
	Void Phase = "VOID"
)

// Entry is one fact of the journal. Key names what it books: an entry whose
// key is booked already has no effect.
type Entry struct {
	ID       int64
	Tenant   evcs.TenantID
	Key      string
	Kind     Kind
	At       time.Time // when it happened, by the one who knows; not when it was booked
	Booked   time.Time // by the clock of the store; zero before it is booked
	Phase    Phase     // empty: Posted
	Refers   string    // the key of the entry that this one settles, corrects or takes back
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
	for i, p := range e.Postings {
		if slices.ContainsFunc(e.Postings[:i], func(o Posting) bool { return o.Account == p.Account }) {
			return fmt.Errorf("%w: %s %q posts to %q twice", ErrIncomplete, e.Kind, e.Key, p.Account)
		}
		if p.Amount == 0 || p.Account.Kind == "" || p.Account.Kind.named() != (p.Account.Name != "") {
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
	// Moved is the sum of what entries of some kinds posted to an account in
	// [from, to), each end open when it is zero.
	Moved(ctx context.Context, scope evcs.Scope, a Account, kinds []Kind, from, to time.Time) (evcs.Money, error)
	// Entry is the entry of a tenant with a key; nil when nothing is booked under it.
	Entry(ctx context.Context, scope evcs.Scope, key string) (*Entry, error)
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

// AccountState is an account of a tenant and what it holds.
type AccountState struct {
	ID     int64
	Tenant evcs.TenantID
	Opened time.Time // when it was posted to first
	Balance
}

// Line is one posting of an account's statement with the balance after it.
type Line struct {
	Entry   Entry
	Amount  evcs.Money
	Balance evcs.Money
}

// Run gives every line, oldest first, the balance after it, beginning with the
// balance opening.
func Run(opening evcs.Money, lines []*Line) {
	for _, l := range lines {
		opening += l.Amount
		l.Balance = opening
	}
}

// StatementFilter is what a statement is of: an account, in [From, To), each
// end open when it is zero.
type StatementFilter struct {
	Account  Account
	From, To time.Time
}

// EntryFilter narrows a list of entries; zero fields keep all.
type EntryFilter struct {
	Kinds    []string
	Order    evcs.OrderID
	From, To time.Time // when it happened
}
