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
	both   = "00:00 FLAT 1.00000 1.00000"
	nearly = "00:00 FLAT 0.99999 1.00001"
	fine   = "00:00 FLAT 0.98765 0.12345"
	dawn   = "00:00 VALLEY 0.1 0|02:00 FLAT 0.5 0|03:00 PEAK 1 0"
	night  = "00:00 VALLEY 0.1 0|01:00 PEAK 1 0"
	hour   = "00:00 VALLEY 0.1 0|00:15 FLAT 0.2 0|00:30 PEAK 0.3 0|00:45 SHARP 0.4 0|01:00 FLAT 1 0"
	odd    = "00:00 VALLEY 0.3000 0.1000|06:15 FLAT 0.7000 0.1000|23:45 VALLEY 0.3000 0.1000"
)

// The calendars of the golden cases: days=segments, separated by ";".
const (
	weekend  = "SAT SUN=00:00 FLAT 0.5 0.1"
	holidays = weekend + ";HOLIDAY=00:00 VALLEY 0.2 0.1"
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
	rise        string // "time energy": the last rise, given
	fees        string // "start 2.00 min 10.00 max 50.00"
	calendars   string
	special     string // "2026-10-01 2026-10-10:THU"
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
	{name: "idle from a given last rise", day: fixed, idle: "0 1 -", rise: "2026-02-10 10:30:00 30", start: "2026-02-10 09:00:00", stop: "2026-02-10 11:00:00", total: "30", points: "2026-02-10 10:00:00 30", amount: "60.00", want: "ENERGY FLAT 09:00-11:00 30.0000=30.00+0.00|IDLE 30min=30.00"},
	{name: "a creeping register is not charging", day: fixed, idle: "0 1 -", start: "2026-02-10 09:00:00", stop: "2026-02-10 11:00:00", total: "10.0099", points: "2026-02-10 10:00:00 10, 2026-02-10 10:30:00 10.005", amount: "70.01", want: "ENERGY FLAT 09:00-11:00 10.0099=10.01+0.00|IDLE 60min=60.00"},
	{name: "a slow rise adds up to charging", day: fixed, idle: "0 1 -", start: "2026-02-10 09:00:00", stop: "2026-02-10 11:00:00", total: "10.01", points: "2026-02-10 10:00:00 10, 2026-02-10 10:30:00 10.005, 2026-02-10 10:45:00 10.01", amount: "25.01", want: "ENERGY FLAT 09:00-11:00 10.0100=10.01+0.00|IDLE 15min=15.00"},
	{name: "parking by the begun minute", day: fixed, parking: "0 6.00", start: "2026-02-10 09:00:00", stop: "2026-02-10 09:30:01", total: "1", amount: "4.10", want: "ENERGY FLAT 09:00-09:30 1.0000=1.00+0.00|PARKING 31min=3.10"},
	{name: "parking with free minutes", day: fixed, parking: "30 6.00", start: "2026-02-10 09:00:00", stop: "2026-02-10 10:00:00", total: "1", amount: "4.00", want: "ENERGY FLAT 09:00-10:00 1.0000=1.00+0.00|PARKING 30min=3.00"},
	{name: "parking within the free minutes", day: fixed, parking: "60 6.00", start: "2026-02-10 09:00:00", stop: "2026-02-10 10:00:00", total: "1", amount: "1.00", want: "ENERGY FLAT 09:00-10:00 1.0000=1.00+0.00"},
	{name: "parking rounds half up once", day: fixed, parking: "0 1.00", start: "2026-02-10 09:00:00", stop: "2026-02-10 09:01:00", total: "0", amount: "0.02", want: "PARKING 1min=0.02"},
	{name: "everything at once", day: tou, idle: "10 0.5 5.00", parking: "60 3.00", start: "2026-02-10 09:30:00", stop: "2026-02-10 11:00:00", total: "40", points: "2026-02-10 10:00:00 20, 2026-02-10 10:30:00 40", amount: "64.50", want: "ENERGY FLAT 09:30-10:00 20.0000=16.00+8.00|ENERGY PEAK 10:00-11:00 20.0000=24.00+10.00|IDLE 20min=5.00 CAPPED|PARKING 30min=1.50"},
	{name: "spring forward: the wall clock jumps over an hour", day: dawn, zone: "Europe/Berlin", start: "2026-03-29 01:00:00", stop: "2026-03-29 04:00:00", total: "20", amount: "11.00", want: "ENERGY VALLEY 01:00-03:00 10.0000=1.00+0.00|ENERGY PEAK 03:00-04:00 10.0000=10.00+0.00"},
	{name: "fall back: the doubled hour is billed by its name", day: dawn, zone: "Europe/Berlin", start: "2026-10-25 01:00:00", stop: "2026-10-25 04:00:00", total: "40", amount: "21.00", want: "ENERGY VALLEY 01:00-02:00 10.0000=1.00+0.00|ENERGY FLAT 02:00-03:00 20.0000=10.00+0.00|ENERGY PEAK 03:00-04:00 10.0000=10.00+0.00"},
	// the worked examples of docs/tariffs.md
	{name: "worked: Tuesday", day: tou, calendars: holidays, fees: "start 2.00 min 5.00 max 200.00", idle: "10 0.5 20.00", parking: "60 3.00", start: "2026-02-10 09:30:00", stop: "2026-02-10 10:30:00", total: "42.5", points: "2026-02-10 10:00:00 21.75", amount: "63.38", want: "START=2.00|ENERGY FLAT 09:30-10:00 21.7500=17.40+8.70|ENERGY PEAK 10:00-10:30 20.7500=24.90+10.38"},
	{name: "worked: Friday night", day: tou, calendars: holidays, fees: "start 2.00 min 5.00 max 200.00", idle: "10 0.5 20.00", parking: "60 3.00", start: "2026-02-13 23:00:00", stop: "2026-02-14 01:00:00", total: "20", amount: "16.00", want: "START=2.00|ENERGY VALLEY 23:00-00:00 10.0000=3.00+2.00|ENERGY FLAT 00:00-01:00 10.0000=5.00+1.00|PARKING 60min=3.00"},
	{name: "worked: Saturday", day: tou, calendars: holidays, fees: "start 2.00 min 5.00 max 200.00", idle: "10 0.5 20.00", parking: "60 3.00", start: "2026-02-14 09:30:00", stop: "2026-02-14 11:00:00", total: "4", points: "2026-02-14 10:30:00 4", amount: "15.90", want: "START=2.00|ENERGY FLAT 09:30-11:00 4.0000=2.00+0.40|IDLE 20min=10.00|PARKING 30min=1.50"},
	// start fee, minimum, cap
	{name: "a start fee", day: fixed, fees: "start 2.00", start: "2026-02-10 09:30:00", stop: "2026-02-10 10:30:00", total: "10", amount: "12.00", want: "START=2.00|ENERGY FLAT 09:30-10:30 10.0000=10.00+0.00"},
	{name: "no start fee without energy", day: fixed, fees: "start 2.00 min 5.00", start: "2026-02-10 09:30:00", stop: "2026-02-10 10:30:00", total: "0", amount: "0.00"},
	{name: "the minimum is filled up: 15 − 10", day: fixed, fees: "min 15.00", start: "2026-02-10 09:30:00", stop: "2026-02-10 10:30:00", total: "10", amount: "15.00", want: "ENERGY FLAT 09:30-10:30 10.0000=10.00+0.00|MINIMUM=5.00"},
	{name: "the minimum is met to the fen", day: fixed, fees: "min 15.00", start: "2026-02-10 09:30:00", stop: "2026-02-10 10:30:00", total: "15", amount: "15.00", want: "ENERGY FLAT 09:30-10:30 15.0000=15.00+0.00"},
	{name: "one fen below the minimum", day: fixed, fees: "min 15.00", start: "2026-02-10 09:30:00", stop: "2026-02-10 10:30:00", total: "14.99", amount: "15.00", want: "ENERGY FLAT 09:30-10:30 14.9900=14.99+0.00|MINIMUM=0.01"},
	{name: "the cap: 30 − 42.50", day: fixed, fees: "max 30.00", start: "2026-02-10 09:30:00", stop: "2026-02-10 10:30:00", total: "42.5", amount: "30.00", want: "ENERGY FLAT 09:30-10:30 42.5000=42.50+0.00|CAP=-12.50"},
	{name: "the cap is met to the fen", day: fixed, fees: "max 30.00", start: "2026-02-10 09:30:00", stop: "2026-02-10 10:30:00", total: "30", amount: "30.00", want: "ENERGY FLAT 09:30-10:30 30.0000=30.00+0.00"},
	{name: "the cap bounds idle time too: 40 − (30 + 60)", day: fixed, fees: "max 40.00", idle: "0 1 -", start: "2026-02-10 09:00:00", stop: "2026-02-10 11:00:00", total: "30", points: "2026-02-10 10:00:00 30", amount: "40.00", want: "ENERGY FLAT 09:00-11:00 30.0000=30.00+0.00|IDLE 60min=60.00|CAP=-50.00"},
	{name: "the start fee counts to the minimum: 10 − (2 + 5)", day: fixed, fees: "start 2.00 min 10.00", start: "2026-02-10 09:30:00", stop: "2026-02-10 10:30:00", total: "5", amount: "10.00", want: "START=2.00|ENERGY FLAT 09:30-10:30 5.0000=5.00+0.00|MINIMUM=3.00"},
	{name: "parking counts to the minimum: 10 − (1 + 6)", day: fixed, fees: "min 10.00", parking: "0 6.00", start: "2026-02-10 09:00:00", stop: "2026-02-10 10:00:00", total: "1", amount: "10.00", want: "ENERGY FLAT 09:00-10:00 1.0000=1.00+0.00|PARKING 60min=6.00|MINIMUM=3.00"},
	{name: "one price for every session, a small one", day: fixed, fees: "min 20.00 max 20.00", start: "2026-02-10 09:30:00", stop: "2026-02-10 10:30:00", total: "5", amount: "20.00", want: "ENERGY FLAT 09:30-10:30 5.0000=5.00+0.00|MINIMUM=15.00"},
	{name: "one price for every session, a big one", day: fixed, fees: "min 20.00 max 20.00", start: "2026-02-10 09:30:00", stop: "2026-02-10 10:30:00", total: "42.5", amount: "20.00", want: "ENERGY FLAT 09:30-10:30 42.5000=42.50+0.00|CAP=-22.50"},
	{name: "a cap below the start fee: 3 − (5 + 1)", day: fixed, fees: "start 5.00 max 3.00", start: "2026-02-10 09:30:00", stop: "2026-02-10 10:30:00", total: "1", amount: "3.00", want: "START=5.00|ENERGY FLAT 09:30-10:30 1.0000=1.00+0.00|CAP=-3.00"},
	{name: "no length, a minimum: 5 − 1.20", day: tou, fees: "min 5.00", start: "2026-02-10 09:00:00", stop: "2026-02-10 09:00:00", total: "1", amount: "5.00", want: "ENERGY FLAT 09:00-09:00 1.0000=0.80+0.40|MINIMUM=3.80"},
	{name: "a cap of nothing makes it free", day: fixed, fees: "max 0.00", start: "2026-02-10 09:30:00", stop: "2026-02-10 10:30:00", total: "1", amount: "0.00", want: "ENERGY FLAT 09:30-10:30 1.0000=1.00+0.00|CAP=-1.00"},
	// calendars: 2026-02-13 is a Friday, 2026-10-01 a Thursday
	{name: "a Saturday by its calendar: 20 × 0.5 + 20 × 0.1", day: tou, calendars: weekend, start: "2026-02-14 09:30:00", stop: "2026-02-14 10:30:00", total: "20", amount: "12.00", want: "ENERGY FLAT 09:30-10:30 20.0000=10.00+2.00"},
	{name: "a weekday with a calendar for weekends", day: tou, calendars: weekend, start: "2026-02-13 09:30:00", stop: "2026-02-13 10:30:00", total: "20", amount: "29.00", want: "ENERGY FLAT 09:30-10:00 10.0000=8.00+4.00|ENERGY PEAK 10:00-10:30 10.0000=12.00+5.00"},
	{name: "Friday turns Saturday at midnight", day: tou, calendars: weekend, start: "2026-02-13 23:00:00", stop: "2026-02-14 01:00:00", total: "20", amount: "11.00", want: "ENERGY VALLEY 23:00-00:00 10.0000=3.00+2.00|ENERGY FLAT 00:00-01:00 10.0000=5.00+1.00"},
	{name: "Sunday turns Monday at midnight", day: tou, calendars: weekend, start: "2026-02-15 23:00:00", stop: "2026-02-16 01:00:00", total: "20", amount: "11.00", want: "ENERGY FLAT 23:00-00:00 10.0000=5.00+1.00|ENERGY VALLEY 00:00-01:00 10.0000=3.00+2.00"},
	{name: "Saturday and Sunday are two lines", day: tou, calendars: weekend, start: "2026-02-14 23:00:00", stop: "2026-02-15 01:00:00", total: "20", amount: "12.00", want: "ENERGY FLAT 23:00-00:00 10.0000=5.00+1.00|ENERGY FLAT 00:00-01:00 10.0000=5.00+1.00"},
	{name: "a holiday goes before its Thursday: 20 × 0.2 + 20 × 0.1", day: tou, calendars: holidays, special: "2026-10-01", start: "2026-10-01 09:30:00", stop: "2026-10-01 10:30:00", total: "20", amount: "6.00", want: "ENERGY VALLEY 09:30-10:30 20.0000=4.00+2.00"},
	{name: "a holiday goes before its Saturday", day: tou, calendars: holidays, special: "2026-10-01 2026-10-03", start: "2026-10-03 09:30:00", stop: "2026-10-03 10:30:00", total: "20", amount: "6.00", want: "ENERGY VALLEY 09:30-10:30 20.0000=4.00+2.00"},
	{name: "a Saturday that is worked like a Thursday", day: tou, calendars: holidays, special: "2026-10-10:THU", start: "2026-10-10 09:30:00", stop: "2026-10-10 10:30:00", total: "20", amount: "29.00", want: "ENERGY FLAT 09:30-10:00 10.0000=8.00+4.00|ENERGY PEAK 10:00-10:30 10.0000=12.00+5.00"},
	{name: "a Thursday that counts as a Sunday", day: tou, calendars: weekend, special: "2026-10-08:SUN", start: "2026-10-08 09:30:00", stop: "2026-10-08 10:30:00", total: "20", amount: "12.00", want: "ENERGY FLAT 09:30-10:30 20.0000=10.00+2.00"},
	{name: "a holiday without prices for holidays is its Thursday", day: tou, calendars: weekend, special: "2026-10-01", start: "2026-10-01 09:30:00", stop: "2026-10-01 10:30:00", total: "20", amount: "29.00", want: "ENERGY FLAT 09:30-10:00 10.0000=8.00+4.00|ENERGY PEAK 10:00-10:30 10.0000=12.00+5.00"},
	{name: "a holiday without prices for holidays is its Saturday", day: tou, calendars: weekend, special: "2026-10-03", start: "2026-10-03 09:30:00", stop: "2026-10-03 10:30:00", total: "20", amount: "12.00", want: "ENERGY FLAT 09:30-10:30 20.0000=10.00+2.00"},
	{name: "from the eve into the holiday", day: tou, calendars: holidays, special: "2026-10-01", start: "2026-09-30 23:30:00", stop: "2026-10-01 00:30:00", total: "2", amount: "0.80", want: "ENERGY VALLEY 23:30-00:00 1.0000=0.30+0.20|ENERGY VALLEY 00:00-00:30 1.0000=0.20+0.10"},
	{name: "the day is that of the station's wall clock", day: tou, zone: "America/New_York", calendars: weekend, start: "2026-02-13 23:30:00", stop: "2026-02-14 00:30:00", total: "2", amount: "1.10", want: "ENERGY VALLEY 23:30-00:00 1.0000=0.30+0.20|ENERGY FLAT 00:00-00:30 1.0000=0.50+0.10"},
	{name: "a special day without calendars changes nothing", day: fixed, special: "2026-10-01", start: "2026-10-01 09:30:00", stop: "2026-10-01 10:30:00", total: "20", amount: "20.00", want: "ENERGY FLAT 09:30-10:30 20.0000=20.00+0.00"},
	// clock changes
	{name: "spring forward: a day of 23 hours is cut at its midnights", day: fixed, zone: "Europe/Berlin", start: "2026-03-28 12:00:00", stop: "2026-03-30 12:00:00", total: "47", amount: "47.00", want: "ENERGY FLAT 12:00-00:00 12.0000=12.00+0.00|ENERGY FLAT 00:00-00:00 23.0000=23.00+0.00|ENERGY FLAT 00:00-12:00 12.0000=12.00+0.00"},
	{name: "fall back: a day of 25 hours is cut at its midnights", day: fixed, zone: "Europe/Berlin", start: "2026-10-24 12:00:00", stop: "2026-10-26 12:00:00", total: "49", amount: "49.00", want: "ENERGY FLAT 12:00-00:00 12.0000=12.00+0.00|ENERGY FLAT 00:00-00:00 25.0000=25.00+0.00|ENERGY FLAT 00:00-12:00 12.0000=12.00+0.00"},
	{name: "fall back on a Sunday, Monday has other prices: 25 × 0.5 + 25 × 0.1, 8 × 0.3 + 8 × 0.2", day: tou, zone: "Europe/Berlin", calendars: weekend, start: "2026-10-25 00:00:00", stop: "2026-10-26 08:00:00", total: "33", amount: "19.00", want: "ENERGY FLAT 00:00-00:00 25.0000=12.50+2.50|ENERGY VALLEY 00:00-08:00 8.0000=2.40+1.60"},
	{name: "Lord Howe springs forward by half an hour: 02:00 to 02:30 is not", day: "00:00 VALLEY 0.1 0|02:00 FLAT 0.5 0|02:30 PEAK 1 0", zone: "Australia/Lord_Howe", start: "2026-10-04 01:30:00", stop: "2026-10-04 03:00:00", total: "10", amount: "5.50", want: "ENERGY VALLEY 01:30-02:30 5.0000=0.50+0.00|ENERGY PEAK 02:30-03:00 5.0000=5.00+0.00"},
	{name: "Lord Howe falls back by half an hour: 01:30 to 02:00 is twice", day: "00:00 VALLEY 0.1 0|01:30 FLAT 0.5 0|02:00 PEAK 1 0", zone: "Australia/Lord_Howe", start: "2026-04-05 01:00:00", stop: "2026-04-05 03:00:00", total: "25", amount: "15.50", want: "ENERGY VALLEY 01:00-01:30 5.0000=0.50+0.00|ENERGY FLAT 01:30-02:00 10.0000=5.00+0.00|ENERGY PEAK 02:00-03:00 10.0000=10.00+0.00"},
	{name: "Havana jumps over midnight: 00:00 to 01:00 is not", day: night, zone: "America/Havana", start: "2026-03-07 23:00:00", stop: "2026-03-08 02:00:00", total: "20", amount: "20.00", want: "ENERGY PEAK 23:00-01:00 10.0000=10.00+0.00|ENERGY PEAK 01:00-02:00 10.0000=10.00+0.00"},
	{name: "Havana repeats the hour behind midnight", day: night, zone: "America/Havana", start: "2026-10-31 23:00:00", stop: "2026-11-01 02:00:00", total: "40", amount: "22.00", want: "ENERGY PEAK 23:00-00:00 10.0000=10.00+0.00|ENERGY VALLEY 00:00-01:00 20.0000=2.00+0.00|ENERGY PEAK 01:00-02:00 10.0000=10.00+0.00"},
	{name: "Beirut repeats the hour before midnight", day: "00:00 VALLEY 0.1 0|23:00 PEAK 1 0", zone: "Asia/Beirut", start: "2026-10-24 22:00:00", stop: "2026-10-25 01:00:00", total: "40", amount: "22.00", want: "ENERGY VALLEY 22:00-23:00 10.0000=1.00+0.00|ENERGY PEAK 23:00-00:00 20.0000=20.00+0.00|ENERGY VALLEY 00:00-01:00 10.0000=1.00+0.00"},
	{name: "a zone of a quarter: Kathmandu", day: tou, zone: "Asia/Kathmandu", start: "2026-02-10 09:30:00", stop: "2026-02-10 10:30:00", total: "20", amount: "29.00", want: "ENERGY FLAT 09:30-10:00 10.0000=8.00+4.00|ENERGY PEAK 10:00-10:30 10.0000=12.00+5.00"},
	// long and odd
	{name: "Tuesday evening to Friday morning, 1 kWh an hour", day: tou, start: "2026-02-10 18:00:00", stop: "2026-02-13 06:00:00", total: "60", amount: "67.60", want: "ENERGY SHARP 18:00-22:00 4.0000=6.00+3.20|ENERGY VALLEY 22:00-00:00 2.0000=0.60+0.40|" +
		"ENERGY VALLEY 00:00-08:00 8.0000=2.40+1.60|ENERGY FLAT 08:00-10:00 2.0000=1.60+0.80|ENERGY PEAK 10:00-12:00 2.0000=2.40+1.00|ENERGY FLAT 12:00-18:00 6.0000=4.80+2.40|ENERGY SHARP 18:00-22:00 4.0000=6.00+3.20|ENERGY VALLEY 22:00-00:00 2.0000=0.60+0.40|" +
		"ENERGY VALLEY 00:00-08:00 8.0000=2.40+1.60|ENERGY FLAT 08:00-10:00 2.0000=1.60+0.80|ENERGY PEAK 10:00-12:00 2.0000=2.40+1.00|ENERGY FLAT 12:00-18:00 6.0000=4.80+2.40|ENERGY SHARP 18:00-22:00 4.0000=6.00+3.20|ENERGY VALLEY 22:00-00:00 2.0000=0.60+0.40|" +
		"ENERGY VALLEY 00:00-06:00 6.0000=1.80+1.20"},
	{name: "a gap of readings over three boundaries, 20 kWh an hour", day: tou, start: "2026-02-10 07:30:00", stop: "2026-02-10 12:30:00", total: "100", amount: "133.00", want: "ENERGY VALLEY 07:30-08:00 10.0000=3.00+2.00|ENERGY FLAT 08:00-10:00 40.0000=32.00+16.00|ENERGY PEAK 10:00-12:00 40.0000=48.00+20.00|ENERGY FLAT 12:00-12:30 10.0000=8.00+4.00"},
	{name: "a meter that falls twice and comes back", day: tou, start: "2026-02-10 09:30:00", stop: "2026-02-10 10:30:00", total: "40", points: "2026-02-10 09:40:00 10, 2026-02-10 09:45:00 5, 2026-02-10 09:50:00 7, 2026-02-10 10:00:00 20", amount: "58.00", falling: true, want: "ENERGY FLAT 09:30-10:00 20.0000=16.00+8.00|ENERGY PEAK 10:00-10:30 20.0000=24.00+10.00"},
	{name: "the stop's own rise ends the idle time", day: fixed, idle: "0 1 -", start: "2026-02-10 09:00:00", stop: "2026-02-10 11:00:00", total: "30.5", points: "2026-02-10 10:00:00 30", amount: "30.50", want: "ENERGY FLAT 09:00-11:00 30.5000=30.50+0.00"},
	{name: "every quarter of an hour", day: hour, start: "2026-02-10 00:00:00", stop: "2026-02-10 01:00:00", total: "40", amount: "10.00", want: "ENERGY VALLEY 00:00-00:15 10.0000=1.00+0.00|ENERGY FLAT 00:15-00:30 10.0000=2.00+0.00|ENERGY PEAK 00:30-00:45 10.0000=3.00+0.00|ENERGY SHARP 00:45-01:00 10.0000=4.00+0.00"},
	{name: "a second on each side of a quarter", day: hour, start: "2026-02-10 00:14:59", stop: "2026-02-10 00:15:01", total: "1", amount: "0.15", want: "ENERGY VALLEY 00:14-00:15 0.5000=0.05+0.00|ENERGY FLAT 00:15-00:15 0.5000=0.10+0.00"},
	{name: "half a fen of each price rounds up by itself: 0.005 + 0.005", day: both, start: "2026-02-10 09:00:00", stop: "2026-02-10 09:01:00", total: "0.005", amount: "0.02", want: "ENERGY FLAT 09:00-09:01 0.0050=0.01+0.01"},
	{name: "0.00499995 is nothing and 0.00500005 a fen", day: nearly, start: "2026-02-10 09:00:00", stop: "2026-02-10 09:01:00", total: "0.005", amount: "0.01", want: "ENERGY FLAT 09:00-09:01 0.0050=0.00+0.01"},
	{name: "five decimals: 121.932009755 and 15.240729615", day: fine, start: "2026-02-10 09:00:00", stop: "2026-02-10 10:00:00", total: "123.4567", amount: "137.17", want: "ENERGY FLAT 09:00-10:00 123.4567=121.93+15.24"},
	{name: "the dearest price", day: "00:00 SHARP 100 100", start: "2026-02-10 09:00:00", stop: "2026-02-10 10:00:00", total: "1.2345", amount: "246.90", want: "ENERGY SHARP 09:00-10:00 1.2345=123.45+123.45"},
	{name: "energy for nothing has a line", day: "00:00 VALLEY 0 0", start: "2026-02-10 09:00:00", stop: "2026-02-10 10:00:00", total: "10", amount: "0.00", want: "ENERGY VALLEY 09:00-10:00 10.0000=0.00+0.00"},
	{name: "energy for nothing has a minimum like any other", day: "00:00 VALLEY 0 0", fees: "min 1.00", start: "2026-02-10 09:00:00", stop: "2026-02-10 10:00:00", total: "10", amount: "1.00", want: "ENERGY VALLEY 09:00-10:00 10.0000=0.00+0.00|MINIMUM=1.00"},
	{name: "everything at once with calendars: 2 + 12 + 5 + 1.50 below 21", day: tou, calendars: weekend, fees: "start 2.00 min 21.00 max 50.00", idle: "10 0.5 5.00", parking: "60 3.00", start: "2026-02-14 09:30:00", stop: "2026-02-14 11:00:00", total: "20", points: "2026-02-14 10:30:00 20", amount: "21.00", want: "START=2.00|ENERGY FLAT 09:30-11:00 20.0000=10.00+2.00|IDLE 20min=5.00 CAPPED|PARKING 30min=1.50|MINIMUM=0.50"},
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
	if g.rise != "" {
		c.Rise = tariff.Rise{At: at(t, zone, g.rise[:19]), Energy: kwh(t, g.rise[20:])}
	}
	g.terms(t, &s)
	if g.points != "" {
		for part := range strings.SplitSeq(g.points, ", ") {
			c.Points = append(c.Points, tariff.Point{At: at(t, zone, part[:19]), Energy: kwh(t, part[20:])})
		}
	}
	return s, c
}

// terms reads fees, calendars and special days.
func (g golden) terms(t testing.TB, s *tariff.Snapshot) {
	t.Helper()
	fees := strings.Fields(g.fees)
	for i := 0; i+1 < len(fees); i += 2 {
		m, err := evcs.ParseMoney(fees[i+1])
		if err != nil {
			t.Fatal(err)
		}
		switch fees[i] {
		case "start":
			s.Fees.Start = &m
		case "min":
			s.Fees.Min = &m
		case "max":
			s.Fees.Max = &m
		default:
			t.Fatalf("fee %q", fees[i])
		}
	}
	if g.calendars != "" {
		for part := range strings.SplitSeq(g.calendars, ";") {
			days, segments, _ := strings.Cut(part, "=")
			var c tariff.Calendar
			for name := range strings.FieldsSeq(days) {
				c.Days = append(c.Days, tariff.DayClass(name))
			}
			c.Segments = day(t, segments)
			s.Calendars = append(s.Calendars, c)
		}
	}
	for part := range strings.FieldsSeq(g.special) {
		date, as, worked := strings.Cut(part, ":")
		h := tariff.Holiday{Date: date, CountsAs: tariff.OnHoliday}
		if worked {
			h.CountsAs = tariff.DayClass(as)
		}
		s.Holidays = append(s.Holidays, h)
	}
}

func words(b tariff.Bill, zone *time.Location) string {
	lines := make([]string, len(b.Lines))
	for i, l := range b.Lines {
		if l.Kind == tariff.KindEnergy {
			lines[i] = fmt.Sprintf("ENERGY %s %s-%s %s=%s+%s", l.PeriodKind, l.From.In(zone).Format("15:04"), l.To.In(zone).Format("15:04"), l.Energy, l.Electricity, l.Service)
			continue
		}
		if l.Minutes == 0 {
			lines[i] = fmt.Sprintf("%s=%s", l.Kind, l.Amount)
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
	quarters := make([]tariff.Segment, 96)
	for i := range quarters {
		quarters[i] = tariff.Segment{From: i * 15, To: i*15 + 15, Kind: tariff.Flat, EnergyPrice: evcs.UnitPrice(i * 1000), ServicePrice: 5_000}
	}
	zone, err := time.LoadLocation("Asia/Shanghai")
	if err != nil {
		b.Fatal(err)
	}
	start := time.Date(2026, 2, 10, 9, 30, 0, 0, zone)
	session := func(samples int, length time.Duration) tariff.Curve {
		c := tariff.Curve{Zone: zone, Start: start, Stop: start.Add(length), Total: 120 * evcs.KWh}
		for i := range samples {
			c.Points = append(c.Points, tariff.Point{At: start.Add(length * time.Duration(i) / time.Duration(samples)), Energy: 120 * evcs.KWh * evcs.Energy(i) / evcs.Energy(samples)})
		}
		return c
	}
	for _, x := range []struct {
		name string
		s    tariff.Snapshot
		c    tariff.Curve
	}{
		{"6 segments, 2 h, 120 readings", tariff.Snapshot{Segments: day(b, tou)}, session(120, 2*time.Hour)},
		{"96 segments, 24 h, 1000 readings", tariff.Snapshot{Segments: quarters}, session(1000, 24*time.Hour)},
		{"96 segments, calendars, 24 h, 1000 readings", tariff.Snapshot{
			Segments: quarters, Calendars: []tariff.Calendar{{Days: []tariff.DayClass{tariff.Tuesday}, Segments: quarters}},
			Holidays: []tariff.Holiday{{Date: "2026-10-01", CountsAs: tariff.OnHoliday}},
		}, session(1000, 24*time.Hour)},
	} {
		b.Run(x.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := tariff.Price(x.s, x.c); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("the running estimate, 8 h, a reading every 10 s", func(b *testing.B) {
		track, c := tariff.Track{}, session(8*360, 8*time.Hour)
		for _, p := range c.Points {
			track = track.With(p)
		}
		b.ReportAllocs()
		for b.Loop() {
			if _, err := tariff.Price(tariff.Snapshot{Segments: quarters}, track.Curve(zone, c.Start, c.Stop, c.Total)); err != nil {
				b.Fatal(err)
			}
		}
	})
}
