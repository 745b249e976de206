package notify

import (
	"fmt"
	"strings"
	"time"

	"github.com/evcs/evcs/internal/alarm"
	"github.com/evcs/evcs/internal/evcs"
)

// words chooses a language.
type words evcs.Detail

func (w words) in(english bool) string {
	if english {
		return w.EN
	}
	return w.ZH
}

func kindText(k alarm.NoticeKind, english bool) string {
	switch k {
	case alarm.Raised:
		return words{ZH: "告警", EN: "ALERT"}.in(english)
	case alarm.Repeated:
		return words{ZH: "告警持续", EN: "STILL OPEN"}.in(english)
	case alarm.Cleared:
		return words{ZH: "告警恢复", EN: "RESOLVED"}.in(english)
	}
	return string(k)
}

func severityText(s alarm.Severity, english bool) string {
	if english {
		return string(s)
	}
	switch s {
	case alarm.Critical:
		return "紧急"
	case alarm.High:
		return "高"
	case alarm.Medium:
		return "中"
	case alarm.Low:
		return "低"
	}
	return string(s)
}

// title is one line about the whole message.
func title(m alarm.Message) string {
	if m.Test {
		return words{ZH: "EVCS 告警通道测试", EN: "EVCS channel test"}.in(m.English)
	}
	if len(m.Items) == 1 {
		i := m.Items[0]
		return fmt.Sprintf("[%s][%s] %s", kindText(i.Kind, m.English), severityText(i.Alert.Severity, m.English), words(alarm.TitleOf(i.Alert.Rule)).in(m.English))
	}
	return fmt.Sprintf(words{ZH: "EVCS %d 条告警通知", EN: "EVCS: %d alerts"}.in(m.English), len(m.Items))
}

// lines are the message without its title, plain; mark is put around a line's
// head (** in Markdown).
func lines(m alarm.Message, mark string) []string {
	if m.Test {
		return []string{words{ZH: "这是一条测试消息,没有发生任何告警。", EN: "This is a test, nothing has happened."}.in(m.English)}
	}
	var list []string
	for _, i := range m.Items {
		a := i.Alert
		head := fmt.Sprintf("[%s][%s] %s", kindText(i.Kind, m.English), severityText(a.Severity, m.English), words(alarm.TitleOf(a.Rule)).in(m.English))
		list = append(list, mark+head+mark)
		if a.Message != "" {
			list = append(list, evcs.Worded(a.Message, m.English))
		}
		at := a.First
		label := words{ZH: "发生时间", EN: "since"}
		if i.Kind == alarm.Cleared {
			at, label = a.ResolvedAt, words{ZH: "恢复时间", EN: "ended"}
		}
		list = append(list, fmt.Sprintf("%s %s · %s %s #%d", label.in(m.English), local(at, m.Zone), a.Target.Type, a.Target.ID, a.ID))
	}
	return list
}

func local(at time.Time, zone *time.Location) string {
	if zone == nil {
		zone = time.UTC
	}
	return at.In(zone).Format("2006-01-02 15:04:05")
}

// bounded joins lines with sep up to a number of bytes, at a line's end.
func bounded(list []string, sep string, most int) string {
	var b strings.Builder
	for i, line := range list {
		if b.Len()+len(sep)+len(line)+len("…") > most {
			b.WriteString("…")
			break
		}
		if i > 0 {
			b.WriteString(sep)
		}
		b.WriteString(line)
	}
	return b.String()
}
