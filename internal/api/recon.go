package api

// The states of a reconciliation and of a difference.
const (
	ReconSuccess = "SUCCESS"
	ReconPartial = "PARTIAL"
	ReconFailed  = "FAILED"
	ReconRunning = "RUNNING"

	DifferenceOpen          = "OPEN"
	DifferenceSuspended     = "SUSPENDED"
	DifferenceAutoResolved  = "AUTO_RESOLVED"
	DifferencePendingReview = "PENDING_REVIEW"
	DifferenceResolved      = "RESOLVED"
	DifferenceWrittenOff    = "WRITTEN_OFF"
	DifferenceSuperseded    = "SUPERSEDED"
)

// RunDaily is the body of POST /api/reconciliation/daily/{channel}.
type RunDaily struct {
	Force    *Flag  `json:"force,omitempty"`
	DryRun   *Flag  `json:"dryRun,omitempty"`
	Wait     *int   `json:"wait,omitempty" minimum:"0" maximum:"600" doc:"Seconds; 60 when absent"`
	TenantID *int64 `json:"tenantId,omitempty" minimum:"1"`
}

// ExecuteRecon is the body of POST /api/reconciliation/execute.
type ExecuteRecon struct {
	ReconciliationDate Date   `json:"reconciliationDate"`
	Channel            string `json:"channel" enum:"alipay,wechat,sandbox"`
	RunDaily
}

// ReconResult is the outcome of a reconciliation, its batch at the same time.
type ReconResult struct {
	BatchID            int64          `json:"batchId"`
	RunNo              int            `json:"runNo"`
	TenantID           int64          `json:"tenantId"`
	ReconciliationDate Date           `json:"reconciliationDate"`
	Channel            string         `json:"channel"`
	Status             string         `json:"status" enum:"SUCCESS,PARTIAL,FAILED,RUNNING"`
	TotalCount         int64          `json:"totalCount"`
	MatchedCount       int64          `json:"matchedCount"`
	MismatchCount      *int64         `json:"mismatchCount"`
	SystemTotalAmount  Money          `json:"systemTotalAmount"`
	ChannelTotalAmount *Money         `json:"channelTotalAmount"`
	AmountDifference   *Money         `json:"amountDifference"`
	SuccessRate        *Percent       `json:"successRate"`
	Counts             ReconCounts    `json:"counts"`
	FeeTotal           *Money         `json:"feeTotal"`
	SuspenseIn         int64          `json:"suspenseIn"`
	SuspenseOut        int64          `json:"suspenseOut"`
	StatementSHA256    *string        `json:"statementSha256"`
	FailureCode        *int           `json:"failureCode"`
	FailureMessage     *string        `json:"failureMessage"`
	OpenDifferences    int64          `json:"openDifferences"`
	PendingReview      int64          `json:"pendingReview"`
	Closed             bool           `json:"closed"`
	DryRun             bool           `json:"dryRun"`
	StartedTime        Time           `json:"startedTime"`
	FinishedTime       *Time          `json:"finishedTime"`
	StatementProblems  []Problem      `json:"problems,omitzero" doc:"Only with 4012"`
	IgnoredCount       int64          `json:"ignoredCount" doc:"Lines of the statements that are neither payment nor refund"`
	Funds              *ReconFunds    `json:"funds" doc:"Did the money move; null without fund statements"`
	Chargers           *ReconChargers `json:"chargers" doc:"Our bills beside the chargers' own; null when no charger told one"`
}

// ReconChargers are the chargers' leg of a day: what we billed for energy beside
// what the chargers say themselves.
type ReconChargers struct {
	TotalCount     int64 `json:"totalCount" doc:"Orders paid over the channel of which the charger told its own bill; the later of payment and bill is in the day"`
	MatchedCount   int64 `json:"matchedCount" doc:"Within 0.01 kWh, and within 0.01 CNY in each kind of period"`
	EnergyMismatch int64 `json:"energyMismatchCount"`
	AmountMismatch int64 `json:"amountMismatchCount"`
	LocalAmount    Money `json:"localAmount" doc:"Ours for energy, electricity and service, where the charger told an amount"`
	ChargerAmount  Money `json:"chargerAmount"`
	LocalEnergy    KWh   `json:"localEnergy" doc:"Ours, where the charger told one"`
	ChargerEnergy  KWh   `json:"chargerEnergy"`
	UnlistedCount  int64 `json:"unlistedCount" doc:"Differences beyond the first 10000, which alone are listed"`
}

// ReconFunds are the second and third leg of a day: the trade statement beside
// what moved on the account, and that beside the journal.
type ReconFunds struct {
	StatementSHA256  string `json:"statementSha256"`
	MovementCount    int64  `json:"movementCount" doc:"Lines of the fund statements"`
	TotalCount       int64  `json:"totalCount" doc:"Numbers of the channel on either side"`
	MatchedCount     int64  `json:"matchedCount"`
	OpeningBalance   *Money `json:"openingBalance"`
	ClosingBalance   *Money `json:"closingBalance"`
	PaymentAmount    Money  `json:"paymentAmount"`
	RefundAmount     Money  `json:"refundAmount"`
	FeeAmount        Money  `json:"feeAmount"`
	OtherAmount      Money  `json:"otherAmount" doc:"Withdrawals, transfers and shares: came in less went out"`
	LedgerMovement   Money  `json:"ledgerMovement" doc:"What the journal moved on the clearing account"`
	ExplainedAmount  Money  `json:"explainedAmount" doc:"What listed differences and suspense explain"`
	UnexplainedDrift Money  `json:"unexplainedDrift" doc:"What nobody explains; other than zero it is a difference"`
}

// ReconCounts counts the differences of a run by kind.
type ReconCounts struct {
	LocalOnly      int64 `json:"LOCAL_ONLY"`
	ChannelOnly    int64 `json:"CHANNEL_ONLY"`
	AmountMismatch int64 `json:"AMOUNT_MISMATCH"`
	StatusMismatch int64 `json:"STATUS_MISMATCH"`
	Duplicate      int64 `json:"DUPLICATE"`
	FeeMismatch    int64 `json:"FEE_MISMATCH"`
	Suspense       int64 `json:"SUSPENSE"`
}

// Problem is one fault of a statement.
type Problem struct {
	Line    int64  `json:"line"`
	Message string `json:"message"`
}

// Statement is the answer to the upload of a channel's statement.
type Statement struct {
	StatementID   int64     `json:"statementId"`
	Channel       string    `json:"channel"`
	StatementDate Date      `json:"statementDate"`
	Kind          string    `json:"kind" enum:"TRADE,FUND"`
	SHA256        string    `json:"sha256"`
	Rows          int64     `json:"rows"`
	PayTotal      Money     `json:"payTotal"`
	RefundTotal   Money     `json:"refundTotal"`
	FeeTotal      Money     `json:"feeTotal"`
	Problems      []Problem `json:"problems"`
}

// ReopenBatch is the body of POST /api/reconciliation/batch/{batchId}/reopen.
type ReopenBatch = Reason

// Difference is one key on which our books and the statement disagree.
type Difference struct {
	DifferenceID   int64       `json:"differenceId"`
	BatchID        int64       `json:"batchId"`
	Kind           string      `json:"kind" enum:"LOCAL_ONLY,CHANNEL_ONLY,AMOUNT_MISMATCH,STATUS_MISMATCH,DUPLICATE,FEE_MISMATCH"`
	State          string      `json:"state" enum:"OPEN,SUSPENDED,AUTO_RESOLVED,PENDING_REVIEW,RESOLVED,WRITTEN_OFF,SUPERSEDED"`
	Direction      string      `json:"direction" enum:"PAY,REFUND"`
	MerchantID     *int64      `json:"merchantId"`
	OrderID        *int64      `json:"orderId"`
	OrderNo        *string     `json:"orderNo"`
	PaymentID      *int64      `json:"paymentId"`
	TradeNo        *string     `json:"tradeNo"`
	RefundNo       *string     `json:"refundNo"`
	ChannelTradeNo *string     `json:"channelTradeNo"`
	LocalAmount    *Money      `json:"localAmount"`
	ChannelAmount  *Money      `json:"channelAmount"`
	LocalFee       *Money      `json:"localFee"`
	ChannelFee     *Money      `json:"channelFee"`
	LocalEnergy    *KWh        `json:"localEnergy" doc:"Of a difference with a charger's own bill: what we billed"`
	ChannelEnergy  *KWh        `json:"channelEnergy" doc:"Likewise, what the charger says"`
	LocalStatus    *string     `json:"localStatus"`
	ChannelStatus  *string     `json:"channelStatus"`
	LocalTime      *Time       `json:"localTime"`
	ChannelTime    *Time       `json:"channelTime"`
	Facets         []string    `json:"facets"`
	SuspendedUntil *Date       `json:"suspendedUntil"`
	AgeDays        int64       `json:"ageDays"`
	Resolution     *Resolution `json:"resolution"`
	CreateTime     Time        `json:"createTime"`
	Version        int64       `json:"version"`
}

// DifferenceDetail is a difference with both raw sides.
type DifferenceDetail struct {
	Difference
	LocalRaw   *string `json:"localRaw"`
	ChannelRaw *string `json:"channelRaw"`
}

// Resolution is what was proposed for a difference, by whom, and who checked.
type Resolution struct {
	Action    string  `json:"action" enum:"ADOPT_CHANNEL,REFUND,EXPLAIN,WRITE_OFF"`
	Reason    string  `json:"reason"`
	Maker     *int64  `json:"maker"`
	MakerTime *Time   `json:"makerTime"`
	Checker   *int64  `json:"checker"`
	CheckTime *Time   `json:"checkTime"`
	Note      *string `json:"note"`
	Effect    *string `json:"effect" doc:"The payment, refund or posting it made"`
}

// ResolveDifference is the body of POST /api/reconciliation/difference/{differenceId}/resolve.
type ResolveDifference struct {
	Action  string `json:"action" enum:"ADOPT_CHANNEL,REFUND,EXPLAIN,WRITE_OFF"`
	Reason  string `json:"reason" minLength:"1" maxLength:"200"`
	Version *int64 `json:"version,omitempty" minimum:"0"`
}

// Proof is the arithmetic of a closed day, chained to the day before.
type Proof struct {
	BatchID            int64   `json:"batchId"`
	Channel            string  `json:"channel"`
	ReconciliationDate Date    `json:"reconciliationDate"`
	Opening            Money   `json:"opening"`
	Payments           Money   `json:"payments"`
	Refunds            Money   `json:"refunds"`
	Fees               Money   `json:"fees"`
	SuspenseIn         Money   `json:"suspenseIn"`
	SuspenseOut        Money   `json:"suspenseOut"`
	Adjustments        Money   `json:"adjustments"`
	Closing            Money   `json:"closing"`
	LedgerClosing      Money   `json:"ledgerClosing"`
	StatementSHA256    *string `json:"statementSha256"`
	StatementRows      int64   `json:"statementRows"`
	ClosedBy           *int64  `json:"closedBy"`
	ClosedTime         *Time   `json:"closedTime"`
	PreviousHash       *string `json:"previousHash"`
	Hash               string  `json:"hash"`
}

// StatementFaults seed the sandbox's statement of a day with what can be wrong
// with one; without any, the statement is right again.
type StatementFaults struct {
	Date      Date   `json:"date" doc:"The day of the statement, Asia/Shanghai"`
	Amount    *int   `json:"amount,omitempty" minimum:"0" maximum:"1000" doc:"Rows whose amount is 0.01 off"`
	Missing   *int   `json:"missing,omitempty" minimum:"0" maximum:"1000" doc:"Rows left out"`
	Extra     *int   `json:"extra,omitempty" minimum:"0" maximum:"1000" doc:"Rows that nobody knows"`
	Status    *int   `json:"status,omitempty" minimum:"0" maximum:"1000" doc:"Rows that did not succeed"`
	Duplicate *int   `json:"duplicate,omitempty" minimum:"0" maximum:"1000" doc:"Rows that come twice"`
	Fee       *int   `json:"fee,omitempty" minimum:"0" maximum:"1000" doc:"Rows whose fee is 1.00 off"`
	NotReady  *Flag  `json:"notReady,omitempty" doc:"There is no statement yet"`
	Broken    *Flag  `json:"broken,omitempty" doc:"The totals do not add up"`
	TenantID  *int64 `json:"tenantId,omitempty" minimum:"1"`
}
