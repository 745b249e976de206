package charging

import (
	"context"
	"time"

	"github.com/evcs/evcs/internal/device"
	"github.com/evcs/evcs/internal/station"
)

// localList fills the list of id tags that a charger is to keep: all of its
// tenant's, or what changed since it last took one. A charger that never took
// one gets all.
func (s *site) localList(ctx context.Context, tx Tx, d *device.Command, full bool) error {
	var since time.Time
	if !full {
		last, err := tx.Commands().NewestAccepted(ctx, s.scope(), s.place.id, string(device.KindLocalList))
		if err != nil {
			return err
		}
		if last != nil {
			since = last.CreatedAt
		}
	}
	d.Full = since.IsZero()
	tags, err := tx.Stations().IDTagsSince(ctx, s.scope(), since)
	if err != nil {
		return err
	}
	for _, t := range tags {
		d.Tags = append(d.Tags, listed(t))
	}
	return nil
}

// listed words a tag for a charger's list; one that was deleted is taken off.
func listed(t station.ListedTag) device.Tag {
	out := device.Tag{Tag: t.Tag, Expires: t.Expires}
	switch {
	case t.Deleted:
		return out
	case t.Blocked:
		out.Status = device.TagBlocked
	default:
		out.Status = device.TagAccepted
	}
	if t.Parent != nil {
		out.Parent = *t.Parent
	}
	return out
}

// Noted keeps a message that changes nothing, or that ends what a command set
// in motion.
func (e *Engine) Noted(ctx context.Context, m device.Note) error {
	if m.Work == nil {
		return e.Patient(ctx, func(tx Tx) error { return keep(ctx, tx, m.From, "", m.Outcome) })
	}
	return e.act(ctx, placeOf(m.Identity), e.Urgent, remembered, func(tx Tx, s *site) error {
		if err := keep(ctx, tx, m.From, "", m.Outcome); err != nil {
			return err
		}
		return s.worked(ctx, tx, *m.Work, e.received(m.From))
	})
}

// worked ends the oldest open command of the kind that the device has said yes
// to; devices do not say which one they mean.
func (s *site) worked(ctx context.Context, tx Tx, w device.Work, now time.Time) error {
	open, err := tx.Commands().OpenCommands(ctx, s.scope(), s.place.id)
	if err != nil {
		return err
	}
	for _, c := range open {
		if c.Type == string(w.Kind) && c.Worked(w.Done, w.Word, now) {
			return s.saveCommand(ctx, tx, c, now)
		}
	}
	return nil
}
