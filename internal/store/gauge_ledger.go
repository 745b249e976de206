package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/evcs/evcs/internal/alarm"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/ledger"
)

// held is an account that is not empty.
type held struct {
	id      int64
	tenant  evcs.TenantID
	name    string
	balance int64
}

// aged is for how many days the oldest money has been in the accounts of a
// kind, first in, first out. An empty account has no reading; pretended money
// needs no clearing.
func (s Gauges) aged(ctx context.Context, kind ledger.AccountKind, now time.Time) ([]alarm.Reading, error) {
	var accounts []held
	err := s.q.each(ctx, "read balances", func(rows *sql.Rows) error {
		var h held
		err := rows.Scan(&h.id, &h.tenant, &h.name, &h.balance)
		accounts = append(accounts, h)
		return err
	}, `SELECT a.id, a.tenant_id, a.name, CAST(SUM(p.amount) AS BIGINT) FROM accounts a JOIN postings p ON p.account_id = a.id JOIN journal j ON j.id = p.entry_id
		WHERE a.kind = ? AND NOT j.sandbox GROUP BY a.id, a.tenant_id, a.name HAVING SUM(p.amount) <> 0 ORDER BY a.id`, string(kind))
	if err != nil {
		return nil, err
	}
	list := make([]alarm.Reading, 0, len(accounts))
	for _, h := range accounts {
		since, err := s.oldest(ctx, h)
		if err != nil {
			return nil, err
		}
		r := alarm.Reading{
			Tenant: h.tenant, Target: alarm.Target{Type: "ACCOUNT", ID: string(kind)}, Label: h.name, Since: since,
			Value: evcs.Milli(max(now.Sub(since), 0).Milliseconds() / (24 * 3600)),
			Note:  ledger.Account{Kind: kind, Name: h.name}.String() + " " + evcs.Money(h.balance).String(),
		}
		if h.name != "" {
			r.Target.ID += "/" + h.name
		}
		list = append(list, r)
	}
	return list, nil
}

// newestPostings goes back through a tenant's journal by its time; a tenant has
// few accounts, and the newest postings of each are near.
const newestPostings = `SELECT j.id, j.at, p.amount FROM journal j JOIN postings p ON p.entry_id = j.id WHERE j.tenant_id = ? AND +p.account_id = ? AND NOT j.sandbox
	AND (p.amount > 0) = ? AND (j.at, j.id) < (?, ?) ORDER BY j.at DESC, j.id DESC LIMIT ?`

// oldest is when the oldest money that is still in an account came: its newest
// postings of that side, back to where they make up the balance.
func (s Gauges) oldest(ctx context.Context, h held) (since time.Time, err error) {
	rest := h.balance
	const some = 500
	for at, id := int64(1)<<62, int64(1)<<62; rest != 0; {
		n := 0
		err := s.q.each(ctx, "read age", func(rows *sql.Rows) error {
			var amount int64
			if err := rows.Scan(&id, &at, &amount); err != nil {
				return err
			}
			n++
			if rest == 0 {
				return nil
			}
			since = evcs.FromMillis(at)
			if amount >= rest && rest > 0 || amount <= rest && rest < 0 {
				rest = 0
			} else {
				rest -= amount
			}
			return nil
		}, newestPostings, int64(h.tenant), h.id, h.balance > 0, at, id, some)
		if err != nil || n < some {
			return since, err
		}
	}
	return since, nil
}
