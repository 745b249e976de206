package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/payment"
	"github.com/evcs/evcs/internal/recon"
)

// ReconStatements implements recon.Statements.
type ReconStatements struct{ q querier }

// KeepPiece implements recon.Statements.
func (s ReconStatements) KeepPiece(ctx context.Context, scope evcs.Scope, p recon.Piece) error {
	_, err := s.q.exec(ctx, "keep piece of statement", `INSERT INTO statement_pieces (tenant_id, file, piece_no, created_at, body) VALUES (?, ?, ?, ?, ?)`,
		scope.Tenant, p.File, p.No, evcs.Millis(p.At), p.Body)
	return err
}

// KeepStatement implements recon.Statements.
func (s ReconStatements) KeepStatement(ctx context.Context, st *recon.Statement) error {
	err := s.q.one(ctx, "find statement", errBooked, []any{&st.ID},
		`SELECT MAX(id) FROM statements WHERE tenant_id = ? AND channel = ? AND day = ? AND merchant_id = ? AND kind = ? AND sha256 = ? HAVING COUNT(*) > 0`,
		st.Tenant, st.Channel, st.Day, st.Merchant, st.Kind, st.SHA256)
	if err == nil {
		_, err = s.q.exec(ctx, "drop pieces of statement", `DELETE FROM statement_pieces WHERE tenant_id = ? AND file = ?`, st.Tenant, st.File)
	}
	if !errors.Is(err, errBooked) {
		return err
	}
	problems, err := json.Marshal(append([]payment.Problem{}, st.Summary.Problems...))
	if err != nil {
		return err
	}
	st.ID, err = s.q.insertID(ctx, "keep statement", `
		INSERT INTO statements (tenant_id, channel, merchant_id, day, kind, sha256, row_count, pay_total, refund_total, fee_total, problems, body, file, size,
			created_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id`,
		st.Tenant, st.Channel, st.Merchant, st.Day, st.Kind, st.SHA256, st.Summary.Rows, st.Summary.PayTotal, st.Summary.RefundTotal,
		st.Summary.FeeTotal, string(problems), []byte{}, st.File, st.Size, evcs.Millis(st.CreatedAt))
	return err
}

// DropPieces implements recon.Statements: the clean-up is every tenant's.
func (s ReconStatements) DropPieces(ctx context.Context, before time.Time, n int) (int, error) {
	gone, err := s.q.exec(ctx, "drop pieces of no statement", `
		DELETE FROM statement_pieces WHERE tenant_id > 0 AND (tenant_id, file, piece_no) IN (
			SELECT p.tenant_id, p.file, p.piece_no FROM statement_pieces p
			WHERE p.created_at < ? AND NOT EXISTS (SELECT 1 FROM statements s WHERE s.file = p.file AND s.tenant_id = p.tenant_id) LIMIT ?)`,
		evcs.Millis(before), n)
	return int(gone), err
}

// StatementOf is the newest file of an account's day and kind, without its
// content; nil: none.
func (s ReconStatements) StatementOf(ctx context.Context, scope evcs.Scope, m payment.MerchantID, day, kind string) (*recon.Statement, error) {
	var st *recon.Statement
	in, tenant := scopeCond("tenant_id", scope)
	err := s.q.each(ctx, "read statement", func(rows *sql.Rows) error {
		st = &recon.Statement{}
		var at int64
		err := rows.Scan(&st.ID, &st.Tenant, &st.Channel, &st.Merchant, &st.Day, &st.Kind, &st.SHA256, &st.File, &st.Size, &at)
		st.CreatedAt = evcs.FromMillis(at)
		return err
	}, `SELECT id, tenant_id, channel, merchant_id, day, kind, sha256, file, size, created_at FROM statements
		WHERE `+in+` AND merchant_id = ? AND day = ? AND kind = ? ORDER BY id DESC LIMIT 1`, tenant, m, day, kind)
	return st, err
}

// errNoPiece says that a statement's content ends before its size.
var errNoPiece = errors.New("a piece of the statement is missing")

// EachPiece hands the content of a statement, packed, to fn piece by piece.
func (s ReconStatements) EachPiece(ctx context.Context, scope evcs.Scope, st *recon.Statement, fn func([]byte) error) error {
	var body []byte
	if st.File == "" {
		in, tenant := scopeCond("tenant_id", scope)
		if err := s.q.one(ctx, "read body of statement", errNoPiece, []any{&body}, `SELECT body FROM statements WHERE id = ? AND `+in, st.ID, tenant); err != nil {
			return err
		}
		return fn(body)
	}
	in, tenant := scopeCond("tenant_id", scope)
	var size int64
	for no := 0; size < st.Size; no++ {
		if err := s.q.one(ctx, "read piece of statement", errNoPiece, []any{&body},
			`SELECT body FROM statement_pieces WHERE file = ? AND piece_no = ? AND `+in, st.File, no, tenant); err != nil {
			return fmt.Errorf("piece %d of statement %d: %w", no, st.ID, err)
		}
		if err := fn(body); err != nil {
			return err
		}
		size += int64(len(body))
	}
	return nil
}
