package payment

import (
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

// RefundStatus is a state of a refund, contract §9.1.
type RefundStatus int

// The states of a refund; the last two are final.
const (
	RefundProcessing RefundStatus = 1
	RefundSuccess    RefundStatus = 2
	RefundFailed     RefundStatus = 3
)

// String is the contract's name of the state.
func (s RefundStatus) String() string {
	switch s {
	case RefundProcessing:
		return "PROCESSING"
	case RefundSuccess:
		return "SUCCESS"
	case RefundFailed:
		return "FAILED"
	}
	return "UNKNOWN"
}

// Approval is where a refund stands that a second person must agree to; the
// zero value needs nobody.
type Approval string

// The steps of an approval; the last two are final.
const (
	ApprovalPending  Approval = "PENDING"
	ApprovalGiven    Approval = "APPROVED"
	ApprovalRejected Approval = "REJECTED"
)

// Why the daemon refunds by itself.
const (
	AutomaticDuplicate = "DUPLICATE_PAYMENT"
	AutomaticLate      = "LATE_PAYMENT"
)

// Refund gives back a payment, or part of it, through the payment's channel.
type Refund struct {
	ID              evcs.RefundID
	Tenant          evcs.TenantID
	RefundNo        string
	Payment         evcs.PaymentID
	TradeNo         string
	Order           evcs.OrderID
	Amount          evcs.Money
	Status          RefundStatus
	Reason          string
	Channel         string
	ChannelRefundNo string
	Automatic       string // "" when somebody asked for it
	FailureCode     string
	FailureMessage  string
	RequestedBy     string
	RequestedUser   evcs.UserID // who must not approve it; 0: nobody in person
	RequestKey      string
	Approval        Approval
	DecidedBy       string
	DecidedAt       time.Time
	DecisionNote    string
	AcceptedAt      time.Time // the channel's acceptance
	SuccessAt       time.Time
	NextQueryAt     time.Time
	Queries         int
	CreatedAt       time.Time
	UpdatedAt       time.Time
	Version         int64
}

// How long the daemon asks about a refund by itself: by the schedule and then
// hourly for a week, then daily for a month; after that somebody must look.
const (
	refundHourly = 7 * 24 * time.Hour
	refundDaily  = 30 * 24 * time.Hour
	refundLate   = 24 * time.Hour
)

// Postpone plans the next question about a refund that is not final.
func (r *Refund) Postpone(now time.Time) {
	r.Queries++
	r.UpdatedAt = now
	r.NextQueryAt = NextQuery(r.CreatedAt, r.Queries, now, r.CreatedAt.Add(refundHourly))
	if r.NextQueryAt.IsZero() {
		r.NextQueryAt = now.Add(24 * time.Hour)
	}
	if r.NextQueryAt.Sub(r.CreatedAt) > refundDaily {
		r.NextQueryAt = time.Time{}
	}
}

// Stuck reports whether the payer has waited too long for the money.
func (r *Refund) Stuck(now time.Time) bool {
	return r.Status == RefundProcessing && now.Sub(r.CreatedAt) >= refundLate
}

// waitReminder is how often somebody is told of a refund that waits for a
// second person.
const waitReminder = 24 * time.Hour

// Await makes the refund wait for a second person.
func (r *Refund) Await(now time.Time) {
	r.Approval, r.NextQueryAt = ApprovalPending, now.Add(waitReminder)
}

// Waiting reports whether a second person must decide before the channel is
// asked.
func (r *Refund) Waiting() bool { return r.Approval == ApprovalPending }

// Decide takes a second person's word. Who asked for the refund cannot give it
// (4016); one that does not wait, or was decided otherwise, refuses (4007). The
// same word again is no news.
func (r *Refund) Decide(by *evcs.Actor, word Approval, note string, now time.Time) (news bool, err error) {
	switch {
	case r.Approval == word && word != "":
		return false, nil
	case !r.Waiting() || r.Status != RefundProcessing:
		return false, evcs.With(ErrState, map[string]any{"tradeNo": r.TradeNo, "currentStatus": int(r.Status), "refundNo": r.RefundNo})
	case by.User == 0 || by.User == r.RequestedUser:
		return false, evcs.With(ErrChecker, map[string]any{"maker": r.RequestedUser})
	}
	r.Approval, r.DecidedBy, r.DecidedAt, r.DecisionNote = word, by.Name, now, note
	r.UpdatedAt, r.NextQueryAt = now, now
	return true, nil
}

// Done takes the channel's word that the money went back. It reports whether
// that was news; a refund that failed for good stays so.
func (r *Refund) Done(channelNo string, acceptedAt, at time.Time) bool {
	if r.Status != RefundProcessing {
		return false
	}
	r.Status, r.ChannelRefundNo, r.AcceptedAt, r.SuccessAt = RefundSuccess, channelNo, acceptedAt, at
	r.UpdatedAt, r.NextQueryAt = at, time.Time{}
	return true
}

// Fail takes the channel's word that the money will not go back.
func (r *Refund) Fail(code, message string, at time.Time) bool {
	if r.Status != RefundProcessing {
		return false
	}
	r.Status, r.FailureCode, r.FailureMessage = RefundFailed, code, message
	r.UpdatedAt, r.NextQueryAt = at, time.Time{}
	return true
}
