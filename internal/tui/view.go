package tui

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/charmbracelet/bubbles/key"
	"github.com/charmbracelet/x/ansi"

	"github.com/evcs/evcs/internal/api"
)

const (
	cellWidth = 20 // one charger of the grid
	wideFrom  = 120
	frame     = 4 // header, figures, tabs, footer
)

// View draws the shown screen, never larger than the terminal.
func (a app) View() string {
	if a.width < leastWidth || a.height < leastHeight {
		return ansi.Truncate(a.words.small, max(a.width, 1), "…")
	}
	body := a.height - frame
	var lines []string
	switch a.top() {
	case screenCharger:
		lines = a.viewCharger()
	case screenOrder:
		lines = a.viewOrder()
	case screenSession:
		lines = a.viewSession()
	case screenHelp:
		lines = a.viewHelp(body)
	case screenOverview:
		lines = a.viewOverview(body)
		if a.tab != tabOverview {
			lines = a.viewTab(body)
		}
	}
	lines = lines[:min(len(lines), body)]
	for len(lines) < body {
		lines = append(lines, "")
	}
	all := append([]string{a.header(), a.figures(), a.tabBar()}, lines...)
	return strings.Join(append(all, a.footer()), "\n")
}

func (a app) header() string {
	state, style := "◌ "+a.words.connecting, a.theme.warn
	switch a.link {
	case linkLive:
		state, style = "● "+a.words.live, a.theme.good
	case linkLost:
		state, style = "✖ "+a.words.lost, a.theme.bad
	case linkConnecting:
	}
	clock := ""
	if a.loaded {
		clock = a.readAt.Format("15:04:05")
	}
	left := "EVCS  " + a.opts.Server
	if a.data.Stats.Sandbox {
		left = "EVCS [" + a.words.sandbox + "]  " + a.opts.Server
	}
	tail := state + "  " + clock
	room := a.width - ansi.StringWidth(tail) - 1
	return a.theme.title.Render(fit(left, room)) + " " + style.Render(tail)
}

func (a app) figures() string {
	if a.why != nil {
		return a.theme.bad.Render(fit(a.why.Error()+"  ["+a.keys.Refresh.Help().Key+"] "+a.keys.Refresh.Help().Desc, a.width))
	}
	if !a.loaded {
		return a.words.loading
	}
	s, c := a.data.Stats, a.data.Counts
	text := ""
	for _, one := range []struct {
		status int
		n      int64
	}{
		{api.ChargerIdle, c.Idle},
		{api.ChargerCharging, c.Charging},
		{api.ChargerFault, c.Fault},
		{api.ChargerOffline, c.Offline},
	} {
		text += symbol(one.status) + " " + strconv.FormatInt(one.n, 10) + " " + a.words.status[one.status] + " "
	}
	// Whole kilowatt-hours here: the money must never be the part that is cut.
	energy, _, _ := strings.Cut(s.TodayChargingAmount.String(), ".")
	text += fmt.Sprintf("│ %s %d  %s kWh  ¥%s", a.words.today, s.TodayOrderCount, energy, s.TodayRevenue)
	return fit(text, a.width)
}

func (a app) footer() string {
	if a.prompt != nil || a.toast != "" {
		return a.promptLine()
	}
	// What belongs to the screen comes first and stays; of the rest, what does
	// not fit is left out whole, help and quit last.
	hints := a.hints()
	rest := []string{hint(a.keys.Open), hint(a.keys.Back), hint(a.keys.Refresh), hint(a.keys.Help), hint(a.keys.Quit)}
	for len(rest) > 2 && ansi.StringWidth(strings.Join(append(hints, rest...), "  ")) > a.width {
		rest = rest[1:]
	}
	return a.theme.dim.Render(fit(strings.Join(append(hints, rest...), "  "), a.width))
}

func hint(b key.Binding) string { return b.Help().Key + " " + b.Help().Desc }

// short is a hint of one word.
func short(b key.Binding) string {
	word, _, _ := strings.Cut(b.Help().Desc, " ")
	return b.Help().Key + " " + word
}

// hints are the keys that belong to the shown screen.
func (a app) hints() []string {
	var out []string
	switch {
	case a.top() == screenCharger, a.top() == screenSession, a.top() == screenOverview && (a.tab == tabChargers || a.tab == tabSessions):
		out = []string{short(a.keys.Start), short(a.keys.Stop), short(a.keys.Unlock), short(a.keys.Reset)}
	case a.top() != screenOverview:
	case a.tab == tabAlerts:
		out = []string{short(a.keys.Ack), short(a.keys.Resolve)}
	case a.tab == tabOverview:
		out = []string{hint(a.keys.Next)}
	}
	if a.top() == screenOverview && len(choices(a.tab)) > 1 {
		out = append([]string{a.keys.Filter.Help().Key + " [" + a.words.label(a.chosen().name) + "]"}, out...)
	}
	return out
}

// viewOverview stacks the panels, or puts them in two columns when it is wide.
func (a app) viewOverview(height int) []string {
	if a.width >= wideFrom {
		left, gap := a.leftWidth(), 2
		other := a.width - left - gap
		half := height / 2
		one := append(a.panel(panelChargers, left, half), a.panel(panelSessions, left, height-half)...)
		two := append(a.panel(panelOrders, other, half), a.panel(panelAlerts, other, height-half)...)
		lines := make([]string, height)
		for i := range lines {
			lines[i] = one[i] + spaces(gap) + two[i]
		}
		return lines
	}
	quarter := height / 4
	lines := a.panel(panelChargers, a.width, height-3*quarter)
	for p := panelSessions; p < panels; p++ {
		lines = append(lines, a.panel(p, a.width, quarter)...)
	}
	return lines
}

// leftWidth is how wide the grid is.
func (a app) leftWidth() int {
	if a.width >= wideFrom {
		return a.width / 2
	}
	return a.width
}

func (a app) gridColumns() int { return max(a.leftWidth()/cellWidth, 1) }

// panel draws one panel of exactly height lines of exactly width cells.
func (a app) panel(p panel, width, height int) []string {
	names := [panels]string{a.words.chargers, a.words.sessions, a.words.orders, a.words.alerts}
	mark := "  "
	if p == a.focus {
		mark = "▸ "
	}
	head := mark + names[p] + " " + strconv.Itoa(a.rows(p))
	lines := []string{a.theme.title.Render(fit(head, width))}
	perLine := 1
	if p == panelChargers {
		perLine = a.gridColumns()
	}
	room := height - 1
	first := firstShown(a.cursor[p]/perLine, room)
	for row := first; row < first+room; row++ {
		lines = append(lines, a.line(p, row, perLine, width))
	}
	return lines
}

// firstShown scrolls so that the cursor's line is on screen.
func firstShown(line, room int) int { return max(line-room+1, 0) }

func (a app) line(p panel, row, perLine, width int) string {
	out, used := "", 0
	for i := row * perLine; i < (row+1)*perLine && i < a.rows(p); i++ {
		cell := width
		if perLine > 1 {
			cell = cellWidth
		}
		text, style := a.entry(p, i, cell-1)
		if p == a.focus && i == a.cursor[p] {
			style = a.theme.selected
			// The mark is in the text too: reverse video alone is colour alone.
			text = "›" + ansi.TruncateLeft(text, 1, "")
		}
		out += style.Render(text) + " "
		used += cell
	}
	if a.rows(p) == 0 && row == 0 && a.loaded {
		out, used = a.theme.dim.Render(fit("  "+a.words.none, width)), width
	}
	return out + spaces(width-used)
}

// style is what a line needs of a lipgloss.Style.
type style interface{ Render(text ...string) string }

// entry words one row of a panel in exactly width cells; its first cell is free
// for the cursor.
func (a app) entry(p panel, i, width int) (string, style) {
	switch p {
	case panelChargers:
		c := a.data.Chargers[i]
		tail := a.words.status[c.Status]
		if c.Status == api.ChargerCharging && c.CurrentPower != nil {
			tail = measure(c.CurrentPower, "kW")
		}
		room := width - 3 - ansi.StringWidth(tail) - 1
		return fit(" "+symbol(c.Status)+" "+fitTail(c.ChargerCode, room)+" "+tail, width), a.theme.status(c.Status)
	case panelSessions:
		return a.sessionEntry(a.data.Sessions[i], width), a.theme.busy
	case panelOrders:
		o := a.data.Orders[i]
		text := right(o.Energy.String()+" kWh", 14) + right("¥"+o.Amount.String(), 11) + " " + fit(a.words.ordered[o.Status], 10)
		return " " + fit(o.StationName+" "+o.ChargerCode+"#"+strconv.Itoa(o.ConnectorNo), width-1-ansi.StringWidth(text)) + text, a.theme.dim
	default:
		alert := a.data.Alerts[i]
		mark, style := a.theme.severity(alert.Severity)
		return fit(" "+mark+" "+alert.Title+"  "+alert.Message, width), style
	}
}

func (a app) sessionEntry(s api.Session, width int) string {
	name, power := "#"+strconv.FormatInt(s.ChargerID, 10), "-"
	for _, c := range a.data.Chargers {
		if c.ChargerID == s.ChargerID {
			name = c.StationName + " " + c.ChargerCode
		}
	}
	if s.LastSample != nil {
		power = measure(s.LastSample.Power, "kW")
	}
	length := ""
	if s.StartTime != nil {
		length = span(a.readAt.Sub(s.StartTime.Std()))
	}
	text := right(power, 11) + right(s.Energy.String()+" kWh", 14) + right(length, 7)
	return " " + fit(name+"#"+strconv.Itoa(s.ConnectorNo), width-1-ansi.StringWidth(text)) + text
}

// viewHelp lists the keys, in two columns where one is not enough.
func (a app) viewHelp(height int) []string {
	lines := []string{a.theme.title.Render(a.words.keys), ""}
	all := a.keys.all()
	room, half := height-len(lines), a.width/2
	if len(all) <= room {
		half = a.width
	}
	for i := range min(room, len(all)) {
		line := fit(keyLine(all[i]), half)
		if i+room < len(all) {
			line += fit(keyLine(all[i+room]), a.width-half)
		}
		lines = append(lines, line)
	}
	return lines
}

func keyLine(b key.Binding) string { return "  " + fit(b.Help().Key, 11) + b.Help().Desc }

// pair is one line of a detail screen.
func (a app) pair(name, value string) string {
	return "  " + a.theme.dim.Render(fit(a.words.label(name), 22)) + " " + ansi.Truncate(clean(value), a.width-26, "…")
}

func (a app) waiting(title string) []string {
	lines := []string{a.theme.title.Render(title), ""}
	if a.failed != nil {
		return append(lines, a.theme.bad.Render(fit("✖ "+a.failed.Error(), a.width)))
	}
	return append(lines, "  "+a.words.loading)
}

func (a app) viewCharger() []string {
	c := a.charger
	if c == nil {
		return a.waiting(a.words.detailCharger)
	}
	heard := "-"
	if c.LastHeartbeat != nil {
		heard = a.moment(*c.LastHeartbeat)
	}
	lines := []string{
		a.theme.title.Render(fit(a.words.detailCharger+" "+c.ChargerCode+"  "+c.ChargerName, a.width)), "",
		a.pair("status", symbol(c.Status)+" "+a.words.status[c.Status]),
		a.pair("station", c.StationName),
		a.pair("chargerId", strconv.FormatInt(c.ChargerID, 10)),
		a.pair("deviceId", c.DeviceID),
		a.pair("protocol", plain(c.Protocol)),
		a.pair("lastHeartbeat", heard),
		a.pair("firmwareVersion", plain(c.FirmwareVersion)),
		a.pair("fault", plain(c.FaultCode)),
		a.pair("totalChargingEnergy", c.TotalChargingEnergy.String()+" kWh"), "",
	}
	for i, k := range c.Connectors {
		mark := "  "
		if i == a.connector {
			mark = "› "
		}
		energy := "-"
		if k.ChargedEnergy != nil {
			energy = k.ChargedEnergy.String() + " kWh"
		}
		text := fmt.Sprintf("%d %s ", k.ConnectorNo, symbol(k.Status)) + fit(a.words.status[k.Status], 10) +
			right(measure(k.Power, "kW"), 12) + right(energy, 16) + right(measure(k.SoC, "%"), 8) + "  " + plain(k.OrderNo)
		lines = append(lines, mark+a.theme.status(k.Status).Render(ansi.Truncate(clean(text), a.width-2, "…")))
	}
	return lines
}

func (a app) viewOrder() []string {
	o := a.order
	if o == nil {
		return a.waiting(a.words.detailOrder)
	}
	end := "-"
	if o.EndTime != nil {
		end = a.moment(*o.EndTime)
	}
	lines := []string{
		a.theme.title.Render(fit(a.words.detailOrder+" "+o.OrderNo, a.width)), "",
		a.pair("status", a.words.ordered[o.Status]),
		a.pair("station", o.StationName),
		a.pair("charger", o.ChargerCode+"#"+strconv.Itoa(o.ConnectorNo)),
		a.pair("startTime", a.moment(o.StartTime)),
		a.pair("endTime", end),
		a.pair("energy", o.Energy.String()+" kWh"),
		a.pair("amount", "¥"+o.Amount.String()),
		a.pair("paid / refunded", "¥"+o.PaidAmount.String()+" / ¥"+o.RefundedAmount.String()),
		a.pair("anomalies", strings.Join(o.Anomalies, ", ")), "",
	}
	for _, l := range o.Lines {
		period := l.Kind
		if l.PeriodKind != nil {
			period = *l.PeriodKind
		}
		energy := ""
		if l.Energy != nil {
			energy = l.Energy.String() + " kWh"
		}
		lines = append(lines, "  "+fit(period, 10)+right(energy, 16)+right("¥"+l.ElectricityAmount.String(), 12)+right("¥"+l.ServiceAmount.String(), 12)+right("¥"+l.Amount.String(), 12))
	}
	return lines
}
