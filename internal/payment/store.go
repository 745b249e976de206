package payment

import (
	"context"
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

// Store keeps payments, refunds, merchant accounts and the inbox. Update
// methods compare the version (evcs.ErrStale) and raise it in the struct;
// Insert methods fill in the id; an insert that meets a unique index is stale.
type Store interface {
	Books
	Accounts
	Inbox
	Work
	Requests
}

// Requests find what a caller's idempotency key made; zero when nothing.
type Requests interface {
	PaymentOf(ctx context.Context, scope evcs.Scope, key string) (evcs.PaymentID, error)
	// RefundOf answers the refund's number.
	RefundOf(ctx context.Context, scope evcs.Scope, key string) (string, error)
}

// ErrLive is 3013: the order has a payment that may still be paid.
var ErrLive = evcs.NewError(evcs.CodeOrderHasPayment, "the order has a live payment")

// CheckNoLive refuses (3013) when a payment of the order may still be paid. The
// order is read before and written after it: a payment that begins in between
// moves the order's version.
func CheckNoLive(ctx context.Context, s Books, scope evcs.Scope, o evcs.OrderID) error {
	list, err := s.OfOrder(ctx, scope, o)
	if err != nil {
		return err
	}
	for _, p := range list {
		if p.Status.Live() {
			return evcs.With(ErrLive, map[string]any{"tradeNo": p.TradeNo})
		}
	}
	return nil
}

// Books are the payments and refunds.
type Books interface {
	Insert(ctx context.Context, scope evcs.Scope, p *Payment) error
	Update(ctx context.Context, scope evcs.Scope, p *Payment) error
	Payment(ctx context.Context, scope evcs.Scope, id evcs.PaymentID) (Payment, error)
	ByTrade(ctx context.Context, scope evcs.Scope, tradeNo string) (Payment, error)
	// OfOrder lists the payments of an order, oldest first.
	OfOrder(ctx context.Context, scope evcs.Scope, o evcs.OrderID) ([]Payment, error)
	InsertRefund(ctx context.Context, scope evcs.Scope, r *Refund) error
	UpdateRefund(ctx context.Context, scope evcs.Scope, r *Refund) error
	Refund(ctx context.Context, scope evcs.Scope, refundNo string) (Refund, error)
	// Refunds lists the refunds of a payment, oldest first.
	Refunds(ctx context.Context, scope evcs.Scope, p evcs.PaymentID) ([]Refund, error)
	Note(ctx context.Context, scope evcs.Scope, e Event) error
}

// Accounts are the merchant accounts. A deleted one is not found. The methods
// without a scope serve callbacks, which belong to no tenant yet.
type Accounts interface {
	Merchant(ctx context.Context, scope evcs.Scope, id MerchantID) (Merchant, error)
	// EnabledMerchant is the account for new payments; ErrNotConfigured.
	EnabledMerchant(ctx context.Context, scope evcs.Scope, channel string) (Merchant, error)
	// HoldMerchant is Merchant, or EnabledMerchant when id is 0, for a
	// transaction that begins a payment or a refund: nobody writes the account
	// before it ends, and it must not do so itself.
	HoldMerchant(ctx context.Context, scope evcs.Scope, channel string, id MerchantID) (Merchant, error)
	MerchantByToken(ctx context.Context, channel, token string) (Merchant, error)
	// MerchantsByHint are up to n accounts that a notification may be about.
	MerchantsByHint(ctx context.Context, channel, hint string, n int) ([]Merchant, error)
	// InsertMerchant and UpdateMerchant write the account's hints too.
	InsertMerchant(ctx context.Context, scope evcs.Scope, m *Merchant) error
	UpdateMerchant(ctx context.Context, scope evcs.Scope, m *Merchant) error
	CountMerchants(ctx context.Context, scope evcs.Scope, channel string) (int, error)
	// MerchantUse tells how many payments of an account may still change by
	// themselves, and whether it ever had one. It holds until the end of a
	// transaction that has written the account before.
	MerchantUse(ctx context.Context, scope evcs.Scope, id MerchantID) (unfinished int64, used bool, err error)
}

// Inbox keeps what channels notify.
type Inbox interface {
	// Keep stores a callback once per event id and account and reports whether
	// it was new; when it was not, it fills in the outcome it had.
	Keep(ctx context.Context, scope evcs.Scope, c *Callback) (bool, error)
	// Settle records what became of a kept callback.
	Settle(ctx context.Context, scope evcs.Scope, c Callback) error
	// Unverified counts the kept callbacks of an account that did not verify.
	Unverified(ctx context.Context, scope evcs.Scope, m MerchantID, since time.Time) (int, error)
}

// Claim is by whom, when and until when due work is taken.
type Claim struct {
	Node       string // "" for a program that is alone
	Now, Until time.Time
	Most       int
}

// Work is what is due, whosever it is. A claimed row is due again at
// Claim.Until unless it was written before.
type Work interface {
	// ClaimPayments takes payments whose query is due, so that no other node does.
	ClaimPayments(ctx context.Context, c Claim) ([]Payment, error)
	// ClaimRefunds does the same for refunds.
	ClaimRefunds(ctx context.Context, c Claim) ([]Refund, error)
	// Free makes due at once what other nodes claimed that were not heard since
	// a moment.
	Free(ctx context.Context, c Claim, heard time.Time) (int64, error)
	// FreeOwn makes due at once what this node claimed, in an earlier life.
	FreeOwn(ctx context.Context, c Claim) (int64, error)
}

// Callback is a notification in the inbox: raw, once per event.
type Callback struct {
	ID         int64
	Tenant     evcs.TenantID
	Channel    string
	Merchant   MerchantID
	EventID    string
	ReceivedAt time.Time
	Header     string
	Body       []byte
	Outcome    string
	TradeNo    string
}

// SandboxTrade is a row of the sandbox channel's own books: what the pretended
// bank knows of a payment or a refund.
type SandboxTrade struct {
	Number    string // ours
	Tenant    evcs.TenantID
	Refund    bool
	Parent    string // of a refund: the payment's number
	ChannelNo string
	Amount    evcs.Money
	State     TradeState
	Outcome   string
	NotifyAt  time.Time // zero: nothing to notify
	Notified  int
	DoneAt    time.Time
	CreatedAt time.Time
	Version   int64
}

// SandboxBooks keep the sandbox channel's trades.
type SandboxBooks interface {
	InsertTrade(ctx context.Context, scope evcs.Scope, t *SandboxTrade) error
	UpdateTrade(ctx context.Context, scope evcs.Scope, t *SandboxTrade) error
	Trade(ctx context.Context, scope evcs.Scope, number string) (SandboxTrade, error)
	// RefundsOf lists the refunds of a payment's number.
	RefundsOf(ctx context.Context, scope evcs.Scope, number string) ([]SandboxTrade, error)
	// TradesDone lists what was paid or refunded in [from, to), by number.
	TradesDone(ctx context.Context, scope evcs.Scope, from, to time.Time) ([]SandboxTrade, error)
	// TradesDue lists up to n trades with a notification due, whoever's.
	TradesDue(ctx context.Context, now time.Time, n int) ([]SandboxTrade, error)
}
