// Package evcs holds the words every other package speaks: identifiers, money,
// prices, energy, the clock, who is acting, the closed error table, pages and
// the event envelope. It does no I/O and starts no goroutine.
package evcs

// Identifiers are positive integers below 2^53, handed out by the store. Each
// has a type of its own, so that a charger is never taken for an order. Zero
// means none.
type (
	// TenantID names an operator in the tree; 1 is the platform.
	TenantID int64
	// UserID names a person who signs in.
	UserID int64
	// RoleID names a set of permissions; 1 to 4 are built in.
	RoleID int64
	// KeyID names an API key of a machine.
	KeyID int64
	// StationID names a charging station.
	StationID int64
	// ChargerID names a charger; the first is 10001.
	ChargerID int64
	// PlanID names a billing plan, whose prices may change.
	PlanID int64
	// SnapshotID names frozen prices of a plan, which never change.
	SnapshotID int64
	// OrderID names a charging order.
	OrderID int64
	// PaymentID names a payment.
	PaymentID int64
	// RefundID names a refund.
	RefundID int64
	// CommandID names what was asked of a charger.
	CommandID int64
	// BatchID names the reconciliation of one channel and day.
	BatchID int64
	// DifferenceID names one difference of a batch.
	DifferenceID int64
	// AlertID names an alert.
	AlertID int64
	// EventID is the place of an event in the published sequence.
	EventID int64
	// RuleID names an alert rule; the built-in ones have the numbers below 1001.
	RuleID int64
	// ChannelID names a notification channel.
	ChannelID int64
	// WebhookID names a webhook.
	WebhookID int64
)

// PlatformTenant is the root of the tree.
const PlatformTenant TenantID = 1
