package httpapi

import (
	"context"
	"net/http"
	"strings"
	"unicode"

	"github.com/gorilla/mux"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/tenant"
)

// refusalActions are the actions of operations whose name does not say them.
// What is called createStation is CREATE_STATION by itself.
var refusalActions = map[string]tenant.Action{
	"changePassword": tenant.ChangePassword, "logout": tenant.Logout,
	"rotateApiKey":            tenant.Updated(tenant.KindAPIKey),
	"setUserRoles":            tenant.Updated(tenant.KindUser),
	"setUserStatus":           tenant.Updated(tenant.KindUser),
	"unlockUser":              tenant.Updated(tenant.KindUser),
	"enrolTotp":               tenant.Updated(tenant.KindUser),
	"confirmTotp":             tenant.Updated(tenant.KindUser),
	"disableTotp":             tenant.Updated(tenant.KindUser),
	"resetTotp":               tenant.Updated(tenant.KindUser),
	"setQuota":                tenant.UpdateQuota,
	"setTenantStatus":         tenant.UpdateStatus,
	"setStationStatus":        tenant.Updated(tenant.KindStation),
	"setChargerStatus":        tenant.Updated(tenant.KindCharger),
	"enableCharger":           tenant.Updated(tenant.KindCharger),
	"updateConnector":         tenant.Updated(tenant.KindCharger),
	"issueCredential":         tenant.DeviceCredential,
	"updateCredential":        tenant.DeviceCredential,
	"deleteCredential":        tenant.DeviceCredential,
	"resetCharger":            tenant.DeviceCommand,
	"unlockConnector":         tenant.DeviceCommand,
	"sendCommand":             tenant.DeviceCommand,
	"cancelCommand":           tenant.DeviceCommand,
	"startConnector":          tenant.DeviceCommand,
	"stopConnector":           tenant.DeviceCommand,
	"startOrder":              tenant.DeviceCommand,
	"stopOrder":               tenant.DeviceCommand,
	"simulateHeartbeat":       tenant.DeviceCommand,
	"simulateStart":           tenant.DeviceCommand,
	"simulateStatus":          tenant.DeviceCommand,
	"simulateStop":            tenant.DeviceCommand,
	"createPlan":              tenant.Created(tenant.KindBillingPlan),
	"clonePlan":               tenant.Created(tenant.KindBillingPlan),
	"importPlans":             tenant.Created(tenant.KindBillingPlan),
	"updatePlan":              tenant.Updated(tenant.KindBillingPlan),
	"makeDefaultPlan":         tenant.Updated(tenant.KindBillingPlan),
	"deletePlan":              tenant.Deleted(tenant.KindBillingPlan),
	"assignPlan":              tenant.AssignPlan,
	"setHolidays":             tenant.UpdateSettings,
	"clearHolidays":           tenant.UpdateSettings,
	"adjustOrder":             tenant.OrderAdjust,
	"repriceOrder":            tenant.OrderReprice,
	"cancelOrder":             tenant.OrderCancel,
	"markPaid":                tenant.OrderMarkPaid,
	"markRefunded":            tenant.Refund,
	"refundOrder":             tenant.Refund,
	"createRefund":            tenant.Refund,
	"approveRefund":           tenant.Refund,
	"rejectRefund":            tenant.Refund,
	"verifyMerchant":          tenant.Updated(tenant.KindMerchant),
	"orderToPay":              tenant.OrderAdjust,
	"adoptSession":            tenant.SessionAdopt,
	"closeSession":            tenant.SessionClose,
	"closeBatch":              tenant.ReconClose,
	"reopenBatch":             tenant.ReconReopen,
	"bookMovement":            tenant.LedgerBook,
	"reverseMovement":         tenant.LedgerReverse,
	"approveDifference":       tenant.ReconApprove,
	"rejectDifference":        tenant.ReconApprove,
	"resolveDifference":       tenant.ReconResolve,
	"acknowledgeAlert":        tenant.AlertAcknowledge,
	"resolveAlert":            tenant.AlertResolve,
	"testWebhook":             tenant.Updated(tenant.KindWebhook),
	"redeliverWebhook":        tenant.Updated(tenant.KindWebhook),
	"testNotificationChannel": tenant.Updated(tenant.KindNotificationChannel),
}

// refusalAction is what the record calls an attempt at an operation. One that
// has no action of its own is an attempt to write across layers when it was
// one, and "" otherwise: reads and checks are not recorded.
func refusalAction(d *declared) tenant.Action {
	id, _, _ := strings.Cut(d.ID, ".")
	if action := refusalActions[id]; action != "" {
		return action
	}
	if action := tenant.Action(snake(id)); tenant.Actions()[action].EN != "" {
		return action
	}
	return ""
}

// snake is CREATE_STATION for createStation.
func snake(name string) string {
	var b strings.Builder
	for _, r := range name {
		if unicode.IsUpper(r) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToUpper(r))
	}
	return b.String()
}

// auditRefusal records a write or a crossing that is answered with 403.
func (x *exchange) auditRefusal(ctx context.Context, code evcs.Code) {
	if code.Status() != http.StatusForbidden || x.actor == nil || x.op == nil || x.s.cfg.Crossings == nil {
		return
	}
	cross := code == evcs.CodeCrossTenantDenied
	action := refusalAction(x.op)
	switch {
	case action == "" && cross && x.op.Method == http.MethodGet:
		action = tenant.CrossLayerRead
	case action == "" && cross:
		action = tenant.CrossLayerWrite
	case action == "":
		return
	}
	r := tenant.Refusal{
		Operation: x.op.ID, Action: action, Target: x.target, Code: code, Cross: cross, TargetType: strings.ToUpper(strings.ReplaceAll(x.op.Group, "-", "_")),
	}
	if _, rest, ok := strings.Cut(x.op.Path, "{"); ok {
		name, _, _ := strings.Cut(rest, "}")
		r.TargetID = limitText(mux.Vars(x.r)[name], 64)
	}
	x.s.cfg.Crossings.Refused(ctx, x.actor, r)
}
