package httpapi

import (
	"context"
	"net/http"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/auth"
	"github.com/evcs/evcs/internal/evcs"
)

// SecondFactor are the operations of the own second factor, and its reset for
// somebody who has lost it.
type SecondFactor struct {
	Own   *auth.Factors
	Write *auth.Registry
}

func (p SecondFactor) register(s *Server) {
	own := operation{Group: "auth", Access: anyUser}
	get := own
	get.ID, get.Method, get.Path, get.Summary = "getTotp", http.MethodGet, "/api/auth/totp", "State of the own second factor"
	register(s, get, p.get)

	own.Method, own.Secret, own.NoReplay = http.MethodPost, true, true
	enrol := own
	enrol.ID, enrol.Path, enrol.Summary = "enrolTotp", "/api/auth/totp/enrol", "Make the secret of a second factor"
	enrol.Description = "Secret and URI are shown only here; a client shows the URI as a QR code. Nothing is asked for at a sign-in until the enrolment is confirmed; " +
		"enrolling again before that replaces the secret. The password is asked for, so that a stolen token cannot lock its owner out."
	enrol.Errors = []evcs.Code{evcs.CodeOldPasswordWrong, evcs.CodeAccountLocked}
	register(s, enrol, p.enrol)

	confirm := own
	confirm.ID, confirm.Path, confirm.Summary = "confirmTotp", "/api/auth/totp/confirm", "Confirm the second factor with a code"
	confirm.Description = "From now on a sign-in needs a code of 6 digits (30 seconds, one step early or late; each code once) or one of the ten recovery codes, which are shown only " +
		"here. Present sign-ins stay. A wrong code counts towards the lockout."
	confirm.Errors = []evcs.Code{evcs.CodeAccountLocked}
	register(s, confirm, p.confirm)

	disable := own
	disable.ID, disable.Path, disable.Summary = "disableTotp", "/api/auth/totp/disable", "End the own second factor"
	disable.Description = "Needs the password and, of a confirmed second factor, a code or recovery code. Without a second factor nothing happens."
	disable.Errors = []evcs.Code{evcs.CodeOldPasswordWrong, evcs.CodeAccountLocked}
	register(s, disable, p.disable)

	register(s, operation{
		ID: "resetTotp", Method: http.MethodPost, Path: "/api/user/{userId}/totp/reset", Group: "user", Permission: "user:reset",
		Summary:     "Take the second factor from a user who has lost it",
		Description: "Ends his sign-ins as well. Only who holds everything the user holds may do it. Without a second factor nothing happens.",
		Errors:      []evcs.Code{evcs.CodeUserNotFound, evcs.CodeGrantExceedsOwn},
	}, p.reset)
}

func (p SecondFactor) get(ctx context.Context, a *evcs.Actor, _ *struct{}) (*api.SecondFactor, error) {
	f, err := p.Own.State(ctx, a)
	if err != nil || f == nil {
		return &api.SecondFactor{}, err
	}
	return &api.SecondFactor{
		Enabled: !f.Confirmed.IsZero(), Enrolled: f.Confirmed.IsZero(), ConfirmedTime: api.AtOrNil(f.Confirmed), RecoveryCodesLeft: len(f.Recovery),
	}, nil
}

func (p SecondFactor) enrol(ctx context.Context, a *evcs.Actor, in *struct{ Body api.EnrolTotp }) (*api.TotpEnrolment, error) {
	e, err := p.Own.Enrol(ctx, a, in.Body.Password)
	if err != nil {
		return nil, err
	}
	return &api.TotpEnrolment{Secret: e.Secret, URI: e.URI}, nil
}

func (p SecondFactor) confirm(ctx context.Context, a *evcs.Actor, in *struct{ Body api.ConfirmTotp }) (*api.RecoveryCodes, error) {
	codes, err := p.Own.Confirm(ctx, a, in.Body.Code)
	if err != nil {
		return nil, err
	}
	return &api.RecoveryCodes{RecoveryCodes: codes}, nil
}

func (p SecondFactor) disable(ctx context.Context, a *evcs.Actor, in *struct{ Body api.DisableTotp }) (*Null, error) {
	return nil, p.Own.Disable(ctx, a, in.Body.Password, in.Body.Code)
}

func (p SecondFactor) reset(ctx context.Context, a *evcs.Actor, in *userPath) (*Null, error) {
	return nil, p.Write.ResetFactor(ctx, a, in.UserID)
}
