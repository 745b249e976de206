package auth

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/alexedwards/argon2id"
	"golang.org/x/crypto/argon2"

	"github.com/evcs/evcs/internal/evcs"
)

// The bounds of a password, in characters.
const (
	minPassword = 8
	maxPassword = 64
)

// Hasher hashes passwords with argon2id, 19 MiB and two passes each, at most
// two at once, so that a burst of sign-ins takes neither memory nor processors
// from the chargers.
type Hasher struct {
	slots  chan struct{}
	params argon2id.Params
	decoy  string // the hash of nobody's password
}

// NewHasher makes a Hasher.
func NewHasher() (*Hasher, error) {
	params := argon2id.Params{Memory: 19 * 1024, Iterations: 2, Parallelism: 1, SaltLength: 16, KeyLength: 32}
	// Any key will do for the decoy: nobody needs a password that fits it, and
	// none was hashed for it.
	var salt, key [32]byte
	rand.Read(salt[:]) // never fails
	rand.Read(key[:])  // never fails
	decoy := fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, params.Memory, params.Iterations, params.Parallelism,
		base64.RawStdEncoding.EncodeToString(salt[:params.SaltLength]), base64.RawStdEncoding.EncodeToString(key[:params.KeyLength]))
	return &Hasher{slots: make(chan struct{}, 2), params: params, decoy: decoy}, nil
}

// in runs f in one of the two slots.
func (h *Hasher) in(ctx context.Context, f func() error) error {
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
		return f()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Hash hashes a password.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	var hash string
	err := h.in(ctx, func() error {
		var err error
		hash, err = argon2id.CreateHash(password, &h.params)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("hash a password: %w", err)
	}
	return hash, nil
}

// verify compares a password with the hash of u; a nil u takes as long and is
// wrong. admit is asked in the slot, before the work: what it refuses is not
// compared. What a wrong password comes to is said by wrong, still in the slot,
// so that who guesses many at once is not faster than they are counted.
func (h *Hasher) verify(ctx context.Context, u *User, password string, admit, wrong func() error) error {
	return h.in(ctx, func() error {
		if err := admit(); err != nil {
			return err
		}
		hash := h.decoy
		if u != nil {
			hash = u.PasswordHash
		}
		match, err := argon2id.ComparePasswordAndHash(password, hash)
		if err == nil && (!match || u == nil) {
			err = wrong()
		}
		return err
	})
}

// Generate makes a password for somebody who will change it.
func Generate() string {
	text := rand.Text()
	return text[:5] + "-" + strings.ToLower(text[5:10]) + "-" + text[10:15]
}

// CheckPassword refuses with 6007 what the policy does not allow. field names
// the parameter in the faults.
func CheckPassword(field, password, username string) error {
	var faults []evcs.FieldFault
	fault := func(message string) {
		faults = append(faults, evcs.FieldFault{Field: field, Message: message})
	}
	lower := strings.ToLower(password)
	if n := utf8.RuneCountInString(password); n < minPassword || n > maxPassword {
		fault(fmt.Sprintf("must have %d to %d characters", minPassword, maxPassword))
	}
	if username != "" && strings.Contains(lower, strings.ToLower(username)) {
		fault("must not contain the username")
	}
	if common(lower) {
		fault("is one of the most common passwords")
	}
	if len(faults) == 0 {
		return nil
	}
	zh, _ := faults[0].Chinese()
	return evcs.WithDetail(ErrPassword, evcs.Detail{ZH: zh.Message, EN: faults[0].Message}, map[string]any{"errors": faults})
}

// common reports whether a password in small letters is one that everybody
// tries first: on the list, one character repeated, or a run along the keyboard.
func common(lower string) bool {
	if strings.Count(lower, lower[:min(1, len(lower))]) == len(lower) {
		return true
	}
	for _, run := range commonRuns {
		if strings.Contains(run, lower) {
			return true
		}
	}
	for word := range strings.FieldsSeq(commonPasswords) {
		if lower == word {
			return true
		}
	}
	return false
}

// commonRuns hold every run along the digits, the alphabet and the keyboard.
var commonRuns = []string{
	"01234567890123456789", "98765432109876543210", "abcdefghijklmnopqrstuvwxyz", "zyxwvutsrqponmlkjihgfedcba",
	"qwertyuiopasdfghjklzxcvbnm", "1qaz2wsx3edc4rfv5tgb6yhn7ujm", "1q2w3e4r5t6y7u8i9o0p", "qazwsxedcrfvtgbyhnujm",
}

// commonPasswords are those of eight characters and more that lists of leaked
// passwords lead with, and the habits of this trade.
const commonPasswords = `
	password password1 password12 password123 password1234 passw0rd p@ssw0rd p@ssword pass1234 passwort
	admin123 admin1234 admin12345 admin@123 administrator adminadmin root1234 rootroot letmein1 letmein123
	welcome1 welcome123 iloveyou iloveyou1 sunshine princess football baseball superman trustno1 starwars
	michael1 jennifer computer internet whatever dragon123 monkey123 shadow123 master123 charlie1 liverpool
	qwerty12 qwerty123 qwerty1234 qwer1234 asdf1234 zxcv1234 abc12345 abcd1234 abc123456 a1234567 a12345678
	a123456789 aa123456 aa12345678 123456aa 123456abc 123qwe123 qwe123456 woaini123 woaini520 woaini1314
	5201314520 520520520 13145200 11223344 12341234 12344321 123123123 147258369 159357456 88888888 66668888
	changeme changeme1 changeme123 default1 test1234 testtest guest123 user1234 secret123 system123 manager1
	charger1 charging evcs1234 evcs12345 evcsadmin`
