package ocpp16

import (
	"context"
	"fmt"
	"sync"

	"github.com/evcs/evcs/internal/device"
)

// platform is a Handler that remembers what it heard.
type platform struct {
	mu      sync.Mutex
	heard   []any
	err     error // of everything but Noted
	noted   []string
	started map[string]device.StartAnswer
}

func (p *platform) hear(m any) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		p.heard = append(p.heard, m)
	}
	return p.err
}

func (p *platform) last() any {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.heard) == 0 {
		return nil
	}
	return p.heard[len(p.heard)-1]
}

func (p *platform) Booted(_ context.Context, m device.Boot) error           { return p.hear(m) }
func (p *platform) StatusReported(_ context.Context, m device.Status) error { return p.hear(m) }
func (p *platform) Authorize(_ context.Context, m device.Authorize) (device.Authorization, error) {
	return device.Authorization{Status: device.TagAccepted}, p.hear(m)
}

func (p *platform) Started(_ context.Context, m device.Started) (device.StartAnswer, error) {
	if err := p.hear(m); err != nil {
		return device.StartAnswer{}, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.started == nil {
		p.started = map[string]device.StartAnswer{}
	}
	a, ok := p.started[m.Key]
	if !ok {
		n := int64(len(p.started) + 1)
		a = device.StartAnswer{Session: fmt.Sprint("S-", n), Transaction: n, Tag: device.TagAccepted}
		p.started[m.Key] = a
	}
	return a, nil
}

func (p *platform) Metered(_ context.Context, m device.Metered) (device.MeterAnswer, error) {
	return device.MeterAnswer{Accepted: len(m.Samples)}, p.hear(m)
}

func (p *platform) Stopped(_ context.Context, m device.Stopped) (device.StopAnswer, error) {
	return device.StopAnswer{Tag: device.TagAccepted}, p.hear(m)
}

func (p *platform) Noted(_ context.Context, m device.Note) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.noted = append(p.noted, m.Type)
	return nil
}
