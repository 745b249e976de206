package chargersim

import (
	"slices"
	"strconv"
	"time"

	"github.com/evcs/evcs/internal/chargersim/wire"
)

// present shows a tag at a connector: the server is asked, or, without
// connection, the customer may charge.
func (u *unit) present(c *connector, tag string) {
	if c.charge != nil || !c.operative || u.closing {
		return
	}
	if !u.online() {
		u.begin(c, u.sim(), charge{tag: tag, offline: true})
		return
	}
	u.authorising[c.no] = tag
	u.urge(&message{Call: wire.Call{Action: wire.Authorize, Connector: c.no, Tag: tag, Request: u.request()}})
}

func (u *unit) authorised(m *message, a wire.Answer) {
	if u.authorising[m.Connector] != m.Tag {
		return
	}
	delete(u.authorising, m.Connector)
	c := u.connectors[m.Connector-1]
	if a.Status != "Accepted" {
		u.tally.count(TagsRefused)
		return
	}
	if c.charge == nil && c.car != nil && c.operative {
		u.begin(c, u.sim(), charge{tag: m.Tag})
	}
}

// The answers a charger gives.
func says(status string) wire.Reply { return wire.Reply{Status: status} }

// obey does what the server asks, and says whether it does.
func (u *unit) obey(o wire.Order) wire.Reply {
	u.dirty = true
	switch o.Kind {
	case "RemoteStartTransaction", "START":
		return u.obeyStart(o)
	case "RemoteStopTransaction", "STOP":
		c := u.holding(o)
		if c == nil {
			return says("Rejected")
		}
		u.soon(func() { u.endBy(c, "Remote") })
		return says("Accepted")
	case "Reset", "RESET":
		u.soon(func() { u.reset(o.Hard) })
		return says("Accepted")
	case "UnlockConnector", "UNLOCK":
		return u.unlock(o)
	case "ChangeAvailability", "AVAILABILITY":
		return u.avail(o)
	case "GetConfiguration", "GET_CONFIG":
		return u.tellSettings(o.Keys)
	case "ChangeConfiguration", "SET_CONFIG":
		return u.change(o.Key, o.Value)
	case "ClearCache", "CLEAR_CACHE", "SYNC_TIME":
		return says("Accepted")
	case "TriggerMessage", "TRIGGER":
		return u.trigger(o)
	case "DataTransfer":
		return says("UnknownVendorId")
	}
	return wire.Reply{Fault: "NotImplemented"}
}

// soon does f after the answer is on the wire: it goes through the box, and the
// answer is written before the box is read again.
func (u *unit) soon(f func()) {
	select {
	case u.handle.box <- f:
	default:
		u.tally.count("orders dropped")
	}
}

func (u *unit) obeyStart(o wire.Order) wire.Reply {
	c := u.connector(max(o.Connector, 1))
	if o.Connector == 0 {
		if i := slices.IndexFunc(u.connectors, func(c *connector) bool { return c.charge == nil && c.operative }); i >= 0 {
			c = u.connectors[i]
		}
	}
	if c == nil || c.charge != nil || !c.operative || u.closing {
		return says("Rejected")
	}
	u.soon(func() {
		if c.charge != nil || !c.operative || u.closing {
			return
		}
		c.plan.waiting = false
		ch := charge{tag: o.Tag, session: o.Session}
		if u.conf.Protocol == CloudCharge {
			ch.command = o.ID
		}
		u.begin(c, u.sim(), ch)
	})
	return says("Accepted")
}

// endBy ends a session from outside; the car stays until its owner comes.
func (u *unit) endBy(c *connector, reason string) {
	if c.charge != nil {
		u.finish(c, u.sim(), reason)
	}
}

func (u *unit) reset(hard bool) {
	reason := "SoftReset"
	if hard {
		reason = "HardReset"
	}
	for _, c := range u.connectors {
		u.endBy(c, reason)
	}
	u.restart()
}

func (u *unit) unlock(o wire.Order) wire.Reply {
	c := u.connector(o.Connector)
	if c == nil {
		return says("NotSupported")
	}
	u.soon(func() { u.endBy(c, "UnlockCommand") })
	return says("Unlocked")
}

func (u *unit) avail(o wire.Order) wire.Reply {
	chosen := u.connectors
	if o.Connector != 0 {
		c := u.connector(o.Connector)
		if c == nil {
			return says("Rejected")
		}
		chosen = []*connector{c}
	}
	word := "Accepted"
	for _, c := range chosen {
		switch {
		case o.Operative:
			c.operative, c.closing = true, false
			if c.state == wire.Unavailable {
				u.become(c, wire.Available)
			}
		case c.charge != nil:
			c.closing, word = true, "Scheduled"
		default:
			c.operative = false
			u.become(c, wire.Unavailable)
		}
	}
	return says(word)
}

func defaultSettings(cfg *Config, conf ChargerConfig) []wire.Setting {
	seconds := func(d time.Duration) string { return strconv.Itoa(int(d / time.Second)) }
	return []wire.Setting{
		{Key: "AuthorizeRemoteTxRequests", Value: "false"},
		{Key: "ConnectionTimeOut", Value: "60"},
		{Key: "GetConfigurationMaxKeys", Value: "50", ReadOnly: true},
		{Key: "HeartbeatInterval", Value: seconds(cfg.Heartbeat)},
		{Key: "LocalAuthorizeOffline", Value: "true"},
		{Key: "MeterValueSampleInterval", Value: seconds(cfg.MeterInterval)},
		{Key: "MeterValuesSampledData", Value: "Energy.Active.Import.Register,Power.Active.Import,Voltage,Current.Import,SoC"},
		{Key: "NumberOfConnectors", Value: strconv.Itoa(conf.Connectors), ReadOnly: true},
		{Key: "StopTransactionOnInvalidId", Value: "true", ReadOnly: true},
		{Key: "SupportedFeatureProfiles", Value: "Core,RemoteTrigger", ReadOnly: true},
	}
}

func (u *unit) tellSettings(keys []string) wire.Reply {
	r := wire.Reply{Status: "Accepted"}
	if len(keys) == 0 {
		r.Config = u.settings
		return r
	}
	for _, key := range keys {
		i := slices.IndexFunc(u.settings, func(s wire.Setting) bool { return s.Key == key })
		if i < 0 {
			r.Unknown = append(r.Unknown, key)
			continue
		}
		r.Config = append(r.Config, u.settings[i])
	}
	return r
}

func (u *unit) change(key, value string) wire.Reply {
	i := slices.IndexFunc(u.settings, func(s wire.Setting) bool { return s.Key == key })
	if i < 0 {
		return says("NotSupported")
	}
	if u.settings[i].ReadOnly {
		return says("Rejected")
	}
	if key == "HeartbeatInterval" || key == "MeterValueSampleInterval" {
		n, err := positive(value)
		if err != nil || n > 86_400 {
			return says("Rejected")
		}
		if key == "HeartbeatInterval" {
			u.heartbeat = time.Duration(n) * time.Second
		} else {
			u.meterEvery = time.Duration(n) * time.Second
		}
	}
	u.settings[i].Value = value
	return says("Accepted")
}

func (u *unit) trigger(o wire.Order) wire.Reply {
	switch o.Trigger {
	case "BootNotification", "Heartbeat":
		u.urge(&message{Call: wire.Call{Action: wire.Action(o.Trigger), At: u.stamp(u.sim()), Request: u.request()}})
	case "StatusNotification":
		for _, c := range u.connectors {
			if o.Connector == 0 || o.Connector == c.no {
				u.tellStatus(c)
			}
		}
	case "MeterValues":
		for _, c := range u.connectors {
			if c.charge != nil && (o.Connector == 0 || o.Connector == c.no) {
				u.soon(func() {
					if c.charge != nil {
						u.sample(c, u.sim())
					}
				})
			}
		}
	default:
		return says("NotImplemented")
	}
	return says("Accepted")
}
