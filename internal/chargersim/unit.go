package chargersim

import (
	"context"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/evcs/evcs/internal/chargersim/journal"
	"github.com/evcs/evcs/internal/chargersim/wire"
)

// unit is one charger. All of it belongs to the goroutine of run; others talk
// to it through the box.
type unit struct {
	cfg     *Config
	conf    ChargerConfig
	index   int // in the fleet
	curve   Curve
	line    timeline
	accent  wire.Accent
	dial    wire.Dial
	journal *journal.Journal
	tally   *tally
	handle  *Charger

	// Three sources, so that the cars do not depend on what the network did.
	cars, luck, air *rand.Rand

	connectors []*connector
	conn       wire.Conn
	in         chan wire.Event
	dialed     chan dialResult
	dialling   bool
	away       bool // offline on purpose
	booted     bool
	everBooted bool
	storm      int
	closing    bool
	plainly    bool // the next connection comes without a boot message
	counting   bool // message ids count from 1 at every boot
	stopLate   bool // offline until the next session begins

	urgent      []*message // what only makes sense now
	queue       []*message // what must be told, in order
	pending     map[string]*message
	window      int // messages that may be unanswered at once
	authorising map[int]string
	injected    []Fault
	forgive     bool // no more faults
	clockFault  Fault

	ids, sessions, stopped, requests int
	failures                         int // connections failed or lost in a row
	meterEvery, heartbeat            time.Duration
	settings                         []wire.Setting

	// Real times.
	bootAt, heartbeatAt, dialAt, answerBy, stalled, pumped time.Time
	dirty                                                  bool
}

type dialResult struct {
	conn wire.Conn
	err  error
}

func itoa(n int) string { return strconv.Itoa(n) }

func newUnit(cfg *Config, conf ChargerConfig, index int, line timeline, j *journal.Journal, t *tally) *unit {
	source := func(n uint64) *rand.Rand { return rand.New(rand.NewPCG(cfg.Seed, uint64(index)*8+n)) } //nolint:gosec // play
	curve, _ := curveOf(conf.Kind)                                                                    // checked by prepare
	u := &unit{
		cfg: cfg, conf: conf, index: index, curve: curve, line: line, journal: j, tally: t,
		cars: source(0), luck: source(1), air: source(2),
		in: make(chan wire.Event, 8), dialed: make(chan dialResult, 1), pending: map[string]*message{}, window: 1,
		authorising: map[int]string{}, meterEvery: cfg.MeterInterval, heartbeat: cfg.Heartbeat, dirty: true,
	}
	u.accent = wire.Accent{
		Style: wire.Style(u.air.IntN(int(wire.Styles))), Spaced: u.air.IntN(2) == 0, Kilo: u.air.IntN(3) == 0, Model: conf.Kind,
		Serial: "SN" + conf.DeviceID,
	}
	if cfg.PlainTimes {
		u.accent.Style = wire.StyleMillis
	}
	now := cfg.Clock.Now()
	for no := range conf.Connectors {
		c := &connector{no: no + 1, state: wire.Available, operative: true, counted: line.at(now)}
		c.meter.count = u.cars.Int64N(int64(5000*journal.KWh)) * wattMillis
		u.connectors = append(u.connectors, c)
	}
	u.settings = defaultSettings(cfg, conf)
	u.handle = newCharger(u)
	return u
}

func (u *unit) now() time.Time { return u.cfg.Clock.Now() }

func (u *unit) sim() time.Time { return u.line.at(u.now()) }

// stamp is what the charger's clock shows at sim, faults and all, as exactly as
// it will be written.
func (u *unit) stamp(sim time.Time) time.Time {
	t := u.line.told(sim)
	switch u.clockFault {
	case FaultClockHour:
		t = t.Add(time.Hour)
	case FaultClock1970:
		t = time.Unix(0, 0).UTC().Add(t.Sub(u.line.told(u.line.sim)))
	default:
	}
	return u.accent.Style.Exact(t)
}

func (u *unit) online() bool { return u.conn != nil && u.booted }

// run lives the charger's life until ctx ends or, with a scenario of counted
// sessions, until all is told.
func (u *unit) run(ctx context.Context) {
	defer u.handle.finish()
	defer u.hangUp()
	u.begins(u.sim())
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		u.live()
		u.connect(ctx)
		u.pump()
		u.publish()
		if (u.closing || u.cfg.Scenario != nil) && u.done() {
			return
		}
		timer.Reset(u.sleep())
		in := u.in
		if u.now().Before(u.stalled) {
			in = nil // a stalled charger hears nothing
		}
		select {
		case <-ctx.Done():
			return
		case e := <-in:
			u.hear(e)
		case r := <-u.dialed:
			u.connected(r)
		case f := <-u.handle.box:
			f()
		case <-timer.C:
		}
	}
}

// live lets the simulated world catch up with the clock, event by event, in
// order.
func (u *unit) live() {
	sim := u.sim()
	for {
		var first *connector
		var at time.Time
		for _, c := range u.connectors {
			if t := c.next(); !t.IsZero() && !t.After(sim) && (first == nil || t.Before(at)) {
				first, at = c, t
			}
		}
		if first == nil {
			return
		}
		u.act(first, at)
	}
}

// sleep is how long nothing is due.
func (u *unit) sleep() time.Duration {
	now := u.now()
	until := now.Add(time.Minute)
	sooner := func(t time.Time) {
		if !t.IsZero() && t.Before(until) {
			until = t
		}
	}
	for _, c := range u.connectors {
		if t := c.next(); !t.IsZero() {
			sooner(u.line.when(t).Add(time.Millisecond))
		}
	}
	stalled := now.Before(u.stalled)
	if u.conn == nil && !u.away && !u.dialling {
		sooner(u.dialAt)
	}
	switch {
	case stalled:
		sooner(u.stalled)
	case u.conn != nil:
		u.soonest(sooner)
	}
	return max(until.Sub(now), time.Millisecond)
}

// soonest names the moments at which something may be sent. What was due when
// the pump last ran was sent, or waits for something else than the clock.
func (u *unit) soonest(until func(time.Time)) {
	if len(u.pending) > 0 {
		until(u.answerBy)
	}
	if len(u.pending) >= u.window {
		return
	}
	sooner := func(t time.Time) {
		if t.After(u.pumped) {
			until(t)
		}
	}
	if !u.booted {
		sooner(u.bootAt)
		return
	}
	sooner(u.heartbeatAt)
	for i, m := range u.queue {
		if i == 2 {
			break
		}
		if m.held.After(m.after) {
			sooner(m.held)
			continue
		}
		sooner(m.after)
	}
}

// connect dials when there is no connection and should be one.
func (u *unit) connect(ctx context.Context) {
	if u.conn != nil || u.away || u.dialling || u.now().Before(u.dialAt) {
		return
	}
	u.dialling = true
	u.handle.wg.Go(func() {
		w, err := u.dial(ctx, u.in)
		u.dialed <- dialResult{w, err}
	})
}

func (u *unit) connected(r dialResult) {
	u.dialling = false
	if r.err != nil {
		u.tally.failed(r.err)
		u.retry()
		return
	}
	if u.away {
		r.conn.Close()
		return
	}
	u.tally.count("connected")
	u.conn, u.dirty = r.conn, true
	now := u.now()
	u.heartbeatAt = now.Add(u.heartbeat)
	// Many stations come back without a boot message and simply go on.
	u.booted = u.everBooted && u.storm == 0 && (u.air.IntN(2) == 0 || u.plainly)
	u.plainly = false
	u.bootAt = now
	if u.booted {
		u.failures = 0
		u.announce()
	}
}

// announce tells the state of every connector, as stations do on connecting.
func (u *unit) announce() {
	for _, c := range u.connectors {
		u.tellStatus(c)
	}
}

// retry plans the next attempt to connect.
func (u *unit) retry() {
	u.failures++
	pause := u.cfg.Backoff << min(u.failures-1, 4)
	u.dialAt = u.now().Add(pause/2 + time.Duration(u.air.Int64N(int64(pause))))
}

// hangUp ends the connection, if there is one. What was not answered will be
// told again.
func (u *unit) hangUp() {
	u.closing = true
	if u.dialling {
		r := <-u.dialed
		u.dialling = false
		if r.conn != nil {
			r.conn.Close()
		}
	}
	u.drop()
}

func (u *unit) drop() {
	if u.conn == nil {
		return
	}
	u.conn.Close()
	u.conn, u.booted, u.dirty = nil, false, true
	u.urgent, u.authorising = nil, u.localStarts()
	clear(u.pending)
	u.window = 1
	u.tally.count("disconnected")
	u.retry()
}

// localStarts begins the sessions whose authorisation got lost: a station
// without connection lets its customers charge.
func (u *unit) localStarts() map[int]string {
	if !u.closing {
		for _, c := range u.connectors {
			if tag, ok := u.authorising[c.no]; ok && c.charge == nil && c.operative {
				u.begin(c, u.sim(), charge{tag: tag, offline: true})
			}
		}
	}
	return map[int]string{}
}

func (u *unit) goOffline() {
	u.away, u.dirty = true, true
	u.drop()
}

func (u *unit) goOnline() {
	if u.away {
		u.away, u.dialAt, u.failures = false, u.now(), 0
	}
}
