package chargersim

import (
	"slices"
	"time"
)

// enqueue adds what must be told, and lets the faults of the plan befall it.
func (u *unit) enqueue(m *message) {
	u.dirty = true
	u.requests++
	m.request = "r-" + itoa(int(u.line.real.UnixMilli())) + "-" + itoa(u.requests)
	m.tampered = m.charge.tampered
	if len(u.queue) >= u.cfg.MaxQueue && m.action == actMeter {
		u.tally.count("samples given up")
		return
	}
	u.queue = append(u.queue, m)
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
	u.tally.count("fault " + string(f))
	switch f {
	case FaultClock1970, FaultClockHour:
		u.clockFault = f
		u.taint(f)
	case FaultMeterReset, FaultMeterAbsurd:
		c := u.connectors[m.connector-1]
		c.meter.offset = -c.meter.pure()
		if f == FaultMeterAbsurd {
			c.meter.offset = 10_000 * KWh
		}
		m.charge.tampered = f
	case FaultReorder:
		if m.action == actMeter {
			m.held = u.now().Add(u.cfg.AnswerTimeout / 4)
		}
	case FaultDrop, FaultLostAnswer, FaultDuplicate, FaultPipeline, FaultReboot, FaultRebootStorm, FaultGarbage, FaultStall:
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
	if u.wire == nil || now.Before(u.stalled) {
		return
	}
	if len(u.pending) > 0 && !now.Before(u.answerBy) {
		u.silence()
	}
	u.pumped = now
	for u.wire != nil && len(u.pending) < u.window && !now.Before(u.stalled) {
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
		return &message{action: actBoot, at: u.stamp(u.sim()), request: u.request()}
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
		return &message{action: actHeartbeat, at: u.stamp(u.sim()), request: u.request()}
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
		if now.Before(m.after) || (m.action != actStart && !m.charge.acked) {
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
	if m.request == "" {
		m.request = u.request()
	}
	id := u.nextID()
	m.attempts++
	u.pending[id] = m
	u.answerBy = now.Add(u.cfg.AnswerTimeout)
	u.tally.sent(m.action)
	if err := u.wire.send(id, m); err != nil {
		u.drop()
	}
}

// suffer does what a fault of the air does; false means that m was not sent.
func (u *unit) suffer(m *message, f Fault, now time.Time) bool {
	switch f {
	case FaultDrop:
		u.drop()
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
		u.window = 2
	case FaultGarbage:
		texts := garbage()
		if err := u.wire.raw(texts[u.air.IntN(len(texts))]); err != nil {
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
	if u.accent.spaced {
		return itoa(u.ids)
	}
	return itoa(int(1e9+u.air.Int64N(9e9))) + "-" + itoa(u.ids)
}

// hear takes what happened on the wire.
func (u *unit) hear(e event) {
	if e.wire != u.wire || u.wire == nil {
		return // of a connection that is no more
	}
	switch {
	case e.gone != nil:
		u.drop()
	case e.order != nil:
		u.tally.count("order " + e.order.kind)
		if err := u.wire.reply(*e.order, u.obey(*e.order)); err != nil {
			u.drop()
		}
	case e.answer != nil:
		u.answered(*e.answer)
	}
}

func (u *unit) answered(a answer) {
	m := u.pending[a.id]
	if m == nil {
		u.tally.count("answers to nothing")
		return
	}
	delete(u.pending, a.id)
	u.tally.count("answers")
	if m.lose {
		m.lose = false
		u.drop()
		return
	}
	if a.verdict == taken {
		u.accept(m, a)
		return
	}
	u.tally.count("errors")
	if m.copy {
		if a.verdict == refused {
			u.journal.violate("%s: a repeated %s was refused: %s", m.charge.local, m.action, a.fault)
		}
		return
	}
	if a.verdict == later || !m.transactional() {
		m.after = u.now().Add(u.cfg.Backoff << min(m.attempts, 4))
		if m.action == actBoot {
			u.bootAt = m.after
		}
		return
	}
	u.giveUp(m, a)
}

// giveUp drops what the server refused for good.
func (u *unit) giveUp(m *message, a answer) {
	u.journal.refuse(string(m.action) + " " + a.fault)
	u.remove(m)
	if m.action != actStart {
		return
	}
	ch := m.charge
	ch.lost = true
	u.queue = slices.DeleteFunc(u.queue, func(other *message) bool { return other.charge == ch })
	if c := u.connectors[ch.connector-1]; c.charge == ch {
		c.charge, c.watts = nil, 0
		u.become(c, finishing)
	}
}

func (u *unit) remove(m *message) {
	u.dirty = true
	u.queue = slices.DeleteFunc(u.queue, func(other *message) bool { return other == m })
}

func (u *unit) accept(m *message, a answer) {
	if !a.now.IsZero() && (m.action == actBoot || m.action == actHeartbeat) {
		u.clockFault = "" // the server told the time
	}
	switch m.action {
	case actBoot:
		u.acceptBoot(a)
	case actAuthorize:
		u.authorised(m, a)
	case actStart, actMeter, actStop:
		u.acceptTransaction(m, a)
	case actHeartbeat, actStatus:
	}
}

func (u *unit) acceptBoot(a answer) {
	now := u.now()
	if a.status != "" && a.status != "Accepted" {
		u.bootAt = now.Add(max(a.interval, time.Second))
		return
	}
	if a.interval > 0 {
		u.heartbeat = a.interval
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
func (u *unit) acceptTransaction(m *message, a answer) {
	ch := m.charge
	if !slices.Contains(u.queue, m) { // a repeat of what was answered before
		if m.action == actStart && (a.transaction != ch.transaction || (a.session != "" && a.session != ch.session)) {
			u.journal.violate("%s: repeated start got transaction %d %q, first %d %q", ch.local, a.transaction, a.session,
				ch.transaction, ch.session)
		}
		return
	}
	if m.action == actStart {
		u.started(ch, a)
	}
	u.remove(m)
	u.journal.add(u.entry(m, a))
	if m.again {
		twin := *m
		twin.again, twin.copy, twin.request, twin.attempts = false, true, u.request(), 0
		u.urge(&twin)
	}
}

func (u *unit) started(ch *charge, a answer) {
	ch.acked, ch.transaction, ch.orderNo = true, a.transaction, a.orderNo
	if a.session != "" {
		ch.session = a.session
	}
	c := u.connectors[ch.connector-1]
	if a.status != "Accepted" && a.status != "" && c.charge == ch && !u.closing {
		ch.deauthorise = true
		u.finish(c, u.sim(), "DeAuthorized")
	}
}

func (u *unit) entry(m *message, a answer) Entry {
	ch := m.charge
	e := Entry{
		DeviceID: u.conf.DeviceID, Connector: m.connector, Local: ch.local, Transaction: ch.transaction, Session: ch.session,
		OrderNo: ch.orderNo, IDTag: ch.tag, Time: m.at.UTC(), Register: m.register, Offline: ch.offline, Answered: u.now(),
		Attempts: m.attempts, Tampered: ch.tampered, Reason: m.reason,
	}
	if u.conf.Protocol == OCPP16 {
		e.Register = Energy(m.register.Wh() * 10) // whole Wh are told
	}
	switch m.action {
	case actStart:
		e.Kind = KindStart
	case actMeter:
		e.Kind = KindMeter
	case actStop:
		e.Kind = KindStop
	default:
	}
	if a.orderNo != "" {
		e.OrderNo = a.orderNo
	}
	return e
}
