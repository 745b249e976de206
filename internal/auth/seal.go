package auth

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// sealedV1 begins what Seal makes, sealedV2 what SealFor makes.
const (
	sealedV1 = "v1:"
	sealedV2 = "v2:"
)

// ErrSealed says that a sealed text is damaged or was sealed with another key.
var ErrSealed = errors.New("the sealed secret cannot be opened with this key")

// Sealer keeps secrets that must be read again (device and merchant secrets)
// out of plain sight in the store: AES-256-GCM under one key of the
// installation.
type Sealer struct {
	aead cipher.AEAD
	name string // of the key, in what SealFor makes
}

// NewSealer makes a Sealer of a 32-byte key.
func NewSealer(key [32]byte) (*Sealer, error) {
	aead, err := gcm(key[:])
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(append([]byte("evcs sealing key "), key[:]...))
	return &Sealer{aead, hex.EncodeToString(sum[:4])}, nil
}

func gcm(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("make the sealing cipher: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("make the sealing cipher: %w", err)
	}
	return aead, nil
}

// Seal encrypts plain. The same plain is sealed differently each time.
func (s *Sealer) Seal(plain []byte) (string, error) {
	nonce := make([]byte, s.aead.NonceSize(), s.aead.NonceSize()+len(plain)+s.aead.Overhead())
	if _, err := rand.Read(nonce); err != nil {
		return "", fmt.Errorf("seal: %w", err)
	}
	sealed := s.aead.Seal(nonce, nonce, plain, []byte(sealedV1))
	return sealedV1 + base64.RawStdEncoding.EncodeToString(sealed), nil
}

// Open decrypts what Seal made, or refuses with ErrSealed.
func (s *Sealer) Open(sealed string) ([]byte, error) {
	text, ok := strings.CutPrefix(sealed, sealedV1)
	if !ok {
		return nil, ErrSealed
	}
	raw, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil || len(raw) < s.aead.NonceSize() {
		return nil, ErrSealed
	}
	plain, err := s.aead.Open(nil, raw[:s.aead.NonceSize()], raw[s.aead.NonceSize():], []byte(sealedV1))
	if err != nil {
		return nil, ErrSealed
	}
	return plain, nil
}

// dataKeyBytes is the length of the key that one secret has for itself.
const dataKeyBytes = 32

// SealFor encrypts plain under a key of its own, and that key under the
// installation's (an envelope). about says what the secret belongs to: it is
// not in the result, and only OpenFor with the same opens it.
func (s *Sealer) SealFor(about string, plain []byte) (string, error) {
	var key [dataKeyBytes]byte
	rand.Read(key[:]) // never fails
	own, err := gcm(key[:])
	if err != nil {
		return "", err
	}
	head := sealedV2 + s.name + ":"
	return head + box(s.aead, key[:], head) + ":" + box(own, plain, sealedV2+about), nil
}

// OpenFor decrypts what SealFor made about the same, or refuses with ErrSealed.
func (s *Sealer) OpenFor(about, sealed string) ([]byte, error) {
	head := sealedV2 + s.name + ":"
	text, ok := strings.CutPrefix(sealed, head)
	wrapped, content, both := strings.Cut(text, ":")
	if !ok || !both {
		return nil, ErrSealed
	}
	key, err := unbox(s.aead, wrapped, head)
	if err != nil || len(key) != dataKeyBytes {
		return nil, ErrSealed
	}
	own, err := gcm(key)
	if err != nil {
		return nil, ErrSealed
	}
	return unbox(own, content, sealedV2+about)
}

// box is nonce and ciphertext as text.
func box(aead cipher.AEAD, plain []byte, about string) string {
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(plain)+aead.Overhead())
	rand.Read(nonce) // never fails
	return base64.RawStdEncoding.EncodeToString(aead.Seal(nonce, nonce, plain, []byte(about)))
}

func unbox(aead cipher.AEAD, text, about string) ([]byte, error) {
	raw, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil || len(raw) < aead.NonceSize() {
		return nil, ErrSealed
	}
	plain, err := aead.Open(nil, raw[:aead.NonceSize()], raw[aead.NonceSize():], []byte(about))
	if err != nil {
		return nil, ErrSealed
	}
	return plain, nil
}
