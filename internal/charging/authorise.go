package charging

import (
	"context"
	"time"

	"github.com/evcs/evcs/internal/device"
	"github.com/evcs/evcs/internal/station"
	"github.com/evcs/evcs/internal/tenant"
)

// Authorize says whether a tag may charge here now. A blocked tenant and a
// disabled charger are a no, not an error. It changes nothing, so what is
// remembered answers it; its evidence follows within a second.
func (e *Engine) Authorize(ctx context.Context, m device.Authorize) (device.Authorization, error) {
	now := e.received(m.From)
	if a, known := e.authorizeKnown(m, now); known {
		return a, e.note(ctx, m.From)
	}
	var a device.Authorization
	err := e.act(ctx, placeOf(m.Identity), e.Patient, proven, func(tx Tx, s *site) error {
		a = device.Authorization{}
		if err := keep(ctx, tx, m.From, "", ""); err != nil {
			return err
		}
		var card *station.IDTag
		if !s.remote(m.IDTag) {
			var err error
			if card, err = s.card(ctx, tx, m.IDTag); err != nil {
				return err
			}
		}
		a = s.authorization(m.IDTag, card, now)
		return nil
	})
	return a, err
}

// authorizeKnown is Authorize from memory, when all it needs is there.
func (e *Engine) authorizeKnown(m device.Authorize, now time.Time) (device.Authorization, bool) {
	u := e.unit(m.Identity.Charger)
	u.mu.Lock()
	defer u.mu.Unlock()
	s := u.known
	if s == nil || s.age != e.age.Load() || s.tenant != m.Identity.Tenant {
		return device.Authorization{}, false
	}
	if s.remote(m.IDTag) {
		return s.authorization(m.IDTag, nil, now), true
	}
	fact, known := e.memory.recall(s.mark, cardKey{s.tenant, m.IDTag})
	if !known {
		return device.Authorization{}, false
	}
	card, _ := fact.(*station.IDTag)
	return s.authorization(m.IDTag, card, now), true
}

func (s *site) authorization(tag string, card *station.IDTag, now time.Time) device.Authorization {
	if s.chain.Blocked(now) != nil || !s.charger.Enabled || s.station.MayCharge() != nil {
		return device.Authorization{Status: device.TagBlocked}
	}
	if s.remote(tag) {
		return device.Authorization{Status: device.TagAccepted}
	}
	a := device.Authorization{Status: s.worth(card, now)}
	if card != nil {
		a.Expires = card.Expires
		if card.Parent != nil {
			a.Parent = *card.Parent
		}
	}
	return a
}

// remote reports whether the tag goes with a start on this charger.
func (s *site) remote(tag string) bool {
	for _, r := range s.running {
		if r.order != nil && tagFor(r.order) == tag {
			return true
		}
	}
	return false
}

// judge says what a tag is worth. A tag that went with a remote start is good
// on its charger; an unknown one is the tenant's policy.
func (s *site) judge(ctx context.Context, tx Tx, tag string, now time.Time) (device.TagStatus, *station.IDTag, error) {
	if s.remote(tag) {
		return device.TagAccepted, nil, nil
	}
	card, err := s.card(ctx, tx, tag)
	if err != nil {
		return device.TagUnknown, nil, err
	}
	return s.worth(card, now), card, nil
}

func (s *site) worth(card *station.IDTag, now time.Time) device.TagStatus {
	if card == nil {
		if s.settings.IDTagPolicy == tenant.AcceptAll {
			return device.TagAccepted
		}
		return device.TagUnknown
	}
	switch card.Judge(now) {
	case "":
		return device.TagAccepted
	case station.TagExpired:
		return device.TagExpired
	default:
		return device.TagBlocked
	}
}

// maxFrames is how much evidence may wait; more is written at once.
const maxFrames = 2000

// note keeps the frame of what was told and changed nothing. It is written
// with others soon after.
func (e *Engine) note(ctx context.Context, f device.From) error {
	frame := f.Frame()
	frame.Raw = append([]byte(nil), frame.Raw...)
	e.mu.Lock()
	full := len(e.frames) >= maxFrames
	if !full {
		e.frames = append(e.frames, frame)
	}
	e.mu.Unlock()
	if full {
		return e.Patient(ctx, func(tx Tx) error { return tx.KeepFrame(ctx, frame) })
	}
	return nil
}

// evidence writes the frames that wait. What cannot be written waits on.
func (e *Engine) evidence(ctx context.Context) error {
	e.mu.Lock()
	list := e.frames
	e.frames = nil
	e.mu.Unlock()
	if len(list) == 0 {
		return nil
	}
	err := e.Patient(ctx, func(tx Tx) error {
		for _, f := range list {
			if err := tx.KeepFrame(ctx, f); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		e.mu.Lock()
		e.frames = append(list, e.frames...)
		e.mu.Unlock()
	}
	return err
}
