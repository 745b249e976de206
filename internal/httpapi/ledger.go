package httpapi

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/closing"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/ledger"
)

// LedgerReader reads the journal; store.Ledger satisfies it.
type LedgerReader interface {
	ledger.Completeness
	TrialBalance(ctx context.Context, scope evcs.Scope, before time.Time) (ledger.Trial, error)
	EntriesOf(ctx context.Context, scope evcs.Scope, o evcs.OrderID) ([]ledger.Entry, error)
}

// LedgerLists reads lists of the journal; store.LedgerLists satisfies it.
type LedgerLists interface {
	Accounts(ctx context.Context, scope evcs.Scope, before time.Time, r evcs.PageRequest) (evcs.Page[ledger.AccountState], error)
	Statement(ctx context.Context, scope evcs.Scope, w ledger.StatementFilter, r evcs.PageRequest) (evcs.Page[ledger.Line], error)
	Turnover(ctx context.Context, scope evcs.Scope, w ledger.StatementFilter) (opening evcs.Money, b ledger.Balance, err error)
	EntryPage(ctx context.Context, scope evcs.Scope, w ledger.EntryFilter, r evcs.PageRequest) (evcs.Page[ledger.Entry], error)
}

// Ledger are the operations of the journal. It is written by what happens; a
// person books only what the platform cannot see.
type Ledger struct {
	Read    LedgerReader
	Lists   LedgerLists
	Journal ledger.Journal
	Books   *closing.Bookkeeper
	Orders  Orders
	Clock   evcs.Clock

	s *Server
}

// moment is the end of what a read covers.
type moment struct {
	Before Opt[api.Time] `query:"before" doc:"Entries before this moment; now when absent"`
}

// period is the part of a statement.
type period struct {
	StartTime Opt[api.Time] `query:"startTime"`
	EndTime   Opt[api.Time] `query:"endTime"`
}

type (
	accountsInput struct {
		Paging
		moment
	}
	// accountPath names an account.
	accountPath struct {
		Account string `path:"account" enum:"RECEIVABLE,CLEARING,BANK,REFUND_PAYABLE,SHARING_PAYABLE,SUSPENSE,REVENUE_ELECTRICITY,REVENUE_SERVICE,REVENUE_PARKING,REVENUE_IDLE,DISCOUNT,REVENUE_REFUNDED,REVENUE_SHARED,FEE,WRITE_OFF" doc:"The kind of the account"`
		Name    string `query:"name" maxLength:"64" doc:"The channel of CLEARING, the party of SHARING_PAYABLE; other accounts have none"`
	}
	turnoverInput struct {
		Target
		accountPath
		period
	}
	statementInput struct {
		Paging
		accountPath
		period
	}
	entriesInput struct {
		Paging
		period
		Kind    []string          `query:"kind" maxItems:"14" enum:"BILLED,REBILLED,DISCOUNTED,WAIVED,CAPTURED,REFUND_BEGUN,REFUND_FAILED,REFUNDED,FEES,WRITTEN_OFF,PAID_OUT,SHARED,SHARE_PAID,REVERSED"`
		OrderID Opt[evcs.OrderID] `query:"orderId" minimum:"1"`
	}
	verifyInput struct {
		daysInput
		Seal string `query:"seal" maxLength:"64" pattern:"^[0-9a-f]{64}$" doc:"A hash that was kept outside: it must be that of a seal"`
	}
	daysInput struct {
		Target
		StartDate Opt[api.Date] `query:"startDate"`
		EndDate   Opt[api.Date] `query:"endDate"`
	}
)

func (p Ledger) register(s *Server) {
	p.s = s
	const query evcs.Permission = "reconciliation:query"
	op := func(id, path, summary, description string) operation {
		return operation{
			ID: id, Method: http.MethodGet, Path: "/api/ledger" + path, Group: "reconciliation", Permission: query, Summary: summary, Description: description,
			Errors: []evcs.Code{evcs.CodeTenantNotFound},
		}
	}
	register(s, op("trialBalance", "/trial-balance", "All accounts of the tenant; both sides are equal", ""), p.trial)
	register(s, operation{
		ID: "orderEntries", Method: http.MethodGet, Path: "/api/ledger/order/{orderId}", Group: "reconciliation", Permission: query,
		Summary: "The journal entries of an order", Errors: []evcs.Code{evcs.CodeOrderNotFound},
	}, p.entries)
	accounts := op("listLedgerAccounts", "/account", "The accounts and what they hold", "An account is there from its first posting on.")
	accounts.Sorts = []string{"openedTime", "account"}
	registerList(s, accounts, p.accounts)
	register(s, op("accountTurnover", "/account/{account}", "What an account held at both ends of a period, and what moved between",
		"With tenantScope SELF_AND_DESCENDANTS the accounts of all these tenants are added up. An account that was never posted to holds 0.00."), p.turnover)
	statement := op("accountStatement", "/account/{account}/statement", "The statement of an account, each line with the balance behind it",
		"In the order of what happened (time), which is not always the order in which it was booked (bookedTime). balance counts everything before the line, the begin of the period notwithstanding. Without endTime it ends now.")
	statement.Sorts = []string{"time"}
	registerList(s, statement, p.statement)
	list := op("listLedgerEntries", "/entry", "The journal", "")
	list.Sorts = []string{"entryId", "time", "bookedTime"}
	registerList(s, list, p.journal)
	verify := op("verifyLedger", "/verify", "Read the journal again and compare it with its seals",
		"Every day that has ended is sealed, from 01:00 (Asia/Shanghai) on, by a hash over its entries and the seal before. Any entry that was changed, removed or slipped in since is "+
			"named, and any seal that was forged. Who owns the database could forge them all: a hash that was kept outside (seal) tells. Without days the whole journal is read; ten times a minute at most.")
	verify.Pace = paceExport
	register(s, verify, p.verify)
	complete := op("ledgerCompleteness", "/completeness", "Compare the journal with the orders, payments and refunds that it books",
		"Both ways: what happened and is not booked as it happened, and what is booked and did not happen. By default the last 35 days; at most 366.")
	complete.Pace = paceExport
	register(s, complete, p.complete)
	register(s, operation{
		ID: "bookMovement", Method: http.MethodPost, Path: "/api/ledger/movement", Group: "reconciliation", Permission: "reconciliation:resolve",
		Summary: "Book money that moved outside of the platform",
		Description: "A channel's pay-out to the bank, a party's share of revenue, the payment of a share. The same reference again answers with what is booked; with another amount it is refused. " +
			"A closed day of the channel does not change (4014).",
		Errors: []evcs.Code{evcs.CodeTenantNotFound, evcs.CodeBatchClosed},
	}, p.book)
	register(s, operation{
		ID: "reverseMovement", Method: http.MethodPost, Path: "/api/ledger/movement/reverse", Group: "reconciliation", Permission: "reconciliation:approve",
		Summary: "Take a booked movement back", Description: "By another entry, of now; both stay in the journal. Again it answers with the same entry.",
		Errors: []evcs.Code{evcs.CodeTenantNotFound, evcs.CodeBatchClosed},
	}, p.reverse)
}

// end is the moment that a read ends before.
func (p Ledger) end(a *evcs.Actor, at Opt[api.Time]) time.Time {
	if at.Set {
		return at.Value.In(a.Zone)
	}
	return p.Clock.Now().Add(time.Millisecond)
}

func (p Ledger) trial(ctx context.Context, a *evcs.Actor, in *struct {
	Target
	moment
},
) (*api.TrialBalance, error) {
	scope, err := in.Scope(ctx, a)
	if err != nil {
		return nil, err
	}
	t, err := p.Read.TrialBalance(ctx, scope, p.end(a, in.Before))
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

// labelOf is what finance calls an account, in the caller's language.
func labelOf(ctx context.Context, kind ledger.AccountKind) string {
	label := kind.Label()
	if x := exchangeOf(ctx); x != nil && x.english {
		return label.EN
	}
	return label.ZH
}

func (p Ledger) accounts(ctx context.Context, a *evcs.Actor, in *accountsInput, page evcs.PageRequest) (evcs.Page[api.LedgerAccount], error) {
	scope, err := in.Scope(ctx, a)
	if err != nil {
		return evcs.Page[api.LedgerAccount]{}, err
	}
	found, err := p.Lists.Accounts(ctx, scope, p.end(a, in.Before), page)
	return pageOf(found, func(s ledger.AccountState) api.LedgerAccount {
		return api.LedgerAccount{
			TenantID: int64(s.Tenant), Account: string(s.Account.Kind), Name: s.Account.Name, AccountName: labelOf(ctx, s.Account.Kind),
			Debit: api.Money(s.Debit), Credit: api.Money(s.Credit), Net: api.Money(s.Net()), OpenedTime: api.At(s.Opened),
		}
	}), err
}

func (p accountPath) account() ledger.Account {
	return ledger.Account{Kind: ledger.AccountKind(p.Account), Name: p.Name}
}

// filter is the statement's; the end is open.
func (w period) filter(a *evcs.Actor, account ledger.Account) ledger.StatementFilter {
	f := ledger.StatementFilter{Account: account}
	if w.StartTime.Set {
		f.From = w.StartTime.Value.In(a.Zone)
	}
	if w.EndTime.Set {
		f.To = w.EndTime.Value.In(a.Zone)
	}
	return f
}

func (p Ledger) turnover(ctx context.Context, a *evcs.Actor, in *turnoverInput) (*api.LedgerTurnover, error) {
	scope, err := in.Scope(ctx, a)
	if err != nil {
		return nil, err
	}
	f := in.filter(a, in.account())
	f.To = p.end(a, in.EndTime)
	opening, b, err := p.Lists.Turnover(ctx, scope, f)
	if err != nil {
		return nil, err
	}
	return &api.LedgerTurnover{
		Account: in.Account, Name: in.Name, AccountName: labelOf(ctx, f.Account.Kind), StartTime: api.AtOrNil(f.From), EndTime: api.At(f.To),
		Opening: api.Money(opening), Debit: api.Money(b.Debit), Credit: api.Money(b.Credit), Closing: api.Money(opening + b.Net()),
	}, nil
}

func (p Ledger) statement(ctx context.Context, a *evcs.Actor, in *statementInput, page evcs.PageRequest) (evcs.Page[api.LedgerLine], error) {
	scope, err := in.Scope(ctx, a)
	if err != nil {
		return evcs.Page[api.LedgerLine]{}, err
	}
	f := in.filter(a, in.account())
	f.To = p.end(a, in.EndTime)
	found, err := p.Lists.Statement(ctx, scope, f, page)
	return pageOf(found, statementLine), err
}

func statementLine(l ledger.Line) api.LedgerLine {
	e := l.Entry
	return api.LedgerLine{
		EntryID: e.ID, TenantID: int64(e.Tenant), Kind: string(e.Kind), Phase: string(e.Phase), Time: api.At(e.At), BookedTime: api.At(e.Booked),
		OrderID: idOrNil(e.Order), PaymentID: idOrNil(e.Payment), RefundID: idOrNil(e.Refund), Key: e.Key, RefersTo: textOrNil(e.Refers),
		Memo: textOrNil(e.Memo), Sandbox: e.Sandbox, Amount: api.Money(l.Amount), Balance: api.Money(l.Balance),
	}
}

func (p Ledger) journal(ctx context.Context, a *evcs.Actor, in *entriesInput, page evcs.PageRequest) (evcs.Page[api.LedgerEntry], error) {
	scope, err := in.Scope(ctx, a)
	if err != nil {
		return evcs.Page[api.LedgerEntry]{}, err
	}
	w := in.filter(a, ledger.Account{})
	found, err := p.Lists.EntryPage(ctx, scope, ledger.EntryFilter{Kinds: in.Kind, Order: in.OrderID.Or(0), From: w.From, To: w.To}, page)
	return pageOf(found, entryJSON), err
}

func entryJSON(e ledger.Entry) api.LedgerEntry {
	return api.LedgerEntry{
		EntryID: e.ID, TenantID: int64(e.Tenant), Kind: string(e.Kind), Key: e.Key, Phase: string(e.Phase), RefersTo: textOrNil(e.Refers), Time: api.At(e.At), Booked: api.At(e.Booked),
		OrderID: idOrNil(e.Order), PaymentID: idOrNil(e.Payment), RefundID: idOrNil(e.Refund),
		Memo: textOrNil(e.Memo), Sandbox: e.Sandbox, Postings: listOf(e.Postings, func(x ledger.Posting) api.LedgerPosting {
			return api.LedgerPosting{Account: string(x.Account.Kind), Name: x.Account.Name, Amount: api.Money(x.Amount)}
		}),
	}
}

func (p Ledger) verify(ctx context.Context, a *evcs.Actor, in *verifyInput) (*api.LedgerVerified, error) {
	scope, err := in.Scope(ctx, a)
	if err != nil {
		return nil, err
	}
	found, err := ledger.Verify(ctx, p.Journal, scope, ledger.Range{From: string(in.StartDate.Or("")), To: string(in.EndDate.Or(""))})
	if err != nil {
		return nil, err
	}
	out := &api.LedgerVerified{Valid: true, Tenants: listOf(found, checkedJSON)}
	for i := range found {
		out.Valid = out.Valid && found[i].Sound()
	}
	if in.Seal == "" {
		return out, nil
	}
	seals, err := p.Journal.Seals(ctx, scope, "", "")
	out.Seal = &in.Seal
	if i := slices.IndexFunc(seals, func(s ledger.Seal) bool { return s.Hash == in.Seal }); i >= 0 {
		out.SealDay = dateOrNil(seals[i].Day)
	}
	out.Valid = out.Valid && out.SealDay != nil
	return out, err
}

func checkedJSON(c ledger.Checked) api.LedgerChecked {
	return api.LedgerChecked{
		TenantID: int64(c.Tenant), Valid: c.Sound(), Seals: c.Seals, Entries: c.Entries, Open: c.Open, FirstDay: dateOrNil(c.First), LastDay: dateOrNil(c.Last),
		Hash: textOrNil(c.Hash), MoreExists: c.More, Problems: listOf(c.Problems, func(x ledger.Problem) api.LedgerProblem {
			return api.LedgerProblem{Defect: string(x.Defect), Day: dateOrNil(x.Day), EntryID: idOrNil(x.Entry)}
		}),
	}
}

const (
	gapDays    = 35
	gapDaysMax = 366
	gapsMost   = 1000
)

func (p Ledger) complete(ctx context.Context, a *evcs.Actor, in *daysInput) (*api.LedgerCompleteness, error) {
	scope, err := in.Scope(ctx, a)
	if err != nil {
		return nil, err
	}
	to := p.end(a, Opt[api.Time]{})
	from := to.AddDate(0, 0, -gapDays)
	if in.EndDate.Set {
		to = in.EndDate.Value.In(a.Zone).AddDate(0, 0, 1)
		from = to.AddDate(0, 0, -gapDays)
	}
	if in.StartDate.Set {
		from = in.StartDate.Value.In(a.Zone)
	}
	if !from.Before(to) || to.Sub(from) > gapDaysMax*24*time.Hour {
		return nil, evcs.Invalid(evcs.FieldFault{Field: "startDate", Message: "must be a day up to 366 days before endDate"})
	}
	gaps, err := p.Read.Gaps(ctx, scope, from, to, gapsMost)
	if err != nil {
		return nil, err
	}
	return &api.LedgerCompleteness{
		Complete: len(gaps) == 0, StartTime: api.At(from), EndTime: api.At(to), Gaps: listOf(gaps, func(g ledger.Gap) api.LedgerGap {
			return api.LedgerGap{TenantID: int64(g.Tenant), Subject: string(g.Subject), ID: g.ID, Name: g.Name, Expected: api.Money(g.Expected), Booked: api.Money(g.Booked)}
		}),
	}, nil
}

func (p Ledger) book(ctx context.Context, a *evcs.Actor, in *struct{ Body api.BookMovement }) (*api.LedgerEntry, error) {
	b := in.Body
	owner, err := p.s.createFor(ctx, a, b.TenantID)
	if err != nil {
		return nil, err
	}
	o := ledger.Outside{
		Tenant: owner, Kind: ledger.Kind(b.Kind), Channel: orZero(b.Channel), Party: orZero(b.Party), Reference: b.Reference, Amount: evcs.Money(b.Amount), Memo: orZero(b.Memo),
	}
	if b.Time != nil {
		o.At = b.Time.In(a.Zone)
	}
	return booked(p.Books.Book(ctx, a, o))
}

func (p Ledger) reverse(ctx context.Context, a *evcs.Actor, in *struct{ Body api.ReverseMovement }) (*api.LedgerEntry, error) {
	b := in.Body
	owner, err := p.s.createFor(ctx, a, b.TenantID)
	if err != nil {
		return nil, err
	}
	o := ledger.Outside{Tenant: owner, Kind: ledger.Kind(b.Kind), Channel: orZero(b.Channel), Party: orZero(b.Party), Reference: b.Reference}
	return booked(p.Books.Reverse(ctx, a, o, b.Reason))
}

func booked(e ledger.Entry, err error) (*api.LedgerEntry, error) {
	if err != nil {
		return nil, err
	}
	return api.Ptr(entryJSON(e)), nil
}
