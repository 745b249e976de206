package ocpp16

import (
	"strings"
	"time"

	"github.com/evcs/evcs/internal/device"
	"github.com/evcs/evcs/internal/evcs"
)

// connectorState is what a status word of OCPP 1.6 says of a connector.
type connectorState struct {
	state   device.State
	plugged int8 // 1 yes, -1 no, 0 cannot tell
}

// stateOf reads a status word in any case. Charging is only a report: whether
// a session runs is decided by its start and stop. "Occupied" is from OCPP 1.5
// and still met.
func stateOf(word string) (connectorState, bool) {
	switch strings.ToLower(strings.TrimSpace(word)) {
	case "available":
		return connectorState{device.Idle, -1}, true
	case "preparing", "finishing", "occupied":
		return connectorState{device.Idle, 1}, true
	case "charging", "suspendedev", "suspendedevse":
		return connectorState{device.Charging, 1}, true
	case "reserved":
		return connectorState{device.Reserved, 0}, true
	case "unavailable":
		return connectorState{device.Maintenance, 0}, true
	case "faulted":
		return connectorState{device.Fault, 0}, true
	}
	return connectorState{}, false
}

// stopReason is the contract's word for a reason of OCPP 1.6; no reason given
// means Local.
func stopReason(word string) string {
	switch strings.ToLower(strings.TrimSpace(word)) {
	case "", "local":
		return "LOCAL"
	case "remote":
		return "REMOTE"
	case "evdisconnected":
		return "EV_DISCONNECTED"
	case "emergencystop":
		return "EMERGENCY"
	case "powerloss":
		return "POWER_LOSS"
	case "reboot", "hardreset", "softreset":
		return "REBOOT"
	case "deauthorized":
		return "DEAUTHORIZED"
	case "unlockcommand":
		return "FORCED"
	}
	return "OTHER"
}

// tagWord is the AuthorizationStatus for a judgement.
func tagWord(s device.TagStatus) string {
	switch s {
	case device.TagAccepted:
		return "Accepted"
	case device.TagBlocked:
		return "Blocked"
	case device.TagExpired:
		return "Expired"
	case device.TagConcurrentTx:
		return "ConcurrentTx"
	}
	return "Invalid"
}

// refusedTag words a rule that refused a start or an authorisation.
func refusedTag(err error) device.TagStatus {
	code, data, _ := evcs.Classify(err)
	switch code {
	case evcs.CodeConnectorBusy:
		return device.TagConcurrentTx
	case evcs.CodeIDTagRefused:
		switch data["reason"] {
		case "BLOCKED":
			return device.TagBlocked
		case "EXPIRED":
			return device.TagExpired
		}
		return device.TagUnknown
	}
	return device.TagBlocked
}

// word makes a bounded string of what a station wrote: valid UTF-8, without
// control characters, trimmed, at most n bytes.
func word(text []byte, n int) string {
	text = trim(text)
	plain := len(text) <= n
	for _, c := range text {
		plain = plain && c >= ' ' && c < 0x7f
	}
	if plain {
		return string(text)
	}
	clean := strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return -1
		}
		return r
	}, strings.ToValidUTF8(string(text), "\uFFFD"))
	for len(clean) > n {
		i := n
		for i > 0 && clean[i]&0xC0 == 0x80 {
			i--
		}
		clean = clean[:i]
	}
	return clean
}

// appendTime writes a time as stations understand it.
func appendTime(out []byte, at time.Time) []byte {
	out = append(out, '"')
	out = at.UTC().AppendFormat(out, "2006-01-02T15:04:05.000Z")
	return append(out, '"')
}
