package tariff

import (
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

// Until is the energy that was delivered by each of the moments, which ascend:
// on the straight line between the readings around it, as a bill cuts it.
func (c Curve) Until(moments []time.Time) []evcs.Energy {
	curve, _ := ordered(c, nil)
	list := make([]evcs.Energy, len(moments))
	next := 1
	for i, at := range moments {
		switch {
		case !at.After(c.Start):
		case !at.Before(c.Stop):
			list[i] = c.Total
		default:
			for next < len(curve)-1 && !curve[next].At.After(at) {
				next++
			}
			list[i] = between(curve[next-1], curve[next], at)
		}
	}
	return list
}
