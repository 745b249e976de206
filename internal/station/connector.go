package station

import (
	"fmt"
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

// The holds an operator may set on a connector; "" is none.
const (
	HoldMaintenance = "MAINTENANCE"
	HoldReserved    = "RESERVED"
)

// FaultOperator is the fault code of a fault written by an operator.
const FaultOperator = "OPERATOR"

// Connector is where a cable is plugged in. Status is what holds now, kept by
// Refresh from what the other fields say.
type Connector struct {
	Charger     evcs.ChargerID
	No          int // from 1
	Tenant      evcs.TenantID
	Station     evcs.StationID
	Type        *string
	RatedPower  *evcs.Power
	ParkingNo   *string
	Enabled     bool
	Status      Status
	Reported    Status // last reported, by the device or by a status write
	Hold        string
	Latched     bool // a fault written by an operator, until it is cleared
	FaultCode   *string
	FaultDetail *string
	Plugged     *bool
	SessionID   int64       // row of the running session; zero: none
	Live        evcs.Sample // last readings; Have says which
	LastMeter   time.Time
	Updated     time.Time
	Version     int64
}

// Effective is the state of contract §5.2: offline while the charger is not
// heard, else fault, else charging while a session runs, else the hold, else
// what was last reported.
func (c *Connector) Effective(heard bool) Status {
	switch {
	case !heard:
		return Offline
	case c.Latched || c.Reported == Fault:
		return Fault
	case c.SessionID != 0:
		return Charging
	case c.Hold == HoldMaintenance:
		return Maintenance
	case c.Hold == HoldReserved:
		return Reserved
	case c.Reported == Charging:
		return Charging // without a session: an orphan is on its way
	}
	return c.Reported
}

// Refresh sets Status to what holds now and reports whether it changed.
func (c *Connector) Refresh(heard bool) bool {
	now := c.Effective(heard)
	changed := now != c.Status
	c.Status = now
	return changed
}

// Report is what a device says of a connector.
type Report struct {
	Status    Status
	Plugged   *bool // nil: it cannot tell
	FaultCode string
	Detail    string
}

// TakeReport takes a device's report; every one is allowed, holds and latched
// faults stay above it. It reports whether anything but the time changed.
func (c *Connector) TakeReport(r Report, at time.Time) bool {
	before := *c
	c.Reported = r.Status
	if r.Plugged != nil {
		c.Plugged = r.Plugged
	}
	if r.Status == Fault {
		c.FaultCode, c.FaultDetail = text(r.FaultCode), text(r.Detail)
	} else if !c.Latched {
		c.FaultCode, c.FaultDetail = nil, nil
	}
	c.Refresh(true)
	if c.same(&before) {
		return false
	}
	c.Updated = at
	return true
}

func (c *Connector) same(o *Connector) bool {
	return c.Status == o.Status && c.Reported == o.Reported && equal(c.Plugged, o.Plugged) &&
		equal(c.FaultCode, o.FaultCode) && equal(c.FaultDetail, o.FaultDetail)
}

func equal[T comparable](a, b *T) bool {
	return a == nil && b == nil || a != nil && b != nil && *a == *b
}

func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// Write takes an operator's status write, which counts as a sign of life: 4 and
// 5 set a hold, 1 clears hold and latched fault, 3 latches a fault, 0 lasts
// until the next message. A connector with a session is left as it is.
func (c *Connector) Write(s Status, at time.Time) {
	if c.SessionID != 0 {
		return
	}
	c.Updated = at
	switch s {
	case Offline:
		c.Status = Offline
		return
	case Idle:
		c.Hold, c.Latched, c.Reported = "", false, Idle
		c.FaultCode, c.FaultDetail = nil, nil
	case Fault:
		c.Latched, c.FaultCode = true, text(FaultOperator)
	case Maintenance:
		c.Hold, c.Latched = HoldMaintenance, false
		c.clearFault()
	case Reserved:
		c.Hold, c.Latched = HoldReserved, false
		c.clearFault()
	case Charging: // never written, MayWrite refuses it
		return
	}
	c.Refresh(true)
}

// clearFault forgets a reported fault: the next report decides.
func (c *Connector) clearFault() {
	c.FaultCode, c.FaultDetail = nil, nil
	if c.Reported == Fault || c.Reported == Offline {
		c.Reported = Idle
	}
}

// operatorMay lists, for each state, what an operator may write (contract
// §5.2). Writing the present state again is always allowed.
var operatorMay = map[Status][]Status{
	Offline:     {Idle, Fault, Maintenance, Reserved},
	Idle:        {Offline, Fault, Maintenance, Reserved},
	Charging:    {},
	Fault:       {Offline, Idle, Maintenance},
	Maintenance: {Offline, Idle, Fault},
	Reserved:    {Offline, Idle, Fault, Maintenance},
}

// MayWrite refuses a status write that contract §5.2 does not allow (2003).
// orderNo is that of a running order, "" when there is none.
func (c *Charger) MayWrite(to Status, orderNo string) error {
	if c.Status == Charging || orderNo != "" {
		return c.StateError(orderNo, BusyCharging)
	}
	if to == c.Status && to != Charging {
		return nil
	}
	for _, allowed := range operatorMay[c.Status] {
		if to == allowed {
			return nil
		}
	}
	return c.StateError(orderNo, evcs.Detail{
		ZH: fmt.Sprintf("不能从状态 %d 变更为 %d", c.Status, to), EN: fmt.Sprintf("status %d cannot become %d", c.Status, to),
	})
}

// MayStart refuses a client's start on this connector for a reason of the
// charger or connector itself, in the contract's order: disabled (2007), not
// connected (2004), fault, maintenance or reserved (2003). Being free (2006) is
// the order's to judge.
func (c *Charger) MayStart(n *Connector) error {
	switch {
	case !c.Enabled:
		return c.DisabledError(0)
	case !n.Enabled:
		return c.DisabledError(n.No)
	case !c.Connected:
		return c.OfflineError()
	}
	switch n.Status {
	case Fault:
		return c.StateError("", BusyFault)
	case Maintenance:
		return c.StateError("", BusyMaintenance)
	case Reserved:
		return c.StateError("", BusyReserved)
	case Offline, Idle, Charging:
	}
	return nil
}
