package ocpp16

import (
	"context"
	"math"
	"strconv"
	"time"

	"github.com/evcs/evcs/internal/device"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/ocppj"
)

// Bounds of what stations name.
const (
	maxConnector = 1000
	maxTag       = 36 // OCPP 1.6 has 20; longer ones exist, the contract keeps 36
	maxInfo      = 255
)

// connector reads a connector number from least up.
func connector(n number, least int) (int, *ocppj.CallError) {
	if !n.told {
		return 0, faultMissing("connectorId")
	}
	c, ok := parseScaled(n.text, 0)
	if !ok || c < int64(least) || c > maxConnector {
		return 0, faultValue("connectorId")
	}
	return int(c), nil
}

// register reads a meter register in Wh; one that is no register is not told.
func register(n number) *evcs.Energy {
	if !n.told {
		return nil
	}
	e, ok := parseScaled(n.text, 1)
	if !ok || e < 0 {
		return nil
	}
	energy := evcs.Energy(e)
	return &energy
}

// transaction reads a transaction id. Stations that began on their own say -1
// or 0; both are "not told", and so is what cannot be an id of ours.
func transaction(n number) int64 {
	id, ok := parseScaled(n.text, 0)
	if !ok || id < 0 || id > math.MaxInt32 {
		return 0
	}
	return id
}

func (s *session) startTransaction(ctx context.Context, call ocppj.Call, out []byte) ([]byte, error) {
	var m startRequest
	if fault := m.decode(call.Payload); fault != nil {
		return out, fault
	}
	number, fault := connector(m.connector, 1)
	switch {
	case fault != nil:
		return out, fault
	case !m.tagTold:
		return out, faultMissing("idTag")
	case len(m.tag) > maxTag:
		return out, faultValue("idTag")
	}
	at, _ := parseTime(m.time, s.id.Zone)
	told := device.Started{
		From: s.from(call), Connector: number, IDTag: word(m.tag, maxTag), Register: register(m.meter), At: at,
	}
	told.Key = startKey(told, m.meter.text)
	answer, err := s.config.Handler.Started(ctx, told)
	if err != nil {
		answer = device.StartAnswer{Tag: refusedTag(err)}
		err = s.settle(ctx, call, err)
	}
	s.about = answer.Session
	out = append(out, `{"transactionId":`...)
	out = strconv.AppendInt(out, answer.Transaction, 10)
	out = append(out, `,"idTagInfo":`...)
	out = appendTagInfo(out, device.Authorization{Status: answer.Tag})
	return append(out, '}'), err
}

// firstSane is the earliest time that a clock which was ever set can show.
const firstSane = 946_684_800 // 2000-01-01

// startKey is the same in every repeat of a start: connector, time, register
// and tag. A start without a time, or with that of a clock that was never set,
// is not told apart by it from another one; there the message id joins in,
// because taking two sessions for one loses energy, the reverse does not.
func startKey(m device.Started, meter []byte) string {
	key := make([]byte, 0, 96)
	key = strconv.AppendInt(key, int64(m.Connector), 10)
	key = append(key, '|')
	if m.At.Unix() >= firstSane {
		key = m.At.AppendFormat(key, time.RFC3339Nano)
	} else {
		key = append(key, m.MessageID...)
	}
	key = append(key, '|')
	if m.Register != nil {
		key = strconv.AppendInt(key, int64(*m.Register), 10)
	} else {
		key = append(key, word(meter, 20)...)
	}
	key = append(key, '|')
	return string(append(key, m.IDTag...))
}

func (s *session) stopTransaction(ctx context.Context, call ocppj.Call, out []byte) ([]byte, error) {
	var m stopRequest
	if fault := m.decode(call.Payload); fault != nil {
		return out, fault
	}
	at, _ := parseTime(m.time, s.id.Zone)
	told := device.Stopped{
		From: s.from(call), Transaction: transaction(m.transaction), IDTag: word(m.tag, maxTag),
		Register: register(m.meter), At: at, Reason: stopReason(string(m.reason)), ReasonRaw: word(m.reason, 64),
	}
	// Samples that cannot be read never hold up the stop: they are in the frame.
	_ = decodeSamples(m.data, s.id.Zone, call.Received, func(sample evcs.Sample) {
		told.Samples = append(told.Samples, sample)
	})
	answer, err := s.config.Handler.Stopped(ctx, told)
	s.about = answer.Session
	if err != nil {
		return append(out, '{', '}'), s.settle(ctx, call, err)
	}
	if answer.Tag == "" || len(told.IDTag) == 0 {
		return append(out, '{', '}'), nil
	}
	out = append(out, `{"idTagInfo":`...)
	out = appendTagInfo(out, device.Authorization{Status: answer.Tag})
	return append(out, '}'), nil
}

func (s *session) meterValues(ctx context.Context, call ocppj.Call, out []byte) ([]byte, error) {
	var m meterRequest
	if fault := m.decode(call.Payload); fault != nil {
		return out, fault
	}
	number, fault := connector(m.connector, 0)
	if fault != nil {
		return out, fault
	}
	if m.values == nil {
		return out, faultMissing("meterValue")
	}
	told := device.Metered{Connector: number, Transaction: transaction(m.transaction)}
	fault = decodeSamples(m.values, s.id.Zone, call.Received, func(sample evcs.Sample) {
		told.Samples = append(told.Samples, sample)
	})
	if fault != nil {
		return out, fault
	}
	told.From = s.from(call)
	_, err := s.config.Handler.Metered(ctx, told)
	return append(out, '{', '}'), s.settle(ctx, call, err)
}

func (s *session) statusNotification(ctx context.Context, call ocppj.Call, out []byte) ([]byte, error) {
	var m statusRequest
	if fault := m.decode(call.Payload); fault != nil {
		return out, fault
	}
	number, fault := connector(m.connector, 0)
	if fault != nil {
		return out, fault
	}
	if !m.statusTold {
		return out, faultMissing("status")
	}
	told := device.Status{Connector: number, Word: word(m.status, 32)}
	state, known := stateOf(told.Word)
	if !known {
		return out, faultValue("status")
	}
	told.From, told.State = s.from(call), state.state
	if state.plugged != 0 {
		plugged := state.plugged > 0
		told.Plugged = &plugged
	}
	told.At, _ = parseTime(m.time, s.id.Zone)
	told.FaultCode, told.FaultDetail = faultOf(&m)
	err := s.config.Handler.StatusReported(ctx, told)
	return append(out, '{', '}'), s.settle(ctx, call, err)
}

// faultOf is the error of a status report; NoError is none.
func faultOf(m *statusRequest) (code, detail string) {
	code = word(m.fault, 64)
	if code == "NoError" {
		code = ""
	}
	detail = word(m.info, maxInfo)
	if vendor := word(m.vendorFault, 64); vendor != "" {
		if detail != "" {
			detail += " "
		}
		detail += "(" + vendor + ")"
	}
	return code, detail
}

func (s *session) authorize(ctx context.Context, call ocppj.Call, out []byte) ([]byte, error) {
	var m authorizeRequest
	if fault := m.decode(call.Payload); fault != nil {
		return out, fault
	}
	switch {
	case !m.told:
		return out, faultMissing("idTag")
	case len(m.tag) > maxTag:
		return out, faultValue("idTag")
	}
	answer, err := s.config.Handler.Authorize(ctx, device.Authorize{From: s.from(call), IDTag: word(m.tag, maxTag)})
	if err != nil {
		answer = device.Authorization{Status: refusedTag(err)}
		err = s.settle(ctx, call, err)
	}
	out = append(out, `{"idTagInfo":`...)
	out = appendTagInfo(out, answer)
	return append(out, '}'), err
}

// appendTagInfo writes an idTagInfo.
func appendTagInfo(out []byte, a device.Authorization) []byte {
	out = append(out, `{"status":"`...)
	out = append(out, tagWord(a.Status)...)
	out = append(out, '"')
	if !a.Expires.IsZero() {
		out = append(out, `,"expiryDate":`...)
		out = appendTime(out, a.Expires)
	}
	if a.Parent != "" && len(a.Parent) <= maxSentTag {
		out = append(out, `,"parentIdTag":`...)
		out = ocppj.AppendText(out, a.Parent)
	}
	return append(out, '}')
}
