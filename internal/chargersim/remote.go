package chargersim

import (
	"slices"
	"strconv"
	"time"
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
	u.urge(&message{action: actAuthorize, connector: c.no, tag: tag, request: u.request()})
}

func (u *unit) authorised(m *message, a answer) {
	if u.authorising[m.connector] != m.tag {
		return
	}
	delete(u.authorising, m.connector)
	c := u.connectors[m.connector-1]
	if a.status != "Accepted" {
		u.tally.count("tags refused")
		return
	}
	if c.charge == nil && c.car != nil && c.operative {
		u.begin(c, u.sim(), charge{tag: m.tag})
	}
}

// The answers a charger gives.
func says(status string) reply { return reply{status: status} }

// obey does what the server asks, and says whether it does.
func (u *unit) obey(o order) reply {
	u.dirty = true
	switch o.kind {
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
		u.soon(func() { u.reset(o.hard) })
		return says("Accepted")
	case "UnlockConnector", "UNLOCK":
		return u.unlock(o)
	case "ChangeAvailability", "AVAILABILITY":
		return u.avail(o)
	case "GetConfiguration", "GET_CONFIG":
		return u.tellSettings(o.keys)
	case "ChangeConfiguration", "SET_CONFIG":
		return u.change(o.key, o.value)
	case "ClearCache", "CLEAR_CACHE", "SYNC_TIME":
		return says("Accepted")
	case "TriggerMessage", "TRIGGER":
		return u.trigger(o)
	case "DataTransfer":
		return says("UnknownVendorId")
	}
	return reply{fault: "NotImplemented"}
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

func (u *unit) obeyStart(o order) reply {
	c := u.connector(max(o.connector, 1))
	if o.connector == 0 {
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
		ch := charge{tag: o.tag, session: o.session}
		if u.conf.Protocol == CloudCharge {
			ch.command = o.id
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

func (u *unit) unlock(o order) reply {
	c := u.connector(o.connector)
	if c == nil {
		return says("NotSupported")
	}
	u.soon(func() { u.endBy(c, "UnlockCommand") })
	return says("Unlocked")
}

func (u *unit) avail(o order) reply {
	chosen := u.connectors
	if o.connector != 0 {
		c := u.connector(o.connector)
		if c == nil {
			return says("Rejected")
		}
		chosen = []*connector{c}
	}
	word := "Accepted"
	for _, c := range chosen {
		switch {
		case o.operative:
			c.operative, c.closing = true, false
			if c.state == unavailable {
				u.become(c, available)
			}
		case c.charge != nil:
			c.closing, word = true, "Scheduled"
		default:
			c.operative = false
			u.become(c, unavailable)
		}
	}
	return says(word)
}

func defaultSettings(cfg *Config, conf ChargerConfig) []setting {
	seconds := func(d time.Duration) string { return strconv.Itoa(int(d / time.Second)) }
	return []setting{
		{"AuthorizeRemoteTxRequests", "false", false},
		{"ConnectionTimeOut", "60", false},
		{"GetConfigurationMaxKeys", "50", true},
		{"HeartbeatInterval", seconds(cfg.Heartbeat), false},
		{"LocalAuthorizeOffline", "true", false},
		{"MeterValueSampleInterval", seconds(cfg.MeterInterval), false},
		{"MeterValuesSampledData", "Energy.Active.Import.Register,Power.Active.Import,Voltage,Current.Import,SoC", false},
		{"NumberOfConnectors", strconv.Itoa(conf.Connectors), true},
		{"StopTransactionOnInvalidId", "true", true},
		{"SupportedFeatureProfiles", "Core,RemoteTrigger", true},
	}
}

func (u *unit) tellSettings(keys []string) reply {
	r := reply{status: "Accepted"}
	if len(keys) == 0 {
		r.config = u.settings
		return r
	}
	for _, key := range keys {
		i := slices.IndexFunc(u.settings, func(s setting) bool { return s.key == key })
		if i < 0 {
			r.unknown = append(r.unknown, key)
			continue
		}
		r.config = append(r.config, u.settings[i])
	}
	return r
}

func (u *unit) change(key, value string) reply {
	i := slices.IndexFunc(u.settings, func(s setting) bool { return s.key == key })
	if i < 0 {
		return says("NotSupported")
	}
	if u.settings[i].readOnly {
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
	u.settings[i].value = value
	return says("Accepted")
}

func (u *unit) trigger(o order) reply {
	switch o.trigger {
	case "BootNotification", "Heartbeat":
		u.urge(&message{action: action(o.trigger), at: u.stamp(u.sim()), request: u.request()})
	case "StatusNotification":
		for _, c := range u.connectors {
			if o.connector == 0 || o.connector == c.no {
				u.tellStatus(c)
			}
		}
	case "MeterValues":
		for _, c := range u.connectors {
			if c.charge != nil && (o.connector == 0 || o.connector == c.no) {
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
