package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/ledger"
)

// LedgerReader reads the journal; store.Ledger satisfies it.
type LedgerReader interface {
	TrialBalance(ctx context.Context, scope evcs.Scope, before time.Time) (ledger.Trial, error)
	EntriesOf(ctx context.Context, scope evcs.Scope, o evcs.OrderID) ([]ledger.Entry, error)
}

// Ledger are the operations of the journal, which is written by what happens
// and never by hand.
type Ledger struct {
	Read   LedgerReader
	Orders Orders
	Clock  evcs.Clock
}

func (p Ledger) register(s *Server) {
	register(s, operation{
		ID: "trialBalance", Method: http.MethodGet, Path: "/api/ledger/trial-balance", Group: "reconciliation", Permission: "reconciliation:query",
		Summary: "All accounts of the tenant; both sides are equal",
	}, p.trial)
	register(s, operation{
		ID: "orderEntries", Method: http.MethodGet, Path: "/api/ledger/order/{orderId}", Group: "reconciliation", Permission: "reconciliation:query",
		Summary: "The journal entries of an order", Errors: []evcs.Code{evcs.CodeOrderNotFound},
	}, p.entries)
}

func (p Ledger) trial(ctx context.Context, a *evcs.Actor, in *struct {
	Target
	Before Opt[api.Time] `query:"before" doc:"Entries before this moment; now when absent"`
},
) (*api.TrialBalance, error) {
	scope, err := in.Scope(ctx, a)
	if err != nil {
		return nil, err
	}
	before := p.Clock.Now().Add(time.Millisecond)
	if in.Before.Set {
		before = in.Before.Value.In(a.Zone)
	}
	t, err := p.Read.TrialBalance(ctx, scope, before)
	if err != nil {
		return nil, err
	}
	debit, credit := t.Totals()
	return &api.TrialBalance{
		Balanced: t.Balanced(), DebitTotal: api.Money(debit), CreditTotal: api.Money(credit),
		Accounts: listOf(t, func(b ledger.Balance) api.LedgerBalance {
			return api.LedgerBalance{
				Account: string(b.Account.Kind), Name: b.Account.Name, Debit: api.Money(b.Debit), Credit: api.Money(b.Credit), Net: api.Money(b.Net()),
			}
		}),
	}, nil
}

func (p Ledger) entries(ctx context.Context, a *evcs.Actor, in *orderPath) (*[]api.LedgerEntry, error) {
	l, err := p.Orders.load(ctx, a, in.OrderID)
	if err != nil {
		return nil, err
	}
	list, err := p.Read.EntriesOf(ctx, evcs.Only(l.Order.Tenant), in.OrderID)
	return api.Ptr(listOf(list, entryJSON)), err
}

func entryJSON(e ledger.Entry) api.LedgerEntry {
	return api.LedgerEntry{
		EntryID: e.ID, Kind: string(e.Kind), Time: api.At(e.At), OrderID: idOrNil(e.Order), PaymentID: idOrNil(e.Payment), RefundID: idOrNil(e.Refund),
		Memo: textOrNil(e.Memo), Sandbox: e.Sandbox, Postings: listOf(e.Postings, func(x ledger.Posting) api.LedgerPosting {
			return api.LedgerPosting{Account: string(x.Account.Kind), Name: x.Account.Name, Amount: api.Money(x.Amount)}
		}),
	}
}
