package station_test

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/evcs/evcs/internal/station"
)

func degrees(v float64) station.Degree { return station.Degree(math.Round(v * 1e7)) }

func TestDistances(t *testing.T) {
	t.Parallel()
	const quarter = math.Pi / 2 * 6371
	for _, c := range []struct {
		name                   string
		lat1, lon1, lat2, lon2 float64
		want                   float64
	}{
		{"nowhere", 22.5431, 114.0579, 22.5431, 114.0579, 0},
		{"the example of the contract", 22.5431, 114.0579, 22.5405, 114.0611, 0.438},
		{"pole to pole", 90, 0, -90, 0, 2 * quarter},
		{"at a pole every longitude is the same", 90, 0, 90, 120, 0},
		{"pole to equator", 90, 45, 0, -100, quarter},
		{"antipodes", 0, 0, 0, 180, 2 * quarter},
		{"across the antimeridian", 0, 179.9, 0, -179.9, 0.2 * math.Pi / 180 * 6371},
		{"both names of the antimeridian", 10, 180, 10, -180, 0},
	} {
		got := station.DistanceKM(degrees(c.lat1), degrees(c.lon1), degrees(c.lat2), degrees(c.lon2))
		if math.Abs(got-c.want) > 0.001 {
			t.Errorf("%s: %f km, want %f", c.name, got, c.want)
		}
	}
}

func TestBoxes(t *testing.T) {
	t.Parallel()
	whole := func(b station.Box) bool { return b.West == degrees(-180) && b.East == degrees(180) }
	if b := station.BoxAround(degrees(89.9), 0, 50); !whole(b) || b.North != degrees(90) {
		t.Errorf("over the north pole: %+v", b)
	}
	if b := station.BoxAround(degrees(-89.9), 0, 50); !whole(b) || b.South != degrees(-90) {
		t.Errorf("over the south pole: %+v", b)
	}
	if b := station.BoxAround(0, degrees(179.9), 50); b.West <= b.East {
		t.Errorf("across the antimeridian, eastwards: %+v", b)
	}
	if b := station.BoxAround(0, degrees(-179.9), 50); b.West <= b.East {
		t.Errorf("across the antimeridian, westwards: %+v", b)
	}
	if b := station.BoxAround(degrees(22.5), degrees(114), 50); b.West >= b.East || b.East-b.West > degrees(1) || b.North-b.South > degrees(0.9001) {
		t.Errorf("an ordinary one is tight: %+v", b)
	}
}

func within(b station.Box, lat, lon station.Degree) bool {
	if lat < b.South || lat > b.North {
		return false
	}
	if b.West <= b.East {
		return lon >= b.West && lon <= b.East
	}
	return lon >= b.West || lon <= b.East
}

// No point within the radius is outside the box: what the store leaves out is
// too far away. Points are drawn near the circle, wherever its centre is.
func TestABoxHoldsEveryPointWithinTheRadius(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		lat := degrees(rapid.Float64Range(-90, 90).Draw(t, "lat"))
		lon := degrees(rapid.Float64Range(-180, 180).Draw(t, "lon"))
		radius := rapid.Float64Range(0.001, 50).Draw(t, "radius")
		bearing := rapid.Float64Range(0, 2*math.Pi).Draw(t, "bearing")
		share := rapid.Float64Range(0, 1.01).Draw(t, "share")
		φ, λ, r := float64(lat)/1e7*math.Pi/180, float64(lon)/1e7*math.Pi/180, share*radius/6371
		φ2 := math.Asin(max(-1, min(1, math.Sin(φ)*math.Cos(r)+math.Cos(φ)*math.Sin(r)*math.Cos(bearing))))
		λ2 := λ + math.Atan2(math.Sin(bearing)*math.Sin(r)*math.Cos(φ), math.Cos(r)-math.Sin(φ)*math.Sin(φ2))
		lat2, lon2 := degrees(φ2*180/math.Pi), degrees(math.Remainder(λ2*180/math.Pi, 360))
		if km := station.DistanceKM(lat, lon, lat2, lon2); km <= radius && !within(station.BoxAround(lat, lon, radius), lat2, lon2) {
			t.Fatalf("(%d, %d) is %.9f km from (%d, %d) and not in %+v", lat2, lon2, km, lat, lon, station.BoxAround(lat, lon, radius))
		}
	})
}

func TestDistanceIsSymmetric(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		draw := func(limit int64, name string) station.Degree {
			return station.Degree(rapid.Int64Range(-limit*1e7, limit*1e7).Draw(t, name))
		}
		a, b, c, d := draw(90, "a"), draw(180, "b"), draw(90, "c"), draw(180, "d")
		there, back := station.DistanceKM(a, b, c, d), station.DistanceKM(c, d, a, b)
		if math.Abs(there-back) > 1e-6 || there < 0 || there > math.Pi*6371+1e-6 {
			t.Fatalf("%f there, %f back", there, back)
		}
	})
}
