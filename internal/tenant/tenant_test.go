package tenant

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/evcs/evcs/internal/evcs"
)

var noon = time.Date(2026, 2, 10, 12, 0, 0, 0, time.UTC)

func some[T any](v T) *T { return &v }

func TestBlocked(t *testing.T) {
	t.Parallel()
	on := Tenant{ID: 3, Enabled: true}
	off, old := Tenant{ID: 2}, Tenant{ID: 2, Enabled: true, Expires: noon}
	for name, c := range map[string]struct {
		chain Chain
		want  error
		by    evcs.TenantID
		state State
	}{
		"all on":           {Chain{on, {ID: 1, Enabled: true}}, nil, 0, Active},
		"itself off":       {Chain{{ID: 3}, {ID: 1, Enabled: true}}, ErrDisabled, 3, Disabled},
		"an ancestor off":  {Chain{on, off, {ID: 1, Enabled: true}}, ErrDisabled, 2, Disabled},
		"ancestor expired": {Chain{on, old}, ErrExpired, 2, Expired},
		"expires later":    {Chain{{ID: 3, Enabled: true, Expires: noon.Add(time.Millisecond)}}, nil, 0, Active},
		"the nearest":      {Chain{{ID: 3, Enabled: true, Expires: noon.Add(-time.Hour)}, off}, ErrExpired, 3, Expired},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := c.chain.Blocked(noon)
			state, by := c.chain.State(noon)
			if !errors.Is(err, c.want) || state != c.state || by != c.by {
				t.Errorf("%v, %s by %d; want %v, %s by %d", err, state, by, c.want, c.state, c.by)
			}
			if _, data, _ := evcs.Classify(err); c.want != nil && data["tenantId"] != c.by {
				t.Errorf("facts %v, want tenant %d", data, c.by)
			}
		})
	}
}

func TestSettingsAreInheritedButSandbox(t *testing.T) {
	t.Parallel()
	chain := Chain{
		{Own: Overrides{Locale: some("en")}},
		{Own: Overrides{TimeZone: some("Asia/Tokyo"), Locale: some("zh-CN"), SandboxPayments: some(true), AutoToPay: some(false)}},
		{Own: Overrides{TimeZone: some("Europe/Berlin"), PaymentTimeoutMinutes: some(30)}},
	}
	want := DefaultSettings()
	want.Locale, want.TimeZone, want.AutoToPay, want.PaymentTimeoutMinutes = "en", "Asia/Tokyo", false, 30
	if d := cmp.Diff(want, chain.Settings()); d != "" {
		t.Error(d)
	}
	if !chain[1:].Settings().SandboxPayments {
		t.Error("sandbox payments of the tenant itself are off")
	}
	if zone := chain.Settings().Zone().String(); zone != "Asia/Tokyo" {
		t.Error(zone)
	}
}

// used answers Usage from a table.
type used map[evcs.TenantID]int64

func (u used) Usage(_ context.Context, id evcs.TenantID, _ Resource) (int64, error) {
	return u[id], nil
}

func TestForecast(t *testing.T) {
	t.Parallel()
	chain := Chain{
		{ID: 3, Limits: Limits{Stations: some[int64](10), Children: some[int64](2)}},
		{ID: 2, Limits: Limits{Stations: some[int64](20), Children: some[int64](1)}},
		{ID: 1},
	}
	for name, c := range map[string]struct {
		used used
		kind Resource
		n    int
		by   evcs.TenantID
	}{
		"fits":                    {used{3: 9, 2: 19}, Stations, 1, 0},
		"own limit":               {used{3: 10, 2: 19}, Stations, 1, 3},
		"an ancestor's limit":     {used{3: 5, 2: 20}, Stations, 1, 2},
		"many at once":            {used{3: 5, 2: 15}, Stations, 6, 3},
		"children: parent alone":  {used{3: 1, 2: 1}, Children, 1, 0},
		"children: full":          {used{3: 2}, Children, 1, 3},
		"no limit of this kind":   {used{3: 1e6}, Chargers, 1, 0},
		"above a lowered quota":   {used{3: 12}, Stations, 1, 3},
		"the nearest is reported": {used{3: 10, 2: 20}, Stations, 1, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, err := chain.Forecast(t.Context(), c.used, c.kind, c.n)
			if err != nil || f.Limiting != c.by || f.Allowed() != (c.by == 0) || errors.Is(f.Refusal(), ErrQuota) != (c.by != 0) {
				t.Errorf("%+v, %v; want refusal by %d", f, err, c.by)
			}
		})
	}
}

func TestReach(t *testing.T) {
	t.Parallel()
	plain := &evcs.Actor{Tenant: 1}
	reader := &evcs.Actor{Tenant: 1, Permissions: map[evcs.Permission]bool{ReadDescendants: true}}
	for _, c := range []struct {
		a     *evcs.Actor
		owner evcs.TenantID
		write bool
		ok    bool
	}{{plain, 1, true, true}, {plain, 2, false, false}, {reader, 2, false, true}, {reader, 2, true, false}, {nil, 1, false, false}} {
		if err := Reach(c.a, c.owner, c.write); (err == nil) != c.ok {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestVerifierFindsEveryChange(t *testing.T) {
	t.Parallel()
	var rows []AuditRow
	previous := ""
	for i := range 3 {
		r := AuditRow{ID: int64(i + 1), OperatorTenant: 1, Action: Login, Success: true, At: noon, ChainNo: int64(i + 1), Count: 1}
		r.Hash = r.Seal(previous, "{}")
		previous = r.Hash
		rows = append(rows, r)
	}
	check := func(rows []AuditRow, details string) int64 {
		var v Verifier
		for i := range rows {
			v.Add(&rows[i], details)
		}
		return v.Result().FirstBroken
	}
	if broken := check(rows, "{}"); broken != 0 {
		t.Fatalf("untouched rows: %d is broken", broken)
	}
	if broken := check(rows, `{"x":1}`); broken != 1 {
		t.Errorf("changed details: %d", broken)
	}
	if broken := check(append(rows[:1:1], rows[2]), "{}"); broken != 3 {
		t.Errorf("a missing row: %d", broken)
	}
	for name, change := range map[string]func(*AuditRow){
		"action": func(r *AuditRow) { r.Action = Logout }, "time": func(r *AuditRow) { r.At = noon.Add(time.Second) },
		"user": func(r *AuditRow) { r.OperatorUser = 7 }, "result": func(r *AuditRow) { r.Success = false },
		"target": func(r *AuditRow) { r.TargetID = "9" }, "address": func(r *AuditRow) { r.Address = "::1" },
	} {
		changed := append([]AuditRow(nil), rows...)
		change(&changed[1])
		if broken := check(changed, "{}"); broken != 2 {
			t.Errorf("changed %s: %d is broken, want 2", name, broken)
		}
	}
}

func TestSelfChange(t *testing.T) {
	t.Parallel()
	own, root := &Tenant{ID: 2, Parent: 1}, &Tenant{ID: 1}
	for name, c := range map[string]struct {
		a     *evcs.Actor
		t     *Tenant
		field string
		ok    bool
	}{
		"own quota":     {&evcs.Actor{Tenant: 2}, own, "maxUsers", false},
		"own expiry":    {&evcs.Actor{Tenant: 2}, own, "expireTime", false},
		"own name":      {&evcs.Actor{Tenant: 2}, own, "tenantName", true},
		"a child's":     {&evcs.Actor{Tenant: 1}, own, "maxUsers", true},
		"root's quota":  {&evcs.Actor{Tenant: 1, Platform: true}, root, "maxUsers", true},
		"root's status": {&evcs.Actor{Tenant: 1, Platform: true}, root, "status", false},
	} {
		if err := selfChange(c.a, c.t, map[string]any{c.field: 1}); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEveryActionHasALabel(t *testing.T) {
	t.Parallel()
	if n := len(Actions()); n != 40+3*len(kindLabels) {
		t.Errorf("%d actions", n)
	}
	for action, label := range Actions() {
		if label.ZH == "" || label.EN == "" {
			t.Errorf("%s has no label", action)
		}
	}
}
