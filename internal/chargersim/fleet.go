package chargersim

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"sync"
	"time"

	"github.com/evcs/evcs/internal/chargersim/cloud"
	"github.com/evcs/evcs/internal/chargersim/journal"
	"github.com/evcs/evcs/internal/chargersim/ocpp16"
	"github.com/evcs/evcs/internal/chargersim/wire"
)

// Fleet is a number of chargers that live and end together.
type Fleet struct {
	cfg      Config
	units    []*unit
	byID     map[string]*Charger
	journal  *journal.Journal
	tally    *tally
	idleHTTP func()
}

// New builds a fleet, or returns every fault of its configuration. Simulated
// time begins now.
func New(cfg Config) (*Fleet, error) {
	cfg.Chargers = append([]ChargerConfig(nil), cfg.Chargers...)
	if err := cfg.prepare(); err != nil {
		return nil, fmt.Errorf("simulator: %w", err)
	}
	f := &Fleet{cfg: cfg, byID: map[string]*Charger{}, journal: journal.New(cfg.JournalLimit), tally: newTally()}
	transport := &http.Transport{
		DialContext: cfg.Dial, MaxIdleConnsPerHost: 2 * len(cfg.Chargers), MaxIdleConns: 0, IdleConnTimeout: time.Minute,
	}
	f.idleHTTP = transport.CloseIdleConnections
	line := newTimeline(cfg)
	for i, conf := range cfg.Chargers {
		u := newUnit(&f.cfg, conf, i, line, f.journal, f.tally)
		if conf.Protocol == CloudCharge {
			u.dial = cloud.Dial(cloud.Target{
				Address: cfg.HTTP, DeviceID: conf.DeviceID, Secret: conf.Secret, Accent: u.accent, Timeout: cfg.AnswerTimeout, Clock: cfg.Clock, Transport: transport,
			})
		} else {
			u.dial = ocpp16.Dial(ocpp16.Target{
				Address: cfg.Endpoint, DeviceID: conf.DeviceID, Secret: conf.Secret, Accent: u.accent, Clock: cfg.Clock, Net: cfg.Dial,
			})
		}
		f.units = append(f.units, u)
		f.byID[conf.DeviceID] = u.handle
	}
	return f, nil
}

// Run lives the lives of all chargers until ctx ends or, when the scenario has
// counted sessions or every charger was wound up, until all is told. It may be
// called once.
func (f *Fleet) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, u := range f.units {
		wg.Go(func() { u.run(ctx) })
	}
	wg.Wait()
	f.idleHTTP()
	left := 0
	for _, u := range f.units {
		left += len(u.queue)
	}
	if left > 0 {
		return fmt.Errorf("simulator: %d transaction messages were not answered: %w", left, context.Cause(ctx))
	}
	return nil
}

// Charger returns the charger with that id, or nil.
func (f *Fleet) Charger(id string) *Charger { return f.byID[id] }

// Chargers returns all chargers, in the order of the configuration.
func (f *Fleet) Chargers() []*Charger {
	all := make([]*Charger, len(f.units))
	for i, u := range f.units {
		all[i] = u.handle
	}
	return all
}

// Journal is the truth so far.
func (f *Fleet) Journal() *journal.Journal { return f.journal }

// WindUp ends all sessions and lets every charger tell what it has to tell; Run
// returns when that is done.
func (f *Fleet) WindUp(ctx context.Context) error {
	for _, u := range f.units {
		if err := u.handle.WindUp(ctx); err != nil && !errors.Is(err, ErrStopped) {
			return err
		}
	}
	return nil
}

// TagsRefused is the name under which Counts has the cards that the platform
// did not accept.
const TagsRefused = "tags refused"

// Counts are what happened how often: messages sent by action, answers, errors,
// connections, faults.
func (f *Fleet) Counts() map[string]int { return f.tally.all() }

// LastError is the last failure to connect, or nil.
func (f *Fleet) LastError() error {
	f.tally.mu.Lock()
	defer f.tally.mu.Unlock()
	return f.tally.err
}

type tally struct {
	mu     sync.Mutex
	counts map[string]int // guarded by mu
	err    error          // guarded by mu
}

func newTally() *tally { return &tally{counts: map[string]int{}} }

func (t *tally) count(what string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts[what]++
}

func (t *tally) sent(a wire.Action) { t.count("sent " + string(a)) }

func (t *tally) failed(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts["connections failed"]++
	t.err = err
}

func (t *tally) all() map[string]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.counts)
}
