package cloudcharge

import (
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/evcs/evcs/internal/evcs"
)

// fields reads the values of one object and gathers every fault. A null is as
// good as absent.
type fields struct {
	raw    map[string][]byte
	plain  map[string]string // texts read so far, for the signature
	prefix string
	faults []evcs.FieldFault
}

func newFields(list []field) *fields {
	f := &fields{raw: make(map[string][]byte, len(list)), plain: make(map[string]string)}
	for _, e := range list {
		if string(e.raw) != "null" {
			f.raw[e.name] = e.raw
		}
	}
	return f
}

func (f *fields) has(name string) bool { return f.raw[name] != nil }

func (f *fields) fault(name, message string) {
	f.faults = append(f.faults, evcs.FieldFault{Field: f.prefix + name, Message: message})
}

func (f *fields) err() error { return evcs.Invalid(f.faults...) }

// need notes a fault when none of the names is there.
func (f *fields) need(name string, others ...string) {
	for _, n := range append(others, name) {
		if f.has(n) {
			return
		}
	}
	f.fault(name, "is missing")
}

// text reads a string of at most most characters.
func (f *fields) text(name string, most int, required bool) string {
	raw := f.raw[name]
	if raw == nil {
		if required {
			f.fault(name, "is missing")
		}
		return ""
	}
	if raw[0] != '"' {
		f.fault(name, "is not a string")
		return ""
	}
	text := decodeText(raw)
	switch {
	case required && text == "":
		f.fault(name, "is empty")
	case utf8.RuneCountInString(text) > most:
		f.fault(name, "is longer than "+strconv.Itoa(most))
	case !isPlain(text):
		f.fault(name, "has characters that are not allowed")
	default:
		f.plain[name] = text
		return text
	}
	return ""
}

// name reads a string of letters, digits, dots, dashes and underscores.
func (f *fields) name(name string, most int, required bool) string {
	text := f.text(name, most, required)
	if text != "" && !isName(text) {
		f.fault(name, "has characters that are not allowed")
		return ""
	}
	return text
}

// integer reads a whole number; absent is 0.
func (f *fields) integer(name string, least, most int64) int64 {
	raw := f.raw[name]
	if raw == nil {
		return 0
	}
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil || n < least || n > most {
		f.fault(name, "is not a whole number from "+strconv.FormatInt(least, 10)+" to "+strconv.FormatInt(most, 10))
		return 0
	}
	return n
}

// connector reads a connector number under any of its names; 0 when absent.
func (f *fields) connector(names ...string) int {
	for _, name := range append([]string{"connectorNo"}, names...) {
		if f.has(name) {
			return int(f.integer(name, 1, maxConnector))
		}
	}
	return 0
}

const maxConnector = 32

// truth reads a flag; 0 and 1 are accepted too.
func (f *fields) truth(name string) bool {
	switch string(f.raw[name]) {
	case "true", "1":
		return true
	case "false", "0", "":
		return false
	}
	f.fault(name, "is not true or false")
	return false
}

// quantity reads a figure that is not negative with the parser of its unit.
func quantity[T ~int64](f *fields, name string, parse func(string) (T, error)) (T, bool) {
	n, ok := signed(f, name, parse)
	if ok && n < 0 {
		f.fault(name, "is negative")
		return 0, false
	}
	return n, ok
}

// signed reads a figure with the parser of its unit.
func signed[T ~int64](f *fields, name string, parse func(string) (T, error)) (T, bool) {
	raw := f.raw[name]
	if raw == nil {
		return 0, false
	}
	n, err := parse(string(raw))
	if err != nil {
		f.fault(name, "is not a number of its unit")
		return 0, false
	}
	return n, true
}

// energy reads kWh; nil when absent.
func (f *fields) energy(name string) *evcs.Energy {
	e, ok := quantity(f, name, evcs.ParseEnergy)
	if !ok {
		return nil
	}
	return &e
}

// money reads what a charger says that something cost; nil when absent. Such a
// word is only compared, so the digits of a division and quotes are let pass.
func (f *fields) money(name string) *evcs.Money {
	raw := f.raw[name]
	if raw == nil {
		return nil
	}
	m, err := evcs.RoundMoney(strings.Trim(string(raw), `"`))
	switch {
	case err != nil:
		f.fault(name, "is not an amount in CNY")
	case m < 0:
		f.fault(name, "is negative")
	case m > evcs.MaxChargerAmount:
		f.fault(name, "must be at most "+evcs.MaxChargerAmount.String())
	default:
		return &m
	}
	return nil
}

// bill reads what the charger says itself that a session cost; nil when it says
// nothing.
func (f *fields) bill() *evcs.ChargerBill {
	b := &evcs.ChargerBill{Amount: f.money("amount")}
	parts := f.objects("periods", len(periodKinds))
	seen := make(map[string]bool)
	for _, p := range parts {
		p.need("energy")
		p.need("amount")
		kind := p.text("periodKind", 8, true)
		switch {
		case kind == "":
		case !slices.Contains(periodKinds[:], kind):
			p.fault("periodKind", "is not SHARP, PEAK, FLAT or VALLEY")
		case seen[kind]:
			p.fault("periodKind", "is given twice")
		}
		seen[kind] = true
		energy, amount := p.energy("energy"), p.money("amount")
		if energy != nil && amount != nil {
			b.Periods = append(b.Periods, evcs.ChargerPeriod{Kind: kind, Energy: *energy, Amount: *amount})
		}
	}
	f.join(parts)
	if b.Amount == nil && len(b.Periods) == 0 {
		return nil
	}
	if b.Amount == nil {
		var sum evcs.Money
		for _, p := range b.Periods {
			sum += p.Amount
		}
		b.Amount = &sum
	}
	return b
}

// periodKinds are the kinds of periods of a day.
var periodKinds = [...]string{"SHARP", "PEAK", "FLAT", "VALLEY"}

// minutes reads a duration; digits below a thousandth of a minute, which
// devices get from a division, are cut.
func (f *fields) minutes(name string) time.Duration {
	n, ok := quantity(f, name, func(text string) (evcs.Milli, error) {
		if dot := strings.IndexByte(text, '.'); dot >= 0 && len(text) > dot+4 {
			text = text[:dot+4]
		}
		return evcs.ParseMilli(text)
	})
	const longest = 366 * 24 * time.Hour
	if d := time.Duration(n) * 60 * time.Millisecond; ok && n <= evcs.Milli(longest/(60*time.Millisecond)) {
		return d
	}
	if ok {
		f.fault(name, "is longer than a year")
	}
	return 0
}

// time reads a time; zero when absent.
func (f *fields) time(name string, zone *time.Location) time.Time {
	text := f.text(name, 64, false)
	if text == "" {
		return time.Time{}
	}
	if zone == nil {
		zone = time.UTC
	}
	at, _, ok := parseTime(text, zone)
	if !ok {
		f.fault(name, "is not a time")
	}
	return at
}

// sample reads the measured figures.
func (f *fields) sample(at time.Time) evcs.Sample {
	s := evcs.Sample{At: at}
	mark := func(ok bool, q evcs.Quantity) {
		if ok {
			s.Have |= q
		}
	}
	var ok bool
	s.Register, ok = quantity(f, "meter", evcs.ParseEnergy)
	mark(ok, evcs.HasRegister)
	s.Energy, ok = quantity(f, "energy", evcs.ParseEnergy)
	mark(ok, evcs.HasEnergy)
	s.Power, ok = signed(f, "power", evcs.ParsePower)
	mark(ok, evcs.HasPower)
	s.Voltage, ok = signed(f, "voltage", evcs.ParseMilli)
	mark(ok, evcs.HasVoltage)
	s.Current, ok = signed(f, "current", evcs.ParseMilli)
	mark(ok, evcs.HasCurrent)
	s.SoC, ok = quantity(f, "soc", evcs.ParseMilli)
	mark(ok, evcs.HasSoC)
	s.Temperature, ok = signed(f, "temperature", evcs.ParseMilli)
	mark(ok, evcs.HasTemperature)
	return s
}

// objects reads an array of at most most objects.
func (f *fields) objects(name string, most int) []*fields {
	raw := f.raw[name]
	if raw == nil {
		return nil
	}
	if raw[0] != '[' {
		f.fault(name, "is not a list")
		return nil
	}
	var list []*fields
	s := splitter{text: raw, at: 1}
	for s.space(); s.text[s.at] != ']'; s.space() {
		if s.text[s.at] == ',' {
			s.at++
			s.space()
		}
		if s.text[s.at] != '{' || len(list) == most {
			f.fault(name, "is not a list of at most "+strconv.Itoa(most)+" objects")
			return nil
		}
		inner, err := s.object(0)
		if err != nil {
			f.fault(name, err.Error())
			return nil
		}
		e := newFields(inner)
		e.prefix = f.prefix + name + "[" + strconv.Itoa(len(list)) + "]."
		list = append(list, e)
	}
	return list
}

// join takes the faults of the parts.
func (f *fields) join(parts []*fields) {
	for _, p := range parts {
		f.faults = append(f.faults, p.faults...)
	}
}
