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
	TenantID  int64           `json:"tenantId"`
	Kind      string          `json:"kind"`
	Key       string          `json:"key" doc:"What it books; booked once"`
	Phase     string          `json:"phase" doc:"PENDING: a promise; POSTED: final; VOID: takes a promise back"`
	RefersTo  *string         `json:"refersTo" doc:"Key of the entry that this one settles, corrects or takes back"`
	Time      Time            `json:"time"`
	Booked    Time            `json:"bookedTime" doc:"When it came into the journal"`
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

// LedgerAccount is an account of a tenant and what it holds.
type LedgerAccount struct {
	TenantID    int64  `json:"tenantId"`
	Account     string `json:"account"`
	Name        string `json:"name" doc:"The channel or the party, or empty"`
	AccountName string `json:"accountName" doc:"What finance calls it, in the language of the answer"`
	Debit       Money  `json:"debit"`
	Credit      Money  `json:"credit"`
	Net         Money  `json:"net" doc:"Debit less credit"`
	OpenedTime  Time   `json:"openedTime" doc:"When it was posted to first"`
}

// LedgerTurnover is what an account held at both ends of a period, and what
// moved between.
type LedgerTurnover struct {
	Account     string `json:"account"`
	Name        string `json:"name" doc:"The channel or the party, or empty"`
	AccountName string `json:"accountName" doc:"What finance calls it, in the language of the answer"`
	StartTime   *Time  `json:"startTime" doc:"Begin of the period, included; null: from the beginning"`
	EndTime     Time   `json:"endTime" doc:"End of the period, excluded"`
	Opening     Money  `json:"opening" doc:"Debit less credit before the period"`
	Debit       Money  `json:"debit"`
	Credit      Money  `json:"credit"`
	Closing     Money  `json:"closing" doc:"opening + debit - credit"`
}

// LedgerLine is one line of an account's statement.
type LedgerLine struct {
	EntryID    int64   `json:"entryId"`
	TenantID   int64   `json:"tenantId"`
	Kind       string  `json:"kind"`
	Phase      string  `json:"phase"`
	Time       Time    `json:"time"`
	BookedTime Time    `json:"bookedTime"`
	OrderID    *int64  `json:"orderId"`
	PaymentID  *int64  `json:"paymentId"`
	RefundID   *int64  `json:"refundId"`
	Key        string  `json:"key"`
	RefersTo   *string `json:"refersTo"`
	Memo       *string `json:"memo"`
	Sandbox    bool    `json:"sandbox"`
	Amount     Money   `json:"amount" doc:"A debit positive, a credit negative"`
	Balance    Money   `json:"balance" doc:"Of the account behind this line"`
}

// LedgerProblem is one defect of a journal.
type LedgerProblem struct {
	Defect  string `json:"defect" doc:"CHANGED, REMOVED, ADDED: an entry since its day was sealed; BROKEN: a seal; UNBALANCED: an entry whose postings do not add up to zero"`
	Day     *Date  `json:"day" doc:"Of the seal; null behind the last one"`
	EntryID *int64 `json:"entryId" doc:"Null when it is the seal"`
}

// LedgerChecked is what was found of one tenant's journal.
type LedgerChecked struct {
	TenantID   int64           `json:"tenantId"`
	Valid      bool            `json:"valid"`
	Seals      int64           `json:"seals" doc:"Sealed days that were checked"`
	Entries    int64           `json:"entries" doc:"Entries in them"`
	Open       int64           `json:"openEntries" doc:"Entries that are not sealed yet"`
	FirstDay   *Date           `json:"firstDay"`
	LastDay    *Date           `json:"lastDay"`
	Hash       *string         `json:"hash" doc:"Of the newest seal that was checked: keep it outside, it proves all before it"`
	Problems   []LedgerProblem `json:"problems" doc:"At most 100"`
	MoreExists bool            `json:"moreProblems" doc:"There are more problems than are listed"`
}

// LedgerVerified is the outcome of a check of journals.
type LedgerVerified struct {
	Valid   bool            `json:"valid" doc:"No tenant has a problem, and the seal that was asked for is there"`
	Seal    *string         `json:"seal" doc:"The hash that was asked for"`
	SealDay *Date           `json:"sealDay" doc:"The day that it seals; null when no seal has it"`
	Tenants []LedgerChecked `json:"tenants"`
}

// LedgerGap is something that happened and is not booked as it happened, or
// the other way round.
type LedgerGap struct {
	TenantID int64  `json:"tenantId"`
	Subject  string `json:"subject" doc:"ORDER, PAYMENT, REFUND, or ENTRY: an entry that nothing stands behind"`
	ID       int64  `json:"subjectId"`
	Name     string `json:"subjectNo" doc:"Number of the order, payment or refund; key of the entry"`
	Expected Money  `json:"expected" doc:"What should be booked"`
	Booked   Money  `json:"booked" doc:"What is booked"`
}

// LedgerCompleteness is the outcome of a comparison of the journal with what it
// books.
type LedgerCompleteness struct {
	Complete  bool        `json:"complete"`
	StartTime Time        `json:"startTime"`
	EndTime   Time        `json:"endTime"`
	Gaps      []LedgerGap `json:"gaps" doc:"At most 1000"`
}

// BookMovement books money that moved outside of the platform.
type BookMovement struct {
	Kind      string  `json:"kind" enum:"PAID_OUT,SHARED,SHARE_PAID" doc:"PAID_OUT: a channel paid out to the bank; SHARED: a party has a share of revenue; SHARE_PAID: the channel paid the share"`
	Channel   *string `json:"channel,omitempty" enum:"alipay,wechat,sandbox,offline" doc:"Of PAID_OUT and SHARE_PAID"`
	Party     *string `json:"party,omitempty" maxLength:"64" doc:"Of SHARED and SHARE_PAID: who has the share"`
	Reference string  `json:"reference" minLength:"1" maxLength:"64" doc:"Number on the paper that says so; the same one again books nothing twice"`
	Amount    Money   `json:"amount"`
	Time      *Time   `json:"time,omitempty" doc:"When it happened; now when absent"`
	Memo      *string `json:"memo,omitempty" maxLength:"200"`
	TenantID  *int64  `json:"tenantId,omitempty" minimum:"1"`
}

// ReverseMovement takes a booked movement back by another entry.
type ReverseMovement struct {
	Kind      string  `json:"kind" enum:"PAID_OUT,SHARED,SHARE_PAID"`
	Channel   *string `json:"channel,omitempty" enum:"alipay,wechat,sandbox,offline" doc:"As it was booked"`
	Party     *string `json:"party,omitempty" maxLength:"64" doc:"As it was booked"`
	Reference string  `json:"reference" minLength:"1" maxLength:"64" doc:"As it was booked"`
	Reason    string  `json:"reason" minLength:"1" maxLength:"200"`
	TenantID  *int64  `json:"tenantId,omitempty" minimum:"1"`
}
