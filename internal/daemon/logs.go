package daemon

import (
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/evcs/evcs/internal/config"
	"github.com/evcs/evcs/internal/logstore"
)

// openLogs opens the local log store and has every line go there as well.
func (d *Daemon) openLogs() error {
	c := d.opt.Config
	logs, err := logstore.Open(logstore.Config{
		Dir: filepath.Join(c.DataDir, "logs"), MaxBytes: c.Logs.MaxBytes, MaxAge: c.Logs.MaxAge, Clock: d.opt.Clock,
	})
	if err != nil {
		return fmt.Errorf("open the log store: %w", err)
	}
	d.logs = logs
	d.opt.Log = slog.New(logstore.Tee(logs, d.opt.Log.Handler(), logLevel(c.Logs)))
	return nil
}

// log is the log of one part of the daemon, under the names by which its lines
// are found.
func (d *Daemon) log(service, logger string) *slog.Logger {
	return d.opt.Log.With(slog.String("service", service), slog.String("logger", logger))
}

func logLevel(c config.Logs) slog.Level {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		return slog.LevelInfo // the settings were checked
	}
	return level
}
