package cashier

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/payment"
	"github.com/evcs/evcs/internal/tenant"
)

// Accounts has the verbs on merchant accounts. The caller has checked that the
// actor may write in the tenant.
type Accounts struct{ Till *Till }

// maxAccounts bounds the accounts of a tenant at one channel.
const maxAccounts = 20

// Create makes an account, by default off. 4020 when it is to be on and another
// one of the channel is.
func (c Accounts) Create(ctx context.Context, a *evcs.Actor, owner evcs.TenantID, n payment.MerchantChange) (payment.Merchant, error) {
	t := c.Till
	var noise [20]byte
	if _, err := io.ReadFull(t.cfg.Random, noise[:]); err != nil {
		return payment.Merchant{}, fmt.Errorf("make a callback address: %w", err)
	}
	now := t.now()
	m := payment.Merchant{
		Tenant: owner, Channel: n.Channel, Mode: payment.Live, FeeRate: payment.DefaultFeeRate, CallbackToken: tokenOf(noise[:]), CreatedAt: now, UpdatedAt: now,
	}
	if n.Mode != nil {
		m.Mode = *n.Mode
	}
	if _, err := m.Change(n, t.cfg.Sealer, now); err != nil {
		return m, err
	}
	var made payment.Merchant
	err := t.cfg.Transact(ctx, func(tx Tx) error {
		made = m
		scope := evcs.Only(owner)
		count, err := tx.Payments().CountMerchants(ctx, scope, m.Channel)
		if err != nil {
			return err
		}
		if count >= maxAccounts {
			return evcs.Invalid(evcs.FieldFault{Field: "channel", Message: fmt.Sprintf("a tenant has at most %d accounts at a channel", maxAccounts)})
		}
		if err := alone(ctx, tx, &made); err != nil {
			return err
		}
		if err := tx.Payments().InsertMerchant(ctx, scope, &made); err != nil {
			return err
		}
		details := map[string]any{"name": made.Name, "channel": made.Channel, "mode": made.Mode, "enabled": made.Enabled}
		for _, s := range made.SecretNotes() {
			details[s.Name] = s.Fingerprint
		}
		return tenant.Audit(ctx, tx.Tenants(), a, merchantRow(&made, tenant.Created(tenant.KindMerchant), details))
	})
	return made, err
}

// alone refuses (4020) an account that is on beside another one that is.
func alone(ctx context.Context, tx Tx, m *payment.Merchant) error {
	if !m.Enabled {
		return nil
	}
	other, err := tx.Payments().EnabledMerchant(ctx, evcs.Only(m.Tenant), m.Channel)
	switch {
	case errors.Is(err, payment.ErrNotConfigured), err == nil && other.ID == m.ID:
		return nil
	case err != nil:
		return err
	}
	return evcs.With(payment.ErrMerchantExists, map[string]any{"merchantId": other.ID})
}

func merchantRow(m *payment.Merchant, action tenant.Action, details map[string]any) tenant.AuditRow {
	return tenant.AuditRow{
		At: m.UpdatedAt, Action: action, Target: m.Tenant, TargetType: tenant.KindMerchant, TargetID: strconv.FormatInt(int64(m.ID), 10),
		Success: true, Details: details,
	}
}

// Change changes an account. Keys that are not given stay; a change of keys is
// told to somebody. Whose account it is at the channel cannot change once
// payments ran over it.
func (c Accounts) Change(ctx context.Context, a *evcs.Actor, owner evcs.TenantID, id payment.MerchantID, n payment.MerchantChange) (payment.Merchant, error) {
	t := c.Till
	var made payment.Merchant
	err := t.cfg.Transact(ctx, func(tx Tx) error {
		scope := evcs.Only(owner)
		m, err := tx.Payments().Merchant(ctx, scope, id)
		if err != nil {
			return err
		}
		if n.Version != nil && *n.Version != m.Version {
			return evcs.With(evcs.ErrVersion, map[string]any{"currentVersion": m.Version})
		}
		before := m
		keys, err := m.Change(n, t.cfg.Sealer, t.now())
		if err != nil {
			return err
		}
		if err := alone(ctx, tx, &m); err != nil {
			return err
		}
		if err := tx.Payments().UpdateMerchant(ctx, scope, &m); err != nil { // nothing begins from here on
			return err
		}
		if err := sameOwner(ctx, tx, &before, &m); err != nil {
			return err
		}
		made = m
		details, err := differences(&before, &m, keys)
		if err != nil {
			return err
		}
		return c.tellKeys(ctx, tx, a, &m, keys, details)
	})
	return made, err
}

// Learn keeps a certificate of Alipay that the account's own gateway handed out
// for a serial number, after checks of its own. It is told to somebody, as any
// new key is.
func (c Accounts) Learn(ctx context.Context, owner evcs.TenantID, id payment.MerchantID, certificate, sn string) error {
	t := c.Till
	return t.cfg.Transact(ctx, func(tx Tx) error {
		scope := evcs.Only(owner)
		m, err := tx.Payments().Merchant(ctx, scope, id)
		if err != nil {
			return err
		}
		before := m
		name, err := m.Learn(certificate, sn, t.cfg.Sealer, t.now())
		if err != nil || name == "" {
			return err
		}
		if err := tx.Payments().UpdateMerchant(ctx, scope, &m); err != nil {
			return err
		}
		details, err := differences(&before, &m, []string{name})
		if err != nil {
			return err
		}
		details["fetched"] = true
		return c.tellKeys(ctx, tx, evcs.System(owner), &m, []string{name}, details)
	})
}

// tellKeys records a change of an account; of its keys somebody is told.
func (c Accounts) tellKeys(ctx context.Context, tx Tx, a *evcs.Actor, m *payment.Merchant, keys []string, details map[string]any) error {
	if err := tenant.Audit(ctx, tx.Tenants(), a, merchantRow(m, tenant.Updated(tenant.KindMerchant), details)); err != nil || len(keys) == 0 {
		return err
	}
	return c.Till.cfg.Alarm(ctx, tx, Alert{
		Rule: RuleMerchantKeyChanged, Severity: severityHigh, Tenant: m.Tenant, TargetType: tenant.KindMerchant, TargetID: strconv.FormatInt(int64(m.ID), 10),
		At: m.UpdatedAt, Message: fmt.Sprintf("%s changed keys of %s account %q: %s", a.Name, m.Channel, m.Name, strings.Join(keys, ", ")),
	})
}

// sameOwner refuses (9400) another application or merchant number on an account
// that has payments: their refunds and notifications would be somebody else's.
func sameOwner(ctx context.Context, tx Tx, before, m *payment.Merchant) error {
	was, err := before.Account()
	if err != nil {
		return err
	}
	is, err := m.Account()
	if err != nil {
		return err
	}
	if was.AppID == is.AppID && was.MchID == is.MchID {
		return nil
	}
	_, used, err := tx.Payments().MerchantUse(ctx, evcs.Only(m.Tenant), m.ID)
	if err != nil || !used {
		return err
	}
	var faults []evcs.FieldFault
	const fixed = "is fixed once payments ran over the account; make another account"
	if was.AppID != is.AppID {
		faults = append(faults, evcs.FieldFault{Field: "appId", Message: fixed})
	}
	if was.MchID != is.MchID {
		faults = append(faults, evcs.FieldFault{Field: "mchId", Message: fixed})
	}
	return evcs.Invalid(faults...)
}

// differences are what changed, for the record; of a key its fingerprints.
func differences(before, m *payment.Merchant, keys []string) (map[string]any, error) {
	was, err := before.Account()
	if err != nil {
		return nil, err
	}
	is, err := m.Account()
	if err != nil {
		return nil, err
	}
	d := map[string]any{"name": m.Name}
	tenant.Differ(d, "name", before.Name, m.Name)
	tenant.Differ(d, "enabled", before.Enabled, m.Enabled)
	tenant.Differ(d, "feeRate", before.FeeRate.String(), m.FeeRate.String())
	tenant.Differ(d, "appId", was.AppID, is.AppID)
	tenant.Differ(d, "sellerId", was.SellerID, is.SellerID)
	tenant.Differ(d, "mchId", was.MchID, is.MchID)
	tenant.Differ(d, "merchantSerialNo", was.MerchantSerialNo, is.MerchantSerialNo)
	old, current := prints(before), prints(m)
	for _, name := range keys {
		d[name] = map[string]any{"before": old[name], "after": current[name]}
	}
	return d, nil
}

func prints(m *payment.Merchant) map[string]string {
	list := make(map[string]string)
	for _, s := range m.SecretNotes() {
		list[s.Name] = s.Fingerprint
	}
	return list
}

// Delete deletes an account and forgets its keys. It refuses (4007) while
// payments over it are not final. What is paid over a deleted account cannot be
// refunded through the channel any more.
func (c Accounts) Delete(ctx context.Context, a *evcs.Actor, owner evcs.TenantID, id payment.MerchantID, version *int64) error {
	t := c.Till
	return t.cfg.Transact(ctx, func(tx Tx) error {
		scope := evcs.Only(owner)
		m, err := tx.Payments().Merchant(ctx, scope, id)
		if err != nil {
			return err
		}
		if version != nil && *version != m.Version {
			return evcs.With(evcs.ErrVersion, map[string]any{"currentVersion": m.Version})
		}
		if m.Channel == payment.ChannelSandbox {
			return evcs.Invalid(evcs.FieldFault{Field: "channel", Message: "must be alipay or wechat"})
		}
		m.DeletedAt = t.now()
		m.UpdatedAt, m.Enabled, m.Sealed = m.DeletedAt, false, ""
		if err := tx.Payments().UpdateMerchant(ctx, scope, &m); err != nil { // nothing begins from here on
			return err
		}
		unfinished, _, err := tx.Payments().MerchantUse(ctx, scope, id)
		if err != nil {
			return err
		}
		if unfinished > 0 {
			return evcs.WithDetail(payment.ErrMerchantInUse,
				evcs.Detail{ZH: fmt.Sprintf("还有 %d 笔支付未完结", unfinished), EN: fmt.Sprintf("%d payments are not final", unfinished)},
				map[string]any{"merchantId": id, "payments": unfinished})
		}
		return tenant.Audit(ctx, tx.Tenants(), a, merchantRow(&m, tenant.Deleted(tenant.KindMerchant), map[string]any{"name": m.Name, "channel": m.Channel}))
	})
}

// CallbackURL is the address that the channel notifies about an account, "" when
// evcsd has no public address.
func (c Accounts) CallbackURL(m *payment.Merchant) string {
	return m.CallbackURL(c.Till.cfg.CallbackBase)
}

// Verify tries an account out: its keys, what it needs here, and a signed
// question to the channel. Nobody answering is 4002.
func (c Accounts) Verify(ctx context.Context, owner evcs.TenantID, id payment.MerchantID) ([]payment.Check, error) {
	t := c.Till
	m, err := t.cfg.Payments.Merchant(ctx, evcs.Only(owner), id)
	if err != nil {
		return nil, err
	}
	if err := m.Unseal(t.cfg.Sealer, t.now()); err != nil {
		return nil, err
	}
	var checks []payment.Check
	if m.Channel != payment.ChannelSandbox { // its one secret is no key pair
		checks = m.Probe(t.now())
	}
	here, err := c.usable(ctx, &m)
	if err != nil {
		return nil, err
	}
	checks = append(checks, here...)
	ch, ok := t.cfg.Channels[m.Channel]
	if !ok {
		return append(checks, payment.Check{Name: "CHANNEL_ANSWERS", Message: evcs.Detail{ZH: "本系统未提供该渠道", EN: "the channel is not offered here"}}), nil
	}
	asked, err := askChannel(ctx, ch, m)
	if err != nil {
		return nil, errors.Join(evcs.With(payment.ErrUnknownOutcome, map[string]any{"merchantId": id}), err)
	}
	return append(checks, asked...), nil
}

// usable are the checks of what an account needs around it.
func (c Accounts) usable(ctx context.Context, m *payment.Merchant) (checks []payment.Check, err error) {
	address := payment.Check{Name: "CALLBACK_ADDRESS", OK: true, Message: evcs.Detail{ZH: "渠道有可回调的地址", EN: "the channel has an address to notify"}}
	switch url := c.CallbackURL(m); {
	case url == "":
		address.OK, address.Message = false, evcs.Detail{
			ZH: "未设置 payment.callbackBase: 只能靠主动查询获知支付结果", EN: "payment.callbackBase is not set: payments are settled by asking only",
		}
	case !strings.HasPrefix(url, "https://") && m.Mode == payment.Live:
		address.OK, address.Message = false, evcs.Detail{ZH: "渠道只回调 https 地址", EN: "channels notify https addresses only"}
	}
	checks = append(checks, address)
	if m.Mode == payment.Live {
		return checks, nil
	}
	mode := payment.Check{Name: "SANDBOX_ALLOWED", OK: true, Message: evcs.Detail{ZH: "租户已启用沙箱支付", EN: "sandbox payments are on for the tenant"}}
	err = c.Till.cfg.Transact(ctx, func(tx Tx) error {
		chain, err := tx.Tenants().Chain(ctx, m.Tenant)
		if err == nil && !chain.Settings().SandboxPayments {
			mode.OK, mode.Message = false, sandboxOff
		}
		return err
	})
	return append(checks, mode), err
}

// askChannel has the channel try the account, or asks it about a trade that
// cannot exist.
func askChannel(ctx context.Context, ch payment.Channel, m payment.Merchant) ([]payment.Check, error) {
	if checker, ok := ch.(payment.Checker); ok {
		return checker.Check(ctx, m)
	}
	check := payment.Check{Name: "CHANNEL_ANSWERS"}
	_, err := ch.Query(ctx, m, "EV00000000000000000000000000")
	code, _, refused := refusal(err)
	switch {
	case err == nil:
		check.OK, check.Message = true, evcs.Detail{ZH: "渠道已应答", EN: "the channel answered"}
	case refused:
		check.Message = evcs.Detail{ZH: "渠道拒绝查询: " + code, EN: "the channel refuses the query: " + code}
	default:
		return nil, err
	}
	return []payment.Check{check}, nil
}
