package payment

import (
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

// Sealer keeps the secrets of merchant accounts; auth.Sealer is one. What is
// sealed about one thing cannot be opened as another.
type Sealer interface {
	Open(sealed string) ([]byte, error)
	SealFor(about string, plain []byte) (string, error)
	OpenFor(about, sealed string) ([]byte, error)
}

// The names of secrets. A verification key of WeChat is kept as
// "platformKeys/" and its serial, a certificate of Alipay as
// "alipayCertificates/" and its serial number, a replaced key of Alipay as
// "alipayPublicKey/" and a number.
const (
	SecretPrivateKey         = "privateKey"
	SecretAPIV3Key           = "apiV3Key"
	SecretAlipayKey          = "alipayPublicKey"
	SecretAppCertificate     = "appCertificate"
	SecretAlipayRoot         = "alipayRootCertificate"
	SecretAlipayCertificates = "alipayCertificates"
	SecretPlatform           = "platformKeys"
)

// KeyOverlap is how long a replaced verification key of Alipay, which has no
// serial to choose it by, still verifies: notifications are repeated for a day.
const KeyOverlap = 7 * 24 * time.Hour

// vault is Merchant.Sealed of a real channel, as JSON: every secret is sealed
// by itself. Whoever can write rows can neither move a secret to another
// account or field nor put in one of his own.
type vault map[string]sealedField

type sealedField struct {
	// Version counts the values that the field has had.
	Version     int64     `json:"version"`
	Sealed      string    `json:"sealed"`
	Fingerprint string    `json:"fingerprint"`
	UpdatedAt   time.Time `json:"updatedAt"`
	ExpireAt    time.Time `json:"expireAt,omitzero"`  // of a certificate
	RetiredAt   time.Time `json:"retiredAt,omitzero"` // replaced, still verifies
}

// about is what a secret is sealed to: tenant, account, field and version. The
// account is named by its callback token, which it has before it has a number
// and never loses.
func (m *Merchant) about(field string, version int64) string {
	return "merchant|" + strconv.FormatInt(int64(m.Tenant), 10) + "|" + m.Channel + "|" + m.CallbackToken + "|" + field + "|" + strconv.FormatInt(version, 10)
}

func (m *Merchant) vault() (vault, error) {
	v := make(vault)
	if m.Sealed == "" {
		return v, nil
	}
	if json.Unmarshal([]byte(m.Sealed), &v) != nil {
		return nil, fmt.Errorf("the sealed secrets of merchant account %d cannot be read", m.ID)
	}
	return v, nil
}

// put seals a secret into the vault.
func (m *Merchant) put(v vault, s Sealer, field, value, fingerprint string, expires, now time.Time) error {
	f := sealedField{Version: v[field].Version + 1, Fingerprint: fingerprint, UpdatedAt: now, ExpireAt: expires}
	sealed, err := s.SealFor(m.about(field, f.Version), []byte(value))
	if err != nil {
		return fmt.Errorf("seal a secret of a merchant account: %w", err)
	}
	f.Sealed = sealed
	v[field] = f
	return nil
}

func (m *Merchant) get(v vault, s Sealer, field string) (string, error) {
	f := v[field]
	plain, err := s.OpenFor(m.about(field, f.Version), f.Sealed)
	if err != nil {
		return "", fmt.Errorf("open %s of merchant account %d: %w", field, m.ID, err)
	}
	return string(plain), nil
}

// Unseal opens the secrets into m.Secrets: the JSON of Secrets, or for the
// sandbox its key. now decides which replaced keys still verify.
func (m *Merchant) Unseal(s Sealer, now time.Time) error {
	if !strings.HasPrefix(m.Sealed, "{") {
		plain, err := s.Open(m.Sealed)
		if err != nil {
			return fmt.Errorf("open the secrets of merchant account %d: %w", m.ID, err)
		}
		m.Secrets = plain
		return nil
	}
	v, err := m.vault()
	if err != nil {
		return err
	}
	opened, err := m.open(v, s, now)
	if err != nil {
		return err
	}
	m.Secrets, err = json.Marshal(opened)
	return err
}

func (m *Merchant) open(v vault, s Sealer, now time.Time) (opened Secrets, err error) {
	for _, field := range slices.Sorted(maps.Keys(v)) {
		f := v[field]
		name, serial, _ := strings.Cut(field, "/")
		if !f.RetiredAt.IsZero() && now.Sub(f.RetiredAt) > KeyOverlap {
			continue
		}
		plain, err := m.get(v, s, field)
		if err != nil {
			return opened, err
		}
		switch name {
		case SecretPrivateKey:
			opened.PrivateKey = plain
		case SecretAPIV3Key:
			opened.APIV3Key = plain
		case SecretAlipayKey:
			opened.PlatformKeys = append(opened.PlatformKeys, PlatformKey{PublicKey: plain, AddedAt: f.UpdatedAt})
		case SecretAppCertificate:
			opened.AppCertificate = plain
		case SecretAlipayRoot:
			opened.AlipayRoot = plain
		case SecretPlatform, SecretAlipayCertificates:
			opened.PlatformKeys = append(opened.PlatformKeys, PlatformKey{Serial: serial, PublicKey: plain, AddedAt: f.UpdatedAt})
		}
	}
	slices.SortStableFunc(opened.PlatformKeys, func(a, b PlatformKey) int { return b.AddedAt.Compare(a.AddedAt) })
	return opened, nil
}

// ResealVault is Merchant.Sealed with every sealed text replaced. What it is
// sealed to and what may be read of it stay.
func ResealVault(sealed string, reseal func(string) (string, error)) (string, error) {
	if !strings.HasPrefix(sealed, "{") {
		return reseal(sealed)
	}
	m := Merchant{Sealed: sealed}
	v, err := m.vault()
	if err != nil {
		return "", err
	}
	moved := false
	for _, name := range slices.Sorted(maps.Keys(v)) {
		f := v[name]
		if f.Sealed, err = reseal(f.Sealed); err != nil {
			return "", fmt.Errorf("%s: %w", name, err)
		}
		moved = moved || f.Sealed != v[name].Sealed
		v[name] = f
	}
	if !moved {
		return sealed, nil
	}
	text, err := json.Marshal(v)
	return string(text), err
}

// SecretNote is what may be read of a secret.
type SecretNote struct {
	Name        string
	Fingerprint string
	UpdatedAt   time.Time
	ExpireAt    time.Time // of a certificate
}

// SecretNotes are what may be read of the account's secrets, by name; of the
// sandbox there is nothing to read. Keys of WeChat are told one by one and
// together.
func (m *Merchant) SecretNotes() []SecretNote {
	v, err := m.vault()
	if err != nil {
		return nil
	}
	var list []SecretNote
	var all SecretNote
	for _, name := range slices.Sorted(maps.Keys(v)) {
		f := v[name]
		list = append(list, SecretNote{name, f.Fingerprint, f.UpdatedAt, f.ExpireAt})
		if strings.HasPrefix(name, SecretPlatform+"/") {
			all.Name, all.Fingerprint = SecretPlatform, all.Fingerprint+f.Fingerprint
			if f.UpdatedAt.After(all.UpdatedAt) {
				all.UpdatedAt = f.UpdatedAt
			}
		}
	}
	if all.Name != "" {
		all.Fingerprint = printOf([]byte(all.Fingerprint))
		list = append(list, all)
	}
	return list
}

// CertificateExpires is when the first of the account's certificates ends; zero
// when all keys are bare. Of Alipay's own the one that ends last counts: older
// ones only verify on.
func (m *Merchant) CertificateExpires() time.Time {
	v, err := m.vault()
	if err != nil {
		return time.Time{}
	}
	var first, last time.Time
	for name, f := range v {
		switch {
		case f.ExpireAt.IsZero() || !f.RetiredAt.IsZero():
		case strings.HasPrefix(name, SecretAlipayCertificates+"/"):
			last = later(last, f.ExpireAt)
		default:
			first = sooner(first, f.ExpireAt)
		}
	}
	return sooner(first, last)
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// sooner is the earlier of two times of which zero ones are none.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// Hints are by what a notification on the bare path may point at the account:
// the application of Alipay, the serials of WeChat's keys. They prove nothing.
func (m *Merchant) Hints() []string {
	switch m.Channel {
	case ChannelAlipay:
		a, err := m.Account()
		if err != nil || a.AppID == "" {
			return nil
		}
		return []string{a.AppID}
	case ChannelWechat:
		var serials []string
		v, err := m.vault()
		if err != nil {
			return nil
		}
		for _, name := range slices.Sorted(maps.Keys(v)) {
			if serial, ok := strings.CutPrefix(name, SecretPlatform+"/"); ok {
				serials = append(serials, serial)
			}
		}
		return serials
	}
	return nil
}

// Probe tries what of the account's keys can be told without the channel: they
// open, parse, the channel's are not our own, and certificates are valid now.
func (m *Merchant) Probe(now time.Time) []Check {
	keys, err := m.Keys()
	parse := Check{Name: "KEYS_PARSE", OK: true, Message: evcs.Detail{ZH: "密钥可以读取", EN: "the keys can be read"}}
	differ := Check{Name: "KEYS_DIFFER", OK: true, Message: evcs.Detail{ZH: "渠道公钥与商户私钥不是同一对", EN: "the channel's keys are not the account's own"}}
	if err == nil {
		var own string
		private, failed := ParsePrivateKey(keys.PrivateKey)
		err = failed
		if failed == nil {
			own = printKey(&private.PublicKey)
		}
		for _, k := range keys.PlatformKeys {
			public, failed := m.publicOf(k)
			err = errors.Join(err, failed)
			if failed == nil && printKey(public) == own {
				differ.OK, differ.Message = false, evcs.Detail{ZH: "渠道公钥就是商户自己的公钥", EN: "a key of the channel is the account's own"}
			}
		}
		if m.Channel == ChannelWechat && len(keys.APIV3Key) != apiV3KeyBytes {
			err = errors.Join(err, errNotPrivate)
		}
	}
	if err != nil {
		parse.OK, parse.Message = false, evcs.Detail{ZH: "有密钥无法读取", EN: "a key cannot be read"}
	}
	checks := []Check{parse, differ}
	if keys.Certified() {
		checks = append(checks, keys.probeCertificates(now))
	}
	return checks
}

// publicOf is the key of one that the channel signs with.
func (m *Merchant) publicOf(k PlatformKey) (*rsa.PublicKey, error) {
	if m.Channel == ChannelAlipay && k.Serial != "" {
		c, err := ParseCertificate(k.PublicKey)
		return c.Key, err
	}
	key, _, err := ParsePublicKey(k.PublicKey)
	return key, err
}
