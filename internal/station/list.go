package station

import "github.com/evcs/evcs/internal/evcs"

// StationFilter narrows a list of stations; zero fields narrow nothing.
type StationFilter struct {
	Name, Code, Keyword      string // contains
	Province, City, District string // exact
	Status                   []int
	Types                    []int
	ChargerTypes             []int // with a live charger of one of these types
	Available                bool  // with an enabled idle charger, of ChargerTypes if given
}

// StationRow is a station as lists show it.
type StationRow struct {
	Station
	TenantName string
	Counts     Counts
}

// ChargerFilter narrows a list of chargers; zero fields narrow nothing.
type ChargerFilter struct {
	Name, Code, Keyword string // contains
	Brand, ExactCode    string // exact
	Station             evcs.StationID
	Status, Types       []int
	Protocols           []string
	Enabled, Connected  *bool
	Simulated           *bool
	UnheardSince        int64 // not connected and not heard since; 0: any
	WithFault           bool  // a connector in fault
}

// ChargerRow is a charger as lists show it.
type ChargerRow struct {
	Charger
	StationCode, StationName string
	Connectors               int
	// The sum of power and current and the highest voltage and temperature of its
	// connectors, nil when none was measured.
	Power            *evcs.Power
	Voltage, Current *evcs.Milli
	Temperature      *evcs.Milli
}

// ConnectorRow is a connector with its running session, if any.
type ConnectorRow struct {
	Connector
	Session   *string
	Order     *evcs.OrderID
	OrderNo   *string
	User      *int64
	StartedAt int64
	Energy    *evcs.Energy
	Seconds   int64
}

// Census counts the live chargers and connectors of a scope.
type Census struct {
	Total, Enabled, Simulated, EnabledOnline int64
	ByStatus                                 [6]int64
	ByType                                   [4]int64
	Connectors                               [6]int64
}

// IDTagFilter narrows a list of id tags.
type IDTagFilter struct {
	Tag    string // contains
	User   int64
	Status []string
}

// ListedTag is an id tag as a charger's own list has it.
type ListedTag struct {
	IDTag
	Deleted bool
}

// Rejection is one refused device, with how often it tried.
type Rejection struct {
	ID       int64
	Tenant   evcs.TenantID // zero: no registered device
	DeviceID string
	Protocol string
	Address  string
	Reason   string
	Hint     string
	First    int64 // milliseconds
	Last     int64
	Count    int64
}

// FrameCount is how many raw messages of one kind there are.
type FrameCount struct {
	Protocol, Type string
	Count          int64
}

// FrameFilter narrows a list of frames; zero fields keep all.
type FrameFilter struct {
	Charger  evcs.ChargerID
	In, Out  bool // either alone keeps that direction
	Types    []string
	Session  string
	From, To int64 // milliseconds
}
