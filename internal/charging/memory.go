package charging

import (
	"context"
	"errors"
	"sync"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/station"
	"github.com/evcs/evcs/internal/tariff"
	"github.com/evcs/evcs/internal/tenant"
)

// memory is what many chargers are judged by: tenant chains, stations, plans,
// cards. All of it was read, and committed, under one mark of the store; under
// another mark nothing of it counts.
type memory struct {
	mu    sync.Mutex
	mark  int64       // guarded by mu
	facts map[any]any // guarded by mu
}

// The keys of facts. The tenant stands in every one.
type (
	chainKey   evcs.TenantID
	stationKey struct {
		tenant evcs.TenantID
		id     evcs.StationID
	}
	shelfKey struct {
		tenant  evcs.TenantID
		station evcs.StationID
	}
	cardKey struct {
		tenant evcs.TenantID
		tag    string
	}
	snapshotKey struct {
		tenant evcs.TenantID
		id     evcs.SnapshotID
	}
)

// lesson is a fact that a transaction has read; it counts after its commit.
type lesson struct{ key, fact any }

// maxFacts bounds the memory.
const maxFacts = 100_000

func (m *memory) recall(mark int64, key any) (any, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mark != mark {
		return nil, false
	}
	fact, known := m.facts[key]
	return fact, known
}

// learn takes what a committed transaction has read under a mark.
func (m *memory) learn(mark int64, list []lesson) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if mark < m.mark {
		return
	}
	if mark > m.mark || m.facts == nil || len(m.facts) >= maxFacts {
		m.mark, m.facts = mark, make(map[any]any)
	}
	for _, l := range list {
		m.facts[l.key] = l.fact
	}
}

// fact is what is remembered under the key, or what read says.
func fact[T any](s *site, key any, read func() (T, error)) (T, error) {
	for _, l := range s.learned {
		if l.key == key {
			return l.fact.(T), nil //nolint:errcheck,forcetypeassert // one type a key
		}
	}
	if known, ok := s.memory.recall(s.mark, key); ok {
		return known.(T), nil //nolint:errcheck,forcetypeassert // one type a key
	}
	v, err := read()
	if err == nil {
		s.learned = append(s.learned, lesson{key, v})
	}
	return v, err
}

// card finds a card of the tenant; nil when there is none.
func (s *site) card(ctx context.Context, tx Tx, tag string) (*station.IDTag, error) {
	return fact(s, cardKey{s.tenant, tag}, func() (*station.IDTag, error) {
		known, err := tx.Stations().IDTagByTag(ctx, s.tenant, tag)
		if errors.Is(err, station.ErrTagNotFound) {
			return nil, nil //nolint:nilnil // none is no failure
		}
		return known, err
	})
}

func (s *site) readChain(ctx context.Context, tx Tx) (tenant.Chain, error) {
	return fact(s, chainKey(s.tenant), func() (tenant.Chain, error) { return tx.Tenants().Chain(ctx, s.tenant) })
}

func (s *site) readStation(ctx context.Context, tx Tx) (*station.Station, error) {
	return fact(s, stationKey{s.tenant, s.charger.Station}, func() (*station.Station, error) {
		return tx.Stations().Station(ctx, s.scope(), s.charger.Station)
	})
}

// snapshot finds frozen prices.
func (s *site) frozen(ctx context.Context, tx Tx, id evcs.SnapshotID) (*tariff.Snapshot, error) {
	return fact(s, snapshotKey{s.tenant, id}, func() (*tariff.Snapshot, error) { return tx.Tariffs().Snapshot(ctx, s.scope(), id) })
}

// shelf is the plans of a station as they are remembered.
type shelf struct {
	s  *site
	tx Tx
}

// Plan implements tariff.Shelf; a plan asked for by number is read.
func (x shelf) Plan(ctx context.Context, scope evcs.Scope, id evcs.PlanID) (*tariff.Plan, error) {
	return x.tx.Tariffs().Plan(ctx, scope, id)
}

// Enabled implements tariff.Shelf.
func (x shelf) Enabled(ctx context.Context, scope evcs.Scope, at evcs.StationID) ([]tariff.Plan, error) {
	return fact(x.s, shelfKey{scope.Tenant, at}, func() ([]tariff.Plan, error) { return x.tx.Tariffs().Enabled(ctx, scope, at) })
}
