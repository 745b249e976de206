package httpapi

import (
	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/command"
	"github.com/evcs/evcs/internal/order"
	"github.com/evcs/evcs/internal/station"
	"github.com/evcs/evcs/internal/tariff"
)

// orderJSON is an order as lists show it.
func orderJSON(l order.Listed) api.Order {
	o := l.Order
	return api.Order{
		OrderID: int64(o.ID), OrderNo: o.No, TenantID: int64(o.Tenant), TenantName: l.TenantName, StationID: int64(o.Station), StationName: o.StationName,
		ChargerID: int64(o.Charger), ChargerCode: o.ChargerCode, ConnectorNo: o.Connector, SessionID: o.Session, UserID: idOrNil(o.User),
		UserName: textOrNil(o.UserName), IDTag: masked(o.IDTag), Status: int(o.Status), StatusName: o.Status.Name(), StartState: string(o.StartState),
		Source: string(o.Source), StartTime: api.At(o.StartedAt), EndTime: api.AtOrNil(o.EndedAt), Energy: api.KWh(o.Energy), Duration: o.Minutes(),
		DurationSeconds: o.Seconds, BillingPlanID: idOrNil(o.Plan), TariffSnapshotID: idOrNil(o.Snapshot),
		ElectricityAmount: api.Money(o.ElectricityAmount), ServiceAmount: api.Money(o.ServiceAmount), ParkingAmount: api.Money(o.ParkingAmount),
		IdleAmount: api.Money(o.IdleAmount), DiscountAmount: api.Money(o.DiscountAmount), Amount: api.Money(o.Amount), PaidAmount: api.Money(o.PaidAmount),
		RefundedAmount: api.Money(o.RefundedAmount), PayableAmount: api.Money(o.Payable()), PaymentID: idOrNil(o.Payment), TradeNo: textOrNil(o.TradeNo),
		PaymentMethod: textOrNil(o.PaymentMethod), PaidTime: api.AtOrNil(o.PaidAt), Sandbox: o.Sandbox, StopReason: textOrNil(o.StopReason),
		CancelReason: textOrNil(o.CancelReason), StopRequestedTime: api.AtOrNil(o.StopRequestedAt), Held: o.Held, Anomalies: anomalies(o.Anomalies),
		Estimated: o.Estimated, CreateTime: api.At(o.CreatedAt), UpdateTime: api.At(o.UpdatedAt), Version: o.Version,
	}
}

// orderWithLines is an order as a single read shows it.
func orderWithLines(l order.Listed, lines []tariff.Line) api.Order {
	out := orderJSON(l)
	out.Lines = linesJSON(lines)
	return out
}

// masked is an id tag that nobody can copy; nil when there is none.
func masked(tag string) *string {
	if tag == "" {
		return nil
	}
	return api.Ptr(station.Mask(tag))
}

func anomalies(list order.Anomalies) []string {
	out := make([]string, len(list))
	for i, a := range list {
		out[i] = string(a)
	}
	return out
}

func sessionJSON(l order.ListedSession) api.Session {
	s := l.Session
	out := api.Session{
		SessionID: s.UID, TenantID: int64(s.Tenant), OrderID: idOrNil(s.Order), OrderNo: textOrNil(l.OrderNo), StationID: int64(s.Station),
		ChargerID: int64(s.Charger), ConnectorNo: s.Connector, UserID: idOrNil(s.User), IDTag: masked(s.IDTag), Protocol: textOrNil(s.Protocol),
		DeviceTransactionID: transactionID(s), State: string(s.State), StartTime: api.AtMSOrNil(s.StartedAt), StopTime: api.AtMSOrNil(s.StoppedAt),
		ReceivedStartTime: api.AtMSOrNil(s.ReceivedStartAt), ReceivedStopTime: api.AtMSOrNil(s.ReceivedStopAt), MeterStart: (*api.KWh)(s.MeterStart),
		MeterStop: (*api.KWh)(s.MeterStop), Energy: api.KWh(s.Energy), DurationSeconds: s.Seconds, StopReason: textOrNil(s.StopReason),
		StopReasonRaw: textOrNil(s.StopReasonRaw), Samples: s.Samples, DeviceEnergy: (*api.KWh)(s.DeviceEnergy), DeviceAmount: (*api.Money)(s.DeviceAmount),
		Estimated: s.Estimated, Anomalies: anomalies(s.Anomalies),
	}
	if !s.Last.At.IsZero() {
		out.LastSample = api.Ptr(sampleJSON(s.Last))
	}
	return out
}

func commandJSON(c *command.Command, english bool) api.Command {
	out := api.Command{
		CommandID: int64(c.ID), TenantID: int64(c.Tenant), ChargerID: int64(c.Charger), ConnectorNo: numberOrNil(c.Connector), Type: c.Type,
		State: string(c.State), Params: c.Shown(), Result: c.Result, Reason: remark(c.Reason, english), OrderID: idOrNil(c.Order), SessionID: textOrNil(c.Session),
		RequestedBy: textOrNil(c.RequestedBy), CreateTime: api.AtMS(c.CreatedAt), SentTime: api.AtMSOrNil(c.SentAt), AnswerTime: api.AtMSOrNil(c.AnsweredAt),
		EndTime: api.AtMSOrNil(c.EndedAt), Deadline: api.At(c.Deadline),
	}
	if len(out.Params) == 0 {
		out.Params = []byte(`{}`)
	}
	if len(out.Result) == 0 {
		out.Result = []byte(`null`)
	}
	return out
}
