package chargersim

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// plan is what the cars at one connector are going to do, in simulated time.
type plan struct {
	on        bool
	arriveAt  time.Time
	leaveAt   time.Time
	away, aft time.Time // the connection is lost in between; zero when it is not
	waiting   bool      // plugged, nobody has started yet
	left      int       // cars to come; negative without end
}

func between(r *rand.Rand, span [2]time.Duration) time.Duration {
	if span[1] <= span[0] {
		return span[0]
	}
	return span[0] + time.Duration(r.Int64N(int64(span[1]-span[0])))
}

// begins plans the first car of every connector.
func (u *unit) begins(sim time.Time) {
	s := u.cfg.Scenario
	if s == nil {
		return
	}
	for _, c := range u.connectors {
		c.plan = plan{on: true, left: s.Sessions, arriveAt: sim.Add(between(u.cars, s.First))}
		if s.Sessions == 0 {
			c.plan.left = -1
		}
	}
}

// done reports whether no car will come or is there, and all is told.
func (u *unit) done() bool {
	for _, c := range u.connectors {
		if c.charge != nil || (c.plan.on && c.plan.left != 0) || !c.plan.leaveAt.IsZero() {
			return false
		}
	}
	return u.drained()
}

// next is the earliest thing the connector will do by itself; the zero time
// when there is none.
func (c *connector) next() time.Time {
	var t time.Time
	earliest := func(other time.Time) {
		if !other.IsZero() && (t.IsZero() || other.Before(t)) {
			t = other
		}
	}
	if c.charge != nil {
		earliest(c.sampleAt)
		earliest(c.plan.away)
		earliest(c.plan.aft)
	}
	earliest(c.plan.leaveAt)
	if c.plan.on && c.plan.left != 0 {
		earliest(c.plan.arriveAt)
	}
	return t
}

// act does what is due at t.
func (u *unit) act(c *connector, t time.Time) {
	p := &c.plan
	switch {
	case c.charge != nil && t.Equal(c.sampleAt):
		c.sampleAt = t.Add(u.meterEvery)
		u.sample(c, t)
		if p.on && c.soc() >= c.car.limit {
			u.leave(c, t)
		}
	case t.Equal(p.leaveAt):
		u.leave(c, t)
	case t.Equal(p.away):
		p.away = time.Time{}
		u.goOffline()
	case t.Equal(p.aft):
		p.aft = time.Time{}
		u.goOnline()
	case t.Equal(p.arriveAt):
		u.arrive(c, t)
	}
}

// arrive brings the next car.
func (u *unit) arrive(c *connector, t time.Time) {
	s, p := u.cfg.Scenario, &c.plan
	if c.car != nil || !c.operative {
		p.arriveAt = t.Add(time.Minute) // the place is taken
		return
	}
	p.left--
	p.arriveAt = time.Time{}
	stay := between(u.cars, s.Stay)
	p.leaveAt = t.Add(max(stay, time.Second))
	tag := strings.ReplaceAll(s.Tags[u.cars.IntN(len(s.Tags))], "*", fmt.Sprintf("%06d", u.index*maxConnectors+c.no))
	offline := u.cars.IntN(1000) < s.OfflinePerMille
	from, length := time.Duration(u.cars.Int64N(int64(stay)+1)), time.Duration(u.cars.Int64N(int64(stay)+1))
	if offline {
		p.away, p.aft = t.Add(from), t.Add(from+length)
	}
	u.plug(c)
	if s.Remote {
		p.waiting = true
		return
	}
	u.present(c, tag)
}

// leave ends what the car does and plans the next one.
func (u *unit) leave(c *connector, t time.Time) {
	p := &c.plan
	p.leaveAt, p.waiting = time.Time{}, false
	if !p.aft.IsZero() {
		p.aft = time.Time{}
		u.goOnline()
	}
	p.away = time.Time{}
	if c.charge != nil {
		u.finish(c, t, "Local")
	}
	u.unplug(c, t)
	if p.on && p.left != 0 {
		p.arriveAt = t.Add(max(between(u.cars, u.cfg.Scenario.Gap), time.Second))
	}
}

// wind up: no more cars, sessions end, everything is told.
func (u *unit) windUp(sim time.Time) {
	for _, c := range u.connectors {
		c.plan.left, c.plan.arriveAt = 0, time.Time{}
		if c.charge != nil || !c.plan.leaveAt.IsZero() {
			u.leave(c, sim)
		}
	}
	clear(u.authorising)
	u.closing = true
	u.injected, u.forgive = nil, true
	u.clockFault, u.stopLate = "", false
	u.goOnline()
}
