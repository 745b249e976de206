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
	detailCharger, detailOrder, more, sandbox, doing, yesNo, enterEsc string
	status  map[int]string
	ordered map[int]string
	tabs    [tabs]string
	labels  map[string]string
}

// label is the word of a field, a filter or a code in the language; one that
// has none stands for itself.
func (w words) label(name string) string {
	if word, ok := w.labels[name]; ok {
		return word
	}
	return name
}

// state is the word of a state of a kind of thing.
func (w words) state(kind, code string) string {
	if word, ok := w.labels[kind+"."+code]; ok {
		return word
	}
	return code
}

func newWords(zh bool) words {
	if zh {
		return words{
			live: "实时", lost: "连接中断", connecting: "连接中", chargers: "充电桩", sessions: "充电会话", orders: "今日订单", alerts: "告警", today: "今日",
			energy: "电量", revenue: "收入", none: "无", small: "窗口太小, 至少需要 80x24", loading: "读取中…", keys: "按键",
			detailCharger: "充电桩详情", detailOrder: "订单详情", more: "还有 %d", sandbox: "沙箱", doing: "执行中…", yesNo: "[y] 是  [n] 否", enterEsc: "[enter] 确定  [esc] 取消",
			tabs:    [tabs]string{"总览", "充电桩", "会话", "订单", "告警", "资金", "租户", "事件日志"},
			labels:  labelsZH(),
			status:  map[int]string{0: "离线", 1: "空闲", 2: "充电", 3: "故障", 4: "维护", 5: "预约"},
			ordered: map[int]string{0: "充电中", 1: "已完成", 2: "已取消", 10: "待支付", 11: "已支付", 12: "退款中", 13: "已退款"},
		}
	}
	return words{
		live: "live", lost: "connection lost", connecting: "connecting", chargers: "Chargers", sessions: "Running sessions", orders: "Orders", alerts: "Alerts",
		today: "today", energy: "energy", revenue: "revenue", none: "none", small: "The window is too small: 80x24 at least", loading: "Reading…", keys: "Keys",
		detailCharger: "Charger", detailOrder: "Order", more: "%d more", sandbox: "sandbox", doing: "Working…", yesNo: "[y] yes  [n] no", enterEsc: "[enter] do it  [esc] leave",
		tabs:    [tabs]string{"Overview", "Chargers", "Sessions", "Orders", "Alerts", "Money", "Tenants", "Log"},
		labels:  labelsEN(),
		status:  map[int]string{0: "offline", 1: "idle", 2: "charging", 3: "fault", 4: "maint.", 5: "reserved"},
		ordered: map[int]string{0: "charging", 1: "completed", 2: "cancelled", 10: "to pay", 11: "paid", 12: "refunding", 13: "refunded"},
	}
}

func labelsEN() map[string]string {
	return map[string]string{
		"topay": "to pay", "maint": "maintenance", "soc": "SoC", "no": "#", "what": "what", "number": "order",
		"session." + api.SessionActive: "▶ running", "session." + api.SessionSuspended: "‖ paused", "session." + api.SessionEnded: "■ ended", "session." + api.SessionOrphan: "? orphan",
		"alert." + api.AlertActive: "● new", "alert." + api.AlertAcknowledged: "◐ seen", "alert." + api.AlertResolved: "○ done",
		api.SeverityCritical: "critical", api.SeverityHigh: "high", api.SeverityMedium: "medium", api.SeverityLow: "low",
		"differences": "Open differences", "batches": "Reconciled days", "refunds": "Refunds", "today": "Today",
		"batch." + api.ReconSuccess: "✔ matches", "batch." + api.ReconPartial: "▲ differs", "batch.FAILED": "✖ failed", "batch.RUNNING": "… running",
		"tenant." + api.TenantActive: "● active", "tenant.DISABLED": "○ disabled", "tenant.EXPIRED": "✖ expired",
		"lastHeartbeat": "last heard", "firmwareVersion": "firmware", "totalChargingEnergy": "total energy", "chargerId": "charger id",
		"deviceId": "device id", "startTime": "start", "endTime": "end", "session": "Session",
		"difference.OPEN": "● open", "difference.PENDING_REVIEW": "◐ to review",
	}
}

func labelsZH() map[string]string {
	return map[string]string{
		"all": "全部", "charging": "充电", "fault": "故障", "offline": "离线", "idle": "空闲", "maint": "维护", "running": "进行中", "ended": "已结束", "orphan": "孤儿",
		"topay": "待支付", "paid": "已支付", "refunding": "退款中", "held": "挂起", "open": "未解除", "active": "新告警", "resolved": "已解除",
		"events": "事件", "info": "日志 INFO", "warn": "日志 WARN", "error": "日志 ERROR",
		"status": "状态", "code": "编码", "station": "站点", "protocol": "协议", "power": "功率", "heard": "最近通信", "state": "状态", "charger": "充电桩", "no": "枪",
		"energy": "电量", "soc": "SoC", "time": "时间", "anomalies": "异常", "number": "订单号", "amount": "金额", "severity": "级别", "count": "次数", "last": "最近",
		"what": "内容", "detail": "详情", "id": "编号", "name": "名称", "parent": "上级", "chargers": "桩配额", "kind": "类型", "samples": "采样数",
		"session." + api.SessionActive: "▶ 充电", "session." + api.SessionSuspended: "‖ 暂停", "session." + api.SessionEnded: "■ 结束", "session." + api.SessionOrphan: "? 孤儿",
		"alert." + api.AlertActive: "● 新", "alert." + api.AlertAcknowledged: "◐ 确认", "alert." + api.AlertResolved: "○ 解除",
		api.SeverityCritical: "严重", api.SeverityHigh: "高", api.SeverityMedium: "中", api.SeverityLow: "低",
		"today": "今日", "revenue": "净营收", "gross": "总营收", "refunds": "退款", "differences": "未处理差异", "batches": "对账批次",
		"batch." + api.ReconSuccess: "✔ 一致", "batch." + api.ReconPartial: "▲ 有差异", "batch.FAILED": "✖ 失败", "batch.RUNNING": "… 进行中",
		"tenant." + api.TenantActive: "● 正常", "tenant.DISABLED": "○ 停用", "tenant.EXPIRED": "✖ 过期",
		"lastHeartbeat": "最近通信", "firmwareVersion": "固件版本", "totalChargingEnergy": "累计电量", "chargerId": "充电桩编号", "deviceId": "设备标识",
		"startTime": "开始", "endTime": "结束", "session": "充电会话", "paid / refunded": "已付 / 已退",
		"difference.OPEN": "● 待处理", "difference.PENDING_REVIEW": "◐ 待复核",
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

// fitTail is fit that keeps the end: codes differ there.
func fitTail(text string, width int) string {
	text = clean(text)
	if over := ansi.StringWidth(text) - width; over > 0 && width > 0 {
		text = ansi.TruncateLeft(text, over+1, "…")
	}
	return fit(text, width)
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
