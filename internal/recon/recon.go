// Package recon compares a day of our books with the statement of a channel:
// what is the same, what differs, what became of each difference, and the proof
// with which a day is closed. It moves no money. Its one invariant: every key
// of either side is counted once, as matched or in exactly one difference.
package recon

import (
	"context"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/payment"
)

// Status is how a run ended.
type Status string

// The statuses of a batch.
const (
	Running Status = "RUNNING"
	Success Status = "SUCCESS"
	Partial Status = "PARTIAL"
	Failed  Status = "FAILED"
)

// Verified reports whether a statement was there and verified.
func (s Status) Verified() bool { return s == Success || s == Partial }

// The refusals of reconciliation.
var (
	ErrInvalid    = evcs.NewError(evcs.CodeStatementInvalid, "the statement does not verify")
	ErrRunning    = evcs.NewError(evcs.CodeReconciliationRunning, "a run of the day is going on")
	ErrClosed     = evcs.NewError(evcs.CodeBatchClosed, "the day is closed")
	ErrState      = evcs.NewError(evcs.CodeDifferenceState, "the difference's state does not allow this")
	ErrChecker    = evcs.NewError(evcs.CodeCheckerRequired, "another person must do this")
	ErrNoBatch    = evcs.NewError(evcs.CodeBatchNotFound, "no such batch")
	ErrNoDiff     = evcs.NewError(evcs.CodeDifferenceNotFound, "no such difference")
	ErrBlocked    = evcs.NewError(evcs.CodeCloseBlocked, "the day cannot be closed")
	errNotNewest  = evcs.FieldFault{Field: "batchId", Message: "is not the newest closed day of the channel"}
	errNoSubject  = evcs.FieldFault{Field: "action", Message: "needs a payment or refund that is known here"}
	errNotOurs    = evcs.FieldFault{Field: "action", Message: "WRITE_OFF is for differences between our books and the trade statement"}
	errNotChannel = evcs.FieldFault{Field: "action", Message: "ADOPT_CHANNEL asks the channel, which knows nothing of what a charger says"}
	errNotPayment = evcs.FieldFault{Field: "action", Message: "REFUND is for payments only"}
)

// Local is one row of our books: a payment or a refund.
type Local struct {
	Direction payment.Direction
	Merchant  payment.MerchantID
	No        string // ours: the payment's number, or the refund's
	TradeNo   string
	ChannelNo string
	Amount    evcs.Money
	Status    string
	Succeeded bool
	At        time.Time // the channel's time; zero when it did not succeed
	Payment   evcs.PaymentID
	Order     evcs.OrderID
	OrderNo   string
	// Twice says that the payment settled nothing because its order had been
	// paid; Returned, that it is on its way back.
	Twice, Returned bool
}

// Account is a channel of a tenant, and since when.
type Account struct {
	Tenant  evcs.TenantID
	Channel string
	Since   time.Time
}

// Counts are the differences of a run by kind.
type Counts struct {
	LocalOnly, ChannelOnly, AmountMismatch, StatusMismatch, Duplicate, FeeMismatch int64
	// Suspense is how many of them wait in suspense.
	Suspense int64
}

// Total is how many keys differ.
func (c Counts) Total() int64 {
	return c.LocalOnly + c.ChannelOnly + c.AmountMismatch + c.StatusMismatch + c.Duplicate + c.FeeMismatch
}

// Figures are what a run counted.
type Figures struct {
	Status  Status
	Total   int64
	Matched int64
	System  evcs.Money // payments − refunds, ours
	// What the channel says; zero when there is no verified statement.
	Payments, Refunds, Fees evcs.Money
	Rows                    int64
	Counts                  Counts
	SuspenseIn, SuspenseOut int64
	// Booked is what was booked as fees of the day so far.
	Booked   evcs.Money
	Problems []payment.Problem `json:"problems,omitempty"`
	// Ignored counts lines of the statements that are neither payment nor refund.
	Ignored map[string]int `json:"ignored,omitempty"`
	// Funds are of the second and third leg; nil: there were no fund statements.
	Funds *FundFigures `json:"funds,omitempty"`
	// Claims are of the chargers' leg; nil: no charger told its own bill.
	Claims *ClaimFigures `json:"claims,omitempty"`
}

// Channel is what the statement adds up to.
func (f Figures) Channel() evcs.Money { return f.Payments - f.Refunds }

// Batch is the reconciliation of one channel and day of a tenant.
type Batch struct {
	ID              evcs.BatchID
	Tenant          evcs.TenantID
	Channel         string
	Day             string // yyyy-MM-dd in Asia/Shanghai
	RunNo           int64
	Status          Status
	Figures         Figures
	LocalDigest     string
	StatementSHA256 string
	FailureCode     evcs.Code
	FailureMessage  string
	StartedAt       time.Time
	FinishedAt      time.Time
	RunningUntil    time.Time // the lease of the run; zero: none
	Runner          string    // the node whose run has the lease
	ClosedAt        time.Time
	ClosedBy        evcs.UserID
	Proof           *Proof
	// OpenDifferences and PendingReview are counted when the batch is read.
	OpenDifferences, PendingReview int64
	Version                        int64
}

// Closed reports whether the day is closed.
func (b *Batch) Closed() bool { return !b.ClosedAt.IsZero() }

// CheckOpen refuses what a closed day does not allow (4014).
func (b *Batch) CheckOpen() error {
	if b.Closed() {
		return evcs.With(ErrClosed, map[string]any{"batchId": b.ID})
	}
	return nil
}

// Begin takes the lease of a run; one run at a time (4013), none of a closed
// day (4014).
func (b *Batch) Begin(runner string, now, until time.Time) error {
	if err := b.CheckOpen(); err != nil {
		return err
	}
	if b.RunningUntil.After(now) {
		return evcs.With(ErrRunning, map[string]any{"batchId": b.ID})
	}
	b.Status, b.StartedAt, b.RunningUntil, b.Runner = Running, now, until, runner
	return nil
}

// Same reports whether a run over this statement and these rows would find what
// the last one found.
func (b *Batch) Same(sha, digest string) bool {
	return b.Figures.Status.Verified() && b.StatementSHA256 == sha && b.LocalDigest == digest
}

// Release gives the lease back without a run: the last outcome stands.
func (b *Batch) Release() {
	b.Status, b.RunningUntil, b.Runner = b.Figures.Status, time.Time{}, ""
}

// Interrupt gives the lease of a run back that will not end. A day without an
// earlier outcome has failed.
func (b *Batch) Interrupt() {
	if b.Figures.Status == "" {
		b.Figures.Status, b.FailureMessage = Failed, "the run was interrupted"
	}
	b.Release()
}

// Finish records the outcome of a run.
func (b *Batch) Finish(f Figures, sha, digest string, now time.Time) {
	b.Status, b.Figures = f.Status, f
	b.StatementSHA256, b.LocalDigest = sha, digest
	b.FailureCode, b.FailureMessage = 0, ""
	b.RunNo++
	b.FinishedAt, b.RunningUntil, b.Runner = now, time.Time{}, ""
}

// Fail records a run without a verified statement.
func (b *Batch) Fail(f Figures, code evcs.Code, message, sha string, now time.Time) {
	f.Status, f.Booked = Failed, b.Figures.Booked
	b.Finish(f, sha, "", now)
	b.FailureCode, b.FailureMessage = code, message
}

// Shown is the status for readers: a run whose lease ended without an outcome
// was interrupted, and the last outcome stands.
func (b *Batch) Shown(now time.Time) Status {
	if b.Status != Running || b.RunningUntil.After(now) {
		return b.Status
	}
	if b.Figures.Status != "" {
		return b.Figures.Status
	}
	return Failed
}

// Bounds are the first moment of a day and of the next, in the zone of
// statements. ok is false for a text that is no day.
func Bounds(day string) (from, to time.Time, ok bool) {
	from, to, err := payment.StatementDay(day)
	return from.UTC(), to.UTC(), err == nil
}

// DayOf is the day of a moment in the zone of statements.
func DayOf(at time.Time) string { return at.In(payment.StatementZone()).Format(time.DateOnly) }

// After is the day n days after a day.
func After(day string, n int) string {
	from, _, _ := Bounds(day)
	return DayOf(from.AddDate(0, 0, n))
}

// Statement is a channel's file that is kept as evidence.
type Statement struct {
	ID       int64
	Tenant   evcs.TenantID
	Channel  string
	Merchant payment.MerchantID
	Day      string
	Kind     string
	SHA256   string // of the text; of an archive that of the archive
	Summary  payment.Summary
	// File names the pieces in which the content lies, packed; Size is its length.
	File      string
	Size      int64
	CreatedAt time.Time
}

// BatchFilter narrows a list of batches; zero fields keep all.
type BatchFilter struct {
	Channel  string
	Statuses []string
	From, To string // days, both included
	Closed   *bool
}

// DifferenceFilter narrows a list of differences; zero fields keep all.
type DifferenceFilter struct {
	Batch         evcs.BatchID
	Channel       string
	Kinds, States []string
	Order         evcs.OrderID
	TradeNo       string
	CreatedUntil  time.Time
}

// The kinds of statements: two that people hand in, and what the channel gave
// of both.
const (
	KindTrade       = "TRADE"
	KindFund        = "FUND"
	KindFetched     = "FETCHED"
	KindFundFetched = "FUND_FETCHED"
)

// Store keeps batches, differences and statements. Update methods compare the
// version (evcs.ErrStale) and raise it in the struct; Insert methods fill in
// the id; an insert that meets a unique index is stale.
type Store interface {
	Batches
	Differences
	Statements
}

// Batches are the days.
type Batches interface {
	Batch(ctx context.Context, scope evcs.Scope, id evcs.BatchID) (Batch, error)
	// BatchOf finds the batch of a channel and day; ErrNoBatch.
	BatchOf(ctx context.Context, scope evcs.Scope, channel, day string) (Batch, error)
	InsertBatch(ctx context.Context, b *Batch) error
	UpdateBatch(ctx context.Context, scope evcs.Scope, b *Batch) error
	// LeasedTo lists the batches of all tenants whose lease a node has.
	LeasedTo(ctx context.Context, runner string) ([]Batch, error)
	// Around tells what stands before and after a day of a channel.
	Around(ctx context.Context, scope evcs.Scope, channel, day string) (Around, error)
}

// Around is the neighbourhood of a day.
type Around struct {
	Before      *Proof // of the newest closed day before; nil: none
	OpenBefore  string // a reconciled day before that is not closed; "" none
	ClosedAfter bool
}

// Differences are the differences of all batches.
type Differences interface {
	Difference(ctx context.Context, scope evcs.Scope, id evcs.DifferenceID) (Difference, error)
	// DifferencesOf lists the differences of a batch by id.
	DifferencesOf(ctx context.Context, scope evcs.Scope, b evcs.BatchID) ([]Difference, error)
	// Suspense lists the differences of a channel's days before a day that wait
	// for the other side's next days, and are not settled or were since a moment:
	// LOCAL_ONLY ones, and CHANNEL_ONLY ones that are ours of a later day.
	Suspense(ctx context.Context, scope evcs.Scope, channel, before string, since time.Time) ([]Difference, error)
	InsertDifference(ctx context.Context, d *Difference) error
	UpdateDifference(ctx context.Context, scope evcs.Scope, d *Difference) error
}

// Statements are kept files.
type Statements interface {
	// KeepPiece stores a piece of a file, which no statement may ever name.
	KeepPiece(ctx context.Context, scope evcs.Scope, p Piece) error
	// KeepStatement stores what a file is, once per account, day, kind and
	// content. The id is that of the row that is kept; when there was one, the
	// pieces of this file are removed.
	KeepStatement(ctx context.Context, s *Statement) error
	// DropPieces removes up to n pieces from before a moment that no statement
	// names, of every tenant, and returns how many.
	DropPieces(ctx context.Context, before time.Time, n int) (int, error)
}

// Piece is a part of a packed file; its pieces are numbered from 0.
type Piece struct {
	File string
	No   int
	At   time.Time
	Body []byte
}
