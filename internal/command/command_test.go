package command_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/evcs/evcs/internal/command"
	"github.com/evcs/evcs/internal/evcs"
)

var now = time.UnixMilli(1_770_000_000_000)

func pending(typ, params string) *command.Command {
	return &command.Command{ID: 7, Type: typ, State: command.Pending, Params: json.RawMessage(params)}
}

func TestACommandMovesForwardOnly(t *testing.T) {
	t.Parallel()
	c := pending("RESET", `{}`)
	if err := c.Send("node", now); err != nil || c.State != command.Sent {
		t.Fatalf("sent: %s, %v", c.State, err)
	}
	if err := c.Cancel(now); err == nil {
		t.Error("a command on the wire was cancelled")
	} else if code, facts, _ := evcs.Classify(err); code != evcs.CodeCommandState || facts["state"] != command.Sent {
		t.Errorf("cancel answers %d %v", code, facts)
	}
	c.Answer(true, "", nil, now)
	if !c.Final() || c.State != command.Accepted {
		t.Errorf("after a yes: %s", c.State)
	}
	start := pending("START", `{}`)
	start.Answer(true, "", nil, now)
	if start.Final() {
		t.Error("a start is final before its session began")
	}
	if !start.Complete(now) || start.Complete(now) || start.State != command.Completed {
		t.Errorf("complete: %s", start.State)
	}
	late := pending("RESET", `{}`)
	if !late.Expire("silent", now) {
		t.Fatal("it did not expire")
	}
	late.Answer(true, "", nil, now.Add(time.Minute))
	if late.State != command.Timeout || !strings.Contains(string(late.Result), "late") {
		t.Errorf("a late answer: %s %s", late.State, late.Result)
	}
}

func TestSecretsAreNotShownAndNotKept(t *testing.T) {
	t.Parallel()
	c := pending("SET_CONFIG", `{"key":"AuthorizationKey","value":"hunter2hunter2"}`)
	if strings.Contains(string(c.Shown()), "hunter2") {
		t.Errorf("shown: %s", c.Shown())
	}
	if !strings.Contains(string(c.Params), "hunter2") {
		t.Error("the device cannot be told any more")
	}
	c.Answer(false, "Rejected", nil, now)
	if strings.Contains(string(c.Params), "hunter2") {
		t.Errorf("kept after the end: %s", c.Params)
	}
	plain := pending("SET_CONFIG", `{"key":"HeartbeatInterval","value":"60"}`)
	if string(plain.Shown()) != string(plain.Params) {
		t.Errorf("a plain setting is shown as %s", plain.Shown())
	}
}
