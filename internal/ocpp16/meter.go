package ocpp16

import (
	"bytes"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/ocppj"
)

// sampled is one sampledValue.
type sampled struct {
	value, measurand, unit, phase, context, format, location []byte
}

// reading gathers the sampled values of one meterValue into one sample. For
// each quantity the value of the whole connector is taken where it is given;
// else that of the phases: power and energy of all three are added, of currents
// and voltages the highest counts. A value between phases counts only when nothing
// else is there. Values of the outlet, where the customer draws, win over
// those elsewhere; the start of a transaction yields to anything newer.
type reading struct {
	sample evcs.Sample
	rank   [quantities]int8
	values [quantities]int64
	phases [quantities]uint8 // bit set of L1…L3 counted in values
}

const quantities = 7

// The places of the quantities in reading, and what each is called.
const (
	qRegister = iota
	qPower
	qVoltage
	qCurrent
	qSoC
	qTemperature
	qNone
)

// Ranks of a value: a higher one replaces a lower one.
const (
	rankBetween = 2 // between two phases
	rankPhase   = 4
	rankWhole   = 8
	rankOutlet  = 1  // added for the outlet
	rankLater   = 16 // added for everything but the start of a transaction
)

// decodeSamples calls take for each meterValue of the array raw that holds
// something known. zone is that of times without one, received the time of
// values without any.
func decodeSamples(raw []byte, zone *time.Location, received time.Time, take func(evcs.Sample)) *ocppj.CallError {
	if raw == nil {
		return nil
	}
	var r reader
	r.s = ocppj.NewScanner(raw)
	for r.s.Enter('['); r.fault == nil && r.s.More(']'); {
		var g reading
		if r.s.Peek() != '{' {
			return faultType("meterValue")
		}
		r.meterValue(&g, zone)
		if g.finish(received) {
			take(g.sample)
		}
	}
	return r.done()
}

func (r *reader) meterValue(g *reading, zone *time.Location) {
	for r.s.Enter('{'); ; {
		name, ok := r.next()
		if !ok {
			return
		}
		switch string(name) {
		case "timestamp":
			g.sample.At, _ = parseTime(r.text("timestamp"), zone)
		case "sampledvalue":
			r.sampledValues(g)
		default:
			r.s.Skip()
		}
	}
}

func (r *reader) sampledValues(g *reading) {
	switch r.s.Peek() {
	case '[':
	case 'n':
		r.s.Skip()
		return
	default:
		r.fault = faultType("sampledValue")
		return
	}
	for r.s.Enter('['); r.fault == nil && r.s.More(']'); {
		if r.s.Peek() != '{' {
			r.fault = faultType("sampledValue")
			return
		}
		var v sampled
		r.sampledValue(&v)
		if r.fault == nil && !r.s.Bad() {
			r.add(g, &v)
		}
	}
}

func (r *reader) sampledValue(v *sampled) {
	for r.s.Enter('{'); ; {
		name, ok := r.next()
		if !ok {
			return
		}
		switch string(name) {
		case "value":
			v.value = r.text("value")
		case "measurand":
			v.measurand = r.text("measurand")
		case "unit":
			v.unit = r.text("unit")
		case "phase":
			v.phase = r.text("phase")
		case "context":
			v.context = r.text("context")
		case "format":
			v.format = r.text("format")
		case "location":
			v.location = r.text("location")
		default:
			r.s.Skip()
		}
	}
}

// add judges one value. What is not known, not a number or signed data stays
// in the raw frame only.
func (r *reader) add(g *reading, v *sampled) {
	if len(v.format) > 0 && string(r.lower(v.format)) != "raw" {
		return
	}
	q, scale := r.quantity(v)
	if q == qNone {
		return
	}
	n, ok := parseScaled(v.value, scale)
	if !ok {
		return
	}
	if q == qTemperature {
		n = r.celsius(v.unit, n)
	}
	rank, phase := r.rank(v)
	switch {
	case rank < g.rank[q]:
	case rank > g.rank[q]:
		g.rank[q], g.values[q], g.phases[q] = rank, n, phase
	case phase != 0 && g.phases[q]&phase == 0 && rank&rankWhole == 0:
		g.values[q] = joinPhases(q, g.values[q], n)
		g.phases[q] |= phase
	case phase == 0 || g.phases[q] == phase:
		g.values[q] = n // a repeat within one value: the last counts
	}
}

func joinPhases(q int, a, b int64) int64 {
	if q == qPower || q == qRegister {
		return a + b
	}
	return max(a, b)
}

// quantity is what v measures, and the scale that brings its unit to ours.
func (r *reader) quantity(v *sampled) (q, scale int) {
	kilo := len(v.unit) > 0 && v.unit[0]|0x20 == 'k' && len(v.unit) > 1
	switch string(r.lower(v.measurand)) {
	case "", "energy.active.import.register":
		switch string(r.lower(v.unit)) {
		case "", "wh":
			return qRegister, 1
		case "kwh":
			return qRegister, 4
		}
	case "power.active.import":
		switch string(r.lower(v.unit)) {
		case "", "w":
			return qPower, 0
		case "kw":
			return qPower, 3
		}
	case "voltage":
		if kilo {
			return qVoltage, 6
		}
		return qVoltage, 3
	case "current.import":
		return qCurrent, 3
	case "soc":
		return qSoC, 3
	case "temperature":
		return qTemperature, 3
	}
	return qNone, 0
}

// celsius brings a temperature in thousandths to °C. The schema of 1.6 has the
// unit also as "Celcius".
func (r *reader) celsius(unit []byte, n int64) int64 {
	switch string(r.lower(unit)) {
	case "k", "kelvin":
		return n - 273_150
	case "fahrenheit", "f":
		return (n - 32_000) * 5 / 9
	}
	return n
}

func (r *reader) rank(v *sampled) (rank int8, phase uint8) {
	rank = rankWhole
	switch p := r.lower(v.phase); {
	case len(p) == 0 || string(p) == "n":
	case len(p) == 5: // L1-L2
		rank, phase = rankBetween, 1<<((p[1]-'1')&7)
	default: // L1, L1-N
		rank = rankPhase
		if len(p) > 1 {
			phase = 1 << ((p[1] - '1') & 7)
		}
	}
	switch string(r.lower(v.location)) {
	case "", "outlet":
		rank += rankOutlet
	}
	if !bytes.EqualFold(v.context, transactionBegin) {
		rank += rankLater
	}
	return rank, phase
}

var transactionBegin = []byte("Transaction.Begin")

// finish words the reading as a sample; false when it holds nothing known.
func (g *reading) finish(received time.Time) bool {
	s := &g.sample
	for q, rank := range g.rank {
		if rank == 0 {
			continue
		}
		n := g.values[q]
		switch q {
		case qRegister:
			if n >= 0 { // a register never is; the raw frame keeps it
				s.Register, s.Have = evcs.Energy(n), s.Have|evcs.HasRegister
			}
		case qPower:
			s.Power, s.Have = evcs.Power(n), s.Have|evcs.HasPower
		case qVoltage:
			s.Voltage, s.Have = evcs.Milli(n), s.Have|evcs.HasVoltage
		case qCurrent:
			s.Current, s.Have = evcs.Milli(n), s.Have|evcs.HasCurrent
		case qSoC:
			s.SoC, s.Have = evcs.Milli(n), s.Have|evcs.HasSoC
		case qTemperature:
			s.Temperature, s.Have = evcs.Milli(n), s.Have|evcs.HasTemperature
		}
	}
	if s.At.IsZero() {
		s.At = received
	}
	return s.Have != 0
}
