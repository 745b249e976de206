package tui

import (
	"strings"

	"github.com/charmbracelet/bubbles/key"
)

// keyMap is every key of the screens; the help screen and the manual are
// printed from it.
type keyMap struct {
	Next, Previous, Up, Down, Left, Right key.Binding
	PageUp, PageDown, Tab, Filter         key.Binding
	Start, Stop, Unlock, Reset            key.Binding
	Ack, Resolve                          key.Binding
	Open, Back, Refresh, Help, Quit       key.Binding
}

func newKeys(zh bool) keyMap {
	bind := func(keys, shown, en, han string) key.Binding {
		text := en
		if zh {
			text = han
		}
		return key.NewBinding(key.WithKeys(strings.Split(keys, " ")...), key.WithHelp(shown, text))
	}
	return keyMap{
		Next:     bind("tab", "tab", "next panel", "下一栏"),
		Previous: bind("shift+tab", "shift+tab", "previous panel", "上一栏"),
		Up:       bind("up k", "↑/k", "up", "向上"),
		Down:     bind("down j", "↓/j", "down", "向下"),
		Left:     bind("left h", "←/h", "left", "向左"),
		Right:    bind("right l", "→/l", "right", "向右"),
		PageUp:   bind("pgup", "pgup", "page up", "上一页"),
		PageDown: bind("pgdown", "pgdn", "page down", "下一页"),
		Tab:      bind("1 2 3 4 5 6 7 8", "1-8", "overview, chargers, sessions, orders, alerts, money, tenants, events and log", "总览, 充电桩, 会话, 订单, 告警, 资金, 租户, 事件与日志"),
		Filter:   bind("f", "f", "next filter", "切换筛选"),
		Start:    bind("s", "s", "start charging", "启动充电"),
		Stop:     bind("x", "x", "stop charging", "停止充电"),
		Unlock:   bind("u", "u", "unlock the connector", "解锁枪头"),
		Reset:    bind("R", "R", "reset the charger", "重启充电桩"),
		Ack:      bind("a", "a", "acknowledge the alert", "确认告警"),
		Resolve:  bind("e", "e", "resolve the alert", "解除告警"),
		Open:     bind("enter", "enter", "details", "详情"),
		Back:     bind("esc backspace", "esc", "back", "返回"),
		Refresh:  bind("r", "r", "refresh", "刷新/重连"),
		Help:     bind("?", "?", "help", "帮助"),
		Quit:     bind("q ctrl+c", "q", "quit", "退出"),
	}
}

// all is the keys in the order of the manual.
func (k keyMap) all() []key.Binding {
	return []key.Binding{k.Next, k.Previous, k.Up, k.Down, k.Left, k.Right, k.PageUp, k.PageDown, k.Tab, k.Filter, k.Open, k.Back, k.Start, k.Stop, k.Unlock, k.Reset, k.Ack, k.Resolve, k.Refresh, k.Help, k.Quit}
}

// KeyTable is the keys as a table of the manual.
func KeyTable() string {
	var out strings.Builder
	out.WriteString("| Key | Does |\n|---|---|\n")
	for _, b := range newKeys(false).all() {
		out.WriteString("| `" + b.Help().Key + "` | " + b.Help().Desc + " |\n")
	}
	return out.String()
}
