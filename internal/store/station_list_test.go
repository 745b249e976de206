package store_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/station"
	"github.com/evcs/evcs/internal/store"
	"github.com/evcs/evcs/internal/store/storetest"
)

func TestLists(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		a, ctx, r := build(t, db), t.Context(), db.Reader().Stations()
		for i, name := range []string{"福田 North", "100% south", "a_b", "east"} {
			s := station.Station{Tenant: a.tenant, Code: fmt.Sprintf("L%d", 9-i), Name: name, Address: "Main " + name, Enabled: i%2 == 0, Type: i%3 + 1, City: ptr("SZ")}
			_, err := a.registry.CreateStation(ctx, boss(), s)
			must(t, err)
		}
		names := func(want station.StationFilter, sort ...evcs.Sort) []string {
			t.Helper()
			byPage, err := r.StationPage(ctx, evcs.Only(a.tenant), want, evcs.PageRequest{Page: 1, Size: 100, Sort: sort})
			must(t, err)
			var pages, keys []string
			for _, s := range byPage.Records {
				pages = append(pages, s.Name)
			}
			req := evcs.PageRequest{Size: 2, Sort: sort, Keyset: true}
			for {
				part, err := r.StationPage(ctx, evcs.Only(a.tenant), want, req)
				must(t, err)
				for _, s := range part.Records {
					keys = append(keys, s.Name)
				}
				if req.After = part.Next; part.Next == nil {
					break
				}
			}
			if !slices.Equal(pages, keys) || byPage.Total != int64(len(pages)) {
				t.Errorf("%+v by page %v of %d, by cursor %v", want, pages, byPage.Total, keys)
			}
			return pages
		}
		for _, c := range []struct {
			want station.StationFilter
			sort []evcs.Sort
			say  []string
		}{
			{station.StationFilter{}, nil, []string{"east", "a_b", "100% south", "福田 North", "One"}},
			{station.StationFilter{}, []evcs.Sort{{Field: "stationCode"}}, []string{"east", "a_b", "100% south", "福田 North", "One"}},
			{station.StationFilter{}, []evcs.Sort{{Field: "totalChargers", Desc: true}, {Field: "stationCode"}}, []string{"One", "east", "a_b", "100% south", "福田 North"}},
			{station.StationFilter{Name: "NORTH"}, nil, []string{"福田 North"}},
			{station.StationFilter{Name: "%"}, nil, []string{"100% south"}},
			{station.StationFilter{Name: "_"}, nil, []string{"a_b"}},
			{station.StationFilter{Code: "l9"}, nil, []string{"福田 North"}},
			{station.StationFilter{Keyword: "main"}, nil, []string{"east", "a_b", "100% south", "福田 North"}},
			{station.StationFilter{City: "S"}, nil, nil},
			{station.StationFilter{City: "SZ", Status: []int{0}}, nil, []string{"east", "100% south"}},
			{station.StationFilter{Types: []int{2, 3}}, nil, []string{"a_b", "100% south"}},
			{station.StationFilter{ChargerTypes: []int{1}}, nil, []string{"One"}},
			{station.StationFilter{ChargerTypes: []int{2}}, nil, nil},
			{station.StationFilter{Available: true}, nil, nil},
		} {
			if diff := cmp.Diff(c.say, names(c.want, c.sort...)); diff != "" {
				t.Errorf("%+v %v: %s", c.want, c.sort, diff)
			}
		}
		if _, err := r.StationPage(ctx, evcs.Only(a.tenant), station.StationFilter{}, evcs.PageRequest{Page: 1, Size: 1, Sort: []evcs.Sort{{Field: "secret"}}}); !errors.Is(err, evcs.ErrInvalid) {
			t.Errorf("an unknown sort: %v", err)
		}
	})
}

func ptr[T any](v T) *T { return &v }

func TestChargerListsAndCensus(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		a, ctx, r := build(t, db), t.Context(), db.Reader().Stations()
		scope := evcs.Only(a.tenant)
		for i, status := range []station.Status{station.Idle, station.Fault, station.Offline} {
			d := a.draft(fmt.Sprintf("L%d", i))
			d.Type, d.Protocol, d.Brand, d.Simulated = i%3+1, []string{"OCPP16", "YKC", ""}[i], ptr("B"), i == 2
			if d.Protocol == "YKC" {
				d.DeviceID = "12345678901234"
			}
			c, connectors, err := a.fleet().Create(ctx, boss(), d, 1)
			must(t, err)
			must(t, a.in(t, func(s station.Store) error {
				connectors[0].Status = status
				if err := s.UpdateConnector(ctx, scope, connectors[0]); err != nil {
					return err
				}
				c.Status, c.Connected = status, status == station.Idle
				if status != station.Offline {
					c.LastSeen = day
				}
				c.Enabled = status != station.Fault
				return s.UpdateCharger(ctx, scope, c)
			}))
		}
		for _, c := range []struct {
			want station.ChargerFilter
			say  []string
		}{
			{station.ChargerFilter{}, []string{"L2", "L1", "L0", "C1"}},
			{station.ChargerFilter{Keyword: "1234567"}, []string{"L1"}},
			{station.ChargerFilter{Code: "l"}, []string{"L2", "L1", "L0"}},
			{station.ChargerFilter{ExactCode: "L"}, nil},
			{station.ChargerFilter{ExactCode: "L0"}, []string{"L0"}},
			{station.ChargerFilter{Brand: "b"}, nil},
			{station.ChargerFilter{Brand: "B", Status: []int{0, 1}}, []string{"L2", "L0"}},
			{station.ChargerFilter{Types: []int{2}}, []string{"L1"}},
			{station.ChargerFilter{Protocols: []string{"OCPP16", "YKC"}}, []string{"L1", "L0"}},
			{station.ChargerFilter{Enabled: ptr(false)}, []string{"L1"}},
			{station.ChargerFilter{Connected: ptr(true)}, []string{"L0"}},
			{station.ChargerFilter{Simulated: ptr(true), Station: a.station.ID}, []string{"L2"}},
			{station.ChargerFilter{Station: a.station.ID + 1}, nil},
			{station.ChargerFilter{WithFault: true}, []string{"L1"}},
			{station.ChargerFilter{UnheardSince: evcs.Millis(day)}, []string{"L2", "C1"}},
			{station.ChargerFilter{UnheardSince: evcs.Millis(day) + 1}, []string{"L2", "L1", "C1"}},
		} {
			page, err := r.ChargerPage(ctx, scope, c.want, evcs.PageRequest{Page: 1, Size: 10})
			must(t, err)
			var codes []string
			for _, v := range page.Records {
				codes = append(codes, v.Code)
			}
			if diff := cmp.Diff(c.say, codes); diff != "" {
				t.Errorf("%+v: %s", c.want, diff)
			}
		}
		for _, field := range []string{"chargerId", "createTime", "chargerCode", "chargerName", "stationId", "status", "lastHeartbeat"} {
			var seen int
			req := evcs.PageRequest{Size: 1, Keyset: true, Sort: []evcs.Sort{{Field: field, Desc: true}}}
			for {
				part, err := r.ChargerPage(ctx, scope, station.ChargerFilter{}, req)
				must(t, err)
				seen += len(part.Records)
				if req.After = part.Next; part.Next == nil {
					break
				}
			}
			if seen != 4 {
				t.Errorf("by %s a cursor sees %d of 4", field, seen)
			}
		}
		n, err := r.Census(ctx, scope, a.station.ID)
		want := station.Census{Total: 4, Enabled: 3, Simulated: 1, EnabledOnline: 1, ByStatus: [6]int64{2, 1, 0, 1}, ByType: [4]int64{0, 2, 1, 1}, Connectors: [6]int64{3, 1, 0, 1}}
		if diff := cmp.Diff(want, n); err != nil || diff != "" {
			t.Errorf("%v %s", err, diff)
		}
		row, err := r.StationRow(ctx, evcs.Subtree(1), a.station.ID)
		must(t, err)
		counts := station.Counts{Chargers: 4, Available: 1, Fault: 1, Offline: 2, Connectors: 5, AvailableConnectors: 1}
		if diff := cmp.Diff(counts, row.Counts); diff != "" || row.TenantName != "one" {
			t.Errorf("%s %s", row.TenantName, diff)
		}
	})
}
