package cloudcharge

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

const apiVersion = "3.0"

// request is one signed message.
type request struct {
	operation  string
	requestID  string
	timestamp  string
	signature  string
	deviceCode string
	sessionID  string
	data       *fields
	// fixed is the signed text without the timestamp: what has to be equal in a
	// repeat.
	fixed string
	body  []byte
	zone  *time.Location
	form  string // the layout of the request's times
}

// parseRequest reads the envelope of a message and judges its form.
func parseRequest(operation string, body []byte) (*request, error) {
	top, err := scanObject(body)
	if err != nil {
		return nil, evcs.Invalid(evcs.FieldFault{Field: "body", Message: err.Error()})
	}
	f := newFields(top)
	r := &request{operation: operation, body: body}
	r.requestID = f.name("requestId", 64, true)
	version := f.text("apiVersion", 16, true)
	r.timestamp = f.text("timestamp", 64, true)
	r.signature = f.text("signature", 64, true)
	r.deviceCode = f.name("deviceCode", 48, true)
	r.sessionID = f.text("sessionId", 64, false)
	action := f.text("action", 32, false)
	if f.has("apiVersion") && version != apiVersion {
		f.fault("apiVersion", "must be "+apiVersion)
	}
	if f.has("action") && action != operation {
		f.fault("action", "does not agree with the path")
	}
	var inner []field
	if f.has("data") {
		if inner, err = scanObject(f.raw["data"]); err != nil {
			f.fault("data", err.Error())
		}
	}
	r.data = newFields(inner)
	r.data.prefix = "data."
	r.fixed = f.fixedText(inner)
	return r, f.err()
}

// fixedText is the signed text without the timestamp, under which it marks the
// place with a NUL that no field can hold.
func (f *fields) fixedText(data []field) string {
	var b strings.Builder
	b.WriteString("requestId=" + f.plain["requestId"] + "&apiVersion=" + f.plain["apiVersion"] + "&timestamp=\x00")
	b.WriteString("&deviceCode=" + f.plain["deviceCode"])
	for _, name := range []string{"sessionId", "action"} {
		if f.has(name) {
			b.WriteString("&" + name + "=" + f.plain[name])
		}
	}
	sorted := slices.SortedFunc(slices.Values(data), func(a, b field) int { return strings.Compare(a.name, b.name) })
	for _, d := range sorted {
		if !isKey(d.name) {
			f.fault("data", "has a key that is not of letters, digits and underscores")
		}
		text := string(d.raw)
		if d.raw[0] == '"' {
			if text = decodeText(d.raw); !isPlain(text) {
				f.fault("data."+d.name, "has characters that are not allowed")
			}
		}
		b.WriteString("&" + d.name + "=" + text)
	}
	return b.String()
}

// signed is the text that the signature is over.
func (r *request) signed() string { return strings.Replace(r.fixed, "\x00", r.timestamp, 1) }

// verify reports, in constant time, whether the request was signed with secret.
func (r *request) verify(secret string) bool {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(r.signed()))
	given, err := hex.DecodeString(r.signature)
	return err == nil && strings.ToLower(r.signature) == r.signature && hmac.Equal(given, mac.Sum(nil))
}

// digest identifies the content of the request for repeats.
func (r *request) digest() string {
	sum := sha256.Sum256([]byte(r.operation + "\n" + r.fixed))
	return hex.EncodeToString(sum[:])
}

// at reads the request's timestamp and remembers its form, in which every time
// of the answer is written.
func (r *request) at(zone *time.Location) (time.Time, error) {
	if zone == nil {
		zone = time.UTC
	}
	r.zone, r.form = zone, "2006-01-02T15:04:05"
	at, zoned, ok := parseTime(r.timestamp, zone)
	if !ok {
		return at, evcs.Invalid(evcs.FieldFault{Field: "timestamp", Message: "is not a time"})
	}
	switch {
	case zoned:
		r.zone, r.form = time.UTC, "2006-01-02T15:04:05Z07:00"
	case strings.Contains(r.timestamp, " "):
		r.form = "2006-01-02 15:04:05"
	}
	return at, nil
}

func (r *request) time(at time.Time) string { return at.In(r.zone).Format(r.form) }

// parseTime reads RFC 3339, or a time without zone as one of zone.
func parseTime(text string, zone *time.Location) (at time.Time, zoned, ok bool) {
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at.UTC().Truncate(time.Millisecond), true, true
	}
	for _, layout := range []string{"2006-01-02T15:04:05", "2006-01-02 15:04:05"} {
		if at, err := time.ParseInLocation(layout, text, zone); err == nil {
			return at.UTC().Truncate(time.Millisecond), false, true
		}
	}
	return time.Time{}, false, false
}

func isKey(text string) bool {
	for i := range len(text) {
		c := text[i]
		if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return text != ""
}

// isPlain reports whether a text can stand in the signed text without doubt.
func isPlain(text string) bool {
	for _, c := range text {
		if c == '&' || c < ' ' || c == 0x7f {
			return false
		}
	}
	return true
}

func isName(text string) bool {
	for i := range len(text) {
		c := text[i]
		if c != '.' && c != '-' && !isKey(text[i:i+1]) {
			return false
		}
	}
	return text != ""
}
