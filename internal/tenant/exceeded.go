package tenant

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

// Exceeded is the event of a quota that has refused something; false when err
// is no such refusal. It belongs to the tenant whose limit it is.
func Exceeded(err error, at time.Time) (evcs.Event, bool) {
	if !errors.Is(err, ErrQuota) {
		return evcs.Event{}, false
	}
	_, facts, _ := evcs.Classify(err)
	limiting, ok := facts["limitingTenantId"].(evcs.TenantID)
	data, bad := json.Marshal(facts)
	if !ok || bad != nil {
		return evcs.Event{}, false
	}
	return evcs.Event{Type: evcs.EventQuotaExceeded, Time: at, Tenant: limiting, Data: data}, true
}

// Exceedances tells of quotas that have refused something, in a transaction of
// its own: what was refused has none. The same limit is told of once a minute.
type Exceedances struct {
	Clock    evcs.Clock
	Transact Transact
	Log      *slog.Logger

	mu   sync.Mutex
	told map[string]time.Time // guarded by mu
}

const (
	tellAgain = time.Minute
	maxTold   = 10_000
)

// Note emits the event of a refusal; other errors are none of its business. An
// event that cannot be written is logged.
func (x *Exceedances) Note(ctx context.Context, err error) {
	now := x.Clock.Now()
	e, ok := Exceeded(err, now)
	if !ok || !x.due(e, err, now) {
		return
	}
	if err := x.Transact(context.WithoutCancel(ctx), func(tx Tx) error { return tx.Emit(ctx, e) }); err != nil {
		x.Log.ErrorContext(ctx, "exceeded quota not told", slog.Any("error", err))
	}
}

func (x *Exceedances) due(e evcs.Event, err error, now time.Time) bool {
	_, facts, _ := evcs.Classify(err)
	id := fmt.Sprintf("%d/%v", e.Tenant, facts["resourceType"])
	x.mu.Lock()
	defer x.mu.Unlock()
	if last, seen := x.told[id]; seen && now.Sub(last) < tellAgain && !now.Before(last) {
		return false
	}
	if x.told == nil || len(x.told) >= maxTold {
		x.told = make(map[string]time.Time)
	}
	x.told[id] = now
	return true
}
