package charging

import (
	"context"
	"errors"
	"time"

	"github.com/evcs/evcs/internal/device"
	"github.com/evcs/evcs/internal/station"
	"github.com/evcs/evcs/internal/tenant"
)

// Authorize says whether a tag may charge here now. A blocked tenant and a
// disabled charger are a no, not an error.
func (e *Engine) Authorize(ctx context.Context, m device.Authorize) (device.Authorization, error) {
	var a device.Authorization
	now := e.received(m.From)
	err := e.act(ctx, placeOf(m.Identity), e.Patient, remembered, func(tx Tx, s *site) error {
		a = device.Authorization{Status: device.TagBlocked}
		if err := keep(ctx, tx, m.From, "", ""); err != nil {
			return err
		}
		if s.chain.Blocked(now) != nil || !s.charger.Enabled || s.station.MayCharge() != nil {
			return nil //nolint:nilerr // a refusal is an answer
		}
		status, tag, err := s.judge(ctx, tx, m.IDTag, now)
		a.Status = status
		if tag != nil {
			a.Expires = tag.Expires
			if tag.Parent != nil {
				a.Parent = *tag.Parent
			}
		}
		return err
	})
	return a, err
}

// judge says what a tag is worth. A tag that went with a remote start is good
// on its charger; an unknown one is the tenant's policy.
func (s *site) judge(ctx context.Context, tx Tx, tag string, now time.Time) (device.TagStatus, *station.IDTag, error) {
	for _, r := range s.running {
		if r.order != nil && tagFor(r.order) == tag {
			return device.TagAccepted, nil, nil
		}
	}
	known, err := tx.Stations().IDTagByTag(ctx, s.tenant, tag)
	if errors.Is(err, station.ErrTagNotFound) {
		if s.settings.IDTagPolicy == tenant.AcceptAll {
			return device.TagAccepted, nil, nil
		}
		return device.TagUnknown, nil, nil
	}
	if err != nil {
		return device.TagUnknown, nil, err
	}
	switch known.Judge(now) {
	case "":
		return device.TagAccepted, known, nil
	case station.TagExpired:
		return device.TagExpired, known, nil
	default:
		return device.TagBlocked, known, nil
	}
}
