// Package chargersim is a fleet of charging stations in one process. They speak
// real bytes (OCPP 1.6J over WebSocket, cloudcharge over signed HTTP) to any
// server, draw power along realistic curves and misbehave on request. The bytes
// are its own on purpose: a simulator that shared the codec of the platform
// would share its mistakes.
//
// Its one promise: the Journal is the truth. Registers are integers, a
// transaction message is repeated until it is answered, and what was answered
// is written down exactly as it was sent, so that a platform can be compared
// with it to the last 0.1 Wh. Equal seeds make equal cars, times and faults.
package chargersim
