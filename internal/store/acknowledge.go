//go:build !ackfirst

package store

// answerFirst is false in every program that is shipped: a caller is answered
// after its commit. The build tag ackfirst breaks that on purpose, so that the
// crash test can be seen to find it.
const answerFirst = false

// commitLater waits before a commit whose callers were answered already; it is
// nothing here.
func commitLater() {}
