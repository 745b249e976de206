package store

import (
	"context"
	"database/sql"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/station"
)

// Rejection is station.Rejection.
type Rejection = station.Rejection

// Rejections keeps the refused devices.
type Rejections struct{ q querier }

// Refusals keeps the refused devices in the transaction.
func Refusals(tx *Tx) Rejections { return Rejections{tx.q} }

// Rejections reads the refused devices.
func (r Reader) Rejections() Rejections { return Rejections(r) }

// maxRejections bounds the list: an attacker makes it forget, not grow.
const maxRejections = 10_000

// Refuse counts n refusals of a device at an address for a reason.
func (s Rejections) Refuse(ctx context.Context, x Rejection) error {
	_, err := s.q.exec(ctx, "count rejection", `
		INSERT INTO rejections (tenant_id, device_id, protocol, address, reason, hint, first_at, last_at, count)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (device_id, protocol, address, reason) DO UPDATE SET
			tenant_id = EXCLUDED.tenant_id, hint = EXCLUDED.hint, last_at = EXCLUDED.last_at, count = rejections.count + EXCLUDED.count`,
		x.Tenant, x.DeviceID, x.Protocol, x.Address, x.Reason, x.Hint, x.First, x.Last, x.Count)
	return err
}

// Trim forgets the oldest refusals above the bound of the list. Its list is
// the installation's, so it asks for no tenant_id.
func (s Rejections) Trim(ctx context.Context) error {
	var n int64
	if err := s.q.one(ctx, "count rejections", sql.ErrNoRows, []any{&n}, `SELECT COUNT(*) FROM rejections`); err != nil || n <= maxRejections {
		return err
	}
	_, err := s.q.exec(ctx, "trim rejections",
		`DELETE FROM rejections WHERE id IN (SELECT id FROM rejections ORDER BY last_at, id LIMIT ?)`, n-maxRejections)
	return err
}

const rejectionColumns = `r.id, r.tenant_id, r.device_id, r.protocol, r.address, r.reason, r.hint, r.first_at, r.last_at, r.count`

func scanRejection(r row) (Rejection, error) {
	var x Rejection
	err := r.Scan(&x.ID, &x.Tenant, &x.DeviceID, &x.Protocol, &x.Address, &x.Reason, &x.Hint, &x.First, &x.Last, &x.Count)
	return x, err
}

// RejectionPage lists refused devices, the last refused first. Devices that
// nobody registered are listed only when unknown is set.
func (s Rejections) RejectionPage(ctx context.Context, scope evcs.Scope, unknown bool, device string, from, to int64, r evcs.PageRequest) (evcs.Page[Rejection], error) {
	var f filter
	in, tenant := scopeCond("r.tenant_id", scope)
	if unknown {
		f.add(`(r.tenant_id = 0 OR `+in+`)`, tenant)
	} else {
		f.add(in, tenant)
	}
	f.contains(device, "r.device_id")
	f.within("r.last_at", from, to)
	if len(r.Sort) == 0 {
		r.Sort = []evcs.Sort{{Field: "time", Desc: true}}
	}
	return page(ctx, s.q, listing[Rejection]{
		what: "list rejections", columns: rejectionColumns, from: "rejections r", id: "r.id", scan: scanRejection,
		sorts: map[string]sortColumn{"time": {expr: "r.last_at"}},
	}, f, r)
}
