package wechatpay

import (
	"compress/gzip"
	"context"
	"crypto/sha1" // the channel's own check sum of its files
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/outbound"
	"github.com/evcs/evcs/internal/payment"
)

const (
	// maxStatement bounds a packed statement, maxUnpacked its text, maxRatio how
	// much larger the text may be behind the first ratioFrom bytes.
	maxStatement      = 512 << 20
	maxUnpacked       = 8 << 30
	maxRatio          = 150
	ratioFrom         = 8 << 20
	statementPatience = 10 * time.Minute
)

// Fetch implements payment.Channel: the packed statement of all trades and
// refunds of a day, its check sum verified. A day without any has none: ErrNotReady with the
// channel's word NO_STATEMENT_EXIST.
func (c *Channel) Fetch(ctx context.Context, m payment.Merchant, day string) (payment.Statement, error) {
	return c.fetch(ctx, m, day, "tradebill", "bill_type=ALL")
}

// FetchFund is Fetch for the movements of the account's money.
func (c *Channel) FetchFund(ctx context.Context, m payment.Merchant, day string) (payment.Statement, error) {
	return c.fetch(ctx, m, day, "fundflowbill", "account_type=BASIC")
}

// pointer is where a statement lies, and the check sum of its text.
type pointer struct {
	HashType    string `json:"hash_type"`
	HashValue   string `json:"hash_value"`
	DownloadURL string `json:"download_url"`
}

func (c *Channel) fetch(ctx context.Context, m payment.Merchant, day, kind, query string) (payment.Statement, error) {
	const what = "ask for a statement"
	if _, _, err := payment.StatementDay(day); err != nil {
		return payment.Statement{}, err
	}
	a, err := c.reach(m)
	if err != nil {
		return payment.Statement{}, err
	}
	var to pointer
	err = a.call(ctx, what, func() error {
		result, err := a.client.Get(ctx, "https://"+host+"/v3/bill/"+kind+"?bill_date="+day+"&"+query+"&tar_type=GZIP")
		if err != nil {
			return err
		}
		defer result.Response.Body.Close() // verified, so it was read before
		return json.NewDecoder(result.Response.Body).Decode(&to)
	})
	switch {
	case refusedWith(err, "NO_STATEMENT_EXIST", "NO_BILL_EXIST", "STATEMENT_CREATING", "BILL_CREATING"):
		_, data, _ := evcs.Classify(err)
		return payment.Statement{}, evcs.With(payment.ErrNotReady, map[string]any{"channelMessage": data["channelCode"]})
	case err != nil:
		return payment.Statement{}, err
	case to.HashType != "SHA1" || len(to.HashValue) != 2*sha1.Size:
		return payment.Statement{}, another(what)
	}
	return a.download(ctx, to)
}

// download gets the file. The request is signed, the reply is not: the check
// sum of the signed reply before vouches for it.
func (a *account) download(ctx context.Context, from pointer) (payment.Statement, error) {
	const what = "download a statement"
	var file outbound.File
	err := a.call(ctx, what, func() error {
		result, err := a.bills.Get(ctx, from.DownloadURL)
		if err != nil {
			return err
		}
		defer result.Response.Body.Close() // what is left is not wanted
		file, err = outbound.Spool(result.Response.Body)
		return err
	})
	if err != nil {
		return payment.Statement{}, err
	}
	sum, err := sumOf(file)
	if err == nil && !strings.EqualFold(sum, from.HashValue) {
		err = errSum
	}
	if err == nil {
		err = file.Rewind()
	}
	if err != nil {
		return payment.Statement{}, errors.Join(unknown(what, err.Error()), file.Close())
	}
	return payment.Statement{File: file}, nil
}

var (
	errPacked = errors.New("the file cannot be unpacked")
	errBomb   = errors.New("the file is larger unpacked than a statement can be")
	errSum    = errors.New("the file's check sum is not the one that was declared")
)

// sumOf is the SHA-1 of the unpacked text, in hexadecimal.
func sumOf(file outbound.File) (string, error) {
	info, err := file.Stat()
	if err != nil {
		return "", errPacked
	}
	packed, err := gzip.NewReader(file)
	if err != nil {
		return "", errPacked
	}
	most := min(maxUnpacked, max(ratioFrom, info.Size()*maxRatio))
	h := sha1.New()
	n, err := io.Copy(h, io.LimitReader(packed, most+1))
	switch {
	case n > most:
		return "", errBomb
	case err != nil:
		return "", errPacked
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Read implements payment.Channel.
func (*Channel) Read(ctx context.Context, m payment.Merchant, day string, r io.Reader, row func(payment.Row) error) (payment.Summary, error) {
	id, err := m.Account()
	if err != nil {
		return payment.Summary{}, err
	}
	return readTrade(ctx, id.MchID, day, r, row)
}

// ReadFund implements payment.FundChannel.
func (*Channel) ReadFund(ctx context.Context, _ payment.Merchant, day string, r io.Reader, each func(payment.Movement) error) (payment.FundSummary, error) {
	return readFund(ctx, day, r, each)
}
