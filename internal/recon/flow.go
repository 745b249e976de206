package recon

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"slices"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/payment"
)

// flow is what should have moved and what moved under one number of the channel.
type flow struct {
	trade, moved  [3]evcs.Money // by leg of the money: in, back, fee
	traded, money bool
	rawTrade, raw string
	tradeNo       string
}

const (
	flowIn = iota
	flowBack
	flowFee
)

// FundFigures are what the fund statements of a day say, and what became of
// them beside the trade statements and the journal.
type FundFigures struct {
	SHA256                   string
	Movements                int64 // lines
	Keys, Matched            int64 // numbers on either side, and those that agree
	Opening, Closing         evcs.Money
	Balanced                 bool // opening and closing are known
	Payments, Refunds, Fees  evcs.Money
	Other                    map[string]evcs.Money `json:"other,omitempty"`
	Ledger, Explained, Drift evcs.Money            // what the journal moved, what differences explain, and what nobody does
}

// Moved is what trading moved on the account: without withdrawals and transfers.
func (f *FundFigures) Moved() evcs.Money { return f.Payments - f.Refunds - f.Fees }

// Flows is the second leg of a day: the trade statement says what was paid, the
// fund statement what moved. First every trade row, then every movement, then
// the outcome. Everything goes through scratch files, so that memory stays the
// same. It is closed at the end.
type Flows struct {
	day      string
	accounts []payment.Merchant
	places   map[payment.MerchantID]int
	bins     *bins
	seed     maphash.Seed
	figures  FundFigures
	waiting  map[string]evcs.Money
}

// NewFlows begins the second leg of a day. waiting are the suspended differences
// of days before.
func NewFlows(day string, accounts []payment.Merchant, waiting []Difference, scratch Scratch) (*Flows, error) {
	b, err := newBins(scratch)
	if err != nil {
		return nil, err
	}
	f := &Flows{day: day, accounts: accounts, bins: b, seed: maphash.MakeSeed(), places: make(map[payment.MerchantID]int), waiting: make(map[string]evcs.Money)}
	for i, a := range accounts {
		f.places[a.ID] = i
	}
	for i := range waiting {
		d := &waiting[i]
		before := d.State == AutoResolved && d.Resolution != nil && d.Resolution.Day == day
		if LegOf(d) == FacetFundFlow && d.LocalAmount != nil && (d.Unsettled() || before) {
			f.waiting[d.Key] = *d.LocalAmount
		}
	}
	return f, nil
}

// Close gives the scratch file back.
func (f *Flows) Close() error { return f.bins.close() }

// Trade adds a row of an account's trade statement. Rows that did not succeed
// move nothing.
func (f *Flows) Trade(account payment.MerchantID, r *payment.Row) error {
	if !r.Succeeded {
		return nil
	}
	var sums [3]evcs.Money
	if r.Direction == payment.Pay {
		sums[flowIn] = r.Settled
	} else {
		sums[flowBack] = r.Settled
	}
	sums[flowFee] = r.Fee
	return f.add(account, true, r.ChannelNo, numberOf(r), sums, r.Text())
}

// Moved adds a movement of an account.
func (f *Flows) Moved(account payment.MerchantID, m *payment.Movement) error {
	f.figures.Movements++
	var sums [3]evcs.Money
	switch m.Kind {
	case payment.MovedPayment:
		sums[flowIn] = m.Amount
		f.figures.Payments += m.Amount
	case payment.MovedRefund:
		sums[flowBack] = -m.Amount
		f.figures.Refunds -= m.Amount
	case payment.MovedFee:
		sums[flowFee] = -m.Amount
		f.figures.Fees -= m.Amount
	case payment.MovedOther:
		return nil
	}
	return f.add(account, false, m.ChannelNo, m.TradeNo, sums, m.Text())
}

const flowHead = 1 + 2 + 3*8 + 1 + 1 + 2

func (f *Flows) add(account payment.MerchantID, trade bool, no, ours string, sums [3]evcs.Money, raw string) error {
	at, ok := f.places[account]
	if !ok || at > 0xffff {
		return fmt.Errorf("a statement of account %d, which the channel's day does not have", account)
	}
	no, ours, raw = no[:min(len(no), maxNumber)], ours[:min(len(ours), maxNumber)], raw[:min(len(raw), maxRaw)]
	part := binOf(maphash.String(f.seed, no))
	b := f.bins.room(part)
	if trade {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	b = binary.LittleEndian.AppendUint16(b, uint16(at)) //nolint:gosec // checked above
	for _, s := range sums {
		b = binary.LittleEndian.AppendUint64(b, uint64(s)) //nolint:gosec // read back as it is
	}
	b = append(b, uint8(len(no)), uint8(len(ours)))           //nolint:gosec // bounded by maxNumber
	b = binary.LittleEndian.AppendUint16(b, uint16(len(raw))) //nolint:gosec // bounded by maxRaw
	return f.bins.keep(part, append(append(append(b, no...), ours...), raw...))
}

// Outcome ends the second leg: what differs, and the suspended keys of days
// before whose money moved on this day. ErrUnlike says that nothing fits.
func (f *Flows) Outcome(ctx context.Context) (list []Difference, crossed []string, figures FundFigures, err error) {
	for part := range binCount {
		if err := ctx.Err(); err != nil {
			return nil, nil, f.figures, err
		}
		flows := make(map[string]*flow)
		if err := f.bins.read(part, func(text []byte) (int, error) { return eachFlow(text, flows) }); err != nil {
			return nil, nil, f.figures, err
		}
		for name, w := range flows {
			f.figures.Keys++
			d, found := f.judge(name, w)
			switch {
			case found:
				crossed = append(crossed, d.Key)
			case d.Kind != "":
				list = append(list, d)
				continue
			}
			f.figures.Matched++
		}
		if len(list) > maxDifferences {
			return nil, nil, f.figures, ErrUnlike
		}
	}
	slices.SortFunc(list, func(a, b Difference) int {
		if a.Key < b.Key {
			return -1
		}
		return 1
	})
	slices.Sort(crossed)
	return list, crossed, f.figures, nil
}

// eachFlow adds the records of a text up by account and number and returns what
// is whole of it.
func eachFlow(b []byte, flows map[string]*flow) (int, error) {
	n := 0
	for {
		r := b[n:]
		if len(r) < flowHead {
			return n, nil
		}
		no, ours, raw := int(r[27]), int(r[28]), int(binary.LittleEndian.Uint16(r[29:]))
		end := flowHead + no + ours + raw
		if len(r) < end {
			return n, nil
		}
		n += end
		name := string(r[1:3]) + string(r[flowHead:flowHead+no])
		w := flows[name]
		if w == nil {
			w = &flow{tradeNo: string(r[flowHead+no : flowHead+no+ours])}
			flows[name] = w
		}
		sums, text := &w.moved, &w.raw
		if r[0] == 1 {
			sums, text, w.traded = &w.trade, &w.rawTrade, true
		} else {
			w.money = true
		}
		for i := range sums {
			sums[i] += evcs.Money(binary.LittleEndian.Uint64(r[3+8*i:])) //nolint:gosec // written from one
		}
		if len(*text) < maxRaw {
			if *text != "" {
				*text += "\n"
			}
			*text += string(r[end-raw : end])
		}
	}
}

// judge says what differs under one number; no kind: nothing. found says that a
// day before waited for it.
func (f *Flows) judge(name string, w *flow) (d Difference, found bool) {
	account := f.accounts[binary.LittleEndian.Uint16([]byte(name))]
	no := name[2:]
	d = Difference{
		Tenant: account.Tenant, Day: f.day, Channel: account.Channel, Key: fmt.Sprintf("FUND/%d/%s", account.ID, no), Direction: payment.Pay,
		Merchant: account.ID, ChannelNo: no, TradeNo: w.tradeNo, Facets: []string{FacetFundFlow}, LocalRaw: w.rawTrade, ChannelRaw: w.raw,
	}
	if w.trade[flowIn] == 0 && w.moved[flowIn] == 0 && w.trade[flowBack]+w.moved[flowBack] != 0 {
		d.Direction = payment.RefundBack
	}
	ours, theirs := w.trade[flowIn]-w.trade[flowBack], w.moved[flowIn]-w.moved[flowBack]
	waits, waiting := f.waiting[d.Key]
	switch {
	case w.trade == w.moved:
		return Difference{}, false
	case !w.money:
		d.Kind = LocalOnly
	case !w.traded && waiting && waits == theirs:
		return d, true
	case !w.traded:
		d.Kind = ChannelOnly
	case ours != theirs:
		d.Kind = AmountMismatch
	default:
		d.Kind = FeeMismatch
	}
	if w.traded {
		d.LocalAmount, d.LocalFee = &ours, &w.trade[flowFee]
	}
	if w.money {
		d.ChannelAmount, d.ChannelFee = &theirs, &w.moved[flowFee]
	}
	return d, false
}

// shift is by how much the trade statement says more than the fund statement
// about a difference of the second leg.
func (d *Difference) shift() evcs.Money {
	if LegOf(d) != FacetFundFlow {
		return 0
	}
	worth := func(amount, fee *evcs.Money) (sum evcs.Money) {
		if amount != nil {
			sum += *amount
		}
		if fee != nil {
			sum -= *fee
		}
		return sum
	}
	return worth(d.LocalAmount, d.LocalFee) - worth(d.ChannelAmount, d.ChannelFee)
}

// Weigh is the third leg: what the journal moved on the channel's account in the
// day, beside what the channel says moved, less what the listed differences of
// the day, and what came out of the suspense of days before, explain. It returns what to list.
func (f *FundFigures) Weigh(b *Batch, first payment.Merchant, journal evcs.Money, own, out []Difference, before *FundFigures) []Difference {
	f.Ledger, f.Explained = journal, 0
	for i := range own {
		d := &own[i]
		written := d.State == WrittenOff && d.Resolution != nil && d.Resolution.Day == b.Day
		if d.State != Superseded && !written {
			f.Explained += d.Gap()
		}
		if d.State != Superseded {
			f.Explained += d.shift()
		}
	}
	for i := range out {
		f.Explained -= out[i].Gap() + out[i].shift()
	}
	f.Drift = f.Ledger - f.Moved() - f.Explained
	var list []Difference
	odd := func(key string, ours, theirs evcs.Money, facets ...string) {
		list = append(list, Difference{
			Tenant: b.Tenant, Day: b.Day, Channel: b.Channel, Key: key + "/" + b.Day, Kind: AmountMismatch, Direction: payment.Pay, Merchant: first.ID,
			Facets: append([]string{FacetBalance}, facets...), LocalAmount: &ours, ChannelAmount: &theirs,
		})
	}
	if f.Drift != 0 {
		odd("BALANCE", f.Ledger-f.Explained, f.Moved())
	}
	if before != nil && before.Balanced && f.Balanced && before.Closing != f.Opening {
		odd("OPENING", before.Closing, f.Opening, FacetOpening)
	}
	return list
}
