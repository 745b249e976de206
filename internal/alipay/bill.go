package alipay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	sdk "github.com/smartwalle/alipay/v3"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/outbound"
	"github.com/evcs/evcs/internal/payment"
)

const (
	// maxStatement bounds a packed statement: about ten million rows.
	maxStatement      = 512 << 20
	statementPatience = 10 * time.Minute
)

// The kinds of statements.
const (
	billTrade = "trade"        // the business statement
	billFund  = "signcustomer" // the account's own movements
)

// Fetch implements payment.Channel: the packed business statement of a day.
// Alipay publishes no hash; the totals in the file are what proves it. It says
// the same of a day without trades as of one whose statement is not made yet:
// that is ErrNotReady, with its word.
func (c *Channel) Fetch(ctx context.Context, m payment.Merchant, day string) (payment.Statement, error) {
	return c.fetch(ctx, m, day, billTrade)
}

// FetchFund is Fetch for the movements of the account's money.
func (c *Channel) FetchFund(ctx context.Context, m payment.Merchant, day string) (payment.Statement, error) {
	return c.fetch(ctx, m, day, billFund)
}

func (c *Channel) fetch(ctx context.Context, m payment.Merchant, day, kind string) (payment.Statement, error) {
	const what = "ask for a statement"
	if _, _, err := payment.StatementDay(day); err != nil {
		return payment.Statement{}, err
	}
	a, err := c.reach(m)
	if err != nil {
		return payment.Statement{}, err
	}
	var said *sdk.BillDownloadURLQueryRsp
	err = a.ask(ctx, func(ctx context.Context, c *sdk.Client) (err error) {
		said, err = c.BillDownloadURLQuery(ctx, sdk.BillDownloadURLQuery{BillType: kind, BillDate: day})
		return err
	})
	if said == nil {
		said = &sdk.BillDownloadURLQueryRsp{}
	}
	if err == nil && strings.Contains(strings.ToLower(said.SubCode), "bill_not_exist") {
		return payment.Statement{}, evcs.With(payment.ErrNotReady, map[string]any{"channelMessage": payment.PlainText(said.SubCode, maxWords)})
	}
	if err := outcome(what, err, said.Error); err != nil {
		return payment.Statement{}, err
	}
	return c.download(ctx, said.BillDownloadURL)
}

// download gets the file. The address holds what opens it and is never told.
func (c *Channel) download(ctx context.Context, from string) (payment.Statement, error) {
	missed := func(why string) (payment.Statement, error) {
		return payment.Statement{}, fmt.Errorf("download a statement: %w: %s", payment.ErrUnknownOutcome, why)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return missed("the address cannot be used")
	}
	answer, err := c.bulk().Do(r)
	if err != nil {
		return missed(outbound.Reason(err))
	}
	defer answer.Body.Close() // what is left is not wanted
	if answer.StatusCode != http.StatusOK {
		return missed(fmt.Sprintf("HTTP %d", answer.StatusCode))
	}
	file, err := outbound.Spool(answer.Body)
	if err != nil {
		return missed(outbound.Reason(err))
	}
	magic := make([]byte, len(zipMagic))
	if _, err = io.ReadFull(file, magic); err == nil && string(magic) == zipMagic {
		err = file.Rewind()
	} else {
		err = errors.New("the file is no archive") // an address that has expired answers with a page
	}
	if err != nil {
		return payment.Statement{}, errors.Join(fmt.Errorf("download a statement: %w: %w", payment.ErrUnknownOutcome, err), file.Close())
	}
	return payment.Statement{File: file}, nil
}

// zipMagic begins every archive that is not empty.
const zipMagic = "PK\x03\x04"

// Read implements payment.Channel.
func (*Channel) Read(ctx context.Context, m payment.Merchant, day string, r io.Reader, row func(payment.Row) error) (payment.Summary, error) {
	id, err := m.Account()
	if err != nil {
		return payment.Summary{}, err
	}
	return readTrade(ctx, id.SellerID, day, r, row)
}

// ReadFund implements payment.FundChannel.
func (*Channel) ReadFund(ctx context.Context, m payment.Merchant, day string, r io.Reader, each func(payment.Movement) error) (payment.FundSummary, error) {
	id, err := m.Account()
	if err != nil {
		return payment.FundSummary{}, err
	}
	return readFund(ctx, id.SellerID, day, r, each)
}
