package ocpp16

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/evcs/evcs/internal/device"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/ocppj"
)

func TestWhatAStationSaysToACommand(t *testing.T) {
	t.Parallel()
	reset, config := device.Command{Kind: device.KindReset}, device.Command{Kind: device.KindGetConfig}
	for _, c := range []struct {
		name    string
		command device.Command
		result  string
		err     error
		want    device.Answer
	}{
		{"accepted", reset, `{"status":"Accepted"}`, nil, device.Answer{Accepted: true}},
		{"in any case", reset, `{"status":"ACCEPTED"}`, nil, device.Answer{Accepted: true}},
		{"unlocked", device.Command{Kind: device.KindUnlock}, `{"status":"Unlocked"}`, nil, device.Answer{Accepted: true}},
		{"scheduled", device.Command{Kind: device.KindAvailability}, `{"status":"Scheduled"}`, nil, device.Answer{Accepted: true, Reason: "Scheduled"}},
		{"reboot", device.Command{Kind: device.KindSetConfig}, `{"status":"RebootRequired"}`, nil, device.Answer{Accepted: true, Reason: "RebootRequired"}},
		{"rejected", device.Command{Kind: device.KindStart}, `{"status":"Rejected"}`, nil, device.Answer{Reason: "Rejected"}},
		{"no status", reset, `{}`, nil, device.Answer{Reason: "the answer has no status"}},
		{"no object", reset, `[]`, nil, device.Answer{Reason: "the answer has no status"}},
		{"error", reset, ``, &ocppj.CallError{Code: "NotSupported", Description: "no"}, device.Answer{Reason: "NotSupported: no"}},
		{"error without words", reset, ``, &ocppj.CallError{Code: "GenericError"}, device.Answer{Reason: "GenericError"}},
		{"configuration", config, `{"configurationKey":[]}`, nil, device.Answer{Accepted: true}},
	} {
		got, err := judgeAnswer(c.command, []byte(c.result), c.err)
		got.Result = nil
		if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v %s", c.name, err, diff)
		}
	}
	if _, err := judgeAnswer(reset, nil, device.ErrGone); !errors.Is(err, device.ErrGone) {
		t.Errorf("a lost connection is %v", err)
	}
}

func TestSecretsOfTheConfigurationAreMasked(t *testing.T) {
	t.Parallel()
	got := maskSecrets([]byte(`{"configurationKey":[{"key":"AuthorizationKey","readonly":false,"value":"s3cret"},` +
		`{"key":"HeartbeatInterval","readonly":false,"value":"60"},{"key":"WiFiPassword","readonly":true,"value":"pw"},` +
		`{"key":"authorizationkey","readonly":true}],"unknownKey":["X"]}`))
	want := `{"configurationKey":[{"key":"AuthorizationKey","readonly":false,"value":"***"},` +
		`{"key":"HeartbeatInterval","readonly":false,"value":"60"},{"key":"WiFiPassword","readonly":true,"value":"***"},` +
		`{"key":"authorizationkey","readonly":true}],"unknownKey":["X"]}`
	if string(got) != want {
		t.Errorf("%s", got)
	}
	plain := `{"configurationKey":[{"key":"A","readonly":true,"value":"1"}]}`
	if string(maskSecrets([]byte(plain))) != plain {
		t.Error("a configuration without secrets was changed")
	}
}

// Commands that cannot be worded never reach the wire.
func TestCommandsThatCannotBeAsked(t *testing.T) {
	t.Parallel()
	s := newSession(&platform{})
	for _, c := range []device.Command{
		{Kind: device.KindStop},
		{Kind: device.KindUnlock},
		{Kind: device.KindStart, IDTag: "123456789012345678901"},
		{Kind: device.KindTrigger, Message: "Nonsense"},
		{Kind: device.KindLocalList, Tags: make([]device.Tag, maxList+1)},
	} {
		if a, err := s.Send(t.Context(), c); err != nil || a.Accepted || a.Reason == "" {
			t.Errorf("%+v: %+v %v", c, a, err)
		}
	}
	if _, err := s.Send(t.Context(), device.Command{Kind: device.KindReadData}); !errors.Is(err, device.ErrUnsupported) {
		t.Errorf("an unknown command: %v", err)
	}
}

// A station that has just connected is left alone until its first answer, or
// for the settle window.
func TestSettleWindow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		open := func() *session {
			s, _ := New(Config{Handler: &platform{}, Clock: evcs.SystemClock{}, Settle: 5 * time.Second}).Open(device.Identity{}, "", nil).(*session)
			return s
		}
		began := time.Now()
		if err := open().waitSettled(t.Context()); err != nil || time.Since(began) != 5*time.Second {
			t.Errorf("waited %v: %v", time.Since(began), err)
		}
		s := open()
		began = time.Now()
		time.AfterFunc(time.Second, s.Answered)
		if err := s.waitSettled(t.Context()); err != nil || time.Since(began) != time.Second {
			t.Errorf("after the first answer it waited %v: %v", time.Since(began), err)
		}
		s.Answered() // every answer says so
		if err := s.waitSettled(t.Context()); err != nil || time.Since(began) != time.Second {
			t.Errorf("a settled station is waited for: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := open().waitSettled(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the caller's patience: %v", err)
		}
	})
}

// Stops of one session that come again under new message ids, with another
// reason or none, tell the same session.
func TestStopAgainUnderANewMessageID(t *testing.T) {
	t.Parallel()
	p := &platform{}
	s := newSession(p)
	var told []device.Stopped
	for _, reason := range []string{`,"reason":"Local"`, ``} {
		ask(t, s, "StopTransaction", `{"transactionId":"7","meterStop":"100.0","timestamp":"2026-02-10T10:00:00Z"`+reason+`}`)
		m, _ := p.last().(device.Stopped)
		m.From = device.From{}
		m.ReasonRaw = ""
		told = append(told, m)
	}
	if diff := cmp.Diff(told[0], told[1]); diff != "" {
		t.Error(diff)
	}
	if told[0].Transaction != 7 || told[0].Register == nil || *told[0].Register != 1000 {
		t.Errorf("%+v", told[0])
	}
}

// A stop whose transaction and meter are no numbers is told all the same, with
// its evidence, and answered: else the station repeats it for ever.
func TestStopThatNamesNoNumber(t *testing.T) {
	t.Parallel()
	p := &platform{}
	got := ask(t, newSession(p), "StopTransaction", `{"transactionId":"7f3a-xyz","meterStop":{},"timestamp":"2026-02-10T10:00:00Z","idTag":"A"}`)
	m, _ := p.last().(device.Stopped)
	if got != `{"idTagInfo":{"status":"Accepted"}}` || m.Transaction != 0 || m.Register != nil || m.IDTag != "A" || len(m.Raw) == 0 {
		t.Errorf("%s %+v", got, m)
	}
}

// FuzzAnswer reads whatever a station may answer to a command. No value of a
// setting that is a secret may be left in what is kept.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"status":"Accepted"}`))
	f.Add([]byte(`{"configurationKey":[{"key":"AuthorizationKey","value":"hunter2"},{"KEY":"x","Value":1}],"unknownKey":[""]}`))
	f.Add([]byte(`{"ConfigurationKey":{"key":"AuthorizationKey","value":"hunter2"}}`))
	f.Fuzz(func(t *testing.T, result []byte) {
		if !json.Valid(result) {
			return // it never gets here
		}
		for _, kind := range []device.Kind{device.KindGetConfig, device.KindReset} {
			if _, err := judgeAnswer(device.Command{Kind: kind}, result, nil); err != nil {
				t.Errorf("%s: %v", result, err)
			}
		}
		shown := maskSecrets(result)
		if !json.Valid(shown) {
			t.Fatalf("%s became %s", result, shown)
		}
		var read struct {
			Keys []struct {
				Key   string
				Value *string
			} `json:"configurationKey"`
		}
		if json.Unmarshal(shown, &read) != nil {
			return
		}
		for _, k := range read.Keys {
			if evcs.NamesSecret(k.Key) && k.Value != nil && *k.Value != evcs.Hidden {
				t.Errorf("%s shows %q", shown, *k.Value)
			}
		}
	})
}
