package tariff

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

// Where the energy at a cut comes from.
const (
	CutStart   = "START"   // the session's begin: zero
	CutReading = "READING" // a reading of that moment
	CutBetween = "BETWEEN" // the straight line between two readings
	CutStop    = "STOP"    // the session's end: its total
)

// Cut is a moment at which pricing cuts the curve, and the energy since the
// start there.
type Cut struct {
	At            time.Time
	Energy        evcs.Energy
	How           string
	Before, After Point // of READING and BETWEEN: the neighbours
}

// Step is one line of a bill and why it is so.
type Step struct {
	Line Line
	// Of energy: the segment, the day of the wall clock and the class that chose
	// its calendar, the number of that calendar in the plan (-1: the plan's own
	// segments), and the cuts.
	Segment      Segment
	Date         string
	DayName      string // of a special day
	Class        DayClass
	Calendar     int
	Begins, Ends Cut
	// Arithmetic is the sums as they were done, in figures.
	Arithmetic []string
}

// Explanation is a bill with its reasons.
type Explanation struct {
	Bill    Bill
	Steps   []Step  // one per line
	Dropped []Point // readings below their predecessor or above the total
}

// Explain is Price, with why.
func Explain(s Snapshot, c Curve) (Explanation, error) {
	p := pricing{snapshot: &s, curve: c, explain: true}
	if err := p.run(); err != nil {
		return Explanation{}, err
	}
	return Explanation{p.bill, p.steps, p.dropped}, nil
}

// The decimals of energy in kWh and of prices.
const (
	energyDecimals = 4
	priceDecimals  = 5
)

// step words a line.
func (s *Snapshot) step(l Line, why cause) Step {
	x := Step{Line: l, Calendar: everyday}
	switch l.Kind {
	case KindEnergy:
		d := why.day
		x.Segment, x.Begins, x.Ends = why.segment, why.begins, why.ends
		x.Date = fmt.Sprintf("%04d-%02d-%02d", d.year, d.month, d.day)
		x.DayName, x.Class, x.Calendar = d.name, d.class, d.calendar
		x.Arithmetic = energySums(l, x.Begins, x.Ends)
	case KindStart:
		x.Arithmetic = []string{l.Amount.String()}
	case KindIdle:
		x.Arithmetic = []string{stay(l, why), product(fmt.Sprintf("%d min", l.Minutes), l.Minutes, l.MinutePrice, priceDecimals, why.before)}
		if l.Reason == ReasonCapped {
			x.Arithmetic = append(x.Arithmetic, fmt.Sprintf("%s > %s → %s", why.before, why.bound, l.Amount))
		}
	case KindParking:
		price := *s.Fees.ParkingHourPrice
		x.Arithmetic = []string{stay(l, why), fmt.Sprintf("%d min × %s ÷ 60 = %s", l.Minutes, price, l.Amount)}
	case KindMinimum, KindCap:
		x.Arithmetic = []string{fmt.Sprintf("%s − %s = %s", why.bound, why.before, signed(l.Amount))}
	}
	return x
}

// energySums are how the energy of a line was found, and its two prices.
func energySums(l Line, begins, ends Cut) []string {
	var sums []string
	for _, c := range []Cut{begins, ends} {
		if c.How == CutBetween {
			sums = append(sums, line(c))
		}
	}
	energy := l.Energy.String() + " kWh"
	return append(sums,
		fmt.Sprintf("%s − %s = %s", ends.Energy, begins.Energy, energy),
		product(energy, int64(l.Energy), l.EnergyPrice, energyDecimals+priceDecimals, l.Electricity),
		product(energy, int64(l.Energy), l.ServicePrice, energyDecimals+priceDecimals, l.Service))
}

// line is how a cut was found on the straight line between its neighbours.
func line(c Cut) string {
	part, span := c.At.Sub(c.Before.At).Milliseconds(), c.After.At.Sub(c.Before.At).Milliseconds()
	return fmt.Sprintf("%s + (%s − %s) × %s s ÷ %s s = %s", c.Before.Energy, c.After.Energy, c.Before.Energy, seconds(part), seconds(span), c.Energy)
}

func seconds(millis int64) string {
	return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%d.%03d", millis/1000, millis%1000), "0"), ".")
}

// stay is how begun minutes were counted.
func stay(l Line, why cause) string {
	return fmt.Sprintf("%d min − %d min = %d min", why.all, why.free, l.Minutes)
}

// product is amount × price, exact, and as it was rounded; what is too large to
// be shown exactly is left out.
func product(amount string, n int64, p evcs.UnitPrice, decimals int, rounded evcs.Money) string {
	whole := rounded.String()
	if p > 0 && n > math.MaxInt64/int64(p) {
		return fmt.Sprintf("%s × %s = %s", amount, p, whole)
	}
	if exact := exactly(n*int64(p), decimals); exact != whole {
		return fmt.Sprintf("%s × %s = %s → %s", amount, p, exact, whole)
	}
	return fmt.Sprintf("%s × %s = %s", amount, p, whole)
}

// exactly writes a number of units with at least two of its decimals.
func exactly(n int64, decimals int) string {
	text := fmt.Sprintf("%0*d", decimals+1, n)
	point := len(text) - decimals
	fraction := strings.TrimRight(text[point:], "0")
	for len(fraction) < 2 {
		fraction += "0"
	}
	return text[:point] + "." + fraction
}

// signed writes a negative amount with the sign of arithmetic.
func signed(m evcs.Money) string {
	if m < 0 {
		return "−" + (-m).String()
	}
	return m.String()
}
