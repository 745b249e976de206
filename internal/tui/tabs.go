package tui

import (
	"context"
	"strconv"
	"strings"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/x/ansi"

	"github.com/evcs/evcs/internal/api"
)

// tab is one of the lists behind the keys 1 to 8.
type tab int

const (
	tabOverview tab = iota
	tabChargers
	tabSessions
	tabOrders
	tabAlerts
	tabMoney
	tabTenants
	tabLog
	tabs
)

// maxEvents is how many events are remembered: the screens stay up for days.
const maxEvents = 500

// Lists is what one tab shows; the others' fields are empty.
type Lists struct {
	Chargers    []api.Charger
	Sessions    []api.Session
	Orders      []api.Order
	Alerts      []api.Alert
	Refunds     []api.Refund
	Batches     []api.ReconResult
	Differences []api.Difference
	Tenants     []api.Tenant
	Log         []string
}

// SessionDetail is a session with its readings.
type SessionDetail struct {
	Session api.Session
	Points  []api.Sample
}

// choice is one way to narrow a tab: its name and the parameters of the list.
type choice struct {
	name  string
	query map[string]string
}

// choices are the filters of a tab; the first one is in force at the start.
func choices(t tab) []choice {
	status := func(name, value string) choice { return choice{name, map[string]string{"status": value}} }
	switch t {
	case tabChargers:
		return []choice{{"all", nil}, status("charging", "2"), status("fault", "3"), status("offline", "0"), status("idle", "1"), status("maint", "4")}
	case tabSessions:
		state := func(name, value string) choice { return choice{name, map[string]string{"state": value}} }
		return []choice{state("running", api.SessionActive+","+api.SessionSuspended), state("ended", api.SessionEnded), state("orphan", api.SessionOrphan)}
	case tabOrders:
		return []choice{
			{"all", nil},
			status("charging", "0"),
			status("topay", "10"),
			status("paid", "11"),
			status("refunding", "12"),
			{"held", map[string]string{"held": "true"}},
		}
	case tabAlerts:
		return []choice{status("open", api.AlertActive+","+api.AlertAcknowledged), status("active", api.AlertActive), status("resolved", api.AlertResolved), {"all", nil}}
	case tabLog:
		level := func(name, value string) choice { return choice{name, map[string]string{"level": value}} }
		return []choice{{"events", nil}, level("info", "INFO"), level("warn", "WARN"), level("error", "ERROR")}
	default:
		return []choice{{"all", nil}}
	}
}

// listMsg is the answer to a question for a tab.
type listMsg struct {
	sequence int
	lists    Lists
	err      error
}

func (a app) chosen() choice {
	all := choices(a.tab)
	return all[a.filter[a.tab]%len(all)]
}

// readList asks for what the shown tab needs; nil for a tab that needs nothing.
func (a app) readList() tea.Cmd {
	if a.tab == tabOverview || a.tab == tabLog && a.chosen().name == "events" {
		return nil
	}
	sequence, t, query, source, bounded := a.listed, a.tab, a.chosen().query, a.opts.Source, a.bounded
	return func() tea.Msg {
		ctx, cancel := bounded()
		defer cancel()
		lists, err := source.Lists(ctx, int(t), query)
		return listMsg{sequence, lists, err}
	}
}

// show changes the tab and asks for it.
func (a app) show(t tab) (tea.Model, tea.Cmd) {
	a.tab, a.screens = t, []screen{screenOverview}
	return a.anew()
}

// anew forgets the list that is shown and asks for it.
func (a app) anew() (tea.Model, tea.Cmd) {
	a.listed++
	a.lists, a.listErr, a.listRead = Lists{}, nil, false
	cmd := a.readList()
	a.listRead = cmd == nil
	return a, cmd
}

// listAnswered takes a list, unless a newer question is on its way. A failure
// leaves what was read before.
func (a app) listAnswered(msg listMsg) app {
	if msg.sequence != a.listed {
		return a
	}
	a.listErr, a.listRead = msg.err, true
	if msg.err == nil {
		a.lists = msg.lists
	}
	a.at[a.tab] = min(a.at[a.tab], max(len(a.entries())-1, 0))
	return a
}

// remember keeps the newest events.
func (a *app) remember(event api.Event) {
	kept := append(a.events[:len(a.events):len(a.events)], event)
	a.events = kept[max(len(kept)-maxEvents, 0):]
}

// pressTab handles a key on a tab.
func (a app) pressTab(msg tea.KeyMsg) (tea.Model, tea.Cmd) {
	rows := a.entries()
	at := a.at[a.tab]
	page := max(a.height-frame-3, 1)
	switch {
	case key.Matches(msg, a.keys.Up):
		at--
	case key.Matches(msg, a.keys.Down):
		at++
	case key.Matches(msg, a.keys.PageUp):
		at -= page
	case key.Matches(msg, a.keys.PageDown):
		at += page
	case key.Matches(msg, a.keys.Filter):
		a.filter[a.tab] = (a.filter[a.tab] + 1) % len(choices(a.tab))
		a.at[a.tab] = 0
		return a.anew()
	case key.Matches(msg, a.keys.Back):
		return a.show(tabOverview)
	case len(rows) == 0:
	case key.Matches(msg, a.keys.Open):
		return a.openEntry(rows[at])
	default:
		return a.ask(msg, rows[at].target)
	}
	a.at[a.tab] = max(min(at, len(rows)-1), 0)
	return a, nil
}

func (a app) openEntry(e entry) (tea.Model, tea.Cmd) {
	switch {
	case e.target.session != "":
		return a.openSession(e.target.session)
	case e.target.order != 0:
		return a.openOrder(e.target.order)
	case e.target.charger != 0:
		return a.openCharger(e.target.charger)
	default:
		return a, nil
	}
}

// sessionMsg is the answer to a question for a session.
type sessionMsg struct {
	sequence int
	session  SessionDetail
	err      error
}

func (a app) openSession(id string) (tea.Model, tea.Cmd) {
	a.screens = append(a.screens[:len(a.screens):len(a.screens)], screenSession)
	a.detail++
	a.wantedSession, a.session, a.failed = id, nil, nil
	return a, a.readSession()
}

func (a app) readSession() tea.Cmd {
	sequence, id, source, bounded := a.detail, a.wantedSession, a.opts.Source, a.bounded
	return func() tea.Msg {
		ctx, cancel := bounded()
		defer cancel()
		session, err := source.Session(ctx, id)
		return sessionMsg{sequence, session, err}
	}
}

// tabBar is the line that names the tabs.
func (a app) tabBar() string {
	var parts []string
	for t := range tabs {
		name := strconv.Itoa(int(t)+1) + " " + a.words.tabs[t]
		if t == a.tab {
			name = "[" + name + "]"
		}
		parts = append(parts, name)
	}
	return a.theme.dim.Render(fit(strings.Join(parts, " "), a.width))
}

// viewTab draws the list of the shown tab in height lines.
func (a app) viewTab(height int) []string {
	columns, rows := a.columns(), a.entries()
	lines := []string{a.theme.title.Render(a.tableLine(columns, heads(columns, a.words)))}
	if a.listErr != nil {
		lines = append(lines, a.theme.bad.Render(fit("✖ "+a.listErr.Error(), a.width)))
	}
	switch {
	case len(rows) == 0 && !a.listRead:
		return append(lines, "  "+a.words.loading)
	case len(rows) == 0:
		return append(lines, a.theme.dim.Render("  "+a.words.none))
	}
	room := height - len(lines)
	first := firstShown(a.at[a.tab], room)
	for i := first; i < min(first+room, len(rows)); i++ {
		row := rows[i]
		text := a.tableLine(columns, row.cells)
		if row.heading != "" {
			text = fit(" "+row.heading, a.width)
		}
		if i == a.at[a.tab] {
			lines = append(lines, a.theme.selected.Render("›"+ansi.TruncateLeft(text, 1, "")))
			continue
		}
		lines = append(lines, row.style.Render(text))
	}
	return lines
}

// field is a column of a tab: its width, 0 for the one that takes what is left.
type field struct {
	name  string
	width int
	right bool
}

func heads(columns []field, w words) []string {
	out := make([]string, len(columns))
	for i, c := range columns {
		out[i] = w.label(c.name)
	}
	return out
}

// tableLine words a row in exactly the width of the terminal; its first cell is
// free for the cursor.
func (a app) tableLine(columns []field, cells []string) string {
	rest := a.width - 1
	for _, c := range columns {
		rest -= c.width + 1
	}
	var out strings.Builder
	out.WriteByte(' ')
	for i, c := range columns {
		width := c.width
		if width == 0 {
			width = rest
		}
		text := ""
		if i < len(cells) {
			text = cells[i]
		}
		if c.right {
			out.WriteString(right(text, width))
		} else {
			out.WriteString(fit(text, width))
		}
		out.WriteByte(' ')
	}
	return fit(out.String(), a.width)
}

// context of one action: longer than of a question, for a charger may be slow.
func longer(ctx context.Context) func() (context.Context, context.CancelFunc) {
	return func() (context.Context, context.CancelFunc) { return context.WithTimeout(ctx, actTimeout) }
}
