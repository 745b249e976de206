// Package outbound is the guarded way out of evcsd to hosts that somebody else
// names or answers for. It reaches only the networks that it may, asks only the
// hosts that it was given, follows no redirect, waits a bounded time and reads a
// bounded reply. Its one invariant: nobody but the operator of evcsd decides
// which machine is connected to.
package outbound
