package payment

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

// maxAlipayCertificates bounds the certificates of Alipay of an account.
const maxAlipayCertificates = 10

// The ways in which Alipay and an account prove themselves to each other.
const (
	ModePublicKey   = "PUBLIC_KEY"
	ModeCertificate = "CERTIFICATE"
)

// KeyMode is the way of an account of Alipay, "" of another channel's.
func (m *Merchant) KeyMode() string {
	v, err := m.vault()
	switch {
	case m.Channel != ChannelAlipay || err != nil:
		return ""
	case v[SecretAppCertificate].Version > 0:
		return ModeCertificate
	}
	return ModePublicKey
}

// takeAlipay takes the keys of Alipay, in either mode. A change of the mode
// retires what verified in the other one: what is on its way still arrives.
func (m *Merchant) takeAlipay(v vault, n MerchantChange, own string, s Sealer, now time.Time, faults *faultList) (changed []string, err error) {
	changed = v.forget(n.DropOldKeys, now)
	leaves := n.AppCertificate != nil && *n.AppCertificate == ""
	if leaves {
		changed = append(changed, v.leaveCertificates(n.DropOldKeys, now)...)
	}
	var more []string
	if n.AppCertificate != nil && !leaves || v[SecretAppCertificate].Version > 0 {
		more, err = m.takeCertified(v, n, own, s, now, faults)
	} else {
		const needs = "needs appCertificate"
		faults.check(n.AlipayRoot != nil, SecretAlipayRoot, needs)
		faults.check(n.AlipayCertificates != nil, SecretAlipayCertificates, needs)
		more, err = m.takeAlipayKey(v, n, own, s, now, faults)
	}
	changed = append(changed, more...)
	slices.Sort(changed)
	return slices.Compact(changed), err
}

// forget drops what verifies no more; the last certificates stay also when they
// have ended, because they tell for whom the next one is. It returns the names of
// what verified until now.
func (v vault) forget(drop bool, now time.Time) (changed []string) {
	valid := slices.ContainsFunc(v.liveCertificates(), func(name string) bool { return !now.After(v[name].ExpireAt) })
	for name, f := range v {
		ended := now.Sub(f.RetiredAt) > KeyOverlap
		switch {
		case !f.RetiredAt.IsZero() && (drop || ended):
			delete(v, name)
			if drop && !ended {
				changed = append(changed, name)
			}
		case valid && v.isCertificate(name) && now.After(f.ExpireAt):
			delete(v, name)
		}
	}
	return changed
}

func (vault) isCertificate(name string) bool {
	return strings.HasPrefix(name, SecretAlipayCertificates+"/")
}

// leaveCertificates ends the certificate mode. It returns the names of what
// changed.
func (v vault) leaveCertificates(drop bool, now time.Time) (changed []string) {
	for name, f := range v {
		switch {
		case name == SecretAppCertificate, name == SecretAlipayRoot, drop && v.isCertificate(name):
			delete(v, name)
		case v.isCertificate(name) && f.RetiredAt.IsZero():
			f.RetiredAt = now
			v[name] = f
		default:
			continue
		}
		changed = append(changed, name)
	}
	return changed
}

func (m *Merchant) takeAlipayKey(v vault, n MerchantChange, own string, s Sealer, now time.Time, faults *faultList) (changed []string, err error) {
	if n.AlipayPublicKey == nil {
		faults.check(v[SecretAlipayKey].Version == 0, SecretAlipayKey, "is required")
		return nil, nil
	}
	before := v[SecretAlipayKey]
	done, err := m.takePublic(v, SecretAlipayKey, *n.AlipayPublicKey, own, SecretAlipayKey, s, now, faults)
	if err != nil || !done {
		return nil, err
	}
	if before.Version > 0 && !n.DropOldKeys {
		if err := m.retire(v, before, s, now); err != nil {
			return nil, err
		}
	}
	return []string{SecretAlipayKey}, nil
}

// retire keeps a replaced key of Alipay under a name of its own.
func (m *Merchant) retire(v vault, before sealedField, s Sealer, now time.Time) error {
	plain, err := s.OpenFor(m.about(SecretAlipayKey, before.Version), before.Sealed)
	if err != nil {
		return fmt.Errorf("open the replaced key of merchant account %d: %w", m.ID, err)
	}
	number := before.Version
	name := func() string { return SecretAlipayKey + "/" + strconv.FormatInt(number, 10) }
	for v[name()].Version > 0 { // the account had been in the other mode meanwhile
		number++
	}
	if err := m.put(v, s, name(), string(plain), before.Fingerprint, before.ExpireAt, before.UpdatedAt); err != nil {
		return err
	}
	old := v[name()]
	old.RetiredAt = now
	v[name()] = old
	return nil
}

// takeCertified takes the certificates of the certificate mode and checks that
// they belong together.
func (m *Merchant) takeCertified(v vault, n MerchantChange, own string, s Sealer, now time.Time, faults *faultList) (changed []string, err error) {
	faults.check(n.AlipayPublicKey != nil, SecretAlipayKey, "is not for an account with appCertificate; null there goes back to the public key")
	app, err := m.takeApp(v, n.AppCertificate, own, s, now, faults)
	if err != nil {
		return nil, err
	}
	roots, root, err := m.takeRoots(v, n.AlipayRoot, s, now, faults)
	if err != nil {
		return nil, err
	}
	changed = append(app, root...)
	if len(roots.list) > 0 {
		more, err := m.takeCertificates(v, n, roots, own, s, now, faults)
		if err != nil {
			return nil, err
		}
		changed = append(changed, more...)
	}
	if before := v[SecretAlipayKey]; before.Version > 0 {
		delete(v, SecretAlipayKey)
		changed = append(changed, SecretAlipayKey)
		if !n.DropOldKeys {
			err = m.retire(v, before, s, now)
		}
	}
	return changed, err
}

func (m *Merchant) takeApp(v vault, given *string, own string, s Sealer, now time.Time, faults *faultList) (changed []string, err error) {
	const alien = "does not belong to the private key"
	stored := v[SecretAppCertificate]
	if given == nil {
		faults.check(stored.Fingerprint != own, SecretAppCertificate, alien)
		return nil, nil
	}
	c, err := ParseCertificate(*given)
	if err == nil {
		err = within(c.leaf, now)
	}
	if err != nil {
		faults.check(true, SecretAppCertificate, err.Error())
		return nil, nil
	}
	mark := printKey(c.Key)
	if mark != own {
		faults.check(own != "", SecretAppCertificate, alien)
		return nil, nil
	}
	if stored.Fingerprint == mark && stored.ExpireAt.Equal(c.Until) {
		return nil, nil
	}
	return []string{SecretAppCertificate}, m.put(v, s, SecretAppCertificate, c.Text, mark, c.Until, now)
}

// takeRoots are the account's roots, given now or stored; none when they cannot
// be used.
func (m *Merchant) takeRoots(v vault, given *string, s Sealer, now time.Time, faults *faultList) (r Roots, changed []string, err error) {
	stored := v[SecretAlipayRoot]
	if given == nil {
		if stored.Version == 0 {
			faults.check(true, SecretAlipayRoot, "is required")
			return r, nil, nil
		}
		text, err := m.get(v, s, SecretAlipayRoot)
		if err != nil {
			return r, nil, err
		}
		r, err = ParseRoots(text)
		return r, nil, err
	}
	r, err = ParseRoots(*given)
	if err == nil && now.After(r.Until) {
		err = errEnded
	}
	if err != nil {
		faults.check(true, SecretAlipayRoot, err.Error())
		return Roots{}, nil, nil
	}
	mark := printOf([]byte(r.SN))
	if stored.Fingerprint == mark {
		return r, nil, nil
	}
	return r, []string{SecretAlipayRoot}, m.put(v, s, SecretAlipayRoot, r.Text, mark, r.Until, now)
}

// takeCertificates adds certificates of Alipay and checks all of them before the
// roots.
func (m *Merchant) takeCertificates(v vault, n MerchantChange, roots Roots, own string, s Sealer, now time.Time, faults *faultList) (changed []string, err error) {
	stored, err := m.storedCertificates(v, s)
	if err != nil {
		return nil, err
	}
	kept := make(map[string]bool)
	for i, text := range n.AlipayCertificates {
		field := SecretAlipayCertificates + "[" + strconv.Itoa(i) + "]"
		c, err := ParseCertificate(text)
		if err == nil {
			err = roots.Prove(&c, slices.Collect(maps.Values(stored)), now)
		}
		if err != nil {
			faults.check(true, field, err.Error())
			continue
		}
		name := SecretAlipayCertificates + "/" + c.SN
		faults.check(kept[name], field, "is given twice")
		kept[name] = true
		done, err := m.takeCertificate(v, name, &c, own, field, s, now, faults)
		if err != nil {
			return nil, err
		}
		if done {
			changed = append(changed, name)
		}
	}
	if n.DropOldKeys {
		changed = append(changed, v.dropCertificates(kept)...)
	}
	live := v.liveCertificates()
	faults.check(len(live) > maxAlipayCertificates, SecretAlipayCertificates, "must be at most 10 with the stored ones")
	faults.check(len(live) == 0 && len(n.AlipayCertificates) == 0, SecretAlipayCertificates, "is required")
	if n.AlipayRoot != nil {
		proven := slices.ContainsFunc(live, func(name string) bool {
			c, ok := stored[name]
			return kept[name] || ok && roots.Prove(&c, nil, now) == nil
		})
		faults.check(len(live) > 0 && !proven, SecretAlipayRoot, "none of alipayCertificates is from it")
	}
	return changed, nil
}

// takeCertificate seals one certificate of Alipay unless it is there.
func (m *Merchant) takeCertificate(v vault, name string, c *Certificate, own, field string, s Sealer, now time.Time, faults *faultList) (bool, error) {
	mark := printKey(c.Key)
	if mark == own {
		faults.check(true, field, "is the account's own key, not the channel's")
		return false, nil
	}
	if f := v[name]; f.Fingerprint == mark && f.RetiredAt.IsZero() {
		return false, nil
	}
	return true, m.put(v, s, name, c.Text, mark, c.Until, now)
}

// liveCertificates are the names of Alipay's certificates that are in use.
func (v vault) liveCertificates() (names []string) {
	for _, name := range slices.Sorted(maps.Keys(v)) {
		if v.isCertificate(name) && v[name].RetiredAt.IsZero() {
			names = append(names, name)
		}
	}
	return names
}

// dropCertificates drops all of Alipay's certificates but those that are kept,
// or but the newest when none is.
func (v vault) dropCertificates(kept map[string]bool) (dropped []string) {
	live := v.liveCertificates()
	if len(kept) == 0 && len(live) > 0 {
		newest := slices.MaxFunc(live, func(a, b string) int { return v[a].UpdatedAt.Compare(v[b].UpdatedAt) })
		kept = map[string]bool{newest: true}
	}
	for _, name := range live {
		if !kept[name] {
			delete(v, name)
			dropped = append(dropped, name)
		}
	}
	return dropped
}

// storedCertificates opens Alipay's certificates, by name.
func (m *Merchant) storedCertificates(v vault, s Sealer) (map[string]Certificate, error) {
	list := make(map[string]Certificate)
	for _, name := range v.liveCertificates() {
		text, err := m.get(v, s, name)
		if err != nil {
			return nil, err
		}
		if list[name], err = ParseCertificate(text); err != nil {
			return nil, fmt.Errorf("%s of merchant account %d: %w", name, m.ID, err)
		}
	}
	return list, nil
}

// Learn takes over a certificate that Alipay handed out, after the checks of
// Roots.ReadLearned. It returns its name, "" when the account has it already. On
// an error m is not to be used.
func (m *Merchant) Learn(text, sn string, s Sealer, now time.Time) (name string, err error) {
	v, err := m.vault()
	if err != nil {
		return "", err
	}
	name = SecretAlipayCertificates + "/" + sn
	if v[SecretAppCertificate].Version == 0 {
		return "", errOtherSubject
	}
	if f := v[name]; f.Version > 0 && f.RetiredAt.IsZero() {
		return "", nil
	}
	root, err := m.get(v, s, SecretAlipayRoot)
	if err != nil {
		return "", err
	}
	roots, err := ParseRoots(root)
	if err != nil {
		return "", err
	}
	stored, err := m.storedCertificates(v, s)
	if err != nil {
		return "", err
	}
	c, err := roots.ReadLearned(text, sn, slices.Collect(maps.Values(stored)), now)
	if err != nil {
		return "", err
	}
	v.forget(false, now)
	if live := v.liveCertificates(); len(live) >= maxAlipayCertificates {
		delete(v, slices.MinFunc(live, func(a, b string) int { return v[a].ExpireAt.Compare(v[b].ExpireAt) }))
	}
	if err := m.put(v, s, name, c.Text, printKey(c.Key), c.Until, now); err != nil {
		return "", err
	}
	m.UpdatedAt = now
	return name, m.seal(v)
}

// probeCertificates tries the certificates of an account.
func (s *Secrets) probeCertificates(now time.Time) Check {
	check := Check{Name: "CERTIFICATES_VALID", OK: true, Message: evcs.Detail{ZH: "证书有效且与私钥相符", EN: "the certificates are valid and fit the private key"}}
	app, err := ParseCertificate(s.AppCertificate)
	private, failed := ParsePrivateKey(s.PrivateKey)
	_, broken := ParseRoots(s.AlipayRoot)
	switch {
	case err != nil || failed != nil || broken != nil:
		check.OK, check.Message = false, evcs.Detail{ZH: "有证书无法读取", EN: "a certificate cannot be read"}
	case !app.Key.Equal(&private.PublicKey):
		check.OK, check.Message = false, evcs.Detail{ZH: "应用证书与私钥不符", EN: "the certificate of the application does not belong to the private key"}
	case !app.Valid(now):
		check.OK, check.Message = false, evcs.Detail{ZH: "应用证书已过期", EN: "the certificate of the application has ended"}
	case !slices.ContainsFunc(s.PlatformKeys, func(k PlatformKey) bool {
		c, err := ParseCertificate(k.PublicKey)
		return k.Serial != "" && err == nil && c.Valid(now)
	}):
		check.OK, check.Message = false, evcs.Detail{ZH: "没有在有效期内的支付宝证书", EN: "no certificate of Alipay is valid"}
	}
	return check
}
