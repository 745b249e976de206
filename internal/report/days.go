package report

import (
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/tariff"
)

// DayOf is the first moment of the local day that a moment lies in.
func DayOf(at time.Time, zone *time.Location) time.Time {
	y, m, d := at.In(zone).Date()
	return dayStart(y, m, d, zone)
}

// MonthOf is the first moment of the local month that a moment lies in.
func MonthOf(at time.Time, zone *time.Location) time.Time {
	y, m, _ := at.In(zone).Date()
	return dayStart(y, m, 1, zone)
}

// dayStart is the first moment of a date. Where the clock jumps over midnight
// that is when it lands; where midnight comes twice, the first.
func dayStart(y int, m time.Month, d int, zone *time.Location) time.Time {
	noon := time.Date(y, m, d, 12, 0, 0, 0, zone)
	y, m, d = noon.Date() // 32 January is 1 February
	_, offset := noon.Zone()
	first := time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Add(-time.Duration(offset) * time.Second).In(zone)
	begin, _ := noon.ZoneBounds()
	if begin.IsZero() || !first.Before(begin) && !sameDate(begin.Add(-time.Nanosecond), y, m, d) {
		return first
	}
	// The clock changed in this morning, or right before it.
	_, offset = begin.Add(-time.Nanosecond).Zone()
	earlier := time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Add(-time.Duration(offset) * time.Second).In(zone)
	if earlier.Before(begin) {
		return earlier
	}
	return begin // midnight was jumped over
}

func sameDate(at time.Time, y int, m time.Month, d int) bool {
	ay, am, ad := at.Date()
	return ay == y && am == m && ad == d
}

// next is the first moment of the day behind a day.
func next(day time.Time) time.Time {
	y, m, d := day.Date()
	return dayStart(y, m, d+1, day.Location())
}

// Session is what the figures need of a session.
type Session struct {
	Begin, End time.Time // End: of a running session its last reading
	Energy     evcs.Energy
	// Running sessions occupy their connector beyond End.
	Running bool
}

// Days are the bounds of the local days that a session lies in.
func (s Session) Days(zone *time.Location) Bounds {
	last := s.End
	if last.Before(s.Begin) {
		last = s.Begin
	}
	bounds := Bounds{DayOf(s.Begin, zone)}
	for {
		end := next(bounds.Last())
		bounds = append(bounds, end)
		if last.Before(end) {
			return bounds
		}
	}
}

// Divide gives each period its part of the energy, along the readings of the
// session. What lies outside of all periods is left out.
func (s Session) Divide(b Bounds, readings []tariff.Point) []evcs.Energy {
	by := tariff.Curve{Start: s.Begin, Stop: s.End, Points: readings, Total: s.Energy}.Until(b)
	parts := make([]evcs.Energy, len(b)-1)
	for i := range parts {
		parts[i] = by[i+1] - by[i]
	}
	return parts
}

// Occupied is how long the session had its connector within [from, to).
func (s Session) Occupied(from, to time.Time) time.Duration {
	begin, end := s.Begin, s.End
	if begin.Before(from) {
		begin = from
	}
	if s.Running || end.After(to) {
		end = to
	}
	return max(end.Sub(begin), 0)
}

// Stretch is a run of whole local days or months.
type Stretch struct {
	Months   bool
	From, To time.Time
}

// Stretches are the whole months within [from, to), and the days before and
// behind them. Both ends begin a day of the zone.
func Stretches(from, to time.Time) []Stretch {
	zone := from.Location()
	first := MonthOf(from, zone)
	if first.Before(from) {
		first = nextMonth(first)
	}
	last := MonthOf(to, zone)
	if !first.Before(last) {
		return days(nil, from, to)
	}
	list := days(nil, from, first)
	list = append(list, Stretch{Months: true, From: first, To: last})
	return days(list, last, to)
}

func days(list []Stretch, from, to time.Time) []Stretch {
	if from.Before(to) {
		list = append(list, Stretch{From: from, To: to})
	}
	return list
}

func nextMonth(month time.Time) time.Time {
	y, m, _ := month.Date()
	return dayStart(y, m+1, 1, month.Location())
}
