package payment

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// nothing is what is kept when a channel says that a day has no statement,
// because nothing happened on it: its own words, as the evidence.
type nothing struct {
	NoStatement *nothingWords `json:"noStatement"`
}

type nothingWords struct {
	Channel string `json:"channel"`
	Day     string `json:"day"`
	Code    string `json:"code"` // the channel's
}

// maxNothing bounds such a text.
const maxNothing = 512

// Nothing is the statement of a day of which the channel says, with a code of
// its own, that it has none because nothing happened.
func Nothing(channel, day, code string) (Statement, error) {
	text, err := json.Marshal(nothing{&nothingWords{channel, day, PlainText(code, 64)}})
	if err != nil {
		return Statement{}, fmt.Errorf("keep what the channel says: %w", err)
	}
	return Statement{Body: text}, nil
}

// IsNothing reports whether a statement is that of Nothing, for the channel and
// day. rest is the whole text again; one that can seek is given back as it was.
func IsNothing(r io.Reader, channel, day string) (rest io.Reader, none bool, err error) {
	head := make([]byte, maxNothing)
	n, err := io.ReadFull(r, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, false, fmt.Errorf("read a statement: %w", err)
	}
	head = head[:n]
	if s, ok := r.(io.Seeker); ok {
		if _, err := s.Seek(-int64(n), io.SeekCurrent); err != nil {
			return nil, false, fmt.Errorf("read a statement: %w", err)
		}
	} else {
		r = io.MultiReader(bytes.NewReader(head), r)
	}
	var said nothing
	none = n < maxNothing && json.Unmarshal(head, &said) == nil && said.NoStatement != nil && said.NoStatement.Channel == channel && said.NoStatement.Day == day
	return r, none, nil
}
