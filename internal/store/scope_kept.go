//go:build !leak

package store

// leaks is false in every program that is shipped: no statement loses its
// scope. The build tag leak breaks that on purpose, so that the cross-tenant
// sweep can be seen to find it.
func leaks() bool { return false }
