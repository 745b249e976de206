package auth

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// sealedV1 begins what Seal makes; another way to seal gets another beginning.
const sealedV1 = "v1:"

// ErrSealed says that a sealed text is damaged or was sealed with another key.
var ErrSealed = errors.New("the sealed secret cannot be opened with this key")

// Sealer keeps secrets that must be read again (device and merchant secrets)
// out of plain sight in the store: AES-256-GCM under one key of the
// installation.
type Sealer struct{ aead cipher.AEAD }

// NewSealer makes a Sealer of a 32-byte key.
func NewSealer(key [32]byte) (*Sealer, error) {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, fmt.Errorf("make the sealing cipher: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("make the sealing cipher: %w", err)
	}
	return &Sealer{aead}, nil
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
