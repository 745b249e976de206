package httpapi

import (
	"net/http"
	"reflect"
	"slices"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/evcs"
)

// DevicePort documents what the device listener serves. Its operations are in
// the document only; cloudcharge and the OCPP gateway answer them.
type DevicePort struct{}

func (p DevicePort) register(s *Server) {
	cloud[api.CloudHeartbeat, api.CloudHeard](s, "heartbeat", "Sign of life, results of commands, and the next commands",
		"With `wait` the answer comes when there is a command, at the latest after that many seconds. A charger that is silent for three heartbeats counts as disconnected.",
		evcs.CodeTenantDisabled, evcs.CodeTenantExpired, evcs.CodeChargerDisabled, evcs.CodeConnectorNotFound)
	cloud[api.CloudStatus, api.CloudReceived](s, "status", "State of a connector, or of all",
		"A status other than 3 clears the fault. connectorNo may also be called connectorId, gunNo, gunId, port or connector; faultCode errorCode, errCode or fault; faultDescription errorMsg or errorMessage.",
		evcs.CodeConnectorNotFound)
	cloud[api.CloudStart, api.CloudStarted](s, "start", "A charge has begun",
		"Idempotent by sessionId for ever; the platform makes one when it is absent. With the sessionId or commandId of a waiting START it completes that command.",
		evcs.CodeTenantDisabled, evcs.CodeTenantExpired, evcs.CodeChargerDisabled, evcs.CodeIDTagRefused, evcs.CodeQuotaExceeded, evcs.CodeConnectorNotFound,
		evcs.CodeConnectorBusy, evcs.CodeOrderCancelled, evcs.CodeSessionConflict, evcs.CodeNoBillingPlan)
	cloud[api.CloudStop, api.CloudStopped](s, "stop", "A charge has ended",
		"Idempotent by sessionId for ever: a second stop answers the stored figures. A sessionId never seen is kept as an orphan session and answered 404 with `data.stored` true; it needs no retry. "+
			"Taken from a blocked charger too, because the energy was delivered. "+
			"`amount` and `periods` are what the charger itself says that the energy cost: kept with the session (the first that is told counts, also when it comes with a later stop), compared with the bill, never billed. "+
			"More than 0.01 CNY apart in a kind of period, or in all by more than that for each, marks the order DEVICE_BILL_DIFF and is listed in the reconciliation of the day. "+
			"Further decimals of an amount are rounded to the fen. One that is no number, negative or above 1000000 is refused (9400) and nothing is stored: the session goes on until the stop comes right, under a new requestId.",
		evcs.CodeSessionNotFound, evcs.CodeOrderCancelled, evcs.CodeSessionConflict, evcs.CodeConnectorNotFound)
	cloud[api.CloudMeter, api.CloudMetered](s, "meter", "Readings of a running charge",
		"Samples are known by session and time: repeats are ignored, late ones stored. Without sessionId it is the running session of the connector.",
		evcs.CodeSessionNotFound, evcs.CodeOrderCancelled, evcs.CodeConnectorNotFound)
	ocppPath(s)
}

// cloudMessage is the message of an operation of cloudcharge.
type cloudMessage[T any] struct{ Body api.CloudRequest[T] }

func cloud[In, Out any](s *Server, name, summary, description string, codes ...evcs.Code) {
	op := operation{
		ID: "cloudcharge." + name, Method: http.MethodPost, Path: "/api/cloudcharge/" + name, Group: "cloudcharge", Access: deviceOnly,
		Summary: summary, NoReplay: true,
		Description: description + "\n\nThe effect is committed durably before it is answered; on 429, 500 and 503 retry later with the same requestId. The same message again gets the stored answer.",
		Errors: append([]evcs.Code{
			evcs.CodeDeviceAuthFailed, evcs.CodeDeviceUnknown, evcs.CodeDeviceClock, evcs.CodeRequestIDReused,
		}, codes...),
	}
	d := s.declare(op, inputOf[cloudMessage[In]](), outputOf[Out]())
	s.alias(reflect.TypeFor[api.CloudFailure]())
	schema := s.doc.Components.Schemas.Schema(reflect.TypeFor[api.CloudFailure](), true, "CloudFailure")
	d.huma.Responses = make(map[string]*huma.Response)
	for status, codes := range cloudStatuses(d) {
		slices.Sort(codes)
		d.huma.Responses[strconv.Itoa(status)] = &huma.Response{
			Description: "errorCode " + codeWords(codes), Content: map[string]*huma.MediaType{"application/json": {Schema: schema}},
		}
	}
	s.describe(d, reflect.TypeFor[api.CloudAnswer[Out]]())
}

// cloudStatuses is codesByStatus as the device listener answers: a disabled
// charger is 403 there.
func cloudStatuses(d *declared) map[int][]evcs.Code {
	byStatus := make(map[int][]evcs.Code)
	for status, codes := range codesByStatus(d) {
		for _, code := range codes {
			at := status
			switch code {
			case evcs.CodeChargerDisabled:
				at = http.StatusForbidden
			case evcs.CodeUnsupportedMediaType, evcs.CodeVersionConflict, evcs.CodeIdempotencyKeyReused, evcs.CodeIdempotencyInProgress:
				continue // not in this protocol
			}
			byStatus[at] = append(byStatus[at], code)
		}
	}
	return byStatus
}

// ocppPath documents the address of the OCPP gateway.
func ocppPath(s *Server) {
	type in struct {
		ChargePointID string `path:"chargePointId" minLength:"1" maxLength:"48" doc:"The charger's deviceId"`
	}
	d := s.declare(operation{
		ID: "ocpp.connect", Method: http.MethodGet, Path: "/ocpp/{chargePointId}", Group: "ocpp", Access: deviceOnly,
		Summary: "WebSocket of a charge point (OCPP-J)",
		Description: "An upgrade to a WebSocket with a subprotocol of the charge point's choice among those that its charger record allows (ocpp1.6). " +
			"HTTP Basic with the charge point id and its secret (security profiles 1 and 2), or a client certificate (profile 3). " +
			"A newer authenticated connection of the same charge point replaces the older one; sessions stay. Refusals are plain text.",
	}, inputOf[in](), outputOf[Null]())
	text := func(words string) *huma.Response {
		return &huma.Response{Description: words, Content: map[string]*huma.MediaType{"text/plain": {Schema: &huma.Schema{Type: huma.TypeString}}}}
	}
	d.huma.Security = []map[string][]string{{"deviceBasic": {}}}
	d.huma.Responses = map[string]*huma.Response{
		"101": {Description: "The connection is a WebSocket now"},
		"400": text("No subprotocol that is offered here, or no WebSocket handshake; the text says which are offered"),
		"401": text("Wrong credential"), "403": text("The charger, its tenant or the address is blocked"),
		"404": text("Unknown charge point"), "429": text("Too many failed handshakes"), "503": text("Stopping, or the store is not reachable"),
	}
	s.describe(d, nil)
}
