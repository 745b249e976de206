package api

// The states of a webhook delivery.
const (
	DeliveryPending   = "PENDING"
	DeliveryDelivered = "DELIVERED"
	DeliveryFailed    = "FAILED"
)

// Webhook is a receiver of events.
type Webhook struct {
	WebhookID          int64    `json:"webhookId"`
	TenantID           int64    `json:"tenantId"`
	Name               string   `json:"name"`
	URL                string   `json:"url"`
	Types              []string `json:"types"`
	IncludeDescendants Flag     `json:"includeDescendants"`
	Enabled            Flag     `json:"enabled"`
	LastSuccessTime    *Time    `json:"lastSuccessTime"`
	LastError          *string  `json:"lastError"`
	Pending            int64    `json:"pending" doc:"Events that wait"`
	CreateTime         Time     `json:"createTime"`
	Version            int64    `json:"version"`
}

// NewWebhook is the answer to the creation of a webhook and to the rotation of
// its secret.
type NewWebhook struct {
	Webhook
	Secret string `json:"secret,omitzero" doc:"Signs what is sent; shown only here"`
}

// CreateWebhook is the body of POST /api/webhook.
type CreateWebhook struct {
	TenantID           *int64   `json:"tenantId,omitempty" doc:"Self or a descendant; default: the principal's own" minimum:"1"`
	URL                string   `json:"url" doc:"https" minLength:"1" maxLength:"2000"`
	Types              []string `json:"types" doc:"Event types, or families such as charger.*" minItems:"1" maxItems:"30"`
	Name               string   `json:"name" minLength:"1" maxLength:"64"`
	IncludeDescendants *Flag    `json:"includeDescendants,omitempty" doc:"0 when absent"`
	Enabled            *Flag    `json:"enabled,omitempty" doc:"1 when absent"`
}

// UpdateWebhook is the body of PUT /api/webhook/{webhookId}.
type UpdateWebhook struct {
	URL                *string   `json:"url,omitempty" minLength:"1" maxLength:"2000"`
	Types              *[]string `json:"types,omitempty" minItems:"1" maxItems:"30"`
	Name               *string   `json:"name,omitempty" minLength:"1" maxLength:"64"`
	IncludeDescendants *Flag     `json:"includeDescendants,omitempty"`
	Enabled            *Flag     `json:"enabled,omitempty"`
	RotateSecret       *Flag     `json:"rotateSecret,omitempty" doc:"1: a new secret, shown in this answer only"`
	Version            *int64    `json:"version,omitempty" minimum:"0"`
}

// WebhookDelivery is one event for one webhook.
type WebhookDelivery struct {
	DeliveryID int64   `json:"deliveryId"`
	EventID    int64   `json:"eventId"`
	Type       string  `json:"type"`
	State      string  `json:"state" enum:"PENDING,DELIVERED,FAILED"`
	Attempts   int64   `json:"attempts"`
	LastStatus *int64  `json:"lastStatus" doc:"HTTP status of the last answer; null: none came"`
	LastError  *string `json:"lastError"`
	NextTime   *Time   `json:"nextTime" doc:"Of the next attempt; null when it is done"`
}

// Redeliver is the body of POST /api/webhook/{webhookId}/redeliver; one of the
// two is required.
type Redeliver struct {
	FromEventID *int64 `json:"fromEventId,omitempty" doc:"Everything from this event on that is not waiting already" minimum:"1"`
	DeliveryID  *int64 `json:"deliveryId,omitempty" minimum:"1"`
}

// Redelivered says how many deliveries wait again.
type Redelivered struct {
	Queued int64 `json:"queued"`
}
