package payment

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/evcs/evcs/internal/evcs"
)

// The modes of an account: real money, or the channel's own sandbox.
const (
	Live        = "LIVE"
	SandboxMode = "SANDBOX"
)

// DefaultFeeRate is what channels usually keep: 0.6 %.
const DefaultFeeRate evcs.UnitPrice = 600

const (
	apiV3KeyBytes   = 32
	maxName         = 64
	maxPlatformKeys = 10
	// wholeRate is a rate of 1: the fee is all of the amount.
	wholeRate evcs.UnitPrice = 100_000
)

var (
	appPattern    = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`)
	digitsPattern = regexp.MustCompile(`^[0-9]{1,32}$`)
	serialPattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
)

// MerchantChange is what an account is made of, or what changes of one; nil
// fields take the default or stay.
type MerchantChange struct {
	Channel          string // creation only
	Name             *string
	Mode             *string // creation only: money of the two never mixes
	AppID            *string
	SellerID         *string // alipay; "" clears
	MchID            *string // wechat
	MerchantSerialNo *string // wechat
	FeeRate          *evcs.UnitPrice
	Enabled          *bool
	PrivateKey       *string
	AlipayPublicKey  *string // the one before still verifies for KeyOverlap
	// AppCertificate is our application's certificate at Alipay: with one the
	// account works in certificate mode, "" goes back to the public key.
	AppCertificate *string
	// AlipayRoot is the file of Alipay's root certificates.
	AlipayRoot *string
	// AlipayCertificates are certificates of Alipay that join the stored ones.
	AlipayCertificates []string
	APIV3Key           *string
	// PlatformKeys are all verification keys of WeChat; one without a public key
	// stays as it is stored.
	PlatformKeys *[]PlatformKey
	// DropOldKeys ends replaced keys of Alipay at once, and all of its
	// certificates but the given ones, or the newest.
	DropOldKeys bool
	Version     *int64
}

// Change takes over what is given and finds every fault of the result (9400).
// It returns the names of the secrets that are other ones now. On an error m is
// not to be used.
func (m *Merchant) Change(n MerchantChange, s Sealer, now time.Time) (keys []string, err error) {
	account, err := m.accountOrNone()
	if err != nil {
		return nil, err
	}
	var faults faultList
	faults.fixed("channel", n.Channel, m.Channel)
	if n.Mode != nil {
		faults.fixed("mode", *n.Mode, m.Mode)
	}
	take(&m.Name, n.Name)
	take(&m.FeeRate, n.FeeRate)
	take(&m.Enabled, n.Enabled)
	take(&account.AppID, n.AppID)
	take(&account.SellerID, n.SellerID)
	take(&account.MchID, n.MchID)
	take(&account.MerchantSerialNo, n.MerchantSerialNo)
	faults.check(m.Channel != ChannelAlipay && m.Channel != ChannelWechat, "channel", "must be alipay or wechat")
	faults.check(m.Mode != Live && m.Mode != SandboxMode, "mode", "must be LIVE or SANDBOX")
	faults.check(m.Name == "" || utf8.RuneCountInString(m.Name) > maxName, "name", "must have 1 to 64 characters")
	faults.check(m.FeeRate < 0 || m.FeeRate > wholeRate, "feeRate", "must be 0 to 1")
	faults.pattern("appId", account.AppID, appPattern, "must be 1 to 32 of A-Z a-z 0-9 _ -")
	m.ownFields(account, n, &faults)
	v, err := m.vault()
	if err != nil {
		return nil, err
	}
	if keys, err = m.takeKeys(v, n, s, now, &faults); err != nil {
		return nil, err
	}
	if err := evcs.Invalid(faults...); err != nil {
		return nil, err
	}
	config, err := json.Marshal(account)
	if err != nil {
		return nil, fmt.Errorf("write the configuration of a merchant account: %w", err)
	}
	m.Config, m.UpdatedAt = string(config), now
	return keys, m.seal(v)
}

// seal writes the vault into m.Sealed.
func (m *Merchant) seal(v vault) error {
	sealed, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write the secrets of a merchant account: %w", err)
	}
	m.Sealed = string(sealed)
	return nil
}

func (m *Merchant) accountOrNone() (Account, error) {
	if m.Config == "" {
		return Account{}, nil
	}
	return m.Account()
}

func take[T any](place, given *T) {
	if given != nil {
		*place = *given
	}
}

// ownFields checks what only one of the channels has, and that the other's is
// not given.
func (m *Merchant) ownFields(a Account, n MerchantChange, faults *faultList) {
	const foreign = "is not for this channel"
	switch m.Channel {
	case ChannelAlipay:
		faults.check(a.SellerID != "" && !digitsPattern.MatchString(a.SellerID), "sellerId", "must be 1 to 32 digits")
		faults.check(n.MchID != nil, "mchId", foreign)
		faults.check(n.MerchantSerialNo != nil, "merchantSerialNo", foreign)
		faults.check(n.APIV3Key != nil, SecretAPIV3Key, foreign)
		faults.check(n.PlatformKeys != nil, SecretPlatform, foreign)
	case ChannelWechat:
		faults.pattern("mchId", a.MchID, digitsPattern, "must be 1 to 32 digits")
		faults.pattern("merchantSerialNo", a.MerchantSerialNo, serialPattern, "must be 1 to 64 of A-Z a-z 0-9 _ -")
		faults.check(n.SellerID != nil, "sellerId", foreign)
		faults.check(n.AlipayPublicKey != nil, SecretAlipayKey, foreign)
		faults.check(n.AppCertificate != nil, SecretAppCertificate, foreign)
		faults.check(n.AlipayRoot != nil, SecretAlipayRoot, foreign)
		faults.check(n.AlipayCertificates != nil, SecretAlipayCertificates, foreign)
		faults.check(n.DropOldKeys, "dropOldKeys", foreign)
	}
}

// takeKeys seals the keys that are given and checks that the account has all
// that it needs.
func (m *Merchant) takeKeys(v vault, n MerchantChange, s Sealer, now time.Time, faults *faultList) (changed []string, err error) {
	own := v[SecretPrivateKey].Fingerprint
	private, err := m.takePrivate(v, n.PrivateKey, s, now, faults)
	if err != nil {
		return nil, err
	}
	if private {
		own, changed = v[SecretPrivateKey].Fingerprint, append(changed, SecretPrivateKey)
	}
	var more []string
	switch m.Channel {
	case ChannelAlipay:
		more, err = m.takeAlipay(v, n, own, s, now, faults)
	case ChannelWechat:
		more, err = m.takeWechatKeys(v, n, own, s, now, faults)
	}
	return append(changed, more...), err
}

func (m *Merchant) takePrivate(v vault, given *string, s Sealer, now time.Time, faults *faultList) (bool, error) {
	if given == nil {
		faults.check(v[SecretPrivateKey].Version == 0, SecretPrivateKey, "is required")
		return false, nil
	}
	key, err := ParsePrivateKey(*given)
	if err != nil {
		faults.check(true, SecretPrivateKey, err.Error())
		return false, nil
	}
	mark := printKey(&key.PublicKey)
	if v[SecretPrivateKey].Fingerprint == mark {
		return false, nil
	}
	for name, f := range v {
		faults.check(f.Fingerprint == mark && name != SecretPrivateKey && name != SecretAppCertificate, SecretPrivateKey, "belongs to a key that is stored as the channel's")
	}
	return true, m.put(v, s, SecretPrivateKey, *given, mark, time.Time{}, now)
}

func (m *Merchant) takeWechatKeys(v vault, n MerchantChange, own string, s Sealer, now time.Time, faults *faultList) (changed []string, err error) {
	switch {
	case n.APIV3Key == nil:
		faults.check(v[SecretAPIV3Key].Version == 0, SecretAPIV3Key, "is required")
	case len(*n.APIV3Key) != apiV3KeyBytes:
		faults.check(true, SecretAPIV3Key, "must be exactly 32 bytes")
	default:
		if mark := printOf([]byte(*n.APIV3Key)); mark != v[SecretAPIV3Key].Fingerprint {
			if err := m.put(v, s, SecretAPIV3Key, *n.APIV3Key, mark, time.Time{}, now); err != nil {
				return nil, err
			}
			changed = append(changed, SecretAPIV3Key)
		}
	}
	if n.PlatformKeys == nil {
		faults.check(!hasPlatformKey(v), SecretPlatform, "is required")
		return changed, nil
	}
	given := *n.PlatformKeys
	faults.check(len(given) == 0 || len(given) > maxPlatformKeys, SecretPlatform, "must have 1 to 10 entries")
	kept := make(map[string]bool)
	for i, k := range given {
		field := SecretPlatform + "[" + strconv.Itoa(i) + "]"
		name := SecretPlatform + "/" + k.Serial
		switch {
		case !serialPattern.MatchString(k.Serial):
			faults.check(true, field+".serial", "must be 1 to 64 of A-Z a-z 0-9 _ -")
			continue
		case kept[name]:
			faults.check(true, field+".serial", "is given twice")
			continue
		}
		kept[name] = true
		if k.PublicKey == "" {
			faults.check(v[name].Version == 0, field+".publicKey", "is required")
			continue
		}
		done, err := m.takePublic(v, name, k.PublicKey, own, field+".publicKey", s, now, faults)
		if err != nil {
			return nil, err
		}
		if done {
			changed = append(changed, name)
		}
	}
	for name := range v {
		if strings.HasPrefix(name, SecretPlatform+"/") && !kept[name] {
			delete(v, name)
			changed = append(changed, name)
		}
	}
	slices.Sort(changed)
	return changed, nil
}

func hasPlatformKey(v vault) bool {
	for name := range v {
		if strings.HasPrefix(name, SecretPlatform+"/") {
			return true
		}
	}
	return false
}

// takePublic seals a verification key under a name when it is another one.
func (m *Merchant) takePublic(v vault, name, text, own, field string, s Sealer, now time.Time, faults *faultList) (bool, error) {
	key, end, err := ParsePublicKey(text)
	if err != nil {
		faults.check(true, field, err.Error())
		return false, nil
	}
	mark := printKey(key)
	if mark == own {
		faults.check(true, field, "is the account's own key, not the channel's")
		return false, nil
	}
	if !end.IsZero() && !end.After(now) {
		faults.check(true, field, "is a certificate that has ended")
		return false, nil
	}
	if f := v[name]; f.Fingerprint == mark && f.ExpireAt.Equal(end) {
		return false, nil
	}
	return true, m.put(v, s, name, text, mark, end, now)
}

// faultList gathers what is wrong.
type faultList []evcs.FieldFault

func (l *faultList) check(bad bool, field, message string) {
	if bad {
		*l = append(*l, evcs.FieldFault{Field: field, Message: message})
	}
}

func (l *faultList) pattern(field, value string, p *regexp.Regexp, message string) {
	if value == "" {
		message = "is required"
	}
	l.check(!p.MatchString(value), field, message)
}

func (l *faultList) fixed(field, given, stored string) {
	l.check(given != "" && given != stored, field, "is fixed at creation")
}
