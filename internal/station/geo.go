package station

import (
	"cmp"
	"math"
	"slices"

	"github.com/evcs/evcs/internal/evcs"
)

// Box is a rectangle of coordinates. West greater than East crosses the
// antimeridian.
type Box struct{ South, North, West, East Degree }

// The sphere of contract §4.
const (
	earthKM = 6371.0
	unit    = 1e7
)

// DistanceKM is the great-circle distance of two points in kilometres.
func DistanceKM(lat1, lon1, lat2, lon2 Degree) float64 {
	p1, p2 := radians(lat1), radians(lat2)
	dp, dl := p2-p1, radians(lon2)-radians(lon1)
	a := math.Pow(math.Sin(dp/2), 2) + math.Cos(p1)*math.Cos(p2)*math.Pow(math.Sin(dl/2), 2)
	return 2 * earthKM * math.Asin(math.Sqrt(min(1, a)))
}

func radians(d Degree) float64 { return float64(d) / unit * math.Pi / 180 }

// BoxAround is the rectangle that holds every point within radius km of a
// point. Near a pole it spans all longitudes.
func BoxAround(latitude, longitude Degree, radiusKM float64) Box {
	reach := radiusKM / earthKM * 180 / math.Pi
	south, north := float64(latitude)/unit-reach, float64(latitude)/unit+reach
	b := Box{South: Degree(math.Floor(max(south, -90) * unit)), North: Degree(math.Ceil(min(north, 90) * unit)), West: -180 * unit, East: 180 * unit}
	if south <= -90 || north >= 90 {
		return b
	}
	// the widest extent of the circle in longitude, asin(sin r / cos φ)
	wide := math.Asin(min(1, math.Sin(reach*math.Pi/180)/math.Cos(float64(latitude)/unit*math.Pi/180))) * 180 / math.Pi
	west, east := float64(longitude)/unit-wide, float64(longitude)/unit+wide
	if wide >= 180 {
		return b
	}
	b.West, b.East = Degree(math.Floor(wrap(west)*unit)), Degree(math.Ceil(wrap(east)*unit))
	return b
}

func wrap(degrees float64) float64 {
	switch {
	case degrees < -180:
		return degrees + 360
	case degrees > 180:
		return degrees - 360
	}
	return degrees
}

// Circle is a part of the sphere's surface.
type Circle struct {
	Latitude, Longitude Degree
	RadiusKM            float64
}

// Inner is the small circle in which a search for the nearest few begins.
func (c Circle) Inner() Circle {
	c.RadiusKM /= 32
	return c
}

// Wider is where a search goes on that found so many of the wanted in inner: as
// wide as the density there says, at most c itself.
func (c Circle) Wider(inner Circle, found, wanted int) Circle {
	grow := 8.0
	if found > 0 {
		grow = max(1.5, min(grow, 1.2*math.Sqrt(float64(wanted)/float64(found))))
	}
	inner.RadiusKM = min(c.RadiusKM, inner.RadiusKM*grow)
	return inner
}

// Box is the rectangle that holds every point of c.
func (c Circle) Box() Box { return BoxAround(c.Latitude, c.Longitude, c.RadiusKM) }

// NearFilter says which stations around a point are wanted.
type NearFilter struct {
	ChargerTypes []int // with a live charger of one of these types
	Available    bool  // with an enabled idle charger, of ChargerTypes if given
}

// Near is a station with its distance from the point that was asked.
type Near struct {
	StationRow

	DistanceKM float64
}

// Spot is where a station stands.
type Spot struct {
	ID                  evcs.StationID
	Latitude, Longitude Degree
	DistanceKM          float64 // set by Nearest
}

// Nearest keeps the spots within c, nearest first, then by id. The distances are
// compared as they are, not as they are shown.
func (c Circle) Nearest(spots []Spot) []Spot {
	kept := make([]Spot, 0, len(spots))
	for _, s := range spots {
		s.DistanceKM = DistanceKM(c.Latitude, c.Longitude, s.Latitude, s.Longitude)
		if s.DistanceKM <= c.RadiusKM {
			kept = append(kept, s)
		}
	}
	slices.SortFunc(kept, func(a, b Spot) int {
		return cmp.Or(cmp.Compare(a.DistanceKM, b.DistanceKM), cmp.Compare(a.ID, b.ID))
	})
	return kept
}
