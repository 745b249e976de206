// Command evcsd is the EVCS daemon.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/evcs/evcs/internal/daemon"
)

// Set by the release build with -ldflags -X.
var (
	version = ""
	commit  = ""
	date    = ""
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)   // a second signal kills
	signal.Ignore(syscall.SIGXFSZ) // a file at its limit is a store that is full, not an end
	os.Exit(daemon.Main(ctx, daemon.BuildOf(version, commit, date), os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}
