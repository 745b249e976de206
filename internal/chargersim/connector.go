package chargersim

import (
	"slices"
	"time"

	"github.com/evcs/evcs/internal/chargersim/journal"
	"github.com/evcs/evcs/internal/chargersim/wire"
)

// charge is one charging session as the charger knows it.
type charge struct {
	local       string
	connector   int
	tag         string
	command     string // that asked for it, cloudcharge
	offline     bool
	begun       time.Time      // simulated
	first       journal.Energy // true energy of the meter when it began
	transaction int64          // given by the server
	session     string         // given by or told to the server
	orderNo     string
	acked       bool // the start was answered
	lost        bool // the start was refused for good: nothing more is told
	lastStamp   time.Time
	tampered    Fault
	deauthorise bool
	energy      journal.Energy // of the whole session, once it has ended
	extra       int64          // fen that the charger's own bill is wrong by; 0: it is not
	own         int64          // the charger's own bill, once it is reckoned
	reckoned    bool
}

// connector is one plug of a charger, with its meter and the car at it.
type connector struct {
	no        int
	state     wire.State
	operative bool
	closing   bool // becomes unavailable when the session ends
	meter     meter
	car       *car
	charge    *charge
	counted   time.Time // simulated; the meter has counted until here
	stepEnd   time.Time // simulated; the power holds until here
	watts     int64
	sampleAt  time.Time // simulated; next meter values
	started   int       // sessions begun
	plan      plan
}

// count lets the meter run until sim.
func (c *connector) count(curve Curve, sim time.Time) {
	if c.charge == nil || c.car == nil {
		c.counted = sim
		return
	}
	for c.counted.Before(sim) {
		if !c.counted.Before(c.stepEnd) {
			c.stepEnd = c.counted.Add(step)
			c.watts = curve.Power(c.soc())
		}
		until := c.stepEnd
		if sim.Before(until) {
			until = sim
		}
		c.meter.add(c.watts, until.Sub(c.counted))
		c.counted = until
	}
}

// soc is the state of charge of the car that is charging.
func (c *connector) soc() int64 {
	if c.car == nil || c.charge == nil {
		return -1
	}
	return c.car.soc(c.meter.pure() - c.charge.first)
}

func (c *connector) reading(curve Curve, line timeline) wire.Reading {
	watts := line.power(c.watts)
	volts, milliamps := curve.electric(watts)
	r := wire.Reading{Watts: watts, Volts: volts, Milliamps: milliamps, SoC: -1}
	if curve.DC {
		r.SoC = c.soc()
	}
	return r
}

// plug puts a car at the connector.
func (u *unit) plug(c *connector) {
	if c.car != nil {
		return
	}
	car := newCar(u.cars)
	c.car = &car
	if c.state == wire.Available {
		u.become(c, wire.Preparing)
	}
}

// unplug takes it away, which ends a session.
func (u *unit) unplug(c *connector, sim time.Time) {
	if c.charge != nil {
		u.finish(c, sim, "EVDisconnected")
	}
	c.car = nil
	if c.state != wire.Unavailable {
		u.become(c, wire.Available)
	}
}

// begin starts a session at sim, which is now or shortly before.
func (u *unit) begin(c *connector, sim time.Time, ch charge) {
	u.sessions++
	c.started++
	if c.car == nil {
		u.plug(c)
	}
	at := u.stamp(sim)
	ch.local = u.conf.DeviceID + "/" + itoa(c.no) + "/" + itoa(c.started)
	ch.connector, ch.begun, ch.first, ch.lastStamp = c.no, sim, c.meter.pure(), at
	if u.clockFault != "" {
		ch.tampered = u.clockFault
	}
	if u.conf.Protocol == CloudCharge && ch.session == "" {
		ch.session = "SIM-" + u.conf.DeviceID + "-" + itoa(c.no) + "-" + itoa(int(at.UnixMilli()))
	}
	own := &ch
	c.charge, c.counted, c.stepEnd = own, sim, sim
	c.sampleAt = sim.Add(u.meterEvery)
	u.enqueue(&message{Call: wire.Call{Action: wire.Start, Connector: c.no, At: at, Register: c.meter.register(), Tag: ch.tag, State: wire.Charging}, charge: own})
	u.become(c, wire.Charging)
}

// sample tells what the meter shows at sim.
func (u *unit) sample(c *connector, sim time.Time) {
	c.count(u.curve, sim)
	at := u.stamp(sim)
	if !at.Equal(c.charge.lastStamp) { // a clock that shows no new time has nothing new to tell
		c.charge.lastStamp = at
		u.enqueue(&message{Call: wire.Call{Action: wire.Meter, Connector: c.no, At: at, Register: c.meter.register(), Reading: c.reading(u.curve, u.line)}, charge: c.charge})
	}
	if c.watts == 0 && c.state == wire.Charging {
		u.become(c, wire.SuspendedEV)
	}
}

// finish ends the session of c at sim.
func (u *unit) finish(c *connector, sim time.Time, reason string) {
	ch := c.charge
	c.count(u.curve, sim)
	ch.energy = c.meter.pure() - ch.first
	at := u.stamp(sim)
	u.enqueue(&message{Call: wire.Call{Action: wire.Stop, Connector: c.no, At: at, Register: c.meter.register(), Tag: ch.tag, Reason: reason}, charge: ch})
	c.charge, c.watts = nil, 0
	u.stopped++
	if c.closing {
		c.closing, c.operative = false, false
		u.become(c, wire.Unavailable)
		return
	}
	u.become(c, wire.Finishing)
}

// become changes the state and tells it.
func (u *unit) become(c *connector, s wire.State) {
	u.dirty = true
	if c.state == s {
		return
	}
	c.state = s
	u.tellStatus(c)
}

func (u *unit) tellStatus(c *connector) {
	if !u.online() {
		return // told at the next connection
	}
	u.urge(&message{Call: wire.Call{Action: wire.Status, Connector: c.no, At: u.stamp(u.sim()), State: c.state}})
}

func (u *unit) connector(no int) *connector {
	if no < 1 || no > len(u.connectors) {
		return nil
	}
	return u.connectors[no-1]
}

// holding finds the connector with the session of an order.
func (u *unit) holding(o wire.Order) *connector {
	i := slices.IndexFunc(u.connectors, func(c *connector) bool {
		if c.charge == nil {
			return false
		}
		if o.Session != "" {
			return c.charge.session == o.Session
		}
		return c.charge.acked && c.charge.transaction == o.Transaction
	})
	if i < 0 {
		return nil
	}
	return u.connectors[i]
}
