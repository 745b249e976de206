package main

import (
	"compress/gzip"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/evcs/evcs/internal/cashier"
	"github.com/evcs/evcs/internal/closing"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/payment"
	"github.com/evcs/evcs/internal/recon"
	"github.com/evcs/evcs/internal/store"
	"github.com/evcs/evcs/internal/wechatpay"
)

func unpack(f *os.File, packed bool) (io.Reader, error) {
	if !packed {
		return f, nil
	}
	return gzip.NewReader(f)
}

// database makes the database of the run with our side of the day: a file in the
// directory, or a database of its own on a server, which drop takes away.
func (o *options) database(ctx context.Context, w world) (drop func(), err error) {
	drop = func() {}
	if o.dsn == "" {
		path := filepath.Join(o.dir, "evcs.db")
		o.url = "sqlite:" + path
		if _, err := os.Stat(path); err == nil {
			return drop, nil
		}
		return drop, w.fill(ctx, o.url, "sqlite", "file:"+path+"?_pragma=synchronous(0)&_pragma=foreign_keys(0)&_pragma=journal_mode(WAL)")
	}
	u, err := url.Parse(o.dsn)
	if err != nil {
		return drop, fmt.Errorf("address of the PostgreSQL server: %w", err)
	}
	server, err := sql.Open("pgx", o.dsn)
	if err != nil {
		return drop, fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	name := fmt.Sprintf("evcs_recon_%d", os.Getpid())
	if _, err := server.ExecContext(ctx, "CREATE DATABASE "+name); err != nil {
		return drop, errors.Join(fmt.Errorf("create a database: %w", err), server.Close())
	}
	drop = func() {
		_, _ = server.ExecContext(context.WithoutCancel(ctx), "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)") // temporary
		_ = server.Close()                                                                                     // given up
	}
	u.Path = "/" + name
	o.url = u.String()
	if err := w.fill(ctx, o.url, "pgx", o.url); err != nil {
		drop()
		return func() {}, err
	}
	return drop, nil
}

// fill migrates a database and writes our side of the day into it: rows as the
// till leaves them, in bulk.
func (w world) fill(ctx context.Context, address, driver, source string) error {
	db, err := store.Open(ctx, store.Config{URL: address, SyncOff: true})
	if err != nil {
		return err
	}
	_, err = db.Migrate(ctx)
	if err = errors.Join(err, db.Close()); err != nil {
		return err
	}
	raw, err := sql.Open(driver, source)
	if err != nil {
		return err
	}
	defer raw.Close() // what counts was committed
	if err := w.rows(ctx, raw, driver == "pgx"); err != nil {
		return err
	}
	_, err = raw.ExecContext(ctx, "ANALYZE")
	return err
}

// rows writes the account, payments and refunds.
func (w world) rows(ctx context.Context, raw *sql.DB, numbered bool) error {
	tx, err := raw.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to undo
	if numbered {       // orders are not part of the day
		if _, err := tx.ExecContext(ctx, `SET LOCAL session_replication_role = replica`); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO merchants (id, tenant_id, channel, name, mode, status, config, secrets, callback_token, fee_rate, created_at, updated_at, deleted_at, version)
		VALUES (1, 1, 'wechat', 'x', 'LIVE', 1, '{"mchId":"`+mchID+`"}', '', 't', `+strconv.Itoa(feeRate)+`, 1, 1, 0, 1)`); err != nil {
		return err
	}
	pay, back := &inserter{tx: tx, numbered: numbered, head: `INSERT INTO payments (id, tenant_id, order_id, order_no, user_ref, trade_no, channel_trade_no, method, channel, amount, status, description,
		expire_at, paid_at, refunded_amount, refunding_amount, sandbox, settles, merchant_id, last_query_at, next_query_at, queries, created_at, updated_at, version) VALUES `},
		&inserter{tx: tx, numbered: numbered, head: `INSERT INTO refunds (tenant_id, refund_no, payment_id, trade_no, order_id, amount, status, reason, channel, channel_refund_no, requested_by, accepted_at,
		success_at, next_query_at, queries, created_at, updated_at, version) VALUES `}
	for i := range w.n {
		l, known := w.local(i)
		if !known {
			continue
		}
		at, status := evcs.Millis(l.At), payment.Success
		if !l.Succeeded {
			status = payment.Pending
		}
		if l.Direction == payment.Pay {
			err = pay.add(ctx, i+1, 1, i+1, "ORD", 0, l.No, l.ChannelNo, "WECHAT_NATIVE", "wechat", int64(l.Amount), int64(status), "", 1, at, 0, 0, false, true, 1, 0, 0, 0, 1, 1, 1)
		} else {
			// A refund is of a payment of another day.
			old := l.TradeNo
			if err = pay.add(ctx, i+1, 1, i+1, "ORD", 0, old, "X"+old, "WECHAT_NATIVE", "wechat", int64(l.Amount), int64(payment.Refunded), "", 1, 1, int64(l.Amount), 0, false, true, 1, 0, 0, 0, 1, 1, 1); err == nil {
				err = back.add(ctx, 1, l.No, i+1, old, i+1, int64(l.Amount), int64(payment.RefundSuccess), "r", "wechat", l.ChannelNo, "x", at, at, 0, 0, 1, 1, 1)
			}
		}
		if err != nil {
			return err
		}
	}
	if err := errors.Join(pay.flush(ctx), back.flush(ctx)); err != nil {
		return err
	}
	return tx.Commit()
}

// inserter gathers rows into statements.
type inserter struct {
	tx       *sql.Tx
	head     string
	numbered bool // parameters are $1, $2, … instead of ?
	rows     int
	args     []any
}

const perInsert = 100

func (s *inserter) add(ctx context.Context, args ...any) error {
	s.args = append(s.args, args...)
	if s.rows++; s.rows < perInsert {
		return nil
	}
	return s.flush(ctx)
}

func (s *inserter) flush(ctx context.Context) error {
	if s.rows == 0 {
		return nil
	}
	_, err := s.tx.ExecContext(ctx, s.statement(), s.args...)
	s.rows, s.args = 0, s.args[:0]
	return err
}

// statement inserts the rows that are gathered.
func (s *inserter) statement() string {
	var b strings.Builder
	b.WriteString(s.head)
	columns := len(s.args) / s.rows
	for i := range s.args {
		switch {
		case i == 0:
			b.WriteString("(")
		case i%columns == 0:
			b.WriteString("), (")
		default:
			b.WriteString(", ")
		}
		if s.numbered {
			b.WriteString("$" + strconv.Itoa(i+1))
		} else {
			b.WriteString("?")
		}
	}
	b.WriteString(")")
	return b.String()
}

// channel is WeChat's statements without its line.
type channel struct {
	payment.Channel
}

// Read implements payment.Channel.
func (channel) Read(ctx context.Context, m payment.Merchant, day string, r io.Reader, row func(payment.Row) error) (payment.Summary, error) {
	return wechatpay.New(wechatpay.Config{}).Read(ctx, m, day, r, row)
}

// Query implements payment.Channel: the line is down.
func (channel) Query(context.Context, payment.Merchant, string) (payment.Trade, error) {
	return payment.Trade{}, payment.ErrUnknownOutcome
}

// QueryRefund implements payment.Channel.
func (channel) QueryRefund(context.Context, payment.Merchant, string, string) (payment.RefundAnswer, error) {
	return payment.RefundAnswer{}, payment.ErrUnknownOutcome
}

// nobody is a till that reaches no channel.
type nobody struct{}

func (nobody) Query(context.Context, *evcs.Actor, string, string) (payment.Payment, bool, error) {
	return payment.Payment{}, false, payment.ErrUnknownOutcome
}

func (nobody) QueryRefund(context.Context, *evcs.Actor, string) (payment.Refund, error) {
	return payment.Refund{}, payment.ErrUnknownOutcome
}

func (nobody) Refund(context.Context, *evcs.Actor, cashier.RefundRequest) (payment.Refund, error) {
	return payment.Refund{}, payment.ErrUnknownOutcome
}

func (nobody) SandboxMerchant(context.Context, evcs.TenantID) (payment.Merchant, error) {
	return payment.Merchant{}, payment.ErrNotConfigured
}

// Open implements payment.Sealer: there are no secrets.
func (nobody) Open(string) ([]byte, error) { return nil, nil }

// OpenFor implements payment.Sealer.
func (nobody) OpenFor(string, string) ([]byte, error) { return nil, nil }

// SealFor implements payment.Sealer.
func (nobody) SealFor(string, []byte) (string, error) { return "", nil }

type reader struct {
	store.Recon
	store.PaymentDesk
}

// fixed is a clock that stands.
type fixed time.Time

// Now implements evcs.Clock.
func (f fixed) Now() time.Time { return time.Time(f) }

// reconcile is the whole run of the day over the store, the statement handed in
// before: our rows out of the database, the pieces of the statement, the matching, the
// differences counted. As "stored" they are stored too, and checked by name.
func (o *options) reconcile(ctx context.Context) error {
	w := world{o.rows}
	db, err := store.Open(ctx, store.Config{URL: o.url})
	if err != nil {
		return err
	}
	defer db.Close() // what counts was committed
	_, end, _ := recon.Bounds(day)
	c := closing.New(closing.Config{
		Node: "bench", Clock: fixed(end.Add(11 * time.Hour)), Channels: map[string]payment.Channel{payment.ChannelWechat: channel{}}, Sealer: nobody{}, Cashier: nobody{},
		Read: reader{db.Reader().Recon(), db.Reader().Payments().PaymentDesk}, Spool: o.dir,
		Transact: func(ctx context.Context, fn func(closing.Tx) error) error {
			return db.Transact(ctx, func(tx *store.Tx) error { return fn(tx) })
		},
	})
	if err := o.handIn(ctx, db, c); err != nil {
		return err
	}
	dry := o.child != "stored"
	var batch recon.Batch
	if err := o.timed(o.child, func() (int, error) {
		batch, err = c.Execute(ctx, closing.Request{Tenant: 1, Channel: payment.ChannelWechat, Day: day, DryRun: dry}, time.Hour)
		return int(batch.Figures.Counts.Total()), err
	}); err != nil {
		return err
	}
	if want := len(w.wanted()); int(batch.Figures.Counts.Total()) != want {
		return fmt.Errorf("%+v, seeded %d", batch.Figures.Counts, want)
	}
	if dry {
		return nil
	}
	list, err := db.Reader().Recon().DifferencesOf(ctx, evcs.Only(1), batch.ID)
	if err != nil {
		return err
	}
	return check(w, list)
}

func (o *options) handIn(ctx context.Context, db *store.DB, c *closing.Closer) error {
	kept, err := db.Reader().Recon().StatementOf(ctx, evcs.Only(1), 1, day, recon.KindTrade)
	if err != nil || kept != nil {
		return err
	}
	f, err := o.bill()
	if err != nil {
		return err
	}
	defer f.Close() // read only
	st, err := c.HandIn(ctx, closing.Upload{Tenant: 1, Channel: payment.ChannelWechat, Day: day, Kind: recon.KindTrade, File: f})
	if err != nil {
		return fmt.Errorf("%w: %+v", err, st.Summary.Problems)
	}
	return nil
}
