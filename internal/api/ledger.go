package api

// LedgerBalance is what one account holds.
type LedgerBalance struct {
	Account string `json:"account"`
	Name    string `json:"name" doc:"The channel, or empty"`
	Debit   Money  `json:"debit"`
	Credit  Money  `json:"credit"`
	Net     Money  `json:"net" doc:"Debit less credit"`
}

// TrialBalance is all accounts of a tenant; it is balanced when both sums are
// equal.
type TrialBalance struct {
	Balanced    bool            `json:"balanced"`
	DebitTotal  Money           `json:"debitTotal"`
	CreditTotal Money           `json:"creditTotal"`
	Accounts    []LedgerBalance `json:"accounts"`
}

// LedgerEntry is one entry of the journal; its postings add up to zero.
type LedgerEntry struct {
	EntryID   int64           `json:"entryId"`
	Kind      string          `json:"kind"`
	Time      Time            `json:"time"`
	OrderID   *int64          `json:"orderId"`
	PaymentID *int64          `json:"paymentId"`
	RefundID  *int64          `json:"refundId"`
	Memo      *string         `json:"memo"`
	Sandbox   bool            `json:"sandbox"`
	Postings  []LedgerPosting `json:"postings"`
}

// LedgerPosting is one line of an entry: a debit positive, a credit negative.
type LedgerPosting struct {
	Account string `json:"account"`
	Name    string `json:"name"`
	Amount  Money  `json:"amount"`
}
