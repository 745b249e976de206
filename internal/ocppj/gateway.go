package ocppj

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lxzan/gws"

	"github.com/evcs/evcs/internal/device"
	"github.com/evcs/evcs/internal/evcs"
)

// Dialect is one version of OCPP that stations may speak here.
type Dialect interface {
	Subprotocol() string // as negotiated: ocpp1.6
	Protocol() string    // as the contract names it: OCPP16
	Words() Words
	// Open is the session of a new connection.
	Open(id device.Identity, address string, c *Conn) Session
}

// Session is a device session that answers the calls of its connection.
type Session interface {
	device.Session
	Handler
}

// Config is what a Gateway needs.
type Config struct {
	Gate     device.Gate
	Presence device.Presence
	Hub      *device.Hub
	Dialects []Dialect // the offered versions
	Engine   *Engine
	// MaxMessage is the size limit of one message (256 KiB).
	MaxMessage int
	// WriteTimeout is how long a station may take to read what is sent (10 s).
	WriteTimeout time.Duration
	// Drain is how long running calls may take when the daemon stops (10 s).
	Drain time.Duration
}

// Gateway is where charge points connect: GET /ocpp/{chargePointId}. Run must
// be running, it owns the connections.
type Gateway struct {
	gate         device.Gate
	presence     device.Presence
	hub          *device.Hub
	dialects     []Dialect
	engine       *Engine
	upgraders    map[string]*gws.Upgrader
	chunks       chunks
	failures     *device.Failures
	writeTimeout time.Duration
	drain        time.Duration
	arrivals     chan arrival
	stopping     chan struct{}

	mu    sync.Mutex
	conns map[*Conn]struct{} // guarded by mu; nil when stopping

	places  atomic.Uint64 // the order of admissions
	placing sync.Mutex
	newest  map[evcs.ChargerID]uint64 // guarded by placing: the newest handshake of each station
}

// arrival is a station whose handshake is done.
type arrival struct {
	socket  *socket
	dialect Dialect
	id      device.Identity
	address string
	place   uint64 // in the order of admissions
}

// NewGateway returns a Gateway.
func NewGateway(c Config) *Gateway {
	fill(&c.MaxMessage, 256<<10)
	fill(&c.WriteTimeout, 10*time.Second)
	fill(&c.Drain, 10*time.Second)
	g := &Gateway{
		gate: c.Gate, presence: c.Presence, hub: c.Hub, dialects: c.Dialects, engine: c.Engine,
		upgraders: make(map[string]*gws.Upgrader), failures: device.NewFailures(),
		writeTimeout: c.WriteTimeout, drain: c.Drain,
		arrivals: make(chan arrival), stopping: make(chan struct{}),
		conns: make(map[*Conn]struct{}), newest: make(map[evcs.ChargerID]uint64),
	}
	for _, d := range c.Dialects {
		g.upgraders[d.Subprotocol()] = newUpgrader(d.Subprotocol(), c.MaxMessage, c.WriteTimeout)
	}
	return g
}

var errUndrained = errors.New("station connections did not end in time")

// Run serves connections until ctx ends. Then every station is told to go
// away (1001), calls in work are finished within the drain time, and Run
// returns when nothing is left running. It may be called once.
func (g *Gateway) Run(ctx context.Context) error {
	work, abandon := context.WithCancel(context.WithoutCancel(ctx))
	defer abandon()
	var running sync.WaitGroup
	for open := true; open; {
		select {
		case a := <-g.arrivals:
			running.Go(func() { g.serve(work, a) })
		case <-ctx.Done():
			open = false
		}
	}
	close(g.stopping)
	g.closeAll()
	gone := make(chan struct{})
	go func() {
		running.Wait()
		close(gone)
	}()
	for range 2 {
		limit := time.NewTimer(g.drain)
		select {
		case <-gone:
			limit.Stop()
			return nil
		case <-limit.C:
			abandon() // what is in work is not waited for any longer
		}
	}
	return errUndrained
}

func (g *Gateway) closeAll() {
	g.mu.Lock()
	conns := g.conns
	g.conns = nil
	g.mu.Unlock()
	for c := range conns {
		c.Close(CloseGoingAway, "shutting down")
	}
}

// keep remembers a connection for the stop; it refuses one when stopping.
func (g *Gateway) keep(c *Conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.conns == nil {
		return false
	}
	g.conns[c] = struct{}{}
	return true
}

func (g *Gateway) forget(c *Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.conns, c)
}

// claim notes that a station has completed the handshake of a place in the
// order of admissions. Goroutines may go on in another order than that.
func (g *Gateway) claim(id evcs.ChargerID, place uint64) {
	g.placing.Lock()
	defer g.placing.Unlock()
	g.newest[id] = max(g.newest[id], place)
}

// put registers a session unless a newer connection of the station is there
// already; it returns the session that was replaced.
func (g *Gateway) put(s device.Session, place uint64) (old device.Session, newest bool) {
	g.placing.Lock()
	defer g.placing.Unlock()
	if g.newest[s.Identity().Charger] > place {
		return nil, false
	}
	return g.hub.Put(s), true
}

// serve is the life of one connection.
func (g *Gateway) serve(ctx context.Context, a arrival) {
	c := g.engine.NewConn(a.socket, Station{
		Name: a.id.DeviceID, Words: a.dialect.Words(), Heartbeat: a.id.Heartbeat,
		Heard: func(at time.Time) { g.presence.Heard(a.id, at) },
	})
	a.socket.conn = c
	if !g.keep(c) {
		a.socket.Close(CloseGoingAway, "shutting down")
		return
	}
	defer g.forget(c)
	s := a.dialect.Open(a.id, a.address, c)
	log := func() *slog.Logger { // made when it is needed, not kept for the life of the connection
		return g.engine.options.Log.With(slog.String("device", a.id.DeviceID), slog.String("address", a.address))
	}
	old, newest := g.put(s, a.place)
	if !newest {
		a.socket.Close(CloseNormal, "replaced by a newer connection")
		return
	}
	if old != nil {
		old.Close("replaced by a newer connection")
		log().Info("a newer connection replaces the old one", slog.String("before", old.Info().Address))
	}
	if err := g.connected(ctx, s); err != nil {
		log().Error("noting a connection failed", slog.Any("error", err))
	}
	err := c.run(ctx, s) // closeAll closes it, a context per connection is not needed
	reason := c.Reason()
	if reason == "" {
		reason = err.Error()
	}
	log().Info("a station is gone", slog.String("reason", reason))
	if !g.hub.Drop(s) {
		return // a newer connection is there
	}
	g.presence.Disconnected(ctx, s, reason)
}

// connected notes a connection in a goroutine of its own: what that grows its
// stack to would otherwise stay with the connection for its whole life.
func (g *Gateway) connected(ctx context.Context, s Session) error {
	done := make(chan error, 1)
	go func() { done <- g.presence.Connected(ctx, s) }()
	return <-done
}

// ServeHTTP judges the handshake of a station. Everything it refuses is listed
// with what to change, because wrong settings are found only from this side.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	k, no := g.judge(r)
	if no == nil {
		no = g.admit(r, &k)
	}
	if no != nil {
		g.refuse(w, r, k, no)
		return
	}
	place := g.places.Add(1)
	s, err := g.upgrade(w, r, k.dialect)
	if err != nil {
		g.engine.options.Log.Info("the handshake of a station failed",
			slog.String("device", k.id), slog.Any("error", err))
		return
	}
	g.claim(k.identity.Charger, place)
	select {
	case g.arrivals <- arrival{socket: s, dialect: k.dialect, id: k.identity, address: r.RemoteAddr, place: place}:
	case <-g.stopping:
		_ = s.ws.NetConn().Close() // the station comes back
	case <-r.Context().Done():
		_ = s.ws.NetConn().Close()
	}
}
