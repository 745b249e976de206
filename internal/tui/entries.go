package tui

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/evcs/evcs/internal/api"
)

// entry is one row of a tab and what it stands for.
type entry struct {
	cells   []string
	heading string // instead of cells: the title of the rows below
	style   style
	target  target
}

// target is what a row or a screen stands for; zero means none.
type target struct {
	charger   int64
	connector int
	order     int64
	session   string
	alert     int64
	name      string // for a person
}

func (a app) columns() []field {
	switch a.tab {
	case tabChargers:
		return []field{{"status", 11, false}, {"code", 18, false}, {"station", 0, false}, {"protocol", 11, false}, {"power", 9, true}, {"heard", 8, false}}
	case tabSessions:
		return []field{{"state", 10, false}, {"charger", 16, false}, {"no", 2, true}, {"power", 10, true}, {"kWh", 9, true}, {"soc", 6, true}, {"time", 6, true}, {"anomalies", 0, false}}
	case tabOrders:
		return []field{{"number", 18, false}, {"station", 0, false}, {"charger", 13, false}, {"kWh", 9, true}, {"amount", 10, true}, {"status", 11, false}}
	case tabAlerts:
		return []field{{"severity", 10, false}, {"state", 6, false}, {"count", 5, true}, {"last", 8, false}, {"what", 0, false}}
	case tabMoney:
		return []field{{"what", 20, false}, {"detail", 0, false}, {"amount", 14, true}, {"state", 15, false}}
	case tabTenants:
		return []field{{"id", 5, true}, {"code", 14, false}, {"name", 0, false}, {"parent", 6, true}, {"state", 10, false}, {"chargers", 8, true}}
	default:
		return []field{{"time", 8, false}, {"kind", 22, false}, {"detail", 0, false}}
	}
}

// entries words the rows of the shown tab.
func (a app) entries() []entry {
	switch a.tab {
	case tabChargers:
		return each(a.lists.Chargers, a.chargerEntry)
	case tabSessions:
		return each(a.lists.Sessions, a.sessionRow)
	case tabOrders:
		return each(a.lists.Orders, a.orderEntry)
	case tabAlerts:
		return each(a.lists.Alerts, a.alertEntry)
	case tabMoney:
		return a.moneyEntries()
	case tabTenants:
		return each(a.lists.Tenants, a.tenantEntry)
	case tabLog:
		if a.chosen().name == "events" {
			return a.eventEntries()
		}
		return a.logEntries()
	default:
		return nil
	}
}

func each[T any](list []T, word func(T) entry) []entry {
	out := make([]entry, len(list))
	for i, one := range list {
		out[i] = word(one)
	}
	return out
}

func (a app) chargerEntry(c api.Charger) entry {
	heard, power := "-", "-"
	if c.LastHeartbeat != nil {
		heard = a.clock(*c.LastHeartbeat)
	}
	if c.CurrentPower != nil {
		power = measure(c.CurrentPower, "kW")
	}
	return entry{
		cells:  []string{symbol(c.Status) + " " + a.words.status[c.Status], c.ChargerCode, c.StationName, plain(c.Protocol), power, heard},
		style:  a.theme.status(c.Status),
		target: target{charger: c.ChargerID, connector: 1, name: c.ChargerCode},
	}
}

func (a app) sessionRow(s api.Session) entry {
	power, soc, length := "-", "-", "-"
	if s.LastSample != nil {
		power, soc = measure(s.LastSample.Power, "kW"), measure(s.LastSample.SoC, "%")
	}
	if s.StartTime != nil {
		end := a.opts.Now()
		if s.StopTime != nil {
			end = s.StopTime.Std()
		}
		length = span(end.Sub(s.StartTime.Std()))
	}
	return entry{
		cells:  []string{a.words.state("session", s.State), a.chargerName(s.ChargerID), strconv.Itoa(s.ConnectorNo), power, s.Energy.String(), soc, length, strings.Join(s.Anomalies, ", ")},
		style:  a.sessionStyle(s),
		target: target{session: s.SessionID, charger: s.ChargerID, connector: s.ConnectorNo, name: a.chargerName(s.ChargerID)},
	}
}

func (a app) sessionStyle(s api.Session) style {
	switch s.State {
	case api.SessionActive, api.SessionSuspended:
		return a.theme.busy
	case api.SessionOrphan:
		return a.theme.warn
	default:
		return a.theme.dim
	}
}

// chargerName is the code of a charger of the overview, else its number.
func (a app) chargerName(id int64) string {
	for _, c := range a.data.Chargers {
		if c.ChargerID == id {
			return c.ChargerCode
		}
	}
	return "#" + strconv.FormatInt(id, 10)
}

func (a app) orderEntry(o api.Order) entry {
	status := a.words.ordered[o.Status]
	s := style(a.theme.dim)
	if o.Held {
		status, s = "! "+a.words.label("held"), a.theme.warn
	}
	return entry{
		cells: []string{o.OrderNo, o.StationName, o.ChargerCode + "#" + strconv.Itoa(o.ConnectorNo), o.Energy.String(), "¥" + o.Amount.String(), status},
		style: s, target: target{order: o.OrderID, name: o.OrderNo},
	}
}

func (a app) alertEntry(x api.Alert) entry {
	mark, s := a.theme.severity(x.Severity)
	t := target{alert: x.AlertID, name: x.Title}
	if x.ChargerID != nil {
		t.charger = *x.ChargerID
	}
	return entry{
		cells: []string{mark + " " + a.words.label(x.Severity), a.words.state("alert", x.Status), strconv.FormatInt(x.Occurrences, 10), a.clock(x.LastTime), x.Title + "  " + x.Message},
		style: s, target: t,
	}
}

// moneyEntries is today, the newest refunds, the reconciled days and what is
// open in them.
func (a app) moneyEntries() []entry {
	s, quiet := a.data.Stats, a.theme.dim
	rows := []entry{{heading: a.words.label("today"), style: a.theme.title}}
	for _, one := range []struct{ name, value string }{
		{"revenue", s.TodayRevenue.String()}, {"gross", s.TodayGrossRevenue.String()}, {"refunds", s.TodayRefund.String()},
	} {
		rows = append(rows, entry{cells: []string{a.words.label(one.name), "", "¥" + one.value}, style: quiet})
	}
	rows = append(rows, entry{heading: a.words.label("differences") + " " + strconv.Itoa(len(a.lists.Differences)), style: a.theme.title})
	for _, d := range a.lists.Differences {
		t := target{}
		if d.OrderID != nil {
			t.order = *d.OrderID
		}
		rows = append(rows, entry{
			cells: []string{d.Kind, plain(d.TradeNo), yuan(d.LocalAmount) + " / " + yuan(d.ChannelAmount), a.words.state("difference", d.State)}, style: a.theme.warn, target: t,
		})
	}
	rows = append(rows, entry{heading: a.words.label("batches"), style: a.theme.title})
	for _, b := range a.lists.Batches {
		state, s := a.words.state("batch", b.Status), style(a.theme.good)
		if b.Status != api.ReconSuccess {
			s = a.theme.warn
		}
		if b.Closed {
			state += " ■"
		}
		rows = append(rows, entry{
			cells: []string{string(b.ReconciliationDate) + " " + b.Channel, fmt.Sprintf("%d/%d", b.MatchedCount, b.TotalCount), yuan(b.AmountDifference), state}, style: s,
		})
	}
	rows = append(rows, entry{heading: a.words.label("refunds"), style: a.theme.title})
	for _, r := range a.lists.Refunds {
		rows = append(rows, entry{
			cells: []string{r.RefundNo, r.RefundReason, "¥" + r.RefundAmount.String(), r.StatusName}, style: quiet, target: target{order: r.OrderID},
		})
	}
	return rows
}

func yuan(m *api.Money) string {
	if m == nil {
		return "-"
	}
	return "¥" + m.String()
}

func (a app) tenantEntry(t api.Tenant) entry {
	parent, s := "-", style(a.theme.good)
	if t.ParentID != nil {
		parent = strconv.FormatInt(*t.ParentID, 10)
	}
	if t.EffectiveStatus != api.TenantActive {
		s = a.theme.bad
	}
	quota := "-"
	if t.MaxChargers != nil {
		quota = "≤" + strconv.FormatInt(*t.MaxChargers, 10)
	}
	return entry{
		cells: []string{strconv.FormatInt(t.TenantID, 10), t.TenantCode, t.TenantName, parent, a.words.state("tenant", t.EffectiveStatus), quota}, style: s,
	}
}

// eventEntries is the events since the start, newest first.
func (a app) eventEntries() []entry {
	out := make([]entry, 0, len(a.events))
	for i := len(a.events) - 1; i >= 0; i-- {
		e := a.events[i]
		t := target{}
		about := ""
		if e.ChargerID != nil {
			t.charger = *e.ChargerID
			about = a.chargerName(*e.ChargerID) + " "
		}
		if e.OrderID != nil {
			t.order = *e.OrderID
		}
		out = append(out, entry{
			cells: []string{e.Time.Std().In(a.opts.Now().Location()).Format("15:04:05"), e.Type, about + string(e.Data)}, style: a.theme.dim, target: t,
		})
	}
	return out
}

// logEntries is the lines of the server's log, newest first.
func (a app) logEntries() []entry {
	out := make([]entry, 0, len(a.lists.Log))
	for i := len(a.lists.Log) - 1; i >= 0; i-- {
		line := a.lists.Log[i]
		var l struct {
			Time  api.TimeMS `json:"time"`
			Level string     `json:"level"`
			Msg   string     `json:"msg"`
		}
		s := style(a.theme.dim)
		if json.Unmarshal([]byte(line), &l) != nil {
			out = append(out, entry{cells: []string{"", "", line}, style: s})
			continue
		}
		mark := "· "
		switch l.Level {
		case "WARN":
			mark, s = "▲ ", a.theme.warn
		case "ERROR":
			mark, s = "✖ ", a.theme.bad
		}
		out = append(out, entry{cells: []string{l.Time.Std().In(a.opts.Now().Location()).Format("15:04:05"), mark + l.Level, l.Msg + attributes(line)}, style: s})
	}
	return out
}

// attributes words what else a log line says, in its order.
func attributes(line string) string {
	decoder := json.NewDecoder(strings.NewReader(line))
	if _, err := decoder.Token(); err != nil {
		return ""
	}
	var out strings.Builder
	for decoder.More() {
		name, err := decoder.Token()
		var value json.RawMessage
		if err != nil || decoder.Decode(&value) != nil {
			break
		}
		switch name {
		case "time", "level", "msg", "logId":
		default:
			fmt.Fprintf(&out, "  %s=%s", name, strings.Trim(string(value), `"`))
		}
	}
	return out.String()
}

// clock is a time of day where the person sits; an older one has its date.
func (a app) clock(t api.Time) string {
	now := a.opts.Now()
	at := t.Std().In(now.Location())
	if at.Format("0102") == now.Format("0102") {
		return at.Format("15:04:05")
	}
	return at.Format("01-02")
}

// moment is a day and a time where the person sits.
func (a app) moment(t api.Time) string {
	return t.Std().In(a.opts.Now().Location()).Format(time.DateTime)
}

// viewSession shows a session with its power and energy as lines of bars.
func (a app) viewSession() []string {
	if a.session == nil {
		return a.waiting(a.words.label("session"))
	}
	s := a.session.Session
	length := "-"
	if s.StartTime != nil {
		length = span(a.opts.Now().Sub(s.StartTime.Std()))
		if s.StopTime != nil {
			length = span(s.StopTime.Std().Sub(s.StartTime.Std()))
		}
	}
	lines := []string{
		a.theme.title.Render(fit(a.words.label("session")+" "+s.SessionID, a.width)), "",
		a.pair("state", a.words.state("session", s.State)),
		a.pair("charger", a.chargerName(s.ChargerID)+"#"+strconv.Itoa(s.ConnectorNo)),
		a.pair("number", plain(s.OrderNo)),
		a.pair("time", length),
		a.pair("energy", s.Energy.String()+" kWh"),
		a.pair("samples", strconv.FormatInt(s.Samples, 10)),
		a.pair("anomalies", strings.Join(s.Anomalies, ", ")),
	}
	if s.LastSample != nil {
		lines = append(lines, a.pair("power", measure(s.LastSample.Power, "kW")), a.pair("soc", measure(s.LastSample.SoC, "%")))
	}
	room := a.width - 26
	var power, energy []int64
	for _, p := range a.session.Points {
		if p.Power != nil {
			power = append(power, int64(*p.Power))
		}
		energy = append(energy, int64(p.Energy))
	}
	return append(lines, "", a.pair("power", bars(power, room)), a.pair("energy", bars(energy, room)))
}

// bars draws values as blocks, thinned to at most width of them; 0 is lowest.
func bars(values []int64, width int) string {
	steps := []rune("▁▂▃▄▅▆▇█")
	if len(values) == 0 || width < 1 {
		return "-"
	}
	high := int64(1)
	for _, v := range values {
		high = max(high, v)
	}
	n := min(width, len(values))
	out := make([]rune, n)
	for i := range n {
		v := max(values[i*len(values)/n], 0)
		out[i] = steps[v*int64(len(steps)-1)/high]
	}
	return string(out)
}
