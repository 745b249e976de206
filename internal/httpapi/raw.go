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

// rawOutput tells huma that the answer has been written.
type rawOutput struct {
	Body func(huma.Context)
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
		huma.Register(s.api, d.huma, func(ctx context.Context, in *In) (*rawOutput, error) {
			x := exchangeOf(ctx)
			x.fillHidden(reflect.ValueOf(in).Elem())
			if err := x.faults(); err != nil {
				return nil, x.fail(ctx, err)
			}
			if t, ok := any(in).(targetedInput); ok {
				t.targetInput().x = x
			}
			err := handle(ctx, x.actor, in, Reply{ResponseWriter: x.w, Request: x.r, English: x.english, Address: x.address})
			if err != nil && !x.status.written {
				return nil, x.fail(ctx, err)
			}
			if err != nil {
				x.note(ctx, evcs.CodeInternalError, err)
			}
			return &rawOutput{Body: func(huma.Context) {}}, nil
		})
	}
}
