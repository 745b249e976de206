package tui

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/x/ansi"
)

// The kinds of an action.
const (
	ActStart   = "start"
	ActStop    = "stop"
	ActUnlock  = "unlock"
	ActReset   = "reset"
	ActAck     = "ack"
	ActResolve = "resolve"
)

// Action is what a person asks for from a screen.
type Action struct {
	Kind      string
	Charger   int64
	Connector int
	Alert     int64
	Text      string // the resolution of an alert
}

const (
	actTimeout = time.Minute
	maxTyped   = 200
)

// prompt is a question that waits for its answer; its action is fixed when it
// is put, whatever the lists do meanwhile.
type prompt struct {
	question string
	action   Action
	typed    bool // wants a text
	text     string
}

// doneMsg is what became of an action.
type doneMsg struct {
	name string
	err  error
}

// ask puts the question that belongs to a key, if the target has that.
func (a app) ask(msg tea.KeyMsg, t target) (tea.Model, tea.Cmd) {
	p := prompt{action: Action{Charger: t.charger, Connector: t.connector, Alert: t.alert}}
	var what string
	where := t.name
	charger, connector := t.charger != 0 && t.alert == 0, t.connector != 0 && t.alert == 0
	switch {
	case key.Matches(msg, a.keys.Start) && connector:
		p.action.Kind, what = ActStart, a.keys.Start.Help().Desc
	case key.Matches(msg, a.keys.Stop) && connector:
		p.action.Kind, what = ActStop, a.keys.Stop.Help().Desc
	case key.Matches(msg, a.keys.Unlock) && connector:
		p.action.Kind, what = ActUnlock, a.keys.Unlock.Help().Desc
	case key.Matches(msg, a.keys.Reset) && charger:
		p.action.Kind, what = ActReset, a.keys.Reset.Help().Desc
		p.action.Connector = 0
	case key.Matches(msg, a.keys.Ack) && t.alert != 0:
		p.action.Kind, what = ActAck, a.keys.Ack.Help().Desc
	case key.Matches(msg, a.keys.Resolve) && t.alert != 0:
		p.action.Kind, what, p.typed = ActResolve, a.keys.Resolve.Help().Desc, true
	default:
		return a, nil
	}
	if p.action.Connector != 0 {
		where += fmt.Sprintf("#%d", p.action.Connector)
	}
	p.question = what + ": " + where + "?"
	a.prompt = &p
	return a, nil
}

// pressPrompt answers the question that is put.
func (a app) pressPrompt(msg tea.KeyMsg) (tea.Model, tea.Cmd) {
	p := *a.prompt
	switch {
	case msg.Type == tea.KeyCtrlC:
		return a, tea.Quit
	case msg.Type == tea.KeyEsc, !p.typed && (msg.String() == "n" || msg.String() == "q"):
		a.prompt = nil
	case p.typed && msg.Type == tea.KeyEnter && strings.TrimSpace(p.text) != "",
		!p.typed && (msg.String() == "y" || msg.String() == "Y"):
		p.action.Text = strings.TrimSpace(p.text)
		a.prompt, a.toast = nil, a.words.doing
		return a, a.do(p)
	case p.typed && msg.Type == tea.KeyBackspace:
		if r := []rune(p.text); len(r) > 0 {
			p.text = string(r[:len(r)-1])
		}
		a.prompt = &p
	case p.typed && (msg.Type == tea.KeyRunes || msg.Type == tea.KeySpace):
		if len([]rune(p.text))+len(msg.Runes) <= maxTyped {
			p.text += string(msg.Runes)
		}
		a.prompt = &p
	}
	return a, nil
}

func (a app) do(p prompt) tea.Cmd {
	source, long, name := a.opts.Source, a.long, strings.TrimSuffix(p.question, "?")
	return func() tea.Msg {
		ctx, cancel := long()
		defer cancel()
		return doneMsg{name, source.Do(ctx, p.action)}
	}
}

// done shows what became of an action and reads anew.
func (a app) done(msg doneMsg) (tea.Model, tea.Cmd) {
	a.toast = "✔ " + msg.name
	if msg.err != nil {
		a.toast = "✖ " + msg.name + ": " + msg.err.Error()
	}
	return a.reread()
}

// promptLine is the question, in place of the key line.
func (a app) promptLine() string {
	if a.prompt == nil {
		return a.theme.title.Render(fit(a.toast, a.width))
	}
	text := a.prompt.question + "  " + a.words.yesNo
	if a.prompt.typed {
		text = a.prompt.question + " " + a.prompt.text + "▏ " + a.words.enterEsc
		if over := ansi.StringWidth(text) - a.width; over > 0 {
			text = ansi.TruncateLeft(text, over+1, "…")
		}
	}
	return a.theme.selected.Render(fit(text, a.width))
}

// errAction says that an action is not known here.
var errAction = errors.New("there is no such action")
