package tariff

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

// DayClass is a kind of day: one of the week, or a holiday.
type DayClass string

// The day classes.
const (
	Monday    DayClass = "MON"
	Tuesday   DayClass = "TUE"
	Wednesday DayClass = "WED"
	Thursday  DayClass = "THU"
	Friday    DayClass = "FRI"
	Saturday  DayClass = "SAT"
	Sunday    DayClass = "SUN"
	OnHoliday DayClass = "HOLIDAY"
)

// weekday is the class of a day that is nothing special.
func weekday(d time.Weekday) DayClass {
	return [...]DayClass{Sunday, Monday, Tuesday, Wednesday, Thursday, Friday, Saturday}[d]
}

func (d DayClass) known() bool {
	switch d {
	case Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday, OnHoliday:
		return true
	}
	return false
}

// Calendar is the segments of some classes of days, in the place of the plan's
// own.
type Calendar struct {
	Days     []DayClass
	Segments []Segment // sorted, covering the day exactly once
}

// Holiday is a day of a tenant that does not count as what the week says: a
// public holiday, or a Sunday that is worked like a Monday.
type Holiday struct {
	Date     string // 2026-10-01
	Name     string
	CountsAs DayClass
}

// MaxHolidays bounds the special days of a tenant: every frozen tariff with
// calendars holds them.
const MaxHolidays = 400

// NormalizeCalendars checks calendars and puts their days and segments in
// order. The error is 3010 with every fault of one calendar.
func NormalizeCalendars(drafts []Calendar) ([]Calendar, error) {
	if len(drafts) == 0 {
		return nil, nil
	}
	taken := make(map[DayClass]bool)
	list := make([]Calendar, 0, len(drafts))
	for i, d := range drafts {
		field := fmt.Sprintf("calendars[%d]", i)
		if len(d.Days) == 0 {
			return nil, invalid(evcs.FieldFault{Field: field + ".days", Message: "is empty"})
		}
		for _, day := range d.Days {
			switch {
			case !day.known():
				return nil, invalid(evcs.FieldFault{Field: field + ".days", Message: "is MON to SUN or HOLIDAY"})
			case taken[day]:
				return nil, invalid(evcs.FieldFault{Field: field + ".days", Message: fmt.Sprintf("%s is covered twice", day)})
			}
			taken[day] = true
		}
		segments, faults := normalize(d.Segments)
		if len(faults) > 0 {
			for j := range faults {
				faults[j].Field = field + "." + faults[j].Field
			}
			return nil, invalid(faults...)
		}
		days := slices.Clone(d.Days)
		slices.SortFunc(days, func(a, b DayClass) int { return cmp.Compare(place(a), place(b)) })
		list = append(list, Calendar{days, segments})
	}
	return list, nil
}

// place orders the week from Monday on, holidays last.
func place(d DayClass) int {
	return slices.Index([]DayClass{Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday, OnHoliday}, d)
}

func sameCalendars(a, b []Calendar) bool {
	return slices.EqualFunc(a, b, func(x, y Calendar) bool { return slices.Equal(x.Days, y.Days) && slices.Equal(x.Segments, y.Segments) })
}

// everyday is the number of the plan's own segments among its calendars.
const everyday = -1

// dayPrices are the segments of one day of the wall clock and why it has them.
type dayPrices struct {
	year     int
	month    time.Month
	day      int
	segments []Segment
	class    DayClass
	calendar int // everyday: the plan's own segments
	name     string
}

// on finds the segments of a day of the wall clock: a special day first counts
// as what the tenant says. A holiday of a plan without prices for holidays is
// priced as its day of the week.
func (s *Snapshot) on(local time.Time) dayPrices {
	d := dayPrices{segments: s.Segments, class: weekday(local.Weekday()), calendar: everyday}
	d.year, d.month, d.day = local.Date()
	if len(s.Calendars) == 0 {
		return d
	}
	if i, special := slices.BinarySearchFunc(s.Holidays, local.Format(time.DateOnly), func(h Holiday, date string) int {
		return strings.Compare(h.Date, date)
	}); special {
		d.name = s.Holidays[i].Name
		if s.take(&d, s.Holidays[i].CountsAs) {
			return d
		}
		if s.Holidays[i].CountsAs != OnHoliday {
			d.class = s.Holidays[i].CountsAs
			return d
		}
	}
	s.take(&d, d.class)
	return d
}

// take gives the day the calendar of a class; false when there is none.
func (s *Snapshot) take(d *dayPrices, class DayClass) bool {
	for i, c := range s.Calendars {
		if slices.Contains(c.Days, class) {
			d.segments, d.class, d.calendar = c.Segments, class, i
			return true
		}
	}
	return false
}

// holds reports whether a moment of the wall clock lies on the day.
func (d *dayPrices) holds(local time.Time) bool {
	year, month, day := local.Date()
	return day == d.day && month == d.month && year == d.year
}

// All is every segment of a plan, its calendars' too.
func All(segments []Segment, calendars []Calendar) []Segment {
	all := slices.Clone(segments)
	for _, c := range calendars {
		all = append(all, c.Segments...)
	}
	return all
}
