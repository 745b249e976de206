package evcs

import "time"

// Clock tells the time. Everything that asks for it takes a Clock, so that a
// test can set it; only this file asks the machine.
type Clock interface {
	// Now is the present moment in UTC, without a monotonic reading, in whole
	// milliseconds, which is what the store keeps.
	Now() time.Time
}

// SystemClock is the machine's clock. Under testing/synctest it is the bubble's.
type SystemClock struct{}

// Now implements Clock.
func (SystemClock) Now() time.Time { return time.Now().UTC().Truncate(time.Millisecond).Round(0) }

// FromMillis turns a stored time back; zero and below are the zero time.
func FromMillis(ms int64) time.Time {
	if ms <= 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// Millis is what the store keeps of a time; the zero time is 0.
func Millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// DefaultTimeZone is the zone of a tenant that has set none.
const DefaultTimeZone = "Asia/Shanghai"

// Monotonic is a reading for measuring intervals inside the process; it is not
// a time of the world and is never stored.
func Monotonic() time.Time { return time.Now() }
