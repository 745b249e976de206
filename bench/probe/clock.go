package probe

import (
	"time"

	"golang.org/x/sys/unix"
)

// Monotonic is the time since some moment in the past, in nanoseconds. It is
// for measuring: the project's clock counts whole milliseconds.
func Monotonic() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		return 0 // cannot happen: the clock exists on every Unix
	}
	return time.Duration(t.Nano())
}
