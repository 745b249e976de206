//go:build leak

package store

import (
	"os"
	"runtime"
	"strings"
)

// leaks removes the scope from the statements of the one function that
// EVCS_LEAK names: a defect on purpose, see the other file. `make test-leaks`
// builds with it, and the sweep must fail for each.
func leaks() bool {
	name := os.Getenv("EVCS_LEAK")
	if name == "" {
		return false
	}
	callers := make([]uintptr, 8)
	frames := runtime.CallersFrames(callers[:runtime.Callers(2, callers)])
	for {
		frame, more := frames.Next()
		if strings.HasSuffix(frame.Function, "."+name) {
			return true
		}
		if !more {
			return false
		}
	}
}
