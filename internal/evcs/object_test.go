package evcs_test

import (
	"encoding/json"
	"testing"

	"pgregory.net/rapid"

	"github.com/evcs/evcs/internal/evcs"
)

func TestObjectIsWhatMarshalWrites(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Draw(t, "text")
		list := rapid.SliceOf(rapid.String()).Draw(t, "list")
		n := rapid.Int64().Draw(t, "n")
		yes := rapid.Bool().Draw(t, "yes")
		fen := evcs.Money(rapid.Int64().Draw(t, "fen"))
		o := evcs.Object{}.Text("a", text).TextOrNull("b", &text).TextOrNull("c", nil).Whole("d", n).Truth("e", yes).Null("f").Number("g", fen)
		want, err := json.Marshal(struct {
			A string          `json:"a"`
			B *string         `json:"b"`
			C *string         `json:"c"`
			D int64           `json:"d"`
			E bool            `json:"e"`
			F any             `json:"f"`
			G json.RawMessage `json:"g"`
			H []string        `json:"h"`
		}{text, &text, nil, n, yes, nil, json.RawMessage(fen.String()), append([]string{}, list...)})
		if err != nil {
			t.Fatal(err)
		}
		if got := evcs.Texts(o, "h", list).JSON(); string(got) != string(want) {
			t.Errorf("%s, want %s", got, want)
		}
	})
	if got := (evcs.Object{}).JSON(); string(got) != "{}" {
		t.Errorf("%s", got)
	}
}
