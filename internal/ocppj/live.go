package ocppj

import (
	"errors"
	"log/slog"
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

// errEnded ends the reading of a connection that this side has closed.
var errEnded = errors.New("the connection was closed by this side")

// admit takes a token of the rate limit for one message, and waits for it when
// there is none: a station that sends too fast is read more slowly, and slows
// nobody else. It reports false when the connection is over.
func (c *Conn) admit(now time.Time) bool {
	if c.limiter.AllowN(now, 1) {
		c.flooding = time.Time{}
		return true
	}
	o := &c.engine.options
	c.engine.counters.Throttled.Add(1)
	if c.flooding.IsZero() {
		c.flooding = now
	}
	if now.Sub(c.flooding) >= o.Flood {
		c.engine.counters.Flooded.Add(1)
		o.Log.Warn("a station floods", slog.String("device", c.station.Name))
		c.Close(ClosePolicy, "too many messages")
		return false
	}
	// The debt of a full reservation is taken at once, so that a flood is paced
	// by one sleep per token and not by many short ones.
	wait := time.NewTimer(c.limiter.ReserveN(now, 1).DelayFrom(now))
	defer wait.Stop()
	select {
	case <-wait.C:
		return true
	case <-c.done:
		return false
	}
}

// Control is called by the transport, from the goroutine that reads, for every
// ping of the station. It is a sign of life and counts as a message against
// the rate limit. An error ends the connection.
func (c *Conn) Control() error {
	now := c.engine.options.Clock.Now()
	if !c.admit(now) {
		return errEnded
	}
	c.hear(now)
	return nil
}

// Pong is Control for a pong: this station answers pings.
func (c *Conn) Pong() error {
	c.ponged.Store(true)
	return c.Control()
}

func (c *Conn) hear(now time.Time) {
	c.last.Store(evcs.Millis(now))
	if c.station.Heard != nil {
		c.station.Heard(now)
	}
}

func (c *Conn) startBeat() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.beat = time.AfterFunc(c.engine.options.Ping, func() { c.spawn(c.check) })
}

// check pings a silent station and closes a dead one.
func (c *Conn) check() {
	o := &c.engine.options
	silent := o.Clock.Now().Sub(evcs.FromMillis(c.last.Load()))
	limit := max(o.Silence, 3*c.station.Heartbeat)
	if !c.ponged.Load() {
		limit *= 3
	}
	next := o.Ping
	switch {
	case silent >= limit:
		c.engine.counters.Dead.Add(1)
		c.Close(CloseGoingAway, "nothing was heard")
		return
	case silent >= o.Ping:
		c.writing.Lock()
		err := c.transport.Ping()
		c.writing.Unlock()
		if err != nil {
			c.fail(err)
			return
		}
	default:
		next -= max(silent, 0)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ended {
		c.beat.Reset(next)
	}
}
