package tariff_test

import (
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/tariff"
)

func price(t testing.TB, text string) evcs.UnitPrice {
	t.Helper()
	p, err := evcs.ParseUnitPrice(text)
	if err != nil {
		t.Fatalf("price %q: %v", text, err)
	}
	return p
}

func kwh(t testing.TB, text string) evcs.Energy {
	t.Helper()
	e, err := evcs.ParseEnergy(text)
	if err != nil {
		t.Fatalf("energy %q: %v", text, err)
	}
	return e
}

// day reads "00:00 VALLEY 0.3 0.2|08:00 PEAK 1.2 0.5": each segment lasts to
// the next one's beginning, the last to midnight.
func day(t testing.TB, text string) []tariff.Segment {
	t.Helper()
	var list []tariff.Segment
	for part := range strings.SplitSeq(text, "|") {
		var hour, minute int
		var kind, energy, service string
		if _, err := fmt.Sscanf(part, "%d:%d %s %s %s", &hour, &minute, &kind, &energy, &service); err != nil {
			t.Fatalf("segment %q: %v", part, err)
		}
		from := hour*60 + minute
		if n := len(list); n > 0 {
			list[n-1].To = from
		}
		list = append(list, tariff.Segment{From: from, To: 1440, Kind: tariff.PeriodKind(kind), EnergyPrice: price(t, energy), ServicePrice: price(t, service)})
	}
	return list
}

// The days of the golden cases.
const (
	fixed  = "00:00 FLAT 1.0000 0.0000"
	tou    = "00:00 VALLEY 0.3000 0.2000|08:00 FLAT 0.8000 0.4000|10:00 PEAK 1.2000 0.5000|12:00 FLAT 0.8000 0.4000|18:00 SHARP 1.5000 0.8000|22:00 VALLEY 0.3000 0.2000"
	halves = "00:00 VALLEY 0.33333 0.00000|12:00 PEAK 0.66667 0.00000"
	odd    = "00:00 VALLEY 0.3000 0.1000|06:15 FLAT 0.7000 0.1000|23:45 VALLEY 0.3000 0.1000"
)

type golden struct {
	name        string
	day         string
	zone        string // Asia/Shanghai when empty
	start, stop string // local
	total       string // kWh
	points      string // "time energy, …", local
	idle        string // "free price cap"
	parking     string // "free hourPrice"
	lastRise    string
	want        string // "KIND period from-to energy = electricity + service" per line
	amount      string
	falling     bool
}

// Each amount is worked out by hand: energy × price, half up to the fen, per
// price and line.
var goldens = []golden{
	{name: "fixed price", day: fixed, start: "2026-02-10 09:30:00", stop: "2026-02-10 10:30:00", total: "42.5", amount: "42.50", want: "ENERGY FLAT 09:30-10:30 42.5000=42.50+0.00"},
	{name: "the contract's example", day: tou, start: "2026-02-10 09:30:00", stop: "2026-02-10 10:30:00", total: "42.5", points: "2026-02-10 10:00:00 21.75", amount: "61.38", want: "ENERGY FLAT 09:30-10:00 21.7500=17.40+8.70|ENERGY PEAK 10:00-10:30 20.7500=24.90+10.38"},
	{name: "straight line across a boundary", day: tou, start: "2026-02-10 09:30:00", stop: "2026-02-10 10:30:00", total: "40", amount: "58.00", want: "ENERGY FLAT 09:30-10:00 20.0000=16.00+8.00|ENERGY PEAK 10:00-10:30 20.0000=24.00+10.00"},
	{name: "begins on a boundary", day: tou, start: "2026-02-10 10:00:00", stop: "2026-02-10 10:30:00", total: "10", amount: "17.00", want: "ENERGY PEAK 10:00-10:30 10.0000=12.00+5.00"},
	{name: "ends on a boundary", day: tou, start: "2026-02-10 09:30:00", stop: "2026-02-10 10:00:00", total: "10", amount: "12.00", want: "ENERGY FLAT 09:30-10:00 10.0000=8.00+4.00"},
	{name: "one second before a boundary", day: tou, start: "2026-02-10 09:00:00", stop: "2026-02-10 09:59:59", total: "10", amount: "12.00", want: "ENERGY FLAT 09:00-09:59 10.0000=8.00+4.00"},
	{name: "one second behind a boundary", day: tou, start: "2026-02-10 09:00:00", stop: "2026-02-10 10:00:01", total: "36.01", amount: "43.22", want: "ENERGY FLAT 09:00-10:00 36.0000=28.80+14.40|ENERGY PEAK 10:00-10:00 0.0100=0.01+0.01"},
	{name: "across midnight in one segment's price", day: tou, start: "2026-02-10 23:00:00", stop: "2026-02-11 01:00:00", total: "20", amount: "10.00", want: "ENERGY VALLEY 23:00-00:00 10.0000=3.00+2.00|ENERGY VALLEY 00:00-01:00 10.0000=3.00+2.00"},
	{name: "a whole day", day: tou, start: "2026-02-10 00:00:00", stop: "2026-02-11 00:00:00", total: "240", amount: "272.00", want: "ENERGY VALLEY 00:00-08:00 80.0000=24.00+16.00|ENERGY FLAT 08:00-10:00 20.0000=16.00+8.00|ENERGY PEAK 10:00-12:00 20.0000=24.00+10.00|ENERGY FLAT 12:00-18:00 60.0000=48.00+24.00|ENERGY SHARP 18:00-22:00 40.0000=60.00+32.00|ENERGY VALLEY 22:00-00:00 20.0000=6.00+4.00", falling: false},
	{name: "two days", day: fixed, start: "2026-02-10 12:00:00", stop: "2026-02-12 12:00:00", total: "48", amount: "48.00", want: "ENERGY FLAT 12:00-00:00 12.0000=12.00+0.00|ENERGY FLAT 00:00-00:00 24.0000=24.00+0.00|ENERGY FLAT 00:00-12:00 12.0000=12.00+0.00"},
	{name: "no energy", day: tou, start: "2026-02-10 09:00:00", stop: "2026-02-10 10:30:00", total: "0", amount: "0.00"},
	{name: "no length and no energy", day: tou, start: "2026-02-10 09:00:00", stop: "2026-02-10 09:00:00", total: "0", amount: "0.00"},
	{name: "no length but energy", day: tou, start: "2026-02-10 09:00:00", stop: "2026-02-10 09:00:00", total: "1", amount: "1.20", want: "ENERGY FLAT 09:00-09:00 1.0000=0.80+0.40"},
	{name: "a stop before the start", day: tou, start: "2026-02-10 09:00:00", stop: "2026-02-10 08:00:00", total: "1", amount: "1.20", want: "ENERGY FLAT 09:00-09:00 1.0000=0.80+0.40"},
	{name: "shorter than a minute", day: tou, start: "2026-02-10 09:00:00", stop: "2026-02-10 09:00:30", total: "0.5", amount: "0.60", want: "ENERGY FLAT 09:00-09:00 0.5000=0.40+0.20"},
	{name: "the least energy costs nothing", day: fixed, start: "2026-02-10 09:00:00", stop: "2026-02-10 09:01:00", total: "0.0001", amount: "0.00", want: "ENERGY FLAT 09:00-09:01 0.0001=0.00+0.00"},
	{name: "half a fen rounds up", day: fixed, start: "2026-02-10 09:00:00", stop: "2026-02-10 09:01:00", total: "0.005", amount: "0.01", want: "ENERGY FLAT 09:00-09:01 0.0050=0.01+0.00"},
	{name: "below half a fen rounds down", day: fixed, start: "2026-02-10 09:00:00", stop: "2026-02-10 09:01:00", total: "0.0049", amount: "0.00", want: "ENERGY FLAT 09:00-09:01 0.0049=0.00+0.00"},
	{name: "a fifth decimal counts", day: halves, start: "2026-02-10 09:00:00", stop: "2026-02-10 10:00:00", total: "30", amount: "10.00", want: "ENERGY VALLEY 09:00-10:00 30.0000=10.00+0.00"},
	{name: "a fifth decimal rounds by itself", day: halves, start: "2026-02-10 13:00:00", stop: "2026-02-10 14:00:00", total: "30", amount: "20.00", want: "ENERGY PEAK 13:00-14:00 30.0000=20.00+0.00"},
	{name: "each line rounds for itself", day: halves, start: "2026-02-10 11:00:00", stop: "2026-02-10 13:00:00", total: "0.03", amount: "0.01", want: "ENERGY VALLEY 11:00-12:00 0.0150=0.00+0.00|ENERGY PEAK 12:00-13:00 0.0150=0.01+0.00"},
	{name: "an odd cut rounds half up", day: halves, start: "2026-02-10 11:59:59", stop: "2026-02-10 12:00:01", total: "0.0003", amount: "0.00", want: "ENERGY VALLEY 11:59-12:00 0.0002=0.00+0.00|ENERGY PEAK 12:00-12:00 0.0001=0.00+0.00"},
	{name: "quarter boundaries", day: odd, start: "2026-02-10 06:00:00", stop: "2026-02-10 06:30:00", total: "2", amount: "1.20", want: "ENERGY VALLEY 06:00-06:15 1.0000=0.30+0.10|ENERGY FLAT 06:15-06:30 1.0000=0.70+0.10"},
	{name: "the last quarter of the day", day: odd, start: "2026-02-10 23:30:00", stop: "2026-02-11 00:00:00", total: "2", amount: "1.20", want: "ENERGY FLAT 23:30-23:45 1.0000=0.70+0.10|ENERGY VALLEY 23:45-00:00 1.0000=0.30+0.10"},
	{name: "all energy before the boundary", day: tou, start: "2026-02-10 09:30:00", stop: "2026-02-10 10:30:00", total: "20", points: "2026-02-10 09:45:00 20", amount: "24.00", want: "ENERGY FLAT 09:30-10:00 20.0000=16.00+8.00"},
	{name: "all energy behind the boundary", day: tou, start: "2026-02-10 09:30:00", stop: "2026-02-10 10:30:00", total: "20", points: "2026-02-10 10:00:00 0", amount: "34.00", want: "ENERGY PEAK 10:00-10:30 20.0000=24.00+10.00"},
	{name: "a gap in the samples is a straight line", day: tou, start: "2026-02-10 09:00:00", stop: "2026-02-10 11:00:00", total: "40", points: "2026-02-10 09:10:00 2, 2026-02-10 10:50:00 38", amount: "58.00", want: "ENERGY FLAT 09:00-10:00 20.0000=16.00+8.00|ENERGY PEAK 10:00-11:00 20.0000=24.00+10.00"},
	{name: "samples out of order", day: tou, start: "2026-02-10 09:30:00", stop: "2026-02-10 10:30:00", total: "42.5", points: "2026-02-10 10:20:00 35, 2026-02-10 10:00:00 21.75", amount: "61.38", want: "ENERGY FLAT 09:30-10:00 21.7500=17.40+8.70|ENERGY PEAK 10:00-10:30 20.7500=24.90+10.38"},
	{name: "a falling sample is dropped", day: tou, start: "2026-02-10 09:30:00", stop: "2026-02-10 10:30:00", total: "40", points: "2026-02-10 09:45:00 10, 2026-02-10 09:50:00 1", amount: "58.00", falling: true, want: "ENERGY FLAT 09:30-10:00 20.0000=16.00+8.00|ENERGY PEAK 10:00-10:30 20.0000=24.00+10.00"},
	{name: "a sample above the total is dropped", day: fixed, start: "2026-02-10 09:30:00", stop: "2026-02-10 10:30:00", total: "40", points: "2026-02-10 09:45:00 99", amount: "40.00", falling: true, want: "ENERGY FLAT 09:30-10:30 40.0000=40.00+0.00"},
	{name: "samples outside the session are left out", day: tou, start: "2026-02-10 09:30:00", stop: "2026-02-10 10:30:00", total: "40", points: "2026-02-10 08:00:00 5, 2026-02-10 11:00:00 39", amount: "58.00", want: "ENERGY FLAT 09:30-10:00 20.0000=16.00+8.00|ENERGY PEAK 10:00-10:30 20.0000=24.00+10.00"},
	{name: "two samples of one moment: the higher", day: tou, start: "2026-02-10 09:30:00", stop: "2026-02-10 10:30:00", total: "30", points: "2026-02-10 10:00:00 10, 2026-02-10 10:00:00 12", amount: "45.00", want: "ENERGY FLAT 09:30-10:00 12.0000=9.60+4.80|ENERGY PEAK 10:00-10:30 18.0000=21.60+9.00"},
	{name: "idle after the grace", day: fixed, idle: "10 0.5 -", start: "2026-02-10 09:00:00", stop: "2026-02-10 11:00:00", total: "30", points: "2026-02-10 10:00:00 30", amount: "55.00", want: "ENERGY FLAT 09:00-11:00 30.0000=30.00+0.00|IDLE 50min=25.00"},
	{name: "idle within the grace", day: fixed, idle: "60 0.5 -", start: "2026-02-10 09:00:00", stop: "2026-02-10 11:00:00", total: "30", points: "2026-02-10 10:00:00 30", amount: "30.00", want: "ENERGY FLAT 09:00-11:00 30.0000=30.00+0.00"},
	{name: "one second beyond the grace is a minute", day: fixed, idle: "60 0.5 -", start: "2026-02-10 09:00:00", stop: "2026-02-10 11:00:01", total: "30", points: "2026-02-10 10:00:00 30", amount: "30.50", want: "ENERGY FLAT 09:00-11:00 30.0000=30.00+0.00|IDLE 1min=0.50"},
	{name: "idle is capped", day: fixed, idle: "0 1 20.00", start: "2026-02-10 09:00:00", stop: "2026-02-10 11:00:00", total: "30", points: "2026-02-10 10:00:00 30", amount: "50.00", want: "ENERGY FLAT 09:00-11:00 30.0000=30.00+0.00|IDLE 60min=20.00 CAPPED"},
	{name: "idle without a single kWh", day: fixed, idle: "0 1 -", start: "2026-02-10 09:00:00", stop: "2026-02-10 09:30:00", total: "0", amount: "30.00", want: "IDLE 30min=30.00"},
	{name: "idle from a given last rise", day: fixed, idle: "0 1 -", lastRise: "2026-02-10 10:30:00", start: "2026-02-10 09:00:00", stop: "2026-02-10 11:00:00", total: "30", points: "2026-02-10 10:00:00 30", amount: "60.00", want: "ENERGY FLAT 09:00-11:00 30.0000=30.00+0.00|IDLE 30min=30.00"},
	{name: "a creeping register is not charging", day: fixed, idle: "0 1 -", start: "2026-02-10 09:00:00", stop: "2026-02-10 11:00:00", total: "10.0099", points: "2026-02-10 10:00:00 10, 2026-02-10 10:30:00 10.005", amount: "70.01", want: "ENERGY FLAT 09:00-11:00 10.0099=10.01+0.00|IDLE 60min=60.00"},
	{name: "a slow rise adds up to charging", day: fixed, idle: "0 1 -", start: "2026-02-10 09:00:00", stop: "2026-02-10 11:00:00", total: "10.01", points: "2026-02-10 10:00:00 10, 2026-02-10 10:30:00 10.005, 2026-02-10 10:45:00 10.01", amount: "25.01", want: "ENERGY FLAT 09:00-11:00 10.0100=10.01+0.00|IDLE 15min=15.00"},
	{name: "parking by the begun minute", day: fixed, parking: "0 6.00", start: "2026-02-10 09:00:00", stop: "2026-02-10 09:30:01", total: "1", amount: "4.10", want: "ENERGY FLAT 09:00-09:30 1.0000=1.00+0.00|PARKING 31min=3.10"},
	{name: "parking with free minutes", day: fixed, parking: "30 6.00", start: "2026-02-10 09:00:00", stop: "2026-02-10 10:00:00", total: "1", amount: "4.00", want: "ENERGY FLAT 09:00-10:00 1.0000=1.00+0.00|PARKING 30min=3.00"},
	{name: "parking within the free minutes", day: fixed, parking: "60 6.00", start: "2026-02-10 09:00:00", stop: "2026-02-10 10:00:00", total: "1", amount: "1.00", want: "ENERGY FLAT 09:00-10:00 1.0000=1.00+0.00"},
	{name: "parking rounds half up once", day: fixed, parking: "0 1.00", start: "2026-02-10 09:00:00", stop: "2026-02-10 09:01:00", total: "0", amount: "0.02", want: "PARKING 1min=0.02"},
	{name: "everything at once", day: tou, idle: "10 0.5 5.00", parking: "60 3.00", start: "2026-02-10 09:30:00", stop: "2026-02-10 11:00:00", total: "40", points: "2026-02-10 10:00:00 20, 2026-02-10 10:30:00 40", amount: "64.50", want: "ENERGY FLAT 09:30-10:00 20.0000=16.00+8.00|ENERGY PEAK 10:00-11:00 20.0000=24.00+10.00|IDLE 20min=5.00 CAPPED|PARKING 30min=1.50"},
	{name: "spring forward: the wall clock jumps over an hour", day: "00:00 VALLEY 0.1 0|02:00 FLAT 0.5 0|03:00 PEAK 1 0", zone: "Europe/Berlin", start: "2026-03-29 01:00:00", stop: "2026-03-29 04:00:00", total: "20", amount: "11.00", want: "ENERGY VALLEY 01:00-03:00 10.0000=1.00+0.00|ENERGY PEAK 03:00-04:00 10.0000=10.00+0.00"},
	{name: "fall back: the doubled hour is billed by its name", day: "00:00 VALLEY 0.1 0|02:00 FLAT 0.5 0|03:00 PEAK 1 0", zone: "Europe/Berlin", start: "2026-10-25 01:00:00", stop: "2026-10-25 04:00:00", total: "40", amount: "21.00", want: "ENERGY VALLEY 01:00-02:00 10.0000=1.00+0.00|ENERGY FLAT 02:00-03:00 20.0000=10.00+0.00|ENERGY PEAK 03:00-04:00 10.0000=10.00+0.00"},
	{name: "a huge session does not overflow", day: fixed, start: "2020-01-01 00:00:00", stop: "2020-01-01 00:30:00", total: "900000000", amount: "900000000.00", want: "ENERGY FLAT 00:00-00:30 900000000.0000=900000000.00+0.00"},
}

func at(t testing.TB, zone *time.Location, text string) time.Time {
	t.Helper()
	v, err := time.ParseInLocation(time.DateTime, text, zone)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (g golden) input(t testing.TB) (tariff.Snapshot, tariff.Curve) {
	t.Helper()
	name := g.zone
	if name == "" {
		name = "Asia/Shanghai"
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	s := tariff.Snapshot{Segments: day(t, g.day)}
	if f := strings.Fields(g.idle); len(f) == 3 {
		p := price(t, f[1])
		s.Fees.IdleMinutePrice = &p
		fmt.Sscan(f[0], &s.Fees.IdleFreeMinutes)
		if f[2] != "-" {
			m, err := evcs.ParseMoney(f[2])
			if err != nil {
				t.Fatal(err)
			}
			s.Fees.IdleMax = &m
		}
	}
	if f := strings.Fields(g.parking); len(f) == 2 {
		p := price(t, f[1])
		s.Fees.ParkingHourPrice = &p
		fmt.Sscan(f[0], &s.Fees.ParkingFreeMinutes)
	}
	c := tariff.Curve{Zone: zone, Start: at(t, zone, g.start), Stop: at(t, zone, g.stop), Total: kwh(t, g.total)}
	if g.lastRise != "" {
		c.LastRise = at(t, zone, g.lastRise)
	}
	if g.points != "" {
		for part := range strings.SplitSeq(g.points, ", ") {
			c.Points = append(c.Points, tariff.Point{At: at(t, zone, part[:19]), Energy: kwh(t, part[20:])})
		}
	}
	return s, c
}

func words(b tariff.Bill, zone *time.Location) string {
	lines := make([]string, len(b.Lines))
	for i, l := range b.Lines {
		if l.Kind == tariff.KindEnergy {
			lines[i] = fmt.Sprintf("ENERGY %s %s-%s %s=%s+%s", l.PeriodKind, l.From.In(zone).Format("15:04"), l.To.In(zone).Format("15:04"), l.Energy, l.Electricity, l.Service)
			continue
		}
		lines[i] = strings.TrimSpace(fmt.Sprintf("%s %dmin=%s %s", l.Kind, l.Minutes, l.Amount, l.Reason))
	}
	return strings.Join(lines, "|")
}

func TestGoldenBills(t *testing.T) {
	t.Parallel()
	for _, g := range goldens {
		t.Run(g.name, func(t *testing.T) {
			t.Parallel()
			s, c := g.input(t)
			b, err := tariff.Price(s, c)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(g.want, words(b, c.Zone)); diff != "" {
				t.Errorf("lines (-want +got):\n%s", diff)
			}
			if b.Amount.String() != g.amount || b.Falling != g.falling {
				t.Errorf("amount %s, falling %v; want %s, %v", b.Amount, b.Falling, g.amount, g.falling)
			}
		})
	}
}

func TestNinetySixSegments(t *testing.T) {
	t.Parallel()
	var s tariff.Snapshot
	for i := range 96 {
		s.Segments = append(s.Segments, tariff.Segment{From: i * 15, To: i*15 + 15, Kind: tariff.Flat, EnergyPrice: evcs.UnitPrice(i * 1000)})
	}
	zone := time.FixedZone("UTC+8", 8*3600)
	start := time.Date(2026, 2, 10, 0, 0, 0, 0, zone)
	b, err := tariff.Price(s, tariff.Curve{Zone: zone, Start: start, Stop: start.Add(24 * time.Hour), Total: 960 * evcs.KWh})
	if err != nil {
		t.Fatal(err)
	}
	// 10 kWh in each quarter at i fen: 10·(0+1+…+95) = 45 600 fen
	if len(b.Lines) != 96 || b.Amount != 45_600 {
		t.Errorf("%d lines, %s; want 96 lines, 456.00", len(b.Lines), b.Amount)
	}
}

// drawn is a random session on a random tariff.
func drawn(t *rapid.T) (tariff.Snapshot, tariff.Curve) {
	cuts := rapid.SliceOfNDistinct(rapid.IntRange(1, 95), 0, 12, rapid.ID[int]).Draw(t, "cuts")
	var s tariff.Snapshot
	from := 0
	for slot := range 97 {
		cut := slot == 96
		for _, c := range cuts {
			cut = cut || c == slot
		}
		if slot == 0 || !cut {
			continue
		}
		s.Segments = append(s.Segments, tariff.Segment{
			From: from, To: slot * 15, Kind: tariff.Flat,
			EnergyPrice:  evcs.UnitPrice(rapid.Int64Range(0, 300_000).Draw(t, "energy price")),
			ServicePrice: evcs.UnitPrice(rapid.Int64Range(0, 200_000).Draw(t, "service price")),
		})
		from = slot * 15
	}
	zone := time.FixedZone("local", rapid.IntRange(-48, 48).Draw(t, "zone")*900)
	start := time.UnixMilli(1_770_000_000_000 + rapid.Int64Range(0, 86_400_000).Draw(t, "start"))
	c := tariff.Curve{Zone: zone, Start: start, Stop: start.Add(time.Duration(rapid.Int64Range(0, 3*86_400_000).Draw(t, "length")) * time.Millisecond)}
	level := evcs.Energy(0)
	for range rapid.IntRange(0, 20).Draw(t, "samples") {
		span := int64(c.Stop.Sub(start)/time.Millisecond) + 1
		c.Points = append(c.Points, tariff.Point{At: start.Add(time.Duration(rapid.Int64Range(0, span-1).Draw(t, "at")) * time.Millisecond)})
	}
	sortPoints(c.Points)
	for i := range c.Points {
		level += evcs.Energy(rapid.Int64Range(0, 200_000).Draw(t, "rise"))
		c.Points[i].Energy = level
	}
	c.Total = level + evcs.Energy(rapid.Int64Range(0, 200_000).Draw(t, "rest"))
	return s, c
}

func sortPoints(p []tariff.Point) {
	for i := range p {
		for j := i; j > 0 && p[j].At.Before(p[j-1].At); j-- {
			p[j], p[j-1] = p[j-1], p[j]
		}
	}
}

func TestBillsAddUp(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s, c := drawn(t)
		b, err := tariff.Price(s, c)
		if err != nil {
			t.Fatal(err)
		}
		var energy evcs.Energy
		var sum, electricity, service evcs.Money
		end := c.Start
		for _, l := range b.Lines {
			energy += l.Energy
			sum += l.Amount
			electricity += l.Electricity
			service += l.Service
			if l.From.Before(end) {
				t.Fatalf("the minute %s is billed twice", l.From)
			}
			end = l.To
		}
		if energy != c.Total {
			t.Fatalf("the lines hold %s of %s kWh", energy, c.Total)
		}
		if sum != b.Amount || electricity != b.Electricity || service != b.Service || sum != electricity+service {
			t.Fatalf("lines %s, total %s (%s + %s)", sum, b.Amount, b.Electricity, b.Service)
		}
	})
}

// The reference walks the session millisecond range by minute in rational
// numbers and shares nothing with Price but the rounding rule.
func TestAgreesWithASlowReference(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s, c := drawn(t)
		b, err := tariff.Price(s, c)
		if err != nil {
			t.Fatal(err)
		}
		if want := reference(s, c); want != b.Amount {
			t.Fatalf("the reference says %s, Price %s", want, b.Amount)
		}
	})
}

func reference(s tariff.Snapshot, c tariff.Curve) evcs.Money {
	curve := []tariff.Point{{At: c.Start}}
	for _, p := range c.Points {
		if !p.At.Before(c.Stop) {
			continue
		}
		if last := &curve[len(curve)-1]; p.At.Equal(last.At) {
			if len(curve) > 1 {
				last.Energy = p.Energy
			}
			continue
		}
		curve = append(curve, p)
	}
	curve = append(curve, tariff.Point{At: c.Stop, Energy: c.Total})
	energyAt := func(at time.Time) *big.Rat {
		for i := 1; i < len(curve); i++ {
			if at.After(curve[i].At) || !curve[i].At.After(curve[i-1].At) {
				continue
			}
			part := big.NewRat(at.Sub(curve[i-1].At).Milliseconds(), curve[i].At.Sub(curve[i-1].At).Milliseconds())
			rise := new(big.Rat).SetInt64(int64(curve[i].Energy - curve[i-1].Energy))
			return new(big.Rat).Add(new(big.Rat).SetInt64(int64(curve[i-1].Energy)), rise.Mul(rise, part))
		}
		return new(big.Rat).SetInt64(int64(c.Total))
	}
	half := big.NewRat(1, 2)
	up := func(r *big.Rat) int64 { // half up
		r = new(big.Rat).Add(r, half)
		return new(big.Int).Div(r.Num(), r.Denom()).Int64()
	}
	var total int64
	done := int64(0)
	from := c.Start
	for {
		local := from.In(c.Zone)
		minute := local.Hour()*60 + local.Minute()
		var seg tariff.Segment
		for _, x := range s.Segments {
			if minute >= x.From && minute < x.To {
				seg = x
			}
		}
		midnight := time.Date(local.Year(), local.Month(), local.Day(), 0, 0, 0, 0, c.Zone)
		to := midnight.Add(time.Duration(seg.To) * time.Minute)
		upTo := int64(c.Total)
		if to.Before(c.Stop) {
			upTo = up(energyAt(to))
		}
		for _, p := range []evcs.UnitPrice{seg.EnergyPrice, seg.ServicePrice} {
			total += up(big.NewRat((upTo-done)*int64(p), 10_000_000))
		}
		if !to.Before(c.Stop) {
			return evcs.Money(total)
		}
		from, done = to, upTo
	}
}

func TestMoreEnergyNeverCostsLess(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s, c := drawn(t)
		s.Segments = s.Segments[:1]
		s.Segments[0].To = 1440
		a, err := tariff.Price(s, c)
		if err != nil {
			t.Fatal(err)
		}
		c.Total += evcs.Energy(rapid.Int64Range(0, 100_000).Draw(t, "more"))
		b, err := tariff.Price(s, c)
		if err != nil {
			t.Fatal(err)
		}
		// two cuts at midnight may each round by a fen
		if b.Amount < a.Amount-evcs.Money(len(a.Lines)) {
			t.Fatalf("%s for less, %s for more energy", a.Amount, b.Amount)
		}
	})
}

func BenchmarkPrice(b *testing.B) {
	s := tariff.Snapshot{Segments: day(b, tou)}
	zone := time.FixedZone("UTC+8", 8*3600)
	start := time.Date(2026, 2, 10, 9, 30, 0, 0, zone)
	c := tariff.Curve{Zone: zone, Start: start, Stop: start.Add(2 * time.Hour), Total: 120 * evcs.KWh}
	for i := range 120 {
		c.Points = append(c.Points, tariff.Point{At: start.Add(time.Duration(i) * time.Minute), Energy: evcs.Energy(i) * evcs.KWh})
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tariff.Price(s, c); err != nil {
			b.Fatal(err)
		}
	}
}
