// Package daemon builds evcsd out of its parts, runs it and stops it in order.
// It is the only package that knows all of them.
package daemon

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/evcs/evcs/internal/config"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/health"
	"github.com/evcs/evcs/internal/logstore"
	"github.com/evcs/evcs/internal/store"
)

// Options is what a daemon is made of beside its settings.
type Options struct {
	Config config.Config
	Clock  evcs.Clock   // nil: the machine's
	Log    *slog.Logger // nil: silent
	// Notices is where the first password is printed, once.
	Notices io.Writer
	Build   Build
	// Spans is where traces go instead of telemetry.otlpEndpoint; tests only.
	Spans sdktrace.SpanExporter
	// Migrate brings the schema of PostgreSQL forward too; without it an old
	// one is refused. SQLite's always comes forward.
	Migrate bool
	// SyncOff gives up durability for speed; tests only.
	SyncOff bool
	// Statements is told each text that SQLite prepares; tests only.
	Statements func(query string)
}

// Daemon is a built evcsd: it listens, but serves only in Run.
type Daemon struct {
	opt      Options
	db       *store.DB
	logs     *logstore.Store
	spans    *sdktrace.TracerProvider // nil: no traces
	rest     net.Listener
	device   net.Listener
	secure   net.Listener // devices over TLS, on a port of its own; nil: none
	ready    atomic.Bool
	stopping chan struct{} // closed when the stop begins
	phases   []*phase

	pair        *reloaded // the listeners' certificate; nil: no TLS
	authorities *reloaded // of the chargers' certificates; nil: none
}

// New opens the store, brings its schema forward, makes what the first start
// needs and binds the listeners. Nothing is served before Run.
func New(ctx context.Context, opt Options) (*Daemon, error) {
	if opt.Clock == nil {
		opt.Clock = evcs.SystemClock{}
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.Notices == nil {
		opt.Notices = io.Discard
	}
	d := &Daemon{opt: opt, stopping: make(chan struct{})}
	if err := d.build(ctx); err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

func (d *Daemon) build(ctx context.Context) error {
	cfg := d.opt.Config
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return fmt.Errorf("make the data directory: %w", err)
	}
	if err := d.readCertificates(); err != nil {
		return err
	}
	if err := d.listen(ctx); err != nil {
		return err
	}
	if err := d.openLogs(); err != nil {
		return err
	}
	db, err := openStore(ctx, d.opt)
	if err != nil {
		return err
	}
	d.db = db
	if err := prepare(ctx, db, d.opt); err != nil {
		return err
	}
	if err := d.wire(ctx); err != nil {
		return err
	}
	debug.FreeOSMemory() // what only the start needed: schema, first password, document of the operations
	return nil
}

// listen binds the listeners before anything else happens, so that a taken
// port ends the start without a trace.
func (d *Daemon) listen(ctx context.Context) error {
	var lc net.ListenConfig
	var err error
	if d.rest, err = lc.Listen(ctx, "tcp", d.opt.Config.Server.REST); err != nil {
		return fmt.Errorf("listen for REST (server.rest): %w", err)
	}
	if d.device, err = lc.Listen(ctx, "tcp", d.opt.Config.Server.Device); err != nil {
		return fmt.Errorf("listen for devices (server.device): %w", err)
	}
	if address := d.opt.Config.Server.TLS.Device; address != "" {
		if d.secure, err = lc.Listen(ctx, "tcp", address); err != nil {
			return fmt.Errorf("listen for devices over TLS (server.tls.device): %w", err)
		}
	}
	return nil
}

// REST is the address of the REST listener.
func (d *Daemon) REST() net.Addr { return d.rest.Addr() }

// Device is the address of the device listener.
func (d *Daemon) Device() net.Addr { return d.device.Addr() }

// DeviceTLS is the address of the device listener that always takes TLS; nil
// when there is none.
func (d *Daemon) DeviceTLS() net.Addr {
	if d.secure == nil {
		return nil
	}
	return d.secure.Addr()
}

// databaseURL is the settings' database, by default a file in the data
// directory.
func databaseURL(c config.Config) string {
	if c.Database.URL != "" {
		return c.Database.URL
	}
	return "sqlite:" + filepath.Join(c.DataDir, "evcs.db")
}

func openStore(ctx context.Context, opt Options) (*store.DB, error) {
	db, err := store.Open(ctx, store.Config{URL: databaseURL(opt.Config), Readers: opt.Config.Database.Connections, SyncOff: opt.SyncOff, RowSecurity: opt.Config.Database.RowSecurity, Clock: opt.Clock, Statements: opt.Statements})
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	return db, nil
}

// prepare brings the schema forward, or says why it may not.
func prepare(ctx context.Context, db *store.DB, opt Options) error {
	state, err := db.Schema(ctx)
	if err != nil {
		return fmt.Errorf("read the schema: %w", err)
	}
	sqlite := strings.HasPrefix(databaseURL(opt.Config), "sqlite:")
	switch {
	case state.Current():
		return nil
	case state.Have > state.Want:
		return fmt.Errorf("the database has schema %d, this program knows %d: use the newer program", state.Have, state.Want)
	case !sqlite && !opt.Migrate:
		return fmt.Errorf("the database has schema %d, this program needs %d: run \"evcsd migrate\" first", state.Have, state.Want)
	}
	applied, err := db.Migrate(ctx)
	if err != nil {
		return fmt.Errorf("bring the schema forward: %w", err)
	}
	opt.Log.InfoContext(ctx, "schema brought forward", slog.Any("applied", applied))
	return nil
}

// Run serves until ctx ends or a part fails, then stops everything in order.
func (d *Daemon) Run(ctx context.Context) error {
	failed := make(chan error, 1)
	for i := len(d.phases) - 1; i >= 0; i-- { // what is stopped last is started first
		d.phases[i].start(ctx, failed)
	}
	d.ready.Store(true)
	d.opt.Log.InfoContext(ctx, "evcsd serves", slog.String("rest", d.REST().String()), slog.String("device", d.Device().String()),
		slog.String("version", d.opt.Build.Version))
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
		d.opt.Log.ErrorContext(ctx, "a part failed, stopping", slog.Any("error", err))
	}
	d.ready.Store(false)
	close(d.stopping)
	for _, p := range d.phases {
		err = errors.Join(err, p.finish(d.opt.Log))
	}
	return errors.Join(err, d.close())
}

// Close gives back what New took, for a daemon that never ran.
func (d *Daemon) Close() error { return d.close() }

func (d *Daemon) close() error {
	var errs []error
	for _, l := range []net.Listener{d.rest, d.device, d.secure} {
		if l != nil {
			if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
				errs = append(errs, err)
			}
		}
	}
	if d.logs != nil {
		errs = append(errs, d.logs.Close())
	}
	if d.db != nil {
		errs = append(errs, d.db.Close())
		d.db = nil
	}
	return errors.Join(errs...)
}

// serveHTTP is a part that serves a handler on a bound listener, over TLS when
// secure is not nil. Its stop waits for requests in work, for a while.
func (d *Daemon) serveHTTP(l net.Listener, h http.Handler, secure *tls.Config, patience time.Duration) func(context.Context) error {
	return func(ctx context.Context) error {
		server := &http.Server{
			Handler: patiently(h, d.opt.Config.Server.BodyTimeout, d.opt.Config.Server.AnswerTimeout), ReadHeaderTimeout: min(10*time.Second, d.opt.Config.Server.BodyTimeout), IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10, TLSConfig: secure,
			ErrorLog: slog.NewLogLogger(d.log(health.Gateway, "listener").Handler(), slog.LevelDebug),
		}
		done := make(chan error, 1)
		go func() {
			if secure != nil {
				done <- server.ServeTLS(l, "", "")
				return
			}
			done <- server.Serve(l)
		}()
		select {
		case err := <-done:
			return err
		case <-ctx.Done():
		}
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		err := server.Shutdown(limit)
		if err != nil {
			err = errors.Join(fmt.Errorf("requests did not end in time: %w", err), server.Close())
		}
		if served := <-done; served != nil && !errors.Is(served, http.ErrServerClosed) {
			err = errors.Join(err, served)
		}
		return err
	}
}

// hidePassword is a database URL that may be shown.
func hidePassword(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.User == nil {
		return raw
	}
	return u.Redacted()
}
