package api

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// The faults of times, dates and flags.
var (
	ErrTime = errors.New("not a time: RFC 3339, or yyyy-MM-ddTHH:mm:ss without zone")
	ErrDate = errors.New("not a date: yyyy-MM-dd")
	ErrFlag = errors.New("not a flag: 0 or 1")
)

// Time is a moment, written as RFC 3339 UTC in whole seconds. It reads RFC 3339
// with a zone, and the two forms without one (T or a space between date and
// clock), which mean the tenant's zone: see In.
type Time struct {
	at       time.Time
	zoneless bool
}

// At makes the wire form of t.
func At(t time.Time) Time { return Time{at: t.UTC()} }

// AtOrNil makes the wire form of t, nil for the zero time.
func AtOrNil(t time.Time) *Time {
	if t.IsZero() {
		return nil
	}
	return Ptr(At(t))
}

// Std is the moment in UTC; one read without a zone is taken as UTC, so a
// server uses In for what came from outside.
func (t Time) Std() time.Time { return t.at }

// In is the moment in UTC, reading one given without a zone in loc.
func (t Time) In(loc *time.Location) time.Time {
	if !t.zoneless {
		return t.at
	}
	y, m, d := t.at.Date()
	return time.Date(y, m, d, t.at.Hour(), t.at.Minute(), t.at.Second(), t.at.Nanosecond(), loc).UTC()
}

// Equal reports whether both are the same moment.
func (t Time) Equal(o Time) bool { return t.zoneless == o.zoneless && t.at.Equal(o.at) }

// IsZero reports whether t is the zero value.
func (t Time) IsZero() bool { return t.at.IsZero() }

// String writes RFC 3339 UTC in whole seconds.
func (t Time) String() string { return t.at.UTC().Format(time.RFC3339) }

// JSONType says that Time is a date-time string.
func (Time) JSONType() (kind, format string) { return "string", "date-time" }

// MarshalJSON writes RFC 3339 UTC in whole seconds.
func (t Time) MarshalJSON() ([]byte, error) { return t.appendJSON(nil), nil }

func (t Time) appendJSON(b []byte) []byte {
	return append(t.at.UTC().AppendFormat(append(b, '"'), time.RFC3339), '"')
}

// UnmarshalJSON reads a time string.
func (t *Time) UnmarshalJSON(text []byte) error {
	if string(text) == "null" {
		return nil
	}
	inner, err := unquote(text)
	if err != nil {
		return fmt.Errorf("%.40q: %w", text, ErrTime)
	}
	return t.UnmarshalText(inner)
}

// UnmarshalText reads a time.
func (t *Time) UnmarshalText(text []byte) error {
	s := string(text)
	if at, err := time.Parse(time.RFC3339Nano, s); err == nil {
		*t = Time{at: at.UTC()}
		return nil
	}
	for _, form := range [...]string{"2006-01-02T15:04:05", "2006-01-02 15:04:05"} {
		if at, err := time.Parse(form, s); err == nil {
			*t = Time{at: at, zoneless: true}
			return nil
		}
	}
	return fmt.Errorf("%.40q: %w", text, ErrTime)
}

// TimeMS is a Time whose wire form always carries three decimals of a second.
type TimeMS struct{ Time }

// AtMS makes the wire form of t with milliseconds.
func AtMS(t time.Time) TimeMS { return TimeMS{At(t)} }

// AtMSOrNil makes the wire form of t with milliseconds, nil for the zero time.
func AtMSOrNil(t time.Time) *TimeMS {
	if t.IsZero() {
		return nil
	}
	return Ptr(AtMS(t))
}

// String writes RFC 3339 UTC with three decimals.
func (t TimeMS) String() string { return t.at.UTC().Format(milliseconds) }

const milliseconds = "2006-01-02T15:04:05.000Z07:00"

// MarshalJSON writes RFC 3339 UTC with three decimals.
func (t TimeMS) MarshalJSON() ([]byte, error) { return t.appendJSON(nil), nil }

func (t TimeMS) appendJSON(b []byte) []byte {
	return append(t.at.UTC().AppendFormat(append(b, '"'), milliseconds), '"')
}

// Equal reports whether both are the same moment.
func (t TimeMS) Equal(o TimeMS) bool { return t.Time.Equal(o.Time) }

// Date is a calendar day, yyyy-MM-dd, in the zone the field's contract names.
type Date string

// DateOf is the day of t in t's own location.
func DateOf(t time.Time) Date { return Date(t.Format(time.DateOnly)) }

// JSONType says that Date is a date string.
func (Date) JSONType() (kind, format string) { return "string", "date" }

// In is the first moment of the day in loc; the zero time for a malformed one.
func (d Date) In(loc *time.Location) time.Time {
	t, err := time.ParseInLocation(time.DateOnly, string(d), loc)
	if err != nil {
		return time.Time{}
	}
	return t
}

// UnmarshalJSON reads a date and refuses what is none.
func (d *Date) UnmarshalJSON(text []byte) error {
	if string(text) == "null" {
		return nil
	}
	inner, err := unquote(text)
	if err != nil {
		return fmt.Errorf("%.40q: %w", text, ErrDate)
	}
	return d.UnmarshalText(inner)
}

// UnmarshalText reads a date and refuses what is none.
func (d *Date) UnmarshalText(text []byte) error {
	if _, err := time.Parse(time.DateOnly, string(text)); err != nil {
		return fmt.Errorf("%.40q: %w", text, ErrDate)
	}
	*d = Date(text)
	return nil
}

// Flag is a yes or no written as 1 or 0; true and false are accepted too.
type Flag bool

// JSONType says that Flag is the integer 0 or 1.
func (Flag) JSONType() (kind, format string) { return "integer", "flag" }

// String writes 1 or 0.
func (f Flag) String() string {
	if f {
		return "1"
	}
	return "0"
}

// MarshalJSON writes 1 or 0.
func (f Flag) MarshalJSON() ([]byte, error) { return f.appendJSON(nil), nil }

func (f Flag) appendJSON(b []byte) []byte { return append(b, f.String()...) }

// UnmarshalJSON reads 0, 1, false or true.
func (f *Flag) UnmarshalJSON(text []byte) error {
	if string(text) == "null" {
		return nil
	}
	return f.UnmarshalText(text)
}

// UnmarshalText reads 0, 1, false or true.
func (f *Flag) UnmarshalText(text []byte) error {
	switch string(text) {
	case "1", "true":
		*f = true
	case "0", "false":
		*f = false
	default:
		return fmt.Errorf("%.16q: %w", text, ErrFlag)
	}
	return nil
}

// unquote takes the quotes off a JSON string that needs no unescaping, which
// no well-formed time or date does.
func unquote(text []byte) ([]byte, error) {
	s := string(text)
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' || strings.ContainsAny(s, `\`) {
		return nil, ErrTime
	}
	return text[1 : len(text)-1], nil
}
