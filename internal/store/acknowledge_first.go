//go:build ackfirst

package store

import "time"

// answerFirst moves the answer before the commit: a defect on purpose, see the
// other file. The crash test run with such a program must fail.
const answerFirst = true

// commitLater is how late a cache that writes behind brings its rows to the
// disk. Without it the window between answer and commit would be a fraction of
// a millisecond, and few kills would find it.
func commitLater() {
	timer := time.NewTimer(40 * time.Millisecond)
	defer timer.Stop()
	<-timer.C
}
