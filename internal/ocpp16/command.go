package ocpp16

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/evcs/evcs/internal/device"
	"github.com/evcs/evcs/internal/ocppj"
)

// maxSentTag is the length of an id tag in OCPP 1.6.
const maxSentTag = 20

// request words a command. A reason says why this one cannot be asked.
func request(c device.Command) (action string, payload []byte, reason string, err error) {
	connectorID := strconv.Itoa(c.Connector)
	switch c.Kind {
	case device.KindStart:
		return requestStart(c)
	case device.KindStop:
		if c.Transaction <= 0 {
			return "", nil, "the charger was never given a transaction id for this session", nil
		}
		return "RemoteStopTransaction", []byte(`{"transactionId":` + strconv.FormatInt(c.Transaction, 10) + `}`), "", nil
	case device.KindReset:
		kind := "Soft"
		if c.Hard {
			kind = "Hard"
		}
		return "Reset", []byte(`{"type":"` + kind + `"}`), "", nil
	case device.KindUnlock:
		if c.Connector < 1 {
			return "", nil, "a connector is needed", nil
		}
		return "UnlockConnector", []byte(`{"connectorId":` + connectorID + `}`), "", nil
	case device.KindAvailability:
		kind := "Inoperative"
		if c.Operative {
			kind = "Operative"
		}
		return "ChangeAvailability", []byte(`{"connectorId":` + connectorID + `,"type":"` + kind + `"}`), "", nil
	case device.KindClearCache:
		return "ClearCache", []byte(`{}`), "", nil
	case device.KindTrigger:
		return requestTrigger(c)
	case device.KindGetConfig:
		return requestConfig(c)
	case device.KindFirmware:
		payload = ocppj.AppendText([]byte(`{"location":`), c.URL)
		payload = appendTime(append(payload, `,"retrieveDate":`...), c.Retrieve)
		return "UpdateFirmware", append(payload, '}'), "", nil
	case device.KindLocalList:
		return requestList(c)
	case device.KindSetConfig:
		payload = ocppj.AppendText([]byte(`{"key":`), c.Key)
		payload = ocppj.AppendText(append(payload, `,"value":`...), c.Value)
		return "ChangeConfiguration", append(payload, '}'), "", nil
	}
	return "", nil, "", device.ErrUnsupported
}

// requestStart words a start. A start without a tag uses the order's number:
// the standard demands a tag, and the start that follows brings it back.
func requestStart(c device.Command) (string, []byte, string, error) {
	tag := c.IDTag
	if tag == "" {
		tag = c.OrderNo
	}
	if tag == "" {
		tag = "C" + strconv.FormatInt(int64(c.ID), 10)
	}
	if len(tag) > maxSentTag {
		return "", nil, "OCPP 1.6 takes id tags of at most 20 characters", nil
	}
	payload := []byte(`{`)
	if c.Connector > 0 {
		payload = append(strconv.AppendInt(append(payload, `"connectorId":`...), int64(c.Connector), 10), ',')
	}
	payload = ocppj.AppendText(append(payload, `"idTag":`...), tag)
	return "RemoteStartTransaction", append(payload, '}'), "", nil
}

// maxList bounds the entries of one list: a message has to fit into what
// stations read, and many take far fewer (SendLocalListMaxLength).
const maxList = 1000

// requestList words the list of id tags. Its version is the command's number:
// it rises with every list, and the station learns nothing else from it. Tags
// longer than OCPP 1.6 allows are left out; a station could not read such a
// card.
func requestList(c device.Command) (string, []byte, string, error) {
	kind, n := "Differential", 0
	if c.Full {
		kind = "Full"
	}
	payload := strconv.AppendInt([]byte(`{"listVersion":`), int64(c.ID), 10)
	payload = append(payload, `,"updateType":"`+kind+`","localAuthorizationList":[`...)
	for _, t := range c.Tags {
		if len(t.Tag) > maxSentTag || c.Full && t.Status == "" {
			continue
		}
		if n++; n > 1 {
			payload = append(payload, ',')
		}
		payload = ocppj.AppendText(append(payload, `{"idTag":`...), t.Tag)
		if t.Status != "" {
			payload = append(payload, `,"idTagInfo":`...)
			payload = appendTagInfo(payload, device.Authorization{Status: t.Status, Expires: t.Expires, Parent: t.Parent})
		}
		payload = append(payload, '}')
	}
	if n > maxList {
		return "", nil, fmt.Sprintf("the list has %d id tags, one message takes %d", n, maxList), nil
	}
	return "SendLocalList", append(payload, ']', '}'), "", nil
}

// triggers are the messages that a station can be asked for.
var triggers = []string{ //nolint:gochecknoglobals // a table
	"BootNotification", "DiagnosticsStatusNotification", "FirmwareStatusNotification", "Heartbeat", "MeterValues", "StatusNotification",
}

func requestTrigger(c device.Command) (string, []byte, string, error) {
	if !slices.Contains(triggers, c.Message) {
		return "", nil, "OCPP 1.6 can ask for " + strings.Join(triggers, ", "), nil
	}
	payload := ocppj.AppendText([]byte(`{"requestedMessage":`), c.Message)
	if c.Connector > 0 {
		payload = strconv.AppendInt(append(payload, `,"connectorId":`...), int64(c.Connector), 10)
	}
	return "TriggerMessage", append(payload, '}'), "", nil
}

func requestConfig(c device.Command) (string, []byte, string, error) {
	if len(c.Keys) == 0 {
		return "GetConfiguration", []byte(`{}`), "", nil
	}
	payload := []byte(`{"key":[`)
	for i, key := range c.Keys {
		if i > 0 {
			payload = append(payload, ',')
		}
		payload = ocppj.AppendText(payload, key)
	}
	return "GetConfiguration", append(payload, ']', '}'), "", nil
}

// Send implements device.Session.
func (s *session) Send(ctx context.Context, c device.Command) (device.Answer, error) {
	action, payload, reason, err := request(c)
	if err != nil || reason != "" {
		return device.Answer{Reason: reason}, err
	}
	if err := s.waitSettled(ctx); err != nil {
		return device.Answer{}, err
	}
	late := func(result []byte, err error) {
		if a, failed := judgeAnswer(c, result, err); failed == nil && s.config.Late != nil {
			s.config.Late(context.WithoutCancel(ctx), s.id, c, a)
		}
	}
	ask := ocppj.Request{Action: action, Payload: payload, Late: late}
	if s.config.Journal != nil {
		ask.Seen = func(t ocppj.Traffic) { s.seen(c, action, t) }
	}
	result, err := s.conn.Call(ctx, ask)
	return judgeAnswer(c, result, err)
}

// waitSettled waits until the station has had its first answer, or was silent
// long enough.
func (s *session) waitSettled(ctx context.Context) error {
	select {
	case <-s.settled:
		return nil
	default:
	}
	window := time.NewTimer(s.opened.Add(s.config.Settle).Sub(s.config.Clock.Now()))
	defer window.Stop()
	select {
	case <-s.settled:
	case <-window.C:
	case <-ctx.Done():
		return fmt.Errorf("waiting for the station to settle: %w", ctx.Err())
	}
	return nil
}

// judgeAnswer words what the station said to a command.
func judgeAnswer(c device.Command, result []byte, err error) (device.Answer, error) {
	var refused *ocppj.CallError
	switch {
	case errors.As(err, &refused):
		reason := refused.Code
		if refused.Description != "" {
			reason += ": " + refused.Description
		}
		return device.Answer{Reason: reason}, nil
	case err != nil:
		return device.Answer{}, err
	}
	switch c.Kind {
	case device.KindGetConfig:
		return device.Answer{Accepted: true, Result: maskSecrets(result)}, nil
	case device.KindFirmware: // its answer says nothing; reports on the update follow
		return device.Answer{Accepted: true, Result: result}, nil
	}
	var said struct {
		Status string `json:"status"`
	}
	if json.Unmarshal(result, &said) != nil || said.Status == "" {
		return device.Answer{Reason: "the answer has no status", Result: result}, nil //nolint:nilerr // what the station said is the answer
	}
	a := device.Answer{Result: result}
	switch strings.ToLower(said.Status) {
	case "accepted", "unlocked":
		a.Accepted = true
	case "scheduled", "rebootrequired":
		a.Accepted, a.Reason = true, said.Status
	default:
		a.Reason = word([]byte(said.Status), 64)
	}
	return a, nil
}
