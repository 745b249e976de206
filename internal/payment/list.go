package payment

import "github.com/evcs/evcs/internal/evcs"

// Filter narrows a list of payments; zero fields keep all. Times are
// milliseconds.
type Filter struct {
	Order            evcs.OrderID
	OrderNo          string // contains
	TradeNo          string // exact
	ChannelTradeNo   string // exact
	Methods          []string
	Channels         []string
	Statuses         []int
	From, To         int64 // creation
	PaidFrom, PaidTo int64
}

// RefundFilter narrows a list of refunds; zero fields keep all.
type RefundFilter struct {
	Order     evcs.OrderID
	TradeNo   string // exact
	Statuses  []int
	Approvals []string
	From, To  int64 // creation
}
