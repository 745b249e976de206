package closing

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/payment"
	"github.com/evcs/evcs/internal/recon"
)

// MaxStatement bounds a statement, packed and unpacked.
const MaxStatement = 512 << 20

// Upload is a statement that somebody hands in.
type Upload struct {
	Tenant   evcs.TenantID
	Channel  string
	Merchant payment.MerchantID // 0: the only account
	Day      string
	Kind     string // TRADE or FUND
	File     []byte // csv, zip or gz
}

// HandIn verifies a statement and keeps it; a later run of the day uses it
// instead of asking the channel. One that does not verify is 4012 with what is
// wrong in the summary, and is not kept.
func (c *Closer) HandIn(ctx context.Context, u Upload) (recon.Statement, error) {
	if err := (Request{Channel: u.Channel, Day: u.Day}).check(c.now()); err != nil {
		return recon.Statement{}, err
	}
	ch, accounts, err := c.channel(ctx, u.Tenant, u.Channel)
	if err != nil {
		return recon.Statement{}, err
	}
	account, err := accountOf(accounts, u.Merchant)
	if err != nil {
		return recon.Statement{}, err
	}
	body, err := unpack(u.File)
	if err != nil {
		return recon.Statement{}, err
	}
	sum := sha256.Sum256(body)
	st := recon.Statement{
		Tenant: u.Tenant, Channel: u.Channel, Merchant: account.ID, Day: u.Day, Kind: u.Kind, SHA256: hex.EncodeToString(sum[:]), Body: body,
		CreatedAt: c.now(),
	}
	if st.Summary, err = ch.Read(ctx, account, u.Day, bytes.NewReader(body), func(payment.Row) error { return nil }); err != nil {
		return st, fmt.Errorf("read the statement: %w", err)
	}
	if len(st.Summary.Problems) > 0 {
		return st, recon.ErrInvalid
	}
	return st, c.cfg.Transact(ctx, func(tx Tx) error {
		b, err := tx.Recon().BatchOf(ctx, evcs.Only(u.Tenant), u.Channel, u.Day)
		if err == nil {
			err = b.CheckOpen()
		}
		if err != nil && !errors.Is(err, recon.ErrNoBatch) {
			return err
		}
		return tx.Recon().KeepStatement(ctx, &st)
	})
}

func accountOf(accounts []payment.Merchant, id payment.MerchantID) (payment.Merchant, error) {
	if id == 0 && len(accounts) == 1 {
		return accounts[0], nil
	}
	if id == 0 {
		return payment.Merchant{}, evcs.Invalid(evcs.FieldFault{Field: "merchantId", Message: "is required: the channel has several accounts"})
	}
	for _, m := range accounts {
		if m.ID == id {
			return m, nil
		}
	}
	return payment.Merchant{}, evcs.With(payment.ErrNoMerchant, map[string]any{"merchantId": id})
}

// unpack is the statement in a file that may be packed. A bomb is refused by
// the bound.
func unpack(file []byte) ([]byte, error) {
	var r io.Reader
	switch {
	case bytes.HasPrefix(file, []byte("\x1f\x8b")):
		z, err := gzip.NewReader(bytes.NewReader(file))
		if err != nil {
			return nil, badFile("is no gzip file")
		}
		r = z
	case bytes.HasPrefix(file, []byte("PK\x03\x04")):
		z, err := zip.NewReader(bytes.NewReader(file), int64(len(file)))
		if err != nil || len(z.File) != 1 {
			return nil, badFile("must be a zip archive of one file")
		}
		inner, err := z.File[0].Open()
		if err != nil {
			return nil, badFile("is a zip archive that cannot be read")
		}
		defer inner.Close() // read only
		r = inner
	default:
		return file, nil
	}
	body, err := io.ReadAll(io.LimitReader(r, MaxStatement+1))
	switch {
	case err != nil:
		return nil, badFile("is packed and cannot be unpacked")
	case len(body) > MaxStatement:
		return nil, badFile("is too large when it is unpacked")
	}
	return body, nil
}

func badFile(message string) error {
	return evcs.Invalid(evcs.FieldFault{Field: "file", Message: message})
}
