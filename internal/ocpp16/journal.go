package ocpp16

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"

	"github.com/evcs/evcs/internal/device"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/ocppj"
)

// routine reports whether a call of this action is answered the same whatever
// it says: an empty result, or the time. The call itself is the evidence of
// such an answer; journalling it would double what the frequent messages cost.
func routine(action string) bool {
	switch action {
	case "MeterValues", "StatusNotification", "Heartbeat":
		return true
	}
	return false
}

// journal keeps the answer to a call.
func (s *session) journal(call ocppj.Call, result []byte, err error) {
	var refusal *ocppj.CallError
	action := word(call.Action, maxAction)
	switch {
	case errors.As(err, &refusal):
		s.keepFrame(frameOf{true, action, word([]byte(call.MessageID()), maxAction), s.about, refusal.Code}, ocppj.AppendError(nil, call.ID, refusal))
	case err == nil && !routine(action):
		s.keepFrame(frameOf{true, action, word([]byte(call.MessageID()), maxAction), s.about, ""}, append(bytes.Clone(result), ']'))
	}
}

// frameOf is what a frame of the journal is about.
type frameOf struct {
	out                               bool
	action, message, session, outcome string
}

// keepFrame gives a frame to the journal, which owns raw then.
func (s *session) keepFrame(f frameOf, raw []byte) {
	s.config.Journal.Keep(evcs.Frame{
		Tenant: s.id.Tenant, Charger: s.id.Charger, Time: s.config.Clock.Now(), Out: f.out, Protocol: device.OCPP16,
		Type: f.action, Session: f.session, MessageID: f.message, Raw: raw, Outcome: f.outcome,
	})
}

// seen keeps a request to the station and its answer, their secrets hidden.
func (s *session) seen(c device.Command, action string, t ocppj.Traffic) {
	text := bytes.Clone(t.Text)
	switch {
	case t.Out:
		hidden := c
		hidden.URL = evcs.HidePassword(c.URL)
		if evcs.NamesSecret(c.Key) {
			hidden.Value = evcs.Hidden
		}
		if hidden.URL != c.URL || hidden.Value != c.Value {
			if _, payload, _, err := request(hidden); err == nil {
				text = ocppj.AppendCall(nil, t.ID, action, payload)
			}
		}
	case c.Kind == device.KindGetConfig && t.Payload != nil:
		if masked := maskSecrets(t.Payload); !bytes.Equal(masked, t.Payload) {
			text = append(append([]byte(`[3,"`+t.ID+`",`), masked...), ']')
		}
	}
	s.keepFrame(frameOf{t.Out, action, t.ID, c.Session, t.Code}, text)
}

// maskSecrets hides the values of configuration keys that hold secrets, which
// no station should return and some do. What it does not hide it leaves byte
// for byte; what it cannot read it does not show.
func maskSecrets(result []byte) []byte {
	var configuration map[string]json.RawMessage
	var keys []map[string]json.RawMessage
	if json.Unmarshal(result, &configuration) != nil {
		return result // no object: it has no keys
	}
	name := fieldNamed(configuration, "configurationKey")
	if name == "" {
		return result
	}
	if json.Unmarshal(configuration[name], &keys) != nil {
		configuration[name] = json.RawMessage(`"` + evcs.Hidden + `"`)
		return compose(configuration)
	}
	masked := false
	for _, k := range keys {
		var key string
		if json.Unmarshal(k[fieldNamed(k, "key")], &key) != nil || !evcs.NamesSecret(key) {
			continue
		}
		if value := fieldNamed(k, "value"); value != "" {
			k[value], masked = json.RawMessage(`"`+evcs.Hidden+`"`), true
		}
	}
	if !masked {
		return result
	}
	configuration[name] = compose(keys)
	return compose(configuration)
}

// fieldNamed is the spelling in which an object has a field; "": it has none.
func fieldNamed(object map[string]json.RawMessage, name string) string {
	for spelling := range object {
		if strings.EqualFold(spelling, name) {
			return spelling
		}
	}
	return ""
}

// compose writes what was just read.
func compose(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		return []byte(`{}`)
	}
	return text
}
