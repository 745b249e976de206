package tariff

import (
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

// Track is a session's readings as pricing needs them, thinned as they come:
// of each quarter of an hour, the grid of tariff boundaries, the first and the
// last, and the last rise of all. A bill of it is the bill of every reading.
// The zero Track is empty. Values share no memory that is written again.
type Track struct {
	points []Point
	rise   Rise
}

// With is the track with one more reading, which is not older than those in
// it. It takes constant time but for a copy of what is kept.
func (t Track) With(p Point) Track {
	const quarter = grid * time.Minute
	switch n := len(t.points); {
	case n == 0:
		t.rise = Rise{At: p.At}
	case n >= 2 && t.points[n-2].At.Truncate(quarter).Equal(p.At.Truncate(quarter)):
		t.points = t.points[: n-1 : n-1]
	}
	t.points = append(t.points[:len(t.points):len(t.points)], p)
	t.rise = t.rise.Next(p)
	return t
}

// Curve is the session that the track is of.
func (t Track) Curve(zone *time.Location, start, stop time.Time, total evcs.Energy) Curve {
	c := Curve{Zone: zone, Start: start, Stop: stop, Points: t.points, Total: total}
	if t.rise.Energy > 0 {
		c.Rise = t.rise
	}
	return c
}

// Tells reports whether a bill of the track is the bill of every reading: no
// reading lies outside the session or above its total.
func (t Track) Tells(start, stop time.Time, total evcs.Energy) bool {
	n := len(t.points)
	return n == 0 || !t.points[0].At.Before(start) && !t.points[n-1].At.After(stop) && t.points[n-1].Energy <= total
}
