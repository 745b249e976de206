package tui

import (
	"io"
	"strconv"
	"time"

	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/x/ansi"
	"github.com/muesli/termenv"

	"github.com/evcs/evcs/internal/api"
)

// theme is the named styles; no colour is written anywhere else.
type theme struct {
	title, dim, good, busy, bad, warn, selected lipgloss.Style
}

func newTheme(out io.Writer, color bool) theme {
	r := lipgloss.NewRenderer(out)
	if !color {
		r.SetColorProfile(termenv.Ascii)
	}
	tint := func(light, dark string) lipgloss.Style {
		return r.NewStyle().Foreground(lipgloss.AdaptiveColor{Light: light, Dark: dark})
	}
	return theme{
		title: r.NewStyle().Bold(true), dim: tint("244", "245"), good: tint("28", "42"), busy: tint("26", "75"),
		bad: tint("160", "203"), warn: tint("130", "214"), selected: r.NewStyle().Reverse(true),
	}
}

// words are the texts in one language.
type words struct {
	live, lost, connecting, chargers, sessions, orders, alerts, today, energy, revenue, none, small, loading, keys,
	detailCharger, detailOrder, more, sandbox string
	status  map[int]string
	ordered map[int]string
}

func newWords(zh bool) words {
	if zh {
		return words{
			live: "实时", lost: "连接中断", connecting: "连接中", chargers: "充电桩", sessions: "充电会话", orders: "今日订单", alerts: "告警", today: "今日",
			energy: "电量", revenue: "收入", none: "无", small: "窗口太小, 至少需要 80x24", loading: "读取中…", keys: "按键",
			detailCharger: "充电桩详情", detailOrder: "订单详情", more: "还有 %d", sandbox: "沙箱",
			status:  map[int]string{0: "离线", 1: "空闲", 2: "充电", 3: "故障", 4: "维护", 5: "预约"},
			ordered: map[int]string{0: "充电中", 1: "已完成", 2: "已取消", 10: "待支付", 11: "已支付", 12: "退款中", 13: "已退款"},
		}
	}
	return words{
		live: "live", lost: "connection lost", connecting: "connecting", chargers: "Chargers", sessions: "Running sessions", orders: "Orders", alerts: "Alerts",
		today: "today", energy: "energy", revenue: "revenue", none: "none", small: "The window is too small: 80x24 at least", loading: "Reading…", keys: "Keys",
		detailCharger: "Charger", detailOrder: "Order", more: "%d more", sandbox: "sandbox",
		status:  map[int]string{0: "offline", 1: "idle", 2: "charging", 3: "fault", 4: "maint.", 5: "reserved"},
		ordered: map[int]string{0: "charging", 1: "completed", 2: "cancelled", 10: "to pay", 11: "paid", 12: "refunding", 13: "refunded"},
	}
}

// symbol tells a status apart without colour.
func symbol(status int) string {
	switch status {
	case api.ChargerOffline:
		return "○"
	case api.ChargerIdle:
		return "●"
	case api.ChargerCharging:
		return "▶"
	case api.ChargerFault:
		return "✖"
	case api.ChargerMaintenance:
		return "◇"
	case api.ChargerReserved:
		return "◆"
	default:
		return "?"
	}
}

func (t theme) status(status int) lipgloss.Style {
	switch status {
	case api.ChargerIdle:
		return t.good
	case api.ChargerCharging:
		return t.busy
	case api.ChargerFault:
		return t.bad
	case api.ChargerMaintenance, api.ChargerReserved:
		return t.warn
	default:
		return t.dim
	}
}

func (t theme) severity(severity string) (string, lipgloss.Style) {
	switch severity {
	case api.SeverityCritical:
		return "‼", t.bad
	case api.SeverityHigh:
		return "!", t.bad
	case api.SeverityMedium:
		return "▲", t.warn
	default:
		return "·", t.dim
	}
}

// fit cuts or pads text to exactly width cells.
func fit(text string, width int) string {
	if width <= 0 {
		return ""
	}
	text = ansi.Truncate(clean(text), width, "…")
	return text + spaces(width-ansi.StringWidth(text))
}

// right is fit with the text at the right end.
func right(text string, width int) string {
	text = ansi.Truncate(clean(text), width, "…")
	return spaces(width-ansi.StringWidth(text)) + text
}

func spaces(n int) string {
	const run = "                                                                                "
	text := ""
	for n > len(run) {
		text, n = text+run, n-len(run)
	}
	return text + run[:max(n, 0)]
}

// clean takes control characters out of what came from outside: a station's
// name must not move the cursor.
func clean(text string) string {
	out := []rune(text)
	for i, r := range out {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			out[i] = ' '
		}
	}
	return string(out)
}

func span(d time.Duration) string {
	minutes := max(int(d.Minutes()), 0)
	return strconv.Itoa(minutes/60) + ":" + pad2(minutes%60)
}

func pad2(n int) string {
	if n < 10 {
		return "0" + strconv.Itoa(n)
	}
	return strconv.Itoa(n)
}

func measure(m *api.Measure, unit string) string {
	if m == nil {
		return "-"
	}
	return m.String() + " " + unit
}

func plain(s *string) string {
	if s == nil {
		return "-"
	}
	return *s
}
