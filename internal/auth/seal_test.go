package auth

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestEnvelope(t *testing.T) {
	t.Parallel()
	s, err := NewSealer([32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	other, err := NewSealer([32]byte{2})
	if err != nil {
		t.Fatal(err)
	}
	plain := bytes.Repeat([]byte("secret"), 100)
	first, err := s.SealFor("merchant|1|key|1", plain)
	if err != nil {
		t.Fatal(err)
	}
	again, err := s.SealFor("merchant|1|key|1", plain)
	if err != nil || first == again || strings.Contains(first, "merchant") {
		t.Errorf("%v %q", err, first)
	}
	if got, err := s.OpenFor("merchant|1|key|1", first); err != nil || !bytes.Equal(got, plain) {
		t.Errorf("%q %v", got, err)
	}
	parts, more := strings.Split(first, ":"), strings.Split(again, ":")
	plainly, err := s.Seal(plain)
	if err != nil {
		t.Fatal(err)
	}
	for name, try := range map[string]func() ([]byte, error){
		"about another": func() ([]byte, error) { return s.OpenFor("merchant|2|key|1", first) },
		"another key":   func() ([]byte, error) { return other.OpenFor("merchant|1|key|1", first) },
		"renamed key": func() ([]byte, error) {
			return other.OpenFor("merchant|1|key|1", "v2:"+other.name+":"+parts[2]+":"+parts[3])
		},
		"another data key": func() ([]byte, error) {
			return s.OpenFor("merchant|1|key|1", strings.Join([]string{parts[0], parts[1], more[2], parts[3]}, ":"))
		},
		"sealed without":    func() ([]byte, error) { return s.OpenFor("merchant|1|key|1", plainly) },
		"opened without":    func() ([]byte, error) { return s.Open(first) },
		"shortened":         func() ([]byte, error) { return s.OpenFor("merchant|1|key|1", first[:len(first)-4]) },
		"nothing":           func() ([]byte, error) { return s.OpenFor("", "") },
		"no ciphertext":     func() ([]byte, error) { return s.OpenFor("merchant|1|key|1", strings.Join(parts[:3], ":")) },
		"nothing but names": func() ([]byte, error) { return s.OpenFor("merchant|1|key|1", parts[0]+":"+parts[1]+"::") },
	} {
		if got, err := try(); !errors.Is(err, ErrSealed) {
			t.Errorf("%s: %q %v", name, got, err)
		}
	}
}
