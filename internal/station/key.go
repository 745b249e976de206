package station

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/tenant"
)

// Keys is the verbs of device credentials.
type Keys struct{ *Registry }

const (
	secretLength  = 32
	secretLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
)

// newSecret makes 32 random letters and digits.
func newSecret() (string, error) {
	secret := make([]byte, 0, secretLength)
	buffer := make([]byte, 2*secretLength)
	for len(secret) < secretLength {
		if _, err := rand.Read(buffer); err != nil {
			return "", fmt.Errorf("make a secret: %w", err)
		}
		for _, b := range buffer {
			if int(b) < 256/len(secretLetters)*len(secretLetters) && len(secret) < secretLength { // no letter more likely than another
				secret = append(secret, secretLetters[int(b)%len(secretLetters)])
			}
		}
	}
	return string(secret), nil
}

// fingerprint tells two secrets apart and gives neither away.
func fingerprint(secret string) string {
	sum := sha256.Sum256([]byte("evcs device secret\x00" + secret))
	return hex.EncodeToString(sum[:8])
}

// Issue makes a new secret and returns it, the only time it is ever shown. The
// old one stays valid for grace.
func (k Keys) Issue(ctx context.Context, a *evcs.Actor, id evcs.ChargerID, grace time.Duration) (*Charger, *Credential, string, error) {
	secret, err := newSecret()
	if err != nil {
		return nil, nil, "", err
	}
	sealed, err := k.Sealer.Seal([]byte(secret))
	if err != nil {
		return nil, nil, "", err
	}
	charger, made, err := k.change(ctx, a, id, func(c *Credential) error {
		now := k.Clock.Now()
		c.Previous, c.PreviousUntil = "", time.Time{}
		if c.Secret != "" && grace > 0 {
			c.Previous, c.PreviousUntil = c.Secret, now.Add(grace)
		}
		c.Secret, c.Fingerprint, c.ValidFrom = sealed, fingerprint(secret), now
		return nil
	})
	return charger, made, secret, err
}

// Configure changes how the charger proves itself. Profile 0, no proof at all,
// needs a list of allowed addresses.
func (k Keys) Configure(ctx context.Context, a *evcs.Actor, id evcs.ChargerID, change func(*Credential) error) (*Charger, *Credential, error) {
	return k.change(ctx, a, id, func(c *Credential) error {
		if err := change(c); err != nil {
			return err
		}
		if c.SecurityProfile == 0 && len(c.AllowCIDR) == 0 {
			return evcs.Invalid(evcs.FieldFault{Field: "allowCidr", Message: "is needed for security profile 0"})
		}
		return c.normalise()
	})
}

func (k Keys) change(ctx context.Context, a *evcs.Actor, id evcs.ChargerID, change func(*Credential) error) (charger *Charger, made *Credential, err error) {
	err = k.Transact(ctx, func(tx Tx) error {
		if charger, err = (Fleet{k.Registry}).load(ctx, tx, a, id, nil); err != nil {
			return err
		}
		scope := evcs.Only(charger.Tenant)
		if made, err = tx.Stations().Credential(ctx, scope, id); err != nil {
			return err
		}
		if err := change(made); err != nil {
			return err
		}
		made.Tenant, made.Updated = charger.Tenant, k.Clock.Now()
		if err := tx.Stations().PutCredential(ctx, scope, made); err != nil {
			return err
		}
		return k.audit(ctx, tx, a, tenant.DeviceCredential, charger.Tenant, "CHARGER", int64(id), map[string]any{"fingerprint": made.Fingerprint})
	})
	if err == nil {
		k.touch(id)
	}
	return charger, made, err
}

// Revoke removes the credential: the charger can no longer connect.
func (k Keys) Revoke(ctx context.Context, a *evcs.Actor, id evcs.ChargerID) error {
	err := k.Transact(ctx, func(tx Tx) error {
		c, err := (Fleet{k.Registry}).load(ctx, tx, a, id, nil)
		if err != nil {
			return err
		}
		if err := tx.Stations().DeleteCredential(ctx, evcs.Only(c.Tenant), id); err != nil {
			return err
		}
		return k.audit(ctx, tx, a, tenant.DeviceCredential, c.Tenant, "CHARGER", int64(id), map[string]any{"revoked": true})
	})
	if err == nil {
		k.touch(id)
	}
	return err
}

// Tags is the verbs of id tags.
type Tags struct{ *Registry }

// Create adds a tag; a taken one is 2016.
func (g Tags) Create(ctx context.Context, a *evcs.Actor, t IDTag) (*IDTag, error) {
	if err := tenant.Reach(a, t.Tenant, true); err != nil {
		return nil, err
	}
	var made IDTag
	err := g.Transact(ctx, func(tx Tx) error {
		made = t
		made.Created, made.Updated = g.Clock.Now(), g.Clock.Now()
		if err := freeTag(ctx, tx, &made); err != nil {
			return err
		}
		if err := tx.Stations().InsertIDTag(ctx, &made); err != nil {
			return err
		}
		return g.audit(ctx, tx, a, "CREATE_ID_TAG", made.Tenant, "ID_TAG", made.ID, map[string]any{"idTag": Mask(made.Tag)})
	})
	if err != nil {
		return nil, err
	}
	g.touch(0)
	return &made, nil
}

func freeTag(ctx context.Context, tx Tx, t *IDTag) error {
	other, err := tx.Stations().IDTagByTag(ctx, t.Tenant, t.Tag)
	if code, _, _ := evcs.Classify(err); err != nil {
		if code == evcs.CodeIDTagNotFound {
			return nil
		}
		return err
	}
	if other.ID == t.ID {
		return nil
	}
	return evcs.With(ErrTagExists, map[string]any{"idTag": t.Tag})
}

func (g Tags) load(ctx context.Context, tx Tx, a *evcs.Actor, id int64, want *int64) (*IDTag, error) {
	t, err := tx.Stations().IDTag(ctx, evcs.Subtree(a.Tenant), id)
	if err != nil {
		return nil, err
	}
	if err := tenant.Reach(a, t.Tenant, true); err != nil {
		return nil, err
	}
	return t, seen(want, t.Version)
}

// Update changes a tag; change is given the present one and alters it.
func (g Tags) Update(ctx context.Context, a *evcs.Actor, id int64, want *int64, change func(*IDTag) error) (*IDTag, error) {
	var made *IDTag
	err := g.Transact(ctx, func(tx Tx) error {
		t, err := g.load(ctx, tx, a, id, want)
		if err != nil {
			return err
		}
		if err := change(t); err != nil {
			return err
		}
		if err := freeTag(ctx, tx, t); err != nil {
			return err
		}
		t.Updated = g.Clock.Now()
		if err := tx.Stations().UpdateIDTag(ctx, evcs.Only(t.Tenant), t); err != nil {
			return err
		}
		made = t
		return g.audit(ctx, tx, a, "UPDATE_ID_TAG", t.Tenant, "ID_TAG", t.ID, map[string]any{"idTag": Mask(t.Tag)})
	})
	if err == nil {
		g.touch(0)
	}
	return made, err
}

// Delete removes a tag.
func (g Tags) Delete(ctx context.Context, a *evcs.Actor, id int64) error {
	err := g.Transact(ctx, func(tx Tx) error {
		t, err := g.load(ctx, tx, a, id, nil)
		if err != nil {
			return err
		}
		if err := tx.Stations().DeleteIDTag(ctx, evcs.Only(t.Tenant), t, g.Clock.Now()); err != nil {
			return err
		}
		return g.audit(ctx, tx, a, "DELETE_ID_TAG", t.Tenant, "ID_TAG", t.ID, map[string]any{"idTag": Mask(t.Tag)})
	})
	if err == nil {
		g.touch(0)
	}
	return err
}
