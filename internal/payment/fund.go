package payment

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

// FundChannel is a channel that also tells what money moved on the account.
type FundChannel interface {
	// FetchFund gets the fund statement of a day; ErrNotReady when there is none
	// yet.
	FetchFund(ctx context.Context, m Merchant, day string) (Statement, error)
	// ReadFund reads a fund statement and hands each movement over. It is to
	// ReadFund as Read is to Channel: faults of the file are in the summary.
	ReadFund(ctx context.Context, m Merchant, day string, r io.Reader, each func(Movement) error) (FundSummary, error)
}

// MovementKind is why money moved on an account.
type MovementKind string

// The kinds of movements; what is none of the others is OTHER: withdrawals,
// transfers, shares.
const (
	MovedPayment MovementKind = "PAYMENT"
	MovedRefund  MovementKind = "REFUND"
	MovedFee     MovementKind = "FEE"
	MovedOther   MovementKind = "OTHER"
)

// Movement is one line of a fund statement.
type Movement struct {
	Line int
	// ChannelNo is the channel's number of what moved the money: as in the rows
	// of the trade statement.
	ChannelNo string
	TradeNo   string // ours, when the channel says it
	Kind      MovementKind
	Word      string     // the channel's word for the kind
	Amount    evcs.Money // positive: came in
	Balance   evcs.Money // after it
	At        time.Time
	Raw       string
	GBK       bool // as in Row
}

// Text is the line as it came, in UTF-8.
func (m *Movement) Text() string { return utf8Of(m.Raw, m.GBK) }

// FundSummary is what reading a fund statement found.
type FundSummary struct {
	Rows    int
	In, Out evcs.Money // both positive
	// Opening and Closing are the balance before the first movement and after
	// the last one; Balanced says that the movements lead from one to the other.
	Opening, Closing evcs.Money
	Balanced         bool
	Problems         []Problem
	// Other adds up the movements that are OTHER, by the channel's word.
	Other map[string]evcs.Money
}

// maxProblems bounds what is listed of a bad statement, maxWords the words of a
// channel that are told apart.
const (
	maxProblems = 50
	maxWords    = 20
)

// Problem lists one more thing that is wrong.
func (s *Summary) Problem(line int, format string, args ...any) {
	s.Problems = addProblem(s.Problems, line, format, args...)
}

// Problem lists one more thing that is wrong.
func (s *FundSummary) Problem(line int, format string, args ...any) {
	s.Problems = addProblem(s.Problems, line, format, args...)
}

func addProblem(list []Problem, line int, format string, args ...any) []Problem {
	if len(list) < maxProblems {
		list = append(list, Problem{Line: line, Message: fmt.Sprintf(format, args...)})
	}
	return list
}

// Add counts a row.
func (s *Summary) Add(r *Row) {
	s.Rows++
	if !r.Succeeded {
		return
	}
	if r.Direction == Pay {
		s.PayTotal += r.Amount
	} else {
		s.RefundTotal += r.Amount
	}
	s.FeeTotal += r.Fee
}

// Ignore counts a line that is neither payment nor refund.
func (s *Summary) Ignore(word string) {
	if s.Ignored == nil {
		s.Ignored = make(map[string]int)
	}
	if _, known := s.Ignored[word]; !known && len(s.Ignored) >= maxWords {
		word = "…"
	}
	s.Ignored[word]++
}

// Add counts a movement.
func (s *FundSummary) Add(m *Movement) {
	if s.Rows == 0 {
		s.Opening = m.Balance - m.Amount
	}
	s.Rows++
	s.Closing = m.Balance
	if m.Amount >= 0 {
		s.In += m.Amount
	} else {
		s.Out -= m.Amount
	}
	if m.Kind != MovedOther {
		return
	}
	if s.Other == nil {
		s.Other = make(map[string]evcs.Money)
	}
	word := m.Word
	if _, known := s.Other[word]; !known && len(s.Other) >= maxWords {
		word = "…"
	}
	s.Other[word] += m.Amount
}
