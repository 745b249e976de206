package charging

import (
	"context"
	"log/slog"

	"github.com/evcs/evcs/internal/device"
)

// Late records the answer to a command that came after Send had given up.
func (e *Engine) Late(ctx context.Context, id device.Identity, c device.Command, a device.Answer) {
	if err := e.answered(ctx, placeOf(id), c.ID, a, nil); err != nil {
		e.Log.ErrorContext(ctx, "a late answer was not recorded", slog.Any("error", err))
	}
}
