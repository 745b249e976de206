// Package contracttest holds the tests that hold a running daemon to the
// contract: every operation and every error code of its tables, its languages,
// and what it says to bad input.
package contracttest
