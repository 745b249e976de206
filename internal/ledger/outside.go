package ledger

import (
	"slices"
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

// Outside is money that moved where the platform cannot see it: at the bank, or
// between the operator and those who have a share of its revenue. A person
// books it, from the paper that says so.
type Outside struct {
	Tenant    evcs.TenantID
	Kind      Kind   // one of OutsideKinds
	Channel   string // of PAID_OUT and SHARE_PAID
	Party     string // of SHARED and SHARE_PAID
	Reference string // of the paper; the same one again is booked once
	Amount    evcs.Money
	At        time.Time
	Memo      string
}

// OutsideKinds are what a person may book.
func OutsideKinds() []Kind { return []Kind{KindPaidOut, KindShared, KindSharePaid} }

// Faults are what is wrong with the booking by itself.
func (o Outside) Faults(now time.Time) []evcs.FieldFault {
	var faults []evcs.FieldFault
	fault := func(field, message string) { faults = append(faults, evcs.FieldFault{Field: field, Message: message}) }
	if !slices.Contains(OutsideKinds(), o.Kind) {
		fault("kind", "must be PAID_OUT, SHARED or SHARE_PAID")
	}
	if (o.Kind != KindShared) != (o.Channel != "") {
		fault("channel", "is of PAID_OUT and SHARE_PAID, and only of them")
	}
	if (o.Kind != KindPaidOut) != (o.Party != "") {
		fault("party", "is of SHARED and SHARE_PAID, and only of them")
	}
	if o.Reference == "" {
		fault("reference", "is required")
	}
	if o.Amount <= 0 {
		fault("amount", "must be more than 0")
	}
	if o.At.After(now) {
		fault("time", "must not be in the future")
	}
	return faults
}

// Entry books it: a pay-out moves money from the channel to the bank, a share
// is owed to its party, and leaves the channel when it is paid.
func (o Outside) Entry() Entry {
	var debit, credit Account
	party := Account{SharingPayable, o.Party}
	switch o.Kind {
	case KindShared:
		debit, credit = Account{Kind: RevenueShared}, party
	case KindSharePaid:
		debit, credit = party, Account{Clearing, o.Channel}
	default:
		debit, credit = Account{Kind: Bank}, Account{Clearing, o.Channel}
	}
	return Entry{
		Tenant: o.Tenant, Key: "outside/" + string(o.Kind) + "/" + o.Channel + "/" + o.Party + "/" + o.Reference, Kind: o.Kind, At: o.At, Memo: o.Memo,
		Sandbox: o.Channel == "sandbox", Postings: post(Posting{debit, o.Amount}, Posting{credit, -o.Amount}),
	}
}

// Reversible reports whether a person may take the entry back: only what a
// person booked.
func (e Entry) Reversible() bool { return slices.Contains(OutsideKinds(), e.Kind) }

// Reversed takes an entry back by another one. Both stay.
func Reversed(e Entry, at time.Time, why string) Entry {
	back := reverse(e, at)
	back.Memo = why
	return back
}
