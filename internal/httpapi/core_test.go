package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/evcs"
)

// fixedClock is a clock that stands still.
type fixedClock struct{ at time.Time }

func (c fixedClock) Now() time.Time { return c.at }

// guards is a Guard of known tokens.
type guards map[string]*evcs.Actor

func (g guards) Authenticate(_ context.Context, bearer, _ string) (*evcs.Actor, error) {
	switch bearer {
	case "disabled":
		return nil, evcs.With(evcs.NewError(evcs.CodeTenantDisabled, "off"), map[string]any{"tenantId": 9})
	case "expired":
		return nil, evcs.NewError(evcs.CodeTokenExpired, "old")
	}
	if a := g[bearer]; a != nil {
		return a, nil
	}
	return nil, errUnauthenticated
}

type tree struct{}

func (tree) Below(_ context.Context, under, t evcs.TenantID) (bool, error) {
	return t == under || under == 1 && t == 2, nil
}

// things is a part that shows every kind of input.
type things struct{ fail func() error }

type thing struct {
	ThingID int64       `json:"thingId"`
	Name    string      `json:"name"`
	Price   api.Price   `json:"price"`
	Amount  *api.Money  `json:"amount"`
	On      api.Flag    `json:"on"`
	At      *api.Time   `json:"at"`
	Remark  *string     `json:"remark"`
	Parts   []thingPart `json:"parts"`
	Version int64       `json:"version"`
	Inner   *thingPart  `json:"inner"`
}

type thingPart struct {
	No     int     `json:"no" minimum:"1" maximum:"9"`
	Energy api.KWh `json:"energy"`
}

type writeThing struct {
	Name    string               `json:"name" minLength:"1" maxLength:"5"`
	Price   api.Price            `json:"price" minimum:"0" maximum:"100"`
	Kind    *string              `json:"kind,omitempty" enum:"A,B"`
	On      *api.Flag            `json:"on,omitempty"`
	At      *api.Time            `json:"at,omitempty"`
	Remark  api.Optional[string] `json:"remark,omitzero" maxLength:"20"`
	Parts   []thingPart          `json:"parts,omitempty" maxItems:"3"`
	Version *int64               `json:"version,omitempty" minimum:"0"`
}

type updateThing struct {
	ThingPath
	Body writeThing
}

type ThingPath struct {
	ThingID int64 `path:"thingId"`
}

type thingFilter struct {
	Paging
	Status []int               `query:"status"`
	On     Opt[api.Flag]       `query:"on"`
	From   Opt[api.Time]       `query:"startTime"`
	Day    Opt[api.Date]       `query:"date"`
	Name   string              `query:"name" maxLength:"10"`
	Of     Opt[evcs.ChargerID] `query:"chargerId" minimum:"1"`
}

func (p things) register(s *Server) {
	register(s, operation{ID: "getThing", Method: http.MethodGet, Path: "/api/thing/{thingId}", Group: "thing", Permission: "thing:query", Summary: "One", Errors: []evcs.Code{evcs.CodeChargerNotFound}}, p.get)
	register(s, operation{ID: "createThing", Method: http.MethodPost, Path: "/api/thing", Group: "thing", Permission: "thing:create", Summary: "Create", Said: created, ReadOnly: []any{thing{}}}, p.create)
	register(s, operation{ID: "updateThing", Method: http.MethodPut, Path: "/api/thing/{thingId}", Group: "thing", Permission: "thing:update", Summary: "Update", ReadOnly: []any{thing{}}}, p.update)
	register(s, operation{ID: "deleteThing", Method: http.MethodDelete, Path: "/api/thing/{thingId}", Group: "thing", Permission: "thing:delete", Summary: "Delete"},
		func(context.Context, *evcs.Actor, *ThingPath) (*Null, error) { return nil, nil })
	register(s, operation{ID: "thingsNow", Method: http.MethodGet, Path: "/api/thing-now", Group: "thing", Access: public, Summary: "Open"},
		func(context.Context, *evcs.Actor, *struct{}) (*[]string, error) { return new([]string), nil })
	registerList(s, operation{ID: "listThings", Path: "/api/thing", Group: "thing", Permission: "thing:query", Summary: "Many", Sorts: []string{"thingId", "createTime"}}, p.list)
	registerRaw(s, operation{ID: "rawThing", Method: http.MethodPost, Path: "/api/thing-raw", Group: "thing", Access: public, Summary: "Raw", Content: "text/plain", MaxBody: 64},
		func(_ context.Context, _ *evcs.Actor, _ *struct{}, reply Reply) error {
			text, err := io.ReadAll(reply.Request.Body)
			if err != nil {
				return evcs.Invalid(evcs.FieldFault{Field: "body", Message: "too long"})
			}
			_, err = reply.Write(bytes.ToUpper(text))
			return err
		})
}

func (p things) get(_ context.Context, _ *evcs.Actor, in *ThingPath) (*thing, error) {
	if p.fail != nil {
		return nil, p.fail()
	}
	amount := api.Money(1230)
	return &thing{ThingID: in.ThingID, Name: "x", Price: 120005, Amount: &amount, Parts: []thingPart{{No: 1, Energy: 10001}}}, nil
}

func (p things) create(_ context.Context, a *evcs.Actor, in *struct{ Body writeThing }) (*thing, error) {
	t := &thing{ThingID: 7, Name: in.Body.Name, Price: in.Body.Price, Remark: in.Body.Remark.Ptr(), Parts: in.Body.Parts, At: in.Body.At}
	if t.Parts == nil {
		t.Parts = []thingPart{}
	}
	if in.Body.On != nil {
		t.On = *in.Body.On
	}
	if in.Body.Version != nil {
		t.Version = *in.Body.Version
	}
	return t, nil
}

func (p things) update(ctx context.Context, a *evcs.Actor, in *updateThing) (*thing, error) {
	return p.create(ctx, a, &struct{ Body writeThing }{in.Body})
}

func (p things) list(ctx context.Context, a *evcs.Actor, in *thingFilter, page evcs.PageRequest) (evcs.Page[thing], error) {
	if _, err := in.Scope(ctx, a); err != nil {
		return evcs.Page[thing]{}, err
	}
	at := "-"
	if in.From.Set {
		at = in.From.Value.String()
	}
	name := strings.Join([]string{strconv.Itoa(page.Page), strconv.Itoa(page.Size), at, strconv.FormatBool(bool(in.On.Value)), strconv.Itoa(len(in.Status)), strconv.FormatInt(int64(in.Of.Value), 10)}, "/")
	return evcs.Page[thing]{Records: []thing{{ThingID: 1, Name: name, Parts: []thingPart{}}}, Total: 31, Next: &evcs.PlaceAfter{ID: 5}}, nil
}

// kept is Replays in memory.
type kept struct {
	mu      sync.Mutex
	answers map[string]struct {
		digest string
		status int
		body   []byte
	}
}

func (k *kept) Begin(_ context.Context, _ evcs.TenantID, op, key, digest string) (int, []byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	a, ok := k.answers[op+key]
	if ok && a.digest != digest {
		return 0, nil, evcs.NewError(evcs.CodeIdempotencyKeyReused, "another request")
	}
	if !ok {
		a.digest = digest
		k.answers[op+key] = a
	}
	return a.status, a.body, nil
}

func (k *kept) Keep(_ context.Context, _ evcs.TenantID, op, key string, status int, body []byte, _ bool) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	a := k.answers[op+key]
	a.status, a.body = status, bytes.Clone(body)
	k.answers[op+key] = a
	return nil
}

func (k *kept) Release(_ context.Context, _ evcs.TenantID, op, key string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.answers, op+key)
	return nil
}

func testServer(t *testing.T, p things) http.Handler {
	t.Helper()
	shanghai, err := time.LoadLocation("Asia/Shanghai")
	if err != nil {
		t.Fatal(err)
	}
	all := map[evcs.Permission]bool{"thing:query": true, "thing:create": true, "thing:update": true, "thing:delete": true}
	wide := map[evcs.Permission]bool{"thing:query": true, readDescendants: true}
	replays := &kept{answers: make(map[string]struct {
		digest string
		status int
		body   []byte
	})}
	s := New(Config{
		Clock: fixedClock{time.Date(2026, 2, 10, 10, 35, 0, 0, time.UTC)}, Log: slog.New(slog.DiscardHandler), Tree: tree{}, Replays: replays,
		Guard: guards{
			"all": {User: 5, Tenant: 1, Zone: shanghai, Permissions: all}, "none": {User: 6, Tenant: 1},
			"wide": {User: 8, Tenant: 1, Permissions: wide}, "must": {User: 7, Tenant: 1, MustChangePassword: true, Permissions: all},
		},
		Parts: []Part{p}, InternalCIDR: []netip.Prefix{},
	})
	return checked(t, s)
}

func call(t *testing.T, h http.Handler, method, target, body string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer all")
	r.Header.Set("X-Request-Id", "t-1")
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
		if headers[i+1] == "" {
			r.Header.Del(headers[i])
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func faultsOf(t *testing.T, w *httptest.ResponseRecorder) map[string]string {
	t.Helper()
	var f struct {
		Data struct{ Errors []evcs.FieldFault }
	}
	if err := json.Unmarshal(w.Body.Bytes(), &f); err != nil {
		t.Fatalf("%v in %s", err, w.Body)
	}
	found := make(map[string]string)
	for _, e := range f.Data.Errors {
		found[e.Field] = e.Message
	}
	return found
}

func TestEnvelopes(t *testing.T) {
	t.Parallel()
	h := testServer(t, things{})
	for name, c := range map[string]struct {
		method, target, body string
		headers              []string
		want                 string
	}{
		"read":    {"GET", "/api/thing/3", "", nil, `{"code":200,"message":"查询成功","data":{"thingId":3,"name":"x","price":1.20005,"amount":12.30,"on":0,"at":null,"remark":null,"parts":[{"no":1,"energy":1.0001}],"version":0,"inner":null},"timestamp":"2026-02-10T10:35:00Z","traceId":"t-1"}`},
		"create":  {"POST", "/api/thing", `{"name":" ab ","price":1.2,"at":"2026-02-10 18:30:00","on":true}`, nil, `{"code":200,"message":"创建成功","data":{"thingId":7,"name":"ab","price":1.2000,"amount":null,"on":1,"at":"2026-02-10T10:30:00Z","remark":null,"parts":[],"version":0,"inner":null},"timestamp":"2026-02-10T10:35:00Z","traceId":"t-1"}`},
		"null":    {"DELETE", "/api/thing/3", "", []string{"Accept-Language", "en-GB,zh;q=0.5"}, `{"code":200,"message":"Deleted","data":null,"timestamp":"2026-02-10T10:35:00Z","traceId":"t-1"}`},
		"list":    {"GET", "/api/thing-now", "", []string{"Authorization", ""}, `{"code":200,"message":"查询成功","data":[],"timestamp":"2026-02-10T10:35:00Z","traceId":"t-1"}`},
		"page":    {"GET", "/api/thing?size=20&current=2&status=1,2&on=true&startTime=2026-02-10T08:00:00&chargerId=4&_x=1", "", nil, `{"code":200,"message":"查询成功","data":{"records":[{"thingId":1,"name":"2/20/2026-02-10T00:00:00Z/true/2/4","price":0.0000,"amount":null,"on":0,"at":null,"remark":null,"parts":[],"version":0,"inner":null}],"total":31,"size":20,"current":2,"pages":2},"timestamp":"2026-02-10T10:35:00Z","traceId":"t-1"}`},
		"plain":   {"GET", "/api/thing/list", "", nil, `{"code":200,"message":"查询成功","data":[{"thingId":1,"name":"1/1001/-/false/0/0","price":0.0000,"amount":null,"on":0,"at":null,"remark":null,"parts":[],"version":0,"inner":null}],"timestamp":"2026-02-10T10:35:00Z","traceId":"t-1"}`},
		"no such": {"GET", "/api/nothing?x=1", "", nil, `{"code":9404,"message":"接口不存在","data":null,"timestamp":"2026-02-10T10:35:00Z","path":"/api/nothing","traceId":"t-1"}`},
		"english": {"GET", "/api/nothing", "", []string{"Accept-Language", "en"}, `{"code":9404,"message":"No such operation","data":null,"timestamp":"2026-02-10T10:35:00Z","path":"/api/nothing","traceId":"t-1"}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := call(t, h, c.method, c.target, c.body, append(c.headers, "X-Manner", "lenient")...)
			if diff := cmp.Diff(c.want, strings.TrimSpace(w.Body.String())); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
			if w.Header().Get("X-Request-Id") != "t-1" || w.Header().Get("Content-Language") == "" {
				t.Errorf("headers %v", w.Header())
			}
		})
	}
}

func TestBadInput(t *testing.T) {
	t.Parallel()
	h := testServer(t, things{})
	unseen := []string{ // by a schema
		"twice", "twice inside", "not UTF-8", "control", "exponent", "query and body", "path and body", "if-match and body", "if-match",
		"cursor with page", "two pages", "value twice", "unexpected body", "raw too large", "trailing",
	}
	for name, c := range map[string]struct {
		method, target, body string
		headers              []string
		status               int
		code                 int
		fields               []string
	}{
		"every fault":         {"PUT", "/api/thing/0?nope=1", `{"name":"toolongname","price":1.123456,"kind":"C","on":2,"at":"yesterday","parts":[{"no":10,"energy":1e3},{"no":1.5,"energy":"1"}],"what":1}`, nil, 400, 9400, []string{"thingId", "nope", "name", "price", "kind", "on", "at", "parts[0].no", "parts[0].energy", "parts[1].no", "parts[1].energy", "what"}},
		"missing fields":      {"POST", "/api/thing", `{}`, nil, 400, 9400, []string{"name", "price"}},
		"no body":             {"POST", "/api/thing", ``, nil, 400, 9400, []string{"name", "price"}},
		"twice":               {"POST", "/api/thing", `{"name":"a","name":"b","price":1}`, nil, 400, 9400, []string{"name"}},
		"twice inside":        {"POST", "/api/thing", `{"name":"a","price":1,"parts":[{"no":1,"no":1,"energy":1}]}`, nil, 400, 9400, []string{"parts[0].no"}},
		"broken":              {"POST", "/api/thing", `{"name":`, nil, 400, 9400, []string{"body"}},
		"trailing":            {"POST", "/api/thing", `{"name":"a","price":1} x`, nil, 400, 9400, []string{"body"}},
		"array":               {"POST", "/api/thing", `[]`, nil, 400, 9400, []string{"body"}},
		"not UTF-8":           {"POST", "/api/thing", "{\"name\":\"\xff\",\"price\":1}", nil, 400, 9400, []string{"body"}},
		"deep":                {"POST", "/api/thing", `{"name":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`, nil, 400, 9400, []string{"body"}},
		"control":             {"POST", "/api/thing", `{"name":"a\u0000","price":1,"remark":"a\nb"}`, nil, 400, 9400, []string{"name"}},
		"string for a number": {"POST", "/api/thing", `{"name":"a","price":"1"}`, nil, 400, 9400, []string{"price"}},
		"exponent":            {"POST", "/api/thing", `{"name":"a","price":1e1}`, nil, 400, 9400, []string{"price"}},
		"negative":            {"POST", "/api/thing", `{"name":"a","price":-1}`, nil, 400, 9400, []string{"price"}},
		"null":                {"POST", "/api/thing", `{"name":null,"price":1}`, nil, 400, 9400, []string{"name"}},
		"media":               {"POST", "/api/thing", `{}`, []string{"Content-Type", "text/xml"}, 415, 9415, nil},
		"charset":             {"POST", "/api/thing", `{}`, []string{"Content-Type", "application/json; charset=gbk"}, 415, 9415, nil},
		"packed":              {"POST", "/api/thing", "\x1f\x8b\x08", []string{"Content-Encoding", "gzip"}, 415, 9415, nil},
		"packed, raw":         {"POST", "/api/thing-raw", "\x1f\x8b\x08", []string{"Content-Encoding", "br"}, 415, 9415, nil},
		"options":             {"OPTIONS", "/api/thing/3", "", nil, 405, 9405, nil},
		"options, no path":    {"OPTIONS", "/api/things", "", nil, 404, 9404, nil},
		"too large":           {"POST", "/api/thing", `{"name":"` + strings.Repeat("a", 1<<20) + `"}`, nil, 413, 9413, nil},
		"path id word":        {"GET", "/api/thing/abc", "", nil, 400, 9400, []string{"thingId"}},
		"path id huge":        {"GET", "/api/thing/99999999999999999999", "", nil, 400, 9400, []string{"thingId"}},
		"path and body":       {"PUT", "/api/thing/3", `{"thingId":4,"name":"a","price":1}`, nil, 400, 9400, []string{"thingId"}},
		"query and body":      {"POST", "/api/thing?name=b", `{"name":"a","price":1}`, nil, 400, 9400, []string{"name"}},
		"if-match and body":   {"PUT", "/api/thing/3", `{"name":"a","price":1,"version":3}`, []string{"If-Match", `"4"`}, 400, 9400, []string{"version"}},
		"if-match":            {"PUT", "/api/thing/3", `{"name":"a","price":1}`, []string{"If-Match", `x`}, 400, 9400, []string{"If-Match"}},
		"page":                {"GET", "/api/thing?page=0&size=101&sort=colour&status=x&on=2&startTime=now&date=2026-02-30&chargerId=0&name=12345678901", "", nil, 400, 9400, []string{"page", "size", "sort", "status", "on", "startTime", "date", "chargerId", "name"}},
		"cursor with page":    {"GET", "/api/thing?cursor=&page=1", "", nil, 400, 9400, []string{"cursor"}},
		"two pages":           {"GET", "/api/thing?current=2&page=1", "", nil, 400, 9400, []string{"current"}},
		"cursor":              {"GET", "/api/thing?cursor=abc", "", nil, 400, 9414, nil},
		"value twice":         {"GET", "/api/thing?name=a&name=b", "", nil, 400, 9400, []string{"name"}},
		"scope word":          {"GET", "/api/thing?tenantScope=ALL", "", nil, 400, 9400, []string{"tenantScope"}},
		"scope denied":        {"GET", "/api/thing?tenantScope=SELF_AND_DESCENDANTS", "", nil, 403, 5003, nil},
		"tenant denied":       {"GET", "/api/thing?tenantId=2", "", nil, 403, 5003, nil},
		"tenant unknown":      {"GET", "/api/thing?tenantId=3", "", nil, 404, 5001, nil},
		"method":              {"PATCH", "/api/thing/3", "", nil, 405, 9405, nil},
		"unexpected body":     {"DELETE", "/api/thing/3", `{"a":1}`, nil, 400, 9400, []string{"a"}},
		"nobody":              {"POST", "/api/thing?x=1", `{`, []string{"Authorization", ""}, 401, 6006, nil},
		"basic":               {"GET", "/api/thing", "", []string{"Authorization", "Basic YTph"}, 401, 6006, nil},
		"unknown token":       {"GET", "/api/thing", "", []string{"Authorization", "Bearer zz"}, 401, 6006, nil},
		"old token":           {"GET", "/api/thing", "", []string{"Authorization", "Bearer expired"}, 401, 6003, nil},
		"tenant off":          {"POST", "/api/thing", "{", []string{"Authorization", "Bearer disabled"}, 403, 5004, nil},
		"no permission":       {"POST", "/api/thing", "{", []string{"Authorization", "Bearer none"}, 403, 9403, nil},
		"must change":         {"GET", "/api/thing", "", []string{"Authorization", "Bearer must"}, 403, 6012, nil},
		"raw too large":       {"POST", "/api/thing-raw", strings.Repeat("a", 100), []string{"Content-Type", "text/plain"}, 400, 9400, []string{"body"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			manner := "exact"
			if slices.Contains(unseen, name) {
				manner = "unseen"
			}
			w := call(t, h, c.method, c.target, c.body, append(c.headers, "Accept-Language", "en", "X-Manner", manner)...)
			var f api.Failure
			if err := json.Unmarshal(w.Body.Bytes(), &f); err != nil {
				t.Fatalf("%v in %s", err, w.Body)
			}
			if w.Code != c.status || f.Code != c.code {
				t.Fatalf("%d %s, want %d %d", w.Code, w.Body, c.status, c.code)
			}
			if c.fields == nil {
				return
			}
			found := faultsOf(t, w)
			for _, field := range c.fields {
				if found[field] == "" {
					t.Errorf("no fault of %s in %v", field, found)
				}
				delete(found, field)
			}
			if len(found) != 0 {
				t.Errorf("unexpected faults %v", found)
			}
		})
	}
}

func TestAllowHeader(t *testing.T) {
	t.Parallel()
	w := call(t, testServer(t, things{}), "PATCH", "/api/thing/3", "")
	if got := w.Header().Get("Allow"); got != "GET, PUT, DELETE" {
		t.Errorf("Allow: %s", got)
	}
	w = call(t, testServer(t, things{}), "DELETE", "/api/thing", "")
	if got := w.Header().Get("Allow"); got != "GET, POST" || w.Code != 405 {
		t.Errorf("of the collection: %d, Allow: %s", w.Code, got)
	}
	if w = call(t, everything(), "PATCH", "/api/station", ""); w.Code != 405 {
		t.Errorf("with every operation there is: %d", w.Code)
	}
	if w = call(t, everything(), "POST", "/internal/api/v1/tenant-hierarchy/descendant", ""); w.Code != 404 {
		t.Errorf("an internal path shows itself: %d", w.Code)
	}
}

// Facts that say how to do better stand under the contract's names.
func TestFactsOfRefusals(t *testing.T) {
	t.Parallel()
	h := testServer(t, things{})
	for name, c := range map[string]struct{ body, media, want string }{
		"large": {strings.Repeat("a", 2<<20), "application/json", `{"limitBytes":1048576}`},
		"media": {`{}`, "text/xml", `{"accepted":["application/json","application/x-www-form-urlencoded"]}`},
	} {
		var f api.Failure
		w := call(t, h, "POST", "/api/thing", c.body, "Content-Type", c.media)
		if err := json.Unmarshal(w.Body.Bytes(), &f); err != nil || string(f.Data) != c.want {
			t.Errorf("%s: %s, want %s (%v)", name, w.Body, c.want, err)
		}
	}
}

func TestLenientInput(t *testing.T) {
	t.Parallel()
	h := testServer(t, things{})
	for name, c := range map[string]struct {
		target, body string
		headers      []string
		want         string
	}{
		"query":     {"/api/thing?name=q&price=1.5&on=1", "", nil, `"name":"q","price":1.5000,"amount":null,"on":1`},
		"form":      {"/api/thing", "name=f&price=2&on=true", []string{"Content-Type", "application/x-www-form-urlencoded"}, `"name":"f","price":2.0000,"amount":null,"on":1`},
		"same":      {"/api/thing?name=s", `{"name":"s","price":1}`, nil, `"name":"s"`},
		"sent back": {"/api/thing", `{"thingId":9,"name":"s","price":1,"amount":3,"inner":null}`, nil, `"name":"s"`},
		"if-match":  {"/api/thing", `{"name":"s","price":1}`, []string{"If-Match", `"12"`}, `"version":12`},
		"lines":     {"/api/thing", `{"name":"s","price":1,"remark":"a\nb"}`, nil, `"remark":"a\nb"`},
		"cleared":   {"/api/thing", `{"name":"s","price":1,"remark":null}`, nil, `"remark":null`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := call(t, h, "POST", c.target, c.body, append(c.headers, "X-Manner", "lenient")...)
			if w.Code != 200 || !strings.Contains(w.Body.String(), c.want) {
				t.Errorf("%d %s, want %s", w.Code, w.Body, c.want)
			}
		})
	}
}

func TestCursorIsBoundToItsQuery(t *testing.T) {
	t.Parallel()
	h := testServer(t, things{})
	var page struct {
		Data struct {
			Total      *int
			NextCursor *string
		}
	}
	w := call(t, h, "GET", "/api/thing?cursor=&status=1", "")
	if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil || page.Data.NextCursor == nil || page.Data.Total != nil {
		t.Fatalf("%v %s", err, w.Body)
	}
	if w := call(t, h, "GET", "/api/thing?status=1&size=5&cursor="+*page.Data.NextCursor, ""); w.Code != 200 {
		t.Errorf("the same query: %s", w.Body)
	}
	if w := call(t, h, "GET", "/api/thing/page?status=1&cursor="+*page.Data.NextCursor, ""); w.Code != 200 {
		t.Errorf("the same list at /page: %s", w.Body)
	}
	if w := call(t, h, "GET", "/api/thing?status=2&cursor="+*page.Data.NextCursor, ""); w.Code != 400 || !strings.Contains(w.Body.String(), "9414") {
		t.Errorf("another filter: %s", w.Body)
	}
}

func TestScopeHeader(t *testing.T) {
	t.Parallel()
	h := testServer(t, things{})
	if w := call(t, h, "GET", "/api/thing", ""); w.Header().Get("X-Tenant-Scope") != "SELF" {
		t.Errorf("default: %v", w.Header())
	}
	w := call(t, h, "GET", "/api/thing?tenantId=2&tenantScope=SELF_AND_DESCENDANTS", "", "Authorization", "Bearer wide")
	if w.Code != 200 || w.Header().Get("X-Tenant-Scope") != "SELF_AND_DESCENDANTS" {
		t.Errorf("wide: %d %v %s", w.Code, w.Header(), w.Body)
	}
}

func TestReplays(t *testing.T) {
	t.Parallel()
	h := testServer(t, things{})
	first := call(t, h, "POST", "/api/thing", `{"name":"a","price":1}`, "Idempotency-Key", "k1")
	again := call(t, h, "POST", "/api/thing", `{"price":1,"name":"a","idempotentKey":"k1"}`)
	if again.Header().Get("Idempotency-Replayed") != "true" || again.Body.String() != first.Body.String() {
		t.Errorf("%v %s\nfirst %s", again.Header(), again.Body, first.Body)
	}
	other := call(t, h, "POST", "/api/thing", `{"price":2,"name":"a"}`, "Idempotency-Key", "k1")
	if other.Code != 409 || !strings.Contains(other.Body.String(), "9410") {
		t.Errorf("another request: %s", other.Body)
	}
	wrong := call(t, h, "POST", "/api/thing", `{"price":2,"name":"a"}`, "Idempotency-Key", "k 1")
	if wrong.Code != 400 {
		t.Errorf("a bad key: %s", wrong.Body)
	}
}

func TestUnclassifiedErrorsStayInside(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func() error{
		"error": func() error { return errors.New("secret detail") },
		"panic": func() error { panic("secret detail") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := call(t, testServer(t, things{fail: fail}), "GET", "/api/thing/1", "")
			if w.Code != 500 || strings.Contains(w.Body.String(), "secret") || !strings.Contains(w.Body.String(), `"code":9999`) {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
}
