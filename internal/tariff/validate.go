package tariff

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/evcs/evcs/internal/evcs"
)

// The grid of segments: boundaries lie on quarters of an hour.
const (
	day        = 24 * 60
	grid       = 15
	maxRaw     = 96
	maxEnabled = 16
	maxPushed  = 4 // price pairs a YKC charger can hold
)

// Draft is a segment as somebody wrote it: HH:mm texts already in minutes.
// An end at or before its start crosses midnight; 0 and 1440 as an end are
// midnight.
type Draft = Segment

// Normalize checks that drafts cover every slot of the day exactly once, splits
// what crosses midnight, and returns the segments in the order of the day. The
// error is 3010 with every fault, the first uncovered or doubled slot among
// them.
func Normalize(drafts []Draft) ([]Segment, error) {
	list, faults := normalize(drafts)
	if len(faults) > 0 {
		return nil, invalid(faults...)
	}
	return list, nil
}

func normalize(drafts []Draft) ([]Segment, []evcs.FieldFault) {
	if len(drafts) == 0 || len(drafts) > maxRaw {
		return nil, []evcs.FieldFault{{Field: "segments", Message: fmt.Sprintf("1 to %d segments are needed", maxRaw)}}
	}
	var faults []evcs.FieldFault
	var list []Segment
	for i, d := range drafts {
		if fault := judge(i, d); fault != nil {
			faults = append(faults, *fault)
			continue
		}
		list = append(list, split(d)...)
	}
	if len(faults) > 0 {
		return nil, faults
	}
	slices.SortStableFunc(list, func(a, b Segment) int { return cmp.Compare(a.From, b.From) })
	if fault := coverage(list); fault != nil {
		return nil, []evcs.FieldFault{*fault}
	}
	return list, nil
}

func invalid(faults ...evcs.FieldFault) error {
	zh, _ := faults[0].Chinese()
	detail := evcs.Detail{ZH: zh.Field + " " + zh.Message, EN: faults[0].Field + " " + faults[0].Message}
	return evcs.WithDetail(ErrSegments, detail, map[string]any{"errors": faults})
}

func judge(i int, d Draft) *evcs.FieldFault {
	field := fmt.Sprintf("segments[%d]", i)
	switch {
	case d.From < 0 || d.From >= day || d.To < 0 || d.To > day:
		return &evcs.FieldFault{Field: field, Message: "is not within the day"}
	case d.From%grid != 0 || d.To%grid != 0:
		return &evcs.FieldFault{Field: field, Message: "does not lie on the 15-minute grid"}
	case d.From == d.To && d.From != 0:
		return &evcs.FieldFault{Field: field, Message: "has no length"}
	case d.EnergyPrice < 0 || d.EnergyPrice > evcs.MaxUnitPrice || d.ServicePrice < 0 || d.ServicePrice > evcs.MaxUnitPrice:
		return &evcs.FieldFault{Field: field, Message: "prices are 0 to 100"}
	}
	switch d.Kind {
	case Sharp, Peak, Flat, Valley:
		return nil
	}
	return &evcs.FieldFault{Field: field + ".periodKind", Message: "is SHARP, PEAK, FLAT or VALLEY"}
}

// split cuts a segment at midnight.
func split(d Draft) []Segment {
	if d.To == 0 {
		d.To = day
	}
	if d.To > d.From {
		return []Segment{d}
	}
	late, early := d, d
	late.To, early.From = day, 0
	return []Segment{late, early}
}

// coverage names the first slot that is covered twice or not at all.
func coverage(list []Segment) *evcs.FieldFault {
	at := 0
	for _, s := range list {
		switch {
		case s.From > at:
			return &evcs.FieldFault{Field: "segments", Message: fmt.Sprintf("%s is not covered", HHMM(at))}
		case s.From < at:
			return &evcs.FieldFault{Field: "segments", Message: fmt.Sprintf("%s is covered twice", HHMM(s.From))}
		}
		at = s.To
	}
	if at < day {
		return &evcs.FieldFault{Field: "segments", Message: fmt.Sprintf("%s is not covered", HHMM(at))}
	}
	return nil
}

// HHMM writes a minute of the day; 1440 is 24:00.
func HHMM(minute int) string { return fmt.Sprintf("%02d:%02d", minute/60, minute%60) }

// GridMinutes is 30 when all boundaries fall on half hours, else 15.
func GridMinutes(list []Segment) int {
	for _, s := range list {
		if s.From%30 != 0 || s.To%30 != 0 {
			return 15
		}
	}
	return 30
}

// Pushable reports whether a YKC charger can hold the prices: a 30-minute grid
// and at most four pairs of prices.
func Pushable(list []Segment) bool {
	if GridMinutes(list) != 30 {
		return false
	}
	pairs := make(map[[2]evcs.UnitPrice]bool)
	for _, s := range list {
		pairs[[2]evcs.UnitPrice{s.EnergyPrice, s.ServicePrice}] = true
	}
	return len(pairs) <= maxPushed
}

// Fixed reports whether all prices are equal.
func Fixed(list []Segment) bool {
	for _, s := range list {
		if s.EnergyPrice != list[0].EnergyPrice || s.ServicePrice != list[0].ServicePrice {
			return false
		}
	}
	return true
}

// Slots is the kind of each slot of the day, on the segments' grid.
func Slots(list []Segment) []PeriodKind {
	step := GridMinutes(list)
	slots := make([]PeriodKind, 0, day/step)
	for _, s := range list {
		for at := s.From; at < s.To; at += step {
			slots = append(slots, s.Kind)
		}
	}
	return slots
}
