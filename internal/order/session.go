package order

import (
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

// State is the state of a session.
type State string

// The states of contract §6.2.
const (
	SessionActive    State = "ACTIVE"
	SessionSuspended State = "SUSPENDED" // running without power
	SessionEnded     State = "ENDED"
	SessionOrphan    State = "ORPHAN" // no order; ends by adopt or close
)

// The stop reasons of contract §6.1.
const (
	StopRemote         = "REMOTE"
	StopLocal          = "LOCAL"
	StopEVFull         = "EV_FULL"
	StopEVDisconnected = "EV_DISCONNECTED"
	StopLimit          = "LIMIT"
	StopFault          = "FAULT"
	StopEmergency      = "EMERGENCY"
	StopPowerLoss      = "POWER_LOSS"
	StopReboot         = "REBOOT"
	StopDeauthorized   = "DEAUTHORIZED"
	StopForced         = "FORCED"
	StopOther          = "OTHER"
)

// The refusals of a session.
var (
	ErrSessionNotFound = evcs.NewError(evcs.CodeSessionNotFound, "no such session")
	ErrSessionConflict = evcs.NewError(evcs.CodeSessionConflict, "the session id belongs to another connector")
	ErrSessionState    = evcs.NewError(evcs.CodeSessionState, "the session's state does not allow this")
)

// Session is what a device did. Its running figures are kept on it, so that a
// reading costs the same whether it is the first or the hundred-thousandth.
type Session struct {
	ID        int64  // our row; also the transaction number given to devices
	UID       string // public id, unique in the tenant
	Tenant    evcs.TenantID
	Order     evcs.OrderID // zero: an orphan
	Station   evcs.StationID
	Charger   evcs.ChargerID
	Connector int
	User      int64
	IDTag     string
	Protocol  string
	DeviceKey string // natural key of the start; empty until the device began
	State     State

	StartedAt       time.Time // device time when plausible
	StoppedAt       time.Time
	ReceivedStartAt time.Time // zero: the device has not begun
	ReceivedStopAt  time.Time
	MeterStart      *evcs.Energy // register
	MeterStop       *evcs.Energy
	Energy          evcs.Energy
	Seconds         int64
	StopReason      string
	StopReasonRaw   string
	StopDigest      string // what the effective stop said

	Samples int64
	Last    evcs.Sample // the newest; Energy is always its energy since start
	RiseAt  time.Time   // last rise of the energy
	riseAt  evcs.Energy // energy at that rise, when this process saw it

	DeviceEnergy  *evcs.Energy // the device's own record
	DeviceAmount  *evcs.Money
	DeviceSeconds *int64
	Estimated     bool
	Anomalies     Anomalies
	IdleSince     time.Time // the charger was seen idle without a stop since
	CreatedAt     time.Time
	UpdatedAt     time.Time
	Version       int64
}

// Running reports whether the session goes on as far as known.
func (s *Session) Running() bool { return s.State == SessionActive || s.State == SessionSuspended }

// Begun reports whether the device has told of its start.
func (s *Session) Begun() bool { return !s.ReceivedStartAt.IsZero() }

// Until is the end of what is billed: the stop, or how far the session is known
// to have come.
func (s *Session) Until() time.Time {
	if !s.StoppedAt.IsZero() {
		return s.StoppedAt
	}
	return s.StartedAt.Add(time.Duration(s.Seconds) * time.Second)
}

// StateError is 3015 with its facts.
func (s *Session) StateError() error {
	return evcs.With(ErrSessionState, map[string]any{"sessionId": s.UID, "state": s.State})
}

// SessionMissing is 3005 with its fact.
func SessionMissing(uid string) error {
	return evcs.With(ErrSessionNotFound, map[string]any{"sessionId": uid})
}

// Start is what a device says when it begins.
type Start struct {
	Key      string
	Protocol string
	IDTag    string
	User     int64
	Register *evcs.Energy
	At       time.Time // device time, zero when not told
	Received time.Time
}

// Begin records the device's start. A start in the device's own absurd time is
// kept at the platform's (CLOCK_ABSURD); a negative register is no register.
func (s *Session) Begin(b Start) {
	at, absurd := Plausible(b.At, b.Received)
	if absurd {
		s.Anomalies = s.Anomalies.With(ClockAbsurd)
	}
	s.DeviceKey, s.Protocol, s.StartedAt, s.ReceivedStartAt = b.Key, b.Protocol, at, b.Received
	if s.IDTag == "" {
		s.IDTag = b.IDTag
	}
	if s.User == 0 {
		s.User = b.User
	}
	if b.Register != nil && *b.Register < 0 {
		s.Anomalies = s.Anomalies.With(EnergyImplausible)
	} else if b.Register != nil {
		v := *b.Register
		s.MeterStart = &v
	}
	s.RiseAt, s.UpdatedAt = at, b.Received
}

// base is the register at which the energy since start is zero.
func (s *Session) base() (evcs.Energy, bool) {
	switch {
	case s.Last.Has(evcs.HasRegister):
		return s.Last.Register - s.Last.Energy, true
	case s.MeterStart != nil:
		return *s.MeterStart, true
	}
	return 0, false
}

// Read takes one reading at a plausible time and returns it as it is to be
// stored, with its energy since start. The figures of the session follow it
// when it is the newest. What cannot be true is kept as evidence, marked
// (ENERGY_IMPLAUSIBLE), and does not move the energy:
//
//   - a register below the last one by more than 0.01 kWh;
//   - a lifetime register far above an absurd start register: the first
//     reading becomes the base instead.
//
// A register far below the start that fits as energy since start is one: some
// chargers mix the two.
func (s *Session) Read(r evcs.Sample, power evcs.Power) evcs.Sample {
	r.At = r.At.UTC().Truncate(time.Millisecond)
	limit := Deliverable(power, r.At.Sub(s.StartedAt))
	r = s.relative(r, limit)
	r = s.measure(r, limit)
	s.Samples++
	if r.At.Before(s.Last.At) || s.State == SessionEnded {
		return r
	}
	if !s.Last.At.IsZero() && r.At.Sub(s.Last.At) > gapTolerance || s.Last.At.IsZero() && r.At.Sub(s.StartedAt) > gapTolerance {
		s.Anomalies = s.Anomalies.With(Gap)
	}
	s.follow(r)
	return r
}

// relative turns a session-relative register into an energy.
func (s *Session) relative(r evcs.Sample, limit evcs.Energy) evcs.Sample {
	if r.Has(evcs.HasRegister) && !r.Has(evcs.HasEnergy) && !s.Last.Has(evcs.HasRegister) && s.MeterStart != nil &&
		r.Register < *s.MeterStart-recordTolerance && r.Register >= s.Last.Energy && r.Register <= limit {
		r.Have = r.Have&^evcs.HasRegister | evcs.HasEnergy
		r.Energy, r.Register = r.Register, 0
	}
	return r
}

// measure finds the energy since start of a reading.
func (s *Session) measure(r evcs.Sample, limit evcs.Energy) evcs.Sample {
	newest := !r.At.Before(s.Last.At)
	switch {
	case r.Has(evcs.HasRegister):
		base, known := s.base()
		if !known {
			base = r.Register
		}
		if newest && r.Register-base > limit && s.Last.Energy == 0 && !s.Last.Has(evcs.HasRegister) {
			s.Anomalies = s.Anomalies.With(EnergyImplausible)
			base = r.Register
		}
		r.Energy = r.Register - base
	case !r.Has(evcs.HasEnergy):
		r.Energy = s.Last.Energy
		return r
	}
	if newest && (r.Energy < s.Last.Energy || r.Energy > limit) {
		if s.Last.Energy-r.Energy > recordTolerance || r.Energy > limit {
			s.Anomalies = s.Anomalies.With(EnergyImplausible)
			r.Have &^= evcs.HasRegister | evcs.HasEnergy // evidence stays in the frame; no base for what follows
		}
		r.Energy = s.Last.Energy
	}
	r.Energy = max(r.Energy, 0)
	return r
}

// follow makes r the newest reading.
func (s *Session) follow(r evcs.Sample) {
	if r.Energy-s.riseAt >= rise || s.RiseAt.IsZero() {
		s.RiseAt, s.riseAt = r.At, r.Energy
	}
	if s.Running() && r.Has(evcs.HasPower) {
		if r.Power > 0 {
			s.State = SessionActive
		} else if s.Last.Has(evcs.HasPower) && s.Last.Power == 0 {
			s.State = SessionSuspended // two readings without power
		}
	}
	s.Energy = r.Energy
	s.Seconds = int64(max(r.At.Sub(s.StartedAt), 0) / time.Second)
	last := s.Last
	s.Last = r
	if !r.Has(evcs.HasRegister) && last.Has(evcs.HasRegister) { // keep the base known
		s.Last.Have |= evcs.HasRegister
		s.Last.Register = last.Register + r.Energy - last.Energy
	}
	s.UpdatedAt = r.At
	s.IdleSince = time.Time{}
}

// Stop is what a device says when it ends.
type Stop struct {
	At        time.Time // device time, zero when not told
	Received  time.Time
	Register  *evcs.Energy
	Energy    *evcs.Energy // declared, since the start
	Duration  time.Duration
	Reason    string
	ReasonRaw string
	Power     evcs.Power // rated, for what is plausible
	Estimated bool
	Digest    string
	Bill      *evcs.ChargerBill // the charger's own; nil: not told
}

// End ends the session with a stop, a record or a close, and finds its energy:
// the register at the stop less the base, else the declared energy, else the
// last reading. It keeps what was declared beside it. Ending an ended session
// is 3015.
func (s *Session) End(e Stop) error {
	if s.State == SessionEnded {
		return s.StateError()
	}
	s.clockStop(e)
	energy := s.final(e)
	observed := s.StoppedAt.Sub(s.StartedAt)
	if received := e.Received.Sub(s.ReceivedStartAt); s.Begun() && received > observed {
		observed = received
	}
	if energy > Deliverable(e.Power, max(observed, e.Duration)) {
		s.Anomalies = s.Anomalies.With(EnergyImplausible)
	}
	s.Energy, s.State, s.ReceivedStopAt = energy, SessionEnded, e.Received
	s.told(e.Bill)
	s.StopReason, s.StopReasonRaw, s.StopDigest = e.Reason, e.ReasonRaw, e.Digest
	if e.Register != nil {
		v := *e.Register
		s.MeterStop = &v
	}
	if e.Estimated {
		s.Estimated = true
		s.Anomalies = s.Anomalies.With(Estimated)
	}
	s.UpdatedAt = e.Received
	return nil
}

// told keeps what the charger's own bill says in all.
func (s *Session) told(b *evcs.ChargerBill) {
	if b == nil {
		return
	}
	if b.Amount != nil {
		v := *b.Amount
		s.DeviceAmount = &v
	}
	if b.Energy != nil {
		v := *b.Energy
		s.DeviceEnergy = &v
	}
}

// Claim is the charger's own bill of the session as its stop tells it, or as an
// earlier message did; nil when it said no more than what the session is billed
// by.
func (s *Session) Claim(told *evcs.ChargerBill) *evcs.ChargerBill {
	var b evcs.ChargerBill
	switch {
	case told != nil:
		b = *told
	case s.DeviceAmount != nil || s.DeviceEnergy != nil && s.Anomalies.Has(RecordMismatch):
	default:
		return nil
	}
	if b.Energy == nil {
		b.Energy = s.DeviceEnergy
	}
	if b.Amount == nil {
		b.Amount = s.DeviceAmount
	}
	return &b
}

// LateClaim takes the charger's own bill of a session that ended before it was
// told, unless one is known: the first word counts. energy is what the late stop
// says was delivered. It answers nil when there is nothing new.
func (s *Session) LateClaim(told *evcs.ChargerBill, energy *evcs.Energy) *evcs.ChargerBill {
	var b evcs.ChargerBill
	if told != nil {
		b = *told
	}
	if b.Energy == nil {
		b.Energy = energy
	}
	silent := s.StopDigest == "" && s.DeviceEnergy == nil // closed without a stop
	if s.DeviceAmount != nil || b.Amount == nil && !(silent && b.Energy != nil) {
		return nil
	}
	if s.DeviceEnergy != nil {
		b.Energy = s.DeviceEnergy
	}
	s.told(&b)
	return &b
}

// clockStop finds when the session ended.
func (s *Session) clockStop(e Stop) {
	at, absurd := Plausible(e.At, e.Received)
	if absurd {
		s.Anomalies = s.Anomalies.With(ClockAbsurd)
	}
	if e.At.IsZero() && e.Duration > 0 && !s.StartedAt.IsZero() {
		if end := s.StartedAt.Add(e.Duration); !end.After(e.Received) {
			at = end
		}
	}
	if s.StartedAt.IsZero() || at.Before(s.StartedAt) {
		if !s.StartedAt.IsZero() {
			s.Anomalies = s.Anomalies.With(ClockAbsurd)
		}
		if s.StartedAt.IsZero() {
			s.StartedAt = at.Add(-max(e.Duration, 0))
		} else {
			at = s.StartedAt
		}
	}
	s.StoppedAt = at
	s.Seconds = int64(at.Sub(s.StartedAt) / time.Second)
	if e.Duration > 0 {
		declared := int64(e.Duration / time.Second)
		s.DeviceSeconds = &declared
		if d := e.Duration - at.Sub(s.StartedAt); d > durationTolerance || d < -durationTolerance {
			s.Anomalies = s.Anomalies.With(DurationMismatch)
		}
	}
}

// final finds the energy at the end.
func (s *Session) final(e Stop) evcs.Energy {
	energy := s.Last.Energy
	base, known := s.base()
	switch {
	case e.Register != nil && known:
		energy = *e.Register - base
		if energy < s.Last.Energy && *e.Register < base && *e.Register >= s.Last.Energy && *e.Register <= Deliverable(e.Power, s.StoppedAt.Sub(s.StartedAt)) &&
			!s.Last.Has(evcs.HasRegister) && s.Samples > 0 {
			energy = *e.Register // the stop, too, is relative to the start
		}
	case e.Energy != nil:
		energy = *e.Energy
	}
	if e.Energy != nil && !e.Estimated {
		v := *e.Energy
		s.DeviceEnergy = &v
	} else if e.Register != nil && known && !e.Estimated {
		v := energy
		s.DeviceEnergy = &v
	}
	if e.Register != nil && e.Energy != nil && known && absEnergy(*e.Energy-energy) > recordTolerance {
		s.Anomalies = s.Anomalies.With(RecordMismatch)
	}
	if energy < s.Last.Energy {
		if s.Last.Energy-energy > recordTolerance {
			s.Anomalies = s.Anomalies.With(RecordMismatch)
		}
		if energy < 0 || e.Register != nil && known && s.Last.Energy-energy > recordTolerance {
			s.Anomalies = s.Anomalies.With(EnergyImplausible)
			energy = s.Last.Energy
		}
	}
	return energy
}
