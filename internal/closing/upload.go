package closing

import (
	"context"
	"errors"
	"fmt"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/payment"
	"github.com/evcs/evcs/internal/recon"
)

// MaxStatement bounds the file of a statement as it comes.
const MaxStatement = 512 << 20

// Upload is a statement that somebody hands in.
type Upload struct {
	Tenant   evcs.TenantID
	Channel  string
	Merchant payment.MerchantID // 0: the only account
	Day      string
	Kind     string // TRADE or FUND
	File     File   // csv, zip or gz; the caller closes it
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
	st := recon.Statement{Tenant: u.Tenant, Channel: u.Channel, Merchant: account.ID, Day: u.Day, Kind: u.Kind, CreatedAt: c.now()}
	if st.Summary, err = summarise(ctx, ch, account, u); err != nil {
		return st, fmt.Errorf("read the statement: %w", err)
	}
	if len(st.Summary.Problems) > 0 {
		return st, recon.ErrInvalid
	}
	if err := c.open(ctx, u); err != nil {
		return st, err
	}
	if st.SHA256, err = digest(u.File); err != nil {
		return st, fmt.Errorf("read the statement: %w", err)
	}
	if st.File, st.Size, err = c.put(ctx, u.Tenant, u.File); err != nil {
		return st, err
	}
	return st, c.cfg.Transact(ctx, func(tx Tx) error {
		if err := checkOpen(ctx, tx, u); err != nil {
			return err
		}
		return tx.Recon().KeepStatement(ctx, &st)
	})
}

// open refuses early what a closed day does not take.
func (c *Closer) open(ctx context.Context, u Upload) error {
	return c.cfg.Transact(ctx, func(tx Tx) error { return checkOpen(ctx, tx, u) })
}

func checkOpen(ctx context.Context, tx Tx, u Upload) error {
	b, err := tx.Recon().BatchOf(ctx, evcs.Only(u.Tenant), u.Channel, u.Day)
	if errors.Is(err, recon.ErrNoBatch) {
		return nil
	}
	if err != nil {
		return err
	}
	return b.CheckOpen()
}

// summarise reads a whole statement of either kind.
func summarise(ctx context.Context, ch payment.Channel, account payment.Merchant, u Upload) (payment.Summary, error) {
	if err := rewind(u.File); err != nil {
		return payment.Summary{}, err
	}
	if u.Kind != recon.KindFund {
		return ch.Read(ctx, account, u.Day, u.File, func(payment.Row) error { return nil })
	}
	funds, ok := ch.(payment.FundChannel)
	if !ok {
		return payment.Summary{}, evcs.Invalid(evcs.FieldFault{Field: "kind", Message: "the channel has no fund statements"})
	}
	var s payment.Summary
	f, err := funds.ReadFund(ctx, account, u.Day, u.File, func(m payment.Movement) error {
		switch m.Kind {
		case payment.MovedPayment:
			s.PayTotal += m.Amount
		case payment.MovedRefund:
			s.RefundTotal -= m.Amount
		case payment.MovedFee:
			s.FeeTotal -= m.Amount
		case payment.MovedOther:
		}
		return nil
	})
	s.Rows, s.Problems = f.Rows, f.Problems
	return s, err
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
