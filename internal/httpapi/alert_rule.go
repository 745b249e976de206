package httpapi

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/evcs/evcs/internal/alarm"
	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/evcs"
)

// AlertRuleReader reads rules; store.AlertRules satisfies it.
type AlertRuleReader interface {
	Settings(ctx context.Context, scope evcs.Scope) ([]alarm.Setting, error)
	OwnRule(ctx context.Context, scope evcs.Scope, id evcs.RuleID) (*alarm.Setting, error)
}

// ChannelReader reads channels; store.Channels satisfies it.
type ChannelReader interface {
	Channel(ctx context.Context, scope evcs.Scope, id evcs.ChannelID) (*alarm.Channel, error)
	ChannelPage(ctx context.Context, scope evcs.Scope, r evcs.PageRequest) (evcs.Page[alarm.Channel], error)
}

// Alerting are the operations of alert rules and notification channels.
type Alerting struct {
	Rules    *alarm.Rulebook
	Channels *alarm.Directory
	ReadRule AlertRuleReader
	ReadChan ChannelReader

	s *Server
}

// RulePath names a rule.
type RulePath struct {
	RuleID evcs.RuleID `path:"ruleId"`
}

// ChannelPath names a channel.
type ChannelPath struct {
	ChannelID evcs.ChannelID `path:"channelId"`
}

type ruleFilter struct {
	Paging
	Name    string        `query:"name" maxLength:"50"`
	Enabled Opt[api.Flag] `query:"enabled"`
}

type ruleQuery struct {
	Target
	RulePath
}

type updateRule struct {
	RulePath
	Body api.UpdateAlertRule
}

type deleteRule struct {
	RulePath
	Precondition
}

type channelFilter struct{ Paging }

type updateChannel struct {
	ChannelPath
	Body api.UpdateChannel
}

type deleteChannel struct {
	ChannelPath
	Precondition
}

func (p Alerting) register(s *Server) {
	p.s = s
	op := func(id, method, rest string, perm evcs.Permission, summary string, errs ...evcs.Code) operation {
		return operation{
			ID: id, Method: method, Path: monitoringPath + rest, Aliases: []string{monitoringV1Path + rest}, Group: "monitoring",
			Permission: perm, Summary: summary, WideByDefault: true, Errors: errs,
		}
	}
	const view, edit = evcs.Permission("monitoring:view"), evcs.Permission("monitoring:rule")
	paged := func(id, rest string, perm evcs.Permission, summary string, sorts ...string) operation {
		o := op(id, http.MethodGet, rest, perm, summary)
		o.Aliases = []string{monitoringPath + rest + "/page", monitoringV1Path + rest, monitoringV1Path + rest + "/page"}
		o.Sorts = sorts
		return o
	}
	rules := paged("listAlertRules", "alert-rule", view, "Alert rules: the built-in ones with the tenant's own values, and its own", "ruleId", "createTime", "name")
	rules.Description = "Rules of the host (tenantId null) are shown to holders of monitoring:system."
	registerPages(s, rules, p.rules)
	register(s, op("listAlertMetrics", http.MethodGet, "alert-rule/metrics", view, "What rules can watch"), p.metrics)
	register(s, op("getAlertRule", http.MethodGet, "alert-rule/{ruleId}", view, "One alert rule", evcs.CodeRuleNotFound, evcs.CodeTenantNotFound), p.rule)
	create := op("createAlertRule", http.MethodPost, "alert-rule", edit, "Create a rule on a metric", evcs.CodeChannelNotFound, evcs.CodeTenantNotFound)
	create.Said, create.ReadOnly = created, []any{api.AlertRule{}}
	create.Description = "The alert's alertType is the rule's name. It fires when the comparison holds for forSeconds and ends by itself when it has not held for two minutes."
	register(s, create, p.createRule)
	update := op("updateAlertRule", http.MethodPut, "alert-rule/{ruleId}", edit, "Change a rule, or a tenant's values of a built-in one",
		evcs.CodeRuleNotFound, evcs.CodeChannelNotFound, evcs.CodeTenantNotFound)
	update.ReadOnly = []any{api.AlertRule{}}
	register(s, update, p.updateRule)
	register(s, op("deleteAlertRule", http.MethodDelete, "alert-rule/{ruleId}", edit, "Delete a rule", evcs.CodeRuleNotFound, evcs.CodeRuleBuiltIn), p.deleteRule)
	p.registerChannels(s, op, paged)
}

func (p Alerting) registerChannels(s *Server,
	op func(id, method, rest string, perm evcs.Permission, summary string, errs ...evcs.Code) operation,
	paged func(id, rest string, perm evcs.Permission, summary string, sorts ...string) operation,
) {
	const edit = evcs.Permission("monitoring:rule")
	registerPages(s, paged("listNotificationChannels", "notification-channel", edit, "Notification channels", "channelId", "createTime", "name"), p.channels)
	create := op("createNotificationChannel", http.MethodPost, "notification-channel", edit, "Create a notification channel", evcs.CodeTenantNotFound)
	create.Said, create.Secret, create.ReadOnly = created, true, []any{api.NotificationChannel{}}
	create.Description = "Addresses that resolve to loopback, link-local, private or reserved networks are refused when something is sent, unless the settings open them (outbound.allowCidr)."
	register(s, create, p.createChannel)
	register(s, op("getNotificationChannel", http.MethodGet, "notification-channel/{channelId}", edit, "One notification channel", evcs.CodeChannelNotFound), p.channel)
	update := op("updateNotificationChannel", http.MethodPut, "notification-channel/{channelId}", edit, "Change a notification channel", evcs.CodeChannelNotFound)
	update.Secret, update.ReadOnly = true, []any{api.NotificationChannel{}}
	register(s, update, p.updateChannel)
	register(s, op("deleteNotificationChannel", http.MethodDelete, "notification-channel/{channelId}", edit, "Delete a notification channel", evcs.CodeChannelNotFound), p.deleteChannel)
	test := op("testNotificationChannel", http.MethodPost, "notification-channel/{channelId}/test", edit, "Send a test message, at once",
		evcs.CodeChannelNotFound, evcs.CodeDeliveryFailed)
	test.NoReplay = true
	register(s, test, p.test)
}

// hostSettings are what is set of the host's rules, for who may see them.
func (p Alerting) hostSettings(ctx context.Context, a *evcs.Actor) ([]alarm.Setting, error) {
	if !a.May("monitoring:system") {
		return nil, nil
	}
	return p.ReadRule.Settings(ctx, evcs.Only(0))
}

func (p Alerting) rules(ctx context.Context, a *evcs.Actor, in *ruleFilter, page evcs.PageRequest) (evcs.Page[api.AlertRule], error) {
	scope, err := in.Scope(ctx, a)
	if err != nil {
		return evcs.Page[api.AlertRule]{}, err
	}
	settings, err := p.ReadRule.Settings(ctx, scope)
	if err != nil {
		return evcs.Page[api.AlertRule]{}, err
	}
	host, err := p.hostSettings(ctx, a)
	if err != nil {
		return evcs.Page[api.AlertRule]{}, err
	}
	list := alarm.Named(alarm.RulesFor(a, scope, settings, host), in.Name)
	if in.Enabled.Set {
		list = slices.DeleteFunc(list, func(s alarm.Setting) bool { return s.Enabled != bool(in.Enabled.Value) })
	}
	english := exchangeOf(ctx).english
	found, err := pageInMemory(list, page, ruleKey)
	return pageOf(found, func(s alarm.Setting) api.AlertRule { return ruleJSON(s, english) }), err
}

// ruleKey is a rule's value of a sort field, as text that sorts like it.
func ruleKey(s alarm.Setting, field string) (text string, id int64) {
	switch field {
	case "name":
		text = s.Name
	case "createTime":
		text = leftPadded(evcs.Millis(s.Created))
	case "ruleId":
		text = leftPadded(int64(s.ID))
	}
	return text, int64(s.ID)
}

func leftPadded(n int64) string {
	text := strconv.FormatInt(n, 10)
	return "0000000000000000000"[:max(0, 19-len(text))] + text
}

// pageInMemory pages a list that is known to be short, as the store does long
// ones.
func pageInMemory[T any](list []T, r evcs.PageRequest, key func(v T, field string) (string, int64)) (evcs.Page[T], error) {
	order := func(x, y T) int {
		_, idX := key(x, "")
		_, idY := key(y, "")
		desc := true
		for i, s := range r.Sort {
			if i == 0 {
				desc = s.Desc
			}
			a, _ := key(x, s.Field)
			b, _ := key(y, s.Field)
			if c := cmp.Compare(a, b); c != 0 {
				if s.Desc {
					return -c
				}
				return c
			}
		}
		if desc {
			return cmp.Compare(idY, idX)
		}
		return cmp.Compare(idX, idY)
	}
	slices.SortStableFunc(list, order)
	result := evcs.Page[T]{Total: int64(len(list))}
	from := (max(r.Page, 1) - 1) * r.Size
	if r.Keyset {
		result.Total, from = -1, 0
		if r.After != nil {
			from = slices.IndexFunc(list, func(v T) bool { _, id := key(v, ""); return id == r.After.ID }) + 1
			if from == 0 {
				return evcs.Page[T]{}, errCursor // it was deleted meanwhile: the list is read anew
			}
		}
	}
	from = min(from, len(list))
	to := min(from+r.Size, len(list))
	result.Records = list[from:to]
	if r.Keyset && to < len(list) {
		_, id := key(list[to-1], "")
		result.Next = &evcs.PlaceAfter{ID: id}
	}
	return result, nil
}

func (p Alerting) metrics(ctx context.Context, a *evcs.Actor, _ *struct{}) (*[]api.AlertMetric, error) {
	english := exchangeOf(ctx).english
	list := []api.AlertMetric{}
	for _, m := range alarm.Metrics() {
		if !m.Host || a.May("monitoring:system") {
			list = append(list, api.AlertMetric{Metric: m.Name, Unit: m.Unit, Labels: append([]string{}, m.Labels...), Help: words{m.Help.ZH, m.Help.EN}.in(english)})
		}
	}
	return &list, nil
}

func (p Alerting) rule(ctx context.Context, a *evcs.Actor, in *ruleQuery) (*api.AlertRule, error) {
	english := exchangeOf(ctx).english
	if !alarm.IsBuiltIn(in.RuleID) {
		s, err := p.ownRule(ctx, a, in.RuleID, readDescendants)
		if err != nil {
			return nil, err
		}
		return api.Ptr(ruleJSON(*s, english)), nil
	}
	scope, err := in.Scope(ctx, a)
	if err != nil {
		return nil, err
	}
	settings, err := p.ReadRule.Settings(ctx, evcs.Only(scope.Tenant))
	if err != nil {
		return nil, err
	}
	host, err := p.hostSettings(ctx, a)
	if err != nil {
		return nil, err
	}
	for _, s := range alarm.RulesFor(a, scope, settings, host) {
		if s.ID == in.RuleID {
			return api.Ptr(ruleJSON(s, english)), nil
		}
	}
	return nil, evcs.With(alarm.ErrRuleNotFound, map[string]any{"ruleId": in.RuleID})
}

func (p Alerting) ownRule(ctx context.Context, a *evcs.Actor, id evcs.RuleID, needed evcs.Permission) (*alarm.Setting, error) {
	s, err := p.ReadRule.OwnRule(ctx, evcs.Subtree(a.Tenant), id)
	if err != nil {
		return nil, err
	}
	return s, p.s.reach(ctx, a, s.Tenant, needed)
}

func (p Alerting) createRule(ctx context.Context, a *evcs.Actor, in *struct{ Body api.CreateAlertRule }) (*api.AlertRule, error) {
	b := in.Body
	t, err := p.s.createFor(ctx, a, b.TenantID)
	if err != nil {
		return nil, err
	}
	n := alarm.NewRule{
		Tenant: t, Name: b.Name, Metric: b.Metric, Op: alarm.Op(b.Op), Threshold: evcs.Milli(b.Threshold), For: 5 * time.Minute,
		Severity: alarm.Severity(b.Severity), Channels: channelIDs(b.ChannelIDs), Enabled: b.Enabled == nil || bool(*b.Enabled),
	}
	if b.ForSeconds != nil {
		n.For = time.Duration(*b.ForSeconds) * time.Second
	}
	if b.Filter != nil {
		n.Filter = filterOf(*b.Filter)
	}
	s, err := p.Rules.Create(ctx, a, n)
	if err != nil {
		return nil, err
	}
	return api.Ptr(ruleJSON(*s, exchangeOf(ctx).english)), nil
}

func channelIDs(ids []int64) []evcs.ChannelID {
	return listOf(ids, func(id int64) evcs.ChannelID { return evcs.ChannelID(id) })
}

func filterOf(f api.AlertFilter) alarm.Filter {
	return alarm.Filter{Station: evcs.StationID(orZero(f.StationID)), Charger: evcs.ChargerID(orZero(f.ChargerID)), Label: orZero(f.Label)}
}

func (p Alerting) updateRule(ctx context.Context, a *evcs.Actor, in *updateRule) (*api.AlertRule, error) {
	b := in.Body
	c := alarm.RuleChange{Name: b.Name, Metric: b.Metric, MinSamples: b.MinSamples, Version: b.Version, Enabled: boolOfFlag(b.Enabled)}
	if b.Op != nil {
		c.Op = api.Ptr(alarm.Op(*b.Op))
	}
	if b.Threshold != nil {
		c.Threshold = api.Ptr(evcs.Milli(*b.Threshold))
	}
	if b.ForSeconds != nil {
		c.For = api.Ptr(time.Duration(*b.ForSeconds) * time.Second)
	}
	if b.Severity != nil {
		c.Severity = api.Ptr(alarm.Severity(*b.Severity))
	}
	if b.Filter != nil {
		c.Filter = api.Ptr(filterOf(*b.Filter))
	}
	if b.ChannelIDs != nil {
		c.Channels = api.Ptr(channelIDs(*b.ChannelIDs))
	}
	s, err := p.change(ctx, a, in.RuleID, b.TenantID, c)
	if err != nil {
		return nil, err
	}
	return api.Ptr(ruleJSON(*s, exchangeOf(ctx).english)), nil
}

func (p Alerting) change(ctx context.Context, a *evcs.Actor, id evcs.RuleID, tenant *int64, c alarm.RuleChange) (*alarm.Setting, error) {
	if alarm.IsBuiltIn(id) {
		t, err := p.s.createFor(ctx, a, tenant)
		if err != nil {
			return nil, err
		}
		return p.Rules.SetBuiltIn(ctx, a, t, id, c)
	}
	own, err := p.ownRule(ctx, a, id, writeDescendants)
	if err != nil {
		return nil, err
	}
	if tenant != nil && evcs.TenantID(*tenant) != own.Tenant {
		return nil, evcs.Invalid(evcs.FieldFault{Field: "tenantId", Message: "is fixed"})
	}
	return p.Rules.Change(ctx, a, own.Tenant, id, c)
}

func boolOfFlag(f *api.Flag) *bool {
	if f == nil {
		return nil
	}
	return api.Ptr(bool(*f))
}

func (p Alerting) deleteRule(ctx context.Context, a *evcs.Actor, in *deleteRule) (*Null, error) {
	version, err := in.Version()
	if err != nil {
		return nil, err
	}
	if alarm.IsBuiltIn(in.RuleID) {
		for _, s := range alarm.RulesFor(a, evcs.Only(a.Tenant), nil, nil) {
			if s.ID == in.RuleID {
				return nil, evcs.With(alarm.ErrBuiltIn, map[string]any{"ruleId": in.RuleID})
			}
		}
		return nil, evcs.With(alarm.ErrRuleNotFound, map[string]any{"ruleId": in.RuleID})
	}
	own, err := p.ownRule(ctx, a, in.RuleID, writeDescendants)
	if err != nil {
		return nil, err
	}
	return nil, p.Rules.Delete(ctx, a, own.Tenant, in.RuleID, version)
}

func ruleJSON(s alarm.Setting, english bool) api.AlertRule {
	title := alarm.TitleOf(alarm.Rule(s.Name))
	r := api.AlertRule{
		RuleID: int64(s.ID), TenantID: idOrNil(s.Tenant), Name: s.Name, Title: words{title.ZH, title.EN}.in(english), BuiltIn: s.BuiltIn != 0,
		Metric: textOrNil(s.Metric), Op: textOrNil(string(s.Op)), ForSeconds: int64(s.For / time.Second), Severity: string(s.Severity),
		Filter:     api.AlertFilter{StationID: idOrNil(s.Filter.Station), ChargerID: idOrNil(s.Filter.Charger), Label: textOrNil(s.Filter.Label)},
		MinSamples: s.MinSamples, ChannelIDs: listOf(s.Channels, func(id evcs.ChannelID) int64 { return int64(id) }), Enabled: s.Enabled, Version: s.Version,
	}
	if s.Threshold != nil {
		r.Threshold = api.Ptr(api.Measure(*s.Threshold))
	}
	return r
}

func (p Alerting) channels(ctx context.Context, a *evcs.Actor, in *channelFilter, page evcs.PageRequest) (evcs.Page[api.NotificationChannel], error) {
	scope, err := in.Scope(ctx, a)
	if err != nil {
		return evcs.Page[api.NotificationChannel]{}, err
	}
	found, err := p.ReadChan.ChannelPage(ctx, scope, page)
	return pageOf(found, worded(ctx, channelJSON)), err
}

func (p Alerting) find(ctx context.Context, a *evcs.Actor, id evcs.ChannelID, needed evcs.Permission) (*alarm.Channel, error) {
	c, err := p.ReadChan.Channel(ctx, evcs.Subtree(a.Tenant), id)
	if err != nil {
		return nil, err
	}
	return c, p.s.reach(ctx, a, c.Tenant, needed)
}

func (p Alerting) channel(ctx context.Context, a *evcs.Actor, in *ChannelPath) (*api.NotificationChannel, error) {
	c, err := p.find(ctx, a, in.ChannelID, readDescendants)
	if err != nil {
		return nil, err
	}
	return api.Ptr(channelJSON(*c, inEnglish(ctx))), nil
}

func (p Alerting) createChannel(ctx context.Context, a *evcs.Actor, in *struct{ Body api.CreateChannel }) (*api.NotificationChannel, error) {
	b := in.Body
	t, err := p.s.createFor(ctx, a, b.TenantID)
	if err != nil {
		return nil, err
	}
	n := alarm.ChannelChange{
		Type: alarm.ChannelType(b.Type), Name: &b.Name, RepeatMinutes: b.RepeatMinutes, IncludeDescendants: boolOfFlag(b.IncludeDescendants),
		Enabled: boolOfFlag(b.Enabled), Group: secondsOf(b.GroupSeconds), MinSeverity: severityOf(b.MinSeverity),
	}
	if b.QuietHours != nil {
		n.Quiet = &[2]string{b.QuietHours.From, b.QuietHours.To}
	}
	if err := configOf(&n, &b.Config); err != nil {
		return nil, err
	}
	c, err := p.Channels.Create(ctx, a, t, n)
	if err != nil {
		return nil, err
	}
	return api.Ptr(channelJSON(*c, inEnglish(ctx))), nil
}

func secondsOf(n *int64) *time.Duration {
	if n == nil {
		return nil
	}
	return api.Ptr(time.Duration(*n) * time.Second)
}

func severityOf(text *string) *alarm.Severity {
	if text == nil {
		return nil
	}
	return api.Ptr(alarm.Severity(*text))
}

// configOf reads where a channel sends to.
func configOf(n *alarm.ChannelChange, c *api.WriteChannelConfig) error {
	n.URL, n.Recipients = c.URL, c.To
	switch raw := bytes.TrimSpace(c.Secret); {
	case len(raw) == 0, raw[0] == '{': // absent, or what a read object shows
	case string(raw) == "null":
		n.Secret = api.Ptr("")
	default:
		var text string
		if err := json.Unmarshal(raw, &text); err != nil {
			return evcs.Invalid(evcs.FieldFault{Field: "config.secret", Message: "must be a text"})
		}
		n.Secret = &text
	}
	return nil
}

func (p Alerting) updateChannel(ctx context.Context, a *evcs.Actor, in *updateChannel) (*api.NotificationChannel, error) {
	b := in.Body
	found, err := p.find(ctx, a, in.ChannelID, writeDescendants)
	if err != nil {
		return nil, err
	}
	n := alarm.ChannelChange{
		Type: alarm.ChannelType(orZero(b.Type)), Name: b.Name, RepeatMinutes: b.RepeatMinutes, IncludeDescendants: boolOfFlag(b.IncludeDescendants),
		Enabled: boolOfFlag(b.Enabled), Group: secondsOf(b.GroupSeconds), MinSeverity: severityOf(b.MinSeverity), Version: b.Version,
	}
	if b.QuietHours.Set {
		n.Quiet = &[2]string{b.QuietHours.Value.From, b.QuietHours.Value.To}
	}
	if b.Config != nil {
		if err := configOf(&n, b.Config); err != nil {
			return nil, err
		}
	}
	c, err := p.Channels.Change(ctx, a, found.Tenant, in.ChannelID, n)
	if err != nil {
		return nil, err
	}
	return api.Ptr(channelJSON(*c, inEnglish(ctx))), nil
}

func (p Alerting) deleteChannel(ctx context.Context, a *evcs.Actor, in *deleteChannel) (*Null, error) {
	version, err := in.Version()
	if err != nil {
		return nil, err
	}
	found, err := p.find(ctx, a, in.ChannelID, writeDescendants)
	if err != nil {
		return nil, err
	}
	return nil, p.Channels.Delete(ctx, a, found.Tenant, in.ChannelID, version)
}

func (p Alerting) test(ctx context.Context, a *evcs.Actor, in *ChannelPath) (*api.DeliveryTrial, error) {
	found, err := p.find(ctx, a, in.ChannelID, writeDescendants)
	if err != nil {
		return nil, err
	}
	trial, err := p.Channels.Test(ctx, found.Tenant, in.ChannelID)
	if err != nil {
		return nil, err
	}
	return trialJSON(trial.Status, trial.Took), nil
}

func trialJSON(status int, took time.Duration) *api.DeliveryTrial {
	return &api.DeliveryTrial{OK: true, Status: numberOrNil(status), DurationMS: took.Milliseconds()}
}

func channelJSON(c alarm.Channel, english bool) api.NotificationChannel {
	out := api.NotificationChannel{
		ChannelID: int64(c.ID), TenantID: int64(c.Tenant), Type: string(c.Type), Name: c.Name,
		Config: api.ChannelConfig{
			URL: textOrNil(c.URLShown), To: append([]string{}, c.Recipients...),
			Secret: api.SecretShown{Set: c.SecretPrint != "", Fingerprint: textOrNil(c.SecretPrint), UpdatedTime: api.AtOrNil(c.SecretAt)},
		},
		MinSeverity: string(c.MinSeverity), GroupSeconds: int64(c.Group / time.Second), RepeatMinutes: c.RepeatMinutes,
		IncludeDescendants: api.Flag(c.IncludeDescendants), Enabled: api.Flag(c.Enabled), LastSuccessTime: api.AtOrNil(c.LastSuccess),
		LastError: remark(c.LastError, english), Version: c.Version,
	}
	if c.QuietFrom != "" {
		out.QuietHours = &api.QuietHours{From: c.QuietFrom, To: c.QuietTo}
	}
	return out
}
