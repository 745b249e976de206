package recon

import (
	"fmt"
	"slices"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/payment"
)

// Kind is what differs; of several that apply, the first of this order.
type Kind string

// The kinds of differences.
const (
	Duplicate      Kind = "DUPLICATE"
	ChannelOnly    Kind = "CHANNEL_ONLY"
	LocalOnly      Kind = "LOCAL_ONLY"
	AmountMismatch Kind = "AMOUNT_MISMATCH"
	StatusMismatch Kind = "STATUS_MISMATCH"
	FeeMismatch    Kind = "FEE_MISMATCH"
)

// Facets are what else is said of a difference, beside kinds that apply too.
const (
	// FacetNumber: found by the channel's number, ours is another.
	FacetNumber = "NUMBER"
	// FacetOtherDay: known here, but on another day.
	FacetOtherDay = "OTHER_DAY"
	// FacetLater: the other day is a later one; our clock was behind midnight when
	// the channel's was not.
	FacetLater = "LATER_DAY"
	// FacetSameOrder: the order was paid by another payment.
	FacetSameOrder = "SAME_ORDER"
	// FacetDenied: the channel was asked and does not know it as succeeded.
	FacetDenied = "DENIED"
	// FacetGone: dealt with, and not found by a later run; it counts no more.
	FacetGone = "GONE"
	// FacetFundFlow: of the second leg, where the local side is the trade
	// statement and the channel's the fund statement.
	FacetFundFlow = "FUND_FLOW"
	// FacetBalance: of the third leg, where the local side is the journal and the
	// channel's the balance of its account.
	FacetBalance = "BALANCE"
	// FacetOpening: the balance does not begin where the day before ended.
	FacetOpening = "OPENING"
)

// State is what became of a difference.
type State string

// The states of a difference.
const (
	Open          State = "OPEN"
	Suspended     State = "SUSPENDED"
	AutoResolved  State = "AUTO_RESOLVED"
	PendingReview State = "PENDING_REVIEW"
	Resolved      State = "RESOLVED"
	WrittenOff    State = "WRITTEN_OFF"
	Superseded    State = "SUPERSEDED"
)

// Action is what is done about a difference.
type Action string

// The actions that a person may propose, and what happens by itself.
const (
	AdoptChannel Action = "ADOPT_CHANNEL"
	Refund       Action = "REFUND"
	Explain      Action = "EXPLAIN"
	WriteOff     Action = "WRITE_OFF"
)

// Resolution is what was proposed, by whom, and who checked.
type Resolution struct {
	Action    Action
	Reason    string
	Maker     evcs.UserID
	MakerName string
	MadeAt    time.Time
	Checker   evcs.UserID
	CheckedAt time.Time
	Note      string
	Effect    string
	// Day is the day whose proof it counts in.
	Day string
	// Undone is the posting that took the effect back; "" when none did.
	Undone string `json:"undone,omitempty"`
}

// Difference is one key on which our books and the statement disagree.
type Difference struct {
	ID            evcs.DifferenceID
	Tenant        evcs.TenantID
	Batch         evcs.BatchID
	Day           string // of its batch
	Channel       string
	Key           string
	Kind          Kind
	State         State
	Direction     payment.Direction
	Merchant      payment.MerchantID
	Order         evcs.OrderID
	OrderNo       string
	Payment       evcs.PaymentID
	TradeNo       string
	RefundNo      string
	ChannelNo     string
	LocalAmount   *evcs.Money
	ChannelAmount *evcs.Money
	LocalFee      *evcs.Money
	ChannelFee    *evcs.Money
	LocalEnergy   *evcs.Energy // of the chargers' leg
	ChannelEnergy *evcs.Energy
	LocalStatus   string
	ChannelStatus string
	// LocalDone and ChannelDone say which side calls it succeeded.
	LocalDone, ChannelDone bool
	LocalAt, ChannelAt     time.Time
	Facets                 []string
	SuspendedUntil         string
	LocalRaw, ChannelRaw   string
	Resolution             *Resolution
	CreatedAt              time.Time
	UpdatedAt              time.Time
	Version                int64
}

// suspenseDays is how long a row that the statement lacks may still come.
const suspenseDays = 2

// begin gives a new difference its first state.
func (d *Difference) begin(now time.Time) {
	d.CreatedAt, d.UpdatedAt = now, now
	if d.State != "" {
		return // settled while it was found
	}
	d.State = Open
	switch {
	case d.Kind == LocalOnly, d.Kind == ChannelOnly && slices.Contains(d.Facets, FacetLater):
		d.State, d.SuspendedUntil = Suspended, After(d.Day, suspenseDays)
	case d.Kind == FeeMismatch && distance(*d.LocalFee, *d.ChannelFee) <= 1:
		d.auto("the channel's fee is taken", d.Day, now)
	case d.Kind == Duplicate && d.LocalStatus == statusReturned:
		d.auto("the payment goes back by itself", d.Day, now)
	}
}

// statusReturned is the status of a second payment of an order whose refund
// the cashier has begun.
const statusReturned = "RETURNED"

func distance(a, b evcs.Money) evcs.Money { return max(a-b, b-a) }

func (d *Difference) auto(effect, day string, now time.Time) {
	d.State, d.UpdatedAt = AutoResolved, now
	d.Resolution = &Resolution{Effect: effect, Day: day, CheckedAt: now}
}

// Unsettled reports whether somebody, or the next statement, has still to deal
// with it.
func (d *Difference) Unsettled() bool {
	return d.State == Open || d.State == Suspended || d.State == PendingReview
}

// Found ends the suspense: the statement, or our books, of a later day have the
// row.
func (d *Difference) Found(day string, now time.Time) {
	if d.Kind == ChannelOnly {
		d.auto("found in our books of "+day, day, now)
		return
	}
	d.auto("found in the statement of "+day, day, now)
}

// Deny ends the suspense at once: the channel was asked and denies the row.
func (d *Difference) Deny(word string, now time.Time) {
	d.State, d.SuspendedUntil, d.UpdatedAt = Open, "", now
	d.ChannelStatus = word
	d.Facets = append(d.Facets, FacetDenied)
}

// Expire opens a suspended difference when the statements of its days have come
// without it. It reports whether that was news.
func (d *Difference) Expire(day string, now time.Time) bool {
	if d.State != Suspended || day < d.SuspendedUntil {
		return false
	}
	d.State, d.UpdatedAt = Open, now
	return true
}

// Adopted takes what our books say after the channel was asked.
func (d *Difference) Adopted(l Local) {
	d.LocalDone, d.LocalStatus, d.LocalAt = l.Succeeded, l.Status, l.At
	d.LocalAmount = &l.Amount
}

// Settled ends a difference because asking the channel brought our books along.
func (d *Difference) Settled(now time.Time) {
	d.auto("the channel was asked and our books follow it", d.Day, now)
}

func (d *Difference) refuse() error {
	return evcs.With(ErrState, map[string]any{"differenceId": d.ID, "state": string(d.State)})
}

// Propose is the maker's part: what to do, and why.
func (d *Difference) Propose(a *evcs.Actor, action Action, reason string, now time.Time) error {
	if d.State != Open && d.State != Suspended {
		return d.refuse()
	}
	if (action == AdoptChannel || action == Refund) && d.Payment == 0 {
		return evcs.Invalid(errNoSubject)
	}
	if action == AdoptChannel && LegOf(d) == FacetCharger {
		return evcs.Invalid(errNotChannel)
	}
	if action == Refund && d.Direction != payment.Pay {
		return evcs.Invalid(errNotPayment)
	}
	if action == WriteOff && LegOf(d) != "" {
		return evcs.Invalid(errNotOurs)
	}
	d.State, d.UpdatedAt = PendingReview, now
	d.Resolution = &Resolution{Action: action, Reason: reason, Maker: a.User, MakerName: a.Name, MadeAt: now}
	return nil
}

// CheckReview refuses a review of what is not proposed (4015), and by its own
// maker (4016).
func (d *Difference) CheckReview(a *evcs.Actor) error {
	if d.State != PendingReview || d.Resolution == nil {
		return d.refuse()
	}
	if a.User == d.Resolution.Maker {
		return evcs.With(ErrChecker, map[string]any{"maker": d.Resolution.Maker})
	}
	return nil
}

// Approve is the checker's part. effect names what was done, day is the day
// whose proof it counts in.
func (d *Difference) Approve(a *evcs.Actor, note, effect, day string, now time.Time) error {
	if err := d.CheckReview(a); err != nil {
		return err
	}
	d.State, d.UpdatedAt = Resolved, now
	if d.Resolution.Action == WriteOff {
		d.State = WrittenOff
	}
	r := *d.Resolution
	r.Checker, r.CheckedAt, r.Note, r.Effect, r.Day = a.User, now, note, effect, day
	d.Resolution = &r
	return nil
}

// Reject sends the difference back to be dealt with otherwise.
func (d *Difference) Reject(a *evcs.Actor, note string, now time.Time) error {
	if err := d.CheckReview(a); err != nil {
		return err
	}
	d.State, d.UpdatedAt = Open, now
	r := *d.Resolution
	r.Checker, r.CheckedAt, r.Note = a.User, now, note
	d.Resolution = &r
	return nil
}

// LegOf is the facet that says which leg a difference is of; "" for the first.
func LegOf(d *Difference) string {
	for _, leg := range [...]string{FacetFundFlow, FacetBalance, FacetCharger} {
		if slices.Contains(d.Facets, leg) {
			return leg
		}
	}
	return ""
}

// gone reports whether it was dealt with and a later run did not find it.
func (d *Difference) gone() bool { return slices.Contains(d.Facets, FacetGone) }

// Undo takes back what a write-off posted about a difference that is gone; the
// amount is what is to be posted, zero for nothing.
func Undo(d *Difference, posting string) (amount evcs.Money) {
	if d.State != WrittenOff || !d.gone() || d.Resolution == nil || d.Resolution.Undone != "" {
		return 0
	}
	r := *d.Resolution
	r.Undone = posting
	d.Resolution = &r
	return d.gap()
}

// Gap is by how much our books say more than the channel about the key, as
// money that the channel holds. What is gone, and what is of another leg, has
// none.
func (d *Difference) Gap() evcs.Money {
	if d.gone() || LegOf(d) != "" {
		return 0
	}
	return d.gap()
}

func (d *Difference) gap() evcs.Money {
	gap := side(d.LocalAmount, d.LocalDone) - side(d.ChannelAmount, d.ChannelDone)
	if d.Direction == payment.RefundBack {
		return -gap
	}
	return gap
}

func side(amount *evcs.Money, done bool) evcs.Money {
	if amount == nil || !done {
		return 0
	}
	return *amount
}

// AgeDays is how many days the difference is old.
func (d *Difference) AgeDays(now time.Time) int64 {
	return max(0, int64(now.Sub(d.CreatedAt)/(24*time.Hour)))
}

// Merge brings the stored differences of a batch to what a run found: what is
// still there keeps its state, what is not any more and was not settled is
// SUPERSEDED, what is new begins. It returns what to insert and what to update.
func Merge(stored, found []Difference, now time.Time) (insert, update []*Difference) {
	type name struct {
		key  string
		kind Kind
	}
	old := make(map[name]*Difference, len(stored))
	for i := range stored {
		old[name{stored[i].Key, stored[i].Kind}] = &stored[i]
	}
	for i := range found {
		f := &found[i]
		o, ok := old[name{f.Key, f.Kind}]
		if !ok {
			f.begin(now)
			insert = append(insert, f)
			continue
		}
		delete(old, name{f.Key, f.Kind})
		update = append(update, o.again(f, now))
	}
	for i := range stored {
		d := &stored[i]
		switch {
		case old[name{d.Key, d.Kind}] != d:
		case d.outdated():
			d.State, d.UpdatedAt = Superseded, now
			update = append(update, d)
		case d.passed():
			d.Facets, d.UpdatedAt = append(d.Facets, FacetGone), now
			update = append(update, d)
		}
	}
	return insert, update
}

// outdated reports whether a difference that is not found any more has nothing
// left to say.
func (d *Difference) outdated() bool {
	return d.Unsettled() || d.State == AutoResolved && d.Kind == LocalOnly
}

// passed reports whether people dealt with a difference, within its day, that is
// not found any more: its money counts as it stands on both sides now, and not
// once more by what was decided.
func (d *Difference) passed() bool {
	return (d.State == Resolved || d.State == WrittenOff) && !d.gone() && d.Resolution != nil && d.Resolution.Day == d.Day
}

// again is a stored difference that a run found anew. One that was gone begins
// again.
func (d *Difference) again(f *Difference, now time.Time) *Difference {
	if d.gone() {
		d.State, d.Resolution = Superseded, nil
	}
	state, until, resolution, created := d.State, d.SuspendedUntil, d.Resolution, d.CreatedAt
	id, batch, version := d.ID, d.Batch, d.Version
	settled := f.State != "" && (state == Open || state == Suspended)
	*d = *f
	d.ID, d.Batch, d.Version = id, batch, version
	d.begin(now)
	d.CreatedAt = created
	if state != Superseded && !settled {
		d.State, d.SuspendedUntil, d.Resolution = state, until, resolution
	}
	return d
}

// keyOf names a row in the difference's words.
func keyOf(direction payment.Direction, m payment.MerchantID, no string) string {
	return fmt.Sprintf("%s/%d/%s", direction, m, no)
}
