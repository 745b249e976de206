package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"sync"
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
	now    func() time.Time
	mu     sync.RWMutex
	seen   map[[sha256.Size]byte]seenToken // guarded by mu
}

// seenToken is what a token with a right signature says, and until when it may
// say it. That does not change, so it is read once; whether its sign-in still
// holds is asked of the store, each time as before.
type seenToken struct {
	who bearerOf
	end time.Time
}

// Bounds of the tokens that are remembered: 100 bytes each.
const (
	maxSeen      = 20_000
	longestToken = 2048
)

var errShortSecret = fmt.Errorf("auth.jwtSecret must have at least %d bytes", minSecret)

func newSigner(secret []byte, clock evcs.Clock) (*signer, error) {
	if len(secret) < minSecret {
		return nil, errShortSecret
	}
	return &signer{secret: secret, now: clock.Now, seen: make(map[[sha256.Size]byte]seenToken), parser: jwt.NewParser(
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
	if len(token) > longestToken {
		seen, err := s.parse(token)
		return seen.who, err
	}
	hash := sha256.Sum256([]byte(token))
	s.mu.RLock()
	seen, ok := s.seen[hash]
	s.mu.RUnlock()
	if ok && s.now().Before(seen.end) {
		return seen.who, nil
	}
	seen, err := s.parse(token)
	if err != nil {
		return bearerOf{}, err
	}
	s.remember(hash, seen)
	return seen.who, nil
}

// parse checks the signature, the times and the words of a token.
func (s *signer) parse(token string) (seenToken, error) {
	var c claims
	if _, err := s.parser.ParseWithClaims(token, &c, func(*jwt.Token) (any, error) { return s.secret, nil }); err != nil {
		if errors.Is(err, jwt.ErrTokenExpired) {
			return seenToken{}, ErrTokenExpired
		}
		return seenToken{}, ErrUnauthenticated
	}
	id, err := strconv.ParseInt(c.Subject, 10, 64)
	if err != nil || id <= 0 || c.TenantID <= 0 || c.SignIn == "" {
		return seenToken{}, ErrUnauthenticated
	}
	return seenToken{who: bearerOf{evcs.UserID(id), evcs.TenantID(c.TenantID), c.SignIn}, end: c.ExpiresAt.Time}, nil
}

// remember keeps what a token says. When there is no room, those whose time is
// over go, and then any.
func (s *signer) remember(hash [sha256.Size]byte, seen seenToken) {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.seen) >= maxSeen {
		for old, is := range s.seen {
			if len(s.seen) >= maxSeen || !now.Before(is.end) {
				delete(s.seen, old)
			}
		}
	}
	s.seen[hash] = seen
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
