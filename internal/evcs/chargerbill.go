package evcs

import "time"

// ChargerBill is what a charger says itself that a session delivered and cost,
// by the prices that it holds: energy only, no parking, no idle time, no
// discount. It changes no bill of ours; it is compared with it.
type ChargerBill struct {
	Energy *Energy // nil: not told
	Amount *Money  // likewise
	// Begun and Ended are by the charger's clock; zero: not told.
	Begun, Ended time.Time
	// Periods are its parts by the kind of period, when it tells them.
	Periods []ChargerPeriod
}

// ChargerPeriod is the part of a charger's bill in one kind of period: SHARP,
// PEAK, FLAT or VALLEY.
type ChargerPeriod struct {
	Kind   string `json:"kind"`
	Energy Energy `json:"energy"`
	Amount Money  `json:"amount"`
}

// MaxChargerAmount bounds what a charger can say that a session cost, in fen.
const MaxChargerAmount Money = 1_000_000_00
