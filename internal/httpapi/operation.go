// Package httpapi serves the REST contract. An operation is declared once: its
// paths, permission, words, input and output; router, permission check, shape
// check, envelope and OpenAPI document all read that declaration.
//
// # How to add an operation
//
// A noun has one file (charger.go) with one exported struct that names what it
// needs, as small interfaces, and registers its operations. daemon fills it.
//
//	// Chargers are the operations of chargers and connectors.
//	type Chargers struct {
//		Read  ChargerReader      // lists and reads, satisfied by store.Stations
//		Write *station.Registry  // verbs
//	}
//
//	type chargerPath struct {
//		ChargerID evcs.ChargerID `path:"chargerId"` // ids are checked: positive integers
//	}
//
//	func (c Chargers) register(s *Server) {
//		register(s, operation{
//			ID: "getCharger", Method: http.MethodGet, Path: "/api/charger/{chargerId}", Group: "charger",
//			Permission: "charger:query", Summary: "One charger with its connectors",
//			Errors: []evcs.Code{evcs.CodeChargerNotFound},
//		}, c.get)
//		register(s, operation{
//			ID: "createCharger", Method: http.MethodPost, Path: "/api/charger", Group: "charger",
//			Permission: "charger:create", Summary: "Create a charger", Said: created,
//			ReadOnly: []any{api.Charger{}}, // fields of the object that may be sent back and are ignored
//			Errors: []evcs.Code{evcs.CodeChargerCodeExists, evcs.CodeQuotaExceeded},
//		}, c.create)
//		registerList(s, operation{ // bare path, /page and /list
//			ID: "listChargers", Path: "/api/charger", Group: "charger",
//			Permission: "charger:query", Summary: "Chargers", Sorts: []string{"chargerId", "createTime", "chargerCode"},
//		}, c.list)
//	}
//
//	func (c Chargers) get(ctx context.Context, a *evcs.Actor, in *chargerPath) (*api.Charger, error)
//
//	func (c Chargers) create(ctx context.Context, a *evcs.Actor, in *struct{ Body api.CreateCharger }) (*api.Charger, error)
//
//	type chargerFilter struct {
//		Paging                                                 // page, current, size, cursor, sort, tenantScope, tenantId
//		Status  []int              `query:"status"`            // comma separated
//		Station Opt[evcs.StationID] `query:"stationId" minimum:"1"` // Opt: was it given?
//		Name    string             `query:"chargerName" maxLength:"100"`
//	}
//
//	func (c Chargers) list(ctx context.Context, a *evcs.Actor, in *chargerFilter, page evcs.PageRequest) (evcs.Page[api.Charger], error) {
//		scope, err := in.Scope(ctx, a)              // 5001, 5003; sets X-Tenant-Scope
//		...
//		found, err := c.Read.ListChargers(ctx, scope, filter, page)
//		return pageOf(found, chargerJSON), err
//	}
//
// What the core does for every operation, so that a handler must not: recover,
// trace id, authentication, tenant state, permission (in that order, before
// anything about the shape is said), body size and media type, duplicate keys,
// unknown fields and query names, schema checks, exact decimals, times without
// a zone (read in the actor's zone), trimming and control characters, flat
// parameters of POST and PUT from query or form (merged into Body), If-Match
// (merged into Body.version when the body has it; else embed Precondition),
// Idempotency-Key, the envelope, the language, the real status of a failure.
// A handler gets a whole *In, calls one use or one reader, and returns data.
//
// A failure is any error that wraps one of evcs.NewError; its row decides code
// and status. Anything else becomes 9999 and is logged. Field faults that only
// the handler can see: evcs.Invalid(evcs.FieldFault{Field: ..., Message: ...}).
package httpapi

import (
	"context"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/evcs"
)

// access says who may call an operation.
type access int

const (
	permitted    access = iota // holders of operation.Permission; the default
	public                     // anybody
	anyPrincipal               // any user or API key
	anyUser                    // any user, no API key
	internalOnly               // §17.1: the internal token from an internal address
	selfChecked                // the operation checks a credential of its own (stream tickets)
	deviceOnly                 // of the device listener: in the document, not on this router
)

// said is the kind of the success text.
type said int

const (
	saidByMethod said = iota // GET OK, PUT updated, DELETE deleted, POST done
	created
	done
	signedIn
	queried
)

// operation is the declaration of one operation of the contract.
type operation struct {
	ID          string // unique, camelCase, becomes the operationId
	Method      string
	Path        string   // {name} for path parameters
	Aliases     []string // more paths that answer alike
	Group       string   // tag: auth, user, role, tenant, quota, station, charger, order, ...
	Permission  evcs.Permission
	Or          evcs.Permission // another one that does as well
	Access      access
	Summary     string
	Description string
	Errors      []evcs.Code // the specific ones; those of §1.10 are added
	Said        said
	// ReadOnly are objects whose fields a body may carry without effect, so that
	// an object that was read can be sent back.
	ReadOnly []any
	// Secret: the body carries a password, secret or token (JSON only, never
	// from query or form, never stored), or the answer shows one once.
	Secret bool
	// NoReplay refuses Idempotency-Key, ReplayForever keeps its answer for ever.
	NoReplay, ReplayForever bool
	// OpenPassword lets a principal that must change its password through.
	OpenPassword bool
	MaxBody      int64    // bytes; 0: 1 MiB
	Pace         pace     // a bound besides that of the tenant (9429)
	Sorts        []string // lists: fields that sort= accepts; the first is the default (descending)
	// Default of tenantScope; zero is SELF.
	WideByDefault bool
	// Raw operations answer without envelope: Out is written by the handler
	// through a *Raw, Content is its media type.
	Content string
	// Form is the multipart body that a raw operation reads, Data what it answers
	// in the envelope; the document's only.
	Form *huma.Schema
	Data reflect.Type
	// OwnFailures: 400, 401 and 503 may be answered without envelope as well, in
	// the words of a payment channel.
	OwnFailures bool

	paged, plain bool // set by registerList
}

// Null is the Out of an operation that returns no data; return nil, nil.
type Null struct{}

// Part is a group of operations: the exported structs of this package.
type Part interface{ register(s *Server) }

// register declares an operation. In is a struct of path, query and header
// parameters and an optional Body; Out is the data of the answer.
func register[In, Out any](s *Server, op operation, handle func(context.Context, *evcs.Actor, *In) (*Out, error)) {
	for i, path := range append([]string{op.Path}, op.Aliases...) {
		own := op
		own.Path, own.Aliases = path, nil
		if i > 0 {
			own.ID = aliasID(op, path)
		}
		registerOne(s, own, handle)
	}
}

func registerOne[In, Out any](s *Server, op operation, handle func(context.Context, *evcs.Actor, *In) (*Out, error)) {
	d := s.declare(op, inputOf[In](), outputOf[Out]())
	s.describe(d, reflect.TypeFor[api.Envelope[*Out]]())
	s.enveloped(d, func(ctx context.Context, a *evcs.Actor, in any) (any, error) {
		return handle(ctx, a, in.(*In)) //nolint:errcheck,forcetypeassert // offer made it of this type
	})
}

// enveloped offers an operation that answers in the envelope.
func (s *Server) enveloped(d *declared, handle handler) {
	s.offer(d, func(ctx context.Context, x *exchange, in any) {
		if p, ok := in.(pagedInput); ok {
			p.pagingInput().x = x
		}
		data, err := handle(ctx, x.actor, in)
		x.reply(ctx, data, err)
	})
}

// registerList declares a list of §1.6: Path and Path/page answer pages in the
// page form or, with cursor, in the cursor form; Path/list answers a plain
// array. In embeds Paging.
func registerList[In, Record any, P interface {
	*In
	pagedInput
}](s *Server, op operation, list func(context.Context, *evcs.Actor, *In, evcs.PageRequest) (evcs.Page[Record], error),
) {
	op.Method, op.paged = http.MethodGet, true
	pages := op
	pages.Aliases = nil
	for _, path := range append([]string{op.Path}, op.Aliases...) {
		pages.Aliases = append(pages.Aliases, path, path+"/page")
	}
	pages.Aliases = pages.Aliases[1:]
	register(s, pages, func(ctx context.Context, a *evcs.Actor, in *In) (*api.Page[Record], error) {
		return pageAnswer(ctx, a, P(in).pagingInput(), in, list)
	})

	plain := op
	plain.ID, plain.Path, plain.plain = op.ID+"Plain", op.Path+"/list", true
	plain.Aliases = nil
	for _, path := range op.Aliases {
		plain.Aliases = append(plain.Aliases, path+"/list")
	}
	register(s, plain, func(ctx context.Context, a *evcs.Actor, in *In) (*[]Record, error) {
		return plainAnswer(ctx, a, P(in).pagingInput(), in, list)
	})
}

// registerPages is registerList without the plain array, for lists whose
// contract has no /list.
func registerPages[In, Record any, P interface {
	*In
	pagedInput
}](s *Server, op operation, list func(context.Context, *evcs.Actor, *In, evcs.PageRequest) (evcs.Page[Record], error),
) {
	op.Method, op.paged = http.MethodGet, true
	register(s, op, func(ctx context.Context, a *evcs.Actor, in *In) (*api.Page[Record], error) {
		return pageAnswer(ctx, a, P(in).pagingInput(), in, list)
	})
}
