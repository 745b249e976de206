package api_test

import (
	"bytes"
	"encoding/json"
	"math"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/evcs/evcs/internal/api"
)

// standard is what encoding/json writes without HTML escapes.
func standard(t interface{ Fatal(args ...any) }, v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		t.Fatal(err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

func TestAppendWritesWhatEncodingJSONWrites(t *testing.T) {
	t.Parallel()
	list := append(objects(),
		&api.Envelope[*api.Order]{}, &api.Page[api.Order]{}, &[]api.Session{}, &map[string]api.Money{}, new(any),
		&struct {
			A  any                     `json:"a"`
			B  api.Optional[api.Money] `json:"b,omitzero"`
			C  []byte
			d  int
			E  string `json:"-"`
			*F `json:"f,omitempty"`
			G  map[string]int64 `json:"g,omitempty"`
			H  uint8            `json:"h,omitempty"`
		}{d: 1},
	)
	rapid.Check(t, func(t *rapid.T) {
		object := rapid.SampledFrom(list).Draw(t, "type")
		place := reflect.New(reflect.TypeOf(object).Elem())
		anything(t, place.Elem(), 0)
		for _, v := range []any{place.Interface(), place.Elem().Interface()} {
			got, err := api.Append([]byte("before"), v)
			if err != nil {
				t.Fatal(err)
			}
			if want := "before" + string(standard(t, v)); string(got) != want {
				t.Fatalf("%T:\n got %s\nwant %s", v, got, want)
			}
		}
	})
}

// F has a field of its own name and of others'.
type F struct {
	A int
	F *F
}

// anything gives a place a value, the zero one among them.
func anything(t *rapid.T, v reflect.Value, depth int) {
	if !v.CanSet() || depth > 4 {
		return
	}
	switch place := v.Addr().Interface().(type) {
	case *api.Time:
		*place = api.At(time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "s"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns")))
		return
	case *api.TimeMS:
		*place = api.AtMS(time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "s"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns")))
		return
	case *json.RawMessage:
		*place = rapid.SampledFrom([]json.RawMessage{nil, []byte(` { "k" : 1 } `), []byte(`"<&>"`)}).Draw(t, "raw")
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for _, field := range v.Fields() {
			anything(t, field, depth+1)
		}
	case reflect.Pointer:
		if rapid.Bool().Draw(t, "given") {
			v.Set(reflect.New(v.Type().Elem()))
			anything(t, v.Elem(), depth+1)
		}
	case reflect.Interface:
		v.Set(reflect.ValueOf(rapid.SampledFrom([]any{1, "<a>", api.Money(5), []int{1}, map[string]any{"x": nil}, api.Percent(3)}).Draw(t, "any")))
	case reflect.Slice:
		n := rapid.IntRange(-1, 2).Draw(t, "n")
		if n >= 0 {
			v.Set(reflect.MakeSlice(v.Type(), n, n))
		}
		for i := range n {
			anything(t, v.Index(i), depth+1)
		}
	case reflect.Map:
		if v.Type().Key().Kind() == reflect.String && rapid.Bool().Draw(t, "given") {
			v.Set(reflect.MakeMap(v.Type()))
			v.SetMapIndex(reflect.ValueOf("k<").Convert(v.Type().Key()), reflect.Zero(v.Type().Elem()))
		}
	case reflect.String:
		v.SetString(rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", "x", "\u2028", "a\xffb", "充电 <&>", "\"\\/", "\x7f\x00\n"})).Draw(t, "text"))
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(t, "bool"))
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n := rapid.OneOf(rapid.Int64(), rapid.Int64Range(-1_000_000, 1_000_000), rapid.SampledFrom([]int64{0, 1, -1, math.MinInt64, math.MaxInt64})).Draw(t, "n")
		if v.OverflowInt(n) {
			n %= 100
		}
		v.SetInt(n)
	case reflect.Uint8:
		v.SetUint(rapid.Uint64Range(0, 255).Draw(t, "n"))
	default:
	}
}

func BenchmarkAppendOrders(b *testing.B) {
	orders := make([]api.Order, 20)
	for i := range orders {
		orders[i] = api.Order{OrderNo: "ORD-20260210000017", StationName: "福田中心站", Amount: 6138, StartTime: api.At(time.Unix(1770719400, 0)), Anomalies: []string{}}
	}
	b.Run("encoding-json", func(b *testing.B) {
		for b.Loop() {
			standard(b, &orders)
		}
	})
	b.Run("append", func(b *testing.B) {
		for b.Loop() {
			if _, err := api.Append(nil, &orders); err != nil {
				b.Fatal(err)
			}
		}
	})
}
