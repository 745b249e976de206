package health

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestBucketsAreTheContracts(t *testing.T) {
	t.Parallel()
	b := bounds()
	for place, want := range map[int]time.Duration{0: 250 * time.Microsecond, 8: 500 * time.Microsecond, 80: 256 * time.Millisecond, 144: 65536 * time.Millisecond} {
		if b[place] != want {
			t.Errorf("bucket %d ends at %s, want %s", place, b[place], want)
		}
	}
	var h Histogram
	for _, d := range []time.Duration{0, 250 * time.Microsecond, 250*time.Microsecond + 1, 65536 * time.Millisecond, 65536*time.Millisecond + 1, time.Hour} {
		h.Observe(d)
	}
	if h.in[0] != 2 || h.in[1] != 1 || h.in[144] != 1 || h.in[overflow] != 2 || h.Count != 6 || h.Max != time.Hour || h.Min != 0 {
		t.Errorf("%+v", h)
	}
}

// observed draws durations from 0.25 ms to 65 s, the range of the error bound.
func observed(t *rapid.T) []time.Duration {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) time.Duration {
		unit := rapid.SampledFrom([]time.Duration{time.Microsecond, time.Millisecond, 100 * time.Millisecond}).Draw(t, "unit")
		return max(finest, time.Duration(rapid.Int64Range(250, 650).Draw(t, "n"))*unit)
	}), 1, 300).Draw(t, "durations")
}

func TestQuantilesAreLessThanNinePointOneOff(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		list := observed(t)
		var h Histogram
		for _, d := range list {
			h.Observe(d)
		}
		slices.Sort(list)
		for _, permille := range []int64{1, 500, 900, 950, 990, 1000} {
			rank := (permille*int64(len(list)) + 999) / 1000
			exact, got := list[rank-1], h.Quantile(permille)
			if off := (got - exact).Abs(); off*1000 >= exact*91 {
				t.Fatalf("quantile %d of %d: %s, exactly %s", permille, len(list), got, exact)
			}
			if got < h.Min || got > h.Max {
				t.Fatalf("%s is not within %s and %s", got, h.Min, h.Max)
			}
		}
	})
}

func TestMergedAndStoredIsTheSame(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := observed(t), observed(t)
		var whole, one, other Histogram
		for _, d := range a {
			whole.Observe(d)
			one.Observe(d)
		}
		for _, d := range b {
			whole.Observe(d)
			other.Observe(d)
		}
		stored := Histogram{Count: other.Count, Sum: other.Sum, Min: other.Min, Max: other.Max}
		if err := stored.SetBuckets(other.Buckets()); err != nil {
			t.Fatal(err)
		}
		one.Merge(&stored)
		if diff := cmp.Diff(whole, one, cmp.AllowUnexported(Histogram{})); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestBrokenBucketsAreRefused(t *testing.T) {
	t.Parallel()
	for _, b := range [][]byte{{1}, {0x80}, {146, 1, 1}, {1, 0x80}, {100, 1, 100, 1}, {0, 0xff, 0xff, 0xff, 0xff, 0xff, 1}} {
		var h Histogram
		if err := h.SetBuckets(b); err == nil {
			t.Errorf("%v was taken", b)
		}
	}
	var empty Histogram
	if got := empty.Buckets(); !bytes.Equal(got, []byte{}) || empty.Quantile(500) != 0 || empty.Mean() != 0 {
		t.Error("an empty histogram holds something")
	}
}

type still struct{ at time.Time }

func (s *still) Now() time.Time { return s.at }

func TestRecorder(t *testing.T) {
	t.Parallel()
	clock := &still{time.Date(2026, 2, 10, 12, 0, 30, 0, time.UTC)}
	r := NewRecorder(clock)
	for _, status := range []int{200, 404, 500} {
		r.Record(Served{Endpoint: "/a", Method: "GET", Status: status, Took: 3 * time.Millisecond})
	}
	r.Record(Served{Endpoint: "/a", Method: "GET", Status: 200, Took: time.Hour, Untimed: true})
	first := clock.at.Truncate(time.Minute)
	clock.at = clock.at.Add(time.Minute)
	r.Record(Served{Endpoint: "/a", Method: "GET", Status: 200, Took: time.Millisecond})
	if held := r.held(Window{From: first, To: first.Add(2 * time.Minute), Endpoint: "/a", Method: "GET"}); len(held) != 2 {
		t.Fatalf("held %+v", held)
	}
	if held := r.held(Window{From: first, To: first.Add(2 * time.Minute), Endpoint: "/b"}); len(held) != 0 {
		t.Fatalf("of another endpoint: %+v", held)
	}
	taken := r.take(first.Add(time.Minute))
	if len(taken) != 1 {
		t.Fatalf("taken %+v", taken)
	}
	m := taken[0]
	if m.Requests != 4 || m.Succeeded != 2 || m.ClientErrors != 1 || m.ServerErrors != 1 || m.Durations.Count != 3 || m.Durations.Max != 3*time.Millisecond || m.SuccessShare() != 7500 {
		t.Errorf("%+v", m)
	}
	r.giveBack(taken)
	if again := r.take(first.Add(time.Minute)); len(again) != 1 || again[0].Requests != 4 {
		t.Errorf("given back: %+v", again)
	}
	clock.at = clock.at.Add(time.Hour)
	r.giveBack(taken)
	if again := r.take(first.Add(time.Minute)); len(again) != 0 {
		t.Errorf("too old, and kept: %+v", again)
	}
}

func BenchmarkRecord(b *testing.B) {
	r := NewRecorder(&still{time.Date(2026, 2, 10, 12, 0, 30, 0, time.UTC)})
	s := Served{Endpoint: "/api/order/{orderId}", Method: "GET", Status: 200, Took: 3 * time.Millisecond}
	b.ReportAllocs()
	for b.Loop() {
		r.Record(s)
	}
}
