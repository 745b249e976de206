package chargersim

import (
	"slices"
	"time"
)

// state is the connector state in the words of OCPP 1.6.
type state string

const (
	available   state = "Available"
	preparing   state = "Preparing"
	charging    state = "Charging"
	suspendedEV state = "SuspendedEV"
	finishing   state = "Finishing"
	unavailable state = "Unavailable"
)

// number is the state in the numbers of cloudcharge.
func (s state) number() int {
	switch s {
	case charging, suspendedEV:
		return 2
	case unavailable:
		return 4
	case available, preparing, finishing:
	}
	return 1
}

func (s state) plugged() bool { return s != available && s != unavailable }

// charge is one charging session as the charger knows it.
type charge struct {
	local       string
	connector   int
	tag         string
	command     string // that asked for it, cloudcharge
	offline     bool
	begun       time.Time // simulated
	first       Energy    // true energy of the meter when it began
	transaction int64     // given by the server
	session     string    // given by or told to the server
	orderNo     string
	acked       bool // the start was answered
	lost        bool // the start was refused for good: nothing more is told
	lastStamp   time.Time
	tampered    Fault
	deauthorise bool
}

// connector is one plug of a charger, with its meter and the car at it.
type connector struct {
	no        int
	state     state
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

func (c *connector) reading(curve Curve, line timeline) reading {
	watts := line.power(c.watts)
	volts, milliamps := curve.electric(watts)
	r := reading{watts: watts, volts: volts, milliamps: milliamps, soc: -1}
	if curve.DC {
		r.soc = c.soc()
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
	if c.state == available {
		u.become(c, preparing)
	}
}

// unplug takes it away, which ends a session.
func (u *unit) unplug(c *connector, sim time.Time) {
	if c.charge != nil {
		u.finish(c, sim, "EVDisconnected")
	}
	c.car = nil
	if c.state != unavailable {
		u.become(c, available)
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
	u.enqueue(&message{
		action: actStart, connector: c.no, charge: own, at: at, register: c.meter.register(), tag: ch.tag, state: charging,
	})
	u.become(c, charging)
}

// sample tells what the meter shows at sim.
func (u *unit) sample(c *connector, sim time.Time) {
	c.count(u.curve, sim)
	at := u.stamp(sim)
	if !at.Equal(c.charge.lastStamp) { // a clock that shows no new time has nothing new to tell
		c.charge.lastStamp = at
		u.enqueue(&message{
			action: actMeter, connector: c.no, charge: c.charge, at: at, register: c.meter.register(),
			reading: c.reading(u.curve, u.line),
		})
	}
	if c.watts == 0 && c.state == charging {
		u.become(c, suspendedEV)
	}
}

// finish ends the session of c at sim.
func (u *unit) finish(c *connector, sim time.Time, reason string) {
	ch := c.charge
	c.count(u.curve, sim)
	at := u.stamp(sim)
	u.enqueue(&message{
		action: actStop, connector: c.no, charge: ch, at: at, register: c.meter.register(), tag: ch.tag, reason: reason,
	})
	c.charge, c.watts = nil, 0
	u.stopped++
	if c.closing {
		c.closing, c.operative = false, false
		u.become(c, unavailable)
		return
	}
	u.become(c, finishing)
}

// become changes the state and tells it.
func (u *unit) become(c *connector, s state) {
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
	u.urge(&message{action: actStatus, connector: c.no, at: u.stamp(u.sim()), state: c.state})
}

func (u *unit) connector(no int) *connector {
	if no < 1 || no > len(u.connectors) {
		return nil
	}
	return u.connectors[no-1]
}

// holding finds the connector with the session of an order.
func (u *unit) holding(o order) *connector {
	i := slices.IndexFunc(u.connectors, func(c *connector) bool {
		if c.charge == nil {
			return false
		}
		if o.session != "" {
			return c.charge.session == o.session
		}
		return c.charge.acked && c.charge.transaction == o.transaction
	})
	if i < 0 {
		return nil
	}
	return u.connectors[i]
}
