package recon

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/order"
	"github.com/evcs/evcs/internal/payment"
	"github.com/evcs/evcs/internal/tariff"
)

const (
	// FacetCharger is of the chargers' leg, where the local side is our bill for
	// energy and the channel's what the charger says itself.
	FacetCharger = "CHARGER"
	// FacetEnergy says that a charger tells another energy.
	FacetEnergy = "ENERGY"
	// FacetMoney says that it tells other money.
	FacetMoney = "MONEY"
)

// maxClaims bounds how many differences of the chargers' leg are listed of a day;
// the figures count all. A fleet with wrong prices must not hide a day's money.
const maxClaims = 10_000

// Claimed is an order that was paid over a channel and of which a charger has
// told its own bill.
type Claimed struct {
	order.Claim

	OrderNo  string
	Energy   evcs.Energy   // the order's
	Lines    []tariff.Line // those for energy: kind of period, energy, amount
	Merchant payment.MerchantID
	Payment  evcs.PaymentID
	TradeNo  string
	PaidAt   time.Time
}

// ClaimFigures are what chargers say beside what we billed.
type ClaimFigures struct {
	Count, Matched      int64
	EnergyOff, MoneyOff int64
	// Money is that of chargers that told an amount, energy of those that told one.
	Ours, Theirs           evcs.Money
	OurEnergy, TheirEnergy evcs.Energy
	Unlisted               int64 // differences beyond those that are listed
}

// Claims is the chargers' leg of a day: the orders of which the money and the
// charger's own bill are both known since this day, so that a bill that comes
// late is compared on the day on which it came. Equal ones leave nothing behind.
type Claims struct {
	day, channel string
	figures      ClaimFigures
	list         []Difference
	digest       hash.Hash
}

// NewClaims begins the chargers' leg of a channel's day.
func NewClaims(channel, day string) *Claims {
	return &Claims{channel: channel, day: day, digest: sha256.New()}
}

// Add compares one order; they must always come in the same order.
func (c *Claims) Add(x *Claimed) error {
	check := order.CheckClaim(x.Bill, x.Energy, x.Lines)
	f := &c.figures
	f.Count++
	if x.Bill.Amount != nil {
		f.Ours += check.Amount
		f.Theirs += *x.Bill.Amount
	}
	if x.Bill.Energy != nil {
		f.OurEnergy += check.Energy
		f.TheirEnergy += *x.Bill.Energy
	}
	ours, err := json.Marshal(spokenOf(&check.Energy, &check.Amount, parts(x.Lines)))
	if err != nil {
		return fmt.Errorf("write our side of order %d: %w", x.Order, err)
	}
	theirs, err := json.Marshal(spokenOf(x.Bill.Energy, x.Bill.Amount, x.Bill.Periods))
	if err != nil {
		return fmt.Errorf("write the charger's side of order %d: %w", x.Order, err)
	}
	fmt.Fprintf(c.digest, "%d %d %s %s\n", x.Order, x.Payment, ours, theirs) // a hash takes every write
	if check.Agrees() {
		f.Matched++
		return nil
	}
	d := Difference{
		Tenant: x.Tenant, Day: c.day, Channel: c.channel, Key: "CHARGER/" + x.OrderNo, Kind: AmountMismatch, Direction: payment.Pay, Merchant: x.Merchant,
		Order: x.Order, OrderNo: x.OrderNo, Payment: x.Payment, TradeNo: x.TradeNo, Facets: []string{FacetCharger}, LocalAt: x.PaidAt, ChannelAt: x.Received,
		LocalEnergy: &check.Energy, ChannelEnergy: x.Bill.Energy, LocalAmount: &check.Amount, ChannelAmount: x.Bill.Amount,
		LocalRaw: string(ours), ChannelRaw: string(theirs),
	}
	if check.EnergyOff {
		f.EnergyOff++
		d.Facets = append(d.Facets, FacetEnergy)
	}
	if check.AmountOff {
		f.MoneyOff++
		d.Facets = append(d.Facets, FacetMoney)
	}
	if len(c.list) == maxClaims {
		f.Unlisted++
		return nil
	}
	c.list = append(c.list, d)
	return nil
}

// spoken is one side of a difference, for people.
type spoken struct {
	Energy  *string              `json:"energy"` // kWh
	Amount  *string              `json:"amount"` // CNY
	Periods map[string][2]string `json:"periods,omitempty"`
}

func spokenOf(energy *evcs.Energy, amount *evcs.Money, periods []evcs.ChargerPeriod) spoken {
	var s spoken
	if energy != nil {
		text := energy.String()
		s.Energy = &text
	}
	if amount != nil {
		text := amount.String()
		s.Amount = &text
	}
	for _, p := range periods {
		if s.Periods == nil {
			s.Periods = make(map[string][2]string)
		}
		s.Periods[p.Kind] = [2]string{p.Energy.String(), p.Amount.String()}
	}
	return s
}

// parts adds lines up by the kind of period.
func parts(lines []tariff.Line) []evcs.ChargerPeriod {
	var list []evcs.ChargerPeriod
	at := make(map[tariff.PeriodKind]int)
	for _, l := range lines {
		i, known := at[l.PeriodKind]
		if !known {
			i = len(list)
			at[l.PeriodKind] = i
			list = append(list, evcs.ChargerPeriod{Kind: string(l.PeriodKind)})
		}
		list[i].Energy += l.Energy
		list[i].Amount += l.Amount
	}
	return list
}

// Outcome is what differs, and the figures; nil when no charger told anything.
func (c *Claims) Outcome() ([]Difference, *ClaimFigures) {
	if c.figures.Count == 0 {
		return nil, nil
	}
	f := c.figures
	return c.list, &f
}

// Digest is the fingerprint of both sides; "" when no charger told anything.
func (c *Claims) Digest() string {
	if c.figures.Count == 0 {
		return ""
	}
	return hex.EncodeToString(c.digest.Sum(nil))
}
