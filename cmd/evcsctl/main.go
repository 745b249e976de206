// Command evcsctl operates evcsd from the command line. It only hands the
// process to package cli: streams, arguments, environment, signals and clock.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/evcs/evcs/internal/chargersim/simulate"
	"github.com/evcs/evcs/internal/cli"
	"github.com/evcs/evcs/internal/paygate"
)

// Set by the release build with -ldflags -X.
var (
	version = "dev"
	commit  = ""
	date    = ""
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cli.Main(ctx, program())
	stop()
	os.Exit(code)
}

// program is this process, with everything that this build has.
func program() cli.Program {
	return cli.Program{
		Args: os.Args[1:], In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Getenv: os.Getenv, Now: time.Now,
		Version: describe(), Simulate: simulate.Command, Gateway: paygate.Command,
	}
}

// describe says which build this is; a build without ldflags knows its commit
// from the module's own record.
func describe() cli.Version {
	v := cli.Version{Version: version, Commit: commit, Built: date, Go: runtime.Version()}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, setting := range info.Settings {
			switch {
			case setting.Key == "vcs.revision" && v.Commit == "":
				v.Commit = setting.Value
			case setting.Key == "vcs.time" && v.Built == "":
				v.Built = setting.Value
			}
		}
	}
	return v
}
