package cloudcharge

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/evcs/evcs/internal/device"
	"github.com/evcs/evcs/internal/evcs"
)

// operationFunc does one operation and returns the data of its answer.
type operationFunc func(ctx context.Context, p *poller, q *request) (any, error)

// The outcomes that an answer of the handler turns into a refusal.
var (
	errTag       = evcs.NewError(evcs.CodeIDTagRefused, "the id tag is refused")
	errNoSession = evcs.NewError(evcs.CodeSessionNotFound, "the session was never known")
	errCancelled = evcs.NewError(evcs.CodeOrderCancelled, "the order was cancelled")
)

func (s *Server) from(p *poller, q *request) device.From {
	return device.From{
		Identity: p.id, Protocol: device.CloudCharge, Received: s.config.Clock.Now(),
		Type: q.operation, MessageID: q.requestID, Raw: q.body,
	}
}

func (s *Server) heartbeat(ctx context.Context, p *poller, q *request) (any, error) {
	wait := q.data.integer("wait", 0, maxWait)
	connectors := q.data.objects("connectors", maxConnector)
	results := q.data.objects("commandResults", maxWaiting)
	var reports []device.Status
	for _, c := range connectors {
		c.need("connectorNo")
		c.need("status")
		reports = append(reports, s.report(p, q, c.connector(), c))
	}
	var resolved []result
	for _, r := range results {
		resolved = append(resolved, readResult(r))
	}
	q.data.join(connectors)
	q.data.join(results)
	if err := q.data.err(); err != nil {
		return nil, err
	}
	for _, m := range reports {
		if err := s.config.Handler.StatusReported(ctx, m); err != nil {
			return nil, err //nolint:wrapcheck // classified, and logged where it is answered
		}
	}
	for _, r := range resolved {
		s.resolve(ctx, p, func(c device.Command) bool { return c.ID == r.id }, r.answer)
	}
	commands := p.poll(ctx, time.Duration(wait)*time.Second)
	return heartbeatJSON{q.time(s.config.Clock.Now()), int(nextHeartbeat / time.Second), wireCommands(commands)}, nil
}

type heartbeatJSON struct {
	Timestamp     string        `json:"timestamp"`
	NextHeartbeat int           `json:"nextHeartbeat"`
	Commands      []commandJSON `json:"commands"`
}

// result is what a charger says to a command.
type result struct {
	id     evcs.CommandID
	answer device.Answer
}

func readResult(f *fields) result {
	f.need("commandId")
	id := f.integer("commandId", 1, 1<<53)
	word := f.text("result", 16, true)
	reason := f.text("reason", 255, false)
	if word != "" && word != "ACCEPTED" && word != "REJECTED" {
		f.fault("result", "is not ACCEPTED or REJECTED")
	}
	return result{evcs.CommandID(id), device.Answer{Accepted: word == "ACCEPTED", Reason: reason}}
}

// resolve brings an answer to the command it belongs to, also a late one.
func (s *Server) resolve(ctx context.Context, p *poller, match func(device.Command) bool, a device.Answer) {
	for _, c := range p.resolve(match, a) {
		if s.config.Late != nil {
			s.config.Late(ctx, p.id, c, a)
		}
	}
}

// report words the state of one connector.
func (s *Server) report(p *poller, q *request, connector int, f *fields) device.Status {
	from := s.from(p, q)
	state := f.integer("status", 0, 5)
	return device.Status{
		From: from, Connector: connector, State: device.State(state), Word: strconv.FormatInt(state, 10),
	}
}

func (s *Server) status(ctx context.Context, p *poller, q *request) (any, error) {
	f := q.data
	f.need("status")
	m := s.report(p, q, f.connector("connectorId", "gunNo", "gunId", "port", "connector"), f)
	m.FaultCode = f.first(64, "faultCode", "errorCode", "errCode", "fault")
	m.FaultDetail = f.first(255, "faultDescription", "errorMsg", "errorMessage")
	if m.State != device.Fault {
		m.FaultCode, m.FaultDetail = "", ""
	}
	if f.has("plugged") {
		plugged := f.truth("plugged")
		m.Plugged = &plugged
	}
	m.Sample = f.sample(m.Received)
	if err := f.err(); err != nil {
		return nil, err
	}
	if err := s.config.Handler.StatusReported(ctx, m); err != nil {
		return nil, err //nolint:wrapcheck // classified, and logged where it is answered
	}
	return map[string]any{"timestamp": q.time(s.config.Clock.Now()), "status": "received"}, nil
}

// first reads the first of the names that is there; codes may be numbers.
func (f *fields) first(most int, names ...string) string {
	for _, name := range names {
		if raw := f.raw[name]; raw != nil {
			if c := raw[0]; c == '-' || c >= '0' && c <= '9' {
				return string(raw[:min(len(raw), most)])
			}
			return f.text(name, most, false)
		}
	}
	return ""
}

func (s *Server) start(ctx context.Context, p *poller, q *request) (any, error) {
	f := q.data
	m := device.Started{
		From: s.from(p, q), Connector: max(f.connector(), 1), Session: q.sessionID, Key: q.sessionID,
		Command: evcs.CommandID(f.integer("commandId", 1, 1<<53)), IDTag: f.text("idTag", 36, false),
		User: f.integer("userId", 1, 1<<53), Register: f.energy("initialEnergy"),
		At: f.time("startTime", p.id.Zone), Offline: f.truth("offline"),
	}
	if err := f.err(); err != nil {
		return nil, err
	}
	if m.Key == "" {
		m.Key = platformKey(q, m)
	}
	answer, err := s.config.Handler.Started(ctx, m)
	if err != nil {
		return nil, err //nolint:wrapcheck // classified, and logged where it is answered
	}
	s.resolve(ctx, p, func(c device.Command) bool {
		return c.Kind == device.KindStart && (c.ID == m.Command && m.Command != 0 || c.Session != "" && c.Session == answer.Session)
	}, device.Answer{Accepted: true})
	if answer.OrderNo == "" && answer.Tag != "" && answer.Tag != device.TagAccepted {
		return nil, evcs.With(errTag, map[string]any{"reason": string(answer.Tag)})
	}
	return map[string]any{
		"sessionId": answer.Session, "timestamp": q.time(s.config.Clock.Now()),
		"status": "charging", "orderNo": told(answer.OrderNo),
	}, nil
}

// platformKey is the natural key of a start whose session id the platform is
// to make: the request's, so that a repeat finds the session also when the
// answer was not remembered. requestIds are reused after days; the start time,
// or without one the day, tells those apart.
func platformKey(q *request, m device.Started) string {
	when := m.At.Format(time.RFC3339Nano)
	if m.At.IsZero() {
		when = m.Received.Format(time.DateOnly)
	}
	return "request|" + q.requestID + "|" + strconv.Itoa(m.Connector) + "|" + when
}

func (s *Server) stop(ctx context.Context, p *poller, q *request) (any, error) {
	f := q.data
	if q.sessionID == "" {
		f.faults = append(f.faults, evcs.FieldFault{Field: "sessionId", Message: "is missing"})
	}
	f.need("energy", "meterStop")
	m := device.Stopped{
		From: s.from(p, q), Connector: f.connector(), Session: q.sessionID, Register: f.energy("meterStop"),
		Energy: f.energy("energy"), Duration: f.minutes("duration"), At: f.time("endTime", p.id.Zone),
		ReasonRaw: f.text("reason", 64, false), Bill: f.bill(),
	}
	if m.Bill != nil {
		m.Bill.Ended = m.At
	}
	if err := f.err(); err != nil {
		return nil, err
	}
	if m.ReasonRaw == "" {
		m.ReasonRaw = "Manual stop"
	}
	m.Reason = stopReason(m.ReasonRaw)
	answer, err := s.config.Handler.Stopped(ctx, m)
	if err != nil {
		return nil, endCharge(err)
	}
	s.resolve(ctx, p, func(c device.Command) bool {
		return c.Kind == device.KindStop && c.Session == q.sessionID
	}, device.Answer{Accepted: true})
	switch {
	case answer.Orphan:
		return nil, evcs.With(errNoSession, map[string]any{"sessionId": q.sessionID, "stored": true})
	case answer.Cancelled:
		return nil, endCharge(evcs.With(errCancelled, map[string]any{"orderNo": answer.OrderNo}))
	}
	return map[string]any{
		"sessionId": answer.Session, "timestamp": q.time(s.config.Clock.Now()), "status": "stopped",
		"energy": decimal(answer.Energy.String()), "duration": decimal(minutes(answer.Duration)),
		"orderNo": told(answer.OrderNo), "amount": decimal(answer.Amount.String()),
	}, nil
}

// endCharge tells a charger whose order was cancelled to end the charge.
func endCharge(err error) error {
	code, _, _ := evcs.Classify(err)
	if code == evcs.CodeOrderCancelled {
		return evcs.With(err, map[string]any{"action": "stop"})
	}
	return err
}

// minutes writes a duration in minutes with at most two decimals.
func minutes(d time.Duration) string {
	hundredths := (d + 300*time.Millisecond) / (600 * time.Millisecond)
	return evcs.Milli(hundredths * 10).String()
}

// stopReason is the contract's word for what a charger writes.
func stopReason(text string) string {
	word := strings.ToUpper(strings.TrimSpace(text))
	switch word {
	case "REMOTE", "LOCAL", "EV_FULL", "EV_DISCONNECTED", "LIMIT", "FAULT", "EMERGENCY", "POWER_LOSS",
		"REBOOT", "DEAUTHORIZED", "FORCED", "OTHER":
		return word
	case "MANUAL STOP", "NORMAL STOP", "USER STOP":
		return "LOCAL"
	}
	for _, known := range []struct{ part, reason string }{
		{"REMOTE", "REMOTE"},
		{"FULL", "EV_FULL"},
		{"DISCONNECT", "EV_DISCONNECTED"},
		{"UNPLUG", "EV_DISCONNECTED"},
		{"EMERGENCY", "EMERGENCY"},
		{"POWER", "POWER_LOSS"},
		{"LIMIT", "LIMIT"},
		{"FAULT", "FAULT"},
		{"ERROR", "FAULT"},
		{"REBOOT", "REBOOT"},
		{"RESET", "REBOOT"},
	} {
		if strings.Contains(word, known.part) {
			return known.reason
		}
	}
	return "OTHER"
}

const maxSamples = 500

func (s *Server) meter(ctx context.Context, p *poller, q *request) (any, error) {
	f := q.data
	m := device.Metered{From: s.from(p, q), Connector: f.connector(), Session: q.sessionID}
	if m.Session == "" {
		m.Connector = max(m.Connector, 1) // the running session of the connector
	}
	samples := f.objects("samples", maxSamples)
	if len(samples) == 0 && len(f.faults) == 0 {
		f.fault("samples", "is missing")
	}
	for _, e := range samples {
		e.need("time")
		e.need("meter", "energy")
		m.Samples = append(m.Samples, e.sample(e.time("time", p.id.Zone)))
	}
	f.join(samples)
	if err := f.err(); err != nil {
		return nil, err
	}
	answer, err := s.config.Handler.Metered(ctx, m)
	if err != nil {
		return nil, endCharge(err)
	}
	return map[string]any{
		"timestamp": q.time(s.config.Clock.Now()), "accepted": answer.Accepted, "ignored": answer.Ignored,
	}, nil
}
