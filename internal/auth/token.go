package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/evcs/evcs/internal/evcs"
)

const (
	issuer   = "evcsd"
	audience = "evcs"
	// minSecret is the least length of the signing secret, in bytes.
	minSecret = 32
	// refreshPrefix begins a refresh token, keyPrefix an API key.
	refreshPrefix = "r1_"
	keyPrefix     = "evcs_"
	keyLetters    = 43
)

// claims are what an access token says: who asks and by which sign-in. What he
// may do is in the store.
type claims struct {
	jwt.RegisteredClaims
	TenantID          int64  `json:"tenantId"`
	SignIn            string `json:"sid"`
	PermissionVersion int64  `json:"pv"`
}

// signer makes and reads access tokens (JWT, HS256).
type signer struct {
	secret []byte
	parser *jwt.Parser
}

var errShortSecret = fmt.Errorf("auth.jwtSecret must have at least %d bytes", minSecret)

func newSigner(secret []byte, clock evcs.Clock) (*signer, error) {
	if len(secret) < minSecret {
		return nil, errShortSecret
	}
	return &signer{secret: secret, parser: jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), jwt.WithIssuer(issuer), jwt.WithAudience(audience),
		jwt.WithExpirationRequired(), jwt.WithTimeFunc(clock.Now),
	)}, nil
}

// sign makes the access token of a sign-in.
func (s *signer) sign(u *User, signIn string, at, end time.Time) (string, error) {
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: issuer, Audience: jwt.ClaimStrings{audience}, Subject: strconv.FormatInt(int64(u.ID), 10), ID: rand.Text(),
			IssuedAt: jwt.NewNumericDate(at), ExpiresAt: jwt.NewNumericDate(end),
		},
		TenantID: int64(u.Tenant), SignIn: signIn, PermissionVersion: u.PermissionVersion,
	}).SignedString(s.secret)
	if err != nil {
		return "", fmt.Errorf("sign an access token: %w", err)
	}
	return token, nil
}

// bearerOf is who a right token belongs to.
type bearerOf struct {
	user   evcs.UserID
	tenant evcs.TenantID
	signIn string
}

// read checks a token: 6003 when only its time is over, else 6006.
func (s *signer) read(token string) (bearerOf, error) {
	var c claims
	if _, err := s.parser.ParseWithClaims(token, &c, func(*jwt.Token) (any, error) { return s.secret, nil }); err != nil {
		if errors.Is(err, jwt.ErrTokenExpired) {
			return bearerOf{}, ErrTokenExpired
		}
		return bearerOf{}, ErrUnauthenticated
	}
	id, err := strconv.ParseInt(c.Subject, 10, 64)
	if err != nil || id <= 0 || c.TenantID <= 0 || c.SignIn == "" {
		return bearerOf{}, ErrUnauthenticated
	}
	return bearerOf{evcs.UserID(id), evcs.TenantID(c.TenantID), c.SignIn}, nil
}

// digest is what the store keeps of a secret that is long and random.
func digest(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// newSecret is a prefix and n random letters and digits, at least 200 bits for
// the lengths in use.
func newSecret(prefix string, n int) string {
	text := ""
	for len(text) < n {
		text += rand.Text()
	}
	return prefix + text[:n]
}
