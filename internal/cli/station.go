package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/client"
)

func newStationGroup(e *env) *cobra.Command {
	flags := func(required bool) []bodyFlag {
		return []bodyFlag{
			{"code", "stationCode", "code, unique in the tenant", required},
			{"name", "stationName", "name", required},
			{"address", "address", "address", required},
			{"latitude", "latitude", "degrees", false},
			{"longitude", "longitude", "degrees", false},
			{"province", "province", "province", false},
			{"city", "city", "city", false},
			{"district", "district", "district", false},
			{"type", "stationType", "1 public, 2 dedicated, 3 private", false},
			{"remark", "remark", "remark", false},
		}
	}
	return group(
		"station", "Charging stations",
		newList(e, listSpec[api.Station]{
			short: "List stations",
			columns: []column{
				{"stationId", "ID", "编号", nil},
				{"stationCode", "CODE", "编码", nil},
				{"stationName", "NAME", "名称", nil},
				{"city", "CITY", "城市", nil},
				{"status", "STATUS", "状态", enabled},
				{"totalChargers", "CHARGERS", "桩数", nil},
				{"availableChargers", "IDLE", "空闲", nil},
				{"chargingChargers", "CHARGING", "充电", nil},
				{"faultChargers", "FAULT", "故障", nil},
				{"offlineChargers", "OFFLINE", "离线", nil},
			},
			filters: []filter{
				{"name", "stationName", "name contains"},
				{"code", "stationCode", "code contains"},
				{"keyword", "keyword", "name, code or address contains"},
				{"status", "status", "0 disabled, 1 enabled"},
				{"type", "stationType", "1 public, 2 dedicated, 3 private"},
				{"province", "province", "province"},
				{"city", "city", "city"},
				{"district", "district", "district"},
			},
			fetch: func(c *client.Client) func(context.Context, client.Query) (api.Page[api.Station], error) {
				return c.Stations.List
			},
		}),
		newShow(e, "<station-id>", "Show a station", func(c *client.Client) func(context.Context, int64) (api.Station, error) { return c.Stations.Get }),
		newCreate(e, "Create a station", flags(true), func(c *client.Client) func(context.Context, api.CreateStation) (api.Station, error) {
			return c.Stations.Create
		}),
		newUpdate(e, "<station-id>", "Change a station", flags(false), func(c *client.Client) func(context.Context, int64, api.UpdateStation) (api.Station, error) {
			return c.Stations.Update
		}),
		newDelete(e, "<station-id>", "Delete a station without chargers", func(c *client.Client) func(context.Context, int64) error { return c.Stations.Delete }),
		newSwitch(e, "enable", "<station-id>", "Enable a station", func(ctx context.Context, c *client.Client, id int64) (api.StationStatus, error) {
			return c.Stations.SetStatus(ctx, id, 1)
		}),
		newSwitch(e, "disable", "<station-id>", "Disable a station for new sessions", func(ctx context.Context, c *client.Client, id int64) (api.StationStatus, error) {
			return c.Stations.SetStatus(ctx, id, 0)
		}),
		newStationNearby(e),
		newQuery(e, "count", "Count the stations", []filter{{"status", "status", "0 disabled, 1 enabled"}}, func(ctx context.Context, c *client.Client, q client.Query) (count, error) {
			n, err := c.Stations.Count(ctx, q)
			return count{n}, err
		}),
		newCodeCheck(e, "stationCode", func(c *client.Client) func(context.Context, client.Query) (bool, error) { return c.Stations.CodeTaken }),
	)
}

// count is the answer of a count.
type count struct {
	Count int64 `json:"count"`
}

// nearbyOptions is the point to look around.
type nearbyOptions struct{ latitude, longitude, radius, limit string }

func newStationNearby(e *env) *cobra.Command {
	var opts nearbyOptions
	var available bool
	c := verb("nearby", "List stations around a point, nearest first", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		if opts.latitude == "" || opts.longitude == "" {
			return usage("--latitude and --longitude are required")
		}
		q := client.Query{}.With("latitude", opts.latitude).With("longitude", opts.longitude).With("radius", opts.radius).With("limit", opts.limit)
		if available {
			q = q.With("availableOnly", "1")
		}
		return stationNearby(ctx, e, q)
	})
	c.Flags().StringVar(&opts.latitude, "latitude", "", "degrees (required)")
	c.Flags().StringVar(&opts.longitude, "longitude", "", "degrees (required)")
	c.Flags().StringVar(&opts.radius, "radius", "", "km, 10 by default, 50 at most")
	c.Flags().StringVarP(&opts.limit, "limit", "L", "", "most stations")
	c.Flags().BoolVar(&available, "available", false, "only with a free charger")
	return c
}

func stationNearby(ctx context.Context, e *env, q client.Query) error {
	c, err := e.client()
	if err != nil {
		return err
	}
	ctx, cancel := e.deadline(ctx, 0)
	defer cancel()
	found, err := c.Stations.Nearby(ctx, q)
	if err != nil {
		return err
	}
	return e.list(ctx, found, []column{
		{"stationId", "ID", "编号", nil},
		{"stationName", "NAME", "名称", nil},
		{"distance", "KM", "公里", nil},
		{"availableConnectors", "FREE", "空闲枪", nil},
		{"address", "ADDRESS", "地址", nil},
	}, -1)
}
