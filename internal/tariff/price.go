package tariff

import (
	"errors"
	"math/bits"
	"slices"
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

// riseStep is the least rise of the register that counts as charging, for idle
// time (contract §8.4).
const riseStep = evcs.KWh / 100

// errUncovered means that a snapshot's segments do not cover the day, which
// Freeze does not let happen.
var errUncovered = errors.New("the snapshot's segments do not cover the day")

// Price is the one pricing function (contract §8.4), in integers only:
//
//  1. readings are ordered by time and falling ones dropped;
//  2. the session is cut at every segment boundary of the station's wall clock;
//     the energy at a cut lies on the straight line between its neighbours,
//     rounded half up to 0.1 Wh, so that the pieces add up to the total exactly;
//  3. each piece with energy is one line, each price rounded half up to the fen;
//     the day's calendar says which segments hold;
//  4. the start fee, idle time and parking are lines of their own;
//  5. what is missing to the minimum is a line, what exceeds the maximum a
//     negative one;
//  6. totals are sums of lines.
//
// A stop before the start counts as at the start.
func Price(s Snapshot, c Curve) (Bill, error) {
	p := pricing{snapshot: &s, curve: c}
	err := p.run()
	return p.bill, err
}

// pricing is one run of Price.
type pricing struct {
	snapshot *Snapshot
	curve    Curve
	points   []Point // ordered
	bill     Bill
	explain  bool
	steps    []Step  // one per line, of an explained run
	dropped  []Point // falling readings, of an explained run
}

// cause is what made a line.
type cause struct {
	segment       Segment
	day           dayPrices
	begins, ends  Cut
	all, free     int64      // minutes
	before, bound evcs.Money // of what was capped, and by what
}

func (p *pricing) run() error {
	if p.curve.Stop.Before(p.curve.Start) {
		p.curve.Stop = p.curve.Start
	}
	p.order()
	p.bill.Lines = make([]Line, 0, p.expected())
	p.start()
	if err := p.energy(); err != nil {
		p.bill = Bill{}
		return err
	}
	p.idle()
	p.parking()
	p.bound()
	return nil
}

// expected is about how many lines the bill will have.
func (p *pricing) expected() int {
	const few, longest = 4, 2 * day
	minutes := min(int64(p.curve.Stop.Sub(p.curve.Start)/time.Minute), longest)
	return few + int(minutes)*(len(p.snapshot.Segments)+1)/day
}

// add appends a line, counts it, and explains it.
func (p *pricing) add(l Line, why cause) {
	b := &p.bill
	b.Lines = append(b.Lines, l)
	b.Amount += l.Amount
	switch l.Kind {
	case KindEnergy, KindStart, KindMinimum:
		b.Electricity += l.Electricity
		b.Service += l.Service
	case KindIdle:
		b.Idle += l.Amount
	case KindParking:
		b.Parking += l.Amount
	case KindCap:
		b.Discount -= l.Amount
	}
	if p.explain {
		p.steps = append(p.steps, p.snapshot.step(l, why))
	}
}

// whole is a line about the whole session.
func (p *pricing) whole(kind string) Line {
	return Line{Kind: kind, From: p.curve.Start.UTC(), To: p.curve.Stop.UTC()}
}

// order fills points: the curve by time, from (Start, 0) to (Stop, Total),
// without falling values.
func (p *pricing) order() {
	var note func(Point)
	if p.explain {
		note = func(x Point) { p.dropped = append(p.dropped, x) }
	}
	p.points, p.bill.Falling = ordered(p.curve, note)
}

// ordered is the curve by time, from (Start, 0) to (Stop, Total), without
// falling values, which dropped is told of. Of several readings of one moment
// the highest counts.
func ordered(c Curve, dropped func(Point)) (points []Point, falling bool) {
	points = make([]Point, 0, len(c.Points)+2)
	points = append(points, Point{At: c.Start})
	sorted := c.Points
	byTime := func(a, b Point) int {
		if d := a.At.Compare(b.At); d != 0 {
			return d
		}
		return int(min(max(a.Energy-b.Energy, -1), 1))
	}
	if !slices.IsSortedFunc(sorted, byTime) {
		sorted = slices.SortedFunc(slices.Values(sorted), byTime)
	}
	for _, p := range sorted {
		if p.At.Before(c.Start) || !p.At.Before(c.Stop) {
			continue
		}
		last := &points[len(points)-1]
		switch {
		case p.Energy < last.Energy, p.Energy > c.Total:
			falling = true
			if dropped != nil {
				dropped(p)
			}
		case p.At.Equal(last.At) && len(points) > 1:
			last.Energy = p.Energy
		case p.At.Equal(last.At): // a rise at the very start belongs to the first stretch
		default:
			points = append(points, p)
		}
	}
	return append(points, Point{At: c.Stop, Energy: c.Total}), falling
}

// start adds the line of the start fee.
func (p *pricing) start() {
	fee := p.snapshot.Fees.Start
	if fee == nil || *fee == 0 || p.curve.Total <= 0 {
		return
	}
	l := p.whole(KindStart)
	l.Service, l.Amount = *fee, *fee
	p.add(l, cause{})
}

// energy cuts the curve at the boundaries and adds a line per piece.
func (p *pricing) energy() error {
	c, points := p.curve, p.points
	if c.Total <= 0 {
		return nil
	}
	from, done := c.Start, evcs.Energy(0)
	cut := Cut{At: c.Start, How: CutStart}
	today := p.snapshot.on(from.In(c.Zone))
	next := 1 // the first point behind from
	for {
		local := from.In(c.Zone)
		if !today.holds(local) {
			today = p.snapshot.on(local)
		}
		segment, to, err := covering(today.segments, local)
		if err != nil {
			return err
		}
		last := !to.Before(c.Stop)
		upTo := c.Total
		ends := Cut{At: c.Stop, Energy: c.Total, How: CutStop}
		if last {
			to = c.Stop
		} else {
			for next < len(points)-1 && !points[next].At.After(to) {
				next++
			}
			upTo = between(points[next-1], points[next], to)
			ends = Cut{At: to, Energy: upTo, How: CutBetween, Before: points[next-1], After: points[next]}
			if ends.Before.At.Equal(to) {
				ends.How = CutReading
			}
		}
		if upTo > done {
			p.add(energyLine(segment, from, to, upTo-done), cause{segment: segment, day: today, begins: cut, ends: ends})
		}
		if last {
			return nil
		}
		from, done, cut = to, upTo, ends
	}
}

func energyLine(s Segment, from, to time.Time, e evcs.Energy) Line {
	l := Line{
		Kind: KindEnergy, PeriodKind: s.Kind, From: from.UTC(), To: to.UTC(), Energy: e,
		EnergyPrice: s.EnergyPrice, ServicePrice: s.ServicePrice,
		Electricity: evcs.Cost(e, s.EnergyPrice), Service: evcs.Cost(e, s.ServicePrice),
	}
	l.Amount = l.Electricity + l.Service
	return l
}

// covering finds the segment of a wall-clock moment and the moment at which
// the wall clock leaves it. On a day of a clock change the wall clock's name of
// the hour decides.
func covering(segments []Segment, at time.Time) (Segment, time.Time, error) {
	minute := at.Hour()*60 + at.Minute()
	i, found := slices.BinarySearchFunc(segments, minute, func(s Segment, minute int) int {
		switch {
		case s.To <= minute:
			return -1
		case s.From > minute:
			return 1
		}
		return 0
	})
	if !found {
		return Segment{}, time.Time{}, errUncovered
	}
	return segments[i], leaving(segments[i], at, minute), nil
}

// leaving is the first moment whose wall clock lies outside s: the segment's
// end, or a clock change that jumps over or back into another, or into another
// day.
func leaving(s Segment, at time.Time, minute int) time.Time {
	_, offset := at.Zone()
	begun := at.Add(-time.Duration(at.Second())*time.Second - time.Duration(at.Nanosecond()))
	end := begun.Add(time.Duration(s.To-minute) * time.Minute)
	if _, then := end.Zone(); then == offset {
		return end
	}
	// The offset changes on the way: go by quarters of an hour, the grid of
	// segments and of every clock change.
	step := begun.Add(time.Duration(grid-minute%grid) * time.Minute)
	for {
		m := step.Hour()*60 + step.Minute()
		if m < s.From || m >= s.To || step.Day() != at.Day() {
			return step
		}
		step = step.Add(grid * time.Minute)
	}
}

// between is the energy at a moment on the straight line from a to b, rounded
// half up to 0.1 Wh.
func between(a, b Point, at time.Time) evcs.Energy {
	span := b.At.Sub(a.At).Milliseconds()
	if span <= 0 {
		return b.Energy
	}
	part := min(max(at.Sub(a.At).Milliseconds(), 0), span)
	// (rise · part + span/2) / span in 128 bits, so that no length of a session
	// overflows.
	high, low := bits.Mul64(uint64(b.Energy-a.Energy), uint64(part))
	low, carry := bits.Add64(low, uint64(span)/2, 0)
	quotient, _ := bits.Div64(high+carry, low, uint64(span))
	return a.Energy + evcs.Energy(quotient)
}

// idle adds the line of the time after the last rise of the register.
func (p *pricing) idle() {
	f, c := p.snapshot.Fees, p.curve
	if f.IdleMinutePrice == nil || *f.IdleMinutePrice == 0 {
		return
	}
	rise := c.Rise
	if rise.At.IsZero() {
		rise = Rise{At: c.Start}
		for _, x := range c.Points {
			if x.At.Equal(c.Start) && x.Energy <= c.Total {
				rise = rise.Next(x)
			}
		}
		for _, x := range p.points[1 : len(p.points)-1] {
			rise = rise.Next(x)
		}
	}
	rise = rise.Next(p.points[len(p.points)-1])
	if rise.At.Before(c.Start) {
		rise.At = c.Start
	}
	all := begun(c.Stop.Sub(rise.At))
	minutes := all - f.IdleFreeMinutes
	if minutes <= 0 {
		return
	}
	l := p.whole(KindIdle)
	l.From, l.Minutes, l.MinutePrice = rise.At.UTC(), minutes, *f.IdleMinutePrice
	l.Amount = perMinute(minutes, *f.IdleMinutePrice)
	why := cause{all: all, free: f.IdleFreeMinutes, before: l.Amount}
	if f.IdleMax != nil && l.Amount > *f.IdleMax {
		l.Amount, l.Reason, why.bound = *f.IdleMax, ReasonCapped, *f.IdleMax
	}
	p.add(l, why)
}

// Rise is when a register rose last, by riseStep or more since it was last
// seen rising, and to what.
type Rise struct {
	At     time.Time
	Energy evcs.Energy
}

// Next is the last rise with one more reading, which is not older.
func (r Rise) Next(p Point) Rise {
	if p.Energy-r.Energy >= riseStep {
		return Rise(p)
	}
	return r
}

// parking adds the line of the whole stay beyond the free time.
func (p *pricing) parking() {
	f, c := p.snapshot.Fees, p.curve
	if f.ParkingHourPrice == nil || *f.ParkingHourPrice == 0 {
		return
	}
	all := begun(c.Stop.Sub(c.Start))
	minutes := all - f.ParkingFreeMinutes
	if minutes <= 0 {
		return
	}
	const perFen = 1000 * 60 // 1e-5 CNY per hour and minute
	l := p.whole(KindParking)
	l.Minutes, l.MinutePrice = minutes, evcs.UnitPrice((int64(*f.ParkingHourPrice)+30)/60)
	l.Amount = evcs.Money((minutes*int64(*f.ParkingHourPrice) + perFen/2) / perFen)
	p.add(l, cause{all: all, free: f.ParkingFreeMinutes})
}

// bound adds what is missing to the minimum, or takes off what exceeds the
// maximum.
func (p *pricing) bound() {
	f, sum := p.snapshot.Fees, p.bill.Amount
	switch {
	case f.Max != nil && sum > *f.Max:
		l := p.whole(KindCap)
		l.Amount = *f.Max - sum
		p.add(l, cause{before: sum, bound: *f.Max})
	case f.Min != nil && p.curve.Total > 0 && sum < *f.Min:
		l := p.whole(KindMinimum)
		l.Service, l.Amount = *f.Min-sum, *f.Min-sum
		p.add(l, cause{before: sum, bound: *f.Min})
	}
}

// begun counts every begun minute.
func begun(d time.Duration) int64 {
	if d <= 0 {
		return 0
	}
	return int64((d + time.Minute - 1) / time.Minute)
}

// perMinute is minutes at a price of 1e-5 CNY, half up to the fen.
func perMinute(minutes int64, price evcs.UnitPrice) evcs.Money {
	const perFen = 1000
	return evcs.Money((minutes*int64(price) + perFen/2) / perFen)
}
