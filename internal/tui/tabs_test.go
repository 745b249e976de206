package tui

import (
	"bytes"
	"strings"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/exp/teatest"
	"github.com/google/go-cmp/cmp"

	"github.com/evcs/evcs/internal/api"
)

// onTab goes to a tab and takes the answer.
func onTab(t *testing.T, a app, keys ...string) app {
	t.Helper()
	a, cmd := press(t, a, keys...)
	if cmd != nil {
		a = send(t, a, cmd())
	}
	return a
}

func TestAnActionWantsItsYes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		keys []string
		want Action
	}{
		{[]string{"2", "j", "s"}, Action{Kind: ActStart, Charger: 10002, Connector: 1}},
		{[]string{"2", "x"}, Action{Kind: ActStop, Charger: 10001, Connector: 1}},
		{[]string{"2", "R"}, Action{Kind: ActReset, Charger: 10001}},
		{[]string{"3", "x"}, Action{Kind: ActStop, Charger: 10003, Connector: 1}},
		{[]string{"5", "a"}, Action{Kind: ActAck, Charger: 10001, Alert: 1}},
	} {
		f := newFake()
		a := onTab(t, start(t, f, "en", 80, 24), c.keys[:1]...)
		a, cmd := press(t, a, c.keys[1:]...)
		if a.prompt == nil || cmd != nil || !strings.Contains(a.View(), "[y] yes") {
			t.Fatalf("%v: no question is put", c.keys)
		}
		no, cmd := press(t, a, "n")
		if cmd != nil || no.prompt != nil {
			t.Errorf("%v: no was taken for yes", c.keys)
		}
		// What is asked stays what is asked, although the list moves.
		a = send(t, a, listMsg{sequence: a.listed, lists: Lists{}})
		a, cmd = press(t, a, "y")
		if cmd == nil {
			t.Fatalf("%v: yes did nothing", c.keys)
		}
		a = send(t, a, cmd())
		if diff := cmp.Diff([]Action{c.want}, f.acts); diff != "" || !strings.Contains(a.View(), "✔") {
			t.Errorf("%v: %s", c.keys, diff)
		}
	}
}

func TestARefusedActionIsShown(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.refuses = errDown
	a, cmd := press(t, onTab(t, start(t, f, "zh", 80, 24), "2"), "u", "y")
	a = send(t, a, cmd())
	if !strings.Contains(a.View(), "✖ 解锁枪头: FT-DC-01#1: "+errDown.Error()) {
		t.Errorf("got\n%s", a.View())
	}
	if a, _ = press(t, a, "j"); strings.Contains(a.View(), "解锁枪头: FT") {
		t.Error("the next key does not clear it")
	}
}

func TestAResolutionIsTyped(t *testing.T) {
	t.Parallel()
	f := newFake()
	a, _ := press(t, onTab(t, start(t, f, "en", 80, 24), "5"), "e")
	if _, cmd := press(t, a, "enter"); cmd != nil {
		t.Fatal("an empty resolution was sent")
	}
	a, cmd := press(t, a, "q", "y", "x", "backspace", "修", "enter")
	if cmd == nil {
		t.Fatal("nothing was sent")
	}
	send(t, a, cmd())
	if diff := cmp.Diff([]Action{{Kind: ActResolve, Charger: 10001, Alert: 1, Text: "qy修"}}, f.acts); diff != "" {
		t.Error(diff)
	}
	a, _ = press(t, onTab(t, start(t, f, "en", 80, 24), "5"), "e")
	for range 3 * maxTyped {
		a, _ = press(t, a, "长")
	}
	if n := len([]rune(a.prompt.text)); n != maxTyped {
		t.Errorf("%d characters were taken", n)
	}
	for i, line := range strings.Split(a.View(), "\n") {
		if w := ansi.StringWidth(line); w > 80 {
			t.Errorf("line %d is %d wide", i, w)
		}
	}
}

func TestAFilterAsksAnew(t *testing.T) {
	t.Parallel()
	f := newFake()
	a := onTab(t, onTab(t, start(t, f, "en", 80, 24), "4"), "j")
	a = onTab(t, a, "f")
	if diff := cmp.Diff(map[string]string{"status": "0"}, f.asked); diff != "" || a.at[tabOrders] != 0 {
		t.Errorf("cursor %d, %s", a.at[tabOrders], diff)
	}
	for range len(choices(tabOrders)) - 1 {
		a = onTab(t, a, "f")
	}
	if f.asked != nil || a.chosen().name != "all" {
		t.Errorf("not back at the first: %v", f.asked)
	}
}

func TestALateListIsDropped(t *testing.T) {
	t.Parallel()
	a := onTab(t, start(t, newFake(), "en", 80, 24), "4")
	a = send(t, a, listMsg{sequence: a.listed - 1, err: errDown})
	if a.listErr != nil {
		t.Error("a late answer was taken")
	}
	a = send(t, a, listMsg{sequence: a.listed, err: errDown})
	if !strings.Contains(a.View(), errDown.Error()) || !strings.Contains(a.View(), "ORD-20260210000017") {
		t.Error("a failure hides what was read, or is not shown")
	}
}

func TestEventsAreBounded(t *testing.T) {
	t.Parallel()
	a := start(t, newFake(), "en", 80, 24)
	for i := range 3 * maxEvents {
		a = send(t, a, eventMsg{api.Event{EventID: int64(i + 1), Type: "order.status", Time: api.AtMS(moment), OrderID: api.Ptr(int64(318))}})
	}
	a = send(t, a, eventMsg{api.Event{Type: api.EventReset}})
	if len(a.events) != maxEvents || a.events[maxEvents-1].EventID != 3*maxEvents || cap(a.events) > 4*maxEvents {
		t.Errorf("%d kept, capacity %d", len(a.events), cap(a.events))
	}
	a = onTab(t, a, "8")
	if !strings.Contains(a.View(), "order.status") || len(a.entries()) != maxEvents {
		t.Error("the events are not shown")
	}
	a, cmd := press(t, a, "enter")
	if cmd == nil || a.top() != screenOrder {
		t.Error("the order of an event does not open")
	}
}

// TestASlowAnswerIsSeen has a server that answers slower than events come.
func TestASlowAnswerIsSeen(t *testing.T) {
	t.Parallel()
	a := start(t, newFake(), "en", 80, 24)
	next, _ := a.reread()
	a, _ = next.(app)
	asked := a.sequence
	for range 5 {
		a = send(t, a, eventMsg{})
		next, cmd := a.Update(settleMsg{})
		if a, _ = next.(app); cmd == nil || a.sequence != asked {
			t.Fatal("the question was put anew before its answer came")
		}
		a = send(t, a, refreshMsg{})
	}
	a = send(t, a, overviewMsg{sequence: asked, at: moment})
	if len(a.data.Chargers) != 0 || a.loading {
		t.Error("the answer was dropped")
	}
	next, _ = a.Update(settleMsg{})
	if a, _ = next.(app); a.sequence != asked+1 {
		t.Error("what happened meanwhile is not read")
	}
}

func TestSessionShowsItsCurve(t *testing.T) {
	t.Parallel()
	a := onTab(t, start(t, newFake(), "zh", 80, 24), "3")
	a, cmd := press(t, a, "enter")
	a = send(t, a, cmd())
	if view := a.View(); !strings.Contains(view, "█") || !strings.Contains(view, "▁") || !strings.Contains(view, "ORD-20260210000017") {
		t.Errorf("got\n%s", view)
	}
	a, cmd = press(t, a, "enter")
	if cmd == nil || a.top() != screenOrder {
		t.Fatal("its order does not open")
	}
	if a, _ = press(t, a, "esc", "esc"); a.top() != screenOverview || a.tab != tabSessions {
		t.Error("the way back does not end at the list")
	}
	if a, _ = press(t, a, "esc"); a.tab != tabOverview {
		t.Error("the way back does not end at the overview")
	}
}

func TestTheConnectorIsChosenOnTheCharger(t *testing.T) {
	t.Parallel()
	f := newFake()
	a := onTab(t, start(t, f, "en", 80, 24), "2")
	a, cmd := press(t, a, "enter")
	a = send(t, a, cmd())
	a, cmd = press(t, a, "j", "j", "u", "y")
	send(t, a, cmd())
	if diff := cmp.Diff([]Action{{Kind: ActUnlock, Charger: 10001, Connector: 2}}, f.acts); diff != "" {
		t.Error(diff)
	}
}

// TestEveryTabFitsEverySize draws every tab, before and after its answer, in
// sizes a terminal is dragged through.
func TestEveryTabFitsEverySize(t *testing.T) {
	t.Parallel()
	for _, lang := range []string{"en", "zh"} {
		for _, key := range []string{"1", "2", "3", "4", "5", "6", "7", "8", "?"} {
			for _, size := range [][2]int{{80, 24}, {81, 25}, {119, 30}, {120, 30}, {140, 45}, {300, 90}} {
				a, cmd := press(t, start(t, newFake(), lang, size[0], size[1]), key)
				views := []string{a.View()}
				if cmd != nil {
					views = append(views, send(t, a, cmd()).View())
				}
				for _, view := range views {
					lines := strings.Split(view, "\n")
					if len(lines) != size[1] {
						t.Errorf("%s %s %v: %d lines", lang, key, size, len(lines))
					}
					for i, line := range lines {
						if w := ansi.StringWidth(line); w > size[0] {
							t.Errorf("%s %s %v: line %d is %d wide: %q", lang, key, size, i, w, line)
						}
					}
				}
			}
		}
	}
}

func TestFlowStopASession(t *testing.T) {
	t.Parallel()
	f := newFake()
	program := teatest.NewTestModel(t, start(t, f, "en", 80, 24), teatest.WithInitialTermSize(80, 24))
	say := func(keys string) { program.Send(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune(keys)}) }
	see := func(text string) {
		teatest.WaitFor(t, program.Output(), func(b []byte) bool { return bytes.Contains(b, []byte(text)) }, teatest.WithDuration(10*time.Second))
	}
	say("3")
	see("paused")
	say("x")
	see("[y] yes")
	say("y")
	see("✔")
	say("q")
	program.WaitFinished(t, teatest.WithFinalTimeout(10*time.Second))
	if diff := cmp.Diff([]Action{{Kind: ActStop, Charger: 10003, Connector: 1}}, f.acts); diff != "" {
		t.Error(diff)
	}
}
