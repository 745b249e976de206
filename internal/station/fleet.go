package station

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/tenant"
)

// MaxConnectors is the most connectors a charger may have.
const MaxConnectors = 32

// Fleet is the verbs of chargers and connectors.
type Fleet struct{ *Registry }

var ykcNumber = regexp.MustCompile(`^[0-9]{14}$`)

// Create adds a charger with its connectors 1 to guns. Refusals: 1002, 2001,
// 2011, 3008 and 5006.
func (f Fleet) Create(ctx context.Context, a *evcs.Actor, c Charger, guns int) (*Charger, []*Connector, error) {
	if err := tenant.Reach(a, c.Tenant, true); err != nil {
		return nil, nil, err
	}
	var made Charger
	var connectors []*Connector
	err := f.Transact(ctx, func(tx Tx) error {
		made, connectors = c, nil
		made.Created, made.CreatedBy = f.Clock.Now(), a.User
		made.Updated, made.UpdatedBy = made.Created, a.User
		if _, err := tx.Stations().Station(ctx, evcs.Only(made.Tenant), made.Station); err != nil {
			return err
		}
		if err := f.identify(ctx, tx, &made); err != nil {
			return err
		}
		if err := planFits(ctx, tx, &made); err != nil {
			return err
		}
		if err := tenant.Reserve(ctx, tx.Tenants(), made.Tenant, tenant.Chargers, 1); err != nil {
			return err
		}
		// again, behind the lock of Reserve: a deletion takes the same lock
		if _, err := tx.Stations().Station(ctx, evcs.Only(made.Tenant), made.Station); err != nil {
			return err
		}
		if err := tx.Stations().InsertCharger(ctx, &made); err != nil {
			return err
		}
		var err error
		if connectors, err = f.addConnectors(ctx, tx, &made, 1, guns); err != nil {
			return err
		}
		return f.audit(ctx, tx, a, "CREATE_CHARGER", made.Tenant, "CHARGER", int64(made.ID), map[string]any{"chargerCode": made.Code, "deviceId": made.DeviceID})
	})
	return &made, connectors, err
}

// identify refuses a taken code and device id, and finds the default one.
func (f Fleet) identify(ctx context.Context, tx Tx, c *Charger) error {
	if err := freeChargerCode(ctx, tx, c); err != nil {
		return err
	}
	if c.DeviceID == "" {
		c.DeviceID = c.Code
		taken, err := deviceTaken(ctx, tx, c.DeviceID)
		if err != nil {
			return err
		}
		if taken {
			c.DeviceID = fmt.Sprintf("t%d-%s", c.Tenant, c.Code)
		}
	}
	if len(c.DeviceID) > 48 {
		return evcs.Invalid(evcs.FieldFault{Field: "deviceId", Message: "is needed: the charger code is too long to be one"})
	}
	if err := c.speaks(); err != nil {
		return err
	}
	taken, err := deviceTaken(ctx, tx, c.DeviceID)
	if err != nil || !taken {
		return err
	}
	// somebody may have taken both just now: then the code is what is said
	if err := freeChargerCode(ctx, tx, c); err != nil {
		return err
	}
	return evcs.With(ErrDeviceID, map[string]any{"deviceId": c.DeviceID})
}

// speaks refuses a device id that the protocol cannot carry.
func (c *Charger) speaks() error {
	if c.Protocol == "YKC" && !ykcNumber.MatchString(c.DeviceID) {
		return evcs.Invalid(evcs.FieldFault{Field: "deviceId", Message: "of a YKC charger is exactly 14 digits"})
	}
	return nil
}

// planFits refuses a plan that is not the tenant's (3008), or of another station.
func planFits(ctx context.Context, tx Tx, c *Charger) error {
	if c.Plan == 0 {
		return nil
	}
	at, err := tx.Stations().PlanStation(ctx, evcs.Only(c.Tenant), c.Plan)
	if err == nil && at != 0 && at != c.Station {
		err = evcs.Invalid(evcs.FieldFault{Field: "billingPlanId", Message: "belongs to another station"})
	}
	return err
}

func freeChargerCode(ctx context.Context, tx Tx, c *Charger) error {
	taken, err := tx.Stations().ChargerCodeTaken(ctx, c.Tenant, c.Code, c.ID)
	if err != nil || !taken {
		return err
	}
	return evcs.With(ErrChargerCode, map[string]any{"chargerCode": c.Code})
}

func deviceTaken(ctx context.Context, tx Tx, id string) (bool, error) {
	_, err := tx.Stations().ChargerByDevice(ctx, id)
	if code, _, _ := evcs.Classify(err); err != nil && code == evcs.CodeChargerNotFound {
		return false, nil
	}
	return err == nil, err
}

func (f Fleet) addConnectors(ctx context.Context, tx Tx, c *Charger, from, to int) ([]*Connector, error) {
	types := gunTypes(c.GunTypes)
	var made []*Connector
	for no := from; no <= to; no++ {
		k := &Connector{
			Charger: c.ID, No: no, Tenant: c.Tenant, Station: c.Station, Enabled: true, Status: Offline, Reported: Idle, Updated: f.Clock.Now(),
		}
		if len(types) > 0 {
			k.Type = &types[min(no, len(types))-1]
		}
		if err := tx.Stations().InsertConnector(ctx, k); err != nil {
			return nil, err
		}
		made = append(made, k)
	}
	return made, nil
}

func gunTypes(list *string) []string {
	if list == nil {
		return nil
	}
	var types []string
	for part := range strings.SplitSeq(*list, ",") {
		if part = strings.TrimSpace(part); part != "" {
			types = append(types, part)
		}
	}
	return types
}

// load finds a charger in the actor's subtree for a change.
func (f Fleet) load(ctx context.Context, tx Tx, a *evcs.Actor, id evcs.ChargerID, want *int64) (*Charger, error) {
	c, err := tx.Stations().Charger(ctx, evcs.Subtree(a.Tenant), id)
	if err != nil {
		return nil, err
	}
	if err := tenant.Reach(a, c.Tenant, true); err != nil {
		return nil, err
	}
	return c, seen(want, c.Version)
}

// Update changes a charger; change is given the present one and alters it. guns
// is the wished number of connectors, nil: as it is. A new code is taken only
// while the charger was never used (9400).
func (f Fleet) Update(ctx context.Context, a *evcs.Actor, id evcs.ChargerID, want *int64, guns *int, change func(*Charger) error) (*Charger, error) {
	var made *Charger
	err := f.Transact(ctx, func(tx Tx) error {
		c, err := f.load(ctx, tx, a, id, want)
		if err != nil {
			return err
		}
		before := *c
		if err := change(c); err != nil {
			return err
		}
		if err := f.judge(ctx, tx, &before, c); err != nil {
			return err
		}
		if guns != nil {
			if err := f.resize(ctx, tx, c, *guns); err != nil {
				return err
			}
		}
		if err := f.save(ctx, tx, a, c); err != nil {
			return err
		}
		made = c
		return f.audit(ctx, tx, a, "UPDATE_CHARGER", c.Tenant, "CHARGER", int64(c.ID), c.differs(&before))
	})
	if err == nil {
		f.touch(id)
	}
	return made, err
}

func (f Fleet) save(ctx context.Context, tx Tx, a *evcs.Actor, c *Charger) error {
	c.Updated, c.UpdatedBy = f.Clock.Now(), a.User
	return tx.Stations().UpdateCharger(ctx, evcs.Only(c.Tenant), c)
}

// judge refuses what a changed charger may not be.
func (f Fleet) judge(ctx context.Context, tx Tx, before, c *Charger) error {
	if err := c.speaks(); err != nil {
		return err
	}
	if c.Code != before.Code {
		if err := f.recode(ctx, tx, c); err != nil {
			return err
		}
	}
	if c.Plan == before.Plan {
		return nil
	}
	return planFits(ctx, tx, c)
}

func (f Fleet) recode(ctx context.Context, tx Tx, c *Charger) error {
	used, err := tx.Stations().EverUsed(ctx, evcs.Only(c.Tenant), c.ID)
	if err != nil {
		return err
	}
	if used {
		return evcs.Invalid(evcs.FieldFault{Field: "chargerCode", Message: "is fixed once the charger was connected or used"})
	}
	return freeChargerCode(ctx, tx, c)
}

// resize adds connectors, or removes the highest ones if they never had a
// session (2003).
func (f Fleet) resize(ctx context.Context, tx Tx, c *Charger, guns int) error {
	scope := evcs.Only(c.Tenant)
	have, err := tx.Stations().Connectors(ctx, scope, c.ID)
	if err != nil {
		return err
	}
	if guns >= len(have) {
		_, err := f.addConnectors(ctx, tx, c, len(have)+1, guns)
		return err
	}
	for _, k := range have[guns:] {
		had, err := tx.Stations().HadSession(ctx, scope, c.ID, k.No)
		if err != nil {
			return err
		}
		if had {
			return c.StateError("", evcs.Detail{
				ZH: fmt.Sprintf("充电枪 %d 已有充电记录,不能移除", k.No), EN: fmt.Sprintf("connector %d had sessions and stays", k.No),
			})
		}
		if err := tx.Stations().DeleteConnector(ctx, scope, k); err != nil {
			return err
		}
	}
	return nil
}

// Delete removes a charger without a running session (2003); its credential
// dies with it.
func (f Fleet) Delete(ctx context.Context, a *evcs.Actor, id evcs.ChargerID) error {
	err := f.Transact(ctx, func(tx Tx) error {
		c, err := f.load(ctx, tx, a, id, nil)
		if err != nil {
			return err
		}
		if err := f.free(ctx, tx, c); err != nil {
			return err
		}
		if err := tx.Stations().DeleteCredential(ctx, evcs.Only(c.Tenant), id); err != nil {
			return err
		}
		if err := tx.Stations().DeleteCharger(ctx, evcs.Only(c.Tenant), c, f.Clock.Now()); err != nil {
			return err
		}
		return f.audit(ctx, tx, a, "DELETE_CHARGER", c.Tenant, "CHARGER", int64(id), map[string]any{"chargerCode": c.Code})
	})
	if err == nil {
		f.touch(id)
	}
	return err
}

// free refuses a charger with a running session (2003).
func (f Fleet) free(ctx context.Context, tx Tx, c *Charger) error {
	no, running, err := tx.Stations().RunningOrder(ctx, evcs.Only(c.Tenant), c.ID)
	if err != nil || running == 0 {
		return err
	}
	return c.StateError(no, BusyCharging)
}

// SetStatus takes an operator's status write (contract §5.2).
func (f Fleet) SetStatus(ctx context.Context, a *evcs.Actor, id evcs.ChargerID, want *int64, to Status) (*Charger, error) {
	var made *Charger
	err := f.Transact(ctx, func(tx Tx) error {
		c, err := f.load(ctx, tx, a, id, want)
		if err != nil {
			return err
		}
		made = c
		orderNo, _, err := tx.Stations().RunningOrder(ctx, evcs.Only(c.Tenant), id)
		if err != nil {
			return err
		}
		if err := c.MayWrite(to, orderNo); err != nil {
			return err
		}
		if to == c.Status {
			return nil
		}
		return f.write(ctx, tx, a, c, to)
	})
	if err == nil {
		f.touch(id)
	}
	return made, err
}

func (f Fleet) write(ctx context.Context, tx Tx, a *evcs.Actor, c *Charger, to Status) error {
	now, before := f.Clock.Now(), c.Status
	connectors, err := tx.Stations().Connectors(ctx, evcs.Only(c.Tenant), c.ID)
	if err != nil {
		return err
	}
	for _, k := range connectors {
		was := k.Status
		k.Write(to, now)
		if err := tx.Stations().UpdateConnector(ctx, evcs.Only(c.Tenant), k); err != nil {
			return err
		}
		if k.Status == was {
			continue
		}
		if err := tx.Emit(ctx, k.StatusEvent(was, now)); err != nil {
			return err
		}
	}
	c.take(connectors, now)
	if err := f.save(ctx, tx, a, c); err != nil {
		return err
	}
	if err := tx.Emit(ctx, c.StatusEvent(before, now)); err != nil {
		return err
	}
	return f.audit(ctx, tx, a, "UPDATE_CHARGER", c.Tenant, "CHARGER", int64(c.ID), map[string]any{"status": int(to)})
}

// take makes the charger what its connectors are after an operator's write.
func (c *Charger) take(connectors []*Connector, now time.Time) {
	c.Status, c.LastSeen, c.OfflineSince = Derive(connectors), now, time.Time{}
	c.FaultCode, c.FaultDetail, c.FaultSince = nil, nil, time.Time{}
	switch c.Status {
	case Fault:
		c.FaultCode, c.FaultSince = text(FaultOperator), now
	case Offline:
		c.OfflineSince = now
	case Idle, Charging, Maintenance, Reserved:
	}
}

// Enable lets new sessions begin, or refuses them; running ones go on.
func (f Fleet) Enable(ctx context.Context, a *evcs.Actor, id evcs.ChargerID, want *int64, enabled bool) (made *Charger, running int64, err error) {
	err = f.Transact(ctx, func(tx Tx) error {
		c, err := f.load(ctx, tx, a, id, want)
		if err != nil {
			return err
		}
		if _, running, err = tx.Stations().RunningOrder(ctx, evcs.Only(c.Tenant), id); err != nil {
			return err
		}
		made = c
		if c.Enabled == enabled {
			return nil
		}
		c.Enabled = enabled
		if err := f.save(ctx, tx, a, c); err != nil {
			return err
		}
		return f.audit(ctx, tx, a, "UPDATE_CHARGER", c.Tenant, "CHARGER", int64(id), map[string]any{"enabled": enabled})
	})
	if err == nil {
		f.touch(id)
	}
	return made, running, err
}

// UpdateConnector changes what an operator may change of a connector.
func (f Fleet) UpdateConnector(ctx context.Context, a *evcs.Actor, id evcs.ChargerID, no int, want *int64, change func(*Connector) error) (*Connector, error) {
	var made *Connector
	err := f.Transact(ctx, func(tx Tx) error {
		c, err := f.load(ctx, tx, a, id, nil)
		if err != nil {
			return err
		}
		connectors, err := tx.Stations().Connectors(ctx, evcs.Only(c.Tenant), id)
		if err != nil {
			return err
		}
		k := Find(connectors, no)
		if k == nil {
			return ConnectorMissing(id, no)
		}
		if err := seen(want, k.Version); err != nil {
			return err
		}
		if err := change(k); err != nil {
			return err
		}
		k.Updated = f.Clock.Now()
		if err := tx.Stations().UpdateConnector(ctx, evcs.Only(c.Tenant), k); err != nil {
			return err
		}
		made = k
		return f.audit(ctx, tx, a, "UPDATE_CHARGER", c.Tenant, "CHARGER", int64(id), map[string]any{"connectorNo": no})
	})
	if err == nil {
		f.touch(id)
	}
	return made, err
}

// Find is the connector of a number, or nil.
func Find(list []*Connector, no int) *Connector {
	for _, k := range list {
		if k.No == no {
			return k
		}
	}
	return nil
}
