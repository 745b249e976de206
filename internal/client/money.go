package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/evcs/evcs/internal/api"
)

// Sessions is what devices did.
type Sessions struct{ w *wire }

// List reads a page of sessions.
func (s Sessions) List(ctx context.Context, q Query) (api.Page[api.Session], error) {
	return page[api.Session](ctx, s.w, "/api/session", q)
}

// Get reads one session.
func (s Sessions) Get(ctx context.Context, id string) (api.Session, error) {
	return get[api.Session](ctx, s.w, at("/api/session/%s", id), nil)
}

// Curve reads the readings of a session.
func (s Sessions) Curve(ctx context.Context, id string, q Query) (api.Curve, error) {
	return get[api.Curve](ctx, s.w, at("/api/session/%s/curve", id), q)
}

// Adopt makes an order of an orphan session.
func (s Sessions) Adopt(ctx context.Context, id string, body api.AdoptSession) (api.Order, error) {
	return post[api.Order](ctx, s.w, at("/api/session/%s/adopt", id), body)
}

// Close ends a session whose device is gone.
func (s Sessions) Close(ctx context.Context, id string, body api.CloseSession) (api.Order, error) {
	return post[api.Order](ctx, s.w, at("/api/session/%s/close", id), body)
}

// Orders is what is owed.
type Orders struct{ w *wire }

// List reads a page of orders.
func (o Orders) List(ctx context.Context, q Query) (api.Page[api.Order], error) {
	return page[api.Order](ctx, o.w, "/api/order", q)
}

// Get reads one order with its lines.
func (o Orders) Get(ctx context.Context, id int64) (api.Order, error) {
	return get[api.Order](ctx, o.w, at("/api/order/%s", id), nil)
}

// Start starts a session by an order.
func (o Orders) Start(ctx context.Context, body api.StartOrder) (api.OrderResult, error) {
	return post[api.OrderResult](ctx, o.w, "/api/order/start", body)
}

// Stop stops the session of an order.
func (o Orders) Stop(ctx context.Context, body api.StopOrder) (api.OrderResult, error) {
	return post[api.OrderResult](ctx, o.w, "/api/order/stop", body)
}

// ToPay releases an order for payment.
func (o Orders) ToPay(ctx context.Context, id int64) (api.Order, error) {
	return post[api.Order](ctx, o.w, at("/api/order/%s/to-pay", id), nil)
}

// Paid records that an order was paid outside.
func (o Orders) Paid(ctx context.Context, id int64, body api.MarkPaid) (api.Order, error) {
	return post[api.Order](ctx, o.w, at("/api/order/%s/paid", id), body)
}

// Cancel cancels an order.
func (o Orders) Cancel(ctx context.Context, id int64, body api.CancelOrder) (api.Order, error) {
	return post[api.Order](ctx, o.w, at("/api/order/%s/cancel", id), body)
}

// Refunded confirms the pay-out of a refund made outside.
func (o Orders) Refunded(ctx context.Context, id int64, body api.ConfirmRefund) (api.Order, error) {
	return post[api.Order](ctx, o.w, at("/api/order/%s/refunded", id), body)
}

// Timeline reads the life of an order.
func (o Orders) Timeline(ctx context.Context, id int64) ([]api.TimelineEntry, error) {
	return get[[]api.TimelineEntry](ctx, o.w, at("/api/order/%s/timeline", id), nil)
}

// Adjust gives a discount.
func (o Orders) Adjust(ctx context.Context, id int64, body api.AdjustOrder) (api.Order, error) {
	return post[api.Order](ctx, o.w, at("/api/order/%s/adjust", id), body)
}

// Reprice prices a held order by another plan.
func (o Orders) Reprice(ctx context.Context, id int64, body api.RepriceOrder) (api.RepricedOrder, error) {
	return post[api.RepricedOrder](ctx, o.w, at("/api/order/%s/reprice", id), body)
}

// BySession reads the order of a session.
func (o Orders) BySession(ctx context.Context, session string) (api.Order, error) {
	return get[api.Order](ctx, o.w, "/api/order/by-session", Query{"sessionId": session})
}

// Plans is billing plans.
type Plans struct{ w *wire }

// List reads a page of plans.
func (p Plans) List(ctx context.Context, q Query) (api.Page[api.Plan], error) {
	return page[api.Plan](ctx, p.w, "/api/billing/plan", q)
}

// Get reads one plan with its segments.
func (p Plans) Get(ctx context.Context, id int64) (api.Plan, error) {
	return get[api.Plan](ctx, p.w, at("/api/billing/plan/%s", id), nil)
}

// Create makes a plan.
func (p Plans) Create(ctx context.Context, body api.CreatePlan) (api.Plan, error) {
	return post[api.Plan](ctx, p.w, "/api/billing/plan", body)
}

// Update changes a plan.
func (p Plans) Update(ctx context.Context, id int64, body api.UpdatePlan) (api.Plan, error) {
	return put[api.Plan](ctx, p.w, at("/api/billing/plan/%s", id), body)
}

// Delete removes a plan nobody uses.
func (p Plans) Delete(ctx context.Context, id int64) error {
	return remove(ctx, p.w, at("/api/billing/plan/%s", id))
}

// MakeDefault marks a plan as the default.
func (p Plans) MakeDefault(ctx context.Context, id int64) (api.Plan, error) {
	return post[api.Plan](ctx, p.w, at("/api/billing/plan/%s/default", id), nil)
}

// Clone copies a plan.
func (p Plans) Clone(ctx context.Context, id int64, body api.ClonePlan) (api.Plan, error) {
	return post[api.Plan](ctx, p.w, at("/api/billing/plan/%s/clone", id), body)
}

// Assign gives a plan to chargers.
func (p Plans) Assign(ctx context.Context, id int64, body api.AssignPlan) (api.PlanAssigned, error) {
	return post[api.PlanAssigned](ctx, p.w, at("/api/billing/plan/%s/assign", id), body)
}

// Validate checks segments without storing them.
func (p Plans) Validate(ctx context.Context, body api.ValidatePlan) (api.PlanValidity, error) {
	return postOnce[api.PlanValidity](ctx, p.w, "/api/billing/plan/validate", body)
}

// Quote prices energy without an order.
func (p Plans) Quote(ctx context.Context, id int64, body api.QuoteRequest) (api.Quote, error) {
	return postOnce[api.Quote](ctx, p.w, at("/api/billing/plan/%s/quote", id), body)
}

// Effective says which plan a charger would bill by.
func (p Plans) Effective(ctx context.Context, q Query) (api.EffectivePlan, error) {
	return get[api.EffectivePlan](ctx, p.w, "/api/billing/effective", q)
}

// Snapshot reads the frozen prices that an order was billed by.
func (p Plans) Snapshot(ctx context.Context, id int64) (api.Snapshot, error) {
	return get[api.Snapshot](ctx, p.w, at("/api/billing/snapshot/%s", id), nil)
}

// Payments is payments and refunds.
type Payments struct{ w *wire }

// List reads a page of payments.
func (p Payments) List(ctx context.Context, q Query) (api.Page[api.Payment], error) {
	return page[api.Payment](ctx, p.w, "/api/payment", q)
}

// Get reads one payment with its refunds and events.
func (p Payments) Get(ctx context.Context, id int64) (api.PaymentDetail, error) {
	return get[api.PaymentDetail](ctx, p.w, at("/api/payment/%s", id), nil)
}

// Create collects an order. The caller's IdempotentKey, when given, is the key
// of the call, so that a later repeat resumes the same payment.
func (p Payments) Create(ctx context.Context, body api.CreatePayment) (api.Payment, error) {
	return keyed[api.Payment](ctx, p.w, "/api/payment/create", body, body.IdempotentKey)
}

// Query reads a payment by its trade number, asking the channel when due.
func (p Payments) Query(ctx context.Context, tradeNo string, q Query) (api.QueriedPayment, error) {
	return get[api.QueriedPayment](ctx, p.w, at("/api/payment/query/%s", tradeNo), q)
}

// Close closes an unpaid payment.
func (p Payments) Close(ctx context.Context, tradeNo string) (api.Payment, error) {
	return post[api.Payment](ctx, p.w, at("/api/payment/%s/close", tradeNo), nil)
}

// SandboxPay pays a payment of the sandbox channel.
func (p Payments) SandboxPay(ctx context.Context, tradeNo string, body api.SandboxPay) (api.Payment, error) {
	return post[api.Payment](ctx, p.w, at("/api/payment/sandbox/%s/pay", tradeNo), body)
}

// Refund gives money back.
func (p Payments) Refund(ctx context.Context, body api.CreateRefund) (api.Refund, error) {
	return keyed[api.Refund](ctx, p.w, "/api/payment/refund", body, body.IdempotentKey)
}

// Refunds reads a page of refunds.
func (p Payments) Refunds(ctx context.Context, q Query) (api.Page[api.Refund], error) {
	return page[api.Refund](ctx, p.w, "/api/payment/refund", q)
}

// GetRefund reads one refund, asking the channel while it is processing.
func (p Payments) GetRefund(ctx context.Context, refundNo string) (api.Refund, error) {
	return get[api.Refund](ctx, p.w, at("/api/payment/refund/%s", refundNo), nil)
}

// RefundOrder gives back what an order was paid, in whole or in part, through
// whatever it was paid by.
func (p Payments) RefundOrder(ctx context.Context, order int64, body api.RefundOrder) (api.Order, error) {
	return post[api.Order](ctx, p.w, at("/api/order/%s/refunding", order), body)
}

// SeedFaults says what is wrong with the sandbox's statement of a day.
func (p Payments) SeedFaults(ctx context.Context, body api.StatementFaults) (api.StatementFaults, error) {
	return put[api.StatementFaults](ctx, p.w, "/api/payment/sandbox/statement-faults", body)
}

func keyed[T any](ctx context.Context, w *wire, path string, body any, key *string) (T, error) {
	c := call{method: http.MethodPost, path: path, body: body, key: NewKey()}
	if key != nil {
		c.key = *key
	}
	return send[T](ctx, w, c)
}

// Recon is the reconciliation of days.
type Recon struct{ w *wire }

// Execute reconciles one day of a channel.
func (r Recon) Execute(ctx context.Context, body api.ExecuteRecon) (api.ReconResult, error) {
	return post[api.ReconResult](ctx, r.w, "/api/reconciliation/execute", body)
}

// Daily reconciles yesterday of a channel.
func (r Recon) Daily(ctx context.Context, channel string, body api.RunDaily) (api.ReconResult, error) {
	return post[api.ReconResult](ctx, r.w, at("/api/reconciliation/daily/%s", channel), body)
}

// Upload hands in a channel's statement. The fields are those of the contract.
// The file is read again from its start when the token had to be renewed.
func (r Recon) Upload(ctx context.Context, fields map[string]string, name string, file io.ReadSeeker) (api.Statement, error) {
	token := r.w.current()
	statement, err := r.upload(ctx, token, fields, name, file)
	var refused *Error
	if !errors.As(err, &refused) || refused.Code != api.CodeTokenExpired {
		return statement, err
	}
	renewed, renewErr := r.w.renew(ctx, token)
	if renewErr != nil {
		return statement, renewErr
	}
	if renewed == "" {
		return statement, err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return statement, fmt.Errorf("upload %s again: %w", name, err)
	}
	return r.upload(ctx, renewed, fields, name, file)
}

func (r Recon) upload(ctx context.Context, token string, fields map[string]string, name string, file io.Reader) (api.Statement, error) {
	const path = "/api/reconciliation/statement"
	response, err := r.w.http.R().SetContext(ctx).SetAuthToken(token).SetFormData(fields).SetFileReader("file", name, file).Post(path)
	if err != nil {
		return api.Statement{}, lost(ctx, http.MethodPost, path, err)
	}
	if response.StatusCode() != http.StatusOK {
		return api.Statement{}, refusal(response.StatusCode(), response.Body(), response.Header())
	}
	return data[api.Statement](response.Body())
}

// Batches reads a page of batches.
func (r Recon) Batches(ctx context.Context, q Query) (api.Page[api.ReconResult], error) {
	return page[api.ReconResult](ctx, r.w, "/api/reconciliation/batch", q)
}

// Batch reads one batch.
func (r Recon) Batch(ctx context.Context, id int64) (api.ReconResult, error) {
	return get[api.ReconResult](ctx, r.w, at("/api/reconciliation/batch/%s", id), nil)
}

// Close closes a day and returns its proof.
func (r Recon) Close(ctx context.Context, id int64, body api.Note) (api.Proof, error) {
	return post[api.Proof](ctx, r.w, at("/api/reconciliation/batch/%s/close", id), body)
}

// Reopen opens a closed day again.
func (r Recon) Reopen(ctx context.Context, id int64, body api.ReopenBatch) (api.ReconResult, error) {
	return post[api.ReconResult](ctx, r.w, at("/api/reconciliation/batch/%s/reopen", id), body)
}

// Proof reads the proof of a batch.
func (r Recon) Proof(ctx context.Context, id int64) (api.Proof, error) {
	return get[api.Proof](ctx, r.w, at("/api/reconciliation/batch/%s/proof", id), nil)
}

// Report reads the report of a batch.
func (r Recon) Report(ctx context.Context, id int64) (api.ReconReport, error) {
	return get[api.ReconReport](ctx, r.w, at("/api/reconciliation/batch/%s/report", id), nil)
}

// ReportCSV writes the report of a batch as one table. An error means that what
// was written is not whole.
func (r Recon) ReportCSV(ctx context.Context, id int64, out io.Writer) error {
	return r.w.stream(ctx, at("/api/reconciliation/batch/%s/report/csv", id), nil, "text/csv", copyWhole("report", out))
}

// ReportPage writes the report of a batch as a page to print, in the language of
// the client.
func (r Recon) ReportPage(ctx context.Context, id int64, out io.Writer) error {
	return r.w.stream(ctx, at("/api/reconciliation/batch/%s/report/html", id), nil, "text/html", func(body io.Reader) error {
		if _, err := io.Copy(out, body); err != nil {
			return fmt.Errorf("report: %w: %w", ErrUnreachable, err)
		}
		return nil
	})
}

// Differences reads a page of differences.
func (r Recon) Differences(ctx context.Context, q Query) (api.Page[api.Difference], error) {
	return page[api.Difference](ctx, r.w, "/api/reconciliation/difference", q)
}

// Difference reads one difference with both raw sides.
func (r Recon) Difference(ctx context.Context, id int64) (api.DifferenceDetail, error) {
	return get[api.DifferenceDetail](ctx, r.w, at("/api/reconciliation/difference/%s", id), nil)
}

// Resolve proposes what to do about a difference.
func (r Recon) Resolve(ctx context.Context, id int64, body api.ResolveDifference) (api.Difference, error) {
	return post[api.Difference](ctx, r.w, at("/api/reconciliation/difference/%s/resolve", id), body)
}

// Approve accepts a proposal, by another person than its maker.
func (r Recon) Approve(ctx context.Context, id int64, body api.Note) (api.Difference, error) {
	return post[api.Difference](ctx, r.w, at("/api/reconciliation/difference/%s/approve", id), body)
}

// Reject turns a proposal down.
func (r Recon) Reject(ctx context.Context, id int64, body api.Note) (api.Difference, error) {
	return post[api.Difference](ctx, r.w, at("/api/reconciliation/difference/%s/reject", id), body)
}

// Ledger is the journal of money.
type Ledger struct{ w *wire }

// TrialBalance reads all accounts of a scope.
func (l Ledger) TrialBalance(ctx context.Context, q Query) (api.TrialBalance, error) {
	return get[api.TrialBalance](ctx, l.w, "/api/ledger/trial-balance", l.w.scoped(q))
}

// OfOrder reads the entries of an order, oldest first.
func (l Ledger) OfOrder(ctx context.Context, order int64) ([]api.LedgerEntry, error) {
	return get[[]api.LedgerEntry](ctx, l.w, at("/api/ledger/order/%s", order), nil)
}

// Accounts reads a page of accounts and what they hold.
func (l Ledger) Accounts(ctx context.Context, q Query) (api.Page[api.LedgerAccount], error) {
	return page[api.LedgerAccount](ctx, l.w, "/api/ledger/account", q)
}

// Turnover reads what an account held at both ends of a period.
func (l Ledger) Turnover(ctx context.Context, account string, q Query) (api.LedgerTurnover, error) {
	return get[api.LedgerTurnover](ctx, l.w, at("/api/ledger/account/%s", account), l.w.scoped(q))
}

// Statement reads a page of an account's statement.
func (l Ledger) Statement(ctx context.Context, account string, q Query) (api.Page[api.LedgerLine], error) {
	return page[api.LedgerLine](ctx, l.w, at("/api/ledger/account/%s/statement", account), q)
}

// Entries reads a page of the journal.
func (l Ledger) Entries(ctx context.Context, q Query) (api.Page[api.LedgerEntry], error) {
	return page[api.LedgerEntry](ctx, l.w, "/api/ledger/entry", q)
}

// Verify compares the journal with its seals.
func (l Ledger) Verify(ctx context.Context, q Query) (api.LedgerVerified, error) {
	return get[api.LedgerVerified](ctx, l.w, "/api/ledger/verify", l.w.scoped(q))
}

// Completeness compares the journal with what it books.
func (l Ledger) Completeness(ctx context.Context, q Query) (api.LedgerCompleteness, error) {
	return get[api.LedgerCompleteness](ctx, l.w, "/api/ledger/completeness", l.w.scoped(q))
}

// Book books money that moved outside of the platform.
func (l Ledger) Book(ctx context.Context, body api.BookMovement) (api.LedgerEntry, error) {
	return post[api.LedgerEntry](ctx, l.w, "/api/ledger/movement", body)
}

// Reverse takes a booked movement back.
func (l Ledger) Reverse(ctx context.Context, body api.ReverseMovement) (api.LedgerEntry, error) {
	return post[api.LedgerEntry](ctx, l.w, "/api/ledger/movement/reverse", body)
}

// Exports is whole lists as CSV.
type Exports struct{ w *wire }

// Save writes an export to out as it arrives. An error means that what was
// written is not whole.
func (e Exports) Save(ctx context.Context, what string, q Query, out io.Writer) error {
	return e.w.stream(ctx, at("/api/export/%s", what), e.w.scoped(q), "text/csv", copyWhole("export "+what, out))
}

// copyWhole copies a table as it arrives and sees that it has its last line.
func copyWhole(what string, out io.Writer) func(io.Reader) error {
	return func(body io.Reader) error {
		tail := &lastLine{to: out}
		if _, err := io.Copy(tail, body); err != nil {
			return fmt.Errorf("%s: %w: %w", what, ErrUnreachable, err)
		}
		if !strings.HasPrefix(string(tail.line), "#rows,") {
			return fmt.Errorf("%s: %w", what, ErrBroken)
		}
		return nil
	}
}

// ErrBroken says that an export ended before its last row.
var ErrBroken = errors.New("the export broke off: it lacks the line that counts its rows")

// lastLine passes everything on and keeps the last line that is not empty.
type lastLine struct {
	to   io.Writer
	line []byte
	full bool // the line is ended: the next byte begins another
}

const lastLineMax = 64

func (l *lastLine) Write(p []byte) (int, error) {
	for _, b := range p {
		switch b {
		case '\r':
		case '\n':
			l.full = true
		default:
			if l.full {
				l.line, l.full = l.line[:0], false
			}
			if len(l.line) < lastLineMax {
				l.line = append(l.line, b)
			}
		}
	}
	return l.to.Write(p)
}
