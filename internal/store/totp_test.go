package store_test

import (
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/evcs/evcs/internal/auth"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/store"
	"github.com/evcs/evcs/internal/store/storetest"
	"github.com/evcs/evcs/internal/tenant"
)

// phone is an authenticator that was shown an enrolment.
type phone struct {
	*house
	t      *testing.T
	secret string
}

func (p phone) code(after time.Duration) string {
	p.t.Helper()
	code, err := totp.GenerateCode(p.secret, p.clock.Now().Add(after))
	if err != nil {
		p.t.Fatal(err)
	}
	return code
}

func (p phone) enter(code string) error {
	_, err := p.guard.SignIn(p.t.Context(), "admin@tenant1", auth.Proof{Password: rightPassword, Code: code}, auth.From{Address: "127.0.0.1"})
	return err
}

// armed enrols and confirms a second factor of the administrator.
func (h *house) armed(t *testing.T) (p phone, a *evcs.Actor, recovery []string) {
	t.Helper()
	factors := &auth.Factors{Guard: h.guard}
	_, a = h.enter(t, "admin@tenant1")
	enrolled, err := factors.Enrol(t.Context(), a, rightPassword)
	if err != nil {
		t.Fatal(err)
	}
	p = phone{h, t, enrolled.Secret}
	if recovery, err = factors.Confirm(t.Context(), a, p.code(0)); err != nil || len(recovery) != 10 {
		t.Fatalf("confirm: %v, %v", recovery, err)
	}
	return p, a, recovery
}

// totpRequired reports whether the refusal says that only the code is missing.
func totpRequired(err error) bool {
	code, data, _ := evcs.Classify(err)
	return code == evcs.CodeBadCredentials && data["totpRequired"] == true
}

func TestEnrolmentOfASecondFactor(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h, ctx := found(t, db), t.Context()
		factors := &auth.Factors{Guard: h.guard}
		_, admin := h.enter(t, "admin@tenant1")
		if _, err := factors.Enrol(ctx, admin, "wrong"); !errors.Is(err, auth.ErrOldPassword) {
			t.Errorf("enrolment with a wrong password: %v", err)
		}
		if _, err := factors.Confirm(ctx, admin, "123456"); !errors.Is(err, evcs.ErrInvalid) {
			t.Errorf("confirmation of nothing: %v", err)
		}
		first, err := factors.Enrol(ctx, admin, rightPassword)
		if err != nil {
			t.Fatal(err)
		}
		second, err := factors.Enrol(ctx, admin, rightPassword)
		if err != nil || second.Secret == first.Secret {
			t.Fatalf("a second enrolment: %v", err)
		}
		if u, err := url.Parse(second.URI); err != nil || u.Scheme != "otpauth" || u.Query().Get("secret") != second.Secret || !strings.Contains(u.Path, "admin@tenant1") {
			t.Errorf("URI %s: %v", second.URI, err)
		}
		h.enter(t, "admin@tenant1") // not confirmed: not asked for
		if _, err := factors.Confirm(ctx, admin, (phone{h, t, first.Secret}).code(0)); !errors.Is(err, evcs.ErrInvalid) {
			t.Errorf("a code of the replaced secret: %v", err)
		}
		p := phone{h, t, second.Secret}
		if _, err := factors.Confirm(ctx, admin, p.code(0)); err != nil {
			t.Fatal(err)
		}
		if f, err := factors.State(ctx, admin); err != nil || f.Confirmed.IsZero() || len(f.Recovery) != 10 || strings.Contains(f.Sealed, p.secret) {
			t.Errorf("state: %+v, %v", f, err)
		}
		if _, err := factors.Enrol(ctx, admin, rightPassword); !errors.Is(err, evcs.ErrInvalid) {
			t.Errorf("enrolment over a confirmed one: %v", err)
		}
		h.clock.pass(time.Minute)
		if err := factors.Disable(ctx, admin, rightPassword, "000000"); !errors.Is(err, evcs.ErrInvalid) {
			t.Errorf("disabled with a wrong code: %v", err)
		}
		if err := factors.Disable(ctx, admin, "wrong", p.code(0)); !errors.Is(err, auth.ErrOldPassword) {
			t.Errorf("disabled with a wrong password: %v", err)
		}
		if err := factors.Disable(ctx, admin, rightPassword, p.code(0)); err != nil {
			t.Fatal(err)
		}
		h.enter(t, "admin@tenant1")
		if err := factors.Disable(ctx, admin, rightPassword, ""); err != nil {
			t.Errorf("disabled again: %v", err)
		}
		if rows := changesOf(t, db, "secondFactor"); strings.Join(rows, " ") != "disabled confirmed enrolled enrolled" {
			t.Errorf("audit, newest first: %q", rows)
		}
	})
}

// changesOf are the values after each audited change of a detail, newest first.
func changesOf(t *testing.T, db *store.DB, detail string) []string {
	t.Helper()
	page, err := db.Reader().Tenants().AuditPage(t.Context(), evcs.Subtree(1), tenant.AuditWanted{}, evcs.PageRequest{Size: 100})
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, row := range page.Records {
		text, err := json.Marshal(row.Details)
		if err != nil {
			t.Fatal(err)
		}
		var details map[string]json.RawMessage
		var change struct{ Before, After string }
		if json.Unmarshal(text, &details) == nil && details[detail] != nil && json.Unmarshal(details[detail], &change) == nil {
			list = append(list, change.After)
		}
	}
	return list
}

func TestSignInWithASecondFactor(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := found(t, db)
		p, admin, recovery := h.armed(t)
		if _, err := h.guard.SignIn(t.Context(), "admin@tenant1", auth.Proof{Password: "wrong", Code: p.code(30 * time.Second)}, auth.From{}); !errors.Is(err, auth.ErrBadCredentials) || totpRequired(err) {
			t.Errorf("a wrong password tells of the second factor: %v", err)
		}
		if err := p.enter(""); !totpRequired(err) {
			t.Errorf("no code: %v", err)
		}
		if err := p.enter(p.code(0)); !totpRequired(err) {
			t.Errorf("the code of the confirmation once more: %v", err)
		}
		h.clock.pass(time.Minute)
		if err := p.enter(p.code(-time.Minute)); !totpRequired(err) {
			t.Errorf("a code two steps late: %v", err)
		}
		if err := p.enter(p.code(0)); err != nil {
			t.Fatal(err)
		}
		if err := p.enter(p.code(-30 * time.Second)); !totpRequired(err) {
			t.Errorf("the code before one that was taken: %v", err)
		}
		if err := p.enter(p.code(30 * time.Second)); err != nil {
			t.Errorf("a code one step early: %v", err)
		}
		for i, code := range []string{recovery[3], strings.ToLower(strings.ReplaceAll(recovery[4], "-", " "))} {
			if err := p.enter(code); err != nil {
				t.Errorf("recovery code %d: %v", i, err)
			}
			if err := p.enter(code); !totpRequired(err) {
				t.Errorf("recovery code %d once more: %v", i, err)
			}
		}
		if f, err := (&auth.Factors{Guard: h.guard}).State(t.Context(), admin); err != nil || len(f.Recovery) != 8 {
			t.Errorf("recovery codes left: %+v, %v", f, err)
		}
	})
}

func TestWrongCodesLockTheAccount(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h, ctx := found(t, db), t.Context()
		p, admin, _ := h.armed(t)
		h.clock.pass(time.Minute)
		var wait sync.WaitGroup
		refusals := make([]error, 20)
		for i := range refusals {
			wait.Go(func() { refusals[i] = p.enter("000000") })
		}
		wait.Wait()
		judged := 0
		for _, err := range refusals {
			switch {
			case totpRequired(err):
				judged++
			case err == nil:
				t.Fatal("a guess was right")
			}
		}
		if judged > 5 {
			t.Errorf("%d guesses were judged at once, 5 are allowed", judged)
		}
		for range 5 - judged { // those that gave up for the others
			if err := p.enter("000000"); err == nil {
				t.Fatal("a guess was right")
			}
		}
		if err := p.enter(p.code(0)); !errors.Is(err, auth.ErrLocked) {
			t.Errorf("the right code while locked: %v", err)
		}
		if err := (&auth.Factors{Guard: h.guard}).Disable(ctx, admin, rightPassword, p.code(0)); !errors.Is(err, auth.ErrLocked) {
			t.Errorf("disabled while locked: %v", err)
		}
		h.clock.pass(16 * time.Minute)
		if err := p.enter(p.code(0)); err != nil {
			t.Errorf("after the lock: %v", err)
		}
	})
}

// A code that several sign-ins show at the same time lets one of them in.
func TestACodeIsTakenOnce(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := found(t, db)
		p, _, recovery := h.armed(t)
		h.clock.pass(time.Minute)
		for _, code := range []string{p.code(0), recovery[0]} {
			var wait sync.WaitGroup
			in := make([]error, 4)
			for i := range in {
				wait.Go(func() { in[i] = p.enter(code) })
			}
			wait.Wait()
			entered := 0
			for _, err := range in {
				if err == nil {
					entered++
				}
			}
			if entered != 1 {
				t.Errorf("%d sign-ins with one code: %v", entered, in)
			}
		}
	})
}

func TestALostSecondFactorIsReset(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h, ctx := found(t, db), t.Context()
		_, admin, _ := h.armed(t)
		clerk, err := h.reg.CreateUser(ctx, admin, auth.NewUser{Tenant: 1, Username: "clerk", Password: rightPassword, Roles: []string{"OPERATOR"}})
		if err != nil {
			t.Fatal(err)
		}
		_, weak := h.enter(t, "clerk@tenant1")
		if err := h.reg.ResetFactor(ctx, weak, admin.User); !errors.Is(err, auth.ErrGrant) {
			t.Errorf("reset by somebody who holds less: %v", err)
		}
		if err := h.reg.ResetFactor(ctx, admin, clerk.ID); err != nil {
			t.Errorf("reset of none: %v", err)
		}
		if err := h.reg.ResetFactor(ctx, admin, admin.User); err != nil {
			t.Fatal(err)
		}
		h.enter(t, "admin@tenant1")
		if rows := changesOf(t, db, "secondFactor"); len(rows) != 3 || rows[0] != "reset" {
			t.Errorf("audit, newest first: %q", rows)
		}
		if err := h.reg.ResetFactor(ctx, admin, 999); !errors.Is(err, auth.ErrUserNotFound) {
			t.Errorf("reset of nobody: %v", err)
		}
	})
}
