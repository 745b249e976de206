package alarm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/mail"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/tenant"
)

// ChannelType is how a channel reaches people.
type ChannelType string

// The types of contract §14.4.
const (
	ByWebhook  ChannelType = "WEBHOOK"
	ByEmail    ChannelType = "EMAIL"
	ByDingTalk ChannelType = "DINGTALK"
	ByWeCom    ChannelType = "WECOM"
	ByFeishu   ChannelType = "FEISHU"
)

// Endpoint is where a channel sends to and what it signs with. It is kept
// sealed: robots of chat platforms carry their key in the URL.
type Endpoint struct {
	URL    string `json:"url"`
	Secret string `json:"secret,omitempty"`
}

// Channel is a way to tell people of alerts.
type Channel struct {
	ID         evcs.ChannelID
	Tenant     evcs.TenantID
	Type       ChannelType
	Name       string
	Recipients []string // of EMAIL
	// URLShown is the URL without what must not be read back.
	URLShown    string
	Sealed      string // the Endpoint
	SecretPrint string // "" when there is no secret
	SecretAt    time.Time

	MinSeverity        Severity
	QuietFrom, QuietTo string // HH:mm in the tenant's zone; "" when there are none
	Group              time.Duration
	RepeatMinutes      int64
	IncludeDescendants bool
	Enabled            bool
	LastSuccess        time.Time
	LastError          string
	Created            time.Time
	Updated            time.Time
	Deleted            time.Time
	Version            int64
}

// ChannelStore keeps channels.
type ChannelStore interface {
	Channel(ctx context.Context, scope evcs.Scope, id evcs.ChannelID) (*Channel, error)
	// CountChannels counts those of one tenant.
	CountChannels(ctx context.Context, scope evcs.Scope) (int, error)
	InsertChannel(ctx context.Context, c *Channel) error
	// UpdateChannel compares the version and increments it.
	UpdateChannel(ctx context.Context, c *Channel) error
	// NoteChannel writes how the last delivery went; it is no change of the
	// channel and leaves its version alone.
	NoteChannel(ctx context.Context, c *Channel, at time.Time, failure string) error
	// Hearing are the enabled channels that hear of a tenant's alerts: its own,
	// and those of ancestors that include their descendants. Host alerts
	// (tenant zero) are heard by the platform.
	Hearing(ctx context.Context, t evcs.TenantID) ([]Channel, error)
}

// Sealer keeps secrets; auth.Sealer is one.
type Sealer interface {
	Seal(plain []byte) (string, error)
	Open(sealed string) ([]byte, error)
}

// Directory has the verbs on channels.
type Directory struct {
	Clock    evcs.Clock
	Transact Transact
	Sealer   Sealer
	Courier  Courier
	// PlainHTTP takes URLs without TLS; for receivers in a network of one's own.
	PlainHTTP bool
}

// ChannelChange is what a channel is made of, or what changes of one; nil
// fields take the default or stay.
type ChannelChange struct {
	Type               ChannelType // creation only
	Name               *string
	Recipients         *[]string
	URL                *string
	Secret             *string
	MinSeverity        *Severity
	Quiet              *[2]string // "", "" ends quiet hours
	Group              *time.Duration
	RepeatMinutes      *int64
	IncludeDescendants *bool
	Enabled            *bool
	Version            *int64
}

const (
	maxChannels   = 50
	maxRecipients = 20
	maxURL        = 2000
	maxSecret     = 256
	leastSecret   = 16
)

// Create makes a channel. The caller has checked that the actor may write in
// the tenant.
func (d *Directory) Create(ctx context.Context, a *evcs.Actor, t evcs.TenantID, n ChannelChange) (*Channel, error) {
	now := d.Clock.Now()
	c := Channel{
		Tenant: t, Type: n.Type, MinSeverity: High, Group: 30 * time.Second, RepeatMinutes: 240, Enabled: true, Created: now, Updated: now,
	}
	if err := d.apply(&c, n, now); err != nil {
		return nil, err
	}
	var made Channel
	err := d.Transact(ctx, func(tx Tx) error {
		made = c
		count, err := tx.Channels().CountChannels(ctx, evcs.Only(t))
		if err != nil {
			return err
		}
		if count >= maxChannels {
			return evcs.Invalid(evcs.FieldFault{Field: "name", Message: fmt.Sprintf("a tenant has at most %d channels", maxChannels)})
		}
		if err := tx.Channels().InsertChannel(ctx, &made); err != nil {
			return err
		}
		return tenant.Audit(ctx, tx.Tenants(), a, made.row(now, tenant.Created(tenant.KindNotificationChannel), map[string]any{
			"name": made.Name, "type": string(made.Type), "url": made.URLShown,
		}))
	})
	if err != nil {
		return nil, err
	}
	return &made, nil
}

// Change changes a channel. A secret that is not given stays.
func (d *Directory) Change(ctx context.Context, a *evcs.Actor, t evcs.TenantID, id evcs.ChannelID, n ChannelChange) (*Channel, error) {
	now := d.Clock.Now()
	var made Channel
	err := d.Transact(ctx, func(tx Tx) error {
		c, err := tx.Channels().Channel(ctx, evcs.Only(t), id)
		if err != nil {
			return err
		}
		if n.Version != nil && *n.Version != c.Version {
			return evcs.With(evcs.ErrVersion, map[string]any{"currentVersion": c.Version})
		}
		if n.Type != "" && n.Type != c.Type {
			return evcs.Invalid(evcs.FieldFault{Field: "type", Message: "is fixed"})
		}
		before := *c
		if err := d.apply(c, n, now); err != nil {
			return err
		}
		c.Updated = now
		if err := tx.Channels().UpdateChannel(ctx, c); err != nil {
			return err
		}
		made = *c
		details := map[string]any{"name": c.Name}
		tenant.Differ(details, "name", before.Name, c.Name)
		tenant.Differ(details, "url", before.URLShown, c.URLShown)
		tenant.Differ(details, "secret", before.SecretPrint, c.SecretPrint)
		tenant.Differ(details, "enabled", before.Enabled, c.Enabled)
		tenant.Differ(details, "minSeverity", before.MinSeverity, c.MinSeverity)
		tenant.Differ(details, "to", strings.Join(before.Recipients, ","), strings.Join(c.Recipients, ","))
		return tenant.Audit(ctx, tx.Tenants(), a, c.row(now, tenant.Updated(tenant.KindNotificationChannel), details))
	})
	if err != nil {
		return nil, err
	}
	return &made, nil
}

// Delete deletes a channel; what waits on it is not sent.
func (d *Directory) Delete(ctx context.Context, a *evcs.Actor, t evcs.TenantID, id evcs.ChannelID, version *int64) error {
	now := d.Clock.Now()
	return d.Transact(ctx, func(tx Tx) error {
		c, err := tx.Channels().Channel(ctx, evcs.Only(t), id)
		if err != nil {
			return err
		}
		if version != nil && *version != c.Version {
			return evcs.With(evcs.ErrVersion, map[string]any{"currentVersion": c.Version})
		}
		c.Deleted, c.Updated, c.Sealed = now, now, ""
		if err := tx.Channels().UpdateChannel(ctx, c); err != nil {
			return err
		}
		return tenant.Audit(ctx, tx.Tenants(), a, c.row(now, tenant.Deleted(tenant.KindNotificationChannel), map[string]any{"name": c.Name}))
	})
}

func (c *Channel) row(at time.Time, action tenant.Action, details map[string]any) tenant.AuditRow {
	return tenant.AuditRow{
		At: at, Action: action, Target: c.Tenant, TargetType: tenant.KindNotificationChannel, TargetID: strconv.FormatInt(int64(c.ID), 10),
		Success: true, Details: details,
	}
}

// apply takes over what is given and finds every fault of the result.
func (d *Directory) apply(c *Channel, n ChannelChange, now time.Time) error {
	take(&c.Name, n.Name)
	take(&c.Recipients, n.Recipients)
	take(&c.MinSeverity, n.MinSeverity)
	take(&c.Group, n.Group)
	take(&c.RepeatMinutes, n.RepeatMinutes)
	take(&c.IncludeDescendants, n.IncludeDescendants)
	take(&c.Enabled, n.Enabled)
	if n.Quiet != nil {
		c.QuietFrom, c.QuietTo = n.Quiet[0], n.Quiet[1]
	}
	faults := c.faults()
	to, changed, err := d.endpoint(c, n)
	if err != nil {
		return err
	}
	if faults = append(faults, d.endpointFaults(c.Type, to)...); len(faults) > 0 {
		return evcs.Invalid(faults...)
	}
	if !changed {
		return nil
	}
	return d.seal(c, to, n.Secret != nil, now)
}

// endpoint is the endpoint with what is given. A URL as it is shown means the
// one that is kept.
func (d *Directory) endpoint(c *Channel, n ChannelChange) (to Endpoint, changed bool, err error) {
	if c.Sealed != "" {
		if to, err = c.Endpoint(d.Sealer); err != nil {
			return to, false, err
		}
	}
	if n.URL != nil && (*n.URL != c.URLShown || c.Sealed == "") {
		to.URL, changed = *n.URL, true
	}
	if n.Secret != nil {
		to.Secret, changed = *n.Secret, true
	}
	return to, changed || c.Sealed == "", nil
}

// Endpoint opens what is sealed.
func (c *Channel) Endpoint(s Sealer) (to Endpoint, err error) {
	plain, err := s.Open(c.Sealed)
	if err == nil {
		err = json.Unmarshal(plain, &to)
	}
	if err != nil {
		return Endpoint{}, fmt.Errorf("open the endpoint of channel %d: %w", c.ID, err)
	}
	return to, nil
}

func (d *Directory) seal(c *Channel, to Endpoint, secretGiven bool, now time.Time) error {
	plain, err := json.Marshal(to)
	if err != nil {
		return fmt.Errorf("write the endpoint of a channel: %w", err)
	}
	if c.Sealed, err = d.Sealer.Seal(plain); err != nil {
		return err
	}
	c.URLShown = shown(c.Type, to.URL)
	if secretGiven {
		c.SecretPrint, c.SecretAt = Fingerprint(to.Secret), now
	}
	return nil
}

// Fingerprint tells secrets apart without showing them; "" for none.
func Fingerprint(secret string) string {
	if secret == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:6])
}

// shown is a URL without its key: the whole query, and for Feishu the path,
// which holds it.
func shown(kind ChannelType, raw string) string {
	u, err := url.Parse(raw)
	if err != nil || raw == "" {
		return ""
	}
	if kind == ByFeishu {
		return u.Scheme + "://" + u.Host + "/***"
	}
	if u.RawQuery != "" {
		return u.Scheme + "://" + u.Host + u.EscapedPath() + "?***"
	}
	return raw
}

// faults finds what is wrong with everything but the endpoint.
func (c *Channel) faults() []evcs.FieldFault {
	var faults []evcs.FieldFault
	fault := func(bad bool, field, message string) {
		if bad {
			faults = append(faults, evcs.FieldFault{Field: field, Message: message})
		}
	}
	kinds := []ChannelType{ByWebhook, ByEmail, ByDingTalk, ByWeCom, ByFeishu}
	fault(!slices.Contains(kinds, c.Type), "type", "must be WEBHOOK, EMAIL, DINGTALK, WECOM or FEISHU")
	fault(c.Name == "" || len([]rune(c.Name)) > 64, "name", "must have 1 to 64 characters")
	fault(!slices.Contains(severities, c.MinSeverity), "minSeverity", "must be CRITICAL, HIGH, MEDIUM or LOW")
	fault(c.Group < 0 || c.Group > time.Hour, "groupSeconds", "must be 0 to 3600")
	fault(c.RepeatMinutes < 1 || c.RepeatMinutes > 7*24*60, "repeatMinutes", "must be 1 to 10080")
	quiet := c.QuietFrom != "" || c.QuietTo != ""
	fault(quiet && !(hourForm(c.QuietFrom, false) && hourForm(c.QuietTo, true)) || quiet && c.QuietFrom == c.QuietTo, "quietHours", "must be two different times HH:mm")
	if c.Type == ByEmail {
		fault(len(c.Recipients) == 0 || len(c.Recipients) > maxRecipients, "config.to", "must have 1 to 20 addresses")
		for i, to := range c.Recipients {
			at, err := mail.ParseAddress(to)
			fault(err != nil || at.Address != to, "config.to["+strconv.Itoa(i)+"]", "is no mail address")
		}
	} else {
		fault(len(c.Recipients) > 0, "config.to", "is for EMAIL only")
	}
	return faults
}

func hourForm(text string, end bool) bool {
	if end && text == "24:00" {
		return true
	}
	_, err := time.Parse("15:04", text)
	return err == nil && len(text) == 5
}

func (d *Directory) endpointFaults(kind ChannelType, to Endpoint) []evcs.FieldFault {
	var faults []evcs.FieldFault
	fault := func(bad bool, field, message string) {
		if bad {
			faults = append(faults, evcs.FieldFault{Field: field, Message: message})
		}
	}
	if kind == ByEmail {
		fault(to.URL != "", "config.url", "is not for EMAIL")
		fault(to.Secret != "", "config.secret", "is not for EMAIL")
		return faults
	}
	if message := URLFault(to.URL, d.PlainHTTP); message != "" {
		fault(true, "config.url", message)
	}
	fault(len(to.Secret) > maxSecret, "config.secret", "must have at most 256 bytes")
	fault(kind == ByWebhook && len(to.Secret) < leastSecret, "config.secret", "must have at least 16 bytes: what is sent is signed with it")
	fault(kind == ByWeCom && to.Secret != "", "config.secret", "is not for WECOM, whose key is in the URL")
	return faults
}

// URLFault is what is wrong with the URL of a receiver, or "".
func URLFault(raw string, plainHTTP bool) string {
	u, err := url.Parse(raw)
	switch {
	case raw == "":
		return "is required"
	case len(raw) > maxURL:
		return "must have at most 2000 characters"
	case err != nil || u.Host == "" || u.Hostname() == "" || u.Opaque != "":
		return "must be an absolute URL"
	case u.Scheme != "https" && !(plainHTTP && u.Scheme == "http"):
		return "must begin with https://"
	case u.User != nil:
		return "must not hold a user or password"
	case u.Fragment != "":
		return "must not have a fragment"
	}
	return ""
}

// quietUntil is when quiet hours end that hold at a moment; the zero time when
// none do.
func (c *Channel) quietUntil(at time.Time, zone *time.Location) time.Time {
	if c.QuietFrom == "" {
		return time.Time{}
	}
	local := at.In(zone)
	clock := func(text string, day int) time.Time {
		var h, m int
		if _, err := fmt.Sscanf(text, "%d:%d", &h, &m); err != nil {
			return time.Time{} // checked when it was set
		}
		return time.Date(local.Year(), local.Month(), local.Day()+day, h, m, 0, 0, zone)
	}
	for _, day := range []int{-1, 0} { // hours over midnight began yesterday
		from, to := clock(c.QuietFrom, day), clock(c.QuietTo, day)
		if !to.After(from) {
			to = clock(c.QuietTo, day+1)
		}
		if !local.Before(from) && local.Before(to) {
			return to.UTC()
		}
	}
	return time.Time{}
}

// Repeat is how long after a notice of a severity the next one is due.
func (c *Channel) repeat(s Severity) time.Duration {
	after := c.RepeatMinutes
	if s == Critical {
		after = min(after, 60)
	}
	return time.Duration(after) * time.Minute
}
