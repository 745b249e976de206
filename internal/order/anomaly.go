package order

import (
	"slices"
	"strings"
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

// Anomaly is something about a session that a person should know.
type Anomaly string

// The anomalies of contract §6.3. The first four hold the order.
const (
	EnergyImplausible Anomaly = "ENERGY_IMPLAUSIBLE"
	NoTariff          Anomaly = "NO_TARIFF"
	ClockAbsurd       Anomaly = "CLOCK_ABSURD"
	OrphanAdopted     Anomaly = "ORPHAN_ADOPTED"

	LateStop         Anomaly = "LATE_STOP"
	DurationMismatch Anomaly = "DURATION_MISMATCH"
	RecordMismatch   Anomaly = "RECORD_MISMATCH"
	DeviceBillDiff   Anomaly = "DEVICE_BILL_DIFF"
	Estimated        Anomaly = "ESTIMATED"
	IDTagRefused     Anomaly = "ID_TAG_REFUSED"
	QuotaExceeded    Anomaly = "QUOTA_EXCEEDED"
	Gap              Anomaly = "GAP"
)

// Holds reports whether the anomaly keeps an order from being billed.
func (a Anomaly) Holds() bool {
	return a == EnergyImplausible || a == NoTariff || a == ClockAbsurd || a == OrphanAdopted
}

// Anomalies is a set, in the order of their discovery.
type Anomalies []Anomaly

// With is the set and more, each once.
func (s Anomalies) With(more ...Anomaly) Anomalies {
	for _, a := range more {
		if !slices.Contains(s, a) {
			s = append(s[:len(s):len(s)], a)
		}
	}
	return s
}

// Without is the set without one.
func (s Anomalies) Without(a Anomaly) Anomalies {
	return slices.DeleteFunc(slices.Clone(s), func(x Anomaly) bool { return x == a })
}

// Has reports whether a is in the set.
func (s Anomalies) Has(a Anomaly) bool { return slices.Contains(s, a) }

// Hold reports whether any of the set holds an order.
func (s Anomalies) Hold() bool { return slices.ContainsFunc(s, Anomaly.Holds) }

// String is the comma list that the store keeps.
func (s Anomalies) String() string {
	words := make([]string, len(s))
	for i, a := range s {
		words[i] = string(a)
	}
	return strings.Join(words, ",")
}

// ParseAnomalies reads the comma list.
func ParseAnomalies(text string) Anomalies {
	if text == "" {
		return nil
	}
	var s Anomalies
	for word := range strings.SplitSeq(text, ",") {
		s = append(s, Anomaly(word))
	}
	return s
}

// The bounds of contract §6.3.
const (
	clockTolerance    = 24 * time.Hour
	durationTolerance = 2 * time.Minute
	recordTolerance   = evcs.KWh / 100
	gapTolerance      = 10 * time.Minute
	// rise is the least rise of a register that counts as charging.
	rise = evcs.KWh / 100
)

// Plausible is the moment that counts: the device's own when it is within a
// day of the platform's, else the platform's (absurd true). A device that says
// nothing is not absurd.
func Plausible(device, received time.Time) (at time.Time, absurd bool) {
	if device.IsZero() {
		return received, false
	}
	if off := device.Sub(received); off > clockTolerance || off < -clockTolerance {
		return received, true
	}
	return device.UTC().Truncate(time.Millisecond), false
}

// Deliverable is the most energy that a charger of this power can have
// delivered in d: power × d × 1.2 + 1 kWh. Without a known power nothing is
// too much.
func Deliverable(power evcs.Power, d time.Duration) evcs.Energy {
	if power <= 0 {
		return 1 << 62
	}
	return evcs.EnergyOver(power, max(d, 0))*6/5 + evcs.KWh
}

func absEnergy(e evcs.Energy) evcs.Energy { return max(e, -e) }
