package cloudcharge

import (
	"encoding/json"

	"github.com/evcs/evcs/internal/device"
	"github.com/evcs/evcs/internal/evcs"
)

// journal keeps the answer to a request, and a heartbeat with the results of
// commands, which no other record holds. A heartbeat without either says
// nothing, and meter values are answered with nothing but their count: the
// request is the evidence.
func (s *Server) journal(p *poller, q *request, data any, reply Reply) {
	if s.config.Journal == nil {
		return
	}
	answer := reply.Answer
	switch beat, ok := data.(heartbeatJSON); {
	case ok:
		results, connectors := q.data.has("commandResults"), q.data.has("connectors")
		if results && !connectors { // else the reports of its connectors keep it
			s.keep(p, q, false, q.body, "")
		}
		if !results && len(beat.Commands) == 0 {
			return
		}
		answer = hideSecrets(answer, beat)
	case q.operation == "meter" && reply.Status < 400:
		return
	}
	outcome := ""
	var refused struct {
		Code evcs.Code `json:"errorCode"`
	}
	if reply.Status >= 400 && json.Unmarshal(reply.Answer, &refused) == nil {
		outcome = refused.Code.Name()
	}
	s.keep(p, q, true, answer, outcome)
}

func (s *Server) keep(p *poller, q *request, out bool, raw []byte, outcome string) {
	s.config.Journal.Keep(evcs.Frame{
		Tenant: p.id.Tenant, Charger: p.id.Charger, Time: s.config.Clock.Now(), Out: out, Protocol: device.CloudCharge,
		Type: q.operation, Session: q.sessionID, MessageID: q.requestID, Raw: raw, Outcome: outcome,
	})
}

// setting is the name of the setting that a command changes; "" for others.
func (c commandJSON) setting() string {
	var setting struct{ Key string }
	if c.Type != device.KindSetConfig || json.Unmarshal(c.Params, &setting) != nil {
		return ""
	}
	return setting.Key
}

// secret reports whether the command carries the value of a secret setting.
func (c commandJSON) secret() bool { return evcs.NamesSecret(c.setting()) }

// hideSecrets is the answer to a heartbeat without the values of settings that
// are secrets.
func hideSecrets(answer []byte, beat heartbeatJSON) []byte {
	shown := heartbeatJSON{beat.Timestamp, beat.NextHeartbeat, make([]commandJSON, 0, len(beat.Commands))}
	hidden := false
	for _, c := range beat.Commands {
		if c.secret() {
			c.Params, hidden = params(device.Command{Kind: c.Type, Key: c.setting(), Value: evcs.Hidden}), true
		}
		shown.Commands = append(shown.Commands, c)
	}
	var e envelope
	if !hidden || json.Unmarshal(answer, &e) != nil {
		return answer
	}
	e.Data = shown
	text, err := json.Marshal(e)
	if err != nil {
		return nil
	}
	return text
}
