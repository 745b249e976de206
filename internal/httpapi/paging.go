package httpapi

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"slices"
	"strings"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/evcs"
)

// The most rows a plain list answers; one more is asked for to see whether
// there are more.
const (
	plainLimit      = 1000
	defaultPageSize = 10
)

var (
	errCursor = evcs.NewError(evcs.CodeCursorInvalid, "the cursor was not made for this query")
	errTooBig = evcs.NewError(evcs.CodeResultTooLarge, "the list is longer than a plain answer may be")
)

// request is what the store is asked for.
func (p *Paging) request() (evcs.PageRequest, error) {
	req := evcs.PageRequest{Page: p.Page.Or(p.Current.Or(1)), Size: p.Size.Or(defaultPageSize), Sort: p.sorts, Keyset: p.keyset}
	if p.keyset && p.Cursor != "" {
		after, err := openCursor(p.Cursor, p.x.queryMark())
		if err != nil {
			return req, err
		}
		req.After = after
	}
	return req, nil
}

func pageAnswer[In, Record any](ctx context.Context, a *evcs.Actor, p *Paging, in *In,
	list func(context.Context, *evcs.Actor, *In, evcs.PageRequest) (evcs.Page[Record], error),
) (*api.Page[Record], error) {
	req, err := p.request()
	if err != nil {
		return nil, err
	}
	found, err := list(ctx, a, in, req)
	if err != nil {
		return nil, err
	}
	if !p.keyset {
		page := api.NumberedPage(found.Records, found.Total, req.Page, req.Size)
		return &page, nil
	}
	next := ""
	if found.Next != nil {
		next = makeCursor(*found.Next, p.x.queryMark())
	}
	page := api.CursorPage(found.Records, req.Size, next)
	return &page, nil
}

func plainAnswer[In, Record any](ctx context.Context, a *evcs.Actor, p *Paging, in *In,
	list func(context.Context, *evcs.Actor, *In, evcs.PageRequest) (evcs.Page[Record], error),
) (*[]Record, error) {
	req, err := p.request()
	if err != nil {
		return nil, err
	}
	whole := !p.Page.Set && !p.Current.Set && !p.Size.Set
	if whole {
		req.Page, req.Size, req.NoTotal = 1, plainLimit+1, true
	}
	found, err := list(ctx, a, in, req)
	if err != nil {
		return nil, err
	}
	if whole && len(found.Records) > plainLimit {
		req.Size, req.NoTotal = 1, false
		if found, err = list(ctx, a, in, req); err != nil {
			return nil, err
		}
		return nil, evcs.With(errTooBig, map[string]any{"total": found.Total, "limit": plainLimit})
	}
	records := found.Records
	if records == nil {
		records = []Record{}
	}
	return &records, nil
}

// pageOf turns the records of a page into their wire form.
func pageOf[From, To any](page evcs.Page[From], convert func(From) To) evcs.Page[To] {
	return evcs.Page[To]{Records: listOf(page.Records, convert), Total: page.Total, Next: page.Next}
}

// listOf turns rows into their wire form; the result is never nil.
func listOf[From, To any](rows []From, convert func(From) To) []To {
	list := make([]To, len(rows))
	for i, row := range rows {
		list[i] = convert(row)
	}
	return list
}

// cursorText is what an opaque cursor holds.
type cursorText struct {
	Mark   string   `json:"m"`
	Values []string `json:"v,omitempty"`
	ID     int64    `json:"i"`
}

func makeCursor(place evcs.PlaceAfter, mark string) string {
	text, err := json.Marshal(cursorText{Mark: mark, Values: place.Values, ID: place.ID})
	if err != nil {
		return "" // strings and a number always encode
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

func openCursor(cursor, mark string) (*evcs.PlaceAfter, error) {
	var c cursorText
	text, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || json.Unmarshal(text, &c) != nil || c.Mark != mark {
		return nil, errCursor
	}
	return &evcs.PlaceAfter{Values: c.Values, ID: c.ID}, nil
}

// queryMark is the fingerprint of the filters and the sort of a list, to which
// a cursor is bound.
func (x *exchange) queryMark() string {
	kept := make(url.Values)
	for name, values := range x.query {
		switch {
		case name == "cursor", name == "size", strings.HasPrefix(name, "_"):
		default:
			kept[name] = slices.DeleteFunc(slices.Clone(values), func(v string) bool { return v == "" })
		}
	}
	sum := sha256.Sum256([]byte(strings.TrimSuffix(x.op.ID, ".page") + "?" + kept.Encode()))
	return base64.RawURLEncoding.EncodeToString(sum[:9])
}
