package chargersim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/evcs/evcs/internal/chargersim/wire"
)

// Fault is a way to misbehave. A fault does its harm once.
type Fault string

// The faults. Those of the meter and the clock falsify what is told: the
// journal marks the session. A wrong bill is beside the session.
const (
	// FaultDrop closes the socket without a word before the next message.
	FaultDrop Fault = "drop"
	// FaultLostAnswer lets the server answer a transaction message and never
	// sees it; the message is repeated under a new id.
	FaultLostAnswer Fault = "lost-answer"
	// FaultDuplicate sends an answered transaction message once more, under a
	// new id, a stop without its reason.
	FaultDuplicate Fault = "duplicate"
	// FaultReorder lets a later transaction message overtake an earlier one.
	FaultReorder Fault = "reorder"
	// FaultPipeline sends a second message before the first is answered, OCPP
	// only.
	FaultPipeline Fault = "pipeline"
	// FaultClock1970 sets the clock to 1970 until the server tells the time.
	FaultClock1970 Fault = "clock-1970"
	// FaultClockHour sets the clock an hour ahead until the server tells the time.
	FaultClockHour Fault = "clock-hour"
	// FaultMeterReset lets the register begin again from zero.
	FaultMeterReset Fault = "meter-reset"
	// FaultMeterAbsurd lets the register jump by 10 MWh.
	FaultMeterAbsurd Fault = "meter-absurd"
	// FaultReboot restarts the charger in mid-transaction; it resumes.
	FaultReboot Fault = "reboot"
	// FaultRebootStorm restarts it several times in a row.
	FaultRebootStorm Fault = "reboot-storm"
	// FaultGarbage sends frames that are no messages.
	FaultGarbage Fault = "garbage"
	// FaultStall neither reads nor writes for a while, the socket open.
	FaultStall Fault = "stall"
	// FaultNoBoot drops the connection and comes back without a boot message.
	FaultNoBoot Fault = "no-boot"
	// FaultStopTwice sends a stop twice in a row, under two ids, before the first
	// is answered: once with its reason, once without.
	FaultStopTwice Fault = "stop-twice"
	// FaultStartStatus sends the state of the connector right behind a start,
	// before the start is answered.
	FaultStartStatus Fault = "start-status"
	// FaultIDsFromOne restarts the charger, whose message ids count from 1 at
	// every boot from now on.
	FaultIDsFromOne Fault = "ids-from-one"
	// FaultLateStop loses the connection before a stop and finds it again when the
	// next session has begun: the state comes first, then the old stop, then the
	// next start.
	FaultLateStop Fault = "late-stop"
	// FaultWrongBill lets the stop of the session say what the charger reckons that
	// it cost, by a price that nobody else has; cloudcharge only, others have no
	// word for it. The session itself stays true.
	FaultWrongBill Fault = "wrong-bill"
)

// AllFaults are the faults there are.
func AllFaults() []Fault {
	return []Fault{
		FaultDrop, FaultLostAnswer, FaultDuplicate, FaultReorder, FaultPipeline, FaultClock1970, FaultClockHour,
		FaultMeterReset, FaultMeterAbsurd, FaultReboot, FaultRebootStorm, FaultGarbage, FaultStall,
		FaultNoBoot, FaultStopTwice, FaultStartStatus, FaultIDsFromOne, FaultLateStop, FaultWrongBill,
	}
}

// HonestFaults are the faults that never falsify a figure: whatever they do, a
// right platform ends with exactly the sessions of the journal.
func HonestFaults() []Fault {
	return []Fault{
		FaultDrop, FaultLostAnswer, FaultDuplicate, FaultReorder, FaultPipeline, FaultReboot, FaultRebootStorm, FaultGarbage,
		FaultStall, FaultNoBoot, FaultStopTwice, FaultStartStatus, FaultIDsFromOne, FaultLateStop,
	}
}

// FaultPlan says how often a fault happens: once in so many messages of a
// charger, by chance. Zero is never.
type FaultPlan map[Fault]int

// ParseFaults reads "drop=200,duplicate=50", a bare name meaning once in a
// hundred messages, "honest" and "all" the lists of that name.
func ParseFaults(text string) (FaultPlan, error) {
	plan := FaultPlan{}
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if part == "" || part == "none" {
			continue
		}
		name, rate := part, 100
		if before, after, found := strings.Cut(part, "="); found {
			n, err := positive(after)
			if err != nil {
				return nil, fmt.Errorf("fault %q: %w", part, err)
			}
			name, rate = before, n
		}
		if err := plan.add(name, rate); err != nil {
			return nil, err
		}
	}
	return plan, nil
}

func (p FaultPlan) add(name string, rate int) error {
	switch name {
	case "all":
		for _, f := range AllFaults() {
			p[f] = rate
		}
		return nil
	case "honest":
		for _, f := range HonestFaults() {
			p[f] = rate
		}
		return nil
	}
	if !slices.Contains(AllFaults(), Fault(name)) {
		return fmt.Errorf("fault %q: not one of %v, honest, all, none", name, AllFaults())
	}
	p[Fault(name)] = rate
	return nil
}

// draw picks the faults that befall one message, in a fixed order so that equal
// seeds give equal faults.
func (p FaultPlan) draw(r *rand.Rand) []Fault {
	if len(p) == 0 {
		return nil
	}
	var hit []Fault
	for _, f := range AllFaults() {
		if n := p[f]; n > 0 && r.IntN(n) == 0 {
			hit = append(hit, f)
		}
	}
	return hit
}

// Faults of the air, in real time.
const (
	stallTime   = 3 * time.Second
	stormLength = 5
)

// befalls reports whether a fault can befall a message: some are of starts or
// stops only, and a late stop needs a next session.
func (f Fault) befalls(m *message, another bool) bool {
	switch f {
	case FaultStopTwice:
		return m.Action == wire.Stop
	case FaultStartStatus:
		return m.Action == wire.Start
	case FaultLateStop:
		return m.Action == wire.Stop && another
	default:
		return true
	}
}

// garbage are texts no server should stumble over.
func garbage() []string {
	return []string{
		"", "{", "null", "[]", `[2]`, `[2,"x"]`, `[9,"x","y",{}]`, `[2,7,"Heartbeat",{}]`, `[2,"g1","Heartbeat",[]]`,
		`[3,"nobody-asked",{}]`, `[4,"nobody-asked","GenericError","",{}]`, `[2,"g2","NoSuchAction",{}]`,
		"\x00\x01\x02", strings.Repeat("[", 2000), `[2,"g3","StatusNotification",{"connectorId":-1}]`,
	}
}
