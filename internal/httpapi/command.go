package httpapi

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/charging"
	"github.com/evcs/evcs/internal/command"
	"github.com/evcs/evcs/internal/device"
	"github.com/evcs/evcs/internal/evcs"
)

// CommandReader reads commands; store.Commands satisfies it.
type CommandReader interface {
	Command(ctx context.Context, scope evcs.Scope, id evcs.CommandID) (*command.Command, error)
	CommandPage(ctx context.Context, scope evcs.Scope, f command.Filter, r evcs.PageRequest) (evcs.Page[*command.Command], error)
}

// Commands are the operations that ask something of a device.
type Commands struct {
	Read     CommandReader
	Chargers ChargerReader
	Engine   *charging.Engine
}

type commandPath struct {
	CommandID evcs.CommandID `path:"commandId"`
}

type commandFilter struct {
	Paging
	ChargerID Opt[evcs.ChargerID] `query:"chargerId" minimum:"1"`
	Type      []string            `query:"type" maxItems:"13"`
	State     []string            `query:"state" maxItems:"8" enum:"PENDING,SENT,ACCEPTED,COMPLETED,REJECTED,TIMEOUT,FAILED,CANCELLED"`
	OrderID   Opt[evcs.OrderID]   `query:"orderId" minimum:"1"`
	StartTime Opt[api.Time]       `query:"startTime"`
	EndTime   Opt[api.Time]       `query:"endTime"`
}

func (p Commands) register(s *Server) {
	registerList(s, operation{
		ID: "listCommands", Path: "/api/command", Group: "command", Permission: "charger:query", Summary: "What was asked of devices and what became of it",
		Sorts: []string{"commandId", "createTime"},
	}, p.list)
	register(s, operation{
		ID: "getCommand", Method: http.MethodGet, Path: "/api/command/{commandId}", Group: "command", Permission: "charger:query",
		Summary: "One command; wait for its outcome", Errors: []evcs.Code{evcs.CodeCommandNotFound},
	}, p.get)
	register(s, operation{
		ID: "cancelCommand", Method: http.MethodPost, Path: "/api/command/{commandId}/cancel", Group: "command", Permission: "charger:control",
		Summary: "Take back a command that was not sent yet", Errors: []evcs.Code{evcs.CodeCommandNotFound, evcs.CodeCommandState},
	}, p.cancel)
	ask := func(id, path, summary string, errors ...evcs.Code) operation {
		return operation{
			ID: id, Method: http.MethodPost, Path: "/api/charger/{chargerId}" + path, Group: "command", Permission: "charger:control", Summary: summary,
			Errors: append(errors, evcs.CodeChargerNotFound, evcs.CodeChargerOffline, evcs.CodeCommandRejected, evcs.CodeCommandTimeout, evcs.CodeCommandUnsupported),
		}
	}
	register(s, ask("resetCharger", "/reset", "Restart a charger", evcs.CodeChargerState), p.reset)
	register(s, ask("unlockConnector", "/connectors/{connectorNo}/unlock", "Release the cable of a connector", evcs.CodeConnectorNotFound), p.unlock)
	register(s, ask("sendCommand", "/command", "Ask anything else of a charger", evcs.CodeConnectorNotFound), p.send)
}

func (p Commands) list(ctx context.Context, a *evcs.Actor, in *commandFilter, page evcs.PageRequest) (evcs.Page[api.Command], error) {
	scope, err := in.Scope(ctx, a)
	if err != nil {
		return evcs.Page[api.Command]{}, err
	}
	f := command.Filter{Charger: in.ChargerID.Or(0), Order: in.OrderID.Or(0), Types: in.Type, States: in.State}
	f.From, f.To = span(a, in.StartTime, in.EndTime)
	found, err := p.Read.CommandPage(ctx, scope, f, page)
	return pageOf(found, worded(ctx, commandJSON)), err
}

func (p Commands) get(ctx context.Context, a *evcs.Actor, in *struct {
	commandPath
	Wait Opt[int] `query:"wait" minimum:"0" maximum:"60" doc:"Seconds to wait for a final state"`
},
) (*api.Command, error) {
	c, err := p.Read.Command(ctx, evcs.Subtree(a.Tenant), in.CommandID)
	if err != nil {
		return nil, err
	}
	if err := readable(ctx, a, c.Tenant); err != nil {
		return nil, err
	}
	if in.Wait.Or(0) > 0 && !c.Final() {
		if c, err = p.Engine.Await(ctx, evcs.Only(c.Tenant), c.ID, delayed(ctx, time.Duration(in.Wait.Value)*time.Second)); err != nil {
			return nil, err
		}
	}
	return api.Ptr(commandJSON(c, inEnglish(ctx))), nil
}

func (p Commands) cancel(ctx context.Context, a *evcs.Actor, in *commandPath) (*api.Command, error) {
	c, err := p.Read.Command(ctx, evcs.Subtree(a.Tenant), in.CommandID)
	if err != nil {
		return nil, err
	}
	if err := writable(a, c.Tenant); err != nil {
		return nil, err
	}
	if c, err = p.Engine.CancelCommand(ctx, a, evcs.Only(c.Tenant), c.ID); err != nil {
		return nil, err
	}
	return api.Ptr(commandJSON(c, inEnglish(ctx))), nil
}

func (p Commands) reset(ctx context.Context, a *evcs.Actor, in *struct {
	chargerPath
	Body *api.ResetCharger
},
) (*api.Command, error) {
	b := orZero(in.Body)
	return p.ask(ctx, a, charging.CommandRequest{
		Charger: in.ChargerID, Kind: device.KindReset, Params: charging.Params{Hard: orZero(b.Type) == "hard"}, Force: bool(orZero(b.Force)),
		Wait: delayed(ctx, waitOr(b.Wait, defaultWait)),
	})
}

func (p Commands) unlock(ctx context.Context, a *evcs.Actor, in *struct {
	connectorPath
	Body *api.UnlockConnector
},
) (*api.Command, error) {
	return p.ask(ctx, a, charging.CommandRequest{
		Charger: in.ChargerID, Connector: in.ConnectorNo, Kind: device.KindUnlock, Wait: delayed(ctx, waitOr(orZero(in.Body).Wait, defaultWait)),
	})
}

func (p Commands) send(ctx context.Context, a *evcs.Actor, in *struct {
	chargerPath
	Body api.SendCommand
},
) (*api.Command, error) {
	b := in.Body
	q := charging.CommandRequest{Charger: in.ChargerID, Connector: orZero(b.ConnectorNo), Kind: device.Kind(b.Type), Wait: delayed(ctx, waitOr(b.Wait, 0))}
	if b.Type == command.Start || b.Type == command.Stop {
		return nil, evcs.Invalid(evcs.FieldFault{Field: "type", Message: "START and STOP only through start and stop"})
	}
	var err error
	if q.Params, err = params(q.Kind, b.Params, a.Zone); err != nil {
		return nil, err
	}
	return p.ask(ctx, a, q)
}

// maxKeys bounds the keys one GET_CONFIG asks for.
const maxKeys = 100

// commandParams are the parameters that callers may give, of all types.
type commandParams struct {
	Type         string    `json:"type"` // of RESET
	Operative    *bool     `json:"operative"`
	Message      string    `json:"message"`
	Keys         []string  `json:"keys"`
	Key          string    `json:"key"`
	Value        *string   `json:"value"`
	URL          string    `json:"url"`
	SHA256       string    `json:"sha256"`
	RetrieveTime *api.Time `json:"retrieveTime"`
	Full         api.Flag  `json:"full"`
}

// commandTakes names the parameters of each type; the others take none.
var commandTakes = map[device.Kind][]string{ //nolint:gochecknoglobals // a table
	device.KindReset:        {"type"},
	device.KindAvailability: {"operative"},
	device.KindTrigger:      {"message"},
	device.KindGetConfig:    {"keys"},
	device.KindSetConfig:    {"key", "value"},
	device.KindPushTariff:   {"planId"},
	device.KindFirmware:     {"url", "sha256", "retrieveTime"},
	device.KindLocalList:    {"full"},
}

// params reads the parameters of a command and says everything that is wrong
// with them.
func params(kind device.Kind, raw json.RawMessage, zone *time.Location) (charging.Params, error) {
	var given commandParams
	var names map[string]json.RawMessage
	if len(raw) > 0 && (json.Unmarshal(raw, &names) != nil || json.Unmarshal(raw, &given) != nil) {
		return charging.Params{}, evcs.Invalid(evcs.FieldFault{Field: "params", Message: "do not fit the command"})
	}
	var faults []evcs.FieldFault
	wrong := func(bad bool, name, message string) {
		if bad {
			faults = append(faults, evcs.FieldFault{Field: "params." + name, Message: message})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		wrong(!slices.Contains(commandTakes[kind], name), name, "is not known for this type")
	}
	switch kind {
	case device.KindReset:
		wrong(given.Type != "" && given.Type != "soft" && given.Type != "hard", "type", "must be soft or hard")
	case device.KindAvailability:
		wrong(given.Operative == nil, "operative", "is required")
	case device.KindTrigger:
		wrong(given.Message == "" || len(given.Message) > 50, "message", "must have 1 to 50 characters")
	case device.KindGetConfig:
		wrong(len(given.Keys) > maxKeys, "keys", "are more than 100")
		for _, key := range given.Keys {
			wrong(key == "" || len(key) > 50, "keys", "must each have 1 to 50 characters")
		}
	case device.KindSetConfig:
		wrong(given.Key == "" || len(given.Key) > 50, "key", "must have 1 to 50 characters")
		wrong(given.Value == nil || len(*given.Value) > 500, "value", "must have at most 500 characters")
	case device.KindFirmware:
		wrong(!fetchable(given.URL), "url", "must be an http, https, ftp, ftps or sftp address of at most 255 characters")
		sum, err := hex.DecodeString(given.SHA256)
		wrong(given.SHA256 != "" && (err != nil || len(sum) != sha256.Size), "sha256", "must be 64 hexadecimal digits")
	}
	p := charging.Params{
		Hard: given.Type == "hard", Operative: given.Operative, Message: given.Message, Keys: given.Keys, Key: given.Key, Value: orZero(given.Value),
		URL: given.URL, SHA256: given.SHA256, Full: bool(given.Full),
	}
	if given.RetrieveTime != nil {
		p.Retrieve = evcs.Millis(given.RetrieveTime.In(zone))
	}
	return p, evcs.Invalid(faults...)
}

// fetchable reports whether a charger can fetch from the address.
func fetchable(address string) bool {
	u, err := url.Parse(address)
	return err == nil && len(address) <= 255 && u.Host != "" && slices.Contains([]string{"http", "https", "ftp", "ftps", "sftp"}, u.Scheme)
}

func (p Commands) ask(ctx context.Context, a *evcs.Actor, q charging.CommandRequest) (*api.Command, error) {
	c, err := p.Chargers.ChargerRow(ctx, evcs.Subtree(a.Tenant), q.Charger)
	if err != nil {
		return nil, err
	}
	if err := writable(a, c.Tenant); err != nil {
		return nil, err
	}
	made, err := p.Engine.Ask(ctx, a, c.Tenant, q)
	if err != nil {
		return nil, err
	}
	return api.Ptr(commandJSON(made, inEnglish(ctx))), nil
}
