package store

import (
	"context"
	"errors"
	"sync"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/ledger"
)

// accounts remembers the numbers of the ledger's accounts. An account is never
// changed or deleted, and only committed ones are remembered.
type accounts struct {
	mu  sync.Mutex
	ids map[accountKey]int64 // guarded by mu
}

type accountKey struct {
	tenant evcs.TenantID
	ledger.Account
}

var errNoAccount = errors.New("no such account")

// maxAccounts bounds what is remembered.
const maxAccounts = 100_000

// find is the number of an account; zero when it is not there yet. What this
// transaction, or another of its batch, has opened may yet be undone, so then
// nothing is remembered.
func (a *accounts) find(ctx context.Context, q querier, k accountKey) (int64, error) {
	a.mu.Lock()
	id := a.ids[k]
	a.mu.Unlock()
	if id != 0 {
		return id, nil
	}
	id, err := q.number(ctx, "find account", errNoAccount,
		`SELECT id FROM accounts WHERE tenant_id = ? AND kind = ? AND name = ?`, whole(k.tenant), words(k.Kind), words(k.Name))
	if errors.Is(err, errNoAccount) {
		return 0, nil
	}
	if err != nil || q.bulk.opened {
		return id, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ids == nil || len(a.ids) >= maxAccounts {
		a.ids = make(map[accountKey]int64)
	}
	a.ids[k] = id
	return id, nil
}
