package tui

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"

	"github.com/evcs/evcs/internal/api"
)

const (
	refreshEvery = 10 * time.Second // reads anew although no event came
	settleAfter  = time.Second      // gathers events into one reading
	askTimeout   = 15 * time.Second
	leastWidth   = 80
	leastHeight  = 24
)

// Options is what the screens need.
type Options struct {
	Source Source
	In     io.Reader
	Out    io.Writer
	Lang   string // zh or en
	Color  bool
	Now    func() time.Time
	Server string
}

// screen is what fills the terminal.
type screen int

const (
	screenOverview screen = iota
	screenCharger
	screenOrder
	screenSession
	screenHelp
)

// panel is the part of the overview that has the cursor.
type panel int

const (
	panelChargers panel = iota
	panelSessions
	panelOrders
	panelAlerts
	panels
)

// link is the state of the event stream.
type link int

const (
	linkConnecting link = iota
	linkLive
	linkLost
)

// app is the root model.
type app struct {
	opts Options
	// bounded is the context of one question: of this run, and not for ever.
	bounded func() (context.Context, context.CancelFunc)
	long    func() (context.Context, context.CancelFunc) // of one action
	keys    keyMap
	theme   theme
	words   words
	again   func() // asks the stream to connect now

	width, height int
	screens       []screen // a stack; the last one is shown
	focus         panel
	cursor        [panels]int

	link     link
	why      error
	sequence int // of the newest question
	loading  bool
	dirty    bool // something happened since the newest question
	loaded   bool
	data     Overview
	readAt   time.Time

	detail  int // sequence of the newest question for details
	wanted  int64
	charger *api.Charger
	order   *api.Order
	failed  error

	wantedSession string
	session       *SessionDetail
	connector     int // chosen on the screen of a charger, from 0

	tab      tab
	at       [tabs]int // cursors
	filter   [tabs]int
	listed   int // of the newest question for a tab
	lists    Lists
	listErr  error
	listRead bool
	events   []api.Event // the newest, bounded

	prompt *prompt
	toast  string // what became of the last action, until a key is pressed
}

// Messages of the screens.
type (
	overviewMsg struct {
		sequence int
		data     Overview
		err      error
		at       time.Time
	}
	chargerMsg struct {
		sequence int
		charger  api.Charger
		err      error
	}
	orderMsg struct {
		sequence int
		order    api.Order
		err      error
	}
	eventMsg   struct{ event api.Event }
	linkMsg    struct{ err error }
	settleMsg  struct{}
	refreshMsg struct{}
)

func newApp(ctx context.Context, opts Options, again func()) app {
	zh := opts.Lang == "zh"
	return app{
		opts: opts, bounded: func() (context.Context, context.CancelFunc) { return context.WithTimeout(ctx, askTimeout) },
		long: longer(ctx),
		keys: newKeys(zh), theme: newTheme(opts.Out, opts.Color), words: newWords(zh), again: again,
		screens: []screen{screenOverview}, width: leastWidth, height: leastHeight, sequence: 1, loading: true,
	}
}

// Run shows the screens until the person quits or ctx ends.
func Run(ctx context.Context, opts Options) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	wake := make(chan struct{}, 1)
	model := newApp(ctx, opts, func() {
		select {
		case wake <- struct{}{}:
		default:
		}
	})
	program := tea.NewProgram(model, tea.WithContext(ctx), tea.WithAltScreen(), tea.WithInput(opts.In), tea.WithOutput(opts.Out))
	done := make(chan struct{})
	go func() {
		defer close(done)
		follow(ctx, opts.Source, wake, program.Send)
	}()
	_, err := program.Run()
	cancel()
	<-done
	if errors.Is(err, tea.ErrProgramKilled) || errors.Is(err, tea.ErrInterrupted) {
		return context.Canceled
	}
	return err
}

// follow feeds the stream into the program; when going on is useless it waits
// to be asked again.
func follow(ctx context.Context, source Source, wake <-chan struct{}, send func(tea.Msg)) {
	for ctx.Err() == nil {
		err := source.Follow(ctx, func(event api.Event) error {
			send(eventMsg{event})
			return nil
		}, func(err error) { send(linkMsg{err}) })
		if ctx.Err() != nil {
			return
		}
		send(linkMsg{err})
		select {
		case <-ctx.Done():
		case <-wake:
		}
	}
}

// Init asks the first question and starts the safety refresh.
func (a app) Init() tea.Cmd {
	return tea.Batch(a.read(), tea.Tick(refreshEvery, func(time.Time) tea.Msg { return refreshMsg{} }))
}

// read asks for everything of the overview.
func (a app) read() tea.Cmd {
	sequence, source, bounded, now := a.sequence, a.opts.Source, a.bounded, a.opts.Now
	return func() tea.Msg {
		ctx, cancel := bounded()
		defer cancel()
		data, err := source.Overview(ctx)
		return overviewMsg{sequence, data, err, now()}
	}
}

// Update is the only place that changes the model; it never waits.
func (a app) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		a.width, a.height = msg.Width, msg.Height
	case tea.KeyMsg:
		return a.press(msg)
	case overviewMsg:
		return a.answered(msg), nil
	case chargerMsg:
		if msg.sequence == a.detail {
			a.failed = msg.err
			if msg.err == nil {
				a.charger = &msg.charger
			}
		}
	case orderMsg:
		if msg.sequence == a.detail {
			a.failed = msg.err
			if msg.err == nil {
				a.order = &msg.order
			}
		}
	case sessionMsg:
		if msg.sequence == a.detail {
			a.failed = msg.err
			if msg.err == nil {
				a.session = &msg.session
			}
		}
	case listMsg:
		return a.listAnswered(msg), nil
	case doneMsg:
		return a.done(msg)
	case linkMsg:
		return a.linked(msg.err)
	case eventMsg:
		if msg.event.Type != api.EventReset {
			a.remember(msg.event)
		}
		return a.happened()
	case settleMsg:
		switch {
		case !a.dirty:
		case a.loading: // an answer slower than events come must be seen, too
			return a, settle()
		default:
			return a.reread()
		}
	case refreshMsg:
		again := tea.Tick(refreshEvery, func(time.Time) tea.Msg { return refreshMsg{} })
		if a.loading {
			return a, again
		}
		next, cmd := a.reread()
		return next, tea.Batch(cmd, again)
	}
	return a, nil
}

// answered takes an overview, unless a newer question is on its way.
func (a app) answered(msg overviewMsg) app {
	if msg.sequence != a.sequence {
		return a
	}
	a.loading = false
	if msg.err != nil {
		a.why = msg.err
		if a.link != linkLive {
			a.link = linkLost
		}
		return a
	}
	a.data, a.readAt, a.loaded, a.why = msg.data, msg.at, true, nil
	for p := range panels {
		a.cursor[p] = min(a.cursor[p], max(a.rows(p)-1, 0))
	}
	return a
}

// linked takes a change of the stream; a stream that came back missed nothing,
// but what was read before it may be old.
func (a app) linked(err error) (tea.Model, tea.Cmd) {
	if err != nil {
		a.link, a.why = linkLost, err
		return a, nil
	}
	a.link, a.why = linkLive, nil
	return a.reread()
}

// happened notes an event; the first one of a burst sets the clock.
func (a app) happened() (tea.Model, tea.Cmd) {
	if a.dirty {
		return a, nil
	}
	a.dirty = true
	return a, settle()
}

func settle() tea.Cmd { return tea.Tick(settleAfter, func(time.Time) tea.Msg { return settleMsg{} }) }

// reread asks again, for the overview and the details that are open.
func (a app) reread() (tea.Model, tea.Cmd) {
	a.sequence++
	a.dirty, a.loading = false, true
	commands := []tea.Cmd{a.read()}
	switch a.top() {
	case screenCharger:
		a.detail++
		commands = append(commands, a.readCharger())
	case screenOrder:
		a.detail++
		commands = append(commands, a.readOrder())
	case screenSession:
		a.detail++
		commands = append(commands, a.readSession())
	case screenOverview:
		a.listed++
		if cmd := a.readList(); cmd != nil {
			commands = append(commands, cmd)
		}
	case screenHelp:
	}
	return a, tea.Batch(commands...)
}

func (a app) top() screen { return a.screens[len(a.screens)-1] }

func (a app) press(msg tea.KeyMsg) (tea.Model, tea.Cmd) {
	if a.prompt != nil {
		return a.pressPrompt(msg)
	}
	a.toast = ""
	switch {
	case key.Matches(msg, a.keys.Quit):
		return a, tea.Quit
	case key.Matches(msg, a.keys.Refresh):
		if a.link != linkLive {
			a.link = linkConnecting
			a.again()
		}
		return a.reread()
	case key.Matches(msg, a.keys.Tab):
		return a.show(tab(msg.Runes[0] - '1'))
	case key.Matches(msg, a.keys.Help):
		if a.top() != screenHelp {
			a.screens = append(a.screens[:len(a.screens):len(a.screens)], screenHelp)
		}
		return a, nil
	case len(a.screens) > 1:
		return a.pressDetail(msg)
	case a.tab != tabOverview:
		return a.pressTab(msg)
	default:
		return a.pressOverview(msg)
	}
}

// pressDetail handles a key on a screen above the others.
func (a app) pressDetail(msg tea.KeyMsg) (tea.Model, tea.Cmd) {
	switch {
	case key.Matches(msg, a.keys.Back):
		a.screens = a.screens[:len(a.screens)-1]
	case a.top() == screenSession && a.session != nil:
		s := a.session.Session
		if key.Matches(msg, a.keys.Open) && s.OrderID != nil {
			return a.openOrder(*s.OrderID)
		}
		return a.ask(msg, target{charger: s.ChargerID, connector: s.ConnectorNo, name: a.chargerName(s.ChargerID)})
	case a.top() != screenCharger || a.charger == nil || len(a.charger.Connectors) == 0:
	case key.Matches(msg, a.keys.Up):
		a.connector = max(a.connector-1, 0)
	case key.Matches(msg, a.keys.Down):
		a.connector = min(a.connector+1, len(a.charger.Connectors)-1)
	default:
		c := a.charger.Connectors[min(a.connector, len(a.charger.Connectors)-1)]
		if key.Matches(msg, a.keys.Open) && c.SessionID != nil {
			return a.openSession(*c.SessionID)
		}
		return a.ask(msg, target{charger: a.charger.ChargerID, connector: c.ConnectorNo, name: a.charger.ChargerCode})
	}
	return a, nil
}

func (a app) pressOverview(msg tea.KeyMsg) (tea.Model, tea.Cmd) {
	switch {
	case key.Matches(msg, a.keys.Next):
		a.focus = (a.focus + 1) % panels
	case key.Matches(msg, a.keys.Previous):
		a.focus = (a.focus + panels - 1) % panels
	case key.Matches(msg, a.keys.Open):
		return a.open()
	default:
		a.move(msg)
	}
	return a, nil
}

// move moves the cursor of the panel that has it.
func (a *app) move(msg tea.KeyMsg) {
	line := 1
	if a.focus == panelChargers {
		line = a.gridColumns()
	}
	step := 0
	switch {
	case key.Matches(msg, a.keys.Up):
		step = -line
	case key.Matches(msg, a.keys.Down):
		step = line
	case key.Matches(msg, a.keys.Left) && a.focus == panelChargers:
		step = -1
	case key.Matches(msg, a.keys.Right) && a.focus == panelChargers:
		step = 1
	}
	to := a.cursor[a.focus] + step
	if to >= 0 && to < a.rows(a.focus) {
		a.cursor[a.focus] = to
	}
}

func (a app) rows(p panel) int {
	switch p {
	case panelChargers:
		return len(a.data.Chargers)
	case panelSessions:
		return len(a.data.Sessions)
	case panelOrders:
		return len(a.data.Orders)
	default:
		return len(a.data.Alerts)
	}
}

// open shows the details of what is under the cursor.
func (a app) open() (tea.Model, tea.Cmd) {
	at := a.cursor[a.focus]
	if at >= a.rows(a.focus) {
		return a, nil
	}
	switch a.focus {
	case panelChargers:
		return a.openCharger(a.data.Chargers[at].ChargerID)
	case panelSessions:
		session := a.data.Sessions[at]
		if session.OrderID != nil {
			return a.openOrder(*session.OrderID)
		}
		return a.openCharger(session.ChargerID)
	case panelOrders:
		return a.openOrder(a.data.Orders[at].OrderID)
	default:
		if charger := a.data.Alerts[at].ChargerID; charger != nil {
			return a.openCharger(*charger)
		}
		return a, nil
	}
}

func (a app) openCharger(id int64) (tea.Model, tea.Cmd) {
	a.screens = append(a.screens[:len(a.screens):len(a.screens)], screenCharger)
	a.detail++
	a.wanted, a.charger, a.failed, a.connector = id, nil, nil, 0
	return a, a.readCharger()
}

func (a app) openOrder(id int64) (tea.Model, tea.Cmd) {
	a.screens = append(a.screens[:len(a.screens):len(a.screens)], screenOrder)
	a.detail++
	a.wanted, a.order, a.failed = id, nil, nil
	return a, a.readOrder()
}

func (a app) readCharger() tea.Cmd {
	sequence, id, source, bounded := a.detail, a.wanted, a.opts.Source, a.bounded
	return func() tea.Msg {
		ctx, cancel := bounded()
		defer cancel()
		charger, err := source.Charger(ctx, id)
		return chargerMsg{sequence, charger, err}
	}
}

func (a app) readOrder() tea.Cmd {
	sequence, id, source, bounded := a.detail, a.wanted, a.opts.Source, a.bounded
	return func() tea.Msg {
		ctx, cancel := bounded()
		defer cancel()
		order, err := source.Order(ctx, id)
		return orderMsg{sequence, order, err}
	}
}
