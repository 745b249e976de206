package ledger

import (
	"context"
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

// Subject is what an entry of the journal is about.
type Subject string

// The subjects.
const (
	OfOrder   Subject = "ORDER"
	OfPayment Subject = "PAYMENT"
	OfRefund  Subject = "REFUND"
	// OfEntry is an entry whose order, payment or refund is not there, or did not
	// come to what is booked.
	OfEntry Subject = "ENTRY"
)

// Gap is something that happened and is not booked as it happened, or the
// other way round.
type Gap struct {
	Tenant   evcs.TenantID
	Subject  Subject
	ID       int64
	Name     string // the number of the order, payment or refund; the key of an entry
	Expected evcs.Money
	Booked   evcs.Money
}

// Completeness finds the gaps of a scope. Everything begins in [from, to): an
// order when it started, a payment when it was paid, a refund when it was asked
// for, an entry when what it books happened.
type Completeness interface {
	// Gaps are the first n gaps.
	Gaps(ctx context.Context, scope evcs.Scope, from, to time.Time, n int) ([]Gap, error)
}
