package order

import "github.com/evcs/evcs/internal/evcs"

// Filter narrows a list of orders; zero fields keep all. Times are
// milliseconds.
type Filter struct {
	Station   evcs.StationID
	Charger   evcs.ChargerID
	Connector int
	User      int64
	Statuses  []Status
	Session   string
	No        string // contains
	From, To  int64  // start
	PaidFrom  int64
	PaidTo    int64
	Held      *bool
	Anomaly   string
	City      string
}

// Listed is an order with the name of its tenant.
type Listed struct {
	*Order
	TenantName string
}

// CityFigures are the orders of one city.
type CityFigures struct {
	Province, City   string
	Orders, Stations int64
	Energy           evcs.Energy
	Amount, NetPaid  evcs.Money
}

// SessionFilter narrows a list of sessions; zero fields keep all. Times are
// milliseconds.
type SessionFilter struct {
	Station   evcs.StationID
	Charger   evcs.ChargerID
	Connector int
	User      int64
	States    []State
	Anomaly   string
	From, To  int64 // start
}

// ListedSession is a session with the number of its order.
type ListedSession struct {
	*Session
	OrderNo string
}
