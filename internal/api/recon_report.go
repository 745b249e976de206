package api

// ReconReport is all there is to know of a reconciled day, to sign it by.
type ReconReport struct {
	Batch       ReconResult    `json:"batch"`
	Kinds       []ReconKind    `json:"kinds" doc:"The differences by kind"`
	Differences []Difference   `json:"differences" doc:"The first 1000 by id; superseded ones are left out"`
	Listed      int64          `json:"differenceCount" doc:"How many differences there are, superseded ones left out"`
	Pool        ReconPool      `json:"pool"`
	Ledger      LedgerTurnover `json:"ledger" doc:"What our journal says the channel held when the day began and ended"`
	Trend       []ReconTrend   `json:"trend" doc:"The reconciled days of the channel up to this one, at most 30, oldest first"`
	Proof       *Proof         `json:"proof" doc:"Null while the day is not closed"`
	CreateTime  Time           `json:"createTime"`
}

// ReconKind is what differs in one way.
type ReconKind struct {
	Kind      string `json:"kind"`
	Count     int64  `json:"count"`
	Unsettled int64  `json:"unsettled" doc:"Open, suspended or waiting for a second person"`
	Gap       Money  `json:"gap" doc:"By how much our books say more than the channel, as money that the channel holds"`
}

// ReconPool is what waits in suspense.
type ReconPool struct {
	Count      int64 `json:"count"`
	Gap        Money `json:"gap" doc:"By how much our books say more than the channel"`
	OldestDays int64 `json:"oldestDays"`
}

// ReconTrend is one day of the channel before.
type ReconTrend struct {
	ReconciliationDate Date   `json:"reconciliationDate"`
	Status             string `json:"status"`
	TotalCount         int64  `json:"totalCount"`
	MatchedCount       int64  `json:"matchedCount"`
	OpenDifferences    int64  `json:"openDifferences"`
	Closed             bool   `json:"closed"`
}
