// Package ocppj frames OCPP over JSON and WebSocket: calls, results, errors and
// their deadlines, and the HTTP entry where charge points connect. It knows no
// message: a Dialect (OCPP 1.6, later 2.0.1) words those.
//
// Each direction of a connection has one call in flight and does not wait for
// the other. An idle connection costs one goroutine; calls of the station are
// answered, in the order of the wire, by a second one that lives while there
// are any.
package ocppj
