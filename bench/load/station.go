package main

import (
	"bytes"
	"fmt"
	"strconv"
	"time"

	"github.com/evcs/evcs/bench/probe"
	"github.com/evcs/evcs/internal/evcs"
)

// station is one connection with its script: boot, then Authorize, Status,
// StartTransaction, five MeterValues, Heartbeat, StopTransaction, for ever; one
// call at a time, as OCPP-J demands.
type station struct {
	c      *conn
	clock  evcs.Clock
	echo   bool // the server only echoes: an answer equals the call
	step   int
	serial int64
	call   []byte
	tx     int64
	wh     int64
	hist   *shard
	calls  int64
	faults int64
}

const (
	stepAuthorize = iota
	stepStatus
	stepStart
	stepMeter
	stepHeartbeat = stepMeter + 5
	stepStop      = stepHeartbeat + 1
	steps         = stepStop + 1
)

const form = "2006-01-02T15:04:05.000Z"

func (s *station) head(action string) []byte {
	s.serial++
	b := append(s.call[:0], `[2,"`...)
	b = strconv.AppendInt(b, s.serial, 10)
	b = append(b, `","`...)
	b = append(b, action...)
	return append(b, `",{`...)
}

func (s *station) now(b []byte) []byte { return s.clock.Now().AppendFormat(b, form) }

// boot is the first call of a connection.
func (s *station) boot() []byte {
	s.call = append(s.head("BootNotification"), `"chargePointVendor":"EVCS Load","chargePointModel":"L1"}]`...)
	return s.call
}

// next words the next call of the script.
func (s *station) next() []byte {
	switch s.step {
	case stepAuthorize:
		s.call = append(s.head("Authorize"), `"idTag":"LOADTAG1"}]`...)
	case stepStatus:
		b := append(s.head("StatusNotification"), `"connectorId":1,"errorCode":"NoError","status":"Preparing","timestamp":"`...)
		s.call = append(s.now(b), `"}]`...)
	case stepStart:
		b := append(s.head("StartTransaction"), `"connectorId":1,"idTag":"LOADTAG1","meterStart":`...)
		b = append(strconv.AppendInt(b, s.wh, 10), `,"timestamp":"`...)
		s.call = append(s.now(b), `"}]`...)
	case stepHeartbeat:
		s.call = append(s.head("Heartbeat"), `}]`...)
	case stepStop:
		b := append(s.head("StopTransaction"), `"transactionId":`...)
		b = append(strconv.AppendInt(b, s.tx, 10), `,"idTag":"LOADTAG1","meterStop":`...)
		b = append(strconv.AppendInt(b, s.wh, 10), `,"reason":"Local","timestamp":"`...)
		s.call = append(s.now(b), `"}]`...)
	default:
		s.call = s.meter()
	}
	return s.call
}

// meter is a frame of about 750 bytes with five quantities, as many chargers
// send it.
func (s *station) meter() []byte {
	s.wh++
	b := append(s.head("MeterValues"), `"connectorId":1,"transactionId":`...)
	b = append(strconv.AppendInt(b, s.tx, 10), `,"meterValue":[{"timestamp":"`...)
	b = append(s.now(b), `","sampledValue":[{"value":"`...)
	b = strconv.AppendInt(b, s.wh, 10)
	return append(b, `","context":"Sample.Periodic","format":"Raw","measurand":"Energy.Active.Import.Register","location":"Outlet","unit":"Wh"},`+
		`{"value":"7040.0","context":"Sample.Periodic","format":"Raw","measurand":"Power.Active.Import","location":"Outlet","unit":"W"},`+
		`{"value":"230.1","context":"Sample.Periodic","format":"Raw","measurand":"Voltage","location":"Outlet","unit":"V"},`+
		`{"value":"30.61","context":"Sample.Periodic","format":"Raw","measurand":"Current.Import","location":"Outlet","unit":"A"},`+
		`{"value":"54","context":"Sample.Periodic","format":"Raw","measurand":"SoC","location":"EV","unit":"Percent"}]}]}]`...)
}

// once makes one call and waits for its answer. due is when it should have been
// sent: the latency counts from there, so that a slow server cannot hide by
// slowing the client.
func (s *station) once(call []byte, due time.Duration, record bool) error {
	if err := s.c.send(call); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	answer, err := s.answer()
	if err != nil {
		return fmt.Errorf("receive: %w", err)
	}
	if record {
		s.hist.add(probe.Monotonic() - due)
		s.calls++
	}
	if !s.right(call, answer) {
		s.faults++
	}
	return nil
}

// answer reads until the answer to our call comes; calls of the server in
// between are refused.
func (s *station) answer() ([]byte, error) {
	for {
		frame, err := s.c.receive()
		if err != nil || s.echo || !bytes.HasPrefix(frame, []byte(`[2,"`)) {
			return frame, err
		}
		id, _, found := bytes.Cut(frame[4:], []byte(`"`))
		if !found {
			return frame, nil
		}
		if err := s.c.send(fmt.Appendf(nil, `[4,"%s","NotImplemented","",{}]`, id)); err != nil {
			return nil, err
		}
	}
}

// right checks an answer and takes the transaction number from it.
func (s *station) right(call, answer []byte) bool {
	if s.echo {
		s.tx = s.serial
		return bytes.Equal(call, answer)
	}
	var id [32]byte
	want := append(append(append(id[:0], `[3,"`...), strconv.FormatInt(s.serial, 10)...), `",`...)
	if !bytes.HasPrefix(answer, want) {
		return false
	}
	if s.step != stepStart || !bytes.Contains(call[:40], []byte("StartTransaction")) {
		return true
	}
	_, rest, found := bytes.Cut(answer, []byte(`"transactionId":`))
	end := bytes.IndexAny(rest, ",}")
	if !found || end < 0 {
		return false
	}
	tx, err := strconv.ParseInt(string(bytes.TrimSpace(rest[:end])), 10, 64)
	s.tx = tx
	return err == nil && bytes.Contains(answer, []byte(`"Accepted"`))
}

// advance goes to the next call of the script.
func (s *station) advance() { s.step = (s.step + 1) % steps }
