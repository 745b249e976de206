package report_test

import (
	"math/big"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/report"
)

// zones have their clock changes in the small hours, at midnight, by half an
// hour, or never, and offsets of quarters of an hour.
var zones = []string{
	"UTC", "Asia/Shanghai", "Asia/Kolkata", "Asia/Kathmandu", "America/New_York", "America/St_Johns", "Australia/Lord_Howe",
	"Atlantic/Azores", "Africa/Cairo", "Asia/Beirut", "America/Santiago", "Pacific/Chatham", "Pacific/Apia",
}

func zoneOf(t *rapid.T) *time.Location {
	zone, err := time.LoadLocation(rapid.SampledFrom(zones).Draw(t, "zone"))
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

// A day begins at the first quarter of an hour that bears its date.
func TestADayBeginsWithItsFirstMoment(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		zone := zoneOf(t)
		at := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(rapid.Int64Range(0, 10*366*96).Draw(t, "quarter"))*15*time.Minute +
			time.Duration(rapid.Int64Range(0, 899_999).Draw(t, "ms"))*time.Millisecond)
		date := func(q time.Time) string { return q.In(zone).Format(time.DateOnly) }
		want := at.Truncate(15 * time.Minute)
		for q := want; at.Sub(q) < 27*time.Hour; q = q.Add(-15 * time.Minute) {
			if date(q) == date(at) {
				want = q
			}
		}
		if got := report.DayOf(at, zone); !got.Equal(want) {
			t.Fatalf("the day of %v began %v, not %v", at.In(zone), want.In(zone), got)
		}
		b := report.LastDays(at, zone, 3)
		if len(b) != 4 || !b[2].Equal(want) || date(b[1]) != date(want.Add(-time.Minute)) || b.Place(at) != 2 || b.Place(b[3]) != -1 || b.Place(b[0].Add(-1)) != -1 {
			t.Fatalf("the last days of %v are %v", at.In(zone), b)
		}
	})
}

// The parts of a session are its energy, each on the line between readings.
func TestDivide(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		zone := zoneOf(t)
		begin := time.UnixMilli(rapid.Int64Range(1.7e12, 1.8e12).Draw(t, "begin"))
		s := report.Session{
			Begin: begin, End: begin.Add(time.Duration(rapid.Int64Range(0, 4*86_400_000).Draw(t, "length")) * time.Millisecond),
			Energy: evcs.Energy(rapid.Int64Range(0, 1<<40).Draw(t, "energy")),
		}
		days := s.Days(zone)
		if days.Place(s.Begin) != 0 || days.Place(s.End) != len(days)-2 {
			t.Fatalf("%v to %v lies not in %v", s.Begin, s.End, days)
		}
		var sum evcs.Energy
		var took time.Duration
		for i, part := range s.Divide(days, nil) {
			straight := evcs.Energy(0)
			if d := s.End.Sub(s.Begin).Milliseconds(); d > 0 {
				share := new(big.Int).Mul(big.NewInt(int64(s.Energy)), big.NewInt(s.Occupied(days[i], days[i+1]).Milliseconds()))
				straight = evcs.Energy(share.Div(share, big.NewInt(d)).Int64())
			}
			if d := part - straight; len(days) > 2 && (d < -1 || d > 1) {
				t.Fatalf("part %d is %d, on a straight line %d", i, part, straight)
			}
			sum += part
			took += s.Occupied(days[i], days[i+1])
		}
		if sum != s.Energy || took != s.End.Sub(s.Begin) {
			t.Fatalf("the parts are %d in %v, the session %d in %v", sum, took, s.Energy, s.End.Sub(s.Begin))
		}
	})
}

// Whole months and days cover a period once.
func TestStretches(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		zone := zoneOf(t)
		n := rapid.IntRange(1, 366).Draw(t, "days")
		b := report.LastDays(time.UnixMilli(rapid.Int64Range(1.7e12, 1.8e12).Draw(t, "now")), zone, n)
		at := b.First()
		for _, s := range report.Stretches(b.First(), b.Last()) {
			if !s.From.Equal(at) || !s.To.After(s.From) {
				t.Fatalf("a stretch from %v follows %v", s.From, at)
			}
			if s.Months && (!report.MonthOf(s.From, zone).Equal(s.From) || !report.MonthOf(s.To, zone).Equal(s.To)) {
				t.Fatalf("%v to %v are no whole months", s.From, s.To)
			}
			at = s.To
		}
		if !at.Equal(b.Last()) {
			t.Fatalf("the stretches end at %v, the days at %v", at, b.Last())
		}
	})
}

func TestLastDaysAndPlace(t *testing.T) {
	t.Parallel()
	zone := time.FixedZone("+08", 8*3600)
	b := report.LastDays(time.Date(2026, 2, 9, 17, 0, 0, 0, time.UTC), zone, 7) // 10 February there
	if got := b.First().Format(time.DateOnly); got != "2026-02-04" {
		t.Errorf("first day %s", got)
	}
	if got := b.Last().Format(time.DateOnly); got != "2026-02-11" {
		t.Errorf("end %s", got)
	}
	for at, want := range map[string]int{"2026-02-04T00:00:00+08:00": 0, "2026-02-10T23:59:59+08:00": 6, "2026-02-11T00:00:00+08:00": -1, "2026-02-03T23:00:00+08:00": -1} {
		moment, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t.Fatal(err)
		}
		if got := b.Place(moment); got != want {
			t.Errorf("%s lies in %d, want %d", at, got, want)
		}
	}
}

func TestShare(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ part, whole, want int64 }{{1, 3, 3333}, {2, 3, 6667}, {0, 0, 0}, {5, 5, 10000}, {7, 5, 10000}} {
		if got := report.Share(c.part, c.whole); got != c.want {
			t.Errorf("%d of %d: %d, want %d", c.part, c.whole, got, c.want)
		}
	}
}
