package tariff_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/tariff"
)

// span is a flat segment of a price, in minutes.
func span(from, to int, price evcs.UnitPrice) tariff.Draft {
	return tariff.Draft{From: from, To: to, Kind: tariff.Flat, EnergyPrice: price}
}

// faultsOf are the faults of 3010 as "field message".
func faultsOf(t *testing.T, err error) []string {
	t.Helper()
	if !errors.Is(err, tariff.ErrSegments) {
		t.Fatalf("not 3010: %v", err)
	}
	_, facts, detail := evcs.Classify(err)
	list, ok := facts["errors"].([]evcs.FieldFault)
	if !ok || detail.ZH == "" || detail.EN == "" {
		t.Fatalf("facts %v, detail %v", facts, detail)
	}
	words := make([]string, len(list))
	for i, f := range list {
		words[i] = f.Field + " " + f.Message
	}
	return words
}

func TestWhatDoesNotCoverTheDayIsNamed(t *testing.T) {
	t.Parallel()
	many := make([]tariff.Draft, 97)
	for i := range many {
		many[i] = span(i*15%1440, (i*15%1440)+15, 1)
	}
	strange := span(0, 1440, 1)
	strange.Kind = "NIGHT"
	dear := span(0, 1440, evcs.MaxUnitPrice+1)
	cases := []struct {
		name   string
		drafts []tariff.Draft
		want   []string
	}{
		{"none", nil, []string{"segments 1 to 96 segments are needed"}},
		{"more than slots", many, []string{"segments 1 to 96 segments are needed"}},
		{"a late beginning", []tariff.Draft{span(30, 1440, 1)}, []string{"segments 00:00 is not covered"}},
		{"an early end", []tariff.Draft{span(0, 1425, 1)}, []string{"segments 23:45 is not covered"}},
		{"a gap", []tariff.Draft{span(0, 480, 1), span(495, 1440, 1)}, []string{"segments 08:00 is not covered"}},
		{"an overlap", []tariff.Draft{span(0, 480, 1), span(465, 1440, 1)}, []string{"segments 07:45 is covered twice"}},
		{"one inside another", []tariff.Draft{span(0, 1440, 1), span(600, 660, 1)}, []string{"segments 10:00 is covered twice"}},
		{"twice the same", []tariff.Draft{span(0, 1440, 1), span(0, 1440, 1)}, []string{"segments 00:00 is covered twice"}},
		{"the first of two faults", []tariff.Draft{span(0, 60, 1), span(75, 120, 1), span(105, 1440, 1)}, []string{"segments 01:00 is not covered"}},
		{"over midnight onto the morning", []tariff.Draft{span(1320, 420, 1), span(360, 1320, 1)}, []string{"segments 06:00 is covered twice"}},
		{"no length", []tariff.Draft{span(0, 1440, 1), span(600, 600, 1)}, []string{"segments[1] has no length"}},
		{"off the grid", []tariff.Draft{span(0, 610, 1), span(610, 1440, 1)}, []string{
			"segments[0] does not lie on the 15-minute grid", "segments[1] does not lie on the 15-minute grid",
		}},
		{"outside the day", []tariff.Draft{span(-15, 1440, 1), span(0, 1455, 1), span(1440, 1440, 1)}, []string{
			"segments[0] is not within the day", "segments[1] is not within the day", "segments[2] is not within the day",
		}},
		{"a price", []tariff.Draft{dear}, []string{"segments[0] prices are 0 to 100"}},
		{"a kind", []tariff.Draft{strange}, []string{"segments[0].periodKind is SHARP, PEAK, FLAT or VALLEY"}},
	}
	for _, c := range cases {
		list, err := tariff.Normalize(c.drafts)
		if err == nil {
			t.Errorf("%s: %v is taken", c.name, list)
			continue
		}
		if diff := cmp.Diff(c.want, faultsOf(t, err)); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

func TestNormalize(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name         string
		drafts, want []tariff.Draft
	}{
		{"24:00 is midnight", []tariff.Draft{span(0, 1440, 1)}, []tariff.Draft{span(0, 1440, 1)}},
		{"and so is 00:00 as an end", []tariff.Draft{span(0, 0, 1)}, []tariff.Draft{span(0, 1440, 1)}},
		{"any order", []tariff.Draft{span(720, 1440, 2), span(0, 720, 1)}, []tariff.Draft{span(0, 720, 1), span(720, 1440, 2)}},
		{
			"over midnight",
			[]tariff.Draft{span(1320, 420, 1), span(420, 1320, 2)},
			[]tariff.Draft{span(0, 420, 1), span(420, 1320, 2), span(1320, 1440, 1)},
		},
		{"up to midnight does not cross it", []tariff.Draft{span(0, 1320, 1), span(1320, 0, 2)}, []tariff.Draft{span(0, 1320, 1), span(1320, 1440, 2)}},
	}
	for _, c := range cases {
		got, err := tariff.Normalize(c.drafts)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

// cuts draws a day cut at random quarters of an hour.
func cuts(t *rapid.T) []tariff.Segment {
	inner := rapid.SliceOfNDistinct(rapid.IntRange(1, 95), 0, 95, rapid.ID[int]).Draw(t, "cuts")
	slices.Sort(inner)
	var list []tariff.Segment
	from := 0
	for i, q := range append(inner, 96) {
		list = append(list, span(from, q*15, evcs.UnitPrice(i)))
		from = q * 15
	}
	return list
}

func TestEveryCutDayIsTakenInAnyOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := cuts(t)
		shuffled := slices.Clone(want)
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		rng.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		got, err := tariff.Normalize(shuffled)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
		if again, err := tariff.Normalize(got); err != nil || !slices.Equal(again, got) {
			t.Fatalf("not stable: %v %v", again, err)
		}
		step := tariff.GridMinutes(got)
		if slots := tariff.Slots(got); len(slots)*step != 1440 {
			t.Fatalf("%d slots of %d minutes", len(slots), step)
		}
	})
}

// Without any one slot, and with any one slot twice, the day is refused at
// exactly that slot.
func TestEverySlotIsNeededOnce(t *testing.T) {
	t.Parallel()
	quarters := make([]tariff.Draft, 96)
	for i := range quarters {
		quarters[i] = span(i*15, i*15+15, 1)
	}
	if _, err := tariff.Normalize(quarters); err != nil {
		t.Fatalf("96 quarters: %v", err)
	}
	for i := range quarters {
		_, err := tariff.Normalize(slices.Delete(slices.Clone(quarters), i, i+1))
		if want := []string{"segments " + tariff.HHMM(i*15) + " is not covered"}; err == nil || !slices.Equal(faultsOf(t, err), want) {
			t.Errorf("without %d: %v", i, err)
		}
		_, err = tariff.Normalize([]tariff.Draft{span(0, 1440, 1), span(i*15, i*15+15, 1)})
		want := []string{fmt.Sprintf("segments %s is covered twice", tariff.HHMM(i*15))}
		if err == nil || !slices.Equal(faultsOf(t, err), want) {
			t.Errorf("twice %d: %v", i, err)
		}
	}
}

func TestGridKindAndPushing(t *testing.T) {
	t.Parallel()
	pairs := func(n, step int) []tariff.Segment {
		var list []tariff.Segment
		for i := range 1440 / step {
			s := span(i*step, i*step+step, evcs.UnitPrice(i%n))
			s.ServicePrice = 7
			list = append(list, s)
		}
		return list
	}
	for _, c := range []struct {
		name            string
		list            []tariff.Segment
		grid            int
		pushable, fixed bool
	}{
		{"one price", pairs(1, 1440), 30, true, true},
		{"one price in halves of an hour", pairs(1, 30), 30, true, true},
		{"four pairs", pairs(4, 30), 30, true, false},
		{"five pairs", pairs(5, 30), 30, false, false},
		{"quarters of an hour", pairs(2, 15), 15, false, false},
		{"service alone differs", []tariff.Segment{{To: 720, ServicePrice: 1}, {From: 720, To: 1440, ServicePrice: 2}}, 30, true, false},
	} {
		if tariff.GridMinutes(c.list) != c.grid || tariff.Pushable(c.list) != c.pushable || tariff.Fixed(c.list) != c.fixed {
			t.Errorf("%s: grid %d, pushable %t, fixed %t", c.name, tariff.GridMinutes(c.list), tariff.Pushable(c.list), tariff.Fixed(c.list))
		}
	}
}

func TestSlots(t *testing.T) {
	t.Parallel()
	list := []tariff.Segment{{To: 360, Kind: tariff.Valley}, {From: 360, To: 1380, Kind: tariff.Flat}, {From: 1380, To: 1440, Kind: tariff.Peak}}
	slots := tariff.Slots(list)
	if len(slots) != 48 || slots[11] != tariff.Valley || slots[12] != tariff.Flat || slots[45] != tariff.Flat || slots[46] != tariff.Peak {
		t.Errorf("%v", slots)
	}
	list[0].To, list[1].From = 375, 375
	if slots := tariff.Slots(list); len(slots) != 96 || slots[24] != tariff.Valley || slots[25] != tariff.Flat {
		t.Errorf("%v", slots)
	}
}

func TestCoveringNamesTheSegmentAndTheNext(t *testing.T) {
	t.Parallel()
	zone := time.FixedZone("", 8*3600)
	list := []tariff.Segment{span(0, 420, 1), span(420, 1320, 2), span(1320, 1440, 1)}
	prices := tariff.Snapshot{Segments: list}
	for _, c := range []struct {
		clock             string
		now, next, leaves int
	}{{"00:00", 0, 1, 420}, {"06:59", 0, 1, 420}, {"07:00", 1, 2, 1320}, {"23:59", 2, 0, 1440}} {
		at, err := time.ParseInLocation("2006-01-02 15:04", "2026-02-10 "+c.clock, zone)
		if err != nil {
			t.Fatal(err)
		}
		now, next, leaves, err := prices.Covering(at)
		want := time.Date(2026, 2, 10, 0, c.leaves, 0, 0, zone)
		if err != nil || now != (tariff.Covered{Segment: list[c.now], Index: c.now}) || next != (tariff.Covered{Segment: list[c.next], Index: c.next}) || !leaves.Equal(want) {
			t.Errorf("%s: %v, then %v at %v: %v", c.clock, now, next, leaves, err)
		}
	}
}

// At midnight the next day's calendar begins, and a holiday's.
func TestCoveringKnowsTheNextDay(t *testing.T) {
	t.Parallel()
	zone := time.FixedZone("", 8*3600)
	own, weekend, holiday := span(0, 1440, 1), span(0, 1440, 2), span(0, 1440, 3)
	prices := tariff.Snapshot{
		Segments: []tariff.Segment{own}, Holidays: []tariff.Holiday{{Date: "2026-02-16", CountsAs: tariff.OnHoliday}},
		Calendars: []tariff.Calendar{
			{Days: []tariff.DayClass{tariff.Saturday, tariff.Sunday}, Segments: []tariff.Segment{weekend}},
			{Days: []tariff.DayClass{tariff.OnHoliday}, Segments: []tariff.Segment{holiday}},
		},
	}
	for _, c := range []struct {
		date      string
		now, next tariff.Segment
	}{{"2026-02-12", own, own}, {"2026-02-13", own, weekend}, {"2026-02-14", weekend, weekend}, {"2026-02-15", weekend, holiday}, {"2026-02-16", holiday, own}} {
		at, err := time.ParseInLocation(time.DateTime, c.date+" 23:59:00", zone)
		if err != nil {
			t.Fatal(err)
		}
		now, next, from, err := prices.Covering(at)
		if err != nil || now.Segment != c.now || next.Segment != c.next || !from.Equal(at.Add(time.Minute)) {
			t.Errorf("%s: %v, then %v at %v: %v", c.date, now, next, from, err)
		}
	}
}
