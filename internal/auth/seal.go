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
	"slices"
	"strings"
)

// sealedV1 begins what was sealed before keys had names, sealedV2 what SealFor
// makes, sealedV3 what Seal makes. Behind the last two stands the key's name.
const (
	sealedV1 = "v1:"
	sealedV2 = "v2:"
	sealedV3 = "v3:"
)

// ErrSealed says that a sealed text is damaged or was sealed with a key that is
// not here.
var ErrSealed = errors.New("the sealed secret cannot be opened with this key")

// Sealer keeps secrets that must be read again (device and merchant secrets)
// out of plain sight in the store: AES-256-GCM under keys of the installation.
// The first key seals, every key opens.
type Sealer struct {
	keys []sealingKey
}

type sealingKey struct {
	name string
	aead cipher.AEAD
}

// NewSealer makes a Sealer that seals with one 32-byte key and also opens what
// more of them sealed.
func NewSealer(key [32]byte, more ...[32]byte) (*Sealer, error) {
	s := new(Sealer)
	for _, k := range slices.Concat([][32]byte{key}, more) {
		aead, err := gcm(k[:])
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(append([]byte("evcs sealing key "), k[:]...))
		name := hex.EncodeToString(sum[:4])
		if slices.Contains(s.Keys(), name) {
			return nil, fmt.Errorf("the sealing key %s is given twice", name)
		}
		s.keys = append(s.keys, sealingKey{name, aead})
	}
	return s, nil
}

// Keys are the names of the keys; the first one seals. A name is made of its
// key and gives nothing of it away.
func (s *Sealer) Keys() []string {
	names := make([]string, len(s.keys))
	for i, k := range s.keys {
		names[i] = k.name
	}
	return names
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
	head := sealedV3 + s.keys[0].name + ":"
	return head + box(s.keys[0].aead, plain, head), nil
}

// Open decrypts what Seal made, or refuses with ErrSealed.
func (s *Sealer) Open(sealed string) ([]byte, error) {
	plain, _, err := s.open(sealed)
	return plain, err
}

// open is Open that also tells the key.
func (s *Sealer) open(sealed string) ([]byte, string, error) {
	if text, ok := strings.CutPrefix(sealed, sealedV1); ok {
		for _, k := range s.keys { // which one it was is not said
			if plain, err := unbox(k.aead, text, sealedV1); err == nil {
				return plain, k.name, nil
			}
		}
		return nil, "", ErrSealed
	}
	k, text, err := s.key(sealed, sealedV3)
	if err != nil {
		return nil, "", err
	}
	plain, err := unbox(k.aead, text, sealedV3+k.name+":")
	return plain, k.name, err
}

// key finds the key of a sealed text that begins like kind, and what follows
// its name.
func (s *Sealer) key(sealed, kind string) (sealingKey, string, error) {
	rest, ok := strings.CutPrefix(sealed, kind)
	name, text, named := strings.Cut(rest, ":")
	if !ok || !named {
		return sealingKey{}, "", ErrSealed
	}
	for _, k := range s.keys {
		if k.name == name {
			return k, text, nil
		}
	}
	return sealingKey{}, "", fmt.Errorf("%w: it is sealed with %.8s, here is %s", ErrSealed, name, strings.Join(s.Keys(), ", "))
}

// KeyOf is the name of the key that a text was sealed with, whether it is here
// or not; "" when the text does not say and no key opens it.
func (s *Sealer) KeyOf(sealed string) string {
	if strings.HasPrefix(sealed, sealedV1) {
		_, name, err := s.open(sealed)
		if err != nil {
			return ""
		}
		return name
	}
	for _, kind := range []string{sealedV2, sealedV3} {
		if rest, ok := strings.CutPrefix(sealed, kind); ok {
			name, _, _ := strings.Cut(rest, ":")
			return name
		}
	}
	return ""
}

// Reseal is a sealed text under the first key: what was sealed with it already
// comes back as it is, what cannot be opened is refused with ErrSealed. An
// envelope stays as it is but for the key of its own, which is wrapped anew, so
// what it is about need not be known.
func (s *Sealer) Reseal(sealed string) (string, error) {
	first := s.keys[0]
	if strings.HasPrefix(sealed, sealedV2) {
		k, text, err := s.key(sealed, sealedV2)
		if err != nil {
			return "", err
		}
		wrapped, content, both := strings.Cut(text, ":")
		own, err := unbox(k.aead, wrapped, sealedV2+k.name+":")
		if err != nil || !both || len(own) != dataKeyBytes {
			return "", ErrSealed
		}
		if k.name == first.name {
			return sealed, nil
		}
		head := sealedV2 + first.name + ":"
		return head + box(first.aead, own, head) + ":" + content, nil
	}
	plain, name, err := s.open(sealed)
	if err != nil {
		return "", err
	}
	if name == first.name && strings.HasPrefix(sealed, sealedV3) {
		return sealed, nil
	}
	return s.Seal(plain)
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
	head := sealedV2 + s.keys[0].name + ":"
	return head + box(s.keys[0].aead, key[:], head) + ":" + box(own, plain, sealedV2+about), nil
}

// OpenFor decrypts what SealFor made about the same, or refuses with ErrSealed.
func (s *Sealer) OpenFor(about, sealed string) ([]byte, error) {
	k, text, err := s.key(sealed, sealedV2)
	if err != nil {
		return nil, err
	}
	wrapped, content, both := strings.Cut(text, ":")
	if !both {
		return nil, ErrSealed
	}
	key, err := unbox(k.aead, wrapped, sealedV2+k.name+":")
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
