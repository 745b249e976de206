package evcstest_test

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/evcs/evcs/internal/config"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/evcstest"
	"github.com/evcs/evcs/internal/store/storetest"
)

// quotaKinds are what a quota counts, as the API names its fields.
var quotaKinds = []string{"users", "stations", "chargers", "children", "sessions"}

// quotaFields are the limit and the count of each kind in a Usage.
var quotaFields = map[string][2]string{
	"users": {"maxUsers", "currentUsers"}, "stations": {"maxStations", "currentStations"}, "chargers": {"maxChargers", "currentChargers"},
	"children": {"maxChildren", "currentChildren"}, "sessions": {"maxSessions", "currentSessions"},
}

// node is a tenant of a random tree, as the test counts it.
type node struct {
	id      int64
	parent  int // in the forest; -1: the platform
	limits  map[string]int
	has     map[string]int // of its own; of children those that are no nodes
	station int64
	pile    pile // whose connectors are used
	used    int  // of them
}

// forest is a random tree and what the test knows of it.
type forest struct {
	t     *testing.T
	d     *evcstest.Daemon
	by    evcstest.Caller
	name  string
	mu    sync.Mutex
	n     int // guarded by mu: codes given away
	nodes []*node
}

// deed is one thing to do: create a kind in a tenant, or move it.
type deed struct {
	kind string // of quotaKinds, or move
	at   int
	to   int // move: the new parent; -1: the platform
}

// plan is a tree with limits, what is done to it at once and then one by one.
type plan struct {
	parents []int
	limits  []map[string]int // beyond what is planted
	crowd   []deed
	alone   []deed
}

// plans draws trees of four to seven tenants with narrow limits.
func plans() *rapid.Generator[plan] {
	return rapid.Custom(func(r *rapid.T) plan {
		var p plan
		count := rapid.IntRange(4, 7).Draw(r, "tenants")
		for i := range count {
			p.parents = append(p.parents, rapid.IntRange(-1, i-1).Draw(r, "parent"))
			limits := make(map[string]int)
			for _, kind := range quotaKinds {
				if rapid.IntRange(0, 2).Draw(r, "limited") == 0 {
					limits[kind] = rapid.IntRange(0, 4).Draw(r, kind)
				}
			}
			p.limits = append(p.limits, limits)
		}
		one := rapid.Custom(func(r *rapid.T) deed {
			return deed{
				kind: rapid.SampledFrom(append([]string{"move", "sessions", "users"}, quotaKinds...)).Draw(r, "kind"),
				at:   rapid.IntRange(0, count-1).Draw(r, "at"), to: rapid.IntRange(-1, count-1).Draw(r, "to"),
			}
		})
		p.crowd = rapid.SliceOfN(one, 12, 24).Draw(r, "at once")
		p.alone = rapid.SliceOfN(one, 6, 12).Draw(r, "one by one")
		return p
	})
}

// TestRandomTreesKeepTheirQuotas grows random trees of tenants with random
// limits: users, stations, chargers, children and sessions come at once while
// tenants move, and no quota is passed. Then, one after the other, each gets
// exactly the answer that the counts of the test say, forecasts too.
func TestRandomTreesKeepTheirQuotas(t *testing.T) {
	t.Parallel()
	const trees = 12
	grow := func(t *testing.T, d *evcstest.Daemon) {
		by := d.Admin()
		by.OK(t, http.MethodPut, "/api/tenant/quota/1", map[string]any{"maxUsers": nil, "maxStations": nil, "maxChargers": nil, "maxChildren": nil, "maxSessions": nil})
		for i := range trees {
			p := plans().Example(i + 1)
			f := &forest{t: t, d: d, by: by, name: fmt.Sprint("Q", i)}
			f.plant(p)
			var all sync.WaitGroup
			for _, x := range p.crowd {
				all.Go(func() { f.do(x) })
			}
			all.Wait()
			f.count()
			for _, x := range p.alone {
				f.doAlone(x)
			}
			f.count()
			if t.Failed() {
				t.Fatalf("tree %d: %+v", i, p)
			}
		}
	}
	options := evcstest.WithConfig(func(c *config.Config) { c.RateLimit = config.RateLimit{} })
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		grow(t, evcstest.Start(t, options))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		if storetest.Server(t) != "" {
			grow(t, evcstest.StartOn(t, storetest.PostgresURL(t), t.TempDir(), options))
		}
	})
}

func (f *forest) fresh() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n++
	return fmt.Sprint(f.name, "-", f.n)
}

// tenantBody is a new tenant without limits.
func (f *forest) tenantBody(parent int64) map[string]any {
	code := f.fresh()
	return map[string]any{
		"tenantCode": code, "tenantName": code, "tenantType": 2, "contactPerson": "a", "contactPhone": "13800000000", "parentId": parent,
		"maxUsers": nil, "maxStations": nil, "maxChargers": nil,
	}
}

// plant makes the tenants, each with a station and a charger, and then says
// their limits.
func (f *forest) plant(p plan) {
	f.t.Helper()
	for _, parent := range p.parents {
		under := int64(1)
		if parent >= 0 {
			under = f.nodes[parent].id
		}
		n := &node{parent: parent, limits: make(map[string]int), has: map[string]int{"stations": 1, "chargers": 1}}
		var made struct{ TenantID, StationID, ChargerID int64 }
		f.by.OK(f.t, http.MethodPost, "/api/tenant", f.tenantBody(under)).Into(f.t, &made)
		n.id = made.TenantID
		f.by.OK(f.t, http.MethodPost, "/api/station", f.stationBody(n)).Into(f.t, &made)
		n.station = made.StationID
		body := f.chargerBody(n)
		body["gunCount"] = 32
		f.by.OK(f.t, http.MethodPost, "/api/charger", body).Into(f.t, &made)
		n.pile = newPile(f.t, f.d, f.by, made.ChargerID, fmt.Sprint(body["deviceId"]))
		f.nodes = append(f.nodes, n)
	}
	for i, n := range f.nodes {
		body := map[string]any{"maxUsers": nil}
		for kind, more := range p.limits[i] {
			n.limits[kind] = max(1, f.usage(i, kind)+more) // 0 would be none
			body[quotaFields[kind][0]] = n.limits[kind]
		}
		f.by.OK(f.t, http.MethodPut, evcstest.Path("/api/tenant/quota/%d", n.id), body)
	}
}

func (f *forest) stationBody(n *node) map[string]any {
	code := f.fresh()
	return map[string]any{"tenantId": n.id, "stationCode": code, "stationName": code, "address": "a"}
}

func (f *forest) chargerBody(n *node) map[string]any {
	code := f.fresh()
	return map[string]any{
		"tenantId": n.id, "stationId": n.station, "chargerCode": code, "chargerName": code, "deviceId": code, "protocol": "CLOUDCHARGE",
		"chargerType": 1, "ratedPower": 60, "gunCount": 1,
	}
}

// do does one thing and counts it when it was done; refusals are the quota's or,
// of a move, what forbids it.
func (f *forest) do(x deed) (refused evcs.Code) {
	n := f.nodes[x.at]
	var a evcstest.Answer
	switch x.kind {
	case "users":
		a = f.by.Call(f.t, http.MethodPost, "/api/user", map[string]any{"tenantId": n.id, "username": f.fresh()})
	case "stations":
		a = f.by.Call(f.t, http.MethodPost, "/api/station", f.stationBody(n))
	case "chargers":
		a = f.by.Call(f.t, http.MethodPost, "/api/charger", f.chargerBody(n))
	case "children":
		a = f.by.Call(f.t, http.MethodPost, "/api/tenant", f.tenantBody(n.id))
	case "sessions":
		f.mu.Lock()
		n.used++
		connector := n.used
		f.mu.Unlock()
		if a.Code = int(n.pile.send("start", f.fresh(), map[string]any{"connectorNo": connector})); a.Code == 0 {
			a.Status = http.StatusOK
		}
	case "move":
		return f.move(x)
	}
	switch {
	case a.Status == http.StatusOK:
		f.mu.Lock()
		n.has[x.kind]++
		f.mu.Unlock()
		return 0
	case evcs.Code(a.Code) != evcs.CodeQuotaExceeded:
		f.t.Errorf("%+v: %d %d %s %s", x, a.Status, a.Code, a.Message, a.Data)
	}
	return evcs.Code(a.Code)
}

func (f *forest) move(x deed) evcs.Code {
	to := int64(1)
	if x.to >= 0 {
		to = f.nodes[x.to].id
	}
	a := f.by.Call(f.t, http.MethodPost, evcstest.Path("/api/tenant/%d/move", f.nodes[x.at].id), map[string]any{"parentId": to})
	code := evcs.Code(a.Code)
	if a.Status != http.StatusOK && code != evcs.CodeQuotaExceeded && code != evcs.CodeTenantMoveInvalid {
		f.t.Errorf("%+v: %d %d %s %s", x, a.Status, a.Code, a.Message, a.Data)
	}
	if a.Status == http.StatusOK {
		return 0
	}
	return code
}

// count compares what the daemon says is used with what the test has counted,
// in the tree as it is now, and both with the limits.
func (f *forest) count() {
	f.t.Helper()
	for _, n := range f.nodes { // who has moved where?
		var now struct{ ParentID int64 }
		f.by.OK(f.t, http.MethodGet, evcstest.Path("/api/tenant/%d", n.id), nil).Into(f.t, &now)
		n.parent = slices.IndexFunc(f.nodes, func(m *node) bool { return m.id == now.ParentID })
	}
	for i, n := range f.nodes {
		var usage map[string]any
		f.by.OK(f.t, http.MethodGet, evcstest.Path("/api/tenant/quota/usage/%d", n.id), nil).Into(f.t, &usage)
		for _, kind := range quotaKinds {
			have := f.usage(i, kind)
			if fmt.Sprint(usage[quotaFields[kind][1]]) != fmt.Sprint(have) {
				f.t.Errorf("tenant %d: the daemon counts %v %s, the test %d", n.id, usage[quotaFields[kind][1]], kind, have)
			}
			if limit, ok := n.limits[kind]; ok && have > limit {
				f.t.Errorf("tenant %d has %d %s, its limit is %d", n.id, have, kind, limit)
			}
		}
	}
}

// chain is a node with those above it, nearest first.
func (f *forest) chain(i int) []int {
	var list []int
	for ; i >= 0; i = f.nodes[i].parent {
		list = append(list, i)
	}
	return list
}

// usage is what the test has counted of a kind.
func (f *forest) usage(i int, kind string) int {
	total := 0
	for j, n := range f.nodes {
		switch {
		case kind == "children" && j == i, kind != "children" && slices.Contains(f.chain(j), i):
			total += n.has[kind]
		}
		if kind == "children" && n.parent == i {
			total++
		}
	}
	return total
}

// limiting is the first of a chain that has no room for n more; -1: none.
func (f *forest) limiting(chain []int, kind string, n int) int {
	for _, i := range chain {
		if limit, ok := f.nodes[i].limits[kind]; ok && n > 0 && f.usage(i, kind)+n > limit {
			return i
		}
	}
	return -1
}

// refusal is what must come of a deed that is done alone.
func (f *forest) refusal(x deed) (code evcs.Code, limiting int) {
	chain := f.chain(x.at)
	if x.kind != "move" {
		if x.kind == "children" {
			chain = chain[:1]
		}
		if limiting = f.limiting(chain, x.kind, 1); limiting >= 0 {
			return evcs.CodeQuotaExceeded, limiting
		}
		return 0, -1
	}
	place := f.chain(x.to)
	if slices.Contains(place, x.at) {
		return evcs.CodeTenantMoveInvalid, -1
	}
	if f.nodes[x.at].parent == x.to {
		return 0, -1
	}
	if x.to >= 0 && f.limiting([]int{x.to}, "children", 1) >= 0 {
		return evcs.CodeQuotaExceeded, x.to
	}
	gained := slices.DeleteFunc(place, func(i int) bool { return slices.Contains(chain, i) })
	for _, kind := range []string{"users", "stations", "chargers", "sessions"} {
		if limiting = f.limiting(gained, kind, f.usage(x.at, kind)); limiting >= 0 {
			return evcs.CodeQuotaExceeded, limiting
		}
	}
	return 0, -1
}

// checks are the forecasts that the API gives.
var checks = map[string]string{
	"users": "add-user", "stations": "add-station", "chargers": "add-charger", "children": "create-child",
}

// doAlone does one thing while nothing else happens: it is refused when the
// counts say so, and not otherwise, and the forecast says the same.
func (f *forest) doAlone(x deed) {
	f.t.Helper()
	want, limiting := f.refusal(x)
	if path, ok := checks[x.kind]; ok {
		var forecast struct {
			Allowed          bool
			LimitingTenantID int64
		}
		f.by.OK(f.t, http.MethodGet, evcstest.Path("/api/tenant/quota/check/%s/%d", path, f.nodes[x.at].id), nil).Into(f.t, &forecast)
		if forecast.Allowed != (want == 0) || limiting >= 0 && forecast.LimitingTenantID != f.nodes[limiting].id {
			f.t.Errorf("%+v: the forecast is %+v, want code %d of node %d", x, forecast, want, limiting)
		}
	}
	if got := f.do(x); got != want {
		f.t.Errorf("%+v: %d, want %d", x, got, want)
	} else if got == 0 && x.kind == "move" {
		f.nodes[x.at].parent = x.to
	}
}
