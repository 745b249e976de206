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
			return other.OpenFor("merchant|1|key|1", "v2:"+other.Keys()[0]+":"+parts[2]+":"+parts[3])
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

// A new key takes over: what the old one sealed is opened, sealed anew and then
// opened without the old one.
func TestKeysTakeOver(t *testing.T) {
	t.Parallel()
	sealer := func(keys ...[32]byte) *Sealer {
		t.Helper()
		s, err := NewSealer(keys[0], keys[1:]...)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	one, two := [32]byte{1}, [32]byte{2}
	old, both, fresh := sealer(one), sealer(two, one), sealer(two)
	if _, err := NewSealer(one, two, one); err == nil || !strings.Contains(err.Error(), old.Keys()[0]) {
		t.Errorf("a key given twice: %v", err)
	}
	named, err := old.Seal([]byte("named"))
	if err != nil {
		t.Fatal(err)
	}
	envelope, err := old.SealFor("about", []byte("envelope"))
	if err != nil {
		t.Fatal(err)
	}
	unnamed := sealedV1 + box(old.keys[0].aead, []byte("unnamed"), sealedV1) // of an earlier program
	for want, sealed := range map[string]string{"named": named, "unnamed": unnamed, "envelope": envelope} {
		open := func(s *Sealer, text string) string {
			plain, err := s.Open(text)
			if want == "envelope" {
				plain, err = s.OpenFor("about", text)
			}
			if err != nil && !errors.Is(err, ErrSealed) {
				t.Fatalf("%s: %v", want, err)
			}
			return string(plain)
		}
		if key := both.KeyOf(sealed); key != old.Keys()[0] || open(both, sealed) != want || open(fresh, sealed) != "" {
			t.Errorf("%s: sealed with %q", want, key)
		}
		if _, err := fresh.Reseal(sealed); !errors.Is(err, ErrSealed) {
			t.Errorf("%s sealed anew without its key: %v", want, err)
		}
		anew, err := both.Reseal(sealed)
		if err != nil || fresh.KeyOf(anew) != fresh.Keys()[0] || open(fresh, anew) != want || open(old, anew) != "" {
			t.Errorf("%s sealed anew: %q %v", want, anew, err)
		}
		if again, err := fresh.Reseal(anew); err != nil || again != anew {
			t.Errorf("%s sealed anew twice: %v", want, err)
		}
		if _, err := both.Reseal(sealed[:len(sealed)-3]); want != "envelope" && !errors.Is(err, ErrSealed) {
			t.Errorf("%s shortened: %v", want, err)
		}
	}
	if _, err := fresh.Open(named); !strings.Contains(err.Error(), old.Keys()[0]) || !strings.Contains(err.Error(), fresh.Keys()[0]) {
		t.Errorf("what is missing is not said: %v", err)
	}
	for _, no := range []string{"", "v1:", "v2:", "v3:", "plain", "v2:" + fresh.Keys()[0], "v3:" + fresh.Keys()[0] + ":"} {
		if _, err := fresh.Reseal(no); !errors.Is(err, ErrSealed) {
			t.Errorf("%q: %v", no, err)
		}
	}
}
