package api

// The states of an order.
const (
	OrderCharging  = 0
	OrderCompleted = 1
	OrderCancelled = 2
	OrderToPay     = 10
	OrderPaid      = 11
	OrderRefunding = 12
	OrderRefunded  = 13
)

// The states of the start of an order, and where an order came from.
const (
	StartStarting = "STARTING"
	StartStarted  = "STARTED"
	StartFailed   = "FAILED"

	SourceClient  = "CLIENT"
	SourceDevice  = "DEVICE"
	SourceAdopted = "ADOPTED"
)

// Order is what is owed for a session. Lines is left out of lists.
type Order struct {
	OrderID           int64    `json:"orderId"`
	OrderNo           string   `json:"orderNo"`
	TenantID          int64    `json:"tenantId"`
	TenantName        string   `json:"tenantName"`
	StationID         int64    `json:"stationId"`
	StationName       string   `json:"stationName"`
	ChargerID         int64    `json:"chargerId"`
	ChargerCode       string   `json:"chargerCode"`
	ConnectorNo       int      `json:"connectorNo"`
	SessionID         string   `json:"sessionId"`
	UserID            *int64   `json:"userId"`
	UserName          *string  `json:"userName"`
	IDTag             *string  `json:"idTag" doc:"Masked"`
	Status            int      `json:"status" doc:"0 charging, 1 completed, 2 cancelled, 10 to pay, 11 paid, 12 refunding, 13 refunded"`
	StatusName        string   `json:"statusName" enum:"CHARGING,COMPLETED,CANCELLED,TO_PAY,PAID,REFUNDING,REFUNDED"`
	StartState        string   `json:"startState" enum:"STARTING,STARTED,FAILED"`
	Source            string   `json:"source" enum:"CLIENT,DEVICE,ADOPTED"`
	StartTime         Time     `json:"startTime"`
	EndTime           *Time    `json:"endTime"`
	Energy            KWh      `json:"energy"`
	Duration          int64    `json:"duration" doc:"Minutes, rounded up"`
	DurationSeconds   int64    `json:"durationSeconds"`
	BillingPlanID     *int64   `json:"billingPlanId"`
	TariffSnapshotID  *int64   `json:"tariffSnapshotId"`
	ElectricityAmount Money    `json:"electricityAmount"`
	ServiceAmount     Money    `json:"serviceAmount"`
	ParkingAmount     Money    `json:"parkingAmount"`
	IdleAmount        Money    `json:"idleAmount"`
	DiscountAmount    Money    `json:"discountAmount"`
	Amount            Money    `json:"amount"`
	PaidAmount        Money    `json:"paidAmount"`
	RefundedAmount    Money    `json:"refundedAmount"`
	PayableAmount     Money    `json:"payableAmount"`
	PaymentID         *int64   `json:"paymentId"`
	TradeNo           *string  `json:"tradeNo"`
	PaymentMethod     *string  `json:"paymentMethod"`
	PaidTime          *Time    `json:"paidTime"`
	Sandbox           bool     `json:"sandbox"`
	StopReason        *string  `json:"stopReason"`
	CancelReason      *string  `json:"cancelReason"`
	StopRequestedTime *Time    `json:"stopRequestedTime"`
	Held              bool     `json:"held"`
	Anomalies         []string `json:"anomalies"`
	Estimated         bool     `json:"estimated"`
	Lines             []Line   `json:"lines,omitzero"`
	CreateTime        Time     `json:"createTime"`
	UpdateTime        Time     `json:"updateTime"`
	Version           int64    `json:"version"`
}

// Line is one line of a bill. The amounts of the lines add up to the amount of
// the order, to the cent.
type Line struct {
	LineNo            int     `json:"lineNo"`
	Kind              string  `json:"kind" enum:"START,ENERGY,IDLE,PARKING,MINIMUM,CAP,DISCOUNT" doc:"START the start fee, MINIMUM what is missing to the plan's least amount, CAP what exceeds its highest (negative)"`
	PeriodKind        *string `json:"periodKind" enum:"SHARP,PEAK,FLAT,VALLEY"`
	From              Time    `json:"from"`
	To                Time    `json:"to"`
	Energy            *KWh    `json:"energy"`
	EnergyPrice       *Price  `json:"energyPrice"`
	ServiceFee        *Price  `json:"serviceFee"`
	Minutes           *int64  `json:"minutes"`
	MinutePrice       *Price  `json:"minutePrice"`
	ElectricityAmount Money   `json:"electricityAmount"`
	ServiceAmount     Money   `json:"serviceAmount"`
	Amount            Money   `json:"amount"`
	Reason            *string `json:"reason"`
}

// OrderResult is the answer to start and stop.
type OrderResult struct {
	Order
	Command   *Command `json:"command"`
	Duplicate bool     `json:"duplicate"`
}

// RepricedOrder is the answer to reprice.
type RepricedOrder struct {
	Order
	AmountBefore Money  `json:"amountBefore"`
	LinesBefore  []Line `json:"linesBefore" doc:"The lines as they were"`
	Difference   Money  `json:"difference" doc:"The new amount less the one before"`
}

// StartConnector is the body of POST /api/charger/{chargerId}/connectors/{connectorNo}/start.
type StartConnector struct {
	UserID        *int64  `json:"userId,omitempty" minimum:"1"`
	SessionID     *string `json:"sessionId,omitempty" minLength:"1" maxLength:"64" pattern:"^[A-Za-z0-9_.:-]+$"`
	BillingPlanID *int64  `json:"billingPlanId,omitempty" minimum:"1"`
	IDTag         *string `json:"idTag,omitempty" minLength:"1" maxLength:"36"`
	Wait          *int    `json:"wait,omitempty" minimum:"0" maximum:"120" doc:"Seconds; 30 when absent"`
	Source        *string `json:"source,omitempty" enum:"CLIENT,DEVICE"`
	StartTime     *Time   `json:"startTime,omitempty" doc:"With source DEVICE"`
	InitialEnergy *KWh    `json:"initialEnergy,omitempty" minimum:"0" doc:"Register; with source DEVICE"`
}

// StartOrder is the body of POST /api/order/start.
type StartOrder struct {
	ChargerID   int64  `json:"chargerId" minimum:"1"`
	ConnectorNo *int   `json:"connectorNo,omitempty" minimum:"1" maximum:"32" doc:"Required unless there is one"`
	StationID   *int64 `json:"stationId,omitempty" minimum:"1" doc:"Must match"`
	StartConnector
}

// StopOrder is the body of POST /api/order/stop and of the stop of a connector.
type StopOrder struct {
	SessionID *string `json:"sessionId,omitempty" minLength:"1" maxLength:"64" pattern:"^[A-Za-z0-9_.:-]+$"`
	OrderID   *int64  `json:"orderId,omitempty" minimum:"1"`
	Reason    *string `json:"reason,omitempty" maxLength:"200"`
	Wait      *int    `json:"wait,omitempty" minimum:"0" maximum:"120" doc:"Seconds; 30 when absent"`
	Source    *string `json:"source,omitempty" enum:"CLIENT,DEVICE"`
	Energy    *KWh    `json:"energy,omitempty" minimum:"0" doc:"With source DEVICE"`
	MeterStop *KWh    `json:"meterStop,omitempty" minimum:"0" doc:"With source DEVICE"`
	Duration  *int64  `json:"duration,omitempty" minimum:"0" doc:"Minutes; with source DEVICE"`
	EndTime   *Time   `json:"endTime,omitempty" doc:"With source DEVICE"`
}

// MarkPaid is the body of POST /api/order/{orderId}/paid.
type MarkPaid struct {
	Amount    *Money  `json:"amount,omitempty" minimum:"0" doc:"What is payable when absent"`
	Method    *string `json:"method,omitempty" enum:"CASH,TRANSFER,OTHER"`
	Reference *string `json:"reference,omitempty" maxLength:"64"`
	PaidTime  *Time   `json:"paidTime,omitempty"`
}

// CancelOrder is the body of POST /api/order/{orderId}/cancel.
type CancelOrder struct {
	Reason *string `json:"reason,omitempty" maxLength:"200" doc:"Required when the amount is over zero"`
}

// RefundOrder is the body of POST /api/order/{orderId}/refunding.
type RefundOrder struct {
	Amount *Money `json:"amount,omitempty" exclusiveMinimum:"0" doc:"All that is left when absent"`
	Reason string `json:"reason" minLength:"1" maxLength:"80"`
}

// ConfirmRefund is the body of POST /api/order/{orderId}/refunded.
type ConfirmRefund struct {
	Reference *string `json:"reference,omitempty" maxLength:"64"`
}

// AdjustOrder is the body of POST /api/order/{orderId}/adjust.
type AdjustOrder struct {
	DiscountAmount Money  `json:"discountAmount" minimum:"0"`
	Reason         string `json:"reason" minLength:"1" maxLength:"200"`
}

// RepriceOrder is the body of POST /api/order/{orderId}/reprice.
type RepriceOrder struct {
	BillingPlanID int64  `json:"billingPlanId" minimum:"1"`
	Reason        string `json:"reason" minLength:"1" maxLength:"200"`
	DryRun        *Flag  `json:"dryRun,omitempty"`
}

// OrderCallback is the body of POST /api/order/payment/callback. TradeNo is an
// alias of TradeID.
type OrderCallback struct {
	TradeID *string `json:"tradeId,omitempty" maxLength:"64" doc:"Required, or its alias tradeNo"`
	TradeNo *string `json:"tradeNo,omitempty" maxLength:"64"`
	Success bool    `json:"success"`
}

// OrderCallbackResult is its answer.
type OrderCallbackResult struct {
	OrderID int64  `json:"orderId"`
	OrderNo string `json:"orderNo"`
	Status  int    `json:"status"`
	Applied bool   `json:"applied"`
}

// CityStatistics sums the orders of one city; an unknown city is null.
type CityStatistics struct {
	Province      *string `json:"province"`
	City          *string `json:"city"`
	OrderCount    int64   `json:"orderCount"`
	StationCount  int64   `json:"stationCount"`
	TotalEnergy   KWh     `json:"totalEnergy"`
	TotalAmount   Money   `json:"totalAmount"`
	NetPaidAmount Money   `json:"netPaidAmount"`
}

// TimelineEntry is one step in the life of an order.
type TimelineEntry struct {
	Time   TimeMS  `json:"time"`
	Event  string  `json:"event"`
	From   *int    `json:"from" doc:"Status before"`
	To     *int    `json:"to" doc:"Status after"`
	By     *string `json:"by"`
	Detail *string `json:"detail"`
}
