package chargersim

import (
	"slices"
	"time"

	"github.com/evcs/evcs/internal/chargersim/journal"
	"github.com/evcs/evcs/internal/chargersim/wire"
)

// message is one call to the server, and what befalls it on its way.
type message struct {
	wire.Call
	charge *charge // of authorize, start, meter, stop
	// faults befall the message when it is sent; each does so once.
	faults []Fault
	// attempts counts the times it was put on the wire.
	attempts int
	// lose: the answer to it will not be seen.
	lose bool
	// again: once it is answered it is told again.
	again bool
	// copy marks a repeat of a message that was answered already.
	copy bool
	// behind goes on the wire right after it.
	behind []*message
	// held until then, so that a later message overtakes it; real time.
	held time.Time
	// after is the earliest moment of the next attempt; real time.
	after time.Time
	// tampered is the fault that falsified its figures.
	tampered Fault
}

// enqueue adds what must be told, and lets the faults of the plan befall it.
func (u *unit) enqueue(m *message) {
	u.dirty = true
	u.requests++
	m.Request = "r-" + itoa(int(u.line.real.UnixMilli())) + "-" + itoa(u.requests)
	m.tampered = m.charge.tampered
	if len(u.queue) >= u.cfg.MaxQueue && m.Action == wire.Meter {
		u.tally.count("samples given up")
		return
	}
	u.queue = append(u.queue, m)
	if m.Action == wire.Start && u.stopLate {
		u.stopLate = false
		u.goOnline()
	}
	if u.forgive {
		return
	}
	hit := append(u.cfg.Faults.draw(u.luck), u.injected...)
	u.injected = nil
	for _, f := range hit {
		u.befall(m, f)
	}
}

// urge puts a message that only makes sense now before the others.
func (u *unit) urge(m *message) {
	if len(u.urgent) < 64 {
		u.urgent = append(u.urgent, m)
	}
}

// befall lets a fault happen to the charger when m comes up.
func (u *unit) befall(m *message, f Fault) {
	plan := u.connectors[m.Connector-1].plan
	if !f.befalls(m, plan.on && plan.left != 0) || f == FaultWrongBill && u.conf.Protocol != CloudCharge {
		return
	}
	u.tally.count("fault " + string(f))
	switch f {
	case FaultClock1970, FaultClockHour:
		u.clockFault = f
		u.taint(f)
	case FaultMeterReset, FaultMeterAbsurd:
		c := u.connectors[m.Connector-1]
		c.meter.offset = -c.meter.pure()
		if f == FaultMeterAbsurd {
			c.meter.offset = 10_000 * journal.KWh
		}
		m.charge.tampered = f
	case FaultReorder:
		if m.Action == wire.Meter {
			m.held = u.now().Add(u.cfg.AnswerTimeout / 4)
		}
	case FaultWrongBill:
		m.charge.extra = 100 + u.luck.Int64N(900)
	case FaultLateStop:
		u.stopLate = true
		u.goOffline()
	case FaultDrop, FaultLostAnswer, FaultDuplicate, FaultPipeline, FaultReboot, FaultRebootStorm, FaultGarbage, FaultStall,
		FaultNoBoot, FaultStopTwice, FaultStartStatus, FaultIDsFromOne:
		m.faults = append(m.faults, f)
	}
}

// taint marks the running sessions as told with a wrong clock.
func (u *unit) taint(f Fault) {
	for _, c := range u.connectors {
		if c.charge != nil {
			c.charge.tampered = f
		}
	}
}

// pump sends what may be sent.
func (u *unit) pump() {
	now := u.now()
	if u.conn == nil || now.Before(u.stalled) {
		return
	}
	if len(u.pending) > 0 && !now.Before(u.answerBy) {
		u.silence()
	}
	u.pumped = now
	for u.conn != nil && len(u.pending) < u.window && !now.Before(u.stalled) {
		m := u.pick(now)
		if m == nil {
			return
		}
		u.transmit(m, now)
	}
}

// silence gives up waiting: the connection is as good as dead.
func (u *unit) silence() {
	u.tally.count("unanswered")
	u.drop()
}

// pick chooses the next message.
func (u *unit) pick(now time.Time) *message {
	if !u.booted {
		if len(u.pending) > 0 || now.Before(u.bootAt) {
			return nil
		}
		return &message{Call: wire.Call{Action: wire.Boot, At: u.stamp(u.sim()), Request: u.request()}}
	}
	if len(u.urgent) > 0 {
		m := u.urgent[0]
		u.urgent = u.urgent[1:]
		return m
	}
	if m := u.due(now); m != nil {
		return m
	}
	if !now.Before(u.heartbeatAt) {
		u.heartbeatAt = now.Add(u.heartbeat)
		return &message{Call: wire.Call{Action: wire.Heartbeat, At: u.stamp(u.sim()), Request: u.request()}}
	}
	return nil
}

func (u *unit) request() string {
	u.requests++
	return "q-" + itoa(int(u.line.real.UnixMilli())) + "-" + itoa(u.requests)
}

// due is the first queued message that may be sent: in order, but for those
// held back, and never one whose start is not answered.
func (u *unit) due(now time.Time) *message {
	for _, m := range u.queue {
		if u.isPending(m) || now.Before(m.held) {
			continue
		}
		if now.Before(m.after) || (m.Action != wire.Start && !m.charge.acked) {
			return nil
		}
		return m
	}
	return nil
}

func (u *unit) isPending(m *message) bool {
	for _, p := range u.pending {
		if p == m {
			return true
		}
	}
	return false
}

// transmit puts m on the wire, with what befalls it.
func (u *unit) transmit(m *message, now time.Time) {
	hit := m.faults
	m.faults = nil
	u.window = 1
	for _, f := range hit {
		if !u.suffer(m, f, now) {
			return
		}
	}
	u.put(m, now)
	for _, next := range m.behind {
		if u.conn != nil {
			u.put(next, now)
		}
	}
	m.behind = nil
}

// put writes m to the connection.
func (u *unit) put(m *message, now time.Time) {
	if m.Request == "" {
		m.Request = u.request()
	}
	id := u.nextID()
	m.attempts++
	u.pending[id] = m
	u.answerBy = now.Add(u.cfg.AnswerTimeout)
	u.tally.sent(m.Action)
	if err := u.conn.Send(id, u.call(m)); err != nil {
		u.drop()
	}
}

// call is m as it is worded now: the session may have got its name since.
func (u *unit) call(m *message) wire.Call {
	call := m.Call
	if ch := m.charge; ch != nil {
		call.Transaction, call.Session, call.Command, call.Offline = ch.transaction, ch.session, ch.command, ch.offline
		if m.Action == wire.Stop {
			call.Bill = u.bill(m)
		}
	}
	return call
}

// bill is what the charger says itself that the session of a stop cost, in every
// repeat the same: before a stop is told, all that was before it is answered.
func (u *unit) bill(m *message) int64 {
	ch := m.charge
	switch {
	case ch.extra > 0:
		return ch.energy.Fen(simPrice) + ch.extra
	case u.cfg.Reckon == nil || u.conf.Protocol != CloudCharge:
		return 0
	case !ch.reckoned:
		s := u.journal.Session(ch.local)
		s.Stop = &journal.Entry{Kind: journal.KindStop, Time: m.At.UTC(), Register: m.Register}
		ch.own, ch.reckoned = u.cfg.Reckon(s), true
	}
	return ch.own
}

// simPrice is what a charger with a wrong bill takes for a kWh, in fen.
const simPrice = 100

// suffer does what a fault of the air does; false means that m was not sent.
func (u *unit) suffer(m *message, f Fault, now time.Time) bool {
	switch f {
	case FaultNoBoot:
		u.plainly = true
		u.drop()
		return false
	case FaultDrop:
		u.drop()
		return false
	case FaultIDsFromOne:
		u.counting = true
		u.restart()
		return false
	case FaultReboot, FaultRebootStorm:
		u.reboot(f)
		return false
	case FaultStall:
		u.stalled = now.Add(stallTime)
		return false
	case FaultLostAnswer:
		m.lose = true
	case FaultDuplicate:
		m.again = true
	case FaultPipeline:
		if u.conf.Protocol == OCPP16 { // requests of their own would overtake each other
			u.window = 2
		}
	case FaultStopTwice:
		m.behind = append(m.behind, u.again(m))
	case FaultStartStatus:
		m.behind = append(m.behind, &message{Call: wire.Call{Action: wire.Status, Connector: m.Connector, At: m.At, State: wire.Charging}})
	case FaultGarbage:
		texts := garbage()
		if err := u.conn.Raw(texts[u.air.IntN(len(texts))]); err != nil {
			u.drop()
			return false
		}
	default: // befell it earlier
	}
	return true
}

// reboot restarts the charger: the connection is gone, message ids begin again,
// sessions go on.
func (u *unit) reboot(f Fault) {
	if f == FaultRebootStorm {
		u.storm = stormLength
	}
	u.restart()
}

func (u *unit) restart() {
	u.ids, u.everBooted = 0, false
	u.drop()
	u.failures = 0
	u.dialAt = u.now()
}

// nextID makes message ids as stations do: some count from one at every boot,
// some draw numbers.
func (u *unit) nextID() string {
	u.ids++
	if u.accent.Spaced || u.counting {
		return itoa(u.ids)
	}
	return itoa(int(1e9+u.air.Int64N(9e9))) + "-" + itoa(u.ids)
}

// hear takes what happened on the wire.
func (u *unit) hear(e wire.Event) {
	if e.Conn != u.conn || u.conn == nil {
		return // of a connection that is no more
	}
	switch {
	case e.Gone != nil:
		u.drop()
	case e.Order != nil:
		u.tally.count("order " + e.Order.Kind)
		if err := u.conn.Reply(*e.Order, u.obey(*e.Order)); err != nil {
			u.drop()
		}
	case e.Answer != nil:
		u.answered(*e.Answer)
	}
}

func (u *unit) answered(a wire.Answer) {
	m := u.pending[a.ID]
	if m == nil {
		u.tally.count("answers to nothing")
		return
	}
	delete(u.pending, a.ID)
	u.tally.count("answers")
	if m.lose {
		m.lose = false
		u.drop()
		return
	}
	if a.Verdict == wire.Taken {
		u.accept(m, a)
		return
	}
	u.tally.count("errors")
	if m.copy {
		if a.Verdict == wire.Refused {
			u.journal.Violate("%s: a repeated %s was refused: %s", m.charge.local, m.Action, a.Fault)
		}
		return
	}
	if a.Verdict == wire.Later || !m.Transactional() {
		m.after = u.now().Add(u.cfg.Backoff << min(m.attempts, 4))
		if m.Action == wire.Boot {
			u.bootAt = m.after
		}
		return
	}
	u.giveUp(m, a)
}

// giveUp drops what the server refused for good.
func (u *unit) giveUp(m *message, a wire.Answer) {
	u.journal.Refuse(string(m.Action) + " " + a.Fault)
	u.remove(m)
	if m.Action != wire.Start {
		return
	}
	ch := m.charge
	ch.lost = true
	u.queue = slices.DeleteFunc(u.queue, func(other *message) bool { return other.charge == ch })
	if c := u.connectors[ch.connector-1]; c.charge == ch {
		c.charge, c.watts = nil, 0
		u.become(c, wire.Finishing)
	}
}

func (u *unit) remove(m *message) {
	u.dirty = true
	u.queue = slices.DeleteFunc(u.queue, func(other *message) bool { return other == m })
}

func (u *unit) accept(m *message, a wire.Answer) {
	if !a.Now.IsZero() && (m.Action == wire.Boot || m.Action == wire.Heartbeat) {
		u.clockFault = "" // the server told the time
	}
	switch m.Action {
	case wire.Boot:
		u.acceptBoot(a)
	case wire.Authorize:
		u.authorised(m, a)
	case wire.Start, wire.Meter, wire.Stop:
		u.acceptTransaction(m, a)
	case wire.Heartbeat, wire.Status:
	}
}

func (u *unit) acceptBoot(a wire.Answer) {
	now := u.now()
	if a.Status != "" && a.Status != "Accepted" {
		u.bootAt = now.Add(max(a.Interval, time.Second))
		return
	}
	if a.Interval > 0 {
		u.heartbeat = a.Interval
	}
	u.booted, u.everBooted, u.failures, u.dirty = true, true, 0, true
	u.heartbeatAt = now.Add(u.heartbeat)
	if u.storm > 0 {
		u.storm--
		u.restart()
		return
	}
	u.announce()
}

// acceptTransaction writes the truth down.
func (u *unit) acceptTransaction(m *message, a wire.Answer) {
	ch := m.charge
	if !slices.Contains(u.queue, m) { // a repeat of what was answered before
		if m.Action == wire.Start && (a.Transaction != ch.transaction || (a.Session != "" && a.Session != ch.session)) {
			u.journal.Violate("%s: repeated start got transaction %d %q, first %d %q", ch.local, a.Transaction, a.Session,
				ch.transaction, ch.session)
		}
		return
	}
	if m.Action == wire.Start {
		u.started(ch, a)
	}
	u.remove(m)
	u.journal.Add(u.entry(m, a))
	if m.again {
		u.urge(u.again(m))
	}
}

// again is m once more, as something new.
func (u *unit) again(m *message) *message {
	twin := *m
	twin.again, twin.lose, twin.copy, twin.Request, twin.attempts, twin.behind = false, false, true, u.request(), 0, nil
	if u.conf.Protocol == OCPP16 {
		twin.Reason = "" // as stations do that have forgotten why
	}
	return &twin
}

func (u *unit) started(ch *charge, a wire.Answer) {
	ch.acked, ch.transaction, ch.orderNo = true, a.Transaction, a.OrderNo
	if a.Session != "" {
		ch.session = a.Session
	}
	c := u.connectors[ch.connector-1]
	if a.Status != "Accepted" && a.Status != "" && c.charge == ch && !u.closing {
		ch.deauthorise = true
		u.finish(c, u.sim(), "DeAuthorized")
	}
}

func (u *unit) entry(m *message, a wire.Answer) journal.Entry {
	ch := m.charge
	e := journal.Entry{
		DeviceID: u.conf.DeviceID, Connector: m.Connector, Local: ch.local, Transaction: ch.transaction, Session: ch.session,
		OrderNo: ch.orderNo, IDTag: ch.tag, Time: m.At.UTC(), Register: m.Register, Offline: ch.offline, Answered: u.now(),
		Attempts: m.attempts, Tampered: string(ch.tampered), Reason: m.Reason,
	}
	if u.conf.Protocol == OCPP16 {
		e.Register = journal.Energy(m.Register.Wh() * 10) // whole Wh are told
	}
	switch m.Action {
	case wire.Start:
		e.Kind = journal.KindStart
	case wire.Meter:
		e.Kind = journal.KindMeter
	case wire.Stop:
		e.Kind, e.Bill = journal.KindStop, u.call(m).Bill
	default:
	}
	if a.OrderNo != "" {
		e.OrderNo = a.OrderNo
	}
	return e
}
