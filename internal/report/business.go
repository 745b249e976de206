package report

// Business are the figures of now that monitoring shows of the trade.
type Business struct {
	ActiveOrders, ActiveChargers  int64
	ActiveUsers, NewUsers         int64 // drivers of the period
	Held, Orphans, OpenDifference int64
}

// Outcomes count what was decided in a period. What is still under way counts
// nowhere.
type Outcomes struct {
	Starts, FailedStarts int64 // of orders that were not adopted
	Paid, FailedPayments int64
	Ended, EndedHeld     int64 // orders by their end
	Enabled, Offline     int64 // chargers, now
	Running              int64 // sessions, now
}

// Rate is a share in hundredths of a percent of what was tried; nil when
// nothing was.
func Rate(good, tried int64) *int64 {
	if tried <= 0 {
		return nil
	}
	r := Share(good, tried)
	return &r
}
