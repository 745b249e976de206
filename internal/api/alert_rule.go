package api

import "encoding/json"

// The comparisons of an alert rule.
const (
	OpGreater        = "gt"
	OpGreaterOrEqual = "ge"
	OpLess           = "lt"
	OpLessOrEqual    = "le"
)

// AlertFilter narrows a rule to some targets; null keeps all.
type AlertFilter struct {
	StationID *int64  `json:"stationId,omitempty" minimum:"1"`
	ChargerID *int64  `json:"chargerId,omitempty" minimum:"1"`
	Label     *string `json:"label,omitempty" doc:"Exact value of the metric's label" maxLength:"64"`
}

// AlertRule is a rule as a tenant has it.
type AlertRule struct {
	RuleID     int64       `json:"ruleId" doc:"Built-in rules have the numbers below 1001"`
	TenantID   *int64      `json:"tenantId" doc:"Null: a rule of the host"`
	Name       string      `json:"name" doc:"The alertType of its alerts"`
	Title      string      `json:"title" doc:"In the language asked"`
	BuiltIn    bool        `json:"builtIn"`
	Metric     *string     `json:"metric" doc:"Null: raised by its cause"`
	Op         *string     `json:"op" enum:"gt,ge,lt,le"`
	Threshold  *Measure    `json:"threshold"`
	ForSeconds int64       `json:"forSeconds"`
	Severity   string      `json:"severity" enum:"CRITICAL,HIGH,MEDIUM,LOW"`
	Filter     AlertFilter `json:"filter"`
	MinSamples int64       `json:"minSamples"`
	ChannelIDs []int64     `json:"channelIds" doc:"Empty: every channel of the tenant"`
	Enabled    bool        `json:"enabled"`
	Version    int64       `json:"version" doc:"0: a built-in rule that the tenant has not changed"`
}

// CreateAlertRule is the body of POST /api/monitoring/alert-rule.
type CreateAlertRule struct {
	TenantID   *int64       `json:"tenantId,omitempty" doc:"Self or a descendant; default: the principal's own" minimum:"1"`
	Name       string       `json:"name" pattern:"^[A-Za-z0-9_.-]{1,50}$"`
	Metric     string       `json:"metric" doc:"One of GET /api/monitoring/alert-rule/metrics" minLength:"1" maxLength:"64"`
	Op         string       `json:"op" enum:"gt,ge,lt,le"`
	Threshold  Measure      `json:"threshold"`
	ForSeconds *int64       `json:"forSeconds,omitempty" doc:"300 when absent" minimum:"0" maximum:"86400"`
	Severity   string       `json:"severity" enum:"CRITICAL,HIGH,MEDIUM,LOW"`
	Filter     *AlertFilter `json:"filter,omitempty"`
	ChannelIDs []int64      `json:"channelIds,omitempty" maxItems:"50"`
	Enabled    *Flag        `json:"enabled,omitempty" doc:"1 when absent"`
}

// UpdateAlertRule is the body of PUT /api/monitoring/alert-rule/{ruleId}. Of a
// built-in rule enabled, threshold, forSeconds, severity, channelIds and
// minSamples can be changed, per tenant.
type UpdateAlertRule struct {
	TenantID   *int64       `json:"tenantId,omitempty" doc:"Of a built-in rule: whose values change; default: the principal's own" minimum:"1"`
	Name       *string      `json:"name,omitempty" pattern:"^[A-Za-z0-9_.-]{1,50}$"`
	Metric     *string      `json:"metric,omitempty" maxLength:"64"`
	Op         *string      `json:"op,omitempty" enum:"gt,ge,lt,le"`
	Threshold  *Measure     `json:"threshold,omitempty"`
	ForSeconds *int64       `json:"forSeconds,omitempty" minimum:"0" maximum:"86400"`
	Severity   *string      `json:"severity,omitempty" enum:"CRITICAL,HIGH,MEDIUM,LOW"`
	Filter     *AlertFilter `json:"filter,omitempty"`
	MinSamples *int64       `json:"minSamples,omitempty" minimum:"0" maximum:"1000000"`
	ChannelIDs *[]int64     `json:"channelIds,omitempty" maxItems:"50"`
	Enabled    *Flag        `json:"enabled,omitempty"`
	Version    *int64       `json:"version,omitempty" minimum:"0"`
}

// AlertMetric is something that rules can watch.
type AlertMetric struct {
	Metric string   `json:"metric"`
	Unit   string   `json:"unit"`
	Labels []string `json:"labels"`
	Help   string   `json:"help"`
}

// The types of notification channels.
const (
	ChannelWebhook  = "WEBHOOK"
	ChannelEmail    = "EMAIL"
	ChannelDingTalk = "DINGTALK"
	ChannelWeCom    = "WECOM"
	ChannelFeishu   = "FEISHU"
)

// SecretShown is what is told of a secret: never the secret.
type SecretShown struct {
	Set         bool    `json:"set"`
	Fingerprint *string `json:"fingerprint"`
	UpdatedTime *Time   `json:"updatedTime"`
}

// ChannelConfig is where a channel sends to. The key in a robot's URL is not
// shown.
type ChannelConfig struct {
	URL    *string     `json:"url"`
	Secret SecretShown `json:"secret"`
	To     []string    `json:"to"`
}

// QuietHours are local times of day; to may be 24:00 and may lie before from,
// over midnight.
type QuietHours struct {
	From string `json:"from" pattern:"^([01][0-9]|2[0-3]):[0-5][0-9]$"`
	To   string `json:"to" pattern:"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$"`
}

// NotificationChannel is a way to tell people of alerts.
type NotificationChannel struct {
	ChannelID          int64         `json:"channelId"`
	TenantID           int64         `json:"tenantId"`
	Type               string        `json:"type" enum:"WEBHOOK,EMAIL,DINGTALK,WECOM,FEISHU"`
	Name               string        `json:"name"`
	Config             ChannelConfig `json:"config"`
	MinSeverity        string        `json:"minSeverity" enum:"CRITICAL,HIGH,MEDIUM,LOW"`
	QuietHours         *QuietHours   `json:"quietHours"`
	GroupSeconds       int64         `json:"groupSeconds"`
	RepeatMinutes      int64         `json:"repeatMinutes"`
	IncludeDescendants Flag          `json:"includeDescendants"`
	Enabled            Flag          `json:"enabled"`
	LastSuccessTime    *Time         `json:"lastSuccessTime"`
	LastError          *string       `json:"lastError"`
	Version            int64         `json:"version"`
}

// WriteChannelConfig says where a channel sends to: WEBHOOK url and secret,
// EMAIL to, DINGTALK and FEISHU url and secret, WECOM url.
type WriteChannelConfig struct {
	URL *string `json:"url,omitempty" doc:"https; a URL as it is shown leaves the stored one" maxLength:"2000"`
	// Secret is a text, null, or what a read object shows.
	Secret json.RawMessage `json:"secret,omitempty" doc:"A text of at most 256 bytes that signs what is sent (WEBHOOK: at least 16); null clears it; what a read object shows here is ignored"`
	To     *[]string       `json:"to,omitempty" doc:"Mail addresses" maxItems:"20"`
}

// CreateChannel is the body of POST /api/monitoring/notification-channel.
type CreateChannel struct {
	TenantID           *int64             `json:"tenantId,omitempty" doc:"Self or a descendant; default: the principal's own" minimum:"1"`
	Type               string             `json:"type" enum:"WEBHOOK,EMAIL,DINGTALK,WECOM,FEISHU"`
	Name               string             `json:"name" minLength:"1" maxLength:"64"`
	Config             WriteChannelConfig `json:"config"`
	MinSeverity        *string            `json:"minSeverity,omitempty" doc:"HIGH when absent" enum:"CRITICAL,HIGH,MEDIUM,LOW"`
	QuietHours         *QuietHours        `json:"quietHours,omitempty" doc:"CRITICAL passes; the rest waits for their end"`
	GroupSeconds       *int64             `json:"groupSeconds,omitempty" doc:"30 when absent: what comes together is told together" minimum:"0" maximum:"3600"`
	RepeatMinutes      *int64             `json:"repeatMinutes,omitempty" doc:"240 when absent, CRITICAL at most 60" minimum:"1" maximum:"10080"`
	IncludeDescendants *Flag              `json:"includeDescendants,omitempty" doc:"0 when absent: alerts of the tenant alone"`
	Enabled            *Flag              `json:"enabled,omitempty" doc:"1 when absent"`
}

// UpdateChannel is the body of PUT
// /api/monitoring/notification-channel/{channelId}.
type UpdateChannel struct {
	Type               *string              `json:"type,omitempty" doc:"Fixed" enum:"WEBHOOK,EMAIL,DINGTALK,WECOM,FEISHU"`
	Name               *string              `json:"name,omitempty" minLength:"1" maxLength:"64"`
	Config             *WriteChannelConfig  `json:"config,omitempty"`
	MinSeverity        *string              `json:"minSeverity,omitempty" enum:"CRITICAL,HIGH,MEDIUM,LOW"`
	QuietHours         Optional[QuietHours] `json:"quietHours,omitzero"`
	GroupSeconds       *int64               `json:"groupSeconds,omitempty" minimum:"0" maximum:"3600"`
	RepeatMinutes      *int64               `json:"repeatMinutes,omitempty" minimum:"1" maximum:"10080"`
	IncludeDescendants *Flag                `json:"includeDescendants,omitempty"`
	Enabled            *Flag                `json:"enabled,omitempty"`
	Version            *int64               `json:"version,omitempty" minimum:"0"`
}

// DeliveryTrial is how a test of a channel or webhook went; a failed one is
// 7007.
type DeliveryTrial struct {
	OK         bool  `json:"ok"`
	Status     *int  `json:"status" doc:"HTTP status of the receiver; null for mail"`
	DurationMS int64 `json:"durationMs"`
}
