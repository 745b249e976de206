package tenant

import (
	"context"
	"errors"
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

// Overrides is what a tenant set itself; nil is inherited (contract §11.4).
type Overrides struct {
	TimeZone              *string
	Locale                *string
	AutoToPay             *bool
	SettleFromEstimate    *bool
	BlockUnpaidUsers      *bool
	SandboxPayments       *bool // never inherited
	PaymentTimeoutMinutes *int
	RefundApprovalAbove   *evcs.Money // a refund above it needs a second person
	IDTagPolicy           *string
	MeterRetentionDays    *int
	MessageRetentionDays  *int
	AuditRetentionDays    *int
}

// Settings are what holds for a tenant.
type Settings struct {
	TimeZone              string
	Locale                string
	AutoToPay             bool
	SettleFromEstimate    bool
	BlockUnpaidUsers      bool
	SandboxPayments       bool
	PaymentTimeoutMinutes int
	RefundApprovalAbove   *evcs.Money // nil: every refund needs one person
	IDTagPolicy           string
	MeterRetentionDays    int
	MessageRetentionDays  int
	AuditRetentionDays    int
}

// The policies for id tags that a tenant does not know.
const (
	KnownOnly = "KNOWN_ONLY"
	AcceptAll = "ACCEPT_ALL"
)

// DefaultSettings hold where nobody in the chain has said otherwise.
func DefaultSettings() Settings {
	return Settings{
		TimeZone: evcs.DefaultTimeZone, Locale: "zh-CN", AutoToPay: true, SettleFromEstimate: true,
		PaymentTimeoutMinutes: 15, IDTagPolicy: KnownOnly,
		MeterRetentionDays: 400, MessageRetentionDays: 90, AuditRetentionDays: 1100,
	}
}

// Settings resolves what holds for the tenant: the nearest value of the chain,
// else the default. Sandbox payments hold only where the tenant itself has
// switched them on, so that pretended money cannot spread down the tree.
func (c Chain) Settings() Settings {
	s := DefaultSettings()
	for i := len(c) - 1; i >= 0; i-- {
		o := c[i].Own
		take(&s.TimeZone, o.TimeZone)
		take(&s.Locale, o.Locale)
		take(&s.AutoToPay, o.AutoToPay)
		take(&s.SettleFromEstimate, o.SettleFromEstimate)
		take(&s.BlockUnpaidUsers, o.BlockUnpaidUsers)
		take(&s.PaymentTimeoutMinutes, o.PaymentTimeoutMinutes)
		if o.RefundApprovalAbove != nil {
			s.RefundApprovalAbove = o.RefundApprovalAbove
		}
		take(&s.IDTagPolicy, o.IDTagPolicy)
		take(&s.MeterRetentionDays, o.MeterRetentionDays)
		take(&s.MessageRetentionDays, o.MessageRetentionDays)
		take(&s.AuditRetentionDays, o.AuditRetentionDays)
	}
	take(&s.SandboxPayments, c.Self().Own.SandboxPayments)
	return s
}

func take[T any](place *T, own *T) {
	if own != nil {
		*place = *own
	}
}

// Zone is the tenant's time zone. A name this machine does not know falls back
// to China's fixed offset; Overrides.check keeps such names out.
func (s Settings) Zone() *time.Location {
	if loc, err := evcs.Zone(s.TimeZone); err == nil {
		return loc
	}
	return time.FixedZone(evcs.DefaultTimeZone, 8*60*60)
}

var errZone = errors.New("no such time zone")

// CheckZone refuses what is not the name of a time zone such as Asia/Shanghai.
func CheckZone(name string) error {
	if name == "" || name == "Local" { // names of the machine's own settings
		return errZone
	}
	if _, err := evcs.Zone(name); err != nil {
		return errZone
	}
	return nil
}

// check finds every fault of what a tenant sets.
func (o *Overrides) check() []evcs.FieldFault {
	var faults []evcs.FieldFault
	fault := func(bad bool, field, message string) {
		if bad {
			faults = append(faults, evcs.FieldFault{Field: field, Message: message})
		}
	}
	within := func(n *int, most int) bool { return n == nil || *n >= 1 && *n <= most }
	if o.TimeZone != nil {
		fault(CheckZone(*o.TimeZone) != nil, "timeZone", "is no time zone, such as Asia/Shanghai")
	}
	fault(o.Locale != nil && *o.Locale != "zh-CN" && *o.Locale != "en", "locale", "must be zh-CN or en")
	fault(o.IDTagPolicy != nil && *o.IDTagPolicy != KnownOnly && *o.IDTagPolicy != AcceptAll, "idTagPolicy", "must be KNOWN_ONLY or ACCEPT_ALL")
	fault(!within(o.PaymentTimeoutMinutes, maxTimeoutMinutes), "paymentTimeoutMinutes", "must be 1 to 1440")
	fault(o.RefundApprovalAbove != nil && *o.RefundApprovalAbove < 0, "refundApprovalAbove", "is negative")
	fault(!within(o.MeterRetentionDays, maxRetentionDays), "meterRetentionDays", "must be 1 to 36500")
	fault(!within(o.MessageRetentionDays, maxRetentionDays), "messageRetentionDays", "must be 1 to 36500")
	fault(!within(o.AuditRetentionDays, maxRetentionDays), "auditRetentionDays", "must be 1 to 36500")
	return faults
}

const (
	maxTimeoutMinutes = 1440
	maxRetentionDays  = 36500
)

// UpdateSettings changes what a tenant of the actor's subtree sets itself:
// edit writes the fields that were given. It returns what holds then.
func (r *Registry) UpdateSettings(ctx context.Context, a *evcs.Actor, id evcs.TenantID, expected *int64, edit func(*Overrides)) (Settings, int64, error) {
	var holds Settings
	t, err := r.change(ctx, "change settings", func(tx Tx) (*Tenant, error) {
		s := tx.Tenants()
		t, err := load(ctx, s, a, id, expected)
		if err != nil {
			return nil, err
		}
		before, err := s.Chain(ctx, id)
		if err != nil {
			return nil, err
		}
		edit(&t.Own)
		if err := evcs.Invalid(t.Own.check()...); err != nil {
			return nil, err
		}
		t.Updated = r.Clock.Now()
		if err := s.Update(ctx, t); err != nil {
			return nil, err
		}
		after, err := s.Chain(ctx, id)
		if err != nil {
			return nil, err
		}
		holds = after.Settings()
		if err := r.announce(ctx, tx, t); err != nil {
			return nil, err
		}
		return t, Audit(ctx, s, a, t.row(t.Updated, UpdateSettings, settingsDiff(before.Settings(), holds)))
	})
	if err != nil {
		return Settings{}, 0, err
	}
	return holds, t.Version, nil
}

func settingsDiff(before, after Settings) map[string]any {
	d := make(map[string]any)
	Differ(d, "timeZone", before.TimeZone, after.TimeZone)
	Differ(d, "locale", before.Locale, after.Locale)
	Differ(d, "autoToPay", before.AutoToPay, after.AutoToPay)
	Differ(d, "settleFromEstimate", before.SettleFromEstimate, after.SettleFromEstimate)
	Differ(d, "blockUnpaidUsers", before.BlockUnpaidUsers, after.BlockUnpaidUsers)
	Differ(d, "sandboxPayments", before.SandboxPayments, after.SandboxPayments)
	Differ(d, "paymentTimeoutMinutes", before.PaymentTimeoutMinutes, after.PaymentTimeoutMinutes)
	Differ(d, "refundApprovalAbove", limitText(before.RefundApprovalAbove), limitText(after.RefundApprovalAbove))
	Differ(d, "idTagPolicy", before.IDTagPolicy, after.IDTagPolicy)
	Differ(d, "meterRetentionDays", before.MeterRetentionDays, after.MeterRetentionDays)
	Differ(d, "messageRetentionDays", before.MessageRetentionDays, after.MessageRetentionDays)
	Differ(d, "auditRetentionDays", before.AuditRetentionDays, after.AuditRetentionDays)
	return d
}

func limitText(m *evcs.Money) string {
	if m == nil {
		return ""
	}
	return m.String()
}
