package tariff_test

import (
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/tariff"
)

// zones has those that change their clocks in every way.
var zones = []string{"Asia/Shanghai", "Europe/Berlin", "Australia/Lord_Howe", "America/Havana", "Asia/Beirut", "Asia/Kathmandu", "UTC"}

var weekdays = []tariff.DayClass{tariff.Sunday, tariff.Monday, tariff.Tuesday, tariff.Wednesday, tariff.Thursday, tariff.Friday, tariff.Saturday}

// complete is a random session on a random tariff with everything that a tariff
// can have, in a zone with clock changes, around one of them.
func complete(t *rapid.T) (tariff.Snapshot, tariff.Curve) {
	s, c := drawn(t)
	days := rapid.Permutation(append(slices.Clone(weekdays), tariff.OnHoliday)).Draw(t, "days")
	for i := range rapid.IntRange(0, 3).Draw(t, "calendars") {
		own, _ := drawn(t)
		s.Calendars = append(s.Calendars, tariff.Calendar{Days: days[i*2 : i*2+2], Segments: own.Segments})
	}
	zone, err := time.LoadLocation(rapid.SampledFrom(zones).Draw(t, "zone name"))
	if err != nil {
		t.Fatal(err)
	}
	near := rapid.SampledFrom([]string{"2026-03-07", "2026-03-28", "2026-04-04", "2026-10-03", "2026-10-24", "2026-10-31", "2026-02-13"}).Draw(t, "near")
	begin, err := time.ParseInLocation(time.DateOnly, near, zone)
	if err != nil {
		t.Fatal(err)
	}
	shift := begin.Add(time.Duration(rapid.Int64Range(0, 36*3_600_000).Draw(t, "shift")) * time.Millisecond).Sub(c.Start)
	c.Zone, c.Start, c.Stop = zone, c.Start.Add(shift), c.Stop.Add(shift)
	for i := range c.Points {
		c.Points[i].At = c.Points[i].At.Add(shift)
	}
	day := time.Date(begin.Year(), begin.Month(), begin.Day(), 12, 0, 0, 0, time.UTC) // Havana has days without a midnight
	for i := range 4 {
		if rapid.Bool().Draw(t, "special") {
			s.Holidays = append(s.Holidays, tariff.Holiday{
				Date: day.AddDate(0, 0, i).Format(time.DateOnly), CountsAs: rapid.SampledFrom(days).Draw(t, "counts as"),
			})
		}
	}
	if n := len(c.Points); n > 0 && rapid.Bool().Draw(t, "full before the end") {
		full := c.Points[rapid.IntRange(0, n-1).Draw(t, "full at")]
		for i := range c.Points {
			c.Points[i].Energy = min(c.Points[i].Energy, full.Energy)
		}
		c.Total = full.Energy + evcs.Energy(rapid.Int64Range(0, 200).Draw(t, "creeping"))
	}
	s.Fees = fees(t)
	return s, c
}

func fees(t *rapid.T) tariff.Fees {
	money := func(name string, most int64) *evcs.Money {
		if !rapid.Bool().Draw(t, name+"?") {
			return nil
		}
		m := evcs.Money(rapid.Int64Range(0, most).Draw(t, name))
		return &m
	}
	f := tariff.Fees{Start: money("start fee", 500), Min: money("minimum", 5_000), IdleMax: money("idle cap", 3_000)}
	if f.Max = money("cap", 20_000); f.Max != nil && f.Min != nil && *f.Max < *f.Min {
		f.Min, f.Max = f.Max, f.Min
	}
	if rapid.Bool().Draw(t, "idle?") {
		p := evcs.UnitPrice(rapid.Int64Range(0, 100_000).Draw(t, "idle price"))
		f.IdleMinutePrice, f.IdleFreeMinutes = &p, rapid.Int64Range(0, 60).Draw(t, "idle free")
	}
	if rapid.Bool().Draw(t, "parking?") {
		p := evcs.UnitPrice(rapid.Int64Range(0, 1_000_000).Draw(t, "parking price"))
		f.ParkingHourPrice, f.ParkingFreeMinutes = &p, rapid.Int64Range(0, 60).Draw(t, "parking free")
	}
	return f
}

func priced(t *rapid.T, s tariff.Snapshot, c tariff.Curve) tariff.Bill {
	t.Helper()
	b, err := tariff.Price(s, c)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The sum of the lines is the total and each of its parts; no minute is billed
// twice; the lines hold the energy exactly.
func TestEveryBillAddsUp(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s, c := complete(t)
		b := priced(t, s, c)
		var sum, electricity, service, discount evcs.Money
		var energy evcs.Energy
		end := c.Start
		for _, l := range b.Lines {
			sum, electricity, service, energy = sum+l.Amount, electricity+l.Electricity, service+l.Service, energy+l.Energy
			switch l.Kind {
			case tariff.KindEnergy:
				if l.From.Before(end) || l.To.Before(l.From) || l.To.After(c.Stop) {
					t.Fatalf("a line from %s to %s behind %s", l.From, l.To, end)
				}
				end = l.To
			case tariff.KindCap:
				discount -= l.Amount
			}
			if l.Amount < 0 != (l.Kind == tariff.KindCap) && l.Amount != 0 {
				t.Fatalf("%s of %s", l.Kind, l.Amount)
			}
		}
		if sum != b.Amount || electricity != b.Electricity || service != b.Service || discount != b.Discount || energy != c.Total {
			t.Fatalf("lines %s, %s kWh; bill %+v", sum, energy, b)
		}
		if b.Amount != b.Electricity+b.Service+b.Parking+b.Idle-b.Discount {
			t.Fatalf("the parts of %+v", b)
		}
	})
}

// A steady charge has energy in every minute, so its lines lie end to end from
// its start to its stop, whatever the clock does.
func TestNoMinuteIsFree(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s, c := complete(t)
		c.Stop = c.Stop.Add(time.Second)
		c.Points, c.Total = nil, evcs.Energy(c.Stop.Sub(c.Start).Milliseconds())
		at := c.Start
		for _, l := range priced(t, s, c).Lines {
			if l.Kind != tariff.KindEnergy {
				continue
			}
			if !l.From.Equal(at) || !l.To.After(l.From) {
				t.Fatalf("a line from %s to %s where the last ended at %s", l.From, l.To, at)
			}
			// A millisecond is 0.1 Wh: no rounding may move any.
			if got, want := l.Energy, evcs.Energy(l.To.Sub(l.From).Milliseconds()); got-want > 1 || want-got > 1 {
				t.Fatalf("%s kWh in %s", got, l.To.Sub(l.From))
			}
			at = l.To
		}
		if !at.Equal(c.Stop) {
			t.Fatalf("nothing is billed from %s to %s", at, c.Stop)
		}
	})
}

// The slow reference walks the session by the quarter of an hour of real time,
// finds each one's prices by the name of its wall clock, and adds in rational
// numbers. It shares the rounding rule with Price and nothing else.
func TestAgreesWithASlowWalk(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s, c := complete(t)
		fees := s.Fees
		s.Fees = tariff.Fees{Start: fees.Start, Min: fees.Min, Max: fees.Max}
		if got, want := priced(t, s, c).Amount, walk(s, c); got != want {
			t.Fatalf("%s, the walk says %s", got, want)
		}
	})
}

// named are the prices that the wall clock names at a moment, and the day.
func named(s tariff.Snapshot, local time.Time) (tariff.Segment, string) {
	date := local.Format(time.DateOnly)
	classes := []tariff.DayClass{weekdays[local.Weekday()]}
	for _, h := range s.Holidays {
		switch {
		case h.Date != date:
		case h.CountsAs == tariff.OnHoliday:
			classes = []tariff.DayClass{h.CountsAs, classes[0]}
		default:
			classes = []tariff.DayClass{h.CountsAs}
		}
	}
	list := s.Segments
search:
	for _, class := range classes {
		for _, c := range s.Calendars {
			if slices.Contains(c.Days, class) {
				list = c.Segments
				break search
			}
		}
	}
	minute := local.Hour()*60 + local.Minute()
	for _, x := range list {
		if x.From <= minute && minute < x.To {
			return x, date
		}
	}
	panic("no segment at " + local.String())
}

func walk(s tariff.Snapshot, c tariff.Curve) evcs.Money {
	curve := []tariff.Point{{At: c.Start}}
	for _, p := range c.Points {
		if last := len(curve) - 1; p.At.Before(c.Stop) && (p.At.After(curve[last].At) || last > 0) {
			if p.At.Equal(curve[last].At) {
				curve[last].Energy = p.Energy
			} else {
				curve = append(curve, p)
			}
		}
	}
	curve = append(curve, tariff.Point{At: c.Stop, Energy: c.Total})
	energyAt := func(at time.Time) int64 {
		for i := 1; i < len(curve); i++ {
			a, b := curve[i-1], curve[i]
			if at.After(b.At) || !b.At.After(a.At) {
				continue
			}
			r := big.NewRat(at.Sub(a.At).Milliseconds(), b.At.Sub(a.At).Milliseconds())
			r.Mul(r, new(big.Rat).SetInt64(int64(b.Energy-a.Energy)))
			return halfUp(r.Add(r, new(big.Rat).SetInt64(int64(a.Energy))))
		}
		return int64(c.Total)
	}
	var sum, done int64
	if s.Fees.Start != nil && c.Total > 0 {
		sum = int64(*s.Fees.Start)
	}
	now, today := named(s, c.Start.In(c.Zone))
	piece := func(upTo int64) {
		for _, p := range []evcs.UnitPrice{now.EnergyPrice, now.ServicePrice} {
			sum += halfUp(big.NewRat((upTo-done)*int64(p), 10_000_000))
		}
		done = upTo
	}
	const quarter = 15 * time.Minute
	for at := c.Start.Truncate(quarter).Add(quarter); at.Before(c.Stop); at = at.Add(quarter) {
		if next, day := named(s, at.In(c.Zone)); next != now || day != today {
			piece(energyAt(at))
			now, today = next, day
		}
	}
	piece(int64(c.Total))
	switch {
	case s.Fees.Max != nil && sum > int64(*s.Fees.Max):
		return *s.Fees.Max
	case s.Fees.Min != nil && c.Total > 0 && sum < int64(*s.Fees.Min):
		return *s.Fees.Min
	}
	return evcs.Money(sum)
}

func halfUp(r *big.Rat) int64 {
	r = new(big.Rat).Add(r, big.NewRat(1, 2))
	return new(big.Int).Div(r.Num(), r.Denom()).Int64()
}

// A minimum and a cap only bound: inside them nothing changes, and the cap
// bounds whatever the minimum is.
func TestMinimumAndCapOnlyBound(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s, c := complete(t)
		bounded := priced(t, s, c)
		free := s
		free.Fees.Min, free.Fees.Max = nil, nil
		want := priced(t, free, c).Amount
		if s.Fees.Min != nil && c.Total > 0 {
			want = max(want, *s.Fees.Min)
		}
		if s.Fees.Max != nil {
			want = min(want, *s.Fees.Max)
		}
		if bounded.Amount != want {
			t.Fatalf("%s, not %s", bounded.Amount, want)
		}
	})
}

// However the readings of a session come — thinned as they come, in any order,
// some twice — the bill is the same to the line.
func TestAnySplitOfTheReadingsIsOneBill(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s, c := complete(t)
		want := priced(t, s, c)
		var track tariff.Track
		for _, p := range c.Points {
			track = track.With(p)
		}
		if !track.Tells(c.Start, c.Stop, c.Total) {
			t.Fatal("the track does not tell all")
		}
		if diff := cmp.Diff(want, priced(t, s, track.Curve(c.Zone, c.Start, c.Stop, c.Total))); diff != "" {
			t.Fatalf("thinned (-whole +thinned):\n%s", diff)
		}
		mixed := c
		mixed.Points = rapid.Permutation(c.Points).Draw(t, "order")
		if len(mixed.Points) > 0 {
			mixed.Points = append(slices.Clone(mixed.Points), mixed.Points[0])
		}
		if diff := cmp.Diff(want, priced(t, s, mixed)); diff != "" {
			t.Fatalf("mixed (-ordered +mixed):\n%s", diff)
		}
	})
}

// A reading on the straight line between two others moves no energy from one
// minute to another: at whole 0.1 Wh the bill stays.
func TestAReadingOnTheLineChangesNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s, c := complete(t)
		s.Fees.IdleMinutePrice = nil // idle time is about readings, not about energy
		hours := rapid.Int64Range(1, 40).Draw(t, "hours")
		c.Stop = c.Start.Add(time.Duration(hours) * time.Hour)
		c.Total, c.Points = evcs.Energy(hours*3_600_000), nil // 0.1 Wh a millisecond
		want := priced(t, s, c)
		for range rapid.IntRange(1, 30).Draw(t, "readings") {
			at := rapid.Int64Range(1, hours*3_600_000-1).Draw(t, "at")
			c.Points = append(c.Points, tariff.Point{At: c.Start.Add(time.Duration(at) * time.Millisecond), Energy: evcs.Energy(at)})
		}
		if diff := cmp.Diff(want, priced(t, s, c)); diff != "" {
			t.Fatal(diff)
		}
	})
}

// More energy at the end of the same session never costs less by more than the
// fen that a cut may round.
func TestMoreEnergyCostsMore(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s, c := complete(t)
		s.Fees.IdleMinutePrice = nil // a rise at the stop ends idle time: that may cost less
		less := priced(t, s, c)
		if n := len(c.Points); n > 0 && c.Points[n-1].At.Before(c.Stop) {
			c.Total += evcs.Energy(rapid.Int64Range(1, 100_000).Draw(t, "more"))
		}
		more := priced(t, s, c)
		if more.Amount < less.Amount-evcs.Money(len(less.Lines)) {
			t.Fatalf("%s for less, %s for more", less.Amount, more.Amount)
		}
	})
}

// An explanation is the bill, and its cuts make the energies of its lines.
func TestAnExplanationIsTheBill(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s, c := complete(t)
		x, err := tariff.Explain(s, c)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(priced(t, s, c), x.Bill); diff != "" {
			t.Fatal(diff)
		}
		if len(x.Steps) != len(x.Bill.Lines) {
			t.Fatalf("%d steps of %d lines", len(x.Steps), len(x.Bill.Lines))
		}
		for i, step := range x.Steps {
			l := x.Bill.Lines[i]
			if step.Line != l || len(step.Arithmetic) == 0 || !strings.HasSuffix(step.Arithmetic[len(step.Arithmetic)-1], last(l)) {
				t.Fatalf("line %+v, step %+v", l, step)
			}
			if l.Kind != tariff.KindEnergy {
				continue
			}
			if step.Ends.Energy-step.Begins.Energy != l.Energy || !step.Begins.At.Equal(l.From) || !step.Ends.At.Equal(l.To) {
				t.Fatalf("the cuts %+v and %+v of %+v", step.Begins, step.Ends, l)
			}
			if segment, date := named(s, l.From.In(c.Zone)); segment != step.Segment || date != step.Date {
				t.Fatalf("segment %+v of %s, not %+v of %s", step.Segment, step.Date, segment, date)
			}
		}
	})
}

// last is the figure that the sums of a line end in.
func last(l tariff.Line) string {
	switch {
	case l.Kind == tariff.KindEnergy:
		return l.Service.String()
	case l.Amount < 0:
		return (-l.Amount).String()
	}
	return l.Amount.String()
}

func TestTheSumsOfAnExplanation(t *testing.T) {
	t.Parallel()
	for _, x := range []struct{ name, want string }{
		{"an odd cut rounds half up", "0.0000 + (0.0003 − 0.0000) × 1 s ÷ 2 s = 0.0002; 0.0002 − 0.0000 = 0.0002 kWh; 0.0002 kWh × 0.33333 = 0.000066666 → 0.00; 0.0002 kWh × 0.0000 = 0.00|" +
			"0.0000 + (0.0003 − 0.0000) × 1 s ÷ 2 s = 0.0002; 0.0003 − 0.0002 = 0.0001 kWh; 0.0001 kWh × 0.66667 = 0.000066667 → 0.00; 0.0001 kWh × 0.0000 = 0.00"},
		{"the contract's example", "21.7500 − 0.0000 = 21.7500 kWh; 21.7500 kWh × 0.8000 = 17.40; 21.7500 kWh × 0.4000 = 8.70|" +
			"42.5000 − 21.7500 = 20.7500 kWh; 20.7500 kWh × 1.2000 = 24.90; 20.7500 kWh × 0.5000 = 10.375 → 10.38"},
		{"everything at once with calendars: 2 + 12 + 5 + 1.50 below 21", "2.00|20.0000 − 0.0000 = 20.0000 kWh; 20.0000 kWh × 0.5000 = 10.00; 20.0000 kWh × 0.1000 = 2.00|" +
			"30 min − 10 min = 20 min; 20 min × 0.5000 = 10.00; 10.00 > 5.00 → 5.00|90 min − 60 min = 30 min; 30 min × 3.0000 ÷ 60 = 1.50|21.00 − 20.50 = 0.50"},
		{"the cap: 30 − 42.50", "42.5000 − 0.0000 = 42.5000 kWh; 42.5000 kWh × 1.0000 = 42.50; 42.5000 kWh × 0.0000 = 0.00|30.00 − 42.50 = −12.50"},
		{"a huge session does not overflow", "900000000.0000 − 0.0000 = 900000000.0000 kWh; 900000000.0000 kWh × 1.0000 = 900000000.00; 900000000.0000 kWh × 0.0000 = 0.00"},
	} {
		i := slices.IndexFunc(goldens, func(g golden) bool { return g.name == x.name })
		if i < 0 {
			t.Fatalf("there is no case %q", x.name)
		}
		s, c := goldens[i].input(t)
		why, err := tariff.Explain(s, c)
		if err != nil {
			t.Fatal(err)
		}
		words := make([]string, len(why.Steps))
		for i, step := range why.Steps {
			words[i] = strings.Join(step.Arithmetic, "; ")
		}
		if diff := cmp.Diff(x.want, strings.Join(words, "|")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", x.name, diff)
		}
	}
}

func TestDroppedReadingsAreNamed(t *testing.T) {
	t.Parallel()
	i := slices.IndexFunc(goldens, func(g golden) bool { return g.name == "a meter that falls twice and comes back" })
	s, c := goldens[i].input(t)
	x, err := tariff.Explain(s, c)
	if err != nil || len(x.Dropped) != 2 || x.Dropped[0].Energy != 5*evcs.KWh || x.Dropped[1].Energy != 7*evcs.KWh {
		t.Errorf("%v %v", x.Dropped, err)
	}
}

func TestCalendarsAreChecked(t *testing.T) {
	t.Parallel()
	whole := day(t, fixed)
	week := func(days ...tariff.DayClass) tariff.Calendar { return tariff.Calendar{Days: days, Segments: whole} }
	for _, x := range []struct {
		name  string
		given []tariff.Calendar
		want  []string
	}{
		{"a day twice in one", []tariff.Calendar{week(tariff.Monday, tariff.Monday)}, []string{"calendars[0].days MON is covered twice"}},
		{"a day in two", []tariff.Calendar{week(tariff.Monday), week(tariff.Sunday, tariff.Monday)}, []string{"calendars[1].days MON is covered twice"}},
		{"no day", []tariff.Calendar{week()}, []string{"calendars[0].days is empty"}},
		{"a strange day", []tariff.Calendar{week("EASTER")}, []string{"calendars[0].days is MON to SUN or HOLIDAY"}},
		{"a gap", []tariff.Calendar{week(tariff.Monday), {Days: []tariff.DayClass{tariff.OnHoliday}, Segments: whole[:0]}}, []string{"calendars[1].segments 1 to 96 segments are needed"}},
		{"two faults of segments", []tariff.Calendar{{Days: []tariff.DayClass{tariff.Friday}, Segments: []tariff.Segment{span(0, 7, 1), span(7, 1440, 1)}}}, []string{
			"calendars[0].segments[0] does not lie on the 15-minute grid", "calendars[0].segments[1] does not lie on the 15-minute grid",
		}},
	} {
		list, err := tariff.NormalizeCalendars(x.given)
		if err == nil {
			t.Errorf("%s: %v is taken", x.name, list)
			continue
		}
		if diff := cmp.Diff(x.want, faultsOf(t, err)); diff != "" {
			t.Errorf("%s: %s", x.name, diff)
		}
	}
	got, err := tariff.NormalizeCalendars([]tariff.Calendar{{
		Days: []tariff.DayClass{tariff.OnHoliday, tariff.Sunday, tariff.Monday}, Segments: []tariff.Segment{span(1320, 420, 1), span(420, 1320, 2)},
	}})
	want := []tariff.Calendar{{
		Days: []tariff.DayClass{tariff.Monday, tariff.Sunday, tariff.OnHoliday}, Segments: []tariff.Segment{span(0, 420, 1), span(420, 1320, 2), span(1320, 1440, 1)},
	}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
}
