package ocpp16

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/evcs/evcs/internal/device"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/ocppj"
)

// Answer implements ocppj.Handler.
func (s *session) Answer(ctx context.Context, call ocppj.Call, out []byte) ([]byte, error) {
	s.about = ""
	out, err := s.do(ctx, call, out)
	if err = s.judge(ctx, call, err); s.config.Journal != nil {
		s.journal(call, out, err)
	}
	return out, err
}

func (s *session) do(ctx context.Context, call ocppj.Call, out []byte) ([]byte, error) {
	var err error
	switch string(call.Action) {
	case "Heartbeat":
		out, err = s.heartbeat(call, out)
	case "MeterValues":
		out, err = s.meterValues(ctx, call, out)
	case "StatusNotification":
		out, err = s.statusNotification(ctx, call, out)
	case "StartTransaction":
		out, err = s.startTransaction(ctx, call, out)
	case "StopTransaction":
		out, err = s.stopTransaction(ctx, call, out)
	case "Authorize":
		out, err = s.authorize(ctx, call, out)
	case "BootNotification":
		out, err = s.bootNotification(ctx, call, out)
	case "DataTransfer":
		out, err = s.keep(ctx, call, append(out, `{"status":"UnknownVendorId"}`...))
	case "FirmwareStatusNotification":
		out, err = s.firmwareStatus(ctx, call, append(out, '{', '}'))
	case "DiagnosticsStatusNotification", "SecurityEventNotification", "LogStatusNotification", "SignedFirmwareStatusNotification":
		out, err = s.keep(ctx, call, append(out, '{', '}'))
	default:
		err = &ocppj.CallError{Code: codeNotImplemented, Description: "this action is not known here"}
	}
	return out, err
}

// judge decides what an error means on the wire. What the protocol refuses is
// kept first. What was not stored is not answered, so that the station
// repeats it; this is logged once until it works again.
func (s *session) judge(ctx context.Context, call ocppj.Call, err error) error {
	var refusal *ocppj.CallError
	if errors.As(err, &refusal) {
		err = s.refuse(ctx, call, refusal.Code)
	}
	switch {
	case err != nil:
		if !s.silent.Swap(true) {
			s.config.Log.ErrorContext(ctx, "a message of a station was not stored and is not answered",
				slog.String("device", s.id.DeviceID), slog.String("action", word(call.Action, maxAction)),
				slog.Any("error", err))
		}
		return ocppj.ErrSilent
	case refusal != nil:
		return refusal
	}
	s.silent.Store(false)
	return nil
}

// maxAction bounds the name of a message that is kept.
const maxAction = 64

// from is who told it, with the message as evidence.
func (s *session) from(call ocppj.Call) device.From {
	return device.From{
		Identity: s.id, Protocol: device.OCPP16, Received: call.Received,
		Type: word(call.Action, maxAction), MessageID: word([]byte(call.MessageID()), maxAction),
		Raw: bytes.Clone(call.Raw),
	}
}

func (s *session) note(ctx context.Context, call ocppj.Call) error {
	return s.config.Handler.Noted(ctx, device.Note{From: s.from(call)}) //nolint:wrapcheck // judged, not passed on
}

// refuse keeps a message that is answered with a CALLERROR.
func (s *session) refuse(ctx context.Context, call ocppj.Call, code string) error {
	return s.config.Handler.Noted(ctx, device.Note{From: s.from(call), Outcome: code}) //nolint:wrapcheck // judged, not passed on
}

// keep stores a message nobody acts on and answers it.
func (s *session) keep(ctx context.Context, call ocppj.Call, out []byte) ([]byte, error) {
	if !json.Valid(call.Payload) || call.Payload[0] != '{' {
		return out, faultJSON()
	}
	return out, s.note(ctx, call)
}

// firmwareStatus keeps a report on a firmware update; the last one of an update
// ends the command that asked for it.
func (s *session) firmwareStatus(ctx context.Context, call ocppj.Call, out []byte) ([]byte, error) {
	var m struct {
		Status *string `json:"status"`
	}
	if fault := decodeCold(call.Payload, &m); fault != nil {
		return out, fault
	}
	if m.Status == nil {
		return out, faultMissing("status")
	}
	note := device.Note{From: s.from(call)}
	switch word := word([]byte(*m.Status), 64); strings.ToLower(word) {
	case "installed":
		note.Work = &device.Work{Kind: device.KindFirmware, Done: true, Word: word}
	case "downloadfailed", "installationfailed":
		note.Work = &device.Work{Kind: device.KindFirmware, Word: word}
	}
	return out, s.config.Handler.Noted(ctx, note) //nolint:wrapcheck // judged, not passed on
}

// unstored reports an error after which nothing may be answered.
func unstored(err error) bool {
	switch code, _, _ := evcs.Classify(err); code {
	case evcs.CodeInternalError, evcs.CodeServiceUnavailable, evcs.CodeRateLimited:
		return true
	}
	return false
}

// settle handles a rule that refused what a station told. The message is kept,
// because it happened whatever we think of it, and answered in the words of
// the standard: an error would make the station repeat it for ever.
func (s *session) settle(ctx context.Context, call ocppj.Call, err error) error {
	if err == nil || unstored(err) {
		return err
	}
	s.config.Log.InfoContext(ctx, "a rule refused a message of a station",
		slog.String("device", s.id.DeviceID), slog.String("action", word(call.Action, maxAction)),
		slog.Any("error", err))
	return s.note(ctx, call)
}

func (s *session) heartbeat(call ocppj.Call, out []byte) ([]byte, error) {
	if fault := decodeEmpty(call.Payload); fault != nil {
		return out, fault
	}
	out = append(out, `{"currentTime":`...)
	return append(appendTime(out, s.config.Clock.Now()), '}'), nil
}

// boot is BootNotification; only what anybody needs.
type boot struct {
	Vendor    *string `json:"chargePointVendor"`
	Model     *string `json:"chargePointModel"`
	Serial    string  `json:"chargePointSerialNumber"`
	BoxSerial string  `json:"chargeBoxSerialNumber"`
	Firmware  string  `json:"firmwareVersion"`
	ICCID     string  `json:"iccid"`
}

// defaultHeartbeat is told when the identity brings no interval.
const defaultHeartbeat = time.Minute

func (s *session) bootNotification(ctx context.Context, call ocppj.Call, out []byte) ([]byte, error) {
	var b boot
	if fault := decodeCold(call.Payload, &b); fault != nil {
		return out, fault
	}
	if b.Vendor == nil {
		return out, faultMissing("chargePointVendor")
	}
	if b.Model == nil {
		return out, faultMissing("chargePointModel")
	}
	if b.Serial == "" {
		b.Serial = b.BoxSerial
	}
	err := s.config.Handler.Booted(ctx, device.Boot{
		From: s.from(call), Vendor: word([]byte(*b.Vendor), 64), Model: word([]byte(*b.Model), 64),
		Serial: word([]byte(b.Serial), 64), Firmware: word([]byte(b.Firmware), 64), ICCID: word([]byte(b.ICCID), 32),
	})
	// Never Rejected: some stations do not recover from it without a power cycle.
	status := "Accepted"
	if err != nil && !unstored(err) {
		status = "Pending"
	}
	interval := s.id.Heartbeat
	if interval <= 0 {
		interval = defaultHeartbeat
	}
	out = append(out, `{"status":"`...)
	out = append(out, status...)
	out = append(out, `","currentTime":`...)
	out = appendTime(out, s.config.Clock.Now())
	out = append(out, `,"interval":`...)
	out = strconv.AppendInt(out, int64(interval/time.Second), 10)
	return append(out, '}'), s.settle(ctx, call, err)
}

// decodeCold reads a rare message with encoding/json.
func decodeCold(payload []byte, into any) *ocppj.CallError {
	err := json.Unmarshal(payload, into)
	var wrong *json.UnmarshalTypeError
	switch {
	case err == nil && payload[0] == '{':
		return nil
	case errors.As(err, &wrong) && wrong.Field != "":
		return faultType(wrong.Field)
	}
	return faultJSON()
}
