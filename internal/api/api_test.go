package api_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/evcs/evcs/internal/api"
)

func TestTimeForms(t *testing.T) {
	t.Parallel()
	shanghai := time.FixedZone("CST", 8*3600)
	want := time.Date(2026, 2, 10, 10, 30, 0, 0, time.UTC)
	for _, text := range []string{
		`"2026-02-10T10:30:00Z"`, `"2026-02-10T18:30:00+08:00"`, `"2026-02-10T18:30:00"`, `"2026-02-10 18:30:00"`,
	} {
		var at api.Time
		if err := json.Unmarshal([]byte(text), &at); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if got := at.In(shanghai); !got.Equal(want) {
			t.Errorf("%s: got %v, want %v", text, got, want)
		}
	}
	for _, text := range []string{`""`, `"2026-02-10"`, `1770719400`, `"2026-02-10T10:30"`, `"x\u0041"`, `"`} {
		var at api.Time
		if err := at.UnmarshalJSON([]byte(text)); !errors.Is(err, api.ErrTime) {
			t.Errorf("%s: got %v, want ErrTime", text, err)
		}
	}
}

func TestTimeIsWrittenInUTC(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 2, 10, 18, 30, 0, 70_000_000, time.FixedZone("CST", 8*3600))
	got, err := json.Marshal(struct {
		A api.Time
		B api.TimeMS
		C *api.TimeMS
		D api.Date
	}{api.At(at), api.AtMS(at), api.AtMSOrNil(time.Time{}), api.DateOf(at)})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"A":"2026-02-10T10:30:00Z","B":"2026-02-10T10:30:00.070Z","C":null,"D":"2026-02-10"}`
	if string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestOptionalTellsAbsentFromNull(t *testing.T) {
	t.Parallel()
	type body struct {
		A api.Optional[string] `json:"a,omitzero"`
	}
	for _, c := range []struct {
		text string
		want api.Optional[string]
	}{
		{`{}`, api.Optional[string]{}},
		{`{"a":null}`, api.Null[string]()},
		{`{"a":""}`, api.Some("")},
		{`{"a":"x"}`, api.Some("x")},
	} {
		var b body
		if err := json.Unmarshal([]byte(c.text), &b); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, b.A); diff != "" {
			t.Errorf("%s: %s", c.text, diff)
		}
		back, err := json.Marshal(b)
		if err != nil || string(back) != c.text {
			t.Errorf("%s came back as %s (%v)", c.text, back, err)
		}
		place := api.Ptr("old")
		b.A.Into(&place)
		switch {
		case !c.want.Set && (place == nil || *place != "old"):
			t.Errorf("%s changed an absent field", c.text)
		case c.want.Null && place != nil, c.want.Null && b.A.Ptr() != nil:
			t.Errorf("%s did not clear", c.text)
		}
	}
	var b body
	if err := json.Unmarshal([]byte(`{"a":1}`), &b); err == nil {
		t.Error("a number was taken for a text")
	}
}

func TestFlagTakesBothForms(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]api.Flag{"1": true, "true": true, "0": false, "false": false} {
		f := !want
		if err := json.Unmarshal([]byte(text), &f); err != nil || f != want {
			t.Errorf("%s: got %v (%v)", text, f, err)
		}
	}
	var f api.Flag
	if err := f.UnmarshalText([]byte("yes")); !errors.Is(err, api.ErrFlag) {
		t.Errorf("yes: %v", err)
	}
}

func TestPageForms(t *testing.T) {
	t.Parallel()
	numbered, _ := json.Marshal(api.NumberedPage([]int{7}, 21, 3, 10))
	if got, want := string(numbered), `{"records":[7],"total":21,"size":10,"current":3,"pages":3}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	last, _ := json.Marshal(api.CursorPage[int](nil, 10, ""))
	if got, want := string(last), `{"records":[],"total":null,"size":10,"current":null,"pages":null,"nextCursor":null}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	more, _ := json.Marshal(api.CursorPage([]int{1}, 1, "c"))
	if !strings.Contains(string(more), `"nextCursor":"c"`) {
		t.Errorf("got %s", more)
	}
}

// objects are all top-level objects of the wire.
func objects() []any {
	return []any{
		&api.LoginResult{}, &api.UserInfo{}, &api.NewUser{}, &api.CreateUser{}, &api.UpdateUser{}, &api.Role{}, &api.CreateRole{}, &api.UpdateRole{},
		&api.NewTenant{}, &api.CreateTenant{}, &api.UpdateTenant{}, &api.Usage{}, &api.QuotaCheck{}, &api.Quota{}, &api.Settings{}, &api.UpdateSettings{},
		&api.NearbyStation{}, &api.CreateStation{}, &api.UpdateStation{}, &api.OfflineCharger{}, &api.CreateCharger{}, &api.UpdateCharger{},
		&api.UpdateConnector{}, &api.ChargerStatistics{}, &api.Command{}, &api.SendCommand{}, &api.NewCredential{}, &api.Credential{},
		&api.UpdateCredential{}, &api.Connection{}, &api.Rejection{}, &api.Message{}, &api.IDTag{}, &api.CreateIDTag{}, &api.UpdateIDTag{},
		&api.Session{}, &api.Curve{}, &api.AdoptSession{}, &api.CloseSession{}, &api.OrderResult{}, &api.RepricedOrder{}, &api.StartOrder{}, &api.StopOrder{},
		&api.MarkPaid{}, &api.CityStatistics{}, &api.TimelineEntry{}, &api.Plan{}, &api.CreatePlan{}, &api.UpdatePlan{}, &api.PlanAssigned{},
		&api.PlanValidity{}, &api.QuoteRequest{}, &api.Quote{}, &api.EffectivePlan{}, &api.Snapshot{}, &api.QueriedPayment{}, &api.PaymentDetail{},
		&api.CreatePayment{}, &api.CreateRefund{}, &api.Refund{}, &api.ExecuteRecon{}, &api.ReconResult{}, &api.Statement{}, &api.DifferenceDetail{}, &api.Proof{},
		&api.Event{}, &api.DashboardStats{}, &api.ChargerStatusCounts{}, &api.RevenueOfDay{}, &api.RecentOrder{}, &api.StationRank{}, &api.ChargerUtilization{},
		&api.AlertDetail{}, &api.AlertStatistics{}, &api.AuditRow{}, &api.AuditVerification{}, &api.Health{}, &api.Failure{},
	}
}

func TestEveryObjectComesBack(t *testing.T) {
	t.Parallel()
	for _, object := range objects() {
		fill(t, reflect.ValueOf(object).Elem())
		text, err := json.Marshal(object)
		if err != nil {
			t.Fatalf("%T: %v", object, err)
		}
		back := reflect.New(reflect.TypeOf(object).Elem()).Interface()
		decoder := json.NewDecoder(strings.NewReader(string(text)))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(back); err != nil {
			t.Fatalf("%T: %v in %s", object, err, text)
		}
		if diff := cmp.Diff(object, back); diff != "" {
			t.Errorf("%T: %s", object, diff)
		}
	}
}

// fill gives every field a value that is not its zero.
func fill(t *testing.T, v reflect.Value) {
	t.Helper()
	switch place := v.Addr().Interface().(type) {
	case *api.Time:
		*place = api.At(time.Unix(1770719400, 0))
		return
	case *api.TimeMS:
		*place = api.AtMS(time.Unix(1770719400, 123_000_000))
		return
	case *api.Date:
		*place = "2026-02-10"
		return
	case *json.RawMessage:
		*place = json.RawMessage(`{"k":1}`)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).Kind() == reflect.Bool && v.Type().Field(i).Name == "Null" {
				continue // of Optional: set and not null
			}
			fill(t, v.Field(i))
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		if v.Type().Elem() != reflect.TypeFor[api.TenantNode]() {
			fill(t, v.Index(0))
		}
	case reflect.Map:
		v.Set(reflect.ValueOf(map[string]int64{"1": 2}))
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	default:
		t.Fatalf("no value for %s", v.Type())
	}
}

func TestTheOrderOfTheContract(t *testing.T) {
	t.Parallel()
	const text = `{"code":200,"message":"查询成功","data":{"orderId":318,"orderNo":"ORD-20260210000017","tenantId":1,"tenantName":"深圳运营","stationId":7,"stationName":"福田中心站","chargerId":10001,"chargerCode":"FT-DC-01","connectorNo":1,"sessionId":"S-01KH3T9C7Q6V2M8R4XN5WDEZ0B","userId":20031,"userName":null,"idTag":null,"status":10,"statusName":"TO_PAY","startState":"STARTED","source":"CLIENT","startTime":"2026-02-10T09:30:00Z","endTime":"2026-02-10T10:30:00Z","energy":42.5000,"duration":60,"durationSeconds":3600,"billingPlanId":3,"tariffSnapshotId":12,"electricityAmount":42.30,"serviceAmount":19.08,"parkingAmount":0.00,"idleAmount":0.00,"discountAmount":0.00,"amount":61.38,"paidAmount":0.00,"refundedAmount":0.00,"payableAmount":61.38,"paymentId":null,"tradeNo":null,"paymentMethod":null,"paidTime":null,"sandbox":false,"stopReason":"REMOTE","cancelReason":null,"stopRequestedTime":"2026-02-10T10:29:57Z","held":false,"anomalies":[],"estimated":false,"lines":[{"lineNo":1,"kind":"ENERGY","periodKind":"FLAT","from":"2026-02-10T09:30:00Z","to":"2026-02-10T10:00:00Z","energy":21.7500,"energyPrice":0.8000,"serviceFee":0.4000,"minutes":null,"minutePrice":null,"electricityAmount":17.40,"serviceAmount":8.70,"amount":26.10,"reason":null}],"createTime":"2026-02-10T09:29:55Z","updateTime":"2026-02-10T10:30:02Z","version":9},"timestamp":"2026-02-10T10:35:00Z","traceId":"5d"}`
	var envelope api.Envelope[api.Order]
	if err := json.Unmarshal([]byte(text), &envelope); err != nil {
		t.Fatal(err)
	}
	back, err := json.Marshal(envelope)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(text, string(back)); diff != "" {
		t.Error(diff)
	}
}
