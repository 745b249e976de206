package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
	"github.com/pquerna/otp/totp"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/tenant"
)

const (
	// factorIssuer is what an authenticator shows beside the account.
	factorIssuer = "EVCS"
	// stepLength is how long a code is shown; the one before and the one after
	// are taken as well.
	stepLength = 30 * time.Second
	stepSlack  = 1
	// recoveryCodes is how many are given out at the confirmation.
	recoveryCodes = 10
	// recoveryLetters of base32 are 70 bits; with two dashes 16 characters.
	recoveryLetters = 14
)

// ErrSecondFactor is 6001 after a right password: the code of the second factor
// is missing or wrong. Its data say so; they give nothing away, for who gets
// them has just proved that he knows the password.
var ErrSecondFactor = evcs.NewError(evcs.CodeBadCredentials, "the code of the second factor is missing or wrong")

// Factor is the second factor of a user: a secret that his authenticator makes
// codes of, and recovery codes for when it is lost.
type Factor struct {
	User      evcs.UserID
	Tenant    evcs.TenantID
	Sealed    string    // the secret
	Confirmed time.Time // zero: enrolled, not yet asked for
	LastStep  int64     // time step of the last code taken; none up to it is taken again
	Recovery  []string  // hashes of the codes that are left
	Created   time.Time
	Version   int64
}

// FactorStore keeps second factors.
type FactorStore interface {
	// Factor is the second factor of a user within scope, confirmed or not; nil
	// when he has none.
	Factor(ctx context.Context, scope evcs.Scope, id evcs.UserID) (*Factor, error)
	// InsertFactor writes an unconfirmed one; evcs.ErrStale when there is one.
	InsertFactor(ctx context.Context, f *Factor) error
	// UpdateFactor writes every field; it compares the version.
	UpdateFactor(ctx context.Context, f *Factor) error
	// DeleteFactor ends it; it compares the version.
	DeleteFactor(ctx context.Context, f *Factor) error
}

// spend reports whether code is right at now and makes it useless: a code of
// the authenticator with all before it, a recovery code by itself.
func (f *Factor) spend(secret, code string, now time.Time) (bool, error) {
	code = strings.ToUpper(strings.NewReplacer(" ", "", "-", "").Replace(code))
	if len(code) == recoveryLetters && !f.Confirmed.IsZero() {
		if at := slices.Index(f.Recovery, f.hash(code)); at >= 0 {
			f.Recovery = slices.Delete(f.Recovery, at, at+1)
			return true, nil
		}
		return false, nil
	}
	present := now.Unix() / int64(stepLength/time.Second)
	for step := present - stepSlack; step <= present+stepSlack; step++ {
		want, err := hotp.GenerateCodeCustom(secret, uint64(max(step, 0)), hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
		if err != nil {
			return false, fmt.Errorf("make a code: %w", err)
		}
		if step > f.LastStep && subtle.ConstantTimeCompare([]byte(want), []byte(code)) == 1 {
			f.LastStep = step
			return true, nil
		}
	}
	return false, nil
}

// hash keeps a recovery code; the user is in it, so that equal codes differ.
func (f *Factor) hash(code string) string { return digest(fmt.Sprintf("totp/%d/%s", f.User, code)) }

// arm gives out new recovery codes and keeps their hashes.
func (f *Factor) arm() []string {
	codes := make([]string, recoveryCodes)
	f.Recovery = make([]string, recoveryCodes)
	for i := range codes {
		text := rand.Text()[:recoveryLetters]
		f.Recovery[i] = f.hash(text)
		codes[i] = text[:5] + "-" + text[5:10] + "-" + text[10:]
	}
	return codes
}

// second refuses a sign-in without the right code of a confirmed second
// factor. What it counts is part of tx, also when it refuses.
func (g *Guard) second(ctx context.Context, tx Tx, u *User, code string, now time.Time) (refusal, err error) {
	f, err := tx.Auth().Factor(ctx, evcs.Only(u.Tenant), u.ID)
	if err != nil || f == nil || f.Confirmed.IsZero() {
		return nil, err
	}
	return g.try(ctx, tx, u, f, code, now)
}

// try judges a code in tx: a right one is spent, a wrong one counts towards the
// lockout. The version of f is compared either way, so that of several tries at
// the same time each sees what the one before it counted.
func (g *Guard) try(ctx context.Context, tx Tx, u *User, f *Factor, code string, now time.Time) (refusal, err error) {
	failures, err := tx.Auth().Failures(ctx, AccountKey(u.ID))
	if err != nil {
		return nil, err
	}
	if locked := failures.locked(now); locked != nil {
		return locked, nil
	}
	if g.cfg.Sealer == nil {
		return nil, ErrSealed
	}
	secret, err := g.cfg.Sealer.Open(f.Sealed)
	if err != nil {
		return nil, fmt.Errorf("second factor of user %d: %w", u.ID, err)
	}
	right, err := f.spend(string(secret), code, now)
	if err != nil {
		return nil, err
	}
	if err := tx.Auth().UpdateFactor(ctx, f); err != nil {
		return nil, err
	}
	if right {
		return nil, nil
	}
	return evcs.With(ErrSecondFactor, map[string]any{"totpRequired": true}), g.count(ctx, tx, u, AccountKey(u.ID), now)
}

// Factors has what a user does with his own second factor. Its secret and its
// recovery codes are shown once, when they are made.
type Factors struct{ Guard *Guard }

// Enrolment is what an authenticator needs, as text and as an otpauth URI.
type Enrolment struct{ Secret, URI string }

// State is the second factor of the actor; nil when he has none.
func (s *Factors) State(ctx context.Context, a *evcs.Actor) (*Factor, error) {
	return s.Guard.cfg.Read.Factor(ctx, evcs.Only(a.Tenant), a.User)
}

// Enrol makes a new secret after checking the password (6008, which counts
// towards the lockout). It replaces one that was not confirmed; a confirmed one
// has to be disabled first (9400).
func (s *Factors) Enrol(ctx context.Context, a *evcs.Actor, password string) (*Enrolment, error) {
	u, err := s.Guard.prove(ctx, a, password, tenant.Updated(tenant.KindUser))
	if err != nil {
		return nil, err
	}
	key, err := totp.Generate(totp.GenerateOpts{Issuer: factorIssuer, AccountName: u.Identifier, SecretSize: 20})
	if err != nil {
		return nil, fmt.Errorf("make a secret: %w", err)
	}
	if s.Guard.cfg.Sealer == nil {
		return nil, ErrSealed
	}
	sealed, err := s.Guard.cfg.Sealer.Seal([]byte(key.Secret()))
	if err != nil {
		return nil, err
	}
	err = s.change(ctx, a, "enrol a second factor", func(tx Tx, u *User, f *Factor, now time.Time) (string, error) {
		switch {
		case f == nil:
			return "enrolled", tx.Auth().InsertFactor(ctx, &Factor{User: u.ID, Tenant: u.Tenant, Sealed: sealed, Created: now})
		case !f.Confirmed.IsZero():
			return "", evcs.Invalid(evcs.FieldFault{Field: "secondFactor", Message: "is confirmed already: disable it first"})
		}
		f.Sealed, f.LastStep, f.Created = sealed, 0, now
		return "enrolled", tx.Auth().UpdateFactor(ctx, f)
	})
	if err != nil {
		return nil, err
	}
	return &Enrolment{key.Secret(), key.URL()}, nil
}

// Confirm makes sign-ins ask for the second factor once a code proves that the
// authenticator has the secret, and returns the recovery codes. A wrong code is
// 9400 and counts towards the lockout.
func (s *Factors) Confirm(ctx context.Context, a *evcs.Actor, code string) ([]string, error) {
	var codes []string
	var refusal error
	err := s.change(ctx, a, "confirm a second factor", func(tx Tx, u *User, f *Factor, now time.Time) (string, error) {
		refusal = nil
		if f == nil || !f.Confirmed.IsZero() {
			return "", evcs.Invalid(evcs.FieldFault{Field: "code", Message: "there is no second factor to confirm: enrol one first"})
		}
		var err error
		if refusal, err = s.Guard.try(ctx, tx, u, f, code, now); refusal != nil || err != nil {
			return "", err
		}
		f.Confirmed = now
		codes = f.arm()
		return "confirmed", tx.Auth().UpdateFactor(ctx, f)
	})
	if err := errors.Join(err, wrongCode(refusal)); err != nil {
		return nil, err
	}
	return codes, nil
}

// wrongCode is a refused code of a user who is signed in already.
func wrongCode(refusal error) error {
	if errors.Is(refusal, ErrSecondFactor) {
		return evcs.Invalid(evcs.FieldFault{Field: "code", Message: "is not a valid code"})
	}
	return refusal
}

// Disable ends the second factor after checking the password (6008) and, when it
// is confirmed, a code or recovery code (9400); both count towards the lockout.
// Without a second factor nothing happens.
func (s *Factors) Disable(ctx context.Context, a *evcs.Actor, password, code string) error {
	if _, err := s.Guard.prove(ctx, a, password, tenant.Updated(tenant.KindUser)); err != nil {
		return err
	}
	var refusal error
	err := s.change(ctx, a, "disable the second factor", func(tx Tx, u *User, f *Factor, now time.Time) (string, error) {
		refusal = nil
		if f == nil {
			return "", nil
		}
		if !f.Confirmed.IsZero() {
			var err error
			if refusal, err = s.Guard.try(ctx, tx, u, f, code, now); refusal != nil || err != nil {
				return "", err
			}
		}
		return "disabled", errors.Join(tx.Auth().DeleteFactor(ctx, f), tx.Auth().Clear(ctx, AccountKey(u.ID)))
	})
	return errors.Join(err, wrongCode(refusal))
}

// change runs f on the actor and his second factor and audits what f says was
// done; "" was nothing.
func (s *Factors) change(ctx context.Context, a *evcs.Actor, what string, f func(Tx, *User, *Factor, time.Time) (string, error)) error {
	now := s.Guard.cfg.Clock.Now()
	err := s.Guard.cfg.Transact(ctx, func(tx Tx) error {
		u, err := tx.Auth().User(ctx, evcs.Only(a.Tenant), a.User)
		if err != nil {
			return err
		}
		factor, err := tx.Auth().Factor(ctx, evcs.Only(a.Tenant), a.User)
		if err != nil {
			return err
		}
		before := factor.state()
		done, err := f(tx, u, factor, now)
		if err != nil || done == "" {
			return err
		}
		u.Updated = now
		return tenant.Audit(ctx, tx.Tenants(), a, userRow(u, tenant.Updated(tenant.KindUser), factorDetails(before, done)))
	})
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// state is the word of the audit record for a second factor.
func (f *Factor) state() string {
	switch {
	case f == nil:
		return "none"
	case f.Confirmed.IsZero():
		return "enrolled"
	}
	return "confirmed"
}

func factorDetails(before, after string) map[string]any {
	return map[string]any{"secondFactor": map[string]any{"before": before, "after": after}}
}

// ResetFactor takes the second factor from a user who has lost it, with his
// sign-ins. Only who holds all the user holds may do it. Without a second factor
// nothing happens.
func (r *Registry) ResetFactor(ctx context.Context, a *evcs.Actor, id evcs.UserID) error {
	_, err := r.change(ctx, a, id, "reset the second factor", func(tx Tx, u *User, chain tenant.Chain) error {
		if err := mayGrantRoles(a, u.Roles, chain.Self().Type == tenant.Platform); err != nil {
			return err
		}
		f, err := tx.Auth().Factor(ctx, evcs.Only(u.Tenant), u.ID)
		if err != nil || f == nil {
			return err
		}
		if err := tx.Auth().DeleteFactor(ctx, f); err != nil {
			return err
		}
		if err := tx.Auth().RevokeAll(ctx, u, "", u.Updated); err != nil {
			return err
		}
		return tenant.Audit(ctx, tx.Tenants(), a, userRow(u, tenant.Updated(tenant.KindUser), factorDetails(f.state(), "reset")))
	})
	return err
}
