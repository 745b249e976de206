package httpapi

import (
	"context"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"github.com/evcs/evcs/internal/evcs"
)

// Reply is the connection of an operation that answers by itself: streams,
// callbacks, downloads. Request's body, when the operation declares none, is
// bounded by MaxBody and still unread.
type Reply struct {
	http.ResponseWriter
	Request *http.Request
	English bool
	Address string
}

// registerRaw declares an operation without envelope; op.Content is the media
// type of its answer. handle writes the answer, or returns an error before it
// has written anything, which is then answered as every failure is.
func registerRaw[In any](s *Server, op operation, handle func(context.Context, *evcs.Actor, *In, Reply) error) {
	for i, path := range append([]string{op.Path}, op.Aliases...) {
		own := op
		own.Path, own.Aliases = path, nil
		if i > 0 {
			own.ID = aliasID(op, path)
		}
		d := s.declare(own, inputOf[In](), outputOf[Null]())
		answer := reflect.TypeFor[Null]()
		if op.Form != nil {
			d.huma.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"multipart/form-data": {Schema: op.Form}}}
		}
		if op.Data != nil {
			s.alias(op.Data)
			answer, d.huma.Responses["200"] = op.Data, nil
		}
		s.describe(d, answer)
		s.offer(d, func(ctx context.Context, x *exchange, in any) {
			input := in.(*In) //nolint:errcheck,forcetypeassert // offer made it of this type
			err := handle(ctx, x.actor, input, Reply{ResponseWriter: x.w, Request: x.r, English: x.english, Address: x.address})
			switch {
			case err == nil:
			case !x.status.written:
				x.answer(x.fail(ctx, err))
			default:
				x.note(ctx, evcs.CodeInternalError, err)
			}
		})
	}
}
