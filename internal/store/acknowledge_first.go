//go:build ackfirst

package store

// answerFirst moves the answer before the commit: a defect on purpose, see the
// other file. `make torture` built with it must fail.
const answerFirst = true
