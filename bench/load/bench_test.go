package main

import (
	"context"
	"net"
	"testing"

	"github.com/evcs/evcs/bench/ref"
	"github.com/evcs/evcs/internal/evcs"
)

// BenchmarkEcho is one call and its echo on one connection, client and server
// in this process: the floor of a round trip on this machine.
func BenchmarkEcho(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- ref.Echo(ctx, l) }()
	s, err := open(b.Context(), job{url: "ws://" + l.Addr().String() + "/ocpp", echo: true, clock: evcs.SystemClock{}}, identity{id: "B"})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := s.once(s.next(), 0, false); err != nil {
			b.Fatal(err)
		}
		s.advance()
	}
	hangUp([]*station{s})
	cancel()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}

// BenchmarkScript words calls: what the client costs before the socket.
func BenchmarkScript(b *testing.B) {
	s := &station{clock: evcs.SystemClock{}, tx: 1}
	b.ReportAllocs()
	for b.Loop() {
		s.next()
		s.advance()
	}
}
